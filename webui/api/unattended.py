"""What happens unattended, for programs: schedules and remedies, set up, followed, paused, run. Agreeing takes a person."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from flask import abort, url_for
from pydantic import Field
from sqlalchemy import select
from sqlalchemy.orm import joinedload
from werkzeug.datastructures import MultiDict

from domain import mandates, remedies, schedules
from domain.approving import Denied
from domain.jobs import Firing, Mandate, Schedule, ScheduleRun
from domain.jobs import Remedy as RemedyRow
from domain.rights import Right
from webui import access, hours, jobs, jobwords, mandating, store
from webui import remedies as pages
from webui.api.layer import Made, Routes, grave
from webui.api.problems import Refusal
from webui.api.shapes import Id, Line, Model, Named, Page, Paged, Words, after, page

routes = Routes("Unattended")
KINDS = Literal["action", "report", "discovery", "backup"]
DOES = Literal["host.restart", "service.restart", "service.start", "service.stop", "runbook.run"]


class Order(Model):
    """What is done, where and why, for which others must agree once.

    Either `machine` or `group` (their numbers); of a group in a `division` only its machines. `service.*` takes `service`,
    `runbook.run` `runbook` (its number) and `values` by name. The approval holds for `days`.
    """

    machine: Id | None = None
    group: Id | None = None
    division: Id | None = None
    do: DOES
    service: Line = ""
    runbook: Id | None = None
    values: dict[str, Line] = Field(default_factory=dict)
    reason: Annotated[Words, Field(min_length=1, max_length=1000)]
    days: Annotated[int, Field(ge=1, le=180)] = 90


class Planned(Model):
    """A schedule: when (`expression` of cron, in `zone`), and what, by its `kind`.

    An `action` takes `order`; a `report` `people` (their numbers) and a `division` or none for every machine; a `discovery`
    `addresses` as on its page, `rate`, `trace` and `people`; a `backup` `keep`.
    """

    name: Annotated[Line, Field(min_length=1, max_length=100)]
    kind: KINDS
    expression: Line
    zone: Line = ""
    overlap: Literal["skip", "wait"] = "skip"
    grace: Annotated[int, Field(ge=1, le=1440, description="Minutes it may be late.")] = 60
    order: Order | None = None
    division: Id | None = None
    people: Annotated[list[Id], Field(max_length=500)] = Field(default_factory=list)
    addresses: Annotated[str, Field(max_length=20_000)] = ""
    rate: Annotated[float, Field(ge=2, le=2000)] = 100
    trace: bool = False
    keep: Annotated[int, Field(ge=1, le=365)] = 7


class Agreement(Model):
    """How a standing approval stands, and whose answers it has."""

    state: str
    order: str
    kind: str
    params: dict[str, Any]
    machines: list[Named]
    agreed: int
    needs: int
    until: datetime | None
    asked_by: str | None
    asked_at: datetime
    reason: str
    days: int


class Ran(Model):
    """One run: when it was due, how it went, and what came of it."""

    id: int
    due: datetime
    why: str
    state: str
    begun_at: datetime | None
    ended_at: datetime | None
    ending: str
    output: str
    requests: list[int]


class Scheduled(Model):
    """A schedule as it is: `words` say when, `next` are the next five moments (none while it is paused)."""

    id: int
    name: str
    kind: KINDS
    division: Named | None
    expression: str
    zone: str
    words: str
    overlap: str
    grace: int
    enabled: bool
    next: list[datetime]
    last: Ran | None
    agreement: Agreement | None


class Reading(Model):
    """An expression in words, and its next moments."""

    words: str
    next: list[datetime]


class Expression(Model):
    """An expression of cron and the zone it is meant in; the installation's where none is given."""

    expression: Line
    zone: Line = ""


class Treatment(Model):
    """A remedy: in which states of what, after how many seconds, in which hours (`from` and `until` such as 22:00; days from
    Monday = 0), what is done. It begins dry."""

    name: Annotated[Line, Field(min_length=1, max_length=100)]
    check_kind: Line = ""
    states: Annotated[list[Literal["down", "critical", "warning"]], Field(min_length=1, max_length=3)]
    after: Annotated[int, Field(ge=0, le=86400)] = 120
    from_: Annotated[str, Field(alias="from", max_length=5)] = ""
    until: Annotated[str, Field(max_length=5)] = ""
    days: Annotated[list[Annotated[int, Field(ge=0, le=6)]], Field(max_length=7)] = Field(default_factory=list)
    zone: Line = ""
    order: Order


