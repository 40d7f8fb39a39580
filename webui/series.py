"""A machine's numbers over time, read in as few queries as there are kinds of storage, thinned to what a screen shows."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import select

from domain.clock import now
from domain.inventory import Check
from domain.records import MetricSet, raw, roll_1d, roll_1h
from webui import store

RAW_FOR, HOURS_FOR = timedelta(hours=48), timedelta(days=60)
"""Single samples are read for ranges up to the first, hourly rollups up to the second, daily ones beyond."""
GAP = 3.5
"""A hole longer than so many usual steps is drawn as a hole."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Point = tuple[datetime, float | None]
Row = tuple[int, datetime, int, list[float | None]]
"""(check, moment, set, values) as read."""


@dataclass(frozen=True)
class Line:
    """One measure of one part, oldest first. A point of None is a gap: nothing was measured there."""

    check_id: int
    name: str
    part: str
    unit: str
    points: tuple[Point, ...]

    @property
    def known(self) -> list[float]:
        """The values there are."""
        return [value for _, value in self.points if value is not None]


def lines(host_id: int, begin: datetime, end: datetime, width: int, names: Sequence[str] | None = None) -> list[Line]:
    """Every line of a machine (or those in `names`) between two moments, at most `width` points each."""
    span = end - begin
    if span <= RAW_FOR:
        rows = _read(raw, raw.c.v, host_id, begin, end)
    else:
        rows = _rolled(host_id, begin, end, span <= HOURS_FOR)
    sets = _sets({row[2] for row in rows})
    found: dict[tuple[int, str, str, str], list[Point]] = defaultdict(list)
    for check, at, set_id, values in rows:
        for key, value in zip(sets.get(set_id, ()), values, strict=False):
            if names is None or key[0] in names:
                found[(check, *key)].append((at, value))
    return [Line(*key, tuple(thin(_with_gaps(points), begin, end, width))) for key, points in found.items()]


def averaged(span: timedelta) -> timedelta | None:
    """What one point of a range so long stands for: the average of an hour or of a day; None for single looks."""
    if span <= RAW_FOR:
        return None
    return timedelta(hours=1) if span <= HOURS_FOR else timedelta(days=1)


def thin(points: Sequence[Point], begin: datetime, end: datetime, width: int) -> Iterable[Point]:
    """At most about `width` points: of each stretch the lowest and the highest, in their order.

    Gaps stay, and so does the newest point: it is what is told as now.
    """
    if len(points) <= width:
        return points
    step = (end - begin) / max(width // 2, 1)
    kept: list[Point] = []
    bucket: list[Point] = []
    number = 0
    for point in points:
        own = int((point[0] - begin) / step)
        if own != number or point[1] is None:
            kept += _extremes(bucket)
            bucket, number = [], own
        if point[1] is None:
            kept.append(point)
        else:
            bucket.append(point)
    kept += _extremes(bucket)
    return kept if kept[-1] == points[-1] else [*kept, points[-1]]


def _extremes(bucket: list[Point]) -> list[Point]:
    if len(bucket) <= 2:
        return bucket
    by_value = sorted(bucket, key=lambda point: point[1] or 0.0)
    return sorted((by_value[0], by_value[-1]))


def _with_gaps(points: list[Point]) -> list[Point]:
    """The points with a None where nothing was heard for longer than usual."""
    steps = sorted((b[0] - a[0]).total_seconds() for a, b in itertools.pairwise(points))
    if not steps:
        return points
    usual = steps[len(steps) // 2] * GAP
    kept = points[:1]
    for before, after in itertools.pairwise(points):
        if (after[0] - before[0]).total_seconds() > usual:
            kept.append((before[0] + (after[0] - before[0]) / 2, None))
        kept.append(after)
    return kept


def _rolled(host_id: int, begin: datetime, end: datetime, hours: bool) -> list[Row]:
    """Averages by the hour, or by the day; the newest two, which may not be rolled up yet, are made here."""
    stored, finer = (roll_1h, raw) if hours else (roll_1d, roll_1h)
    step = timedelta(hours=1) if hours else timedelta(days=1)
    tail = _floor(now() - step, step)
    rows = _read(stored, stored.c.vavg, host_id, begin, min(tail, end))
    if end <= tail:
        return rows
    buckets: dict[tuple[int, datetime, int], list[list[float | None]]] = defaultdict(list)
    values = finer.c.v if finer is raw else finer.c.vavg
    for check, at, set_id, numbers in _read(finer, values, host_id, max(tail, begin), end):
        buckets[check, max(_floor(at, step), begin), set_id].append(numbers)
    return rows + [(*key, [_mean(column) for column in zip(*found, strict=False)]) for key, found in buckets.items()]


def _floor(at: datetime, step: timedelta) -> datetime:
    return EPOCH + (at - EPOCH) // step * step


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _read(table: Any, values: Any, host_id: int, begin: datetime, end: datetime) -> list[Row]:
    found = store.session().execute(
        select(table.c.check_id, table.c.ts, table.c.set_id, values)
        .join(Check, Check.id == table.c.check_id)
        .where(Check.host_id == host_id, table.c.ts >= begin, table.c.ts < end, table.c.set_id > 0)
        .order_by(table.c.ts)
    )
    return [(check, at, set_id, numbers) for check, at, set_id, numbers in found]


def _sets(ids: set[int]) -> dict[int, list[tuple[str, str, str]]]:
    found = store.session().scalars(select(MetricSet).where(MetricSet.id.in_(ids)))
    return {one.id: list(zip(one.names, one.parts, one.units, strict=True)) for one in found}
