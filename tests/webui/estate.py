"""Machines with very many measures: a switch of a hundred ports, a Windows server, a UPS, a printer."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import text

from domain.inventory import Check, Host
from domain.records import Latest, MetricSet, Track, raw, roll_1h
from tests.webui.cast import Town

PORTS, MEASURES = 100, 10


@dataclass(frozen=True)
class Told:
    """One value of a made-up machine: `swing` is how far it moves around `level`."""

    name: str
    part: str
    unit: str
    level: float
    swing: float = 0.0


def ports(number: int) -> list[Told]:
    """Ten measures of each port."""
    told = []
    for port in range(1, number + 1):
        name, busy = f"Gi1/0/{port}", (port * 37 % 91) / 100
        told += [
            Told("system.network.io.receive", name, "By/s", busy * 1.2e8, busy * 2e7),
            Told("system.network.io.transmit", name, "By/s", busy * 4e7, busy * 1e7),
            Told("hw.network.bandwidth.utilization", name, "1", busy, busy / 6),
            Told("system.network.errors.receive", name, "1/s", 0.02 if port % 13 == 0 else 0.0),
            Told("system.network.errors.transmit", name, "1/s", 0.0),
            Told("system.network.dropped.receive", name, "1/s", busy / 9, busy / 20),
            Told("system.network.dropped.transmit", name, "1/s", 0.0),
            Told("system.network.packets", name, "{packet}/s", busy * 9e4, busy * 1e4),
            Told("hw.network.bandwidth.limit", name, "bit/s", 1e9),
            Told("hw.network.up", name, "1", 1 if port % 7 else 0),
        ]
    return told


def switch(town: Town, number: int = PORTS) -> Host:
    """A switch: ten measures a port, port 97 over its limit, and a processor of its own."""
    told = [
        Told("system.cpu.utilization", "", "1", 0.12, 0.05),
        Told("system.memory.utilization", "", "1", 0.55, 0.02),
        Told("system.uptime", "", "s", 86400 * 41),
    ]
    told += ports(number)
    host = machine(town, "sw-core-01", "10.0.0.2", "snmp", told)
    subject = f"metric:{host.checks[0].id}:hw.network.bandwidth.utilization:Gi1/0/97"
    check = host.checks[0].id
    since = town.now - timedelta(minutes=9)
    town.session.add(Track(subject=subject, host_id=host.id, check_id=check, state="critical", since=since, data={}))
    town.session.commit()
    return host


def windows(town: Town) -> Host:
    """A Windows server with sixty services."""
    told = [
        Told("system.cpu.utilization", "", "1", 0.34, 0.2),
        Told("system.memory.utilization", "", "1", 0.71, 0.02),
        Told("system.memory.limit", "", "By", 32 * 2**30),
        Told("system.uptime", "", "s", 86400 * 9),
    ]
    for drive, full in (("C:", 0.62), ("D:", 0.91)):
        told += [
            Told("system.filesystem.utilization", drive, "1", full),
            Told("system.filesystem.limit", drive, "By", 500 * 2**30),
        ]
    told += [Told("system.service.up", f"Service {n:02}", "1", float(n != 17)) for n in range(60)]
    return machine(town, "fs-win-01", "10.0.0.21", "winrm", told)


def ups(town: Town) -> Host:
    """A UPS."""
    told = [
        Told("hw.battery.charge", "", "1", 0.87),
        Told("hw.power_supply.utilization", "output L1", "1", 0.41, 0.1),
        Told("hw.power_supply.utilization", "output L2", "1", 0.22, 0.1),
        Told("hw.battery.time_left", "", "s", 2240),
        Told("hw.power_supply.on_battery", "", "1", 0),
        Told("hw.temperature", "battery", "Cel", 27.4),
        Told("hw.voltage", "battery", "V", 54.2),
        *(Told("hw.voltage", f"input L{n}", "V", 228.0 + n, 3) for n in (1, 2, 3)),
        *(Told("hw.frequency", f"input L{n}", "Hz", 49.98) for n in (1, 2, 3)),
        *(Told("hw.current", f"output L{n}", "A", 0.4 * n) for n in (1, 2, 3)),
        *(Told("hw.power", f"output L{n}", "W", 640.0 * n, 40) for n in (1, 2, 3)),
    ]
    return machine(town, "ups-01", "10.0.0.5", "snmp", told)


def printer(town: Town) -> Host:
    """A printer."""
    told = [Told("printer.pages", "1", "{page}", 48213.0)]
    for name, level in (("Black toner", 0.06), ("Cyan toner", 0.4), ("Magenta toner", 0.55), ("Yellow toner", 0.9)):
        told.append(Told("printer.supply.level", name, "1", level))
    return machine(town, "printer-3f", "10.0.0.77", "snmp", told)


def machine(town: Town, name: str, address: str, kind: str, told: list[Told], hours: int = 24, step: int = 300) -> Host:
    """A machine with these values now, a day of looks and a week of hourly averages."""
    host = Host(name=name, address=address, created_at=town.now - timedelta(days=8))
    host.checks.append(Check(kind=kind, name=kind.upper()))
    town.session.add(host)
    town.session.flush()
    check = host.checks[0].id
    digest = hashlib.sha256(repr(told).encode()).digest()
    made = MetricSet(
        names=[one.name for one in told],
        parts=[one.part for one in told],
        units=[one.unit for one in told],
        digest=digest,
    )
    town.session.add(made)
    town.session.flush()

    def values(at: float) -> list[float]:
        return [one.level + one.swing * math.sin(at / 3600 + n) for n, one in enumerate(told)]

    town.session.add(
        Latest(
            check_id=check, host_id=host.id, ts=town.now - timedelta(seconds=9), took=1.4, late=0.0, outcome=0,
            good_at=town.now, set_id=made.id, v=values(town.now.timestamp()), sent=9_000, received=41_000,
        )
    )  # fmt: skip
    town.session.add(Track(subject=f"host:{host.id}", host_id=host.id, state="up", since=town.now, data={}))
    town.session.execute(
        raw.insert(),
        [
            {
                "check_id": check,
                "ts": town.now - timedelta(seconds=back),
                "set_id": made.id,
                "state": 0,
                "v": values(town.now.timestamp() - back),
            }
            for back in range(9, hours * 3600, step)
        ],
    )
    hour = town.now.replace(minute=0, second=0, microsecond=0)
    rolled = [(hour - timedelta(hours=n), values((hour - timedelta(hours=n)).timestamp())) for n in range(1, 168)]
    town.session.execute(
        roll_1h.insert(),
        [
            {"check_id": check, "ts": at, "set_id": made.id, "n": 12, "failed": 0, "vmin": v, "vavg": v, "vmax": v}
            for at, v in rolled
        ],
    )
    town.session.commit()
    town.session.execute(text("analyze raw"))
    town.session.commit()
    return host
