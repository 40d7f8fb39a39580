"""People, for programs: who you are, who there is, and the tokens that act for you.

What gives rights, passwords or tokens is done by a person in a browser who shows who they are.
"""

from __future__ import annotations

from datetime import datetime

from flask import abort, g
from sqlalchemy import select
from sqlalchemy.orm import selectinload

from domain.inventory import Membership
from domain.inventory import Person as Row
from domain.rights import Right
from domain.tokens import ACCOUNT, ApiToken
from webui import access, bearer, store
from webui.api.layer import Routes
from webui.api.shapes import Model, Named, Page, Paged, after, page

routes = Routes("People")


class PlaceOf(Model):
    """What somebody is in a division."""

    division: Named
    role: str


class Person(Model):
    """Somebody who can log in, and what they are."""

    id: int
    login: str
    name: str
    role: str
    active: bool
    created_at: datetime
    divisions: list[PlaceOf]


class Me(Person):
    """You; `rights` are what this very request may do at most, with any machine at all."""

    rights: list[str]


class Token(Model):
    """One of your tokens; it is not shown again. `hint` are its first characters."""

    id: int
    name: str
    hint: str
    scopes: list[str]
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None
    used_from: str


class Tokens(Model):
    """Those that still open something."""

    items: list[Token]


@routes.get("/me", None)
def me() -> Me:
    """Who you are, and what you may do by this token."""
    return Me(
        **_person(access.person()).model_dump(),
        rights=[right.value for right in Right if access.anywhere(right)],
    )


@routes.get("/me/tokens", None)
def tokens() -> Tokens:
    """Your tokens; by a token without the scope `admin` this very one alone."""
    return Tokens(items=[_token(row) for row in bearer.alive(store.session(), access.person().id) if _reaches(row)])


@routes.delete("/me/tokens/{token_id}", None)
def revoke(token_id: int) -> None:
    """Revoke one of your tokens; this very one, too. A token without the scope `admin` revokes itself alone."""
    own = select(ApiToken).where(ApiToken.id == token_id, ApiToken.person_id == access.person().id)
    row = store.session().scalar(own.where(ApiToken.revoked_at.is_(None)).with_for_update())
    if row is None or not _reaches(row):
        abort(404)
    bearer.revoke(store.session(), row)


@routes.get("/people", Right.ADMIN)
def index(query: Paged) -> Page[Person]:
    """Everybody who can log in, or could."""
    wanted = select(Row).where(Row.id > after(query.cursor)).order_by(Row.id).limit(query.limit + 1)
    loaded = selectinload(Row.memberships).selectinload(Membership.division)
    return page(list(store.session().scalars(wanted.options(loaded))), query.limit, lambda one: one.id, _person)


@routes.get("/people/{person_id}", Right.ADMIN)
def show(person_id: int) -> Person:
    """One of them."""
    found = store.session().get(Row, person_id)
    if found is None:
        abort(404)
    return _person(found)


def _reaches(row: ApiToken) -> bool:
    """Whether this request may know of this token of its person, and end it."""
    shown: ApiToken | None = g.get("token")
    return shown is None or shown.id == row.id or ACCOUNT in shown.scopes


def _person(row: Row) -> Person:
    places = sorted(row.memberships, key=lambda one: (one.division.name, one.role))
    return Person(
        id=row.id, login=row.login, name=row.name, role=row.role, active=row.active, created_at=row.created_at,
        divisions=[PlaceOf(division=Named(id=one.division.id, name=one.division.name), role=one.role) for one in places],
    )  # fmt: skip


def _token(row: ApiToken) -> Token:
    return Token(
        id=row.id, name=row.name, hint=row.hint, scopes=list(row.scopes), created_at=row.created_at,
        expires_at=row.expires_at, used_at=row.used_at, used_from=row.used_from,
    )  # fmt: skip
