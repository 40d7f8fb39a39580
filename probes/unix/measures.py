"""From sections to measures and facts. Formulas: proc(5), the kernel's iostats and PSI documents, df(1), sysctl(3).

A section that is missing, cut or a lie costs its own measures and no others.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from domain.reading import Fact, Measure
from probes.base import Produces
from probes.limits import clean
from probes.unix.snapshot import Sections, Snapshot, whole

SECTOR = 512
"""/proc/diskstats counts in 512-byte sectors whatever the device's own are (kernel: block/stat)."""
USER_HZ = 100.0
MOUNTS, DEVICES, PARTS = 128, 64, 1024
"""The most file systems, devices and cores of one machine that are kept."""
_PSEUDO = {
    "tmpfs",
    "devtmpfs",
    "overlay",
    "squashfs",
    "iso9660",
    "devfs",
    "procfs",
    "efivarfs",
    "ramfs",
    "fdescfs",
    "nullfs",
}
_PARTITION = re.compile(r"(?:(?:sd|hd|vd|xvd)[a-z]+|(?:nvme\d+n\d+|mmcblk\d+)p)\d+")
_VIRTUAL = re.compile(r"(?:loop|ram|zram|fd|sr|dm-|md|nbd)\d*")

PRODUCES = (
    Produces("system.cpu.utilization", "1", "Processor busy", "core"),
    Produces("system.cpu.iowait", "1", "Processor waiting for disks"),
    Produces("system.cpu.steal", "1", "Processor taken by the hypervisor"),
    Produces("system.cpu.load_average.1m", "1", "Load, 1 minute"),
    Produces("system.cpu.load_average.5m", "1", "Load, 5 minutes"),
    Produces("system.cpu.load_average.15m", "1", "Load, 15 minutes"),
    Produces("system.memory.limit", "By", "Memory"),
    Produces("system.memory.usage", "By", "Memory used"),
    Produces("system.memory.utilization", "1", "Memory used"),
    Produces("system.paging.limit", "By", "Swap"),
    Produces("system.paging.usage", "By", "Swap used"),
    Produces("system.paging.utilization", "1", "Swap used"),
    Produces("system.filesystem.limit", "By", "File system size", "mount point"),
    Produces("system.filesystem.usage", "By", "File system used", "mount point"),
    Produces("system.filesystem.utilization", "1", "File system used", "mount point"),
    Produces("system.filesystem.inodes.utilization", "1", "Inodes used", "mount point"),
    Produces("system.disk.io.read", "By", "Disk read", "device", "counter"),
    Produces("system.disk.io.write", "By", "Disk written", "device", "counter"),
    Produces("system.disk.operations", "1", "Disk operations", "device", "counter"),
    Produces("system.disk.utilization", "1", "Disk busy", "device"),
    Produces("system.disk.operation_time", "s", "Time of a disk operation", "device"),
    Produces("system.network.io.receive", "By", "Network received", "interface", "counter"),
    Produces("system.network.io.transmit", "By", "Network sent", "interface", "counter"),
    Produces("system.network.errors.receive", "1", "Network receive errors", "interface", "counter"),
    Produces("system.network.errors.transmit", "1", "Network send errors", "interface", "counter"),
    Produces("system.uptime", "s", "Time since the start"),
    Produces("system.processes.count", "1", "Processes", "state"),
    Produces("system.services.failed", "1", "Failed services"),
    Produces("system.users.count", "1", "Logged-in users"),
    Produces("system.reboot.required", "1", "Restart needed"),
    Produces("system.linux.pressure.cpu.some", "1", "Processor pressure"),
    Produces("system.linux.pressure.memory.full", "1", "Memory pressure"),
    Produces("system.linux.pressure.io.full", "1", "Disk pressure"),
    Produces("host.watch.cpu_time", "s", "Processor time of this look"),
    Produces("host.watch.processes", "1", "Processes started by this look"),
)


