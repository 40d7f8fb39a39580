"""How much that is new a check may bring: names are kept for ever, so a machine that makes up new ones is held to what it had."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

FACTS = 20_000
"""The most facts of one check: a chassis of four thousand ports tells of as many."""
NAMES = 200_000
"""The most names of measures, in sets that are new, a check brings at once, and then in a day."""
RECENT = 32
"""Sets of one check that are remembered: one for whole looks, some for those that ended early."""

Names = tuple[Sequence[str], Sequence[str], Sequence[str]]
"""Names, parts and units of a look's measures."""


@dataclass(slots=True)
class _Known:
    at: float
    left: float = NAMES
    names: Names = ((), (), ())
    marks: dict[int, None] = field(default_factory=dict)


class Novelty:
    """Watches over the sets of names each check brings."""

    def __init__(self) -> None:
        self._checks: dict[int, _Known] = {}

    def admit(
        self, check_id: int, names: Names, values: list[float | None], at: float
    ) -> tuple[Names, list[float | None]]:
        """The same where these names are known or still allowed; else those of the last set allowed. `at` is steady seconds."""
        known = self._checks.get(check_id)
        if known is None:
            known = self._checks[check_id] = _Known(at)
        mark = hash(names)
        if mark in known.marks:
            return names, values
        known.left = min(NAMES, known.left + max(0.0, at - known.at) * NAMES / 86400)
        known.at = at
        if len(values) > known.left:
            said = dict(zip(zip(*names, strict=True), values, strict=True))
            return known.names, [said.get(one) for one in zip(*known.names, strict=True)]
        known.left -= len(values)
        known.names, known.marks[mark] = names, None
        if len(known.marks) > RECENT:
            del known.marks[next(iter(known.marks))]
        return names, values

    def forget(self, check_id: int) -> None:
        """The check is gone."""
        self._checks.pop(check_id, None)
