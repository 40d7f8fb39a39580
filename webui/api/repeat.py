"""Asked twice, done once: what was answered to an Idempotency-Key is kept for a day, and answered again."""

from __future__ import annotations

import hashlib
import re
from datetime import timedelta

from flask import Response, g, request
from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert

from domain.clock import now
from domain.tokens import Answered
from webui import access, store
from webui.api.problems import Refusal
from webui.language import gettext

HEADER = "Idempotency-Key"
REPLAYED = "Idempotent-Replayed"
KEPT = timedelta(hours=24)
KEY = re.compile(r"[\x21-\x7e]{1,200}")
HEADERS = ("Location", "ETag")


def begin() -> Response | Answered | None:
    """The answer this request got before; else the row that will hold it; None where it has no key.

    The row is written before anything is done and committed with it: whoever comes with the same key meanwhile waits
    for that commit, and is then given the answer.
    """
    key = request.headers.get(HEADER)
    if key is None:
        return None
    if not KEY.fullmatch(key):
        raise Refusal(400, gettext("An Idempotency-Key is 1 to 200 visible characters of ASCII."))
    owner, database = _owner(), store.session()
    database.execute(delete(Answered).where(Answered.at < now() - KEPT))
    made = database.execute(
        insert(Answered)
        .values(owner=owner, key=key, asked=_asked(), at=now())
        .on_conflict_do_nothing()
        .returning(Answered.key)
    ).scalar()
    own = select(Answered).where(Answered.owner == owner, Answered.key == key)
    row = database.scalars(own.execution_options(populate_existing=True)).one()
    if made is not None:
        return row
    if row.asked != _asked():
        raise Refusal(422, gettext("This Idempotency-Key was used for another request; choose a new one."))
    again = Response(row.body or b"", row.status or 200, headers=row.headers or {})
    again.headers[REPLAYED] = "true"
    database.rollback()
    return again


def keep(row: Answered | None, answer: Response) -> None:
    """Remember what was answered, in the transaction of what was done."""
    if row is None:
        return
    row.status, row.body = answer.status_code, answer.get_data()
    row.headers = {name: answer.headers[name] for name in HEADERS if name in answer.headers}
    if row.body:
        row.headers["Content-Type"] = answer.content_type
    store.session().flush()


def _owner() -> str:
    token = g.get("token")
    return f"token:{token.id}" if token is not None else f"person:{access.person().id}"


def _asked() -> bytes:
    """What this request is, in 32 bytes: an equal one is the same request."""
    parts = (request.method, request.full_path, request.mimetype, request.headers.get("If-Match", ""))
    return hashlib.sha256("\0".join(parts).encode() + b"\0" + request.get_data()).digest()
