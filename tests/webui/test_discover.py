"""A network looked through, from the form to watched machines and back: what is found, ticked, registered and undone."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.orm import Session

from config import vault
from domain.inventory import Addition, Check, Credential, Division, Host, HostGroup, Person
from domain.requests import Discovery, Found
from tests.webui.cast import PASSWORD, OpenBrowser, Town, Visitor
from tests.webui.test_pages import POLYGLOT, accessible, enter, evaluate

SEEN: dict[str, Any] = {"name": "", "rtt": None, "ports": [], "watched": "", "path": [], "snmp": None}


@pytest.fixture
def asked(session: Session, person: Person, town: Town) -> Discovery:
    """A discovery that the poller is through with: a router, a server behind it, a switch, and one watched already."""
    community = Credential(name="public gear", kind="community", sealed=b"x", seal_id="x")
    session.add(community)
    town.machine("db-02", "10.0.0.12")
    session.flush()
    row = Discovery(
        id="d" * 36, addresses=[f"10.0.0.{n}" for n in range(1, 21)], rate=100, looked=20, beat_at=town.now,
        done_at=town.now,
    )  # fmt: skip
    session.add(row)
    session.flush()
    page = {"title": "Gudang", "server": "nginx", "names": ["erp.kantor.example"]}
    snmp = {"description": "Cisco IOS", "name": "sw-lantai-2", "credential": community.id}
    for place, (address, seen) in enumerate(
        {
            "10.0.0.1": {"rtt": 0.0004, "name": "gw.kantor.example"},
            "10.0.0.5": {"rtt": 0.002, "ports": [22, 443], "ssh": "SSH-2.0-OpenSSH_9.2", "https": page, "path": ["10.0.0.1"]},
            "10.0.0.9": {"ports": [], "snmp": snmp},
            "10.0.0.12": {"rtt": 0.001, "ports": [22]},
            "10.0.0.13": {"rtt": 0.001, "ports": [5985, 5986, 3389]},
        }.items()
    ):  # fmt: skip
        session.add(Found(discovery_id=row.id, address=address, place=place, seen={**SEEN, **seen}))
    session.commit()
    return row


def ticked(page: str) -> dict[str, list[str]]:
    """The boxes that stand ticked on the page, by name."""
    found: dict[str, list[str]] = {}
    for box in re.findall(r"<input type=\"checkbox\"[^>]*checked>", page):
        name, value = re.search(r'name="([^"]+)"', box), re.search(r'value="([^"]+)"', box)
        if name and value:
            found.setdefault(name[1], []).append(value[1])
    return found


def test_the_form_asks_the_poller_and_never_opens_a_line_itself(rina: Visitor, session: Session, town: Town) -> None:
    answer = rina.post("/discover", {"addresses": "10.9.0.0/24\n10.9.1.5-7 \ndb-02", "rate": "50", "trace": "yes"})
    assert answer.status_code == 303
    row = session.scalars(select(Discovery)).one()
    assert len(row.addresses) == 254 + 3 + 1
    assert (row.rate, row.trace, row.looked) == (50, True, 0)
    page = rina.get(answer.location).text
    assert "0 of 258 addresses looked at" in page
    assert "Stop" in page


@pytest.mark.parametrize("typed", ["10.0.0.0/16", "10.0.0.0/20\n10.1.0.0/20", "<script>", "", "10.0.0.300"])
def test_too_much_or_nonsense_is_refused_with_a_sentence(
    rina: Visitor, session: Session, town: Town, typed: str
) -> None:
    answer = rina.post("/discover", {"addresses": typed, "rate": "50"})
    assert answer.status_code == 422
    assert 'class="note bad"' in answer.text or 'class="wrong"' in answer.text
    assert session.scalars(select(Discovery)).all() == []


def test_a_rate_beyond_its_bounds_is_refused(rina: Visitor, session: Session, town: Town) -> None:
    assert rina.post("/discover", {"addresses": "10.0.0.1", "rate": "100000"}).status_code == 422


def test_stopping_is_asked_for_and_what_was_found_stays(rina: Visitor, session: Session, town: Town) -> None:
    path = rina.post("/discover", {"addresses": "10.9.0.0/24", "rate": "50"}).location
    row = session.scalars(select(Discovery)).one()
    row.beat_at, row.looked = town.now, 40
    session.add(Found(discovery_id=row.id, address="10.9.0.7", place=6, seen=SEEN))
    session.commit()
    assert rina.post(f"{path}/stop", {}, page=path).status_code == 303
    session.expire_all()
    assert row.stop_at is not None
    assert row.done_at is None
    assert "10.9.0.7" in rina.get(path).text


def test_each_row_says_what_it_is_and_offers_checks_for_what_answered(rina: Visitor, asked: Discovery) -> None:
    page = rina.get(f"/discover/{asked.id}").text
    boxes = ticked(page)
    assert boxes["address"] == ["10.0.0.1", "10.0.0.5", "10.0.0.9", "10.0.0.13"]
    assert "10.0.0.9 snmp" in boxes["check"]
    assert {"10.0.0.5 ping", "10.0.0.5 p22", "10.0.0.5 p443"} <= set(boxes["check"])
    for said in ("watched already", "Cisco IOS", "sw-lantai-2", "erp.kantor.example", "SSH-2.0-OpenSSH_9.2"):
        assert said in page
    assert boxes["behind"] == ["10.0.0.5"]
    assert "behind gw.kantor.example" in page


def test_what_is_ticked_is_watched_with_its_checks_division_groups_and_parent_and_all_of_it_is_undone(
    rina: Visitor, asked: Discovery, session: Session
) -> None:
    path = f"/discover/{asked.id}"
    boxes = ticked(rina.get(path).text)
    wanted = {**boxes, "division": "Gudang", "groups": "Found, New", "address": ["10.0.0.1", "10.0.0.5", "10.0.0.9"]}
    answer = rina.post(path, wanted)
    assert answer.status_code == 303
    hosts = {host.address: host for host in session.scalars(select(Host))}
    assert set(hosts) == {"10.0.0.12", "10.0.0.1", "10.0.0.5", "10.0.0.9"}
    server = hosts["10.0.0.5"]
    assert server.name == "erp.kantor.example"
    assert [parent.name for parent in server.parents] == ["gw.kantor.example"]
    assert [(check.kind, check.name) for check in server.checks] == [("icmp", "ping"), ("tcp", "port 22"), ("http", "HTTPS")]  # fmt: skip
    assert server.division is not None
    assert server.division.name == "Gudang"
    assert [group.name for group in server.groups] == ["Found", "New"]
    switch = hosts["10.0.0.9"].checks[0]
    assert (switch.kind, switch.credential.name if switch.credential else "") == ("snmp", "public gear")
    page = rina.get(answer.location).text
    assert "3 machines are now watched" in page
    assert "+ host erp.kantor.example" in page
    assert rina.post(f"{answer.location}/undo", {}, page=answer.location).status_code == 303
    session.expire_all()
    assert [host.name for host in session.scalars(select(Host))] == ["db-02"]
    assert session.scalars(select(HostGroup)).all() == []
    assert session.scalars(select(Division)).all() == []
    assert "This was undone" in rina.get(answer.location).text


def test_registering_twice_adds_nothing_twice(rina: Visitor, asked: Discovery, session: Session) -> None:
    path = f"/discover/{asked.id}"
    boxes = ticked(rina.get(path).text)
    assert rina.post(path, boxes).status_code == 303
    count = len(session.scalars(select(Host)).all())
    assert rina.post(path, boxes).status_code == 422
    session.expire_all()
    assert len(session.scalars(select(Host)).all()) == count == 5


def test_what_somebody_edited_since_is_not_undone_over_their_head(
    rina: Visitor, asked: Discovery, session: Session
) -> None:
    path = f"/discover/{asked.id}"
    made = rina.post(path, ticked(rina.get(path).text)).location
    host = session.scalars(select(Host).where(Host.address == "10.0.0.1")).one()
    host.note = "the one in the cellar"
    session.commit()
    page = rina.get(made).text
    assert "cannot be undone any more" in page
    token = re.search(r'name="csrf" value="([^"]+)"', page)
    assert token
    rina.client.post(f"{made}/undo", base_url=rina.base, data={"csrf": token[1]})
    session.expire_all()
    assert session.scalars(select(Addition)).one().undone_at is None
    assert len(session.scalars(select(Host)).all()) == 5


def test_a_machine_that_became_a_parent_of_others_is_not_undone(
    rina: Visitor, asked: Discovery, session: Session
) -> None:
    path = f"/discover/{asked.id}"
    made = rina.post(path, ticked(rina.get(path).text)).location
    gate = session.scalars(select(Host).where(Host.address == "10.0.0.1")).one()
    old = session.scalars(select(Host).where(Host.name == "db-02")).one()
    old.parents.append(gate)
    session.commit()
    rina.post(f"{made}/undo", {}, page=made)
    assert "have these as their parents" in rina.get(made).text
    session.expire_all()
    assert session.scalars(select(Addition)).one().undone_at is None


def test_a_login_chosen_makes_the_checks_that_log_in(rina: Visitor, asked: Discovery, session: Session) -> None:
    session.add(Credential(name="admin@win", kind="password", username="admin", sealed=b"x", seal_id="y"))
    session.commit()
    path = f"/discover/{asked.id}"
    boxes = ticked(rina.get(path).text)
    rina.post(path, {**boxes, "ssh": "admin@win", "winrm": "admin@win"})
    checks = session.scalars(select(Check).join(Host).where(Host.address.in_(["10.0.0.5", "10.0.0.13"]))).all()
    made = {(check.host.address, check.kind): check.options for check in checks}
    assert ("10.0.0.5", "ssh") in made
    assert made["10.0.0.13", "winrm"] == {"port": 5986}


def test_what_machines_say_of_themselves_stays_words(rina: Visitor, asked: Discovery, session: Session) -> None:
    evil = {"name": POLYGLOT[:90], "title": POLYGLOT, "server": POLYGLOT, "names": [POLYGLOT] * 50}
    seen = {**SEEN, "rtt": 0.1, "name": POLYGLOT, "ssh": POLYGLOT, "https": evil, "path": [POLYGLOT, 7, None]}
    session.add(Found(discovery_id=asked.id, address="10.0.0.20", place=19, seen=seen))
    session.commit()
    page = rina.get(f"/discover/{asked.id}").text
    assert "<sVg" not in page
    assert rina.post(f"/discover/{asked.id}", ticked(page)).status_code in (303, 422)


def test_a_silent_or_gone_poller_is_told(rina: Visitor, asked: Discovery, session: Session, town: Town) -> None:
    asked.done_at, asked.beat_at, asked.asked_at = None, None, town.now - timedelta(minutes=1)
    session.commit()
    assert "has not begun yet" in rina.get(f"/discover/{asked.id}").text
    asked.beat_at = town.now - timedelta(minutes=5)
    session.commit()
    assert "is gone" in rina.get(f"/discover/{asked.id}").text


def test_a_community_typed_is_kept_sealed_and_never_shown(
    app: Flask, rina: Visitor, session: Session, town: Town
) -> None:
    settings = app.config["PANTAU"]
    vault.create(settings.vault_key, settings.vault_public)
    answer = rina.post("/discover", {"addresses": "10.0.0.1", "rate": "50", "community": "s3cr3t-word"})
    assert answer.status_code == 303
    kept = session.scalars(select(Credential)).one()
    assert kept.kind == "community"
    assert b"s3cr3t-word" not in kept.sealed
    assert session.scalars(select(Discovery)).one().credentials == [kept.id]
    assert "s3cr3t-word" not in rina.get(answer.location).text


@pytest.mark.browser
@pytest.mark.parametrize("width, height, locale, scheme", [(1366, 768, "en-GB", "light"), (390, 844, "id-ID", "dark")])
def test_rows_come_in_while_one_looks_and_what_was_unticked_stays_unticked(
    asked: Discovery, browse: OpenBrowser, session: Session, width: int, height: int, locale: str, scheme: str
) -> None:
    asked.done_at = None
    session.commit()
    page = enter(browse(width, height, scheme, locale))
    page.goto(f"/discover/{asked.id}")
    page.locator('input[name="address"][value="10.0.0.1"]').uncheck()
    page.locator('input[name="address"][value="10.0.0.5"]').focus()
    session.add(Found(discovery_id=asked.id, address="10.0.0.19", place=18, seen={**SEEN, "rtt": 0.003}))
    session.commit()
    page.wait_for_selector('input[name="address"][value="10.0.0.19"]')
    assert not page.locator('input[name="address"][value="10.0.0.1"]').is_checked()
    assert page.locator('input[name="address"][value="10.0.0.5"]').is_checked()
    assert evaluate(page, "document.activeElement.value") == "10.0.0.5"
    assert not accessible(page)
    assert evaluate(page, "document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0
    assert evaluate(page, "JSON.stringify(window.violations)") == "[]"


def test_discovery_is_for_administrators(app: Flask, person: Person, session: Session, asked: Discovery) -> None:
    person.role = "none"
    session.commit()
    visitor = Visitor(app.test_client())
    assert visitor.login("rina", PASSWORD).status_code == 303
    for path in ("/discover", f"/discover/{asked.id}", "/additions"):
        assert visitor.get(path).status_code == 403
