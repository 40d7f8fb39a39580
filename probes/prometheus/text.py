"""Prometheus' text format (exposition format 0.0.4) and OpenMetrics' (1.0), read in one pass without trust."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from domain.reading import Kind
from probes.limits import number

LINES = 50_000
"""The most lines that are looked at."""
LABELS = 64
"""The most labels one series may have."""

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*", re.ASCII)
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*", re.ASCII)
_VALUE = re.compile(r'[^"\\\n]*(?:\\.[^"\\\n]*)*')
_SPACE = re.compile(r"[ \t]*")
_NO_NUMBERS = ("nan", "inf", "+inf", "-inf")
_COUNTED = {"counter": ("_total", ""), "histogram": ("_bucket", "_sum", "_count"), "summary": ("_sum", "_count")}

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Series:
    """One line: its name, its labels in their order, and its value as it was written."""

    name: str
    labels: Labels
    value: str


@dataclass
class Page:
    """All that was understood. `skipped` counts lines that were not."""

    series: list[Series] = field(default_factory=list)
    types: dict[str, str] = field(default_factory=dict)
    skipped: int = 0

    def kind(self, name: str) -> Kind:
        """Whether the series of that name count up: by the type its family is declared with."""
        for type_, endings in _COUNTED.items():
            for ending in endings:
                family = name.removesuffix(ending) if ending else name
                if (ending == "" or family != name) and self.types.get(family) == type_:
                    return "counter"
        return "counter" if self.types.get(name) == "counter" else "gauge"


def parse(text: str) -> Page:
    """`text` read line by line; a line that is none of the format is counted and left out."""
    page = Page()
    for line in _lines(text):
        stripped = line.strip(" \t\r")
        if not stripped:
            continue
        if stripped.startswith("#"):
            _comment(stripped, page)
        elif (found := series(stripped)) is not None:
            page.series.append(found)
        else:
            page.skipped += 1
    return page


def series(line: str) -> Series | None:
    """One line `name{label="value",...} value [time]`, or None."""
    match = _NAME.match(line)
    if match is None:
        return None
    at, labels = match.end(), Labels()
    if line[at : at + 1] == "{":
        found = selector(line, at)
        if found is None:
            return None
        rows, at = found
        if any(operator != "=" for _, operator, _ in rows):
            return None
        labels = tuple((name, value) for name, _, value in rows)
    rest = line[at:].partition(" # ")[0].split()  # OpenMetrics puts an exemplar behind " # "
    if not 1 <= len(rest) <= 2 or (at == match.end() and not line[at : at + 1].isspace()):
        return None
    if number(rest[0]) is None and rest[0].lower() not in _NO_NUMBERS:
        return None
    return Series(match[0], labels, rest[0])


def selector(line: str, at: int) -> tuple[list[tuple[str, str, str]], int] | None:
    """`{label="value",label!="value"}` from `at` on as (label, operator, value), and where it ends; None for none."""
    rows: list[tuple[str, str, str]] = []
    at += 1
    while len(rows) <= LABELS:
        at = _past(line, at)
        if line[at : at + 1] == "}":
            return rows, at + 1
        name = _LABEL.match(line, at)
        if name is None:
            return None
        at = _past(line, name.end())
        operator = "!=" if line.startswith("!=", at) else "="
        if not line.startswith(operator, at):
            return None
        at = _past(line, at + len(operator))
        if line[at : at + 1] != '"':
            return None
        value = _VALUE.match(line, at + 1)
        if value is None or line[value.end() : value.end() + 1] != '"':
            return None
        rows.append((name[0], operator, _unescape(value[0])))
        at = _past(line, value.end() + 1)
        if line[at : at + 1] == ",":
            at += 1
        elif line[at : at + 1] != "}":
            return None
    return None


def _comment(line: str, page: Page) -> None:
    words = line.split(None, 4)
    if len(words) == 4 and words[:2] == ["#", "TYPE"] and len(page.types) < LINES:
        page.types.setdefault(words[2], words[3])


def _lines(text: str) -> Iterator[str]:
    at = 0
    for _ in range(LINES):
        end = text.find("\n", at)
        if end < 0:
            yield text[at:]
            return
        yield text[at:end]
        at = end + 1


def _past(line: str, at: int) -> int:
    match = _SPACE.match(line, at)
    return match.end() if match else at


def _unescape(text: str) -> str:
    return re.sub(r"\\(.)", lambda found: "\n" if found[1] == "n" else found[1], text, flags=re.DOTALL)
