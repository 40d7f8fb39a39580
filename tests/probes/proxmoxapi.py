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

    def answer(self, request: Request) -> bytes:
        """One request."""
        path = unquote(urlsplit(request.path).path)
        self.asked.append(path)
        if request.headers.get("authorization") != f"PVEAPIToken={TOKEN[0]}={TOKEN[1]}":
            return response("401 authentication failure", b"", Connection="close")
        if any(path.startswith(f"/api2/json/{one}") for one in self.shut):
            return response("403 Permission check failed (/, Sys.Audit)", b'{"data":null}', Connection="close")
        found = self._found(path.removeprefix("/api2/json/").split("/"))
        if found is None:
            return response("501 Method not implemented", b'{"data":null}', Connection="close")
        return response(body=json.dumps({"data": found}).encode(), Content_Type="application/json", Connection="close")

    def _found(self, path: list[str]) -> Any:
        match path:
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
def serving(cluster: Cluster, context: ssl.SSLContext) -> Iterator[Web]:
    """The listener, with TLS as every node has it."""
    with web(cluster.answer, tls=context) as peer:
        yield peer
