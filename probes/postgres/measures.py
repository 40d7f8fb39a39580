"""From the rows of PostgreSQL's statistics to measures, and to what is plainly broken."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from domain.reading import Fact, Failure, FailureKind, Measure
from probes.base import Produces
from probes.limits import clean, number
from probes.postgres import questions
from probes.postgres.session import Row, Session, Unanswered

WRAP = float(2**31)


@dataclass(frozen=True, slots=True)
class Basics:
    """What the server is."""

    version: str
    number: float
    standby: bool
    uptime: float | None
    connections: float
    rights: bool
    started: str


@dataclass
class Before:
    """The last look's block counters, kept for the cache hit ratio, which is one of the time between two looks."""

    hits: float = 0.0
    reads: float = 0.0
    started: str = ""

    def close(self) -> None:
        """Nothing is held open."""


@dataclass
class Seen:
    """What one look gathers."""

    measures: list[Measure] = field(default_factory=list)
    facts: list[Fact] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    unanswered: list[tuple[str, str]] = field(default_factory=list)

    def add(self, name: str, value: object, of: str = "") -> None:
        """One measure by its declared unit and kind, unless `value` is no number."""
        found = number(value)
        if found is not None:
            made = _DECLARED[name]
            self.measures.append(Measure(name, found, made.unit, of, made.kind))

    def failure(self, basics: Basics) -> Failure | None:
        """What is broken, else what we may not see, else what was not answered."""
        if self.broken:
            return Failure(FailureKind.REFUSED, " ".join(self.broken[:3]))
        if not basics.rights:
            return Failure(
                FailureKind.DENIED,
                "The role may log in, but sees only its own sessions: GRANT pg_monitor to it. "
                "What can be seen without is recorded.",
            )
        for subject, state in self.unanswered:
            if state == "57014":
                return Failure(
                    FailureKind.REFUSED,
                    f"The server did not tell its {subject} within 5 s: it is overloaded, or something is locked.",
                )
        return None


def basics(session: Session) -> Basics:
    """What the server is. Raises Unanswered where it does not know these questions."""
    row = session.ask(questions.BASICS)[0]
    return Basics(
        version=clean(row[0] or "", 60),
        number=number(row[1]) or 0.0,
        standby=row[2] == "t",
        uptime=number(row[3]),
        connections=number(row[4]) or 0.0,
        rights=row[5] == "t",
        started=row[6] or "",
    )


def gather(session: Session, found: Basics, before: Before, slow: float, sizes: bool) -> Seen:
    """All subjects, each by its own question; one not answered leaves the others."""
    seen = Seen()
    seen.add("postgresql.uptime", found.uptime)
    seen.facts.append(Fact("postgresql.version", found.version))
    seen.facts.append(Fact("postgresql.role", "standby" if found.standby else "primary"))
    subjects: list[tuple[str, Callable[[], None]]] = [
        ("databases", lambda: _databases(session, seen, before, found)),
        ("sessions", lambda: _activity(session, seen, found, slow)),
        ("age of transactions", lambda: _wraparound(session, seen)),
        ("archiver", lambda: _archiver(session, seen)),
        ("replicas", lambda: _replicas(session, seen)),
        ("replication slots", lambda: _slots(session, seen)),
        ("statements", lambda: _statements(session, seen)),
    ]
    if found.standby:
        subjects.insert(0, ("replication", lambda: _standby(session, seen)))
    if sizes:
        subjects.append(("sizes", lambda: _sizes(session, seen)))
    for subject, ask in subjects:
        try:
            ask()
        except Unanswered as error:
            seen.unanswered.append((subject, error.state))
            seen.facts.append(Fact("postgresql.unanswered", str(error), subject))
    return seen


