"""Incidents: what happened, who has it, what next. Everything a person may do with one is a small form on its page."""

from __future__ import annotations

from collections.abc import Callable

from flask import Blueprint, abort, flash, make_response, redirect, render_template, request, url_for
from flask_babel import get_timezone
from sqlalchemy import select
from werkzeug.wrappers import Response

from domain.clock import now
from domain.inventory import Division, Host, Person
from domain.records import Incident, StateInterval, Track
from domain.rights import Right
from webui import access, board, cases, handling, store, trouble
from webui.handling import Refused
from webui.language import gettext
from webui.trouble import Case, Filter

blueprint = Blueprint("incidents", __name__, url_prefix="/incidents")

STATES = ("open", "closed")
ONE_TAP = "4h"
"""For how long one has it who only presses the button."""


@blueprint.get("")
@access.signed_in
def index() -> str:
    """Open ones first, then those of the last week that are over. What is chosen stands in the address."""
    moment, session, visible = now(), store.session(), access.visible(access.person())
    chosen = _chosen()
    going, over = trouble.listed(session, visible, chosen, moment)
    return render_template(
        "incidents/index.html",
        active="incidents.index",
        pulse=board.pulse(moment),
        going=going,
        over=over,
        chosen=chosen,
        query=request.args,
        people=_people(),
        machines=_machines(),
        divisions=session.execute(
            select(Division.id, Division.name)
            .where(Division.id.in_(select(Host.division_id).where(visible)))
            .order_by(Division.name)
        ).all(),
        moment=moment,
    )


TYPED = ("text", "cause", "note")
"""What people write about an incident, by the forms of its page."""


@blueprint.get("/<int:incident_id>")
@access.signed_in
def show(incident_id: int) -> str:
    """What happened, what was done, what next."""
    return _page(incident_id)


def _page(incident_id: int, unkept: str = "") -> str:
    """The page of an incident; `unkept` is what somebody typed that could not be kept, so that it is not lost."""
    moment, session, visible = now(), store.session(), access.visible(access.person())
    one = cases.seen(incident_id)
    branches, members = trouble.tree(session, one.row, visible)
    whole = trouble.one(session, visible, one.row.merged_into) if one.row.merged_into else None
    return render_template(
        "incidents/show.html",
        unkept=unkept,
        active="incidents.index",
        pulse=board.pulse(moment),
        one=one,
        host=session.get(Host, one.row.host_id) if one.row.host_id else None,
        whole=whole,
        parts_of=trouble.parts(session, visible, one.row),
        branches=branches,
        members=members,
        shown=trouble.SHOWN_MEMBERS,
        steps=trouble.history(session, one.row, visible),
        similar=trouble.similar(session, visible, one.row),
        mine=handling.may(session, one.row, access.person()),
        closable=handling.closable(session, one.row),
        in_hand=one.in_hand(moment),
        flags=_flags(one.row),
        others=[
            (who.id, who.name)
            for who in _active()
            if who.id != one.row.owner_id and handling.may(session, one.row, who)
        ],
        candidates=[] if one.row.merged_into else _candidates(one),
        one_tap=ONE_TAP,
        moment=moment,
    )


@blueprint.post("/<int:incident_id>/acknowledge")
@access.may(Right.HANDLE)
def acknowledge(incident_id: int) -> Response:
    """I'm on it, for so long; pressed without more it is four hours."""
    moment = now()
    name = request.form.get("term", ONE_TAP)
    until = handling.term(name if name in handling.TERMS else ONE_TAP, moment, str(get_timezone()))
    note = request.form.get("note", "").strip()

    def act(incident: Incident, person: Person) -> None:
        handling.acknowledge(store.session(), incident, person, moment, until, note)

    return _do(incident_id, act, gettext("You are on it; reminders are silent."), "incidents.give_back")


@blueprint.post("/<int:incident_id>/hand-over")
@access.may(Right.HANDLE)
def hand_over(incident_id: int) -> Response:
    """Somebody else is on it from now on."""
    case = cases.seen(incident_id)
    to = store.session().get(Person, request.form.get("to", 0, int))
    if to is None or not handling.may(store.session(), case.row, to):
        abort(404)

    def act(incident: Incident, person: Person) -> None:
        handling.hand_over(store.session(), incident, person, to, now(), request.form.get("note", "").strip())

    return _do(incident_id, act, gettext("%(name)s has it now.", name=to.name))


@blueprint.post("/<int:incident_id>/give-back")
@access.may(Right.HANDLE)
def give_back(incident_id: int) -> Response:
    """Nobody is on it any more."""

    def act(incident: Incident, person: Person) -> None:
        handling.give_back(store.session(), incident, person, now())

    return _do(incident_id, act, gettext("Nobody is on it now."))


