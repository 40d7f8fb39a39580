"""From what MySQL and MariaDB say of themselves to measures, and to what is plainly broken.

Sources: "Server Status Variables" and SHOW REPLICA STATUS of the MySQL reference, SHOW ALL SLAVES STATUS of
MariaDB's, and the InnoDB tables of their information_schema.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from domain.reading import Fact, Failure, FailureKind, Measure
from probes.base import Produces
from probes.limits import clean, number
from probes.mysql.session import Row, Session, Unanswered

CHANNELS = 50
"""The most replication channels told one by one."""
NO_RIGHT = (1227, 1142, 1044, 1045)
TOO_LONG = (1969, 3024, 1317)

# Status variable -> measure and part. Counters and gauges as declared below.
STATUS = {
    "uptime": ("mysql.uptime", ""),
    "questions": ("mysql.query.count", ""),
    "slow_queries": ("mysql.query.slow.count", ""),
    "com_select": ("mysql.commands", "select"),
    "com_insert": ("mysql.commands", "insert"),
    "com_update": ("mysql.commands", "update"),
    "com_delete": ("mysql.commands", "delete"),
    "com_commit": ("mysql.commands", "commit"),
    "com_rollback": ("mysql.commands", "rollback"),
    "threads_connected": ("mysql.connection.count", ""),
    "threads_running": ("mysql.threads.running", ""),
    "aborted_connects": ("mysql.connection.aborted", ""),
    "connection_errors_max_connections": ("mysql.connection.turned_away", ""),
    "innodb_row_lock_waits": ("mysql.row_locks.waits", ""),
    "innodb_row_lock_current_waits": ("mysql.row_locks.waiting", ""),
    "innodb_deadlocks": ("mysql.deadlocks", ""),
    "created_tmp_disk_tables": ("mysql.tmp_disk_tables", ""),
    "bytes_received": ("mysql.network.io.receive", ""),
    "bytes_sent": ("mysql.network.io.transmit", ""),
}
POOL = (
    "innodb_buffer_pool_reads", "innodb_buffer_pool_read_requests", "innodb_buffer_pool_pages_total",
    "innodb_buffer_pool_pages_free",
)  # fmt: skip
VARIABLES = ("max_connections", "read_only", "version_comment", "hostname")

PROCESSES = """
SELECT COUNT(CASE WHEN command = 'Query' AND user <> 'system user' AND time > {slow} AND id <> CONNECTION_ID()
                  THEN 1 END) AS slow,
       COUNT(CASE WHEN command LIKE 'Binlog Dump%' THEN 1 END) AS replicas
FROM information_schema.processlist
"""
TRANSACTIONS = """
SELECT COALESCE(MAX(TIMESTAMPDIFF(SECOND, trx_started, NOW())), 0) AS oldest,
       COUNT(CASE WHEN trx_state = 'LOCK WAIT' THEN 1 END) AS blocked
FROM information_schema.innodb_trx
"""
DEADLOCKS = "SELECT count AS deadlocks FROM information_schema.innodb_metrics WHERE name = 'lock_deadlocks'"


@dataclass
class Before:
    """The last look's buffer pool counters, kept for the hit ratio, which is one of the time between two looks."""

    reads: float = 0.0
    requests: float = 0.0
    uptime: float = -1.0

    def close(self) -> None:
        """Nothing is held open."""


@dataclass
class Seen:
    """What one look gathers."""

    measures: list[Measure] = field(default_factory=list)
    facts: list[Fact] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    denied: list[str] = field(default_factory=list)
    slow: list[str] = field(default_factory=list)
    channels: int = 0

    def add(self, name: str, value: object, of: str = "") -> None:
        """One measure by its declared unit and kind, unless `value` is no number."""
        found = number(value)
        if found is not None:
            made = _DECLARED[name]
            self.measures.append(Measure(name, found, made.unit, of, made.kind))

    def failure(self) -> Failure | None:
        """What is broken, else what we may not see, else what was not answered in time."""
        if self.broken:
            return Failure(FailureKind.REFUSED, " ".join(self.broken[:3]))
        if self.denied:
            return Failure(
                FailureKind.DENIED,
                f"This user may not see the {', the '.join(self.denied)}: grant it what the page of this check shows. "
                "What can be seen without is recorded.",
            )
        if self.slow:
            return Failure(
                FailureKind.REFUSED,
                f"The server did not tell its {self.slow[0]} within 5 s: it is overloaded, or something is locked.",
            )
        return None


