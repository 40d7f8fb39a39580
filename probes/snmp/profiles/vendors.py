"""What standard MIBs lack and vendors say in their own: processors, memory and states of network gear and storage."""

from __future__ import annotations

from domain.reading import Fact, Measure
from probes.base import Produces
from probes.snmp.profiles.base import (
    Found,
    Profile,
    Seen,
    distinct,
    group,
    measure,
    number,
    percent,
    status,
    table,
    text,
)
from probes.snmp.session import Row, Rows

_CISCO = "1.3.6.1.4.1.9.9"
_JUNIPER = "1.3.6.1.4.1.2636.3.1"
_FORTINET = "1.3.6.1.4.1.12356.101.4"
_PROCURVE = "1.3.6.1.4.1.11.2.14.11"
_MIKROTIK = "1.3.6.1.4.1.14988.1.1.3"
_UBIQUITI = "1.3.6.1.4.1.10002.1.1.1"
_SYNOLOGY = "1.3.6.1.4.1.6574"
_QNAP = "1.3.6.1.4.1.24681.1"
_IDRAC = "1.3.6.1.4.1.674.10892.5"
_KIB = 1024

GROUPS = (
    group(
        f"{_CISCO}.109.1.1.1",
        table("cpmCPUTotalTable", f"{_CISCO}.109.1.1.1.1", one_minute=7, five_minutes=8, used=12, free=13),
    ),
    group(
        f"{_CISCO}.48.1.1", table("ciscoMemoryPoolTable", f"{_CISCO}.48.1.1.1", {"name": 2}, used=5, free=6)
    ),
    group(
        f"{_CISCO}.221.1.1",
        table("cempMemPoolTable", f"{_CISCO}.221.1.1.1.1", {"name": 3}, used=7, free=8, wide_used=18, wide_free=20),
    ),
    group(f"{_CISCO}.13.1.3", table("ciscoEnvMonTemperatureStatusTable", f"{_CISCO}.13.1.3.1", {"name": 2}, value=3)),
    group(f"{_CISCO}.13.1.4", table("ciscoEnvMonFanStatusTable", f"{_CISCO}.13.1.4.1", {"name": 2}, state=3)),
    group(f"{_CISCO}.13.1.5", table("ciscoEnvMonSupplyStatusTable", f"{_CISCO}.13.1.5.1", {"name": 2}, state=3)),
    group(
        f"{_JUNIPER}.13.1",
        table(
            "jnxOperatingTable", f"{_JUNIPER}.13.1", {"name": 5}, celsius=7, cpu=8, buffer=11, memory=15
        ),
    ),
    group(f"{_JUNIPER}.15.1", table("jnxFruTable", f"{_JUNIPER}.15.1", {"name": 5}, state=8)),
    group(
        _FORTINET,
        table("fgProcessorTable", f"{_FORTINET}.4.2.1", load=2),
        fgSysCpuUsage=f"{_FORTINET}.1.3.0",
        fgSysMemUsage=f"{_FORTINET}.1.4.0",
        fgSysMemCapacity=f"{_FORTINET}.1.5.0",
        fgSysSesCount=f"{_FORTINET}.1.8.0",
    ),
    group(
        f"{_PROCURVE}.5.1",
        table("hpLocalMemTable", f"{_PROCURVE}.5.1.1.2.1.1.1", total=5, free=6, used=7),
        hpSwitchCpuStat=f"{_PROCURVE}.5.1.9.6.1.0",
    ),
    group(f"{_PROCURVE}.1.2.6", table("hpicfSensorTable", f"{_PROCURVE}.1.2.6.1", {"name": 7}, state=4)),
    group(
        _MIKROTIK,
        table("mtxrGaugeTable", f"{_MIKROTIK}.100.1", {"name": 2, "unit": 4}, value=3),
        mtxrHlVoltage=f"{_MIKROTIK}.8.0",
        mtxrHlTemperature=f"{_MIKROTIK}.10.0",
        mtxrHlProcessorTemperature=f"{_MIKROTIK}.11.0",
    ),
    group(_UBIQUITI, frMemTotal=f"{_UBIQUITI}.1.1.0", frMemFree=f"{_UBIQUITI}.1.2.0"),
    group(
        f"{_SYNOLOGY}.1",
        table("synologyDiskTable", f"{_SYNOLOGY}.2.1.1", {"name": 2, "model": 3}, state=5, celsius=6),
        table("synologyRaidTable", f"{_SYNOLOGY}.3.1.1", {"name": 2}, state=3),
        synoSystemStatus=f"{_SYNOLOGY}.1.1.0",
        synoTemperature=f"{_SYNOLOGY}.1.2.0",
        synoPowerStatus=f"{_SYNOLOGY}.1.3.0",
        synoSystemFanStatus=f"{_SYNOLOGY}.1.4.1.0",
        synoCpuFanStatus=f"{_SYNOLOGY}.1.4.2.0",
        synoModelName=f"{_SYNOLOGY}.1.5.1.0",
        synoSerialNumber=f"{_SYNOLOGY}.1.5.2.0",
        synoVersion=f"{_SYNOLOGY}.1.5.3.0",
    ),
    group(
        f"{_QNAP}.4.1.1.1.1",
        table("qnapFanTable", f"{_QNAP}.4.1.1.1.1.2.2.1", {"name": 2}, speed=5),
        table("qnapDiskTable", f"{_QNAP}.4.1.1.1.1.5.2.1", {"name": 2}, state=5, celsius=6),
        qnapCpuTemperature=f"{_QNAP}.4.1.1.1.1.1.1.2.1.3.1",
    ),
    group(
        _IDRAC,
        table("temperatureProbeTable", f"{_IDRAC}.4.700.20.1", {"name": 8}, value=6, state=5),
        table("coolingDeviceTable", f"{_IDRAC}.4.700.12.1", {"name": 8}, value=6, state=5),
        table("amperageProbeTable", f"{_IDRAC}.4.600.30.1", {"name": 8, "kind": 7}, value=6),
        globalSystemStatus=f"{_IDRAC}.2.1.0",
        globalStorageStatus=f"{_IDRAC}.2.3.0",
        systemPowerState=f"{_IDRAC}.2.4.0",
        systemModelName=f"{_IDRAC}.1.3.12.0",
        systemServiceTag=f"{_IDRAC}.1.3.2.0",
    ),
)  # fmt: skip
PRODUCES = (Produces("network.sessions", "1", "Sessions through the firewall"),)