def _databases(session: Session, seen: Seen, before: Before, found: Basics) -> None:
    names = ("transactions", "rollbacks", "", "blks_read", "deadlocks", "temp.io")
    total = session.ask(questions.DATABASE_TOTALS)[0]
    rows = session.ask(questions.DATABASE_ROWS)
    for of, values in (("", total), *((_part(row[0]), row[1:]) for row in rows)):
        for name, value in zip(names, values, strict=False):
            if name:
                seen.add(f"postgresql.{name}", value, of)
    for row in rows:
        seen.add("postgresql.backends", row[7], _part(row[0]))
    hits, reads = number(total[2]) or 0.0, number(total[3]) or 0.0
    if before.started == found.started:
        hit, read = hits - before.hits, reads - before.reads
        if hit >= 0 and read >= 0 and hit + read > 0:
            seen.add("postgresql.cache.hit.ratio", hit / (hit + read))
    before.hits, before.reads, before.started = hits, reads, found.started


def _activity(session: Session, seen: Seen, found: Basics, slow: float) -> None:
    row = session.ask(questions.ACTIVITY.format(slow=f"{slow:f}"))[0]
    connections = number(row[0]) or 0.0
    seen.add("postgresql.backends", connections)
    seen.add("postgresql.connection.max", found.connections)
    if found.connections > 0:
        seen.add("postgresql.connections.utilization", min(1.0, connections / found.connections))
    if not found.rights:
        return  # of other roles' sessions only that they are there
    for state, value in zip(("active", "idle", "idle in transaction"), row[1:4], strict=True):
        seen.add("postgresql.sessions", value, state)
    seen.add("postgresql.sessions.forgotten", row[4])
    seen.add("postgresql.queries.slow", row[5])
    seen.add("postgresql.sessions.blocked", row[6])
    seen.add("postgresql.transaction.oldest", row[7])


def _wraparound(session: Session, seen: Seen) -> None:
    for row in session.ask(questions.WRAPAROUND):
        age = number(row[1], 0)
        if age is not None:
            seen.add("postgresql.wraparound.utilization", min(1.0, age / WRAP))


def _archiver(session: Session, seen: Seen) -> None:
    for row in session.ask(questions.ARCHIVER):
        seen.add("postgresql.archive.done", row[0])
        seen.add("postgresql.archive.failed", row[1])
        seen.add("postgresql.archive.failing", float(row[2] == "t"))
        if row[2] == "t":
            seen.broken.append(
                f"Archiving the log fails, last with {clean(row[3] or 'a file', 60)}: look at archive_command "
                "and the space where it puts the files; until it works, the log fills this server's disk."
            )


def _replicas(session: Session, seen: Seen) -> None:
    rows = session.ask(questions.REPLICAS)
    seen.add("postgresql.replicas", float(sum(row[2] == "streaming" for row in rows)))
    for of, row in _told_apart(rows):
        seen.add("postgresql.replication.data_delay", row[3], of)
        seen.add("postgresql.wal.lag", row[4] if row[4] is not None else ("0" if row[3] == "0" else None), of)


def _slots(session: Session, seen: Seen) -> None:
    for row in session.ask(questions.SLOTS):
        of = _part(row[0])
        seen.add("postgresql.replication.slot.wal", row[4], of)
        seen.add("postgresql.replication.slot.active", float(row[1] == "t"), of)
        if row[3] == "lost":
            seen.broken.append(f"The slot '{of}' lost the log its replica still needs: build that replica anew.")


def _standby(session: Session, seen: Seen) -> None:
    status, primary, level, behind, paused, waiting = session.ask(questions.STANDBY)[0]
    streaming = status == "streaming"
    seen.add("postgresql.replication.receiving", float(streaming))
    seen.add("postgresql.replication.waiting", waiting)
    # Where nothing is received, "all received is replayed" says nothing: only the age of the last transaction does.
    seen.add("postgresql.replication.lag", "0" if streaming and level == "t" else behind)
    if not streaming and primary:  # not told to a role without pg_monitor: it cannot say that anything is broken
        seen.broken.append(
            "This standby receives nothing from its primary: see its log, the primary, and the login between them."
        )
    if paused == "t":
        seen.broken.append("Replaying the log is paused on this standby: SELECT pg_wal_replay_resume() goes on.")


