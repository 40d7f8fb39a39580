"""What is known now of every watched machine: one query layer for the pages and for the terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, case, column, func, select, true, tuple_
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.orm import Session

from domain.clock import now
from domain.health import STALE_INTERVALS
from domain.inventory import Check, Host, HostGroup, Person, host_in_group
from domain.records import Heartbeat, Incident, IncidentMember, Latest, MetricSet, StateInterval, Track
from webui.language import gettext, ngettext
from webui.wording import number

WORST_FIRST = ("down", "critical", "unreachable", "warning", "unknown", "pending", "up", "disabled")
PROBLEMS = WORST_FIRST[:5]
CPU, MEMORY, DISK = "system.cpu.utilization", "system.memory.utilization", "system.filesystem.utilization"
SHARES = (CPU, MEMORY, DISK)
SAID = 2
"""So many kinds of trouble are named in the sentence; the rest is a number."""
SILENT = timedelta(seconds=30)
USUAL = 60.0
"""Seconds between looks where nobody says otherwise."""


@dataclass(frozen=True)
class Case:
    """The incident that is open for a machine's trouble, and who has it in hand; `owner` is empty where nobody has."""

    id: int
    owner: str = ""
    owner_id: int | None = None
    until: datetime | None = None
    since: datetime | None = None
    cause: str = ""


@dataclass(frozen=True)
class Machine:
    """One line of the board. `state` is one of WORST_FIRST; the shares are 0 to 1, or None where not measured.

    `reason` is why its newest look failed; `measure` and `part` say which limit is crossed, where one is, and
    `amount` and `unit` how high it is now. `stale`: nobody has looked for more than three of its intervals (R9), so
    an up machine is shown unknown. `maintenance` and `flapping` are flags beside the state. `case` is the open
    incident of what is wrong; `blocked_by` the machine whose being down makes this one unreachable, or 0 for our own line.
    """

    id: int
    name: str
    address: str
    state: str
    since: datetime | None
    reason: str
    measure: str
    part: str
    refused: bool
    sampled_at: datetime | None
    groups: tuple[str, ...]
    shares: tuple[float | None, float | None, float | None]
    amount: float | None = None
    unit: str = ""
    stale: bool = False
    maintenance: bool = False
    flapping: bool = False
    subject: str = ""
    case: Case | None = None
    blocked_by: int | None = None

    @property
    def rank(self) -> tuple[int, float, str]:
        """Worst first, then what has lasted longest, then by name."""
        since = self.since.timestamp() if self.since else 0.0
        return (WORST_FIRST.index(self.state), since if self.state in PROBLEMS else 0.0, self.name.lower())

    @property
    def fullest(self) -> tuple[str, float] | None:
        """Which of cpu, memory and disk is highest, and how high."""
        known = [(name, share) for name, share in zip(SHARES, self.shares, strict=True) if share is not None]
        return max(known, key=lambda pair: pair[1]) if known else None


@dataclass(frozen=True)
class Pulse:
    """Whether somebody is still looking: the poller's last sign of life, and whether that is too long ago."""

    at: datetime | None
    silent: bool


@dataclass(frozen=True)
class Answer:
    """Is anything wrong, in one sentence: the state of the worst, and the words."""

    state: str
    words: str


def machines(
    session: Session, visible: ColumnElement[bool], moment: datetime | None = None, usual: float = USUAL
) -> list[Machine]:
    """Every machine within `visible` (a condition on Host), worst first.

    `usual` is the interval of machines without one of their own: silence is measured by it.
    """
    at = moment or now()
    found = [_machine(row, at) for row in session.execute(_query(visible, usual))]
    found = _cases(session, _amounts(session, found))
    return sorted(found, key=lambda machine: machine.rank)


def own_line(session: Session) -> Case | None:
    """The incident that our own line is gone, while it is."""
    row = session.execute(
        select(Incident.id, Incident.owner_id, Incident.acknowledged_until, Incident.since, Person.name)
        .outerjoin(Person, Person.id == Incident.owner_id)
        .where(Incident.host_id.is_(None), Incident.closed_at.is_(None))
        .order_by(Incident.since)
        .limit(1)
    ).first()
    return Case(row.id, row.name or "", row.owner_id, row.acknowledged_until, row.since) if row else None


def in_order(found: Iterable[Machine]) -> list[Machine]:
    """Those that are not under maintenance: what is wrong with the others was planned."""
    return [machine for machine in found if not machine.maintenance]


def counts(found: Iterable[Machine]) -> dict[str, int]:
    """How many machines are in each state, worst first; states nobody is in are left out."""
    counted = Counter(machine.state for machine in found)
    return {state: counted[state] for state in WORST_FIRST if counted[state]}


def pulse(session: Session, moment: datetime) -> Pulse:
    """The poller's pulse at `moment`."""
    at = session.scalar(select(func.max(Heartbeat.at)).where(Heartbeat.role.like("poller%")))
    return Pulse(at, at is None or moment - at > SILENT)