def read(seen: Seen) -> Found:
    """Each vendor's own; a device has at most one or two of them."""
    for part in (_cisco, _juniper, _fortinet, _procurve, _mikrotik, _ubiquiti, _synology, _qnap, _idrac):
        yield from part(seen)


def _pool(used: float | None, total: float | None, of: str = "") -> Found:
    if used is None or total is None or not 0 <= used <= total or total <= 0:
        return
    yield Measure("system.memory.limit", total, "By", of)
    yield Measure("system.memory.usage", used, "By", of)
    yield Measure("system.memory.utilization", used / total, "1", of)


def _named(rows: Rows, what: str) -> dict[tuple[int, ...], str]:
    return distinct({index: text(row, "name", 80) for index, row in rows.items()}, what)


def _sum(*parts: float | None) -> float | None:
    return None if any(part is None for part in parts) else sum(part or 0 for part in parts)


_ENVMON = {1: "normal", 2: "warning", 3: "critical", 4: "shutdown", 5: "not present", 6: "not functioning"}


def _cisco(seen: Seen) -> Found:
    """CISCO-PROCESS-MIB (the last minute, cpmCPUTotal1minRev), and memory from the best of three MIBs."""
    rows = seen.rows("cpmCPUTotalTable")
    loads = {
        index: load
        for index, row in rows.items()
        if (load := percent(_first(number(row, "one_minute"), number(row, "five_minutes")))) is not None
    }
    if loads:
        yield Measure("system.cpu.utilization", sum(loads.values()) / len(loads))
        if len(loads) > 1:
            for index, load in loads.items():
                yield Measure("system.cpu.utilization", load, of=".".join(map(str, index)))
    pools = seen.rows("cempMemPoolTable")
    enhanced = {
        index: (
            _first(number(row, "wide_used"), number(row, "used")),
            _first(number(row, "wide_free"), number(row, "free")),
        )
        for index, row in pools.items()
    }
    whole = {index: (number(row, "used"), number(row, "free")) for index, row in rows.items()}
    # The whole memory of a processor, in KiB, is what fills; the pools are parts of it.
    for index, (used, free) in whole.items():
        total = _sum(used, free)
        of = "" if len(whole) == 1 else ".".join(map(str, index))
        yield from _pool(None if used is None else used * _KIB, None if total is None else total * _KIB, of)
    for index, name in _named(pools, "pool").items():
        used, free = enhanced[index]
        yield from _pool(used, _sum(used, free), f"pool {name}")
    plain = seen.rows("ciscoMemoryPoolTable")
    if not pools:
        for index, name in _named(plain, "pool").items():
            used, free = number(plain[index], "used"), number(plain[index], "free")
            yield from _pool(used, _sum(used, free), f"pool {name}")
    sensed = seen.rows("entSensorTable")
    temperatures = seen.rows("ciscoEnvMonTemperatureStatusTable")
    if not sensed:  # the same sensors, told less well
        for index, name in _named(temperatures, "sensor").items():
            yield from measure("hw.temperature", number(temperatures[index], "value") or None, "Cel", name)
    for key, what in (("ciscoEnvMonFanStatusTable", "fan"), ("ciscoEnvMonSupplyStatusTable", "power supply")):
        parts = seen.rows(key)
        for index, name in _named(parts, what).items():
            yield from status(name, number(parts[index], "state"), _ENVMON, good=(1,), absent=(5,))


