"""Proposes limits from two recordings of a machine: idle, and under a load somebody made. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from domain.baseline import Floor

LEAST = 5
"""Samples each recording must have."""
ABOVE = 1.25
"""How far above the load just seen the warning of something without a top lies."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """Limits for one metric: `idle` and `load` are what was usual at the most (95th percentile) in each recording."""

    idle: float
    load: float
    warning: float
    critical: float


def propose(idle: Sequence[float], load: Sequence[float], floor: Floor) -> Proposal | None:
    """Limits above the load seen, or None where the load did not show in this metric.

    Of what has a top, the warning takes a quarter of the room that the load left, the critical limit two thirds of it:
    what the machine was seen to bear is no warning, and what is left of it is told before it is gone.
    """
    if len(idle) < LEAST or len(load) < LEAST:
        return None
    still, busy = _high(idle), _high(load)
    if busy - still < floor.least / 2 or busy <= still:
        return None
    if floor.top is None:
        return Proposal(still, busy, busy * ABOVE, busy * ABOVE * 2)
    room = max(0.0, floor.top - busy)
    warning = min(busy + room / 4, floor.top * 0.97)
    critical = min(busy + room * 2 / 3, floor.top * 0.99)
    return Proposal(still, busy, warning, max(warning, critical))


def _high(values: Sequence[float]) -> float:
    """The 95th percentile, as the hours of a normal are told."""
    return statistics.quantiles(values, n=20, method="inclusive")[-1]
