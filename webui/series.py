"""A machine's numbers over time, read in as few queries as there are kinds of storage, thinned to what a screen shows."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import REAL, Select, case, cast, func, select, true, union_all
from sqlalchemy.dialects.postgresql import ARRAY, array

from domain.clock import now
from domain.inventory import Check
from domain.records import MetricSet, raw, roll_1d, roll_1h
from webui import store

RAW_FOR, HOURS_FOR = timedelta(hours=48), timedelta(days=60)
"""Single samples are read for ranges up to the first, hourly rollups up to the second, daily ones beyond."""
GAP = 3.5
"""A hole longer than so many usual steps is drawn as a hole."""
SETS = 60
"""A machine whose parts come and go has many sets of measures; the newest so many are drawn."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Point = tuple[datetime, float | None]
Row = tuple[int, datetime, int, list[float | None]]
"""(check, moment, set, values) as read."""


class Key(NamedTuple):
    """Which line: one measure of one part, as one check brings it."""

    check_id: int
    name: str
    part: str
    unit: str


class Chosen(NamedTuple):
    """What is read: the checks, and of each set the places (from 0) of its values."""

    checks: set[int]
    places: dict[int, list[int]]


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


def kept(host_id: int, begin: datetime, end: datetime) -> dict[tuple[int, int], list[Key]]:
    """(check, set) -> its lines in the order of its values: what there is to draw between two moments."""
    span = end - begin
    stored, finer, step = _stored(span)
    seen: Any = _brought(stored, host_id, begin, end)
    if finer is not None:  # what came since the newest rollup
        seen = union_all(seen, _brought(finer, host_id, max(begin, now() - 2 * step), end))
    every = seen.subquery()
    found = store.session().execute(
        select(every.c.check_id, every.c.set_id)
        .group_by(every.c.check_id, every.c.set_id)
        .order_by(func.max(every.c.at).desc())
        .limit(SETS)
    )
    pairs = [(check, set_id) for check, set_id in found]
    known = store.session().scalars(select(MetricSet).where(MetricSet.id.in_({set_id for _, set_id in pairs})))
    sets = {one.id: list(zip(one.names, one.parts, one.units, strict=True)) for one in known}
    return {(check, one): [Key(check, *row) for row in sets[one]] for check, one in pairs}


def lines(
    begin: datetime, end: datetime, width: int, sets: dict[tuple[int, int], list[Key]], wanted: Collection[Key]
) -> list[Line]:
    """The wanted lines of `kept` between two moments, at most `width` points each; nothing else is fetched."""
    asked, chosen = set(wanted), Chosen(set(), {})
    for (check, set_id), keys in sets.items():
        places = [n for n, key in enumerate(keys) if key in asked]
        if places:
            chosen.checks.add(check)
            chosen.places[set_id] = sorted({*chosen.places.get(set_id, ()), *places})
    if not chosen.places:
        return []
    span = end - begin
    rows = _read(raw, raw.c.v, chosen, begin, end) if span <= RAW_FOR else _rolled(chosen, begin, end, span)
    found: dict[Key, list[Point]] = defaultdict(list)
    for check, at, set_id, values in rows:
        for place, value in zip(chosen.places[set_id], values, strict=True):
            key = sets[check, set_id][place] if (check, set_id) in sets else None
            if key in asked and key is not None:
                found[key].append((at, value))
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


def _stored(span: timedelta) -> tuple[Any, Any, timedelta]:
    """Where a range so long is read from, where its newest steps are, if elsewhere, and how long a step is."""
    if span <= RAW_FOR:
        return raw, None, timedelta()
    return (roll_1h, raw, timedelta(hours=1)) if span <= HOURS_FOR else (roll_1d, roll_1h, timedelta(days=1))


def _brought(table: Any, host_id: int, begin: datetime, end: datetime) -> Select[Any]:
    """Which set each check of the machine brought, and when last."""
    return (
        select(table.c.check_id, table.c.set_id, func.max(table.c.ts).label("at"))
        .join(Check, Check.id == table.c.check_id)
        .where(Check.host_id == host_id, table.c.ts >= begin, table.c.ts < end, table.c.set_id > 0)
        .group_by(table.c.check_id, table.c.set_id)
    )


def _rolled(chosen: Chosen, begin: datetime, end: datetime, span: timedelta) -> list[Row]:
    """Averages by the hour, or by the day; the newest two, which may not be rolled up yet, are made here."""
    stored, finer, step = _stored(span)
    tail = _floor(now() - step, step)
    rows = _read(stored, stored.c.vavg, chosen, begin, min(tail, end))
    if end <= tail:
        return rows
    buckets: dict[tuple[int, datetime, int], list[list[float | None]]] = defaultdict(list)
    values = finer.c.v if finer is raw else finer.c.vavg
    for check, at, set_id, numbers in _read(finer, values, chosen, max(tail, begin), end):
        buckets[check, max(_floor(at, step), begin), set_id].append(numbers)
    return rows + [(*key, [_mean(column) for column in zip(*found, strict=False)]) for key, found in buckets.items()]


def _floor(at: datetime, step: timedelta) -> datetime:
    return EPOCH + (at - EPOCH) // step * step


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _read(table: Any, values: Any, chosen: Chosen, begin: datetime, end: datetime) -> list[Row]:
    """Rows of the chosen sets, each with its chosen values alone: a switch brings a thousand, a chart wants eight."""
    # A long vector lies outside its row, and every v[n] would fetch it anew: it is taken out once (|| unpacks it).
    whole = select(values.op("||")(cast(array([]), ARRAY(REAL))).label("v")).correlate(table).offset(0).lateral("whole")
    picked = case(
        *(
            (table.c.set_id == one, cast(array([whole.c.v[n + 1] for n in places]), ARRAY(REAL)))
            for one, places in chosen.places.items()
        )
    )
    found = store.session().execute(
        select(table.c.check_id, table.c.ts, table.c.set_id, picked)
        .select_from(table.join(whole, true()))
        .where(table.c.check_id.in_(chosen.checks), table.c.ts >= begin, table.c.ts < end)
        .where(table.c.set_id.in_(chosen.places))
        .order_by(table.c.ts)
    )
    return [(check, at, set_id, numbers) for check, at, set_id, numbers in found]
