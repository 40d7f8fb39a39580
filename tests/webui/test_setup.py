"""The first run: from the console's token to a watched machine, and every way it can go wrong on the way."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.orm import Session

from domain import beginning
from domain.clock import now
from domain.inventory import Host, Person, Setting
from domain.requests import Look
from tests.webui.cast import PASSWORD, OpenBrowser, Visitor
from webui import addresses


@pytest.fixture
def token(session: Session) -> str:
    """What the console printed."""
    offered = beginning.offer_token(session)
    session.commit()
    assert offered
    return offered


def answer(session: Session, rows: list[dict[str, object]], done: bool = True) -> Look:
    """Answer the newest sweep as the poller does."""
    look = session.scalars(select(Look).where(Look.kind == "sweep").order_by(Look.asked_at.desc())).first()
    assert look is not None
    look.claimed_at, look.answer = now(), {"rows": rows}
    look.done_at = now() if done else None
    session.commit()
    return look


def row(address: str, *answered: str, done: bool = True, name: str = "") -> dict[str, object]:
    """One row of a sweep's answer."""
    rungs = {key: {"ok": key in answered} for key in ("ssh", "http", "https", "winrm")}
    ping = {"ok": "ping" in answered, "rtt": 0.0004 if "ping" in answered else None}
    return {"address": address, "name": name, "ping": ping, **rungs, "detail": "", "done": done}


def test_the_token_makes_one_account_and_is_then_worth_nothing(
    app: Flask, stranger: Visitor, session: Session, token: str
) -> None:
    form = {"token": token, "name": "Rina", "password": PASSWORD}
    made = stranger.post("/setup", form, page=f"/setup?token={token}")
    assert made.location == "/setup/machines?first=1"
    assert stranger.get(made.location).status_code == 200
    assert session.scalars(select(Person.login)).all() == ["rina"]
    assert session.get(Setting, "setup_token") is None
    late = Visitor(app.test_client())
    assert late.get("/setup").status_code == 302
    assert PASSWORD not in session.scalars(select(Person.password_hash)).one()


def test_without_the_right_token_nobody_gets_in_and_everything_typed_stays(
    stranger: Visitor, session: Session, token: str
) -> None:
    refused = stranger.post("/setup", {"token": "wrong-token", "name": "Mallory", "password": PASSWORD})
    assert refused.status_code == 422
    assert 'value="Mallory"' in refused.text
    assert 'value="wrong-token"' in refused.text
    assert PASSWORD not in refused.text
    assert session.scalar(select(Person)) is None


def test_a_weak_password_is_told_beside_its_field_and_the_rest_stays(stranger: Visitor, token: str) -> None:
    refused = stranger.post("/setup", {"token": token, "name": "Rina", "password": "short"})
    assert 'id="password-wrong"' in refused.text
    assert 'value="Rina"' in refused.text
    assert f'value="{token}"' in refused.text


def test_pasted_addresses_become_a_sweep_the_poller_can_answer(rina: Visitor, session: Session) -> None:
    sent = rina.post("/setup/machines", {"addresses": "10.0.0.5\n10.0.0.6 db-02\n10.0.0.8-9\n"})
    assert sent.status_code == 303
    look = session.scalars(select(Look)).one()
    assert look.kind == "sweep"
    assert look.asked["addresses"] == ["10.0.0.5", "10.0.0.6", "10.0.0.8", "10.0.0.9"]
    assert "looking …" in rina.get(sent.location).text


def test_a_line_that_is_not_understood_is_named_and_nothing_typed_is_lost(rina: Visitor, session: Session) -> None:
    typed = "10.0.0.5\n300.1.1.1\n<b>x</b>\n10.0.0.0/8"
    refused = rina.post("/setup/machines", {"addresses": typed})
    assert refused.status_code == 422
    assert "Line 2, “300.1.1.1”" in refused.text
    assert "Line 4, “10.0.0.0/8”" in refused.text
    assert "<b>x</b>" not in refused.text
    assert "10.0.0.5\n300.1.1.1" in refused.text.replace("\r\n", "\n")
    assert session.scalar(select(Look)) is None


def test_what_answers_is_saved_with_checks_for_it_and_looked_at_at_once(rina: Visitor, session: Session) -> None:
    sent = rina.post("/setup/machines", {"addresses": "10.0.0.5\n10.0.0.6 db-02\n10.0.0.9"})
    answer(session, [row("10.0.0.5", "ping", "ssh", name="web.lan"), row("10.0.0.6", "winrm"), row("10.0.0.9")])
    page = rina.get(sent.location).text
    ticked = re.findall(r'value="([\d.]+)" checked', page)
    assert ticked == ["10.0.0.5", "10.0.0.6"]
    saved = rina.post(sent.location, {"address": ticked})
    hosts = session.scalars(select(Host).order_by(Host.id)).all()
    assert [(h.name, h.address, [(c.kind, c.name) for c in h.checks]) for h in hosts] == [
        ("web.lan", "10.0.0.5", [("icmp", "ping"), ("tcp", "port 22")]),
        ("db-02", "10.0.0.6", [("tcp", "port 5985")]),
    ]
    assert saved.location == f"/machines/{hosts[0].id}"
    assert {look.host_id for look in session.scalars(select(Look).where(Look.kind == "run"))} == {h.id for h in hosts}
    assert "2 machines are now watched." in rina.get(saved.location).text


