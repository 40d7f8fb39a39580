"""When disks will be full, reckoned once a day from the hourly roll-ups, never in a request."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import psycopg
from psycopg import AsyncConnection

from domain import clock
from domain.forecast import FILLING, Forecast, forecast

_log = logging.getLogger("poller")
DAYS = 60
"""Looked back."""
EVERY = timedelta(hours=24)
AT_ONCE = 20
"""Machines whose past is read at once."""

Key = tuple[int, int, str, str]
"""A machine, a check, a measure, a part."""

PAST = """
select c.host_id, h.check_id, one.name, one.part, date_bin('6 hours', h.ts, 'epoch') as at, avg(one.x)
from roll_1h h join host_check c on c.id = h.check_id join metric_set s on s.id = h.set_id
cross join unnest(s.names, s.parts, h.vavg) as one(name, part, x)
where c.host_id = any(%(hosts)s) and h.ts >= %(begin)s and s.names && %(names)s
  and one.name = any(%(names)s) and one.x is not null
group by 1, 2, 3, 4, 5 order by at
"""


async def past(
    connection: AsyncConnection[Any], hosts: Sequence[int], now: datetime
) -> dict[Key, list[tuple[datetime, float]]]:
    """What filled up how far, each six hours, by machine, check, measure and part."""
    given = {"hosts": list(hosts), "begin": now - timedelta(days=DAYS), "names": list(FILLING)}
    cursor = await connection.execute(PAST, given)
    found: dict[Key, list[tuple[datetime, float]]] = defaultdict(list)
    for host, check, name, part, at, value in await cursor.fetchall():
        found[host, check, name, part].append((at, float(value)))
    return found


def reckon(seen: Mapping[Key, Sequence[tuple[datetime, float]]], now: datetime) -> dict[Key, Forecast]:
    """Of what was seen, what deserves a forecast."""
    told = {key: forecast(points, now) for key, points in seen.items()}
    return {key: one for key, one in told.items() if one is not None}


async def renew(connection: AsyncConnection[Any], now: datetime) -> int:
    """Reckon all machines anew; how many forecasts there are now."""
    cursor = await connection.execute("select id from host where enabled order by id")
    hosts, count = [row[0] for row in await cursor.fetchall()], 0
    await connection.execute("delete from forecast where not host_id = any(%s)", [hosts])
    for start in range(0, len(hosts), AT_ONCE):
        some = hosts[start : start + AT_ONCE]
        found = await asyncio.to_thread(reckon, await past(connection, some, now), now)
        async with connection.transaction(), connection.cursor() as pen:
            await pen.execute("delete from forecast where host_id = any(%s)", [some])
            await pen.executemany(
                "insert into forecast (host_id, check_id, measure, part, made_at, used, per_day, days, full_at, earliest,"
                " latest) values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
                [(*key, now, f.used, f.per_day, f.days, f.full_at, f.earliest, f.latest) for key, f in found.items()],
            )
        count += len(found)
        await asyncio.sleep(0.5)
    return count


class Forecasts:
    """The daily reckoning, on a connection of its own."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._made: datetime | None = None

    async def work(self) -> None:
        """Reckon where the last reckoning is a day old. Silence while PostgreSQL is away."""
        now = clock.now()
        if self._made is not None and now - self._made < EVERY:
            return
        try:
            async with await AsyncConnection.connect(
                self._url, autocommit=True, connect_timeout=3, application_name="pantau forecasts"
            ) as connection:
                await renew(connection, now)
            self._made = now
        except psycopg.Error:
            _log.debug("No forecasts while PostgreSQL is away.", exc_info=True)
