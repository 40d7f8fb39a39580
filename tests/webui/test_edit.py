"""Machines, checks and logins edited in the browser: nothing typed is lost, nothing secret comes back."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import paramiko
import pytest
from flask import Flask
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from config import vault
from domain.inventory import Check, Credential, Host, Person
from domain.requests import Look
from tests.webui.cast import Town, Visitor

CANARY = "canary-7f3a-never-shown"


@pytest.fixture(autouse=True)
def keys(place: Path) -> Path:
    """The installation's vault key, as `pantau up` makes it."""
    vault.create(place / "vault.key", place / "vault.pub")
    return place / "vault.key"


def private_key() -> str:
    text = io.StringIO()
    paramiko.ECDSAKey.generate().write_private_key(text)
    return text.getvalue()


def test_a_machine_is_added_and_pinged_and_changed(rina: Visitor, town: Town, session: Session) -> None:
    typed = {"name": "db-01", "address": "10.0.0.7", "groups": "Gudang, Basis data", "interval": "30", "enabled": "yes"}
    assert rina.post("/machines/new", typed).status_code == 303
    host = session.scalars(select(Host)).one()
    assert (host.name, host.address, host.interval_s, [c.kind for c in host.checks]) == (
        "db-01",
        "10.0.0.7",
        30,
        ["icmp"],
    )
    assert [group.name for group in host.groups] == ["Basis data", "Gudang"]
    typed = {"name": "db-1", "address": "10.0.0.8", "groups": "Gudang", "interval": "", "attempts": "5"}
    assert rina.post(f"/machines/{host.id}/edit", typed).status_code == 303
    session.expire_all()
    assert (host.name, host.interval_s, host.attempts, host.enabled) == ("db-1", None, 5, False)


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ({"name": "", "address": "10.0.0.9"}, "Please give it a name."),
        ({"name": "fs-01", "address": "10.0.0.9"}, "Another machine has this name."),
        ({"name": "x", "address": "not an address"}, "Please give one host name or IP address"),
        ({"name": "x", "address": "10.0.0.9", "interval": "0"}, "This lies between 1 and 86400."),
        ({"name": "x", "address": "10.0.0.9", "attempts": "many"}, "This lies between 1 and 20."),
    ],
)
def test_what_is_wrong_is_told_beside_the_field_and_what_was_typed_stays(
    rina: Visitor, town: Town, session: Session, typed: dict[str, object], sentence: str
) -> None:
    town.machine("fs-01", "10.0.0.20")
    answer = rina.post("/machines/new", {**typed, "note": "kept <as> typed"})
    assert answer.status_code == 422
    assert sentence in answer.text
    assert "kept &lt;as&gt; typed" in answer.text
    assert session.scalar(select(func.count(Host.id))) == 1


def test_a_check_with_a_new_login_is_saved_and_its_secret_opens_only_with_the_pollers_key(
    rina: Visitor, town: Town, session: Session, keys: Path
) -> None:
    host = town.machine("web-01", "10.0.0.31")
    key = private_key()
    typed = {"kind": "ssh", "name": "inside", "o-port": "2222", "credential": "new", "username": "pantau", "private_key": key, "deadline": "10", "enabled": "yes", "reachability": "yes", "do": "save"}  # fmt: skip
    path = f"/machines/{host.id}/checks/new?kind=ssh"
    assert rina.post(path, typed).status_code == 303
    check = session.scalars(select(Check).where(Check.name == "inside")).one()
    assert (check.kind, check.options, check.reachability) == ("ssh", {"port": 2222}, True)
    kept = session.scalars(select(Credential)).one()
    assert (kept.name, kept.kind, kept.username, check.credential_id) == ("pantau@web-01", "ssh_key", "pantau", kept.id)
    assert key.encode() not in kept.sealed
    opened = vault.opener(keys).open(kept.sealed, f"credential:{kept.seal_id}")
    assert json.loads(opened)["private_key"].strip() == key.strip()


def test_a_text_that_is_no_key_and_a_number_out_of_bounds_are_sentences(
    rina: Visitor, town: Town, session: Session
) -> None:
    host = town.machine("web-01", "10.0.0.31")
    typed = {"kind": "ssh", "name": "inside", "o-port": "99999", "credential": "new", "username": "pantau", "private_key": "hello", "do": "save"}  # fmt: skip
    answer = rina.post(f"/machines/{host.id}/checks/new?kind=ssh", typed)
    assert answer.status_code == 422
    assert "This lies between 1 and 65535." in answer.text
    typed["o-port"] = "22"
    answer = rina.post(f"/machines/{host.id}/checks/new?kind=ssh", typed)
    assert "is not a key in a form we know" in answer.text
    assert 'value="pantau"' in answer.text
    assert session.scalar(select(func.count(Credential.id))) == 0


