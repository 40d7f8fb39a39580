"""Feeds rounds to the rules and puts what they say onto the page: changes, causes, notices, and what they remember."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import Any

from domain import reach
from domain.baseline import Usual
from domain.clock import Steady
from domain.health import UNASKED_LIMIT, Result, Track, outcome_of
from domain.judgement import Blamed, Event, Events, Judgement, Turned
from domain.reach import Topology
from domain.routing import Spoken
from domain.thresholds import Level, MetricChange, MetricTrack, applying
from domain.uplink import Suspicion
from poller.normals import Ready
from poller.page import Page
from poller.plan import HostPlan, Limit, Plan
from poller.round import CheckSeen, Round
from poller.samples import Samples, Seen, stamp, tidy

OTHERS_TELL = ("poller_silent", "poller_back")
"""Whether the poller is silent is judged and told by another process: one that can speak when this one cannot (R9)."""
WHY = {
    "blocked": "What lies on the way to it does not answer.",
    "stale": "Nobody has looked at it for more than three intervals.",
    "disabled": "Switched off.",
    "enabled": "Switched on.",
}


@dataclass
class Memory:
    """Everything remembered between rounds; loaded once, then written row by row with what it led to (R20).

    `tracks` by subject, each with the host it belongs to; `standing` as `Judgement.to_json` has it.
    """

    tracks: dict[str, tuple[int, Track | MetricTrack]] = field(default_factory=dict)
    standing: dict[str, Any] = field(default_factory=dict)
    seen: Seen = field(default_factory=Seen)


class Judge:
    """Folds rounds onto a page. One thread, no waiting, no database."""

    def __init__(
        self, memory: Memory, steady: Steady, references: tuple[str, ...] | None = None, normals: Ready | None = None
    ) -> None:
        self._steady = steady
        self._normals = normals
        self._usual: dict[str, Usual] = {}
        self._samples = Samples(memory.seen, steady)
        self._rules = Judgement(None if references is None else Suspicion(references), alone=False)
        self._homes: dict[str, int] = {}
        self._why: dict[str, tuple[str, str | None]] = {}
        self._stored: dict[str, Any] = {}
        self._checks: dict[int, frozenset[int]] = {}
        self._acknowledged: set[str] = set()
        self._take_over(memory)

    def _take_over(self, memory: Memory) -> None:
        for subject, (host_id, track) in memory.tracks.items():
            self._homes[subject] = host_id
            self._stored[subject] = _lasting(track)
            if subject.startswith("host:") and isinstance(track, Track):
                self._rules.hosts[subject] = track
            else:
                self._rules.remember(subject, f"host:{host_id}", track)
            if track.told.acknowledged:
                self._acknowledged.add(subject)
        self._rules.take_over(memory.standing, self._steady.now())
        self._standing = self._rules.to_json()

    def host(self, host_id: int) -> Track | None:
        """What is known of a machine."""
        return self._rules.hosts.get(f"host:{host_id}")

    def down(self, host_id: int) -> bool:
        """Whether the machine is known to be out of reach: its blocking looks then wait in the small lane."""
        track = self.host(host_id)
        return track is not None and track.state in ("down", "unreachable")

    def well(self, host_id: int) -> bool:
        """Whether nothing speaks against the machine: neither down, nor failing and undecided."""
        track = self.host(host_id)
        return track is None or reach.stand(track) == "well"

    @property
    def suspects_line(self) -> bool:
        """Whether our own line is under suspicion or lost: its references are to be asked now (R27)."""
        return self._rules.uplink.suspected is not None or self._rules.uplink.lost is not None

    # ---- what comes in, onto the page

    def judge(self, page: Page, round: Round) -> None:
        """One round's rows."""
        self._samples.write(page, round)
        self._judge_host(page, round)
        if round.outcome != "fail":
            for look in round.looks:
                self._judge_check(page, round.host, look)

    def reference(self, page: Page, name: str, result: Result) -> None:
        """One look at a target that tells of our own line."""
        self._write(page, self._rules.reference(name, result))

    def tick(self, page: Page, now: float) -> None:
        """Time has passed until `now`."""
        self._write(page, self._rules.tick(now))

    def finish(self, page: Page) -> None:
        """What goes onto a page once: what the looks of the last minute took, what is remembered beside the subjects."""
        self._samples.tell_costs(page)
        standing = self._rules.to_json()
        if standing != self._standing:
            self._standing = page.standing = standing

    def maintain(self, page: Page, hosts: frozenset[int]) -> None:
        """These machines are in maintenance now, and no others (R11, R12)."""
        now, wanted = self._steady.now(), {f"host:{host_id}" for host_id in hosts}
        for subject in sorted(wanted - self._rules.muted):
            self._write(page, self._rules.mute(subject, True, now))
            self._maintained(page, subject, "maintenance", now)
        for subject in sorted(self._rules.muted - wanted):
            self._write(page, self._rules.mute(subject, False, now))
            self._maintained(page, subject, "ended", now)

    def acknowledge(self, page: Page, subjects: set[str]) -> None:
        """Somebody has these in hand, and no others (R17)."""
        for subject in subjects ^ self._acknowledged:
            self._rules.acknowledge(subject, subject in subjects)
        self._acknowledged = subjects
        self._write(page, [])

    def reconcile(self, page: Page, plan: Plan) -> None:
        """After an edit: switched-off machines are closed, switched-on ones begin again, gone ones are forgotten (R24)."""
        at = self._steady.now()
        self._checks |= {host.id: frozenset(check.id for check in host.checks) for host in plan.hosts.values()}
        self._forget(page, plan)
        for host_id in sorted(plan.disabled):
            self._homes[f"host:{host_id}"] = host_id
            self._write(page, self._rules.disable(f"host:{host_id}", at))
        policies, parents = {}, {}
        for host in plan.hosts.values():
            subject = f"host:{host.id}"
            self._homes[subject] = host.id
            policies[subject] = host.policy
            parents[subject] = tuple(f"host:{parent}" for parent in host.parents)
            if subject in self._rules.hosts:
                self._write(page, self._rules.enable(subject, at))
        unasked = frozenset(f"host:{host.id}" for host in plan.hosts.values() if not host.asked)
        topology = Topology(reach.without_circles(parents))
        self._write(page, self._rules.arrange(policies, topology, at, unasked=unasked))

    def _forget(self, page: Page, plan: Plan) -> None:
        known = set(plan.hosts) | plan.disabled
        self._checks = {host: checks for host, checks in self._checks.items() if host in known}
        checks = {check for own in self._checks.values() for check in own}
        for subject, host_id in list(self._homes.items()):
            kind, _, rest = subject.partition(":")
            if host_id not in known and kind == "host":
                self._rules.forget(subject)
            elif kind != "host" and int(rest.split(":", 1)[0]) not in checks:
                self._write(page, self._rules.close(subject, self._steady.now()))
                self._rules.drop(subject)
            else:
                continue
            del self._homes[subject]
            self._stored.pop(subject, None)
            self._why.pop(subject, None)
            self._usual.pop(subject, None)
        self._samples.keep(checks)

    # ---- one round

    def _judge_host(self, page: Page, round: Round) -> None:
        if round.outcome is None:
            return
        subject, looks = f"host:{round.host.id}", [look for look in round.looks if look.check.reachability]
        start, end = min(look.seen.start for look in looks), max(look.seen.end for look in looks)
        worst = next((look.seen.reading.failure for look in looks if look.seen.reading.failure), None)
        known = worst is not None and round.outcome != "ok"
        self._why[subject] = (tidy(worst.detail), str(worst.kind)) if worst and known else ("", None)
        self._homes[subject] = round.host.id
        self._write(page, self._rules.result(subject, Result(end, round.outcome, start)))

    def _judge_check(self, page: Page, host: HostPlan, look: CheckSeen) -> None:
        check, failure = look.check, look.seen.reading.failure
        subject = f"check:{check.id}"
        self._homes[subject] = host.id
        self._why[subject] = (tidy(failure.detail), str(failure.kind)) if failure else ("", None)
        result = Result(look.seen.end, outcome_of(failure.kind if failure else None), look.seen.start)
        policy = replace(host.policy, interval=check.interval)
        self._write(page, self._rules.check(subject, f"host:{host.id}", result, policy))
        if failure is None:
            self._judge_metrics(page, host, look)

    def _judge_metrics(self, page: Page, host: HostPlan, look: CheckSeen) -> None:
        """The limits on this look's numbers, and what is normal for them."""
        row = page.latest[look.check.id]
        names, parts, _ = page.sets[row[6]] if row[6] >= 0 else ([], [], [])
        limits: dict[str, list[Limit]] = defaultdict(list)
        for limit in host.limits:
            limits[limit.measure].append(limit)
        totals = {name for name, part in zip(names, parts, strict=True) if not part}
        place = self._normals.place(self._steady.utc(look.seen.start)) if self._normals else 0.0
        for name, part, value in zip(names, parts, row[7], strict=True):
            subject = f"metric:{look.check.id}:{name}:{part}"
            levels = _levels(limits[name], part, name in totals) if name in limits else []
            usual, normal = self._normals.at((look.check.id, name, part), place) if self._normals else (None, ())
            if value is None or not (levels or normal or subject in self._rules.metrics):
                continue  # one without levels any more is well again
            if usual is not None:
                self._usual[subject] = usual
            self._homes[subject] = host.id
            at, pace = look.seen.start, look.check.interval
            heard = self._rules.sample(subject, f"host:{host.id}", at, value, [*levels, *normal], pace, look.seen.end)
            self._write(page, heard)

    # ---- what is said, as rows

    def _write(self, page: Page, events: Events) -> None:
        for event in events:
            self._say(page, event)
        for subject in sorted(self._rules.touched):
            self._keep(page, subject)
        self._rules.touched.clear()

    def _say(self, page: Page, event: Event) -> None:
        if isinstance(event, Blamed):
            page.causes.append([self._homes[event.subject], event.cause, self._stamp(event.at), len(page.changes)])
        elif isinstance(event, Turned):
            change = event.change
            reason, kind = self._reason(event)
            page.changes.append([
                event.subject, self._homes[event.subject], _check_of(event.subject), self._stamp(change.at),
                self._stamp(change.since), change.from_state, change.to_state, reason, kind,
            ])  # fmt: skip
        elif event.notice.kind not in OTHERS_TELL:
            page.notices.append(self._notice(event))

    def _notice(self, event: Spoken) -> list[Any]:
        notice, subject = event.notice, event.subject
        return [
            subject, self._homes.get(subject), _check_of(subject), self._stamp(notice.at), notice.kind, notice.state,
            self._stamp(notice.since), notice.outage, list(event.members),
        ]  # fmt: skip

    def _reason(self, event: Turned) -> tuple[str, str | None]:
        """Why, as a sentence, and the kind of failure."""
        change = event.change
        if isinstance(change, MetricChange):
            return _amount(change, self._usual.get(event.subject)), None
        if change.reason in WHY:
            return WHY[change.reason], None
        return self._why.get(event.subject, ("", None))

    def _keep(self, page: Page, subject: str) -> None:
        """Onto the page what must be stored of a subject, where that is another than what is stored."""
        rules = self._rules
        track: Any = rules.hosts.get(subject) or rules.checks.get(subject) or rules.metrics.get(subject)
        if track is None or subject not in self._homes:
            return
        lasting = _lasting(track)
        if self._stored.get(subject) == lasting:
            return
        self._stored[subject] = lasting
        failing = track.failures if isinstance(track, Track) and track.failing else 0
        page.tracks[subject] = [
            self._homes[subject], _check_of(subject), track.state, self._stamp(track.since), failing, track.to_json(),
        ]  # fmt: skip

    def _maintained(self, page: Page, subject: str, state: str, now: float) -> None:
        """What really was maintenance, for the reckoning of availability: an interval of its own."""
        host_id, at = int(subject.removeprefix("host:")), self._stamp(now)  # it may be gone since it was stored
        page.changes.append([f"maintenance:{host_id}", host_id, None, at, at, "", state, "", None])

    def _stamp(self, moment: float) -> int:
        return stamp(self._steady.utc(moment))


