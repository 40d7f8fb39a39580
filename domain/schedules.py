"""The way of a run from being due to its end, and what becomes of it: every change of its state is made here.

Each function works in the caller's transaction and commits nothing. A run is a row that is there once for its moment,
claimed before anything is done; the clock is PostgreSQL's. A run that fails, or is missed, opens an incident of its
schedule, and the next one that goes well closes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from domain import approving, audit, chat, cron, mandates
from domain.inventory import Person
from domain.jobs import ILL, WELL, Schedule, ScheduleRun
from domain.records import Incident, IncidentEvent, Notice

LONGEST_OUTPUT = 20_000
KEPT = timedelta(days=400)
"""Runs are kept for so long, and the newest of each schedule for ever."""
CAUSES = {
    "missed": "It was due at {due} and nobody ran it: Pantau was not running then.",
    "not_agreed": "Its standing approval does not hold any more, so nothing was done.",
    "cut_off": "Pantau was stopped while it ran. It is not begun again by itself.",
    "requester": "Whoever set it up may not do this any more, so nothing was done.",
    "machine": "At {machine} it did not go as it should; the machines after it were left alone.",
    "ourselves": "It failed in Pantau's own code. Please report it.",
}
"""What an incident says of a run that did not go well, by the code of its outcome."""


def subject(schedule_id: int) -> str:
    """What an incident of a schedule is about."""
    return f"job:{schedule_id}"


def following(schedule: Schedule, moment: datetime) -> datetime | None:
    """When it comes next after `moment`; None where its expression or zone cannot be read any more."""
    try:
        return cron.following(cron.read(schedule.expression, schedule.zone), moment)
    except cron.Refused:
        return None


def plan(session: Session) -> int:
    """A run for every schedule whose moment has come, or has been missed. How many schedules that was."""
    now = approving.clock(session)
    due = session.scalars(
        select(Schedule)
        .where(Schedule.enabled, or_(Schedule.next_at.is_(None), Schedule.next_at <= now))
        .order_by(Schedule.next_at)
        .limit(50)
        .with_for_update(skip_locked=True, of=Schedule)
        .execution_options(populate_existing=True)
    ).all()
    for schedule in due:
        _take(session, schedule, now)
    return len(due)


def _take(session: Session, schedule: Schedule, now: datetime) -> None:
    first, schedule.next_at = schedule.next_at, following(schedule, now)
    if schedule.next_at is None:  # such as a zone this machine does not know any more: looked at again tomorrow
        schedule.next_at = now + timedelta(days=1)
        _missed(session, schedule, first or now, 1, now)
        session.flush()
        return
    if first is None:
        session.flush()
        return
    last, count = cron.latest(cron.read(schedule.expression, schedule.zone), first - timedelta(minutes=1), now)
    due = last or first
    if now - due > timedelta(seconds=schedule.grace_s):
        _missed(session, schedule, due, max(count, 1), now)
    elif (schedule.overlap == "skip" and _going(session, schedule.id)) or _waits(session, schedule.id):
        _row(session, schedule.id, due, "skipped", now, {"code": "overlap"})
    else:
        _row(session, schedule.id, due, "waiting", None, {"before": count - 1} if count > 1 else {})
    session.flush()


def _missed(session: Session, schedule: Schedule, due: datetime, count: int, now: datetime) -> None:
    made = _row(session, schedule.id, due, "missed", now, {"code": "missed", "count": count})
    if made:
        _trouble(session, schedule, "warning", {"code": "missed"}, due, now)


def _row(
    session: Session, schedule_id: int, due: datetime, state: str, ended: datetime | None, outcome: Mapping[str, Any]
) -> int | None:
    """Its run for this moment, unless there is one."""
    return session.scalar(
        insert(ScheduleRun)
        .values(schedule_id=schedule_id, due=due, state=state, ended_at=ended, outcome=dict(outcome))
        .on_conflict_do_nothing()
        .returning(ScheduleRun.id)
    )


def _going(session: Session, schedule_id: int) -> bool:
    wanted = select(ScheduleRun.id).where(
        ScheduleRun.schedule_id == schedule_id, ScheduleRun.state.in_(("running", "waiting"))
    )
    return session.scalar(wanted.limit(1)) is not None


def _waits(session: Session, schedule_id: int) -> bool:
    wanted = select(ScheduleRun.id).where(ScheduleRun.schedule_id == schedule_id, ScheduleRun.state == "waiting")
    return session.scalar(wanted.limit(1)) is not None


def run_now(session: Session, schedule: Schedule, someone: Person | None) -> bool:
    """Have it run once at once, beside its hours. False where it waits or runs already."""
    session.execute(select(Schedule.id).where(Schedule.id == schedule.id).with_for_update())
    if _going(session, schedule.id):
        return False
    session.execute(
        insert(ScheduleRun).values(
            schedule_id=schedule.id, due=func.clock_timestamp(), why="asked", asked_by=someone.id if someone else None
        )
    )
    audit.write(session, "schedule.run", on=f"schedule:{schedule.id}", detail={"name": schedule.name})
    session.execute(select(func.pg_notify("asked", "job")))
    return True


def pause(session: Session, schedule: Schedule, *, enabled: bool) -> None:
    """Pause it, or have it go on: what came meanwhile is neither made up for nor missed."""
    schedule.enabled = enabled
    schedule.next_at = following(schedule, approving.clock(session)) if enabled else None
    session.flush()


def claim(session: Session, run: str) -> ScheduleRun | None:
    """Take the next run for the poller `run`: commit, and only then begin. None where there is none."""
    busy = select(ScheduleRun.schedule_id).where(ScheduleRun.state == "running")
    found = session.scalar(
        select(ScheduleRun)
        .where(ScheduleRun.state == "waiting", ScheduleRun.schedule_id.not_in(busy))
        .order_by(ScheduleRun.due)
        .limit(1)
        .with_for_update(skip_locked=True, of=ScheduleRun)
        .execution_options(populate_existing=True)
    )
    if found is None:
        return None
    found.state, found.run, found.begun_at = "running", run, approving.clock(session)
    session.flush()
    return found


def left(session: Session, run: str) -> list[ScheduleRun]:
    """Runs that a poller before this one began and never ended; they are this one's from now on."""
    rows = list(
        session.scalars(
            select(ScheduleRun)
            .where(ScheduleRun.state == "running", ScheduleRun.run.is_distinct_from(run))
            .with_for_update(skip_locked=True, of=ScheduleRun)
        )
    )
    for row in rows:
        row.run = run
    session.flush()
    return rows


