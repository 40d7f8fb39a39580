"""Secrets go in and never come out; and one whole way through the forms in a real browser."""

from __future__ import annotations

import io
import json
import re

import paramiko
import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.orm import Session

from config import vault
from domain.clock import now
from domain.inventory import Check, Credential, Host, Person
from domain.requests import Look
from tests.webui.cast import OpenBrowser, Town, Visitor
from tests.webui.test_pages import accessible, enter, evaluate

CANARY = "canary-7f3a-never-shown"


@pytest.fixture
def opener(app: Flask) -> vault.Opener:
    """The vault of this installation, and the half only the poller has."""
    settings = app.config["PANTAU"]
    vault.create(settings.vault_key, settings.vault_public)
    return vault.opener(settings.vault_key)


def private_key(passphrase: str | None = None) -> str:
    """A fresh key as ssh-keygen writes it."""
    text = io.StringIO()
    paramiko.ECDSAKey.generate().write_private_key(text, passphrase)
    return text.getvalue()


def stored(rina: Visitor, session: Session, **typed: str) -> Credential:
    """A credential saved through the form."""
    sent = rina.post("/credentials/new", {"name": "the login", "username": "pantau", "password": CANARY, **typed})
    assert sent.status_code == 303, sent.text
    return session.scalars(select(Credential)).one()


def test_a_private_key_is_sealed_with_its_passphrase(rina: Visitor, session: Session, opener: vault.Opener) -> None:
    key = private_key("open sesame")
    kept = stored(rina, session, password="", private_key=key.replace("\n", "\r\n"), passphrase="open sesame")
    assert kept.kind == "ssh_key"
    inside = json.loads(opener.open(kept.sealed, f"credential:{kept.seal_id}"))
    assert inside == {"private_key": key, "passphrase": "open sesame"}


@pytest.mark.parametrize(
    "typed, field, sentence",
    [
        ({"name": ""}, "name", "Please fill in this field."),
        ({"name": "taken"}, "name", "Another credential has this name."),
        ({"username": ""}, "username", "Please tell the user name"),
        ({"username": "", "password": ""}, "username", "Please tell the user name"),
        ({"password": ""}, "password", "Please enter a password or a private key."),
        ({"password": "a\nb"}, "password", "characters that cannot be seen"),
        ({"private_key": "-----BEGIN nonsense"}, "private_key", "not both"),
        ({"password": "", "private_key": "hello"}, "private_key", "not a private key that can be read"),
        ({"password": "", "private_key": "ssh-ed25519 AAAA me@here"}, "private_key", "the public half"),
        ({"password": "", "private_key": "PuTTY-User-Key-File-3: x"}, "private_key", "PuTTYgen"),
        ({"password": "", "private_key": "LOCKED"}, "passphrase", "This key is locked"),
        ({"password": "", "private_key": "LOCKED", "passphrase": "wrong"}, "private_key", "its passphrase is wrong"),
        ({"password": "", "passphrase": "alone"}, "private_key", "belongs to this passphrase"),
        ({"password": "", "private_key": "x" * 65537}, "private_key", "too long"),
    ],
)
def test_a_faulty_credential_is_told_beside_its_field_and_nothing_is_stored(
    rina: Visitor, session: Session, opener: vault.Opener, typed: dict[str, str], field: str, sentence: str
) -> None:
    stored(rina, session, name="taken")
    if typed.get("private_key") == "LOCKED":
        typed = {**typed, "private_key": private_key("open sesame")}
    refused = rina.post("/credentials/new", {"name": "mine", "username": "pantau", "password": CANARY, **typed})
    assert refused.status_code == 422
    beside = re.search(rf'id="{field}-wrong">.*?<span>(.*?)</span>', refused.text, re.S)
    assert beside, refused.text
    assert sentence in beside[1]
    assert "name" in typed or 'value="mine"' in refused.text
    assert CANARY not in refused.text
    assert len(session.scalars(select(Credential)).all()) == 1


