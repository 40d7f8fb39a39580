"""What is asked at every look: processors, memory, disks at work, network, and how long the machine is up.

Names are those of `probes.unix` where the thing is the same. Rates come as rates: the counters' own timestamps make
them, not the moments of our looks. Formulas: probes.winrm.counters and the classes named beside each query.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from domain import clock
from domain.reading import Fact, Measure
from probes.winrm.answer import Row
from probes.winrm.counters import STAMPS, Delta
from probes.winrm.envelope import Query
from probes.winrm.memory import Ask, Found, Unanswered

PARTS = 1024
"""The most processors, disks or interfaces of one machine that are kept."""
KIB = 1024
PERF = "Win32_PerfRawData_"
HIDDEN_INTERFACES = re.compile(r"(?i)isatap|teredo|6to4|loopback|local area connection\*")
_BUSY = ("Name", "PercentProcessorTime", "PercentPrivilegedTime", "PercentInterruptTime", "Timestamp_Sys100NS")

OS = Query(
    "Win32_OperatingSystem",
    (
        "Caption", "Version", "CSName", "LastBootUpTime", "LocalDateTime",
        "TotalVisibleMemorySize", "FreePhysicalMemory", "TotalVirtualMemorySize", "FreeVirtualMemory",
        "SizeStoredInPagingFiles", "FreeSpaceInPagingFiles", "NumberOfProcesses",
    ),
)  # fmt: skip
PROCESSOR = Query(PERF + "PerfOS_Processor", _BUSY)
WIDE_PROCESSOR = Query(PERF + "Counters_ProcessorInformation", _BUSY)
"""Where there are more than 64 processors, the first class sees one group of them only."""
MEMORY = Query(
    PERF + "PerfOS_Memory",
    ("AvailableBytes", "CommittedBytes", "CommitLimit", "PagesInputPersec", "PoolNonpagedBytes", *STAMPS),
)
DISK = Query(
    PERF + "PerfDisk_LogicalDisk",
    (
        "Name", "DiskReadBytesPersec", "DiskWriteBytesPersec", "DiskTransfersPersec", "AvgDisksecPerTransfer",
        "AvgDisksecPerTransfer_Base", "PercentIdleTime", "PercentIdleTime_Base", "CurrentDiskQueueLength", *STAMPS,
    ),
)  # fmt: skip
NETWORK = Query(
    PERF + "Tcpip_NetworkInterface",
    (
        "Name", "BytesReceivedPersec", "BytesSentPersec", "PacketsReceivedErrors", "PacketsOutboundErrors",
        "PacketsReceivedDiscarded", "PacketsOutboundDiscarded", "CurrentBandwidth", *STAMPS,
    ),
)  # fmt: skip


def operating_system(ask: Ask) -> Iterator[Found]:
    """Up time = LocalDateTime - LastBootUpTime, both of the machine's clock; offset = LocalDateTime - our clock."""
    before = clock.now()
    row = ask.demand(OS)[0]
    middle = before + (clock.now() - before) / 2
    booted, local = row.moment("LastBootUpTime"), row.moment("LocalDateTime")
    yield Fact("os.type", "windows")
    for name, text in (
        ("os.description", row.text("Caption")),
        ("os.version", row.text("Version")),
        ("host.name", row.text("CSName")),
    ):
        if text:
            yield Fact(name, text)
    if booted is not None:
        yield Fact("host.boot.id", ask.memory.booted(booted))
    if local is not None:
        ask.memory.clock = local
        yield Measure("system.clock.offset", (local - middle).total_seconds(), "s")
        if booted is not None and local >= booted:
            ask.memory.uptime = (local - booted).total_seconds()
            yield Measure("system.uptime", ask.memory.uptime, "s")
    processes = row.whole("NumberOfProcesses")
    if processes is not None:
        yield Measure("system.processes.count", float(processes))
    yield from room("system.paging", row.whole("SizeStoredInPagingFiles"), row.whole("FreeSpaceInPagingFiles"), KIB)
    yield from memory(ask, row)


def memory(ask: Ask, system: Row) -> Iterator[Found]:
    """used = TotalVisibleMemorySize - AvailableBytes; commit = CommittedBytes of CommitLimit (PerfOS_Memory).

    Where that class does not answer, Win32_OperatingSystem says the same less exactly.
    """
    total = system.whole("TotalVisibleMemorySize")
    rows = _answered(ask, MEMORY)
    if not rows:
        yield from room("system.memory", total, system.whole("FreePhysicalMemory"), KIB)
        limit = system.whole("TotalVirtualMemorySize")
        yield from room("system.memory.commit", limit, system.whole("FreeVirtualMemory"), KIB)
        return
    row, delta = rows[0]
    free, committed, limit = (row.whole(n) for n in ("AvailableBytes", "CommittedBytes", "CommitLimit"))
    yield from room("system.memory", None if total is None else total * KIB, free)
    if limit is not None and committed is not None:
        yield from room("system.memory.commit", limit, max(0, limit - committed))
    pool = row.whole("PoolNonpagedBytes")
    if pool is not None:
        yield Measure("system.memory.nonpaged", float(pool), "By")
    yield from rate("system.paging.input", delta, "PagesInputPersec", "{page}/s", "")


