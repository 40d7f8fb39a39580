"""The pages behind links that open once: choose a password, the first or another; and asking for such a link."""

from __future__ import annotations

import time

from flask import Blueprint, flash, g, redirect, render_template, request, url_for
from sqlalchemy import func, select
from werkzeug.wrappers import Response

from domain import tickets
from domain.clock import now
from domain.inventory import Person
from webui import access, audited, letters, passwords, store, throttle
from webui.forms import Field
from webui.language import gettext

blueprint = Blueprint("tickets", __name__)

ALIKE = 0.25
"""Seconds an answer takes, whether there is such a person or not."""
MOST_ALIKE = 5
"""People of one address that are written to at once."""


@blueprint.route("/in/<token>", methods=["GET", "POST"])
@access.public
def use(token: str) -> Response | str | tuple[str, int]:
    """Choose a password by a link. Looking at the page uses nothing up; a password that is taken does."""
    found = tickets.find(store.session(), token[:100], lock=request.method == "POST")
    if found is None:
        return render_template("people/ticket.html", gone=True), 404
    ticket, someone = found
    wrong = passwords.weakness(request.form.get("new", ""), someone.login) if request.method == "POST" else ""
    if request.method == "GET" or wrong:
        field = Field(
            "new",
            gettext("Password") if ticket.kind == "invite" else gettext("New password"),
            "secret",
            help=passwords.rule(),
            autocomplete="new-password",
            required=True,
            wrong=wrong,
        )
        page = render_template("people/ticket.html", someone=someone, kind=ticket.kind, field=field)
        return (page, 422) if wrong else page
    someone.password_hash, someone.password_changed_at = passwords.digest(request.form["new"]), now()
    tickets.end(store.session(), someone.id)
    access.close(someone.id)
    audited.note("password.chosen", f"person:{someone.id}", by=someone, link=ticket.kind)
    store.session().commit()
    flash(gettext("Your password is set. Please log in with it."), "good")
    return redirect(url_for("people.login"), 303)


@blueprint.route("/lost", methods=["GET", "POST"])
@access.public
def lost() -> Response | str | tuple[str, int]:
    """Ask for a link. The answer is the same whether there is such a person or not."""
    if g.person:
        return redirect(url_for("profile.index"), 303)
    name = request.form.get("login", "").strip().lower()[:254]
    if request.method == "GET" or not name:
        return _lost_page()
    wait = throttle.wait(name, "lost")
    if wait:
        return _lost_page(throttle.sentence(wait)), 429
    began = time.monotonic()
    for someone in _meant(name):
        token = tickets.make(store.session(), someone, "reset")
        letters.send(someone, "reset", token)
        audited.note("password.lost", f"person:{someone.id}", by=someone)
    store.session().commit()
    time.sleep(max(0.0, ALIKE - (time.monotonic() - began)))
    return render_template("people/lost.html", sent=True)


def _meant(name: str) -> list[Person]:
    """Whoever logs in by this name; else whoever has this address: of those with a password here who can be written to.

    Somebody may have given themselves an address that is another's. That takes nothing from the other: whom an
    administrator or a provider vouches for comes first, and where nobody is vouched for each gets a link. All of them go to
    that one mailbox, never to anybody else's. Whoever logs in elsewhere mends it there: a link would open a way in that
    their company cannot close.
    """
    if letters.channel() is None:
        return []
    reached = select(Person).where(Person.active, Person.email != "", Person.password_hash != "")
    database = store.session()
    named = list(database.scalars(reached.where(Person.login == name)))
    if named:
        return named
    mine = reached.where(func.lower(Person.email) == name).order_by(Person.email_sure.desc(), Person.id)
    found = list(database.scalars(mine.limit(MOST_ALIKE)))
    return [one for one in found if one.email_sure] or found


def _lost_page(wrong: str = "") -> str:
    field = Field(
        "login",
        gettext("Name or e-mail"),
        autocomplete="username",
        required=True,
        wrong=wrong,
    )
    return render_template("people/lost.html", field=field, mail=letters.channel() is not None)
