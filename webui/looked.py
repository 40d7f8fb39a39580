"""A machine's checks with their newest looks, and what each measure is now: three queries, however many measures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Select, func, select

from domain.inventory import Check, Credential, Host
from domain.records import FailureSeen, Latest, MetricSet, Track
from webui import store
from webui.language import gettext
from webui.series import Key
from webui.wording import clock

LATE = 2.5
"""A check whose newest look is older than so many of its intervals is told as overdue."""
STATES = ("critical", "warning", "ok")
"""Of a measure, worst first."""


@dataclass(frozen=True)
class CheckRow:
    """One check with its newest look. `failing_since` is when it began to fail the way it does now."""

    check: Check
    latest: Latest | None
    state: str
    credential: str
    next_at: datetime | None
    overdue: bool
    failing_since: datetime | None

    @property
    def old(self) -> str:
        """Since when its numbers are no longer true, in words; empty while they are."""
        latest = self.latest
        if latest is None or (latest.failure_kind is None and not self.overdue and self.state != "disabled"):
            return ""
        return gettext("from %(when)s", when=clock(latest.good_at or latest.ts))


@dataclass(frozen=True)
class Present:
    """What one measure of one part is now. `state` is one of STATES; `old` says since when it is no longer true."""

    check_id: int
    probe: str
    name: str
    part: str
    unit: str
    amount: float
    state: str
    old: str


def checks(host: Host, moment: datetime) -> list[CheckRow]:
    """Every check of the machine as it stands."""
    database = store.session()
    newest = {row.check_id: row for row in database.scalars(select(Latest).where(Latest.host_id == host.id))}
    subjects = [f"check:{check.id}" for check in host.checks]
    states = {row.subject: row.state for row in database.scalars(select(Track).where(Track.subject.in_(subjects)))}
    names = {row.id: row.name for row in database.execute(select(Credential.id, Credential.name))}
    begun = {row[0]: row[1] for row in database.execute(_begun(host))}
    rows = []
    for check in host.checks:
        latest, on = newest.get(check.id), check.enabled and host.enabled
        pace = timedelta(seconds=check.interval_s or host.interval_s or store.settings().interval)
        rows.append(
            CheckRow(
                check=check,
                latest=latest,
                state=states.get(f"check:{check.id}", "pending") if on else "disabled",
                credential=names.get(check.credential_id or 0, ""),
                next_at=latest.ts + pace if latest and on else None,
                overdue=bool(latest and on and moment - latest.ts > pace * LATE),
                failing_since=begun.get(check.id) if latest and latest.failure_kind else None,
            )
        )
    return rows


def present(host: Host, rows: Sequence[CheckRow]) -> list[Present]:
    """Every measure of the machine with its newest value, in the order the probes tell them."""
    database, found = store.session(), []
    ids = {row.latest.set_id for row in rows if row.latest and row.latest.set_id}
    sets = {one.id: one for one in database.scalars(select(MetricSet).where(MetricSet.id.in_(ids)))} if ids else {}
    crossed = _crossed(host)
    for row in rows:
        latest = row.latest
        if latest is None or latest.set_id is None or latest.v is None:
            continue
        one, old = sets[latest.set_id], row.old
        for name, part, unit, amount in zip(one.names, one.parts, one.units, latest.v, strict=False):
            if amount is not None:
                state = crossed.get((row.check.id, name, part), "ok")
                found.append(Present(row.check.id, row.check.kind, name, part, unit, amount, state, old))
    return found


def newest(host_id: int) -> dict[Key, float]:
    """The newest value of each line of a machine: one query."""
    database = store.session()
    rows = database.execute(
        select(Latest.check_id, Latest.v, MetricSet.names, MetricSet.parts, MetricSet.units)
        .join(MetricSet, MetricSet.id == Latest.set_id)
        .where(Latest.host_id == host_id)
    )
    return {
        Key(check, name, part, unit): amount
        for check, values, names, parts, units in rows
        for name, part, unit, amount in zip(names, parts, units, values or (), strict=False)
        if amount is not None
    }


def _crossed(host: Host) -> dict[tuple[int, str, str], str]:
    """The measures that are over a limit now."""
    rows = store.session().execute(
        select(Track.subject, Track.state).where(
            Track.host_id == host.id, Track.subject.like("metric:%"), Track.state.in_(STATES[:2])
        )
    )
    found = {}
    for subject, state in rows:
        _, check, name, part = subject.split(":", 3)
        found[int(check), name, part] = state
    return found


def _begun(host: Host) -> Select[int, datetime]:
    """(check, when its newest run of equal failures began)."""
    return (
        select(FailureSeen.check_id, func.max(FailureSeen.since))
        .where(FailureSeen.check_id.in_([check.id for check in host.checks]))
        .group_by(FailureSeen.check_id)
    )
