"""Says when a number is too high or too low for too long: rules R15, R16, R21 and R22 of the state rules.

Pure, like `domain.health`, and on the same clock. What is told about it is decided by `domain.routing`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar, cast, get_args

from domain.stored import Shelf, dump
from domain.told import NOTHING, Told

MetricState = Literal["ok", "warning", "critical", "unknown"]
LevelState = Literal["warning", "critical"]
Source = Literal["limit", "normal"]

METRIC_STATES: tuple[str, ...] = get_args(MetricState)
LEVEL_STATES: tuple[str, ...] = get_args(LevelState)
SOURCES: tuple[str, ...] = get_args(Source)
MISSING_INTERVALS = 2
"""Samples missing for more than so many intervals start a sustained measurement afresh (R15)."""
JITTER = 0.01
"""This share of an interval, at most half a second, is our own timer's and not the machine's: without it,
"5 min at 60 s is the sixth sample" would be the seventh whenever the sixth is a millisecond early."""


@dataclass(frozen=True, slots=True)
class Level:
    """One limit. Exactly one of `over` and `under` is given; the limit itself is still inside.

    It is reached when every sample for `for_` seconds was outside (0 = at once), and left only when every
    sample for `clear_for` seconds was at or inside `clear` (None = the limit itself). One level for each
    source, state and direction; `source` says whether a person set it or it is the machine's own normal (R19),
    whose numbers may change from sample to sample. Raises ValueError with a sentence for values that contradict each other.
    """

    state: LevelState
    over: float | None = None
    under: float | None = None
    clear: float | None = None
    for_: float = 0
    clear_for: float = 0
    source: Source = "limit"

    def __post_init__(self) -> None:
        if self.source not in SOURCES:
            raise ValueError(f"'source' of a level is limit or normal, not {self.source!r}.")
        if self.state not in LEVEL_STATES:
            raise ValueError(f"'state' of a level is warning or critical, not {self.state!r}.")
        if (self.over is None) == (self.under is None):
            raise ValueError(f"the {self.state} level takes exactly one of 'over' and 'under'.")
        for name in ("over", "under", "clear", "for_", "clear_for"):
            value = getattr(self, name)
            if value is not None and not math.isfinite(value):
                raise ValueError(f"'{name.rstrip('_')}' of the {self.state} level is not a finite number.")
        if self.for_ < 0 or self.clear_for < 0:
            raise ValueError(f"'for' and 'clear_for' of the {self.state} level are seconds from 0 up.")
        if self.clear is not None and self.outside(self.clear):
            raise ValueError(f"'clear' of the {self.state} level lies outside its own limit: it could never hold.")

    @property
    def key(self) -> str:
        """What finds this level's memory again when its numbers are edited."""
        return level_key(self.source, self.state, "under" if self.over is None else "over")

    def outside(self, value: float) -> bool:
        """Whether `value` is past the limit; at the limit is inside."""
        return value > self.over if self.over is not None else value < cast(float, self.under)

    def cleared(self, value: float) -> bool:
        """Whether `value` is at or inside `clear`."""
        if self.over is not None:
            return value <= (self.over if self.clear is None else self.clear)
        return value >= cast(float, self.under if self.clear is None else self.clear)


T = TypeVar("T")
K = TypeVar("K", bound=Hashable)


def nearest(owners: Iterable[Iterable[T]], about: Callable[[T], K]) -> list[T]:
    """Of limits by owner, the nearest owner first, those that hold: what an owner says of a measure and part (`about`)
    stands alone, and what owners farther away say of the same is overridden, all of its levels.
    """
    chosen: dict[K, list[T]] = {}
    for limits in owners:
        said: dict[K, list[T]] = {}
        for limit in limits:
            said.setdefault(about(limit), []).append(limit)
        chosen = {**said, **chosen}
    return [limit for levels in chosen.values() for limit in levels]


def reaches(limit: str, part: str, total: bool) -> bool:
    """Whether a limit on the part `limit` is one on `part`: without a part it means the measure's total, or every part
    where there is no `total`.
    """
    return limit == part or (not limit and not total)


def applying(limits: Iterable[T], part: str, total: bool, of: Callable[[T], str]) -> list[T]:
    """Of a measure's limits, each on the part that `of` tells, those that hold for `part`: what is said of it by name
    stands in place of what is said of the whole measure.
    """
    meant = [limit for limit in limits if reaches(of(limit), part, total)]
    return [limit for limit in meant if of(limit) == part] or meant


def level_key(source: str, state: str, side: str) -> str:
    """The key of a level: `warning over`; with `normal` before it where it is the machine's own normal."""
    return f"{state} {side}" if source == "limit" else f"{source} {state} {side}"


@dataclass(frozen=True, slots=True)
class LevelTrack:
    """What is remembered about one level: whether it is reached, and since when the present row holds.

    The row is of samples outside the limit while not `raised`, of cleared samples while it is.
    """

    key: str
    raised: bool = False
    row: float | None = None

    @classmethod
    def from_json(cls, raw: object) -> LevelTrack:
        """The level's memory as stored. Raises ValueError with a sentence for what is not known."""
        shelf = Shelf(cls, raw)
        keys = tuple(
            level_key(source, state, side) for source in SOURCES for state in LEVEL_STATES for side in ("over", "under")
        )
        return cls(shelf.word("key", "", keys), shelf.flag("raised"), shelf.moment("row"))


