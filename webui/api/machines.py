"""Machines for programs: found, added, changed, removed; and how each of them is now."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from flask import url_for
from pydantic import Field, ValidationError
from sqlalchemy import ColumnElement, select

from domain.clock import now
from domain.inventory import Check, Credential, Division, Host, HostGroup, Site
from domain.rights import Right
from webui import access, addresses, applying, checks, edit, entries, looked, machines, store, watched
from webui.api.layer import Made, Routes, grave
from webui.api.problems import Refusal, invalid
from webui.api.shapes import Line, Model, Named, Page, Paged, after, page
from webui.written import Look, Machine, Name

routes = Routes("Machines")
State = Literal["down", "critical", "unreachable", "warning", "unknown", "pending", "up", "disabled"]


class Chosen(Paged):
    """Which machines."""

    q: Annotated[Line, Field(description="Words of which each is a part of the name, the address or a group.")] = ""
    status: State | None = None
    division: Annotated[Line | None, Field(description="The name of a division.")] = None
    site: Annotated[Line | None, Field(description="The name of a site.")] = None
    group: Annotated[Line | None, Field(description="The name of a group.")] = None


class MachineNow(Model):
    """A machine as the list shows it. `reason` says why its newest look failed; `measure` which limit is crossed.

    `cpu`, `memory` and `disk` are shares from 0 to 1. `stale`: nobody has looked for too long, so it is unknown.
    """

    id: int
    name: str
    address: str
    division: Named | None
    site: Named | None
    groups: list[str]
    state: State
    since: datetime | None
    reason: str
    measure: str
    part: str
    amount: float | None
    unit: str
    cpu: float | None
    memory: float | None
    disk: float | None
    maintenance: bool
    flapping: bool
    stale: bool
    incident: int | None
    owner: str
    looked_at: datetime | None


class MachineEntry(Machine):
    """A machine as it is written in a document (`pantau export`), and its number."""

    id: int
    created_at: datetime
    changed_at: datetime


class Changes(Machine):
    """The fields of a machine that are to change; all others stay. `checks` and `thresholds` are whole lists."""

    name: Name = Field(default_factory=str)
    address: str = Field(default_factory=str)


class Measured(Model):
    """What one measure of one part is now. `old` says since when it is no longer true; empty while it is."""

    measure: str
    part: str
    unit: str
    value: float
    state: Literal["critical", "warning", "ok"]
    old: str


class CheckNow(Model):
    """One check of a machine, how it is, and what it brought last. `took` in seconds."""

    id: int
    name: str
    kind: str
    state: str
    looked_at: datetime | None
    next_at: datetime | None
    overdue: bool
    took: float | None
    failure: str | None
    detail: str | None
    failing_since: datetime | None
    values: list[Measured]


class MachineState(MachineNow):
    """How one machine is, with its checks and their newest values."""

    checks: list[CheckNow]


@routes.get("/machines")
def index(query: Chosen) -> Page[MachineNow]:
    """The machines you may see.

    By number, a page at a time; narrowed as on the page.
    """
    begin = after(query.cursor)
    found = _found(Host.id > begin, *_narrowed(query))
    chosen = sorted(machines.matching(found, query.q, query.status or ""), key=lambda one: one.id)
    homes = _homes([one.id for one in chosen[: query.limit]])
    return page(chosen, query.limit, lambda one: one.id, lambda one: MachineNow(**_now(one, homes)))


@routes.get("/machines/{host_id}")
def show(host_id: int) -> MachineEntry:
    """One machine, as a document says it: what is watched, and how."""
    return _entry(access.host(host_id))


@routes.get("/machines/{host_id}/state")
def state(host_id: int) -> MachineState:
    """How one machine is now: its state, its checks, and their newest values."""
    host, moment = access.host(host_id), now()
    rows = looked.checks(host, moment)
    values: dict[int, list[Measured]] = {}
    for one in looked.present(host, rows):
        told = Measured(measure=one.name, part=one.part, unit=one.unit, value=one.amount, state=one.state, old=one.old)
        values.setdefault(one.check_id, []).append(told)
    found = _found(Host.id == host.id)[0]
    checks = [_check(row, values.get(row.check.id, [])) for row in rows]
    return MachineState(**_now(found, _homes([host.id])), checks=checks)


@routes.post("/machines", Right.EDIT)
def make(body: Machine) -> Made[MachineEntry]:
    """Add a machine.

    The body is an entry of `hosts` in a document. Without `checks` it is pinged; groups, division and site that do not
    exist yet are made.
    """
    if store.session().scalar(select(Host.id).where(Host.name == body.name)) is not None:
        raise Refusal(409, "Another machine has this name. Choose another one.", pointer="#/name")
    _allowed(body)
    entries.make_true([body])
    made = _entry(entries.host(body))
    return Made(made, url_for("api.machines_show", host_id=made.id))


@routes.patch("/machines/{host_id}", Right.EDIT, row=Host, now=show)
def change(host_id: int, body: Changes) -> MachineEntry:
    """Change a machine.

    Only the fields that are sent; `checks` and `thresholds` are whole lists, known by their names.
    """
    host = access.host(host_id, Right.EDIT)
    sent = body.model_dump(by_alias=True, mode="json", exclude_unset=True)
    if body.name and body.name != host.name:
        if store.session().scalar(select(Host.id).where(Host.name == body.name)) is not None:
            raise Refusal(409, "Another machine has this name. Choose another one.", pointer="#/name")
        host.name = body.name
        store.session().flush()
    try:
        wanted = Machine.model_validate({**entries.named([host.name])[host.name], **sent})
    except ValidationError as error:
        raise invalid(error, "body") from None
    _allowed(wanted, host)
    entries.make_true([wanted])
    store.session().flush()
    return _entry(host)


@routes.delete("/machines/{host_id}", Right.EDIT, row=Host, now=show)
def delete(host_id: int) -> None:
    """Remove a machine, with its history."""
    store.session().delete(access.host(host_id, Right.EDIT))


def _allowed(wanted: Machine, before: Host | None = None) -> None:
    """Refuse what reaches beyond the divisions whose machines one may edit, or sends a stored login elsewhere."""
    _logins(wanted, before)
    _own(wanted, before)
    if access.can(Right.EDIT):
        return
    database = store.session()
    home = database.scalar(select(Division.id).where(Division.name == wanted.division)) if wanted.division else None
    if home is None or not access.can(Right.EDIT, home):
        raise Refusal(403, "The machine must be in a division whose machines you may edit.", pointer="#/division")
    mine = set(database.scalars(select(Host.name).where(access.within(Right.EDIT))))
    before_parents = {parent.name for parent in before.parents} if before else set()
    strange = [name for name in wanted.parents if name not in mine | before_parents]
    if strange:
        raise Refusal(422, f"There is no machine '{strange[0]}' to be its parent.", pointer="#/parents")


def _logins(wanted: Machine, before: Host | None) -> None:
    """Where a stored login goes is for administrators to say, who show who they are: whoever points it at a machine of
    theirs could read it."""
    aims = False
    if before is not None and before.address != wanted.address and edit.keeps_login(before):
        if not access.can(Right.ADMIN):
            raise Refusal(
                403, "A stored login goes there. Only an administrator may send it elsewhere.", pointer="#/address"
            )
        aims = True
    there = {check.name: check for check in before.checks} if before is not None else {}
    known = dict(store.session().execute(select(Credential.name, Credential.id)).all())
    for number, look in enumerate(wanted.checks or ()):
        if look.credential is None:
            continue
        if not checks.aims(there.get(look.name), look.kind, known.get(look.credential, 0), applying.stored(look)):
            continue
        if not access.can(Right.ADMIN):
            raise Refusal(
                403,
                "Only an administrator may change where a stored login goes.",
                pointer=f"#/checks/{number}/credential",
            )
        aims = True
    if aims:
        grave()


def _own(wanted: Machine, before: Host | None) -> None:
    """What Pantau's own machine is asked is for administrators to say: what listens there trusts whoever is on it."""
    if access.can(Right.ADMIN) or not addresses.own(wanted.address):
        return
    moved = before is None or before.address != wanted.address
    there = {check.name: check for check in before.checks} if before is not None else {}
    looks = {look.name or look.kind: look for look in wanted.checks or ()}
    if moved or any(_differs(there.get(name), look) for name, look in looks.items()):
        raise Refusal(
            403,
            "This is the machine Pantau runs on. Only an administrator may have it watched.",
            pointer="#/address" if moved else "#/checks",
        )