def measures(snapshot: Snapshot, previous: Snapshot | None) -> tuple[Measure, ...]:
    """Everything this snapshot brings; ratios of counters are taken against `previous` (or the moment before)."""
    before = snapshot.before or (previous.now if previous and previous.boot == snapshot.boot else {})
    found: list[Measure] = []
    for part in _PARTS:
        found += _harmless(part, snapshot, before)
    return tuple(found)


def facts(snapshot: Snapshot) -> tuple[Fact, ...]:
    """What the machine is: boot id always, the rest where the script asked for it."""
    kernel = snapshot.first("uname").split(" ")
    release = dict(_pairs(snapshot.lines("os")))
    model = clean(" ".join(filter(None, (snapshot.first("dmi sys_vendor"), snapshot.first("dmi product_name")))))
    processor = snapshot.first("cpuinfo").partition(":")[2].strip() or snapshot.first("sysctl hw.model")
    rows = [
        ("host.boot.id", snapshot.boot),
        ("os.type", kernel[0]),
        ("os.version", kernel[1] if len(kernel) > 1 else ""),
        ("host.arch", kernel[2] if len(kernel) > 2 else ""),
        ("os.description", release.get("PRETTY_NAME", "")),
        ("host.cpu.model.name", processor),
        ("host.model", model or snapshot.first("dmi devicetree").rstrip("\ufffd")),
        ("host.name", snapshot.first("name")),
    ]
    if snapshot.lines("os") or snapshot.lines("name"):
        rows.append(("host.cpu.count", _cores(snapshot)))
    if "failed" in snapshot.now:
        rows.append(("system.services.failed", clean(" ".join(sorted(_failed(snapshot))), 900) or "-"))
    return tuple(Fact(name, value) for name, value in rows if value)


def _harmless(
    part: Callable[[Snapshot, Sections], Iterator[Measure]], snapshot: Snapshot, before: Sections
) -> list[Measure]:
    try:
        return list(part(snapshot, before))
    except (ValueError, IndexError, KeyError, ZeroDivisionError):  # a section that is not what it should be
        return []


def _cpu(snapshot: Snapshot, before: Sections) -> Iterator[Measure]:
    """busy = 1 - d(idle + iowait) / d(first eight fields); guest time is already inside user (proc(5))."""
    now, old = _cpu_fields(snapshot.lines("stat")), _cpu_fields(before.get("stat", []))
    for name, fields in list(now.items())[:PARTS]:
        if name not in old:
            continue
        delta = [max(0.0, a - b) for a, b in zip(fields, old[name], strict=False)]
        total = sum(delta)
        if total <= 0:
            continue
        yield Measure("system.cpu.utilization", _share(1 - (delta[3] + delta[4]) / total), of=name.removeprefix("cpu"))
        if name == "cpu":
            yield Measure("system.cpu.iowait", _share(delta[4] / total))
            yield Measure("system.cpu.steal", _share(delta[7] / total if len(delta) > 7 else 0.0))


def _cpu_fields(lines: list[str]) -> dict[str, list[float]]:
    found = {}
    for line in lines:
        words = line.split()
        if words and re.fullmatch(r"cpu\d{0,4}", words[0]):
            values = [whole(word) for word in words[1:9]]
            if len(values) >= 5 and None not in values:
                found[words[0]] = [value for value in values if value is not None]
    return found


def _load(snapshot: Snapshot, before: Sections) -> Iterator[Measure]:
    words = (snapshot.first("loadavg") or snapshot.first("sysctl vm.loadavg").strip("{ }")).split()
    for span, word in zip(("1m", "5m", "15m"), words, strict=False):
        value = whole(word)
        if value is not None:
            yield Measure(f"system.cpu.load_average.{span}", value)