def test_without_its_vault_a_credential_is_refused_with_a_sentence(rina: Visitor, session: Session) -> None:
    refused = rina.post("/credentials/new", {"name": "mine", "username": "pantau", "password": CANARY})
    assert refused.status_code == 422
    assert "vault.pub is missing" in refused.text
    assert session.scalar(select(Credential)) is None


def test_renaming_keeps_the_secret_and_replacing_it_finds_a_new_place(
    rina: Visitor, session: Session, opener: vault.Opener
) -> None:
    kept = stored(rina, session)
    before = (kept.sealed, kept.seal_id)
    assert rina.post(f"/credentials/{kept.id}", {"name": "two", "username": "other"}).status_code == 303
    session.refresh(kept)
    assert (kept.name, kept.username, kept.sealed, kept.seal_id) == ("two", "other", *before)
    rina.post(f"/credentials/{kept.id}", {"name": "two", "username": "other", "password": "another"})
    session.refresh(kept)
    assert kept.seal_id != before[1]
    assert json.loads(opener.open(kept.sealed, f"credential:{kept.seal_id}")) == {"password": "another"}


def test_a_credential_in_use_is_not_deleted_and_says_by_whom(
    rina: Visitor, town: Town, session: Session, opener: vault.Opener
) -> None:
    host, kept = town.machine("web-01", "10.0.0.31"), stored(rina, session)
    host.checks[0].credential_id = kept.id
    session.commit()
    path, page = f"/credentials/{kept.id}/delete", "/credentials/new"
    refused = rina.post(path, {}, page=page)
    assert refused.status_code == 409
    assert "web-01" in refused.text
    assert "web-01" in rina.get("/credentials").text
    host.checks[0].credential_id = None
    session.commit()
    assert rina.post(path, {}).status_code == 303
    assert session.scalars(select(Credential.id)).all() == []


def test_no_page_ever_shows_a_secret(
    rina: Visitor, town: Town, session: Session, app: Flask, person: Person, opener: vault.Opener
) -> None:
    host, kept = town.machine("web-01", "10.0.0.31"), stored(rina, session)
    sent = {"name": "inside", "credential": "", "option-port": "22", "deadline": "10", "username": "u"}
    new = f"/machines/{host.id}/checks/new?kind=ssh"
    assert CANARY not in rina.post(new, {**sent, "name": "", "password": CANARY}).text
    tested = rina.post(new, {**sent, "password": CANARY, "do": "test"}).location
    assert CANARY not in rina.get(tested).text
    look = session.scalars(select(Look)).one()
    assert CANARY not in json.dumps(look.asked)
    rina.post(new, {**sent, "credential": str(kept.id), "username": ""})
    check = session.scalars(select(Check).where(Check.name == "inside")).one()
    sweep = Look(id="a-sweep", kind="sweep", asked={"addresses": [host.address]}, asked_by=person.id)
    session.add(sweep)
    session.commit()
    values = {"host_id": host.id, "credential_id": kept.id, "check_id": check.id}
    seen = set()
    for rule in app.url_map.iter_rules():
        if "GET" not in (rule.methods or ()) or rule.endpoint in ("stream.events", "assets.give"):
            continue
        values["look_id"] = look.id if rule.endpoint == "looks.show" else "a-sweep"
        path = re.sub(r"<(?:int:)?(\w+)>", lambda part: str(values.get(part[1], "x")), rule.rule)
        for form in (path, f"{path}?kind=ssh"):
            answer = rina.get(form)
            assert CANARY not in answer.text, form
            if answer.status_code == 200:
                seen.add(rule.endpoint)
    assert {"credentials.index", "credentials.edit", "checks.edit", "checks.new", "looks.show", "edit.suggest"} <= seen


