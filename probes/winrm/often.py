"""What is asked every five minutes: file systems, services, processes, sessions - and, where wanted, the event log."""

from __future__ import annotations

import fnmatch
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta

from domain import clock
from domain.reading import Fact, Measure
from probes.limits import clean
from probes.winrm.answer import Row
from probes.winrm.counters import STAMPS, Delta
from probes.winrm.envelope import Query, literal
from probes.winrm.memory import Ask, Found, Unanswered
from probes.winrm.system import PERF, rate, room, within_one

TOP = 10
DRIVES = 256
WINDOW = 900.0
"""Seconds of the event log that are looked at, and how often they are."""
SETTLING = 600.0
"""Seconds after a start in which a service that was never started may still be one of those started late."""
ANSWERS_WMI = "wmiprvse"
"""WmiPrvSE.exe, the host of WMI's providers."""
NEVER_STARTED = 1077
"""ERROR_SERVICE_NEVER_STARTED: no attempt to start it since the machine started."""
LEFT_STOPPED = (
    "aarsvc*", "bits", "cdpsvc", "cdpusersvc*", "clr_optimization_*", "dbupdate", "dosvc",
    "edgeupdate*", "googleupdate*", "gupdate*", "mapsbroker", "msiserver",
    "onesyncsvc*", "remoteregistry", "shellhwdetection", "spp*", "stisvc", "sysmonlog", "tiledatamodelsvc", "tieringengineservice",
    "trustedinstaller", "usosvc", "wbiosrvc", "wmiapsrv", "wpnuserservice*", "wuauserv", "waasmedicsvc",
)  # fmt: skip
"""Services set to start by themselves that a sound Windows leaves stopped: they start on an event, or stop when done."""

_FIXED = "DriveType=3"
LOGICAL_DISK = Query("Win32_LogicalDisk", ("DeviceID", "Size", "FreeSpace"), _FIXED)
VOLUME = Query("Win32_Volume", ("Name", "Capacity", "FreeSpace"), f"{_FIXED} and DriveLetter is null")
SYSTEM = Query(PERF + "PerfOS_System", ("ProcessorQueueLength", "ContextSwitchesPersec", *STAMPS))
SERVICE = Query("Win32_Service", ("Name", "ExitCode"), "StartMode='Auto' and State<>'Running'")
PROCESS = Query(
    PERF + "PerfProc_Process",
    ("IDProcess", "Name", "PercentProcessorTime", "WorkingSetPrivate", "ElapsedTime", "Timestamp_Sys100NS"),
)
SESSION = Query(PERF + "LocalSessionManager_TerminalServices", ("ActiveSessions", "InactiveSessions"))


def file_systems(ask: Ask) -> Iterator[Found]:
    """Drives with a letter, and volumes mounted in a directory; used = size - free."""
    for row in ask.select(LOGICAL_DISK)[:DRIVES]:
        yield from room("system.filesystem", row.whole("Size"), row.whole("FreeSpace"), of=row.text("DeviceID", 64))
    try:
        volumes = ask.select(VOLUME)
    except Unanswered:  # not every account may see volumes; the drives are what matters
        return
    for row in volumes[:DRIVES]:
        name = row.text("Name", 200)
        if name and not name.startswith("\\\\?\\"):  # without a letter or a directory nobody fills it
            yield from room("system.filesystem", row.whole("Capacity"), row.whole("FreeSpace"), of=name.rstrip("\\"))


def scheduling(ask: Ask) -> Iterator[Found]:
    """Threads that wait for a processor, at that moment, and context switches since the last time."""
    for row, delta in ask.raw(SYSTEM)[:1]:
        waiting = row.whole("ProcessorQueueLength")
        if waiting is not None:
            yield Measure("system.cpu.queue", float(waiting))
        yield from rate("system.cpu.context_switches", delta, "ContextSwitchesPersec", "1/s", "")


def services(ask: Ask, ignored: Sequence[str]) -> Iterator[Found]:
    """Services that should run by themselves and do not, without those known to be left stopped."""
    failed = []
    for row in ask.select(SERVICE):
        name, code = row.text("Name", 80), row.whole("ExitCode")
        if not name or any(fnmatch.fnmatchcase(name.lower(), p.lower()) for p in (*LEFT_STOPPED, *ignored)):
            continue
        if code == NEVER_STARTED and ask.memory.uptime < SETTLING:
            continue
        failed.append(name)
    yield Measure("system.services.failed", float(len(failed)))
    yield Fact("system.services.failed", clean(" ".join(sorted(failed, key=str.lower)), 900) or "-")