def _memory(snapshot: Snapshot, before: Sections) -> Iterator[Measure]:
    """used = total - MemAvailable; kernels before 3.14: MemFree + Buffers + Cached - Shmem + SReclaimable."""
    table = {}
    for line in snapshot.lines("meminfo"):
        name, _, rest = line.partition(":")
        value = whole(rest.split()[0]) if rest.split() else None
        if value is not None:
            table[name] = value * 1024
    if not table:
        return
    old = table.get("MemFree", 0) + table.get("Buffers", 0) + table.get("Cached", 0)
    free = table.get("MemAvailable", old - table.get("Shmem", 0) + table.get("SReclaimable", 0))
    yield from _room("system.memory", table["MemTotal"], table["MemTotal"] - free)
    if table.get("SwapTotal"):
        yield from _room("system.paging", table["SwapTotal"], table["SwapTotal"] - table.get("SwapFree", 0))


def _file_systems(snapshot: Snapshot, before: Sections) -> Iterator[Measure]:
    """utilization = used / (used + available), as df prints it: what root alone may use counts as used up."""
    seen: set[str] = set()
    for line in snapshot.lines("df"):
        row = _df_row(line)
        if row is None or row[-1] in seen or len(seen) >= MOUNTS:
            continue
        kind, total, used, free, mount = row
        seen.add(mount)
        if kind in _PSEUDO or total <= 0 or used + free <= 0 or mount.startswith(("/snap/", "/proc", "/sys", "/dev")):
            continue
        yield Measure("system.filesystem.limit", total * 1024, "By", mount)
        yield Measure("system.filesystem.usage", used * 1024, "By", mount)
        yield Measure("system.filesystem.utilization", _share(used / (used + free)), of=mount)


def _df_row(line: str) -> tuple[str, float, float, float, str] | None:
    """(type or "", KiB in all, used, available, mount point) of a line of df with or without -T."""
    found = re.match(r"(\S.*?)\s+(?:([A-Za-z][\w.-]*)\s+)?(\d+)\s+(\d+)\s+(-?\d+)\s+(?:\d+%|-)\s+(/.*)$", line)
    if found is None:
        return None
    total, used, free = whole(found[3]), whole(found[4]), whole(found[5].lstrip("-"))
    if total is None or used is None or free is None:
        return None
    return found[2] or "", total, used, 0.0 if found[5].startswith("-") else free, clean(found[6])


def _inodes(snapshot: Snapshot, before: Sections) -> Iterator[Measure]:
    sized = {m.of for m in _file_systems(snapshot, before)}
    for line in snapshot.lines("inodes"):
        row = _df_row(line)
        if row is not None and row[4] in sized and row[1] > 0:
            sized.discard(row[4])
            yield Measure("system.filesystem.inodes.utilization", _share(row[2] / row[1]), of=row[4])


def _disks(snapshot: Snapshot, before: Sections) -> Iterator[Measure]:
    """Per whole device. busy = d(ms doing I/O) / d(ms); time of an operation = d(ms reading + writing) / d(operations)."""
    now, old = _disk_fields(snapshot.lines("diskstats")), _disk_fields(before.get("diskstats", []))
    seconds = _uptime_of(snapshot.now) - _uptime_of(before)
    for name, f in list(now.items())[:DEVICES]:
        yield Measure("system.disk.io.read", f[2] * SECTOR, "By", name, "counter")
        yield Measure("system.disk.io.write", f[6] * SECTOR, "By", name, "counter")
        yield Measure("system.disk.operations", f[0] + f[4], "1", name, "counter")
        if name not in old or seconds <= 0:
            continue
        d = [a - b for a, b in zip(f, old[name], strict=False)]
        if min(d[0], d[3], d[4], d[7], d[9]) < 0:  # 32-bit counters of old kernels wrap
            continue
        yield Measure("system.disk.utilization", _share(d[9] / 1000 / seconds), of=name)
        if d[0] + d[4] > 0:
            yield Measure("system.disk.operation_time", (d[3] + d[7]) / 1000 / (d[0] + d[4]), "s", name)


