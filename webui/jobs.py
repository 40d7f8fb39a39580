"""What happens unattended by the clock: schedules with their next runs, their history, and the agreement to them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from sqlalchemy import func, select
from sqlalchemy.orm import joinedload
from werkzeug.datastructures import MultiDict
from werkzeug.wrappers import Response

from domain import approving, cron, mandates, schedules
from domain.clock import now
from domain.cron import Cron, Refused
from domain.inventory import Credential, Person
from domain.jobs import KINDS, Mandate, Schedule, ScheduleRun
from domain.recipients import Channel, Route
from domain.requests import Discovery
from domain.rights import Right
from webui import access, addresses, board, cronwords, deleting, discover, jobwords, mandating, proof, store
from webui.draft import Draft
from webui.forms import Field
from webui.language import gettext

blueprint = Blueprint("jobs", __name__, url_prefix="/jobs")

Row = TypeVar("Row")
NEXT = 5
HISTORY = 50
STRIP = 20
ADMINS = ("discovery", "backup")
"""Kinds that are administrators' alone."""


@dataclass(frozen=True)
class Listed:
    """A schedule as the list shows it."""

    row: Schedule
    sentence: str
    last: ScheduleRun | None
    strip: tuple[ScheduleRun, ...]
    agreed: str


@blueprint.get("")
@access.signed_in
def index() -> str:
    """All there are: when each comes, and how it went."""
    return render_template(
        "jobs/index.html", active="jobs.index", rows=listed(), pulse=board.pulse(now()), theirs=theirs, **words()
    )


@blueprint.get("/new")
@access.may(Right.ASK)
def choose() -> str:
    """What kind of thing is to happen."""
    kinds = [kind for kind in KINDS if kind not in ADMINS or access.can(Right.ADMIN)]
    return render_template("jobs/choose.html", active="jobs.index", offered=kinds, **words())


@blueprint.route("/new/<kind>", methods=["GET", "POST"])
@access.may(Right.ASK)
def new(kind: str) -> Response | str | tuple[str, int]:
    """Set one up."""
    if kind not in KINDS or (kind in ADMINS and not access.can(Right.ADMIN)):
        abort(404)
    return _work(None, kind)


@blueprint.get("/preview")
@access.signed_in
def preview() -> str:
    """What is being typed, in words, and when it comes next; changes nothing."""
    return render_template(
        "jobs/preview.html", **read(request.args.get("expression", ""), request.args.get("zone", ""))
    )


@blueprint.get("/<int:schedule_id>")
@access.signed_in
def show(schedule_id: int) -> str:
    """One: its next runs, the agreement to it, and what came of each run."""
    row, session = schedule(schedule_id), store.session()
    runs = list(
        session.scalars(
            select(ScheduleRun)
            .where(ScheduleRun.schedule_id == row.id)
            .options(joinedload(ScheduleRun.asker))
            .order_by(ScheduleRun.due.desc(), ScheduleRun.id.desc())
            .limit(HISTORY)
        )
    )
    going = any(run.state in ("waiting", "running") for run in runs)
    return render_template(
        "jobs/show.html",
        active="jobs.index",
        row=row,
        runs=runs,
        strip=runs[:STRIP][::-1],
        going=going,
        coming=coming(row),
        sentence=sentence(row),
        card=mandating.card(row.mandate) if row.mandate else None,
        readers=readers(row),
        found=_found(runs),
        mine=theirs(row),
        pulse=board.pulse(now()),
        **words(),
    )


@blueprint.route("/<int:schedule_id>/edit", methods=["GET", "POST"])
@access.may(Right.ASK)
def edit(schedule_id: int) -> Response | str | tuple[str, int]:
    """Change it. What people agreed to is agreed to anew if anything of it is another."""
    row = _own(schedule_id)
    return _work(row, row.kind)


@blueprint.post("/<int:schedule_id>/pause")
@access.may(Right.ASK)
def pause(schedule_id: int) -> Response:
    """Pause it; or have it go on."""
    row, go_on = _own(schedule_id), request.form.get("go") == "on"
    schedules.pause(store.session(), row, enabled=go_on)
    store.session().commit()
    flash(gettext("It goes on.") if go_on else gettext("It is paused."), "good")
    return _back(row)


@blueprint.post("/<int:schedule_id>/run")
@access.may(Right.ASK)
def run(schedule_id: int) -> Response:
    """Have it run once now, beside its hours."""
    row = _own(schedule_id)
    if schedules.run_now(store.session(), row, access.person()):
        store.session().commit()
        flash(gettext("It begins at once."), "good")
    else:
        store.session().rollback()
        flash(gettext("It is running already, or about to."), "bad")
    return redirect(url_for("jobs.show", schedule_id=row.id), 303)


