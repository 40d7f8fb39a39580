"""Says what state a host or a check is in: rules R1-R10, R13, R14, R18, R20, R23, R24 and R26 of the state rules.

Pure: time comes in with each result and is never read here. All moments are seconds since the epoch (UTC)
on the *steady* clock of the process that looks: wall time at its start, advanced by the monotonic clock,
so that a step of the wall clock never shows (R26). `resume` takes care of a step across a restart.

What lies on the way to a host (R10) comes in as one word, its `Road`; `domain.reach` finds it. What is to be *told*
about a state is decided by `domain.routing`; the marks it needs travel in `Track.told`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, cast, get_args

from domain import flapping
from domain.reading import FailureKind
from domain.stored import Shelf, dump
from domain.told import NOTHING, Told

State = Literal["pending", "up", "down", "unreachable", "unknown", "disabled"]
Outcome = Literal["ok", "fail", "unknown"]
Reason = Literal["answered", "failed", "blocked", "unasked", "stale", "disabled", "enabled"]
Road = Literal["clear", "waiting", "blocked"]
"""The way to a host: some machine on it is well; none is, but one is still being confirmed; all are gone (R10)."""

STATES: tuple[str, ...] = get_args(State)
OUTCOMES: tuple[str, ...] = get_args(Outcome)
UNASKED_LIMIT = 3
"""So many `unknown` in a row turn pending and up grey (R8); the number of attempts is another matter."""
STALE_INTERVALS = 3
"""No result for more than so many intervals is staleness (R9)."""
REMEMBERED = 8
"""So many result ids are remembered to know a duplicate that claims a newer start (R18)."""


@dataclass(frozen=True, slots=True)
class Policy:
    """How patient to be with one subject. `interval` and `remind` in seconds; `remind` 0 = no reminders.

    Raises ValueError with a sentence for a value out of bounds.
    """

    interval: float = 60
    attempts: int = 3
    recover_after: int = 1
    remind: float = 0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.interval) and self.interval > 0):
            raise ValueError(f"'interval' is a number of seconds above 0, not {self.interval!r}.")
        if not (math.isfinite(self.remind) and self.remind >= 0):
            raise ValueError(f"'remind' is a number of seconds, 0 for none, not {self.remind!r}.")
        for name in ("attempts", "recover_after"):
            if getattr(self, name) < 1:
                raise ValueError(f"'{name}' is a whole number from 1 up, not {getattr(self, name)!r}.")

    @property
    def patience(self) -> float:
        """Seconds without a result after which a subject is stale (strictly more than this)."""
        return STALE_INTERVALS * self.interval


@dataclass(frozen=True, slots=True)
class Result:
    """One look, judged: `at` = when it ended (not when it was written down), `start` = when it began.

    `start` orders results and dates changes, `at` measures gaps. `rid` is the look's own id; without one,
    two results with the same start are the same look.
    """

    at: float
    outcome: Outcome
    start: float | None = None
    rid: str | None = None

    @property
    def began(self) -> float:
        """The start, or `at` where no start is known."""
        return self.at if self.start is None else self.start


@dataclass(frozen=True, slots=True)
class Track:
    """Everything remembered about one subject between two results; stored whole, as one JSON value (R20).

    A new subject is `Track(since=<moment it was added>)`. `failures`, `oks`, `unknowns` count the present
    rows, `first_*` are the start times of their first results. `seen` and `started` are `at` and start of
    the last processed result. `stale` marks a subject without results for too long. `fresh` is the moment from
    which failures count again after the way was blocked, `cause` the subject that explains this one's state (R10).
    """

    state: State = "pending"
    since: float = 0.0
    failures: int = 0
    first_failure: float | None = None
    oks: int = 0
    first_ok: float | None = None
    unknowns: int = 0
    first_unknown: float | None = None
    seen: float | None = None
    started: float | None = None
    rids: tuple[str, ...] = ()
    stale: bool = False
    fresh: float | None = None
    cause: str = ""
    flaps: flapping.Flaps = flapping.CALM
    told: Told = NOTHING

    @property
    def flapping(self) -> bool:
        """Too often up and down to tell each turn (R13, R14)."""
        return self.flaps.flapping

    @property
    def failing(self) -> bool:
        """A soft failure is being confirmed (shown yellow): failing, not yet decided."""
        return self.failures > 0 and self.state in ("pending", "up", "unknown")

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSONB; what equals its default is left out. Same track, same value."""
        return dump(self)

    @classmethod
    def from_json(cls, raw: object) -> Track:
        """The track as stored. Raises ValueError with a sentence for what this version does not know."""
        shelf = Shelf(cls, raw)
        return cls(
            state=cast(State, shelf.word("state", "pending", STATES)),
            since=shelf.number("since", 0.0),
            failures=shelf.count("failures"),
            first_failure=shelf.moment("first_failure"),
            oks=shelf.count("oks"),
            first_ok=shelf.moment("first_ok"),
            unknowns=shelf.count("unknowns"),
            first_unknown=shelf.moment("first_unknown"),
            seen=shelf.moment("seen"),
            started=shelf.moment("started"),
            rids=shelf.texts("rids"),
            stale=shelf.flag("stale"),
            fresh=shelf.moment("fresh"),
            cause=shelf.text("cause"),
            flaps=flapping.Flaps.from_json(shelf.thing("flaps")),
            told=Told.from_json(shelf.thing("told")),
        )


