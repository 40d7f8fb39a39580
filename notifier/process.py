"""One notifier process: routes what is to be told, sends it, answers tests, and judges whether anybody still looks.

One process sends for an installation (an advisory lock); another one stands by and takes over within seconds. The event
loop owns time; whatever blocks (the database, the channels) runs on threads, each channel on its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Awaitable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import procrastinate
import psycopg
from psycopg import AsyncConnection, Connection
from psycopg_pool import ConnectionPool
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from config import database, vault
from config.settings import Settings
from config.vault import Sealer
from domain import clock
from notifier import addresses, fanout, letters, lookouts, mentions, queue, summonses, trials, watch
from notifier.channels import catalogue
from notifier.emergency import Emergency
from notifier.hands import Hands
from notifier.outbox import Outbox
from notifier.talks import Talks
from notifier.telling import Telling
from probes.doors import Doors

_log = logging.getLogger("notifier")
LEADER = 0x50544E4F
"""The advisory lock of the one notifier that sends."""
GRACE = 3.0
"""Seconds a message may still take when we are told to stop."""
TRIALS = 4
"""Tests under way at once."""
PATIENCE = 15.0
"""Seconds a look may take before PostgreSQL counts as away: a frozen server answers nothing, not even an error."""
END = 10.0
"""Seconds after which we end whatever hangs, once told to stop."""
WATCH, SWEEP, LISTEN = 5.0, 2.0, 1.0
"""Seconds between two looks at the watching, at work nobody does, and at what is due without anybody having called."""


def run(settings: Settings) -> int:
    """Work until told to stop. A message that hangs then is left to the next process, which finds it leased."""
    logging.getLogger("procrastinate").setLevel(logging.WARNING)  # it tells of every job, and so do we where it matters
    notifier = Notifier(settings)
    code = asyncio.run(notifier.run())
    if notifier.busy:
        _end(code)
    return code


def _end(code: int) -> None:
    """End at once: threads cannot be called back, and would be waited for."""
    logging.shutdown()
    os._exit(code)


class Notifier:
    """Everything of one process."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._url = database.url(settings.database_url, settings.sockets, "notifier")
        self._stop = asyncio.Event()
        self._leads = True  # until another one is seen to lead: with PostgreSQL away nobody can know better
        self._waker = queue.Waker()
        self._threads: dict[int, ThreadPoolExecutor] = {}
        self._trials = ThreadPoolExecutor(TRIALS, thread_name_prefix="trial")
        self._eyes = ThreadPoolExecutor(1, thread_name_prefix="watch")
        self._voice = ThreadPoolExecutor(1, thread_name_prefix="emergency")
        self._pool: ConnectionPool[Connection[Any]] = ConnectionPool(
            self._url, min_size=1, max_size=24, timeout=10, open=False, check=ConnectionPool.check_connection,
            kwargs={"application_name": "pantau notifier", "connect_timeout": 3, "options": "-c statement_timeout=30000"},
        )  # fmt: skip
        opener = vault.opener(settings.notifier_key)
        hands = Hands(opener)
        self._outbox = Outbox(
            self._pool, self._waker, Telling(settings), hands, settings.zone, stopped=self._stop.is_set
        )
        own = [("127.0.0.1", settings.port), ("::1", settings.port)]
        self._outbox.hands.keep.get(("doors",), lambda: Doors(own))  # no webhook may lead to our own pages
        self._talks = Talks(self._pool, self._outbox.hands.keep, opener, settings)
        self._emergency = Emergency(settings.emergency, hands, settings.language, settings.zone, settings.home())

    @property
    def busy(self) -> bool:
        """Whether a message is still on its way."""
        return bool(self._outbox.busy)

    async def run(self) -> int:
        """Stand by, lead, and begin again after every outage of PostgreSQL; 0 when told to stop."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._halt)
        engine = database.engine(self._url, size=1, name="pantau notifier")
        await asyncio.to_thread(self._pool.open)
        watching = asyncio.gather(self._watch(engine), self._calls())
        away = False
        while not self._stop.is_set():
            try:
                line = await self._lead()
                if line is not None:
                    away, self._leads = False, True
                    await self._serve(line)
            except (psycopg.Error, procrastinate.exceptions.ProcrastinateException, OSError) as error:
                if not away:
                    _log.error("PostgreSQL is away (%s).", (str(error).strip().splitlines() or ["no reason"])[0])
                away = True
                await self._pause(1.0)
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
        engine.dispose()
        await asyncio.to_thread(self._pool.close, 2.0)
        for threads in (*self._threads.values(), self._trials, self._eyes, self._voice):
            threads.shutdown(wait=False, cancel_futures=True)
        return 0

    def _halt(self) -> None:
        """Told to stop."""
        self._stop.set()
        asyncio.get_running_loop().call_later(END, _end, 0)

    # ---- leading

    async def _lead(self) -> AsyncConnection[Any] | None:
        """The connection that holds the lock and hears of news; None when told to stop first."""
        told = False
        while not self._stop.is_set():
            line = await AsyncConnection.connect(
                self._url, autocommit=True, connect_timeout=3, application_name="pantau notifier leader",
                keepalives_idle=10, keepalives_interval=5, keepalives_count=3,
            )  # fmt: skip
            row = await (await line.execute("select pg_try_advisory_lock(%s)", [LEADER])).fetchone()
            if row and row[0]:
                await line.execute("listen notice")
                return line
            await line.close()
            self._leads = False
            if not told:
                _log.info("Another notifier sends; this one stands by.")
                told = True
            await self._pause(2.0)
        return None

    async def _serve(self, line: AsyncConnection[Any]) -> None:
        """Route and send until told to stop, or PostgreSQL goes away."""
        if not self._outbox.installation:
            self._outbox.installation = await asyncio.to_thread(_installation, self._pool)
        if sealed := await asyncio.to_thread(_seal, self._pool, self._settings):
            _log.warning("%d addresses that are secrets lay open in the database; they are sealed now.", sealed)
        app = queue.application(self._url, self._send)
        try:
            async with app.open_async():
                await queue.Recovery(app, self._outbox.busy).look(at_once=True)
                await self._together(self._route(line), self._tend(app), self._workers(app), self._stop.wait())
        finally:
            self._talks.stop()
            await line.close()

    async def _together(self, *works: Awaitable[Any]) -> None:
        """All at once; when one ends, all do, and its error is told."""
        tasks = [asyncio.ensure_future(work) for work in works]
        try:
            ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for task in ended:
            task.result()

    # ---- routing

    async def _route(self, line: AsyncConnection[Any]) -> None:
        """Route what is new the moment it is there, and what falls due every second; answer tests."""
        while True:
            while await asyncio.to_thread(_turn, self._pool, self._waker):
                pass
            await asyncio.to_thread(trials.serve, self._pool, self._outbox, self._trials)
            async for _ in line.notifies(timeout=LISTEN, stop_after=1):
                pass

    async def _tend(self, app: procrastinate.App) -> None:
        """Work that nobody does goes back; what is due and has no job gets one."""
        recovery = queue.Recovery(app, self._outbox.busy)
        while True:
            await asyncio.sleep(SWEEP)
            if lost := await recovery.look():
                _log.warning("%d deliveries under way had nobody at them; they go on.", lost)
            await asyncio.to_thread(_sweep, self._pool, self._waker)
            await asyncio.to_thread(self._talks.follow)

    async def _workers(self, app: procrastinate.App) -> None:
        """Workers of its own for every channel there is: a slow one delays no other."""
        tasks: dict[int, asyncio.Task[None]] = {}
        try:
            while True:
                channels = await asyncio.to_thread(_channels, self._pool)
                for gone in tasks.keys() - channels.keys():
                    tasks.pop(gone).cancel()
                for id, kind in channels.items():
                    if id not in tasks and kind in catalogue():
                        tasks[id] = asyncio.create_task(
                            self._work(app, id, catalogue()[kind].seats), name=f"{kind} {id}"
                        )
                await asyncio.sleep(SWEEP)
                for task in tasks.values():
                    if task.done():
                        return task.result()
        finally:
            for task in tasks.values():
                task.cancel()
            await asyncio.gather(*tasks.values(), return_exceptions=True)

    async def _work(self, app: procrastinate.App, channel: int, seats: int) -> None:
        """What one channel sends, until cancelled."""
        if channel not in self._threads:
            self._threads[channel] = ThreadPoolExecutor(seats, thread_name_prefix=queue.name_of(channel))
        await app.run_worker_async(
            queues=[queue.name_of(channel)], name=queue.name_of(channel), concurrency=seats,
            install_signal_handlers=False, delete_jobs="always", fetch_job_polling_interval=queue.POLL,
            update_heartbeat_interval=10.0, shutdown_graceful_timeout=GRACE,
        )  # fmt: skip

    async def _send(self, route: int) -> None:
        """The work of one job, on its channel's threads."""
        try:
            threads = self._threads.get(await asyncio.to_thread(_channel, self._pool, route))
            if threads is not None:
                await asyncio.get_running_loop().run_in_executor(threads, self._outbox.send, route)
        except psycopg.OperationalError as error:
            _log.debug("A job waits for PostgreSQL (%s).", type(error).__name__)

    # ---- watching

    async def _watch(self, engine: Engine) -> None:
        """Whether the poller still works, from outside of it; also while another notifier sends."""
        loop, away, started = asyncio.get_running_loop(), False, None
        looking: asyncio.Future[float] | None = None
        while True:
            looking = looking or loop.run_in_executor(self._eyes, self._look, engine, started)
            error: BaseException | None = None
            done, _ = await asyncio.wait({looking}, timeout=PATIENCE)
            if not done:  # a frozen server answers nothing, not even an error: the look goes on, and so do we
                error = TimeoutError("it does not answer")
            else:
                error, looking = looking.exception(), None
                started = started if error else done.pop().result()
            if error is None:
                away = False
            elif isinstance(error, DBAPIError | psycopg.OperationalError | TimeoutError):
                if not away:
                    _log.error("PostgreSQL is away (%s).", (str(error).strip().splitlines() or ["no reason"])[0])
                away = True
                if self._leads:
                    await loop.run_in_executor(self._voice, self._away)
            else:
                _log.error("A look at the watching failed.", exc_info=error)
            await asyncio.sleep(WATCH)

    def _look(self, engine: Engine, started: float | None) -> float:
        """One look, and what is kept for when PostgreSQL is away; when the first one was made."""
        begun = _look(engine, self._settings.interval, started)
        if self._leads:
            self._well()
        return begun

    async def _calls(self) -> None:
        """Call the lookouts; beside the watching, for one that answers late must not hold it up."""
        while True:
            try:
                if self._leads:
                    await asyncio.to_thread(
                        lookouts.call, self._pool, self._outbox.hands.keep, clock.now(), self._settings.interval
                    )
            except psycopg.Error as error:
                _log.debug("The lookouts wait for PostgreSQL (%s).", type(error).__name__)
            except Exception:  # noqa: BLE001 - the border of one round
                _log.exception("The lookouts were not called.")
            await asyncio.sleep(WATCH)

    def _well(self) -> None:
        """PostgreSQL is there: what is needed when it is not is kept in the emergency's file, if that can be written."""
        try:
            with self._pool.connection() as connection:
                self._emergency.well(connection, clock.now())
        except OSError as error:
            _log.error("Whom to tell when PostgreSQL is away cannot be kept: %s", error.strerror)

    def _away(self) -> None:
        try:
            self._emergency.away(clock.now())
        except Exception:  # noqa: BLE001 - the border of one try: the next one may succeed
            _log.exception("The administrators could not be told that PostgreSQL is away.")

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), seconds)