@blueprint.route("/<int:schedule_id>/delete", methods=["GET", "POST"])
@access.may(Right.ASK)
def delete(schedule_id: int) -> Response | str:
    """Ask once more; then delete it with its history."""
    row = _own(schedule_id)
    text = gettext(
        "It does not happen any more, and its history goes with it. What it did at machines stays on record."
    )
    if request.method == "POST":
        schedules.gone(store.session(), row)
        if row.mandate is not None:
            store.session().delete(row.mandate)
    return deleting.asked_twice(row, text, home="jobs.index", back=url_for("jobs.show", schedule_id=row.id))


# ---- what is known ----


def listed() -> list[Listed]:
    """Those this person may know of, by their names."""
    session = store.session()
    rows = list(session.scalars(select(Schedule).where(mandating.seen(Schedule)).options(joinedload(Schedule.division), joinedload(Schedule.mandate)).order_by(func.lower(Schedule.name))))  # fmt: skip
    place = func.row_number().over(partition_by=ScheduleRun.schedule_id, order_by=ScheduleRun.due.desc())
    newest = select(ScheduleRun.id, place.label("place")).where(ScheduleRun.schedule_id.in_([row.id for row in rows])).subquery()  # fmt: skip
    runs: dict[int, list[ScheduleRun]] = {}
    for one in session.scalars(select(ScheduleRun).join(newest, newest.c.id == ScheduleRun.id).where(newest.c.place <= STRIP).order_by(ScheduleRun.due)):  # fmt: skip
        runs.setdefault(one.schedule_id, []).append(one)
    found = []
    for row in rows:
        own = tuple(runs.get(row.id, ()))
        agreed = mandates.stands(session, row.mandate).state if row.mandate else ""
        found.append(Listed(row, sentence(row), own[-1] if own else None, own, agreed))
    return found


def schedule(schedule_id: int) -> Schedule:
    """One this person may know of."""
    found = store.session().scalar(select(Schedule).where(Schedule.id == schedule_id, mandating.seen(Schedule)))
    if found is None:
        abort(404)
    return found


def theirs(row: Schedule) -> bool:
    """Whether this person may change, pause, run and delete it."""
    return access.can(Right.ADMIN) if row.kind in ADMINS else mandating.theirs(row.division_id)


def _own(schedule_id: int) -> Schedule:
    found = schedule(schedule_id)
    if not theirs(found):
        abort(403)
    return found


def sentence(row: Schedule) -> str:
    """When it comes, in words; as it is written where it cannot be read any more."""
    try:
        return cronwords.sentence(cron.read(row.expression, row.zone))
    except Refused:
        return row.expression


def coming(row: Schedule, count: int = NEXT) -> list[datetime]:
    """The next moments at which it comes; none while it is paused."""
    try:
        return cron.coming(cron.read(row.expression, row.zone), now(), count) if row.enabled else []
    except Refused:
        return []


def readers(row: Schedule) -> list[tuple[Person, bool]]:
    """Whom it tells, each with whether an e-mail reaches them."""
    wanted = row.options.get("people") or []
    if not wanted:
        return []
    session = store.session()
    mailed = set(
        session.scalars(
            select(Route.person_id)
            .join(Channel, Channel.id == Route.channel_id)
            .where(Route.person_id.in_(wanted), Channel.kind == "email", Channel.enabled, Route.enabled, Route.verified_at.is_not(None), Route.gone_at.is_(None))
        )
    )  # fmt: skip
    people = session.scalars(select(Person).where(Person.id.in_(wanted)).order_by(Person.name))
    return [(one, one.id in mailed) for one in people if approving.may(one, Right.SEE, row.division_id)]


def words() -> dict[str, Any]:
    """What the templates say things with."""
    return {
        "kinds": jobwords.KINDS, "about": jobwords.ABOUT, "icons": jobwords.ICONS, "states": jobwords.RUNS,
        "badges": jobwords.BADGES, "stand_words": jobwords.STANDS, "stand_badges": jobwords.STAND_BADGES,
        "ending": jobwords.ending,
    }  # fmt: skip


def _found(runs: list[ScheduleRun]) -> set[str]:
    """Discoveries of these runs that this person may look at."""
    ids = [run.outcome.get("discovery") for run in runs if run.outcome.get("discovery")]
    if not ids or not access.can(Right.ADMIN):
        return set()
    return set(store.session().scalars(select(Discovery.id).where(Discovery.id.in_(ids))))


