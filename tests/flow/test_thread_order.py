"""Threads as the database keeps them: who has one, in which order messages stand, and who may read and write them."""

from __future__ import annotations

import threading
from collections.abc import Callable

import psycopg
import pytest
from psycopg.errors import InsufficientPrivilege, UniqueViolation
from sqlalchemy import select
from sqlalchemy.orm import Session

from config.database import listening
from domain import chat
from domain.chat import HEARS, Message, Thread
from domain.clock import now
from domain.inventory import Division, Host, Membership, Person
from domain.records import Incident, IncidentMember

ME = "select set_config('pantau.person', %s, false)"
SAY = "insert into message (thread_id, author_id, author, client, body) values (%s, %s, 'x', %s, %s)"


@pytest.fixture
def cast(session: Session) -> dict[str, int]:
    """Two divisions with a machine and somebody in charge each, an administrator, a viewer, an incident: ids by name."""
    made: dict[str, Person | Host | Division | Incident] = {}
    for name in ("gudang", "kasir"):
        made[name] = division = Division(name=name)
        made[f"pc-{name}"] = Host(name=f"pc-{name}", address="10.0.0.1", division=division)
        made[f"pic-{name}"] = Person(
            login=f"pic-{name}", name=name, password_hash="-", memberships=[Membership(division=division, role="pic")]
        )
    made["rina"] = Person(login="rina", name="Rina", password_hash="-", role="admin")
    made["vera"] = Person(login="vera", name="Vera", password_hash="-", role="viewer")
    session.add_all(made.values())
    session.flush()
    cut = Incident(subject="host:1", host_id=made["pc-gudang"].id, state="down", since=now(), opened_at=now())
    own = Incident(subject="poller", state="down", since=now(), opened_at=now())
    session.add_all([cut, own])
    session.flush()
    session.add(IncidentMember(incident_id=cut.id, host_id=made["pc-kasir"].id, since=now()))
    session.commit()
    return {name: one.id for name, one in {**made, "cut": cut, "own": own}.items()}


def threads(session: Session) -> dict[str, int]:
    """Every thread by what it is about: `machine 1` and its id."""
    return {
        f"{one.kind} {one.host_id or one.incident_id or one.division_id or one.person_id}": one.id
        for one in session.scalars(select(Thread))
    }


def test_whatever_can_be_talked_about_has_its_thread_from_the_first_moment(
    session: Session, cast: dict[str, int]
) -> None:
    assert set(threads(session)) == {
        *(f"machine {cast[name]}" for name in ("pc-gudang", "pc-kasir")),
        *(f"division {cast[name]}" for name in ("gudang", "kasir")),
        *(f"direct {cast[name]}" for name in ("rina", "vera", "pic-gudang", "pic-kasir")),
        *(f"incident {cast[name]}" for name in ("cut", "own")),
    }


def test_the_rule_reads_the_same_from_both_sides_and_in_the_database(
    session: Session, cast: dict[str, int], role_url: Callable[[str], str]
) -> None:
    people = list(session.scalars(select(Person)))
    names = {number: name for name, number in threads(session).items()}
    with psycopg.connect(role_url("web"), autocommit=True) as web:
        for one in people:
            by_rule = {names[id] for id in session.scalars(select(Thread.id).where(chat.theirs(one)))}
            heard = {
                names[id]
                for id in names
                if one.id in {row[0] for row in session.connection().exec_driver_sql(HEARS, {"thread": id})}
            }
            web.execute(ME, [str(one.id)])
            by_lock = {names[row[0]] for row in web.execute("select id from thread")}
            assert by_rule == heard == by_lock, one.login
            if one.login == "pic-kasir":
                assert by_rule == {
                    f"machine {cast['pc-kasir']}", f"division {cast['kasir']}", f"direct {one.id}",
                    f"incident {cast['cut']}",
                }  # fmt: skip
            if one.login == "vera":
                assert {name for name in names.values() if name not in by_rule} == {
                    f"direct {cast[name]}" for name in ("rina", "pic-gudang", "pic-kasir")
                }


def test_whoever_is_switched_off_reads_and_writes_nothing(
    session: Session, cast: dict[str, int], role_url: Callable[[str], str]
) -> None:
    for one in session.scalars(select(Person)):
        one.active = False
    session.commit()
    of = threads(session)
    with psycopg.connect(role_url("web"), autocommit=True) as web:
        web.execute(ME, [str(cast["rina"])])
        assert web.execute("select id from thread where kind <> 'direct'").fetchall() == []
        with pytest.raises(InsufficientPrivilege):
            web.execute(SAY, [of[f"machine {cast['pc-kasir']}"], cast["rina"], "a", "I am still here"])
    for id in of.values():
        assert session.connection().exec_driver_sql(HEARS, {"thread": id}).all() == []


