"""Credentials, divisions, limits, rules, rotas, people and the audit over the API."""

from __future__ import annotations

from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.orm import Session

from config import vault
from domain.inventory import Check, Credential, Host, Person
from tests.webui.cast import Town
from tests.webui.program import Program, problem, program

SECRET = "canary-9d2f71c4"


@pytest.fixture
def hers(app: Flask, session: Session, person: Person, place: Path) -> Program:
    """Rina's program, where there is a vault."""
    if not (place / "vault.pub").exists():
        vault.create(place / "vault.key", place / "vault.pub")
    return program(app, session, person)


def test_a_secret_goes_in_and_never_comes_out(hers: Program, session: Session, place: Path) -> None:
    made = hers.post("/credentials", {"name": "root", "username": "root", "password": SECRET}, Idempotency_Key="k")
    assert made.status_code == 201, made.text
    again = hers.post("/credentials", {"name": "root", "username": "root", "password": SECRET}, Idempotency_Key="k")
    number = made.get_json()["id"]
    sealed = session.scalars(select(Credential.sealed)).one()
    seal_id = session.scalars(select(Credential.seal_id)).one()
    assert SECRET in vault.opener(place / "vault.key").open(sealed, f"credential:{seal_id}").decode()
    told = [
        made,
        again,
        hers.get("/credentials"),
        hers.get(f"/credentials/{number}"),
        hers.get("/estate"),
        hers.get("/audit"),
    ]
    assert all(answer.status_code in (200, 201) and SECRET not in answer.text for answer in told)
    changed = hers.patch(f"/credentials/{number}", {"username": "admin", "password": f"{SECRET}-2"})
    assert (changed.status_code, changed.get_json()["username"]) == (200, "admin"), changed.text
    renamed = hers.patch(f"/credentials/{number}", {"name": "toor"})
    assert renamed.get_json()["name"] == "toor"
    assert hers.delete(f"/credentials/{number}").status_code == 204


def test_a_login_that_cannot_be_one_is_refused_at_its_place(hers: Program) -> None:
    for body, pointer in (
        ({"name": "x", "username": "root"}, "#/password"),
        ({"name": "x", "password": SECRET}, "#/username"),
        ({"name": "x", "username": "u", "private_key": "nonsense"}, "#/private_key"),
        ({"name": "x", "sort": "snmp", "username": "u", "password": "short"}, "#/password"),
    ):
        told = problem(hers.post("/credentials", body), 422)
        assert pointer in [one["pointer"] for one in told["errors"]], told


def test_a_login_in_use_is_not_deleted(hers: Program, session: Session) -> None:
    number = hers.post("/credentials", {"name": "root", "username": "root", "password": SECRET}).get_json()["id"]
    session.add(Host(name="a", address="10.0.0.1", checks=[Check(kind="ssh", name="SSH", credential_id=number)]))
    session.commit()
    problem(hers.delete(f"/credentials/{number}"), 409)
    assert hers.get(f"/credentials/{number}").get_json()["used_by"][0]["name"] == "a"


@pytest.mark.parametrize("kind", ["divisions", "groups", "sites"])
def test_places_are_made_renamed_and_removed(hers: Program, kind: str) -> None:
    made = hers.post(f"/{kind}", {"name": "One"})
    assert made.status_code == 201, made.text
    path = made.headers["Location"].removeprefix("/api/v1")
    problem(hers.post(f"/{kind}", {"name": "One"}), 409)
    known = hers.get(path).headers["ETag"]
    assert hers.patch(path, {"name": "Two"}, If_Match=known).get_json()["name"] == "Two"
    problem(hers.delete(path, If_Match=known), 412)
    assert hers.delete(path).status_code == 204
    problem(hers.get(path), 404)


def test_limits_are_set_tried_changed_and_taken_away(hers: Program, busy: Town, session: Session) -> None:
    limit = {"measure": "system.cpu.utilization", "state": "warning", "over": 0.1, "for": 0}
    made = hers.post("/limits", {**limit, "host": "fs-01"})
    assert made.status_code == 201, made.text
    told = made.get_json()
    assert (told["whose"], told["name"], told["over"], told["for"]) == ("host", "fs-01", 0.1, 0.0)
    problem(hers.post("/limits", {**limit, "host": "fs-01"}), 409)
    host = session.scalars(select(Host.id).where(Host.name == "fs-01")).one()
    assert told["id"] in [one["id"] for one in hers.get(f"/machines/{host}/limits").get_json()["items"]]
    tried = hers.post(f"/machines/{host}/limits/try", limit)
    assert tried.status_code == 200 and "alarm" in tried.get_json()["sentence"]
    changed = hers.ask("PUT", f"/limits/{told['id']}", {**limit, "over": 0.5})
    assert changed.get_json()["over"] == 0.5
    assert hers.delete(f"/limits/{changed.get_json()['id']}").status_code == 204
    problem(hers.post("/limits", {**limit, "host": "nobody"}), 422)


def test_rules_and_rotas_are_made_moved_previewed_and_removed(
    hers: Program, busy: Town, person: Person, session: Session
) -> None:
    ids = [
        hers.post("/policies", {"name": name, "steps": [{"after": 0, "to": ["admins"]}]}).get_json()["id"]
        for name in ("a", "b")
    ]
    assert hers.post(f"/policies/{ids[1]}/move", {"position": 0}).get_json()["position"] == 0
    assert [one["name"] for one in hers.get("/policies").get_json()["items"]] == ["b", "a"]
    problem(hers.post("/policies", {"name": "c", "steps": [{"after": 0, "to": ["nobody"]}]}), 422)
    host = session.scalars(select(Host.id)).first()
    assert hers.get(f"/policies/preview?machine={host}").get_json()["rule"] == "b"
    rota = {"name": "Duty", "starts_at": "2026-11-23T08:00:00+07:00", "people": [person.id]}
    answer = hers.post("/rotas", rota)
    assert answer.status_code == 201, answer.text
    made = answer.get_json()
    assert made["turns"][0]["person"]["name"] == "Rina"
    swap = {"person": person.id, "since": "2999-01-01T00:00:00Z", "until": "2999-01-02T00:00:00Z"}
    swapped = hers.post(f"/rotas/{made['id']}/swaps", swap).get_json()
    assert hers.delete(f"/rotas/{made['id']}/swaps/{swapped['swaps'][0]['id']}").status_code == 204
    assert hers.delete(f"/rotas/{made['id']}").status_code == 204


def test_whoever_asks_learns_who_they_are_and_what_they_may(
    hers: Program, app: Flask, session: Session, person: Person
) -> None:
    assert hers.get("/me").get_json()["login"] == "rina"
    narrow = program(app, session, person, ["read"])
    assert narrow.get("/me").get_json()["rights"] == ["see"]
    problem(narrow.get("/people"), 403)
    own = narrow.get("/me/tokens").get_json()["items"]
    assert narrow.delete(f"/me/tokens/{own[0]['id']}").status_code == 204
    problem(narrow.get("/me"), 401)


def test_what_a_program_did_is_on_record_with_its_token(hers: Program, session: Session) -> None:
    hers.post("/divisions", {"name": "Toko"})
    row = hers.get("/audit?what=division").get_json()["items"][0]
    assert (row["what"], row["person"]) == ("division.made", "Rina")
    assert " token " in row["source"]
