"""Housekeeping of what was recorded: partitions, rollups, retention, and our own load."""

from __future__ import annotations

import asyncio
import json
import logging
import resource
import time
from collections import deque
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg
from psycopg import AsyncConnection, sql

from domain import clock, guests
from domain.records import IN_ALL
from poller.recorder import partition

_log = logging.getLogger("poller")
LATE = timedelta(hours=2)
"""How far back each rollup run looks: hours touched by a replayed spool are rolled up by `since` instead."""

RUN_OUT = """
with ended as (
    update incident set acknowledged_at = null, acknowledged_until = null, owner_id = null
    where closed_at is null and acknowledged_until <= now() returning id
) insert into incident_event (incident_id, kind) select id, 'expired' from ended
"""
IN_HAND = "select subject from incident where closed_at is null and acknowledged_at is not null"

ROLL_HOURS = """
insert into roll_1h (check_id, ts, set_id, n, failed, vmin, vavg, vmax)
select check_id, hour, set_id, max(n), 0,
       array_agg(low order by i), array_agg(mean order by i), array_agg(high order by i)
from (
    select check_id, date_trunc('hour', ts, 'UTC') as hour, set_id, i,
           min(x) as low, avg(x)::real as mean, max(x) as high, count(*)::int as n
    from raw, unnest(v) with ordinality as part(x, i)
    where ts >= %(start)s and ts < %(end)s
    group by check_id, hour, set_id, i
) as parts group by check_id, hour, set_id
on conflict (check_id, ts, set_id) do update set n = excluded.n, vmin = excluded.vmin, vavg = excluded.vavg, vmax = excluded.vmax
"""

ROLL_FAILED = """
insert into roll_1h (check_id, ts, set_id, n, failed, vmin, vavg, vmax)
select check_id, date_trunc('hour', ts, 'UTC') as hour, 0, count(*)::int, count(*)::int, '{}', '{}', '{}'
from raw where ts >= %(start)s and ts < %(end)s and v = '{}' group by check_id, hour
on conflict (check_id, ts, set_id) do update set n = excluded.n, failed = excluded.failed
"""

ROLL_DAYS = """
insert into roll_1d (check_id, ts, set_id, n, failed, vmin, vavg, vmax)
select check_id, day, set_id, sum(n)::int / greatest(max(width), 1), sum(failed)::int / greatest(max(width), 1),
       coalesce(array_agg(low order by i) filter (where i is not null), '{}'),
       coalesce(array_agg(mean order by i) filter (where i is not null), '{}'),
       coalesce(array_agg(high order by i) filter (where i is not null), '{}')
from (
    select check_id, date_trunc('day', ts, 'UTC') as day, set_id, i, sum(n) as n, sum(failed) as failed,
           min(low) as low, (sum(mean * n) / nullif(sum(n) filter (where mean is not null), 0))::real as mean,
           max(high) as high, max(cardinality(vmin)) as width
    from roll_1h left join lateral unnest(vmin, vavg, vmax) with ordinality as part(low, mean, high, i) on true
    where ts >= %(start)s and ts < %(end)s
    group by check_id, day, set_id, i
) as parts group by check_id, day, set_id
on conflict (check_id, ts, set_id) do update set
    n = excluded.n, failed = excluded.failed, vmin = excluded.vmin, vavg = excluded.vavg, vmax = excluded.vmax
"""


async def roll_up(connection: AsyncConnection[Any], start: datetime, end: datetime) -> None:
    """Hours and days touched by [start, end), made anew from what is stored: running it twice changes nothing."""
    hour = start.replace(minute=0, second=0, microsecond=0)
    day = start.replace(hour=0, minute=0, second=0, microsecond=0)
    async with connection.transaction():
        await connection.execute(ROLL_HOURS, {"start": hour, "end": end})
        await connection.execute(ROLL_FAILED, {"start": hour, "end": end})
        await connection.execute(ROLL_DAYS, {"start": day, "end": end})


async def make_partitions(connection: AsyncConnection[Any], today: datetime) -> None:
    """Today's and the next two days' partitions, before anything needs them."""
    for ahead in range(3):
        await connection.execute(partition((today + timedelta(days=ahead)).strftime("%Y%m%d")))


