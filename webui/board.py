"""All machines a person may see with what is known of them now, and their recent past: behind home and the list."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, case, func, or_, select

from domain.inventory import Check, Host, Person
from domain.records import MetricSet, StateInterval, raw
from webui import access, store, watched
from webui.drawing import Interval
from webui.watched import CPU, PROBLEMS, SHARES, WORST_FIRST, Answer, Machine, Pulse, answer, counts, in_order

__all__ = [
    "CPU",
    "HOT",
    "PROBLEMS",
    "SHARES",
    "WORST_FIRST",
    "Answer",
    "Machine",
    "Pulse",
    "answer",
    "counts",
    "curves",
    "histories",
    "in_order",
    "last_trouble",
    "machine",
    "machines",
    "pulse",
]

DRAWN = (CPU, "icmp.rtt.median")
"""Of these the first a machine has is drawn as its sparkline."""
HOT = 0.9


def machines(person: Person) -> list[Machine]:
    """Every machine `person` may see, worst first."""
    return watched.machines(store.session(), access.visible(person), usual=store.settings().interval)


def machine(person: Person, host_id: int) -> Machine:
    """One machine `person` may see."""
    only = access.visible(person) & (Host.id == host_id)
    return watched.machines(store.session(), only, usual=store.settings().interval)[0]


def pulse(moment: datetime) -> Pulse:
    """The poller's pulse at `moment`."""
    return watched.pulse(store.session(), moment)


def last_trouble(person: Person) -> datetime | None:
    """When the newest incident that is over ended, of the machines `person` may see."""
    return watched.last_trouble(store.session(), access.visible(person))


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


def _element(name: str) -> ColumnElement[Any]:
    return raw.c.v[func.array_position(MetricSet.names, name)]
