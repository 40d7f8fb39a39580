"""Writes down what a round brought: samples, the newest look, facts, failures and what it cost; judges nothing."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime

from domain.clock import Steady
from domain.health import outcome_of
from domain.reading import FailureKind, Reading
from domain.records import OUTCOMES
from poller.novelty import FACTS, Names, Novelty
from poller.page import Page
from poller.rates import Rates
from poller.round import CheckSeen, Round

COSTS_EVERY = 60.0
"""Seconds of looks that are summed up before their cost is written: a row a check and minute instead of one a look."""
USES_EVERY = 600.0
"""Seconds between two notes that a credential was used at a machine."""
WATCH = "host.watch."
"""How the measures begin by which a check tells what a look cost the machine itself."""
HOUR = 3_600_000_000
"""In microseconds."""
PART = 400
"""The most characters of a part's name: PostgreSQL indexes no text of more than 2704 bytes."""
OFFERED = "ssh.host_key"
"""The fact by which a probe reports the key a machine showed: "port type base64 fingerprint"."""


@dataclass
class Seen:
    """What was seen of each check: its facts, and why it fails. Loaded once, then written as it changes."""

    facts: dict[tuple[int, str, str], str] = field(default_factory=dict)
    failures: dict[int, tuple[str, str]] = field(default_factory=dict)


class Samples:
    """Puts rounds onto a page as rows, less what is not news. One thread, no waiting, no database."""

    def __init__(self, seen: Seen, steady: Steady) -> None:
        self._seen, self._steady = seen, steady
        self._rates = Rates()
        self._novelty = Novelty()
        self._told = Counter(check_id for check_id, _, _ in seen.facts)
        self._costs: dict[tuple[int, int], list[float]] = {}
        self._costs_told = steady.now()
        self._known: set[int] = set()
        self._used: dict[tuple[int, int], float] = {}

    def write(self, page: Page, round: Round) -> None:
        """One round's rows onto the page."""
        for look in round.looks:
            self._write_down(page, round, look)
            self._add_cost(round, look)

    def keep(self, checks: set[int]) -> None:
        """Forget all checks but these."""
        gone = {key[0] for key in self._seen.facts} | set(self._seen.failures) | self._known
        for check_id in gone - checks:
            self._rates.forget(check_id)
            self._novelty.forget(check_id)
        self._known &= checks
        self._seen.facts = {key: value for key, value in self._seen.facts.items() if key[0] in checks}
        self._seen.failures = {key: value for key, value in self._seen.failures.items() if key in checks}
        self._told = Counter(check_id for check_id, _, _ in self._seen.facts)

    def _write_down(self, page: Page, round: Round, look: CheckSeen) -> None:
        """The look itself: its sample, the newest row, its facts, and its failure where that is news."""
        reading, check = look.seen.reading, look.check
        self._known.add(check.id)
        ts = stamp(reading.at)
        outcome = OUTCOMES.index(outcome_of(reading.failure.kind if reading.failure else None))
        rows = self._rates.apply(check.id, look.seen.end, reading) if reading.measures else []
        index, values = -1, [_storable(r[3]) for r in rows]
        if rows:
            names: Names = tuple(r[0] for r in rows), tuple(tidy(r[1], PART) for r in rows), tuple(r[2] for r in rows)
            names, values = self._novelty.admit(check.id, names, values, look.seen.end)
            index = page.set_index(*map(list, names)) if values else -1
        page.raw.append([check.id, ts, index, outcome, values])
        failure = reading.failure
        page.latest[check.id] = [
            check.id, round.host.id, ts, reading.took, round.late, outcome, index, values,
            str(failure.kind) if failure else None, tidy(failure.detail) if failure else None,
            reading.cost.sent, reading.cost.received,
        ]  # fmt: skip
        if check.credential_id is not None and not check.fault:
            self._note_use(page, check.credential_id, round.host.id)
        self._note_facts(page, round.host.id, check.id, reading, ts)
        self._note_failure(page, check.id, reading, ts)

    def _note_use(self, page: Page, credential_id: int, host_id: int) -> None:
        """That a credential was used, and now and then at which machine."""
        if credential_id not in page.used:
            page.used.append(credential_id)
        moment = self._steady.now()
        if moment - self._used.get((credential_id, host_id), -math.inf) >= USES_EVERY:
            self._used[credential_id, host_id] = moment
            page.uses.append([credential_id, host_id])

    def tell_costs(self, page: Page) -> None:
        """What the looks of the last COSTS_EVERY seconds took; a killed poller loses that much of it and no more."""
        if self._costs and self._steady.now() - self._costs_told >= COSTS_EVERY:
            page.costs = [[check, hour, *sums] for (check, hour), sums in self._costs.items()]
            self._costs, self._costs_told = {}, self._steady.now()

    def _add_cost(self, round: Round, look: CheckSeen) -> None:
        reading = look.seen.reading
        hour = stamp(reading.at) // HOUR * HOUR
        theirs = {one.name: one.value for one in reading.measures if one.name.startswith(WATCH)}
        sums = self._costs.setdefault((look.check.id, hour), [0, 0, 0.0, 0.0, 0.0, 0, 0, 0, 0.0, 0.0])
        amounts = (
            1, int(reading.failure is not None), reading.took, round.late, look.seen.cpu,
            max(0, reading.cost.sent), max(0, reading.cost.received),
            int(bool(theirs)), theirs.get(f"{WATCH}cpu_time", 0.0), theirs.get(f"{WATCH}processes", 0.0),
        )  # fmt: skip
        for place, amount in enumerate(amounts):
            sums[place] += amount

    def _note_facts(self, page: Page, host_id: int, check_id: int, reading: Reading, ts: int) -> None:
        for fact in reading.facts:
            key, value = (check_id, fact.name, tidy(fact.of, PART)), tidy(fact.value)
            known = self._seen.facts.get(key)
            if known == value or (known is None and self._told[check_id] >= FACTS):
                continue
            self._told[check_id] += known is None
            self._seen.facts[key] = value
            page.facts.append([check_id, host_id, fact.name, key[2], value, ts])
            if fact.name == OFFERED:
                port, _, rest = fact.value.partition(" ")
                key_text, _, fingerprint = rest.rpartition(" ")
                untrusted = reading.failure is not None and reading.failure.kind is FailureKind.UNTRUSTED
                page.keys.append([host_id, int(port), key_text, fingerprint, "offered" if untrusted else "pinned"])

    def _note_failure(self, page: Page, check_id: int, reading: Reading, ts: int) -> None:
        if reading.failure is None:
            self._seen.failures.pop(check_id, None)
            return
        news = (str(reading.failure.kind), tidy(reading.failure.detail))
        if self._seen.failures.get(check_id) != news:
            self._seen.failures[check_id] = news
            page.failures.append([check_id, ts, *news])


def stamp(at: datetime | None) -> int:
    """A moment as pages hold it: microseconds since the epoch. Raises ValueError for none."""
    if at is None:
        raise ValueError("a look without its moment cannot be recorded")
    return round(at.timestamp() * 1_000_000)


def _storable(value: float | None) -> float | None:
    """A number PostgreSQL's `real` can hold, or None: what a machine says is range-checked before it is kept."""
    return value if value is not None and math.isfinite(value) and abs(value) < 3e38 else None


def tidy(value: str, limit: int = 1000) -> str:
    """Text PostgreSQL can hold: no NUL, no lone surrogates, bounded."""
    return value[:limit].replace("\0", "\ufffd").encode("utf-8", "replace").decode()
