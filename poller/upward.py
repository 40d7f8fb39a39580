"""Looks at what lies on the way: a failing machine's parents at once (R10), the reference targets on suspicion (R27)."""

from __future__ import annotations

import asyncio
import logging
import struct
from collections.abc import Callable, Mapping
from ipaddress import IPv4Address
from pathlib import Path

from domain.health import Result, reach_outcome_of
from domain.reading import Target
from poller.lanes import Lanes
from poller.plan import CheckPlan, HostPlan, Plan
from probes import catalogue

_log = logging.getLogger("poller")
AGAIN = 5.0
"""Seconds before a parent is looked at again because of one behind it: a thousand failing children ask once."""
ROUTES = Path("/proc/net/route")
NONE = "none"


class Upward:
    """Has the parents of machines that begin to fail asked whether they are there, each at most every AGAIN seconds."""

    def __init__(self, now: Callable[[], float], look: Callable[[HostPlan, tuple[CheckPlan, ...]], None]) -> None:
        self._now, self._look = now, look
        self._asked: dict[int, float] = {}

    def failed(self, host: HostPlan, plan: Plan, well: Callable[[int], bool], down: Callable[[int], bool]) -> None:
        """A look at `host` failed: look at what lies before it and is thought to be well.

        Only reachability is asked, and only as long as `host` is undecided: one that stays down for weeks must not
        have its router looked at twice as often for as long. What is failing already is waited for, and left to its
        own pace: a thousand looks in one second must not be taken for so many minutes of silence.
        """
        if down(host.id):
            return
        now = self._now()
        for above in (plan.hosts[parent] for parent in host.parents if parent in plan.hosts):
            asked = tuple(check for check in above.checks if check.reachability)
            if asked and well(above.id) and now - self._asked.get(above.id, -AGAIN) >= AGAIN:
                self._asked[above.id] = now
                self._look(above, asked)


class References:
    """Pings the reference targets of our own line, and tells what came of it."""

    def __init__(self, lanes: Lanes, addresses: tuple[str, ...], told: Callable[[Mapping[str, Result]], None]) -> None:
        self._lanes, self._addresses, self._told = lanes, addresses, told

    async def ask(self) -> None:
        """Ask each once."""
        results = await asyncio.gather(*(self._ask(address) for address in self._addresses))
        self._told(dict(zip(self._addresses, results, strict=True)))

    async def _ask(self, address: str) -> Result:
        probe = catalogue()["icmp"]
        seen = await self._lanes.look(probe, Target(address, probe.options(), None, 5.0))
        failure = seen.reading.failure
        return Result(seen.end, reach_outcome_of(failure.kind if failure else None), seen.start)


def references(setting: str | None) -> tuple[str, ...] | None:
    """The addresses that tell whether our own line is there: those set, else the default gateway; None for "none"."""
    if setting == NONE:
        return None
    if setting:
        return tuple(dict.fromkeys(part.strip() for part in setting.split(",") if part.strip()))
    gateway = default_gateway()
    return () if gateway is None else (gateway,)


def default_gateway(routes: Path = ROUTES) -> str | None:
    """The IPv4 gateway of this machine's default route, where Linux tells one (/proc/net/route)."""
    try:
        rows = [line.split() for line in routes.read_text().splitlines()[1:]]
    except OSError:
        return None
    for row in rows:
        if len(row) > 7 and row[1] == "00000000" and row[7] == "00000000" and row[2] != "00000000":
            return str(IPv4Address(struct.pack("<I", int(row[2], 16))))
    return None
