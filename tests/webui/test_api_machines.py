"""Machines over the API: found, made, changed, removed; once, and only while nobody else did."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from domain.clock import now
from domain.inventory import Check, Division, Host, Membership, Person, Site
from domain.tokens import Answered
from tests.webui.cast import Town
from tests.webui.program import Program, problem, program

ONE = {"name": "web-1", "address": "10.0.0.7"}


@pytest.fixture
def hers(app: Flask, session: Session, person: Person) -> Program:
    """Rina's program, which may do what she may."""
    return program(app, session, person)


@pytest.fixture
def his(app: Flask, session: Session, keeper: Person) -> Program:
    """Budi's, who is in charge of the division Gudang."""
    return program(app, session, keeper)


def names(answer: object) -> list[str]:
    """What a page of a list holds."""
    return [one["name"] for one in answer.get_json()["items"]]  # type: ignore[attr-defined]


def test_the_list_says_how_every_machine_is(hers: Program, busy: Town) -> None:
    found = {one["name"]: one for one in hers.get("/machines").get_json()["items"]}
    assert len(found) == 15
    assert (found["db-02"]["state"], found["db-02"]["reason"]) == (
        "down",
        "No answer to 5 pings and no SSH on port 22.",
    )
    assert found["erp"]["measure"] == "system.filesystem.utilization"
    assert found["erp"]["disk"] == pytest.approx(0.98)
    assert found["hr-pc"]["maintenance"] is False
    assert found["db-02"]["incident"] is not None
    assert found["off"]["state"] == "disabled"


def test_a_list_is_read_page_by_page_and_nothing_is_missed_or_told_twice(hers: Program, busy: Town) -> None:
    seen: list[str] = []
    cursor = ""
    while True:
        page = hers.get(f"/machines?limit=4&cursor={cursor}").get_json()
        assert len(page["items"]) <= 4
        seen += [one["name"] for one in page["items"]]
        if page["next"] is None:
            break
        cursor = page["next"]
    assert len(seen) == len(set(seen)) == 15


def test_the_list_is_narrowed_as_on_the_page(hers: Program, busy: Town, session: Session) -> None:
    home, place = Division(name="Gudang dua"), Site(name="Bandung")
    session.execute(update(Host).where(Host.name == "erp").values(note=""))
    erp = session.scalars(select(Host).where(Host.name == "erp")).one()
    erp.division, erp.site = home, place
    session.commit()
    assert names(hers.get("/machines?status=down")) == ["db-02"]
    assert names(hers.get("/machines?q=10.0.0.2")) == ["fs-01"]
    assert set(names(hers.get("/machines?group=Gudang"))) == {"fs-01", "pc-01", "pc-03", "pc-05", "pc-07"}
    assert names(hers.get("/machines?division=Gudang%20dua")) == names(hers.get("/machines?site=Bandung")) == ["erp"]
    assert names(hers.get("/machines?site=nowhere")) == []


@pytest.mark.parametrize(
    "query, parameter",
    [
        ("limit=0", "limit"),
        ("limit=501", "limit"),
        ("limit=x", "limit"),
        ("status=burning", "status"),
        ("cursor=x", "cursor"),
        ("cursor=%FF%FE", "cursor"),
        ("colour=red", "colour"),
        ("q=a&q=b", "q"),
        ("q=" + "x" * 201, "q"),
    ],
)
def test_a_wrong_parameter_is_named(hers: Program, query: str, parameter: str) -> None:
    told = problem(hers.get(f"/machines?{query}"), 422)
    assert [one["parameter"] for one in told["errors"]] == [parameter]


def test_another_divisions_machine_answers_exactly_like_one_that_does_not_exist(
    his: Program, busy: Town, session: Session
) -> None:
    foreign = session.scalars(select(Host.id).where(Host.name == "db-02")).one()
    for method, tail, body in (
        ("GET", "", None), ("GET", "/state", None), ("PATCH", "", {"note": "x"}), ("DELETE", "", None),
    ):  # fmt: skip
        there, missing = (his.ask(method, f"/machines/{number}{tail}", body) for number in (foreign, 999_999))
        assert there.status_code == missing.status_code == 404 or method != "GET"
        assert (there.status_code, there.data, sorted(there.headers)) == (
            missing.status_code, missing.data, sorted(missing.headers),
        )  # fmt: skip
    assert his.get("/machines").get_json() == {"items": [], "next": None}


