"""What an action at a machine would mean to others: whom it would cut off, what runs there, how it was with it lately."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, or_, select

from domain.actions import Request
from domain.approving import BOOT
from domain.heard import Job
from domain.inventory import Check, Host
from domain.orders import INTERRUPTING
from domain.records import FactSeen
from webui import looked, store, topology

USERS = "system.users.count"
NAMES = 5


@dataclass(frozen=True)
class Impact:
    """`behind`: names of machines that stand behind it, and how many. `users`: logged on, None where nobody counts.

    `jobs`: what said that it began and not yet that it ended, with when. `started`: since when the machine runs, as far
    as Pantau saw. `last`: the newest action that interrupted it.
    """

    behind: tuple[str, ...]
    behind_count: int
    users: int | None
    jobs: tuple[tuple[str, datetime], ...]
    started: datetime | None
    last: Request | None

    def kept(self) -> dict[str, Any]:
        """What is stored with a request, as it was when it was asked for."""
        return {"behind": self.behind_count, "users": self.users, "jobs": [name for name, _ in self.jobs]}


def of(host: Host) -> Impact:
    """As it is now."""
    database = store.session()
    below = topology.behind(host.id)
    counted = [
        amount for key, amount in looked.newest(host.id).items() if key.name == USERS and key.part != "disconnected"
    ]
    ended = func.greatest(Job.ok_at, Job.failed_at)
    jobs = database.execute(
        select(Check.name, Job.started_at)
        .join(Job, Job.check_id == Check.id)
        .where(Check.host_id == host.id, Job.started_at.is_not(None), or_(ended.is_(None), Job.started_at > ended))
        .order_by(Job.started_at)
    )
    return Impact(
        behind=tuple(one.name for one in below[:NAMES]),
        behind_count=len(below),
        users=round(sum(counted)) if counted else None,
        jobs=tuple((name, began) for name, began in jobs if began is not None),
        started=database.scalar(
            select(func.max(FactSeen.since)).where(FactSeen.host_id == host.id, FactSeen.name == BOOT)
        ),
        last=database.scalar(
            select(Request)
            .where(Request.host_id == host.id, Request.kind.in_(INTERRUPTING), Request.sent_at.is_not(None))
            .order_by(Request.sent_at.desc())
            .limit(1)
        ),
    )