def test_no_page_ever_shows_a_secret_again(rina: Visitor, town: Town, session: Session, app: Flask) -> None:
    host = town.machine("web-01", "10.0.0.31")
    typed = {"name": "the login", "username": "pantau", "secret": CANARY}
    assert rina.post("/credentials/new", typed).status_code == 303
    kept = session.scalars(select(Credential)).one()
    wrong = {"kind": "ssh", "name": "", "credential": "new", "username": "u", "secret": CANARY, "do": "save"}
    assert CANARY not in rina.post(f"/machines/{host.id}/checks/new?kind=ssh", wrong).text
    typed = {"kind": "ssh", "name": "inside", "o-port": "22", "credential": str(kept.id), "do": "save"}
    rina.post(f"/machines/{host.id}/checks/new?kind=ssh", typed)
    check = session.scalars(select(Check).where(Check.name == "inside")).one()
    values = {"host_id": host.id, "credential_id": kept.id, "check_id": check.id}
    seen = 0
    for rule in app.url_map.iter_rules():
        if "GET" not in (rule.methods or ()) or rule.endpoint in ("stream.events", "assets.give"):
            continue
        path = re.sub(r"<(?:int:)?(\w+)>", lambda part: str(values.get(part[1], "x")), rule.rule)
        answer = rina.get(path + ("?kind=ssh" if "checks/new" in path else ""))
        assert CANARY not in answer.text, path
        seen += answer.status_code == 200
    assert seen >= 12


def test_a_login_in_use_is_not_deleted_and_says_by_whom(rina: Visitor, town: Town, session: Session) -> None:
    host = town.machine("web-01", "10.0.0.31")
    rina.post("/credentials/new", {"name": "the login", "username": "pantau", "secret": CANARY})
    kept = session.scalars(select(Credential)).one()
    host.checks[0].credential_id = kept.id
    session.commit()
    rina.post(f"/credentials/{kept.id}/delete", {}, page=f"/credentials/{kept.id}")
    assert "web-01" in rina.get(f"/credentials/{kept.id}").text
    host.checks[0].credential_id = None
    session.commit()
    rina.post(f"/credentials/{kept.id}/delete", {}, page=f"/credentials/{kept.id}")
    assert session.scalar(select(func.count(Credential.id))) == 0


def test_renaming_a_login_keeps_its_secret(rina: Visitor, town: Town, session: Session) -> None:
    rina.post("/credentials/new", {"name": "one", "username": "pantau", "secret": CANARY})
    kept = session.scalars(select(Credential)).one()
    before = kept.sealed
    assert rina.post(f"/credentials/{kept.id}", {"name": "two", "username": "other"}).status_code == 303
    session.expire_all()
    assert (kept.name, kept.username, kept.sealed) == ("two", "other", before)


def test_a_test_asks_the_poller_with_the_secret_sealed_and_shows_the_rungs_to_who_asked(
    rina: Visitor, town: Town, session: Session, keys: Path, person: Person
) -> None:
    host = town.machine("web-01", "10.0.0.31")
    typed = {"kind": "ssh", "name": "inside", "o-port": "22", "credential": "new", "username": "pantau", "secret": CANARY, "do": "test"}  # fmt: skip
    answer = rina.post(f"/machines/{host.id}/checks/new?kind=ssh", typed)
    look = session.scalars(select(Look)).one()
    assert f"/looks/{look.id}" in answer.text
    assert (look.kind, look.asked["address"], look.asked["options"]) == ("test", "10.0.0.31", {})
    assert look.sealed is not None
    assert json.loads(vault.opener(keys).open(look.sealed, f"look:{look.id}")) == {"password": CANARY}
    assert CANARY not in json.dumps(look.asked)
    look.answer = {
        "rungs": [{"rung": "port", "state": "fail", "detail": "Port 22 refuses.", "took": 0.1}],
        "reading": None,
    }
    look.done_at = look.asked_at
    session.commit()
    page = rina.get(f"/looks/{look.id}").text
    assert "Port 22 refuses." in page
    assert "open the port in the firewall" in page
    look.asked_by = None
    session.commit()
    assert rina.get(f"/looks/{look.id}").status_code == 404


def test_deleting_a_machine_says_what_goes_and_takes_it(rina: Visitor, town: Town, session: Session) -> None:
    host = town.machine("web-01", "10.0.0.31")
    assert "This cannot be undone" in rina.get(f"/machines/{host.id}/delete").text
    assert rina.post(f"/machines/{host.id}/delete", {}).status_code == 303
    assert session.scalar(select(func.count(Host.id))) == 0
    assert rina.get(f"/machines/{host.id}").status_code == 404
