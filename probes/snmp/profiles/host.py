"""Processors, memory, storage and load of a host (HOST-RESOURCES-MIB, UCD-SNMP-MIB, UCD-DISKIO-MIB)."""

from __future__ import annotations

import re

from domain.reading import Measure
from probes.base import Produces
from probes.snmp import ber
from probes.snmp.profiles.base import (
    Found,
    Profile,
    Seen,
    distinct,
    group,
    measure,
    number,
    percent,
    share,
    table,
    text,
    unsigned,
)
from probes.snmp.session import Row

_HR = "1.3.6.1.2.1.25"
_UCD = "1.3.6.1.4.1.2021"
_KIB = 1024

GROUPS = (
    group(f"{_HR}.3.3", table("hrProcessorTable", f"{_HR}.3.3.1", load=2)),
    group(
        f"{_HR}.2.3",
        table("hrStorageTable", f"{_HR}.2.3.1", {"type": 2, "descr": 3}, unit=4, size=5, used=6),
    ),
    group(f"{_HR}.3.8", table("hrFSTable", f"{_HR}.3.8.1", access=5, storage=7)),
    group(f"{_HR}.1", hrSystemNumUsers=f"{_HR}.1.5.0", hrSystemProcesses=f"{_HR}.1.6.0"),
    group(
        f"{_UCD}.4",
        memTotalSwap=f"{_UCD}.4.3.0",
        memAvailSwap=f"{_UCD}.4.4.0",
        memTotalReal=f"{_UCD}.4.5.0",
        memAvailReal=f"{_UCD}.4.6.0",
        memBuffer=f"{_UCD}.4.14.0",
        memCached=f"{_UCD}.4.15.0",
        memSysAvail=f"{_UCD}.4.27.0",
    ),
    group(
        f"{_UCD}.10",
        laLoadInt1=f"{_UCD}.10.1.5.1",
        laLoadInt5=f"{_UCD}.10.1.5.2",
        laLoadInt15=f"{_UCD}.10.1.5.3",
    ),
    group(
        f"{_UCD}.11",
        ssCpuIdle=f"{_UCD}.11.11.0",
        ssCpuRawUser=f"{_UCD}.11.50.0",
        ssCpuRawNice=f"{_UCD}.11.51.0",
        ssCpuRawSystem=f"{_UCD}.11.52.0",
        ssCpuRawIdle=f"{_UCD}.11.53.0",
        ssCpuRawWait=f"{_UCD}.11.54.0",
        ssCpuRawKernel=f"{_UCD}.11.55.0",
        ssCpuRawInterrupt=f"{_UCD}.11.56.0",
        ssCpuRawSteal=f"{_UCD}.11.64.0",
    ),
    group(
        f"{_UCD}.13.15.1.1",
        table("diskIOTable", f"{_UCD}.13.15.1.1", {"device": 2}, read=12, written=13, reads=5, writes=6),
    ),
)
PRODUCES = (
    Produces("system.cpu.utilization", "1", "Processor busy", "core"),
    Produces("system.cpu.iowait", "1", "Processor waiting for disks"),
    Produces("system.cpu.steal", "1", "Processor taken by the hypervisor"),
    Produces("system.cpu.load_average.1m", "1", "Load, 1 minute"),
    Produces("system.cpu.load_average.5m", "1", "Load, 5 minutes"),
    Produces("system.cpu.load_average.15m", "1", "Load, 15 minutes"),
    Produces("system.memory.limit", "By", "Memory", "pool"),
    Produces("system.memory.usage", "By", "Memory used", "pool"),
    Produces("system.memory.utilization", "1", "Memory used", "pool"),
    Produces("system.paging.limit", "By", "Swap"),
    Produces("system.paging.usage", "By", "Swap used"),
    Produces("system.paging.utilization", "1", "Swap used"),
    Produces("system.filesystem.limit", "By", "File system size", "mount point"),
    Produces("system.filesystem.usage", "By", "File system used", "mount point"),
    Produces("system.filesystem.utilization", "1", "File system used", "mount point"),
    Produces("system.disk.io.read", "By", "Disk read", "device", "counter"),
    Produces("system.disk.io.write", "By", "Disk written", "device", "counter"),
    Produces("system.disk.operations", "1", "Disk operations", "device", "counter"),
    Produces("system.processes.count", "1", "Processes", "state"),
    Produces("system.users.count", "1", "Logged-in users"),
)

