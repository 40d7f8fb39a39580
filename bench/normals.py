"""Four weeks of invented machines through the rules that judge live: how often they cry, how soon they notice.

Each machine has its seasons (workdays, evenings, nightly and weekly jobs), days that differ, noise that lasts, outages
and short bursts. Into the weeks after the first one drops, jumps and leaks are planted. The bands are learnt every
midnight, beginning after one day, by the functions that learn them live. docs/normals.md holds the figures.
"""

from __future__ import annotations

import argparse
import math
import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from zoneinfo import ZoneInfo

from domain import baseline
from domain.baseline import FAR, NORMALS, Band, Hour
from domain.thresholds import MetricTrack, fold_metric

ZONE = ZoneInfo("Asia/Jakarta")
START = datetime(2026, 8, 31, tzinfo=ZONE).astimezone(UTC)
"""A Monday at midnight."""
STEP = 60
DAY = 86400 // STEP
WEEKS = 4
LEARNT_FIRST = 14
"""Days of calibration."""


@dataclass(frozen=True)
class Kind:
    """A metric of a sort of machine: its season (hours of the week to a value), and how noisy it is.

    `noise` is the deviation of the lasting noise (minutes), `white` of a single sample, `days` of how days differ;
    all are shares of the season's value, with `least` added to the first two.
    """

    name: str
    measure: str
    season: Callable[[float], float]
    noise: float
    white: float
    days: float
    least: float
    top: float | None = None


def bump(at: float, begin: float, end: float, soft: float) -> float:
    """0 to 1 and back: up around `begin`, down around `end`, each within about `soft` hours."""
    return 1 / (1 + math.exp(-4 * (at - begin) / soft)) - 1 / (1 + math.exp(-4 * (at - end) / soft))


def office(low: float, high: float) -> Callable[[float], float]:
    """Busy on workdays from eight to five with a dip at noon; Saturday morning a little."""

    def value(place: float) -> float:
        day, hour = divmod(place % 168, 24)
        if day < 5:
            return low + (high - low) * (bump(hour, 8, 17, 1) - 0.25 * bump(hour, 12, 13, 0.4))
        return low + (high - low) * (0.3 * bump(hour, 8, 12, 1) if day == 5 else 0.0)

    return value


def shop(low: float, high: float) -> Callable[[float], float]:
    """Busiest in the evening, more at the weekend, never quite still."""

    def value(place: float) -> float:
        day, hour = divmod(place % 168, 24)
        wave = 0.5 - 0.5 * math.cos((hour - 5) / 24 * 2 * math.pi)
        return low + (high - low) * (0.55 * wave + 0.45 * bump(hour, 18, 23, 2)) * (1.2 if day >= 5 else 1.0)

    return value


def night(low: float, high: float) -> Callable[[float], float]:
    """Still, but for a job from one o'clock that takes forty minutes, and the long one on Sundays."""

    def value(place: float) -> float:
        day, hour = divmod(place % 168, 24)
        if day == 6 and 2 <= hour < 5:
            return high
        return high if 1 <= hour < 1.67 else low

    return value


def flat(amount: float) -> Callable[[float], float]:
    """The same at all hours."""
    return lambda place: amount


KINDS = (
    Kind("office cpu", "system.cpu.utilization", office(0.06, 0.42), 0.14, 0.12, 0.10, 0.008, 1.0),
    Kind("office memory", "system.memory.utilization", office(0.38, 0.62), 0.02, 0.004, 0.03, 0.002, 1.0),
    Kind("shop cpu", "system.cpu.utilization", shop(0.12, 0.60), 0.12, 0.10, 0.08, 0.008, 1.0),
    Kind("shop traffic", "system.network.io.transmit", shop(2e5, 6e6), 0.18, 0.15, 0.12, 2e4),
    Kind("shop queries", "postgresql.transactions", shop(40, 900), 0.15, 0.10, 0.10, 3),
    Kind("night cpu", "system.cpu.utilization", night(0.05, 0.75), 0.10, 0.10, 0.05, 0.008, 1.0),
    Kind("line latency", "icmp.rtt.median", office(0.011, 0.019), 0.10, 0.08, 0.05, 0.0004),
    Kind("still cpu", "system.cpu.utilization", flat(0.24), 0.12, 0.10, 0.08, 0.008, 1.0),
    Kind("still memory", "system.memory.utilization", flat(0.55), 0.015, 0.004, 0.01, 0.002, 1.0),
)