def test_a_stored_credential_and_a_new_one_together_are_a_sentence(
    rina: Visitor, town: Town, session: Session, opener: vault.Opener
) -> None:
    host, kept = town.machine("web-01", "10.0.0.31"), stored(rina, session)
    sent = {"name": "inside", "credential": str(kept.id), "option-port": "22", "deadline": "10", "username": "u"}
    refused = rina.post(f"/machines/{host.id}/checks/new?kind=ssh", {**sent, "password": "p"})
    assert refused.status_code == 422
    assert "not both" in refused.text
    made_up = rina.post(f"/machines/{host.id}/checks/new?kind=ssh", {**sent, "username": "", "credential": "9999"})
    assert made_up.status_code == 422


@pytest.mark.browser
@pytest.mark.parametrize("width, locale", [(1366, "en-GB"), (390, "id-ID")])
def test_a_check_is_tried_climbed_rung_by_rung_and_saved_without_typing_the_secret_twice(
    busy: Town, person: Person, session: Session, browse: OpenBrowser, opener: vault.Opener, width: int, locale: str
) -> None:
    host = session.scalars(select(Host).where(Host.name == "fs-01")).one()
    page = enter(browse(width, 844, "light", locale))
    page.goto(f"/machines/{host.id}/checks/new?kind=ssh")
    page.fill("#name", "inside")
    page.fill("#username", "pantau")
    page.click('button[name="do"]')
    page.wait_for_selector("#password-wrong")
    page.fill("#password", CANARY)
    page.click('button[name="do"]')
    page.wait_for_selector("#ladder [data-pending]")
    assert page.locator("#password-wrong").count() == 0
    look = session.scalars(select(Look)).one()
    rungs = [{"rung": "port", "state": "ok", "detail": "22", "took": 0.01}]
    look.claimed_at, look.answer = now(), {"rungs": rungs, "reading": None}
    session.commit()
    page.wait_for_selector("#ladder .s-up")
    fault = {"rung": "login", "state": "fail", "detail": "The machine refused <b>pantau</b>.", "took": 0.4}
    look.answer, look.done_at = {"rungs": [*rungs, fault], "reading": None}, now()
    session.commit()
    page.wait_for_selector("#ladder .s-down")
    page.wait_for_selector('button[name="do"]:not([disabled])')
    assert "<b>pantau</b>" in page.inner_text("#ladder")
    assert page.input_value("#password") == CANARY
    assert evaluate(page, "JSON.stringify(window.violations)") == "[]"
    assert evaluate(page, "document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0
    assert [rule["id"] for rule in accessible(page)] == []
    page.click("form[data-test] button.primary")
    page.wait_for_url(f"**/machines/{host.id}/edit")
    session.expire_all()
    kept = session.scalars(select(Credential)).one()
    assert json.loads(opener.open(kept.sealed, f"credential:{kept.seal_id}")) == {"password": CANARY}
    assert session.scalars(select(Check).where(Check.name == "inside")).one().credential_id == kept.id


def test_snmp_credentials_are_a_community_or_a_user_with_two_passwords(
    rina: Visitor, session: Session, opener: vault.Opener
) -> None:
    form = "/credentials/new?sort=snmp"
    assert rina.post(form, {"name": "Switches", "password": "word"}).status_code == 303
    assert (
        rina.post(
            form, {"name": "Core", "username": "watcher", "password": "12345678", "passphrase": "87654321"}
        ).status_code
        == 303
    )
    kinds = {row.name: (row.kind, row.username) for row in session.scalars(select(Credential))}
    assert kinds == {"Switches": ("community", ""), "Core": ("snmp_v3", "watcher")}
    short = rina.post(form, {"name": "Short", "username": "watcher", "password": "1234567"})
    assert short.status_code == 422
    assert "at least 8 characters" in short.text
    nobody = rina.post(form, {"name": "Nobody", "password": "word", "passphrase": "87654321"})
    assert nobody.status_code == 422
    assert "87654321" not in nobody.text
    for wrong in ({"password": "w" * 256}, {"username": "u" * 33, "password": "12345678"}):
        assert rina.post(form, {"name": "Long", **wrong}).status_code == 422
