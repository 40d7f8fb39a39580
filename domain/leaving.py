"""Somebody leaves: everything that lets them in, or leads to them, is closed at once."""

from __future__ import annotations

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from domain.identity import HalfLogin, Ticket
from domain.inventory import Session as Opened
from domain.recipients import Channel, Linking, Route
from domain.tokens import ApiToken

PUSH = "webpush"


def close(session: Session, person_id: int) -> None:
    """End sessions, logins half done, links, tokens for programs, push to browsers and every other way; not committed.

    Addresses stay, switched off, so that somebody who comes back switches them on again; a browser subscribes anew.
    """
    for table in (Opened, HalfLogin, Ticket, Linking, ApiToken):
        session.execute(delete(table).where(table.person_id == person_id))
    push = select(Channel.id).where(Channel.kind == PUSH)
    session.execute(delete(Route).where(Route.person_id == person_id, Route.channel_id.in_(push)))
    session.execute(update(Route).where(Route.person_id == person_id).values(enabled=False))
    session.execute(select(func.pg_notify("session", str(person_id))))
