"""Decides whether enough of the right people agree (requirements 40, 41, 44).

Pure. Whoever asks never counts; one refusal ends it; a vote counts as long as its voter may still vote, which is looked
at anew every time and last of all when the order is carried out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

By = Literal["approvers", "operators"]
EXTRA = 1
"""So many more must agree where a division is restarting one machine after the other (requirement 48)."""


@dataclass(frozen=True, slots=True)
class Rule:
    """How many must agree, and who: `approvers`, or `operators` (whoever runs the machines, and approvers).

    `local` of the `needs` must hold their role in the machine's own division. `alone`: operators and administrators act
    on a finding of their own without anybody. A rule that does not `allow` is a rule against it.
    """

    allow: bool = True
    needs: int = 2
    local: int = 1
    by: By = "approvers"
    alone: bool = False
    expires_s: int = 900


USUAL = Rule()
"""Where nobody has decided otherwise."""


@dataclass(frozen=True, slots=True)
class Vote:
    """What somebody said; whether they may say it now, and hold their role in the machine's division."""

    person_id: int
    agrees: bool
    counts: bool
    local: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """How it stands: `agreed` of `needs`, `local_agreed` of `local`."""

    agreed: int
    needs: int
    local_agreed: int
    local: int
    refused: bool

    @property
    def reached(self) -> bool:
        """Whether it may be done."""
        return not self.refused and self.agreed >= self.needs and self.local_agreed >= self.local

    @property
    def missing(self) -> int:
        """How many must still agree, at the least."""
        return max(self.needs - self.agreed, self.local - self.local_agreed, 0)


def standing(needs: int, local: int, requester: int | None, votes: Iterable[Vote]) -> Standing:
    """How a request by `requester` stands. Several votes of one person count as one."""
    agreed: dict[int, bool] = {}
    refused = False
    for vote in votes:
        if vote.person_id == requester or not vote.counts:
            continue
        if not vote.agrees:
            refused = True
        else:
            agreed[vote.person_id] = agreed.get(vote.person_id, False) or vote.local
    return Standing(len(agreed), needs, sum(agreed.values()), min(local, needs), refused)
