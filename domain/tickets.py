"""Links that open once: made by an administrator, by somebody who lost a password, or on the command line."""

from __future__ import annotations

import secrets
from datetime import timedelta

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from domain import fingerprint
from domain.clock import now
from domain.identity import Ticket
from domain.inventory import Person

LASTS = {"invite": timedelta(days=7), "reset": timedelta(minutes=30)}


def make(session: Session, person: Person, kind: str, made_by: int | None = None) -> str:
    """A new link's token (256 bits) for `person`, in the caller's transaction; an earlier link of theirs opens no more."""
    token, moment = secrets.token_urlsafe(32), now()
    session.execute(delete(Ticket).where((Ticket.person_id == person.id) | (Ticket.expires_at < moment)))
    session.add(
        Ticket(
            id=fingerprint.of(token),
            kind=kind,
            person_id=person.id,
            made_by=made_by,
            made_at=moment,
            expires_at=moment + LASTS[kind],
        )
    )
    return token


def find(session: Session, token: str, *, lock: bool = False) -> tuple[Ticket, Person] | None:
    """The link that `token` opens, while it lasts, and whose it is."""
    query = select(Ticket, Person).join(Person, Person.id == Ticket.person_id)
    query = query.where(Ticket.id == fingerprint.of(token), Ticket.expires_at > now(), Person.active)
    found = session.execute(query.with_for_update(of=Ticket) if lock else query).one_or_none()
    return (found[0], found[1]) if found else None


def end(session: Session, person_id: int) -> None:
    """No link of this person opens anything any more; in the caller's transaction."""
    session.execute(delete(Ticket).where(Ticket.person_id == person_id))
