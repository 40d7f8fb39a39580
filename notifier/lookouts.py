"""Calls the addresses that wait for us: as long as machines are looked at, and no longer (R9 from outside the house).

A process that lives proves nothing; so what is waited for is that the poller wrote results lately. Whoever runs the
address (a dead man's switch of another provider) alarms when the calls stop, whatever is broken here.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from psycopg import Connection
from psycopg.rows import dict_row
from psycopg_pool import ConnectionPool

from notifier.channels.base import Hops, Undelivered
from notifier.channels.road import way
from probes.base import Keep

_log = logging.getLogger("notifier")
DEADLINE = 10.0
"""Seconds a call may take."""
POLLED = """
select (not exists (select from host join host_check c on c.host_id = host.id and c.enabled where host.enabled)
 or exists (select from latest where ts > %(now)s - %(patience)s))
 and exists (select from heartbeat where role = 'poller' and at > %(now)s - interval '30 seconds')
"""


def call(pool: ConnectionPool[Connection[Any]], keep: Keep, now: datetime, interval: float) -> int:
    """Call what is due, if machines are being looked at; how many were reached. `interval` as the installation's."""
    with pool.connection() as connection, connection.cursor(row_factory=dict_row) as cursor:
        due = cursor.execute(
            "select id, name, url from lookout where enabled and (tried_at is null or"
            " tried_at <= %s - every * interval '1 second') order by id",
            [now],
        ).fetchall()
        if not due:
            return 0
        patience = timedelta(seconds=3 * interval + 10)
        polled = connection.execute(POLLED, {"now": now, "patience": patience}).fetchone()
        if polled is None or not polled[0]:
            return 0
    reached = 0
    for row in due:
        error = reach(row["url"], keep)
        reached += not error
        if error:
            _log.warning("The lookout %s was not reached: %s", row["name"], error)
        with pool.connection() as connection:
            connection.execute(
                "update lookout set tried_at = %(now)s, error = %(error)s,"
                " told_at = case when %(error)s = '' then %(now)s else told_at end where id = %(id)s",
                {"now": now, "error": error[:300], "id": row["id"]},
            )
    return reached


def reach(url: str, keep: Keep) -> str:
    """One call; empty where it was answered with yes, else a sentence."""
    try:
        with way(keep, Hops(), DEADLINE, listed=_own(url)) as road:
            answer = road.ask("GET", url, heard=False)
    except Undelivered as error:
        return str(error)
    return "" if answer.taken else f"It answered with {answer.status}."


def _own(url: str) -> tuple[str, ...]:
    """This machine, where whoever typed the address meant it: by its number, never by a name that may lead anywhere."""
    host = urlsplit(url).hostname or ""
    try:
        return (host,) if ip_address(host).is_loopback else ()
    except ValueError:
        return ()
