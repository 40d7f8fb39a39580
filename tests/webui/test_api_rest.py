"""Incidents, maintenance, looks, history, and the whole estate over the API."""

from __future__ import annotations

from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.orm import Session

from domain.clock import now
from domain.inventory import Division, Host, Membership, Person, Window
from domain.records import Incident
from domain.requests import Look
from tests.webui.cast import Town
from tests.webui.program import Program, problem, program


@pytest.fixture
def hers(app: Flask, session: Session, person: Person) -> Program:
    """Rina's program, which may do what she may."""
    return program(app, session, person)


@pytest.fixture
def his(app: Flask, session: Session, keeper: Person) -> Program:
    """Budi's, who is in charge of the division Gudang."""
    return program(app, session, keeper)


@pytest.fixture
def given(busy: Town, session: Session, keeper: Person) -> Host:
    """db-02, which is down, is Budi's."""
    host = session.scalars(select(Host).where(Host.name == "db-02")).one()
    host.division_id = keeper.memberships[0].division_id
    session.commit()
    return host


def test_incidents_are_read_newest_first_a_page_at_a_time(hers: Program, busy: Town) -> None:
    first = hers.get("/incidents?limit=1").get_json()
    second = hers.get(f"/incidents?limit=1&cursor={first['next']}").get_json()
    assert [first["items"][0]["closing"], second["items"][0]["closing"]] == [
        "Power strip switched off by the cleaner",
        "",
    ]
    assert second["next"] is None
    assert [one["machine"]["name"] for one in hers.get("/incidents?state=open").get_json()["items"]] == ["db-02"]
    assert hers.get("/incidents?division=nowhere").get_json()["items"] == []


def test_an_incident_is_taken_noted_given_back_and_says_who_did_what(
    his: Program, given: Host, session: Session
) -> None:
    number = his.get("/incidents?state=open").get_json()["items"][0]["id"]
    taken = his.post(f"/incidents/{number}/acknowledge", {"term": "1h", "note": "on my way"}).get_json()
    assert taken["owner"]["name"] == "Budi"
    assert his.get("/incidents?owner=me").get_json()["items"][0]["id"] == number
    noted = his.post(f"/incidents/{number}/notes", {"text": "The fan is broken."}).get_json()
    assert noted["history"][0]["quote"] == "The fan is broken."
    assert his.post(f"/incidents/{number}/give-back").get_json()["owner"] is None
    problem(his.post(f"/incidents/{number}/give-back"), 409)
    problem(his.post(f"/incidents/{number}/close", {"cause": "the fan"}), 409)
    problem(his.post(f"/incidents/{number}/notes", {"text": ""}), 422)


def test_incidents_are_put_together_and_parted(hers: Program, busy: Town, session: Session) -> None:
    erp = session.scalars(select(Host).where(Host.name == "erp")).one()
    at = busy.now - timedelta(minutes=3)
    other = Incident(subject=f"host:{erp.id}", host_id=erp.id, state="down", since=at, opened_at=at)
    session.add(other)
    session.commit()
    whole = session.scalars(select(Incident.id).where(Incident.closed_at.is_(None), Incident.id != other.id)).one()
    assert hers.post(f"/incidents/{other.id}/merge", {"into": whole}).get_json()["under"] == whole
    assert hers.post(f"/incidents/{other.id}/split").get_json()["under"] is None
    problem(hers.post(f"/incidents/{other.id}/merge", {"into": other.id}), 409)
    problem(hers.post(f"/incidents/{other.id}/merge", {"into": 999_999}), 422)


def test_an_incident_is_handed_over_to_somebody_who_may_handle_it(
    hers: Program, his: Program, given: Host, keeper: Person, session: Session
) -> None:
    number = hers.get("/incidents?state=open").get_json()["items"][0]["id"]
    assert hers.post(f"/incidents/{number}/hand-over", {"to": keeper.id}).get_json()["owner"]["name"] == "Budi"
    nobody = Person(login="x", name="X", password_hash="x", role="none")
    session.add(nobody)
    session.commit()
    problem(hers.post(f"/incidents/{number}/hand-over", {"to": nobody.id}), 422)


def test_another_divisions_incident_is_none(his: Program, busy: Town, session: Session) -> None:
    number = session.scalars(select(Incident.id).where(Incident.closed_at.is_(None))).one()
    for method, tail, body in (("GET", "", None), ("POST", "/notes", {"text": "x"}), ("POST", "/split", None)):
        there, missing = (his.ask(method, f"/incidents/{id}{tail}", body) for id in (number, 999_999))
        assert there.status_code == 404
        assert (there.data, dict(there.headers)) == (missing.data, dict(missing.headers))
    assert his.get("/incidents").get_json()["items"] == []


