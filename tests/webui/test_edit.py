"""Machines and their checks, added, changed and deleted by hand; nothing typed is lost, nothing is changed by a fault."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from config import vault
from domain.audit import Audit
from domain.clock import now
from domain.inventory import Check, Credential, Host, HostKey, Person
from domain.requests import Look
from tests.webui.cast import Town, Visitor
from tests.webui.test_setup import answer, row

MACHINE = {"name": "web-01", "address": "10.0.0.5", "groups": "", "interval": "", "attempts": "", "note": ""}
CHECK = {"name": "page", "interval": "", "deadline": "10", "reachability": "yes", "enabled": "yes"}


@pytest.fixture
def host(session: Session) -> Host:
    """A machine with a ping."""
    made = Host(name="web-01", address="10.0.0.5", checks=[Check(kind="icmp", name="ping")])
    session.add(made)
    session.commit()
    return made


@pytest.fixture
def opener(app: Flask) -> vault.Opener:
    """The vault of this installation, and the half only the poller has."""
    settings = app.config["PANTAU"]
    vault.create(settings.vault_key, settings.vault_public)
    return vault.opener(settings.vault_key)


def test_a_machine_added_by_hand_is_looked_at_and_its_checks_are_suggested(rina: Visitor, session: Session) -> None:
    sent = rina.post("/machines/new", {**MACHINE, "groups": "Gudang, Web", "enabled": "yes", "interval": "30"})
    made = session.scalars(select(Host)).one()
    assert (made.address, made.interval_s, [g.name for g in made.groups]) == ("10.0.0.5", 30, ["Gudang", "Web"])
    assert "looking …" in rina.get(sent.location).text
    answer(session, [row("10.0.0.5", "ping", "ssh", "https")])
    page = rina.get(sent.location).text
    assert all(f'value="{key}" checked' in page for key in ("ping", "ssh", "https"))
    assert 'value="winrm"' not in page
    done = rina.post(sent.location, {"check": ["ping", "https"]})
    assert done.location == f"/machines/{made.id}"
    session.expire_all()
    assert [(c.kind, c.name) for c in made.checks] == [("icmp", "ping"), ("http", "HTTPS")]
    assert session.scalars(select(Look).where(Look.kind == "run", Look.host_id == made.id)).one()


def test_switching_off_keeps_everything_and_is_only_a_box(rina: Visitor, session: Session, host: Host) -> None:
    assert rina.post(f"/machines/{host.id}/edit", MACHINE).status_code == 303
    session.refresh(host)
    assert (host.enabled, host.name, len(host.checks)) == (False, "web-01", 1)


@pytest.mark.parametrize(
    "field, typed",
    [
        ("name", ""),
        ("name", "taken"),
        ("name", "x" * 101),
        ("name", "a\u202eb"),
        ("address", "300.1.1.1"),
        ("address", "-oProxyCommand=x"),
        ("address", "two words"),
        ("interval", "0"),
        ("interval", "nan"),
        ("interval", "1e999"),
        ("attempts", "2.5"),
        ("attempts", "21"),
        ("groups", "x" * 101),
        ("note", "n" * 2001),
    ],
)
def test_a_faulty_machine_changes_nothing_and_keeps_what_was_typed(
    rina: Visitor, session: Session, host: Host, field: str, typed: str
) -> None:
    session.add(Host(name="taken", address="10.0.0.6"))
    session.commit()
    sent = {**MACHINE, "name": "renamed", "note": "what I typed", "enabled": "yes", field: typed}
    for path in (f"/machines/{host.id}/edit", "/machines/new"):
        refused = rina.post(path, sent)
        assert refused.status_code == 422
        assert f'id="{field}-wrong"' in refused.text
        assert field == "note" or "what I typed" in refused.text
        assert field == "name" or 'value="renamed"' in refused.text
    session.expire_all()
    assert {h.name for h in session.scalars(select(Host))} == {"web-01", "taken"}
    assert session.scalar(select(Look)) is None


def test_deleting_says_what_is_lost_and_then_takes_it_all(rina: Visitor, session: Session, busy: Town) -> None:
    victim = session.scalars(select(Host).where(Host.name == "db-02")).one()
    number = victim.id
    page = rina.get(f"/machines/{number}/delete").text
    assert "Its 1 check goes with it" in page
    assert "Nothing of this can be brought back." in page
    rina.post(f"/machines/{number}/delete", {})
    session.expire_all()
    assert session.scalar(select(Host).where(Host.name == "db-02")) is None
    assert rina.get(f"/machines/{number}/edit").status_code == 404
    assert rina.get("/machines").status_code == 200


def test_a_check_is_added_with_the_options_of_its_probe_and_only_what_differs_is_kept(
    rina: Visitor, session: Session, host: Host
) -> None:
    path = f"/machines/{host.id}/checks/new?kind=tcp"
    assert "host_keys" not in rina.get(f"/machines/{host.id}/checks/new?kind=ssh").text
    typed = {**CHECK, "option-port": "5432", "option-limit": "1024", "option-family": "any", "option-expect": ""}
    assert rina.post(path, typed).status_code == 303
    made = session.scalars(select(Check).where(Check.kind == "tcp")).one()
    assert (made.name, made.options, made.deadline_s, made.interval_s) == ("page", {"port": 5432}, 10, None)
    edit = f"/machines/{host.id}/checks/{made.id}"
    assert 'value="5432"' in rina.get(edit).text
    assert rina.post(edit, {**typed, "name": "db", "option-port": "5433", "enabled": ""}).status_code == 303
    session.refresh(made)
    assert (made.name, made.options, made.enabled) == ("db", {"port": 5433}, False)
    rina.post(f"{edit}/delete", {})
    session.expire_all()
    assert [c.kind for c in session.scalars(select(Check))] == ["icmp"]


def test_a_check_saved_as_it_is_does_nothing_says_so_and_leaves_no_row(
    rina: Visitor, session: Session, host: Host
) -> None:
    typed = {**CHECK, "option-port": "25", "option-limit": "1024", "option-family": "any", "option-expect": ""}
    assert rina.post(f"/machines/{host.id}/checks/new?kind=tcp", typed).status_code == 303
    made = session.scalars(select(Check).where(Check.kind == "tcp")).one()
    page, count = f"/machines/{host.id}/checks/{made.id}", select(func.count()).select_from
    before = [session.scalar(count(table)) for table in (Audit, Look)]
    assert rina.post(page, typed).status_code == 303
    assert "Nothing was changed." in rina.get(f"/machines/{host.id}/edit").text
    assert [session.scalar(count(table)) for table in (Audit, Look)] == before
    assert rina.post(page, {**typed, "deadline": "11"}).status_code == 303
    assert "is saved and looked at now" in rina.get(f"/machines/{host.id}/edit").text
    assert [session.scalar(count(table)) for table in (Audit, Look)] == [before[0] + 1, before[1] + 1]


@pytest.mark.parametrize(
    "field, typed",
    [
        ("name", "ping"),
        ("name", ""),
        ("option-port", ""),
        ("option-port", "70000"),
        ("option-port", "ssh"),
        ("option-family", "5"),
        ("deadline", ""),
        ("deadline", "0"),
        ("interval", "-1"),
    ],
)
def test_a_faulty_check_changes_nothing_and_keeps_what_was_typed(
    rina: Visitor, session: Session, host: Host, field: str, typed: str
) -> None:
    sent = {**CHECK, "option-port": "25", "option-expect": "220 mail", "option-limit": "99", "option-family": "any"}
    for extra in ({}, {"do": "test"}):
        refused = rina.post(f"/machines/{host.id}/checks/new?kind=tcp", {**sent, field: typed, **extra})
        assert refused.status_code == 422
        assert f'id="{field}-wrong"' in refused.text
        assert 'value="220 mail"' in refused.text
    assert [c.kind for c in session.scalars(select(Check))] == ["icmp"]
    assert session.scalar(select(Look)) is None


def test_hidden_options_stay_what_they_were(rina: Visitor, session: Session, host: Host) -> None:
    check = Check(host_id=host.id, kind="ssh", name="SSH", options={"host_keys": ["ssh-ed25519 AAAA"], "port": 2222})
    session.add(check)
    session.commit()
    sent = {**CHECK, "name": "SSH", "credential": "", "option-port": "22", "option-host_keys": "mine"}
    assert rina.post(f"/machines/{host.id}/checks/{check.id}", sent).status_code == 303
    session.refresh(check)
    assert check.options == {"host_keys": ["ssh-ed25519 AAAA"]}


def test_a_check_of_another_machine_and_an_unknown_kind_are_not_there(
    rina: Visitor, session: Session, host: Host
) -> None:
    other = Host(name="other", address="10.0.0.7", checks=[Check(kind="icmp", name="ping")])
    session.add(other)
    session.commit()
    for path in ("", "/delete"):
        assert rina.get(f"/machines/{host.id}/checks/{other.checks[0].id}{path}").status_code == 404
    assert "How shall this machine be looked at?" in rina.get(f"/machines/{host.id}/checks/new?kind=__class__").text


def test_a_typed_login_is_sealed_with_its_check_for_its_own_place(
    rina: Visitor, session: Session, host: Host, opener: vault.Opener
) -> None:
    sent = {**CHECK, "name": "SSH", "credential": "", "option-port": "22", "username": "pantau", "password": "s3cret!"}
    assert rina.post(f"/machines/{host.id}/checks/new?kind=ssh", sent).status_code == 303
    stored = session.scalars(select(Credential)).one()
    assert (stored.kind, stored.username, stored.source) == ("password", "pantau", "typed")
    assert json.loads(opener.open(stored.sealed, f"credential:{stored.seal_id}")) == {"password": "s3cret!"}
    assert session.scalars(select(Check).where(Check.kind == "ssh")).one().credential_id == stored.id


def test_a_test_saves_nothing_and_its_secret_opens_for_this_look_alone(
    rina: Visitor, session: Session, host: Host, opener: vault.Opener
) -> None:
    sent = {**CHECK, "name": "SSH", "credential": "", "option-port": "2200", "username": "root", "password": "s3cret!"}
    asked = rina.post(f"/machines/{host.id}/checks/new?kind=ssh", {**sent, "do": "test"})
    look = session.scalars(select(Look)).one()
    assert asked.location == f"/looks/{look.id}"
    assert look.asked == {
        "kind": "ssh", "address": "10.0.0.5", "options": {"port": 2200}, "host_id": host.id,
        "credential_id": None, "typed": {"kind": "password", "username": "root"},
    }  # fmt: skip
    assert look.sealed is not None
    assert json.loads(opener.open(look.sealed, f"look:{look.id}")) == {"password": "s3cret!"}
    with pytest.raises(vault.VaultError):
        opener.open(look.sealed, "look:another")
    assert session.scalar(select(Credential)) is None
    assert [c.kind for c in session.scalars(select(Check))] == ["icmp"]


def ladder(session: Session, person: Person, host: Host, **more: object) -> Look:
    """A test as Rina asked for it."""
    look = Look(
        id="a-test", kind="test", asked={"kind": "ssh", "address": "10.0.0.5"}, asked_by=person.id, host_id=host.id
    )
    for name, value in more.items():
        setattr(look, name, value)
    session.add(look)
    session.commit()
    return look


def test_the_ladder_says_which_rung_fails_why_and_what_to_do(
    rina: Visitor, session: Session, person: Person, host: Host
) -> None:
    rungs = [
        {"rung": "name", "state": "ok", "detail": "", "took": 0},
        {"rung": "ping", "state": "ok", "detail": "0.3 ms", "took": 0.0003},
        {"rung": "port", "state": "fail", "detail": "Port 22 is <b>closed</b>.", "took": 0.002},
    ]
    look = ladder(session, person, host, claimed_at=now(), answer={"rungs": rungs[:2], "reading": None})
    assert "data-pending" in rina.get("/looks/a-test").text
    look.answer, look.done_at = {"rungs": rungs, "reading": None}, now()
    session.commit()
    page = rina.get("/looks/a-test").text
    assert "data-pending" not in page
    assert "Port 22 is &lt;b&gt;closed&lt;/b&gt;." in page
    assert "no firewall" in page
    told = rina.get("/looks/a-test", headers={"Accept": "application/json"}).get_json()
    assert [(r["name"], r["state"]) for r in told["rungs"]] == [("name", "ok"), ("ping", "ok"), ("port", "fail")]
    assert told["pending"] is False


def test_a_test_that_works_shows_what_was_read(rina: Visitor, session: Session, person: Person, host: Host) -> None:
    reading = {
        "measures": [{"name": "system.memory.utilization", "value": 0.5, "unit": "1", "of": ""}],
        "facts": [{"name": "os.description", "value": "Debian <i>", "of": ""}],
    }
    done = {"rungs": [{"rung": "value", "state": "ok", "detail": "x", "took": 0}], "reading": reading}
    ladder(session, person, host, claimed_at=now(), done_at=now(), answer=done)
    page = rina.get("/looks/a-test").text
    assert "This works." in page
    assert "Debian &lt;i&gt;" in page
    assert "50" in page


def test_a_silent_poller_is_told_after_a_few_seconds(
    rina: Visitor, session: Session, person: Person, host: Host
) -> None:
    look = ladder(session, person, host)
    assert "does not answer" not in rina.get("/looks/a-test").text
    look.asked_at = now() - timedelta(seconds=6)
    session.commit()
    assert "The poller does not answer." in rina.get("/looks/a-test").text


def test_only_who_asked_for_a_test_may_read_it(
    app: Flask, rina: Visitor, session: Session, person: Person, host: Host
) -> None:
    budi = Person(login="budi", name="Budi", password_hash=person.password_hash, role="admin")
    session.add(budi)
    session.commit()
    ladder(session, budi, host)
    assert rina.get("/looks/a-test").status_code == 404
    own = Visitor(app.test_client())
    own.login("budi")
    assert own.get("/looks/a-test").status_code == 200


def keys(session: Session, host: Host) -> list[HostKey]:
    """A trusted key and a changed one at port 22, and another port's."""
    rows = [
        HostKey(host_id=host.id, port=22, key="ssh-ed25519 OLD", fingerprint="SHA256:old", state="pinned"),
        HostKey(host_id=host.id, port=22, key="ssh-ed25519 NEW", fingerprint="SHA256:new", state="offered"),
        HostKey(host_id=host.id, port=2222, key="ssh-ed25519 OTHER", fingerprint="SHA256:other", state="pinned"),
    ]
    session.add_all(rows)
    session.commit()
    return rows


