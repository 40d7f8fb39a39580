"""Learns what is normal for one metric of one machine, hour by hour of the week, and says what lies far from it (R19).

Pure. Fed with hours (`Hour`: how low, how usual, how high within that hour), gives a `Band`: for each of the 168
hours of a week, on the installation's clock, the range that is usual then, and the two edges beyond which a value is
far from it. `domain.thresholds` judges the edges like any limit. docs/normals.md tells the method in words.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from domain.thresholds import Level

Status = Literal["ready", "calibrating", "scant", "erratic"]
Sensitivity = Literal["wide", "usual", "narrow", "off"]

SLOTS = 168
"""Hours of a week; slot 0 begins on Monday at 00:00."""
FAR: Mapping[str, float] = {"wide": 4.0, "usual": 2.2, "narrow": 1.5}
"""How many spreads from what is usual is far, by how sensitive a person wants it."""
SIGMA = 1.4826
"""A median absolute deviation times this is the standard deviation of a normal distribution."""
HALF_LIFE = 14.0
"""Days after which an hour counts half: a machine that changes for good has a new normal within two weeks."""
WINDOW = 42
"""Days learnt from."""
BACKED = 0.5
"""A slot's own weeks weigh as much as all similar hours together once there are so many of them."""
NEIGHBOUR = 0.5
"""How much the hours before and after count beside the like hours: what begins at nine begins at five to nine as well."""
MANY = 8
"""Days from which on their spread is told from a quarter of them."""
STEADY = 6.0
"""The machine's typical spread counts as much as so many days of an hour's own."""
ENOUGH = 20
"""Distinct hours without which nothing is said at all: the first band exists after one day."""
FOR, CLEAR_FOR = 180.0, 600.0
"""Seconds a value must be far from its normal, and back in it, before it is told."""


@dataclass(frozen=True, slots=True)
class Floor:
    """The least distance from what is usual that can be far: never less than either, above and below.

    `least` is absolute, in the measure's unit; `share` is of the usual value. A lesser spread is no news, however
    regular a machine is.
    """

    least: float
    share: float
    least_below: float
    share_below: float
    top: float | None = None

    def above(self, usual: float) -> float:
        """How far above `usual` at the least."""
        return max(self.least, self.share * abs(usual))

    def below(self, usual: float) -> float:
        """How far below `usual` at the least."""
        return max(self.least_below, self.share_below * abs(usual))


BUSY = Floor(0.15, 0.30, 0.03, 0.45, 1.0)
FULL = Floor(0.08, 0.08, 0.08, 0.15, 1.0)
WAITING = Floor(0.10, 0.50, 2.0, 1.0, 1.0)
ANSWER = Floor(0.005, 0.75, 10.0, 1.0)
TRAFFIC = Floor(128 * 1024, 0.6, 4 * 1024, 0.6)
RATE = Floor(5.0, 0.6, 1.0, 0.6)
COUNT = Floor(8.0, 0.4, 4.0, 0.5)
LOAD = Floor(1.5, 0.5, 0.3, 0.6)
SIZE = Floor(64 * 2**20, 0.25, 64 * 2**20, 0.4)

NORMALS: Mapping[str, Floor] = {
    "system.cpu.utilization": BUSY,
    "system.cpu.iowait": WAITING,
    "system.cpu.load_average.5m": LOAD,
    "system.memory.utilization": FULL,
    "system.paging.utilization": FULL,
    "system.disk.io.read": TRAFFIC,
    "system.disk.io.write": TRAFFIC,
    "system.disk.utilization": WAITING,
    "system.network.io.receive": TRAFFIC,
    "system.network.io.transmit": TRAFFIC,
    "system.processes.count": COUNT,
    "hw.network.bandwidth.utilization": BUSY,
    "icmp.rtt.median": ANSWER,
    "tcp.connect.duration": ANSWER,
    "http.duration": ANSWER,
    "dns.duration": ANSWER,
    "postgresql.connect.duration": ANSWER,
    "mysql.connect.duration": ANSWER,
    "redis.ping.duration": ANSWER,
    "postgresql.transactions": RATE,
    "postgresql.statements": RATE,
    "postgresql.connections.utilization": BUSY,
    "mysql.query.count": RATE,
    "mysql.connections.utilization": BUSY,
    "mysql.threads.running": COUNT,
    "redis.commands.processed": RATE,
    "redis.clients.connected": COUNT,
    "redis.memory.used": SIZE,
    "sqlserver.batch.request.rate": RATE,
    "sqlserver.user.connection.count": COUNT,
    "nginx.requests": RATE,
    "apache.requests": RATE,
    "apache.workers.utilization": BUSY,
    "iis.request.count": RATE,
    "iis.connection.active": COUNT,
    "network.sessions": COUNT,
    "hyperv.host.cpu.utilization": BUSY,
    "proxmox.node.cpu.utilization": BUSY,
    "proxmox.node.memory.utilization": FULL,
    "hw.gpu.utilization": BUSY,
}
"""The measures of which a machine has a normal, and how little is never news. Without a part where there is a whole."""


