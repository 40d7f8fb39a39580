"""What operators and people in charge may do with the machines of their division, and with no others."""

from __future__ import annotations

import itertools
import json
import re
import threading

import pytest
import requests
from flask import Flask
from sqlalchemy import Engine, func, select, text
from sqlalchemy.orm import Session

from domain.clock import now
from domain.inventory import Check, Credential, Division, Host, Membership, Person, Threshold, Window
from domain.records import Incident
from tests.webui.cast import PASSWORD, Visitor
from tests.webui.conftest import _digest
from tests.webui.program import Program, program
from webui import addresses, stream


class Two:
    """Two divisions, a machine each; Olga is operator of the first, Pia in charge of it."""

    def __init__(self, session: Session, app: Flask) -> None:
        self.session, self._app = session, app
        self.own, self.foreign = Division(name="Gudang"), Division(name="Kasir")
        self.mine = Host(name="pc-1", address="10.0.0.1", division=self.own)
        self.other = Host(name="till-1", address="10.0.0.2", division=self.foreign)
        self.root = Credential(name="root", kind="password", username="root", sealed=b"x", seal_id="1")
        session.add_all([self.mine, self.other, self.root])
        session.flush()
        self.mine.checks.append(Check(kind="ssh", name="SSH", credential_id=self.root.id))
        session.commit()

    def somebody(self, login: str, *roles: str, everywhere: str = "none") -> Visitor:
        memberships = [Membership(division=self.own, role=role) for role in roles]
        self.session.add(
            Person(
                login=login,
                name=login.title(),
                password_hash=_digest(PASSWORD),
                role=everywhere,
                memberships=memberships,
            )
        )
        self.session.commit()
        visitor = Visitor(self._app.test_client())
        assert visitor.login(login).status_code == 303
        return visitor


@pytest.fixture
def two(session: Session, app: Flask) -> Two:
    return Two(session, app)


def fields(host: Host, **changed: str) -> dict[str, object]:
    return {
        "name": host.name, "address": host.address, "groups": "", "division": "Gudang", "site": "", "interval": "",
        "attempts": "", "note": "", "runbook": "", "enabled": "yes", **changed,
    }  # fmt: skip


def test_an_operator_changes_a_machine_of_the_division_and_sees_no_other(two: Two) -> None:
    olga = two.somebody("olga", "operator")
    assert olga.post(f"/machines/{two.mine.id}/edit", fields(two.mine, note="moved")).status_code == 303
    two.session.expire_all()
    assert two.mine.note == "moved"
    assert olga.get(f"/machines/{two.other.id}/edit").status_code == 404
    assert "till-1" not in olga.get("/machines").text


def test_an_operator_keeps_the_machine_in_a_division_of_theirs(two: Two) -> None:
    olga = two.somebody("olga", "operator")
    for elsewhere in ("Kasir", "", "Baru"):
        answer = olga.post(f"/machines/{two.mine.id}/edit", fields(two.mine, division=elsewhere))
        assert answer.status_code == 422
        assert "Gudang" in answer.text
    assert two.session.scalar(select(func.count()).select_from(Division)) == 2


def test_an_operator_of_everything_moves_machines_anywhere(two: Two) -> None:
    omar = two.somebody("omar", everywhere="operator")
    assert omar.post(f"/machines/{two.mine.id}/edit", fields(two.mine, division="Kasir")).status_code == 303


def test_a_stored_login_is_sent_nowhere_else_by_an_operator(two: Two) -> None:
    olga = two.somebody("olga", "operator")
    answer = olga.post(f"/machines/{two.mine.id}/edit", fields(two.mine, address="10.6.6.6"))
    assert answer.status_code == 422
    assert "Only an administrator" in answer.text
    check = two.mine.checks[0]
    page = f"/machines/{two.mine.id}/checks/{check.id}"
    kept = {"name": "SSH", "credential": str(two.root.id), "interval": "", "deadline": "10", "enabled": "yes"}
    assert olga.post(page, {**kept, "option-port": "2222"}).status_code == 422
    assert olga.post(page, {**kept, "option-port": "2222", "do": "test"}).status_code == 422
    assert olga.post(page, {**kept, "option-port": "22", "interval": "30"}).status_code == 303
    new = f"/machines/{two.mine.id}/checks/new?kind=ssh"
    assert f'value="{two.root.id}"' not in olga.get(new).text
    assert olga.post(new, {**kept, "name": "again", "option-port": "22"}).status_code == 422


