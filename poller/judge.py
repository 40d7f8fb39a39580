"""Applies the rules to rounds: what is remembered of every subject, and the rows each round leads to."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from domain import health, thresholds
from domain.clock import Steady
from domain.health import Policy, Result, Track, outcome_of
from domain.reading import FailureKind, Reading
from domain.records import OUTCOMES
from domain.thresholds import Level, MetricTrack
from poller.novelty import FACTS, Names, Novelty
from poller.page import Page
from poller.plan import HostPlan, Limit, Plan
from poller.rates import Rates
from poller.round import CheckSeen, Round

COSTS_EVERY = 60.0
"""Seconds of looks that are summed up before their cost is written: a row a check and minute instead of one a look."""
WATCH = "host.watch."
"""How the measures begin by which a check tells what a look cost the machine itself."""
HOUR = 3_600_000_000
"""In microseconds."""
PART = 400
"""The most characters of a part's name: PostgreSQL indexes no text of more than 2704 bytes."""
OFFERED = "ssh.host_key"
"""The fact by which a probe reports the key a machine showed: "port type base64 fingerprint"."""


@dataclass
class Memory:
    """Everything remembered between rounds; loaded once, then written row by row with what it led to (R20)."""

    hosts: dict[int, Track] = field(default_factory=dict)
    checks: dict[int, Track] = field(default_factory=dict)
    metrics: dict[tuple[int, str, str], MetricTrack] = field(default_factory=dict)
    facts: dict[tuple[int, str, str], str] = field(default_factory=dict)
    failures: dict[int, tuple[str, str]] = field(default_factory=dict)


