"""Logging in by a provider of identities, and not by one who lies."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.orm import Session

from domain.identity import Foreign, Provider
from domain.inventory import Division, Person
from tests.webui.cast import Visitor
from tests.webui.oidcpeer import ID, SECRET, Issuer, issuer

MAPPING = "it = admin\nwarehouse = Gudang: pic\nwarehouse = Logistik: staff\nboss = viewer"


@pytest.fixture
def company() -> Iterator[Issuer]:
    with issuer() as running:
        yield running


def form(company: Issuer, **change: str) -> dict[str, object]:
    return {
        "label": "the company", "issuer": company.name, "client": ID, "secret": SECRET, "claim": "groups", "mapping": MAPPING,
        "makes_people": "yes", "enabled": "yes", **change,
    }  # fmt: skip


@pytest.fixture
def set_up(rina: Visitor, company: Issuer) -> Issuer:
    assert rina.post("/settings/provider", form(company)).status_code == 303
    return company


def arrive(visitor: Visitor, company: Issuer, onward: str = "") -> tuple[int, str]:
    """Through the provider and back; the status and where one is sent."""
    went = visitor.get(f"/login/provider{'?next=' + onward if onward else ''}")
    assert went.status_code == 303, went.text
    back = urlsplit(company.authorise(went.location))
    done = visitor.get(f"{back.path}?{back.query}")
    return done.status_code, done.location


def test_somebody_new_is_let_in_with_what_their_groups_mean(
    set_up: Issuer, stranger: Visitor, session: Session
) -> None:
    set_up.claims = {"preferred_username": "Siti.A", "name": "Siti", "email": "siti@example.com", "email_verified": True, "groups": ["warehouse", "x"]}  # fmt: skip
    assert "Log in with the company" in stranger.get("/login").text
    assert arrive(stranger, set_up, "/machines") == (303, "/machines")
    assert stranger.get("/").status_code == 200
    siti = session.scalars(select(Person).where(Person.login == "siti.a")).one()
    assert (siti.name, siti.email, siti.role, siti.password_hash) == ("Siti", "siti@example.com", "none", "")
    assert sorted((m.division.name, m.role) for m in siti.memberships) == [("Gudang", "pic"), ("Logistik", "staff")]


def test_groups_are_taken_over_anew_at_every_login(set_up: Issuer, app: Flask, session: Session) -> None:
    set_up.claims = {"preferred_username": "siti", "groups": ["warehouse"]}
    arrive(Visitor(app.test_client()), set_up)
    set_up.claims = {"preferred_username": "other-name-now", "groups": ["boss"]}
    arrive(Visitor(app.test_client()), set_up)
    siti = session.scalars(select(Person).where(Person.login == "siti")).one()
    assert (siti.role, siti.memberships) == ("viewer", [])
    assert len(session.scalars(select(Foreign)).all()) == 1


def test_a_verified_address_links_and_an_unverified_one_does_not(
    set_up: Issuer, rina: Visitor, app: Flask, session: Session, keeper: Person
) -> None:
    assert rina.post("/settings/provider", form(set_up, makes_people="", mapping="", secret="")).status_code == 303
    keeper.email, keeper.email_sure = "budi@example.com", True
    session.commit()
    set_up.claims = {"email": "Budi@Example.com", "email_verified": False}
    nobody = Visitor(app.test_client())
    assert arrive(nobody, set_up) == (303, "/login")
    assert "nobody here has your address" in nobody.get("/login").text
    set_up.claims["email_verified"] = True
    assert arrive(Visitor(app.test_client()), set_up) == (303, "/")
    assert session.scalars(select(Foreign.person_id)).one() == keeper.id
    session.refresh(keeper)
    assert [m.role for m in keeper.memberships] == ["pic"], "without a mapping nothing is taken over"


@pytest.mark.parametrize("lie", ["key", "none", "shared", "nonce", "aud", "issuer", "old", "azp", "name", "plain"])
def test_a_token_that_is_not_right_lets_nobody_in(
    set_up: Issuer, stranger: Visitor, session: Session, lie: str
) -> None:
    set_up.claims = {"preferred_username": "siti", "groups": ["it"]}
    went = stranger.get("/login/provider")
    back = urlsplit(set_up.authorise(went.location))
    set_up.lie = lie
    done = stranger.get(f"{back.path}?{back.query}")
    assert (done.status_code, done.location) == (303, "/login")
    assert stranger.get("/").status_code == 302
    assert [one.login for one in session.scalars(select(Person))] == ["rina"]


def test_a_login_begun_in_another_browser_is_not_ended_here(
    set_up: Issuer, stranger: Visitor, app: Flask, session: Session
) -> None:
    thief = Visitor(app.test_client())
    back = urlsplit(set_up.authorise(thief.get("/login/provider").location))
    assert stranger.get(f"{back.path}?{back.query}").location == "/login"
    stranger.get("/login/provider")
    assert stranger.get(f"{back.path}?{back.query}").location == "/login", "with a login of its own under way, too"
    assert stranger.get("/").status_code == 302


def test_a_code_is_good_once_and_only_with_the_verifier(set_up: Issuer, stranger: Visitor) -> None:
    back = urlsplit(set_up.authorise(stranger.get("/login/provider").location))
    set_up.codes = {code: {**asked, "code_challenge": "x"} for code, asked in set_up.codes.items()}
    assert stranger.get(f"{back.path}?{back.query}").location == "/login"
    assert set_up.refused == ["pkce"]


def test_the_last_administrator_stays_one_whatever_the_groups_say(
    set_up: Issuer, person: Person, app: Flask, session: Session
) -> None:
    person.email, person.email_sure = "rina@example.com", True
    session.commit()
    set_up.claims = {"email": "rina@example.com", "email_verified": True, "groups": []}
    assert arrive(Visitor(app.test_client()), set_up) == (303, "/")
    session.refresh(person)
    assert person.role == "admin"


def test_whoever_is_switched_off_here_stays_out(set_up: Issuer, app: Flask, session: Session) -> None:
    set_up.claims = {"preferred_username": "siti", "groups": []}
    arrive(Visitor(app.test_client()), set_up)
    siti = session.scalars(select(Person).where(Person.login == "siti")).one()
    siti.active = False
    session.commit()
    again = Visitor(app.test_client())
    assert arrive(again, set_up) == (303, "/login")
    assert "switched off" in again.get("/login").text


def test_a_second_factor_set_up_here_is_asked_all_the_same(
    set_up: Issuer, rina: Visitor, person: Person, app: Flask, session: Session
) -> None:
    from tests.webui.test_second import with_app

    with_app(rina)
    session.add(Foreign(issuer=set_up.name, subject="u-1", person_id=person.id))
    session.commit()
    assert arrive(Visitor(app.test_client()), set_up)[1].startswith("/login/second")


@pytest.mark.parametrize(
    "change, sentence",
    [
        ({"issuer": "http://idp.example.com"}, "begins with https://"),
        ({"issuer": "https://127.0.0.1:9"}, "did not answer"),
        ({"mapping": "it admin"}, "is not understood"),
        ({"mapping": "it = king"}, "is not understood"),
        ({"mapping": "it = Gudang: admin"}, "is not understood"),
        ({"secret": ""}, "Please fill in this field."),
    ],
)
def test_a_faulty_setup_is_told_and_nothing_kept(
    rina: Visitor, company: Issuer, session: Session, change: dict[str, str], sentence: str
) -> None:
    answer = rina.post("/settings/provider", form(company, **change))
    assert answer.status_code == 422 and sentence in answer.text
    assert session.scalars(select(Provider)).all() == []


def test_the_clients_secret_is_sealed_and_never_shown(set_up: Issuer, rina: Visitor, session: Session) -> None:
    kept = session.scalars(select(Provider)).one()
    assert SECRET.encode() not in kept.sealed
    assert SECRET not in rina.get("/settings/provider").text
    assert rina.post("/settings/provider", form(set_up, secret="")).status_code == 303, "left empty it stays"
    assert session.scalars(select(Division)).all() == []
