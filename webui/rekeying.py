"""A new key for what the web keeps (`web.key`): put behind the old one, everything sealed anew, the old one taken away.

Every step can be the last before the power goes; started again, it goes on where it was. What the web seals meanwhile it
seals for the new key; a box that somebody sealed for the old one a moment ago is refused by a trigger from the moment on
at which the old key is put down as retired, as with the vault's (poller/rotation.py).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from psycopg import Connection, sql

from config import webkey
from config.vault import VaultError
from domain import audit

LOCK = 0x5641554C
"""The lock of the vault's rotation: of all keys one changes at a time."""
Say = Callable[[str], None]


@dataclass(frozen=True)
class Kept:
    """A table of secrets the web reads again: its key's column, and where its boxes belong."""

    table: str
    id: str
    place: str


KEPT = (Kept("totp", "person_id", "totp:{id}:{seal_id}"), Kept("provider", "id", "provider:{seal_id}"))


def rotate(connection: Connection[Any], path: Path, say: Say) -> list[str]:
    """Give the web a new key, or go on where an earlier run was broken off; gives what opens with no key at all.

    The connection is in no transaction. Raises VaultError, OSError, psycopg.Error.
    """
    connection.autocommit = True
    row = connection.execute("select pg_try_advisory_lock(%s, hashtext('web'))", [LOCK]).fetchone()
    if row is None or not row[0]:
        raise VaultError("The web's key is being changed already. Wait until that is done.")
    try:
        box, sealed, lost = webkey.begin(path), 0, list[str]()
        with connection.transaction():
            for kept in KEPT:
                held = sql.SQL("lock table {} in share row exclusive mode").format(sql.Identifier(kept.table))
                connection.execute(held)
                for id, old, seal_id in _rows(connection, kept, box.head):
                    if _seal_anew(connection, kept, box, id, bytes(old), seal_id):
                        sealed += 1
                    else:
                        lost.append(f"{kept.table} {id}")
            for key in box.older:
                retired = "insert into retired_key (number) values (%s) on conflict do nothing"
                connection.execute(retired, [webkey.number_of(key)])
            detail = {"ring": "web", "key": webkey.number_of(box.key).hex(), "sealed": sealed, "lost": lost[:20]}
            audit.write(connection, "vault.rotated", detail=detail)
        webkey.end(path)
        say(f"{sealed} secrets of the web are sealed anew; its old key is gone.")
        return lost
    finally:
        connection.execute("select pg_advisory_unlock_all()")


def lost(connection: Connection[Any], path: Path) -> list[str]:
    """What opens with no key of the file, by table and id."""
    box, found = webkey.read(path), []
    for kept in KEPT:
        for id, sealed, seal_id in _rows(connection, kept, b""):
            try:
                box.open(bytes(sealed), kept.place.format(id=id, seal_id=seal_id))
            except VaultError:
                found.append(f"{kept.table} {id}")
    return found


def _rows(connection: Connection[Any], kept: Kept, head: bytes) -> list[tuple[Any, ...]]:
    """The rows whose boxes do not begin with `head`."""
    query = sql.SQL("select {id}, sealed, seal_id from {table} where substring(sealed for 5) <> %s order by {id}")
    named = query.format(id=sql.Identifier(kept.id), table=sql.Identifier(kept.table))
    return connection.execute(named, [head]).fetchall()


def _seal_anew(
    connection: Connection[Any], kept: Kept, box: webkey.Box, id: int, sealed: bytes, seal_id: str
) -> bool:  # fmt: skip
    try:
        secret = box.open(sealed, kept.place.format(id=id, seal_id=seal_id))
    except VaultError:
        return False
    fresh = secrets.token_hex(16)
    query = sql.SQL("update {table} set sealed = %s, seal_id = %s where {id} = %s")
    named = query.format(id=sql.Identifier(kept.id), table=sql.Identifier(kept.table))
    connection.execute(named, [box.seal(secret, kept.place.format(id=id, seal_id=fresh)), fresh, id])
    return True
