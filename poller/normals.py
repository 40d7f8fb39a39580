"""What is normal for each machine: hours summed up from samples, bands learnt from them, ready for the judge."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, cast
from zoneinfo import ZoneInfo

import psycopg
from psycopg import AsyncConnection

from domain import baseline, clock
from domain.baseline import NORMALS, WINDOW, Band, Hour, Usual
from domain.thresholds import Level
from poller.plan import HostPlan, Plan

_log = logging.getLogger("poller")
PARTS = 16
"""Parts of one measure (devices, interfaces) that have a normal each; of a switch with hundreds the first so many."""
LEAST = 5
"""Samples an hour must have to tell of a normal."""
LATE = timedelta(hours=2)
"""How far back hours are summed up again: what a replayed spool brought late."""
DAILY, HOURLY = timedelta(hours=23.5), timedelta(minutes=59)
"""How old a band may be before it is learnt anew, after the calibration and before it."""
SHARE = 0.1
"""Of one processor, while learning."""
KEEP_DAYS = WINDOW + 2

Key = tuple[int, str, str]
"""A check's id, a measure, a part."""

SUM_UP = """
with pick as (
    select id, array_agg(i order by i) as places from (
        select id, i, row_number() over (partition by id, name order by i) as nth
        from metric_set, unnest(names, parts) with ordinality as one(name, part, i)
        where name = any(%(names)s)
          and (part = '' or not exists (select from unnest(names, parts) as other(n, p) where n = name and p = ''))
    ) as known where nth <= %(parts)s group by id
), value as (
    select r.check_id, date_trunc('hour', r.ts, 'UTC') as hour, r.set_id, p.places, place, whole.v[place] as x
    from raw r join pick p on p.id = r.set_id
    cross join lateral (select r.v || '{}'::real[] as v offset 0) as whole
    cross join unnest(p.places) as place
    where r.ts >= %(start)s and r.ts < %(end)s
), ranged as (
    select check_id, hour, set_id, places, place, percentile_cont(array[0.05, 0.95]) within group (order by x) as range
    from value where x is not null group by check_id, hour, set_id, places, place having count(*) >= %(least)s
)
insert into hour_range (check_id, ts, set_id, places, low, high)
select check_id, hour, set_id, array_agg(place order by place),
       array_agg(range[1]::real order by place), array_agg(range[2]::real order by place)
from ranged group by check_id, hour, set_id
on conflict (check_id, ts, set_id) do update set places = excluded.places, low = excluded.low, high = excluded.high
"""

LEFT_OUT = """
select since, coalesce(until, now()) from state_interval
where subject = %(host)s and state in ('down', 'unreachable') and coalesce(until, now()) > %(begin)s
union all
select since, coalesce(until, now()) from state_interval
where subject = %(maintenance)s and state = 'maintenance' and coalesce(until, now()) > %(begin)s
union all
select at, coalesce((select min(n.at) from notice n where n.subject = notice.subject and n.kind = 'flap_stop'
                     and n.at >= notice.at), now())
from notice where subject = %(host)s and kind = 'flap_start' and at > %(begin)s
"""


@dataclass
class Ready:
    """The bands in force, for who judges. `zone` is the installation's: hours are those of its clock."""

    zone: ZoneInfo
    bands: dict[Key, Band] = field(default_factory=dict)

    def place(self, at: datetime) -> float:
        """Where in the week the moment lies."""
        return baseline.place(at, self.zone)

    def at(self, key: Key, place: float) -> tuple[Usual | None, tuple[Level, ...]]:
        """What is normal there, and the levels that follow; none where the metric has no band."""
        band = self.bands.get(key)
        if band is None:
            return None, ()
        usual = band.at(place)
        return usual, baseline.levels(usual)


async def sum_up(connection: AsyncConnection[Any], start: datetime, end: datetime) -> None:
    """The hours that begin in [start, end), both full hours, made anew from samples; running it twice changes nothing."""
    given = {"names": sorted(NORMALS), "parts": PARTS, "least": LEAST}
    while start < end:
        until = min(end, start + timedelta(days=1))
        await connection.execute(SUM_UP, {**given, "start": start, "end": until})
        start = until