def _turn(pool: ConnectionPool[Connection[Any]], waker: queue.Waker) -> int:
    with pool.connection() as connection:
        mentions.turn(connection)
        summonses.turn(connection)
        letters.turn(connection)
        return fanout.turn(connection, waker, clock.now())


def _sweep(pool: ConnectionPool[Connection[Any]], waker: queue.Waker) -> int:
    with pool.connection() as connection:
        return queue.sweep(connection, waker, clock.now())


def _seal(pool: ConnectionPool[Connection[Any]], settings: Settings) -> int:
    """Addresses stored before they were sealed are sealed before anything is sent."""
    sealer = Sealer(vault.public_of(vault.read_keys(settings.notifier_key)[0]))
    with pool.connection() as connection:
        return addresses.seal_all(connection, sealer)


def _channel(pool: ConnectionPool[Connection[Any]], route: int) -> int:
    with pool.connection() as connection:
        found = connection.execute("select channel_id from route where id = %s", [route]).fetchone()
    return found[0] if found else 0


def _channels(pool: ConnectionPool[Connection[Any]]) -> dict[int, str]:
    """Every channel and its kind; one that is switched off too, for what waits on it is to be dropped."""
    with pool.connection() as connection:
        return dict(connection.execute("select id, kind from channel").fetchall())


def _installation(pool: ConnectionPool[Connection[Any]]) -> str:
    """A name that tells this installation's messages from any other's."""
    with pool.connection() as connection:
        found = connection.execute("select value ->> 'id' from setting where key = 'installation'").fetchone()
    return f"pantau-{str(found[0])[:8]}" if found and found[0] else "pantau"


def _look(engine: Engine, interval: float, started: float | None) -> float:
    with engine.begin() as connection:
        begun = started if started is not None else watch.moment(connection)
        _log_turn(watch.look(connection, interval, begun))
    return begun


def _log_turn(heard: watch.Heard) -> None:
    if heard.notice is None:
        return
    if heard.notice.kind == "poller_silent":
        _log.error("Nobody looks: the poller has been silent since %s.", heard.silent_since)
    else:
        _log.warning("The poller works again.")
