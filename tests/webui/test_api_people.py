"""People over the API: made, invited by mail, changed, seated and switched off; and what a program may not do with them."""

from __future__ import annotations

import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.orm import Session

from config import vault
from domain.audit import Audit
from domain.identity import Ticket
from domain.inventory import Division, Person
from domain.recipients import Channel
from domain.requests import Trial
from tests.webui.cast import PASSWORD, Visitor
from tests.webui.program import Program, problem, program


@pytest.fixture
def hers(app: Flask, session: Session, person: Person) -> Program:
    """Rina's program."""
    return program(app, session, person)


@pytest.fixture
def shed(session: Session) -> Division:
    """The division Gudang."""
    made = Division(name="Gudang")
    session.add(made)
    session.commit()
    return made


@pytest.fixture
def mail(app: Flask, session: Session) -> Channel:
    """A mail server that is set up, and the notifier's key."""
    settings = app.config["PANTAU"]
    vault.create(settings.notifier_key, settings.notifier_public)
    channel = Channel(kind="email", name="Mail", options={"host": "mail.example.com"}, seal_id="x")
    session.add(channel)
    session.commit()
    return channel


def test_somebody_is_made_seated_and_invited_by_mail_and_no_link_is_answered(
    hers: Program, session: Session, shed: Division, mail: Channel
) -> None:
    told = {"login": "siti", "name": "Siti", "email": "siti@example.com", "divisions": [{"division": shed.id, "role": "pic"}], "invite": True}  # fmt: skip
    made = hers.post("/people", told, Idempotency_Key="k")
    assert made.status_code == 201, made.text
    siti = made.get_json()
    assert siti["divisions"] == [{"division": {"id": shed.id, "name": "Gudang"}, "role": "pic"}]
    assert "/in/" not in made.text
    assert hers.get(made.headers["Location"].removeprefix("/api/v1")).get_json() == siti
    assert hers.post("/people", told, Idempotency_Key="k").get_json()["id"] == siti["id"]
    session.rollback()
    assert session.scalars(select(Ticket.person_id)).all() == [siti["id"]]
    assert session.scalars(select(Trial)).one().asked["address"] == {"mailbox": "siti@example.com"}
    row = session.get(Person, siti["id"])
    assert row is not None and row.password_hash == "" and row.email_sure
    kinds = set(session.scalars(select(Audit.what).where(Audit.on == f"person:{siti['id']}")))
    assert kinds == {"person.made", "membership.made", "person.invited"}


def test_what_is_sent_changes_and_nothing_else(hers: Program, session: Session, keeper: Person) -> None:
    other = Division(name="Keuangan")
    session.add(other)
    session.commit()
    path = f"/people/{keeper.id}"
    before = hers.get(path).get_json()
    after = hers.patch(path, {"phone": "+62 812 3456 7890"}).get_json()
    assert after == before | {"phone": "+62 812 3456 7890"}
    seats = [{"division": other.id, "role": "staff"}, {"division": other.id, "role": "viewer"}]
    after = hers.patch(path, {"divisions": seats, "role": "viewer"}).get_json()
    assert [(one["division"]["name"], one["role"]) for one in after["divisions"]] == [
        ("Keuangan", "staff"),
        ("Keuangan", "viewer"),
    ]
    assert after["role"] == "viewer"
    assert hers.patch(path, {"divisions": []}).get_json()["divisions"] == []


def test_whoever_is_switched_off_is_out_at_once(hers: Program, budi: Visitor, keeper: Person) -> None:
    assert budi.get("/me").status_code == 200
    assert hers.patch(f"/people/{keeper.id}", {"active": False}).get_json()["active"] is False
    assert budi.get("/me").status_code == 302
    assert budi.login("budi", PASSWORD).status_code == 422
    problem(hers.post(f"/people/{keeper.id}/invitation"), 409)


def test_what_would_let_a_stolen_token_outlive_itself_is_refused(
    hers: Program, session: Session, person: Person, keeper: Person, mail: Channel
) -> None:
    boss = Person(login="boss", name="Boss", password_hash="x", role="admin")
    session.add(boss)
    session.commit()
    problem(hers.patch(f"/people/{keeper.id}", {"role": "admin"}), 422)
    problem(hers.post("/people", {"login": "x", "name": "X", "role": "admin"}), 422)
    problem(hers.post("/people", {"login": "x", "name": "X", "password": "tidy river wagon moss"}), 422)
    for one in (boss, person):
        problem(hers.patch(f"/people/{one.id}", {"email": "evil@example.com"}), 409)
        problem(hers.patch(f"/people/{one.id}", {"active": False}), 409)
        problem(hers.post(f"/people/{one.id}/invitation"), 409)
    problem(hers.post(f"/people/{keeper.id}/invitation"), 409)  # he has a password
    assert sorted(session.scalars(select(Person.login))) == ["boss", "budi", "rina"]


@pytest.mark.parametrize(
    "body, status, pointer",
    [
        ({"login": "Bad Name", "name": "X"}, 422, "#/login"),
        ({"login": "rina", "name": "X"}, 409, "#/login"),
        ({"login": "x", "name": "  "}, 422, "#/name"),
        ({"login": "x", "name": "X", "email": "nowhere"}, 422, "#/email"),
        ({"login": "x", "name": "X", "phone": "call me"}, 422, "#/phone"),
        ({"login": "x", "name": "X", "role": "owner"}, 422, "#/role"),
        ({"login": "x", "name": "X", "divisions": [{"division": 99, "role": "pic"}]}, 422, "#/divisions/0/division"),
        ({"login": "x", "name": "X", "divisions": [{"division": 1, "role": "boss"}]}, 422, "#/divisions/0/role"),
    ],
)
def test_what_is_wrong_is_named_and_nobody_is_made(
    hers: Program, session: Session, body: dict[str, object], status: int, pointer: str
) -> None:
    told = problem(hers.post("/people", body), status)
    assert pointer in [one["pointer"] for one in told["errors"]], told
    assert session.scalars(select(Person.login)).all() == ["rina"]


def test_without_a_mail_server_nobody_is_invited_by_a_program(hers: Program, session: Session) -> None:
    told = {"login": "siti", "name": "Siti", "email": "siti@example.com", "invite": True}
    problem(hers.post("/people", told), 409)
    assert session.scalars(select(Person.login)).all() == ["rina"]
    assert hers.post("/people", told | {"invite": False}).status_code == 201


def test_it_takes_the_scope_of_an_administrator(app: Flask, session: Session, person: Person, keeper: Person) -> None:
    narrow = program(app, session, person, scopes=("read", "edit"))
    problem(narrow.post("/people", {"login": "x", "name": "X"}), 403)
    problem(narrow.patch(f"/people/{keeper.id}", {"active": False}), 403)