async def retire(
    connection: AsyncConnection[Any], today: datetime, raw_days: int, hourly_days: int, chat_days: int = 730
) -> list[str]:
    """Drop partitions older than `raw_days`, prune rollups and what else has had its day. Names of what was dropped."""
    oldest = (today - timedelta(days=raw_days)).strftime("%Y%m%d")
    cursor = await connection.execute(
        "select relid::regclass::text from pg_partition_tree('raw') where isleaf order by 1"
    )
    dropped = [name for (name,) in await cursor.fetchall() if name.removeprefix("raw_") < oldest]
    for name in dropped:
        await connection.execute(sql.SQL("drop table {}").format(sql.Identifier(name)))
    await connection.execute("delete from roll_1h where ts < %s", [today - timedelta(days=hourly_days)])
    await connection.execute("delete from failure where since < %s", [today - timedelta(days=hourly_days)])
    await connection.execute(
        "delete from watch_cost where ts < %s and ts <> %s", [today - timedelta(days=hourly_days), IN_ALL]
    )
    await connection.execute("delete from note where at < %s", [today - timedelta(days=raw_days)])
    await connection.execute("delete from notice where at < %s", [today - timedelta(days=hourly_days)])
    await connection.execute("delete from message where at < %s", [today - timedelta(days=chat_days)])
    await connection.execute("delete from linking where expires_at < now() - interval '1 day'")
    await connection.execute("delete from look where asked_at < now() - interval '1 day'")
    await connection.execute("delete from discovery where asked_at < now() - interval '30 days'")
    await connection.execute("delete from login_attempt where at < now() - interval '1 day'")
    await connection.execute("delete from session where created_at < now() - interval '7 days'")
    await connection.execute(
        "delete from batch where at < now() - interval '1 day' and (site_id, seq) not in"
        " (select site_id, max(seq) from batch group by site_id)"
    )
    return dropped


async def adopt(connection: AsyncConnection[Any]) -> int:
    """Make guests children of their nodes, where the node's machine says so. How many links were made or dropped."""
    cursor = await connection.execute(
        "select f.host_id, f.name, f.part, f.value from fact f join host h on h.id = f.host_id"
        " where h.adopts_guests and h.enabled and f.name = any(%s)",
        [list(guests.FACTS)],
    )
    told = [guests.Told(*row) for row in await cursor.fetchall()]
    if not told:
        return 0
    cursor = await connection.execute("select id, name from host")
    names = dict(await cursor.fetchall())
    cursor = await connection.execute("select host_id, parent_id from host_parent")
    found = guests.links(told, names, frozenset(await cursor.fetchall()))
    async with connection.transaction():
        for child, parent in found.add:
            await connection.execute("insert into host_parent values (%s, %s) on conflict do nothing", [child, parent])
        for child, parent in found.drop:
            await connection.execute("delete from host_parent where (host_id, parent_id) = (%s, %s)", [child, parent])
    return len(found.add) + len(found.drop)


class Load:
    """What watching costs the machine Pantau runs on, over the last minutes: shown, and judged by the others."""

    def __init__(self) -> None:
        self._late: deque[tuple[float, float]] = deque(maxlen=20_000)
        self._at, self._cpu = time.monotonic(), _cpu()
        self.looks = 0

    def round(self, late: float, looks: int) -> None:
        """One round was made, `late` seconds after it was due."""
        self._late.append((time.monotonic(), late))
        self.looks += looks

    def report(self) -> dict[str, Any]:
        """Lateness (s) of the last five minutes, share of one core since the last report, memory (MiB)."""
        now, cpu = time.monotonic(), _cpu()
        while self._late and self._late[0][0] < now - 300:
            self._late.popleft()
        late = sorted(value for _, value in self._late)
        share = (cpu - self._cpu) / max(now - self._at, 0.001)
        self._at, self._cpu = now, cpu
        return {
            "rounds": len(late),
            "late_p50": round(_at(late, 0.5), 3),
            "late_p99": round(_at(late, 0.99), 3),
            "late_max": round(late[-1], 3) if late else 0.0,
            "looks": self.looks,
            "cpu": round(share, 4),
            "memory_mib": round(_memory_mib(), 1),
        }


async def beat(connection: AsyncConnection[Any], role: str, data: dict[str, Any]) -> None:
    """Say that this process works."""
    await connection.execute(
        "insert into heartbeat (role, at, data) values (%s, now(), %s)"
        " on conflict (role) do update set at = excluded.at, data = excluded.data",
        [role, json.dumps(data)],
    )


