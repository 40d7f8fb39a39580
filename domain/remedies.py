"""When a remedy may act: its hours, its patience, and what turning it live takes."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from domain import approving
from domain.approving import Denied
from domain.audience import Hours
from domain.jobs import Firing, Remedy

STATES = ("down", "critical", "warning")
"""States of trouble that a remedy may be for."""


def hours_hold(remedy: Remedy, moment: datetime) -> bool:
    """Whether it may act at this moment. Hours that begin and end at the same time are the whole day."""
    if remedy.from_minute is None or remedy.to_minute is None:
        return True
    return Hours(remedy.from_minute, remedy.to_minute, remedy.zone, frozenset(remedy.days)).hold(moment)


def patience(remedy: Remedy) -> timedelta:
    """How long trouble must have lasted."""
    return timedelta(seconds=remedy.after_s)


def condition(remedy: Remedy) -> dict[str, Any]:
    """All of it that people agree to beside the order and the machines."""
    return {
        "remedy": {
            "check_kind": remedy.check_kind, "states": remedy.states, "after_s": remedy.after_s, "from": remedy.from_minute,
            "to": remedy.to_minute, "zone": remedy.zone, "days": remedy.days,
        }
    }  # fmt: skip


def dry_runs(session: Session, remedy: Remedy) -> int:
    """How often it has shown what it would do, as it is now."""
    rows = session.scalars(
        select(Firing.id)
        .where(Firing.remedy_id == remedy.id, Firing.state == "dry", Firing.at >= remedy.since)
        .limit(1000)
    )
    return len(rows.all())


def turn(session: Session, remedy: Remedy, *, live: bool, sure: bool = False) -> None:
    """Have it act from now on, or only show what it would do. What is in trouble already is left alone.

    To act it must have shown at least once what it would do, unless somebody is `sure` without. Raises Denied.
    """
    if live and not sure and not dry_runs(session, remedy):
        raise Denied("dry_first")
    if remedy.live is live:
        return
    remedy.live = live
    remedy.since = approving.clock(session)
    session.flush()
