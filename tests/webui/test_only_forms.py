"""Addresses that only take what a form sends: whoever opens one is led to the page the form is on."""

from __future__ import annotations

import pytest

from domain.inventory import Person
from tests.webui.cast import Town, Visitor


@pytest.mark.parametrize(
    "path, page",
    [
        ("/me/password", "/me"),
        ("/me/details", "/me"),
        ("/me/sessions/end", "/me"),
        ("/me/second-factor/codes", "/me/second-factor"),
        ("/people/77/password", "/people/77"),
        ("/settings/login/second-factor", "/settings/login"),
        ("/logout", "/"),
        ("/login/passkey", "/login"),
        ("/incidents/5/close", "/incidents/5"),
        ("/policies/3/move", "/policies/3"),
    ],
)
def test_opening_where_only_a_form_sends_leads_to_the_page_of_the_form(rina: Visitor, path: str, page: str) -> None:
    answer = rina.get(path)
    assert (answer.status_code, answer.headers["Location"]) == (302, page)
    assert "only takes what a form sends" in rina.get("/me").text


def test_nobody_is_led_out_of_the_house(rina: Visitor) -> None:
    for path in ("/me/password?next=https://evil.example", "//evil.example/password", "/me//password"):
        answer = rina.get(path)
        assert answer.headers.get("Location", "/").startswith("/")
        assert not answer.headers.get("Location", "/").startswith("//")


def test_a_stranger_learns_nothing_by_it(stranger: Visitor, person: Person, town: Town) -> None:
    here = town.machine("db-01", "192.0.2.1")
    led = [stranger.get(f"/machines/{id}/look") for id in (here.id, 999_999)]
    assert [answer.status_code for answer in led] == [302, 302]
    assert led[0].headers["Location"] == f"/machines/{here.id}"
    assert stranger.get("/me").headers["Location"].startswith("/login")


def test_a_form_sent_to_a_page_without_one_is_still_refused(rina: Visitor) -> None:
    answer = rina.post("/audit", {}, page="/me")
    assert answer.status_code == 405


def test_programs_are_told_that_the_method_is_wrong(rina: Visitor) -> None:
    answer = rina.get("/api/v1/discoveries/1/stop")
    assert answer.status_code == 405
    assert answer.mimetype == "application/problem+json"