def gather(session: Session, before: Before, slow: float) -> Seen:
    """All subjects, each by its own question; one not answered leaves the others."""
    seen = Seen()
    seen.facts.append(Fact("mysql.version", session.version))
    subjects: tuple[tuple[str, Callable[[], None]], ...] = (
        ("status", lambda: _status(session, seen, before)),
        ("sessions of others", lambda: _processes(session, seen, slow)),
        ("transactions", lambda: _transactions(session, seen)),
        ("state of replication", lambda: _replication(session, seen)),
    )
    for subject, ask in subjects:
        try:
            ask()
        except Unanswered as error:
            seen.facts.append(Fact("mysql.unanswered", str(error), subject))
            if error.code in NO_RIGHT:
                seen.denied.append(subject)
            elif error.code in TOO_LONG:
                seen.slow.append(subject)
    return seen


def _status(session: Session, seen: Seen, before: Before) -> None:
    found = _pairs(session.ask(_show("STATUS", (*STATUS, *POOL))))
    settings = _pairs(session.ask(_show("VARIABLES", VARIABLES)))
    for variable, (name, of) in STATUS.items():
        seen.add(name, found.get(variable), of)
    most, used = number(settings.get("max_connections"), 1), number(found.get("threads_connected"), 0)
    seen.add("mysql.connection.max", most)
    if most and used is not None:
        seen.add("mysql.connections.utilization", min(1.0, used / most))
    _pool(found, seen, before)
    for variable in ("version_comment", "read_only"):
        if text := settings.get(variable):
            seen.facts.append(Fact(f"mysql.{variable}", clean(text, 60)))


def _pool(found: dict[str, str], seen: Seen, before: Before) -> None:
    """Share of page reads the buffer pool served since the last look, and how full it is."""
    reads, requests, total, free = (number(found.get(name), 0) for name in POOL)
    uptime = number(found.get("uptime"), 0) or 0.0
    if total and free is not None:
        seen.add("mysql.buffer_pool.utilization", max(0.0, 1 - free / total))
    if reads is None or requests is None:
        return
    asked, missed = requests - before.requests, reads - before.reads
    if 0 <= before.uptime <= uptime and asked > 0 and missed >= 0:
        seen.add("mysql.buffer_pool.hit.ratio", max(0.0, 1 - missed / asked))
    before.reads, before.requests, before.uptime = reads, requests, uptime


def _processes(session: Session, seen: Seen, slow: float) -> None:
    _may_see_all(session)
    row = session.ask(PROCESSES.format(slow=f"{slow:f}"))[0]
    seen.add("mysql.queries.long", row.get("slow"))
    seen.add("mysql.replicas", row.get("replicas"))


def _may_see_all(session: Session) -> None:
    """Without PROCESS the list is silently one of our own sessions only: ask something that is refused then."""
    session.ask("SELECT 1 FROM information_schema.innodb_trx LIMIT 1")


def _transactions(session: Session, seen: Seen) -> None:
    row = session.ask(TRANSACTIONS)[0]
    seen.add("mysql.transaction.oldest", row.get("oldest"))
    seen.add("mysql.transactions.blocked", row.get("blocked"))
    if not session.mariadb:  # there it is a status variable
        for metric in session.ask(DEADLOCKS)[:1]:
            seen.add("mysql.deadlocks", metric.get("deadlocks"))


def _replication(session: Session, seen: Seen) -> None:
    """Every channel: both threads must run, and a lag that is NULL is not 0 but unknown."""
    rows = _channels(session)
    seen.channels = len(rows)
    for row in rows[:CHANNELS]:
        name = clean(row.get("connection_name") or row.get("channel_name") or "", 64)
        receiving, applying = _either(row, "io_running"), _either(row, "sql_running")
        behind = _either(row, "seconds_behind")
        works = receiving == applying == "Yes" and number(behind, 0) is not None
        seen.add("mysql.replica.running", float(works), name)
        seen.add("mysql.replica.time_behind_source", behind, name)
        if not works:
            seen.broken.append(_why(row, name, receiving, applying))