@dataclass(frozen=True, slots=True)
class Change:
    """One hard change of state, decided at `at` and true since `since`.

    `since` is the start of the first of the results that led to it (R3), so it may lie before the `since`
    of the state that is left (failures, a grey spell, the last failure): intervals are cut back to it.
    """

    from_state: State
    to_state: State
    since: float
    at: float
    reason: Reason


def outcome_of(kind: FailureKind | None) -> Outcome:
    """What a look that ended so (None = it brought its reading) means for its *check* (R4, R8)."""
    if kind is None:
        return "ok"
    failed = (FailureKind.UNREACHABLE, FailureKind.TIMEOUT, FailureKind.REFUSED)
    return "fail" if kind in failed else "unknown"


def reach_outcome_of(kind: FailureKind | None) -> Outcome:
    """What the same look says about the *host*: one that refuses has answered, so it is up (R4, R23)."""
    return "ok" if kind is FailureKind.REFUSED else outcome_of(kind)


def combine(outcomes: Mapping[str, Outcome] | Iterable[Outcome]) -> Outcome:
    """One outcome for a host from its reachability checks (R23): any answer is ok, else any failure fails.

    No checks at all is `unknown`: nobody was asked.
    """
    seen = set(outcomes.values() if isinstance(outcomes, Mapping) else outcomes)
    return "ok" if "ok" in seen else "fail" if "fail" in seen else "unknown"


def processed_before(track: Track, result: Result) -> bool:
    """Whether `result` is a duplicate or older than the last processed one: history only (R18)."""
    if result.rid is not None and result.rid in track.rids:
        return True
    if track.started is None or result.began > track.started:
        return False
    known_apart = result.rid is not None and bool(track.rids)
    return result.began < track.started or not known_apart


def fold(track: Track, result: Result, policy: Policy, road: Road = "clear") -> tuple[Track, Change | None]:
    """The track after `result`, and the hard change it led to, if any.

    A disabled subject, a duplicate and an old result leave the track as it is (the very same object).
    """
    if track.state == "disabled" or processed_before(track, result):
        return track, None
    counted = _counted(track, result, policy)
    if _late(track, result):
        return calm(counted, result.at), None
    if result.outcome == "ok" or (result.outcome == "fail" and road == "clear"):
        counted = replace(counted, flaps=flapping.seen(counted.flaps, result.outcome == "ok"))
    after, change = decide(counted, policy, road, result.at)
    return calm(after, result.at), change