def mine(session: Session, run_id: int, run: str) -> ScheduleRun | None:
    """A run that is under way in this poller's hand, locked; None where it is not any more."""
    return session.scalar(
        select(ScheduleRun)
        .where(ScheduleRun.id == run_id, ScheduleRun.state == "running", ScheduleRun.run == run)
        .with_for_update(of=ScheduleRun)
        .execution_options(populate_existing=True)
    )


def say(row: ScheduleRun, line: str) -> None:
    """One more line of what people read of a run; what is too much is cut."""
    told = f"{row.output}{line}\n"
    row.output = told if len(told) <= LONGEST_OUTPUT else f"{told[: LONGEST_OUTPUT - 2]}…\n"


def end(session: Session, row: ScheduleRun, state: str, outcome: Mapping[str, Any]) -> None:
    """The end of a run, and what follows from it."""
    now, schedule = approving.clock(session), session.get_one(Schedule, row.schedule_id)
    row.state, row.outcome, row.ended_at = state, {**row.outcome, **outcome}, now
    session.flush()
    if state in WELL:
        _well(session, schedule, now)
    elif state in ILL:
        _trouble(session, schedule, "critical", row.outcome, row.due, now)
        mandates.tell(session, f"run:{row.id}", "failed", [schedule.made_by])
    _line(session, schedule, state)
    _forget(session, row, now)


def cause(outcome: Mapping[str, Any], due: datetime) -> str:
    """Why a run did not go well, as a sentence."""
    words = CAUSES.get(str(outcome.get("code", "")), "")
    if words:
        return words.format(due=f"{due:%Y-%m-%d %H:%M} UTC", machine=outcome.get("machine", "?"))
    return str(outcome.get("text") or CAUSES["ourselves"])[:500]


def _trouble(
    session: Session, schedule: Schedule, state: str, outcome: Mapping[str, Any], due: datetime, now: datetime
) -> None:
    """An incident of the schedule; one that is open goes on. Administrators are told when it begins or becomes worse."""
    about, why = subject(schedule.id), cause(outcome, due)
    there = session.scalar(
        select(Incident).where(Incident.subject == about, Incident.closed_at.is_(None)).with_for_update()
    )
    if there is None:
        there = Incident(subject=about, state=state, since=min(due, now), opened_at=now, cause=why)
        session.add(there)
        session.flush()
        event = {"from": "ok", "to": state, "reason": why}
        session.add(IncidentEvent(incident_id=there.id, at=now, kind="opened", data=event))
    else:
        before, there.cause = there.state, why
        there.state = "critical" if "critical" in (before, state) else state
        event = {"from": before, "to": there.state, "reason": why}
        session.add(IncidentEvent(incident_id=there.id, at=now, kind="state", data=event))
    session.flush()
    _notice(session, about, "problem", state, there, now)


def _well(session: Session, schedule: Schedule, now: datetime) -> None:
    there = session.scalar(
        select(Incident).where(Incident.subject == subject(schedule.id), Incident.closed_at.is_(None)).with_for_update()
    )
    if there is None:
        return
    there.closed_at = max(now, there.since)
    event = {"from": there.state, "to": "ok", "reason": ""}
    session.add(IncidentEvent(incident_id=there.id, at=now, kind="closed", data=event))
    session.flush()
    _notice(session, there.subject, "recovery", "ok", there, now)


def gone(session: Session, schedule: Schedule) -> None:
    """A schedule is about to be deleted: what was wrong with it is over."""
    session.execute(
        update(Incident)
        .where(Incident.subject == subject(schedule.id), Incident.closed_at.is_(None))
        .values(closed_at=func.greatest(func.now(), Incident.since))
    )


def _notice(session: Session, about: str, kind: str, state: str, incident: Incident, now: datetime) -> None:
    outage = (now - incident.since).total_seconds() if kind == "recovery" else None
    session.add(
        Notice(
            at=now, kind=kind, subject=about, incident_id=incident.id, state=state, outage=outage, admins_only=True,
            since=now if kind == "recovery" else incident.since, members=[],
        )
    )  # fmt: skip
    session.flush()
    session.execute(text("select pg_notify('notice', 'job')"))


def _line(session: Session, schedule: Schedule, state: str) -> None:
    """A thin line in the thread of the division whose it is; reports speak for themselves."""
    if schedule.division_id is not None and not (schedule.kind == "report" and state == "done"):
        detail = {"schedule": schedule.id, "name": schedule.name}
        chat.line(session, division_id=schedule.division_id, kind=f"schedule.{state}", detail=detail)


def _forget(session: Session, row: ScheduleRun, now: datetime) -> None:
    session.execute(
        text("delete from schedule_run where schedule_id = :schedule and id <> :own and due < :before"),
        {"schedule": row.schedule_id, "own": row.id, "before": now - KEPT},
    )
