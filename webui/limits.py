"""The limits that hold for one machine: its own word on a measure and part, else its groups', its division's, everybody's."""

from __future__ import annotations

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from domain.inventory import Host, Threshold, host_in_group, owner
from domain.thresholds import nearest
from webui import store

RANKS = ("host", "group", "division", "all")


def limits(host: Host, session: Session | None = None) -> list[Threshold]:
    """As the poller applies them: the nearest owner's levels of a measure and part count alone.

    `session` is the request's where none is given.
    """
    return nearest(_ranks(host, session or store.session()), _about)


def overridden(host: Host, row: Threshold) -> list[Threshold]:
    """What owners farther away say of the same measure and part, and what therefore does not count; nearest first."""
    rank = RANKS.index(owner(row)[0])
    return [
        other for found in _ranks(host, store.session())[rank + 1 :] for other in found if _about(other) == _about(row)
    ]


def _about(row: Threshold) -> tuple[str, str]:
    return row.measure, row.part


def _ranks(host: Host, session: Session) -> list[list[Threshold]]:
    groups = select(host_in_group.c.group_id).where(host_in_group.c.host_id == host.id)
    everybody = Threshold.host_id.is_(None) & Threshold.group_id.is_(None) & Threshold.division_id.is_(None)
    concerned = or_(
        Threshold.host_id == host.id,
        Threshold.group_id.in_(groups),
        Threshold.division_id == host.division_id,
        everybody,
    )
    found: dict[str, list[Threshold]] = {name: [] for name in RANKS}
    for row in session.scalars(select(Threshold).where(concerned).order_by(Threshold.group_id, Threshold.id)):
        found[owner(row)[0]].append(row)
    return [found[name] for name in RANKS]