def last_trouble(session: Session, visible: ColumnElement[bool]) -> datetime | None:
    """When the newest incident that is over ended, of these machines."""
    return session.scalar(select(func.max(Incident.closed_at)).join(Host, Host.id == Incident.host_id).where(visible))


def answer(counted: dict[str, int], total: int, planned: int = 0) -> Answer:
    """What is wrong, in one sentence, with these machines; `planned` more are under maintenance."""
    wrong = {state: number for state, number in counted.items() if state in PROBLEMS}
    if wrong:
        parts = [_part(state, number) for state, number in list(wrong.items())[:SAID]]
        left = sum(list(wrong.values())[SAID:])
        if left:
            parts.append(ngettext("%(num)s more needs a look", "%(num)s more need a look", left))
        return Answer(next(iter(wrong)), ", ".join(parts) + ".")
    waiting = counted.get("pending", 0)
    if waiting:
        words = ngettext(
            "Waiting for the first look at %(num)s machine.", "Waiting for the first look at %(num)s machines.", waiting
        )
        return Answer("pending", words)
    watched = total - counted.get("disabled", 0)
    if not watched and planned == 1:
        return Answer("maintenance", gettext("The one machine is under maintenance."))
    if not watched and planned:
        return Answer("maintenance", gettext("All %(count)s machines are under maintenance.", count=number(planned)))
    if not watched:
        return Answer("disabled", gettext("Nothing is being watched: every machine is switched off."))
    if watched == 1:
        return Answer("up", gettext("The one machine is up."))
    return Answer("up", gettext("All %(count)s machines are up.", count=number(watched)))


def _part(state: str, number: int) -> str:
    if state == "down":
        return ngettext("%(num)s machine is down", "%(num)s machines are down", number)
    if state == "critical":
        return ngettext("%(num)s machine is critical", "%(num)s machines are critical", number)
    if state == "unreachable":
        return ngettext("%(num)s machine is unreachable", "%(num)s machines are unreachable", number)
    if state == "warning":
        return ngettext("%(num)s machine has a warning", "%(num)s machines have a warning", number)
    return ngettext("%(num)s machine could not be asked", "%(num)s machines could not be asked", number)


def _query(visible: ColumnElement[bool], usual: float) -> Select[Any]:
    flaps = Track.data["flaps"]
    own = (
        select(
            Track.host_id,
            Track.state,
            Track.since,
            (flaps["fast"].as_boolean().is_(True) | flaps["slow"].as_boolean().is_(True)).label("flapping"),
        )
        .where(Track.subject == func.concat("host:", Track.host_id))
        .subquery()
    )
    trouble, newest, fresh = _trouble(), _newest(), _fresh(usual)
    maintained = (
        select(StateInterval.id)
        .where(StateInterval.subject == func.concat("maintenance:", Host.id), StateInterval.until.is_(None))
        .exists()
    )
    groups = (
        select(func.array_agg(HostGroup.name))
        .join(host_in_group, host_in_group.c.group_id == HostGroup.id)
        .where(host_in_group.c.host_id == Host.id)
        .scalar_subquery()
    )
    return (
        select(
            Host.id,
            Host.name,
            Host.address,
            Host.enabled,
            Host.created_at,
            own.c.state,
            own.c.since,
            own.c.flapping,
            maintained.label("maintenance"),
            fresh.c.until.label("fresh_until"),
            trouble.c.worst,
            trouble.c.since.label("trouble_since"),
            trouble.c.subject,
            newest.c.at,
            newest.c.reason,
            newest.c.refused,
            *(newest.c[f"share_{n}"] for n in range(len(SHARES))),
            groups.label("groups"),
        )
        .outerjoin(own, own.c.host_id == Host.id)
        .outerjoin(trouble, trouble.c.host_id == Host.id)
        .outerjoin(newest, newest.c.host_id == Host.id)
        .outerjoin(fresh, fresh.c.host_id == Host.id)
        .where(visible)
    )


def _fresh(usual: float) -> Any:
    """Per machine until when its newest look holds (R9): of the checks that decide up and down, else of any."""
    pace = func.coalesce(Check.interval_s, Host.interval_s, usual)
    until = Latest.ts + func.make_interval(0, 0, 0, 0, 0, 0, STALE_INTERVALS * pace)
    return (
        select(
            Latest.host_id,
            func.coalesce(func.max(until).filter(Check.reachability), func.max(until)).label("until"),
        )
        .join(Check, Check.id == Latest.check_id)
        .join(Host, Host.id == Latest.host_id)
        .where(Check.enabled)
        .group_by(Latest.host_id)
        .subquery()
    )


