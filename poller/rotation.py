"""A new key for the vault: made beside the old one, everything sealed anew, then the old one taken away.

Every step can be the last before the power goes; started again, it goes on where it was. At each moment each secret
opens with exactly one of the keys in the key file:

1. The new private key is written before the old one in the key file, and is on the disk before it is used.
2. The public half is replaced: from now on everything new is sealed for the new key. Whoever opens looks the key file up
   once more when a box names a key they do not know.
3. Rows are sealed anew some at a time, each batch a transaction.
4. In one transaction that nothing can write beside: no row is left that names the old key; the old key's number is put
   down as retired, and from then on a trigger refuses boxes that somebody sealed for it a moment ago.
5. The key file is replaced by one with the new key alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from psycopg import Connection, sql

from config import vault
from config.settings import Settings
from config.vault import Opener, Sealer, VaultError
from domain import audit

LOCK = 0x5641554C
BATCH = 100
Say = Callable[[str], None]


@dataclass(frozen=True)
class Kept:
    """A table with sealed secrets: of kind `kind`, in the row's place or, without `bound`, at `<kind>:<id>`."""

    table: str
    kind: str
    bound: bool = True


@dataclass(frozen=True)
class Ring:
    """A key file, its public half, and what is sealed for it."""

    name: str
    key: Path
    public: Path
    tables: tuple[Kept, ...]


@dataclass
class Result:
    """How many were sealed anew, and what opens with no key at all (and did not before)."""

    sealed: int = 0
    lost: list[str] = field(default_factory=list)


VAULT = (Kept("credential", "credential"), Kept("look", "look", bound=False))
NOTIFIER = (Kept("channel", "channel"), Kept("route", "route"), Kept("trial", "trial", bound=False))


def rings(settings: Settings) -> tuple[Ring, Ring]:
    """The keys of an installation, and what is sealed for each."""
    return (
        Ring("vault", settings.vault_key, settings.vault_public, VAULT),
        Ring("notifier", settings.notifier_key, settings.notifier_public, NOTIFIER),
    )


def rotate(connection: Connection[Any], ring: Ring, say: Say, batch: int = BATCH) -> Result:
    """Give `ring` a new key, or go on where an earlier one was broken off. The connection is in no transaction.

    Raises VaultError where the keys cannot be read or somebody else is at it, psycopg.Error where the database fails.
    """
    connection.autocommit = True
    if not _one(connection, "select pg_try_advisory_lock(%s, hashtext(%s))", [LOCK, ring.name]):
        raise VaultError(f"The {ring.name}'s key is being changed already. Wait until that is done.")
    try:
        new, *old = _begin(ring, say)
        opener, sealer, result = Opener(new, *old), Sealer(vault.public_of(new)), Result()
        while True:
            result.lost.clear()
            for kept in ring.tables:
                _seal_anew(connection, kept, opener, sealer, batch, result)
            if _retire(connection, ring, sealer, old, result):
                break
        vault.write_keys(ring.key, new)
        say(f"{result.sealed} secrets are sealed anew; the old {ring.name} key is gone.")
        return result
    finally:
        connection.execute("select pg_advisory_unlock_all()")


def _begin(ring: Ring, say: Say) -> tuple[bytes, ...]:
    """The keys, new one first: made now, or by the run that was broken off. The public half is the new one's after it."""
    keys = vault.read_keys(ring.key)
    if len(keys) == 1:
        keys = (vault.generate(), *keys)
        vault.write_keys(ring.key, *keys)
        say(f"made a new {ring.name} key beside the old one.")
    else:
        say(f"going on with the new {ring.name} key that was made before.")
    vault.write_public(ring.public, keys[0])
    return keys


