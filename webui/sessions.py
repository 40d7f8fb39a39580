"""Where somebody is logged in, and how that is ended: one browser, or all others at once."""

from __future__ import annotations

from dataclasses import dataclass

from flask import Blueprint, abort, flash, redirect, url_for
from sqlalchemy import func, select
from werkzeug.wrappers import Response

from domain.clock import now
from domain.inventory import Person, Session
from webui import access, audited, push, store
from webui.language import gettext

blueprint = Blueprint("sessions", __name__, url_prefix="/me/sessions")

NAMED = 16
"""Letters of a session's id that name it on a page; the id itself opens nothing either."""


@dataclass(frozen=True)
class Opened:
    """One browser that is logged in, as it is listed."""

    row: Session
    name: str
    device: str
    own: bool


def listed(person: Person) -> list[Opened]:
    """The browsers `person` is logged in with, this one first, then the one seen last."""
    alive = Session.seen_at > now() - access.IDLE, Session.created_at > now() - access.ABSOLUTE
    rows = store.session().scalars(
        select(Session).where(Session.person_id == person.id, *alive).order_by(Session.seen_at.desc())
    )
    found = [Opened(row, row.id[:NAMED], push.device(row.browser), access.is_own(row)) for row in rows]
    return sorted(found, key=lambda one: not one.own)


@blueprint.post("/end")
@access.signed_in
def end_others() -> Response:
    """Log out everywhere else."""
    access.close_others(access.person())
    audited.note("session.ended", f"person:{access.person().id}", which="all others")
    store.session().commit()
    flash(gettext("Everywhere else you have been logged out."), "good")
    return redirect(url_for("profile.index"), 303)


@blueprint.post("/<name>/end")
@access.signed_in
def end(name: str) -> Response:
    """Log one browser of one's own out."""
    person = access.person()
    chosen = Session.id.startswith(name, autoescape=True) & (func.length(name) == NAMED)
    if store.session().scalar(select(Session.id).where(Session.person_id == person.id, chosen)) is None:
        abort(404)
    access.close(person.id, chosen)
    audited.note("session.ended", f"person:{person.id}", which=name)
    store.session().commit()
    flash(gettext("That browser is logged out."), "good")
    return redirect(url_for("profile.index"), 303)
