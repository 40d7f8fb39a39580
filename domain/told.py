"""What people were last told about one subject: the mark that R12 compares the present with."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, cast

from domain.stored import Shelf

Problem = Literal["", "down", "warning", "critical"]
Check = Literal["", "self", "poller"]


@dataclass(frozen=True, slots=True)
class Told:
    """The last word people have.

    `problem`: the problem state they believe in ("" = all is well), `since`: when that problem began.
    `check`: whether admins know that we cannot ask: "self" = told of this subject, "poller" = covered by,
    or waiting for, the message about the poller as a whole (R9).
    `at`: when the last problem or reminder was sent; reminders count from here.
    `acknowledged`: somebody has it; ends at recovery (R17).
    `flapping`: they were told that it comes and goes, and not yet that it stopped (R13).
    """

    problem: Problem = ""
    since: float | None = None
    check: Check = ""
    at: float | None = None
    acknowledged: bool = False
    flapping: bool = False

    def moved(self, by: float) -> Told:
        """The same mark with its moments `by` seconds later (the clock was set, R26)."""
        since = None if self.since is None else self.since + by
        return replace(self, since=since, at=None if self.at is None else self.at + by)

    @classmethod
    def from_json(cls, raw: object) -> Told:
        """The mark as stored. Raises ValueError with a sentence for what this version does not understand."""
        shelf = Shelf(cls, raw)
        return cls(
            problem=cast(Problem, shelf.word("problem", "", ("", "down", "warning", "critical"))),
            since=shelf.moment("since"),
            check=cast(Check, shelf.word("check", "", ("", "self", "poller"))),
            at=shelf.moment("at"),
            acknowledged=shelf.flag("acknowledged"),
            flapping=shelf.flag("flapping"),
        )


NOTHING = Told()
"""Nobody was told anything, or all was closed."""
