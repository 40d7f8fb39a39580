"""What happens unattended: runs that are due, taken up once, carried out, and told.

A run is a row before anything is done. Whatever dies while it is under way is taken over by the next poller, which waits
for what was already asked for and begins nothing a second time.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from config import backup
from config.backup import BackupError
from config.settings import Settings
from domain import approving, mandates, rights, schedules
from domain.actions import ENDED, Request
from domain.approving import KNOWN, Denied
from domain.inventory import Credential, Host, Person
from domain.jobs import Mandate, Schedule, ScheduleRun
from domain.requests import Discovery, Found
from domain.rights import Right
from poller import remedies
from poller.reporting import report
from probes.limits import clean

_log = logging.getLogger("poller")
AT_ONCE = 3
"""Runs under way beside each other."""
LONGEST = 6 * 3600.0
"""Seconds one run waits for what it asked for."""
FIRST_REPORT = timedelta(days=1)
"""So far back the first report of a schedule looks."""
TOLD = 20
"""Newcomers told by name."""


@dataclass(frozen=True)
class Patience:
    """Seconds between two looks at what is waited for."""

    pause: float = 1.0


class _Ended(Exception):
    """It ends here: the state, and the outcome."""

    def __init__(self, state: str, **outcome: Any) -> None:
        super().__init__(state)
        self.state, self.outcome = state, outcome


class _Stopped(Exception):
    """We are told to stop: whoever comes next goes on."""


class Jobs:
    """Takes up what is due. `serve` is called every few seconds, and when somebody asked for a run."""

    def __init__(
        self, sessions: sessionmaker[Session], settings: Settings, patience: Patience = Patience(),
        searching: Callable[[], object] = lambda: None,
    ) -> None:  # fmt: skip
        self._sessions, self._settings, self._patience, self._searching = sessions, settings, patience, searching
        self.run = str(uuid.uuid4())
        self._stopped, self._ill = threading.Event(), False
        self._under_way: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Go on with what a poller before this one left."""
        for run_id in await asyncio.to_thread(self._within, lambda session: [row.id for row in schedules.left(session, self.run)]):  # fmt: skip
            self._begin(run_id, anew=False)

    async def serve(self) -> None:
        """Make the runs that are due, and begin those that wait. Raises SQLAlchemyError when PostgreSQL is away."""
        await asyncio.to_thread(self._within, schedules.plan)
        await self._remedy()
        while len(self._under_way) < AT_ONCE:
            found = await asyncio.to_thread(self._claim)
            if found is None:
                return
            self._begin(found, anew=True)

    async def _remedy(self) -> None:
        try:
            await asyncio.to_thread(self._within, remedies.serve)
        except SQLAlchemyError:
            raise
        except Exception:  # noqa: BLE001 - the border of the remedies: schedules go on without them
            if not self._ill:
                _log.warning("The remedies failed in our own code.", exc_info=True)
            self._ill = True
        else:
            self._ill = False

    def close(self) -> None:
        """Wait for nothing any more; the next poller goes on."""
        self._stopped.set()

    async def idle(self) -> None:
        """Wait until nothing is under way."""
        while self._under_way:
            await asyncio.wait(set(self._under_way))

    def _begin(self, run_id: int, *, anew: bool) -> None:
        task = asyncio.create_task(asyncio.to_thread(self.carry_out, run_id, anew=anew))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    def _claim(self) -> int | None:
        def claim(session: Session) -> int | None:
            row = schedules.claim(session, self.run)
            return row.id if row else None

        found: int | None = self._within(claim)
        return found

    def carry_out(self, run_id: int, *, anew: bool) -> None:
        """The whole of one run, on a thread; with `anew` False what another poller began is waited for and nothing more."""
        try:
            kind = self._within(lambda session: self._kind(session, run_id))
            work = {"action": self._act, "report": self._report, "discovery": self._search, "backup": self._back_up}[
                kind
            ]
            work(run_id, anew)
        except _Ended as ended:
            self._end(run_id, ended.state, ended.outcome)
        except _Stopped:
            return
        except SQLAlchemyError:
            _log.info("A job waits for PostgreSQL; it is taken up again when Pantau starts anew.", exc_info=True)
            self._end(run_id, "unknown", {"code": "cut_off"})
        except Exception:  # noqa: BLE001 - the border of one job: the others go on
            _log.warning("A job failed in our own code.", exc_info=True)
            self._end(run_id, "failed", {"code": "ourselves"})

    def _kind(self, session: Session, run_id: int) -> str:
        found = session.scalar(select(Schedule.kind).join(ScheduleRun).where(ScheduleRun.id == run_id))
        if found is None:
            raise _Stopped
        return found

    # ---- an action with a standing approval

    def _act(self, run_id: int, anew: bool) -> None:
        """One machine after the other; where one does not go well, the rest is left alone."""
        if not anew:
            self._follow(run_id)
            raise _Ended("failed", code="cut_off")
        hosts = self._within(lambda session: self._agreed(session, run_id))
        if hosts is None:
            raise _Ended("failed", code="not_agreed")
        for host_id, name in hosts:
            request_id = self._within(partial(self._ask, run_id=run_id, host_id=host_id))
            if request_id is None:
                raise _Ended("failed", code="machine", machine=name)
            self._awaited(run_id, request_id, name)
        raise _Ended("done", machines=len(hosts))

    def _agreed(self, session: Session, run_id: int) -> list[tuple[int, str]] | None:
        """The machines, where the standing approval holds; None where it does not, which is told."""
        row, mandate = self._held(session, run_id)
        stands = mandates.stands(session, mandate)
        if stands.state != "agreed":
            schedules.say(row, f"approval: {stands.state}")
            told = [mandate.asked_by, *mandates.voters(session, mandate)]
            mandates.tell(session, f"run:{row.id}", "lost", told)
            row.outcome = {**row.outcome, "approval": stands.state}
            session.flush()
            return None
        return [(host.id, host.name) for host in mandates.machines(session, mandate)]

    def _held(self, session: Session, run_id: int) -> tuple[ScheduleRun, Mandate]:
        row = schedules.mine(session, run_id, self.run)
        schedule = session.get(Schedule, row.schedule_id) if row else None
        if row is None or schedule is None or schedule.mandate_id is None:
            raise _Stopped
        return row, session.get_one(Mandate, schedule.mandate_id)

    def _ask(self, session: Session, run_id: int, host_id: int) -> int | None:
        """The request at one machine, in one transaction with its number in the run; None where it is not to be had."""
        row, mandate = self._held(session, run_id)
        name = session.scalar(select(Schedule.name).where(Schedule.id == row.schedule_id))
        host = session.get(Host, host_id)
        if host is None:
            return None
        try:
            with session.begin_nested():
                request = mandates.ask(session, mandate, host, f"“{name}”")
                number = request.id
        except Denied as error:
            schedules.say(row, f"{host.name}: {error.code}")
            return None
        row.requests = [*row.requests, number]
        session.flush()
        return number

    def _awaited(self, run_id: int, request_id: int, name: str) -> None:
        """Wait for the end of a request, and write down what came of it. Raises _Ended where it was not done."""
        state, said = self._until(lambda: self._ending(request_id))
        self._say(run_id, f"{name}: {state}{f' – {said}' if said else ''}")
        if state != "done":
            raise _Ended("unknown" if state == "unknown" else "failed", code="machine", machine=name)

    def _ending(self, request_id: int) -> tuple[str, str] | None:
        def look(session: Session) -> tuple[str, str] | None:
            row = session.execute(select(Request.state, Request.outcome).where(Request.id == request_id)).one_or_none()
            if row is None:
                return "cancelled", ""
            told = row.outcome.get("text") or row.outcome.get("code") or ""
            return (row.state, clean(str(told), 300)) if row.state in ENDED else None

        found: tuple[str, str] | None = self._within(look)
        return found

    def _follow(self, run_id: int) -> None:
        """Wait for what another poller had asked for before it went."""
        asked = self._within(lambda session: list(session.get_one(ScheduleRun, run_id).requests))
        for request_id in asked[-1:]:
            state, _ = self._until(partial(self._ending, request_id))
            self._say(run_id, f"#{request_id}: {state}")
            if state == "unknown":
                raise _Ended("unknown", code="cut_off")

    # ---- a status report

    def _report(self, run_id: int, anew: bool) -> None:
        """Made and handed to the notifier in one transaction: what is left of a poller that died is nothing at all."""
        if not anew:
            raise _Ended("failed", code="cut_off")

        def make(session: Session) -> None:
            row = schedules.mine(session, run_id, self.run)
            if row is None:
                raise _Stopped
            schedule, now = session.get_one(Schedule, row.schedule_id), approving.clock(session)
            before = session.scalar(
                select(ScheduleRun.begun_at)
                .where(ScheduleRun.schedule_id == schedule.id, ScheduleRun.state == "done")
                .order_by(ScheduleRun.due.desc())
                .limit(1)
            )
            told = report(session, schedule.division_id, before or now - FIRST_REPORT, now)
            readers = [one for one in _people(session, schedule) if approving.may(one, Right.SEE, schedule.division_id)]
            mandates.tell(session, f"run:{row.id}", "report", [one.id for one in readers])
            schedules.say(row, ", ".join(one.name for one in readers) or "–")
            schedules.end(session, row, "done", {"report": told, "told": len(readers)})

        self._within(make)

    # ---- a discovery

    def _search(self, run_id: int, anew: bool) -> None:
        if anew:
            self._within(lambda session: self._look_through(session, run_id))
            self._searching()
        number = self._within(lambda session: str(session.get_one(ScheduleRun, run_id).outcome.get("discovery", "")))
        if not number:
            raise _Ended("failed", code="cut_off")

        def done(session: Session) -> bool | None:
            row = session.get(Discovery, number)
            return True if row is None or row.done_at is not None else None

        self._until(lambda: self._within(done))
        self._within(lambda session: self._found(session, run_id, number))

    def _look_through(self, session: Session, run_id: int) -> None:
        row = schedules.mine(session, run_id, self.run)
        if row is None:
            raise _Stopped
        schedule = session.get_one(Schedule, row.schedule_id)
        maker = session.get(Person, schedule.made_by or 0, options=[KNOWN])
        if maker is None or not maker.active or Right.ADMIN not in rights.OF[maker.role]:
            raise _Ended("failed", code="requester")
        told = schedule.options
        known = set(session.scalars(select(Credential.id).where(Credential.id.in_(told.get("credentials", [])))))
        asked = Discovery(
            id=str(uuid.uuid4()), asked_by=maker.id, addresses=told["addresses"], names=told.get("names", {}),
            rate=told["rate"], credentials=sorted(known), trace=bool(told.get("trace")),
        )  # fmt: skip
        session.add(asked)
        row.outcome = {**row.outcome, "discovery": asked.id}
        session.flush()

    def _found(self, session: Session, run_id: int, number: str) -> None:
        """Who answered, and who of them is neither watched nor was there before; these are told."""
        row = schedules.mine(session, run_id, self.run)
        if row is None:
            raise _Stopped
        schedule = session.get_one(Schedule, row.schedule_id)
        seen = session.scalars(select(Found).where(Found.discovery_id == number).order_by(Found.place)).all()
        watched = set(session.scalars(select(Host.address)))
        before = _seen_before(session, schedule.id)
        fresh = [one for one in seen if one.address not in watched and not one.seen.get("watched")]
        newcomers = [one for one in fresh if one.address not in before]
        names = [[one.address, clean(str(one.seen.get("name") or ""), 100)] for one in newcomers[:TOLD]]
        for address, name in names:
            schedules.say(row, f"{address} {name}".rstrip())
        if newcomers:
            mandates.tell(session, f"run:{row.id}", "newcomers", [one.id for one in _people(session, schedule) if Right.ADMIN in rights.OF[one.role]])  # fmt: skip
        told = {"answered": len(seen), "unwatched": len(fresh), "newcomers": len(newcomers), "names": names}
        schedules.end(session, row, "done", {**told, "seen": [one.address for one in fresh]})

    # ---- a backup

    def _back_up(self, run_id: int, anew: bool) -> None:
        if not anew:
            raise _Ended("failed", code="cut_off")
        schedule = self._within(lambda session: session.get_one(Schedule, session.get_one(ScheduleRun, run_id).schedule_id))  # fmt: skip
        try:
            made = backup.make(self._settings, int(schedule.options.get("keep", 7)), str(schedule.id))
        except BackupError as error:
            raise _Ended("failed", text=str(error)) from None
        self._say(run_id, f"{made.path.name}: {made.size} B, {made.tables} tables")
        raise _Ended("done", file=made.path.name, size=made.size, tables=made.tables, gone=len(made.gone))

    # ---- how

    def _until(self, look: Callable[[], Any]) -> Any:
        end = time.monotonic() + LONGEST
        while (found := look()) is None:
            if time.monotonic() >= end:
                raise _Ended("unknown", text="What it asked for had not ended after six hours.")
            if self._stopped.wait(self._patience.pause):
                raise _Stopped
        return found

    def _say(self, run_id: int, line: str) -> None:
        def write(session: Session) -> None:
            if (row := schedules.mine(session, run_id, self.run)) is not None:
                schedules.say(row, line)

        self._within(write)

    def _end(self, run_id: int, state: str, outcome: dict[str, Any]) -> None:
        def write(session: Session) -> None:
            if (row := schedules.mine(session, run_id, self.run)) is not None:
                schedules.end(session, row, state, outcome)

        while True:
            try:
                self._within(write)
                return
            except SQLAlchemyError:
                if self._stopped.wait(self._patience.pause):
                    return  # the next poller ends it

    def _within(self, work: Callable[[Session], Any]) -> Any:
        with self._sessions() as session, session.begin():
            return work(session)


def _people(session: Session, schedule: Schedule) -> list[Person]:
    """Whoever a schedule tells, as far as they are still there; where it names nobody, who made it."""
    wanted = schedule.options.get("people") or [schedule.made_by]
    return list(session.scalars(select(Person).where(Person.id.in_(wanted), Person.active).options(KNOWN).order_by(Person.name)))  # fmt: skip


def _seen_before(session: Session, schedule_id: int) -> set[str]:
    """What the last discovery of a schedule found and nobody watches."""
    told = session.scalar(
        select(ScheduleRun.outcome)
        .where(ScheduleRun.schedule_id == schedule_id, ScheduleRun.state == "done")
        .order_by(ScheduleRun.due.desc())
        .limit(1)
    )
    return set((told or {}).get("seen", ()))
