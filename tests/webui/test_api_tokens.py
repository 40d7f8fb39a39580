"""Tokens: what a program comes in with, and what it does not open."""

from __future__ import annotations

import hashlib
import re
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from config import vault
from domain.clock import now
from domain.inventory import Check, Credential, Host, Person
from domain.inventory import Session as Opened
from domain.tokens import LASTS, ApiToken
from tests.webui.cast import PASSWORD, Visitor
from tests.webui.program import Program, problem, program
from webui import bearer, proof


def test_a_token_is_shown_once_and_only_its_fingerprint_is_kept(rina: Visitor, app: Flask, session: Session) -> None:
    page = rina.post("/me/tokens", {"name": "Grafana", "read": "yes", "days": "90"}, page="/me/tokens")
    assert page.status_code == 200
    token = re.search(r"pantau_[A-Za-z0-9_-]{43}", page.text)
    assert token
    row = session.scalars(select(ApiToken)).one()
    assert row.hash == hashlib.sha256(token[0].encode()).digest()
    assert abs(row.expires_at - now() - LASTS) < timedelta(minutes=1)
    listed = rina.get("/me/tokens").text
    assert "Grafana" in listed
    assert token[0] not in listed
    assert Program(app.test_client(), token[0]).get("/machines").status_code == 200


@pytest.mark.parametrize(
    "sent, where",
    [
        ({"name": "", "read": "yes", "days": "90"}, "name"),
        ({"name": "x", "days": "90"}, "read"),
        ({"name": "x", "read": "yes", "days": "100000"}, "days"),
    ],
)
def test_a_token_without_a_name_a_scope_or_an_end_is_refused_beside_its_field(
    rina: Visitor, session: Session, sent: dict[str, object], where: str
) -> None:
    page = rina.post("/me/tokens", sent, page="/me/tokens")
    assert page.status_code == 422
    assert f'id="{where}-wrong"' in page.text
    assert session.scalars(select(ApiToken)).all() == []


def test_revoked_on_the_page_it_opens_nothing_any_more(
    rina: Visitor, app: Flask, session: Session, person: Person
) -> None:
    hers = program(app, session, person)
    assert hers.get("/machines").status_code == 200
    row = session.scalars(select(ApiToken)).one()
    assert rina.post(f"/me/tokens/{row.id}/revoke", {}, page="/me/tokens").status_code == 303
    problem(hers.get("/machines"), 401)


def test_nobody_revokes_what_is_another_persons(budi: Visitor, app: Flask, session: Session, person: Person) -> None:
    hers = program(app, session, person)
    row = session.scalars(select(ApiToken)).one()
    assert budi.post(f"/me/tokens/{row.id}/revoke", {}, page="/me/tokens").status_code == 404
    assert hers.get("/machines").status_code == 200


def test_expired_it_opens_nothing(app: Flask, session: Session, person: Person) -> None:
    hers = program(app, session, person)
    session.scalars(select(ApiToken)).one().expires_at = now() - timedelta(seconds=1)
    session.commit()
    problem(hers.get("/machines"), 401)


def test_a_person_switched_off_takes_their_tokens_along_for_good(app: Flask, session: Session, keeper: Person) -> None:
    his = program(app, session, keeper)
    assert his.get("/machines").status_code == 200
    for active in (False, True):
        keeper.active = active
        session.commit()
        problem(his.get("/machines"), 401)


def test_use_is_written_down_once_a_minute(app: Flask, session: Session, person: Person) -> None:
    hers = program(app, session, person)
    hers.get("/machines")
    first = session.scalars(select(ApiToken.used_at)).one()
    assert first is not None
    hers.get("/machines")
    session.expire_all()
    row = session.scalars(select(ApiToken)).one()
    assert (row.used_at, row.used_from) == (first, "127.0.0.1")
    row.used_at = first - timedelta(minutes=2)
    session.commit()
    hers.get("/machines")
    session.expire_all()
    assert session.scalars(select(ApiToken.used_at)).one() > first


@pytest.mark.parametrize("made_up", ["", "x", "pantau_", "pantau_" + "A" * 43, "pantau_" + "A" * 5000, "ünïcödé"])
def test_what_is_no_token_is_nobody(app: Flask, made_up: str) -> None:
    answer = app.test_client().get(
        "/api/v1/machines", headers={"Authorization": f"Bearer {made_up}".encode().decode("latin-1")}
    )
    problem(answer, 401)
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_beside_a_token_no_cookie_counts(rina: Visitor, person: Person) -> None:
    answer = rina.get("/api/v1/machines", headers={"Authorization": "Bearer pantau_" + "A" * 43})
    problem(answer, 401)
    assert rina.get("/api/v1/machines").status_code == 200


def test_a_token_opens_no_page(app: Flask, session: Session, person: Person) -> None:
    hers = program(app, session, person)
    for path in ("/", "/machines", "/me", "/me/tokens", "/people"):
        answer = hers.client.get(path, headers={"Authorization": f"Bearer {hers.token}"})
        assert answer.status_code == 302, path
    answer = hers.client.post("/me", headers={"Authorization": f"Bearer {hers.token}"})
    assert answer.status_code == 400


def test_scopes_narrow_and_never_widen(app: Flask, session: Session, person: Person, keeper: Person) -> None:
    reading = program(app, session, person, ["read"])
    assert reading.get("/machines").status_code == 200
    problem(reading.post("/machines", {"name": "a", "address": "10.0.0.1"}), 403)
    editing = program(app, session, person, ["edit"])
    assert editing.post("/machines", {"name": "a", "address": "10.0.0.1"}).status_code == 201
    everything = program(app, session, keeper)
    problem(everything.post("/machines", {"name": "b", "address": "10.0.0.1"}), 403)


