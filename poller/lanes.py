"""Seats and deadlines: the only file that knows whether a look is async or blocks a thread."""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

from domain.clock import Steady
from domain.reading import Failure, FailureKind, Reading, Target
from probes.base import Keep, Probe

_log = logging.getLogger("poller")
GRACE = 1.0
"""A probe keeps its own deadline; one that is so many seconds over it is given up by the lane."""
DOWN_SHARE = 4
"""One seat in so many is for machines already down: they may be slow among themselves only."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One look with its steady times: `start` when it got its seat and began, `end` when it ended.

    `cpu` is how many seconds of our processor it used; what the shared engines (ICMP, SNMP) do for it is not in it.
    """

    reading: Reading
    start: float
    end: float
    cpu: float = 0.0


class Lanes:
    """Runs looks: async ones on the loop, blocking ones on named threads, each with a seat and a deadline.

    A seat is taken first and the look's clock starts then: waiting for a seat is our lateness, never the
    machine's failure. A blocking look that outlives its deadline keeps its seat until its thread ends.
    """

    def __init__(self, seats: int, steady: Steady) -> None:
        small = max(2, seats // DOWN_SHARE)
        self.keep = Keep()
        self._steady = steady
        self._pool = ThreadPoolExecutor(seats + small, thread_name_prefix="look")
        self._seats = {False: asyncio.Semaphore(seats), True: asyncio.Semaphore(small)}

    async def look(self, probe: Probe, target: Target, *, down: bool = False) -> Seen:
        """Look once. Never raises for anything the probe does; cancelling is honoured."""
        used = _Used()
        if inspect.iscoroutinefunction(probe.look):
            return await self._timed(probe, target, self._on_loop(probe, target, used), used)
        await self._seats[down].acquire()
        return await self._timed(probe, target, self._on_thread(probe, target, self._seats[down], used), used)

    def moment(self) -> float:
        """The present moment, steady seconds."""
        return self._steady.now()

    def nothing(self, reading: Reading) -> Seen:
        """A look that was not made, at this moment: its reading only says why."""
        moment = self._steady.now()
        return Seen(replace(reading, at=self._steady.utc(moment)), moment, moment)

    def close(self) -> None:
        """Close what probes keep; threads still looking are left to their deadlines."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self.keep.close()

    async def _timed(self, probe: Probe, target: Target, work: Coroutine[Any, Any, Reading], used: _Used) -> Seen:
        start, began = self._steady.now(), time.monotonic()
        try:
            async with asyncio.timeout(target.deadline + GRACE):
                reading = await work
        except TimeoutError:
            reading = Reading.failed(
                FailureKind.TIMEOUT, f"No complete answer within {target.deadline:g} s; the look was given up."
            )
        except Exception as error:  # noqa: BLE001 - the border of one look: a probe's own bug must not stop the clock
            _log.debug("A %s look at %s failed in our own code.", probe.kind, target.address, exc_info=True)
            reading = broken(error)
        took = time.monotonic() - began
        return Seen(replace(reading, at=self._steady.utc(start), took=took), start, start + took, used.cpu)

    async def _on_loop(self, probe: Probe, target: Target, used: _Used) -> Reading:
        return cast(Reading, await _Steps(cast(Awaitable[Reading], probe.look(target, self.keep)), used))

    async def _on_thread(self, probe: Probe, target: Target, seat: asyncio.Semaphore, used: _Used) -> Reading:
        loop = asyncio.get_running_loop()
        look = cast(Callable[[Target, Keep], Reading], probe.look)
        running = self._pool.submit(_measured, look, target, self.keep, used)
        # The seat is the thread's, not the awaiting's: it is free again only when the thread really ends.
        running.add_done_callback(lambda ended: loop.is_closed() or loop.call_soon_threadsafe(seat.release))
        return await asyncio.shield(asyncio.wrap_future(running))


@dataclass(slots=True)
class _Used:
    """Seconds of processor a look has used so far."""

    cpu: float = 0.0


def _measured(look: Callable[[Target, Keep], Reading], target: Target, keep: Keep, used: _Used) -> Reading:
    began = time.thread_time()
    try:
        return look(target, keep)
    finally:
        used.cpu += time.thread_time() - began


class _Steps:
    """Awaits something, counting the processor time of its own steps and not of what runs between them."""

    def __init__(self, work: Awaitable[Any], used: _Used) -> None:
        self._work, self._used = work, used

    def __await__(self) -> Generator[Any, Any, Any]:
        inner = self._work.__await__()
        step: Callable[[], Any] = inner.__next__
        while True:
            began = time.thread_time()
            try:
                waited = step()
            except StopIteration as ended:
                return ended.value
            finally:
                self._used.cpu += time.thread_time() - began
            try:
                yield waited
                step = inner.__next__
            except BaseException as thrown:  # noqa: BLE001 - not caught but handed on: cancelling belongs to the look itself
                step = partial(inner.throw, thrown)


def broken(error: Exception) -> Reading:
    """A look that failed by our own fault, and is shown as ours."""
    return Reading(
        failure=Failure(
            FailureKind.BROKEN, f"Pantau's own fault, please report it: {type(error).__name__}: {error}"[:300]
        )
    )
