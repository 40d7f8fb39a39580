"""Makes whole worlds for the properties: hosts behind hosts, some of which break, and the looks a monitor had of them.

A host answers when it is not broken and is reached directly or through a parent that answers. A `World` is that
truth; its `rows` are what the monitor saw, in the form of `pantau replay`.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

ROUND = 60


@dataclass(frozen=True)
class World:
    """`broken` are spells (host, from, to) in seconds, `to` not included; `rounds` of one look at each host."""

    parents: dict[str, list[str]]
    broken: list[tuple[str, int, int]]
    rounds: int
    seed: int
    attempts: int = 3
    upward: bool = True
    params: dict[str, int] = field(default_factory=dict)

    @property
    def header(self) -> dict[str, Any]:
        return {"hosts": self.parents, "params": {"interval": ROUND, "attempts": self.attempts, **self.params}}

    def answers(self, host: str, t: int) -> bool:
        """Whether a look at `host` in second `t` is answered."""
        if any(name == host and begin <= t < end for name, begin, end in self.broken):
            return False
        above = self.parents[host]
        return not above or any(self.answers(parent, t) for parent in above)

    def reached(self, host: str, t: int) -> bool:
        """Whether the way to `host` is open in second `t`, whatever the host itself does."""
        above = self.parents[host]
        return not above or any(self.answers(parent, t) for parent in above)

    @property
    def rows(self) -> list[list[Any]]:
        """One look at each host a round, in an order of the round's own, a second between two; a tick ends a round.

        On a host's failure those of its parents that are not failing are looked at in the same second, as the poller
        does it (R10); not so without `upward`.
        """
        dice, rows = random.Random(self.seed), []
        failing: set[str] = set()
        for number in range(self.rounds):
            order = list(self.parents)
            dice.shuffle(order)
            for place, host in enumerate(order):
                t, looked = number * ROUND + place, [host]
                for one in looked:
                    rows.append([t, one, "result", "ok" if self.answers(one, t) else "fail"])
                    if self.answers(one, t):
                        failing.discard(one)
                        continue
                    failing.add(one)
                    above = self.parents[one] if self.upward else []
                    looked += [parent for parent in above if parent not in looked and parent not in failing]
            rows.append([number * ROUND + len(order), "poller", "tick", None])
        return rows


@st.composite
def topologies(draw: st.DrawFn, most: int = 6) -> dict[str, list[str]]:
    """Any network without a circle: each host behind up to three of those before it."""
    names = [f"h{number}" for number in range(draw(st.integers(1, most)))]
    return {
        name: draw(st.lists(st.sampled_from(names[:place]), max_size=3, unique=True)) if place else []
        for place, name in enumerate(names)
    }


@st.composite
def worlds(draw: st.DrawFn, spells: int = 3, quiet: int = 12) -> World:
    """Up to `spells` outages of some minutes (one may last), then `quiet` rounds in which nothing changes any more."""
    parents = draw(topologies())
    broken, last = [], 3 * ROUND
    for _ in range(draw(st.integers(0, spells))):
        begin = draw(st.integers(2 * ROUND, 12 * ROUND))
        end = begin + draw(st.integers(1, 8 * ROUND if spells < 4 else 2 * ROUND))
        lasting = draw(st.integers(0, 3)) == 0
        broken.append((draw(st.sampled_from(sorted(parents))), begin, 10**9 if lasting else end))
        last = max(last, begin if lasting else end)
    rounds = last // ROUND + 1 + quiet
    upward = draw(st.booleans())  # without it two failures of a child may both come before its parent's next look
    attempts = draw(st.sampled_from([2, 3, 4] if upward else [3, 4]))
    return World(parents, broken, rounds, draw(st.integers(0, 2**20)), attempts, upward)