def test_a_browser_that_changes_something_over_the_api_needs_its_form_token(rina: Visitor) -> None:
    body = {"name": "a", "address": "10.0.0.1"}
    assert rina.client.post("/api/v1/machines", json=body).status_code == 400
    token = re.search(r'name="csrf" value="([^"]+)"', rina.get("/").text)
    assert token
    answer = rina.client.post("/api/v1/machines", json=body, headers={"X-CSRF-Token": token[1]})
    assert answer.status_code == 201, answer.text


def test_more_tokens_than_anybody_needs_are_refused(session: Session, person: Person) -> None:
    for number in range(bearer.MOST):
        bearer.make(session, person, f"{number}", ["read"])
    with pytest.raises(bearer.Refused, match="revoke one"):
        bearer.make(session, person, "one more", ["read"])


def test_a_token_that_reads_neither_knows_of_its_persons_other_tokens_nor_ends_them(
    app: Flask, session: Session, person: Person
) -> None:
    strong = program(app, session, person)
    for scopes in (["read"], ["handle"], ["edit"], ["logins"]):
        weak = program(app, session, person, scopes)
        listed = weak.get("/me/tokens").get_json()["items"]
        assert [row["scopes"] for row in listed] == [scopes], "itself, and no other"
        other = min(session.scalars(select(ApiToken.id)))
        missing = weak.delete("/me/tokens/987654")
        refused = weak.delete(f"/me/tokens/{other}")
        assert (refused.status_code, refused.get_json()["detail"]) == (404, missing.get_json()["detail"])
        assert strong.get("/machines").status_code == 200
        assert weak.delete(f"/me/tokens/{listed[0]['id']}").status_code == 204
        problem(weak.get("/machines"), 401)
    assert len(strong.get("/me/tokens").get_json()["items"]) == 1
    spare = program(app, session, person, ["read"])
    spared = spare.get("/me/tokens").get_json()["items"][0]["id"]
    assert strong.delete(f"/me/tokens/{spared}").status_code == 204


def stored(session: Session) -> tuple[Host, Credential]:
    """A machine that is logged in to, and its login."""
    login = Credential(name="watcher", kind="password", username="watcher", sealed=b"x", seal_id="x")
    host = Host(name="db", address="10.0.0.1")
    host.checks.append(Check(kind="ssh", name="SSH", credential=login))
    session.add(host)
    session.commit()
    return host, login


def test_only_a_token_made_for_it_says_where_a_stored_login_goes(app: Flask, session: Session, person: Person) -> None:
    host, _ = stored(session)
    settings = app.config["PANTAU"]
    vault.create(settings.vault_key, settings.vault_public)
    look = {"kind": "ssh", "name": "SSH", "credential": "watcher"}
    aimed: list[tuple[str, str, dict[str, object]]] = [
        ("POST", "/machines", {"name": "mine", "address": "10.9.9.9", "checks": [look]}),
        ("PATCH", f"/machines/{host.id}", {"address": "10.9.9.9"}),
        ("PATCH", f"/machines/{host.id}", {"checks": [{**look, "options": {"port": 2222}}]}),
        ("POST", f"/machines/{host.id}/test", {"kind": "ssh", "options": {"port": 2222}, "credential": "watcher"}),
        ("POST", "/estate", {"version": 1, "hosts": []}),
        ("POST", "/credentials", {"name": "new", "username": "x", "password": "a secret of it"}),
    ]
    usual, made_for_it = program(app, session, person, ["admin"]), program(app, session, person, ["admin", "logins"])
    for method, path, body in aimed:
        told = problem(usual.ask(method, path, body), 403)
        assert "scope logins" in told["detail"], path
    assert usual.patch(f"/machines/{host.id}", {"note": "rack 4", "checks": [look]}).status_code == 200, "nothing moves"
    assert usual.post(f"/machines/{host.id}/test", {"kind": "ssh", "credential": "watcher"}).status_code == 202
    for method, path, body in aimed:
        assert made_for_it.ask(method, path, body).status_code in (200, 201, 202), path


def test_a_page_that_aims_a_stored_login_asks_once_more_and_loses_nothing(rina: Visitor, session: Session) -> None:
    host, login = stored(session)
    session.execute(update(Opened).values(proved_at=now() - timedelta(minutes=16)))
    session.commit()
    path = f"/machines/{host.id}/checks/{host.checks[0].id}"
    form = {"name": "SSH", "credential": str(login.id), "deadline": "10", "enabled": "yes", "reachability": "yes"}
    same = rina.post(path, {**form, "deadline": "11"})
    assert same.status_code == 303, "nothing goes anywhere new"
    asked = rina.post(path, {**form, "deadline": "11", "option-port": "2222"})
    assert asked.status_code == 403
    session.expire_all()
    assert host.checks[0].options == {}
    parked = re.search(rf'name="{proof.PARKED}" value="([^"]+)"', asked.text)
    assert parked
    done = rina.post(path, {proof.PARKED: parked[1], proof.PASSWORD: PASSWORD})
    assert done.status_code == 303, done.text
    session.expire_all()
    assert host.checks[0].options == {"port": 2222}
    session.execute(update(Opened).values(proved_at=now() - timedelta(minutes=16)))
    session.commit()
    moved = rina.post(
        f"/machines/{host.id}/edit", {"name": "db", "address": "10.9.9.9"}, page=f"/machines/{host.id}/edit"
    )
    assert moved.status_code == 403