@dataclass(frozen=True, slots=True)
class Hour:
    """One hour of one metric: the 5th and the 95th percentile of its samples. `at` is its start (aware, any zone)."""

    at: datetime
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Usual:
    """What is normal at one moment: usually from `low` to `high`; far below is under `under`, far above over `over`.

    `under` or `over` is None where nothing can be far on that side.
    """

    low: float
    high: float
    under: float | None
    over: float | None


Row = tuple[float | None, ...]
NOTHING: Row = (None,) * SLOTS


@dataclass(frozen=True, slots=True)
class Band:
    """A metric's normal: for each slot of the week its usual range and its edges; None where there is no saying.

    `status` is `ready` after the calibration, `calibrating` before it, `scant` with too little history for any
    band, `erratic` where what was seen is so wide that nothing would stand out. `days` of history were learnt from.
    `top` is the highest value there can be, if any; the lowest is 0.
    """

    status: Status
    days: int
    low: Row = NOTHING
    high: Row = NOTHING
    under: Row = NOTHING
    over: Row = NOTHING
    top: float | None = None

    def at(self, place: float) -> Usual | None:
        """What is normal at `place` (hours since Monday 00:00, see `place`); None where there is no saying."""
        low, high = _on(self.low, place, min), _on(self.high, place, max)
        under, over = _on(self.under, place, min), _on(self.over, place, max)
        if low is None or high is None or under is None or over is None:
            return None
        far = self.top is not None and over >= self.top
        return Usual(low, high, under if under > 0 else None, None if far else over)


def place(at: datetime, zone: ZoneInfo) -> float:
    """Where in the week a moment lies: hours since Monday 00:00 on the clock of `zone`, 0 to 168."""
    local = at.astimezone(zone)
    return local.weekday() * 24 + local.hour + local.minute / 60 + local.second / 3600


def levels(usual: Usual | None) -> tuple[Level, Level]:
    """The normal at a moment as limits: far above and far below are warnings (R19).

    Where nothing can be far on a side (a night without load), what was reached there is left only by a value on the
    other side of what is usual: the hour alone clears nothing. Where there is no saying at all, nothing changes.
    """
    if usual is None:
        return HELD
    low, high, under, over = usual.low, usual.high, usual.under, usual.over
    return (
        _level(FARTHEST, None, low) if over is None else _level(over, None, (high + over) / 2),
        _level(None, -FARTHEST, high) if under is None else _level(None, under, (low + under) / 2),
    )


def usable(hours: Iterable[Hour], left_out: Sequence[tuple[datetime, datetime]]) -> list[Hour]:
    """The hours that tell of a normal: those untouched by an outage, a maintenance or flapping (`left_out`, from-until)."""
    return [h for h in hours if not any(begin < h.at + _HOUR and end > h.at for begin, end in left_out)]


def learn(
    hours: Iterable[Hour],
    floor: Floor,
    zone: ZoneInfo,
    now: datetime,
    sensitivity: Sensitivity = "usual",
    calibration: float = 14,
) -> Band:
    """The band of one metric from its `usable` hours of the last WINDOW days before `now`; `calibration` in days.

    A slot is judged by its own weeks, drawn towards the same hour of all days of its class (workdays, weekend) and
    that hour's neighbours while its weeks are few: the fewer and the nearer to each other, the more.
    """
    seen = [_Seen(hour, zone, now) for hour in hours if timedelta() < now - hour.at <= timedelta(days=WINDOW)]
    if not seen:
        return Band("scant", 0)
    days = max(1, round(max(one.age for one in seen)))
    if len(seen) < ENOUGH:
        return Band("scant", days)
    slots: dict[int, list[_Seen]] = defaultdict(list)
    for one in seen:
        slots[one.slot].append(one)
    alike = _steadied({(day, hour): _alike(slots, day, hour) for day in (False, True) for hour in range(24)})
    rows = [_slot(slots[slot], alike[slot >= WEEKEND, slot % 24], floor, sensitivity) for slot in range(SLOTS)]
    known = [row for row in rows if row is not None]
    if sum(_says_nothing(row, floor) for row in known) * 2 > len(known) or _cries(seen, rows):
        return Band("erratic", days)
    low, high, under, over = (tuple(None if row is None else row[i] for row in rows) for i in range(4))
    status: Status = "calibrating" if days < calibration else "ready"
    return Band(status, days, low, high, under, over, floor.top)