def test_an_operator_who_types_the_login_may_use_it(two: Two) -> None:
    from config import vault

    settings = two._app.config["PANTAU"]
    vault.create(settings.vault_key, settings.vault_public)
    olga = two.somebody("olga", "operator")
    typed = {
        "name": "mine",
        "credential": "",
        "username": "olga",
        "password": "a password of hers",
        "deadline": "10",
        "enabled": "yes",
    }
    done = olga.post(f"/machines/{two.mine.id}/checks/new?kind=ssh", {**typed, "option-port": "22"})
    assert done.status_code == 303


def test_a_limit_of_a_machine_is_the_operators_and_a_common_one_is_not(two: Two) -> None:
    own = Threshold(host_id=two.mine.id, measure="system.cpu.utilization", state="warning", over=0.9)
    foreign = Threshold(host_id=two.other.id, measure="system.cpu.utilization", state="warning", over=0.9)
    everyones = Threshold(measure="system.uptime", state="warning", over=0.9)
    two.session.add_all([own, foreign, everyones])
    two.session.commit()
    olga = two.somebody("olga", "operator")
    page = f"/machines/{two.mine.id}/limits"
    assert olga.get(page).status_code == 200
    for row in (foreign, everyones):
        assert olga.post(f"/limits/{row.id}/delete", {}, page).status_code == 404
    assert olga.post(f"/limits/{own.id}/delete", {}, page).status_code == 303
    assert olga.get("/limits").status_code == 403


def test_whoever_is_in_charge_plans_maintenance_for_their_own_and_not_for_all(two: Two) -> None:
    pia = two.somebody("pia", "pic")
    page = pia.get("/maintenance/new").text
    assert "pc-1" in page
    assert "till-1" not in page
    assert 'value="everything"' not in page
    planned = {"kind": "weekly", "weekdays": "sat", "at": "22:00", "duration": "2h", "zone": "Asia/Jakarta", "note": ""}
    for target, code in (
        (f"host:{two.mine.id}", 303), (f"division:{two.own.id}", 303), (f"host:{two.other.id}", 422),
        (f"division:{two.foreign.id}", 422), ("everything", 422),
    ):  # fmt: skip
        answer = pia.post("/maintenance/new", {**planned, "target": target})
        assert answer.status_code == code, answer.text
    assert (
        pia.post(f"/machines/{two.mine.id}/maintenance", {"for": "1h"}, f"/machines/{two.mine.id}").status_code == 303
    )
    assert pia.post(f"/machines/{two.other.id}/maintenance", {"for": "1h"}, "/maintenance/new").status_code == 404


def test_maintenance_of_others_is_not_ended_and_not_known(two: Two) -> None:
    begin = {
        "kind": "weekly",
        "options": {"weekdays": ["sat"], "at": "22:00", "duration": 7200},
        "zone": "Asia/Jakarta",
    }
    foreign, every = Window(**begin, host_id=two.other.id), Window(**begin, everything=True, note="all of it")
    division = Window(**begin, division_id=two.own.id, note="ours")
    two.session.add_all([foreign, every, division])
    two.session.commit()
    pia = two.somebody("pia", "pic")
    page = pia.get("/maintenance").text
    assert "ours" in page
    assert "till-1" not in page
    for row in (foreign, every):
        assert pia.post(f"/maintenance/{row.id}/end", {"whole": "yes"}, "/maintenance/new").status_code == 404
    assert pia.post(f"/maintenance/{division.id}/end", {"whole": "yes"}, "/maintenance").status_code == 303


