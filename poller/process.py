"""One poller process: puts the parts together, leads its site, and stops cleanly."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from dataclasses import asdict
from zoneinfo import ZoneInfo

import psycopg
from psycopg import AsyncConnection
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from config import database, migrate, vault
from config.settings import Settings, place_of
from domain import clock
from domain.clock import Steady
from poller import sources
from poller.actions import Actions
from poller.answers import Answers
from poller.chores import Chores, Load
from poller.discovery import Discoveries
from poller.ears import Ears
from poller.forecasts import Forecasts
from poller.jobs import Jobs
from poller.lanes import Lanes
from poller.normals import Normals, Ready
from poller.plan import CheckPlan, HostPlan, Plan, load, maintained
from poller.recorder import Displaced, Recorder, Unreadable
from poller.reports import Reports
from poller.round import Round, look_round
from poller.schedule import TICK, Clock, Schedule, Work
from poller.spool import Spool
from poller.upward import References, Upward, references

_log = logging.getLogger("poller")
LEADER = 0x50414E
"""First half of the advisory lock that one poller a site holds; the second half is the site's number."""
HEARTBEAT = 5.0
ASKED = 2.0
"""Seconds between two questions to the reference targets while our own line is suspected or lost."""
STANDING = 3.0
"""Seconds until the rules know of an acknowledgement or a maintenance that begins or ends."""


def run(settings: Settings) -> int:
    """Be a poller until told to stop. The exit code: 0 stopped, 1 cannot work (the sentence is logged)."""
    try:
        asyncio.run(_Poller(settings).work())
    except (vault.VaultError, database.DatabaseError, Displaced, Unreadable) as error:
        _log.error("%s", error)
        return 1
    except OSError as error:
        _log.error("%s", error)
        return 1
    except (psycopg.OperationalError, DBAPIError) as error:
        said = str(error.orig if isinstance(error, DBAPIError) else error).strip()
        _log.error("PostgreSQL is not there yet: %s", (said.splitlines() or ["no reason given"])[0])
        return 1
    return 0


