"""The web's key is changed: what it sealed opens all the time with the keys that are there, and with the old one no more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest
from flask import Flask
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from config import webkey
from config.vault import VaultError
from domain.identity import Provider, Totp
from tests.webui.cast import Visitor
from tests.webui.test_second import code_at, with_app
from webui import rekeying


@pytest.fixture
def key(app: Flask) -> Path:
    path: Path = app.config["PANTAU"].web_key
    return path


def quiet(_text: str) -> None:
    pass


def rotate(session: Session, key: Path) -> list[str]:
    """As the command does, on a connection of its own."""
    assert session.bind is not None
    url = session.bind.engine.url.render_as_string(hide_password=False).replace("+psycopg", "")
    session.commit()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("select set_config('pantau.actor', '{\"person\": \"root\"}', false)")
        found = rekeying.rotate(connection, key, quiet)
        assert rekeying.lost(connection, key) == found
    session.expire_all()
    return found


def sealed_of(session: Session) -> Totp:
    return session.scalars(select(Totp)).one()


def test_after_a_new_key_codes_and_providers_go_on_and_the_old_key_opens_nothing(
    rina: Visitor, app: Flask, session: Session, key: Path
) -> None:
    seed, _ = with_app(rina)
    old, inode = webkey.read(key), key.stat().st_ino
    place = "provider:abc"
    session.add(
        Provider(
            id=1, label="P", issuer="https://p.example", client="c", sealed=old.seal(b"secret", place), seal_id="abc"
        )
    )
    session.commit()
    copied = (sealed_of(session).sealed, sealed_of(session).seal_id)
    assert rotate(session, key) == []
    fresh, row, provider = webkey.read(key), sealed_of(session), session.scalars(select(Provider)).one()
    assert fresh.key != old.key and fresh.older == ()
    assert key.stat().st_ino == inode, "the web is shut out of any other file"
    assert fresh.open(provider.sealed, f"provider:{provider.seal_id}") == b"secret"
    with pytest.raises(VaultError, match="does not open"):
        old.open(row.sealed, f"totp:{row.person_id}:{row.seal_id}")
    with pytest.raises(VaultError, match="does not open"):
        fresh.open(copied[0], f"totp:{row.person_id}:{copied[1]}")
    phone = Visitor(app.test_client())
    phone.login("rina")
    assert phone.post("/login/second", {"code": code_at(seed, 1)}).status_code == 303
    told = session.execute(text("select detail from audit where what = 'vault.rotated'")).scalar_one()
    assert (told["ring"], told["sealed"], told["lost"]) == ("web", 2, [])


def test_what_somebody_sealed_for_the_old_key_a_moment_ago_is_refused(
    rina: Visitor, session: Session, key: Path
) -> None:
    with_app(rina)
    old = webkey.read(key)
    rotate(session, key)
    row = sealed_of(session)
    row.sealed = old.seal(b"late", f"totp:{row.person_id}:{row.seal_id}")
    with pytest.raises(DBAPIError, match="new key since"):
        session.commit()
    session.rollback()


def test_what_is_sealed_in_the_first_form_is_sealed_anew(rina: Visitor, session: Session, key: Path) -> None:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    with_app(rina)
    row, box = sealed_of(session), webkey.read(key)
    place = f"totp:{row.person_id}:{row.seal_id}"
    row.sealed = b"\x01" + bytes(12) + AESGCM(box.key).encrypt(bytes(12), b"seed", place.encode())
    session.commit()
    assert box.open(row.sealed, place) == b"seed"
    assert rotate(session, key) == []
    row = sealed_of(session)
    assert row.sealed[:1] == b"\x02"
    assert webkey.read(key).open(row.sealed, f"totp:{row.person_id}:{row.seal_id}") == b"seed"


def test_what_opens_with_no_key_is_named_and_left(rina: Visitor, session: Session, key: Path) -> None:
    with_app(rina)
    row = sealed_of(session)
    row.sealed = webkey.Box(bytes(32)).seal(b"strange", "totp:x")
    session.commit()
    assert rotate(session, key) == [f"totp {row.person_id}"]


class Broken(Exception):
    """The power goes."""


@pytest.mark.parametrize("step", ["before the table", "before the end"])
def test_broken_off_anywhere_everything_opens_and_it_goes_on_where_it_was(
    rina: Visitor, session: Session, key: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    seed, _ = with_app(rina)
    assert seed

    def broken(*_: Any, **__: Any) -> Any:
        raise Broken

    if step == "before the end":
        monkeypatch.setattr(webkey, "end", broken)
    else:
        monkeypatch.setattr("domain.audit.write", broken)
    with pytest.raises(Broken):
        rotate(session, key)
    monkeypatch.undo()
    session.expire_all()
    row, between = sealed_of(session), webkey.read(key)
    assert len(between.older) == 1
    place = f"totp:{row.person_id}:{row.seal_id}"
    assert between.open(row.sealed, place)
    opening = [webkey.Box(one) for one in (between.key, *between.older)]
    assert sum(_opens(one, row.sealed, place) for one in opening) == 1, "exactly one of the two"
    assert rotate(session, key) == []
    after = webkey.read(key)
    assert (after.key, after.older) == (between.key, ())


def _opens(box: webkey.Box, sealed: bytes, place: str) -> bool:
    try:
        return bool(box.open(sealed, place))
    except VaultError:
        return False


def test_a_write_of_the_key_file_that_is_broken_off_loses_no_key_that_is_needed(place: Path) -> None:
    path = place / "web.key"
    webkey.create(path)
    first = path.read_bytes()
    old = webkey.read(path).key
    webkey.begin(path)
    both = path.read_bytes()
    assert both.startswith(first)
    new = webkey.read(path).key
    for length in range(len(first), len(both)):
        path.write_bytes(both[:length])
        assert old in (webkey.read(path).key, *webkey.read(path).older), length
    for length in range(len(first)):
        path.write_bytes(both[len(first) :][:length] + both[length:])
        assert webkey.read(path).key == new, length
