"""Feeds recorded results through the real rules on a virtual clock and says what they would have said.

The engine of `pantau replay FILE`; the form of FILE and of the answer is that of the state rules. Every rule
is called as the recorder calls it; this module only keeps the tracks by name and the order of things.

Not yet judged here: parents (R10: they are read and kept, and a child goes down on its own), flapping (R13,
R14), baseline bands (R19), digests (R25) and our own uplink (R27). Each takes its place between `fold` and
`tell`: R10 and R27 turn a change to down into another one, R13 and R14 add to what makes a host quiet.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from domain import health, routing, silence, thresholds
from domain.health import Result, Track
from domain.tape import Header, Input, ReplayError, read
from domain.thresholds import MetricTrack

__all__ = ["Engine", "ReplayError", "replay"]

GREY_METRICS = ("down", "unreachable", "disabled")
"""Host states in which nothing is known about the host's metrics (R22, R24)."""

Said = list[list[Any]]


def replay(lines: Iterable[str]) -> Iterator[str]:
    """What the rules say to the inputs in `lines`: one JSON array a line, without line ends, as they come.

    `[t, subject, "state", from, to, since]` or `[t, subject, "notify", kind]`; t never decreases. Raises
    ReplayError at the first line that is not understood.
    """
    header, inputs = read(lines)
    engine = Engine(header)
    for item in inputs:
        if item.what == "kill":
            engine = Engine.from_json(header, json.loads(json.dumps(engine.to_json())), _later(engine.now, item.t))
            continue
        for row in engine.take(item):
            yield json.dumps([_plain(value) for value in row])