@pytest.mark.parametrize("role", ["viewer", "staff", "approver"])
def test_who_only_watches_changes_nothing(two: Two, role: str) -> None:
    one = two.somebody("sari", role)
    page = one.get(f"/machines/{two.mine.id}").text
    assert "pc-1" in page
    for button in ("/edit", "/maintenance", "/look"):
        assert f'"/machines/{two.mine.id}{button}"' not in page
    for path in ("edit", "limits", "way", "checks/new", "delete"):
        assert one.get(f"/machines/{two.mine.id}/{path}").status_code == 403, path
    assert one.get("/machines/new").status_code == 403
    assert one.post(f"/machines/{two.mine.id}/look", {}, "/").status_code == 403
    row = Incident(subject=f"host:{two.mine.id}", host_id=two.mine.id, state="down", since=now(), opened_at=now())
    two.session.add(row)
    two.session.commit()
    took = one.post(f"/incidents/{row.id}/note", {"text": "x"}, f"/incidents/{row.id}" if role == "staff" else "/")
    assert took.status_code == (303 if role == "staff" else 403)


def test_a_viewer_of_everything_sees_every_machine(two: Two) -> None:
    vera = two.somebody("vera", everywhere="viewer")
    page = vera.get("/machines").text
    assert "pc-1" in page
    assert "till-1" in page


def test_a_stream_tells_nothing_of_what_one_may_not_know_of(two: Two, site: str, engine: Engine) -> None:
    pia = two.somebody("pia", "pic")
    cookie = pia.client.get_cookie("pantau-session")
    assert cookie is not None
    topics = f"topic=machine:{two.mine.id}&topic=machine:{two.other.id}"
    with requests.get(f"{site}/events?{topics}", cookies={cookie.key: cookie.value}, stream=True, timeout=20) as stream:
        lines = stream.iter_lines(chunk_size=1, decode_unicode=True)
        heard: list[str] = []
        for line in lines:  # once PostgreSQL is listened to everything is told to have changed; then what really does
            heard.append(line)
            if "data: machine" in line:
                break
        told = json.dumps({"hosts": [two.other.id, two.mine.id], "changed": []})
        with engine.begin() as connection:
            connection.execute(text("select pg_notify('recorded', :told)"), {"told": told})
        heard += list(itertools.islice(lines, 4))
    assert f"data: machine:{two.mine.id}" in heard[-4:]
    assert f"data: machine:{two.other.id}" not in heard


def test_a_stored_login_is_tried_by_no_program_where_it_does_not_go_already(two: Two) -> None:
    other = Credential(name="root of Kasir", kind="password", username="root", sealed=b"x", seal_id="2")
    two.session.add(other)
    two.session.commit()
    olga = two.somebody("olga", "operator")
    path = f"/api/v1/machines/{two.mine.id}/test"
    token = re.search(r'name="csrf" value="([^"]+)"', olga.get("/").text)
    assert token

    def tried(**body: object) -> int:
        return olga.client.post(path, json=body, headers={"X-CSRF-Token": token[1]}).status_code

    for name in ("root of Kasir", "nobody's"):
        assert tried(kind="redis", options={"plain_password": True}, credential=name) == 422
    assert tried(kind="redis", options={"plain_password": True}, credential="root") == 422
    assert tried(kind="ssh", options={}, credential="root") == 202
    assert tried(kind="ssh", options={"port": 2222}, credential="root") == 422


def test_another_kind_of_check_takes_no_stored_login_along(two: Two) -> None:
    olga = two.somebody("olga", "operator")
    token = re.search(r'name="csrf" value="([^"]+)"', olga.get("/").text)
    assert token
    body = {"checks": [{"kind": "winrm", "name": "SSH", "credential": "root"}]}
    answer = olga.client.patch(f"/api/v1/machines/{two.mine.id}", json=body, headers={"X-CSRF-Token": token[1]})
    assert answer.status_code == 403, answer.text
    two.session.expire_all()
    assert [check.kind for check in two.mine.checks] == ["ssh"]


def test_live_lines_of_one_person_leave_the_others_theirs() -> None:
    hub = stream.Hub("postgresql://127.0.0.1:1/nowhere", 200)
    hub._thread = threading.current_thread()  # nobody has to listen
    mine = [hub.join(frozenset({"home"}), 1) for _ in range(stream.EACH + 5)]
    assert len([one for one in mine if one is not None]) == stream.EACH
    assert hub.join(frozenset({"home"}), 2) is not None