class Judge:
    """Folds rounds into the memory and onto a page. One thread, no waiting, no database."""

    def __init__(self, memory: Memory, steady: Steady) -> None:
        self.memory = memory
        self._steady = steady
        self._rates = Rates()
        self._novelty = Novelty()
        self._told = Counter(check_id for check_id, _, _ in memory.facts)
        self._costs: dict[tuple[int, int], list[float]] = {}
        self._costs_told = steady.now()
        self._checks: dict[int, frozenset[int]] = {}

    def down(self, host_id: int) -> bool:
        """Whether the machine is known to be down: its blocking looks then wait in the small lane."""
        track = self.memory.hosts.get(host_id)
        return track is not None and track.state == "down"

    def judge(self, page: Page, round: Round) -> None:
        """One round's rows onto the page."""
        for look in round.looks:
            self._write_down(page, round, look)
            self._add_cost(round, look)
        self._judge_host(page, round)
        for look in round.looks:
            if round.outcome != "fail":
                self._judge_check(page, round.host, look)

    def reconcile(self, page: Page, plan: Plan) -> None:
        """After an edit: switched-off machines are closed, switched-on ones begin again, gone ones are forgotten (R24)."""
        at = self._steady.now()
        self._checks |= {host.id: frozenset(check.id for check in host.checks) for host in plan.hosts.values()}
        for host_id in plan.disabled:
            track = self.memory.hosts.get(host_id, Track(since=at))
            if track.state != "disabled":
                self._host_turned(page, host_id, *health.disable(track, at), policy=Policy(), reason="Switched off.")
                self._metrics_grey(page, host_id, at, closed=True)
        for host in plan.hosts.values():
            known = self.memory.hosts.get(host.id)
            if known is None:
                self.memory.hosts[host.id] = Track(since=at)
                self._keep_track(page, f"host:{host.id}", host.id, None, self.memory.hosts[host.id])
            elif known.state == "disabled":
                self._host_turned(page, host.id, *health.enable(known, at), policy=host.policy, reason="Switched on.")
        self._forget(plan)

    def _forget(self, plan: Plan) -> None:
        known = set(plan.hosts) | plan.disabled
        self._checks = {k: v for k, v in self._checks.items() if k in known}
        checks = {check for own in self._checks.values() for check in own}
        self.memory.hosts = {k: v for k, v in self.memory.hosts.items() if k in known}
        for check_id in [k for k in self.memory.checks if k not in checks]:
            del self.memory.checks[check_id]
            self._rates.forget(check_id)
            self._novelty.forget(check_id)
        self.memory.metrics = {k: v for k, v in self.memory.metrics.items() if k[0] in checks}
        self.memory.facts = {k: v for k, v in self.memory.facts.items() if k[0] in checks}
        self._told = Counter(check_id for check_id, _, _ in self.memory.facts)
        self.memory.failures = {k: v for k, v in self.memory.failures.items() if k in checks}

    def _write_down(self, page: Page, round: Round, look: CheckSeen) -> None:
        """The look itself: its sample, the newest row, its facts, and its failure where that is news."""
        reading, check = look.seen.reading, look.check
        ts = _micros(reading.at)
        outcome = OUTCOMES.index(outcome_of(reading.failure.kind if reading.failure else None))
        rows = self._rates.apply(check.id, look.seen.end, reading) if reading.measures else []
        index, values = -1, [_storable(r[3]) for r in rows]
        if rows:
            names: Names = tuple(r[0] for r in rows), tuple(_text(r[1], PART) for r in rows), tuple(r[2] for r in rows)
            names, values = self._novelty.admit(check.id, names, values, look.seen.end)
            index = page.set_index(*map(list, names)) if values else -1
        page.raw.append([check.id, ts, index, outcome, values])
        failure = reading.failure
        page.latest[check.id] = [
            check.id, round.host.id, ts, reading.took, round.late, outcome, index, values,
            str(failure.kind) if failure else None, _text(failure.detail) if failure else None,
            reading.cost.sent, reading.cost.received,
        ]  # fmt: skip
        if check.credential_id is not None and check.credential_id not in page.used:
            page.used.append(check.credential_id)
        self._note_facts(page, round.host.id, check.id, reading, ts)
        self._note_failure(page, check.id, reading, ts)

    def tell_costs(self, page: Page) -> None:
        """What the looks of the last COSTS_EVERY seconds took; a killed poller loses that much of it and no more."""
        if self._costs and self._steady.now() - self._costs_told >= COSTS_EVERY:
            page.costs = [[check, hour, *sums] for (check, hour), sums in self._costs.items()]
            self._costs, self._costs_told = {}, self._steady.now()

    def _add_cost(self, round: Round, look: CheckSeen) -> None:
        reading = look.seen.reading
        hour = _micros(reading.at) // HOUR * HOUR
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
            key, value = (check_id, fact.name, _text(fact.of, PART)), _text(fact.value)
            known = self.memory.facts.get(key)
            if known == value or (known is None and self._told[check_id] >= FACTS):
                continue
            self._told[check_id] += known is None
            self.memory.facts[key] = value
            page.facts.append([check_id, host_id, fact.name, key[2], value, ts])
            if fact.name == OFFERED:
                port, _, rest = fact.value.partition(" ")
                key_text, _, fingerprint = rest.rpartition(" ")
                untrusted = reading.failure is not None and reading.failure.kind is FailureKind.UNTRUSTED
                page.keys.append([host_id, int(port), key_text, fingerprint, "offered" if untrusted else "pinned"])

    def _note_failure(self, page: Page, check_id: int, reading: Reading, ts: int) -> None:
        if reading.failure is None:
            self.memory.failures.pop(check_id, None)
            return
        news = (str(reading.failure.kind), _text(reading.failure.detail))
        if self.memory.failures.get(check_id) != news:
            self.memory.failures[check_id] = news
            page.failures.append([check_id, ts, *news])

    def _judge_host(self, page: Page, round: Round) -> None:
        if round.outcome is None:
            return
        host, looks = round.host, [look for look in round.looks if look.check.reachability]
        start, end = min(look.seen.start for look in looks), max(look.seen.end for look in looks)
        before = self.memory.hosts.get(host.id) or Track(since=start)
        track, change = health.fold(before, Result(end, round.outcome, start), host.policy)
        worst = next((look.seen.reading.failure for look in looks if look.seen.reading.failure), None)
        reason = _text(worst.detail) if worst and round.outcome != "ok" else ""
        kind = str(worst.kind) if worst and round.outcome != "ok" else None
        self._host_turned(page, host.id, track, change, policy=host.policy, reason=reason, kind=kind)
        if change is not None and change.to_state == "down":
            self._metrics_grey(page, host.id, change.since)

    def _host_turned(
        self, page: Page, host_id: int, track: Track, change: health.Change | None, *,
        policy: Policy, reason: str, kind: str | None = None,
    ) -> None:  # fmt: skip
        before = self.memory.hosts.get(host_id)
        self.memory.hosts[host_id] = track
        subject = f"host:{host_id}"
        if before is None or _lasting(track, policy) != _lasting(before, policy):
            self._keep_track(page, subject, host_id, None, track)
        if change is not None:
            self._change(page, subject, host_id, None, change, reason, kind)

    def _judge_check(self, page: Page, host: HostPlan, look: CheckSeen) -> None:
        check, failure = look.check, look.seen.reading.failure
        policy = replace(host.policy, interval=check.interval)
        before = self.memory.checks.get(check.id) or Track(since=look.seen.start)
        result = Result(look.seen.end, outcome_of(failure.kind if failure else None), look.seen.start)
        track, change = health.fold(before, result, policy)
        self.memory.checks[check.id] = track
        if _lasting(track, policy) != _lasting(before, policy) or (track.seen == result.at and before.seen is None):
            self._keep_track(page, f"check:{check.id}", host.id, check.id, track)
        if change is not None:
            reason, kind = (_text(failure.detail), str(failure.kind)) if failure else ("", None)
            self._change(page, f"check:{check.id}", host.id, check.id, change, reason, kind)
        if failure is None and host.limits:
            self._judge_metrics(page, host, look)

    def _judge_metrics(self, page: Page, host: HostPlan, look: CheckSeen) -> None:
        """The limits on this look's numbers. A limit without a part means the total, or every part where there is none."""
        row = page.latest[look.check.id]
        names, parts, _ = page.sets[row[6]] if row[6] >= 0 else ([], [], [])
        limited = {limit.measure for limit in host.limits}
        totals = {name for name, part in zip(names, parts, strict=True) if not part}
        for name, part, value in zip(names, parts, row[7], strict=True):
            if name not in limited or value is None:
                continue
            levels = _levels(host.limits, name, part, name in totals)
            if levels:
                self._judge_metric(page, host, look, name, part, value, levels)

    def _judge_metric(
        self, page: Page, host: HostPlan, look: CheckSeen, name: str, part: str, value: float, levels: list[Level]
    ) -> None:
        key = (look.check.id, name, part)
        before = self.memory.metrics.get(key) or MetricTrack(since=look.seen.start)
        track, change = thresholds.fold_metric(before, look.seen.start, value, levels, look.check.interval)
        self.memory.metrics[key] = track
        if change is not None or track.levels != before.levels:
            self._keep_metric(page, host.id, key, track)
        if change is not None:
            self._metric_change(page, host.id, key, change)

    def _metrics_grey(self, page: Page, host_id: int, since: float, *, closed: bool = False) -> None:
        """The machine is down or switched off: nothing is known of its numbers (R22, R24)."""
        at = self._steady.now()
        own = self._checks.get(host_id, frozenset())
        for key, track in list(self.memory.metrics.items()):
            if key[0] not in own:
                continue
            after, change = thresholds.close(track, at) if closed else thresholds.grey(track, since, at)
            self.memory.metrics[key] = after
            if change is not None:
                self._keep_metric(page, host_id, key, after)
                self._metric_change(page, host_id, key, change)

    def _keep_track(self, page: Page, subject: str, host_id: int, check_id: int | None, track: Track) -> None:
        since = self._stamp(track.since)
        page.tracks[subject] = [
            host_id,
            check_id,
            track.state,
            since,
            track.failures if track.failing else 0,
            track.to_json(),
        ]

    def _keep_metric(self, page: Page, host_id: int, key: tuple[int, str, str], track: MetricTrack) -> None:
        page.tracks[_metric_subject(key)] = [host_id, key[0], track.state, self._stamp(track.since), 0, track.to_json()]

    def _metric_change(
        self, page: Page, host_id: int, key: tuple[int, str, str], change: thresholds.MetricChange
    ) -> None:
        value = "" if change.value is None else f"{change.value:.6g}"
        page.changes.append([
            _metric_subject(key), host_id, key[0], self._stamp(change.at), self._stamp(change.since),
            change.from_state, change.to_state, value, None,
        ])  # fmt: skip

    def _change(
        self,
        page: Page,
        subject: str,
        host_id: int,
        check_id: int | None,
        change: health.Change,
        reason: str,
        kind: str | None,
    ) -> None:
        page.changes.append([
            subject, host_id, check_id, self._stamp(change.at), self._stamp(change.since),
            change.from_state, change.to_state, reason, kind,
        ])  # fmt: skip

    def _stamp(self, moment: float) -> int:
        return _micros(self._steady.utc(moment))


