"""Showing once more who one is, and the list of where one is logged in."""

from __future__ import annotations

import re
import threading
import time
from datetime import timedelta

import pytest
import requests
from flask import Flask, request
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from domain.identity import ParkedForm
from domain.inventory import Person
from domain.inventory import Session as Opened
from tests.webui.cast import PASSWORD, OpenBrowser, Town, Visitor
from webui import access
from webui.proof import PARKED
from webui.proof import PASSWORD as FIELD

GRAVE = "/grave"


@pytest.fixture
def app(app: Flask) -> Flask:
    """The application with one grave page more, which says what it was sent."""

    @access.signed_in
    @access.fresh
    def grave() -> str:
        return f"done: {sorted(request.form.items(multi=True))}"

    app.add_url_rule(GRAVE, "grave", grave, methods=["GET", "POST"])
    return app


def long_ago(session: Session, minutes: float = 16) -> None:
    session.execute(text("update session set proved_at = now() - :ago"), {"ago": timedelta(minutes=minutes)})
    session.commit()


def parked(page: str) -> str:
    found = re.search(rf'name="{PARKED}" value="([^"]+)"', page)
    assert found
    return found[1]


def test_whoever_has_just_logged_in_is_not_asked_again(rina: Visitor, session: Session) -> None:
    assert rina.get(GRAVE).text.startswith("done")
    long_ago(session, 14)
    assert rina.get(GRAVE).text.startswith("done")


def test_after_a_quarter_of_an_hour_a_link_leads_to_the_question_and_back(rina: Visitor, session: Session) -> None:
    long_ago(session)
    led = rina.get(f"{GRAVE}?a=1")
    assert led.location == "/prove?next=/grave?a%3D1"
    assert rina.post("/prove", {FIELD: "not this one at all", "next": "/grave"}).status_code == 422
    assert rina.get(GRAVE).status_code == 302
    back = rina.post("/prove", {FIELD: PASSWORD, "next": "/grave?a=1"})
    assert back.location == "/grave?a=1"
    assert rina.get(GRAVE).text.startswith("done")


def test_a_form_goes_on_by_itself_and_nothing_typed_is_lost_nor_shown(rina: Visitor, session: Session) -> None:
    long_ago(session)
    asked = rina.post(GRAVE, {"name": "ü ", "secret": "hunter2hunter2", "many": ["1", "2"]}, page="/me")
    assert asked.status_code == 403 and "done:" not in asked.text
    assert "hunter2hunter2" not in asked.text
    token = re.search(r'name="csrf" value="([^"]+)"', asked.text)
    assert token
    proof = {FIELD: "wrong wrong wrong", PARKED: parked(asked.text), "csrf": token[1]}
    again = rina.client.post(GRAVE, base_url=rina.base, data=proof)
    assert again.status_code == 422 and "not your password" in again.text
    done = rina.client.post(GRAVE, base_url=rina.base, data={**proof, FIELD: PASSWORD})
    assert "('many', '1'), ('many', '2'), ('name', 'ü '), ('secret', 'hunter2hunter2')" in done.text
    assert session.scalar(select(func.count()).select_from(ParkedForm)) == 0


def test_what_was_typed_lies_sealed_in_the_table(rina: Visitor, session: Session) -> None:
    long_ago(session)
    rina.post(GRAVE, {"secret": "hunter2hunter2"}, page="/me")
    kept = session.scalars(select(ParkedForm)).one()
    assert b"hunter2" not in kept.sealed


def test_a_parked_form_belongs_to_one_session_and_one_address(app: Flask, rina: Visitor, session: Session) -> None:
    other = Visitor(app.test_client())
    other.login("rina")
    long_ago(session)
    name = parked(rina.post(GRAVE, {"secret": "mine"}, page="/me").text)
    stolen = other.post(GRAVE, {FIELD: PASSWORD, PARKED: name}, page="/me")
    assert stolen.status_code == 303 and "mine" not in stolen.text
    elsewhere = rina.post(f"{GRAVE}?to=other", {FIELD: PASSWORD, PARKED: name}, page="/me")
    assert elsewhere.status_code == 303


