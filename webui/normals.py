"""What is normal for a machine's numbers: read for its page, its charts and its figures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import cast
from zoneinfo import ZoneInfo

from flask import g
from sqlalchemy import select

from domain import baseline
from domain.baseline import NORMALS, Band, Status, Usual
from domain.records import BandLearnt
from webui import store
from webui.language import gettext
from webui.series import Line
from webui.units import is_share, say
from webui.wording import share

Key = tuple[int, str, str]
"""A check's id, a measure, a part."""
POINTS = 200
"""Of a band drawn: a corner every so many parts of the stretch shown."""


@dataclass(frozen=True)
class Area:
    """What is usual over a stretch of time: corners of (when, lowest, highest), oldest first."""

    corners: tuple[tuple[datetime, float, float], ...]

    @property
    def top(self) -> float:
        """The highest there is."""
        return max((high for _, _, high in self.corners), default=0.0)


def zone() -> ZoneInfo:
    """Whose hours the week is made of: the installation's, not the reader's."""
    return ZoneInfo(store.settings().zone)


def bands(host_id: int) -> dict[Key, Band]:
    """What was learnt of a machine, whatever its status: one query a request."""
    kept: dict[int, dict[Key, Band]] = g.setdefault("bands", {})
    if host_id not in kept:
        kept[host_id] = _bands(host_id)
    return kept[host_id]


def _bands(host_id: int) -> dict[Key, Band]:
    return {
        (row.check_id, row.measure, row.part): Band(
            cast(Status, row.status), row.days, tuple(row.low), tuple(row.high), tuple(row.under), tuple(row.over),
            NORMALS[row.measure].top,
        )
        for row in store.session().scalars(select(BandLearnt).where(BandLearnt.host_id == host_id))
        if row.measure in NORMALS
    }  # fmt: skip


def at(known: Mapping[Key, Band], moment: datetime) -> dict[Key, Usual]:
    """What is usual at a moment, of the metrics of which there is a saying."""
    place = baseline.place(moment, zone())
    found = {key: band.at(place) for key, band in known.items() if band.status in ("ready", "calibrating")}
    return {key: usual for key, usual in found.items() if usual is not None}


def usually(usual: Usual, unit: str, name: str) -> str:
    """The usual range as one says it: `34–62 %`."""
    if is_share(name, unit) and usual.high >= 0.1:  # nobody needs tenths of a range
        low, high = share(usual.low), share(usual.high)
    else:
        low, high = say(usual.low, unit, name), say(usual.high, unit, name)
    head, tail = low.rpartition("\u00a0")[::2], high.rpartition("\u00a0")[::2]
    if low == high:
        return low
    return f"{head[0]}–{high}" if head[0] and head[1] == tail[1] else f"{low}–{high}"


def area(known: Mapping[Key, Band], lines: Sequence[Line], begin: datetime, end: datetime) -> Area | None:
    """What is usual for the first line of a chart that has a normal; None where none has."""
    own = (known.get((line.check_id, line.name, line.part)) for line in lines)
    band = next((one for one in own if one is not None and one.status in ("ready", "calibrating")), None)
    if band is None:
        return None
    where, step = zone(), (end - begin) / POINTS
    moments = [begin + step * number for number in range(POINTS + 1)]
    seen = [(moment, band.at(baseline.place(moment, where))) for moment in moments]
    return Area(tuple((moment, usual.low, usual.high) for moment, usual in seen if usual is not None)) or None


def state(known: Iterable[Band]) -> str:
    """How far the learning is, in a sentence; empty where it is done, or where there is nothing to learn."""
    all_ = list(known)
    learning = [band for band in all_ if band.status in ("calibrating", "scant")]
    if not learning:
        return ""
    days = max(band.days for band in learning)
    return gettext(
        "Still learning what is normal for this machine: day %(day)s of %(days)s.",
        day=days, days=store.settings().calibration_days,
    )  # fmt: skip


def _reason(reason: str) -> tuple[float, float, float] | None:
    """(value, usually from, usually to) as poller/judge.py writes it; None where a limit was crossed."""
    words = reason.split()
    if len(words) != 4 or words[1] != "usually":
        return None
    try:
        return float(words[0]), float(words[2]), float(words[3])
    except ValueError:
        return None


def range_of(reason: str, unit: str, name: str) -> str:
    """What was usual when a value left its normal; empty where a limit was crossed."""
    told = _reason(reason)
    return "" if told is None else usually(Usual(told[1], told[2], None, None), unit, name)


def why(reason: str, unit: str, name: str) -> str:
    """Why a value was far from its normal, from the reason a change was recorded with; empty where a limit was crossed."""
    found = _reason(reason)
    if found is None:
        return ""
    amount, low, _ = found
    told = {"range": range_of(reason, unit, name), "now": say(amount, unit, name)}
    if low > 0 and amount <= low / 3:
        return gettext("usually %(range)s at this hour, now %(now)s: the load has gone", **told)
    return gettext("usually %(range)s at this hour, now %(now)s", **told)