async def hours(connection: AsyncConnection[Any], host: HostPlan, now: datetime) -> dict[Key, list[Hour]]:
    """What was kept of one machine's metrics, without the hours that do not tell of a normal."""
    begin = max(now - timedelta(days=WINDOW), host.learn_from or datetime.min.replace(tzinfo=now.tzinfo))
    cursor = await connection.execute(
        "select check_id, ts, set_id, places, low, high from hour_range where check_id = any(%s) and ts >= %s",
        [[check.id for check in host.checks], begin],
    )
    rows = await cursor.fetchall()
    cursor = await connection.execute(
        "select id, names, parts from metric_set where id = any(%s)", [list({row[2] for row in rows})]
    )
    sets = {id: (names, parts) for id, names, parts in await cursor.fetchall()}
    left_out = await _left_out(connection, host.id, begin)
    found: dict[Key, list[Hour]] = defaultdict(list)
    for check_id, at, set_id, places, low, high in rows:
        names, parts = sets[set_id]
        for place, least, most in zip(places, low, high, strict=True):
            found[check_id, names[place - 1], parts[place - 1]].append(Hour(at, least, most))
    return {key: baseline.usable(own, left_out) for key, own in found.items() if key[1] in NORMALS}


async def _left_out(connection: AsyncConnection[Any], host_id: int, begin: datetime) -> list[tuple[datetime, datetime]]:
    given = {"host": f"host:{host_id}", "maintenance": f"maintenance:{host_id}", "begin": begin}
    cursor = await connection.execute(LEFT_OUT, given)
    return [(since, until) for since, until in await cursor.fetchall()]


def learn(
    host: HostPlan, found: Mapping[Key, Iterable[Hour]], zone: ZoneInfo, now: datetime, calibration: float
) -> dict[Key, Band]:
    """The bands of one machine; empty where it is to have none."""
    if host.sensitivity == "off":
        return {}
    return {
        key: baseline.learn(own, NORMALS[key[1]], zone, now, host.sensitivity, calibration)
        for key, own in found.items()
    }


def _timed(
    host: HostPlan, found: Mapping[Key, Iterable[Hour]], zone: ZoneInfo, now: datetime, calibration: float
) -> tuple[dict[Key, Band], float]:
    """`learn`, and the processor seconds it took: they are this thread's alone."""
    begin = time.thread_time()
    bands = learn(host, found, zone, now, calibration)
    return bands, time.thread_time() - begin


async def keep(connection: AsyncConnection[Any], host: HostPlan, bands: Mapping[Key, Band], now: datetime) -> None:
    """The bands of one machine as they are now, in place of what was stored."""
    async with connection.transaction(), connection.cursor() as cursor:
        await cursor.execute("delete from band where host_id = %s", [host.id])
        await cursor.execute(
            "select id from host_check where id = any(%s) for key share", [[check for check, _, _ in bands]]
        )
        alive = {row[0] for row in await cursor.fetchall()}
        await cursor.executemany(
            "insert into band (check_id, measure, part, host_id, learnt_at, sensitivity, status, days, low, high, under,"
            " over) values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            [
                (*key, host.id, now, host.sensitivity, band.status, band.days, *map(list, (band.low, band.high, band.under, band.over)))
                for key, band in bands.items()
                if key[0] in alive
            ],
        )  # fmt: skip


@dataclass(frozen=True)
class _Learnt:
    """How and when a machine's bands were learnt."""

    at: datetime
    sensitivity: str
    learn_from: datetime | None
    calibrating: bool


