"""Logins for watched machines: written, never read back."""

from __future__ import annotations

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from sqlalchemy import select
from werkzeug.wrappers import Response

from config.vault import VaultError
from domain.inventory import Check, Credential, Host
from webui import access, logins, store
from webui.forms import Field
from webui.language import gettext

blueprint = Blueprint("credentials", __name__, url_prefix="/credentials")


@blueprint.get("")
@access.admin
def index() -> str:
    """All of them: whose, for which machines, when last used."""
    database = store.session()
    rows = list(database.scalars(select(Credential).order_by(Credential.name)))
    used: dict[int, list[Host]] = {row.id: [] for row in rows}
    query = select(Check.credential_id, Host).join(Host).where(Check.credential_id.is_not(None)).distinct()
    for credential_id, host in database.execute(query.order_by(Check.credential_id, Host.name)):
        used.setdefault(credential_id or 0, []).append(host)
    return render_template("credentials/index.html", active="machines.index", rows=rows, used=used)


@blueprint.route("/new", methods=["GET", "POST"])
@access.admin
def new() -> Response | str | tuple[str, int]:
    """Add one."""
    return _form(None)


@blueprint.route("/<int:credential_id>", methods=["GET", "POST"])
@access.admin
def change(credential_id: int) -> Response | str | tuple[str, int]:
    """Rename one, or replace its login."""
    return _form(_found(credential_id))


@blueprint.post("/<int:credential_id>/delete")
@access.admin
def delete(credential_id: int) -> Response:
    """Delete one that no check uses."""
    row, database = _found(credential_id), store.session()
    users = list(database.scalars(select(Host.name).join(Check).where(Check.credential_id == row.id).distinct()))
    if users:
        flash(
            gettext("This login is still used by %(names)s; choose another there first.", names=", ".join(users[:5])),
            "bad",
        )
        return redirect(url_for("credentials.change", credential_id=row.id), 303)
    database.delete(row)
    database.commit()
    flash(gettext("The login %(name)s is deleted.", name=row.name), "good")
    return redirect(url_for("credentials.index"), 303)


def _found(credential_id: int) -> Credential:
    row = store.session().get(Credential, credential_id)
    if row is None:
        abort(404)
    return row


def _form(row: Credential | None) -> Response | str | tuple[str, int]:
    name = request.form.get("name", row.name if row else "").strip()
    username = request.form.get("username", row.username if row else "").strip()
    if request.method == "GET":
        return _page(row, name, username, {})
    wrong = {}
    if not name or not name.isprintable() or len(name) > 100:
        wrong["name"] = gettext("Please give it a name.")
    elif store.session().scalar(
        select(Credential.id).where(Credential.name == name, Credential.id != (row.id if row else 0))
    ):
        wrong["name"] = gettext("Another login has this name.")
    kept = row is not None and not request.form.get("private_key", "").strip() and not request.form.get("secret", "")
    typed = None
    if not kept:
        typed, found = logins.read(request.form)
        wrong |= found
    if wrong:
        return _page(row, name, username, wrong), 422
    try:
        if typed is not None:
            logins.keep(typed, name, row)
        elif row is not None:
            row.name, row.username = name, username or row.username
    except VaultError as error:
        return _page(row, name, username, {"secret": str(error)}), 422
    store.session().commit()
    flash(gettext("The login %(name)s is saved.", name=name), "good")
    return redirect(url_for("credentials.index"), 303)


def _page(row: Credential | None, name: str, username: str, wrong: dict[str, str]) -> str:
    first = Field("name", gettext("Name"), value=name, required=True, wrong=wrong.get("name", ""))
    rest = logins.fields(username, wrong, required=row is None)
    return render_template("credentials/form.html", active="machines.index", row=row, fields=[first, *rest])
