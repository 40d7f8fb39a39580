"""What the agent says it is, and since when (SNMPv2-MIB, HOST-RESOURCES-MIB, SNMP-FRAMEWORK-MIB)."""

from __future__ import annotations

from domain.reading import Fact
from probes.base import Produces
from probes.snmp import ber
from probes.snmp.profiles.base import Found, Profile, Seen, group, measure

_TICKS = 100.0  # TimeTicks are hundredths of a second (RFC 2578, section 7.1.8)
_LONGEST = 2.0**31
"""Seconds: the most snmpEngineTime can say (RFC 3411). An agent that says more does not know."""

SYSTEM = group(
    "1.3.6.1.2.1.1",
    sysDescr="1.3.6.1.2.1.1.1.0",
    sysObjectID="1.3.6.1.2.1.1.2.0",
    sysUpTime="1.3.6.1.2.1.1.3.0",
    sysContact="1.3.6.1.2.1.1.4.0",
    sysName="1.3.6.1.2.1.1.5.0",
    sysLocation="1.3.6.1.2.1.1.6.0",
    snmpEngineTime="1.3.6.1.6.3.10.2.1.3.0",
    hrSystemUptime="1.3.6.1.2.1.25.1.1.0",
)
TEXTS = {
    "sysDescr": "host.description",
    "sysName": "host.name",
    "sysLocation": "host.location",
    "sysContact": "host.contact",
}


def agent_uptime(seen: Seen) -> float | None:
    """Seconds the agent runs: sysUpTime, else snmpEngineTime."""
    ticks = _seconds(seen.number("sysUpTime"), _TICKS)
    return ticks if ticks is not None else _seconds(seen.number("snmpEngineTime"))


def host_uptime(seen: Seen) -> float | None:
    """Seconds the machine runs, where the agent can say (hrSystemUptime)."""
    return _seconds(seen.number("hrSystemUptime"), _TICKS)


def _seconds(value: float | None, per_second: float = 1.0) -> float | None:
    return value / per_second if value is not None and 0 <= value <= _LONGEST * per_second else None


def read(seen: Seen) -> Found:
    """Uptime: the machine's own where known, else the agent's."""
    host, agent = host_uptime(seen), agent_uptime(seen)
    yield from measure("system.uptime", host if host is not None else agent, "s")
    yield from measure("snmp.agent.uptime", agent, "s")
    for key, name in TEXTS.items():
        if said := seen.text(key):
            yield Fact(name, said)
    kind = seen.scalars.get("sysObjectID")
    if isinstance(kind, bytes) and (dotted := ber.dotted(kind)):
        yield Fact("snmp.sysObjectID", dotted)


PROFILE = Profile(
    (),  # asked of every device
    read,
    (
        Produces("system.uptime", "s", "Time since the start"),
        Produces("snmp.agent.uptime", "s", "Time since the SNMP agent started"),
    ),
)
