"""Feeds recorded results through the rules on a virtual clock and says what they would have said.

The engine of `pantau replay FILE`; the form of FILE and of the answer is that of the state rules. What is judged, and
in which order, is `domain.judgement`, as it is for the poller; this module reads the tape and words the events.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from domain import health, thresholds
from domain.health import Result, Track
from domain.judgement import Blamed, Events, Judgement, Turned
from domain.tape import Header, Input, ReplayError, read
from domain.thresholds import MetricTrack

__all__ = ["Engine", "ReplayError", "replay"]

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
    """A judgement on a virtual clock: `now` follows the inputs and never goes back."""

    def __init__(self, header: Header) -> None:
        self._header = header
        self._policy = header.policy
        self._judgement = Judgement(header.suspicion)
        self.now: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Everything remembered, as plain values (R20); the header is configuration and not among it."""
        return {
            "hosts": {name: track.to_json() for name, track in self._judgement.hosts.items()},
            "metrics": {name: track.to_json() for name, track in self._judgement.metrics.items()},
            "standing": self._judgement.to_json(),
            "now": self.now,
        }

    @classmethod
    def from_json(cls, header: Header, raw: dict[str, Any], now: float) -> Engine:
        """An engine that goes on at `now` from what another one stored."""
        engine = cls(header)
        engine.now = raw["now"]
        kept = engine._judgement
        kept.hosts = {name: health.resume(Track.from_json(track), now) for name, track in raw["hosts"].items()}
        for name, track in raw["metrics"].items():
            kept.remember(name, header.metrics[name].host, thresholds.resume(MetricTrack.from_json(track), now))
        kept.take_over(raw["standing"], now)
        if engine.now is not None:
            kept.arrange(dict.fromkeys(header.hosts, header.policy), header.topology, now, header.policy)
        return engine

    def take(self, item: Input) -> Said:
        """What one input (any but `kill`) leads to, in the order it is said."""
        first, self.now = self.now is None, _later(self.now, item.t)
        judgement, header = self._judgement, self._header
        if first:
            judgement.arrange(dict.fromkeys(header.hosts, header.policy), header.topology, self.now, header.policy)
        events: Events = getattr(self, f"_{item.what}")(item, self.now)
        return [_row(event, self.now) for event in events if not isinstance(event, Blamed)]

    def _result(self, item: Input, now: float) -> Events:
        result = Result(now, item.value, item.t if item.start is None else item.start, item.rid)
        if item.subject in self._header.references:
            return self._judgement.reference(item.subject, result)
        return self._judgement.result(item.subject, result)

    def _metric(self, item: Input, now: float) -> Events:
        metric = self._header.metrics[item.subject]
        return self._judgement.sample(
            item.subject, metric.host, item.t, item.value, metric.at(item.t), self._policy.interval, now
        )

    def _tick(self, item: Input, now: float) -> Events:
        return self._judgement.tick(now)

    def _maintenance(self, item: Input, now: float) -> Events:
        return self._judgement.mute(item.subject, item.value == "start", now)

    def _ack(self, item: Input, now: float) -> Events:
        self._judgement.acknowledge(item.subject)
        return []

    def _disable(self, item: Input, now: float) -> Events:
        return self._judgement.disable(item.subject, now)

    def _enable(self, item: Input, now: float) -> Events:
        return self._judgement.enable(item.subject, now)


def _row(event: Any, now: float) -> list[Any]:
    """One event as the state rules write it."""
    if isinstance(event, Turned):
        return [now, event.subject, "state", event.change.from_state, event.change.to_state, event.change.since]
    return [now, event.subject, "notify", event.notice.kind]


def _later(now: float | None, t: float) -> float:
    return t if now is None else max(now, t)


def _plain(value: Any) -> Any:
    """Whole seconds without a fraction: 181, not 181.0."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
