"""Addresses that are called while machines are looked at: silence there is an alarm there."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from werkzeug.wrappers import Response

from domain.clock import now
from domain.recipients import Lookout
from webui import access, deleting, store
from webui.draft import Draft
from webui.forms import Field
from webui.language import gettext

blueprint = Blueprint("lookouts", __name__, url_prefix="/lookouts")

LONGEST_URL = 2000


@blueprint.get("")
@access.admin
def index() -> str:
    """All of them, with when they were last reached."""
    rows = [(row, _state(row)) for row in store.session().scalars(select(Lookout).order_by(Lookout.name))]
    return render_template("lookouts/index.html", active="lookouts.index", rows=rows)


@blueprint.route("/new", methods=["GET", "POST"])
@access.admin
def new() -> Response | str | tuple[str, int]:
    """Add an address."""
    return _work(None)


@blueprint.route("/<int:lookout_id>", methods=["GET", "POST"])
@access.admin
def edit(lookout_id: int) -> Response | str | tuple[str, int]:
    """Change an address."""
    return _work(_lookout(lookout_id))


@blueprint.route("/<int:lookout_id>/delete", methods=["GET", "POST"])
@access.admin
def delete(lookout_id: int) -> Response | str:
    """Ask once more; then delete."""
    row = _lookout(lookout_id)
    text = gettext("It is not called any more; whoever watches there will raise the alarm once.")
    return deleting.asked_twice(row, text, home="lookouts.index", back=url_for("lookouts.edit", lookout_id=row.id))


def _state(row: Lookout) -> str:
    """off, new, late or good."""
    if not row.enabled:
        return "off"
    if row.told_at is None:
        return "late" if row.error else "new"
    return "late" if row.error or now() - row.told_at > timedelta(seconds=3 * row.every + 30) else "good"


def _work(row: Lookout | None) -> Response | str | tuple[str, int]:
    draft = Draft(request.form if request.method == "POST" else None)
    values: dict[str, Any] = {
        "name": draft.text(Field("name", gettext("Name"), value=row.name if row else "", required=True)),
        "url": draft.text(
            Field(
                "url",
                gettext("Address"),
                value=row.url if row else "",
                required=True,
                help=gettext("What a service that waits for a sign of life gave you; it is called with GET."),
            ),
            LONGEST_URL,
        ),
        "every": draft.number(
            Field(
                "every",
                gettext("Seconds between calls"),
                "number",
                value=str(row.every if row else 60),
                low=10,
                high=86400,
                whole=True,
                required=True,
            )
        ),
        "enabled": draft.tick(
            Field("enabled", gettext("Call it"), "check", value="yes" if row is None or row.enabled else "")
        ),
    }
    if draft.good and not can_be_called(values["url"]):
        draft.blame("url", gettext("This takes the address of a page, beginning with http or https."))
    if draft.good:
        kept = row or Lookout()
        if row is not None and row.url != values["url"]:
            kept.told_at, kept.error = None, ""
        for name, value in values.items():
            setattr(kept, name, int(value) if name == "every" else value)
        if _keep(kept, draft):
            flash(gettext("“%(name)s” is saved.", name=kept.name), "good")
            return redirect(url_for("lookouts.index"), 303)
    page = render_template("lookouts/form.html", active="lookouts.index", row=row, draft=draft)
    return page if request.method == "GET" else (page, 422)


def can_be_called(url: str) -> bool:
    """Whether this can be called at all: the address of a page."""
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and " " not in url
    except ValueError:
        return False


def _keep(row: Lookout, draft: Draft) -> bool:
    session = store.session()
    try:
        session.add(row)
        store.announce("inventory")
        session.commit()
    except IntegrityError:
        session.rollback()
        draft.blame("name", gettext("Another one has this name. Choose another name."))
        return False
    return True


def _lookout(lookout_id: int) -> Lookout:
    found = store.session().get(Lookout, lookout_id)
    if found is None:
        abort(404)
    return found
