"""Values a person chose from what a machine offers, one a line: `label = where : unit`, the unit and its kind optional."""

from __future__ import annotations

import re
from dataclasses import dataclass

from domain.reading import Kind
from probes.limits import clean

MOST = 100
"""The most values of one check."""
LABEL = 64

_UNIT = re.compile(r"[A-Za-z0-9%/{}^.*_-]{1,16}", re.ASCII)
_END = re.compile(r"^(?P<where>.*\S)\s+:\s*(?P<unit>\S+)?\s*(?P<kind>counter|gauge)?$", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Choice:
    """One value: how it is called, where it is found, and its unit and kind where the person said them."""

    label: str
    where: str
    unit: str = ""
    kind: Kind | None = None


def read(option: str, lines: tuple[str, ...]) -> tuple[Choice, ...]:
    """The lines of `option` as choices; raises ValueError with a sentence."""
    if len(lines) > MOST:
        raise ValueError(f"option '{option}' takes at most {MOST} values.")
    found = tuple(_one(option, line) for line in lines)
    labels = [choice.label for choice in found]
    if twice := next((label for label in labels if labels.count(label) > 1), None):
        raise ValueError(f"option '{option}' has two values called '{twice}'.")
    return found


def _one(option: str, line: str) -> Choice:
    label, equals, rest = line.partition("=")
    label, rest = label.strip(), rest.strip()
    if not equals or not label or not rest or label != clean(label, LABEL):
        raise ValueError(f"option '{option}' is like 'label = where : unit', not '{clean(line, 80)}'.")
    match = _END.match(rest)
    if match is None:
        return Choice(label, rest)
    unit, kind = match["unit"] or "", match["kind"]
    if unit in ("counter", "gauge") and not kind:
        unit, kind = "", unit
    if unit and not _UNIT.fullmatch(unit):
        raise ValueError(f"option '{option}' has a unit that is none: '{clean(unit, 40)}'.")
    return Choice(label, match["where"].strip(), unit, _kind(kind))


def _kind(word: str | None) -> Kind | None:
    return "counter" if word == "counter" else "gauge" if word == "gauge" else None