def _channels(session: Session) -> list[Row]:
    """The replication channels in the words of whichever server it is; [] for one that is no replica."""
    forms = ("SHOW ALL SLAVES STATUS",) if session.mariadb else ("SHOW REPLICA STATUS", "SHOW SLAVE STATUS")
    for form in forms[:-1]:
        try:
            return session.ask(form)
        except Unanswered as error:
            if error.code in NO_RIGHT:
                raise
    return session.ask(forms[-1])


def _either(row: Row, what: str) -> str | None:
    """A column by its old name or its new one."""
    old, new = {
        "io_running": ("slave_io_running", "replica_io_running"),
        "sql_running": ("slave_sql_running", "replica_sql_running"),
        "seconds_behind": ("seconds_behind_master", "seconds_behind_source"),
        "host": ("master_host", "source_host"),
    }[what]
    return row[old] if old in row else row.get(new)


def _why(row: Row, name: str, receiving: str | None, applying: str | None) -> str:
    channel = f" '{name}'" if name else ""
    source = clean(_either(row, "host") or "its source", 64)
    said = clean(row.get("last_sql_error") or row.get("last_io_error") or "", 200)
    if applying != "Yes":
        what = f"Replication{channel} from {source} does not apply what it received"
    elif receiving != "Yes":
        state = f" (it is {clean(receiving or '', 20).lower()})" if receiving not in ("No", None) else ""
        what = f"Replication{channel} from {source} receives nothing{state}"
    else:
        what = f"Replication{channel} from {source} does not know how far behind it is"
    return f"{what}: {said if said.endswith('.') else f'{said}.'}" if said else f"{what}; the server gives no error."


def _show(what: str, names: tuple[str, ...]) -> str:
    listed = ", ".join(f"'{name}'" for name in names)
    return f"SHOW GLOBAL {what} WHERE Variable_name IN ({listed})"


def _pairs(rows: list[Row]) -> dict[str, str]:
    return {(row.get("variable_name") or "").lower(): row.get("value") or "" for row in rows}


PRODUCES = (
    Produces("mysql.connect.duration", "s", "Time to log in"),
    Produces("mysql.uptime", "s", "MySQL has been running"),
    Produces("mysql.query.count", "1", "Queries", kind="counter"),
    Produces("mysql.query.slow.count", "1", "Slow queries", kind="counter"),
    Produces("mysql.commands", "1", "Commands", of="command", kind="counter"),
    Produces("mysql.connection.count", "1", "Connections"),
    Produces("mysql.connection.max", "1", "Connections that are allowed"),
    Produces("mysql.connections.utilization", "1", "Share of the connections in use"),
    Produces("mysql.connection.aborted", "1", "Logins that failed", kind="counter"),
    Produces("mysql.connection.turned_away", "1", "Logins turned away for want of connections", kind="counter"),
    Produces("mysql.threads.running", "1", "Threads at work"),
    Produces("mysql.buffer_pool.hit.ratio", "1", "Share of pages found in the buffer pool"),
    Produces("mysql.buffer_pool.utilization", "1", "Share of the buffer pool in use"),
    Produces("mysql.row_locks.waits", "1", "Waits for row locks", kind="counter"),
    Produces("mysql.row_locks.waiting", "1", "Row locks waited for now"),
    Produces("mysql.deadlocks", "1", "Deadlocks", kind="counter"),
    Produces("mysql.tmp_disk_tables", "1", "Temporary tables on disk", kind="counter"),
    Produces("mysql.network.io.receive", "By", "Received from clients", kind="counter"),
    Produces("mysql.network.io.transmit", "By", "Sent to clients", kind="counter"),
    Produces("mysql.queries.long", "1", "Queries running longer than the limit"),
    Produces("mysql.transaction.oldest", "s", "Age of the oldest transaction"),
    Produces("mysql.transactions.blocked", "1", "Transactions blocked by another"),
    Produces("mysql.replicas", "1", "Replicas connected"),
    Produces("mysql.replica.running", "1", "Replication works", of="channel"),
    Produces("mysql.replica.time_behind_source", "s", "Replica is behind by", of="channel"),
)
CERTIFICATE = Produces("tls.certificate.expiry", "s", "Certificate is good for")
_DECLARED = {made.name: made for made in PRODUCES}
