"""Decides what people are told: rules R7, R11-R14 and R17, by comparing what is with what was last told.

Pure. Nothing here remembers a change or a queue: a message is due whenever the present hard state differs
from the mark in `track.told`, and the mark moves with the message. So a message cannot be told twice, and
the end of any silence needs no rule of its own: call `tell` again with `quiet=False`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, TypeVar, cast

from domain.health import Track
from domain.thresholds import MetricTrack
from domain.told import NOTHING, Problem, Told

NoticeKind = Literal[
    "problem",
    "recovery",
    "reminder",
    "flap_start",
    "flap_stop",
    "check_problem",
    "poller_silent",
    "poller_back",
    "uplink_lost",
    "uplink_back",
    "digest",
]
MONITOR = "poller"
"""The subject that is ourselves."""
ADMINS_ONLY = frozenset({"check_problem", "poller_silent", "poller_back", "uplink_lost", "uplink_back"})
Subject = TypeVar("Subject", Track, MetricTrack)

_RANK = {"": 0, "warning": 1, "down": 2, "critical": 2}


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing to tell, due at `at`. `state` holds since `since`; `outage` (s) is how long a problem lasted.

    What is about the watching and not about the watched (ADMINS_ONLY) is for admins only. `flap_start` and
    `flap_stop` carry the state the subject is in.
    """

    kind: NoticeKind
    at: float
    state: str
    since: float
    outage: float | None = None


@dataclass(frozen=True, slots=True)
class Spoken:
    """A notice about a subject, to be told; `members` are the subjects a digest tells of."""

    subject: str
    notice: Notice
    members: tuple[str, ...] = ()


def tell(track: Subject, at: float, quiet: bool = False) -> tuple[Subject, tuple[Notice, ...]]:
    """What is due after anything happened to `track`, and the track with its mark moved.

    `quiet` = no messages now (maintenance, a dependency): nothing is told and the mark stays, so the first call
    without it tells the difference, if there still is one (R12). Flapping is told when it begins, and when it stops
    with the state it left: between the two nothing is.
    """
    if quiet:
        return track, ()
    if isinstance(track, Track) and (track.flapping or track.told.flapping):
        return _tell_flapping(track, at)
    told, kind = _compare(track)
    if kind is None:
        return (track if told == track.told else replace(track, told=told)), ()
    outage = track.since - track.told.since if kind == "recovery" and track.told.since is not None else None
    if kind == "problem":
        told = replace(told, at=at)
    return replace(track, told=told), (Notice(kind, at, track.state, track.since, outage),)


def _tell_flapping(track: Track, at: float) -> tuple[Track, tuple[Notice, ...]]:
    """One word when it begins, one when it stops (R13); while its state is nothing to speak of, both wait."""
    standing = _standing(track)
    if standing is None or track.flapping == track.told.flapping:
        return track, ()
    kind: NoticeKind = "flap_stop"
    if track.flapping:
        told, kind = replace(track.told, flapping=True), "flap_start"
    elif standing == "unknown":
        told = replace(track.told, flapping=False, check="self")
    else:
        told, _ = _compare(replace(track, told=replace(track.told, flapping=False)))
        told = replace(told, at=at if standing else None)
    return replace(track, told=told), (Notice(kind, at, track.state, track.since),)


def remind(track: Subject, at: float, every: float, quiet: bool = False) -> tuple[Subject, tuple[Notice, ...]]:
    """A reminder, if a problem is still there `every` seconds (0 = never) after the last word about it."""
    told = track.told
    if not every or quiet or told.acknowledged or told.at is None or at - told.at < every:
        return track, ()
    if not told.problem or told.flapping or _standing(track) != told.problem:
        return track, ()
    return replace(track, told=replace(told, at=at)), (Notice("reminder", at, track.state, track.since),)


def acknowledge(track: Subject) -> Subject:
    """Somebody has it (R17): no reminders, and a message still held back is no longer owed to anyone.

    Its recovery is told all the same. Without a problem there is nothing to acknowledge.
    """
    standing = _standing(track)
    if not standing or standing == "unknown":
        return track
    since = track.told.since if track.told.problem else track.since
    told = replace(track.told, problem=cast(Problem, standing), since=since, acknowledged=True)
    return replace(track, told=told)


def unacknowledge(track: Subject) -> Subject:
    """The acknowledgement has run out or was given back: reminders go on where they were."""
    return replace(track, told=replace(track.told, acknowledged=False)) if track.told.acknowledged else track


def _standing(track: Track | MetricTrack) -> str | None:
    """What is to be known of the subject: "" = well, a problem's name, "unknown", or None = nothing to say."""
    if isinstance(track, MetricTrack):
        return {"ok": "", "unknown": None}.get(track.state, track.state)
    return {"up": "", "down": "down", "unknown": "unknown"}.get(track.state)


def _compare(track: Track | MetricTrack) -> tuple[Told, NoticeKind | None]:
    """The mark after comparing, and the kind of message that is due.

    Better but not well is recorded, not told (R21), and the mark follows in silence: worse again is news
    again. Grey keeps the mark of a problem, so that its recovery is still told after the grey.
    """
    told, standing = track.told, _standing(track)
    if standing is None:
        return told, None
    if standing == "unknown":
        return (told, None) if told.check else (replace(told, check="self"), "check_problem")
    if standing == "":
        return NOTHING, "recovery" if told.problem else None
    since = told.since if told.problem else track.since
    mark = replace(told, problem=cast(Problem, standing), since=since, check="")
    return mark, "problem" if _RANK[standing] > _RANK[told.problem] else None
