"""Recorded answers of a Windows Server 2012, read by the real decoder and then by the whole probe: `make conformance`.

The recordings are no part of the project. Each body is first read as it is; then a listener serves what is in them
(read by a small parser of this file, not by ours) and the probe looks at it twice, as it would at the machine.
"""

from __future__ import annotations

import json
import os
import re
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from domain.reading import Reading, Secret, Target
from probes.base import Keep
from probes.winrm import Options, answer, look
from probes.winrm.answer import Fault, Row
from probes.winrm.counters import Delta
from tests.probes.windows import CIMV2, Rows, Windows
from tests.probes.wsman import PASSWORDS, listening

USER = "pantau-read"
SERVED = (
    "Win32_OperatingSystem", "Win32_ComputerSystem", "Win32_Processor", "Win32_LogicalDisk", "Win32_Volume",
    "Win32_Service", "Win32_PerfRawData_PerfProc_Process", "Win32_PerfRawData_Tcpip_NetworkInterface",
)  # fmt: skip
RATES = {"BytesReceivedPersec": "system.network.io.receive", "BytesSentPersec": "system.network.io.transmit"}


class Report:
    """What matched, and each thing that did not."""

    def __init__(self) -> None:
        self.matched = 0
        self.wrong: list[str] = []

    def same(self, what: str, expected: Any, found: Any, tolerance: float = 0.0) -> None:
        """Compare one value."""
        number = isinstance(expected, int | float) and isinstance(found, int | float)
        good = abs(expected - found) <= tolerance if number else expected == found
        if good:
            self.matched += 1
        else:
            self.wrong.append(f"{what}: expected {expected!r}, read {found!r}")

    def part(self, title: str, before: tuple[int, int]) -> None:
        """One line on what came since `before`."""
        matched, wrong = self.matched - before[0], self.wrong[before[1] :]
        print(f"  {'ok ' if not wrong else 'BAD'} {title}: {matched} values equal")
        for line in wrong:
            print(f"      {line}")

    @property
    def mark(self) -> tuple[int, int]:
        """Where it stands."""
        return self.matched, len(self.wrong)


def main() -> int:
    """Everything; 0 when all is equal, 0 with a word when there is nothing to read."""
    directory = Path(os.environ.get("SHARED", "../shared")) / "conformance" / "winrm"
    if not (directory / "expected.json").exists():
        print(f"  nothing recorded under {directory}; set SHARED")
        return 0
    expected, report = json.loads((directory / "expected.json").read_text()), Report()
    for name, wanted in expected["enumerations"].items():
        mark = report.mark
        enumeration(report, directory, name, wanted)
        report.part(name, mark)
    for name, wanted in expected["rates"].items():
        mark = report.mark
        rates(report, directory, name, wanted)
        report.part(f"rates of {name}", mark)
    for name, wanted in expected["faults"].items():
        mark = report.mark
        faults(report, directory / name, wanted)
        report.part(name, mark)
    mark = report.mark
    whole(report, directory, expected)
    report.part("the whole probe, looking twice", mark)
    print(f"  {report.matched} values equal, {len(report.wrong)} not")
    return 1 if report.wrong else 0


# ---- body by body


def rows_of(directory: Path, name: str) -> list[Row]:
    """All rows of all pages of one enumeration, by our decoder."""
    found: list[Row] = []
    for path in sorted(directory.glob(f"{name}_[0-9]*.xml")):
        data = path.read_bytes()
        found += answer.page(data, _relates(data)).rows
    return found


def enumeration(report: Report, directory: Path, name: str, wanted: dict[str, Any]) -> None:
    for page in wanted["pages"]:
        data = (directory / page["file"]).read_bytes()
        read = answer.page(data, _relates(data))
        report.same(f"{page['file']} items", page["items"], len(read.rows))
        report.same(f"{page['file']} context", page["context"], read.context)
        report.same(f"{page['file']} end", page["end"], not read.context)
    rows = rows_of(directory, name)
    report.same("items", wanted["items"], len(rows))
    report.same("properties", sorted(wanted["properties"]), sorted({key for row in rows for key in row}))
    report.same("nulls", wanted["nil_values"], sum(value is None for row in rows for value in row.values()))
    report.same(
        "arrays", sorted(wanted["arrays"]), sorted({k for row in rows for k, v in row.items() if isinstance(v, tuple)})
    )
    for key, value in wanted.get("sample", {}).items():
        report.same(f"sample {key}", value, rows[0].get(key))
    derived(report, rows, wanted.get("derived", {}))


