"""One notifier process: judges, from outside the poller, whether the poller still works."""

from __future__ import annotations

import logging
import signal
import threading

from sqlalchemy.exc import DBAPIError

from config import database
from config.settings import Settings
from notifier import watch

_log = logging.getLogger("notifier")
EVERY = 5.0


def run(settings: Settings) -> int:
    """Watch until told to stop."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    engine = database.engine(database.url(settings.database_url, settings.sockets), size=1, name="pantau notifier")
    away, started = False, None
    while not stop.is_set():
        try:
            with engine.begin() as connection:
                started = started or watch.moment(connection)
                _log_turn(watch.look(connection, settings.interval, started))
            away = False
        except DBAPIError as error:
            if not away:
                _log.error("PostgreSQL is away (%s).", str(error.orig).strip().split("\n")[0])
            away = True
        stop.wait(EVERY)
    engine.dispose()
    return 0


def _log_turn(heard: watch.Heard) -> None:
    if heard.notice is None:
        return
    if heard.notice.kind == "poller_silent":
        _log.error("Nobody looks: the poller has been silent since %s.", heard.silent_since)
    else:
        _log.warning("The poller works again.")