@dataclass(frozen=True, slots=True)
class MetricTrack:
    """Everything remembered about one metric between two samples; stored whole, as one JSON value (R20)."""

    state: MetricState = "ok"
    since: float = 0.0
    seen: float | None = None
    levels: tuple[LevelTrack, ...] = ()
    told: Told = NOTHING

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSONB; what equals its default is left out."""
        return dump(self)

    @classmethod
    def from_json(cls, raw: object) -> MetricTrack:
        """The track as stored. Raises ValueError with a sentence for what this version does not know."""
        shelf = Shelf(cls, raw)
        return cls(
            state=cast(MetricState, shelf.word("state", "ok", METRIC_STATES)),
            since=shelf.number("since", 0.0),
            seen=shelf.moment("seen"),
            levels=tuple(LevelTrack.from_json(item) for item in shelf.things("levels")),
            told=Told.from_json(shelf.thing("told")),
        )


@dataclass(frozen=True, slots=True)
class MetricChange:
    """One change of a metric's state, decided at `at` by `value` (None: not by a sample), true since `since`.

    `since` is the first sample of the row that led to it; `by` is the key of the level that was reached or left.
    """

    from_state: MetricState
    to_state: MetricState
    since: float
    at: float
    value: float | None = None
    by: str = ""


def fold_metric(
    track: MetricTrack, at: float, value: float, levels: Sequence[Level], interval: float
) -> tuple[MetricTrack, MetricChange | None]:
    """The track after one sample taken at `at`, and the change of state it led to, if any.

    A sample not newer than the last one is history only (the very same track comes back). Out of grey a
    metric returns to what its levels remember, so an outage of the host repeats no message.
    Raises ValueError for a value that is not a finite number.
    """
    if not math.isfinite(value):
        raise ValueError(f"a sample is a finite number, not {value!r}.")
    if track.seen is not None and at <= track.seen:
        return track, None
    gap = track.seen is not None and at - track.seen > MISSING_INTERVALS * interval
    known = {level.key: level for level in track.levels}
    steps = []
    for level in levels:
        before = known.get(level.key, LevelTrack(level.key))
        steps.append(_step(replace(before, row=None) if gap else before, level, at, value, interval))
    track = replace(track, seen=at, levels=tuple(after for after, _ in steps))
    state = _worst(levels, track.levels)
    if state == track.state:
        return track, None
    return _turn(track, state, _since(state, levels, steps, at), at, value, _by(state, levels, steps))


def grey(track: MetricTrack, since: float, at: float) -> tuple[MetricTrack, MetricChange | None]:
    """The host went down at `since`, decided at `at`: nothing is known about its metrics (R22).

    A metric that never had a sample has nothing to lose. Rows start afresh; reached levels stay remembered.
    """
    if track.state == "unknown" or track.seen is None:
        return track, None
    quiet = replace(track, levels=tuple(replace(level, row=None) for level in track.levels))
    return _turn(quiet, "unknown", max(since, track.since), at, None)


def close(track: MetricTrack, at: float) -> tuple[MetricTrack, MetricChange | None]:
    """The host was disabled: closed without a message, levels and told marks forgotten (R24)."""
    after, change = grey(track, at, at)
    return replace(after, levels=(), told=NOTHING), change


def resume(track: MetricTrack, now: float) -> MetricTrack:
    """A track as loaded by a process that starts at `now`; like `domain.health.resume` (R26)."""
    by = 0.0 if track.seen is None else track.seen - now
    if by <= 0:
        return track
    levels = tuple(level if level.row is None else replace(level, row=level.row - by) for level in track.levels)
    return replace(track, seen=now, since=track.since - by, levels=levels, told=track.told.moved(-by))


def _step(track: LevelTrack, level: Level, at: float, value: float, interval: float) -> tuple[LevelTrack, float | None]:
    """One level after one sample; and the first moment of its row, if the row led to reaching or leaving it."""
    if not (level.cleared(value) if track.raised else level.outside(value)):
        return (track if track.row is None else replace(track, row=None)), None
    row = at if track.row is None else track.row
    wanted = level.clear_for if track.raised else level.for_
    if at - row < wanted - min(0.5, JITTER * interval):
        return replace(track, row=row), None
    return LevelTrack(track.key, raised=not track.raised), row


def _worst(levels: Sequence[Level], tracks: Sequence[LevelTrack]) -> MetricState:
    raised = {level.state for level, track in zip(levels, tracks, strict=True) if track.raised}
    return "critical" if "critical" in raised else "warning" if raised else "ok"


def _since(
    state: MetricState, levels: Sequence[Level], steps: Sequence[tuple[LevelTrack, float | None]], at: float
) -> float:
    """When the new state began: with its own level's row, else with the row that ended the level left.

    Out of grey that is now: rows start afresh there.
    """
    ended = [(level.state, row) for level, (_, row) in zip(levels, steps, strict=True) if row is not None]
    own = [row for name, row in ended if name == state]
    return min(own) if own else max((row for _, row in ended), default=at)


def _by(state: MetricState, levels: Sequence[Level], steps: Sequence[tuple[LevelTrack, float | None]]) -> str:
    """The level that made the state: one of its own that is reached; a limit before the normal."""
    own = [level.key for level, (after, _) in zip(levels, steps, strict=True) if after.raised and level.state == state]
    left = [level.key for level, (_, row) in zip(levels, steps, strict=True) if row is not None]
    return next(iter(own or left), "")


def _turn(
    track: MetricTrack, state: MetricState, since: float, at: float, value: float | None, by: str = ""
) -> tuple[MetricTrack, MetricChange]:
    told = replace(track.told, acknowledged=False) if state == "ok" else track.told  # R17: ends at recovery
    return replace(track, state=state, since=since, told=told), MetricChange(track.state, state, since, at, value, by)
