"""From the objects of the Proxmox VE API (its viewer, pve.proxmox.com/pve-docs/api-viewer) to measures and failures."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from domain import clock
from domain.reading import Fact, Failure, FailureKind, Measure
from probes.base import Produces
from probes.limits import clean, number
from probes.proxmox.client import Api, Row, Withheld, denied

GUESTS, NODES, STORAGES, JOBS = 500, 64, 200, 500
"""The most of each told one by one."""
TASKS = 50
"""The most backup tasks of a node that are looked at, newest first."""
LOG_LINES = 5000
"""The most lines of one backup's log that are read."""

# PVE::VZDump writes these; a job over several guests is one task, and only its log says which guest came out how.
_DONE = re.compile(r"INFO: Finished Backup of VM (\d{1,9}) ")
_FAILED = re.compile(r"ERROR: Backup of VM (\d{1,9}) failed")


@dataclass
class Memory:
    """What backups that have ended say: their logs change no more, and are read once. By UPID."""

    outcomes: dict[str, dict[str, bool]] = field(default_factory=dict)

    def close(self) -> None:
        """Nothing is held open."""


@dataclass
class Seen:
    """What one look gathers."""

    measures: list[Measure] = field(default_factory=list)
    facts: list[Fact] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    withheld: list[str] = field(default_factory=list)

    def add(self, name: str, value: object, of: str = "") -> None:
        """One measure by its declared unit and kind, unless `value` is no number."""
        found = number(value)
        if found is not None:
            made = _DECLARED[name]
            self.measures.append(Measure(name, found, made.unit, of, made.kind))

    def share(self, name: str, used: object, most: object, of: str = "") -> None:
        """Used by most, where there is a most."""
        part, whole = number(used, 0), number(most, 0)
        if part is not None and whole:
            self.add(name, min(1.0, part / whole), of)

    def failure(self) -> Failure | None:
        """What is broken, else what we may not see."""
        if self.broken:
            more = f" And {len(self.broken) - 3} more." if len(self.broken) > 3 else ""
            return Failure(FailureKind.REFUSED, " ".join(self.broken[:3]) + more)
        return denied(" and ".join(self.withheld)) if self.withheld else None


def gather(api: Api, memory: Memory, guests: bool, backups: bool, oldest: float) -> Seen:
    """All subjects; `oldest` is how many seconds old a backup may be (0: any)."""
    seen = Seen()
    seen.facts.append(Fact("proxmox.version", _text(api.row("version").get("version"))))
    resources = api.rows("cluster", "resources")
    nodes = [row for row in resources if row.get("type") == "node"][:NODES]
    if not nodes:
        seen.withheld.append("the nodes")
        return seen
    _cluster(api, seen)
    for row in nodes:
        _node(row, seen)
    running = [row for row in resources if row.get("type") in ("qemu", "lxc") and not number(row.get("template"))]
    names = {_text(row.get("vmid")): guest_name(row) for row in running}
    if guests:
        for row in running[:GUESTS]:
            _guest(row, seen)
    seen.add("proxmox.guests", float(len(running)))
    seen.add("proxmox.guests", float(sum(row.get("status") == "running" for row in running)), "running")
    _storages(resources, seen)
    alive = [_text(row.get("node")) for row in nodes if row.get("status") == "online"]
    _replication(api, alive, names, seen)
    if backups:
        _backups(api, alive, names, memory, oldest, seen)
    return seen


def _cluster(api: Api, seen: Seen) -> None:
    """Whether most of the cluster's nodes see each other: without, nothing can be changed or started."""
    try:
        rows = api.rows("cluster", "status")
    except Withheld:
        return
    for row in rows:
        if row.get("type") == "cluster":
            quorate = number(row.get("quorate")) == 1
            seen.add("proxmox.quorate", float(quorate))
            seen.facts.append(Fact("proxmox.cluster", _text(row.get("name"))))
            if not quorate:
                seen.broken.append("The cluster has no quorum: too few of its nodes see each other.")


def _node(row: Row, seen: Seen) -> None:
    of = _text(row.get("node"))
    online = row.get("status") == "online"
    seen.add("proxmox.node.online", float(online), of)
    if not online:
        seen.broken.append(f"The node {of} is {_text(row.get('status')) or 'not online'}.")
        return
    seen.add("proxmox.node.cpu.utilization", row.get("cpu"), of)
    seen.share("proxmox.node.memory.utilization", row.get("mem"), row.get("maxmem"), of)
    seen.add("proxmox.node.memory.usage", row.get("mem"), of)
    seen.share("proxmox.node.filesystem.utilization", row.get("disk"), row.get("maxdisk"), of)
    seen.add("proxmox.node.uptime", row.get("uptime"), of)