def _first(*values: float | None) -> float | None:
    return next((value for value in values if value is not None), None)


_FRU = {
    1: "unknown", 2: "empty", 3: "present", 4: "ready", 5: "announced online", 6: "online", 7: "announced offline",
    8: "offline", 9: "diagnosing", 10: "standby",
}  # fmt: skip


def _juniper(seen: Seen) -> Found:
    """JUNIPER-MIB: jnxOperatingCPU, jnxOperatingBuffer (percent of memory in use), jnxOperatingMemory (MiB)."""
    rows = {
        index: row
        for index, row in seen.rows("jnxOperatingTable").items()
        if (number(row, "memory") or 0) > 0  # parts that are no processor have all zero
    }
    names = _named(rows, "engine")
    for index, name in names.items():
        row, of = rows[index], "" if len(rows) == 1 else name
        total = (number(row, "memory") or 0) * _KIB * _KIB
        used = percent(number(row, "buffer"))
        yield from measure("system.cpu.utilization", percent(number(row, "cpu")), of=of)
        yield from _pool(None if used is None else used * total, total, of)
    hot = {i: row for i, row in seen.rows("jnxOperatingTable").items() if (number(row, "celsius") or 0) > 0}
    for index, name in _named(hot, "part").items():
        yield from measure("hw.temperature", number(hot[index], "celsius"), "Cel", name)
    parts = seen.rows("jnxFruTable")
    for index, name in _named(parts, "part").items():
        yield from status(name, number(parts[index], "state"), _FRU, good=(3, 4, 5, 6, 9, 10), absent=(1, 2))


