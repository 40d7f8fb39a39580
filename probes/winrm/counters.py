"""From two readings of a raw counter class to rates, by the class's own timestamps.

Formulas: "WMI Performance Counter Types" of Microsoft. Every raw instance carries its own clock readings, so a rate
needs no clock of ours and is right for a page that came late. A counter that went down was started anew: no rate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from probes.winrm.answer import Row

INSTANCES = 4096
"""The most instances of one class that are remembered."""
STAMPS = ("Timestamp_PerfTime", "Frequency_PerfTime", "Timestamp_Sys100NS")
"""The clock readings every raw class has."""


@dataclass(frozen=True, slots=True)
class Delta:
    """One instance now and the last time."""

    now: Row
    before: Row

    def of(self, name: str) -> int | None:
        """By how much a counter grew; None where it is missing or went down."""
        now, before = self.now.whole(name), self.before.whole(name)
        return None if now is None or before is None or now < before else now - before

    @property
    def seconds(self) -> float | None:
        """d(Timestamp_PerfTime) / Frequency_PerfTime; None where no time has passed."""
        ticks, frequency = self.of("Timestamp_PerfTime"), self.now.whole("Frequency_PerfTime")
        return ticks / frequency if ticks and frequency else None

    def rate(self, name: str) -> float | None:
        """PERF_COUNTER_COUNTER, PERF_COUNTER_BULK_COUNT: growth a second."""
        grown, seconds = self.of(name), self.seconds
        return None if grown is None or seconds is None else grown / seconds

    def share(self, name: str) -> float | None:
        """PERF_100NSEC_TIMER: growth in units of 100 ns for each such unit passed, of one processor."""
        grown, passed = self.of(name), self.of("Timestamp_Sys100NS")
        return None if grown is None or not passed else grown / passed

    def part(self, name: str, base: str) -> float | None:
        """PERF_PRECISION_100NS_TIMER and the like: growth of a counter for each growth of its base."""
        grown, passed = self.of(name), self.of(base)
        return None if grown is None or not passed else grown / passed

    def average(self, name: str, base: str) -> float | None:
        """PERF_AVERAGE_TIMER: seconds an operation, (d(N) / Frequency_PerfTime) / d(base)."""
        grown, times, frequency = self.of(name), self.of(base), self.now.whole("Frequency_PerfTime")
        return None if grown is None or not times or not frequency else grown / frequency / times


class Counters:
    """The last rows of every raw class of one machine."""

    def __init__(self) -> None:
        self._rows: dict[str, dict[str, Row]] = {}

    def compare(self, table: str, rows: Iterable[Row], key: Callable[[Row], str]) -> Iterator[tuple[Row, Delta | None]]:
        """Each row, with its difference to the last time where there was one; the rows are kept for the next."""
        before, now = self._rows.get(table, {}), {}
        found: list[tuple[Row, Delta | None]] = []
        for row in list(rows)[:INSTANCES]:
            name = key(row)
            if name not in now:
                now[name] = row
                found.append((row, Delta(row, before[name]) if name in before else None))
        self._rows[table] = now
        return iter(found)

    def known(self, table: str) -> bool:
        """Whether a class has been read before."""
        return table in self._rows

    def forget(self) -> None:
        """The machine was started anew: nothing can be compared."""
        self._rows.clear()