def _guest(row: Row, seen: Seen) -> None:
    of = guest_name(row)
    runs = row.get("status") == "running"
    seen.add("proxmox.guest.running", float(runs), of)
    what = {"qemu": "virtual machine", "lxc": "container"}.get(_text(row.get("type")), "guest")
    seen.facts.append(Fact("proxmox.guest", f"{what}, {_text(row.get('status'))}, on {_text(row.get('node'))}", of))
    if not runs:
        return
    seen.add("proxmox.guest.cpu.utilization", row.get("cpu"), of)
    seen.share("proxmox.guest.memory.utilization", row.get("mem"), row.get("maxmem"), of)
    if row.get("type") == "lxc":  # of virtual machines the disk in use is not known from outside: it says 0
        seen.share("proxmox.guest.filesystem.utilization", row.get("disk"), row.get("maxdisk"), of)
    seen.add("proxmox.guest.uptime", row.get("uptime"), of)
    for name, key in (("network.io.receive", "netin"), ("network.io.transmit", "netout")):
        seen.add(f"proxmox.guest.{name}", row.get(key), of)
    for name, key in (("disk.io.read", "diskread"), ("disk.io.write", "diskwrite")):
        seen.add(f"proxmox.guest.{name}", row.get(key), of)


def _storages(resources: list[Row], seen: Seen) -> None:
    """A shared storage is told once, any other for each node."""
    told: set[str] = set()
    for row in [row for row in resources if row.get("type") == "storage"][:STORAGES]:
        name = _text(row.get("storage"))
        of = name if number(row.get("shared")) == 1 else f"{_text(row.get('node'))} {name}"
        available = row.get("status") == "available"
        if of in told:
            continue
        told.add(of)
        seen.add("proxmox.storage.available", float(available), of)
        if available:
            seen.share("proxmox.storage.utilization", row.get("disk"), row.get("maxdisk"), of)
            seen.add("proxmox.storage.usage", row.get("disk"), of)
            seen.add("proxmox.storage.limit", row.get("maxdisk"), of)


def _replication(api: Api, nodes: list[str], names: dict[str, str], seen: Seen) -> None:
    """Jobs of storage replication, each told by the node its guest is on."""
    told = 0
    for node in nodes:
        try:
            rows = api.rows("nodes", node, "replication")
        except Withheld as withheld:
            _note(withheld, "replication", seen)
            continue
        for row in rows[: JOBS - told]:
            told += 1
            guest = _text(row.get("guest"))
            of = f"{names.get(guest, guest)} to {_text(row.get('target'))}"
            last, failures = number(row.get("last_sync"), 0), number(row.get("fail_count"), 0)
            if last:
                seen.add("proxmox.replication.age", max(0.0, _now() - last), of)
            seen.add("proxmox.replication.failures", failures, of)
            if failures:
                said = f": {_text(row.get('error'), 120)}" if row.get("error") else ""
                seen.broken.append(f"Replication of {of} failed {failures:.0f} times in a row{said}.")


def _backups(api: Api, nodes: list[str], names: dict[str, str], memory: Memory, oldest: float, seen: Seen) -> None:
    """When each guest was last backed up, and whether the last attempt worked: from the backup tasks and their logs."""
    good: dict[str, float] = {}
    last: dict[str, tuple[float, bool]] = {}
    complete, current = True, set[str]()
    for node in nodes:
        try:
            tasks = api.rows("nodes", node, "tasks", typefilter="vzdump", limit=TASKS, source="archive")
        except Withheld as withheld:
            _note(withheld, "backup tasks", seen)
            complete = False
            continue
        for task in tasks[:TASKS]:
            end = number(task.get("endtime"), 0)
            if end is None:
                continue  # still at work
            current.add(_text(task.get("upid"), 200))
            for guest, worked in _outcome(api, node, task, memory).items():
                if worked:
                    good[guest] = max(good.get(guest, 0.0), end)
                if end >= last.get(guest, (0.0, True))[0]:
                    last[guest] = (end, worked)
    for upid in memory.outcomes.keys() - current:
        del memory.outcomes[upid]
    now = _now()
    for guest, name in list(names.items())[:GUESTS]:
        if guest in good:
            seen.add("proxmox.backup.age", max(0.0, now - good[guest]), name)
        if guest in last:
            seen.add("proxmox.backup.failed", float(not last[guest][1]), name)
            if not last[guest][1]:
                seen.broken.append(f"The last backup of {name} failed.")
        if oldest and complete and now - good.get(guest, 0.0) > oldest:
            when = f"{(now - good[guest]) / 3600:.0f} h old" if guest in good else "not among the last backups at all"
            seen.broken.append(f"The newest good backup of {name} is {when}.")
    _unprotected(api, seen)