def _fortinet(seen: Seen) -> Found:
    """FORTINET-FORTIGATE-MIB: fgSysMemCapacity in KiB, the rest in percent."""
    yield from measure("system.cpu.utilization", percent(seen.number("fgSysCpuUsage")))
    for index, row in seen.rows("fgProcessorTable").items():
        yield from measure("system.cpu.utilization", percent(number(row, "load")), of=str(index[-1]))
    total, used = seen.number("fgSysMemCapacity"), percent(seen.number("fgSysMemUsage"))
    if total and used is not None:
        yield from _pool(used * total * _KIB, total * _KIB)
    yield from measure("network.sessions", seen.number("fgSysSesCount"))


def _procurve(seen: Seen) -> Found:
    """STATISTICS-MIB and NETSWITCH-MIB of HP: a percentage, and bytes per module."""
    yield from measure("system.cpu.utilization", percent(seen.number("hpSwitchCpuStat")))
    rows = seen.rows("hpLocalMemTable")
    for index, row in rows.items():
        of = "" if len(rows) == 1 else ".".join(map(str, index))
        yield from _pool(number(row, "used"), number(row, "total"), of)
    parts = seen.rows("hpicfSensorTable")
    words = {1: "unknown", 2: "bad", 3: "warning", 4: "good", 5: "not present"}
    for index, name in _named(parts, "sensor").items():
        yield from status(name, number(parts[index], "state"), words, good=(4,), absent=(1, 5))


# mtxrGaugeUnit: what it measures, in which unit, and what one step is
_GAUGES = {
    1: ("hw.temperature", "Cel", 1.0),
    2: ("hw.fan.speed", "rpm", 1.0),
    3: ("hw.voltage", "V", 0.1),
    4: ("hw.current", "A", 0.1),
    5: ("hw.power", "W", 0.1),
}


def _mikrotik(seen: Seen) -> Found:
    """MIKROTIK-MIB: named gauges; the older health objects where there are none."""
    rows = seen.rows("mtxrGaugeTable")
    for index, name in _named(rows, "gauge").items():
        row = rows[index]
        kind = int(number(row, "unit") or 0)
        value = number(row, "value")
        if kind == 6 and value is not None:
            yield from status(name, value, {0: "ok", 1: "failed"}, good=(0,))
        elif kind in _GAUGES:
            what, unit, step = _GAUGES[kind]
            yield from measure(what, None if value is None else value * step, unit, name)
    if not rows:
        for key, what, unit, name in (
            ("mtxrHlVoltage", "hw.voltage", "V", "voltage"),
            ("mtxrHlTemperature", "hw.temperature", "Cel", "temperature"),
            ("mtxrHlProcessorTemperature", "hw.temperature", "Cel", "cpu-temperature"),
        ):
            value = seen.number(key)
            yield from measure(what, value / 10 if value else None, unit, name)


def _ubiquiti(seen: Seen) -> Found:
    """FROGFOOT-RESOURCES-MIB, in KiB."""
    total, free = seen.number("frMemTotal"), seen.number("frMemFree")
    if total and free is not None:
        yield from _pool((total - free) * _KIB, total * _KIB)


_SYNOLOGY_STATE = {1: "normal", 2: "failed"}
_SYNOLOGY_DISK = {1: "normal", 2: "initialised", 3: "not initialised", 4: "system partition failed", 5: "crashed"}
_SYNOLOGY_RAID = {
    1: "normal", 2: "repairing", 3: "migrating", 4: "expanding", 5: "deleting", 6: "creating", 7: "syncing",
    8: "parity checking", 9: "assembling", 10: "cancelling", 11: "degraded", 12: "crashed", 13: "scrubbing",
    14: "deploying", 15: "undeploying", 16: "mounting cache", 17: "unmounting cache",
    18: "expanding unfinished", 19: "converting", 20: "migrating", 21: "unknown",
}  # fmt: skip


