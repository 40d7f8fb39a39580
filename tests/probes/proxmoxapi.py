"""A listener that answers as the API of Proxmox VE is documented to (pve.proxmox.com/pve-docs/api-viewer); synthetic.

No Proxmox VE can be installed for a test. The shapes are those of the API viewer for version 8; every value is made up.
"""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

from webpeers import Request, Web, response, web

TOKEN = ("pantau@pve!watch", "11111111-2222-3333-4444-555555555555")
GIB = 1024**3
HOUR = 3600


def guest(
    vmid: int, name: str, kind: str = "qemu", status: str = "running", node: str = "pve1", **more: Any
) -> dict[str, Any]:
    """One guest of /cluster/resources."""
    row = {
        "id": f"{kind}/{vmid}", "type": kind, "vmid": vmid, "name": name, "node": node, "status": status, "template": 0,
        "cpu": 0.25, "maxcpu": 4, "mem": 2 * GIB, "maxmem": 8 * GIB, "disk": 0, "maxdisk": 32 * GIB, "uptime": 86400,
        "netin": 1000, "netout": 2000, "diskread": 3000, "diskwrite": 4000,
    }  # fmt: skip
    return row | more


def node(name: str, status: str = "online") -> dict[str, Any]:
    """One node of /cluster/resources; of one that is off hardly anything is known."""
    row: dict[str, Any] = {"id": f"node/{name}", "type": "node", "node": name, "status": status, "level": ""}
    if status == "online":
        row |= {
            "cpu": 0.1, "maxcpu": 16, "mem": 32 * GIB, "maxmem": 64 * GIB, "disk": 20 * GIB, "maxdisk": 100 * GIB,
            "uptime": 864000,
        }  # fmt: skip
    return row


def storage(name: str, host: str, shared: int = 0, status: str = "available") -> dict[str, Any]:
    """One storage of /cluster/resources."""
    return {
        "id": f"storage/{host}/{name}", "type": "storage", "storage": name, "node": host, "status": status,
        "shared": shared, "disk": 300 * GIB, "maxdisk": 1000 * GIB, "content": "images,rootdir", "plugintype": "dir",
    }  # fmt: skip


def backup(host: str, ago: float, status: str = "OK", vmid: str = "") -> dict[str, Any]:
    """One ended vzdump task of /nodes/{node}/tasks; without a guest it is a job over several."""
    end = int(time.time() - ago)
    upid = f"UPID:{host}:0000AAAA:00000001:{end:08X}:vzdump:{vmid}:root@pam:"
    return {
        "upid": upid, "node": host, "type": "vzdump", "id": vmid, "user": "root@pam", "pid": 1, "pstart": 1,
        "starttime": end - 60, "endtime": end, "status": status,
    }  # fmt: skip


def log(*lines: str) -> list[dict[str, Any]]:
    """A task's log."""
    return [{"n": number, "t": text} for number, text in enumerate(lines, 1)]