def processes(ask: Ask, followed: Sequence[str]) -> Iterator[Found]:
    """Processor time = d(PercentProcessorTime) / d(Timestamp_Sys100NS) / processors. Processes are told apart by id and
    start (ElapsedTime of a raw row is the moment of it), and added up by name: names get #1, #2 as others end."""
    busy: dict[str, float] = defaultdict(float)
    memory: dict[str, int] = defaultdict(int)
    count: dict[str, int] = defaultdict(int)
    compared = False
    rows = ask.raw(PROCESS, _same_process)
    yield from _of_watching(ask, rows)
    for row, delta in rows:
        name = re.sub(r"#\d+$", "", row.text("Name", 64))
        if not name or name in ("_Total", "Idle"):
            continue
        count[name] += 1
        memory[name] += row.whole("WorkingSetPrivate") or 0
        share = delta.share("PercentProcessorTime") if delta is not None else None
        if share is not None:
            compared = True
            busy[name] += share / max(1, ask.memory.cores)
    yield Fact("process.top.memory", _top(memory, lambda v: f"{v / 2**20:.0f} MiB"))
    if compared:
        yield Fact("process.top.cpu", _top(busy, lambda v: f"{100 * v:.0f} %"))
    for name in followed:
        known = next((k for k in count if k.lower() == name.lower().removesuffix(".exe")), name)
        yield Measure("process.count", float(count.get(known, 0)), "{process}", name)
        if known in count:
            yield Measure("process.memory.usage", float(memory[known]), "By", name)
        if known in busy:
            yield Measure("process.cpu.utilization", within_one(busy[known]), of=name)


def _of_watching(ask: Ask, rows: Sequence[tuple[Row, Delta | None]]) -> Iterator[Found]:
    """What a look takes of the machine: the time of the processes that answer WMI, whoever asks, for each of our looks
    since the last time. WMI starts one when it is asked and ends it when it was not for minutes."""
    looks, ask.memory.looks = ask.memory.looks, 0
    if ask.first or ask.again or not looks:
        return
    answering = [(row, delta) for row, delta in rows if row.text("Name").partition("#")[0].lower() == ANSWERS_WMI]
    ticks = [(d.of if d is not None else row.whole)("PercentProcessorTime") or 0 for row, d in answering]
    yield Measure("host.watch.cpu_time", sum(ticks) / 1e7 / looks, "s")
    yield Measure("host.watch.processes", sum(delta is None for _, delta in answering) / looks)


def sessions(ask: Ask) -> Iterator[Found]:
    """Sessions somebody works in, and those left open."""
    for row in ask.select(SESSION)[:1]:
        for name, of in (("ActiveSessions", ""), ("InactiveSessions", "inactive")):
            number = row.whole(name)
            if number is not None:
                yield Measure("system.users.count", float(number), of=of)


def event_logs(ask: Ask, logs: Sequence[str]) -> Iterator[Found]:
    """Errors (EventType 1) and warnings (2) of the last quarter of an hour, by the machine's own clock."""
    since = (ask.memory.clock or clock.now()) - timedelta(seconds=WINDOW)
    stamp = since.strftime("%Y%m%d%H%M%S.%f+000")
    files = " or ".join(f"Logfile={literal(name)}" for name in logs)
    rows = ask.select(
        Query(
            "Win32_NTLogEvent",
            ("Logfile", "EventType", "EventCode", "SourceName"),
            f"({files}) and EventType<=2 and EventType>=1 and TimeGenerated>='{stamp}'",
        )
    )
    for name in logs:
        own = [row for row in rows if row.text("Logfile").lower() == name.lower()]
        errors = [row for row in own if row.whole("EventType") == 1]
        yield Measure("system.log.errors", float(len(errors)), of=name)
        yield Measure("system.log.warnings", float(len(own) - len(errors)), of=name)
        last = f"{errors[0].text('SourceName', 80)} {errors[0].text('EventCode', 10)}" if errors else "-"
        yield Fact("system.log.error", last, name)


def _same_process(row: Row) -> str:
    return f"{row.text('IDProcess')} {row.text('ElapsedTime')} {row.text('Name') if not row.whole('IDProcess') else ''}"


def _top(amounts: Mapping[str, float], shown: Callable[[float], str]) -> str:
    """The largest few, as text: which they are changes too often to be measures of their own."""
    largest = sorted(amounts.items(), key=lambda item: (-item[1], item[0]))[:TOP]
    return clean(", ".join(f"{name} {shown(amount)}" for name, amount in largest if amount > 0), 900) or "-"
