"""People, for programs: who you are, who there is, and the tokens that act for you.

People are made, invited, changed and switched off here too. What would let a stolen token outlive itself is not: no link
and no password is ever answered (an invitation goes by mail), nobody is made an administrator, and administrators are
changed by a person in a browser who shows who they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Literal

from flask import abort, g, url_for
from pydantic import AfterValidator, Field
from sqlalchemy import select
from sqlalchemy.orm import selectinload

from domain import leaving
from domain.inventory import Division, Membership
from domain.inventory import Person as Row
from domain.rights import Right
from domain.tokens import ACCOUNT, ApiToken
from webui import access, bearer, letters, profile, staff, store
from webui.addresses import ODD
from webui.api.layer import Made, Routes
from webui.api.problems import Refusal
from webui.api.shapes import Id, Model, Named, Page, Paged, after, page
from webui.language import gettext

routes = Routes("People")


def _login(text: str) -> str:
    if not staff.LOGIN.fullmatch(text):
        raise ValueError("takes at most 63 small letters, digits, and . _ @ + -, beginning with a letter or digit")
    return text


def _plain(text: str) -> str:
    if ODD.search(text):
        raise ValueError("holds characters that cannot be seen")
    return text.strip()


def _called(text: str) -> str:
    if not _plain(text):
        raise ValueError("needs at least one character")
    return _plain(text)


def _fits(form: re.Pattern[str], said: str) -> Callable[[str], str]:
    def judge(text: str) -> str:
        if text and not form.fullmatch(text):
            raise ValueError(said)
        return text

    return judge


Called = Annotated[str, AfterValidator(_called), Field(max_length=100)]
Mail = Annotated[
    str, AfterValidator(_fits(profile.MAIL, "looks like name@example.com, or is empty")), Field(max_length=254)
]
Phone = Annotated[
    str, AfterValidator(_fits(profile.PHONE, "looks like +62 812 3456 7890, or is empty")), Field(max_length=100)
]


class PlaceOf(Model):
    """What somebody is in a division."""

    division: Named
    role: str


class Person(Model):
    """Somebody who can log in, and what they are."""

    id: int
    login: str
    name: str
    position: str
    email: str
    phone: str
    role: str
    active: bool
    created_at: datetime
    divisions: list[PlaceOf]


Role = Literal["none", "viewer", "approver", "operator"]
Part = Literal["pic", "deputy", "operator", "approver", "staff", "viewer"]


class Seat(Model):
    """What somebody is to be in a division, by its number."""

    division: Id
    role: Part


class About(Model):
    """Who somebody is. Only what is sent changes; `divisions` is everything they are in divisions from then on."""

    name: Called | None = None
    position: Annotated[str, AfterValidator(_plain), Field(max_length=100)] | None = None
    email: Mail | None = None
    phone: Phone | None = None
    role: Role | None = None
    divisions: Annotated[list[Seat], Field(max_length=500)] | None = None


class Newcomer(About):
    """Somebody new. With `invite` a link goes to `email` at once, by which they choose a password within seven days."""

    login: Annotated[str, AfterValidator(_login)]
    name: Called
    invite: bool = False


class Changes(About):
    """What is to change of somebody. `active` false ends everything of theirs at once."""

    active: bool | None = None


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


@routes.post("/people", Right.ADMIN, grave=True)
def make(body: Newcomer) -> Made[Person]:
    """Somebody new, without a password: they choose one by an invitation, or log in elsewhere."""
    if store.session().scalar(select(Row.id).where(Row.login == body.login)) is not None:
        raise Refusal(409, gettext("Somebody has this name to log in with already."), pointer="#/login")
    row = Row(login=body.login, name=body.name, password_hash="", role="none", memberships=[])
    store.session().add(row)
    _take(row, body)
    store.session().flush()
    if body.invite:
        _invite(row)
    return Made(_now(row), url_for("api.people_show", person_id=row.id))


@routes.patch("/people/{person_id}", Right.ADMIN, row=Row, now=show, grave=True)
def change(person_id: int, body: Changes) -> Person:
    """Change what is sent; whoever is switched off is out of everything at once."""
    row = _other(person_id)
    _take(row, body)
    if body.active is not None:
        row.active = body.active
    store.session().flush()
    if not row.active:
        leaving.close(store.session(), row.id)
    return _now(row)


@routes.post("/people/{person_id}/invitation", Right.ADMIN, row=Row, now=show, grave=True)
def invite(person_id: int) -> Person:
    """Send somebody who has no password yet a new invitation by mail; the one before opens nothing any more."""
    row = _other(person_id)
    if not row.active:
        raise Refusal(409, gettext("Somebody who may not log in gets no link."))
    _invite(row)
    return _now(row)


def _other(person_id: int) -> Row:
    """Somebody a program may change: no administrator."""
    found = store.session().get(Row, person_id)
    if found is None:
        abort(404)
    if found.role == "admin":
        raise Refusal(409, gettext("Administrators are changed on a page, by somebody who shows who they are."))
    return found


def _take(row: Row, body: About) -> None:
    """Take over what is sent."""
    told = body.model_dump(exclude_unset=True, include={"name", "position", "email", "phone", "role"})
    told = {name: value for name, value in told.items() if value is not None}
    if "email" in told and told["email"] != row.email:
        row.email_sure = bool(told["email"])
    for name, value in told.items():
        setattr(row, name, value)
    if body.divisions is not None:
        wanted = {one.division for one in body.divisions}
        known = set(store.session().scalars(select(Division.id).where(Division.id.in_(wanted))))
        for number, one in enumerate(body.divisions):
            if one.division not in known:
                raise Refusal(422, gettext("There is no such division."), pointer=f"#/divisions/{number}/division")
        with store.session().no_autoflush:
            staff.seat(row, {(one.division, one.role) for one in body.divisions})
    store.announce("inventory")


def _invite(row: Row) -> None:
    """By mail alone: a link in an answer would lie about, and open."""
    if row.password_hash:
        raise Refusal(409, gettext("They have a password already. A link for another one is made on their page."))
    if not row.email or letters.channel() is None:
        raise Refusal(
            409,
            gettext("An invitation goes by mail: it takes an e-mail address, and a mail server among the channels."),
        )
    if not staff.linked(row)[2]:
        raise Refusal(409, gettext("The invitation could not be written; is the notifier's key there?"))


def _now(row: Row) -> Person:
    """Somebody as they are after a change."""
    store.session().flush()
    store.session().expire(row, ["memberships"])
    return _person(row)


def _person(row: Row) -> Person:
    places = sorted(row.memberships, key=lambda one: (one.division.name, one.role))
    return Person(
        id=row.id, login=row.login, name=row.name, position=row.position, email=row.email, phone=row.phone, role=row.role, active=row.active, created_at=row.created_at,
        divisions=[PlaceOf(division=Named(id=one.division.id, name=one.division.name), role=one.role) for one in places],
    )  # fmt: skip


def _token(row: ApiToken) -> Token:
    return Token(
        id=row.id, name=row.name, hint=row.hint, scopes=list(row.scopes), created_at=row.created_at,
        expires_at=row.expires_at, used_at=row.used_at, used_from=row.used_from,
    )  # fmt: skip
