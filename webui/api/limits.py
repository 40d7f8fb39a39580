"""Limits for programs: what holds for a machine and why, set, tried on the past, taken away."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from flask import abort, url_for
from pydantic import Field
from sqlalchemy import select

from domain.clock import now
from domain.inventory import Division, Host, HostGroup, Threshold, owner
from domain.rights import Right
from domain.thresholds import Level
from webui import access, limitedits, store, thresholds, whatif
from webui import limits as holding
from webui.api.layer import Made, Routes
from webui.api.problems import Refusal
from webui.api.shapes import Line, Model, Page, Paged, after, page
from webui.written import Limit as Written

routes = Routes("Limits")
OWNERS: dict[str, Any] = {"host": Host, "group": HostGroup, "division": Division}


class Set(Written):
    """A limit as it is written in a document, and whose it is: one of `host`, `group`, `division` by name; of all with none."""

    host: Line | None = None
    group: Line | None = None
    division: Line | None = None


class LimitRow(Model):
    """A limit, in the measure's own unit; `for` and `clear_for` in seconds. Whose it is: `whose`, and its name."""

    id: int
    whose: Literal["host", "group", "division", "all"]
    name: str
    measure: str
    part: str
    state: Literal["warning", "critical"]
    over: float | None
    under: float | None
    clear: float | None
    for_: float = Field(alias="for")
    clear_for: float


class Limits(Model):
    """Those that hold for one machine: of a measure and part only what the nearest owner says counts."""

    items: list[LimitRow]


class Episode(Model):
    """Once that the limit would have alarmed."""

    machine: int
    part: str
    begin: datetime
    end: datetime
    worst: float
    open: bool


class Tried(Model):
    """What a limit would have said of what is stored, of fourteen days at most."""

    sentence: str
    days: float
    samples: int
    episodes: list[Episode]


@routes.get("/limits", Right.SEE)
def index(query: Paged) -> Page[LimitRow]:
    """Every limit of what you may see."""
    wanted = select(Threshold).where(Threshold.id > after(query.cursor)).order_by(Threshold.id)
    reach = access.divisions(Right.SEE)
    if reach is not None:
        mine = Threshold.host_id.in_(select(Host.id).where(access.within(Right.SEE)))
        shared = Threshold.host_id.is_(None) & (Threshold.division_id.is_(None) | Threshold.division_id.in_(reach))
        wanted = wanted.where(mine | shared)
    rows = list(store.session().scalars(wanted.limit(query.limit + 1)))
    return page(rows, query.limit, lambda one: one.id, _limit)


@routes.get("/limits/{limit_id}")
def show(limit_id: int) -> LimitRow:
    """One limit."""
    return _limit(_row(limit_id))


@routes.get("/machines/{host_id}/limits")
def hold(host_id: int) -> Limits:
    """The limits that hold for a machine."""
    return Limits(items=[_limit(row) for row in holding.limits(access.host(host_id))])


@routes.post("/limits", Right.EDIT)
def make(body: Set) -> Made[LimitRow]:
    """Set a limit; 409 where the same owner has one for the same measure, part and state."""
    row = _new(body)
    same = select(Threshold).filter_by(**{name: getattr(row, name) for name in limitedits.SAME})
    if store.session().scalars(same).first() is not None:
        raise Refusal(409, "There is such a limit already. Take it away first.")
    limitedits.replace(access.person(), [], [row])
    return Made(_limit(row), url_for("api.limits_show", limit_id=row.id))


@routes.put("/limits/{limit_id}", Right.EDIT, row=Threshold, now=show)
def change(limit_id: int, body: Written) -> LimitRow:
    """Make a limit what is sent; it stays its owner's, and is another one from then on, with a number of its own."""
    before = _row(limit_id)
    _demand(before)
    values = {**_values(body), **{name: getattr(before, name) for name in limitedits.SAME[:3]}}
    row = Threshold(**values)
    same = select(Threshold).filter_by(**{name: getattr(row, name) for name in limitedits.SAME})
    if store.session().scalars(same.where(Threshold.id != before.id)).first() is not None:
        raise Refusal(409, "There is such a limit already. Take it away first.")
    limitedits.replace(access.person(), [before], [row])
    return _limit(row)


@routes.delete("/limits/{limit_id}", Right.EDIT, row=Threshold, now=show)
def delete(limit_id: int) -> None:
    """Take a limit away; what owners farther away say of the same counts from then on."""
    row = _row(limit_id)
    _demand(row)
    limitedits.replace(access.person(), [row], [])


@routes.post("/machines/{host_id}/limits/try", Right.EDIT)
def attempt(host_id: int, body: Written) -> Tried:
    """What a limit would have said of this machine's past; nothing is set."""
    host = access.host(host_id, Right.EDIT)
    level = Level(body.state, body.over, body.under, body.clear, body.for_, body.clear_for)
    answer = whatif.ask([host], body.measure, body.part, level, now(), whatif.MOST)
    return Tried(
        sentence=answer.sentence,
        days=answer.days,
        samples=answer.samples,
        episodes=[
            Episode(machine=one.host.id, part=one.part, begin=one.begin, end=one.end, worst=one.worst, open=one.open)
            for one in answer.episodes
        ],
    )


def _new(body: Set) -> Threshold:
    named = {kind: name for kind in ("host", "group", "division") if (name := getattr(body, kind)) is not None}
    if len(named) > 1:
        raise Refusal(422, "A limit is of one host, one group, one division, or of all.", pointer="#/host")
    owned = {}
    for kind, name in named.items():
        table = OWNERS[kind]
        wanted = select(table.id).where(table.name == name)
        id = store.session().scalar(wanted.where(access.within(Right.SEE)) if kind == "host" else wanted)
        if id is None:
            raise Refusal(422, f"There is no {kind} '{name}'.", pointer=f"#/{kind}")
        owned[f"{kind}_id"] = id
    row = Threshold(**_values(body), **owned)
    _demand(row)
    return row


def _values(body: Written) -> dict[str, object]:
    return {
        "measure": body.measure, "part": body.part, "state": body.state, "over": body.over, "under": body.under,
        "clear": body.clear, "for_s": body.for_, "clear_for_s": body.clear_for,
    }  # fmt: skip


def _demand(row: Threshold) -> None:
    """A machine's own limit is for whoever may edit it, what many have in common for administrators."""
    if not thresholds.theirs(row.host_id):
        raise Refusal(403, "You may not change this limit.")


def _row(limit_id: int) -> Threshold:
    found = store.session().get(Threshold, limit_id)
    if found is None:
        abort(404)
    reach = access.divisions(Right.SEE)
    if found.host_id is not None:
        access.host(found.host_id)
    elif reach is not None and found.division_id is not None and found.division_id not in reach:
        abort(404)
    return found


def _limit(row: Threshold) -> LimitRow:
    whose, id = owner(row)
    found = store.session().get(OWNERS[whose], id) if id is not None else None
    return LimitRow.model_validate({
        "id": row.id, "whose": whose, "name": found.name if found is not None else "", "measure": row.measure,
        "part": row.part, "state": row.state, "over": row.over, "under": row.under, "clear": row.clear,
        "for": row.for_s, "clear_for": row.clear_for_s,
    })  # fmt: skip