def test_a_changed_host_key_is_shown_beside_the_old_one_and_accepting_replaces_it(
    rina: Visitor, session: Session, host: Host, person: Person
) -> None:
    offered = keys(session, host)[1]
    page = rina.get(f"/machines/{host.id}/edit").text
    assert "SHA256:old" in page
    assert "SHA256:new" in page
    rina.post(f"/machines/{host.id}/keys/{offered.id}/accept", {}, page=f"/machines/{host.id}/edit")
    session.expire_all()
    left = session.scalars(select(HostKey).order_by(HostKey.port)).all()
    assert [(k.port, k.fingerprint, k.state) for k in left] == [
        (22, "SHA256:new", "pinned"),
        (2222, "SHA256:other", "pinned"),
    ]
    assert left[0].accepted_by == person.id
    assert session.scalars(select(Look).where(Look.host_id == host.id)).one().kind == "run"


def test_declining_a_host_key_forgets_the_offer_and_trusts_what_was_trusted(
    rina: Visitor, session: Session, host: Host
) -> None:
    offered = keys(session, host)[1]
    rina.post(f"/machines/{host.id}/keys/{offered.id}/decline", {}, page=f"/machines/{host.id}/edit")
    assert {k.fingerprint for k in session.scalars(select(HostKey))} == {"SHA256:old", "SHA256:other"}