class Engine:
    """All tracks of one replay. `now` is the virtual clock: it follows the inputs and never goes back."""

    def __init__(self, header: Header) -> None:
        self._header = header
        self._policy = header.policy
        self._hosts: dict[str, Track] = {}
        self._metrics: dict[str, MetricTrack] = {}
        self._muted: set[str] = set()
        self._watch = silence.Watch()
        self.now: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Everything remembered, as plain values (R20); the header is configuration and not among it."""
        return {
            "hosts": {name: track.to_json() for name, track in self._hosts.items()},
            "metrics": {name: track.to_json() for name, track in self._metrics.items()},
            "muted": sorted(self._muted),
            "watch": self._watch.to_json(),
            "now": self.now,
        }

    @classmethod
    def from_json(cls, header: Header, raw: dict[str, Any], now: float) -> Engine:
        """An engine that goes on at `now` from what another one stored."""
        engine = cls(header)
        engine.now = raw["now"]
        engine._hosts = {name: health.resume(Track.from_json(track), now) for name, track in raw["hosts"].items()}
        engine._metrics = {
            name: thresholds.resume(MetricTrack.from_json(track), now) for name, track in raw["metrics"].items()
        }
        engine._muted = set(raw["muted"])
        engine._watch = silence.Watch.from_json(raw["watch"])
        return engine

    def take(self, item: Input) -> Said:
        """What one input (any but `kill`) leads to, in the order it is said."""
        first, self.now = self.now is None, _later(self.now, item.t)
        if first:
            self._hosts = {name: Track(since=self.now) for name in self._header.hosts}
        if item.subject not in self._header.metrics and item.subject != "poller":
            self._hosts.setdefault(item.subject, Track(since=self.now))
        said: Said = []
        getattr(self, f"_{item.what}")(item, self.now, said)
        return said

    def _result(self, item: Input, now: float, said: Said) -> None:
        before = self._hosts[item.subject]
        track, change = health.fold(before, Result(now, item.value, _start(item), item.rid), self._policy)
        if track is before:
            return
        self._settle(item.subject, track, change, now, said)
        self._remind(item.subject, now, said)

    def _metric(self, item: Input, now: float, said: Said) -> None:
        """One sample; while its host is red or closed, it is history only (R22)."""
        metric = self._header.metrics[item.subject]
        host = self._hosts.get(metric.host)
        if host is not None and host.state in GREY_METRICS:
            return
        before = self._metrics.get(item.subject) or MetricTrack(since=item.t)
        track, change = thresholds.fold_metric(before, item.t, item.value, metric.levels, self._policy.interval)
        self._metrics[item.subject] = track
        if track is not before:
            self._settle_metric(item.subject, track, change, now, said)
            self._remind(item.subject, now, said)

    def _tick(self, item: Input, now: float, said: Said) -> None:
        passed = silence.judge(self._watch, {name: (track, self._policy) for name, track in self._hosts.items()}, now)
        self._watch = passed.watch
        for name, (track, change) in passed.hosts.items():
            self._settle(name, track, change, now, said)
        if passed.notice is not None:
            said.append([now, "poller", "notify", passed.notice.kind])
        for name in (*self._hosts, *self._metrics):
            self._remind(name, now, said)

    def _maintenance(self, item: Input, now: float, said: Said) -> None:
        """A host's maintenance covers its metrics. Its end tells what is different from what was told (R12)."""
        if item.value == "start":
            self._muted.add(item.subject)
            return
        self._muted.discard(item.subject)
        for name in (item.subject, *self._metrics_of(item.subject)):
            self._tell(name, now, said)

    def _ack(self, item: Input, now: float, said: Said) -> None:
        if item.subject in self._hosts:
            self._hosts[item.subject] = routing.acknowledge(self._hosts[item.subject])
        elif item.subject in self._metrics:
            self._metrics[item.subject] = routing.acknowledge(self._metrics[item.subject])

    def _disable(self, item: Input, now: float, said: Said) -> None:
        self._settle(item.subject, *health.disable(self._hosts[item.subject], now), now, said)
        for name in self._metrics_of(item.subject):
            self._settle_metric(name, *thresholds.close(self._metrics[name], now), now, said)

    def _enable(self, item: Input, now: float, said: Said) -> None:
        self._settle(item.subject, *health.enable(self._hosts[item.subject], now), now, said)

    def _settle(self, name: str, track: Track, change: health.Change | None, now: float, said: Said) -> None:
        """Keep a host's track, say its change and what is due, and grey its metrics when it went down."""
        self._hosts[name] = track
        if change is not None:
            said.append([now, name, "state", change.from_state, change.to_state, change.since])
        self._tell(name, now, said)
        if change is not None and change.to_state in GREY_METRICS and change.to_state != "disabled":
            for metric in self._metrics_of(name):
                self._settle_metric(metric, *thresholds.grey(self._metrics[metric], change.since, now), now, said)

    def _settle_metric(
        self, name: str, track: MetricTrack, change: thresholds.MetricChange | None, now: float, said: Said
    ) -> None:
        self._metrics[name] = track
        if change is not None:
            said.append([now, name, "state", change.from_state, change.to_state, change.since])
        self._tell(name, now, said)

    def _tell(self, name: str, now: float, said: Said) -> None:
        notices: tuple[routing.Notice, ...] = ()
        if name in self._hosts:
            self._hosts[name], notices = routing.tell(self._hosts[name], now, self._quiet(name))
        elif name in self._metrics:
            self._metrics[name], notices = routing.tell(self._metrics[name], now, self._quiet(name))
        said.extend([now, name, "notify", notice.kind] for notice in notices)

    def _remind(self, name: str, now: float, said: Said) -> None:
        notices: tuple[routing.Notice, ...] = ()
        every, quiet = self._policy.remind, self._quiet(name)
        if name in self._hosts:
            self._hosts[name], notices = routing.remind(self._hosts[name], now, every, quiet)
        elif name in self._metrics:
            self._metrics[name], notices = routing.remind(self._metrics[name], now, every, quiet)
        said.extend([now, name, "notify", notice.kind] for notice in notices)

    def _quiet(self, name: str) -> bool:
        metric = self._header.metrics.get(name)
        return name in self._muted or (metric is not None and metric.host in self._muted)

    def _metrics_of(self, host: str) -> list[str]:
        """The host's metrics that ever had a sample."""
        return [name for name in self._metrics if self._header.metrics[name].host == host]


def _start(item: Input) -> float:
    return item.t if item.start is None else item.start


def _later(now: float | None, t: float) -> float:
    return t if now is None else max(now, t)


def _plain(value: Any) -> Any:
    """Whole seconds without a fraction: 181, not 181.0."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
