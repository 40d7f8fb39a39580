"""Remedies: what is done by itself about trouble of a kind, dry until somebody who looked at it turns it live."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from sqlalchemy import func, select
from sqlalchemy.orm import joinedload
from werkzeug.datastructures import MultiDict
from werkzeug.wrappers import Response

from domain import mandates, remedies
from domain.approving import Denied
from domain.clock import now
from domain.cron import Refused
from domain.cron import read as read_cron
from domain.jobs import Firing, Remedy
from domain.rights import Right
from probes import catalogue
from webui import access, board, cronwords, deleting, hours, jobs, jobwords, mandating, store
from webui.draft import Draft
from webui.forms import Field
from webui.jobs import Built
from webui.language import gettext
from webui.wording import span, word

blueprint = Blueprint("remedies", __name__, url_prefix="/remedies")

HISTORY = 100


@blueprint.get("")
@access.signed_in
def index() -> str:
    """All there are: for what, and what they did."""
    session = store.session()
    rows = list(session.scalars(select(Remedy).where(mandating.seen(Remedy)).options(joinedload(Remedy.division), joinedload(Remedy.mandate)).order_by(func.lower(Remedy.name))))  # fmt: skip
    newest = select(Firing.remedy_id, func.max(Firing.at), func.count()).where(Firing.remedy_id.in_([row.id for row in rows])).group_by(Firing.remedy_id)  # fmt: skip
    met = {id: (at, count) for id, at, count in session.execute(newest)}
    listed = [(row, sentence(row), mandates.stands(session, row.mandate).state, met.get(row.id)) for row in rows]
    return render_template(
        "jobs/remedies.html",
        active="jobs.index",
        rows=listed,
        theirs=mandating.theirs,
        pulse=board.pulse(now()),
        **jobs.words(),
    )


@blueprint.get("/<int:remedy_id>")
@access.signed_in
def show(remedy_id: int) -> str:
    """One: when it acts, the agreement to it, and what it met."""
    row, session = remedy(remedy_id), store.session()
    met = list(
        session.scalars(
            select(Firing)
            .where(Firing.remedy_id == row.id)
            .options(joinedload(Firing.host))
            .order_by(Firing.id.desc())
            .limit(HISTORY)
        )
    )
    return render_template(
        "jobs/remedy.html", active="jobs.index", row=row, met=met, sentence=sentence(row), card=mandating.card(row.mandate),
        mine=mandating.theirs(row.division_id), dry=remedies.dry_runs(session, row), fired=jobwords.FIRED,
        fired_badges=jobwords.FIRED_BADGES, because=jobwords.because, pulse=board.pulse(now()), **jobs.words(),
    )  # fmt: skip


@blueprint.route("/new", methods=["GET", "POST"])
@access.may(Right.ASK)
def new() -> Response | str | tuple[str, int]:
    """Set one up; it begins dry."""
    return _work(None)


@blueprint.route("/<int:remedy_id>/edit", methods=["GET", "POST"])
@access.may(Right.ASK)
def edit(remedy_id: int) -> Response | str | tuple[str, int]:
    """Change it. If anything of it is another, it is dry again, and agreed to anew."""
    return _work(own(remedy_id))


@blueprint.post("/<int:remedy_id>/pause")
@access.may(Right.ASK)
def pause(remedy_id: int) -> Response:
    """Pause it; or have it go on with what comes from now."""
    row, go_on = own(remedy_id), request.form.get("go") == "on"
    switch(row, enabled=go_on)
    store.session().commit()
    flash(gettext("It goes on.") if go_on else gettext("It is paused."), "good")
    return redirect(url_for("remedies.show", remedy_id=row.id), 303)


@blueprint.post("/<int:remedy_id>/live")
@access.may(Right.ASK)
@access.fresh
def live(remedy_id: int) -> Response:
    """Have it act from now on, or only show what it would do."""
    row, session, wanted = own(remedy_id), store.session(), request.form.get("live") == "yes"
    try:
        remedies.turn(session, row, live=wanted, sure=request.form.get("sure") == "yes")
        session.commit()
        flash(gettext("It acts from now on.") if wanted else gettext("It only shows what it would do."), "good")
    except Denied as error:
        session.rollback()
        flash(jobwords.denied(error), "bad")
    return redirect(url_for("remedies.show", remedy_id=remedy_id), 303)


@blueprint.route("/<int:remedy_id>/delete", methods=["GET", "POST"])
@access.may(Right.ASK)
def delete(remedy_id: int) -> Response | str:
    """Ask once more; then delete it with its history."""
    row = own(remedy_id)
    text = gettext(
        "It does not happen any more, and its history goes with it. What it did at machines stays on record."
    )
    if request.method == "POST":
        store.session().delete(row.mandate)
    return deleting.asked_twice(row, text, home="remedies.index", back=url_for("remedies.show", remedy_id=row.id))


def remedy(remedy_id: int) -> Remedy:
    """One this person may know of."""
    found = store.session().scalar(select(Remedy).where(Remedy.id == remedy_id, mandating.seen(Remedy)))
    if found is None:
        abort(404)
    return found


def own(remedy_id: int) -> Remedy:
    """One this person may change; else 404 or 403."""
    found = remedy(remedy_id)
    if not mandating.theirs(found.division_id):
        abort(403)
    return found


def switch(row: Remedy, *, enabled: bool) -> None:
    """Pause it, or have it go on with what comes from now; the caller commits."""
    if row.enabled is not enabled:
        row.enabled, row.since = enabled, now()


def sentence(row: Remedy) -> str:
    """When it acts, such as: SSH is critical for 2 min, between 22:00 and 06:00."""
    about = catalogue()[row.check_kind].label if row.check_kind in catalogue() else ""
    states = ", ".join(word(state).lower() for state in row.states)
    what = gettext("Where %(check)s is: %(states)s", check=gettext(about), states=states) if about else gettext("Where a machine or a check of it is: %(states)s", states=states)  # fmt: skip
    told = f"{what}, {gettext('for %(time)s', time=span(row.after_s))}" if row.after_s else what
    if row.from_minute is not None and row.to_minute is not None:
        told += f", {hours.span(row.from_minute, row.to_minute, row.days)}"
    return told


# ---- the form ----


def _work(row: Remedy | None) -> Response | str | tuple[str, int]:
    typed = request.form if request.method == "POST" else None
    built = build(row, typed)
    if built.saved is not None:
        store.session().commit()
        flash(gettext("“%(name)s” is saved.", name=built.saved.name), "good")
        return redirect(url_for("remedies.show", remedy_id=built.saved.id), 303)
    page = render_template(
        "jobs/remedy_form.html", active="jobs.index", row=row, draft=built.draft, asks=mandating.FIELDS,
        states=[(state, word(state)) for state in remedies.STATES], picked=built.picked,
        days=[(day, hours.day(day)) for day in hours.DAYS], on=_days(row, typed),
    )  # fmt: skip
    return page if typed is None else (page, 422)


def build(row: Remedy | None, typed: MultiDict[str, str] | None) -> Built[Remedy]:
    """What was typed, checked and, where nothing of it is wrong, kept; the caller commits."""
    draft = Draft(typed)
    draft.text(Field("name", gettext("Name"), value=row.name if row else "", required=True))
    kinds = (("", gettext("the machine or any check")), *sorted(((kind, gettext(probe.label)) for kind, probe in catalogue().items()), key=lambda one: one[1].lower()))  # fmt: skip
    draft.choice(Field("check_kind", gettext("What must be in trouble"), "choice", row.check_kind if row else "", choices=kinds))  # fmt: skip
    states = list(row.states) if row and typed is None else ["down", "critical"] if typed is None else [one for one in remedies.STATES if one in typed.getlist("states")]  # fmt: skip
    after = draft.number(Field("after", gettext("After so many seconds of it"), "number", str(row.after_s if row else 120), low=0, high=86400, whole=True, required=True))  # fmt: skip
    begin = draft.text(Field("from", gettext("Only from"), value=hours.said(row.from_minute) if row else "", help=gettext("Such as 22:00; empty for the whole day.")), 5)  # fmt: skip
    end = draft.text(Field("to", gettext("until"), value=hours.said(row.to_minute) if row else ""), 5)
    zone = draft.text(Field("zone", gettext("Time zone"), value=row.zone if row else store.settings().zone), 60) or store.settings().zone  # fmt: skip
    draft.tick(Field("states", gettext("In which states"), "check"))
    mandating.ask(draft, row.mandate if row else None)
    minutes = hours.read(begin) if begin else None, hours.read(end) if end else None
    if draft.good:
        _judge(draft, states, begin, end, minutes, zone)
    if not draft.good or typed is None or after is None:
        return Built(draft, states, None)
    before = (mandating.snapshot(row.mandate), row.division_id) if row else None
    kept = row or Remedy(made_by=access.person().id)
    kept.check_kind, kept.after_s, kept.zone = draft["check_kind"].value, int(after), zone
    kept.from_minute, kept.to_minute = minutes
    for name, value in (("states", states), ("days", _days(row, typed))):
        if getattr(kept, name) != value:
            setattr(kept, name, value)
    mandate = mandating.take(draft, row.mandate if row else None, remedies.condition(kept))
    if mandate is None:
        return Built(draft, states, None)
    if not mandating.theirs(mandate.division_id):
        draft.blame("target", gettext("You may not do this there."))
        store.session().rollback()
        return Built(draft, states, None)
    kept.name, kept.division_id, kept.mandate = draft["name"].value.strip(), mandate.division_id, mandate
    saved = mandating.keep(draft, kept, mandate, before[0] if before else None)
    if saved and before is not None and not mandating.same(before[0], mandate):
        kept.live, kept.since = False, now()
        store.session().flush()
    return Built(draft, states, kept if saved else None)


def _judge(draft: Draft, states: list[str], begin: str, end: str, minutes: tuple[int | None, int | None], zone: str) -> None:  # fmt: skip
    if not states:
        draft.blame("states", gettext("Choose at least one state."))
    for name, text, minute in (("from", begin, minutes[0]), ("to", end, minutes[1])):
        if text and minute is None:
            draft.blame(name, gettext("This is no time of day; one is 22:30."))
    if bool(begin) is not bool(end):
        draft.blame("to" if begin else "from", gettext("Fill in both times, or none."))
    try:
        read_cron("@daily", zone)
    except Refused as error:
        draft.blame("zone", cronwords.refused(error))


def _days(row: Remedy | None, typed: Mapping[str, str] | None) -> list[int]:
    if typed is None:
        return list(row.days) if row else []
    chosen = typed.getlist("weekdays") if isinstance(typed, MultiDict) else []
    found = [day for day in hours.DAYS if str(day) in chosen]
    return [] if len(found) == len(hours.DAYS) else found


def told(row: Firing) -> dict[str, Any]:
    """What a remedy did once, for programs."""
    return {
        "at": row.at,
        "state": row.state,
        "machine": row.host.name,
        "incident": row.incident_id,
        "request": row.request_id,
    }