_TYPES = ber.name(f"{_HR}.2.1")  # hrStorageTypes
_RAM, _DISKS = 2, (4, 5, 8, 10)  # fixed, removable, RAM disk, network; not flash, which printers fill once
# What operating systems list beside their disks: always full, always empty, or memory once more.
_PSEUDO = re.compile(
    r"/(?:dev|proc|sys|run|snap|junos(?:/(?:cf/)?dev)?|jail/dev)(?:/.*)?|/var/lib/(?:docker|containers)/.*"
)
_READ_ONLY = 2  # hrFSAccess: what cannot be written cannot fill up
_MOUNTED = re.compile(r".*, mounted on: (/.*)")  # as Junos names them
_DRIVE = re.compile(r"([A-Z]:\\).*")
_NOT_DISKS = re.compile(r"(?:loop|ram|zram|fd|sr|cd|pass)\d+|(?:(?:sd|hd|vd|xvd)[a-z]+|(?:nvme\d+n\d+|mmcblk\d+)p)\d+")


def read(seen: Seen) -> Found:
    """Everything a host tells of itself."""
    for part in (_processors, _ticks, _load, _memory, _swap, _storage, _disks):
        yield from part(seen)
    yield from measure("system.processes.count", seen.number("hrSystemProcesses"))
    yield from measure("system.users.count", seen.number("hrSystemNumUsers"))


def _processors(seen: Seen) -> Found:
    """hrProcessorLoad, the mean of the last minute per processor; else 100 - ssCpuIdle."""
    loads = {i: percent(number(row, "load")) for i, row in seen.rows("hrProcessorTable").items()}
    known = [load for load in loads.values() if load is not None]
    if not known:
        idle = percent(seen.number("ssCpuIdle"))
        yield from measure("system.cpu.utilization", None if idle is None else 1 - idle)
        return
    yield Measure("system.cpu.utilization", sum(known) / len(known))
    if len(known) > 1:
        for at, load in enumerate(loads.values()):
            yield from measure("system.cpu.utilization", load, of=str(at))


_TICK_KEYS = ("User", "Nice", "System", "Idle", "Wait", "Interrupt", "Steal")


def _ticks(seen: Seen) -> Found:
    """Shares of the processors' time since the last look (ssCpuRaw*); the kernel's part is within System."""
    now = {key: seen.number(f"ssCpuRaw{key}") for key in _TICK_KEYS}
    before: dict[str, float | None] = {} if seen.restarted else seen.memory.get("ticks", {})
    seen.memory["ticks"] = now
    spent = {
        key: value - old for key, value in now.items() if value is not None and (old := before.get(key)) is not None
    }
    total = sum(spent.values())
    if total <= 0 or min(spent.values()) < 0:
        return
    for key, name in (("Wait", "system.cpu.iowait"), ("Steal", "system.cpu.steal")):
        if key in spent:
            yield Measure(name, spent[key] / total)


def _load(seen: Seen) -> Found:
    for span in (1, 5, 15):
        value = seen.number(f"laLoadInt{span}")
        if value is not None and value >= 0:
            yield Measure(f"system.cpu.load_average.{span}m", value / 100)


def _memory(seen: Seen) -> Found:
    """Memory in use without buffers and cache: those are given back at need and are no shortage."""
    total, used = _ucd_memory(seen) or _storage_memory(seen) or (None, None)
    yield from measure("system.memory.limit", total, "By")
    yield from measure("system.memory.usage", used, "By")
    yield from measure("system.memory.utilization", share(used, total))