FARTHEST = 1e300
"""A limit no value reaches."""
WEEKEND = 5 * 24
"""The first slot of the weekend."""
_HOUR = timedelta(hours=1)
_Point = tuple[float, float]
"""A value and its weight."""
_Range = tuple[float, float, float, float]
"""Of one slot: low, high, under, over."""


def _level(over: float | None, under: float | None, clear: float) -> Level:
    return Level("warning", over, under, clear, FOR, CLEAR_FOR, "normal")


HELD = (_level(FARTHEST, None, -FARTHEST), _level(None, -FARTHEST, FARTHEST))
"""Limits that are neither reached nor left."""


class _Seen:
    """An hour with its place in the week, its age in days and its weight."""

    __slots__ = ("age", "day", "high", "low", "slot", "weight")

    def __init__(self, hour: Hour, zone: ZoneInfo, now: datetime) -> None:
        local = hour.at.astimezone(zone)
        self.low, self.high = hour.low, hour.high
        self.slot = local.weekday() * 24 + local.hour
        self.day = local.toordinal()
        self.age = (now - hour.at).total_seconds() / 86400
        self.weight: float = 0.5 ** (self.age / HALF_LIFE)


_Cell = tuple[bool, int]
"""Weekend or not, and the hour of the day."""


@dataclass(frozen=True, slots=True)
class _Alike:
    """The same hour on all days of a class: median and spread of its lows and its highs, and on how many days.

    `typical` are the spreads of lows and highs that the machine's hours usually have, as shares of the value.
    """

    low: _Point
    high: _Point
    days: int
    typical: _Point = (0.0, 0.0)


def _alike(slots: Mapping[int, Sequence[_Seen]], weekend: bool, hour: int) -> _Alike | None:
    days = range(5, 7) if weekend else range(5)
    own = [one for day in days for one in slots.get(day * 24 + hour, ())]
    if not own:
        return None
    near = [one for day in days for by in (-1, 1) for one in slots.get(day * 24 + (hour + by) % 24, ())]
    beside = NEIGHBOUR * sum(s.weight for s in own) / (sum(s.weight for s in near) or 1.0)
    return _Alike(
        _edge([(s.low, s.weight) for s in own], [(s.low, s.weight * beside) for s in near]),
        _edge([(s.high, s.weight) for s in own], [(s.high, s.weight * beside) for s in near]),
        len({one.day for one in own}),
    )


def _edge(own: Sequence[_Point], near: Sequence[_Point]) -> _Point:
    """Median and spread; of many days a quarter must differ for the spread to tell of it, not half of them."""
    middle, spread = _centre([*own, *near])
    if len(own) >= MANY:
        spread = max(spread, _median([(abs(value - middle), weight) for value, weight in own], 0.75) / 1.15)
    return middle, spread


def _steadied(alike: Mapping[_Cell, _Alike | None]) -> dict[_Cell, _Alike | None]:
    """The same with steadier spreads: few days tell little of how days differ, so all hours of the machine are asked."""
    known = [one for one in alike.values() if one is not None]
    low = _median([(one.low[1] / one.low[0], one.days) for one in known if one.low[0] > 0] or [(0.0, 1.0)])
    high = _median([(one.high[1] / one.high[0], one.days) for one in known if one.high[0] > 0] or [(0.0, 1.0)])
    return {
        cell: one and _Alike(_steady(one.low, low, one.days), _steady(one.high, high, one.days), one.days, (low, high))
        for cell, one in alike.items()
    }


def _steady(edge: _Point, typical: float, days: int) -> _Point:
    """An edge whose spread is drawn towards the `typical` share of its value, as if STEADY more days had shown that."""
    usual = edge[0] * typical
    return edge[0], math.sqrt((days * edge[1] ** 2 + STEADY * usual**2) / (days + STEADY))


