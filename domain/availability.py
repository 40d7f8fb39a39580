"""How available a subject was over a period, and when it was not: from its state intervals alone (R11).

Pure. The formula: time up divided by time up and down. Maintenance is taken out first, whatever the state in it.
Time in which nobody could tell counts neither for nor against: unknown, waiting, switched off, without any record,
and unreachable, where the way to the machine was cut and only that is known.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise

Interval = tuple[datetime, datetime | None, str]
"""Since, until (None while it lasts), state."""

UP, DOWN, UNREACHABLE, MAINTENANCE, UNKNOWN = "up", "down", "unreachable", "maintenance", "unknown"
TOLD = (UP, DOWN, UNREACHABLE)
"""States with a sum of their own; every other one is time in which nobody could tell."""
WORST = (DOWN, UNREACHABLE, UP)
"""Of two records of the same moment the worse one holds."""


@dataclass(frozen=True, slots=True)
class Outage:
    """A stretch down or unreachable. `begin` and `end` lie within the period, and `seconds` leave maintenance out.

    `began_before` and `goes_on` say that it reaches beyond the period at that side.
    """

    begin: datetime
    end: datetime
    state: str
    seconds: float
    began_before: bool = False
    goes_on: bool = False


@dataclass(frozen=True, slots=True)
class Availability:
    """Seconds by what they were, which sum up to the period, and the outages, newest first.

    `share` is 0 to 1, or None where nothing counts.
    """

    up: float
    down: float
    unreachable: float
    unknown: float
    maintenance: float
    outages: tuple[Outage, ...]

    @property
    def share(self) -> float | None:
        """Time up divided by time up and down."""
        counted = self.up + self.down
        return self.up / counted if counted > 0 else None


def over(states: Iterable[Interval], maintenance: Iterable[Interval], begin: datetime, end: datetime) -> Availability:
    """What these intervals of one subject say of the period. Raises ValueError when it ends before it begins."""
    if end < begin:
        raise ValueError("a period ends after it begins.")
    rows = list(states)
    own = _joined([piece for piece in (_cut(row, begin, end) for row in rows) if piece is not None])
    quiet = [piece for piece in (_cut(row, begin, end) for row in maintenance) if piece is not None]
    spent = dict.fromkeys((*TOLD, UNKNOWN, MAINTENANCE), 0.0)
    pieces = _pieces(own, quiet, begin, end)
    for since, until, state in pieces:
        spent[state] += (until - since).total_seconds()
    before = {state for since, _, state in rows if since < begin}
    after = {state for _, until, state in rows if until is None or until > end}
    outages = [
        replace(
            one,
            began_before=one.begin == begin and one.state in before,
            goes_on=one.end == end and one.state in after,
        )
        for one in _outages(pieces, own)
    ]
    return Availability(
        spent[UP], spent[DOWN], spent[UNREACHABLE], spent[UNKNOWN], spent[MAINTENANCE], tuple(outages[::-1])
    )


def _cut(row: Interval, begin: datetime, end: datetime) -> tuple[datetime, datetime, str] | None:
    """The part of an interval that lies within the period."""
    since, until = max(row[0], begin), min(row[1] or end, end)
    return (since, until, row[2]) if since < until else None


def _joined(own: Sequence[tuple[datetime, datetime, str]]) -> list[tuple[datetime, datetime, str]]:
    """Records of one state that touch are one."""
    found: list[tuple[datetime, datetime, str]] = []
    for since, until, state in sorted(own, key=lambda row: (row[2], row[0])):
        if found and found[-1][2] == state and since <= found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], until), state
        else:
            found.append((since, until, state))
    return found


def _pieces(
    own: Sequence[tuple[datetime, datetime, str]],
    quiet: Sequence[tuple[datetime, datetime, str]],
    begin: datetime,
    end: datetime,
) -> list[tuple[datetime, datetime, str]]:
    """The period cut at every border, each piece with the one thing it counts as: one sweep, n log n."""
    borders: dict[datetime, list[tuple[str, int]]] = {begin: [], end: []}
    for since, until, state in (*own, *((since, until, MAINTENANCE) for since, until, _ in quiet)):
        borders.setdefault(since, []).append((state, 1))
        borders.setdefault(until, []).append((state, -1))
    running: dict[str, int] = {}
    pieces = []
    for since, until in pairwise(sorted(borders)):
        for state, step in borders[since]:
            running[state] = running.get(state, 0) + step
        held = (MAINTENANCE, *WORST)
        pieces.append((since, until, next((state for state in held if running.get(state)), UNKNOWN)))
    return pieces


def _outages(
    pieces: Sequence[tuple[datetime, datetime, str]], own: Sequence[tuple[datetime, datetime, str]]
) -> list[Outage]:
    """Pieces of trouble that touch, or that only maintenance lies between, are one outage as long as the state holds."""
    found: list[Outage] = []
    for since, until, state in pieces:
        if state not in (DOWN, UNREACHABLE):
            continue
        seconds = (until - since).total_seconds()
        earlier = found[-1] if found else None
        if earlier is not None and earlier.state == state and _held(own, state, earlier.end, since):
            found[-1] = Outage(earlier.begin, until, state, earlier.seconds + seconds)
        else:
            found.append(Outage(since, until, state, seconds))
    return found


def _held(own: Sequence[tuple[datetime, datetime, str]], state: str, since: datetime, until: datetime) -> bool:
    """Whether the state itself went on between the two moments."""
    return any(row[2] == state and row[0] <= since and row[1] >= until for row in own)