def _ucd_memory(seen: Seen) -> tuple[float, float] | None:
    """memTotalReal - memSysAvail where the agent has it, else memTotalReal - memAvailReal - memBuffer - memCached.

    Objects out of range (negative from an overflow, or above the total) make the agent's idea of what is spare
    worthless: then nothing is subtracted.
    """
    total = seen.number("memTotalReal")
    if total is None or total <= 0:
        return None
    parts = {key: seen.number(f"mem{key}") for key in ("SysAvail", "AvailReal", "Buffer", "Cached")}
    sane = {key: value for key, value in parts.items() if value is not None and 0 <= value <= total}
    if "SysAvail" in sane:
        return total * _KIB, (total - sane["SysAvail"]) * _KIB
    if "AvailReal" not in sane:
        return None
    held = [key for key in ("Buffer", "Cached") if parts[key] is not None]
    spare = sum(sane[key] for key in held) if all(key in sane for key in held) else 0
    used = total - sane["AvailReal"]
    if used >= spare:
        used -= spare
    return total * _KIB, used * _KIB


def _storage_memory(seen: Seen) -> tuple[float, float] | None:
    """The RAM row of hrStorageTable minus its rows of buffers and cache, where there are such."""
    found: tuple[float, float] | None = None
    spare = 0.0
    for row in seen.rows("hrStorageTable").values():
        size, used = _bytes(row)
        name = text(row, "descr").lower()
        if name in ("memory buffers", "cached memory"):
            spare += used or 0
        elif _type(row) == _RAM and found is None and size and used is not None:
            found = size, used
    if found is None:
        return None
    total, used = found
    return total, used - spare if used - spare >= 0 else used


def _swap(seen: Seen) -> Found:
    total, free = seen.number("memTotalSwap"), seen.number("memAvailSwap")
    if total is not None and free is not None and 0 <= free <= total:
        size, used = total * _KIB, (total - free) * _KIB
    else:
        rows = seen.rows("hrStorageTable").values()
        swap = next((row for row in rows if text(row, "descr").lower() == "swap space"), None)
        if swap is None:
            return
        size, used = (value or 0 for value in _bytes(swap))
    if size > 0 and used <= size:
        yield Measure("system.paging.limit", size, "By")
        yield Measure("system.paging.usage", used, "By")
        yield Measure("system.paging.utilization", used / size)


def _storage(seen: Seen) -> Found:
    fixed = {number(row, "storage") for row in seen.rows("hrFSTable").values() if number(row, "access") == _READ_ONLY}
    rows = {
        index: row
        for index, row in seen.rows("hrStorageTable").items()
        if _type(row) in _DISKS
        and index[-1] not in fixed
        and not _PSEUDO.fullmatch(_mount(row))
        and (_bytes(row)[0] or 0) > 0
    }
    for index, name in distinct({index: _mount(row) for index, row in rows.items()}, "storage").items():
        size, used = _bytes(rows[index])
        yield from measure("system.filesystem.limit", size, "By", name)
        yield from measure("system.filesystem.usage", used, "By", name)
        yield from measure("system.filesystem.utilization", share(used, size), of=name)


def _mount(row: Row) -> str:
    """The mount point or drive in hrStorageDescr."""
    said = text(row, "descr")
    for form in (_MOUNTED, _DRIVE):
        if found := form.fullmatch(said):
            return found[1]
    return said


def _type(row: Row) -> int:
    """The last number of hrStorageType, 0 for what is none."""
    kind = row.get("type")
    return kind[-1] if isinstance(kind, bytes) and kind.startswith(_TYPES) and len(kind) == len(_TYPES) + 1 else 0


def _bytes(row: Row) -> tuple[float | None, float | None]:
    """(size, used) in bytes; used is None where it exceeds the size."""
    unit, size, used = number(row, "unit"), unsigned(number(row, "size")), unsigned(number(row, "used"))
    if unit is None or unit <= 0 or size is None:
        return None, None
    return size * unit, used * unit if used is not None and used <= size else None


def _disks(seen: Seen) -> Found:
    rows = seen.rows("diskIOTable")
    for index, name in distinct({index: text(row, "device") for index, row in rows.items()}, "disk").items():
        row = rows[index]
        reads, writes = number(row, "reads"), number(row, "writes")
        if _NOT_DISKS.fullmatch(name) or not (reads or writes):
            continue
        for key, what in (("read", "system.disk.io.read"), ("written", "system.disk.io.write")):
            if (value := number(row, key)) is not None:
                yield Measure(what, value, "By", name, "counter")
        if reads is not None and writes is not None:
            yield Measure("system.disk.operations", reads + writes, "1", name, "counter")


PROFILE = Profile(GROUPS, read, PRODUCES)
