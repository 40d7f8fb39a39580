"""Judges the monitor's own uplink before its hosts: rule R27 of the state rules.

Pure. When too many unrelated hosts begin to fail at once, our own line is suspected and stands before all of them
like a parent: they wait until the reference targets (the gateway, say) have answered or failed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from domain.health import Policy, Result, Track, fold
from domain.reach import Stand
from domain.routing import Notice
from domain.stored import Shelf, dump


@dataclass(frozen=True, slots=True)
class Suspicion:
    """When to suspect ourselves: more than `share` of the unrelated hosts fail, and at least `least` of them.

    `references` are the targets asked then. Raises ValueError with a sentence.
    """

    references: tuple[str, ...] = ()
    share: float = 0.6
    least: int = 5

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise ValueError(f"'share' is above 0 and at most 1, not {self.share!r}.")
        if self.least < 1:
            raise ValueError(f"'least' is a whole number from 1 up, not {self.least!r}.")


@dataclass(frozen=True, slots=True)
class Uplink:
    """What is remembered of our own line.

    `suspected` since when so many fail, `lost` since when it is known to be gone, `cleared`: it was suspected and
    found well, and the same many still fail. `references` are the targets' own tracks.
    """

    suspected: float | None = None
    lost: float | None = None
    cleared: bool = False
    references: Mapping[str, Track] = field(default_factory=dict)

    @property
    def stand(self) -> Stand:
        """What our line is to the hosts that have no other parent."""
        if self.lost is not None:
            return "gone"
        return "suspect" if self.suspected is not None and not self.cleared else "well"

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSONB; what equals its default is left out."""
        kept = {name: value for name, value in dump(self).items() if name != "references"}
        references = {name: track.to_json() for name, track in self.references.items()}
        return {**kept, "references": references} if references else kept

    @classmethod
    def from_json(cls, raw: object) -> Uplink:
        """The memory as stored. Raises ValueError with a sentence for what this version does not know."""
        shelf = Shelf(cls, raw)
        references = shelf.thing("references")
        if not isinstance(references, Mapping):
            raise ValueError("'references' of a stored Uplink is an object.")
        tracks = {str(name): Track.from_json(track) for name, track in references.items()}
        return cls(shelf.moment("suspected"), shelf.moment("lost"), shelf.flag("cleared"), tracks)


def counted(uplink: Uplink, suspicion: Suspicion, failing: int, decided: int, of: int, at: float) -> Uplink:
    """After `failing` of `of` unrelated hosts are failing and undecided, `decided` of them often enough to be down."""
    many = failing >= suspicion.least and failing > suspicion.share * of
    if uplink.lost is not None:
        return uplink
    if not many:
        return uplink if uplink.suspected is None else Uplink()
    if uplink.suspected is None:
        uplink = Uplink(suspected=at)
    if not suspicion.references and decided >= suspicion.least and decided > suspicion.share * of:
        return replace(uplink, lost=uplink.suspected)
    return uplink


def answered(uplink: Uplink, name: str, result: Result, policy: Policy, suspicion: Suspicion) -> Uplink:
    """After one reference target was asked; what was asked before the suspicion says nothing."""
    if uplink.suspected is None or result.began < uplink.suspected or name not in suspicion.references:
        return uplink
    track, _ = fold(uplink.references.get(name, Track(since=uplink.suspected)), result, policy)
    tracks = {**uplink.references, name: track}
    uplink = replace(uplink, references=tracks)
    if result.outcome == "ok":
        return Uplink() if uplink.lost is not None else replace(uplink, cleared=True)
    if all(name in tracks and tracks[name].state == "down" for name in suspicion.references) and not uplink.cleared:
        return replace(uplink, lost=uplink.suspected)
    return uplink


def heard(uplink: Uplink) -> Uplink:
    """After a host answered that has no other way to us than our own line: a lost line is back."""
    return uplink if uplink.lost is None else Uplink()


def resume(uplink: Uplink, now: float) -> Uplink:
    """The memory as loaded by a process that starts at `now`: no moment of it lies in the future (R26)."""
    suspected = None if uplink.suspected is None else min(uplink.suspected, now)
    return replace(uplink, suspected=suspected, lost=None if uplink.lost is None else min(uplink.lost, now))


def notice(before: Uplink, after: Uplink, at: float) -> Notice | None:
    """The one message about the monitor itself, where it is due."""
    if before.lost is None and after.lost is not None:
        return Notice("uplink_lost", at, "down", after.lost)
    if before.lost is not None and after.lost is None:
        return Notice("uplink_back", at, "up", at, at - before.lost)
    return None


class Line:
    """Our own line as one judgement sees it: the suspicion, what is remembered, and who fails now.

    `alive` are the hosts nothing watched lies before, as far as they are not known to be gone; `failing` those of
    them that are failing and undecided.
    """

    def __init__(self, suspicion: Suspicion | None) -> None:
        self.suspicion = suspicion
        self.uplink = Uplink()
        self.alive: set[str] = set()
        self.failing: set[str] = set()

    def count(self, host: str, track: Track, root: bool) -> None:
        """One host's track is another; `root`: nothing watched lies before it."""
        self.forget(host)
        if root and track.state in ("pending", "up", "unknown") and track.seen is not None and not track.stale:
            self.alive.add(host)
            if track.failing:
                self.failing.add(host)

    def forget(self, host: str) -> None:
        """The host is gone, or no longer alive."""
        self.alive.discard(host)
        self.failing.discard(host)

    def suspect(self, decided: Callable[[str], bool], at: float) -> Uplink:
        """Our line after counting; `decided` says of a failing host whether it has failed often enough to be down."""
        if self.suspicion is None:
            return self.uplink
        sure = 0
        if self.uplink.suspected is not None and not self.suspicion.references:
            sure = sum(decided(host) for host in self.failing)
        return counted(self.uplink, self.suspicion, len(self.failing), sure, len(self.alive), at)