def _back(row: Schedule) -> Response:
    return redirect(access.onward(request.form.get("next") or url_for("jobs.show", schedule_id=row.id)), 303)


# ---- the form ----


def read(expression: str, zone: str) -> dict[str, Any]:
    """A cron expression in words, its next moments, and what is wrong with it."""
    try:
        rule = cron.read(expression, zone.strip() or store.settings().zone)
    except Refused as error:
        return {"wrong": cronwords.refused(error), "said": "", "coming": ()}
    return {"wrong": "", "said": cronwords.sentence(rule), "coming": cron.coming(rule, now(), NEXT)}


def _work(row: Schedule | None, kind: str) -> Response | str | tuple[str, int]:
    typed = request.form if request.method == "POST" else None
    built = build(row, kind, typed)
    if built.saved is not None:
        if kind == "discovery" and built.grave:
            proof.demand()
        store.session().commit()
        flash(gettext("“%(name)s” is saved.", name=built.saved.name), "good")
        return redirect(url_for("jobs.show", schedule_id=built.saved.id), 303)
    draft = built.draft
    page = render_template(
        "jobs/form.html", active="jobs.index", row=row, kind=kind, draft=draft, picked=built.picked, people=_readers(kind),
        stored=_stored(), chosen=_chosen(row, typed), asks=mandating.FIELDS,
        preview=read(draft["expression"].value, draft["zone"].value), **words(),
    )  # fmt: skip
    return page if typed is None or typed.get("preview") == "yes" else (page, 422)


@dataclass(frozen=True)
class Built(Generic[Row]):
    """A form as it was filled in, and the row where nothing of it was wrong: flushed, and not committed.

    `grave`: a stored login would go where it did not go before.
    """

    draft: Draft
    picked: list[Any]
    saved: Row | None
    grave: bool = False


def build(row: Schedule | None, kind: str, typed: MultiDict[str, str] | None) -> Built[Schedule]:
    """What was typed, checked and, where nothing of it is wrong, kept."""
    draft = Draft(typed)
    rule = _common(draft, row)
    picked = _picked(row, typed, kind)
    options: dict[str, Any] = {}
    before = mandating.snapshot(row.mandate) if row and row.mandate else None
    known = set(row.options.get("credentials", [])) if row else set()
    if kind == "action":
        mandating.ask(draft, row.mandate if row else None)
    elif kind == "report":
        mandating.divide(draft, row.division_id if row else None, gettext("Machines of the division"))
        options = {"people": picked}
        draft.tick(Field("people", gettext("Who is told"), "check"))
        if draft.good and not picked:
            draft.blame("people", gettext("Choose at least one person who is to read it."))
    elif kind == "discovery":
        options = _search(draft, row, picked, typed)
    else:
        keep = draft.number(Field("keep", gettext("How many are kept"), "number", str((row.options if row else {}).get("keep", 7)), gettext("Older ones of this schedule are deleted once a new one is whole."), low=1, high=365, whole=True, required=True))  # fmt: skip
        options = {"keep": int(keep or 7)}
    if not draft.good or rule is None or (typed is not None and typed.get("preview") == "yes"):
        return Built(draft, picked, None)
    mandate = None
    if kind == "action":
        condition = {"cron": rule.expression, "zone": rule.zone}
        mandate = mandating.take(draft, row.mandate if row else None, condition)
        if mandate is None:
            return Built(draft, picked, None)
    saved = _save(row, kind, draft, rule, options, mandate, before)
    return Built(draft, picked, saved, bool(set(options.get("credentials", [])) - known))