def _differs(check: Check | None, look: Look) -> bool:
    return check is None or (check.kind, check.options) != (look.kind, applying.stored(look))


def _entry(host: Host) -> MachineEntry:
    written = entries.named([host.name])[host.name]
    return MachineEntry.model_validate(
        {**written, "id": host.id, "created_at": host.created_at, "changed_at": host.changed_at}
    )


def _found(*narrowed: ColumnElement[bool]) -> list[watched.Machine]:
    only = access.within(Right.SEE)
    for one in narrowed:
        only = only & one
    return watched.machines(store.session(), only, usual=store.settings().interval)


def _narrowed(query: Chosen) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if query.division is not None:
        found.append(Host.division.has(Division.name == query.division))
    if query.site is not None:
        found.append(Host.site.has(Site.name == query.site))
    if query.group is not None:
        found.append(Host.groups.any(HostGroup.name == query.group))
    return found


def _homes(ids: list[int]) -> dict[int, tuple[Named | None, Named | None]]:
    """Division and site of each of these machines."""
    rows = store.session().execute(
        select(Host.id, Division.id, Division.name, Site.id, Site.name)
        .outerjoin(Division, Division.id == Host.division_id)
        .outerjoin(Site, Site.id == Host.site_id)
        .where(Host.id.in_(ids))
    )
    return {
        id: (
            Named(id=division, name=division_name) if division is not None else None,
            Named(id=site, name=site_name) if site is not None else None,
        )
        for id, division, division_name, site, site_name in rows
    }


def _now(one: watched.Machine, homes: dict[int, tuple[Named | None, Named | None]]) -> dict[str, Any]:
    division, site = homes.get(one.id, (None, None))
    cpu, memory, disk = one.shares
    return {
        "id": one.id, "name": one.name, "address": one.address, "division": division, "site": site,
        "groups": list(one.groups), "state": one.state, "since": one.since, "reason": one.reason,
        "measure": one.measure, "part": one.part, "amount": one.amount, "unit": one.unit,
        "cpu": cpu, "memory": memory, "disk": disk, "maintenance": one.maintenance, "flapping": one.flapping,
        "stale": one.stale, "incident": one.case.id if one.case else None, "owner": one.case.owner if one.case else "",
        "looked_at": one.sampled_at,
    }  # fmt: skip


def _check(row: looked.CheckRow, values: list[Measured]) -> CheckNow:
    latest = row.latest
    return CheckNow(
        id=row.check.id,
        name=row.check.name,
        kind=row.check.kind,
        state=row.state,
        looked_at=latest.ts if latest else None,
        next_at=row.next_at,
        overdue=row.overdue,
        took=latest.took if latest else None,
        failure=latest.failure_kind if latest else None,
        detail=latest.failure_detail if latest else None,
        failing_since=row.failing_since,
        values=values,
    )
