"""/readyz: whether this installation can do its work now, with the reason where it cannot."""

from __future__ import annotations

from collections.abc import Callable

from flask import Blueprint, Response, jsonify
from sqlalchemy import text
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from config import migrate
from domain.clock import now
from webui import access, store, watched

blueprint = Blueprint("ready", __name__)


@blueprint.get("/readyz")
@access.public
def readyz() -> tuple[Response, int]:
    """200 while everything works that pages and alarms need, else 503; each part with a sentence where it does not."""
    parts: dict[str, str] = {}
    for name, judge in (("database", _database), ("migrations", _migrations), ("poller", _poller)):
        parts[name] = _judged(judge) if not parts.get("database") else "The database is away, so nobody can tell."
    ready = not any(parts.values())
    told = {name: {"ready": not wrong, "detail": wrong} for name, wrong in parts.items()}
    return jsonify(ready=ready, parts=told), 200 if ready else 503


def _judged(judge: Callable[[], str]) -> str:
    try:
        return judge()
    except (OperationalError, InterfaceError, PoolTimeout):
        return "The database does not answer."


def _database() -> str:
    store.session().execute(text("select 1"))
    return ""


def _migrations() -> str:
    at = store.session().scalar(text("select version_num from alembic_version"))
    if at == migrate.newest():
        return ""
    return "The database's tables are not those of this version. Run: pantau db upgrade"


def _poller() -> str:
    pulse = watched.pulse(store.session(), now())
    if not pulse.silent:
        return ""
    return "The poller has not been heard of for 30 seconds." if pulse.at else "No poller has ever been heard of."
