"""The web's way to the audit: who is behind a request, and what it did beside changing what people edit."""

from __future__ import annotations

from typing import Any

from flask import Flask, g, has_request_context, request

from domain import audit
from domain.audit import Actor
from domain.inventory import Person
from webui import store


def install(app: Flask) -> None:
    """Let every transaction of a request say who makes it."""
    audit.attend(app.extensions["sessions"], actor)


def actor() -> Actor:
    """Whoever is behind this request; outside of one the program itself."""
    if not has_request_context():
        return Actor()
    someone = g.get("person")
    return Actor(
        someone.id if someone is not None else None,
        someone.name if someone is not None else "",
        f"{request.remote_addr or ''}{_program()}"[:120],
    )


def _program() -> str:
    """The token a program came in with, as its person knows it."""
    token = g.get("token")
    return f" token {token.hint}" if token is not None else ""


def note(what: str, on: str = "", *, by: Person | None = None, **detail: Any) -> None:
    """One row, written when this request commits; `by` where it is not whoever is logged in. Never a secret in `detail`."""
    id, name = (by.id, by.name) if by is not None else (None, "")
    audit.write(store.session(), what, person_id=id, person=name, on=on, detail=detail)


def seldom(what: str, on: str, seconds: float = 60, **detail: Any) -> None:
    """As `note`, but at most one such row in so many seconds: for what a stranger can repeat at will."""
    audit.write_seldom(store.session(), what, on=on, seconds=seconds, detail=detail)


def note_now(what: str, on: str = "", **detail: Any) -> None:
    """One row, committed before anything else happens: for what reads and changes nothing, such as an export."""
    note(what, on, **detail)
    store.session().commit()
