"""What is remembered of one machine between looks: counters, what is read less often, what it does not answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from domain.reading import Fact, Measure
from probes.winrm.answer import Fault, Row
from probes.winrm.counters import Counters, Delta
from probes.winrm.envelope import Query
from probes.winrm.line import shown_text
from probes.winrm.session import Session, is_denied

DAY, HOUR, WHILE = 86_400.0, 3_600.0, 300.0
"""How long something is not asked again: no such class, no right to it, anything else."""
CLOCK_STEP = 60.0
"""Windows derives the time of its start from its clock: a step of the clock up to this moves it too."""
NO_CLASS = {0x8033801A, 0x803380FA, 0x80338000, 0x80041002, 0x8004100E, 0x80041010, 0x80041013, 0x80041014}
"""CANNOT_PROCESS_FILTER (an unknown class, in WQL), INVALID_RESOURCE_URI and WBEM_E_: NOT_FOUND, INVALID_NAMESPACE,
INVALID_CLASS, PROVIDER_LOAD_FAILURE, INITIALIZATION_FAILURE."""

Found = Measure | Fact


class Unanswered(Exception):
    """The machine does not answer this, today; the text says why, after the name of the class."""


@dataclass
class Kept:
    """One reading of what is read less often."""

    at: float
    found: tuple[Found, ...]


@dataclass
class Memory:
    """Of one machine, as one credential sees it."""

    counters: Counters = field(default_factory=Counters)
    kept: dict[str, Kept] = field(default_factory=dict)
    tried: dict[str, float] = field(default_factory=dict)
    missing: dict[str, tuple[float, str]] = field(default_factory=dict)
    understood: dict[str, int] = field(default_factory=dict)
    roles: frozenset[str] = frozenset()
    instances: tuple[str, ...] = ()
    cores: int = 0
    clock: datetime | None = None
    uptime: float = 0.0
    looks: int = 0
    _boot: datetime | None = None

    def booted(self, at: datetime) -> str:
        """What tells this run of the machine from the next; another one makes all counters worthless."""
        if self._boot is None or abs((at - self._boot).total_seconds()) > CLOCK_STEP:
            if self._boot is not None:
                self.counters.forget()
                self.kept.clear()
                self.tried.clear()
            self._boot = at
        return self._boot.isoformat(timespec="seconds")

    def unanswered(self) -> tuple[str, ...]:
        """What the machine did not answer, each as "class: why"."""
        now = time.monotonic()
        return tuple(f"{table}: {why}" for table, (until, why) in sorted(self.missing.items()) if until > now)


class Home:
    """What a process keeps of one machine: a lock, since a login is for one look at a time, the login, the memory."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.session: Session | None = None
        self.memory = Memory()
        self.tls: bool | None = None
        self.used = time.monotonic()

    def drop(self) -> None:
        """Hang up; what is remembered stays."""
        session, self.session = self.session, None
        if session is not None:
            session.close()

    def close(self) -> None:
        """Nothing is kept any longer."""
        self.drop()


class Ask:
    """Asks one machine through its session, remembers what it does not answer, and compares counters."""

    def __init__(self, session: Session, memory: Memory) -> None:
        self._session, self.memory = session, memory
        self.first = False
        self.again = False
        """Whether counters are read a second time in one look: all else is as it was a moment ago."""
        self._rows: dict[str, list[Row]] = {}

    def demand(self, query: Query) -> list[Row]:
        """All rows, at least one, of what every machine has. Raises Fault: an account without rights sees no rows."""
        rows = self._session.select(query)
        if not rows:
            raise Fault(5, None, "", "", "it shows no rows")
        return rows

    def select(self, query: Query) -> list[Row]:
        """All rows. Raises Unanswered where there is no such class or no right to it, for now and the next hours."""
        if not self.again or query.text not in self._rows:
            self._rows[query.text] = self._asked(query)
        return self._rows[query.text]

    def raw(self, query: Query, key: Callable[[Row], str] | None = None) -> list[tuple[Row, Delta | None]]:
        """The rows of a raw class, each with its difference to the last time; `first` is set where there was none."""
        rows = self._asked(query)
        self.first = self.first or not self.memory.counters.known(query.table)
        return list(self.memory.counters.compare(query.table, rows, key or _name))

    def raw_of(self, *queries: Query) -> list[tuple[Row, Delta | None]]:
        """As `raw`, by the first of these queries of one class that the machine understands: names of properties differ
        between versions. Which one it was is remembered."""
        table = queries[0].table
        for query in queries[self.memory.understood.get(table, 0) : -1]:
            try:
                rows = self._session.select(query)
            except Fault:
                self.memory.understood[table] = queries.index(query) + 1
                continue
            self.first = self.first or not self.memory.counters.known(table)
            return list(self.memory.counters.compare(table, rows, _name))
        return self.raw(queries[-1])

    def invoke(self, namespace: str, table: str, method: str, values: dict[str, str | int]) -> Row:
        """What a static method gives back. Raises Unanswered."""
        self._known(table)
        try:
            return self._session.invoke(namespace, table, method, values)
        except Fault as fault:
            raise self._remember(table, fault) from None

    def _asked(self, query: Query) -> list[Row]:
        self._known(query.table)
        try:
            return self._session.select(query)
        except Fault as fault:
            raise self._remember(query.table, fault) from None

    def _known(self, table: str) -> None:
        until, why = self.memory.missing.get(table, (0.0, ""))
        if time.monotonic() < until:
            raise Unanswered(why)

    def _remember(self, table: str, fault: Fault) -> Unanswered:
        if is_denied(fault):
            rest, why = HOUR, "no right to read it"
        elif fault.number in NO_CLASS or fault.wmi in NO_CLASS:
            rest, why = DAY, "there is no such class"
        else:
            rest, why = WHILE, shown_text(fault.reason) or "it failed"
        self.memory.missing[table] = time.monotonic() + rest, why
        return Unanswered(why)


def _name(row: Row) -> str:
    return row.text("Name")
