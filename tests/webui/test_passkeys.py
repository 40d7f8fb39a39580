"""Passkeys in a real browser, with an authenticator that Chromium plays."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from flask import Flask
from playwright.sync_api import BrowserContext, CDPSession, Page
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from domain.identity import Passkey, RecoveryCode
from domain.inventory import Person
from tests.webui.cast import PASSWORD, OpenBrowser, Visitor

pytestmark = pytest.mark.browser


@contextmanager
def authenticator(page: Page, *, asks: bool = True) -> Iterator[tuple[CDPSession, str]]:
    """A device with a key store; `asks` is whether it asks its holder for a finger."""
    line = page.context.new_cdp_session(page)
    line.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": asks,
        "isUserVerified": asks, "automaticPresenceSimulation": True,
    }  # fmt: skip
    made = line.send("WebAuthn.addVirtualAuthenticator", {"options": options})
    yield line, made["authenticatorId"]
    line.detach()


def named(site: str) -> str:
    """The same address by a name: keys are bound to names, not to numbers."""
    return site.replace("127.0.0.1", "localhost")


def log_in(page: Page, site: str) -> None:
    page.goto(f"{named(site)}/login")
    page.fill("#login", "rina")
    page.fill("#password", PASSWORD)
    page.click("main button.primary")


def register(page: Page, site: str, name: str) -> None:
    page.goto(f"{named(site)}/me/second-factor")
    page.fill("#name", name)
    page.click("[data-passkey=register]")
    page.wait_for_load_state()


@pytest.fixture
def context(browse: OpenBrowser) -> BrowserContext:
    return browse(width=390, height=844)


def test_a_passkey_is_made_opens_alone_as_second_step_and_as_proof_and_is_taken_away(
    context: BrowserContext, site: str, person: Person, session: Session
) -> None:
    page = context.new_page()
    with authenticator(page):
        log_in(page, site)
        page.wait_for_url("**/")
        register(page, site, "blue stick")
        page.wait_for_selector("ol.codes")
        assert len(session.scalars(select(RecoveryCode)).all()) == 10
        kept = session.scalars(select(Passkey)).one()
        assert (kept.name, kept.site) == ("blue stick", "localhost")

        page.goto(f"{named(site)}/me/second-factor")
        assert page.get_by_text("blue stick").first.is_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390

        context.clear_cookies()
        page.goto(f"{named(site)}/login?next=/machines")
        page.click("[data-passkey=login]")
        page.wait_for_url(lambda url: url.endswith("/machines") and "login" not in url)

        context.clear_cookies()
        log_in(page, site)
        page.wait_for_url(lambda url: "/login/second" in url)
        page.click("[data-passkey=second]")
        page.wait_for_url(lambda url: "login" not in url)

        session.execute(text("update session set proved_at = now() - interval '1 hour'"))
        session.commit()
        page.goto(f"{named(site)}/me/second-factor/app")
        page.wait_for_url(lambda url: "/prove" in url)
        page.click("[data-passkey=prove]")
        page.wait_for_url(lambda url: "/prove" not in url and url.endswith("/me/second-factor/app"))

        session.execute(text("update session set proved_at = now() - interval '1 hour'"))
        session.commit()
        page.goto(f"{named(site)}/me/second-factor")
        page.click("text=Remove")  # asked in between, by the key itself
        page.click("[data-passkey=prove]")
        page.wait_for_load_state()
        page.wait_for_selector("text=opens nothing any more")
    session.expire_all()
    assert session.scalars(select(Passkey)).all() == []


def test_a_key_that_does_not_ask_its_holder_is_a_second_step_and_no_login(
    context: BrowserContext, site: str, person: Person
) -> None:
    page = context.new_page()
    with authenticator(page, asks=False):
        log_in(page, site)
        page.wait_for_url("**/")
        register(page, site, "old stick")
        page.wait_for_selector("ol.codes")
        context.clear_cookies()
        page.goto(f"{named(site)}/login")
        page.click("[data-passkey=login]")
        page.wait_for_selector("[data-passkey-wrong]:visible, [role=alert]:visible")
        assert "/login" in page.url
        log_in(page, site)
        page.wait_for_url(lambda url: "/login/second" in url)
        page.click("[data-passkey=second]")
        page.wait_for_url(lambda url: "login" not in url)


def test_an_answer_is_taken_once_and_from_the_browser_it_was_asked_of(
    context: BrowserContext, site: str, person: Person, app: Flask, session: Session
) -> None:
    page = context.new_page()
    with authenticator(page):
        log_in(page, site)
        page.wait_for_url("**/")
        register(page, site, "stick")
        page.wait_for_selector("ol.codes")
        context.clear_cookies()
        page.goto(f"{named(site)}/login")
        sent: list[str] = []
        page.on("request", lambda one: sent.append(one.post_data or "") if one.url.endswith("/login/passkey") else None)
        page.click("[data-passkey=login]")
        page.wait_for_url(lambda url: "login" not in url)
    from urllib.parse import parse_qs

    answer = parse_qs(sent[0])["passkey"][0]
    assert json.loads(answer)["type"] == "public-key"
    thief = Visitor(app.test_client(), named(site))
    assert thief.post("/login/passkey", {"passkey": answer}, page="/login").status_code == 422
    visit = next(one["value"] for one in context.cookies() if one["name"] == "pantau-visit")
    again = Visitor(app.test_client(), named(site))
    again.client.set_cookie("pantau-visit", visit, domain="localhost")
    refused = again.post("/login/passkey", {"passkey": answer}, page="/login")
    assert refused.status_code == 422 and "too long" in refused.text


def test_by_a_number_the_page_says_why_not(rina: Visitor) -> None:
    by_number = Visitor(rina.client, "http://127.0.0.1")
    rina_cookie = rina.client.get_cookie("pantau-session")
    assert rina_cookie is not None
    by_number.client.set_cookie("pantau-session", rina_cookie.value, domain="127.0.0.1")
    page = by_number.get("/me/second-factor").text
    assert "Passkeys need a name instead of a number" in page and "data-passkey=" not in page
    assert "data-passkey=" not in Visitor(by_number.client, "http://127.0.0.1").get("/login").text
    plain = Visitor(rina.client, "http://pantau.example.com")
    plain.client.set_cookie("pantau-session", rina_cookie.value, domain="pantau.example.com")
    assert "Passkeys need HTTPS" in plain.get("/me/second-factor").text


@pytest.mark.parametrize("sent", ["", "{}", "[]", '{"id": "x"}', "null", "\0", '{"id":1,"rawId":[],"response":{}}'])
def test_what_is_no_passkey_is_refused_with_a_sentence(rina: Visitor, stranger: Visitor, sent: str) -> None:
    answer = stranger.post("/login/passkey", {"passkey": sent}, page="/login")
    assert answer.status_code == 422 and "sent no passkey" in answer.text
    assert rina.post("/me/second-factor/passkeys", {"passkey": sent}, page="/me").status_code == 303
    assert re.search("sent no passkey", rina.get("/me").text)