class Fired(Model):
    """A remedy met an incident: what it did, or why not."""

    at: datetime
    state: str
    because: str
    machine: Named
    incident: int
    request: int | None


class Remedy(Model):
    """A remedy as it is; without `live` it only writes down what it would have done."""

    id: int
    name: str
    division: Named | None
    words: str
    check_kind: str
    states: list[str]
    after: int
    from_: Annotated[str, Field(serialization_alias="from")]
    until: str
    days: list[int]
    zone: str
    live: bool
    enabled: bool
    agreement: Agreement


@routes.get("/jobs")
def index(query: Paged) -> Page[Scheduled]:
    """The schedules you may know of."""
    rows = select(Schedule).where(mandating.seen(Schedule), Schedule.id > after(query.cursor)).order_by(Schedule.id)
    found = list(store.session().scalars(rows.options(joinedload(Schedule.division)).limit(query.limit + 1)))
    return page(found, query.limit, lambda one: one.id, _schedule)


@routes.post("/jobs", Right.ASK)
def make(body: Planned) -> Made[Scheduled]:
    """Set one up. An action waits for those who must agree."""
    if body.kind in jobs.ADMINS and not access.can(Right.ADMIN):
        raise Refusal(403, "This is for administrators.")
    row = _built(jobs.build(None, body.kind, _typed(body)))
    return Made(_schedule(row), url_for("api.unattended_show", schedule_id=row.id))


@routes.get("/jobs/next")
def preview(query: Expression) -> Reading:
    """When an expression comes next; sets nothing up."""
    found = jobs.read(query.expression, query.zone)
    if found["wrong"]:
        raise Refusal(422, str(found["wrong"]), parameter="expression")
    return Reading(words=found["said"], next=list(found["coming"]))


@routes.get("/jobs/{schedule_id}")
def show(schedule_id: int) -> Scheduled:
    """One schedule."""
    return _schedule(jobs.schedule(schedule_id))


@routes.put("/jobs/{schedule_id}", Right.ASK, row=Schedule, now=show)
def change(schedule_id: int, body: Planned) -> Scheduled:
    """Make it what is sent; its kind stays. What people agreed to is agreed to anew if anything of it is another."""
    row = _own(schedule_id)
    if body.kind != row.kind:
        raise Refusal(422, "A schedule keeps its kind.", pointer="#/kind")
    return _schedule(_built(jobs.build(row, row.kind, _typed(body))))


@routes.delete("/jobs/{schedule_id}", Right.ASK, row=Schedule, now=show)
def delete(schedule_id: int) -> None:
    """Delete it with its history."""
    row, session = _own(schedule_id), store.session()
    schedules.gone(session, row)
    if row.mandate is not None:
        session.delete(row.mandate)
    session.delete(row)


@routes.get("/jobs/{schedule_id}/runs")
def runs(schedule_id: int, query: Paged) -> Page[Ran]:
    """Its runs, newest first."""
    row = jobs.schedule(schedule_id)
    wanted = select(ScheduleRun).where(ScheduleRun.schedule_id == row.id).order_by(ScheduleRun.id.desc())
    if (last := after(query.cursor)) > 0:
        wanted = wanted.where(ScheduleRun.id < last)
    found = list(store.session().scalars(wanted.limit(query.limit + 1)))
    return page(found, query.limit, lambda one: one.id, lambda one: _ran(row.kind, one))


@routes.post("/jobs/{schedule_id}/run", Right.ASK, refusals=(409,))
def run(schedule_id: int) -> Scheduled:
    """Have it run once now, beside its hours."""
    row = _own(schedule_id)
    if not schedules.run_now(store.session(), row, access.person()):
        raise Refusal(409, "It is running already, or about to.")
    return _schedule(row)


@routes.post("/jobs/{schedule_id}/pause", Right.ASK)
def pause(schedule_id: int) -> Scheduled:
    """Pause it."""
    row = _own(schedule_id)
    schedules.pause(store.session(), row, enabled=False)
    return _schedule(row)


@routes.post("/jobs/{schedule_id}/resume", Right.ASK)
def resume(schedule_id: int) -> Scheduled:
    """Have it go on; what came meanwhile is not made up for."""
    row = _own(schedule_id)
    schedules.pause(store.session(), row, enabled=True)
    return _schedule(row)


