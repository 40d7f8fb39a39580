"""Keeps a storm from becoming as many messages: rule R25 of the state rules.

Pure. One `Crowd` for each recipient: it says of each notice whether it is told by itself or within the digest.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from domain.stored import Shelf, dump

LIMIT, WITHIN = 10, 60.0
"""More than so many of a kind within so many seconds are a crowd."""
EVERY = 300.0
"""A digest is renewed at most every so many seconds, and ends when there was nothing to renew it with."""

Way = Literal["single", "digest", "held"]


@dataclass(frozen=True, slots=True)
class Crowd:
    """What is remembered of the notices to one recipient.

    `single` are the moments of those told by themselves lately. While a digest runs, `sent` is when it was last
    told and `news` are the subjects it does not tell of yet; `members` are all it has told or will tell of.
    """

    single: tuple[float, ...] = ()
    sent: float | None = None
    news: tuple[str, ...] = ()
    members: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSONB; what equals its default is left out."""
        return dump(self)

    @classmethod
    def from_json(cls, raw: object) -> Crowd:
        """The memory as stored. Raises ValueError with a sentence for what this version does not know."""
        shelf = Shelf(cls, raw)
        return cls(shelf.moments("single"), shelf.moment("sent"), shelf.texts("news"), shelf.texts("members"))


def resume(crowd: Crowd, now: float) -> Crowd:
    """The memory as loaded by a process that starts at `now`: no moment of it lies in the future (R26)."""
    sent = None if crowd.sent is None else min(crowd.sent, now)
    return replace(crowd, single=tuple(min(at, now) for at in crowd.single), sent=sent)


def admit(crowd: Crowd, subject: str, at: float) -> tuple[Crowd, Way]:
    """How a notice about `subject` is told: by itself, as the reason to tell the digest now, or held for the next."""
    crowd, due = passed(crowd, at)
    if crowd.sent is not None:
        joined = _joined(crowd, subject)
        return (replace(joined, news=()), "digest") if due else (joined, "held")
    recent = tuple(one for one in crowd.single if at - one < WITHIN)
    if len(recent) < LIMIT:
        return replace(crowd, single=(*recent, at)), "single"
    return Crowd(single=recent, sent=at, members=(subject,)), "digest"


def passed(crowd: Crowd, now: float) -> tuple[Crowd, bool]:
    """As time passes: whether the digest is to be told again now; one without news ends instead."""
    if crowd.sent is None or now - crowd.sent < EVERY:
        return crowd, False
    if not crowd.news:
        return Crowd(single=crowd.single), False
    return replace(crowd, sent=now, news=()), True


def dropped(crowd: Crowd, subject: str) -> Crowd:
    """Somebody has it in hand: what waits to be told of it is told no more (R17)."""
    if subject not in crowd.news:
        return crowd
    return replace(crowd, news=tuple(one for one in crowd.news if one != subject))


def _joined(crowd: Crowd, subject: str) -> Crowd:
    news = crowd.news if subject in crowd.news else (*crowd.news, subject)
    members = crowd.members if subject in crowd.members else (*crowd.members, subject)
    return replace(crowd, news=news, members=members)
