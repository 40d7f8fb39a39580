"""Tokens with which programs come in a person's name: made, recognised, ended. What is kept opens nothing."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Collection
from datetime import timedelta
from typing import Any

from flask import g, request
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from domain import audit
from domain.clock import now
from domain.inventory import Person
from domain.tokens import LASTS, LONGEST, PREFIX, SCOPES, ApiToken, reach
from webui import store

PATHS = ("/api/",)
"""Where a token opens anything: what people press in pages is theirs alone."""
USED_EVERY = timedelta(minutes=1)
HINT = 6
MOST = 50
"""So many living tokens one person may have."""
LONGEST_NAME = 100
SHAPE = re.compile(rf"{PREFIX}[A-Za-z0-9_-]{{43}}")


class Refused(ValueError):
    """No token is made; the message is one sentence."""


def make(
    session: Session, person: Person, name: str, scopes: Collection[str], lasts: timedelta = LASTS, source: str = ""
) -> tuple[ApiToken, str]:
    """A new token of `person`, in the caller's transaction: its row, and the token itself, which nobody sees again."""
    if not name.strip() or len(name) > LONGEST_NAME or any(ord(c) < 32 for c in name):
        raise Refused(f"A token has a name of at most {LONGEST_NAME} characters that says what it is for.")
    unknown = sorted(set(scopes) - set(SCOPES))
    if unknown or not scopes:
        raise Refused(f"A token is for at least one of {', '.join(SCOPES)}.")
    if not timedelta(0) < lasts <= LONGEST:
        raise Refused(f"A token lasts at most {LONGEST.days} days.")
    session.execute(select(Person.id).where(Person.id == person.id).with_for_update())
    if len(alive(session, person.id)) >= MOST:
        raise Refused(f"You have {MOST} tokens; revoke one that is no longer used.")
    token = PREFIX + secrets.token_urlsafe(32)
    row = ApiToken(
        person_id=person.id,
        name=name.strip(),
        hash=digest(token),
        hint=token.removeprefix(PREFIX)[:HINT],
        scopes=[scope for scope in SCOPES if scope in scopes],
        expires_at=now() + lasts,
        source=source[:60],
    )
    session.add(row)
    session.flush()
    audit.write(session, "token.made", on=f"token:{row.id}", detail=_about(row))
    return row, token


def alive(session: Session, person_id: int) -> list[ApiToken]:
    """The tokens of a person that still open something, newest first."""
    own = select(ApiToken).where(ApiToken.person_id == person_id, ApiToken.revoked_at.is_(None))
    return list(session.scalars(own.where(ApiToken.expires_at > now()).order_by(ApiToken.id.desc())))


def revoke(session: Session, row: ApiToken) -> None:
    """It opens nothing any more, from the caller's commit on."""
    if row.revoked_at is None:
        row.revoked_at = now()
        audit.write(session, "token.revoked", on=f"token:{row.id}", detail=_about(row))


def shown() -> bool:
    """Whether this request comes with a token: then nothing else it carries counts, no cookie either."""
    scheme = request.headers.get("Authorization", "")[:7].lower()
    return scheme == "bearer " and request.path.startswith(PATHS)


def recognise() -> Person | None:
    """Who stands behind the token of this request; being used is written once a minute.

    Sets `g.token`, and `g.scope`: the rights it carries at most.
    """
    scheme, moment = request.authorization, now()
    token = scheme.token if scheme is not None and scheme.type == "bearer" else None
    if not token or not SHAPE.fullmatch(token):
        return None
    database = store.session()
    found = database.execute(
        select(ApiToken, Person)
        .join(Person, Person.id == ApiToken.person_id)
        .where(ApiToken.hash == digest(token), ApiToken.revoked_at.is_(None), ApiToken.expires_at > moment)
        .where(Person.active)
    ).one_or_none()
    if found is None:
        return None
    row, person = found
    if row.used_at is None or moment - row.used_at > USED_EVERY:
        used = {"used_at": func.now(), "used_from": (request.remote_addr or "")[:60]}
        database.execute(update(ApiToken).where(ApiToken.id == row.id).values(used))
        database.commit()
    g.token, g.scope = row, reach(row.scopes)
    recognised: Person = person
    return recognised


def _about(row: ApiToken) -> dict[str, Any]:
    """What the audit says of a token."""
    return {"name": row.name, "hint": row.hint, "scopes": row.scopes, "person": row.person_id}


def digest(token: str) -> bytes:
    """What is kept of a token. It is random in 256 bits: a plain hash cannot be guessed back."""
    return hashlib.sha256(token.encode()).digest()