def _common(draft: Draft, row: Schedule | None) -> Cron | None:
    """The fields of every kind; the rule, where what was typed is one."""
    draft.text(Field("name", gettext("Name"), value=row.name if row else "", required=True))
    text = draft.text(Field("expression", gettext("Cron expression"), value=row.expression if row else "30 2 * * *", help=gettext("Minute, hour, day of month, month, day of week. Also @daily, @weekly, MON-FRI, */15, 6L (the last Saturday)."), required=True), 200)  # fmt: skip
    zone = draft.text(Field("zone", gettext("Time zone"), value=row.zone if row else store.settings().zone), 60)
    draft.choice(Field("overlap", gettext("If the run before has not ended"), "choice", row.overlap if row else "skip", choices=(("skip", gettext("leave this one out")), ("wait", gettext("wait for its end")))))  # fmt: skip
    draft.number(Field("grace", gettext("Run late for up to minutes"), "number", str((row.grace_s if row else 3600) // 60), gettext("If Pantau was not running when it was due. What is later than that is missed, which is an incident."), low=1, high=1440, whole=True, required=True))  # fmt: skip
    try:
        return cron.read(text, zone or store.settings().zone)
    except Refused as error:
        if draft.good:
            draft.blame("zone" if error.code == "zone" else "expression", cronwords.refused(error))
        return None


def _picked(row: Schedule | None, typed: MultiDict[str, str] | None, kind: str) -> list[int]:
    if kind not in ("report", "discovery"):
        return []
    if typed is None:
        return list(row.options.get("people", [])) if row else [access.person().id]
    known = {one.id for one in _readers(kind)}
    return [int(one) for one in typed.getlist("people") if one.isdigit() and len(one) < 10 and int(one) in known]


def _readers(kind: str) -> list[Person]:
    """Whoever may be chosen: of all people those whom this person may know."""
    if kind not in ("report", "discovery"):
        return []
    session = store.session()
    wanted = select(Person).where(Person.active).order_by(Person.name).limit(500)
    reach = access.divisions(Right.ASK)
    if reach is None:
        found = list(session.scalars(wanted))
        return [one for one in found if kind == "report" or one.role == "admin"]
    return [one for one in session.scalars(wanted) if any(approving.may(one, Right.SEE, id) for id in reach)]


def _search(draft: Draft, row: Schedule | None, picked: list[int], typed: MultiDict[str, str] | None) -> dict[str, Any]:
    told = row.options if row else {}
    text = draft.text(Field("addresses", gettext("Where to look"), "lines", told.get("text", ""), gettext("Networks, ranges, addresses or names, one a line: 10.0.0.0/24, 10.0.0.5-20, db-02."), required=True), 20_000)  # fmt: skip
    rate = draft.number(Field("rate", gettext("Questions a second"), "number", f"{told.get('rate', discover.RATE):g}", gettext("Each ping or port is one; fewer are gentler."), low=discover.SLOWEST, high=discover.FASTEST, required=True))  # fmt: skip
    trace = draft.tick(Field("trace", gettext("Trace the way to each machine, to suggest what it stands behind"), "check", "yes" if told.get("trace") else ""))  # fmt: skip
    found = addresses.read(text, discover.MOST, discover.SMALLEST_PREFIX)
    if draft.good and (found.wrong or not found.addresses):
        draft.blame("addresses", found.wrong[0] if found.wrong else gettext("Please fill in this field."))
    chosen = sorted(_chosen(row, typed))
    return {
        "text": text, "addresses": list(found.addresses), "names": found.names, "rate": rate or discover.RATE,
        "trace": trace, "credentials": chosen, "people": picked,
    }  # fmt: skip


def _stored() -> list[Credential]:
    if not access.can(Right.ADMIN):
        return []
    return list(store.session().scalars(select(Credential).where(Credential.kind.in_(discover.SNMP_KINDS)).order_by(Credential.name)))  # fmt: skip


def _chosen(row: Schedule | None, typed: MultiDict[str, str] | None) -> set[int]:
    """SNMP credentials to ask with."""
    if typed is None:
        return set(row.options.get("credentials", [])) if row else set()
    ticked = typed.getlist("snmp")
    return {one.id for one in _stored() if str(one.id) in ticked}


def _save(
    row: Schedule | None, kind: str, draft: Draft, rule: Cron, options: dict[str, Any], mandate: Mandate | None,
    before: dict[str, Any] | None,
) -> Schedule | None:  # fmt: skip
    """The schedule, kept; None where something speaks against it, which stands in the draft then."""
    session, me = store.session(), access.person()
    kept = row or Schedule(kind=kind, made_by=me.id)
    division = mandate.division_id if mandate else int(draft["division_id"].value) if kind == "report" and draft["division_id"].value else None  # fmt: skip
    if kind not in ADMINS and not mandating.theirs(division):
        draft.blame("target" if mandate else "division_id", gettext("You may not do this there."))
        session.rollback()
        return None
    again = row is None or (row.expression, row.zone) != (rule.expression, rule.zone)
    kept.name, kept.expression, kept.zone, kept.overlap = draft["name"].value.strip(), rule.expression, rule.zone, draft["overlap"].value  # fmt: skip
    kept.grace_s, kept.division_id, kept.mandate = int(float(draft["grace"].value)) * 60, division, mandate
    if kept.options != options:
        kept.options = options
    if kept.made_by is None or kind in ADMINS:
        kept.made_by = me.id
    if again and kept.enabled is not False:
        kept.next_at = schedules.following(kept, now())
    return kept if mandating.keep(draft, kept, mandate, before) else None