@dataclass
class Anomaly:
    """Something planted: from sample `begin` to `end` the value is turned; `left` is when it left its normal."""

    what: str
    begin: int
    end: int
    turned: Callable[[float, int], float]
    left: int | None = None
    found: int | None = None
    kind: str = ""


@dataclass
class Life:
    """One metric of one machine over the weeks: its samples (None while it was down) and what befell it."""

    kind: Kind
    samples: list[float | None]
    normal: list[float]
    deviation: list[float]
    outages: list[tuple[int, int]]
    anomalies: list[Anomaly]


def live(kind: Kind, dice: random.Random, weeks: int = WEEKS) -> Life:
    """Invent one."""
    count = weeks * 7 * DAY
    outages = _outages(dice, count)
    normal, samples, deviation = [], [], []
    lasting, day_level, jitter, burst = 0.0, 1.0, 0.0, 0
    keep = math.exp(-1 / 8)
    for index in range(count):
        if index % DAY == 0:
            day_level, jitter = math.exp(dice.gauss(0, kind.days)), dice.gauss(0, 0.1)
        place = (index / DAY * 24 + jitter) % 168
        usual = kind.season(place)
        lasting = lasting * keep + dice.gauss(0, math.sqrt(1 - keep**2))
        spread = usual * kind.noise + kind.least
        value = usual * day_level + lasting * spread + dice.gauss(0, usual * kind.white + kind.least)
        burst = burst - 1 if burst else (dice.randrange(1, 4) if dice.random() < 0.0007 else 0)
        if burst:
            value *= 1.8
        normal.append(usual)
        deviation.append(math.hypot(spread, usual * kind.days, usual * kind.white))
        samples.append(_bounded(value, kind.top))
    anomalies = _plant(kind, dice, normal, outages, count)
    for one in anomalies:
        _turn(one, kind, samples, normal, deviation)
    kept: list[float | None] = list(samples)
    for begin, end in outages:
        kept[begin:end] = [None] * (end - begin)
    return Life(kind, kept, normal, deviation, outages, anomalies)