def test_guessing_at_the_question_slows_down_as_at_the_door(rina: Visitor, session: Session) -> None:
    long_ago(session)
    texts = [rina.post("/prove", {FIELD: f"guess number {n}"}).text for n in range(12)]
    assert "Too many wrong tries" in texts[-1]
    assert "Too many wrong tries" in rina.post("/prove", {FIELD: PASSWORD}).text


def test_one_browser_is_logged_out_from_another(app: Flask, rina: Visitor, budi: Visitor, session: Session) -> None:
    phone = Visitor(app.test_client())
    phone.login("rina")
    page = rina.get("/me").text
    names = re.findall(r"/me/sessions/([0-9a-f]{16})/end", page)
    assert len(names) == 1
    assert budi.post(f"/me/sessions/{names[0]}/end", {}, page="/me").status_code == 404
    assert rina.post("/me/sessions/0/end", {}, page="/me").status_code == 404
    assert phone.get("/").status_code == 200
    assert rina.post(f"/me/sessions/{names[0]}/end", {}, page="/me").status_code == 303
    assert phone.get("/").status_code == 302
    assert rina.get("/").status_code == 200


def test_everywhere_else_at_once(app: Flask, rina: Visitor) -> None:
    others = [Visitor(app.test_client()) for _ in range(3)]
    for other in others:
        other.login("rina")
    rina.post("/me/sessions/end", {}, page="/me")
    assert [other.get("/").status_code for other in others] == [302] * 3
    assert rina.get("/").status_code == 200


def test_logging_out_ends_every_session_of_hers_and_nobody_elses(app: Flask, rina: Visitor, budi: Visitor) -> None:
    phone = Visitor(app.test_client())
    phone.login("rina")
    rina.post("/logout", {}, page="/")
    assert phone.get("/").status_code == 302
    assert budi.get("/").status_code == 200


def test_a_live_stream_closes_within_five_seconds_of_its_session(
    site: str, app: Flask, rina: Visitor, session: Session
) -> None:
    cookie = rina.client.get_cookie("pantau-session")
    assert cookie is not None
    lines: list[str] = []

    def listen() -> None:
        with requests.get(
            f"{site}/events?topic=home", cookies={cookie.key: cookie.value}, stream=True, timeout=30
        ) as answer:
            lines.extend(line.decode() for line in answer.iter_lines())

    thread = threading.Thread(target=listen)
    thread.start()
    hub = app.extensions["hub"]
    end = time.monotonic() + 20
    while not hub.listening and time.monotonic() < end:
        time.sleep(0.05)
    time.sleep(1)
    access_row = session.scalars(select(Opened)).one()
    session.delete(access_row)  # by whatever hand: another process, the command line
    session.commit()
    thread.join(5)
    assert not thread.is_alive()
    assert "event: ended" in lines


@pytest.mark.browser
def test_an_open_page_leaves_when_it_is_logged_out_elsewhere(
    browse: OpenBrowser, app: Flask, person: Person, busy: Town, rina: Visitor
) -> None:
    page = browse().new_page()
    page.goto("/login")
    page.fill("#login", "rina")
    page.fill("#password", PASSWORD)
    page.click("main button")
    page.wait_for_selector("[data-live]")
    page.wait_for_timeout(1500)
    rina.post("/me/sessions/end", {}, page="/me")
    page.wait_for_url("**/login**", timeout=5000)


@pytest.mark.browser
def test_on_a_phone_the_question_fits_and_the_form_goes_on(
    browse: OpenBrowser, app: Flask, rina: Visitor, person: Person, session: Session
) -> None:
    context = browse(width=390, height=844)
    page = context.new_page()
    page.goto("/login")
    page.fill("#login", "rina")
    page.fill("#password", PASSWORD)
    page.click("main button")
    page.wait_for_url("**/")
    long_ago(session)
    page.goto("/grave")
    assert "/prove" in page.url
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.fill(f"#{FIELD}", PASSWORD)
    page.click("main button.primary")
    page.wait_for_url("**/grave")
