"""One database session a request: opened at first use, closed at the end, never shared."""

from __future__ import annotations

import secrets
from typing import Any

from flask import Flask, current_app, g, has_app_context
from sqlalchemy import Connection, Engine, event, func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from config.database import sessions
from config.settings import Settings
from domain.inventory import Setting

HOUSE = 0
"""Who asks where no person does, and all of it is to be read: a job that calls, a scraper with its token."""


def install(app: Flask, engine: Engine) -> None:
    """Let every request of `app` open its session on `engine`."""
    made = sessions(engine)
    event.listen(made, "after_begin", _introduce)
    app.extensions["sessions"] = made
    app.teardown_appcontext(_close)


def ask_as(person_id: int) -> None:
    """From now on this request reads what this person may, in this and every later transaction; HOUSE: everything.

    PostgreSQL keeps to it (migrations/versions/0025), whatever a query forgets to say.
    """
    g.asks = person_id
    opened: Session | None = g.get("database")
    if opened is not None and opened.in_transaction():
        _introduce(opened, None, opened.connection())


def _introduce(_session: Session, _transaction: object, connection: Connection) -> None:
    """Tell PostgreSQL who asks, for this transaction; nobody, and nothing is theirs, until somebody is known."""
    if has_app_context() and "asks" in g:
        connection.execute(text("select set_config('pantau.person', :who, true)"), {"who": str(g.asks)})


def session() -> Session:
    """The session of this request. What is not committed is rolled back at its end."""
    if "database" not in g:
        g.database = current_app.extensions["sessions"]()
    opened: Session = g.database
    return opened


def settings() -> Settings:
    """The installation's settings."""
    own: Settings = current_app.config["PANTAU"]
    return own


def announce(channel: str, payload: str = "") -> None:
    """Tell whoever listens in the other rooms, at commit: `inventory` changed, or a look was `asked`."""
    session().execute(select(func.pg_notify(channel, payload)))


def setting(key: str) -> dict[str, Any] | None:
    """One installation-wide value, or None."""
    return session().scalar(select(Setting.value).where(Setting.key == key))


def cookie_key() -> bytes:
    """The installation's key for signing what browsers keep; made at first use, the same in every process."""
    kept: bytes | None = current_app.extensions.get("cookie_key")
    if kept is None:
        kept = current_app.extensions["cookie_key"] = _cookie_key()
    return kept


def _cookie_key() -> bytes:
    fresh = {"hex": secrets.token_hex(32)}
    with current_app.extensions["sessions"]() as own:
        own.execute(insert(Setting).values(key="cookie_key", value=fresh).on_conflict_do_nothing())
        own.commit()
        stored = own.scalar(select(Setting.value).where(Setting.key == "cookie_key"))
    return bytes.fromhex(stored["hex"])


def _close(_error: BaseException | None) -> None:
    opened: Session | None = g.pop("database", None)
    if opened is not None:
        opened.close()