@routes.post("/jobs/{schedule_id}/renew", Right.ASK, refusals=(409,))
def renew(schedule_id: int) -> Scheduled:
    """Ask those who must agree anew."""
    row = _own(schedule_id)
    if row.mandate is None:
        raise Refusal(409, "Nobody has to agree to this.")
    _renew(row.mandate)
    return _schedule(row)


@routes.get("/remedies")
def remedy_index(query: Paged) -> Page[Remedy]:
    """The remedies you may know of."""
    rows = select(RemedyRow).where(mandating.seen(RemedyRow), RemedyRow.id > after(query.cursor)).order_by(RemedyRow.id)
    found = list(store.session().scalars(rows.limit(query.limit + 1)))
    return page(found, query.limit, lambda one: one.id, _remedy)


@routes.post("/remedies", Right.ASK)
def remedy_make(body: Treatment) -> Made[Remedy]:
    """Set one up; it begins dry, and waits for those who must agree."""
    row = _built(pages.build(None, _treated(body)))
    return Made(_remedy(row), url_for("api.unattended_remedy_show", remedy_id=row.id))


@routes.get("/remedies/{remedy_id}")
def remedy_show(remedy_id: int) -> Remedy:
    """One remedy."""
    return _remedy(pages.remedy(remedy_id))


@routes.put("/remedies/{remedy_id}", Right.ASK, row=RemedyRow, now=remedy_show)
def remedy_change(remedy_id: int, body: Treatment) -> Remedy:
    """Make it what is sent; if anything of it is another, it is dry again, and agreed to anew."""
    return _remedy(_built(pages.build(pages.own(remedy_id), _treated(body))))


@routes.delete("/remedies/{remedy_id}", Right.ASK, row=RemedyRow, now=remedy_show)
def remedy_delete(remedy_id: int) -> None:
    """Delete it with its history."""
    row, session = pages.own(remedy_id), store.session()
    session.delete(row.mandate)
    session.delete(row)


@routes.get("/remedies/{remedy_id}/met")
def remedy_met(remedy_id: int, query: Paged) -> Page[Fired]:
    """The incidents it met, newest first."""
    row = pages.remedy(remedy_id)
    wanted = (
        select(Firing).where(Firing.remedy_id == row.id).options(joinedload(Firing.host)).order_by(Firing.id.desc())
    )
    if (last := after(query.cursor)) > 0:
        wanted = wanted.where(Firing.id < last)
    found = list(store.session().scalars(wanted.limit(query.limit + 1)))
    return page(found, query.limit, lambda one: one.id, _fired)


@routes.post("/remedies/{remedy_id}/pause", Right.ASK)
def remedy_pause(remedy_id: int) -> Remedy:
    """Pause it."""
    row = pages.own(remedy_id)
    pages.switch(row, enabled=False)
    return _remedy(row)


@routes.post("/remedies/{remedy_id}/resume", Right.ASK)
def remedy_resume(remedy_id: int) -> Remedy:
    """Have it go on with what comes from now."""
    row = pages.own(remedy_id)
    pages.switch(row, enabled=True)
    return _remedy(row)


@routes.post("/remedies/{remedy_id}/dry", Right.ASK)
def remedy_dry(remedy_id: int) -> Remedy:
    """Have it only show what it would do. To have it act takes a person on its page."""
    row = pages.own(remedy_id)
    remedies.turn(store.session(), row, live=False)
    return _remedy(row)


@routes.post("/remedies/{remedy_id}/renew", Right.ASK, refusals=(409,))
def remedy_renew(remedy_id: int) -> Remedy:
    """Ask those who must agree anew."""
    row = pages.own(remedy_id)
    _renew(row.mandate)
    return _remedy(row)


def _renew(mandate: Mandate) -> None:
    try:
        mandates.renew(store.session(), mandate, access.person())
    except Denied as error:
        raise Refusal(409, jobwords.denied(error)) from None


def _own(schedule_id: int) -> Schedule:
    row = jobs.schedule(schedule_id)
    if not jobs.theirs(row):
        abort(403)
    return row


def _built(built: jobs.Built[Any]) -> Any:
    """The row; raises Refusal with the first thing that is wrong."""
    if built.saved is None:
        field, sentence = built.draft.fault()
        raise Refusal(422, f"{field}: {sentence}" if field else sentence)
    if built.grave:
        grave()
    return built.saved


