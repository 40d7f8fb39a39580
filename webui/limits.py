"""The limits that hold for one machine: for each measure and part its own word, else its groups', else everybody's."""

from __future__ import annotations

from collections import defaultdict

from sqlalchemy import or_, select

from domain.inventory import Host, Threshold, host_in_group
from webui import store


def limits(host: Host) -> list[Threshold]:
    """As the poller applies them: the nearest owner's levels of a measure and part count alone."""
    groups = select(host_in_group.c.group_id).where(host_in_group.c.host_id == host.id)
    own = or_(Threshold.host_id == host.id, Threshold.group_id.in_(groups))
    everybody = Threshold.host_id.is_(None) & Threshold.group_id.is_(None)
    found: dict[tuple[str, str], dict[int, list[Threshold]]] = defaultdict(lambda: defaultdict(list))
    for row in store.session().scalars(select(Threshold).where(or_(own, everybody)).order_by(Threshold.id)):
        found[row.measure, row.part][0 if row.host_id else 1 if row.group_id else 2].append(row)
    return [row for by_owner in found.values() for row in by_owner[min(by_owner)]]