def _cases(session: Session, found: list[Machine]) -> list[Machine]:
    """The same, each with the incident open for what is wrong, and who is behind whom: two queries, however many."""
    subjects = [machine.subject for machine in found if machine.state in PROBLEMS and machine.subject]
    rows = session.execute(
        select(
            Incident.subject, Incident.id, Incident.owner_id, Incident.acknowledged_until, Person.name, Incident.cause
        )
        .outerjoin(Person, Person.id == Incident.owner_id)
        .where(Incident.subject.in_(subjects), Incident.closed_at.is_(None))
    )
    cases = {
        subject: Case(id, name or "", owner, until, cause=cause) for subject, id, owner, until, name, cause in rows
    }
    members = session.execute(
        select(IncidentMember.host_id, Incident.host_id)
        .join(Incident, Incident.id == IncidentMember.incident_id)
        .where(IncidentMember.until.is_(None), Incident.closed_at.is_(None))
    )
    blocked = {member: root or 0 for member, root in members if member != root}
    return [
        replace(
            one,
            case=cases.get(one.subject),
            blocked_by=blocked.get(one.id) if one.state == "unreachable" else None,
        )
        for one in found
    ]


def _trouble() -> Any:
    """Per machine the worst of its measures and checks (2 critical, 1 warning or a failed check) and since when."""
    worst = case(
        (and_(Track.subject.like("metric:%"), Track.state == "critical"), 2),
        (and_(Track.subject.like("metric:%"), Track.state == "warning"), 1),
        (and_(Track.subject.like("check:%"), Track.state == "down"), 1),
        else_=0,
    )
    return (
        select(
            Track.host_id,
            func.max(worst).label("worst"),
            func.min(Track.since).filter(worst > 0).label("since"),
            func.array_agg(aggregate_order_by(Track.subject, worst.desc(), Track.since))[1].label("subject"),
        )
        .where(Track.subject.not_like("host:%"))
        .group_by(Track.host_id)
        .subquery()
    )


def _newest() -> Any:
    """Per machine its newest sample, why it failed, and its highest shares."""
    part = func.unnest(MetricSet.names, Latest.v).table_valued(column("name"), column("value")).render_derived("part")
    wanted = [func.max(part.c.value).filter(part.c.name == name) for name in SHARES]
    denied = Latest.failure_kind.in_(("denied", "untrusted", "unsupported"))
    return (
        select(
            Latest.host_id,
            func.max(Latest.ts).label("at"),
            func.max(Latest.failure_detail).label("reason"),
            func.bool_or(denied).label("refused"),
            *(share.label(f"share_{n}") for n, share in enumerate(wanted)),
        )
        .outerjoin(MetricSet, MetricSet.id == Latest.set_id)
        .outerjoin(part, true())
        .group_by(Latest.host_id)
        .subquery()
    )


def _amounts(session: Session, found: list[Machine]) -> list[Machine]:
    """The same, with the newest value of whichever measure crosses a limit: one query, however many there are."""
    wanted = {(one.id, one.measure, one.part) for one in found if one.measure}
    part = (
        func.unnest(MetricSet.names, MetricSet.parts, MetricSet.units, Latest.v)
        .table_valued(column("name"), column("of"), column("unit"), column("value"))
        .render_derived("part")
    )
    asked = (
        select(Latest.host_id, part.c.name, part.c.of, part.c.unit, part.c.value)
        .join(MetricSet, MetricSet.id == Latest.set_id)
        .join(part, true())
        .where(tuple_(Latest.host_id, part.c.name, part.c.of).in_(wanted))
    )
    known = {(host, name, of): (unit, value) for host, name, of, unit, value in session.execute(asked)}
    amended = []
    for one in found:
        unit, amount = known.get((one.id, one.measure, one.part), ("", None))
        amended.append(replace(one, unit=unit, amount=amount) if amount is not None else one)
    return amended


def _machine(row: Any, moment: datetime) -> Machine:
    state, since, subject = row.state or "pending", row.since, f"host:{row.id}"
    stale = bool(row.enabled and row.fresh_until and row.fresh_until < moment)
    if not row.enabled:
        state = "disabled"
    elif stale and state in ("up", "pending"):
        state, since = "unknown", row.at
    elif state == "up" and row.worst:
        state, since, subject = ("critical" if row.worst == 2 else "warning"), row.trouble_since, row.subject
    metric = subject.split(":", 3) if subject.startswith("metric:") else ()
    return Machine(
        id=row.id,
        name=row.name,
        address=row.address,
        state=state,
        since=since or row.created_at,
        reason=row.reason or "",
        measure=metric[2] if metric else "",
        part=metric[3] if metric else "",
        refused=bool(row.refused) and state not in ("down", "disabled"),
        sampled_at=row.at,
        groups=tuple(sorted(row.groups or ())),
        shares=(row.share_0, row.share_1, row.share_2),
        stale=stale,
        maintenance=bool(row.maintenance) and state != "disabled",
        flapping=bool(row.flapping) and state != "disabled",
        subject=subject,
    )