def _outages(dice: random.Random, count: int) -> list[tuple[int, int]]:
    """A few: some minutes, some hours, one of a day and a half."""
    found = [(at, at + dice.randrange(5, 240)) for at in (dice.randrange(count) for _ in range(5))]
    long = dice.randrange(3 * DAY, 9 * DAY)
    return sorted([*found, (long, long + 3 * DAY // 2)])


def _plant(
    kind: Kind, dice: random.Random, normal: Sequence[float], outages: Sequence[tuple[int, int]], count: int
) -> list[Anomaly]:
    """Two a week from the eighth day on, apart from each other and from outages."""
    taken = [(begin - 180, end + 180) for begin, end in outages]
    anomalies: list[Anomaly] = []
    for week in range(1, count // (7 * DAY)):
        for what in _fitting(kind, dice):
            for _ in range(200):
                begin = dice.randrange((week * 7 + 1) * DAY, (week * 7 + 7) * DAY)
                end = min(count, begin + LENGTH[what])
                if (
                    any(begin - 180 < b and end + 180 > a for a, b in taken)
                    or _taught(begin, anomalies)
                    or (week >= 2 and _unseen(begin, outages))
                    or not _worth(what, normal[begin:end], normal)
                ):
                    continue
                taken.append((begin, end))
                anomalies.append(Anomaly(what, begin, end, TURNS[what](kind), kind=kind.name))
                break
    return sorted(anomalies, key=lambda one: one.begin)


def _taught(begin: int, anomalies: Sequence[Anomaly]) -> bool:
    """Whether an earlier one befell the like hours: what comes back at the same hour is part of the normal by then."""
    return any(
        min((begin - one.begin) % DAY, (one.begin - begin) % DAY) < 300
        and (begin // DAY % 7 >= 5) == (one.begin // DAY % 7 >= 5)
        for one in anomalies
    )


def _unseen(begin: int, outages: Sequence[tuple[int, int]]) -> bool:
    """Whether fewer than three like days were seen at that hour, outages left out: not much of a normal yet."""
    weekend = begin // DAY % 7 >= 5
    days = [at for at in range(begin % DAY, begin - DAY // 2, DAY) if (at // DAY % 7 >= 5) == weekend]
    return sum(all(at + 120 <= a or at - 120 >= b for a, b in outages) for at in days) < 3


LENGTH = {"drop": 120, "jump": 120, "leak": 180, "slow": 120}
TURNS: dict[str, Callable[[Kind], Callable[[float, int], float]]] = {
    "drop": lambda kind: lambda value, minute: value * 0.08,
    "jump": lambda kind: lambda value, minute: value + 0.45 if kind.top else value * 6,
    "slow": lambda kind: lambda value, minute: value * 4,
    "leak": lambda kind: lambda value, minute: value + (0.004 * minute if kind.top else value * 0.01 * minute),
}


def _fitting(kind: Kind, dice: random.Random) -> tuple[str, ...]:
    """What may befall it: memory leaks, latency rises, load goes or comes."""
    if kind.measure == "system.memory.utilization":
        return ("leak", dice.choice(("drop", "leak")))
    if kind.measure == "icmp.rtt.median":
        return ("slow", "slow")
    if kind.name == "night cpu":
        return ("jump", "jump")
    return ("drop", "jump")


def _worth(what: str, stretch: Sequence[float], normal: Sequence[float]) -> bool:
    """A load can only be missed where there is one, and one more be noticed where there is room."""
    if what == "drop":
        return min(stretch) > 0.4 * max(normal)
    return what in ("leak", "slow") or max(stretch) < 0.5 or max(normal) > 1


def _turn(one: Anomaly, kind: Kind, samples: list[float], normal: Sequence[float], deviation: Sequence[float]) -> None:
    floor = NORMALS[kind.measure]
    for index in range(one.begin, one.end):
        minute = index - one.begin
        samples[index] = _bounded(one.turned(samples[index], minute), kind.top)
        if one.left is None:
            clean = one.turned(normal[index], minute)
            about = range(max(0, index - 60), min(len(normal), index + 61), 10)
            high = max(normal[i] + 1.645 * deviation[i] for i in about)
            low = min(normal[i] - 1.645 * deviation[i] for i in about)
            far = FAR["usual"] * deviation[index]
            fallen = low * -math.expm1(-far / low) if low > 0 else 0.0
            if clean > high + max(far, floor.above(high)) or clean < low - max(fallen, floor.below(low)):
                one.left = index


def _bounded(value: float, top: float | None) -> float:
    return max(0.0, value if top is None else min(top, value))


@dataclass
class Score:
    """What was judged: hours, those of them with a false yellow, and what was planted: found how late (minutes), or not."""

    hours: int = 0
    banded: int = 0
    yellow: int = 0
    delays: list[float] = field(default_factory=list)
    slow: list[str] = field(default_factory=list)
    missed: int = 0
    small: int = 0

    def add(self, other: Score) -> None:
        """Sum up."""
        self.hours += other.hours
        self.banded += other.banded
        self.yellow += other.yellow
        self.delays += other.delays
        self.slow += other.slow
        self.missed += other.missed
        self.small += other.small

    @property
    def false(self) -> float:
        """Share of the hours with a false yellow."""
        return self.yellow / self.hours if self.hours else 0.0

    def told(self) -> str:
        """In one line."""
        late, count = sorted(self.delays), len(self.delays)
        soon = sum(minutes <= 10 for minutes in late)
        found = f"{soon} within 10 min, median {statistics.median(late):.0f}, at most {late[-1]:.0f}" if late else ""
        return (
            f"{self.hours:6} hours, {self.banded / max(1, self.hours):6.1%} with a band, false yellow {self.yellow:3}"
            f" ({self.false:.2%}); found {count} of {count + self.missed}: {found}"
        )


def hour_of(samples: Sequence[float | None], index: int) -> Hour | None:
    """The hour of `index` as the roll-up keeps it; None where too little was seen."""
    known = sorted(value for value in samples[index : index + 60] if value is not None)
    if len(known) < 12:
        return None
    return Hour(START + timedelta(minutes=index), _percentile(known, 0.05), _percentile(known, 0.95))


def _percentile(ordered: Sequence[float], share: float) -> float:
    """Between two samples where it lies between them, as PostgreSQL's percentile_cont."""
    at = share * (len(ordered) - 1)
    below = int(at)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (at - below)


def judge(life: Life, tell: Callable[[int, float, object, str], None] | None = None) -> tuple[Score, Score]:
    """One life, minute by minute, through `learn`, `levels` and `fold_metric`: while calibrating, and afterwards."""
    floor = NORMALS[life.kind.measure]
    left_out = [(START + timedelta(minutes=a), START + timedelta(minutes=b)) for a, b in life.outages]
    hours: list[Hour] = []
    band, track = Band("scant", 0), MetricTrack()
    pair, yellow = (Score(), Score()), set[int]()
    for index, value in enumerate(life.samples):
        if index and index % 60 == 0 and (hour := hour_of(life.samples, index - 60)):
            hours += baseline.usable([hour], left_out)
        if index and index % DAY == 0:
            band = baseline.learn(hours, floor, ZONE, START + timedelta(minutes=index), calibration=LEARNT_FIRST)
        usual = band.at(index / 60 % 168)
        if index >= DAY and index % 60 == 0:
            pair[_phase(index)].hours += 1
            pair[_phase(index)].banded += usual is not None
        if value is None or band.status not in ("ready", "calibrating"):
            continue
        track, change = fold_metric(track, float(index * STEP), value, baseline.levels(usual), STEP)
        if change is not None and tell is not None:
            tell(index, value, usual, f"{change.by} {change.to_state}")
        if track.state == "warning":
            own = next((one for one in life.anomalies if one.begin <= index < one.end + AFTER), None)
            if own is None:
                yellow.add(index // 60)
            elif own.found is None:
                own.found = index
    for hour_index in yellow:
        pair[_phase(hour_index * 60)].yellow += 1
    for one in life.anomalies:
        _score(pair[_phase(one.begin)], one)
    return pair


AFTER = 30
"""Minutes after something planted in which yellow is not false: it takes ten to be well again."""


def _phase(index: int) -> int:
    return int(index >= LEARNT_FIRST * DAY)


def _score(score: Score, one: Anomaly) -> None:
    """What became of something planted; what never left the normal was too small to be found."""
    at = (START + timedelta(minutes=one.left or one.begin)).astimezone(ZONE)
    words = f"{one.kind} {one.what} on day {one.begin // DAY + 1}, {at:%a %H:%M}"
    if one.left is None:
        score.small += 1
    elif one.found is None:
        score.missed += 1
        score.slow.append(f"missed: {words}")
    else:
        score.delays.append(float(max(0, one.found - one.left)))
        if one.found - one.left > 10:
            score.slow.append(f"after {one.found - one.left} min: {words}")


def lives(machines: int, seed: int, weeks: int = WEEKS) -> Iterator[Life]:
    """So many of each kind."""
    for number in range(machines):
        for place, kind in enumerate(KINDS):
            yield live(kind, random.Random(seed * 1_000_003 + number * 1009 + place), weeks)


def told(life: Life, index: int, value: float, usual: object, what: str) -> None:
    """One change, printed with what was planted near it."""
    at = (START + timedelta(minutes=index)).astimezone(ZONE)
    near = [one.what for one in life.anomalies if one.begin <= index < one.end + 60]
    print(f"  {life.kind.name:14} d{index // DAY:2} {at:%a %H:%M} {value:.4g} {what} {usual} {near}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--machines", type=int, default=4, help="of each kind")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--trace", action="store_true", help="print every change")
    asked = parser.parse_args()
    begin = time.process_time()
    scores: dict[str, tuple[Score, Score]] = {}
    for life in lives(asked.machines, asked.seed):
        pair = judge(life, partial(told, life) if asked.trace else None)
        for name in (life.kind.name, "all"):
            for sum_, own in zip(scores.setdefault(name, (Score(), Score())), pair, strict=True):
                sum_.add(own)
    for index, words in enumerate(("while calibrating (days 2 to 14)", "afterwards (days 15 to 28)")):
        print(f"{words}:")
        for name, both in sorted(scores.items(), key=lambda item: item[0] == "all"):
            print(f"  {name:14} {both[index].told()}")
        for line in scores["all"][index].slow:
            print(f"    {line}")
    print(f"{time.process_time() - begin:.1f} CPU s")


if __name__ == "__main__":
    main()
