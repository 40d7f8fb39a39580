"""Between the password and the second factor: who is half in, known by a random token in the browser."""

from __future__ import annotations

import secrets
from datetime import timedelta

from sqlalchemy import delete, select
from werkzeug.wrappers import Response

from domain import fingerprint
from domain.clock import now
from domain.identity import HalfLogin
from domain.inventory import Person
from webui import cookies, store

KEPT = timedelta(minutes=10)
COOKIE = "half"


def begin(answer: Response, someone: Person) -> None:
    """The password of `someone` was right. Commits."""
    database, token = store.session(), secrets.token_urlsafe(32)
    database.execute(delete(HalfLogin).where(HalfLogin.began_at < now() - KEPT))
    database.add(HalfLogin(id=fingerprint.of(token), person_id=someone.id))
    database.commit()
    cookies.put(answer, COOKIE, token, int(KEPT.total_seconds()))


def person() -> Person | None:
    """Who is half in with this browser."""
    token = cookies.read(COOKIE)
    if not token:
        return None
    return store.session().scalar(
        select(Person)
        .join(HalfLogin, HalfLogin.person_id == Person.id)
        .where(HalfLogin.id == fingerprint.of(token), HalfLogin.began_at > now() - KEPT, Person.active)
    )


def end(answer: Response) -> None:
    """No longer half in; in the caller's transaction."""
    store.session().execute(delete(HalfLogin).where(HalfLogin.id == fingerprint.of(cookies.read(COOKIE))))
    cookies.drop(answer, COOKIE)
