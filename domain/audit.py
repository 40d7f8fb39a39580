"""The audit: who did what to what, written in the transaction that does it, and never changed afterwards.

Every row carries the SHA-256 of itself and of the row before, so that a row changed, left out or put between is found
(`pantau audit verify`). Ids and hashes are made in the database (migration "Who did what"):

* A BEFORE INSERT trigger takes an advisory lock that is held until the transaction ends, then reads the last row: its id
  plus one is the new id, its hash the new row's `previous`. Nobody else can read the end of the chain meanwhile, so ids
  have no gaps and rows stand in the order in which they were committed.
* A transaction that is rolled back takes its rows with it and gives the lock back; the next one reads the same end of
  the chain and takes the same id. No sequence is used, since a sequence does not come back.
* Whatever people edit (the tables of `WATCHED`) writes its rows by triggers of the database itself, however it is
  changed: by a page, by the API, by a bulk statement, by a cascade, by hand in psql. They are deferred, so the lock is
  taken as late as can be: at COMMIT. Where the row cannot be written the COMMIT fails, and nothing was done.
* UPDATE, DELETE and TRUNCATE are refused by a trigger, and the rows' roles are granted no such right either.
* Where an installation keeps the record for so many days only, `audit_prune` drops the rows before (migration "What the
  record may forget"): never its end, and in one transaction with a row `audit.pruned` that holds number and hash of the
  last one dropped. The chain begins after it, and `verify` demands that row.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from sqlalchemy import BigInteger, Index, Integer, LargeBinary, event, func, or_, select, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, Session, mapped_column, sessionmaker

from domain.table import Table

LOCK = 0x41554449
"""The advisory lock under which the chain grows; any constant of its own."""
GENESIS = bytes(32)
"""What stands as `previous` in the first row."""

WATCHED = {
    "action_rule": "rule",
    "channel": "channel",
    "credential": "credential",
    "division": "division",
    "host": "host",
    "host_check": "check",
    "host_group": "group",
    "host_in_group": "grouping",
    "host_key": "hostkey",
    "host_service": "service",
    "host_parent": "parent",
    "load_test": "loadtest",
    "lookout": "lookout",
    "maintenance_window": "maintenance",
    "membership": "membership",
    "person": "person",
    "policy": "policy",
    "remedy": "remedy",
    "rota": "rota",
    "route": "route",
    "runbook": "runbook",
    "schedule": "schedule",
    "setting": "setting",
    "shift": "shift",
    "site": "site",
    "threshold": "limit",
    "wording": "wording",
}
"""Tables whose every change writes a row by itself, and the word it begins with: `host.made`, `host.changed`, `host.gone`."""


class Audit(Table):
    """One thing somebody did.

    `person` is the name as it was then; `person_id` is no foreign key, since a row outlives whoever made it. `source` is
    the address it came from, or the program. `what` is a dotted verb, `on` what it was done to (`host:12`), or empty.
    `detail`: {"name"} as it was called then; {"changed": {column: [before, after]}}; {"hidden": [columns that changed
    and are nobody's business]}; and whatever the event says of itself. `at` is the database's clock.
    """

    __tablename__ = "audit"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    at: Mapped[datetime] = mapped_column(index=True)
    person_id: Mapped[int | None] = mapped_column(Integer)
    person: Mapped[str] = mapped_column(server_default="")
    source: Mapped[str] = mapped_column(server_default="")
    what: Mapped[str]
    on: Mapped[str] = mapped_column(server_default="")
    detail: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'::jsonb"))
    previous: Mapped[bytes] = mapped_column(LargeBinary)
    hash: Mapped[bytes] = mapped_column(LargeBinary)

    __table_args__ = (Index(None, "person_id", "id"), Index(None, "on", "id"), Index(None, "what", "id"))


@dataclass(frozen=True)
class Actor:
    """Who does something: nobody's `id` is None. `source` is an address, or the name of a program."""

    id: int | None = None
    name: str = ""
    source: str = ""

    def as_json(self) -> str:
        """As the triggers read it."""
        return json.dumps({"id": self.id, "name": self.name, "source": self.source})


def attend(maker: sessionmaker[Session], actor: Callable[[], Actor]) -> None:
    """From now on sessions of `maker` say to the database who acts, and write what they were told at COMMIT."""
    event.listen(maker, "before_commit", lambda session: _before_commit(session, actor))
    event.listen(maker, "after_soft_rollback", _rolled_back)
    maker.configure(info={**(maker.kw.get("info") or {}), "audited": True})


def write(
    session: Session | psycopg.Connection[Any],
    what: str,
    *,
    person_id: int | None = None,
    person: str = "",
    source: str = "",
    on: str = "",
    detail: dict[str, Any] | None = None,
) -> None:
    """One row in the caller's transaction; where it cannot be written the transaction fails with it.

    In a session of `attend` it is kept until COMMIT, and whoever acts is filled in where nobody is named. Elsewhere it
    is written now, and every other writer waits for the end of this transaction: make it the last statement. A psycopg
    connection may have said who acts, for all it does: `set_config('pantau.actor', Actor.as_json(), false)`.
    """
    row = {"person_id": person_id, "person": person, "source": source, "what": what, "on": on, "detail": detail or {}}
    if isinstance(session, Session):
        if session.info.get("audited"):
            session.info.setdefault("audit", []).append((session.get_nested_transaction(), row))
            session.connection()  # so that there is a transaction, and a COMMIT
        else:
            _insert(session, row)
        return
    with session.cursor() as cursor:
        cursor.execute(
            "with actor as (select nullif(current_setting('pantau.actor', true), '')::jsonb as a)"
            ' insert into audit (person_id, person, source, what, "on", detail)'
            " select coalesce(%s, (a ->> 'id')::integer), coalesce(nullif(%s, ''), a ->> 'name', ''),"
            " coalesce(nullif(%s, ''), a ->> 'source', current_setting('application_name')), %s, %s, %s from actor",
            [person_id, person, source, what, on, json.dumps(detail or {})],
        )


def write_seldom(session: Session, what: str, *, on: str, seconds: float = 60, **more: Any) -> bool:
    """As `write`, but at most one row of this `what` on this `on` in so many seconds. Whether it was written.

    For what a stranger can make happen as often as they like, such as a failed login.
    """
    session.execute(select(func.pg_advisory_xact_lock(LOCK, func.hashtext(f"{what} {on}"))))
    since = func.clock_timestamp() - func.make_interval(0, 0, 0, 0, 0, 0, float(seconds))
    recent = select(Audit.id).where(Audit.at > since, Audit.what == what, Audit.on == on).limit(1)
    waiting = any(row["what"] == what and row["on"] == on for _, row in session.info.get("audit", ()))
    if waiting or session.scalar(recent) is not None:
        return False
    write(session, what, on=on, **more)
    return True


def _insert(session: Session, row: dict[str, Any]) -> None:
    session.connection().execute(
        text(
            'insert into audit (person_id, person, source, what, "on", detail) values (:person_id, :person,'
            " coalesce(nullif(:source, ''), current_setting('application_name')), :what, :on, cast(:detail as jsonb))"
        ),
        {**row, "detail": json.dumps(row["detail"])},
    )


def _before_commit(session: Session, actor: Callable[[], Actor]) -> None:
    """Say who acts, then write what waits. The lock of the chain is taken here, when all else is done."""
    if session.in_nested_transaction():
        return
    session.flush()
    if not session.in_transaction():
        return
    who, waiting = actor(), session.info.pop("audit", [])
    session.connection().execute(select(func.set_config("pantau.actor", who.as_json(), True)))
    for _, row in waiting:
        if row["person_id"] is None and not row["person"]:
            row = {**row, "person_id": who.id, "person": who.name}
        _insert(session, {**row, "source": row["source"] or who.source})


def _rolled_back(session: Session, ended: Any) -> None:
    """What was told within a savepoint that was given up is forgotten; with the whole transaction, all."""
    if not ended.nested:
        session.info.pop("audit", None)
        return
    kept = [(within, row) for within, row in session.info.get("audit", ()) if not _within(within, ended)]
    session.info["audit"] = kept


def _within(inner: Any, outer: Any) -> bool:
    while inner is not None:
        if inner is outer:
            return True
        inner = inner.parent
    return False


# ---- reading it again ----


@dataclass(frozen=True)
class Broken:
    """The first row that is not as it was written, and what is wrong with it."""

    id: int
    reason: str


@dataclass(frozen=True)
class Verdict:
    """What `verify` found: so many rows in one unbroken chain that ends in `hash`, or where it broke.

    `dropped` rows before the first one are gone as the installation is set to, and a row of the chain says so.
    """

    rows: int
    hash: bytes
    broken: Broken | None = None
    dropped: int = 0

    @property
    def checkpoint(self) -> str:
        """What to keep elsewhere: `<number of the last row>:<hash>`; later the chain must still pass through it."""
        return f"{self.dropped + self.rows}:{self.hash.hex()}"


FIELDS = (
    "id::text, to_char(at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US'), coalesce(person_id::text, ''), person,"
    ' source, what, "on", detail::text'
)


def canonical(fields: Iterable[str], previous: bytes) -> bytes:
    """What is hashed: every field as `<bytes in UTF-8>:<text>` (so that no two rows read alike), then the hash before."""
    parts = [b"%d:%s" % (len(raw), raw) for raw in (field.encode() for field in fields)]
    return b"".join(parts) + previous.hex().encode()


def verify(connection: psycopg.Connection[Any], checkpoint: str = "") -> Verdict:
    """Read the whole chain, a few thousand rows at a time, and compute it again; stops at the first row that is wrong.

    `checkpoint` is one told earlier: the chain must still pass through it, so rows cut off at its end are missed too.
    Raises ValueError for a checkpoint that cannot be read.
    """
    wanted = _read_checkpoint(checkpoint)
    first, before, said = 0, GENESIS, False
    count, last = 0, GENESIS
    for fields, previous, hash in _rows(connection):
        if not first:
            first = int(fields[0])
            count, last = first - 1, previous if first > 1 else GENESIS
            before = last
        count += 1
        reason = _reason(count, last, fields, previous, hash)
        if not reason and count == wanted[0] and hash != wanted[1]:
            reason = "it is not the row that the checkpoint was made of"
        if reason:
            return Verdict(count - first, last, Broken(int(fields[0]), reason), first - 1)
        said = said or _says_dropped(fields, first - 1, before)
        last = hash
    if first > 1 and not said:
        return Verdict(0, before, Broken(first, "rows before it are missing, and none says that they were dropped"))
    rows, dropped = count - max(first, 1) + 1, max(first, 1) - 1
    if count < wanted[0]:
        missing = f"rows are missing at the end: there were {wanted[0]}"
        return Verdict(rows, last, Broken(count + 1, missing), dropped)
    if 0 < wanted[0] == dropped and before != wanted[1]:
        return Verdict(
            0, before, Broken(first, "the row before it is not the one that the checkpoint was made of"), dropped
        )
    if 0 < wanted[0] < dropped:
        gone = "the checkpoint lies among the rows dropped before it, so nothing can be said by it; use a newer one"
        return Verdict(rows, last, Broken(first, gone), dropped)
    return Verdict(rows, last, None, dropped)


def _says_dropped(fields: tuple[str, ...], upto: int, hash: bytes) -> bool:
    """Whether this row says that all up to `upto`, whose last has this hash, was dropped."""
    if fields[5] != "audit.pruned":
        return False
    detail = json.loads(fields[7])
    return isinstance(detail, dict) and (detail.get("upto"), detail.get("hash")) == (upto, hash.hex())


def _rows(connection: psycopg.Connection[Any]) -> Iterator[tuple[tuple[str, ...], bytes, bytes]]:
    with connection.transaction(), connection.cursor(name="audit_verify") as cursor:
        cursor.itersize = 5000
        cursor.execute(f"select {FIELDS}, previous, hash from audit order by audit.id".encode())  # noqa: S608 - a constant
        for *fields, previous, hash in cursor:
            yield tuple(fields), previous, hash


def _reason(count: int, last: bytes, fields: tuple[str, ...], previous: bytes, hash: bytes) -> str:
    if int(fields[0]) != count:
        return f"row {count} is missing before it"
    if previous != last:
        return "the row before it is not the one it was written after"
    if hashlib.sha256(canonical(fields, previous)).digest() != hash:
        return "it does not say what was written"
    return ""


def _read_checkpoint(text: str) -> tuple[int, bytes]:
    if not text:
        return 0, b""
    count, _, digest = text.partition(":")
    try:
        found = int(count), bytes.fromhex(digest)
    except ValueError:
        found = -1, b""
    if found[0] < 0 or len(found[1]) != 32:
        raise ValueError("A checkpoint looks like 1234:5e88…, as `pantau audit verify` prints it.")
    return found


def head(session: Session) -> str:
    """The end of the chain as a checkpoint, without reading the rows before."""
    last = session.execute(select(Audit.id, Audit.hash).order_by(Audit.id.desc()).limit(1)).one_or_none()
    return f"{last[0]}:{last[1].hex()}" if last else f"0:{GENESIS.hex()}"


def newest(session: Session, limit: int, *, person: str = "", what: str = "", on: str = "") -> list[Audit]:
    """The last `limit` rows, oldest first: of people whose name has `person` in it, of a kind or its beginning, on one object."""
    wanted = select(Audit)
    if person:
        wanted = wanted.where(Audit.person.icontains(person, autoescape=True))
    if what:
        wanted = wanted.where(or_(Audit.what == what, Audit.what.startswith(f"{what}.", autoescape=True)))
    if on:
        wanted = wanted.where(Audit.on == on)
    return list(reversed(list(session.scalars(wanted.order_by(Audit.id.desc()).limit(limit)))))