def derived(report: Report, rows: list[Row], wanted: dict[str, Any]) -> None:
    first = rows[0]
    if "memory_used_percent" in wanted:
        total, free = first.whole("TotalVisibleMemorySize") or 0, first.whole("FreePhysicalMemory") or 0
        report.same("memory %", wanted["memory_used_percent"], 100 * (1 - free / total), 0.001)
        booted, local = first.moment("LastBootUpTime"), first.moment("LocalDateTime")
        assert booted is not None
        assert local is not None
        report.same("uptime", wanted["uptime_seconds"], (local - booted).total_seconds(), 0.001)
    for name, disk in wanted.get("disks", {}).items():
        row = next(row for row in rows if row.text("DeviceID") == name)
        size, free = row.whole("Size"), row.whole("FreeSpace")
        report.same(f"{name} size", disk["size"], size)
        report.same(f"{name} free", disk["free"], free)
        report.same(f"{name} %", disk["used_percent"], 100 * (1 - (free or 0) / (size or 1)), 0.001)
    if "auto_not_running" in wanted:
        stopped = [r.text("Name") for r in rows if r.text("StartMode") == "Auto" and r.text("State") != "Running"]
        report.same("automatic but not running", wanted["auto_not_running"], sorted(stopped))
        report.same("running", wanted["running"], sum(row.text("State") == "Running" for row in rows))
    if "processes" in wanted:
        report.same("processes", wanted["processes"], len(rows))
        report.same("svchost", wanted["named_svchost"], sum(row.text("Name") == "svchost.exe" for row in rows))
        report.same("working sets", wanted["working_set_sum"], sum(row.whole("WorkingSetSize") or 0 for row in rows))
    for name, interface in wanted.get("interfaces", {}).items():
        row = next(row for row in rows if row.text("Name") == name)
        for key, counter in (
            ("rx", "BytesReceivedPersec"), ("tx", "BytesSentPersec"), ("perf_time", "Timestamp_PerfTime"),
            ("perf_freq", "Frequency_PerfTime"),
        ):  # fmt: skip
            report.same(f"{name} {key}", interface[key], row.whole(counter))


def rates(report: Report, directory: Path, name: str, wanted: dict[str, Any]) -> None:
    """Between the two recordings of one raw class."""
    forms = {form: {row.text("Name"): row for row in rows_of(directory, f"{name}_{form}")} for form in ("star", "all")}
    for instance, numbers in wanted.items():
        first = numbers["first"]
        delta = Delta(forms["all" if first == "star" else "star"][instance], forms[first][instance])
        report.same(f"{instance} seconds", numbers["seconds"], delta.seconds, 1e-6)
        for counter, rate in numbers.items():
            if counter not in ("first", "seconds"):
                report.same(f"{instance} {counter}", rate, delta.rate(counter), 1e-3)


def faults(report: Report, path: Path, wanted: list[dict[str, Any]]) -> None:
    found = [fault for data in _bodies(path) if (fault := _fault(data)) is not None]
    report.same("faults", len(wanted), len(found))
    for one, fault in zip(wanted, found, strict=False):
        report.same("code", one["code"], fault.code)
        report.same("number", one["wsman"], fault.number)
        report.same("WMI number", one["wmi"], fault.wmi)
        if one["subcode"].strip():  # white space where the recording is indented: the subcode is inside
            report.same("subcode", one["subcode"], fault.subcode)


def _bodies(path: Path) -> Iterator[bytes]:
    if path.suffix == ".xml":
        yield path.read_bytes()
        return
    for message in yaml.safe_load(path.read_text())["messages"]:
        if message.get("response"):
            yield message["response"].encode()


