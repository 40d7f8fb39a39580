"""What is asked when: a few posts at every look, the rest every five minutes or every hour, kept in between.

What is read less often is repeated unchanged until it is read again, and left out once two readings are overdue. A
machine that does not answer one thing is still asked all others.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from domain.reading import Fact
from probes.limits import Deadline, TooLate, TooMuch, clean
from probes.winrm import often, roles, seldom, system
from probes.winrm.answer import NotAnAnswer
from probes.winrm.memory import Ask, Found, Kept, Unanswered

EACH_LOOK, OFTEN, SELDOM = 0.0, 300.0, 3600.0
PAUSE = 0.5
"""At the very first look counters are read twice, so many seconds apart at least."""
SPARE = 0.35
"""The share of a look's time that must be left for something not asked at every look."""
UNANSWERED = "winrm.unanswered"


@dataclass(frozen=True, slots=True)
class Part:
    """One thing that is read, how often (seconds), and by what."""

    name: str
    every: float
    read: Callable[[Ask], Iterator[Found]]
    wanted: Callable[[Ask], bool] = lambda ask: True


AT_EVERY_LOOK = (
    Part("processors", EACH_LOOK, system.processors),
    Part("disks", EACH_LOOK, system.disks),
    Part("network", EACH_LOOK, system.network),
)


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a check leaves out or wants besides."""

    ignored: tuple[str, ...] = ()
    followed: tuple[str, ...] = ()
    logs: tuple[str, ...] = ()
    roles: bool = True


def now_and_then(wishes: Wishes) -> tuple[Part, ...]:
    """What is read less often than at every look, in the order it is asked: the roles tell what else there is."""

    def has(role: str) -> Callable[[Ask], bool]:
        return lambda ask: wishes.roles and role in ask.memory.roles

    return (
        Part("inventory", SELDOM, seldom.inventory),
        Part("roles", SELDOM, seldom.roles),
        Part("file systems", OFTEN, often.file_systems),
        Part("services", OFTEN, lambda ask: often.services(ask, wishes.ignored)),
        Part("scheduling", OFTEN, often.scheduling),
        Part("processes", OFTEN, lambda ask: often.processes(ask, wishes.followed)),
        Part("sessions", OFTEN, often.sessions),
        Part("iis", OFTEN, roles.iis, has("iis")),
        Part("sql", OFTEN, roles.sql_server, has("sql")),
        Part("hyper-v", OFTEN, roles.hyper_v, has("hyperv")),
        Part("pending restart", SELDOM, seldom.pending_restart),
        Part("event logs", often.WINDOW, lambda ask: often.event_logs(ask, wishes.logs), lambda ask: bool(wishes.logs)),
    )


class Round:
    """One look's questions. `found` holds what came; `broken` is why the session is not to be used again, if so."""

    def __init__(self, ask: Ask, deadline: Deadline, parts: tuple[Part, ...]) -> None:
        self._ask, self._deadline, self._parts = ask, deadline, parts
        self.found: list[Found] = []
        self.broken: Exception | None = None

    def run(self) -> None:
        """Ask what is due. Raises what the first part raises: without an operating system there is no look."""
        began = time.monotonic()
        self._ask.memory.looks += 1
        self.found += system.operating_system(self._ask)
        again = []
        for part in AT_EVERY_LOOK:
            self._ask.first = False
            found = self._read(part)
            if self._ask.first:
                again.append(part)
            else:
                self.found += found
        for part in self._parts:
            if part.wanted(self._ask) and self.broken is None:
                self._ask.first = False
                self._now_and_then(part)
                if self._ask.first and self.broken is None:
                    again.append(part)
        self._once_more(again, began)
        self._keep_up()
        self.found += (Fact(UNANSWERED, clean("; ".join(self._ask.memory.unanswered()), 900) or "-"),)

    def _read(self, part: Part) -> list[Found]:
        try:
            return list(part.read(self._ask))
        except Unanswered:
            return []

    def _now_and_then(self, part: Part) -> None:
        """A part that is not read at every look, if it is due and time is left for it."""
        memory, now = self._ask.memory, time.monotonic()
        if now - memory.tried.get(part.name, -part.every) < part.every:
            return
        if self._deadline.remaining() < SPARE * self._deadline.seconds:
            return
        memory.tried[part.name] = now  # before asking: one that hangs must not spoil the next look too
        self._keep(part)

    def _keep(self, part: Part) -> None:
        """Read a part that is not read at every look; what fails there does not fail the look."""
        memory = self._ask.memory
        try:
            memory.kept[part.name] = Kept(time.monotonic(), tuple(part.read(self._ask)))
        except Unanswered:
            memory.kept.pop(part.name, None)
        except (TooLate, TooMuch, NotAnAnswer, OSError) as error:  # what was read before is kept a while
            self.broken = error  # the look has its main part; the session is not trusted any further

    def _once_more(self, parts: list[Part], began: float) -> None:
        """Read counters that were never read before a second time."""
        if not parts or self.broken is not None or self._deadline.remaining() < 2 * PAUSE:
            return
        time.sleep(max(0.0, PAUSE - (time.monotonic() - began)))
        self._ask.again = True
        for part in parts:
            if not part.every:
                self.found += self._read(part)
            elif self.broken is None:
                self._keep(part)

    def _keep_up(self) -> None:
        """What was read in this look or an earlier one and is not too old."""
        now, memory = time.monotonic(), self._ask.memory
        for part in self._parts:
            kept = memory.kept.get(part.name)
            if kept is not None and now - kept.at <= 2 * part.every and part.wanted(self._ask):
                self.found += kept.found
