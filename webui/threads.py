"""Threads as people read them: which there are, what they are called, what was said, and what is not read yet."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from flask import abort
from sqlalchemy import ColumnElement, Select, and_, func, literal, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import aliased

from domain.chat import NAME, Mention, Message, Picture, Seen, Thread, heard_by, theirs
from domain.clock import now
from domain.inventory import Division, Host, Membership, Person
from webui import access, store, trouble
from webui.language import gettext

PAGE = 60
"""Messages on a page."""
LISTED = 100
FOUND = 50
UNREAD_FOR = timedelta(days=30)
"""What is older and not read is no call to read it any more."""
MOST_UNREAD = 100


@dataclass(frozen=True)
class Place:
    """A thread with its name, and how many messages in it this person has not read."""

    row: Thread
    name: str
    unread: int = 0
    last: str = ""

    @property
    def id(self) -> int:
        """Its number."""
        return self.row.id


@dataclass(frozen=True)
class Drawn:
    """A picture of a message."""

    id: int
    width: int
    height: int


@dataclass(frozen=True)
class Said:
    """A message as it is shown: `parts` are its text, each with the name of whoever it names, or none."""

    row: Message
    parts: tuple[tuple[str, str], ...]
    pictures: tuple[Drawn, ...]

    @property
    def gone(self) -> bool:
        """Whether its author took it back."""
        return self.row.gone_at is not None


def mine() -> ColumnElement[bool]:
    """The threads of whoever asks, as a condition on Thread."""
    return theirs(access.person())


def one(thread_id: int) -> Place:
    """A thread this person may read; any other is 404, as if it did not exist."""
    found = store.session().scalar(select(Thread).where(Thread.id == thread_id, mine()))
    if found is None:
        abort(404)
    return Place(found, names([found])[found.id], unread([found.id]).get(found.id, 0))


def about(column: Any, number: int) -> Thread:
    """The thread of a machine, an incident or a division; 404 where this person may not read it."""
    found = store.session().scalar(select(Thread).where(column == number, mine()))
    if found is None:
        abort(404)
    return found


def own() -> Thread:
    """This person's thread with the administrators."""
    return about(Thread.person_id, access.person().id)


def listed() -> list[Place]:
    """Where something was said, the latest first; one's own divisions and administrators are always there."""
    me = access.person()
    places = select(Membership.division_id).where(Membership.person_id == me.id)
    wanted = or_(Thread.said > 0, Thread.person_id == me.id, Thread.division_id.in_(places))
    rows = list(
        store.session().scalars(
            select(Thread).where(mine(), wanted).order_by(Thread.said_at.desc().nulls_last(), Thread.id).limit(LISTED)
        )
    )
    called, waiting = names(rows), unread([row.id for row in rows])
    last = _lasts(rows)
    return [Place(row, called[row.id], waiting.get(row.id, 0), last.get(row.id, "")) for row in rows]


def offered(words: str) -> list[Place]:
    """Threads that can be begun: machines and divisions whose name holds these words; with none the first ones."""
    like = f"%{words.replace('%', '').replace('_', '')}%"
    found = (
        select(Thread)
        .outerjoin(Host, Host.id == Thread.host_id)
        .outerjoin(Division, Division.id == Thread.division_id)
        .outerjoin(Person, Person.id == Thread.person_id)
        .where(mine(), Thread.kind != "incident")
        .where(or_(Host.name.ilike(like), Division.name.ilike(like), and_(Person.name.ilike(like), Person.active)))
        .order_by(Thread.kind, func.coalesce(Division.name, Host.name, Person.name))
        .limit(30)
    )
    rows = list(store.session().scalars(found))
    called = names(rows)
    return [Place(row, called[row.id]) for row in rows]


def names(rows: Sequence[Thread]) -> dict[int, str]:
    """What these threads are called, by number, in the language of whoever reads."""
    session, me = store.session(), access.person()

    def of(table: Any, wanted: set[int | None]) -> dict[int, str]:
        return dict(session.execute(select(table.id, table.name).where(table.id.in_(wanted - {None}))).all())

    hosts, divisions = of(Host, {row.host_id for row in rows}), of(Division, {row.division_id for row in rows})
    people = of(Person, {row.person_id for row in rows if row.person_id != me.id})
    cases = {
        case.row.id: f"#{case.row.id} {case.title}"
        for case in trouble.several(session, _any_case(), [row.incident_id for row in rows if row.incident_id])
    }
    called = {}
    for row in rows:
        if row.kind == "direct":
            called[row.id] = (
                gettext("The administrators")
                if row.person_id == me.id
                else gettext("%(name)s with the administrators", name=people.get(row.person_id or 0, "?"))
            )
        elif row.kind == "incident":
            called[row.id] = cases.get(row.incident_id or 0, f"#{row.incident_id}")
        else:
            called[row.id] = hosts.get(row.host_id or 0) or divisions.get(row.division_id or 0) or "?"
    return called


def _any_case() -> ColumnElement[bool]:
    """Whoever may read an incident's thread may read its title."""
    return literal(True)


def unread(threads: Sequence[int] | None = None) -> dict[int, int]:
    """How many messages this person has not read, by thread; of these threads, or of all that are theirs."""
    me = access.person()
    since = max(me.created_at, now() - UNREAD_FOR)
    read = func.coalesce(Seen.number, 0)
    asked = (
        select(Message.thread_id, func.count())
        .join(Thread, Thread.id == Message.thread_id)
        .outerjoin(Seen, and_(Seen.thread_id == Thread.id, Seen.person_id == me.id))
        .where(Thread.said_at > since, Thread.said > read, Message.number > read, Message.at > since)
        .where(Message.kind == "said", Message.gone_at.is_(None), Message.author_id.is_distinct_from(me.id))
        .group_by(Message.thread_id)
    )
    asked = asked.where(mine()) if threads is None else asked.where(Thread.id.in_(threads))
    counted: dict[int, int] = dict(store.session().execute(asked).all())
    return counted


