"""Chat over the API: read on from a turn, said once however often it is sent, and nothing of what is foreign."""

from __future__ import annotations

import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.orm import Session

from domain import chat
from domain.chat import Mention, Message, Thread
from domain.inventory import Division, Host, Person
from tests.webui.program import Program, problem, program


@pytest.fixture
def his(app: Flask, session: Session, keeper: Person) -> Program:
    """The program of Budi, who is in charge of the division Gudang."""
    return program(app, session, keeper)


@pytest.fixture
def machine(session: Session, keeper: Person) -> Host:
    """A machine of Budi's."""
    made = Host(name="pc-01", address="10.0.0.1", division_id=keeper.memberships[0].division_id)
    session.add(made)
    session.commit()
    return made


def test_a_program_finds_a_thread_says_something_once_and_reads_on(
    his: Program, machine: Host, session: Session, person: Person
) -> None:
    (thread,) = his.get(f"/threads?machine={machine.id}").get_json()["items"]
    assert (thread["kind"], thread["name"], thread["turn"], thread["unread"]) == ("machine", "pc-01", 0, 0)
    there = f"/threads/{thread['id']}/messages"
    for _ in range(3):
        said = his.post(there, {"text": "@rina the backup is done", "client": "backup-1"})
        assert said.status_code == 201, said.text
    told = said.get_json()
    assert (told["number"], told["turn"], told["name"]) == (1, 1, "Budi")
    assert said.headers["Location"].endswith(f"/threads/{thread['id']}/messages/{told['id']}")
    assert len(session.scalars(select(Message)).all()) == 1
    assert list(session.scalars(select(Mention.person_id))) == [person.id]
    chat.line(session, host_id=machine.id, kind="incident.opened", detail={"incident": 3, "state": "down"})
    session.commit()
    edited = his.patch(f"{there}/{told['id']}", {"text": "The backup is done."}).get_json()
    assert (edited["number"], edited["turn"], edited["edited"]) == (1, 3, True)
    news = his.get(f"{there}?after=1").get_json()["items"]
    assert [(one["turn"], one["kind"], one["text"]) for one in news] == [
        (2, "line", "Incident #3: the whole machine – down"), (3, "said", "The backup is done."),
    ]  # fmt: skip
    first = his.get(f"{there}?limit=1").get_json()
    rest = his.get(f"{there}?limit=1&cursor={first['next']}").get_json()
    assert [one["number"] for one in (*first["items"], *rest["items"])] == [1, 2]
    assert [one["thread"] for one in his.get("/messages?q=backup").get_json()["items"]] == [thread["id"]]
    assert his.delete(f"{there}/{told['id']}").status_code == 204
    gone = his.get(f"{there}/{told['id']}").get_json()
    assert gone["gone"] and gone["text"] == ""
    assert his.post(f"/threads/{thread['id']}/read", {"number": 3}).status_code == 201


def test_what_is_foreign_is_missing_and_reading_is_not_writing(
    app: Flask, his: Program, machine: Host, session: Session, keeper: Person, person: Person
) -> None:
    other = Host(name="pc-kasir", address="10.0.0.2", division=Division(name="Kasir"))
    session.add(other)
    session.commit()
    foreign = session.scalars(select(Thread.id).where(Thread.host_id == other.id)).one()
    own = session.scalars(select(Thread.id).where(Thread.host_id == machine.id)).one()
    session.add(Message(thread_id=foreign, author_id=person.id, author="Rina", client="x" * 8, body="a foreign word"))
    session.commit()
    message = session.scalars(select(Message.id)).one()
    for number in (foreign, 987654):
        problem(his.get(f"/threads/{number}"), 404)
        problem(his.get(f"/threads/{number}/messages"), 404)
        problem(his.get(f"/threads/{number}/messages/{message}"), 404)
        problem(his.post(f"/threads/{number}/messages", {"text": "hello"}), 404)
        problem(his.post(f"/threads/{number}/read", {"number": 1}), 404)
        problem(his.delete(f"/threads/{number}/messages/{message}"), 404)
    assert his.get(f"/threads?machine={other.id}").get_json()["items"] == []
    assert his.get("/messages?q=foreign").get_json()["items"] == []
    reader = program(app, session, keeper, ["read"])
    assert reader.get(f"/threads/{own}/messages").status_code == 200
    problem(reader.post(f"/threads/{own}/messages", {"text": "hello"}), 403)


def test_what_is_wrong_is_named(his: Program, machine: Host, session: Session) -> None:
    own = session.scalars(select(Thread.id).where(Thread.host_id == machine.id)).one()
    there = f"/threads/{own}/messages"
    assert "write something" in problem(his.post(there, {"text": " "}), 409)["detail"]
    assert problem(his.post(there, {"text": "x" * 4001}), 422)["errors"][0]["pointer"] == "#/text"
    assert problem(his.post(there, {"text": "x", "client": "!"}), 422)["errors"][0]["pointer"] == "#/client"
    his.post(there, {"text": "mine", "client": "12345678"})
    message = session.scalars(select(Message)).one()
    hers = f"{there}/{message.id}"
    message.author_id = None
    session.commit()
    assert "not your message" in problem(his.patch(hers, {"text": "x"}), 409)["detail"]
