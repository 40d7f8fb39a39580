"""How others recognise flapping, written from their documentation, to be set beside our own rules R13 and R14.

Nagios, "Detection and Handling of State Flapping": the last 21 results, 20 places for a change, the newest weighing
1.25 and the oldest 0.75; flapping starts above the high threshold and stops below the low one. The program's own
thresholds are 5 and 20 %; object definitions usually carry 25 and 50.

Icinga 2, "Flapping": the last 20 state changes in a ring of 20 results, weighing from 0.8 to 1.2; it starts above 30 %
and stops below 25 %.

All of them hold problem and recovery back while something flaps.
"""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass, field
from typing import Protocol

from domain.replay import replay

ROUND = 60
ATTEMPTS = 3


class Judge(Protocol):
    """Takes results one by one and says whether what is watched flaps."""

    def flaps(self, ok: bool) -> bool: ...


@dataclass
class Nagios:
    """Shares in percent."""

    low: float = 5.0
    high: float = 20.0
    _seen: deque[bool] = field(default_factory=lambda: deque(maxlen=21))
    _flapping: bool = False

    def flaps(self, ok: bool) -> bool:
        if not self._seen:
            self._seen.extend([ok] * 21)
        self._seen.append(ok)
        results = list(self._seen)
        share = 0.0
        for place in range(1, 21):
            if results[place] != results[place - 1]:
                share += 0.75 + (place - 1) * (1.25 - 0.75) / 19
        share *= 100 / 20
        self._flapping = share >= self.low if self._flapping else share > self.high
        return self._flapping


@dataclass
class Icinga:
    """Shares in percent."""

    low: float = 25.0
    high: float = 30.0
    _changes: deque[bool] = field(default_factory=lambda: deque([False] * 20, maxlen=20))
    _last: bool | None = None
    _flapping: bool = False

    def flaps(self, ok: bool) -> bool:
        self._changes.append(self._last is not None and ok != self._last)
        self._last = ok
        share = sum(0.8 + 0.4 * place / 19 for place, changed in enumerate(self._changes) if changed) * 100 / 20
        self._flapping = share > self.low if self._flapping else share > self.high
        return self._flapping


def told_by(judge: Judge, results: str, outage: int) -> int | None:
    """At which result (counted from `outage`, 0 the first) a peer tells of the outage; None = not flapping then.

    `results` are o and f; from number `outage` on all are f. A peer tells at the third failure in a row, or, if it
    is holding back then, when flapping stops.
    """
    row, held = 0, False
    for number, letter in enumerate(results):
        flapping = judge.flaps(letter == "o")
        row = row + 1 if letter == "f" else 0
        if number == outage - 1:
            held = flapping
        if number >= outage and row >= ATTEMPTS and not flapping:
            return number - outage if held else None
    return None if not held else len(results)


def told_by_us(results: str, outage: int) -> int | None:
    """The same of our own rules, through `pantau replay`."""
    lines = ['{"hosts": {"a": []}}']
    lines += [
        json.dumps([number * ROUND, "a", "result", "ok" if letter == "o" else "fail"])
        for number, letter in enumerate(results)
    ]
    flapping, down, held = False, False, False
    for said in map(json.loads, replay(lines)):
        number = said[0] // ROUND
        if number >= outage and not held:
            held = flapping
            if not held:
                return None
        if said[2] == "state":
            down = said[4] == "down"
        elif said[3] in ("flap_start", "flap_stop"):
            flapping = said[3] == "flap_start"
            if number >= outage and not flapping:
                return int(number) - outage if down else None
    return None if not flapping else len(results)


def recognised_at(judge: Judge, results: str) -> int | None:
    """The number of the result at which a peer first says that this flaps."""
    return next((number for number, letter in enumerate(results) if judge.flaps(letter == "o")), None)


def recognised_by_us(results: str) -> int | None:
    lines = ['{"hosts": {"a": []}}']
    lines += [
        json.dumps([number * ROUND, "a", "result", "ok" if letter == "o" else "fail"])
        for number, letter in enumerate(results)
    ]
    starts = (said[0] // ROUND for said in map(json.loads, replay(lines)) if said[3] == "flap_start")
    return next(starts, None)