def _outcome(api: Api, node: str, task: Row, memory: Memory) -> dict[str, bool]:
    """Guest -> whether its backup worked, of one task that has ended."""
    guest, worked = _text(task.get("id")), _text(task.get("status"), 100).startswith(("OK", "WARNINGS"))
    if guest.isdigit():
        return {guest: worked}
    upid = _text(task.get("upid"), 200)
    if upid not in memory.outcomes:
        try:
            lines = api.rows("nodes", node, "tasks", upid, "log", limit=LOG_LINES)
        except Withheld:
            return {}
        found: dict[str, bool] = {}
        for line in lines:
            text = str(line.get("t", ""))[:300]
            for pattern, good in ((_DONE, True), (_FAILED, False)):
                if match := pattern.match(text):
                    found[match[1]] = good
        memory.outcomes[upid] = found
    return memory.outcomes[upid]


def _unprotected(api: Api, seen: Seen) -> None:
    """Guests that no backup job covers (from version 6.4 on)."""
    try:
        rows = api.rows("cluster", "backup-info", "not-backed-up")
    except Withheld:
        return
    seen.add("proxmox.backup.unprotected", float(len(rows)))
    listed = ", ".join(f"{_text(row.get('vmid'))} {_text(row.get('name'))}".strip() for row in rows[:10])
    if listed:
        seen.facts.append(Fact("proxmox.unprotected", clean(listed)))


def _note(withheld: Withheld, what: str, seen: Seen) -> None:
    if withheld.status == 403 and what not in seen.withheld:
        seen.withheld.append(what)


def guest_name(row: Row) -> str:
    """What a guest is called here: `101 files`."""
    return clean(f"{_text(row.get('vmid'))} {_text(row.get('name'))}".strip(), 100)


def _text(value: Any, most: int = 64) -> str:
    return clean(str(value), most) if isinstance(value, str | int) and not isinstance(value, bool) else ""


def _now() -> float:
    return clock.now().timestamp()


PRODUCES = (
    Produces("proxmox.quorate", "1", "Cluster has a quorum"),
    Produces("proxmox.node.online", "1", "Node is online", of="node"),
    Produces("proxmox.node.cpu.utilization", "1", "CPU of the node", of="node"),
    Produces("proxmox.node.memory.utilization", "1", "Memory of the node", of="node"),
    Produces("proxmox.node.memory.usage", "By", "Memory of the node in use", of="node"),
    Produces("proxmox.node.filesystem.utilization", "1", "Root file system of the node", of="node"),
    Produces("proxmox.node.uptime", "s", "Node has been running", of="node"),
    Produces("proxmox.guests", "1", "Guests", of="state"),
    Produces("proxmox.guest.running", "1", "Guest is running", of="guest"),
    Produces("proxmox.guest.cpu.utilization", "1", "CPU of the guest", of="guest"),
    Produces("proxmox.guest.memory.utilization", "1", "Memory of the guest", of="guest"),
    Produces("proxmox.guest.filesystem.utilization", "1", "Root file system of the container", of="guest"),
    Produces("proxmox.guest.uptime", "s", "Guest has been running", of="guest"),
    Produces("proxmox.guest.network.io.receive", "By", "Received by the guest", of="guest", kind="counter"),
    Produces("proxmox.guest.network.io.transmit", "By", "Sent by the guest", of="guest", kind="counter"),
    Produces("proxmox.guest.disk.io.read", "By", "Read by the guest", of="guest", kind="counter"),
    Produces("proxmox.guest.disk.io.write", "By", "Written by the guest", of="guest", kind="counter"),
    Produces("proxmox.storage.available", "1", "Storage is available", of="storage"),
    Produces("proxmox.storage.utilization", "1", "Storage in use", of="storage"),
    Produces("proxmox.storage.usage", "By", "Bytes in use of the storage", of="storage"),
    Produces("proxmox.storage.limit", "By", "Size of the storage", of="storage"),
    Produces("proxmox.replication.age", "s", "Replica was last brought up to date", of="guest"),
    Produces("proxmox.replication.failures", "1", "Failures of replication in a row", of="guest"),
    Produces("proxmox.backup.age", "s", "Age of the newest good backup", of="guest"),
    Produces("proxmox.backup.failed", "1", "Last backup failed", of="guest"),
    Produces("proxmox.backup.unprotected", "1", "Guests without a backup job"),
    Produces("http.duration", "s", "Time to all answers"),
    Produces("tls.certificate.expiry", "s", "Certificate is good for"),
)
_DECLARED = {made.name: made for made in PRODUCES}
