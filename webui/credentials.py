"""Logins for watched machines: told what they are for and where they are used, never what they are."""

from __future__ import annotations

from dataclasses import dataclass, field

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from werkzeug.wrappers import Response

from domain.inventory import Check, Credential, Host
from webui import access, logins, store
from webui.draft import Draft
from webui.forms import Field
from webui.language import gettext, lazy_gettext

blueprint = Blueprint("credentials", __name__, url_prefix="/credentials")

KINDS = {
    "password": lazy_gettext("Password"),
    "ssh_key": lazy_gettext("SSH key"),
    "snmp_v3": lazy_gettext("SNMP user"),
    "community": lazy_gettext("SNMP community"),
}
SORTS = {"login": ("password", "ssh_key"), "snmp": ("snmp_v3", "community")}
"""What one form asks for: the kinds of credential its fields can become."""


@dataclass
class Row:
    """One credential and the machines whose checks log in with it."""

    credential: Credential
    hosts: list[Host] = field(default_factory=list)


@blueprint.get("")
@access.admin
def index() -> str:
    """All of them, with where they are used."""
    database = store.session()
    rows = {row.id: Row(row) for row in database.scalars(select(Credential).order_by(Credential.name))}
    used = select(Check.credential_id, Host).join(Host, Check.host_id == Host.id).distinct().order_by(Host.name)
    for credential_id, host in database.execute(used.where(Check.credential_id.is_not(None))):
        if credential_id in rows:
            rows[credential_id].hosts.append(host)
    return render_template("credentials/index.html", active="credentials.index", rows=list(rows.values()), kinds=KINDS)


@blueprint.route("/new", methods=["GET", "POST"])
@access.admin
def new() -> Response | str | tuple[str, int]:
    """Store a login."""
    return _work(None)


@blueprint.route("/<int:credential_id>", methods=["GET", "POST"])
@access.admin
def edit(credential_id: int) -> Response | str | tuple[str, int]:
    """Rename it, change its user, or replace its secret."""
    return _work(_credential(credential_id))


@blueprint.route("/<int:credential_id>/delete", methods=["GET", "POST"])
@access.admin
def delete(credential_id: int) -> Response | str | tuple[str, int]:
    """Ask once more, then delete; refused while a check logs in with it."""
    row, database = _credential(credential_id), store.session()
    hosts = _hosts(row)
    if request.method == "GET" or hosts:
        page = render_template("credentials/delete.html", active="credentials.index", row=row, hosts=hosts)
        return page if request.method == "GET" else (page, 409)
    name = row.name
    database.delete(row)
    try:
        database.commit()
    except IntegrityError:  # a check began to use it between the question and the answer
        database.rollback()
        return redirect(url_for("credentials.delete", credential_id=credential_id), 303)
    flash(gettext("The credential “%(name)s” is deleted.", name=name), "good")
    return redirect(url_for("credentials.index"), 303)


def _work(row: Credential | None) -> Response | str | tuple[str, int]:
    draft = Draft(request.form if request.method == "POST" else None)
    name = draft.text(
        Field(
            "name",
            gettext("Name"),
            value=row.name if row else "",
            help=gettext("What you will know it by, such as “monitoring account, Linux”."),
            required=True,
        )
    )
    sort = _sort(row)
    login = logins.ask(draft, row.username if row else "", kept=row is not None, kinds=SORTS[sort])
    if draft.good and row is None and login is None:
        if sort == "snmp":
            draft.blame("password", gettext("Please enter the authentication password, or the community."))
        else:
            draft.blame("username", gettext("Please tell the user name to log in with."))
    if draft.good and row is not None and login is None and bool(draft["username"].value) != (row.kind != "community"):
        draft.blame(
            "username",
            gettext("Please enter the passwords of this user too.")
            if row.kind == "community"
            else gettext("Please tell the user name to log in with."),
        )
    if draft.good and _taken(name, row):
        draft.blame("name", gettext("Another credential has this name. Choose another one."))
    if draft.good and _keep(row, name, login, draft):
        flash(gettext("The credential “%(name)s” is saved.", name=name), "good")
        return redirect(url_for("credentials.index"), 303)
    draft.remind()
    page = render_template(
        "credentials/form.html", active="credentials.index", row=row, draft=draft, kinds=KINDS, sort=sort
    )
    return page if request.method == "GET" else (page, 422)


def _sort(row: Credential | None) -> str:
    if row is not None:
        return "snmp" if row.kind in SORTS["snmp"] else "login"
    return "snmp" if request.args.get("sort") == "snmp" else "login"


def _keep(row: Credential | None, name: str, login: logins.Login | None, draft: Draft) -> bool:
    """Store it; False where somebody else took the name meanwhile."""
    if login is not None:
        logins.keep(login, name, row)
    elif row is not None:
        row.name, row.username = name, draft["username"].value.strip()
    store.announce("inventory")
    try:
        store.session().commit()
    except IntegrityError:
        store.session().rollback()
        draft.blame("name", gettext("Another credential has this name. Choose another one."))
        return False
    return True


def _taken(name: str, row: Credential | None) -> bool:
    found = store.session().scalar(select(Credential.id).where(Credential.name == name))
    return found is not None and (row is None or found != row.id)


def _hosts(row: Credential) -> list[Host]:
    used = select(Check.host_id).where(Check.credential_id == row.id)
    return list(store.session().scalars(select(Host).where(Host.id.in_(used)).order_by(Host.name)))


def _credential(credential_id: int) -> Credential:
    found = store.session().get(Credential, credential_id)
    if found is None:
        abort(404)
    return found
