"""Desired checks become due work: one heap, drained by one APScheduler tick. The only importer of apscheduler."""

from __future__ import annotations

import heapq
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger

from domain.clock import Steady
from poller.plan import CheckPlan, HostPlan, Plan

_log = logging.getLogger("poller")
TICK = 0.2
"""Seconds between two looks at the heap."""
FRESH_FOR = 120.0
FRESH_EVERY = 5.0
"""A machine just added is looked at every so many seconds for so long: its first chart should not take minutes."""
_GOLDEN = 0.6180339887498949


@dataclass(frozen=True, slots=True)
class Work:
    """One round to do: the checks of one host that share an interval. `due` is steady seconds."""

    host: HostPlan
    checks: tuple[CheckPlan, ...]
    due: float


Key = tuple[int, float]


class Schedule:
    """Which round is due when. Rounds are spread over their interval by the host's id, so a restart keeps the phase."""

    def __init__(self, steady: Steady) -> None:
        self._steady = steady
        self._heap: list[tuple[float, Key]] = []
        self._work: dict[Key, tuple[HostPlan, tuple[CheckPlan, ...]]] = {}
        self._next: dict[Key, float] = {}
        self._fresh: dict[int, float] = {}
        self._running: set[Key] = set()
        self.overlapped = 0

    def __len__(self) -> int:
        return len(self._work)

    def plan(self, plan: Plan, fresh: set[int]) -> None:
        """Take over a plan: what is new is added, what is gone dropped, what is unchanged keeps its moment.

        Hosts in `fresh` are looked at now, and often for their first two minutes.
        """
        now = self._steady.now()
        self._fresh = {host: until for host, until in self._fresh.items() if until > now and host in plan.hosts}
        self._fresh |= dict.fromkeys(fresh, now + FRESH_FOR)
        self._work = {}
        for host in plan.hosts.values():
            groups: dict[float, list[CheckPlan]] = defaultdict(list)
            for check in host.checks:
                groups[check.interval].append(check)
            for interval, checks in groups.items():
                self._work[host.id, interval] = (host, tuple(checks))
        self._next = {key: due for key, due in self._next.items() if key in self._work}
        for key in self._work:
            if key[0] in fresh or key not in self._next:
                self._push(key, now if key[0] in fresh else self._slot(key, now))

    def due(self) -> list[Work]:
        """The rounds due by now, each once; one still under way is passed over to its next slot, and counted."""
        now, found = self._steady.now(), []
        while self._heap and self._heap[0][0] <= now:
            due, key = heapq.heappop(self._heap)
            if self._next.get(key) != due:
                continue
            self._push(key, self._following(key, now))
            if key in self._running:
                self.overlapped += 1
                continue
            self._running.add(key)
            found.append(Work(*self._work[key], due))
        return found

    def done(self, work: Work) -> None:
        """The round has ended."""
        self._running.discard((work.host.id, work.checks[0].interval))

    def _push(self, key: Key, due: float) -> None:
        self._next[key] = due
        heapq.heappush(self._heap, (due, key))

    def _following(self, key: Key, now: float) -> float:
        """The next slot after now; sooner while the host is fresh."""
        slot = self._slot(key, now)
        return min(slot, now + FRESH_EVERY) if self._fresh.get(key[0], 0.0) > now else slot

    def _slot(self, key: Key, now: float) -> float:
        host_id, interval = key
        phase = (host_id * _GOLDEN % 1.0) * interval
        return phase + interval * ((now - phase) // interval + 1)


class Clock:
    """APScheduler, used as a clock and never as a worker: few jobs, each coalesced and never beside itself."""

    def __init__(self) -> None:
        self._scheduler = AsyncIOScheduler(timezone="UTC")

    def every(self, seconds: float, do: Callable[[], Awaitable[Any]], name: str) -> None:
        """Run `do` each `seconds`; a late run is one run, a long one delays the next."""
        self._scheduler.add_job(
            do, IntervalTrigger(seconds=seconds), name=name, coalesce=True, max_instances=1, misfire_grace_time=None
        )

    def start(self) -> None:
        """Begin to tick on the running loop."""
        self._scheduler.start()

    def stop(self) -> None:
        """No tick after this."""
        self._scheduler.shutdown(wait=False)