def read_until(thread_id: int) -> int:
    """How far this person has read there."""
    wanted = select(Seen.number).where(Seen.thread_id == thread_id, Seen.person_id == access.person().id)
    return store.session().scalar(wanted) or 0


def read(thread_id: int, number: int) -> None:
    """They have read all up to `number`, and never less than before; the caller commits."""
    row = insert(Seen).values(thread_id=thread_id, person_id=access.person().id, number=number)
    store.session().execute(
        row.on_conflict_do_update(
            index_elements=[Seen.thread_id, Seen.person_id],
            set_={"number": func.greatest(Seen.number, row.excluded.number)},
        )
    )


def told(thread_id: int, *, before: int | None = None, after: int | None = None, count: int = PAGE) -> list[Said]:
    """Messages of a thread in their order: the newest, or those before a number, or those that changed after a turn."""
    wanted = _of(thread_id)
    if after is not None:
        rows = list(store.session().scalars(wanted.where(Message.turn > after).order_by(Message.turn).limit(count)))
        return said(sorted(rows, key=lambda row: row.number or 0))
    if before is not None:
        wanted = wanted.where(Message.number < before)
    rows = list(store.session().scalars(wanted.order_by(Message.number.desc()).limit(count)))
    return said(rows[::-1])


def around(thread_id: int, number: int) -> list[Said]:
    """Messages about the one with this number: a page that ends some way after it."""
    later = _of(thread_id).where(Message.number >= number).order_by(Message.number).limit(PAGE // 3)
    end = max((row.number or 0 for row in store.session().scalars(later)), default=0)
    return told(thread_id, before=end + 1)


def message(thread_id: int, message_id: int) -> Message:
    """One message of a thread this person may read, or 404."""
    wanted = _of(thread_id).join(Thread).where(Message.id == message_id, mine())
    found: Message | None = store.session().scalar(wanted.execution_options(populate_existing=True))
    if found is None:
        abort(404)
    return found


def found(words: str) -> list[tuple[Said, Place]]:
    """Messages with all these words, newest first, among those this person may read."""
    rows = list(
        store.session().scalars(
            select(Message)
            .join(Thread)
            .where(mine(), Message.kind == "said", Message.number.is_not(None))
            .where(Message.words.op("@@")(func.websearch_to_tsquery("simple", words)))
            .order_by(Message.at.desc(), Message.id.desc())
            .limit(FOUND)
        )
    )
    threads = list(store.session().scalars(select(Thread).where(Thread.id.in_({row.thread_id for row in rows}))))
    called = names(threads)
    places = {row.id: Place(row, called[row.id]) for row in threads}
    return [(one, places[one.row.thread_id]) for one in said(rows)]


def said(rows: Sequence[Message]) -> list[Said]:
    """These messages with their pictures and the people they name."""
    session, ids = store.session(), [row.id for row in rows]
    pictures: dict[int, list[Drawn]] = {}
    for id, of, width, height in session.execute(
        select(Picture.id, Picture.message_id, Picture.width, Picture.height)
        .where(Picture.message_id.in_(ids))
        .order_by(Picture.id)
    ):
        pictures.setdefault(of, []).append(Drawn(id, width, height))
    named: dict[int, dict[str, str]] = {}
    for of, login, name in session.execute(
        select(Mention.message_id, Person.login, Person.name)
        .join(Person, Person.id == Mention.person_id)
        .where(Mention.message_id.in_(ids))
    ):
        named.setdefault(of, {})[login] = name
    return [Said(row, parts(row.body, named.get(row.id, {})), tuple(pictures.get(row.id, ()))) for row in rows]


def parts(body: str, named: dict[str, str]) -> tuple[tuple[str, str], ...]:
    """A text in pieces: (piece, "") of plain ones, (@login, name) of whoever is named there."""
    pieces, at = list[tuple[str, str]](), 0
    for hit in NAME.finditer(body):
        name = named.get(hit[1].lower())
        if name:
            pieces += [(body[at : hit.start()], ""), (hit[0], name)]
            at = hit.end()
    pieces.append((body[at:], ""))
    return tuple(piece for piece in pieces if piece[0])


def people(thread_id: int) -> list[tuple[int, str, str]]:
    """(id, login, name) of everybody who may read a thread, as far as whoever asks may know of them; by name."""
    asked = select(Person.id, Person.login, Person.name).where(Person.id.in_(heard_by(thread_id)))
    return [(id, login, name) for id, login, name in store.session().execute(asked.order_by(Person.name, Person.id))]


def _of(thread_id: int) -> Select[Any]:
    return select(Message).where(Message.thread_id == thread_id, Message.number.is_not(None))


def _lasts(rows: Iterable[Thread]) -> dict[int, str]:
    """The last thing somebody said in each, shortened."""
    wanted = [(row.id, row.said) for row in rows if row.said]
    if not wanted:
        return {}
    one = aliased(Message)
    asked = select(one.thread_id, one.author, one.body, one.gone_at).where(
        or_(*(and_(one.thread_id == id, one.number == number) for id, number in wanted))
    )
    return {
        id: f"{author}: {body[:120]}" if gone is None else ""
        for id, author, body, gone in store.session().execute(asked)
    }