def _lasting(track: Track | MetricTrack) -> Any:
    """What of a track must be stored: not when the last result came (`latest` has that), nor a count past its use."""
    if isinstance(track, MetricTrack):
        return track.state, track.since, track.levels, track.told
    recovering, counted = track.state == "down", track.failing or track.fresh is not None
    return replace(
        track, seen=None, started=None, rids=(), oks=track.oks if recovering else 0,
        first_ok=track.first_ok if recovering else None, failures=track.failures if counted else 0,
        first_failure=track.first_failure if counted else None, unknowns=min(track.unknowns, UNASKED_LIMIT),
    )  # fmt: skip


def _amount(change: MetricChange, usual: Usual | None) -> str:
    """The value that led to it; with what is usual, where that is why (domain/spoken.py reads it back)."""
    if change.value is None:
        return ""
    if usual is None or not change.by.startswith("normal"):
        return f"{change.value:.6g}"
    return f"{change.value:.6g} usually {usual.low:.6g} {usual.high:.6g}"


def _check_of(subject: str) -> int | None:
    kind, _, rest = subject.partition(":")
    return int(rest.split(":", 1)[0]) if kind in ("check", "metric") else None


def _levels(limits: Sequence[Limit], part: str, total: bool) -> list[Level]:
    """The levels of one measure's limits that hold for one part of it."""
    return [
        Level("critical" if o.state == "critical" else "warning", o.over, o.under, o.clear, o.for_s, o.clear_for_s)
        for o in applying(limits, part, total, attrgetter("part"))
    ]
