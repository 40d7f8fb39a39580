"""Every recorded SNMP device, read by the real probe, against its expected values: `make conformance`.

The recordings are no part of the project. Where they lie beside it, snmpsim (installed into a directory of
its own) serves them and this module asks each device as the command line would, over v2c and over v3.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from domain.reading import Fact, Measure, Reading, Secret, Target
from probes import snmp
from probes.base import Keep
from tests.ports import free_port

SIMULATOR = "snmpsim==1.2.2"
COMPANIONS = ("pysnmp==7.1.30", "pysmi", "requests", "cryptography")
MIB = 1024 * 1024
USER = Secret("mon", password="authpass12", passphrase="privpass12")


@dataclass
class Report:
    """What matched for one device, and each thing that did not."""

    device: str
    matched: int = 0
    wrong: list[str] = field(default_factory=list)

    def same(self, what: str, expected: Any, found: Any, tolerance: float = 0.0) -> None:
        """Compare one value; None is expected to be absent."""
        if expected is None:
            good = found is None
        elif isinstance(expected, int | float) and isinstance(found, int | float):
            good = abs(expected - found) <= tolerance + 1e-9 * max(1.0, abs(expected))
        else:
            good = expected == found
        if good:
            self.matched += 1
        else:
            self.wrong.append(f"{what}: expected {expected!r}, read {found!r}")


class Read:
    """A Reading, asked by name and part."""

    def __init__(self, reading: Reading) -> None:
        self.measures: dict[tuple[str, str], Measure] = {(m.name, m.of): m for m in reading.measures}
        self.facts: dict[tuple[str, str], Fact] = {(f.name, f.of): f for f in reading.facts}
        self.by_index = {f.value: f.of for f in reading.facts if f.name == "interface.index"}

    def value(self, name: str, of: str = "") -> float | None:
        found = self.measures.get((name, of))
        return None if found is None else found.value

    def percent(self, name: str, of: str = "") -> float | None:
        found = self.value(name, of)
        return None if found is None else found * 100

    def fact(self, name: str, of: str = "") -> str | None:
        found = self.facts.get((name, of))
        return None if found is None else found.value

    def parts(self, name: str) -> list[str]:
        return [of for measure, of in self.measures if measure == name]


def compare(expected: dict[str, Any], reading: Reading) -> Report:
    """One device."""
    report, read = Report(expected["id"]), Read(reading)
    _system(report, expected["system"], read)
    _cpu(report, expected, read)
    _memory(report, expected, read)
    _storage(report, expected["storage"], read)
    _interfaces(report, expected["interfaces"], read)
    _sensors(report, expected.get("sensors") or [], read)
    _printer(report, expected.get("printer_supplies") or [], read)
    _power(report, expected.get("ups_mib"), expected.get("apc_powernet"), read)
    _vendor(report, expected.get("vendor") or {}, read)
    return report


def _clean(value: str | None) -> str | None:
    from probes.limits import clean

    return clean(value.rstrip("\0")) or None if value else None


def _system(report: Report, system: dict[str, Any], read: Read) -> None:
    for key, name in (
        ("sysName", "host.name"),
        ("sysDescr", "host.description"),
        ("sysLocation", "host.location"),
        ("sysContact", "host.contact"),
        ("sysObjectID", "snmp.sysObjectID"),
    ):
        report.same(key, _clean(system.get(key)), read.fact(name))
    report.same("uptime_seconds", system["uptime_seconds"], read.value("system.uptime"))
    agent = system["agent_uptime_seconds"]
    report.same(
        "agent_uptime_seconds",
        system.get("snmp_engine_time_seconds") if agent is None else agent,
        read.value("snmp.agent.uptime"),
    )


def _cpu(report: Report, expected: dict[str, Any], read: Read) -> None:
    cpu = expected["cpu"]
    value = read.value("system.cpu.utilization")
    if cpu["average_percent"] is not None:
        report.same("cpu average", cpu["average_percent"], None if value is None else value * 100, 1)
        if cpu["count"] > 1:
            for at, one in enumerate(cpu["processors"]):
                load = read.value("system.cpu.utilization", str(at))
                report.same(f"cpu {at}", one["load_percent"], None if load is None else load * 100, 1)
    elif not expected.get("vendor"):
        busy = (cpu.get("ucd_percent") or {}).get("busy")
        report.same("cpu average", busy, None if value is None else value * 100, 1)


def _memory(report: Report, expected: dict[str, Any], read: Read) -> None:
    memory = expected["memory"]
    total, used = read.value("system.memory.limit"), read.value("system.memory.usage")
    if memory["total_bytes"] is not None:
        report.same("memory total", memory["total_bytes"], total)
        good = used is not None and any(abs(used - one) <= MIB for one in memory["acceptable_used_bytes"])
        report.same("memory used", memory["acceptable_used_bytes"], memory["acceptable_used_bytes"] if good else used)
    elif not expected.get("vendor") and expected["id"] != "ubiquiti-unifi":  # which has it in a MIB of its own
        report.same("memory total", None, total)
    report.same("swap total", memory["swap_total_bytes"], read.value("system.paging.limit"))
    report.same("swap used", memory["swap_used_bytes"], read.value("system.paging.usage"))


def _storage(report: Report, rows: list[dict[str, Any]], read: Read) -> None:
    """Each row shown must be one of the device's; a pseudo file system may be left out."""
    shown = {
        (read.value("system.filesystem.limit", of), read.value("system.filesystem.usage", of)): of
        for of in read.parts("system.filesystem.limit")
    }
    sizes = {(row["total_bytes"], row["used_bytes"]) for row in rows}
    for (size, used), of in shown.items():
        report.same(f"storage {of}", True, (size, used) in sizes or (size in {s for s, _ in sizes} and used is None))
    for row in rows:
        name = row["name"]
        if (
            row["type"] != "fixedDisk"
            or not row["total_bytes"]
            or name.split(": ")[-1].startswith(("/dev", "/proc", "/sys", "/run", "/junos", "/jail/dev"))
        ):
            continue
        used = row["used_bytes"] if row["used_bytes"] is None or row["used_bytes"] <= row["total_bytes"] else None
        report.same(f"storage {name}", True, (row["total_bytes"], used) in shown)


