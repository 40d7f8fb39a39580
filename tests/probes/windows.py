"""A synthetic Windows machine: what its WMI classes would say, made from the documented shapes; nothing is recorded.

Counters grow at exactly known rates from the start of the machine, so that what a client makes of them can be
compared to the digit.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

Rows = list[dict[str, Any]]

FREQUENCY = 10_000_000
"""Ticks a second of the performance counter."""
FILETIME = 116_444_736_000_000_000
"""1970 in units of 100 ns since 1601."""
CIMV2, DEFAULT, HYPERV = "root/cimv2", "root/default", "root/virtualization/v2"


@dataclass
class Service:
    """A service that can be told to stop and to start: its state, its process, and what it answers instead of obeying.
    `takes` is how many seconds it is in between."""

    state: str = "Running"
    process: int = 1200
    refuses: dict[str, int] = field(default_factory=dict)
    takes: float = 0.0
    until: tuple[float, str] = (0.0, "")


@dataclass
class Guest:
    """A guest of Hyper-V that can be asked to shut down and be turned on; `takes` seconds for each."""

    guid: str
    began: float
    state: int = 2
    takes: float = 0.0
    integrated: bool = True
    refuses: dict[str, int] = field(default_factory=dict)
    until: tuple[float, int] = (0.0, 0)


@dataclass
class Windows:
    """One machine. `clock` gives seconds since 1970; `booted` is when it started; `skew` how wrong its clock is."""

    clock: Callable[[], float] = time.time
    name: str = "SYNTH01"
    up: float = 14_400.0
    skew: float = 0.0
    busy: tuple[float, ...] = (0.25, 0.75)
    stopped: tuple[tuple[str, int], ...] = (("Spooler", 1067), ("RemoteRegistry", 1077))
    roles: tuple[str, ...] = ()
    guests: tuple[tuple[str, str, int, int], ...] = ()
    pending: tuple[str, ...] = ()
    processes: tuple[tuple[str, int, float, int], ...] = (
        ("sqlservr", 1840, 0.50, 4 << 30),
        ("w3wp", 2200, 0.10, 300 << 20),
        ("w3wp#1", 2300, 0.05, 200 << 20),
        ("svchost", 900, 0.0, 50 << 20),
        ("WmiPrvSE", 3100, 0.001, 20 << 20),
    )
    not_found: str = "NotFoundErrorsPersec"
    missing: frozenset[str] = frozenset()
    hidden: frozenset[str] = frozenset()
    services: dict[str, Service] = field(default_factory=dict)
    vms: dict[str, Guest] = field(default_factory=dict)
    refuses: int = 0
    """What Win32ShutdownTracker returns instead of restarting the machine."""
    done: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    """Every method that was invoked, in order, with its selectors and parameters."""
    booted: float = field(init=False)

    def __post_init__(self) -> None:
        self.booted = self.clock() - self.up

    def reboot(self) -> None:
        """It has just started anew: the counters begin at zero."""
        self.booted = self.clock()

    def stand(self, name: str) -> Service | None:
        """A service as it is now."""
        found = next((one for key, one in self.services.items() if key.lower() == name.lower()), None)
        if found is not None and found.until[1] and self.clock() >= found.until[0]:
            found.state, found.until = found.until[1], (0.0, "")
            found.process = found.process + 7 if found.state == "Running" else found.process
        return found

    def invoke(self, table: str, method: str, selectors: dict[str, str], given: dict[str, str]) -> int | None:
        """ReturnValue of a method that changes something, or None where there is no such instance."""
        if (table, method) == ("win32_operatingsystem", "win32shutdowntracker"):
            self.done.append((method, given))
            return self.refuses
        service = self.stand(selectors.get("name", ""))
        if table != "win32_service" or service is None or method not in ("stopservice", "startservice"):
            return None
        self.done.append((method, selectors))
        stops = method == "stopservice"
        if number := service.refuses.get(method, 0):
            return number
        if service.state not in ("Running", "Stopped"):
            return 5
        if stops == (service.state == "Stopped"):
            return 6 if stops else 10
        service.state, then = ("Stop Pending", "Stopped") if stops else ("Start Pending", "Running")
        service.until = self.clock() + service.takes, then
        return 0

    def vm(self, guid: str) -> Guest | None:
        """A guest as it is now."""
        found = next((one for one in self.vms.values() if one.guid == guid), None)
        if found is not None and found.until[1] and self.clock() >= found.until[0]:
            found.state, found.began, found.until = found.until[1], self.clock(), (0.0, 0)
        return found

    def tell_guest(self, table: str, method: str, selectors: dict[str, str], given: dict[str, str]) -> int | None:
        """ReturnValue of a method of root/virtualization/v2, or None where there is no such instance."""
        stops = (table, method) == ("msvm_shutdowncomponent", "initiateshutdown")
        if not stops and (table, method) != ("msvm_computersystem", "requeststatechange"):
            return None
        guest = self.vm(selectors.get("systemname" if stops else "name", ""))
        if guest is None or (stops and selectors.get("deviceid") != f"Microsoft:{guest.guid}\\SHUTDOWN"):
            return None
        self.done.append((method, given))
        if number := guest.refuses.get(method, 0):
            return number
        if guest.state != (2 if stops else 3):
            return 32775
        guest.state, then = (32774, 3) if stops else (32770, 2)
        guest.until = self.clock() + guest.takes, then
        return 0 if stops else 4096

    def query(self, namespace: str, table: str) -> Rows | None:
        """All rows of a class, or None where there is no such class."""
        made = _TABLES.get((namespace.lower(), table.lower()))
        if made is None or table in self.missing:
            return None
        return [] if table.lower() in self.hidden else made(self)

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.clock() + self.skew, UTC)

    def grown(self, per_second: float, start: int = 0) -> int:
        """A counter that grows at this rate since the start."""
        return start + round(per_second * (self.clock() - self.booted))

    def stamps(self) -> dict[str, Any]:
        """What every raw instance carries."""
        now = self.clock()
        return {
            "Timestamp_PerfTime": self.grown(FREQUENCY),
            "Frequency_PerfTime": FREQUENCY,
            "Timestamp_Sys100NS": FILETIME + round(now * 10_000_000),
            "Frequency_Sys100NS": 10_000_000,
            "Timestamp_Object": FILETIME + round(now * 10_000_000),
            "Frequency_Object": 10_000_000,
        }


def _operating_system(m: Windows) -> Rows:
    return [
        {
            "Caption": "Microsoft Windows Server 2022 Standard",
            "Version": "10.0.20348",
            "BuildNumber": "20348",
            "OSArchitecture": "64-bit",
            "CSName": m.name,
            "CSDVersion": None,
            "CurrentTimeZone": 420,
            "LastBootUpTime": datetime.fromtimestamp(m.booted + m.skew, UTC),
            "LocalDateTime": m.now(),
            "TotalVisibleMemorySize": 8 << 20,
            "FreePhysicalMemory": 2 << 20,
            "TotalVirtualMemorySize": 12 << 20,
            "FreeVirtualMemory": 6 << 20,
            "SizeStoredInPagingFiles": 4 << 20,
            "FreeSpaceInPagingFiles": 3 << 20,
            "NumberOfProcesses": 87,
            "NumberOfUsers": 5,
            "MUILanguages": ["en-US", "id-ID"],
        }
    ]


def _computer(m: Windows) -> Rows:
    return [
        {
            "Name": m.name, "DNSHostName": m.name.lower(), "Domain": "example.test", "PartOfDomain": True,
            "Manufacturer": "Synthetic Machines", "Model": "Model 7", "SystemType": "x64-based PC", "NumberOfLogicalProcessors": len(m.busy),
        }
    ]  # fmt: skip


def _cores(m: Windows) -> Rows:
    rows = []
    shares = {**{str(i): share for i, share in enumerate(m.busy)}, "_Total": sum(m.busy) / len(m.busy)}
    for name, busy in shares.items():
        rows.append(
            {
                "Name": name,
                "PercentProcessorTime": m.grown(1e7 * (1 - busy)),
                "PercentPrivilegedTime": m.grown(1e7 * busy / 4),
                "PercentInterruptTime": m.grown(1e7 * busy / 50),
                **m.stamps(),
            }
        )
    return rows


def _many_cores(m: Windows) -> Rows:
    """Group and number; the class without groups shows the first 64 only."""
    rows = _cores(m)
    for row in rows:
        row["Name"] = row["Name"] if row["Name"] == "_Total" else f"0,{row['Name']}"
    return [*rows, {**rows[-1], "Name": "0,_Total"}]


def _memory(m: Windows) -> Rows:
    return [
        {
            "AvailableBytes": 2 << 30, "CommittedBytes": 6 << 30, "CommitLimit": 12 << 30,
            "PagesInputPersec": m.grown(40), "PoolNonpagedBytes": 150 << 20, **m.stamps(),
        }
    ]  # fmt: skip


def _system(m: Windows) -> Rows:
    return [{"ProcessorQueueLength": 3, "ContextSwitchesPersec": m.grown(1500), "Processes": 87, **m.stamps()}]


def _drives(m: Windows) -> Rows:
    return [
        {"DeviceID": "C:", "DriveType": 3, "Size": 100 << 30, "FreeSpace": 25 << 30, "VolumeName": "System"},
        {"DeviceID": "D:", "DriveType": 5, "Size": None, "FreeSpace": None, "VolumeName": None},
    ]


def _volumes(m: Windows) -> Rows:
    return [
        {"Name": "C:\\", "DriveLetter": "C:", "DriveType": 3, "Capacity": 100 << 30, "FreeSpace": 25 << 30},
        {"Name": "C:\\mount\\data\\", "DriveLetter": None, "DriveType": 3, "Capacity": 50 << 30, "FreeSpace": 10 << 30},
        {
            "Name": "\\\\?\\Volume{0a1b}\\",
            "DriveLetter": None,
            "DriveType": 3,
            "Capacity": 1 << 29,
            "FreeSpace": 1 << 28,
        },
    ]


def _disks(m: Windows) -> Rows:
    return [
        {
            "Name": name,
            "DiskReadBytesPersec": m.grown(1_000_000),
            "DiskWriteBytesPersec": m.grown(500_000),
            "DiskTransfersPersec": m.grown(100),
            "AvgDisksecPerTransfer": m.grown(100 * 0.004 * FREQUENCY) & 0xFFFFFFFF,
            "AvgDisksecPerTransfer_Base": m.grown(100),
            "PercentIdleTime": m.grown(1e7 * 0.7),
            "PercentIdleTime_Base": m.grown(1e7),
            "CurrentDiskQueueLength": 2,
            **m.stamps(),
        }
        for name in ("C:", "HarddiskVolume1", "_Total")
    ]


def _interfaces(m: Windows) -> Rows:
    return [
        {
            "Name": name,
            "BytesReceivedPersec": m.grown(250_000, 1 << 40),
            "BytesSentPersec": m.grown(125_000),
            "PacketsReceivedErrors": 0,
            "PacketsOutboundErrors": 0,
            "PacketsReceivedDiscarded": m.grown(2),
            "PacketsOutboundDiscarded": 0,
            "CurrentBandwidth": 1_000_000_000,
            **m.stamps(),
        }
        for name in ("Synthetic Ethernet Adapter", "isatap.example.test", "Teredo Tunneling Pseudo-Interface")
    ]


def _processes(m: Windows) -> Rows:
    rows = [
        {
            "Name": name, "IDProcess": pid, "PercentProcessorTime": m.grown(1e7 * share), "WorkingSetPrivate": size,
            "HandleCount": 100, "ElapsedTime": FILETIME + round(m.booted * 1e7) + pid, **m.stamps(),
        }
        for name, pid, share, size in m.processes
    ]  # fmt: skip
    idle = {
        "Name": "Idle", "IDProcess": 0, "PercentProcessorTime": m.grown(1e7), "WorkingSetPrivate": 8192,
        "HandleCount": 0, "ElapsedTime": 0, **m.stamps(),
    }  # fmt: skip
    return [*rows, idle, {**idle, "Name": "_Total"}]


def _services(m: Windows) -> Rows:
    rows = [
        {"Name": name, "DisplayName": f"{name} service", "State": "Stopped", "StartMode": "Auto", "ExitCode": code, "ProcessId": 0}
        for name, code in m.stopped
    ]  # fmt: skip
    running = ["EventLog", "WinRM"]
    for role, names in (("iis", ["W3SVC"]), ("hyperv", ["vmms"]), ("sql", ["MSSQLSERVER", "MSSQL$SHOP"])):
        running += names if role in m.roles else []
    for number, name in enumerate(running):
        rows.append(
            {"Name": name, "DisplayName": name, "State": "Running", "StartMode": "Auto", "ExitCode": 0, "ProcessId": 400 + number}
        )  # fmt: skip
    for name in m.services:
        if (service := m.stand(name)) is not None:
            process = 0 if service.state == "Stopped" else service.process
            rows.append({"Name": name, "DisplayName": name, "State": service.state, "StartMode": "Manual", "ExitCode": 0, "ProcessId": process})  # fmt: skip
    rows += [
        {"Name": f"Filler{n}", "DisplayName": "x" * 200, "State": "Stopped", "StartMode": "Manual", "ExitCode": 1077, "ProcessId": 0}
        for n in range(120)
    ]  # fmt: skip
    return rows


def _sessions(m: Windows) -> Rows:
    return [{"ActiveSessions": 2, "InactiveSessions": 3, "TotalSessions": 5, **m.stamps()}]


def _events(m: Windows) -> Rows:
    def at(ago: float) -> str:
        return datetime.fromtimestamp(m.clock() + m.skew - ago, UTC).strftime("%Y%m%d%H%M%S.%f-000")

    return [
        {"Logfile": "System", "EventType": 1, "EventCode": 7031, "SourceName": "Service Control Manager", "RecordNumber": 90, "TimeGenerated": at(60)},
        {"Logfile": "System", "EventType": 2, "EventCode": 1014, "SourceName": "DNS Client", "RecordNumber": 89, "TimeGenerated": at(120)},
        {"Logfile": "System", "EventType": 3, "EventCode": 6013, "SourceName": "EventLog", "RecordNumber": 88, "TimeGenerated": at(130)},
        {"Logfile": "System", "EventType": 1, "EventCode": 41, "SourceName": "Kernel-Power", "RecordNumber": 7, "TimeGenerated": at(90_000)},
    ]  # fmt: skip


def _sites(m: Windows) -> Rows:
    return [
        {
            "Name": name, "CurrentConnections": 12, "TotalMethodRequestsPersec": m.grown(30),
            m.not_found: m.grown(20), **m.stamps(),
        }
        for name in ("_Total", "Default Web Site")
    ]  # fmt: skip


def _pools(m: Windows) -> Rows:
    return [
        {"Name": "DefaultAppPool", "CurrentApplicationPoolState": 3, **m.stamps()},
        {"Name": "ShopPool", "CurrentApplicationPoolState": 5, **m.stamps()},
        {"Name": "_Total", "CurrentApplicationPoolState": 0, **m.stamps()},
    ]


def _guests(m: Windows) -> Rows:
    host = {"Name": m.name, "ElementName": m.name, "EnabledState": 2, "HealthState": 5, "OnTimeInMilliseconds": None}
    told = [
        {"Name": one.guid, "ElementName": name, "EnabledState": one.state, "HealthState": 5,
         "OnTimeInMilliseconds": round((m.clock() - one.began) * 1000) if one.state == 2 else 0}
        for name, one in m.vms.items() if m.vm(one.guid)
    ]  # fmt: skip
    return [host, *told] + [
        {"Name": guid, "ElementName": name, "EnabledState": state, "HealthState": health, "OnTimeInMilliseconds": 60_000}
        for guid, name, state, health in m.guests
    ]  # fmt: skip


def _shutdown_components(m: Windows) -> Rows:
    return [
        {"CreationClassName": "Msvm_ShutdownComponent", "DeviceID": f"Microsoft:{one.guid}\\SHUTDOWN",
         "SystemCreationClassName": "Msvm_ComputerSystem", "SystemName": one.guid, "EnabledState": 2 if one.integrated else 3}
        for one in m.vms.values() if one.state == 2
    ]  # fmt: skip


def _guest_load(m: Windows) -> Rows:
    return [
        {"Name": f"{name}:Hv VP {n}", "PercentGuestRunTime": m.grown(1e7 * 0.4), **m.stamps()}
        for _, name, state, _ in m.guests
        if state == 2
        for n in range(2)
    ] + [{"Name": "_Total", "PercentGuestRunTime": m.grown(1e7 * 0.4), **m.stamps()}]


def _root_load(m: Windows) -> Rows:
    return [{"Name": f"Root VP {n}", "PercentTotalRunTime": m.grown(1e7 * 0.2), **m.stamps()} for n in range(2)] + [
        {"Name": "_Total", "PercentTotalRunTime": m.grown(1e7 * 0.2), **m.stamps()}
    ]


def _sql(rows: Callable[[Windows], Rows]) -> Callable[[Windows], Rows]:
    return lambda m: [{**row, **m.stamps()} for row in rows(m)]


_PERF = "win32_perfrawdata_"
_TABLES: dict[tuple[str, str], Callable[[Windows], Rows]] = {
    (CIMV2, "win32_operatingsystem"): _operating_system,
    (CIMV2, "win32_computersystem"): _computer,
    (CIMV2, "win32_processor"): lambda m: [{"Name": "Synthetic CPU @ 2.00GHz", "NumberOfLogicalProcessors": len(m.busy)}],
    (CIMV2, "win32_logicaldisk"): _drives,
    (CIMV2, "win32_volume"): _volumes,
    (CIMV2, "win32_service"): _services,
    (CIMV2, "win32_ntlogevent"): _events,
    (CIMV2, _PERF + "perfos_processor"): _cores,
    (CIMV2, _PERF + "counters_processorinformation"): _many_cores,
    (CIMV2, _PERF + "perfos_memory"): _memory,
    (CIMV2, _PERF + "perfos_system"): _system,
    (CIMV2, _PERF + "perfdisk_logicaldisk"): _disks,
    (CIMV2, _PERF + "tcpip_networkinterface"): _interfaces,
    (CIMV2, _PERF + "perfproc_process"): _processes,
    (CIMV2, _PERF + "localsessionmanager_terminalservices"): _sessions,
    (CIMV2, _PERF + "w3svc_webservice"): _sites,
    (CIMV2, _PERF + "apppoolcountersprovider_apppoolwas"): _pools,
    (CIMV2, _PERF + "hvstats_hypervhypervisorvirtualprocessor"): _guest_load,
    (CIMV2, _PERF + "hvstats_hypervhypervisorrootvirtualprocessor"): _root_load,
    (HYPERV, "msvm_computersystem"): _guests,
    (HYPERV, "msvm_shutdowncomponent"): _shutdown_components,
}  # fmt: skip
for _prefix in ("mssqlserver_sqlserver", "mssqlshop_mssqlshop"):
    _TABLES |= {
        (CIMV2, f"{_PERF}{_prefix}generalstatistics"): _sql(lambda m: [{"UserConnections": 17, "Processesblocked": 1}]),
        (CIMV2, f"{_PERF}{_prefix}sqlstatistics"): _sql(lambda m: [{"BatchRequestsPersec": m.grown(200)}]),
        (CIMV2, f"{_PERF}{_prefix}buffermanager"): _sql(
            lambda m: [{"Pagelifeexpectancy": 3000, "Buffercachehitratio": 990, "Buffercachehitratio_Base": 1000}]
        ),
        (CIMV2, f"{_PERF}{_prefix}databases"): _sql(
            lambda m: [{"Name": "shop", "PercentLogUsed": 37}, {"Name": "_Total", "PercentLogUsed": 37}]
        ),
        (CIMV2, f"{_PERF}{_prefix}locks"): _sql(
            lambda m: [{"Name": "_Total", "NumberofDeadlocksPersec": m.grown(0.5)}]
        ),
    }


def registry(machine: Windows, method: str, key: str, value: str) -> dict[str, Any]:
    """StdRegProv on HKEY_LOCAL_MACHINE: what `method` answers, its ReturnValue included (2: there is no such thing)."""
    key = key.lower()
    if method == "EnumKey":
        there = {
            "rebootpending": "servicing" in machine.pending,
            "rebootrequired": "update" in machine.pending,
        }.get(key.rpartition("\\")[2])
        return {"ReturnValue": 0, "sNames": ["Details"]} if there else {"ReturnValue": 2}
    if method == "GetMultiStringValue" and value == "PendingFileRenameOperations":
        if "rename" not in machine.pending:
            return {"ReturnValue": 1}
        return {"ReturnValue": 0, "sValue": ["\\??\\C:\\Windows\\Temp\\old.dll", ""]}
    if method == "GetStringValue" and value == "ComputerName":
        renamed = "name" in machine.pending and key.endswith("\\computername\\computername")
        return {"ReturnValue": 0, "sValue": "NEWNAME" if renamed else machine.name}
    return {"ReturnValue": 2}
