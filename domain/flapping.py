"""Says when a subject comes and goes too often to tell each turn: rules R13 and R14 of the state rules.

Pure. Fast flapping looks at raw results, slow flapping at hard changes of state; either makes a subject flap.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from domain.stored import Shelf, dump

WINDOW = 21
"""So many ok/fail results are remembered: 20 places where one may differ from the one before it."""
WEIGHTS = tuple(range(57, 57 + 2 * (WINDOW - 1), 2))
"""The weight of each place, oldest first, in 76ths: evenly from 0.75 (57/76) to 1.25 (95/76), 20 in all."""
STARTS, STOPS = 30 * sum(WEIGHTS) // 100, 20 * sum(WEIGHTS) // 100
"""Weighed changes from which on (30 %) and down to which (20 %) a subject flaps fast."""
EQUAL = 10
"""So many equal results in a row end fast flapping, whatever came before."""
DOWNS, WITHIN = 4, 3600.0
"""So many times down within so many seconds is slow flapping ..."""
QUIET = 1800.0
"""... until so many seconds pass without a hard change."""


@dataclass(frozen=True, slots=True)
class Flaps:
    """What is remembered of a subject's comings and goings.

    `window` are its last results, oldest first: o for ok, f for fail (one letter stands for any number of equal
    ones). `downs` are the moments of its last hard downs, `turn` is that of its last hard change.
    """

    window: str = ""
    fast: bool = False
    slow: bool = False
    downs: tuple[float, ...] = ()
    turn: float | None = None

    @property
    def flapping(self) -> bool:
        """Fast or slow."""
        return self.fast or self.slow

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSONB; what equals its default is left out."""
        return dump(self)

    @classmethod
    def from_json(cls, raw: object) -> Flaps:
        """The memory as stored. Raises ValueError with a sentence for what this version does not know."""
        shelf = Shelf(cls, raw)
        return cls(
            window=shelf.text("window"),
            fast=shelf.flag("fast"),
            slow=shelf.flag("slow"),
            downs=shelf.moments("downs"),
            turn=shelf.moment("turn"),
        )

    def moved(self, by: float) -> Flaps:
        """The same with its moments `by` seconds later (the clock was set, R26)."""
        turn = None if self.turn is None else self.turn + by
        return replace(self, downs=tuple(at + by for at in self.downs), turn=turn)


CALM = Flaps()
"""Nothing has come or gone yet."""


def seen(flaps: Flaps, ok: bool) -> Flaps:
    """After one raw result (R13)."""
    window = (flaps.window + ("o" if ok else "f"))[-WINDOW:]
    changed = weighed(window)
    if not changed:
        window = window[-1]
    if not flaps.fast:
        return replace(flaps, window=window, fast=changed >= STARTS)
    if len(set(window[-EQUAL:])) == 1 and len(window) >= EQUAL:
        return replace(flaps, window="", fast=False)
    return replace(flaps, window=window, fast=changed > STOPS)


def excused(flaps: Flaps) -> Flaps:
    """The last failures turn out to be another's: they are no comings and goings of this subject (R10)."""
    return flaps if not flaps.window.endswith("f") else replace(flaps, window=flaps.window.rstrip("f"))


def turned(flaps: Flaps, at: float, down: bool) -> Flaps:
    """After one hard change (R14), to `down` or to any other state."""
    if not down:
        return replace(flaps, turn=at)
    downs = (*flaps.downs, at)[-DOWNS:]
    return replace(flaps, downs=downs, turn=at, slow=flaps.slow or (len(downs) == DOWNS and at - downs[0] <= WITHIN))


def passed(flaps: Flaps, now: float) -> Flaps:
    """As time passes: the same object where nothing ends."""
    if not flaps.slow or flaps.turn is None or now - flaps.turn < QUIET:
        return flaps
    return replace(flaps, slow=False)


def weighed(window: str) -> int:
    """The weighed number of changes within the window, in 76ths; places before its first result hold none."""
    places = WEIGHTS[WINDOW - len(window) :]
    return sum(weight for weight, (before, after) in zip(places, pairwise(window), strict=True) if before != after)