def decide(track: Track, policy: Policy, road: Road, at: float) -> tuple[Track, Change | None]:
    """The same without a result: the way to the subject is another than when its last result came (R10).

    A stale subject's rows decide nothing any more: they start afresh with its next result (R9).
    """
    if track.state == "disabled" or track.stale:
        return track, None
    verdict = _verdict(track, policy, road)
    return (track, None) if verdict is None else _turn(track, *verdict, at=at)


def reroute(track: Track, policy: Policy, road: Road, at: float) -> tuple[Track, Change | None]:
    """The track when the way to its subject is another than before, and the change that follows from it (R10).

    What is cut off is let go once the way is open; what waited for a doubt to end is decided when the way is gone,
    and by its next failure when the way is well. The same object comes back where nothing follows.
    """
    if track.state == "unreachable" and road == "blocked":
        return (track if track.fresh is None else replace(track, fresh=None)), None
    if track.state == "unreachable" and track.fresh is None:
        return release(track, at), None
    if road == "clear":
        waited = track.state != "down" and track.failures >= policy.attempts
        return (doubt(track, at) if waited else track), None
    if track.unknowns or not track.failures:
        return track, None
    return decide(excuse(track), policy, road, at)


def release(track: Track, since: float) -> Track:
    """The way is open again from `since` on: what is unreachable is down only after a fresh row of failures (R10)."""
    if track.state != "unreachable":
        return track
    return replace(track, failures=0, first_failure=None, fresh=since)


def doubt(track: Track, since: float) -> Track:
    """What was in doubt on the way is well since `since`: the failures seen meanwhile do not count without a fresh one."""
    return replace(track, fresh=since)


def excuse(track: Track) -> Track:
    """Its last failures were seen before those of what lies on the way to it: it does not flap with that (R10, R13)."""
    flaps = flapping.excused(track.flaps)
    return track if flaps is track.flaps else replace(track, flaps=flaps)


def calm(track: Track, now: float) -> Track:
    """The track as time passes: slow flapping ends where there was no hard change for long enough (R14)."""
    flaps = flapping.passed(track.flaps, now)
    return track if flaps is track.flaps else replace(track, flaps=flaps)


def stale(track: Track, now: float, policy: Policy) -> tuple[Track, Change | None]:
    """The track as time passes without results (R9): past the limit pending and up turn grey, red stays red.

    The limit is strict: with 60 s it is passed at 181 s, not at 180. Grey is dated from the last result:
    since then we have not known. The same object comes back when there is nothing new.
    """
    if track.stale or track.state == "disabled" or now - last_seen(track) <= policy.patience:
        return track, None
    marked = replace(track, stale=True)
    if track.state not in ("pending", "up"):
        return marked, None
    return _turn(marked, "unknown", last_seen(track), "stale", at=now)


def last_seen(track: Track) -> float:
    """When the last processed result came in; for a subject without one, when it was added or enabled."""
    return track.since if track.seen is None else track.seen


def disable(track: Track, at: float) -> tuple[Track, Change | None]:
    """Closed without a message, whatever was open (R24)."""
    if track.state == "disabled":
        return track, None
    closed, change = _turn(track, "disabled", at, "disabled", at=at)
    return replace(closed, seen=None, stale=False, told=NOTHING, cause="", flaps=flapping.CALM, **_NO_ROWS), change


def enable(track: Track, at: float) -> tuple[Track, Change | None]:
    """From the start again: pending, nothing counted (R24). Results from before stay history (R18)."""
    if track.state != "disabled":
        return track, None
    begun, change = _turn(track, "pending", at, "enabled", at=at)
    return replace(begun, flaps=flapping.CALM), change


def resume(track: Track, now: float) -> Track:
    """A track as loaded by a process that starts at `now` (R26).

    If the clock was set back while nobody looked, the stored moments lie in the future and every fresh
    result would count as old: the whole track is then moved back, so that its last result was just now.
    """
    by = last_seen(track) - now
    if by <= 0:
        return track
    moments = ("since", "first_failure", "first_ok", "first_unknown", "seen", "started", "fresh")
    moved = {name: getattr(track, name) - by for name in moments if getattr(track, name) is not None}
    return replace(track, told=track.told.moved(-by), flaps=track.flaps.moved(-by), **moved)


