"""How people come in: the first account, invitations that are waited for, links that lead nowhere, no mail server."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from config.settings import Settings
from domain import beginning
from domain.clock import now
from domain.identity import Ticket
from domain.inventory import Division, Host, Membership, Person
from tests.webui.cast import PASSWORD, OpenBrowser, Town, Visitor

NEW = {"login": "siti", "name": "Siti", "password": "", "role": "none", "active": "yes", "division": "", "part": "pic"}


def begin(stranger: Visitor, session: Session, **typed: str) -> tuple[int, str]:
    token = beginning.offer_token(session)
    session.commit()
    assert token is not None
    answer = stranger.post("/setup", {"token": token, "password": "tidy river wagon moss", **typed})
    return answer.status_code, answer.text


@pytest.mark.parametrize(
    "name, typed, login",
    [
        ("Rina", "", "rina"),
        ("Budi Santoso", "", "budi.santoso"),
        ("Élodie D'Arc", "", "elodie.darc"),
        ("Rina", "Boss", "boss"),
    ],
)
def test_the_first_account_says_what_one_logs_in_with_and_lets_it_be_chosen(
    stranger: Visitor, session: Session, name: str, typed: str, login: str
) -> None:
    assert begin(stranger, session, name=name, login=typed)[0] == 303
    assert session.scalars(select(Person.login)).all() == [login]
    assert f"You log in as “{login}”." in stranger.get("/setup/machines?first=1").text


def test_a_name_that_leaves_nothing_to_log_in_with_asks_for_it(stranger: Visitor, session: Session) -> None:
    status, page = begin(stranger, session, name="李明", login="")
    assert status == 422
    assert re.search(r'id="login"[^>]* aria-invalid="true"', page)
    assert session.scalars(select(Person.login)).all() == []


def test_somebody_invited_is_marked_until_they_come_and_invited_again_by_one_press(
    rina: Visitor, app: Flask, session: Session
) -> None:
    page = rina.post("/people/new", {**NEW, "invite": "yes"}).text
    siti = session.scalars(select(Person).where(Person.login == "siti")).one()
    listed = rina.get("/people").text
    assert "Invited, not here yet" in listed
    assert "The invitation is good until" in listed
    session.execute(update(Ticket).values(expires_at=now() - timedelta(days=1)))
    session.commit()
    assert "The invitation has ended." in rina.get("/people").text
    again = rina.post(f"/people/{siti.id}/link", {}, page="/people").text
    link = re.search(r"(/in/[\w-]{43})", again)
    assert link is not None and link[1] not in page
    fresh = Visitor(app.test_client())
    assert fresh.post(link[1], {"new": PASSWORD}).status_code == 303
    assert "Invited" not in rina.get("/people").text


def test_an_invitation_and_a_password_are_a_choice_and_not_both(rina: Visitor, session: Session) -> None:
    form = rina.get("/people/new").text
    assert len(re.findall(r'<input type="radio"[^>]* name="invite"', form)) == 2
    both = rina.post("/people/new", {**NEW, "invite": "yes", "password": "tidy river wagon moss"})
    assert both.status_code == 422
    assert "An invitation needs no password." in both.text
    assert session.scalars(select(Person.login)).all() == ["rina"]


@pytest.mark.parametrize(
    "home, warned",
    [(None, True), ("http://localhost:8080", True), ("http://[::1]:8080", True), ("https://pantau.example.com", False), ("http://10.0.0.5:8080", False)],
)  # fmt: skip
def test_a_link_that_only_opens_on_this_machine_is_warned_of(
    rina: Visitor, app: Flask, home: str | None, warned: bool
) -> None:
    own: Settings = app.config["PANTAU"]
    app.config["PANTAU"] = own.model_copy(update={"url": home})
    assert ("which opens on the machine Pantau runs on" in rina.get("/people/new").text) is warned
    page = rina.post("/people/new", {**NEW, "invite": "yes"}).text
    assert ("which opens on the machine Pantau runs on" in page) is warned


def test_without_a_mail_server_a_lost_password_has_a_way_and_no_form(stranger: Visitor, person: Person) -> None:
    page = stranger.get("/lost").text
    main = page[page.index("<main") : page.index("</main>")]
    assert "<form" not in main
    assert "pantau person reset" in main
    assert "Ask an administrator" in main


def test_an_operator_chooses_among_their_divisions(app: Flask, town: Town, session: Session, person: Person) -> None:
    own, other = Division(name="Gudang"), Division(name="Keuangan")
    session.add_all([own, other])
    session.flush()
    budi = Person(login="budi", name="Budi", password_hash=person.password_hash, role="none")
    budi.memberships = [Membership(division=own, role="operator")]
    session.add(budi)
    session.commit()
    host = town.machine("db-01", "192.0.2.1")
    session.execute(update(Host).values(division_id=own.id))
    session.commit()
    visitor = Visitor(app.test_client())
    visitor.login("budi")
    page = visitor.get(f"/machines/{host.id}/edit").text
    chooser = re.search(r'<select[^>]* name="division".*?</select>', page, re.DOTALL)
    assert chooser is not None
    assert "Gudang" in chooser[0] and "Keuangan" not in chooser[0]
    typed = {"name": "db-01", "address": "192.0.2.1", "sensitivity": "usual", "division": "Keuangan"}
    assert visitor.post(f"/machines/{host.id}/edit", typed).status_code == 422
    assert visitor.post(f"/machines/{host.id}/edit", {**typed, "division": "Gudang"}).status_code == 303


def test_what_one_takes_along_has_a_button_that_copies_it(rina: Visitor, browse: OpenBrowser) -> None:
    context = browse(390, 844)
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.goto("/login")
    page.fill("#login", "rina")
    page.fill("#password", PASSWORD)
    page.press("#password", "Enter")
    page.wait_for_url("**/")
    page.goto("/people/new")
    page.fill("#login", "siti")
    page.fill("#name", "Siti")
    page.locator("main form button.primary").click()
    page.locator("[data-copy] button").click()
    page.wait_for_function("document.querySelector('[data-copy] [role=status]').textContent !== ''")
    shown = page.locator("[data-copy] code").inner_text()
    assert "/in/" in shown
    assert page.evaluate("navigator.clipboard.readText()") == shown
    assert page.locator("[data-copy] [role=status]").inner_text() == "Copied"


def test_the_kinds_of_credential_stay_on_a_narrow_screen(rina: Visitor, browse: OpenBrowser) -> None:
    context = browse(390, 844, locale="id-ID")
    page = context.new_page()
    page.goto("/login")
    page.fill("#login", "rina")
    page.fill("#password", PASSWORD)
    page.press("#password", "Enter")
    page.wait_for_url("**/")
    page.goto("/credentials/new")
    for box in [one.bounding_box() for one in page.locator("nav.seg a").all()]:
        assert box is not None and box["x"] >= 0 and box["x"] + box["width"] <= 390
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.locator(".menu > summary").click()
    for heading in page.locator(".places h2").all():
        assert heading.bounding_box() is not None
    cut = "[...document.querySelectorAll('.places a span')].filter((e) => e.scrollWidth > e.clientWidth + 1).length"
    assert page.evaluate(cut) == 0