def test_maintenance_is_begun_planned_listed_and_ended(hers: Program, busy: Town) -> None:
    made = hers.post("/maintenance", {"host": "db-02", "for": "2h", "note": "deploy"})
    assert made.status_code == 201, made.text
    told = made.get_json()
    assert (told["host"], told["running"], told["duration"], told["made_by"]) == ("db-02", True, 7200.0, "rina")
    assert hers.get(made.headers["Location"].removeprefix("/api/v1")).get_json() == told
    weekly = {"kind": "weekly", "weekdays": ["sun"], "at": "02:00", "duration": "2h", "flexible": True, "lasts": 1800}
    planned = hers.post("/maintenance", {"group": "Gudang", **weekly}).get_json()
    assert (planned["weekdays"], planned["at"], planned["lasts"], len(planned["next"])) == (["sun"], "02:00", 1800.0, 5)
    listed = hers.get("/maintenance").get_json()
    assert told["id"] in [one["id"] for one in listed["running"]]
    ended = hers.post(f"/maintenance/{told['id']}/end", {})
    assert (ended.status_code, ended.get_json()["running"]) == (200, False)
    problem(hers.post(f"/maintenance/{told['id']}/end", {}), 409)


@pytest.mark.parametrize(
    "body",
    [
        {}, {"host": "db-02", "everything": True, "for": "1h"}, {"everything": False, "for": "1h"},
        {"host": "nobody", "for": "1h"}, {"host": "db-02"}, {"host": "db-02", "for": "ever"}, {"host": "db-02", "for": 1},
        {"host": "db-02", "for": "1h", "until": "2030-01-01T00:00+00:00"}, {"host": "db-02", "for": "1h", "note": 7},
        {"host": "db-02", "kind": "weekly", "weekdays": ["someday"], "at": "25:00", "duration": "1h"},
        {"host": "db-02", "from": "0001-01-01T00:00+14:00", "until": "9999-12-31T23:59-12:00"},
    ],
)  # fmt: skip
def test_maintenance_that_makes_no_sense_is_refused(hers: Program, busy: Town, body: object, session: Session) -> None:
    before = session.scalars(select(Window.id)).all()
    problem(hers.post("/maintenance", body), 422)
    assert session.scalars(select(Window.id)).all() == before


def test_whoever_is_in_charge_maintains_what_is_theirs_and_nothing_else(
    his: Program, hers: Program, given: Host
) -> None:
    assert his.post("/maintenance", {"host": "db-02", "for": "1h"}).status_code == 201
    assert his.post("/maintenance", {"division": "Gudang", "for": "1h"}).status_code == 201
    foreign = his.post("/maintenance", {"host": "erp", "for": "1h"})
    missing = his.post("/maintenance", {"host": "xyz", "for": "1h"})
    assert problem(foreign, 422)["detail"].replace("erp", "") == problem(missing, 422)["detail"].replace("xyz", "")
    problem(his.post("/maintenance", {"everything": True, "for": "1h"}), 403)
    hidden = hers.post("/maintenance", {"host": "erp", "for": "1h"}).get_json()["id"]
    for method, tail, body in (("GET", "", None), ("POST", "/end", {})):
        there, none = (his.ask(method, f"/maintenance/{id}{tail}", body) for id in (hidden, 999_999))
        assert (there.status_code, there.data) == (404, none.data)


def test_a_look_is_asked_for_and_polled(his: Program, hers: Program, given: Host, session: Session) -> None:
    asked = his.post(f"/machines/{given.id}/look")
    assert asked.status_code == 202, asked.text
    path = asked.headers["Location"].removeprefix("/api/v1")
    told = his.get(path).get_json()
    assert (told["kind"], told["machine"], told["pending"], told["answer"]) == ("run", given.id, True, {})
    row = session.scalars(select(Look)).one()
    row.claimed_at = row.done_at = now()
    row.answer = {"readings": []}
    session.commit()
    assert his.get(path).get_json()["pending"] is False
    problem(hers.get(path), 404)


def test_a_check_is_tried_out_without_being_stored(hers: Program, busy: Town, session: Session) -> None:
    host = session.scalars(select(Host).where(Host.name == "db-02")).one()
    asked = hers.post(f"/machines/{host.id}/test", {"kind": "tcp", "options": {"port": 22}})
    assert asked.status_code == 202, asked.text
    assert session.scalars(select(Look.asked)).one()["options"] == {"port": 22}
    problem(hers.post(f"/machines/{host.id}/test", {"kind": "tcp", "options": {"colour": 1}}), 422)
    problem(hers.post(f"/machines/{host.id}/test", {"kind": "ssh", "credential": "none such"}), 422)


