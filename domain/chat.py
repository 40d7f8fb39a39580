"""The tables of what people say to each other, who may hear it, and the way other rooms put a thin line among it.

Every machine, incident and division has a thread from its first moment, and every person one with the administrators:
the database makes them (migration "What people say to each other"). Whoever wants to say something inserts a Message.
Its place among the others is given at COMMIT, in the order of the commits, so that everybody reads the same order and
nobody who remembers how far they have read misses what was on its way.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import psycopg
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ColumnElement,
    Computed,
    ForeignKey,
    Index,
    LargeBinary,
    TextClause,
    UniqueConstraint,
    exists,
    func,
    or_,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, TSVECTOR
from sqlalchemy.orm import Mapped, Session, mapped_column

from domain import rights
from domain.inventory import Host, Membership, Person, visible
from domain.records import Incident, IncidentMember
from domain.rights import Right
from domain.table import Table

LONGEST = 4000
"""Characters of one message."""
MENTIONS = 20
"""People named in one message at most."""
CLIENT = 64
"""Characters of the name a sender gives to a message."""
NAME = re.compile(r"(?<![\w.@+-])@([a-z0-9](?:[a-z0-9._@+-]*[a-z0-9])?)", re.IGNORECASE)
"""Somebody named in a message: @ and what they log in with."""
LINES = 1000
"""Bytes of a line's detail, about: it is a few names and numbers."""


class Thread(Table):
    """Where people talk: about a machine, an incident, a division, or one person with the administrators (`direct`).

    `turn` counts everything that happened here; `said` is the number of the last message by a person, `said_at` when.
    """

    __tablename__ = "thread"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    kind: Mapped[str]
    host_id: Mapped[int | None] = mapped_column(ForeignKey("host.id", ondelete="CASCADE"), unique=True)
    incident_id: Mapped[int | None] = mapped_column(
        BigInteger, ForeignKey("incident.id", ondelete="CASCADE"), unique=True
    )
    division_id: Mapped[int | None] = mapped_column(ForeignKey("division.id", ondelete="CASCADE"), unique=True)
    person_id: Mapped[int | None] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"), unique=True)
    turn: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    said: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    said_at: Mapped[datetime | None] = mapped_column(index=True)

    __table_args__ = (
        CheckConstraint("kind in ('machine', 'incident', 'division', 'direct')", name="kind"),
        CheckConstraint("num_nonnulls(host_id, incident_id, division_id, person_id) = 1", name="one_subject"),
    )


class Message(Table):
    """What was said, or (`kind` `line`) what happened: then `detail` holds `what` and its particulars, and no text.

    `number` is its place in the thread and `turn` the thread's turn when it last changed, both given at COMMIT: a later
    commit has the greater one. `client` is the name its sender gave it: sent twice it is one message. `author` is the
    name as it was. `origin` says where it came in from elsewhere. Once `gone_at` nothing of it is left but its place.
    `detail` of what was said: {"chart": see webui/charted.py} or nothing.
    """

    __tablename__ = "message"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    thread_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("thread.id", ondelete="CASCADE"))
    number: Mapped[int | None] = mapped_column(BigInteger)
    turn: Mapped[int | None] = mapped_column(BigInteger)
    at: Mapped[datetime] = mapped_column(server_default=func.now(), index=True)
    kind: Mapped[str] = mapped_column(server_default="said")
    author_id: Mapped[int | None] = mapped_column(ForeignKey("person.id", ondelete="SET NULL"))
    author: Mapped[str] = mapped_column(server_default="")
    client: Mapped[str | None]
    origin: Mapped[str | None] = mapped_column(unique=True)
    body: Mapped[str] = mapped_column(server_default="")
    detail: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'::jsonb"))
    edited_at: Mapped[datetime | None]
    gone_at: Mapped[datetime | None]
    words: Mapped[Any] = mapped_column(
        TSVECTOR, Computed("to_tsvector('simple'::regconfig, body)", persisted=True), deferred=True
    )

    __table_args__ = (
        CheckConstraint("kind in ('said', 'line')", name="kind"),
        CheckConstraint(f"char_length(body) <= {LONGEST}", name="length"),
        UniqueConstraint("author_id", "client"),
        UniqueConstraint("thread_id", "number"),
        Index(None, "thread_id", "turn"),
        Index("message_words_idx", "words", postgresql_using="gin"),
    )


class Picture(Table):
    """A picture in a message: a JPEG that Pantau drew itself. `width` and `height` in pixels."""

    __tablename__ = "picture"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    message_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("message.id", ondelete="CASCADE"), index=True)
    width: Mapped[int]
    height: Mapped[int]
    image: Mapped[bytes] = mapped_column(LargeBinary, deferred=True)


class Mention(Table):
    """Somebody was named in a message. The notifier sets `routed_at` in the transaction that says where it goes."""

    __tablename__ = "mention"

    message_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("message.id", ondelete="CASCADE"), primary_key=True)
    person_id: Mapped[int] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"), primary_key=True, index=True)
    routed_at: Mapped[datetime | None]

    __table_args__ = (Index("mention_new_idx", "message_id", postgresql_where=text("routed_at is null")),)