def _interfaces(report: Report, rows: list[dict[str, Any]], read: Read) -> None:
    report.same("interfaces", len(rows), len(read.by_index))
    for row in rows:
        of = read.by_index.get(str(row["index"]))
        if of is None:
            report.wrong.append(f"interface {row['index']} is missing")
            continue
        what = f"interface {row['index']}"
        report.same(f"{what} speed", row["speed_bps"] or None, read.value("hw.network.bandwidth.limit", of))
        report.same(f"{what} admin", row["admin"], read.fact("interface.admin", of))
        report.same(f"{what} oper", row["oper"], read.fact("interface.oper", of))
        report.same(f"{what} alias", _clean(row["ifAlias"]), read.fact("interface.alias", of))
        for key, name in (
            ("in_octets", "system.network.io.receive"),
            ("out_octets", "system.network.io.transmit"),
            ("in_errors", "system.network.errors.receive"),
            ("out_errors", "system.network.errors.transmit"),
        ):
            report.same(f"{what} {key}", row[key], read.value(name, of))


_SENSORS = {"celsius": "hw.temperature", "volts": "hw.voltage", "amperes": "hw.current", "rpm": "hw.fan.speed"}


def _sensors(report: Report, rows: list[dict[str, Any]], read: Read) -> None:
    for row in rows:
        if row.get("status") in (None, "ok"):
            report.same(f"sensor {row['name']}", row["value"], read.value(_SENSORS[row["unit"]], row["name"]), 0.001)


def _printer(report: Report, rows: list[dict[str, Any]], read: Read) -> None:
    by_name: dict[str, list[float]] = {}
    for of in read.parts("printer.supply.level"):
        by_name.setdefault(of.split(" #")[0], []).append(read.percent("printer.supply.level", of))
    for row in rows:
        levels = by_name.get(_clean(row["name"]) or "", [])
        if row["percent"] is None:
            report.same(f"supply {row['name']}", [], levels)
        else:  # a waste box is told by what room is left in it
            full = row["percent"]
            good = any(abs(level - one) <= 1 for level in levels for one in (full, 100 - full))
            report.same(f"supply {row['name']}", full, full if good else levels)