def _typed(body: Planned) -> MultiDict[str, str]:
    typed: MultiDict[str, str] = MultiDict({
        "name": body.name, "expression": body.expression, "zone": body.zone or store.settings().zone, "overlap": body.overlap,
        "grace": str(body.grace), "addresses": body.addresses, "rate": f"{body.rate:g}", "keep": str(body.keep),
        "trace": "yes" if body.trace else "", "division_id": str(body.division or ""),
    })  # fmt: skip
    typed.setlist("people", [str(one) for one in body.people])
    if body.kind == "action":
        if body.order is None:
            raise Refusal(422, "An action needs an order.", pointer="#/order")
        _order(typed, body.order)
    return typed


def _treated(body: Treatment) -> MultiDict[str, str]:
    typed: MultiDict[str, str] = MultiDict({
        "name": body.name, "check_kind": body.check_kind, "after": str(body.after), "from": body.from_, "to": body.until,
        "zone": body.zone or store.settings().zone,
    })  # fmt: skip
    typed.setlist("states", list(body.states))
    typed.setlist("weekdays", [str(one) for one in body.days])
    _order(typed, body.order)
    return typed


def _order(typed: MultiDict[str, str], order: Order) -> None:
    if (order.machine is None) is (order.group is None):
        raise Refusal(422, "Name either a machine or a group.", pointer="#/order")
    typed["target"] = f"host:{order.machine}" if order.machine else f"group:{order.group}"
    reach = access.divisions(Right.ASK)
    division = order.division if order.division is not None or reach is None else min(reach, default=0)
    typed["division_id"] = str(division or "")
    typed["do"], typed["service"], typed["runbook"] = order.do, order.service, str(order.runbook or "")
    typed["values"] = "\n".join(f"{name} = {value}" for name, value in order.values.items())
    typed["reason"], typed["days"] = order.reason, str(order.days)


def _schedule(row: Schedule) -> Scheduled:
    session = store.session()
    session.flush()
    last = session.scalar(select(ScheduleRun).where(ScheduleRun.schedule_id == row.id).order_by(ScheduleRun.due.desc()).limit(1))  # fmt: skip
    return Scheduled(
        id=row.id, name=row.name, kind=row.kind, division=Named(id=row.division.id, name=row.division.name) if row.division else None,
        expression=row.expression, zone=row.zone, words=jobs.sentence(row), overlap=row.overlap, grace=row.grace_s // 60,
        enabled=row.enabled, next=jobs.coming(row), last=_ran(row.kind, last) if last else None,
        agreement=_agreement(row.mandate) if row.mandate else None,
    )  # fmt: skip


def _ran(kind: str, one: ScheduleRun) -> Ran:
    return Ran(
        id=one.id, due=one.due, why=one.why, state=one.state, begun_at=one.begun_at, ended_at=one.ended_at,
        ending=jobwords.ending(kind, one.outcome), output=one.output, requests=list(one.requests),
    )  # fmt: skip


def _agreement(mandate: Mandate) -> Agreement:
    card = mandating.card(mandate)
    row, stands = card["row"], card["stands"]
    return Agreement(
        state=stands.state, order=card["order"], kind=row.kind, params=row.params,
        machines=[Named(id=host.id, name=host.name) for host in card["machines"]], agreed=stands.agreed, needs=stands.needs,
        until=stands.until, asked_by=row.asker.login if row.asker else None, asked_at=row.asked_at, reason=row.reason,
        days=row.days,
    )  # fmt: skip


def _remedy(row: RemedyRow) -> Remedy:
    store.session().flush()
    return Remedy(
        id=row.id, name=row.name, division=Named(id=row.division.id, name=row.division.name) if row.division else None,
        words=pages.sentence(row), check_kind=row.check_kind, states=list(row.states), after=row.after_s,
        from_=hours.said(row.from_minute), until=hours.said(row.to_minute), days=list(row.days), zone=row.zone, live=row.live,
        enabled=row.enabled, agreement=_agreement(row.mandate),
    )  # fmt: skip


def _fired(one: Firing) -> Fired:
    return Fired(
        at=one.at, state=one.state, because=jobwords.because(one.detail), machine=Named(id=one.host.id, name=one.host.name),
        incident=one.incident_id, request=one.request_id,
    )  # fmt: skip
