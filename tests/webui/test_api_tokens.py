"""Tokens: what a program comes in with, and what it does not open."""

from __future__ import annotations

import hashlib
import re
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.orm import Session

from domain.clock import now
from domain.inventory import Person
from domain.tokens import LASTS, ApiToken
from tests.webui.cast import Visitor
from tests.webui.program import Program, problem, program
from webui import bearer


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