@dataclass
class Cluster:
    """What the listener tells, by path. `shut` are paths this token may not see."""

    resources: list[dict[str, Any]] = field(default_factory=list)
    quorate: int = 1
    tasks: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    logs: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    replication: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    unprotected: list[dict[str, Any]] = field(default_factory=list)
    shut: tuple[str, ...] = ()
    asked: list[str] = field(default_factory=list)
    began: dict[str, float] = field(default_factory=dict)
    """Guests that can be restarted, by number: since when they run."""
    locked: dict[str, str] = field(default_factory=dict)
    ends: str = "OK"
    """How a restart's task ends: with OK the guest is another start of itself."""
    takes: float = 0.0
    ordered: list[tuple[str, bytes]] = field(default_factory=list)
    """Every order, with what it was given."""
    wrong: str = ""
    """What goes wrong with the answer to an order that was carried out: close, garbage, or a status."""
    running: dict[str, float] = field(default_factory=dict)

    def answer(self, request: Request) -> bytes:
        """One request."""
        path = unquote(urlsplit(request.path).path)
        self.asked.append(path)
        if request.line.startswith("POST"):
            return self._order(request, path)
        if request.headers.get("authorization") != f"PVEAPIToken={TOKEN[0]}={TOKEN[1]}":
            return response("401 authentication failure", b"", Connection="close")
        if any(path.startswith(f"/api2/json/{one}") for one in self.shut):
            return response("403 Permission check failed (/, Sys.Audit)", b'{"data":null}', Connection="close")
        found = self._found(path.removeprefix("/api2/json/").split("/"))
        if found is None:
            return response("501 Method not implemented", b'{"data":null}', Connection="close")
        return response(body=json.dumps({"data": found}).encode(), Content_Type="application/json", Connection="close")

    def _order(self, request: Request, path: str) -> bytes:
        if request.headers.get("authorization") != f"PVEAPIToken={TOKEN[0]}={TOKEN[1]}":
            return response("401 authentication failure", b"", Connection="close")
        if any(path.startswith(f"/api2/json/{one}") for one in self.shut):
            return response("403 Permission check failed", b'{"data":null}', Connection="close")
        match path.removeprefix("/api2/json/").split("/"):
            case ["nodes", host, "qemu" | "lxc", vmid, "status", "reboot"] if vmid in self.began:
                self.ordered.append((path, request.body))
                upid = f"UPID:{host}:0000AAAA:00000001:{int(time.time()):08X}:qmreboot:{vmid}:{TOKEN[0]}:"
                self.running[upid] = time.time() + self.takes
                if self.ends == "OK":
                    self.began[vmid] = time.time() + self.takes
            case _:
                return response("501 Method not implemented", b'{"data":null}', Connection="close")
        if self.wrong == "close":
            return b""
        if self.wrong == "garbage":
            return response(body=b"no JSON", Connection="close")
        if self.wrong:
            return response(self.wrong, b'{"data":null}', Connection="close")
        return response(body=json.dumps({"data": upid}).encode(), Content_Type="application/json", Connection="close")

    def _current(self, vmid: str) -> dict[str, Any]:
        on = time.time() - self.began[vmid]
        found: dict[str, Any] = {
            "vmid": int(vmid),
            "status": "running" if on >= 0 else "stopped",
            "uptime": max(0, int(on)),
        }
        return found | ({"lock": self.locked[vmid]} if vmid in self.locked else {})

    def _found(self, path: list[str]) -> Any:
        match path:
            case ["nodes", _, "qemu" | "lxc", vmid, "status", "current"] if vmid in self.began:
                return self._current(vmid)
            case ["nodes", _, "tasks", upid, "status"] if upid in self.running:
                over = time.time() >= self.running[upid]
                return (
                    {"upid": upid, "status": "stopped", "exitstatus": self.ends}
                    if over
                    else {"upid": upid, "status": "running"}
                )
            case ["version"]:
                return {"version": "8.2.4", "release": "8.2", "repoid": "faa83925c9641325"}
            case ["cluster", "resources"]:
                return self.resources
            case ["cluster", "status"]:
                count = sum(row.get("type") == "node" for row in self.resources)
                return [
                    {
                        "type": "cluster",
                        "id": "cluster",
                        "name": "house",
                        "nodes": count,
                        "quorate": self.quorate,
                        "version": 3,
                    }
                ]
            case ["cluster", "backup-info", "not-backed-up"]:
                return self.unprotected
            case ["nodes", host, "replication"]:
                return self.replication.get(host, [])
            case ["nodes", host, "tasks"]:
                return self.tasks.get(host, [])
            case ["nodes", _, "tasks", upid, "log"]:
                return self.logs.get(upid, [])
        return None


@contextmanager
def serving(cluster: Cluster, context: ssl.SSLContext, address: str = "127.0.0.1") -> Iterator[Web]:
    """The listener, with TLS as every node has it."""
    with web(cluster.answer, tls=context, address=address) as peer:
        yield peer