def _slot(own: Sequence[_Seen], alike: _Alike | None, floor: Floor, sensitivity: Sensitivity) -> _Range | None:
    """The usual range and the edges of one slot; None where no like day was ever seen.

    A rise is measured in spreads, a fall in spreads of the logarithm: a load can be many times as high, but only gone.
    """
    if alike is None:
        return None
    low, low_spread = _shrunk([(s.low, s.weight) for s in own], alike.low, alike.typical[0], floor.below(alike.low[0]))
    high, high_spread = _shrunk(
        [(s.high, s.weight) for s in own], alike.high, alike.typical[1], floor.above(alike.high[0])
    )
    high = max(low, high)
    far, by = FAR.get(sensitivity, FAR["usual"]), FAR.get(sensitivity, FAR["usual"]) / FAR["usual"]
    unseen = (UNSEEN_REACH * (high - low) + UNSEEN_SHARE * abs(high + low) / 2) / alike.days**2
    fallen = low * -math.expm1(-(far * low_spread + unseen) / low) if low > 0 else 0.0
    under = low - max(floor.below(low) * by, fallen)
    over = high + max(floor.above(high) * by, far * high_spread + unseen)
    return low, high, under, over


UNSEEN_REACH, UNSEEN_SHARE = 1.0, 0.6
"""One day says nothing of how days differ: so much of the hour's own range, and of the value, is allowed for it."""


def _shrunk(own: Sequence[_Point], alike: _Point, typical: float, floor: float) -> _Point:
    """Median and spread of a slot's edge: its own weeks, drawn towards what is `alike`.

    `typical` is how its own weeks would usually differ, as a share; `floor` is what would be no news anyway.
    Own weeks that agree with each other and not with the rest (a weekly backup) soon speak for themselves; a lone
    week that differs was more likely trouble, and is believed the less the more it differs.
    """
    if not own:
        return alike
    centre, spread = _own(own, alike[0])
    apart, weeks = centre - alike[0], sum(weight for _, weight in own)
    spread2 = (weeks * spread**2 + BACKED * (typical * centre) ** 2) / (weeks + BACKED)
    doubt = 1 + apart**2 / (spread2 + (floor / 3) ** 2)
    w = weeks / (weeks + (BACKED * doubt if len(own) == 1 else BACKED / doubt))
    mixed = w * spread2 + (1 - w) * alike[1] ** 2 + w * (1 - w) * apart**2
    return w * centre + (1 - w) * alike[0], math.sqrt(mixed)


def _own(own: Sequence[_Point], alike: float) -> _Point:
    """Median and spread of a slot's own weeks; of two that differ the one nearer to what is alike is believed."""
    if len(own) == 2:
        return min((value for value, _ in own), key=lambda value: abs(value - alike)), 0.0
    return _centre(own)


def _centre(points: Sequence[_Point]) -> _Point:
    """The weighted median, and the weighted median absolute deviation as a standard deviation."""
    middle = _median(points)
    return middle, SIGMA * _median([(abs(value - middle), weight) for value, weight in points])


def _median(points: Sequence[_Point], share: float = 0.5) -> float:
    """The value with `share` of the weight below it; between two such values, their mean."""
    ordered = sorted(points)
    half, passed = sum(weight for _, weight in ordered) * share, 0.0
    for index, (value, weight) in enumerate(ordered):
        passed += weight
        if passed > half * (1 + 1e-9):
            return value
        if passed > half * (1 - 1e-9) and index + 1 < len(ordered):
            return (value + ordered[index + 1][0]) / 2
    return ordered[-1][0]


def _says_nothing(row: _Range, floor: Floor) -> bool:
    """Whether nothing that can be measured lies outside the slot's edges, or only what is many times as high."""
    _, high, under, over = row
    blind = over >= floor.top if floor.top is not None else over > ERRATIC * max(high, floor.least)
    return blind and under <= 0


def _cries(seen: Iterable[_Seen], rows: Sequence[_Range | None]) -> bool:
    """Whether the last two weeks themselves would have been far from this normal again and again."""
    times, before = 0, False
    for one in sorted((s for s in seen if s.age <= 14), key=lambda s: -s.age):
        row = rows[one.slot]
        far = row is not None and (one.high > row[3] or one.low < row[2])
        times, before = times + (far and not before), far
    return times > OFTEN


OFTEN = 16
"""Times in two weeks; a machine that is far from its normal nearly every day has none."""
ERRATIC = 8.0
"""So many times what is usual must be reached to be far, and the band says nothing."""


def _on(row: Row, place: float, wider: Callable[[float, float], float]) -> float | None:
    """A row's value at `place`: its slots' own at their centres, the wider of two at the turn of the hour, a line between.

    So there is no step anywhere, and what begins at the full hour, or minutes before or after, is still usual.
    """
    slot = int(place) % SLOTS
    own = row[slot]
    if own is None:
        return None
    part = place - int(place)
    beside = row[(slot - 1) % SLOTS if part < 0.5 else (slot + 1) % SLOTS]
    turn = own if beside is None else wider(own, beside)
    return own + (turn - own) * abs(part - 0.5) * 2
