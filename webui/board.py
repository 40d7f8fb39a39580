"""All machines a person may see with what is known of them now: the one query behind home and the list."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, case, column, func, or_, select, true
from sqlalchemy.dialects.postgresql import aggregate_order_by

from domain.inventory import Check, Host, HostGroup, Person, host_in_group
from domain.records import Heartbeat, Incident, Latest, MetricSet, StateInterval, Track, raw
from webui import access, store
from webui.drawing import Interval

WORST_FIRST = ("down", "critical", "unreachable", "warning", "unknown", "pending", "up", "disabled")
PROBLEMS = WORST_FIRST[:5]
CPU, MEMORY, DISK = "system.cpu.utilization", "system.memory.utilization", "system.filesystem.utilization"
SHARES = (CPU, MEMORY, DISK)
DRAWN = (CPU, "icmp.rtt.median")
"""Of these the first a machine has is drawn as its sparkline."""
HOT = 0.9
SILENT = timedelta(seconds=30)


@dataclass(frozen=True)
class Machine:
    """One line of the board. `state` is one of WORST_FIRST; the shares are 0 to 1, or None where not measured.

    `reason` is why its newest look failed; `measure` and `part` say which limit is crossed, where one is.
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


def machines(person: Person) -> list[Machine]:
    """Every machine `person` may see, worst first."""
    rows = store.session().execute(_query(access.visible(person)))
    return sorted((_machine(row) for row in rows), key=lambda machine: machine.rank)


def counts(found: Iterable[Machine]) -> dict[str, int]:
    """How many machines are in each state, worst first; states nobody is in are left out."""
    counted = Counter(machine.state for machine in found)
    return {state: counted[state] for state in WORST_FIRST if counted[state]}


def pulse(moment: datetime) -> Pulse:
    """The poller's pulse at `moment`."""
    at = store.session().scalar(select(func.max(Heartbeat.at)).where(Heartbeat.role.like("poller%")))
    return Pulse(at, at is None or moment - at > SILENT)


def histories(ids: Sequence[int], begin: datetime) -> dict[int, list[Interval]]:
    """The states of these machines since `begin`, oldest first."""
    rows = store.session().execute(
        select(StateInterval.host_id, StateInterval.since, StateInterval.until, StateInterval.state)
        .where(
            StateInterval.subject.in_([f"host:{host}" for host in ids]),
            or_(StateInterval.until.is_(None), StateInterval.until > begin),
        )
        .order_by(StateInterval.since)
    )
    drawn: dict[int, list[Interval]] = defaultdict(list)
    for host, since, until, state in rows:
        drawn[host].append((since, until, state))
    return drawn


def curves(ids: Sequence[int], begin: datetime) -> dict[int, list[float | None]]:
    """The last values of one measure of each of these machines (the first of DRAWN it has), oldest first."""
    value = case(*((func.array_position(MetricSet.names, name).is_not(None), _element(name)) for name in DRAWN))
    order = case(*((func.array_position(MetricSet.names, name).is_not(None), n) for n, name in enumerate(DRAWN)))
    rows = store.session().execute(
        select(Check.host_id, order, value)
        .select_from(raw)
        .join(Check, Check.id == raw.c.check_id)
        .join(MetricSet, MetricSet.id == raw.c.set_id)
        .where(Check.host_id.in_(ids), raw.c.ts > begin, order.is_not(None))
        .order_by(raw.c.ts)
    )
    found: dict[int, dict[int, list[float | None]]] = defaultdict(lambda: defaultdict(list))
    for host, which, number in rows:
        found[host][which].append(number)
    return {host: by_measure[min(by_measure)] for host, by_measure in found.items()}


def last_trouble() -> datetime | None:
    """When the newest incident that is over ended."""
    return store.session().scalar(select(func.max(Incident.closed_at)))


def _element(name: str) -> ColumnElement[Any]:
    return raw.c.v[func.array_position(MetricSet.names, name)]


def _query(visible: ColumnElement[bool]) -> Select[Any]:
    own = (
        select(Track.host_id, Track.state, Track.since)
        .where(Track.subject == func.concat("host:", Track.host_id))
        .subquery()
    )
    trouble, newest = _trouble(), _newest()
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
        .where(visible)
    )


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


def _machine(row: Any) -> Machine:
    state, since = row.state or "pending", row.since
    if not row.enabled:
        state = "disabled"
    elif state == "up" and row.worst:
        state, since = ("critical" if row.worst == 2 else "warning"), row.trouble_since
    subject = (row.subject or "").split(":", 3)
    return Machine(
        id=row.id,
        name=row.name,
        address=row.address,
        state=state,
        since=since or row.created_at,
        reason=row.reason or "",
        measure=subject[2] if len(subject) > 2 and state in ("critical", "warning") else "",
        part=subject[3] if len(subject) > 3 and state in ("critical", "warning") else "",
        refused=bool(row.refused) and state not in ("down", "disabled"),
        sampled_at=row.at,
        groups=tuple(sorted(row.groups or ())),
        shares=(row.share_0, row.share_1, row.share_2),
    )
