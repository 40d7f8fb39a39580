"""Says whether the way to a host is open, and what blocks it: rule R10 of the state rules.

Pure. A host's parents are what lies between it and us; several parents are several ways. What blocks a host is its
parents' state and never their number: distinct parents count once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

from domain.health import Road, Track

Stand = Literal["well", "suspect", "gone", "away"]
"""What a parent is to its children: well; failing and undecided; down or itself unreachable; not watched at all."""


def stand(track: Track) -> Stand:
    """What a host with this track is to its children.

    One that is grey or pending blocks nothing: we do not know it to be down. One under suspicion is waited for as
    long as results come in; a stale one is suspected of nothing.
    """
    if track.state == "disabled":
        return "away"
    if track.state in ("down", "unreachable"):
        return "gone"
    return "suspect" if track.failing and not track.stale else "well"


def road(parents: Iterable[Stand]) -> Road:
    """The way to a host, from what its parents are. A host without watched parents is reached directly."""
    stands = set(parents) - {"away"}
    if not stands or "well" in stands:
        return "clear"
    return "waiting" if "suspect" in stands else "blocked"


class Topology:
    """Which host lies behind which: `parents` of each, `children` of each. Raises ValueError for a circle."""

    def __init__(self, parents: Mapping[str, Iterable[str]]) -> None:
        self._parents = {host: tuple(dict.fromkeys(above)) for host, above in parents.items() if above}
        self._children: dict[str, list[str]] = {}
        for host, above in self._parents.items():
            for parent in above:
                self._children.setdefault(parent, []).append(host)
        if circle := self._circle():
            raise ValueError(f"these lie behind each other in a circle: {', '.join(sorted(circle))}.")

    def parents(self, host: str) -> tuple[str, ...]:
        """What lies directly before `host`."""
        return self._parents.get(host, ())

    def children(self, host: str) -> list[str]:
        """What lies directly behind `host`."""
        return self._children.get(host, [])

    def behind(self, host: str) -> Iterator[str]:
        """Everything behind `host`, nearest first, each once."""
        found, waiting = {host}, deque(self.children(host))
        while waiting:
            child = waiting.popleft()
            if child not in found:
                found.add(child)
                yield child
                waiting.extend(self.children(child))

    def _circle(self) -> set[str]:
        """The hosts that lie on a circle or behind one, if there is one."""
        left = {host: len(above) for host, above in self._parents.items()}
        waiting = deque(parent for parent in self._children if parent not in left)
        while waiting:
            for child in self.children(waiting.popleft()):
                left[child] -= 1
                if not left[child]:
                    waiting.append(child)
        return {host for host, open in left.items() if open}


def without_circles(parents: Mapping[str, Iterable[str]]) -> dict[str, tuple[str, ...]]:
    """The same links, less those that would close a circle: what was stored must not stop the watching."""
    kept: dict[str, list[str]] = {}
    for host in sorted(parents):
        for parent in parents[host]:
            if not _above(parent, host, kept):
                kept.setdefault(host, []).append(parent)
    return {host: tuple(above) for host, above in kept.items()}


def _above(host: str, other: str, parents: Mapping[str, Iterable[str]]) -> bool:
    """Whether `other` is `host` or lies somewhere on the way to it."""
    found, waiting = set[str](), [host]
    while waiting:
        one = waiting.pop()
        if one == other:
            return True
        if one not in found:
            found.add(one)
            waiting.extend(parents.get(one, ()))
    return False