def _power(report: Report, ups: dict[str, Any] | None, apc: dict[str, Any] | None, read: Read) -> None:
    if ups:
        report.same("battery charge", ups["charge_percent"], read.percent("hw.battery.charge"))
        report.same("minutes", ups["minutes_remaining"], (read.value("hw.battery.time_left") or -60) / 60)
        report.same("on battery", ups["seconds_on_battery"], read.value("hw.battery.time_on"))
        report.same("battery volts", ups["battery_volts"], read.value("hw.voltage", "battery"))
        report.same("battery celsius", ups["battery_celsius"], read.value("hw.temperature", "battery"))
        for key, name, side in (
            ("input_volts", "hw.voltage", "input"),
            ("input_hertz", "hw.frequency", "input"),
            ("output_volts", "hw.voltage", "output"),
            ("output_amperes", "hw.current", "output"),
            ("output_watts", "hw.power", "output"),
            ("output_load_percent", "hw.power_supply.utilization", "output"),
        ):
            for line, value in (ups.get(key) or {}).items():
                of = f"{side} {line}" if len(ups[key]) > 1 else side
                found = read.value(name, of)
                factor = 100 if key.endswith("percent") else 1
                report.same(f"{key} {line}", value, None if found is None else found * factor, 0.001)
    if apc:
        report.same("battery celsius", apc["battery_celsius"], read.value("hw.temperature", "battery"))
        report.same("time left", apc["runtime_remaining_seconds"], read.value("hw.battery.time_left"))
        report.same("input volts", apc["input_volts"], read.value("hw.voltage", "input"))
        report.same("output volts", apc["output_volts"], read.value("hw.voltage", "output"))
        report.same("output status", "on line", read.fact("hw.power_supply.source"))


def _vendor(report: Report, vendor: dict[str, Any], read: Read) -> None:
    loads = vendor.get("cpu_1min", {}).get("percent_by_index", {})
    for index, percent in loads.items():
        found = read.value("system.cpu.utilization", index if len(loads) > 1 else "")
        report.same(f"cisco cpu {index}", percent, None if found is None else found * 100, 1)
    for pool in vendor.get("cpu_memory", []):
        report.same("cisco memory used", pool["used_bytes"], read.value("system.memory.usage"))
        report.same("cisco memory total", pool["total_bytes"], read.value("system.memory.limit"))
    for pool in vendor.get("enhanced_memory_pools") or vendor.get("memory_pools", []):
        of = f"pool {pool['name']}"
        report.same(f"{of} used", pool["used_bytes"], read.value("system.memory.usage", of))
        report.same(f"{of} total", pool["total_bytes"], read.value("system.memory.limit", of))
    for engine in vendor.get("junos_operating", []):
        report.same("junos cpu", engine["cpu_percent"], read.percent("system.cpu.utilization"), 1)
        report.same("junos memory", engine["memory_used_percent"], read.percent("system.memory.utilization"), 1)
        report.same("junos memory total", engine["memory_total_bytes"], read.value("system.memory.limit"))
        report.same("junos celsius", engine["celsius"], read.value("hw.temperature", engine["name"]))
    if one := vendor.get("fortinet"):
        report.same("fortinet cpu", one["cpu_percent"], read.percent("system.cpu.utilization"), 1)
        report.same("fortinet memory", one["memory_used_percent"], read.percent("system.memory.utilization"), 1)
        report.same("fortinet memory total", one["memory_total_bytes"], read.value("system.memory.limit"))
        report.same("fortinet sessions", one["sessions"], read.value("network.sessions"))
        for core, percent in one["cpu_percent_by_core"].items():
            report.same(f"fortinet core {core}", percent, read.percent("system.cpu.utilization", core), 1)
    if one := vendor.get("procurve"):
        report.same("procurve cpu", one["cpu_percent"], read.percent("system.cpu.utilization"), 1)
        for row in one["memory"]:
            report.same("procurve memory", row["used_bytes"], read.value("system.memory.usage"))
            report.same("procurve memory total", row["total_bytes"], read.value("system.memory.limit"))
    if one := vendor.get("idrac"):
        for name, celsius in one["temperatures_celsius"].items():
            report.same(name, celsius, read.value("hw.temperature", name), 0.001)
        for name, rpm in one["fans_rpm"].items():
            report.same(name, rpm, read.value("hw.fan.speed", name))