def test_the_way_to_adding_a_machine_is_there_for_whoever_may(two: Two) -> None:
    olga = two.somebody("olga", "operator")
    assert 'href="/machines/new"' in olga.get("/machines").text
    assert "/setup/machines" not in olga.get("/machines/new").text


def test_a_circle_through_another_division_is_refused_and_names_nobody(two: Two) -> None:
    second = Host(name="pc-2", address="10.0.0.3", division=two.own)
    two.session.add(second)
    two.other.parents, second.parents = [two.mine], [two.other]
    two.session.commit()
    olga = two.somebody("olga", "operator")
    token = re.search(r'name="csrf" value="([^"]+)"', olga.get("/").text)
    assert token
    answer = olga.client.patch(
        f"/api/v1/machines/{two.mine.id}", json={"parents": ["pc-2"]}, headers={"X-CSRF-Token": token[1]}
    )
    assert answer.status_code == 422
    assert "circle" in answer.text
    assert "till-1" not in answer.text
    page = olga.post(f"/machines/{two.mine.id}/way", {"parent": second.id})
    assert page.status_code == 422
    assert "till-1" not in page.text


def test_a_name_that_is_taken_by_what_one_may_not_see_is_told_in_our_own_words(two: Two) -> None:
    olga = two.somebody("olga", "operator")
    token = re.search(r'name="csrf" value="([^"]+)"', olga.get("/").text)
    assert token
    body = {"name": "till-1", "address": "10.0.0.8", "division": "Gudang"}
    answer = olga.client.post("/api/v1/machines", json=body, headers={"X-CSRF-Token": token[1]})
    assert answer.status_code in (409, 422)
    assert "host_name_key" not in answer.text
    assert "10.0.0.2" not in answer.text


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "::1", "localhost", "127.9.9.9", "169.254.169.254", "::ffff:127.0.0.1", "0.0.0.0", "fe80::1", "100.100.100.200", "64:ff9b::7f00:1"],
)  # fmt: skip
def test_only_an_administrator_has_pantaus_own_machine_watched(two: Two, address: str) -> None:
    olga = two.somebody("olga", "operator")
    two.mine.checks.clear()
    two.session.commit()
    refused = olga.post("/machines/new", fields(two.mine, name="mine", address=address))
    assert refused.status_code == 422
    assert "Only an administrator may have it watched" in refused.text
    moved = olga.post(f"/machines/{two.mine.id}/edit", fields(two.mine, address=address))
    assert moved.status_code == 422
    calling = program_of(two, "olga")
    wanted = {"name": "mine", "address": address, "division": "Gudang"}
    assert calling.ask("POST", "/machines", wanted).status_code == 403
    assert calling.ask("PATCH", f"/machines/{two.mine.id}", {"address": address}).status_code == 403
    two.mine.address = addresses.one(address)
    two.session.commit()
    assert olga.post(f"/machines/{two.mine.id}/edit", fields(two.mine, note="rack 4")).status_code == 303, (
        "it stays there"
    )
    page = f"/machines/{two.mine.id}/checks/new?kind=tcp"
    for do in ("", "test"):
        assert olga.post(page, {"name": "peek", "deadline": "10", "option-port": "5432", "do": do}).status_code == 422
    look = {"kind": "tcp", "options": {"port": 5432}}
    assert calling.ask("PATCH", f"/machines/{two.mine.id}", {"checks": [look]}).status_code == 403
    assert calling.ask("POST", f"/machines/{two.mine.id}/test", look).status_code == 403
    assert calling.ask("PATCH", f"/machines/{two.mine.id}", {"note": "rack 5"}).status_code == 200
    admin = two.somebody("adi", everywhere="admin")
    assert (
        admin.post(page, {"name": "own", "deadline": "10", "option-port": "8080", "enabled": "yes"}).status_code == 303
    )


def program_of(two: Two, login: str) -> Program:
    someone = two.session.scalars(select(Person).where(Person.login == login)).one()
    return program(two._app, two.session, someone)
