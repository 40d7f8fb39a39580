"""What a machine's roles say: sites and pools of IIS, SQL Server without a login to it, guests of Hyper-V."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import islice

from domain.reading import Fact, Measure
from probes.winrm.answer import Row
from probes.winrm.counters import STAMPS, Delta
from probes.winrm.envelope import Query
from probes.winrm.memory import Ask, Found, Unanswered
from probes.winrm.system import PERF, rate, within_one

MOST = 256
"""The most sites, databases or guests of one machine."""
NOT_FOUND = ("NotFoundErrorsPersec", "TotalNotFoundErrorsPersec")
"""The counter of requests not found, by the names it goes by."""
SITES = tuple(
    Query(PERF + "W3SVC_WebService", ("Name", "CurrentConnections", "TotalMethodRequestsPersec", *one, *STAMPS))
    for one in ((NOT_FOUND[0],), (NOT_FOUND[1],), ())
)
POOL = Query(PERF + "APPPOOLCountersProvider_APPPOOLWAS", ("Name", "CurrentApplicationPoolState"))
POOL_RUNS = 3
GUEST = Query(
    "Msvm_ComputerSystem",
    ("Name", "ElementName", "EnabledState", "HealthState", "OnTimeInMilliseconds"),
    namespace="root/virtualization/v2",
)
GUEST_LOAD = Query(
    PERF + "HvStats_HyperVHypervisorVirtualProcessor", ("Name", "PercentGuestRunTime", "Timestamp_Sys100NS")
)
HOST_LOAD = Query(
    PERF + "HvStats_HyperVHypervisorRootVirtualProcessor", ("Name", "PercentTotalRunTime", "Timestamp_Sys100NS")
)
STATES = {
    2: "running", 3: "off", 4: "stopping", 6: "saved", 9: "paused", 10: "starting", 32768: "paused", 32769: "saved",
    32770: "starting", 32771: "snapshotting", 32773: "saving", 32774: "stopping", 32776: "pausing", 32777: "resuming",
}  # fmt: skip
"""EnabledState of Msvm_ComputerSystem."""
RUNNING, OFF = 2, 3
HEALTHY = 5
_GUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")


def iis(ask: Ask) -> Iterator[Found]:
    """Connections now, requests and those not found a second, of each site; which application pools run."""
    for row, delta in ask.raw_of(*SITES)[:MOST]:
        name = row.text("Name", 120)
        if not name or name == "_Total":
            continue
        connections = row.whole("CurrentConnections")
        if connections is not None:
            yield Measure("iis.connection.active", float(connections), "{connection}", name)
        yield from rate("iis.request.count", delta, "TotalMethodRequestsPersec", "{request}/s", name)
        for counter in NOT_FOUND:
            yield from rate("iis.request.not_found", delta, counter, "{request}/s", name)
    for row in _or_none(ask, POOL)[:MOST]:
        state = row.whole("CurrentApplicationPoolState")
        if row.text("Name") not in ("", "_Total") and state is not None:
            yield Measure("iis.application_pool.running", float(state == POOL_RUNS), of=row.text("Name", 120))


def sql_server(ask: Ask) -> Iterator[Found]:
    """Of each instance: connections, blocked processes, batches, page life expectancy, hits of the buffer cache
    (Buffercachehitratio / its base), log use of each database, deadlocks. `of` is the instance, "" for the default one."""
    for service in ask.memory.instances:
        instance = service.partition("$")[2]
        prefix = f"{PERF}MSSQL{instance}_MSSQL{instance}" if instance else f"{PERF}MSSQLSERVER_SQLServer"
        yield from _sql_instance(ask, prefix, instance)


def _sql_instance(ask: Ask, prefix: str, of: str) -> Iterator[Found]:
    for row in _or_none(ask, Query(f"{prefix}GeneralStatistics", ("UserConnections", "Processesblocked")))[:1]:
        for measure, name, unit in (
            ("sqlserver.user.connection.count", "UserConnections", "{connection}"),
            ("sqlserver.processes.blocked", "Processesblocked", "{process}"),
        ):
            number = row.whole(name)
            if number is not None:
                yield Measure(measure, float(number), unit, of)
    for delta in _changes(ask, Query(f"{prefix}SQLStatistics", ("BatchRequestsPersec", *STAMPS))):
        yield from rate("sqlserver.batch.request.rate", delta, "BatchRequestsPersec", "{request}/s", of)
    buffers = Query(f"{prefix}BufferManager", ("Pagelifeexpectancy", "Buffercachehitratio", "Buffercachehitratio_Base"))
    for row in _or_none(ask, buffers)[:1]:
        life, hits, base = (row.whole(n) for n in buffers.properties)
        if life is not None:
            yield Measure("sqlserver.page.life_expectancy", float(life), "s", of)
        if hits is not None and base:
            yield Measure("sqlserver.page.buffer_cache.hit_ratio", within_one(hits / base), of=of)
    for row in _or_none(ask, Query(f"{prefix}Databases", ("Name", "PercentLogUsed")))[:MOST]:
        name, used = row.text("Name", 120), row.whole("PercentLogUsed")
        if name not in ("", "_Total", "mssqlsystemresource") and used is not None:
            part = f"{of}/{name}" if of else name
            yield Measure("sqlserver.transaction_log.utilization", within_one(used / 100), of=part)
    locks = Query(f"{prefix}Locks", ("Name", "NumberofDeadlocksPersec", *STAMPS), "Name='_Total'")
    for delta in _changes(ask, locks):
        yield from rate("sqlserver.deadlock.rate", delta, "NumberofDeadlocksPersec", "{deadlock}/s", of)


def guests(rows: Iterable[Row]) -> Iterator[tuple[str, str, Row]]:
    """Guests of Hyper-V: what each is called here, its GUID, its row. The row of the host itself has no GUID for a name."""
    seen: set[str] = set()
    for row in islice(rows, MOST + 1):
        guid, name = row.text("Name"), row.text("ElementName", 120)
        if not _GUID.fullmatch(guid) or row.whole("EnabledState") is None:
            continue
        name = name if name and name not in seen else f"{name} {guid}".strip()
        seen.add(name)
        yield name, guid, row


def hyper_v(ask: Ask) -> Iterator[Found]:
    """Guests by name: running or not, health, time since their start, processor."""
    for name, guid, row in guests(ask.select(GUEST)):
        state = row.whole("EnabledState") or 0
        yield Fact("hyperv.guest.id", guid, name)
        yield Fact("hyperv.guest.state", STATES.get(state, f"state {state}"), name)
        yield Measure("hyperv.guest.running", float(state == RUNNING), of=name)
        health, on = row.whole("HealthState"), row.whole("OnTimeInMilliseconds")
        if health is not None:
            yield Measure("hyperv.guest.health.status", float(health == HEALTHY), of=name)
        if state == RUNNING and on is not None:
            yield Measure("hyperv.guest.uptime", on / 1000, "s", name)
    yield from _guest_load(ask)


def _guest_load(ask: Ask) -> Iterator[Found]:
    """d(PercentGuestRunTime) / d(Timestamp_Sys100NS), the mean of a guest's virtual processors; the root's likewise."""
    for query, counter, measure in (
        (GUEST_LOAD, "PercentGuestRunTime", "hyperv.guest.cpu.utilization"),
        (HOST_LOAD, "PercentTotalRunTime", "hyperv.host.cpu.utilization"),
    ):
        shares: dict[str, list[float]] = defaultdict(list)
        try:
            rows = ask.raw(query)
        except Unanswered:
            continue
        for row, delta in rows:
            name = row.text("Name", 200)
            share = delta.share(counter) if delta is not None else None
            if share is not None and name not in ("", "_Total"):
                shares[name.rpartition(":")[0][:120]].append(share)
        for name, found in list(shares.items())[:MOST]:
            yield Measure(measure, within_one(sum(found) / len(found)), of=name)


def _or_none(ask: Ask, query: Query) -> list[Row]:
    """The rows, or none where this one class does not answer: the others are asked all the same."""
    try:
        return ask.select(query)
    except Unanswered:
        return []


def _changes(ask: Ask, query: Query) -> list[Delta]:
    """The difference to the last time of a raw class with one row, likewise."""
    try:
        return [delta for _, delta in ask.raw(query)[:1] if delta is not None]
    except Unanswered:
        return []
