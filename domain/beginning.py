"""The first minutes of an installation: the one-time token, and the machine Pantau itself runs on."""

from __future__ import annotations

import secrets
import uuid

from sqlalchemy import select
from sqlalchemy.orm import Session

from domain import fingerprint
from domain.clock import now
from domain.inventory import Check, Host, Person, Setting

TOKEN = "setup_token"  # noqa: S105 - the name of a setting
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"


def offer_token(session: Session) -> str | None:
    """A new one-time token for the first account, its hash stored; None once somebody has an account."""
    if session.scalar(select(Person.id).limit(1)) is not None:
        return None
    token = "-".join("".join(secrets.choice(_ALPHABET) for _ in range(5)) for _ in range(4))
    value = {"sha256": fingerprint.of(token), "made_at": now().isoformat()}
    session.merge(Setting(key=TOKEN, value=value))
    return token


def token_is_right(session: Session, token: str) -> bool:
    """Whether this is the token last offered, and nobody has an account yet. Constant time in the token."""
    stored = session.get(Setting, TOKEN)
    if stored is None or session.scalar(select(Person.id).limit(1)) is not None:
        return False
    given = fingerprint.of(token.strip().lower())
    return secrets.compare_digest(given, str(stored.value.get("sha256", "")))


def prepare(session: Session, machine: str, local: bool) -> None:
    """On a new database: an identity, a key for cookies, and this machine as the first one watched.

    `local` says whether this version can look at its own machine from within (the `local` probe).
    """
    if session.get(Setting, "installation") is not None:
        return
    session.add(Setting(key="installation", value={"id": str(uuid.uuid4()), "made_at": now().isoformat()}))
    session.add(Setting(key="cookie_key", value={"hex": secrets.token_hex(32)}))
    host = Host(name=machine, address="127.0.0.1", note="The machine Pantau runs on.")
    host.checks.append(Check(kind="icmp", name="ping"))
    if local:
        host.checks.append(Check(kind="local", name="system"))  # where pings are not allowed, this still says it is up
    session.add(host)
