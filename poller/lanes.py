"""Seats and deadlines: the only file that knows whether a look is async or blocks a thread."""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
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
    """One look with its steady times: `start` when it got its seat and began, `end` when it ended."""

    reading: Reading
    start: float
    end: float


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
        if inspect.iscoroutinefunction(probe.look):
            return await self._timed(probe, target, self._on_loop(probe, target))
        await self._seats[down].acquire()
        return await self._timed(probe, target, self._on_thread(probe, target, self._seats[down]))

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

    async def _timed(self, probe: Probe, target: Target, work: Coroutine[Any, Any, Reading]) -> Seen:
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
        return Seen(replace(reading, at=self._steady.utc(start), took=took), start, start + took)

    async def _on_loop(self, probe: Probe, target: Target) -> Reading:
        return await cast(Awaitable[Reading], probe.look(target, self.keep))

    async def _on_thread(self, probe: Probe, target: Target, seat: asyncio.Semaphore) -> Reading:
        loop = asyncio.get_running_loop()
        running = self._pool.submit(cast(Callable[[Target, Keep], Reading], probe.look), target, self.keep)
        # The seat is the thread's, not the awaiting's: it is free again only when the thread really ends.
        running.add_done_callback(lambda ended: loop.is_closed() or loop.call_soon_threadsafe(seat.release))
        return await asyncio.shield(asyncio.wrap_future(running))


def broken(error: Exception) -> Reading:
    """A look that failed by our own fault, and is shown as ours."""
    return Reading(
        failure=Failure(
            FailureKind.BROKEN, f"Pantau's own fault, please report it: {type(error).__name__}: {error}"[:300]
        )
    )