def _disk_fields(lines: list[str]) -> dict[str, list[float]]:
    """Eleven fields by device; those that never did anything, partitions and stacked devices are left out."""
    found = {}
    for line in lines:
        words = line.split()
        if len(words) < 14 or _PARTITION.fullmatch(words[2]) or _VIRTUAL.fullmatch(words[2]):
            continue
        values = [value for word in words[3:14] if (value := whole(word)) is not None]
        if len(values) == 11 and (values[0] or values[4]):
            found[clean(words[2], 64)] = values
    return found


def _network(snapshot: Snapshot, before: Sections) -> Iterator[Measure]:
    for line in snapshot.lines("netdev")[: DEVICES + 2]:
        name, colon, rest = line.partition(":")
        words = rest.split()
        if colon and name.strip() != "lo" and len(words) >= 16:
            yield from _interface(clean(name, 64), words[0], words[8], words[2], words[10])
    seen: set[str] = set()
    for line in snapshot.lines("bsdnet")[1 : 4 * DEVICES]:
        words = line.split()
        if len(words) >= 11 and words[2].startswith("<Link") and not words[0].startswith("lo") and words[0] not in seen:
            seen.add(words[0])
            tail = words[-8:]
            yield from _interface(clean(words[0], 64), tail[3], tail[6], tail[1], tail[5])


def _interface(name: str, received: str, sent: str, received_wrong: str, sent_wrong: str) -> Iterator[Measure]:
    rows = (
        ("system.network.io.receive", received, "By"),
        ("system.network.io.transmit", sent, "By"),
        ("system.network.errors.receive", received_wrong, "1"),
        ("system.network.errors.transmit", sent_wrong, "1"),
    )
    for measure, text, unit in rows:
        value = whole(text)
        if value is not None:
            yield Measure(measure, value, unit, name, "counter")


def _uptime(snapshot: Snapshot, before: Sections) -> Iterator[Measure]:
    seconds = _uptime_of(snapshot.now)
    booted = re.search(r"sec\s*=\s*(\d+)", snapshot.first("boot"))
    clock = whole(snapshot.first("bsdclock"))
    if not seconds and booted and clock:
        seconds = clock - int(booted[1])
    if seconds > 0:
        yield Measure("system.uptime", seconds, "s")


def _uptime_of(sections: Sections) -> float:
    words = " ".join(sections.get("uptime", [])[:1]).split()
    return (whole(words[0]) or 0.0) if words else 0.0


def _processes(snapshot: Snapshot, before: Sections) -> Iterator[Measure]:
    """All processes, and those that run (R), wait for a disk (D) or are not yet buried (Z) (ps(1), STAT)."""
    counts: dict[str, float] = {}
    for line in snapshot.lines("states")[:64]:
        words = line.split()
        value = whole(words[0]) if len(words) == 2 else None
        if value is not None and re.fullmatch("[A-Za-z]", words[1]):
            counts[words[1]] = value
    if not counts:
        return
    yield Measure("system.processes.count", sum(counts.values()))
    for letter, state in (("R", "running"), ("D", "blocked"), ("Z", "zombie")):
        yield Measure("system.processes.count", counts.get(letter, 0.0), of=state)


def _smaller_things(snapshot: Snapshot, before: Sections) -> Iterator[Measure]:
    users = whole(snapshot.first("users"))
    if users is not None:
        yield Measure("system.users.count", users)
    if "failed" in snapshot.now:
        yield Measure("system.services.failed", float(len(_failed(snapshot))))
    if snapshot.first("restart") in ("yes", "no"):
        yield Measure("system.reboot.required", float(snapshot.first("restart") == "yes"))


def _pressure(snapshot: Snapshot, before: Sections) -> Iterator[Measure]:
    """Share of the last minute that some (processor) or all (memory, disks) tasks stood still: PSI `avg60`."""
    for thing, row in (("cpu", "some"), ("memory", "full"), ("io", "full")):
        for line in snapshot.lines(f"pressure {thing}"):
            found = re.match(rf"{row} .*\bavg60=(\d{{1,3}}(?:\.\d+)?)", line)
            if found:
                yield Measure(f"system.linux.pressure.{thing}.{row}", _share(float(found[1]) / 100))