def processors(ask: Ask) -> Iterator[Found]:
    """busy = 1 - d(PercentProcessorTime) / d(Timestamp_Sys100NS): it is the idle time that is counted, inversely
    (PERF_100NSEC_TIMER_INV); privileged and interrupt time are counted as they are."""
    query = WIDE_PROCESSOR if ask.memory.cores > 64 else PROCESSOR
    for row, delta in ask.raw(query)[:PARTS]:
        name = row.text("Name", 64)
        if delta is None or (name != "_Total" and name.endswith("_Total")):
            continue
        idle = delta.share("PercentProcessorTime")
        if idle is not None:
            yield Measure("system.cpu.utilization", within_one(1 - idle), of="" if name == "_Total" else name)
        if name == "_Total":
            for measure, counter in (
                ("system.cpu.privileged.utilization", "PercentPrivilegedTime"),
                ("system.cpu.interrupt.utilization", "PercentInterruptTime"),
            ):
                share = delta.share(counter)
                if share is not None:
                    yield Measure(measure, within_one(share))


def disks(ask: Ask) -> Iterator[Found]:
    """busy = 1 - d(PercentIdleTime) / d(its base); time of an operation = d(AvgDisksecPerTransfer) / frequency /
    d(its base); the rest are rates."""
    for row, delta in ask.raw(DISK)[:PARTS]:
        name = row.text("Name", 64)
        if name == "_Total" or name.startswith("HarddiskVolume") or not name:
            continue
        queue = row.whole("CurrentDiskQueueLength")
        if queue is not None:
            yield Measure("system.disk.queue", float(queue), of=name)
        yield from rate("system.disk.io.read", delta, "DiskReadBytesPersec", "By/s", name)
        yield from rate("system.disk.io.write", delta, "DiskWriteBytesPersec", "By/s", name)
        yield from rate("system.disk.operations", delta, "DiskTransfersPersec", "1/s", name)
        if delta is None:
            continue
        idle = delta.part("PercentIdleTime", "PercentIdleTime_Base")
        if idle is not None:
            yield Measure("system.disk.utilization", within_one(1 - idle), of=name)
        seconds = delta.average("AvgDisksecPerTransfer", "AvgDisksecPerTransfer_Base")
        if seconds is not None:
            yield Measure("system.disk.operation_time", seconds, "s", name)


def network(ask: Ask) -> Iterator[Found]:
    """Bytes a second; utilization = 8 * the larger direction / CurrentBandwidth. Tunnels of Windows itself are left out."""
    for row, delta in ask.raw(NETWORK)[:PARTS]:
        name = row.text("Name", 120)
        if not name or HIDDEN_INTERFACES.search(name):
            continue
        width = row.whole("CurrentBandwidth")
        if width:
            yield Measure("system.network.bandwidth", float(width), "bit/s", name)
        yield from rate("system.network.io.receive", delta, "BytesReceivedPersec", "By/s", name)
        yield from rate("system.network.io.transmit", delta, "BytesSentPersec", "By/s", name)
        yield from rate("system.network.errors.receive", delta, "PacketsReceivedErrors", "1/s", name)
        yield from rate("system.network.errors.transmit", delta, "PacketsOutboundErrors", "1/s", name)
        yield from rate("system.network.dropped.receive", delta, "PacketsReceivedDiscarded", "1/s", name)
        yield from rate("system.network.dropped.transmit", delta, "PacketsOutboundDiscarded", "1/s", name)
        if delta is not None and width:
            rates = [delta.rate(n) for n in ("BytesReceivedPersec", "BytesSentPersec")]
            known = [rate for rate in rates if rate is not None]
            if known:
                yield Measure("system.network.utilization", within_one(8 * max(known) / width), of=name)


def _answered(ask: Ask, query: Query) -> list[tuple[Row, Delta | None]]:
    try:
        return ask.raw(query)
    except Unanswered:
        return []


def rate(name: str, delta: Delta | None, counter: str, unit: str, of: str) -> Iterator[Measure]:
    """The growth a second of a counter, where it is known."""
    found = delta.rate(counter) if delta is not None else None
    if found is not None:
        yield Measure(name, found, unit, of)


def room(name: str, total: int | None, free: int | None, factor: int = 1, of: str = "") -> Iterator[Measure]:
    """Limit, usage and utilization of something that has a size; nothing where the size is 0 or not known."""
    if not total or free is None:
        return
    used = max(0, total - free)
    yield Measure(f"{name}.limit", float(total * factor), "By", of)
    yield Measure(f"{name}.usage", float(used * factor), "By", of)
    yield Measure(f"{name}.utilization", used / total, of=of)


def within_one(value: float) -> float:
    """A share, which rounding and late counters cannot drive out of 0..1."""
    return min(max(value, 0.0), 1.0)