def _seal_anew(
    connection: Connection[Any], kept: Kept, opener: Opener, sealer: Sealer, batch: int, result: Result
) -> None:  # fmt: skip
    last: Any = None
    while True:
        with connection.transaction():
            rows = _next(connection, kept, vault.number_of(sealer.public), last, batch)
            for id, sealed, seal_id in rows:
                _seal_row(connection, kept, (id, bytes(sealed), seal_id), opener, sealer, result)
        if not rows:
            return
        last = rows[-1][0]


def _next(connection: Connection[Any], kept: Kept, number: bytes, last: Any, batch: int) -> list[tuple[Any, ...]]:
    """The next rows that are not sealed for the key `number`, held until the transaction ends."""
    query = sql.SQL(
        "select id, sealed, {seal_id} from {table} where sealed is not null and substring(sealed for 5) <> %(head)s"
        " and (%(last)s::text is null or id > %(last)s::{type}) order by id limit %(batch)s for update"
    ).format(
        table=sql.Identifier(kept.table),
        seal_id=sql.Identifier("seal_id") if kept.bound else sql.SQL("''"),
        type=sql.SQL("bigint") if kept.bound else sql.SQL("text"),
    )
    head = bytes([vault.VERSION]) + number
    return connection.execute(query, {"head": head, "last": last, "batch": batch}).fetchall()


def _seal_row(
    connection: Connection[Any], kept: Kept, row: tuple[Any, bytes, str], opener: Opener, sealer: Sealer, result: Result
) -> None:  # fmt: skip
    id, sealed, seal_id = row
    try:
        secret = opener.open(sealed, vault.place(kept.kind, id, seal_id) if kept.bound else f"{kept.kind}:{id}")
    except VaultError:
        result.lost.append(f"{kept.kind} {id}")
        return
    fresh = vault.new_place(id)
    anew = sealer.seal(secret, f"{kept.kind}:{fresh}" if kept.bound else f"{kept.kind}:{id}")
    change = "update {table} set sealed = %(sealed)s, seal_id = %(seal_id)s where id = %(id)s"
    if not kept.bound:
        change = "update {table} set sealed = %(sealed)s where id = %(id)s"
    query = sql.SQL(change).format(table=sql.Identifier(kept.table))
    connection.execute(query, {"sealed": anew, "seal_id": fresh, "id": id})
    result.sealed += 1


def _retire(connection: Connection[Any], ring: Ring, sealer: Sealer, old: list[bytes], result: Result) -> bool:
    """Put the old keys down as retired; False where somebody sealed for one of them meanwhile."""
    number = vault.number_of(sealer.public)
    with connection.transaction():
        for kept in ring.tables:
            connection.execute(sql.SQL("lock table {} in share row exclusive mode").format(sql.Identifier(kept.table)))
        left = sum(len(_next(connection, kept, number, None, len(result.lost) + 1)) for kept in ring.tables)
        if left > len(result.lost):
            return False
        for key in old:
            connection.execute(
                "insert into retired_key (number) values (%s) on conflict do nothing",
                [vault.number_of(vault.public_of(key))],
            )
        detail = {"ring": ring.name, "key": number.hex(), "sealed": result.sealed, "lost": result.lost[:20]}
        audit.write(connection, "vault.rotated", detail=detail)
    return True


def lost(connection: Connection[Any], ring: Ring, opener: Opener) -> Iterator[str]:
    """What is sealed and does not open, by kind and id; for whoever wants to know beforehand."""
    for kept in ring.tables:
        query = sql.SQL("select id, sealed, {} from {} where sealed is not null order by id").format(
            sql.Identifier("seal_id") if kept.bound else sql.SQL("''"), sql.Identifier(kept.table)
        )
        for id, sealed, seal_id in connection.execute(query):
            try:
                opener.open(bytes(sealed), vault.place(kept.kind, id, seal_id) if kept.bound else f"{kept.kind}:{id}")
            except VaultError:
                yield f"{kept.kind} {id}"


def _one(connection: Connection[Any], statement: str, values: list[Any]) -> Any:
    row = connection.execute(statement.encode(), values).fetchone()
    return row[0] if row else None