class Seen(Table):
    """How far somebody has read in a thread: all up to `number`."""

    __tablename__ = "seen"

    thread_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("thread.id", ondelete="CASCADE"), primary_key=True)
    person_id: Mapped[int] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"), primary_key=True, index=True)
    number: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))


class Joint(Table):
    """A thread and a Telegram chat that are one: what is said in either is read in both (notifier/relay.py).

    `chat` and `topic` are as in the channel's Address; `title` is who brought the code. All up to `sent` was sent on;
    `trouble` says why the last of it could not be.
    """

    __tablename__ = "joint"

    thread_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("thread.id", ondelete="CASCADE"), primary_key=True)
    channel_id: Mapped[int] = mapped_column(ForeignKey("channel.id", ondelete="CASCADE"))
    chat: Mapped[str]
    topic: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    title: Mapped[str] = mapped_column(server_default="")
    sent: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    trouble: Mapped[str] = mapped_column(server_default="")
    made_by: Mapped[int | None] = mapped_column(ForeignKey("person.id", ondelete="SET NULL"))
    made_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (UniqueConstraint("channel_id", "chat", "topic"),)


def plain(body: str) -> str:
    """What is kept of a text: what cannot be seen is left out, but for what joins letters and emoji."""
    lines = body.replace("\r\n", "\n").strip()
    return "".join(c for c in lines if c in "\n\t\u200c\u200d" or unicodedata.category(c)[0] != "C").strip()


def named(body: str) -> set[str]:
    """Whom a text names, by what they log in with, in small letters; whether they exist is another question."""
    return {hit[1].lower() for hit in NAME.finditer(body)}


def theirs(person: Person) -> ColumnElement[bool]:
    """The threads `person` may read and write in, as a condition on Thread. Every query for threads carries it."""
    own = Thread.kind == "direct" if person.role == "admin" else Thread.person_id == person.id
    if Right.SEE in rights.OF[person.role]:
        return or_(Thread.kind != "direct", own)
    machines = visible(person)
    places = select(Membership.division_id).where(Membership.person_id == person.id)
    own_host = exists().where(Host.id == Thread.host_id, machines).correlate(Thread)  # whatever else a query joins
    at = exists().where(Incident.id == Thread.incident_id, Host.id == Incident.host_id, machines).correlate(Thread)
    behind = exists().where(
        IncidentMember.incident_id == Thread.incident_id, Host.id == IncidentMember.host_id, machines
    )
    return or_(own_host, at, behind.correlate(Thread), Thread.division_id.in_(places), own)


HEARS = """
select p.id from person p, thread t where t.id = %(thread)s and p.active and case t.kind
 when 'direct' then p.id = t.person_id or p.role = 'admin'
 else p.role <> 'none' or exists (select from membership m where m.person_id = p.id and (
  m.division_id = t.division_id
  or m.division_id = (select h.division_id from host h where h.id = t.host_id)
  or m.division_id = (select h.division_id from incident i join host h on h.id = i.host_id where i.id = t.incident_id)
  or m.division_id in (select h.division_id from incident_member b join host h on h.id = b.host_id
   where b.incident_id = t.incident_id))) end
"""
"""SQL: everybody who may read and write in a thread; the same rule as `theirs`, asked from the other side."""


def heard_by(thread_id: int) -> TextClause:
    """HEARS as a subquery: the ids of everybody who may read and write in that thread."""
    return text(HEARS.replace("%(thread)s", ":thread")).bindparams(thread=thread_id)


_LINE = """
insert into message (thread_id, kind, detail) select id, 'line', %s::jsonb from thread
 where host_id = %s::int or incident_id = %s::bigint or division_id = %s::int order by id
"""


def line(
    by: Session | psycopg.Connection[Any] | psycopg.Cursor[Any],
    *,
    host_id: int | None = None,
    incident_id: int | None = None,
    division_id: int | None = None,
    kind: str,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Put a thin line into the thread of each that is given, in the caller's transaction and as part of it.

    `kind` is a dotted verb such as `request.made`, `detail` a few names and numbers; webui/chatlines.py puts both into
    words when somebody reads them, in the reader's language. It may be called anywhere in a transaction: its place is
    given, and the threads locked, only at COMMIT.
    """
    asked = asked_line(host_id, incident_id, division_id, kind, detail)
    if isinstance(by, Session):
        by.flush()  # the thread of something made a moment ago
        by.connection().exec_driver_sql(_LINE, tuple(asked[1]))
    else:
        by.execute(*asked)


def asked_line(
    host_id: int | None, incident_id: int | None, division_id: int | None, kind: str, detail: Mapping[str, Any] | None
) -> tuple[str, list[Any]]:
    """The statement of `line` and its values, for whoever awaits it."""
    told = json.dumps({**(detail or {}), "what": kind}, ensure_ascii=False)
    if len(told) > LINES:
        told = json.dumps({"what": kind})
    return _LINE, [told, host_id, incident_id, division_id]
