"""WQL as a Windows machine answers it: `select` with a property list and a `where`, over rows that are dicts."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Row = Mapping[str, Any]
Test = Callable[[Row], bool]

_TOKEN = re.compile(
    r"""\s*(?:(?P<text>'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*")|(?P<number>-?\d+(?:\.\d+)?)"""
    r"""|(?P<word>[A-Za-z_]\w*|\*)|(?P<mark><>|!=|<=|>=|[=<>(),]))"""
)


class WrongQuery(Exception):
    """The text is no query a Windows machine would take."""


@dataclass(frozen=True)
class Query:
    """`properties` is empty for `*`."""

    properties: tuple[str, ...]
    table: str
    test: Test


def parse(text: str) -> Query:
    """The query, or WrongQuery."""
    reader = _Reader(_tokens(text))
    reader.word("select")
    properties = [reader.name()]
    while reader.take("mark", ","):
        properties.append(reader.name())
    reader.word("from")
    table = reader.name()
    test: Test = lambda row: True  # noqa: E731
    if reader.take("word", "where"):
        test = reader.either()
    if reader.rest:
        raise WrongQuery(text)
    return Query(() if properties == ["*"] else tuple(properties), table, test)


def _tokens(text: str) -> list[tuple[str, str]]:
    found, at = [], 0
    while text[at:].strip():
        match = _TOKEN.match(text, at)
        if match is None:
            raise WrongQuery(text)
        found.append((str(match.lastgroup), match[str(match.lastgroup)]))
        at = match.end()
    return found


class _Reader:
    def __init__(self, rest: list[tuple[str, str]]) -> None:
        self.rest = rest

    def take(self, kind: str, text: str = "") -> str | None:
        if self.rest and self.rest[0][0] == kind and (not text or self.rest[0][1].lower() == text):
            return self.rest.pop(0)[1]
        return None

    def word(self, text: str) -> None:
        if self.take("word", text) is None:
            raise WrongQuery(f"'{text}' is missing")

    def name(self) -> str:
        name = self.take("word")
        if name is None:
            raise WrongQuery("a name is missing")
        return name

    def either(self) -> Test:
        tests = [self.both()]
        while self.take("word", "or"):
            tests.append(self.both())
        return lambda row: any(test(row) for test in tests)

    def both(self) -> Test:
        tests = [self.one()]
        while self.take("word", "and"):
            tests.append(self.one())
        return lambda row: all(test(row) for test in tests)

    def one(self) -> Test:
        if self.take("word", "not"):
            inner = self.one()
            return lambda row: not inner(row)
        if self.take("mark", "("):
            inner = self.either()
            if self.take("mark", ")") is None:
                raise WrongQuery("a bracket is missing")
            return inner
        return self.comparison()

    def comparison(self) -> Test:
        name = self.name()
        if self.take("word", "is"):
            negated = self.take("word", "not") is not None
            self.word("null")
            return lambda row: (_value(row, name) is None) != negated
        if self.take("word", "like"):
            pattern = _like(self.literal())
            return lambda row: pattern.fullmatch(str(_value(row, name))) is not None
        mark = self.take("mark")
        if mark not in _MARKS:
            raise WrongQuery("a comparison is missing")
        compare, wanted = _MARKS[mark], self.literal()
        return lambda row: _compare(compare, _value(row, name), wanted)

    def literal(self) -> str:
        text = self.take("text")
        if text is not None:
            return re.sub(r"\\(.)", r"\1", text[1:-1], flags=re.DOTALL)
        for kind in ("number", "word"):
            if (text := self.take(kind)) is not None:
                return text
        raise WrongQuery("a value is missing")


_MARKS: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda a, b: a == b,
    "<>": lambda a, b: a != b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    ">": lambda a, b: a > b,
    "<=": lambda a, b: a <= b,
    ">=": lambda a, b: a >= b,
}


def _value(row: Row, name: str) -> Any:
    return next((value for key, value in row.items() if key.lower() == name.lower()), None)


def _compare(compare: Callable[[Any, Any], bool], value: Any, wanted: str) -> bool:
    """Null compares with nothing; text regardless of case."""
    if value is None:
        return False
    if isinstance(value, bool):
        return compare(str(value).lower(), wanted.lower())
    if isinstance(value, int | float):
        return compare(float(value), float(wanted))
    return compare(str(value).lower(), wanted.lower())


def _like(pattern: str) -> re.Pattern[str]:
    made = "".join({"%": ".*", "_": "."}.get(c, re.escape(c)) for c in pattern)
    return re.compile(made, re.IGNORECASE | re.DOTALL)
