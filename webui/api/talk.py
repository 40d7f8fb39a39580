"""Chat for programs: threads, what was said in them, and saying something, as the pages do."""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import Annotated, Literal

from flask import request
from pydantic import AfterValidator, Field
from sqlalchemy import select, text

from domain.chat import LONGEST, Message, Thread
from domain.rights import Right
from webui import chatlines, saying, store, threads
from webui.api.layer import Made, Routes
from webui.api.shapes import Id, Line, Model, Page, Paged, after, page, plain

routes = Routes("Chat")
Body = Annotated[str, AfterValidator(plain), Field(max_length=LONGEST)]


class Chosen(Paged):
    """Which threads, by their number; without more all of yours."""

    kind: Literal["machine", "incident", "division", "direct"] | None = None
    machine: Annotated[Id | None, Field(description="The number of a machine.")] = None
    incident: Annotated[Id | None, Field(description="The number of an incident.")] = None
    division: Annotated[Id | None, Field(description="The number of a division.")] = None
    said: Annotated[Literal["yes", "no"], Field(description="Only where somebody said something.")] = "no"


class Talk(Model):
    """A thread. Exactly one of `machine`, `incident`, `division` and `person` says what it is about.

    `turn` counts everything that happened in it; `unread` is how many messages of others you have not read.
    """

    id: int
    kind: str
    name: str
    machine: int | None
    incident: int | None
    division: int | None
    person: int | None
    turn: int
    unread: int
    said_at: datetime | None


class Told(Model):
    """A message, or with the kind `line` what happened, in words. `number` is its place in the thread.

    `turn` is the thread's turn when it last changed. `author` is the number of a person, null for what came in from
    elsewhere. Taken back (`gone`), it has no text any more.
    """

    id: int
    number: int
    turn: int
    at: datetime
    kind: str
    author: int | None
    name: str
    text: str
    pictures: int
    edited: bool
    gone: bool


class Found(Told):
    """A message that was found, and the thread it stands in."""

    thread: int


class Following(Paged):
    """From where on: `after` a turn come the messages that were said or changed since, in the order of their turns."""

    after: Annotated[int | None, Field(ge=0, le=2**62, description="The last `turn` that is known.")] = None


class Saying(Model):
    """What is to be said. Sent again with the same `client` it is the same message, and not said twice."""

    text: Body
    client: Annotated[str | None, Field(pattern=f"^{saying.SHAPE.pattern}$")] = None


class Better(Model):
    """The other words."""

    text: Body


class Reading(Model):
    """Up to which message you have read."""

    number: Annotated[int, Field(ge=0, le=2**62)]


class Searching(Model):
    """Which words; a message holds all of them, as whole words."""

    q: Annotated[Line, Field(min_length=1)]


class Finds(Model):
    """The newest messages with these words."""

    items: list[Found]


@routes.get("/threads")
def index(query: Chosen) -> Page[Talk]:
    """The threads you may read, by their number."""
    wanted = select(Thread).where(threads.mine(), Thread.id > after(query.cursor))
    for column, value in (
        (Thread.kind, query.kind),
        (Thread.host_id, query.machine),
        (Thread.incident_id, query.incident),
        (Thread.division_id, query.division),
    ):
        if value is not None:
            wanted = wanted.where(column == value)
    if query.said == "yes":
        wanted = wanted.where(Thread.said > 0)
    rows = list(store.session().scalars(wanted.order_by(Thread.id).limit(query.limit + 1)))
    called, waiting = threads.names(rows), threads.unread([row.id for row in rows])
    return page(
        rows, query.limit, lambda row: row.id,
        lambda row: _talk(threads.Place(row, called[row.id], waiting.get(row.id, 0))),
    )  # fmt: skip


@routes.get("/threads/{thread_id}")
def show(thread_id: int) -> Talk:
    """One thread."""
    return _talk(threads.one(thread_id))


@routes.get("/threads/{thread_id}/messages")
def messages(thread_id: int, query: Following) -> Page[Told]:
    """What was said in a thread, oldest first; or what changed since a turn."""
    threads.one(thread_id)
    count = query.limit + 1
    order = Message.number if query.after is None else Message.turn
    since = max(after(query.cursor), query.after or 0)
    wanted = select(Message).where(Message.thread_id == thread_id, order > since).order_by(order).limit(count)
    rows = threads.said(list(store.session().scalars(wanted)))
    return page(rows, query.limit, lambda one: (one.row.number if query.after is None else one.row.turn) or 0, _told)


@routes.post("/threads/{thread_id}/messages", Right.TALK)
def say(thread_id: int, body: Saying) -> Made[Told]:
    """Say something. Whoever is named (@login) and may read it is told by their own ways."""
    threads.one(thread_id)
    said = saying.say(thread_id, body.text, body.client or secrets.token_urlsafe(18))
    there = f"{request.path.rsplit('/', 1)[0]}/messages/{said.id}"
    return Made(_now(said), there)


@routes.get("/threads/{thread_id}/messages/{message_id}")
def message(thread_id: int, message_id: int) -> Told:
    """One message."""
    return _told(threads.said([threads.message(thread_id, message_id)])[0])


@routes.patch("/threads/{thread_id}/messages/{message_id}", Right.TALK, row=Message, now=message)
def edit(thread_id: int, message_id: int, body: Better) -> Told:
    """Put one's own message into other words, within 15 minutes."""
    row = threads.message(thread_id, message_id)
    saying.edit(row, body.text)
    return _now(row)


@routes.delete("/threads/{thread_id}/messages/{message_id}", Right.TALK)
def remove(thread_id: int, message_id: int) -> None:
    """Take one's own message back, within 15 minutes: its place stays, and nothing of it."""
    saying.take_back(threads.message(thread_id, message_id))


@routes.post("/threads/{thread_id}/read", Right.SEE)
def read(thread_id: int, body: Reading) -> Made[Talk]:
    """You have read all up to a message."""
    place = threads.one(thread_id)
    threads.read(thread_id, min(body.number, place.row.turn))
    return Made(_talk(threads.one(thread_id)), request.path.rsplit("/", 1)[0])


@routes.get("/messages")
def search(query: Searching) -> Finds:
    """The newest messages you may read that hold all these words."""
    found = threads.found(query.q)
    return Finds(items=[Found(**_told(one).model_dump(), thread=place.id) for one, place in found])


def _now(row: Message) -> Told:
    """It as it stands from the commit on: its place is given now, and not a moment later."""
    session = store.session()
    session.flush()
    session.execute(text("set constraints place immediate"))
    session.refresh(row)
    return _told(threads.said([row])[0])


def _talk(place: threads.Place) -> Talk:
    row = place.row
    return Talk(
        id=row.id, kind=row.kind, name=place.name, machine=row.host_id, incident=row.incident_id,
        division=row.division_id, person=row.person_id, turn=row.turn, unread=place.unread, said_at=row.said_at,
    )  # fmt: skip


def _told(one: threads.Said) -> Told:
    row = one.row
    return Told(
        id=row.id, number=row.number or 0, turn=row.turn or 0, at=row.at, kind=row.kind, author=row.author_id,
        name=row.author, text=chatlines.sentence(row) if row.kind == "line" else row.body, pictures=len(one.pictures),
        edited=row.edited_at is not None, gone=one.gone,
    )  # fmt: skip
