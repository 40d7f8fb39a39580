"""Logins for watched machines, for programs: secrets go in, and nothing ever brings one out."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from flask import abort, url_for
from pydantic import Field
from sqlalchemy import select

from domain.inventory import Check, Host
from domain.inventory import Credential as Row
from domain.rights import Right
from webui import logins, store
from webui.api.layer import Made, Routes
from webui.api.problems import Refusal, Wrong
from webui.api.shapes import Line, Model, Named, Page, Paged, after, page
from webui.draft import LONGEST_SECRET, Draft
from webui.written import Name

routes = Routes("Credentials")
SORTS = {"login": ("password", "ssh_key"), "snmp": ("snmp_v3", "community")}
Secret = Annotated[str, Field(max_length=LONGEST_SECRET, json_schema_extra={"writeOnly": True})]


class NewLogin(Model):
    """A login: a user with a password or a private key; with `sort` snmp a community, or a user of version 3.

    `password` is the authentication password there, `passphrase` the one for privacy, or what a private key is locked with.
    """

    name: Name
    sort: Literal["login", "snmp"] = "login"
    username: Line = ""
    password: Secret = ""
    private_key: Secret = ""
    passphrase: Secret = ""


class Changed(Model):
    """What is to change: its name, or all of the login with its secret."""

    name: Name = Field(default_factory=str)
    username: Line | None = None
    password: Secret = ""
    private_key: Secret = ""
    passphrase: Secret = ""


class Credential(Model):
    """A login as far as it is told: what for, never what it is. `used_by` are the machines whose checks log in with it.

    `fetched_from` says where the poller fetches its secret, if it is not kept here; `public_key` is the half to give away.
    """

    id: int
    name: str
    kind: str
    username: str
    source: str
    fetched_from: str
    public_key: str
    created_at: datetime
    changed_at: datetime
    last_used_at: datetime | None
    used_by: list[Named]


@routes.get("/credentials", Right.ADMIN)
def index(query: Paged) -> Page[Credential]:
    """All of them, with where they are used."""
    wanted = select(Row).where(Row.id > after(query.cursor)).order_by(Row.id).limit(query.limit + 1)
    rows = list(store.session().scalars(wanted))
    used = _used([row.id for row in rows])
    return page(rows, query.limit, lambda one: one.id, lambda one: _told(one, used))


@routes.get("/credentials/{credential_id}", Right.ADMIN)
def show(credential_id: int) -> Credential:
    """One of them."""
    row = _row(credential_id)
    return _told(row, _used([row.id]))


@routes.post("/credentials", Right.ADMIN, grave=True)
def make(body: NewLogin) -> Made[Credential]:
    """Store a login."""
    _free(body.name, None)
    login = _login(body, SORTS[body.sort])
    if login is None:
        raise Refusal(422, "Please tell the user name and the secret to log in with.", pointer="#/username")
    row = logins.keep(login, body.name)
    store.session().flush()
    return Made(_told(row, {}), url_for("api.credentials_show", credential_id=row.id))


@routes.patch("/credentials/{credential_id}", Right.ADMIN, row=Row, now=show, grave=True)
def change(credential_id: int, body: Changed) -> Credential:
    """Rename it, or replace the login it holds."""
    row = _row(credential_id)
    name = body.name or row.name
    _free(name, row)
    if body.username is not None or body.password or body.private_key or body.passphrase:
        sort = next(kinds for kinds in SORTS.values() if row.kind in kinds)
        login = _login(body, sort)
        if login is None:
            raise Refusal(422, "A new login comes with its secret.", pointer="#/password")
        logins.keep(login, name, row)
    row.name = name
    store.announce("inventory")
    store.session().flush()
    return _told(row, _used([row.id]))


@routes.delete("/credentials/{credential_id}", Right.ADMIN, row=Row, now=show, grave=True)
def delete(credential_id: int) -> None:
    """Remove it; 409 while a check logs in with it."""
    row = _row(credential_id)
    if _used([row.id]):
        raise Refusal(409, "A check logs in with it; give that check another one first.")
    store.session().delete(row)


def _login(body: NewLogin | Changed, kinds: tuple[str, ...]) -> logins.Login | None:
    """The login as the page reads it, with the page's own judgement."""
    typed = {name: getattr(body, name) or "" for name in logins.NAMES}
    draft = Draft(typed)
    login = logins.ask(draft, kinds=kinds)
    wrongs = [
        Wrong(detail=draft[name].wrong, pointer=f"#/{name}")
        for name in logins.NAMES
        if name in draft and draft[name].wrong
    ]
    if wrongs:
        raise Refusal(422, wrongs[0].detail, errors=wrongs)
    return login


def _free(name: str, row: Row | None) -> None:
    with store.session().no_autoflush:
        found = store.session().scalar(select(Row.id).where(Row.name == name))
    if found is not None and (row is None or found != row.id):
        raise Refusal(409, "Another credential has this name. Choose another one.", pointer="#/name")


def _used(ids: list[int]) -> dict[int, list[Named]]:
    rows = store.session().execute(
        select(Check.credential_id, Host.id, Host.name)
        .join(Host, Host.id == Check.host_id)
        .where(Check.credential_id.in_(ids))
        .distinct()
        .order_by(Host.name)
    )
    found: dict[int, list[Named]] = {}
    for credential, id, name in rows:
        found.setdefault(credential or 0, []).append(Named(id=id, name=name))
    return found


def _told(row: Row, used: dict[int, list[Named]]) -> Credential:
    return Credential(
        id=row.id, name=row.name, kind=row.kind, username=row.username, source=row.source,
        fetched_from=row.fetched_from, public_key=row.public_key, created_at=row.created_at,
        changed_at=row.changed_at, last_used_at=row.last_used_at, used_by=used.get(row.id, []),
    )  # fmt: skip


def _row(credential_id: int) -> Row:
    found = store.session().get(Row, credential_id)
    if found is None:
        abort(404)
    return found
