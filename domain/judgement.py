"""The one engine of the rules: puts results in, gets changes, causes and notices out; replay and poller both use it.

Pure: every moment comes in. It keeps what is remembered of every subject and the order of things: first the way to a
host (R10, R27), then its state, then its numbers (R22), then what is told of it (R11, R12, R25). Subjects are texts:
hosts, checks and metrics, each in its own keeping; `poller` is the monitor itself.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from domain import health, reach, routing, silence, thresholds, uplink
from domain.digest import Crowds
from domain.health import Change, Policy, Result, Road, Track
from domain.reach import Topology
from domain.routing import MONITOR, Notice, Spoken
from domain.thresholds import Level, MetricChange, MetricTrack
from domain.uplink import Line, Suspicion, Uplink

GREY_METRICS = ("down", "unreachable", "disabled")
"""Host states in which nothing is known about the host's metrics (R22, R24)."""


@dataclass(frozen=True, slots=True)
class Turned:
    """A subject's state changed."""

    subject: str
    change: Change | MetricChange


@dataclass(frozen=True, slots=True)
class Blamed:
    """From `at` on another subject than before explains a host's state: `cause`, or none (R10)."""

    subject: str
    cause: str
    at: float


Event = Turned | Blamed | Spoken
Events = list[Event]


class Judgement:
    """Everything remembered about all subjects of one poller.

    `arrange` says what there is; the other methods take one input each and answer what it led to, in order.
    `touched` collects the subjects whose memory changed, for whoever stores it. `alone`: everything said goes to one
    recipient, so a crowd of it becomes a digest here (R25); else that is for whoever knows the recipients (lasttold.py).
    """

    def __init__(self, suspicion: Suspicion | None = None, alone: bool = True) -> None:
        self._alone = alone
        self.hosts: dict[str, Track] = {}
        self.checks: dict[str, Track] = {}
        self.metrics: dict[str, MetricTrack] = {}
        self.muted: set[str] = set()
        self.touched: set[str] = set()
        self._line = Line(suspicion)
        self._policies: dict[str, Policy] = {}
        self._usual = Policy()
        self._unasked: frozenset[str] = frozenset()
        self._topology = Topology({})
        self._watch = silence.Watch()
        self._crowds = Crowds()
        self._home: dict[str, str] = {}
        self._numbers: dict[str, dict[str, None]] = {}

    @property
    def uplink(self) -> Uplink:
        """What is remembered of our own line."""
        return self._line.uplink

    # ---- what there is

    def arrange(
        self,
        policies: Mapping[str, Policy],
        topology: Topology,
        at: float,
        usual: Policy | None = None,
        unasked: frozenset[str] = frozenset(),
    ) -> Events:
        """Take over the hosts there are, how patient to be with each (`usual` for a host not named), and the ways.

        Hosts not known before are pending since `at`. A way that is new or gone counts from now on. Of hosts in
        `unasked` no results are to be expected.
        """
        self._policies, self._topology, self._unasked = dict(policies), topology, unasked
        self._usual = usual or self._usual
        for host in policies:
            self.meet(host, at)
        for host in self.hosts:
            self._count(host)
        events: Events = []
        self._follow(deque(host for host in self.hosts if self._parents(host) or self.hosts[host].cause), at, events)
        return events

    def meet(self, host: str, at: float) -> Track:
        """The host's track; one not met before is pending since `at`."""
        if host not in self.hosts:
            self._keep(host, Track(since=at))
        return self.hosts[host]

    def remember(self, subject: str, host: str, track: Track | MetricTrack) -> None:
        """Take over what was stored of a check or metric of `host`."""
        if isinstance(track, MetricTrack):
            self.metrics[subject] = track
            self._belongs(subject, host)
        else:
            self.checks[subject] = track
            self._home[subject] = host

    def forget(self, host: str) -> None:
        """Nothing is left of a host that is gone, nor of its checks and metrics."""
        for subject in [subject for subject, home in self._home.items() if home == host]:
            self.drop(subject)
        self.hosts.pop(host, None)
        self._numbers.pop(host, None)
        self.muted.discard(host)
        self._line.forget(host)

    def drop(self, subject: str) -> None:
        """Nothing is left of a check or metric that is gone."""
        self.checks.pop(subject, None)
        self.metrics.pop(subject, None)
        home = self._home.pop(subject, None)
        if home is not None:
            self._numbers.get(home, {}).pop(subject, None)
        self.muted.discard(subject)

    # ---- inputs

    def result(self, host: str, result: Result) -> Events:
        """One look at a host, judged (R1-R10, R23)."""
        events: Events = []
        before = self.meet(host, result.at)
        track, change = health.fold(before, result, self._policy(host), self._road(host))
        if track is before:
            return events
        if change is not None and change.to_state == "up" and self.uplink.lost is not None and self._is_root(host):
            self._take_line(uplink.heard(self.uplink), result.at, events)
        self._settle(host, before, track, change, result.at, events)
        self._suspect(result.at, events)
        self._remind(host, result.at, events)
        events.extend(self._crowds.renewed(result.at))
        return events

    def check(self, check: str, host: str, result: Result, policy: Policy) -> Events:
        """One look by one check of a living host; what is told of it waits while its host is not up."""
        self._home[check] = host
        before = self.checks.get(check) or Track(since=result.began)
        if before.state == "disabled":
            before, _ = health.enable(before, result.began)
        track, change = health.fold(before, result, policy)
        if track is before:
            return []
        events: Events = [] if change is None else [Turned(check, change)]
        self._keep(check, track)
        self._tell(check, result.at, events)
        self._remind(check, result.at, events)
        return events

    def sample(
        self, metric: str, host: str, at: float, value: float, levels: Sequence[Level], interval: float, now: float
    ) -> Events:
        """One number of a host; while the host is red or closed, it is history only (R22)."""
        home = self.hosts.get(host)
        if home is not None and home.state in GREY_METRICS:
            return []
        before = self.metrics.get(metric) or MetricTrack(since=at)
        track, change = thresholds.fold_metric(before, at, value, levels, interval)
        self._belongs(metric, host)
        self._keep(metric, track)
        if track is before:
            return []
        events: Events = [] if change is None else [Turned(metric, change)]
        self._tell(metric, now, events)
        self._remind(metric, now, events)
        return events

    def reference(self, name: str, result: Result) -> Events:
        """One look at a target that tells whether our own line is there (R27)."""
        events: Events = []
        if self._line.suspicion is not None:
            policy = replace(self._usual, interval=max(self._usual.interval, 60.0))
            after = uplink.answered(self.uplink, name, result, policy, self._line.suspicion)
            self._take_line(after, result.at, events)
        return events

    def tick(self, now: float) -> Events:
        """Time passes: slow flapping ends, staleness is judged (R9), reminders and digests fall due."""
        events: Events = []
        asked = [host for host in self.hosts if host not in self._unasked]
        calmed = {host: health.calm(self.hosts[host], now) for host in asked}
        passed = silence.judge(self._watch, {host: (t, self._policy(host)) for host, t in calmed.items()}, now)
        self._watch = passed.watch
        before = dict(self.hosts)
        for host, (track, _) in passed.hosts.items():
            self._keep(host, track)
        for host, (track, change) in passed.hosts.items():
            if track is not before[host]:
                self._settle(host, before[host], self.hosts[host], change, now, events)
            else:
                self._tell(host, now, events)
        for check, track in self.checks.items():
            self._keep(check, health.calm(track, now))
            self._tell(check, now, events)
        self._suspect(now, events)
        if passed.notice is not None:
            events.append(Spoken(MONITOR, passed.notice))
        for subject in (*self.hosts, *self.checks, *self.metrics):
            self._remind(subject, now, events)
        events.extend(self._crowds.renewed(now))
        return events

    def mute(self, subject: str, on: bool, now: float) -> Events:
        """Maintenance begins or ends (R11); its end tells what is different from what was told (R12)."""
        events: Events = []
        if on:
            self.muted.add(subject)
            return events
        self.muted.discard(subject)
        for host in (subject, *(self._topology.behind(subject) if subject in self.hosts else ())):
            for one in (host, *self._of(host)):
                self._tell(one, now, events)
        return events

    def acknowledge(self, subject: str, on: bool = True) -> None:
        """Somebody has it in hand (R17), or no longer."""
        act: Any = routing.acknowledge if on else routing.unacknowledge
        track = self._track(subject)
        if track is not None:
            self._keep(subject, act(track))
        if on:
            self._crowds.drop(subject)

    def disable(self, host: str, now: float) -> Events:
        """A host is switched off: everything of it closes without a word (R24)."""
        events: Events = []
        before = self.meet(host, now)
        track, change = health.disable(before, now)
        if change is not None:
            self._settle(host, before, track, change, now, events)
            for subject in [subject for subject, home in self._home.items() if home == host]:
                events.extend(self.close(subject, now))
        return events

    def close(self, subject: str, now: float) -> Events:
        """A check or metric is not looked at any more: it closes without a word (R24)."""
        events: Events = []
        if subject in self.metrics:
            self._settle_metric(subject, *thresholds.close(self.metrics[subject], now), events)
        elif subject in self.checks:
            track, change = health.disable(self.checks[subject], now)
            self._keep(subject, track)
            if change is not None:
                events.append(Turned(subject, change))
        return events

    def enable(self, host: str, now: float) -> Events:
        """A host is switched on again: pending (R24)."""
        events: Events = []
        before = self.meet(host, now)
        track, change = health.enable(before, now)
        if change is not None:
            self._settle(host, before, track, change, now, events)
        return events

    # ---- what is remembered beside the subjects

    def to_json(self) -> dict[str, Any]:
        """Plain values for what is remembered beside the subjects' own tracks (R20)."""
        return {
            "watch": self._watch.to_json(),
            "uplink": self.uplink.to_json(),
            "crowds": self._crowds.to_json(),
            "muted": sorted(self.muted),
        }

    def take_over(self, raw: Mapping[str, Any], now: float) -> None:
        """What another engine stored, going on at `now`; moments in the future are moved back (R26).

        Raises ValueError with a sentence for what this version does not know.
        """
        self._watch = silence.Watch.from_json(raw.get("watch", {}))
        self._line.uplink = uplink.resume(Uplink.from_json(raw.get("uplink", {})), now)
        self._crowds = Crowds.from_json(raw.get("crowds", {}), now)
        self.muted = {str(subject) for subject in raw.get("muted", [])}

    # ---- one host after another

    def _settle(
        self, host: str, before: Track, track: Track, change: Change | None, now: float, events: Events
    ) -> None:
        """Keep a host's track, say its change and what is due; then those behind it, for whom the way is another."""
        self._settle_one(host, track, change, now, events)
        if reach.stand(before) != reach.stand(track) or change is not None:
            self._follow(deque(self._topology.children(host)), now, events)

    def _settle_one(self, host: str, track: Track, change: Change | None, now: float, events: Events) -> None:
        self._keep(host, track)
        if change is not None:
            events.append(Turned(host, change))
        self._blame(host, now, events)
        self._tell(host, now, events)
        if change is not None and change.to_state in GREY_METRICS and change.to_state != "disabled":
            for metric in self._of(host):
                self._settle_metric(metric, *thresholds.grey(self.metrics[metric], change.since, now), events)

    def _follow(self, waiting: deque[str], now: float, events: Events) -> None:
        """Look again at hosts whose way may be another: those that waited are decided, those cut off are let go."""
        while waiting:
            host = waiting.popleft()
            before = self.hosts.get(host)
            if before is None:
                continue
            track, change = health.reroute(before, self._policy(host), self._road(host), now)
            cause = self._cause(track, host)
            if track is before and cause == before.cause:
                continue
            self._settle_one(host, track, change, now, events)
            waiting.extend(self._topology.children(host))

    def _settle_metric(self, metric: str, track: MetricTrack, change: MetricChange | None, events: Events) -> None:
        """Keep a metric that went grey: of grey there is nothing to tell."""
        self._keep(metric, track)
        if change is not None:
            events.append(Turned(metric, change))

    # ---- the way to a host

    def _policy(self, host: str) -> Policy:
        return self._policies.get(host, self._usual)

    def _parents(self, host: str) -> tuple[str, ...]:
        return self._topology.parents(host)

    def _stands(self, host: str) -> Iterator[reach.Stand]:
        """What each parent of a host is to it; a host without any stands behind our own line."""
        parents = [self.hosts[parent] for parent in self._parents(host) if parent in self.hosts]
        stands = [reach.stand(track) for track in parents]
        return iter(stands if any(stand != "away" for stand in stands) else [self.uplink.stand])

    def _road(self, host: str) -> Road:
        return reach.road(self._stands(host))

    def _cause(self, track: Track, host: str) -> str:
        """What explains the state of a host that is down or unreachable at the end of a blocked way."""
        if track.state not in ("down", "unreachable") or self._road(host) != "blocked":
            return ""
        parents = [(name, self.hosts[name]) for name in self._parents(host) if name in self.hosts]
        roots = [(above.since, above.cause or name) for name, above in parents if reach.stand(above) == "gone"]
        return min(roots)[1] if roots else MONITOR

    def _blame(self, host: str, now: float, events: Events) -> None:
        track = self.hosts[host]
        cause = self._cause(track, host)
        if cause != track.cause:
            self._keep(host, replace(track, cause=cause))
            events.append(Blamed(host, cause, now))

    # ---- our own line

    def _is_root(self, host: str) -> bool:
        """Whether nothing that is watched lies between a host and us."""
        return all(self.hosts[parent].state == "disabled" for parent in self._parents(host) if parent in self.hosts)

    def _count(self, host: str) -> None:
        if self._line.suspicion is not None:
            self._line.count(host, self.hosts[host], self._is_root(host))

    def _suspect(self, now: float, events: Events) -> None:
        enough = self._line.suspect(lambda host: self.hosts[host].failures >= self._policy(host).attempts, now)
        self._take_line(enough, now, events)

    def _take_line(self, after: Uplink, now: float, events: Events) -> None:
        """Our line is another: tell it, and look again at everything that stands behind it alone."""
        before, self._line.uplink = self.uplink, after
        notice = uplink.notice(before, after, now)
        if notice is not None:
            events.append(Spoken(MONITOR, notice))
        if before.stand != after.stand:
            self._follow(deque(host for host in self.hosts if self._is_root(host)), now, events)

    # ---- what is told

    def _tell(self, subject: str, now: float, events: Events) -> None:
        track = self._track(subject)
        if track is None:
            return
        after, notices = routing.tell(track, now, self._quiet(subject))
        self._keep(subject, after)
        self._speak(subject, notices, events)

    def _remind(self, subject: str, now: float, events: Events) -> None:
        track = self._track(subject)
        every = self._policy(self._home.get(subject, subject)).remind
        if track is None or not every:
            return
        after, notices = routing.remind(track, now, every, self._quiet(subject))
        self._keep(subject, after)
        self._speak(subject, notices, events)

    def _speak(self, subject: str, notices: Iterable[Notice], events: Events) -> None:
        """Say it, or let it be part of the digest where there is too much to say to one recipient (R25)."""
        if self._alone:
            events.extend(filter(None, (self._crowds.speak(subject, notice) for notice in notices)))
        else:
            events.extend(Spoken(subject, notice) for notice in notices)

    def _quiet(self, subject: str) -> bool:
        """Whether nothing is told of a subject now: maintenance of it or of all ways to it, or its host is not up."""
        if subject in self.muted:
            return True
        home = self._home.get(subject)
        if home is None:
            return self._inherits(subject)
        if self._muted_host(home):
            return True
        lost = home in self.hosts and self.hosts[home].state in ("down", "unreachable", "unknown")
        return lost and subject in self.checks

    def _muted_host(self, host: str) -> bool:
        return host in self.muted or self._inherits(host)

    def _inherits(self, host: str) -> bool:
        """Every way to the host leads through one in maintenance."""
        parents = self._parents(host) if self.muted else ()
        return bool(parents) and all(self._muted_host(parent) for parent in parents)

    # ---- keeping

    def _track(self, subject: str) -> Any:
        return self.hosts.get(subject) or self.checks.get(subject) or self.metrics.get(subject)

    def _keep(self, subject: str, track: Track | MetricTrack) -> None:
        if isinstance(track, MetricTrack):
            if self.metrics.get(subject) is not track:
                self.metrics[subject] = track
                self.touched.add(subject)
        elif subject in self._home:
            if self.checks.get(subject) is not track:
                self.checks[subject] = track
                self.touched.add(subject)
        elif self.hosts.get(subject) is not track:
            self.hosts[subject] = track
            self.touched.add(subject)
            self._count(subject)

    def _belongs(self, metric: str, host: str) -> None:
        if metric not in self._home:
            self._home[metric] = host
            self._numbers.setdefault(host, {})[metric] = None

    def _of(self, host: str) -> list[str]:
        """The host's metrics that ever had a sample, in the order of their first."""
        return list(self._numbers.get(host, ()))
