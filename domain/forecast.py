"""Says when something that fills up will be full: a robust line through its past, and how sure that is.

Pure. The line is Theil-Sen's (the median of the slopes between all pairs of points), its interval Sen's (P. K. Sen,
1968, from the variance of Kendall's S), doubled, since what a disk holds today depends on what it held yesterday.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

FILLING = (
    "system.filesystem.utilization",
    "system.pool.utilization",
    "proxmox.storage.utilization",
    "proxmox.node.filesystem.utilization",
    "proxmox.guest.filesystem.utilization",
    "sqlserver.transaction_log.utilization",
    "postgresql.wraparound.utilization",
)
"""The measures that fill up: shares of a whole that is full at 1."""
LEAST_DAYS = 5.0
"""Of one trend, without which nothing is said."""
LEAST_POINTS = 10
STEADY = 0.5
"""The least Kendall's tau of a trend: how many more pairs of points rise than fall, as a share."""
FARTHEST = timedelta(days=365)
AHEAD = 6.0
"""A trend is not drawn farther into the future than so many times its own length."""
WIDEST, WIDEST_SHARE = 3.0, 0.3
"""The interval may reach so many days to either side, or this share of the days left, whichever is more."""
STEP, STEP_TIMES = 0.02, 8.0
"""A change between neighbours of at least this much, and so many times the usual one, is a cleanup or a copy."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """Full at `full_at`, between `earliest` and `latest`; now `used`, growing by `per_day`; seen in `days` of trend."""

    full_at: datetime
    earliest: datetime
    latest: datetime
    used: float
    per_day: float
    days: int

    @property
    def give_or_take(self) -> timedelta:
        """Half of the interval."""
        return (self.latest - self.earliest) / 2


def forecast(points: Sequence[tuple[datetime, float]], now: datetime, full: float = 1.0) -> Forecast | None:
    """When it will be full, or None where the past deserves no such saying.

    `points` are in order, some hours apart (at most about 250 of them are worth their time).
    """
    trend = since_step(points)
    if len(trend) < LEAST_POINTS:
        return None
    begin = trend[0][0]
    xs = [(at - begin).total_seconds() / 86400 for at, _ in trend]
    ys = [value for _, value in trend]
    length = xs[-1]
    if length < LEAST_DAYS or (now - trend[-1][0]) > timedelta(days=2):
        return None
    slopes = sorted((ys[j] - ys[i]) / (xs[j] - xs[i]) for j in range(len(xs)) for i in range(j) if xs[j] > xs[i])
    rising = sum(s > 0 for s in slopes) - sum(s < 0 for s in slopes)
    slope = statistics.median(slopes)
    low, high = _interval(slopes, len(xs))
    if slope <= 0 or low <= 0 or rising < STEADY * len(slopes):
        return None
    at_zero = statistics.median(y - slope * x for x, y in zip(xs, ys, strict=True))
    used = at_zero + slope * (now - begin).total_seconds() / 86400
    room = full - used
    if room <= 0:
        return None
    left = room / slope
    if left > FARTHEST.days or left > AHEAD * length:
        return None
    earliest, latest = room / high, room / low
    if (latest - earliest) / 2 > max(WIDEST, WIDEST_SHARE * left):
        return None
    day = timedelta(days=1)
    return Forecast(now + left * day, now + earliest * day, now + latest * day, used, slope, round(length))


def since_step(points: Sequence[tuple[datetime, float]]) -> Sequence[tuple[datetime, float]]:
    """What came after the last cleanup or copy: what was before tells nothing of the trend."""
    jumps = [b[1] - a[1] for a, b in itertools.pairwise(points)]
    if not jumps:
        return points
    usual = statistics.median(abs(jump) for jump in jumps)
    least = max(STEP, STEP_TIMES * usual)
    last = max((n for n, jump in enumerate(jumps, 1) if abs(jump) >= least), default=0)
    return points[last:]


def _interval(slopes: Sequence[float], count: int) -> tuple[float, float]:
    """The slopes between which the true one lies (about 95 %, doubled)."""
    reach = 2 * 1.96 * math.sqrt(count * (count - 1) * (2 * count + 5) / 18)
    low = max(0, int((len(slopes) - reach) / 2))
    high = min(len(slopes) - 1, math.ceil((len(slopes) + reach) / 2))
    return slopes[low], slopes[high]