def _counted(track: Track, result: Result, policy: Policy) -> Track:
    """The track with this result as its last one, its rows counted; they start afresh after a gap (R9)."""
    if track.stale or (track.seen is not None and result.at - track.seen > policy.patience):
        track = replace(track, **_NO_ROWS)
    return replace(
        track,
        seen=result.at if track.seen is None else max(track.seen, result.at),
        started=result.began,
        rids=track.rids if result.rid is None else (*track.rids, result.rid)[-REMEMBERED:],
        stale=False,
        **_rows(track, result),
    )


_NO_ROWS: dict[str, Any] = {
    "failures": 0,
    "first_failure": None,
    "oks": 0,
    "first_ok": None,
    "unknowns": 0,
    "first_unknown": None,
}


def _rows(track: Track, result: Result) -> dict[str, Any]:
    """The rows after this outcome. `unknown` neither lengthens the other rows nor ends them (R8)."""
    if result.outcome == "ok":
        first = track.first_ok if track.oks else result.began
        return {**_NO_ROWS, "oks": track.oks + 1, "first_ok": first, "fresh": None}
    if result.outcome == "fail":
        if _late(track, result):
            return {}
        first = track.first_failure if track.failures else result.began
        return {**_NO_ROWS, "failures": track.failures + 1, "first_failure": first}
    row, first = track.unknowns + 1, track.first_unknown if track.unknowns else result.began
    return {"unknowns": row, "first_unknown": first, "told": _news_for_admins(track, row)}


def _late(track: Track, result: Result) -> bool:
    """A failure that set out before the way was open again: it says nothing of the subject itself (R10)."""
    return result.outcome == "fail" and track.fresh is not None and result.began < track.fresh


def _news_for_admins(track: Track, row: int) -> Told:
    """A host left grey by a silent poller that then cannot be asked has a reason of its own to be told."""
    if row == UNASKED_LIMIT and track.state == "unknown" and track.told.check == "poller":
        return replace(track.told, check="")
    return track.told


def _verdict(track: Track, policy: Policy, road: Road) -> tuple[State, float, Reason] | None:
    """The state these rows lead to, since when and why; None where the state stays.

    Grey turns green at the first ok, like pending does: `recover_after` is about outages. Whether that is
    told depends on what was told before, not on the colour left (R12).
    """
    if track.unknowns >= UNASKED_LIMIT:
        return ("unknown", track.first_unknown or 0.0, "unasked") if track.state in ("pending", "up") else None
    if track.unknowns:
        return None
    if track.failures >= policy.attempts and track.state != "down":
        return _lost(track, road)
    needed = policy.recover_after if track.state == "down" else 1
    if track.oks >= needed and track.state != "up":
        return "up", track.first_ok or 0.0, "answered"
    return None


def _lost(track: Track, road: Road) -> tuple[State, float, Reason] | None:
    """What enough failures in a row make of a subject at the end of such a road."""
    since = track.first_failure or 0.0
    if road == "clear":
        return "down", since, "failed"
    if road == "blocked" and track.state != "unreachable":
        return "unreachable", since, "blocked"
    return None


def _turn(track: Track, state: State, since: float, reason: Reason, *, at: float) -> tuple[Track, Change]:
    change = Change(track.state, state, since, at, reason)
    track = replace(track, fresh=None, flaps=flapping.turned(track.flaps, at, state == "down"))
    if state == "unknown":  # a row of answers broken by grey must not date the green after it
        track = replace(track, oks=0, first_ok=None)
    told = replace(track.told, acknowledged=False) if state == "up" else track.told  # R17: ends at recovery
    return replace(track, state=state, since=since, told=told), change