class _Poller:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._url = database.url(settings.database_url, settings.sockets, "poller")
        self._engine = database.engine(self._url, size=4, name="pantau poller")
        self._sessions = database.sessions(self._engine)
        self._opener = vault.opener(settings.vault_key)
        self._sources = sources.of(settings)
        self._steady = Steady()
        self._plan = Plan({})
        self._work: set[asyncio.Task[None]] = set()
        self._edited = asyncio.Event()

    async def work(self) -> None:
        """Lead, load, tick; until SIGTERM or SIGINT."""
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await asyncio.to_thread(migrate.demand, self._engine)
        lead = asyncio.create_task(self._lead())
        await asyncio.wait([lead, waiting := asyncio.create_task(stop.wait())], return_when=asyncio.FIRST_COMPLETED)
        if stop.is_set():
            lead.cancel()
            return
        waiting.cancel()
        await self._watch(lead.result(), stop)

    async def _watch(self, line: AsyncConnection, stop: asyncio.Event) -> None:
        """Look, record and answer until told to stop."""
        self._loop = asyncio.get_running_loop()
        settings, self._schedule, self._load = self._settings, Schedule(self._steady), Load()
        self._lanes = Lanes(settings.seats, self._steady)
        spool = Spool(settings.spool, settings.spool_mib * 2**20)
        targets = references(settings.references)
        ready = Ready(ZoneInfo(settings.zone))
        self._normals = Normals(self._url, ready, settings.calibration_days)
        self._recorder = Recorder(self._url, settings.site, spool, self._steady, targets, ready)
        self._references = References(self._lanes, targets or (), self._recorder.asked)
        self._upward = Upward(self._steady.now, self._look_aside)
        self._chores = Chores(
            self._url, settings.raw_days, settings.hourly_days, settings.audit_days, settings.chat_days
        )
        self._answers = Answers(
            self._url, self._sessions, self._opener, self._lanes, lambda: self._plan, self._recorder.add, self._sources
        )
        self._discoveries = Discoveries(
            self._url, self._sessions, self._opener, self._lanes, lambda: self._plan, self._sources
        )
        self._actions = Actions(self._sessions, self._opener, self._sources, self._acted)
        self._jobs = Jobs(self._sessions, settings, searching=lambda: self._loop.call_soon_threadsafe(self._discoveries.serve))  # fmt: skip
        self._ears = Ears(
            self._url, self._lanes.keep, self._look_now,
            place_of(settings.traps) if settings.traps else None, place_of(settings.syslog) if settings.syslog else None,
        )  # fmt: skip
        self._lanes.keep.get(("reports",), lambda: Reports(self._sessions))
        await self._normals.open()
        await self._recorder.open()
        await self._ears.open()
        await self._chores.hourly()
        await self._replan()
        await self._actions.open()
        await self._jobs.open()
        _log.info("Watching %s, %s.", _many(len(self._plan.hosts), "machine"), _many(len(self._schedule), "round"))
        times = Clock()
        times.every(TICK, self._tick, "tick")
        times.every(600, self._chores.hourly, "chores")
        times.every(HEARTBEAT, self._beat, "heartbeat")
        times.every(60, self._replan_safely, "replan")
        times.every(60, self._chores.adopt, "guests")
        times.every(60, self._normals.work, "normals")
        times.every(600, Forecasts(self._url).work, "forecasts")
        times.every(ASKED, self._ask_references, "references")
        times.every(STANDING, self._standing, "standing")
        times.every(STANDING, self._act, "actions")
        times.every(STANDING, self._work_unattended, "jobs")
        times.start()
        tasks = [
            asyncio.create_task(self._recorder.run(), name="recorder"),
            asyncio.create_task(self._listen(line), name="listener"),
            asyncio.create_task(self._follow_edits(), name="edits"),
            asyncio.create_task(self._ears.write(), name="notes"),
            asyncio.create_task(self._ears.follow(), name="names"),
            asyncio.create_task(stop.wait(), name="stop"),
        ]
        try:
            ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            times.stop()
            self._discoveries.close()
            self._actions.close()
            self._jobs.close()
            self._ears.close()
            for task in [*tasks[1:], *self._work]:
                task.cancel()
            tasks[0].cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await tasks[0]
            await self._normals.close()
            self._lanes.close()
        for task in ended:
            if task is not tasks[-1]:
                task.result()

    async def _lead(self) -> AsyncConnection:
        """The connection that holds this site's lock: one poller leads, others stand by (takeover within seconds)."""
        told = False
        while True:
            line = await AsyncConnection.connect(
                self._url, autocommit=True, connect_timeout=3, application_name="pantau leader",
                keepalives_idle=10, keepalives_interval=5, keepalives_count=3,
            )  # fmt: skip
            row = await (
                await line.execute("select pg_try_advisory_lock(%s, %s)", [LEADER, self._settings.site])
            ).fetchone()
            if row and row[0]:
                for channel in ("inventory", "asked"):
                    await line.execute(f"listen {channel}".encode())
                return line
            await line.close()
            if not told:
                _log.info("Another poller leads site %d; this one stands by.", self._settings.site)
                told = True
            await asyncio.sleep(2)

    async def _listen(self, line: AsyncConnection) -> None:
        """Hear of edits and of looks asked for; come back after every outage of PostgreSQL."""
        while True:
            with contextlib.suppress(psycopg.OperationalError):
                self._edited.set()
                await self._answers.serve()
                self._discoveries.serve()
                async for notice in line.notifies():
                    if notice.channel == "inventory":
                        self._edited.set()
                    else:
                        await self._answers.serve()
                        self._discoveries.serve()
                        await self._act()
                        await self._work_unattended()
            await asyncio.sleep(1)
            with contextlib.suppress(psycopg.OperationalError):
                line = await self._lead()

    async def _follow_edits(self) -> None:
        """Take over edits a moment after they are made, many at once as one."""
        while True:
            await self._edited.wait()
            await asyncio.sleep(0.1)
            self._edited.clear()
            await self._replan_safely()

    async def _replan_safely(self) -> None:
        try:
            await self._replan()
            await self._answers.serve()
            self._discoveries.serve()
        except Exception as error:  # noqa: BLE001 - sqlalchemy and psycopg both, while PostgreSQL is away
            _log.debug("The inventory cannot be read now (%s).", type(error).__name__)

    async def _replan(self) -> None:
        settings = self._settings
        plan = await asyncio.to_thread(
            load, self._sessions, self._opener, settings.interval, settings.attempts, settings.remind, self._sources
        )
        known = {host: self._recorder.judge.host(host) for host in plan.hosts}
        fresh = {host for host, track in known.items() if track is None or track.seen is None} - set(self._plan.hosts)
        changed = {host.id for host in plan.hosts.values() if host.checks and self._checks_added(host.id, plan)}
        self._plan = plan
        self._recorder.reconcile(plan)
        self._normals.plan(plan)
        self._schedule.plan(plan, fresh | changed | (plan.recording & plan.hosts.keys()))
        await self._ears.plan(plan)

    def _checks_added(self, host_id: int, plan: Plan) -> bool:
        """Whether an edit gave a machine checks it did not have (or another address): look at it at once."""
        before = self._plan.hosts.get(host_id)
        if before is None:
            return False
        after = plan.hosts[host_id]
        known = {(check.id, check.options, check.credential_id) for check in before.checks}
        return before.address != after.address or any(
            (check.id, check.options, check.credential_id) not in known for check in after.checks
        )

    def _look_now(self, host: HostPlan) -> None:
        """A machine spoke: look at all of it, beside its schedule."""
        current = self._plan.hosts.get(host.id)
        if current is not None and current.checks:
            self._look_aside(current, current.checks)

    async def _act(self) -> None:
        """Take up what was agreed to, unless PostgreSQL is away: then it waits, or expires."""
        with contextlib.suppress(SQLAlchemyError):
            await self._actions.serve()

    async def _work_unattended(self) -> None:
        """Begin what is due by itself, unless PostgreSQL is away: then it is late, or missed."""
        with contextlib.suppress(SQLAlchemyError):
            await self._jobs.serve()

    def _acted(self, host_id: int) -> None:
        """Something was done to a machine (told from any thread): look at all of it."""
        if (host := self._plan.hosts.get(host_id)) is not None:
            self._loop.call_soon_threadsafe(self._look_now, host)

    def _look_aside(self, host: HostPlan, checks: tuple[CheckPlan, ...]) -> None:
        """Look at these checks of a machine, beside its schedule."""
        task = asyncio.create_task(self._beside(host, checks))
        self._work.add(task)
        task.add_done_callback(self._work.discard)

    async def _beside(self, host: HostPlan, checks: tuple[CheckPlan, ...]) -> None:
        self._looked(await look_round(self._lanes, host, checks, self._lanes.moment(), down=False))

    def _looked(self, round: Round) -> None:
        """A round is over: it is counted and handed on, and one that failed makes us look upwards."""
        self._load.round(round.late, len(round.looks))
        self._recorder.add(round)
        if round.outcome == "fail":
            judge = self._recorder.judge
            self._upward.failed(round.host, self._plan, judge.well, judge.down)

    async def _tick(self) -> None:
        for work in self._schedule.due():
            task = asyncio.create_task(self._round(work))
            self._work.add(task)
            task.add_done_callback(self._work.discard)

    async def _round(self, work: Work) -> None:
        try:
            down = self._recorder.judge.down(work.host.id)
            self._looked(await look_round(self._lanes, work.host, work.checks, work.due, down=down))
        finally:
            self._schedule.done(work)

    async def _ask_references(self) -> None:
        """Is it us? Asked only while too many machines fail at once."""
        if self._recorder.judge.suspects_line:
            await self._references.ask()

    async def _standing(self) -> None:
        """What people said meanwhile: who has what in hand, and what is under maintenance."""
        acknowledged = await self._chores.acknowledged()
        if acknowledged is not None:
            self._recorder.acknowledged = acknowledged
        with contextlib.suppress(SQLAlchemyError):
            self._recorder.maintained = await asyncio.to_thread(maintained, self._sessions, self._plan, clock.now())

    async def _beat(self) -> None:
        away = self._recorder.away_since
        await self._chores.heartbeat({
            **self._load.report(),
            "hosts": len(self._plan.hosts),
            "overlapped": self._schedule.overlapped,
            "written": self._recorder.written,
            "heard": asdict(self._ears.counts),
            "away_since": away.isoformat() if away else None,
        })  # fmt: skip


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
