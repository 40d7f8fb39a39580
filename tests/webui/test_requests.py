"""Asking for an action, agreeing to it, and what the pages say of it."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pytest
from flask import Flask
from sqlalchemy.orm import Session

from domain.actions import ActionRule, HostService, Request, Runbook
from domain.approving import digest
from domain.clock import now
from domain.inventory import Check, Credential, Division, Host, Membership, Person
from domain.records import FactSeen
from tests.webui.cast import Visitor
from tests.webui.test_matrix import enter


@dataclass
class Office:
    """A division, its machine, and everybody logged in."""

    host: Host
    people: dict[str, Person]
    seats: dict[str, Visitor]

    def __getitem__(self, name: str) -> Visitor:
        return self.seats[name]


@pytest.fixture
def office(app: Flask, session: Session) -> Office:
    division = Division(name="Finance")
    login = Credential(name="restarts", kind="password", username="pantau-act", sealed=b"", seal_id="1/x")
    session.add_all([division, login])
    session.flush()
    host = Host(name="till", address="10.9.8.7", division=division, action_credential_id=login.id)
    session.add(host)
    session.flush()
    session.add(Check(host_id=host.id, kind="ssh", name="SSH"))
    session.add(HostService(host_id=host.id, name="nginx.service"))
    people = {}
    for name, role, local in (
        ("pic", "none", "pic"), ("one", "none", "approver"), ("two", "none", "approver"), ("admin", "admin", None),
        ("second", "admin", None), ("operator", "none", "operator"), ("viewer", "none", "viewer"),
    ):  # fmt: skip
        people[name] = Person(login=name, name=name.title(), password_hash="-", role=role)
        if local:
            people[name].memberships = [Membership(division=division, role=local)]
    session.add_all(people.values())
    session.commit()
    return Office(host, people, {name: enter(app, session, one) for name, one in people.items()})


def asked(office: Office, session: Session, who: str = "pic", do: str = "service.restart:nginx.service") -> Request:
    page = f"/machines/{office.host.id}/actions/new"
    answer = office[who].post(page, {"do": do, "reason": "It hangs <b>again</b>.", "client": "abc"})
    assert answer.status_code == 303, answer.text
    session.expire_all()
    return session.query(Request).order_by(Request.id.desc()).first()  # type: ignore[return-value]


def test_somebody_in_charge_asks_and_two_agree(office: Office, session: Session) -> None:
    page = office["pic"].get(f"/machines/{office.host.id}/actions/new").text
    assert "Restart the service nginx.service" in page
    assert "2 people must agree" in page
    request = asked(office, session)
    shown = f"/requests/{request.id}"
    assert "It hangs &lt;b&gt;again&lt;/b&gt;." in office["one"].get(shown).text
    assert "Agree" in office["one"].get(shown).text
    assert "Nobody agrees to what they asked for themselves" in office["pic"].get(shown).text
    for name in ("one", "two"):
        assert office[name].post(f"{shown}/agree", {}, page=shown).status_code == 303
    session.expire_all()
    assert request.state == "approved"
    assert "Agreed to" in office["pic"].get(f"/machines/{office.host.id}").text


def test_a_form_sent_twice_asks_once(office: Office, session: Session) -> None:
    assert asked(office, session).id == asked(office, session).id


def test_what_waits_for_me_stands_first(office: Office, session: Session) -> None:
    asked(office, session)
    assert "Waiting for your answer" in office["one"].get("/requests").text
    assert "Asked by you" in office["pic"].get("/requests").text
    assert "Under way" in office["viewer"].get("/requests").text


def test_a_refusal_needs_a_reason_and_ends_it(office: Office, session: Session) -> None:
    request = asked(office, session)
    shown = f"/requests/{request.id}"
    said = office["one"].post(f"{shown}/refuse", {"reason": " "}, page=shown)
    assert "Please say why" in office["one"].get(said.headers["Location"]).text
    office["one"].post(f"{shown}/refuse", {"reason": "The month is being closed."}, page=shown)
    session.expire_all()
    assert request.state == "refused"
    assert "One refused: The month is being closed." in office["pic"].get(shown).text


def test_whoever_may_only_look_has_no_buttons_and_gets_nowhere(office: Office, session: Session) -> None:
    request = asked(office, session)
    shown = f"/requests/{request.id}"
    page = office["viewer"].get(shown)
    assert page.status_code == 200
    assert f"{shown}/agree" not in page.text
    token = re.search(r'name="csrf" value="([^"]+)"', page.text)
    assert token
    for what in ("agree", "refuse", "cancel"):
        office["viewer"].client.post(
            f"{shown}/{what}", data={"csrf": token[1], "reason": "x"}, base_url="http://localhost"
        )
    session.expire_all()
    assert request.state == "waiting"
    assert not request.votes
    assert office["viewer"].get(f"/machines/{office.host.id}/actions/new").status_code == 403


def test_taking_it_back(office: Office, session: Session) -> None:
    request = asked(office, session)
    shown = f"/requests/{request.id}"
    office["pic"].post(f"{shown}/cancel", {}, page=shown)
    session.expire_all()
    assert request.state == "cancelled"
    assert "Pic took it back." in office["one"].get(shown).text


def test_nothing_typed_is_lost_when_it_cannot_be_asked_for(office: Office, session: Session) -> None:
    asked(office, session)
    page = f"/machines/{office.host.id}/actions/new"
    answer = office["operator"].post(page, {"do": "host.restart", "reason": "Typed with care.", "client": "x"})
    assert answer.status_code == 422
    assert "Typed with care." in answer.text
    assert "Something is already asked for" in answer.text


@pytest.mark.parametrize("do", ["", "host.destroy", "service.restart:sshd", "service.restart:nginx.service;reboot", "runbook.run:1", "runbook.run:x", "vm.restart", "x" * 10_000])  # fmt: skip
def test_what_is_not_offered_cannot_be_asked_for(office: Office, session: Session, do: str) -> None:
    page = f"/machines/{office.host.id}/actions/new"
    answer = office["pic"].post(page, {"do": do, "reason": "x", "client": "x"})
    assert answer.status_code == 422
    assert not session.query(Request).count()


def test_an_operator_acts_alone_where_a_rule_says_so(office: Office, session: Session) -> None:
    page = f"/machines/{office.host.id}/actions/new"
    alone = f"/machines/{office.host.id}/actions/alone"
    assert "Do it now, alone" not in office["operator"].get(page).text
    session.add(ActionRule(position=0, name="alone", alone=True))
    session.commit()
    assert "Do it now, alone" in office["operator"].get(page).text
    assert "Do it now, alone" not in office["pic"].get(page).text
    answer = office["operator"].post(alone, {"do": "host.restart", "reason": "Found it hanging.", "client": "x"}, page)
    assert answer.status_code == 303
    assert session.query(Request).one().state == "approved"


def test_the_glass_takes_an_administrator_who_means_it(office: Office, session: Session) -> None:
    page, glass = f"/machines/{office.host.id}/actions/new", f"/machines/{office.host.id}/actions/glass"
    order = {"do": "host.restart", "reason": "The tills stand still.", "client": "x"}
    assert "Break the glass" not in office["pic"].get(page).text
    assert office["pic"].post(glass, {**order, "sure": "yes"}, page).status_code == 422
    assert office["admin"].post(glass, order, page).status_code == 422
    assert not session.query(Request).count()
    assert office["admin"].post(glass, {**order, "sure": "yes"}, page).status_code == 303
    request = session.query(Request).one()
    assert (request.state, request.glass) == ("approved", True)
    assert "The glass was broken" in office["pic"].get(f"/requests/{request.id}").text


def test_the_services_of_a_machine_and_the_text_for_it(office: Office, session: Session) -> None:
    page = f"/machines/{office.host.id}/actions"
    answer = office["operator"].post(page, {"services": "nginx.service\npostgresql@15-main.service\n\n"})
    assert answer.status_code == 303
    told = office["operator"].get(page).text
    assert "/bin/systemctl restart -- postgresql@15-main.service" in told
    assert "pantau-act ALL=(root) NOPASSWD: PANTAU" in told
    for wrong in ("a b", "x;reboot", "-x", "x" * 200):
        answer = office["operator"].post(page, {"services": f"nginx.service\n{wrong}"})
        assert answer.status_code == 422
        assert "nginx.service" in answer.text
    assert {row.name for row in session.query(HostService)} == {"nginx.service", "postgresql@15-main.service"}


def test_a_runbook_runs_once_somebody_else_has_read_it(office: Office, session: Session) -> None:
    form = {"name": "Clear", "script": "echo $1", "parameters": "queue = mail, print\ndays = 1..30", "deadline_s": "60", "group_id": ""}  # fmt: skip
    answer = office["admin"].post("/runbooks/new", form)
    assert answer.status_code == 303, answer.text
    book = session.query(Runbook).one()
    page = f"/runbooks/{book.id}"
    ask = f"/machines/{office.host.id}/actions/new"
    assert "another administrator must read it" in office["admin"].get(page).text
    office["admin"].post(f"{page}/read", {"form": digest(book)}, page)
    session.expire_all()
    assert not book.reviewed
    assert "Clear" not in office["pic"].get(ask).text
    office["second"].post(f"{page}/read", {"form": digest(book)}, page)
    session.expire_all()
    assert book.reviewed_by == office.people["second"].id
    assert "Run “Clear”" in office["pic"].get(ask).text
    values = {f"p-{book.id}-queue": "mail", f"p-{book.id}-days": "31"}
    order = {"do": f"runbook.run:{book.id}", "reason": "Full.", "client": "x"}
    assert office["pic"].post(ask, {**order, **values}).status_code == 422
    assert office["pic"].post(ask, {**order, **values, f"p-{book.id}-days": "3"}).status_code == 303
    assert session.query(Request).one().params["values"] == {"queue": "mail", "days": "3"}
    office["second"].post(page, {**form, "script": "echo $2"})
    session.expire_all()
    assert not book.reviewed


def test_rules_are_made_ordered_and_deleted(office: Office, session: Session) -> None:
    form = {"kind": "", "division_id": "", "group_id": "", "allow": "yes", "needs": "1", "local": "0", "by": "operators", "minutes": "30"}  # fmt: skip
    for name in ("first", "second"):
        assert office["admin"].post("/rules/new", {**form, "name": name}).status_code == 303
    second = session.query(ActionRule).filter_by(name="second").one()
    office["admin"].post(f"/rules/{second.id}/up", {}, page="/rules")
    session.expire_all()
    assert second.position == 0
    assert office["admin"].post("/rules/new", {**form, "name": "third", "local": "2"}).status_code == 422
    assert office["admin"].post("/rules/new", {**form, "name": "first"}).status_code == 422
    assert office["admin"].post(f"/rules/{second.id}/delete", {}).status_code == 303
    assert session.query(ActionRule).count() == 1
    assert office["operator"].get("/rules").status_code == 403


def test_what_waits_is_counted_for_whoever_may_answer(office: Office, session: Session) -> None:
    asked(office, session)
    assert 'class="count">1<' in office["one"].get("/").text
    assert 'class="count">' not in office["pic"].get("/").text


def test_a_windows_machine_is_told_what_its_account_needs(office: Office, session: Session) -> None:
    page = f"/machines/{office.host.id}/actions"
    linux = office["admin"].get(page).text
    assert "NOPASSWD" in linux
    assert "restrict,command=" in linux
    session.query(Check).update({"kind": "winrm"})
    session.query(HostService).update({"name": "MSSQL$SHOP"})
    session.commit()
    told = office["admin"].get(page).text
    assert "NOPASSWD" not in told
    for words in ("pantau-act", "MSSQL$SHOP", "CCLCSWRPWPLORC", "ShutdownPrivilege", "In an elevated PowerShell"):
        assert words in told, words
    asked = office["pic"].get(f"{page}/new").text
    assert "Restart the service MSSQL$SHOP" in asked
    session.query(Credential).update({"username": "a'; Remove-Item C:\\ #"})
    session.commit()
    text = office["admin"].get(page).text.split("<pre")[1].split("</pre>")[0]
    assert "Remove-Item" not in text
    assert "pantau-act" in text


def test_a_guest_is_asked_for_on_its_own_page_by_who_does_not_see_the_hypervisor(
    office: Office, session: Session
) -> None:
    login = Credential(name="guests", kind="password", username="pantau@pve!restart", sealed=b"", seal_id="2/x")
    session.add(login)
    session.flush()
    above = Host(name="pve1", address="10.9.8.1", action_credential_id=login.id)
    session.add(above)
    session.flush()
    check = Check(host_id=above.id, kind="proxmox", name="Proxmox")
    session.add(check)
    session.flush()
    value = "virtual machine, running, on pve1"
    session.add(
        FactSeen(check_id=check.id, name="proxmox.guest", part="101 till", host_id=above.id, value=value, since=now())
    )
    office.host.parents.append(above)
    office.host.action_credential_id = None
    session.commit()
    assert office["pic"].get(f"/machines/{above.id}").status_code == 404
    page = office["pic"].get(f"/machines/{office.host.id}/actions/new").text
    assert "Restart the guest 101 till by its hypervisor" in page
    assert "Restart the machine" not in page, "there is no login for the machine itself"
    request = asked(office, session, do=f"vm.restart:{above.id}:101 till")
    assert request.params == {"hypervisor": above.id, "guest": "101 till"}
    told = office["admin"].get(f"/machines/{above.id}/actions").text
    assert "pveum acl modify /vms/101 --users pantau@pve --roles PantauRestart" in told
    assert "pveum user token add pantau@pve restart" in told
