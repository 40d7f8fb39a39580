"""Keeps a storm from becoming as many messages: rule R25 of the state rules.

Pure. One `Crowd` for each recipient: it says of each notice whether it is told by itself or within the digest.
`Crowds` keeps those of everybody and of the admins.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from domain.routing import ADMINS_ONLY, MONITOR, Notice, Spoken
from domain.stored import Shelf, dump

LIMIT, WITHIN = 10, 60.0
"""More than so many of a kind within so many seconds are a crowd."""
EVERY = 300.0
"""A digest is renewed at most every so many seconds, and ends when there was nothing to renew it with."""

COUNTED = ("problem", "recovery", "flap_start", "flap_stop", "check_problem")
"""Notices that become a digest when there are too many of them at once."""
GOOD = ("recovery", "flap_stop")
"""Those of them that are a crowd of their own."""

Way = Literal["single", "digest", "held"]


@dataclass(frozen=True, slots=True)
class Crowd:
    """What is remembered of the notices to one recipient.

    `recent` are the moments of the last of them. While a digest runs, `sent` is when it was last told and `news` are
    the subjects it does not tell of yet.
    """

    recent: tuple[float, ...] = ()
    sent: float | None = None
    news: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSONB; what equals its default is left out."""
        return dump(self)

    @classmethod
    def from_json(cls, raw: object) -> Crowd:
        """The memory as stored. Raises ValueError with a sentence for what this version does not know."""
        shelf = Shelf(cls, raw)
        return cls(shelf.moments("recent"), shelf.moment("sent"), shelf.texts("news"))


def resume(crowd: Crowd, now: float) -> Crowd:
    """The memory as loaded by a process that starts at `now`: no moment of it lies in the future (R26)."""
    sent = None if crowd.sent is None else min(crowd.sent, now)
    return replace(crowd, recent=tuple(min(at, now) for at in crowd.recent), sent=sent)


def admit(crowd: Crowd, subject: str, at: float) -> tuple[Crowd, Way]:
    """How a notice about `subject` is told: by itself, as the reason for a digest now, or held for its next.

    The first LIMIT within WITHIN seconds are told by themselves, whether a digest runs or not: what comes when the
    storm is over must not wait for it.
    """
    recent = tuple(one for one in crowd.recent if at - one < WITHIN)
    crowd = replace(crowd, recent=(*recent, at)[-LIMIT:])
    if len(recent) < LIMIT:
        return crowd, "single"
    if crowd.sent is None:
        return replace(crowd, sent=at), "digest"
    return crowd if subject in crowd.news else replace(crowd, news=(*crowd.news, subject)), "held"


def passed(crowd: Crowd, now: float) -> tuple[Crowd, bool]:
    """As time passes: whether the digest is to be told again now; one without news ends instead."""
    if crowd.sent is None or now - crowd.sent < EVERY:
        return crowd, False
    if not crowd.news:
        return replace(crowd, sent=None), False
    return replace(crowd, sent=now, news=()), True


def dropped(crowd: Crowd, subject: str) -> Crowd:
    """Somebody has it in hand: what waits to be told of it is told no more (R17)."""
    if subject not in crowd.news:
        return crowd
    return replace(crowd, news=tuple(one for one in crowd.news if one != subject))


class Crowds:
    """The crowds of all recipients: everybody's and the admins', of problems and of what is well again."""

    def __init__(self) -> None:
        self._crowds: dict[str, Crowd] = {}

    def speak(self, subject: str, notice: Notice) -> Spoken | None:
        """What is to be told now: the notice itself, the digest it belongs to, or nothing yet."""
        if notice.kind not in COUNTED:
            return Spoken(subject, notice)
        whom = "admins" if notice.kind in ADMINS_ONLY else "all"
        if subject in self._crowds.get(whom, Crowd()).news:
            return None  # the digest will tell how it stands then
        name = f"{whom} good" if notice.kind in GOOD else whom
        crowd = self._crowds.get(name, Crowd())
        self._crowds[name], way = admit(crowd, subject, notice.at)
        if way == "single":
            return Spoken(subject, notice)
        return _digest((subject,), notice.at) if way == "digest" else None

    def renewed(self, now: float) -> Iterator[Spoken]:
        """Running digests that are due again."""
        for name, crowd in self._crowds.items():
            self._crowds[name], due = passed(crowd, now)
            if due:
                yield _digest(crowd.news, now)

    def drop(self, subject: str) -> None:
        """Somebody has it in hand (R17)."""
        self._crowds = {name: dropped(crowd, subject) for name, crowd in self._crowds.items()}

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSONB (R20)."""
        return {name: crowd.to_json() for name, crowd in sorted(self._crowds.items()) if crowd != Crowd()}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any], now: float) -> Crowds:
        """The crowds as stored, going on at `now`. Raises ValueError with a sentence for what is not known."""
        crowds = cls()
        crowds._crowds = {str(name): resume(Crowd.from_json(crowd), now) for name, crowd in raw.items()}
        return crowds


def _digest(members: Iterable[str], at: float) -> Spoken:
    return Spoken(MONITOR, Notice("digest", at, "down", at), tuple(dict.fromkeys(members)))
