"""Actions at machines for programs: asked for, followed, taken back. Agreeing takes a person who shows who they are."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from flask import abort, url_for
from pydantic import Field
from sqlalchemy import select

from domain import approving
from domain.actions import OPEN, Request, Runbook, Step
from domain.approving import Denied
from domain.inventory import Host
from domain.orders import SERVICE
from domain.rights import Right
from webui import abilities, access, approvals, doings, impact, store
from webui.api.layer import Made, Routes, only_tried
from webui.api.problems import Refusal
from webui.api.shapes import Id, Line, Model, Named, Page, Paged, Words, after, page

routes = Routes("Actions")
STEPS = 500


class Chosen(Paged):
    """Which requests, newest first."""

    state: Literal["open", "ended"] | None = None
    machine: Annotated[Id | None, Field(description="The number of a machine.")] = None


class Asking(Model):
    """An order for a machine, and why.

    `service.*` takes `service`; `vm.restart` `hypervisor` (the number of its machine) and `guest`; `runbook.run` `runbook`
    (its number) and `values` by name; `host.restart` nothing more.
    """

    machine: Id
    kind: Literal["host.restart", "service.restart", "service.start", "service.stop", "vm.restart", "runbook.run"]
    reason: Annotated[Words, Field(min_length=1, max_length=1000)]
    service: Line | None = None
    hypervisor: Id | None = None
    guest: Line | None = None
    runbook: Id | None = None
    values: dict[str, Line] | None = None


class Answer(Model):
    """What somebody said to it."""

    person: str
    agrees: bool
    reason: str
    at: datetime


class Asked(Model):
    """A request: what, where, why, who, and how it stands. `ending` says how it ended."""

    id: int
    machine: Named
    kind: str
    params: dict[str, Any]
    order: str
    reason: str
    state: str
    made_by: str | None
    made_at: datetime
    expires_at: datetime
    needs: int
    local: int
    by: str
    glass: bool
    answers: list[Answer]
    approved_at: datetime | None
    claimed_at: datetime | None
    sent_at: datetime | None
    ended_at: datetime | None
    ending: str


class Logged(Model):
    """One line of its log."""

    at: datetime
    code: str
    words: str


class Followed(Asked):
    """A request with its log."""

    log: list[Logged]


class Services(Model):
    """The services of a machine that may be touched, as it calls them."""

    services: Annotated[list[Line], Field(max_length=50)]


@routes.get("/requests")
def index(query: Chosen) -> Page[Asked]:
    """The requests at your machines, newest first."""
    rows = approvals.rows()
    if query.state is not None:
        rows = rows.where(Request.state.in_(OPEN) if query.state == "open" else Request.state.not_in(OPEN))
    if query.machine is not None:
        rows = rows.where(Request.host_id == query.machine)
    if (last := after(query.cursor)) is not None:
        rows = rows.where(Request.id < last)
    found = list(store.session().scalars(rows.order_by(Request.id.desc()).limit(query.limit + 1)))
    return page(found, query.limit, lambda one: one.id, _told)


@routes.get("/requests/{request_id}")
def show(request_id: int) -> Followed:
    """One request, with its log."""
    one = _request(request_id)
    steps = store.session().scalars(select(Step).where(Step.request_id == one.id).order_by(Step.id.desc()).limit(STEPS))
    log = [Logged(at=line.at, code=line.code, words=doings.step(line.code, line.detail)) for line in steps]
    return Followed(**_told(one).model_dump(), log=log[::-1])


@routes.post("/requests", Right.ASK, refusals=(409,))
def make(body: Asking) -> Made[Asked]:
    """Ask for an action. Others agree on their own pages, or nothing is done."""
    session = store.session()
    host = session.scalar(select(Host).where(Host.id == body.machine, access.visible(access.person())))
    if host is None:
        raise Refusal(422, f"There is no machine {body.machine}.", pointer="#/machine")
    if not access.can(Right.ASK, host.division_id):
        raise Refusal(403, "You may not ask for actions at this machine.")
    params = body.model_dump(exclude={"machine", "kind", "reason"}, exclude_none=True)
    if body.kind == "runbook.run":
        params.setdefault("values", {})
    try:
        one = approving.ask(
            session, access.person(), host, body.kind, params, body.reason,
            impact=impact.of(host).kept(), **approving.occasion(session, host),
        )  # fmt: skip
    except Denied as error:
        raise _refusal(error) from None
    return Made(_told(one), url_for("api.actions_show", request_id=one.id))


@routes.post("/requests/{request_id}/cancel", Right.ASK, refusals=(409,))
def cancel(request_id: int) -> Asked:
    """Take it back before it begins."""
    one = _request(request_id)
    try:
        return _told(approving.cancel(store.session(), one.id, access.person()))
    except Denied as error:
        raise _refusal(error) from None


@routes.get("/machines/{host_id}/services", Right.EDIT)
def services(host_id: int) -> Services:
    """The services of a machine that may be touched."""
    host = access.host(host_id, Right.EDIT)
    return Services(services=abilities.services(host))


@routes.put("/machines/{host_id}/services", Right.EDIT)
def allow(host_id: int, body: Services) -> Services:
    """Make the list what is sent."""
    host = access.host(host_id, Right.EDIT)
    for at, name in enumerate(body.services):
        if not SERVICE.fullmatch(name):
            raise Refusal(422, f"'{name[:60]}' is no name of a service.", pointer=f"#/services/{at}")
    if set(abilities.services(host)) == set(body.services):
        only_tried()
    abilities.allow(host, body.services)
    return Services(services=sorted(set(body.services)))


def _refusal(error: Denied) -> Refusal:
    return Refusal({"right": 403, "open": 409, "quiet": 409, "over": 409}.get(error.code, 422), doings.not_done(error))


def _request(request_id: int) -> Request:
    found = store.session().scalar(approvals.rows().where(Request.id == request_id))
    if found is None:
        abort(404)
    return found


def _told(one: Request) -> Asked:
    number = one.params.get("runbook")
    book = store.session().get(Runbook, number) if isinstance(number, int) else None
    return Asked(
        id=one.id, machine=Named(id=one.host.id, name=one.host.name), kind=one.kind, params=one.params,
        order=doings.order(one.kind, one.params, book.name if book else ""), reason=one.reason, state=one.state,
        made_by=one.maker.login if one.maker else None, made_at=one.made_at, expires_at=one.expires_at, needs=one.needs,
        local=one.local, by=one.by, glass=one.glass,
        answers=[Answer(person=vote.person.login, agrees=vote.agrees, reason=vote.reason, at=vote.at) for vote in one.votes],
        approved_at=one.approved_at, claimed_at=one.claimed_at, sent_at=one.sent_at, ended_at=one.ended_at,
        ending=doings.ending(one.outcome),
    )  # fmt: skip
