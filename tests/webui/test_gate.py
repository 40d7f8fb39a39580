"""Who may come in, and how."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from domain.inventory import LoginAttempt, Person
from domain.inventory import Session as Opened
from domain.rights import Right
from tests.webui.cast import PASSWORD, Visitor
from webui import access, passwords

OWN = {
    "chat.chart",
    "chat.edit",
    "chat.read",
    "chat.remove",
    "chat.say",
    "api.people_revoke", "approvals.agree", "approvals.cancel", "approvals.refuse", "mandating.agree", "mandating.refuse", "tokens.make", "tokens.revoke",
    "people.logout", "portrait.remove", "profile.details", "profile.password", "profile.picture", "proof.page", "push.subscribe", "push.unsubscribe", "routes.add", "routes.delete", "routes.edit", "routes.index", "routes.test", "routes.verify", "second.add_key", "second.app_page", "second.codes", "second.remove_app", "second.remove_key", "second.rename_key", "sessions.end", "sessions.end_others",
}  # fmt: skip


def test_every_route_declares_who_may_open_it(app: Flask) -> None:
    rules = {name: access.rule_of(view) for name, view in app.view_functions.items()}
    assert set(rules.values()) <= {access.PUBLIC, access.FIRST_RUN, access.SIGNED_IN, access.SCRAPER, *Right}
    public = {name for name, rule in rules.items() if rule == access.PUBLIC}
    assert public == {
        "assets.give", "people.login", "people.passkey", "passkeys.challenge", "second.step", "provider.go", "provider.back", "tickets.use", "tickets.lost", "people.appearance", "status.healthz", "ready.readyz", "heard.call", "push.manifest", "push.worker", "rotas.calendar",
    }  # fmt: skip


def test_what_anybody_logged_in_may_change_is_their_own(app: Flask) -> None:
    """Read this list before adding to it: a viewer, and whoever is in no division at all, may press these."""
    own = {
        rule.endpoint
        for rule in app.url_map.iter_rules()
        if access.rule_of(app.view_functions[rule.endpoint]) == access.SIGNED_IN
        and (rule.methods or set()) - {"GET", "HEAD", "OPTIONS"}
    }
    assert own == OWN


def test_a_route_without_a_rule_keeps_the_application_from_starting(app: Flask) -> None:
    bare = Flask("bare")
    bare.add_url_rule("/secret", "secret", lambda: "everything")
    with pytest.raises(RuntimeError, match="secret"):
        access.install(bare)


def test_a_stranger_reaches_nothing_but_the_door(app: Flask, stranger: Visitor, person: Person) -> None:
    for rule in app.url_map.iter_rules():
        if access.rule_of(app.view_functions[rule.endpoint]) == access.PUBLIC or "GET" not in (rule.methods or ()):
            continue
        path = re.sub(r"<(int:)?\w+>", lambda part: "1" if part[1] else "x", rule.rule)
        answer = stranger.get(path)
        if path.startswith("/api/"):
            assert (answer.status_code, answer.mimetype) == (401, "application/problem+json"), path
            assert answer.get_json()["detail"] == "Please log in."
            continue
        assert answer.status_code == 302, path
        expected = "/" if rule.endpoint == "setup.account" else "/login"
        assert answer.location.split("?")[0] in (expected, "/"), path


def test_an_installation_without_a_person_leads_to_the_first_run(stranger: Visitor) -> None:
    assert stranger.get("/").location == "/setup"
    assert stranger.get("/login").location == "/setup"


def test_the_right_password_opens_and_logging_out_closes_for_good(rina: Visitor, session: Session) -> None:
    assert rina.get("/").status_code == 200
    cookie = rina.client.get_cookie("pantau-session")
    assert cookie is not None
    rina.post("/logout", {}, page="/")
    rina.client.set_cookie("pantau-session", cookie.value)
    assert rina.get("/").status_code == 302
    assert session.scalar(select(func.count()).select_from(Opened)) == 0


def test_the_session_cookie_is_out_of_reach_of_scripts_and_of_other_sites(stranger: Visitor, person: Person) -> None:
    cookies = stranger.login("rina").headers.getlist("Set-Cookie")
    session = next(c for c in cookies if c.startswith("pantau-session="))
    assert "HttpOnly" in session
    assert "SameSite=Lax" in session
    assert "Path=/" in session


def test_over_tls_cookies_are_secure_and_bound_to_the_host(app: Flask, person: Person) -> None:
    tls = Visitor(app.test_client(), "https://localhost")
    cookies = [c for c in tls.login("rina").headers.getlist("Set-Cookie") if "=" in c]
    assert cookies
    assert all(c.startswith("__Host-pantau-") and "Secure" in c for c in cookies)


def test_the_table_of_sessions_does_not_hold_what_opens_them(rina: Visitor, session: Session) -> None:
    cookie = rina.client.get_cookie("pantau-session")
    assert cookie is not None
    stored = session.scalars(select(Opened.id)).one()
    assert stored != cookie.value
    rina.client.set_cookie("pantau-session", stored)
    assert rina.get("/").status_code == 302


def test_logging_in_again_ends_the_earlier_name_of_this_browser(app: Flask, rina: Visitor, session: Session) -> None:
    first = rina.client.get_cookie("pantau-session")
    assert first is not None
    rina.client.set_cookie("pantau-session", "", max_age=0)
    thief = Visitor(app.test_client())
    thief.client.set_cookie("pantau-session", "fixed by somebody else")
    thief.login("rina")
    second = thief.client.get_cookie("pantau-session")
    assert second is not None
    assert second.value not in (first.value, "fixed by somebody else")


@pytest.mark.parametrize("column, days", [("seen_at", 0.6), ("created_at", 7.1)])
def test_a_session_ends_after_idling_and_after_a_week(
    rina: Visitor, session: Session, column: str, days: float
) -> None:
    row = session.scalars(select(Opened)).one()
    setattr(row, column, getattr(row, column) - timedelta(days=days))
    session.commit()
    assert rina.get("/").status_code == 302


def test_a_person_switched_off_is_out_at_once(rina: Visitor, session: Session, person: Person) -> None:
    person.active = False
    session.commit()
    assert rina.get("/").status_code == 302


def test_changing_the_password_logs_out_everywhere_else(app: Flask, rina: Visitor) -> None:
    elsewhere = Visitor(app.test_client())
    elsewhere.login("rina")
    done = rina.post("/me/password", {"old": PASSWORD, "new": "seven purple umbrellas dancing"}, page="/me")
    assert done.status_code == 303
    assert rina.get("/").status_code == 200
    assert elsewhere.get("/").status_code == 302
    assert Visitor(app.test_client()).login("rina").status_code == 422


@pytest.mark.parametrize(
    "weak", ["short", "aaaaaaaaaaaaaaaa", "123456789012", "passwordpassword", "rinarinarinarina", "zyxwvutsrqponm"]
)
def test_a_password_that_is_guessed_first_is_refused_with_a_sentence(rina: Visitor, weak: str) -> None:
    answer = rina.post("/me/password", {"old": PASSWORD, "new": weak}, page="/me")
    assert answer.status_code == 422
    assert 'id="new-wrong"' in answer.text
    assert f'value="{weak}"' not in answer.text


def test_a_wrong_name_and_a_wrong_password_are_told_the_same(stranger: Visitor, person: Person) -> None:
    wrong_password = stranger.login("rina", "not this one at all")
    wrong_name = stranger.login("nobody", "not this one at all")
    strip = lambda text: text.replace("rina", "").replace("nobody", "")  # noqa: E731
    clean = lambda text: re.sub(r'value="[^"]*"', "", strip(text))  # noqa: E731
    assert wrong_password.status_code == wrong_name.status_code == 422
    assert clean(wrong_password.text) == clean(wrong_name.text)


def test_guessing_slows_down_and_hashes_no_more(stranger: Visitor, person: Person, session: Session) -> None:
    codes = [stranger.login("rina", f"guess number {n}").status_code for n in range(12)]
    assert codes[:5] == [422] * 5
    assert codes[6:] == [429] * 6
    assert session.scalar(select(func.count()).select_from(LoginAttempt)) <= 6


def test_a_browser_known_to_be_hers_is_not_locked_out_by_others(app: Flask, rina: Visitor, stranger: Visitor) -> None:
    rina.post("/logout", {}, page="/")
    for n in range(10):
        stranger.login("rina", f"guess number {n}")
    assert stranger.login("rina").status_code == 429
    assert rina.login("rina").status_code == 303


def test_another_account_is_not_slowed_by_guesses_at_the_first(
    stranger: Visitor, person: Person, session: Session
) -> None:
    session.add(Person(login="budi", name="Budi", password_hash=passwords.digest(PASSWORD), role="admin"))
    session.commit()
    for n in range(8):
        stranger.login("rina", f"guess number {n}")
    assert stranger.login("budi").status_code == 303


@pytest.mark.parametrize(
    "target",
    [
        "//evil.example",
        "/\\evil.example",
        "https:evil.example",
        "https://evil.example/",
        "/\t//evil.example",
        "\t//evil.example",
        "///evil.example",
        "evil.example",
        "/\n/evil.example",
        "javascript:alert(1)",
    ],
)
def test_after_login_nobody_is_sent_to_another_site(app: Flask, person: Person, target: str) -> None:
    answer = Visitor(app.test_client()).login("rina", next=target)
    assert answer.status_code == 303
    assert answer.location == "/"


def test_after_login_one_goes_on_to_where_one_was_going(stranger: Visitor, person: Person) -> None:
    turned = stranger.get("/machines?q=db&status=down").location
    assert turned == "/login?next=/machines?q%3Ddb%26status%3Ddown"
    assert stranger.login("rina", next="/machines?q=db&status=down").location == "/machines?q=db&status=down"


def test_a_form_without_its_token_changes_nothing_and_says_so(rina: Visitor) -> None:
    for headers in ({}, {"Accept": "application/json"}):
        answer = rina.client.post("/logout", headers=headers)
        assert answer.status_code == 400
        assert "Nothing was changed" in answer.text
    assert rina.get("/").status_code == 200


def test_another_browsers_token_is_refused(app: Flask, rina: Visitor) -> None:
    other = Visitor(app.test_client())
    token = re.search(r'name="csrf" value="([^"]+)"', other.get("/login").text)
    assert token
    assert rina.client.post("/logout", data={"csrf": token[1]}).status_code == 400


def test_even_logging_in_needs_the_token(stranger: Visitor, person: Person) -> None:
    answer = stranger.client.post("/login", data={"login": "rina", "password": PASSWORD})
    assert answer.status_code == 400


def test_a_request_the_browser_says_comes_from_elsewhere_is_refused_even_with_the_token(rina: Visitor) -> None:
    token = re.search(r'name="csrf" value="([^"]+)"', rina.get("/").text)
    assert token
    answer = rina.client.post("/logout", data={"csrf": token[1]}, headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 400


def test_the_token_is_masked_anew_on_every_page(rina: Visitor) -> None:
    tokens = {re.search(r'name="csrf" value="([^"]+)"', rina.get("/").text)[1] for _ in range(3)}  # type: ignore[index]
    assert len(tokens) == 3


def test_what_is_grave_asks_once_more(app: Flask) -> None:
    grave = {
        "staff.new", "staff.edit", "staff.password", "channels.new", "channels.edit", "channels.delete", "hostkeys.accept",
        "auditing.table", "credentials.new", "credentials.edit", "credentials.delete", "profile.details", "tokens.make",
    }  # fmt: skip
    assert {name for name in grave if not access.is_fresh(app.view_functions[name])} == set()
