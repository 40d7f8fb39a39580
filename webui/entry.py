"""How people come in here: what is demanded of whom beside a password."""

from __future__ import annotations

from flask import Blueprint, flash, redirect, render_template, request, url_for
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from werkzeug.wrappers import Response

from domain.identity import Provider
from domain.inventory import Person, Setting
from webui import access, factors, store
from webui.language import gettext

blueprint = Blueprint("entry", __name__, url_prefix="/settings/login")


@blueprint.get("")
@access.admin
def index() -> str:
    """What is demanded, and who would have to set something up first."""
    return render_template(
        "entry/index.html",
        active="entry.index",
        demanded=factors.demanded(),
        bare=bare(),
        provider=store.session().get(Provider, 1),
    )


@blueprint.post("/second-factor")
@access.admin
@access.fresh
def demand() -> Response:
    """Whether administrators and approvers must have a second factor from now on."""
    required = request.form.get("required") == "yes"
    keep(factors.SETTING, {"required": required})
    store.session().commit()
    if required:
        flash(gettext("Administrators and approvers need a second factor from now on."), "good")
    else:
        flash(gettext("Nobody needs a second factor any more; those that are set up still count."), "good")
    return redirect(url_for("entry.index"), 303)


def bare() -> list[Person]:
    """Who has rights that a second factor should guard, and has none."""
    everybody = store.session().scalars(select(Person).where(Person.active).order_by(Person.name))
    return [one for one in everybody if factors.grave(one) and not factors.of(one.id).any]


def keep(key: str, value: dict[str, object]) -> None:
    """Store an installation-wide value, in the caller's transaction."""
    row = insert(Setting).values(key=key, value=value)
    store.session().execute(row.on_conflict_do_update(index_elements=[Setting.key], set_={"value": value}))