class Chores:
    """The housekeeping of one poller, on a connection of its own."""

    def __init__(
        self, url: str, raw_days: int, hourly_days: int, audit_days: int | None = None, chat_days: int = 730
    ) -> None:
        self._url, self._raw_days, self._hourly_days, self._audit_days = url, raw_days, hourly_days, audit_days
        self._chat_days = chat_days
        self._connection: AsyncConnection[Any] | None = None
        self._rolled: datetime | None = None
        self._told_on: date | None = None
        self._turn = asyncio.Lock()  # transactions of two chores on one connection would end inside each other

    async def open(self) -> AsyncConnection[Any]:
        """The connection, made again where it broke. Raises psycopg.OperationalError."""
        if self._connection is None or self._connection.broken:
            self._connection = await self._connect()
        return self._connection

    async def _connect(self) -> AsyncConnection[Any]:
        return await AsyncConnection.connect(
            self._url, autocommit=True, connect_timeout=3, application_name="pantau chores"
        )

    async def hourly(self) -> None:
        """Roll up what came since the last run (or the last two hours), make partitions, drop what is old."""
        try:
            async with (
                await self._connect() as connection
            ):  # its own: a heartbeat must not wait for it, nor lie within it
                now = clock.now()
                await make_partitions(connection, now)
                await roll_up(connection, (self._rolled or now) - LATE, now)
                dropped = await retire(
                    connection, now.astimezone(UTC), self._raw_days, self._hourly_days, self._chat_days
                )
                await self._tend_the_audit(connection, now)
            if dropped:
                _log.info("Samples older than %d days were dropped: %s.", self._raw_days, ", ".join(dropped))
            self._rolled = now
        except psycopg.OperationalError:
            _log.debug("No housekeeping while PostgreSQL is away.", exc_info=True)

    async def _tend_the_audit(self, connection: AsyncConnection[Any], now: datetime) -> None:
        """Once a day: drop its rows that are older than they are kept, which is itself a row of it; and say where it stands.

        That goes on the log, which is kept elsewhere: rows cut off at the chain's end are missed by it.
        """
        if self._told_on == now.date():
            return
        if self._audit_days is not None:
            oldest = now - timedelta(days=self._audit_days)
            gone = await (await connection.execute("select audit_prune(%s)", [oldest])).fetchone()
            if gone is not None and gone[0]:
                _log.info("%d rows of the audit older than %d days were dropped.", gone[0], self._audit_days)
        last = await (await connection.execute("select audit_stands()")).fetchone()
        if last is not None and last[0]:
            _log.info("The audit stands at %s; check it with: pantau audit verify --checkpoint", last[0])
        self._told_on = now.date()

    async def adopt(self) -> None:
        """Guests become children; see `adopt`."""
        try:
            async with self._turn:
                changed = await adopt(await self.open())
            if changed:
                _log.info("%d links between guests and their nodes were changed.", changed)
        except psycopg.Error:
            _log.debug("No look at guests while PostgreSQL is away.", exc_info=True)

    async def acknowledged(self) -> set[str] | None:
        """Subjects somebody has in hand (R17), after those whose time has run out are given back; None if not to be had."""
        try:
            async with self._turn, (await self.open()).transaction():
                connection = await self.open()
                await connection.execute(RUN_OUT)
                rows = await (await connection.execute(IN_HAND)).fetchall()
            return {row[0] for row in rows}
        except psycopg.Error:
            _log.debug("No look at acknowledgements while PostgreSQL is away.", exc_info=True)
            return None

    def reach_back(self, moment: datetime) -> None:
        """Samples as old as `moment` are still coming in (the spool): the next run begins there."""
        self._rolled = min(self._rolled or moment, moment)

    async def heartbeat(self, data: dict[str, Any]) -> None:
        """The poller's heartbeat with its load; silence while PostgreSQL is away is what the others judge."""
        try:
            async with self._turn:
                await beat(await self.open(), "poller", data)
        except psycopg.OperationalError:
            _log.debug("No heartbeat while PostgreSQL is away.", exc_info=True)


def _at(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _memory_mib() -> float:
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * resource.getpagesize() / 2**20
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