def test_nobody_speaks_in_a_foreign_thread_nor_in_anothers_name(
    session: Session, cast: dict[str, int], role_url: Callable[[str], str]
) -> None:
    of = threads(session)
    own, foreign = of[f"machine {cast['pc-kasir']}"], of[f"machine {cast['pc-gudang']}"]
    with psycopg.connect(role_url("web"), autocommit=True) as web:
        web.execute(ME, [str(cast["pic-kasir"])])
        web.execute(SAY, [own, cast["pic-kasir"], "a", "hello"])
        for thread, author in ((foreign, cast["pic-kasir"]), (own, cast["rina"]), (own, None)):
            with pytest.raises(InsufficientPrivilege):
                web.execute(SAY, [thread, author, "b", "hello"])
        web.execute(ME, [str(cast["rina"])])
        assert web.execute("update message set body = 'I never said that'").rowcount == 0
        with pytest.raises(InsufficientPrivilege):
            web.execute("delete from message")
        with pytest.raises(InsufficientPrivilege):
            web.execute("update thread set turn = 0")


def test_what_is_sent_twice_is_one_message(session: Session, cast: dict[str, int], database_url: str) -> None:
    thread = threads(session)[f"machine {cast['pc-kasir']}"]
    with psycopg.connect(database_url, autocommit=True) as one:
        one.execute(SAY, [thread, cast["rina"], "same", "hello"])
        with pytest.raises(UniqueViolation):
            one.execute(SAY, [thread, cast["rina"], "same", "hello"])
        one.execute(SAY, [thread, cast["pic-kasir"], "same", "hello"])


def test_a_later_commit_stands_after_an_earlier_one_whichever_began_first(
    session: Session, cast: dict[str, int], database_url: str
) -> None:
    thread = threads(session)[f"machine {cast['pc-kasir']}"]
    with psycopg.connect(database_url) as slow, psycopg.connect(database_url) as quick:
        slow.execute(SAY, [thread, cast["rina"], "1", "began first"])
        quick.execute(SAY, [thread, cast["rina"], "2", "was first"])
        quick.commit()
        slow.commit()
    rows = session.execute(select(Message.body, Message.number, Message.turn).order_by(Message.number)).all()
    assert rows == [("was first", 1, 1), ("began first", 2, 2)]


def test_an_edit_takes_a_turn_and_keeps_its_place(session: Session, cast: dict[str, int], database_url: str) -> None:
    thread = threads(session)[f"machine {cast['pc-kasir']}"]
    with listening(database_url, "chat") as heard, psycopg.connect(database_url, autocommit=True) as one:
        for number in ("1", "2"):
            one.execute(SAY, [thread, cast["rina"], number, number])
        one.execute("update message set body = 'better', edited_at = now() where client = '1'")
        told = [notice.payload.split() for notice in heard.notifies(timeout=10, stop_after=3)]
    rows = session.execute(select(Message.body, Message.number, Message.turn).order_by(Message.number)).all()
    assert rows == [("better", 1, 3), ("2", 2, 2)]
    assert [(int(one[0]), one[2], one[3]) for one in told] == [(thread, str(n), "said") for n in (1, 2, 3)]


def test_lines_stand_in_every_thread_they_belong_to_and_fall_with_their_transaction(
    session: Session, cast: dict[str, int], database_url: str
) -> None:
    with psycopg.connect(database_url) as room:
        chat.line(room, host_id=cast["pc-kasir"], incident_id=cast["cut"], kind="incident.opened", detail={"n": 1})
        room.commit()
        chat.line(room, division_id=cast["kasir"], kind="never")
        room.rollback()
    chat.line(session, division_id=cast["kasir"], kind="request.made", detail={"by": "Budi"})
    chat.line(session, division_id=999_999, kind="nowhere")
    chat.line(session, host_id=cast["pc-kasir"], kind="long", detail={"x": "y" * 5000})
    session.commit()
    names = {number: name for name, number in threads(session).items()}
    told = {(names[one.thread_id], one.detail["what"]) for one in session.scalars(select(Message))}
    assert told == {
        (f"machine {cast['pc-kasir']}", "incident.opened"), (f"incident {cast['cut']}", "incident.opened"),
        (f"division {cast['kasir']}", "request.made"), (f"machine {cast['pc-kasir']}", "long"),
    }  # fmt: skip
    assert set(session.scalars(select(Thread.said))) == {0}  # nobody said anything


def test_rooms_that_write_into_the_same_threads_the_other_way_round_do_not_stand_in_each_others_way(
    session: Session, cast: dict[str, int], role_url: Callable[[str], str]
) -> None:
    hosts, rounds = [cast["pc-kasir"], cast["pc-gudang"]], 30
    failed: list[str] = []

    def write(role: str, order: list[int]) -> None:
        try:
            with psycopg.connect(role_url(role)) as room:
                for n in range(rounds):
                    for host in order:
                        chat.line(room, host_id=host, kind=role, detail={"n": n})
                    room.execute("insert into audit (what) values ('x')")
                    room.commit()
        except psycopg.Error as error:
            failed.append(str(error))

    both = [
        threading.Thread(target=write, args=("poller", hosts)),
        threading.Thread(target=write, args=("notifier", hosts[::-1])),
    ]
    for one in both:
        one.start()
    for one in both:
        one.join(60)
    assert failed == []
    for thread in session.scalars(select(Thread).where(Thread.kind == "machine")):
        numbers = session.scalars(select(Message.number).where(Message.thread_id == thread.id).order_by(Message.number))
        assert list(numbers) == list(range(1, 2 * rounds + 1))
        assert thread.turn == 2 * rounds