async def read_all(port: int, devices: list[str]) -> dict[str, tuple[Reading, Reading]]:
    """Each device over v2c (twice, as kept state may err where a first look does not) and over v3."""
    keep, found = Keep(), {}
    for device in devices:
        community = Target("127.0.0.1", snmp.Options(port=port), Secret(password=device), 20.0)
        first = await snmp.look(community, keep)
        await snmp.look(community, keep)
        user = Target("127.0.0.1", snmp.Options(port=port, context=device), USER, 20.0)
        found[device] = first, await snmp.look(user, keep)
    keep.close()
    return found


def serve(shared: Path, port: int, place: Path) -> subprocess.Popen[bytes]:
    """The simulator, ready to answer."""
    responder = place / "bin" / "snmpsim-command-responder"
    if not responder.exists():
        subprocess.run([sys.executable, "-m", "venv", place], check=True)
        subprocess.run([place / "bin" / "pip", "install", "-q", SIMULATOR, *COMPANIONS], check=True)
    arguments = [
        f"--data-dir={shared / 'recordings'}", f"--cache-dir={tempfile.mkdtemp()}",
        f"--agent-udpv4-endpoint=127.0.0.1:{port}", "--log-level=error", f"--v3-user={USER.username}",
        f"--v3-auth-key={USER.password}", "--v3-auth-proto=SHA256", f"--v3-priv-key={USER.passphrase}",
        "--v3-priv-proto=AES128",
    ]  # fmt: skip
    environment = {**os.environ, "SNMPSIM_ALLOW_ROOT": "true"}
    return subprocess.Popen(
        [responder, *arguments], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def wait(port: int, device: str) -> None:
    """Until the simulator answers."""
    for _ in range(60):
        target = Target("127.0.0.1", snmp.Options(port=port), Secret(password=device), 2.0)
        if asyncio.run(snmp.look(target, Keep())).failure is None:
            return
        time.sleep(1)
    raise SystemExit("The simulator does not answer.")


def main() -> int:
    """Print device by device what matched; 1 if anything did not."""
    shared = Path(os.environ.get("SHARED", "../shared")) / "conformance" / "snmp"
    if not shared.is_dir():
        print(f"There are no recordings at {shared}; set SHARED to the directory that holds conformance/.")
        return 2
    devices = sorted(path.stem for path in (shared / "expected").glob("*.json"))
    port = free_port()
    place = Path(os.environ.get("SNMPSIM", Path(tempfile.gettempdir()) / "pantau-snmpsim"))
    simulator = serve(shared, port, place)
    try:
        wait(port, devices[0])
        readings = asyncio.run(read_all(port, devices))
    finally:
        simulator.terminate()
        simulator.wait()
    failed = 0
    for device in devices:
        expected = json.loads((shared / "expected" / f"{device}.json").read_text())
        for way, reading in zip(("v2c", "v3"), readings[device], strict=True):
            if reading.failure is not None:
                report = Report(device, 0, [f"{reading.failure.kind}: {reading.failure.detail}"])
            else:
                report = compare(expected, reading)
            failed += bool(report.wrong)
            size = f"{len(reading.measures):4} measures {len(reading.facts):4} facts"
            print(f"{device:22} {way:4} {report.matched:5} right {len(report.wrong):3} wrong {size}")
            for line in report.wrong[: 400 if "-v" in sys.argv else 12]:
                print(f"    {line}")
    print(f"{len(devices)} devices, {failed} of {2 * len(devices)} readings with anything wrong.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
