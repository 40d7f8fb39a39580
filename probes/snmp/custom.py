"""Objects of one's own: a label, an object name, a unit, a factor; one per line of the form."""

from __future__ import annotations

import re
from dataclasses import dataclass

from domain.reading import Fact, Measure
from probes.limits import clean
from probes.limits import number as plain
from probes.snmp import ber
from probes.snmp.ber import TIME_TICKS, Value
from probes.snmp.device import COUNTERS

MOST = 50
"""The most objects of one's own one check reads."""
_LINE = re.compile(
    r"(?P<label>[^=]{1,60})=\s*(?P<name>\.?\d[\d.]*)(?:\s+(?P<unit>[^\s*/][^\s]{0,15}))?(?:\s*(?P<how>[*/])\s*(?P<factor>\S+))?\s*"
)


@dataclass(frozen=True, slots=True)
class Custom:
    """`value` in `unit` is what the agent says times `factor`."""

    label: str
    name: bytes
    unit: str
    factor: float


def parse(lines: tuple[str, ...]) -> tuple[Custom, ...]:
    """Lines like "Inlet = 1.3.6.1.4.1.9.1.0 Cel / 10". Raises ValueError with a sentence that names the line."""
    found: list[Custom] = []
    for line in lines:
        match = _LINE.fullmatch(line.strip())
        if match is None:
            raise ValueError(
                f"'{clean(line, 80)}' is not of the form LABEL = OBJECT [UNIT] [* or / NUMBER], "
                "for example: Inlet = 1.3.6.1.4.1.318.1.1.10.2.3.2.1.4.1 Cel / 10"
            )
        factor = plain(match["factor"], 1e-12, 1e12) if match["factor"] else 1.0
        if factor is None:
            raise ValueError(f"'{clean(match['factor'], 20)}' in '{clean(line, 80)}' is not a number above 0.")
        label = clean(match["label"])
        if any(label == one.label for one in found):
            raise ValueError(f"the label '{label}' is there twice; each object needs its own.")
        found.append(
            Custom(label, ber.name(match["name"]), match["unit"] or "1", 1 / factor if match["how"] == "/" else factor)
        )
    if len(found) > MOST:
        raise ValueError(f"at most {MOST} objects of one's own are read by one check; these are {len(found)}.")
    return tuple(found)


def judge(one: Custom, value: Value | None) -> Measure | Fact:
    """A number as a measure (a counter as one), a text as a fact; a fact as well where the device has nothing."""
    if value is None:
        return Fact("snmp.value", "not offered by this device", one.label)
    tag, said = value
    number = plain(clean(said) if isinstance(said, bytes) else said)
    if number is None:
        return Fact("snmp.value", clean(said if isinstance(said, bytes) else str(said)), one.label)
    if tag == TIME_TICKS and one.unit in ("1", "s"):
        return Measure("snmp.value", number / 100 * one.factor, "s", one.label)
    return Measure("snmp.value", number * one.factor, one.unit, one.label, "counter" if tag in COUNTERS else "gauge")