@blueprint.post("/<int:incident_id>/note")
@access.may(Right.HANDLE)
def note(incident_id: int) -> Response:
    """A note in its history."""

    def act(incident: Incident, person: Person) -> None:
        handling.remark(store.session(), incident, person, now(), request.form.get("text", ""))

    return _do(incident_id, act, gettext("Your note is in the history."))


@blueprint.post("/<int:incident_id>/close")
@access.may(Right.HANDLE)
def close(incident_id: int) -> Response:
    """Say what it was."""

    def act(incident: Incident, person: Person) -> None:
        handling.close(store.session(), incident, person, now(), request.form.get("cause", ""))

    return _do(incident_id, act, gettext("The cause is kept; whoever has this trouble next will read it."))


@blueprint.post("/<int:incident_id>/merge")
@access.may(Right.HANDLE)
def merge(incident_id: int) -> Response:
    """It has the cause of another incident."""
    into = cases.seen(request.form.get("into", 0, int)).row

    def act(incident: Incident, person: Person) -> None:
        handling.merge(store.session(), incident, into, person, now())

    said = gettext("It stands under #%(number)s now.", number=into.id)
    return _do(incident_id, act, said, "incidents.split", (into.id,))


@blueprint.post("/<int:incident_id>/split")
@access.may(Right.HANDLE)
def split(incident_id: int) -> Response:
    """It has a cause of its own after all."""

    def act(incident: Incident, person: Person) -> None:
        handling.split(store.session(), incident, person, now())

    return _do(incident_id, act, gettext("It stands by itself again."))


def _do(
    incident_id: int, act: Callable[[Incident, Person], None], said: str, undo: str = "", others: tuple[int, ...] = ()
) -> Response:
    """One change of one incident, locked while it is made together with `others`; then back to where the button was."""
    try:
        cases.change(incident_id, act, *others)
    except Refused as refusal:
        store.session().rollback()
        flash(str(refusal), "bad")
        typed = next((text for name in TYPED if (text := request.form.get(name, "").strip())), "")
        if typed:
            return make_response(_page(incident_id, typed), 409)
    else:
        store.session().commit()
        flash(said, f"undo {url_for(undo, incident_id=incident_id)}" if undo else "good")
    home = url_for("incidents.show", incident_id=incident_id)
    return redirect(access.onward(request.form.get("next") or home), 303)


def _chosen() -> Filter:
    """What the address asks for; what makes no sense is left out."""
    state, owner = request.args.get("state", ""), request.args.get("owner", "")
    who = {"me": access.person().id, "nobody": 0}.get(owner)
    return Filter(
        state if state in STATES else "",
        who if who is not None else _number("owner"),
        _number("machine"),
        _number("division"),
    )


def _number(name: str) -> int | None:
    text = request.args.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def _people() -> list[tuple[int, str]]:
    """Those who had something in hand that this person may know of."""
    visible = access.visible(access.person())
    owners = select(Incident.owner_id).join(Host, Host.id == Incident.host_id).where(visible)
    rows = store.session().execute(
        select(Person.id, Person.name).where(Person.active, Person.id.in_(owners)).order_by(Person.name)
    )
    return list(rows.all())


def _active() -> list[Person]:
    return list(store.session().scalars(select(Person).where(Person.active).order_by(Person.name)))


def _machines() -> list[tuple[int, str]]:
    """The machines that ever had an incident."""
    touched = select(Incident.host_id)
    rows = store.session().execute(
        select(Host.id, Host.name)
        .where(access.visible(access.person()), Host.id.in_(touched))
        .order_by(Host.name)
        .limit(1000)
    )
    return list(rows.all())


def _candidates(one: Case) -> list[tuple[int, str]]:
    session, visible = store.session(), access.visible(access.person())
    ids = [row.id for row in handling.candidates(session, one.row, visible)]
    return [(found.row.id, found.title) for found in trouble.several(session, visible, ids)]


def _flags(incident: Incident) -> tuple[bool, bool]:
    """(under maintenance, flapping) of its machine now."""
    session = store.session()
    if incident.host_id is None:
        return False, False
    maintained = session.scalar(
        select(StateInterval.id).where(
            StateInterval.subject == f"maintenance:{incident.host_id}", StateInterval.until.is_(None)
        )
    )
    data = session.scalar(select(Track.data).where(Track.subject == incident.subject)) or {}
    flaps = data.get("flaps") or {}
    return maintained is not None, bool(flaps.get("fast") or flaps.get("slow"))