def _synology(seen: Seen) -> Found:
    """SYNOLOGY-SYSTEM-MIB, SYNOLOGY-DISK-MIB, SYNOLOGY-RAID-MIB."""
    for key, name in (
        ("synoSystemStatus", "system"),
        ("synoPowerStatus", "power"),
        ("synoSystemFanStatus", "system fan"),
        ("synoCpuFanStatus", "processor fan"),
    ):
        yield from status(name, seen.number(key), _SYNOLOGY_STATE, good=(1,))
    yield from measure("hw.temperature", seen.number("synoTemperature"), "Cel", "system")
    disks, raids = seen.rows("synologyDiskTable"), seen.rows("synologyRaidTable")
    for index, name in _named(disks, "disk").items():
        yield from status(name, number(disks[index], "state"), _SYNOLOGY_DISK, good=(1, 2, 3))
        yield from measure("hw.temperature", number(disks[index], "celsius"), "Cel", name)
    for index, name in _named(raids, "volume").items():
        good = tuple(state for state in _SYNOLOGY_RAID if state not in (11, 12, 21))
        yield from status(name, number(raids[index], "state"), _SYNOLOGY_RAID, good=good)
    yield from _about(seen, "synoModelName", "synoSerialNumber", "synoVersion")


def _about(seen: Seen, model: str, serial: str, version: str = "") -> Found:
    for key, name in ((model, "host.model"), (serial, "host.serial"), (version, "os.version")):
        if said := seen.text(key):
            yield Fact(name, said)


def _qnap(seen: Seen) -> Found:
    """QTS-MIB: fans, and disks that are there (-5 is an empty slot)."""
    fans, disks = seen.rows("qnapFanTable"), seen.rows("qnapDiskTable")
    for index, name in _named(fans, "fan").items():
        speed = number(fans[index], "speed")
        yield from measure("hw.fan.speed", speed if speed is None or speed >= 0 else None, "rpm", name)
    words = {0: "ready", -4: "unknown", -5: "no disk", -6: "invalid", -9: "read or write error"}
    for index, name in _named(disks, "disk").items():
        row: Row = disks[index]
        yield from status(name, number(row, "state"), words, good=(0,), absent=(-5, -4))
        celsius = number(row, "celsius")
        yield from measure("hw.temperature", celsius if celsius and celsius > 0 else None, "Cel", name)


_DELL = {1: "other", 2: "unknown", 3: "ok", 4: "non-critical", 5: "critical", 6: "non-recoverable"}
_DELL_PROBE = {
    1: "other", 2: "unknown", 3: "ok", 4: "non-critical upper", 5: "critical upper", 6: "non-recoverable upper",
    7: "non-critical lower", 8: "critical lower", 9: "non-recoverable lower", 10: "failed",
}  # fmt: skip


def _idrac(seen: Seen) -> Found:
    """IDRAC-MIB-SMIv2: temperatures and supply currents in tenths; board power is listed among the currents."""
    for key, name in (("globalSystemStatus", "system"), ("globalStorageStatus", "storage")):
        yield from status(name, seen.number(key), _DELL, good=(3,), absent=(1, 2))
    rows = seen.rows("temperatureProbeTable")
    for index, name in _named(rows, "sensor").items():
        value = number(rows[index], "value")
        yield from measure("hw.temperature", None if value is None else value / 10, "Cel", name)
        yield from status(name, number(rows[index], "state"), _DELL_PROBE, good=(3,), absent=(1, 2))
    fans = seen.rows("coolingDeviceTable")
    for index, name in _named(fans, "fan").items():
        yield from measure("hw.fan.speed", number(fans[index], "value"), "rpm", name)
        yield from status(name, number(fans[index], "state"), _DELL_PROBE, good=(3,), absent=(1, 2))
    lines = seen.rows("amperageProbeTable")
    for index, name in _named(lines, "line").items():
        value, kind = number(lines[index], "value"), number(lines[index], "kind")
        if value is None:
            continue
        if kind in (24, 26):  # amperageProbeTypeIsPowerSupplyWatts, ...IsSystemWatts
            yield Measure("hw.power", value, "W", name)
        else:
            yield Measure("hw.current", value / 10, "A", name)
    yield from _about(seen, "systemModelName", "systemServiceTag")


PROFILE = Profile(GROUPS, read, PRODUCES)