def _fault(data: bytes) -> Fault | None:
    try:
        return answer.fault(data, _relates(data))
    except answer.NotAnAnswer:
        return None


def _relates(data: bytes) -> str:
    """What the recorded answer relates to: we were not the ones who asked."""
    found = re.search(rb"RelatesTo>([^<]*)<", data)
    return found[1].decode() if found else ""


# ---- the whole probe


class Recorded(Windows):
    """The recorded machine behind a listener. Counters are those of the first recording, then those of the second."""

    tables: dict[str, dict[str, Rows]]
    asked: dict[str, int]

    def query(self, namespace: str, table: str) -> Rows | None:
        forms = self.tables.get(table.lower()) if namespace == CIMV2 else None
        if forms is None:
            return None
        self.asked[table] = self.asked.get(table, 0) + 1
        return forms["star" if self.asked[table] == 1 and "PerfRawData" in table else "all"]


def recorded(directory: Path) -> Recorded:
    machine = Recorded()
    machine.asked = {}
    machine.tables = {
        table.lower(): {form: list(_plain(directory / "server_2012", f"{table}_{form}")) for form in ("star", "all")}
        for table in SERVED
    }
    return machine


def _plain(directory: Path, name: str) -> Iterator[dict[str, Any]]:
    """Rows as a machine has them, by this file's own reading."""
    for path in sorted(directory.glob(f"{name}_[0-9]*.xml")):
        for items in (e for e in ET.parse(path).getroot().iter() if e.tag.endswith("}Items")):
            for item in items:
                yield {child.tag.rpartition("}")[2]: _python(child) for child in item}


def _python(element: ET.Element) -> Any:
    if any(key.endswith("}nil") for key in element.attrib):
        return None
    if len(element):
        return datetime.fromisoformat(_micros(str(element[0].text)))
    return element.text or ""


def _micros(text: str) -> str:
    return re.sub(r"\.(\d{1,6})\d*", lambda found: "." + found[1].ljust(6, "0"), text).replace("Z", "+00:00")


def whole(report: Report, directory: Path, expected: dict[str, Any]) -> None:
    keep = Keep()
    try:
        with listening(recorded(directory)) as listener:
            options = Options(port=listener.port, tls="http", processes=("svchost",))
            target = Target("127.0.0.1", options, Secret(USER, PASSWORDS[USER]), 10)
            # The counters of the first look are the first recording and then the second: its rates are those between.
            reading = look(target, keep)
            again = look(target, keep)
    finally:
        keep.close()
    report.same("first look", None, reading.failure)
    report.same("second look", None, again.failure)
    numbers, system = _numbers(reading), expected["enumerations"]["server_2012/Win32_OperatingSystem_all"]["derived"]
    report.same("memory", system["memory_used_percent"] / 100, numbers["system.memory.utilization", ""], 1e-5)
    report.same("uptime", system["uptime_seconds"], numbers["system.uptime", ""], 0.001)
    for name, disk in expected["enumerations"]["server_2012/Win32_LogicalDisk_all"]["derived"]["disks"].items():
        report.same(f"{name} size", disk["size"], int(numbers["system.filesystem.limit", name]))
        report.same(f"{name} used", disk["used_percent"] / 100, numbers["system.filesystem.utilization", name], 1e-5)
    report.same("failed services, all on the shipped list", 0, numbers["system.services.failed", ""])
    processes = expected["enumerations"]["server_2012/Win32_Process_all"]["derived"]
    report.same("svchost", processes["named_svchost"], numbers["process.count", "svchost"])
    for name, wanted in expected["rates"]["server_2012/Win32_PerfRawData_Tcpip_NetworkInterface"].items():
        hidden = name.startswith(("isatap", "Local Area Connection*"))
        for counter, measure in RATES.items():
            report.same(f"{name} {measure}", None if hidden else wanted[counter], numbers.get((measure, name)), 1e-3)


def _numbers(reading: Reading) -> dict[tuple[str, str], float]:
    return {(m.name, m.of): m.value for m in reading.measures}


if __name__ == "__main__":
    sys.exit(main())
