"""Counters become rates here: per second, dropped whenever the counter or the machine started anew."""

from __future__ import annotations

from dataclasses import dataclass

from domain.reading import Measure, Reading

BOOT = "host.boot.id"
"""The fact that tells one run of a machine from the next."""

SHORTEST = 1.0
"""Seconds: agents tell counters that are up to seconds old, so a rate over less is noise. A trap can cause such a look."""


@dataclass(frozen=True, slots=True)
class _Before:
    at: float
    boot: str
    values: dict[tuple[str, str], float]


class Rates:
    """The last counters of every check, kept in memory: after a restart the first sample of a rate is missing."""

    def __init__(self) -> None:
        self._before: dict[int, _Before] = {}

    def apply(self, check_id: int, at: float, reading: Reading) -> list[tuple[str, str, str, float | None]]:
        """(name, part, unit, value) of each measure; a counter as a rate per second, None where there is none yet.

        `at` is steady seconds. A negative difference, another boot id, or less time than SHORTEST drops the sample.
        """
        boot = next((fact.value for fact in reading.facts if fact.name == BOOT), "")
        before = self._before.get(check_id)
        if before is not None and (before.boot != boot or at <= before.at):
            before = None
        now: dict[tuple[str, str], float] = {}
        rows: list[tuple[str, str, str, float | None]] = []
        for measure in reading.measures:
            if measure.kind == "gauge":
                rows.append((measure.name, measure.of, measure.unit, measure.value))
                continue
            now[measure.name, measure.of] = measure.value
            rows.append((measure.name, measure.of, _per_second(measure), _rate(measure, before, at)))
        if now and (before is None or at - before.at >= SHORTEST):
            self._before[check_id] = _Before(at, boot, now)
        return rows

    def forget(self, check_id: int) -> None:
        """The check is gone."""
        self._before.pop(check_id, None)


def _rate(measure: Measure, before: _Before | None, at: float) -> float | None:
    if before is None or at - before.at < SHORTEST:
        return None
    last = before.values.get((measure.name, measure.of))
    if last is None or measure.value < last:
        return None
    return (measure.value - last) / (at - before.at)


def _per_second(measure: Measure) -> str:
    return "1" if measure.unit == "s" else f"{measure.unit}/s"