def _statements(session: Session, seen: Seen) -> None:
    """pg_stat_statements, where it is installed in the database logged in to."""
    for schema, column in session.ask(questions.STATEMENTS_AT)[:1]:
        row = session.ask(questions.STATEMENTS.format(schema=schema, column=column))[0]
        seen.add("postgresql.statements", row[0])
        seen.add("postgresql.statements.time", row[1])


def _sizes(session: Session, seen: Seen) -> None:
    total = 0.0
    for row in session.ask(questions.SIZES):
        seen.add("postgresql.db_size", row[1], _part(row[0]))
        total += number(row[1]) or 0.0
    seen.add("postgresql.db_size", total)


def _told_apart(rows: list[Row]) -> Iterator[tuple[str, Row]]:
    """Each replica by its name, with its address where several bear the same, and a number where even that is one."""
    used: set[str] = set()
    for row in rows:
        same = sum(other[0] == row[0] for other in rows) > 1
        base = name = _part(f"{row[0]} {row[1]}" if same else row[0])
        turn = 1
        while name in used:
            turn += 1
            name = f"{base} #{turn}"
        used.add(name)
        yield name, row


def _part(text: str | None) -> str:
    return clean(text or "?", 64)


PRODUCES = (
    Produces("postgresql.connect.duration", "s", "Time to log in"),
    Produces("postgresql.uptime", "s", "PostgreSQL has been running"),
    Produces("postgresql.transactions", "1", "Transactions", of="database", kind="counter"),
    Produces("postgresql.rollbacks", "1", "Transactions rolled back", of="database", kind="counter"),
    Produces("postgresql.blks_read", "1", "Blocks read past the cache", of="database", kind="counter"),
    Produces("postgresql.deadlocks", "1", "Deadlocks", of="database", kind="counter"),
    Produces("postgresql.temp.io", "By", "Temporary files written", of="database", kind="counter"),
    Produces("postgresql.cache.hit.ratio", "1", "Share of blocks found in the cache"),
    Produces("postgresql.backends", "1", "Connections", of="database"),
    Produces("postgresql.connection.max", "1", "Connections that ordinary roles may have"),
    Produces("postgresql.connections.utilization", "1", "Share of the connections in use"),
    Produces("postgresql.sessions", "1", "Sessions by state", of="state"),
    Produces("postgresql.sessions.forgotten", "1", "Sessions idle in a transaction for over 5 min"),
    Produces("postgresql.sessions.blocked", "1", "Sessions blocked by another"),
    Produces("postgresql.queries.slow", "1", "Queries running longer than the limit"),
    Produces("postgresql.transaction.oldest", "s", "Age of the oldest transaction"),
    Produces("postgresql.statements", "1", "Statements executed", kind="counter"),
    Produces("postgresql.statements.time", "s", "Statements at work at once, on average", kind="counter"),
    Produces("postgresql.wraparound.utilization", "1", "Share of the transaction numbers used up"),
    Produces("postgresql.archive.done", "1", "Log files archived", kind="counter"),
    Produces("postgresql.archive.failed", "1", "Failed attempts to archive a log file", kind="counter"),
    Produces("postgresql.archive.failing", "1", "Archiving fails now"),
    Produces("postgresql.replicas", "1", "Replicas that stream"),
    Produces("postgresql.replication.data_delay", "By", "Log a replica has not replayed", of="replica"),
    Produces("postgresql.wal.lag", "s", "A replica is behind by", of="replica"),
    Produces("postgresql.replication.slot.wal", "By", "Log kept for a slot", of="slot"),
    Produces("postgresql.replication.slot.active", "1", "Slot is in use", of="slot"),
    Produces("postgresql.replication.receiving", "1", "Standby receives from its primary"),
    Produces("postgresql.replication.waiting", "By", "Log received but not replayed"),
    Produces("postgresql.replication.lag", "s", "Standby is behind by"),
    Produces("postgresql.db_size", "By", "Size of the database", of="database"),
)
_DECLARED = {made.name: made for made in PRODUCES}