def _bsd_cpu(snapshot: Snapshot, before: Sections) -> Iterator[Measure]:
    """kern.cp_time: user, nice, system, interrupt, idle."""
    now = [whole(word) for word in snapshot.first("bsdcpu").split()]
    old = [whole(word) for word in " ".join(before.get("bsdcpu", [])[:1]).split()]
    if len(now) == 5 == len(old):
        delta = [max(0.0, (a or 0.0) - (b or 0.0)) for a, b in zip(now, old, strict=True)]
        if sum(delta) > 0:
            yield Measure("system.cpu.utilization", _share(1 - delta[4] / sum(delta)))


def _bsd_memory(snapshot: Snapshot, before: Sections) -> Iterator[Measure]:
    """free + inactive + laundry + cache pages can be given out again (FreeBSD vm.stats.vm)."""
    total, page = whole(snapshot.first("sysctl hw.physmem")), whole(snapshot.first("sysctl hw.pagesize"))
    if total and page:
        names = ("free", "inactive", "laundry", "cache")
        free = sum(whole(snapshot.first(f"sysctl vm.stats.vm.v_{name}_count")) or 0.0 for name in names) * page
        if free:
            yield from _room("system.memory", total, total - free)
    rows = [line.split() for line in snapshot.lines("swapinfo") if line.startswith("/dev/")]
    size = sum(whole(row[1]) or 0.0 for row in rows) * 1024
    if size:
        yield from _room("system.paging", size, sum(whole(row[2]) or 0.0 for row in rows) * 1024)


def _room(name: str, total: float, used: float) -> Iterator[Measure]:
    used = min(max(used, 0.0), total)
    yield Measure(f"{name}.limit", total, "By")
    yield Measure(f"{name}.usage", used, "By")
    yield Measure(f"{name}.utilization", used / total)


def _failed(snapshot: Snapshot) -> list[str]:
    names = (line.replace("●", " ").split() for line in snapshot.lines("failed")[:100])
    return [clean(words[0], 80) for words in names if words and "." in words[0]]


def _cores(snapshot: Snapshot) -> str:
    cores = sum(1 for line in snapshot.lines("stat") if re.match(r"cpu\d", line))
    return str(cores) if cores else snapshot.first("sysctl hw.ncpu")


def _pairs(lines: list[str]) -> Iterator[tuple[str, str]]:
    for line in lines[:100]:
        name, equals, value = line.partition("=")
        if equals:
            yield name.strip(), clean(value.strip().strip("\"'"))


def _share(value: float) -> float:
    return min(max(value, 0.0), 1.0)


def _watching(snapshot: Snapshot, before: Sections) -> Iterator[Measure]:
    """What this look cost the machine: `times` of the shell and its children (POSIX, in steps of a clock tick, 10 ms).

    The processes are counted by the script itself.
    """
    begun, ended = _times(snapshot.lines("times before")), _times(snapshot.lines("times after"))
    if begun is not None and ended is not None and ended >= begun:
        yield Measure("host.watch.cpu_time", ended - begun, "s")
    if (ran := whole(snapshot.first("ran"))) is not None:
        yield Measure("host.watch.processes", ran)


_TIME = re.compile(r"(\d{1,9})m(\d{1,2}(?:[.,]\d{1,9})?)s")


def _times(lines: list[str]) -> float | None:
    """Seconds of processor, of the shell and its children, in user and kernel; None where there is no such answer."""
    found = [_TIME.fullmatch(word) for line in lines[:2] for word in line.split()[:2]]
    known = [match for match in found if match]
    if len(known) != 4:
        return None
    return sum(float(match[1]) * 60 + float(match[2].replace(",", ".")) for match in known)


_PARTS = (
    _cpu, _bsd_cpu, _load, _memory, _bsd_memory, _file_systems, _inodes, _disks, _network, _uptime, _processes,
    _smaller_things, _pressure, _watching,
)  # fmt: skip
