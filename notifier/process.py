"""One notifier process: judges, from outside the poller, whether the poller still works."""

from __future__ import annotations

import json
import logging
import signal
import threading

from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from config import database
from config.settings import Settings

_log = logging.getLogger("notifier")
EVERY = 5.0
SILENT_AFTER = 30.0
"""Seconds without a heartbeat, which comes every five, after which the poller counts as silent."""


def run(settings: Settings) -> int:
    """Watch until told to stop."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    engine = database.engine(database.url(settings.database_url, settings.sockets), size=1, name="pantau notifier")
    silent, away = False, False
    stop.wait(SILENT_AFTER)  # after a pause of the whole installation the poller has a right to start first
    while not stop.is_set():
        try:
            silent, away = _look(engine, silent), False
        except DBAPIError as error:
            if not away:
                _log.error("PostgreSQL is away (%s).", str(error.orig).strip().split("\n")[0])
            away = True
        stop.wait(EVERY)
    engine.dispose()
    return 0


def _look(engine: Engine, was_silent: bool) -> bool:
    """One look at the poller's heartbeat, our own beside it; whether it is silent. Logs on transition."""
    with engine.begin() as connection:
        row = connection.execute(
            text("select at, extract(epoch from now() - at)::float8 as age from heartbeat where role = 'poller'")
        ).one_or_none()
        silent = row is not None and row.age > SILENT_AFTER
        data = {"poller_silent_since": row.at.isoformat() if silent and row is not None else None}
        connection.execute(
            text(
                "insert into heartbeat (role, at, data) values ('notifier', now(), cast(:data as jsonb))"
                " on conflict (role) do update set at = excluded.at, data = excluded.data"
            ),
            {"data": json.dumps(data)},
        )
    if silent and not was_silent:
        _log.error("The poller has been silent for %.0f s.", row.age if row else 0)
    elif was_silent and not silent:
        _log.warning("The poller works again.")
    return silent
