"""Tells one host gone stale from a poller gone silent: the part of rule R9 that looks at all hosts at once.

Pure. Meant to be judged by another process than the poller, whenever time passes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from domain.health import STALE_INTERVALS, Change, Policy, Track, last_seen, stale
from domain.routing import Notice
from domain.stored import Shelf, dump
from domain.told import Check

SUSPECT_INTERVALS = 2
"""Nothing from any host for more than so many of its intervals: suspect the poller before any host.

Looks are spread over the interval, so when a poller dies its hosts go stale one after another within one
interval; the first of them does so when nothing has come for more than two."""


@dataclass(frozen=True, slots=True)
class Watch:
    """What is remembered about one poller: told as silent, and when it last came back."""

    silent: bool = False
    back: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSONB; what equals its default is left out."""
        return dump(self)

    @classmethod
    def from_json(cls, raw: object) -> Watch:
        """The watch as stored. Raises ValueError with a sentence for what this version does not know."""
        shelf = Shelf(cls, raw)
        return cls(shelf.flag("silent"), shelf.moment("back"))


@dataclass(frozen=True, slots=True)
class Passed:
    """What the passing of time did: the watch, each host's track and change, the word about the poller."""

    watch: Watch
    hosts: dict[str, tuple[Track, Change | None]]
    notice: Notice | None


def judge(watch: Watch, hosts: Mapping[str, tuple[Track, Policy]], now: float) -> Passed:
    """Judge staleness of all hosts of one poller at `now`.

    Hosts turn grey here whatever the reason. Whether each is told of (`routing.tell`, afterwards) depends:
    while the poller is silent or suspected, and for three intervals after it is back, they are left to
    the one message about the poller; those still without a result after that are told each.
    """
    aged = {name: stale(track, now, policy) for name, (track, policy) in hosts.items()}
    asked = [(aged[name][0], policy) for name, (_, policy) in hosts.items() if aged[name][0].state != "disabled"]
    after, notice = _turn(watch, asked, now)
    covered = after.silent or _suspected(asked, now) or _settling(after, asked, now)
    marked = {name: (_mark(track, covered), change) for name, (track, change) in aged.items()}
    return Passed(after, marked, notice)


def _turn(watch: Watch, asked: list[tuple[Track, Policy]], now: float) -> tuple[Watch, Notice | None]:
    if not watch.silent and asked and all(track.stale for track, _ in asked):
        last = max(last_seen(track) for track, _ in asked)
        return Watch(silent=True), Notice("poller_silent", now, "unknown", last)
    heard = [track.seen for track, _ in asked if track.seen is not None and not track.stale]
    if watch.silent and heard:
        return Watch(back=now), Notice("poller_back", now, "up", min(heard))
    return watch, None


def _suspected(asked: list[tuple[Track, Policy]], now: float) -> bool:
    return all(now - last_seen(track) > SUSPECT_INTERVALS * policy.interval for track, policy in asked)


def _settling(watch: Watch, asked: list[tuple[Track, Policy]], now: float) -> bool:
    longest = max((policy.interval for _, policy in asked), default=0.0)
    return watch.back is not None and now - watch.back <= STALE_INTERVALS * longest


def _mark(track: Track, covered: bool) -> Track:
    """A stale grey host's mark: left to the poller's message, or owed a message of its own."""
    if not track.stale or track.state != "unknown" or track.told.check not in ("", "poller"):
        return track
    check: Check = "poller" if covered else ""
    return track if track.told.check == check else replace(track, told=replace(track.told, check=check))