def test_the_values_of_a_measure_come_as_lines(hers: Program, busy: Town, session: Session) -> None:
    host = session.scalars(select(Host).where(Host.name == "fs-01")).one()
    measures = {one["measure"] for one in hers.get(f"/machines/{host.id}/measures").get_json()["items"]}
    assert "system.cpu.utilization" in measures
    told = hers.get(f"/machines/{host.id}/series?measure=system.cpu.utilization&range=1h").get_json()
    assert told["averaged"] == 0
    assert len(told["lines"]) == 1
    assert len(told["lines"][0]["values"]) == 45
    few = hers.get(f"/machines/{host.id}/series?measure=system.cpu.utilization&range=1h&points=10").get_json()
    assert 2 < len(few["lines"][0]["values"]) <= 10
    assert hers.get(f"/machines/{host.id}/series?measure=nothing").get_json()["lines"] == []
    for wrong in ("points=5001", "points=1", "range=2h", "from=yesterday", "from=2999-01-01T00:00:00Z", "from=2026-01-01T00:00:00"):  # fmt: skip
        problem(hers.get(f"/machines/{host.id}/series?measure=system.cpu.utilization&{wrong}"), 422)


def test_availability_is_told_with_its_outages(hers: Program, busy: Town, session: Session) -> None:
    host = session.scalars(select(Host).where(Host.name == "db-02")).one()
    told = hers.get(f"/machines/{host.id}/availability?days=1").get_json()
    assert 0.9 < told["availability"] < 1
    assert [one["state"] for one in told["outages"]] == ["down"]
    assert told["up"] + told["down"] + told["unknown"] == pytest.approx(86400)


def test_the_estate_is_exported_tried_and_applied_as_the_command_does(hers: Program, session: Session) -> None:
    document = "version: 1\nhosts: [{name: web1, address: 192.0.2.7}]\n"
    headers = {"Authorization": f"Bearer {hers.token}", "Content-Type": "application/yaml"}
    send = lambda query, text: hers.client.post(f"/api/v1/estate{query}", data=text, headers=headers)  # noqa: E731
    tried = send("?dry_run=yes", document)
    assert tried.get_json() == {
        "dry_run": True,
        "changes": ["+ host web1", "+ check web1/ping", "2 added, 0 changed, 0 removed."],
    }
    assert session.scalars(select(Host)).all() == []
    assert send("", document).get_json()["changes"][-1] == "2 added, 0 changed, 0 removed."
    yaml = hers.get("/estate", Accept="application/yaml")
    assert yaml.mimetype == "application/yaml"
    assert send("", yaml.text).get_json()["changes"] == []
    told = hers.get("/estate").get_json()
    assert told["hosts"][0]["name"] == "web1"
    assert hers.post("/estate?dry_run", told).get_json()["changes"] == []
    assert send("?prune=yes", "version: 1\nhosts: []\n").get_json()["changes"] == [
        "- host web1",
        "0 added, 0 changed, 1 removed.",
    ]
    assert "(line 2)" in problem(send("", "version: 1\nhosts: [{name: web1}]\n"), 422)["detail"]


def test_the_estate_reads_no_file_of_pantaus_machine(hers: Program, session: Session) -> None:
    login = {"name": "x", "kind": "password", "username": "u", "secret": {"file": "/etc/passwd"}}
    told = problem(hers.post("/estate", {"version": 1, "credentials": [login]}), 422)
    assert "only by `pantau apply`" in told["detail"]


def test_an_operator_of_a_division_sends_no_stored_login_elsewhere(
    app: Flask, hers: Program, session: Session, keeper: Person
) -> None:
    keeper.memberships.append(Membership(division_id=keeper.memberships[0].division_id, role="operator"))
    session.commit()
    his = program(app, session, keeper)
    from domain.inventory import Check, Credential

    login = Credential(name="root", kind="password", username="root", sealed=b"x", seal_id="x")
    host = Host(name="mine", address="10.0.0.1", division=session.get(Division, keeper.memberships[0].division_id))
    host.checks.append(Check(kind="ssh", name="SSH", credential=login))
    session.add(host)
    session.commit()
    path = f"/machines/{host.id}"
    problem(his.patch(path, {"address": "10.6.6.6"}), 403)
    entry = his.get(path).get_json()
    assert his.patch(path, {"note": "x", "checks": entry["checks"]}).status_code == 200
    stolen = [*entry["checks"], {"kind": "ssh", "name": "again", "credential": "root", "options": {"port": 2222}}]
    problem(his.patch(path, {"checks": stolen}), 403)
    fresh = {
        "name": "bait",
        "address": "10.6.6.6",
        "division": "Gudang",
        "checks": [{"kind": "ssh", "credential": "root"}],
    }
    problem(his.post("/machines", fresh), 403)
    assert hers.patch(path, {"address": "10.0.0.2"}).status_code == 200