def test_a_machine_watched_already_is_named_and_not_made_twice(rina: Visitor, session: Session) -> None:
    session.add(Host(name="web", address="10.0.0.5"))
    session.commit()
    sent = rina.post("/setup/machines", {"addresses": "10.0.0.5\n10.0.0.6 web"})
    answer(session, [row("10.0.0.5", "ping"), row("10.0.0.6", "ping")])
    assert "is watched already" in rina.get(sent.location).text
    rina.post(sent.location, {"address": ["10.0.0.5", "10.0.0.6"]})
    assert sorted(session.scalars(select(Host.name))) == ["web", "web (2)"]


def test_an_address_that_was_not_asked_cannot_be_smuggled_in(rina: Visitor, session: Session) -> None:
    sent = rina.post("/setup/machines", {"addresses": "10.0.0.5"})
    refused = rina.post(sent.location, {"address": "192.168.1.1"})
    assert refused.status_code == 422
    assert session.scalar(select(Host)) is None


def test_a_poller_that_does_not_answer_is_told_after_a_while(rina: Visitor, session: Session) -> None:
    sent = rina.post("/setup/machines", {"addresses": "10.0.0.5"})
    look = session.scalars(select(Look)).one()
    look.asked_at -= timedelta(seconds=30)
    session.commit()
    assert "poller has not answered" in rina.get(sent.location).text.replace("&#39;", "'")


def test_somebody_elses_sweep_is_not_there(rina: Visitor, session: Session) -> None:
    session.add(Look(id="6f1c0000-0000-0000-0000-000000000000", kind="sweep", asked={"addresses": ["10.0.0.5"]}))
    session.commit()
    other = rina.get("/setup/look/6f1c0000-0000-0000-0000-000000000000")
    none = rina.get("/setup/look/6f1c0000-0000-0000-0000-000000000001")
    assert other.status_code == none.status_code == 404


@pytest.mark.parametrize(
    "text, expected",
    [
        ("10.0.0.5", ["10.0.0.5"]),
        (" 10.0.0.5 ; srv \n\n# note\n10.0.0.5", ["10.0.0.5"]),
        ("Srv-01.Example.LAN.", ["srv-01.example.lan"]),
        ("10.0.0.250-10.0.0.252", ["10.0.0.250", "10.0.0.251", "10.0.0.252"]),
        ("10.0.0.7 - 8", ["10.0.0.7", "10.0.0.8"]),
        ("192.168.1.0/30", ["192.168.1.1", "192.168.1.2"]),
        ("fe80::1", ["fe80::1"]),
        ("[2001:db8::5]", ["2001:db8::5"]),
    ],
)
def test_addresses_are_read_as_people_write_them(app: Flask, text: str, expected: list[str]) -> None:
    with app.test_request_context():
        found = addresses.read(text)
    assert list(found.addresses) == expected
    assert not found.wrong


@pytest.mark.parametrize(
    "text",
    [
        "10.0.0.256",
        "1.2.3",
        "10.0.0.9-5",
        "10.0.0.1-300",
        "10.0.0.0/16",
        "a b/c d;",
        "-x",
        "x" * 300,
        "http://10.0.0.5/",
        "10.0.0.5\u202e",
    ],
)
def test_what_is_no_address_gives_a_sentence_not_a_guess(app: Flask, text: str) -> None:
    with app.test_request_context():
        found = addresses.read(text + ("/" if text.startswith("a b") else ""))
    assert found.wrong or all(" " not in a and "/" not in a for a in found.addresses)
    assert "\u202e" not in "".join((*found.addresses, *found.wrong, *found.names.values()))


@pytest.mark.browser
def test_from_a_fresh_page_to_watching_takes_three_clicks_and_three_fields(
    session: Session, token: str, browse: OpenBrowser
) -> None:
    page = browse(390, 844).new_page()
    page.goto(f"/setup?token={token}")
    page.fill("#name", "Rina")
    page.fill("#password", PASSWORD)
    page.click("main button.primary")
    page.fill("#addresses", "10.0.0.5\n10.0.0.6")
    page.click("main button.primary")
    page.locator("text=looking …").first.wait_for()
    answer(session, [row("10.0.0.5", "ping", "ssh"), row("10.0.0.6", done=False)], done=False)
    page.locator(".rung.yes", has_text="SSH").wait_for()
    page.uncheck("#watch-2")
    answer(session, [row("10.0.0.5", "ping", "ssh"), row("10.0.0.6", "ping")])
    page.locator("text=2 addresses answer.").wait_for()
    assert not page.is_checked("#watch-2"), "what was unticked by hand stays unticked"
    page.click("main button.primary")
    page.wait_for_url("**/machines/*")
    assert page.locator("h1").inner_text() == "10.0.0.5"
