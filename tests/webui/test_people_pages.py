"""People: added, put into divisions, switched off; and what somebody in charge of one division sees, and does not."""

from __future__ import annotations

import re

import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.orm import Session

from domain.inventory import Division, Host, Membership, Person
from domain.inventory import Session as Opened
from domain.records import Incident
from tests.webui.cast import Town, Visitor

NEW = {"login": "siti", "name": "Siti", "password": "", "role": "none", "active": "yes", "division": "", "part": "pic"}


def test_somebody_new_gets_a_password_once_and_a_division(
    rina: Visitor, app: Flask, session: Session, person: Person
) -> None:
    answer = rina.post("/people/new", {**NEW, "division": "Gudang", "part": "deputy"})
    assert answer.status_code == 200
    found = re.search(r'<code class="mono breakable">((?:\w{4}-){3}\w{4})</code>', answer.text)
    assert found
    siti = session.scalars(select(Person).where(Person.login == "siti")).one()
    assert [(one.division.name, one.role) for one in siti.memberships] == [("Gudang", "deputy")]
    assert Visitor(app.test_client()).login("siti", found[1]).status_code == 303
    listed = rina.get("/people").text
    assert "Gudang: Deputy" in listed and found[1] not in listed
    assert "Cannot be told anything" in listed


def test_a_typed_first_password_is_not_shown_and_must_be_good(rina: Visitor, session: Session) -> None:
    weak = rina.post("/people/new", {**NEW, "password": "password1234"})
    assert weak.status_code == 422 and "password1234" not in weak.text
    good = rina.post("/people/new", {**NEW, "password": "tidy river wagon moss"})
    assert good.status_code == 303


@pytest.mark.parametrize(
    "change, sentence",
    [
        ({"login": ""}, "Please fill in this field."),
        ({"login": "Siti Aminah"}, "small letters, digits"),
        ({"login": "rina"}, "has this name to log in with already"),
        ({"name": ""}, "Please fill in this field."),
        ({"role": "owner"}, "Please choose one of the values offered."),
        ({"part": "boss"}, "Please choose one of the values offered."),
    ],
)
def test_a_faulty_person_is_not_made(rina: Visitor, session: Session, change: dict[str, str], sentence: str) -> None:
    answer = rina.post("/people/new", {**NEW, **change})
    assert answer.status_code == 422
    assert sentence in answer.text
    assert [one.login for one in session.scalars(select(Person))] == ["rina"]


def test_switching_off_ends_every_session_at_once(
    rina: Visitor, budi: Visitor, keeper: Person, session: Session
) -> None:
    division = keeper.memberships[0].division_id
    form = {
        "name": "Budi",
        "role": "none",
        "shown": division,
        f"role-{division}-pic": "yes",
        "division": "",
        "part": "pic",
    }
    assert budi.get("/").status_code == 200
    assert rina.post(f"/people/{keeper.id}", form).status_code == 303
    assert session.scalars(select(Opened).where(Opened.person_id == keeper.id)).all() == []
    assert budi.get("/").status_code == 302
    assert rina.post(f"/people/{keeper.id}", {**form, "active": "yes", f"role-{division}-pic": ""}).status_code == 303
    session.expire_all()
    assert keeper.active and keeper.memberships == []


def test_a_new_password_ends_the_old_one_and_every_session(rina: Visitor, budi: Visitor, keeper: Person) -> None:
    answer = rina.post(f"/people/{keeper.id}/password", {}, page=f"/people/{keeper.id}")
    assert re.search(r'<code class="mono breakable">(\w{4}-){3}\w{4}</code>', answer.text)
    assert budi.get("/").status_code == 302
    assert budi.login("budi").status_code == 422


def test_the_last_administrator_stays_one(rina: Visitor, person: Person, session: Session) -> None:
    form = {"name": "Rina", "role": "none", "active": "yes", "division": "", "part": "pic"}
    answer = rina.post(f"/people/{person.id}", form)
    assert answer.status_code == 422 and "cannot take this from yourself" in answer.text
    answer = rina.post(f"/people/{person.id}", {**form, "role": "admin", "active": ""})
    assert answer.status_code == 422
    session.expire_all()
    assert (person.role, person.active) == ("admin", True)


def own(town: Town, session: Session) -> tuple[Host, Host, Incident, Incident]:
    """A machine of Budi's division, one of nobody's, and an incident of each."""
    mine, other = town.machine("gudang-01", "10.0.0.12", "down", reason="Silent."), town.machine("secret-01", "10.0.0.13", "down")  # fmt: skip
    mine.division = session.scalars(select(Division).where(Division.name == "Gudang")).one()
    cases = [
        Incident(subject=f"host:{one.id}", host_id=one.id, state="down", since=town.now, opened_at=town.now)
        for one in (mine, other)
    ]
    session.add_all(cases)
    session.commit()
    return mine, other, cases[0], cases[1]


def test_whoever_is_in_charge_sees_and_takes_in_hand_their_own_machines_alone(
    budi: Visitor, keeper: Person, town: Town, session: Session
) -> None:
    _mine, other, case, hidden = own(town, session)
    for path in ("/", "/machines", "/machines/rows", "/incidents", "/maintenance", "/notifications", "/me", "/sites"):
        page = budi.get(path)
        assert page.status_code == 200, path
        assert "secret-01" not in page.text, path
    assert "gudang-01" in budi.get("/machines").text
    assert "gudang-01" in budi.get("/").text
    assert budi.get(f"/machines/{other.id}").status_code == 404
    assert budi.get(f"/incidents/{hidden.id}").status_code == 404
    assert budi.post(f"/incidents/{case.id}/acknowledge", {"term": "4h"}, page=f"/incidents/{case.id}").status_code == 303  # fmt: skip
    session.expire_all()
    assert case.owner_id == keeper.id
    assert budi.post(f"/incidents/{hidden.id}/acknowledge", {}, page="/").status_code == 404


def test_an_incident_is_handed_only_to_somebody_who_sees_its_machine(
    budi: Visitor, keeper: Person, person: Person, town: Town, session: Session
) -> None:
    _mine, _other, case, _hidden = own(town, session)
    stranger = Person(login="tono", name="Tono", password_hash="", role="none")
    stranger.memberships = [Membership(division=Division(name="HR"), role="pic")]
    session.add(stranger)
    session.commit()
    page = f"/incidents/{case.id}"
    assert "Rina" in budi.get(page).text and "Tono" not in budi.get(page).text
    assert budi.post(f"{page}/hand-over", {"to": stranger.id}, page=page).status_code == 404
    assert budi.post(f"{page}/hand-over", {"to": person.id}, page=page).status_code == 303


def test_nothing_that_is_shown_leads_to_a_refusal(budi: Visitor, keeper: Person, town: Town, session: Session) -> None:
    own(town, session)
    seen, waiting = set[str](), ["/"]
    while waiting and len(seen) < 80:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        answer = budi.get(path)
        assert answer.status_code in (200, 302, 303), f"{path}: {answer.status_code}"
        if answer.mimetype != "text/html":
            continue
        found = re.findall(r'(?:href|action)="(/[^"#]*)', answer.text)
        routes = budi.client.application.url_map.bind("localhost")
        waiting += [link.replace("&amp;", "&") for link in found if not re.match(r"/(static|logout|appearance)|.*\.(csv|js)", link) and routes.test(link.split("?")[0], "GET")]  # fmt: skip
    assert len(seen) > 10
