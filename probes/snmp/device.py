"""One device as it is known between looks: what it offers, what of it never changes, when it last started."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from domain.reading import Fact
from probes.snmp.ber import COUNTER32, COUNTER64, Value
from probes.snmp.profiles import GROUPS, NAMED_BY, SYSTEM, Group, Seen, Table
from probes.snmp.profiles.system import agent_uptime, host_uptime
from probes.snmp.session import Manners, Row, Rows, Session
from probes.snmp.voice import Voice

FRESH = 3600.0
"""Seconds until it is asked anew what a device offers."""
FIXED_FRESH = 600.0
"""Seconds until names, types and sizes of a table are read anew, unless its rows change before."""
_WRAP = 2**32 / 100
"""Seconds after which TimeTicks begin again at 0: 497 days."""
_SLACK = 30.0
"""Seconds two reckonings of one start may differ: agents count in coarse steps, answers are late."""
COUNTERS = frozenset((COUNTER32, COUNTER64))


@dataclass(slots=True)
class Start:
    """When something started, reckoned from its uptime; follows slow clocks, notices restarts and wraps."""

    at: float | None = None
    """Seconds of our wall clock."""
    wraps: int = 0

    def hear(self, uptime: float, now: float) -> bool:
        """Take in an uptime heard at `now`; whether it tells of a restart since the last one."""
        start = now - uptime - self.wraps * _WRAP
        if self.at is not None and abs(start - self.at - _WRAP) < _SLACK * 10:
            self.wraps += 1
            start -= _WRAP
        restarted = self.at is not None and start - self.at > _SLACK + 0.001 * uptime
        if restarted:
            self.wraps = 0
            start = now - uptime
        if self.at is None or restarted or abs(start - self.at) > _SLACK:
            self.at = start
        return restarted

    def told(self) -> str:
        """The moment as text, steady from look to look; "" while unknown."""
        if self.at is None:
            return ""
        moment = datetime.fromtimestamp(0, UTC) + timedelta(seconds=round(self.at))
        return moment.isoformat().replace("+00:00", "Z")


@dataclass(slots=True)
class Device:
    """What is kept of one agent asked in one way; used by one look at a time, which holds `busy`."""

    voice: Voice
    busy: asyncio.Lock = field(default_factory=asyncio.Lock)
    manners: Manners = field(default_factory=Manners)
    groups: tuple[Group, ...] = ()
    asked: float = 0.0
    """Steady seconds when `groups` was last found out; 0 for never."""
    absent: set[bytes] = field(default_factory=set)
    fixed: dict[str, tuple[float, Rows]] = field(default_factory=dict)
    memory: dict[str, Any] = field(default_factory=dict)
    host: Start = field(default_factory=Start)
    agent: Start = field(default_factory=Start)

    def close(self) -> None:
        """Nothing is held open: the socket is the engine's."""

    async def read(self, session: Session, seen: Seen, custom: dict[str, bytes]) -> dict[str, Value]:
        """Fill `seen` with all there is; returns the values of the `custom` objects by their labels.

        `seen` holds what came before whatever ends the look early (the exceptions of Session).
        """
        seen.memory = self.memory
        self._take(seen, SYSTEM.scalars, await session.get(list(SYSTEM.scalars.values())))
        self._restarts(seen)
        if not self.asked or seen.restarted or seen.at - self.asked > FRESH:
            await self._find_out(session, seen.at)
        scalars = {key: name for group in self.groups for key, name in group.scalars.items() if name not in self.absent}
        wanted = {**scalars, **{f"={label}": name for label, name in custom.items()}}
        found = await session.get(list(dict.fromkeys(wanted.values()))) if wanted else {}
        self._take(seen, scalars, found)
        self.absent.update(name for name in scalars.values() if name not in found)
        for group in self.groups:
            for table in group.tables:
                await self._table(session, seen, table)
        return {label: found[name] for label, name in custom.items() if name in found}

    def facts(self) -> list[Fact]:
        """When the machine and its agent started; an agent restarts alone without the machine (RFC 3418, sysUpTime)."""
        host, agent = self.host.told(), self.agent.told()
        rows = [("host.boot.id", host or agent), ("snmp.agent.boot.id", agent)]
        return [Fact(name, value) for name, value in rows if value]

    async def _find_out(self, session: Session, now: float) -> None:
        """Which groups the device has anything of."""
        offered = await session.offered([group.witness for group in GROUPS])
        self.groups = tuple(group for group in GROUPS if group.witness in offered)
        self.absent.clear()
        self.fixed.clear()
        self.asked = now

    def _restarts(self, seen: Seen) -> None:
        now = time.time()
        for start, uptime in ((self.host, host_uptime(seen)), (self.agent, agent_uptime(seen))):
            if uptime is not None and start.hear(uptime, now):
                seen.restarted = True

    async def _table(self, session: Session, seen: Seen, table: Table) -> None:
        live = await session.table(table.live)
        rows = {index: dict(row) for index, row in live.items()}
        if table.fixed and live:
            for index, row in (await self._fixed(session, table, seen.at, live)).items():
                if index in rows:
                    rows[index].update(row)
        seen.tables[table.key] = rows
        names = NAMED_BY.get(table.key)
        if names is not None and live and names.key not in seen.tables:
            seen.tables[names.key] = await self._fixed(session, names, seen.at, None)

    async def _fixed(self, session: Session, table: Table, now: float, live: Rows | None) -> Rows:
        """The columns that do not change; read anew when due, or when the rows are others than before."""
        read, rows = self.fixed.get(table.key, (0.0, {}))
        age = FRESH if live is None else FIXED_FRESH
        # Rows without fixed columns exist; they do not make a table change at each look.
        known = self.memory.setdefault("indexes", {})
        changed = live is not None and known.get(table.key) != live.keys()
        if not read or now - read > age or changed:
            rows = await session.table(table.fixed)
            self.fixed[table.key] = (now, rows)
            if live is not None:
                known[table.key] = set(live)
        return rows

    @staticmethod
    def _take(seen: Seen, keys: dict[str, bytes], found: dict[bytes, Value]) -> None:
        row: Row = seen.scalars
        for key, name in keys.items():
            if name in found:
                row[key] = found[name][1]