def test_a_trusted_key_cannot_be_declined_and_another_machines_key_not_be_reached(
    rina: Visitor, session: Session, host: Host
) -> None:
    pinned = keys(session, host)[0]
    other = Host(name="other", address="10.0.0.8")
    session.add(other)
    session.commit()
    page = f"/machines/{host.id}/edit"
    rina.post(f"/machines/{host.id}/keys/{pinned.id}/decline", {}, page=page)
    assert rina.post(f"/machines/{other.id}/keys/{pinned.id}/accept", {}, page=page).status_code == 404
    assert session.get(HostKey, pinned.id) is not None


def test_the_first_run_takes_a_login_along_and_makes_the_right_checks(
    rina: Visitor, session: Session, opener: vault.Opener
) -> None:
    sent = rina.post("/setup/machines", {"addresses": "10.0.0.5\n10.0.0.6"})
    answer(session, [row("10.0.0.5", "ping", "ssh"), row("10.0.0.6", "ping", "http", "https")])
    login = {"address": ["10.0.0.5", "10.0.0.6"], "username": "root", "password": "s3cret!"}
    refused = rina.post(sent.location, {**login, "username": ""})
    assert refused.status_code == 422
    assert 'id="username-wrong"' in refused.text
    assert session.scalar(select(Host)) is None
    rina.post(sent.location, login)
    made = {(c.host.name, c.kind, c.name): c.credential_id for c in session.scalars(select(Check))}
    stored = session.scalars(select(Credential)).one()
    assert made == {
        ("10.0.0.5", "icmp", "ping"): None,
        ("10.0.0.5", "ssh", "SSH"): stored.id,
        ("10.0.0.6", "icmp", "ping"): None,
        ("10.0.0.6", "http", "HTTP"): None,
        ("10.0.0.6", "http", "HTTPS"): None,
    }