def _lasting(track: Track, policy: Policy) -> Track:
    """What of a track must be stored: not when the last result came (`latest` has that), nor a count past its use."""
    return replace(track, seen=None, started=None, rids=(), oks=min(track.oks, policy.recover_after), first_ok=None)


def _levels(limits: Sequence[Limit], name: str, part: str, has_total: bool) -> list[Level]:
    """The levels for one number: those of its part by name, else those for the whole measure."""
    own = [limit for limit in limits if limit.measure == name and limit.part == part and part]
    if not own and not (part and has_total):
        own = [limit for limit in limits if limit.measure == name and not limit.part]
    return [
        Level("critical" if o.state == "critical" else "warning", o.over, o.under, o.clear, o.for_s, o.clear_for_s)
        for o in own
    ]


def _metric_subject(key: tuple[int, str, str]) -> str:
    return f"metric:{key[0]}:{key[1]}:{key[2]}"


def _micros(at: datetime | None) -> int:
    if at is None:
        raise ValueError("a look without its moment cannot be recorded")
    return round(at.timestamp() * 1_000_000)


def _storable(value: float | None) -> float | None:
    """A number PostgreSQL's `real` can hold, or None: what a machine says is range-checked before it is kept."""
    return value if value is not None and math.isfinite(value) and abs(value) < 3e38 else None


def _text(value: str, limit: int = 1000) -> str:
    """Text PostgreSQL can hold: no NUL, no lone surrogates, bounded."""
    return value[:limit].replace("\0", "\ufffd").encode("utf-8", "replace").decode()
