"""What watching a machine costs, on its side and on ours: by check and in all, a day's worth."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta

from sqlalchemy import func, select

from domain.inventory import Check, Host
from domain.records import IN_ALL, WatchCost
from webui import store
from webui.looked import CheckRow, Present

WATCH = "host.watch."
"""How measures begin that tell of the looking itself, not of the machine."""
DAY = timedelta(days=1)
LEAST = timedelta(minutes=2)
"""A day is told from no less than so long."""


@dataclass(frozen=True)
class Sums:
    """Sums over some time: counts, seconds and bytes as in domain.records.WatchCost."""

    looks: float = 0
    failed: float = 0
    took: float = 0
    cpu: float = 0
    sent: float = 0
    received: float = 0
    told: float = 0
    their_cpu: float = 0
    their_processes: float = 0

    @property
    def bytes(self) -> float:
        """Both ways."""
        return self.sent + self.received

    @property
    def share(self) -> float:
        """Of one core of ours, where the sums are a day's."""
        return self.cpu / DAY.total_seconds()

    @property
    def their_share(self) -> float:
        """Of one core of the machine, where the sums are a day's."""
        return self.their_cpu / DAY.total_seconds()

    def __add__(self, other: Sums) -> Sums:
        return Sums(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(Sums)))

    def times(self, factor: float) -> Sums:
        """Everything that many times."""
        return Sums(*(getattr(self, one.name) * factor for one in fields(Sums)))


@dataclass(frozen=True)
class Cost:
    """What one machine takes a day: `rows` by check, `all` together; `guessed` while it has not been watched a day."""

    rows: list[tuple[Check, Sums]]
    all: Sums
    guessed: bool


SUMMED = tuple(func.sum(getattr(WatchCost, one.name)) for one in fields(Sums))


def of(host: Host, rows: Sequence[CheckRow], moment: datetime) -> Cost | None:
    """A day of watching this machine, from the last day, or from as much of it as there is; None before there is any."""
    begin = moment - DAY
    found = store.session().execute(
        select(WatchCost.check_id, func.min(WatchCost.ts), *SUMMED)
        .where(WatchCost.check_id.in_([row.check.id for row in rows]), WatchCost.ts > begin - timedelta(hours=1))
        .group_by(WatchCost.check_id)
    )
    checks, sums, guessed = {row.check.id: row.check for row in rows}, [], False
    for check_id, first, *amounts in found:
        check = checks[check_id]
        known = moment - max(first, check.created_at)
        guessed = guessed or known < DAY - timedelta(hours=1)
        sums.append((check, Sums(*(float(one) for one in amounts)).times(DAY / max(known, LEAST))))
    if not sums:
        return None
    sums.sort(key=lambda pair: -pair[1].bytes)
    return Cost(sums, sum((one for _, one in sums), Sums()), guessed)


def without(values: Iterable[Present]) -> list[Present]:
    """The measures that tell of the machine, not of the looking."""
    return [one for one in values if not one.name.startswith(WATCH)]


def in_all() -> list[tuple[str, str, str, Sums, float]]:
    """(machine, check, kind, sums since the check was made, seconds late) of every check that was ever looked at."""
    found = store.session().execute(
        select(
            Host.name, Check.name, Check.kind, WatchCost.late, *(getattr(WatchCost, one.name) for one in fields(Sums))
        )
        .join(Check, Check.id == WatchCost.check_id)
        .join(Host, Host.id == Check.host_id)
        .where(WatchCost.ts == IN_ALL)
        .order_by(Host.name, Check.name)
    )
    return [(host, check, kind, Sums(*amounts), late) for host, check, kind, late, *amounts in found]
