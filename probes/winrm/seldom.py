"""What is asked once an hour: what the machine is, which roles it has, and whether it waits for a restart."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

from domain.reading import Fact, Measure
from probes.limits import clean
from probes.winrm.envelope import Query
from probes.winrm.memory import HOUR, Ask, Found, Unanswered

LOCAL_MACHINE = 0x80000002
"""HKEY_LOCAL_MACHINE, as StdRegProv wants it."""
COMPUTER = Query("Win32_ComputerSystem", ("Manufacturer", "Model", "SystemType", "NumberOfLogicalProcessors", "Domain"))
PROCESSOR = Query("Win32_Processor", ("Name",))
ROLE = Query(
    "Win32_Service",
    ("Name", "State"),
    "Name='WinRM' or Name='W3SVC' or Name='vmms' or Name='MSSQLSERVER' or Name like 'MSSQL$%'",
)
INSTANCES = 8
"""The most SQL Server instances of one machine that are looked into."""
ARCHITECTURES = {"x64": "x86_64", "x86": "x86", "arm64": "arm64"}
"""SystemType of Win32_ComputerSystem up to its dash, as other systems call it."""
_CURRENT = "SOFTWARE\\Microsoft\\Windows\\CurrentVersion\\"
_CONTROL = "SYSTEM\\CurrentControlSet\\Control\\"
_NO_SUCH = (2, 3)
"""ERROR_FILE_NOT_FOUND, ERROR_PATH_NOT_FOUND."""


def inventory(ask: Ask) -> Iterator[Found]:
    """Maker, model, domain and processors."""
    for row in ask.select(COMPUTER)[:1]:
        model = clean(f"{row.text('Manufacturer')} {row.text('Model')}")
        cores = row.whole("NumberOfLogicalProcessors")
        ask.memory.cores = cores or 0
        for name, text in (
            ("host.model", model),
            ("host.arch", ARCHITECTURES.get(row.text("SystemType").partition("-")[0].lower(), row.text("SystemType"))),
            ("host.domain", row.text("Domain")),
            ("host.cpu.count", str(cores or "")),
        ):
            if text:
                yield Fact(name, text)
    for row in ask.select(PROCESSOR)[:1]:
        yield Fact("host.cpu.model.name", row.text("Name"))


def roles(ask: Ask) -> Iterator[Found]:
    """Which roles run, by their services. An account that may not list services does not even see the one it talks to."""
    rows = ask.select(ROLE)
    running = {row.text("Name") for row in rows if row.text("State") == "Running"}
    if not any(row.text("Name").lower() == "winrm" for row in rows):
        ask.memory.missing["Win32_Service"] = time.monotonic() + HOUR, "no right to list services"
        raise Unanswered("no right to list services")
    found = {"iis"} if "W3SVC" in running else set()
    found |= {"hyperv"} if "vmms" in running else set()
    instances = sorted(name for name in running if name.startswith("MSSQL"))
    ask.memory.instances = tuple(n for n in instances if re.fullmatch(r"MSSQLSERVER|MSSQL\$[A-Za-z_]\w*", n))[
        :INSTANCES
    ]
    ask.memory.roles = frozenset(found | ({"sql"} if ask.memory.instances else set()))
    yield Fact("windows.roles", " ".join(sorted(ask.memory.roles)) or "-")


def pending_restart(ask: Ask) -> Iterator[Found]:
    """Whether servicing, Windows Update, a rename of files in use or of the machine waits for a restart.

    Read from the registry by methods of StdRegProv. "No" is said only where every question was answered.
    """
    answers = {
        "servicing": _key(ask, f"{_CURRENT}Component Based Servicing\\RebootPending"),
        "Windows Update": _key(ask, f"{_CURRENT}WindowsUpdate\\Auto Update\\RebootRequired"),
        "files in use": _renames(ask),
        "new name": _renamed(ask),
    }
    wanted = [why for why, answer in answers.items() if answer]
    if wanted or None not in answers.values():
        yield Measure("system.reboot.required", float(bool(wanted)))
        yield Fact("system.reboot.reason", ", ".join(wanted) or "-")


def _key(ask: Ask, key: str) -> bool | None:
    """Whether there is such a key."""
    code = _registry(ask, "EnumKey", key)[0]
    return True if code == 0 else False if code in _NO_SUCH else None


def _renames(ask: Ask) -> bool | None:
    code, values = _registry(ask, "GetMultiStringValue", f"{_CONTROL}Session Manager", "PendingFileRenameOperations")
    return any(values) if code == 0 else False if code in (1, *_NO_SUCH) else None


def _renamed(ask: Ask) -> bool | None:
    found = []
    for name in ("ActiveComputerName", "ComputerName"):
        code, values = _registry(ask, "GetStringValue", f"{_CONTROL}ComputerName\\{name}", "ComputerName")
        if code != 0 or not values:
            return None
        found.append(values[0].lower())
    return found[0] != found[1]


def _registry(ask: Ask, method: str, key: str, value: str = "") -> tuple[int | None, tuple[str, ...]]:
    """ReturnValue and the text or texts of a value (1: the key is there, the value is not)."""
    given: dict[str, str | int] = {"hDefKey": LOCAL_MACHINE, "sSubKeyName": key}
    if value:
        given["sValueName"] = value
    row = ask.invoke("root/default", "StdRegProv", method, given)
    return row.whole("ReturnValue"), row.many("sValue")