def test_one_machine_is_told_as_a_document_says_it(hers: Program, busy: Town, session: Session) -> None:
    host = session.scalars(select(Host).where(Host.name == "fs-01")).one()
    told = hers.get(f"/machines/{host.id}").get_json()
    assert (told["name"], told["groups"], told["normal"]) == ("fs-01", ["Gudang"], "usual")
    assert [check["kind"] for check in told["checks"]] == ["ssh"]
    state = hers.get(f"/machines/{host.id}/state").get_json()
    assert state["state"] == "warning"
    values = {value["measure"]: value for value in state["checks"][0]["values"]}
    assert values["system.filesystem.utilization"]["value"] == pytest.approx(0.91)


def test_a_machine_is_made_with_its_group_and_division_changed_and_removed(hers: Program, session: Session) -> None:
    made = hers.post("/machines", {**ONE, "groups": ["Web"], "division": "Toko", "interval": "30s"})
    assert made.status_code == 201, made.text
    place = made.headers["Location"]
    told = made.get_json()
    assert place == f"/api/v1/machines/{told['id']}"
    assert [check["kind"] for check in told["checks"]] == ["icmp"]
    changed = hers.patch(f"/machines/{told['id']}", {"name": "web-01", "note": "rack 4", "interval": None})
    assert changed.status_code == 200, changed.text
    assert {key: changed.get_json()[key] for key in ("name", "note", "interval", "groups", "division")} == {
        "name": "web-01", "note": "rack 4", "interval": None, "groups": ["Web"], "division": "Toko",
    }  # fmt: skip
    assert session.scalars(select(Check.kind)).all() == ["icmp"]
    assert hers.delete(f"/machines/{told['id']}").status_code == 204
    problem(hers.get(f"/machines/{told['id']}"), 404)


@pytest.mark.parametrize(
    "body, pointer",
    [
        ({"name": "x"}, "#/address"),
        ({**ONE, "colour": "red"}, "#/colour"),
        ({**ONE, "name": " x"}, "#/name"),
        ({**ONE, "address": "1.2.3"}, "#/address"),
        ({**ONE, "attempts": 99}, "#/attempts"),
        ({**ONE, "enabled": "yes"}, "#/enabled"),
        ({**ONE, "checks": [{"kind": "icmp"}, {"kind": "magic"}]}, "#/checks/1/kind"),
        ({**ONE, "thresholds": [{"measure": "nothing", "state": "warning", "over": 1}]}, "#/thresholds/0/measure"),
    ],
)
def test_what_is_wrong_with_a_machine_is_said_at_its_place(
    hers: Program, body: dict[str, object], pointer: str, session: Session
) -> None:
    told = problem(hers.post("/machines", body), 422)
    assert told["errors"][0]["pointer"] == pointer
    assert session.scalar(select(func.count(Host.id))) == 0


def test_what_is_no_json_at_all_is_said_so(hers: Program) -> None:
    headers = {"Authorization": f"Bearer {hers.token}"}
    send = hers.client.post
    problem(send("/api/v1/machines", data="{", content_type="application/json", headers=headers), 400)
    problem(send("/api/v1/machines", data="name: x", content_type="text/yaml", headers=headers), 415)
    problem(send("/api/v1/machines", data="[" * 100_000, content_type="application/json", headers=headers), 400)
    problem(send("/api/v1/machines", data=b"x" * 1_100_000, content_type="application/json", headers=headers), 413)


def test_a_name_that_is_taken_is_a_conflict(hers: Program) -> None:
    first = hers.post("/machines", ONE).get_json()
    problem(hers.post("/machines", {**ONE, "address": "10.0.0.8"}), 409)
    other = hers.post("/machines", {**ONE, "name": "web-2"}).get_json()
    problem(hers.patch(f"/machines/{other['id']}", {"name": first["name"]}), 409)


def test_what_has_not_changed_is_not_sent_again(hers: Program) -> None:
    made = hers.post("/machines", ONE).get_json()
    first = hers.get(f"/machines/{made['id']}")
    again = hers.get(f"/machines/{made['id']}", If_None_Match=first.headers["ETag"])
    assert (again.status_code, again.data) == (304, b"")
    hers.patch(f"/machines/{made['id']}", {"note": "new"})
    assert hers.get(f"/machines/{made['id']}", If_None_Match=first.headers["ETag"]).status_code == 200


