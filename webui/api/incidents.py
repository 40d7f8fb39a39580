"""Incidents for programs: read, taken in hand, handed over, noted, closed, put together, as the pages do."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Literal

from flask_babel import get_timezone
from pydantic import Field
from sqlalchemy import select

from domain.clock import now
from domain.inventory import Division, Person
from domain.records import Incident
from domain.rights import Right
from webui import access, cases, handling, store, trouble
from webui.api.layer import Routes
from webui.api.problems import Refusal
from webui.api.shapes import Id, Line, Model, Named, Page, Paged, Words, after, page
from webui.handling import TERMS

routes = Routes("Incidents")
assert TERMS == ("1h", "4h", "tomorrow", "open")


class Chosen(Paged):
    """Which incidents, newest first. Those that stand under another one are left out unless `parts` is yes."""

    state: Literal["open", "closed"] | None = None
    machine: Annotated[Id | None, Field(description="The number of a machine.")] = None
    division: Annotated[Line | None, Field(description="The name of a division.")] = None
    owner: Annotated[Literal["me", "nobody"] | None, Field(description="Who has it in hand.")] = None
    parts: Literal["yes", "no"] = "no"


class Case(Model):
    """An incident. `about` is its check or measure, empty for the whole machine; without a machine it is our own line."""

    id: int
    title: str
    machine: Named | None
    about: str
    state: str
    since: datetime
    opened_at: datetime
    closed_at: datetime | None
    cause: str
    failure: str | None
    owner: Named | None
    acknowledged_at: datetime | None
    acknowledged_until: datetime | None
    note: str
    closing: str
    under: int | None
    machines_behind: int
    parts: int


class Step(Model):
    """One line of its history, newest first."""

    at: datetime
    words: str
    state: str
    who: str
    quote: str
    incident: int | None
    machines: list[Named]


class Whole(Case):
    """An incident with its history, and whether a person may close it now."""

    closable: bool
    history: list[Step]


class Taking(Model):
    """For how long one has it: hours, until tomorrow morning, or until it is over."""

    term: Literal["1h", "4h", "tomorrow", "open"] = "4h"
    note: Words = ""


class HandingOver(Model):
    """To whom: the number of a person."""

    to: Id
    note: Words = ""


class Remark(Model):
    """What is to stand in its history."""

    text: Annotated[Words, Field(min_length=1)]


class Closing(Model):
    """What it was."""

    cause: Annotated[Words, Field(min_length=1)]


class Merging(Model):
    """Under which incident it is to stand."""

    into: Id


@routes.get("/incidents")
def index(query: Chosen) -> Page[Case]:
    """The incidents of your machines, newest first."""
    owner = {"me": access.person().id, "nobody": 0}.get(query.owner or "")
    division = None
    if query.division is not None:
        found = select(Division.id).where(Division.name == query.division)
        division = store.session().scalar(found) or 0
    chosen = trouble.Filter(query.state or "", owner, query.machine, division)
    rows = trouble.paged(
        store.session(), access.within(Right.SEE), chosen, after(query.cursor), query.limit + 1, query.parts == "yes"
    )
    return page(rows, query.limit, lambda one: one.row.id, _case)


@routes.get("/incidents/{incident_id}")
def show(incident_id: int) -> Whole:
    """One incident, with everything that happened."""
    one, session = cases.seen(incident_id), store.session()
    steps = trouble.history(session, one.row, access.within(Right.SEE))
    told = [
        Step(
            at=step.at, words=step.words, state=step.state, who=step.who, quote=step.quote, incident=step.incident,
            machines=[Named(id=id, name=name) for id, name in step.machines],
        )
        for step in steps
    ]  # fmt: skip
    return Whole(**_case(one).model_dump(), closable=handling.closable(session, one.row), history=told)


@routes.post("/incidents/{incident_id}/acknowledge", Right.HANDLE, row=Incident, now=show)
def acknowledge(incident_id: int, body: Taking) -> Whole:
    """Take it in hand: reminders are silent meanwhile."""
    moment = now()
    until = handling.term(body.term, moment, str(get_timezone()))
    return _do(
        incident_id,
        lambda row, who: handling.acknowledge(store.session(), row, who, moment, until, body.note),
    )


@routes.post("/incidents/{incident_id}/hand-over", Right.HANDLE, row=Incident, now=show)
def hand_over(incident_id: int, body: HandingOver) -> Whole:
    """Somebody else has it from now on, who may handle it."""
    to = store.session().get(Person, body.to)
    if to is None or not handling.may(store.session(), cases.seen(incident_id).row, to):
        raise Refusal(422, "There is no such person who may handle it.", pointer="#/to")
    return _do(
        incident_id, lambda row, who: handling.hand_over(store.session(), row, who, to, now(), body.note.strip())
    )


@routes.post("/incidents/{incident_id}/give-back", Right.HANDLE, row=Incident, now=show)
def give_back(incident_id: int) -> Whole:
    """Nobody has it in hand any more."""
    return _do(incident_id, lambda row, who: handling.give_back(store.session(), row, who, now()))


@routes.post("/incidents/{incident_id}/notes", Right.HANDLE, row=Incident, now=show)
def note(incident_id: int, body: Remark) -> Whole:
    """A note in its history."""
    return _do(incident_id, lambda row, who: handling.remark(store.session(), row, who, now(), body.text))


@routes.post("/incidents/{incident_id}/close", Right.HANDLE, row=Incident, now=show)
def close(incident_id: int, body: Closing) -> Whole:
    """Say what it was.

    One that is not over yet is closed only where it cannot end by itself, or all is well again.
    """
    return _do(incident_id, lambda row, who: handling.close(store.session(), row, who, now(), body.cause))


@routes.post("/incidents/{incident_id}/merge", Right.HANDLE, row=Incident, now=show)
def merge(incident_id: int, body: Merging) -> Whole:
    """It has the cause of another incident, and stands under that one from now on."""
    if trouble.one(store.session(), access.within(Right.SEE), body.into) is None:
        raise Refusal(422, "There is no such incident.", pointer="#/into")
    into = cases.locked(incident_id, body.into)[body.into]
    return _do(incident_id, lambda row, who: handling.merge(store.session(), row, into, who, now()))


@routes.post("/incidents/{incident_id}/split", Right.HANDLE, row=Incident, now=show)
def split(incident_id: int) -> Whole:
    """It has a cause of its own after all."""
    return _do(incident_id, lambda row, who: handling.split(store.session(), row, who, now()))


def _do(incident_id: int, act: Callable[[Incident, Person], None]) -> Whole:
    cases.change(incident_id, act)
    store.session().flush()
    store.session().expire_all()
    whole: Whole = show(incident_id)
    return whole


def _case(one: trouble.Case) -> Case:
    row, host = one.row, one.row.host_id
    return Case(
        id=row.id, title=one.title, machine=Named(id=host, name=one.machine) if host is not None else None,
        about=one.about, state=row.state, since=row.since, opened_at=row.opened_at, closed_at=row.closed_at,
        cause=row.cause, failure=row.failure_kind,
        owner=Named(id=row.owner_id, name=one.owner) if row.owner_id is not None else None,
        acknowledged_at=row.acknowledged_at, acknowledged_until=row.acknowledged_until, note=row.note,
        closing=row.closing, under=row.merged_into, machines_behind=one.members, parts=one.parts,
    )  # fmt: skip