class Normals:
    """The learning, on a connection of its own: hours as they end, each machine once a day (hourly at first)."""

    def __init__(self, url: str, ready: Ready, calibration: float) -> None:
        self._url, self._ready, self._calibration = url, ready, calibration
        self._connection: AsyncConnection[Any] | None = None
        self._summed: datetime | None = None
        self._learnt: dict[int, _Learnt] = {}
        self._plan = Plan({})

    async def open(self) -> None:
        """The bands as they were last learnt. Raises psycopg.OperationalError."""
        cursor = await (await self._connected()).execute(
            "select check_id, measure, part, host_id, learnt_at, sensitivity, status, days, low, high, under, over from band"
        )
        for check, measure, part, host, at, sensitivity, status, days, *rows in await cursor.fetchall():
            if measure not in NORMALS:
                continue
            low, high, under, over = (tuple(row) for row in rows)
            band = Band(cast(baseline.Status, status), days, low, high, under, over, NORMALS[measure].top)
            self._put((check, measure, part), band)
            self._learnt[host] = _Learnt(at, sensitivity, None, status in ("calibrating", "scant"))

    async def close(self) -> None:
        """Let the connection go."""
        if self._connection is not None:
            await self._connection.close()
            self._connection = None

    def plan(self, plan: Plan) -> None:
        """Take over an edit: who is to have no bands has none at once; who is to have others is learnt anew next."""
        for host in plan.hosts.values():
            before = self._plan.hosts.get(host.id)
            if before is not None and (before.sensitivity, before.learn_from) != (host.sensitivity, host.learn_from):
                self._learnt.pop(host.id, None)
            if host.sensitivity == "off":
                self._drop({check.id for check in host.checks})
        known = {check.id for host in plan.hosts.values() for check in host.checks}
        self._drop({key[0] for key in self._ready.bands} - known)
        self._plan = plan

    async def work(self) -> None:
        """Sum up the hours that have ended, then learn whose bands are old. Silence while PostgreSQL is away."""
        try:
            connection, now = await self._connected(), clock.now()
            await self._sum_up(connection, now)
            for host in [one for one in self._plan.hosts.values() if self._due(one, now)]:
                await self._learn(connection, host)
        except psycopg.Error:
            _log.debug("No learning of what is normal while PostgreSQL is away.", exc_info=True)

    async def _sum_up(self, connection: AsyncConnection[Any], now: datetime) -> None:
        full = now.replace(minute=0, second=0, microsecond=0)
        if self._summed == full:
            return
        begin = self._summed
        if begin is None:
            cursor = await connection.execute("select max(ts) from hour_range")
            row = await cursor.fetchone()
            begin = row[0] if row and row[0] else full - timedelta(days=WINDOW)
        await sum_up(connection, begin - LATE, full)
        await connection.execute("delete from hour_range where ts < %s", [now - timedelta(days=KEEP_DAYS)])
        self._summed = full

    def _due(self, host: HostPlan, now: datetime) -> bool:
        last = self._learnt.get(host.id)
        if last is None or last.sensitivity != host.sensitivity:
            return True
        return now - last.at > (HOURLY if last.calibrating else DAILY)

    async def _learn(self, connection: AsyncConnection[Any], host: HostPlan) -> None:
        """One machine, then a pause: learning must never be what makes looks late."""
        now = clock.now()
        found = await hours(connection, host, now)
        bands, spent = await asyncio.to_thread(_timed, host, found, self._ready.zone, now, self._calibration)
        await keep(connection, host, bands, now)
        self._drop({check.id for check in host.checks})
        for key, band in bands.items():
            self._put(key, band)
        calibrating = not bands or any(band.status in ("calibrating", "scant") for band in bands.values())
        self._learnt[host.id] = _Learnt(now, host.sensitivity, host.learn_from, calibrating)
        await asyncio.sleep(min(5.0, spent / SHARE))

    def _put(self, key: Key, band: Band) -> None:
        if band.status in ("ready", "calibrating"):
            self._ready.bands[key] = band

    def _drop(self, checks: set[int]) -> None:
        for key in [key for key in self._ready.bands if key[0] in checks]:
            del self._ready.bands[key]

    async def _connected(self) -> AsyncConnection[Any]:
        if self._connection is None or self._connection.broken:
            self._connection = await AsyncConnection.connect(
                self._url, autocommit=True, connect_timeout=3, application_name="pantau normals"
            )
        return self._connection