def test_a_change_of_what_somebody_else_changed_meanwhile_is_refused(hers: Program) -> None:
    made = hers.post("/machines", ONE).get_json()
    path = f"/machines/{made['id']}"
    known = hers.get(path).headers["ETag"]
    changed = hers.patch(path, {"note": "mine"}, If_Match=known)
    assert changed.status_code == 200
    problem(hers.patch(path, {"note": "yours"}, If_Match=known), 412)
    problem(hers.delete(path, If_Match=known), 412)
    assert hers.get(path).get_json()["note"] == "mine"
    assert changed.headers["ETag"] == hers.get(path).headers["ETag"]
    assert hers.delete(path, If_Match=changed.headers["ETag"]).status_code == 204


def test_of_many_who_change_the_same_version_at_once_one_succeeds(
    app: Flask, session: Session, person: Person, hers: Program
) -> None:
    made = hers.post("/machines", ONE).get_json()
    path = f"/machines/{made['id']}"
    known = hers.get(path).headers["ETag"]

    def change(number: int) -> int:
        mine = Program(app.test_client(use_cookies=False), hers.token)
        return mine.patch(path, {"note": f"by {number}"}, If_Match=known).status_code

    with ThreadPoolExecutor(6) as pool:
        codes = sorted(pool.map(change, range(6)))
    assert codes == [200] + [412] * 5


def test_the_same_key_is_done_once_and_answered_the_same(hers: Program, session: Session) -> None:
    first = hers.post("/machines", ONE, Idempotency_Key="a-1")
    again = hers.post("/machines", ONE, Idempotency_Key="a-1")
    assert (first.status_code, again.status_code) == (201, 201)
    assert (first.data, first.headers["Location"]) == (again.data, again.headers["Location"])
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert session.scalar(select(func.count(Host.id))) == 1


def test_a_key_belongs_to_one_request_and_to_one_token(
    hers: Program, app: Flask, session: Session, person: Person
) -> None:
    hers.post("/machines", ONE, Idempotency_Key="a-1")
    problem(hers.post("/machines", {**ONE, "name": "web-2"}, Idempotency_Key="a-1"), 422)
    other = program(app, session, person)
    assert other.post("/machines", {**ONE, "name": "web-2"}, Idempotency_Key="a-1").status_code == 201
    problem(hers.post("/machines", {**ONE, "name": "web-3"}, Idempotency_Key="with space"), 400)


def test_what_was_refused_may_be_sent_again_with_its_key(hers: Program) -> None:
    problem(hers.post("/machines", {"name": "web-1"}, Idempotency_Key="a-1"), 422)
    assert hers.post("/machines", ONE, Idempotency_Key="a-1").status_code == 201


def test_a_key_is_forgotten_after_a_day(hers: Program, session: Session) -> None:
    hers.post("/machines", ONE, Idempotency_Key="a-1")
    session.execute(update(Answered).values(at=now() - timedelta(hours=25)))
    session.commit()
    assert hers.post("/machines", {**ONE, "name": "web-2"}, Idempotency_Key="a-1").status_code == 201
    assert session.scalar(select(func.count()).select_from(Answered)) == 1


def test_eight_at_once_with_one_key_make_one_machine_and_hear_the_same(
    hers: Program, app: Flask, session: Session
) -> None:
    def make(_: int) -> tuple[int, bytes]:
        answer = Program(app.test_client(use_cookies=False), hers.token).post("/machines", ONE, Idempotency_Key="a-1")
        return answer.status_code, answer.data

    with ThreadPoolExecutor(8) as pool:
        told = set(pool.map(make, range(8)))
    assert len(told) == 1
    assert next(iter(told))[0] == 201
    assert session.scalar(select(func.count(Host.id))) == 1


def test_whoever_edits_one_division_edits_no_other(app: Flask, session: Session, keeper: Person, hers: Program) -> None:
    home = keeper.memberships[0].division_id
    keeper.memberships.append(Membership(division_id=home, role="operator"))
    session.commit()
    his = program(app, session, keeper)
    foreign = hers.post("/machines", {**ONE, "name": "secret", "division": "Toko"}).get_json()
    problem(his.post("/machines", ONE), 403)
    problem(his.post("/machines", {**ONE, "division": "Toko"}), 403)
    problem(his.post("/machines", {**ONE, "division": "Gudang", "parents": ["secret"]}), 422)
    made = his.post("/machines", {**ONE, "division": "Gudang"})
    assert made.status_code == 201, made.text
    problem(his.patch(f"/machines/{made.get_json()['id']}", {"division": "Toko"}), 403)
    problem(his.patch(f"/machines/{foreign['id']}", {"note": "x"}), 404)
    assert his.patch(f"/machines/{made.get_json()['id']}", {"note": "x"}).status_code == 200
