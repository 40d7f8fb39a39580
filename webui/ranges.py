"""Which stretch of time a page shows: a usual length until now, or two moments somebody chose. Lives in the URL."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from flask_babel import get_timezone

RANGES = {"1h": timedelta(hours=1), "6h": timedelta(hours=6), "24h": timedelta(days=1), "7d": timedelta(days=7), "30d": timedelta(days=30), "1y": timedelta(days=365)}  # fmt: skip
USUAL = "24h"
SHORTEST, LONGEST = timedelta(minutes=1), timedelta(days=3660)


@dataclass(frozen=True)
class Window:
    """From `begin` to `end`. `name` is one of RANGES, and the end is now; or it is empty, and both were chosen.

    `typed` are the two moments as they came, shown again even where they make no range (`wrong`).
    """

    begin: datetime
    end: datetime
    name: str
    typed: tuple[str, str] = ("", "")
    wrong: bool = False

    @property
    def span(self) -> timedelta:
        """How long it is."""
        return self.end - self.begin

    @property
    def query(self) -> dict[str, str]:
        """What of a URL brings the same stretch again."""
        return {"range": self.name} if self.name else {"from": _plain(self.begin), "to": _plain(self.end)}

    @property
    def fields(self) -> tuple[str, str]:
        """The two moments for `<input type=datetime-local>`, on the reader's clock."""
        return self.typed if self.wrong else (_plain(self.begin)[:16], _plain(self.end)[:16])


def window(asked: Mapping[str, str], moment: datetime, usual: str = USUAL) -> Window:
    """The stretch a request asks for with `range`, or `from` and `to` on the reader's clock; the usual one if neither.

    An end in the future is now. Two moments that make no range give the usual one, marked as wrong.
    """
    typed = (asked.get("from", "").strip()[:40], asked.get("to", "").strip()[:40])
    name = asked.get("range", "") if asked.get("range", "") in RANGES else usual
    plain = Window(moment - RANGES[name], moment, name)
    if not any(typed):
        return plain
    begin, end = _moment(typed[0]), min(_moment(typed[1]) or moment, moment)
    if begin is None or (typed[1] and _moment(typed[1]) is None) or not SHORTEST <= end - begin <= LONGEST:
        return Window(plain.begin, plain.end, name, typed, True)
    return Window(begin, end, "")


def zone() -> ZoneInfo:
    """The reader's."""
    return ZoneInfo(str(get_timezone()))


def _plain(at: datetime) -> str:
    return at.astimezone(zone()).replace(tzinfo=None).isoformat(timespec="seconds")


def _moment(text: str) -> datetime | None:
    """A moment typed without a zone is meant on the reader's clock."""
    try:
        found = datetime.fromisoformat(text)
        return found if found.tzinfo else found.replace(tzinfo=zone())
    except ValueError:
        return None
