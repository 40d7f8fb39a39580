"""Which registered machine is which guest of a hypervisor, and so whose child."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

HYPERV, PROXMOX = "hyperv.guest.state", "proxmox.guest"
"""The facts that name guests; their part is the guest."""
FACTS = (HYPERV, PROXMOX)
_NUMBERED = re.compile(r"\d{1,9} (.+)")  # Proxmox: "101 files"
_ON = re.compile(r".*, on (\S{1,64})")


@dataclass(frozen=True, slots=True)
class Told:
    """One guest as machine `host` tells it: fact name, the guest, and what is said of it."""

    host: int
    fact: str
    guest: str
    value: str


@dataclass(frozen=True, slots=True)
class Links:
    """What is to change: pairs of (child, parent)."""

    add: frozenset[tuple[int, int]]
    drop: frozenset[tuple[int, int]]


def runs(value: str) -> bool:
    """Whether what is said of a guest says that it runs: "running" by Hyper-V, "container, running, on pve1" by Proxmox."""
    return "running" in value.split(", ")


def links(told: Iterable[Told], names: Mapping[int, str], parents: frozenset[tuple[int, int]]) -> Links:
    """Links from guests to the nodes they run on.

    `names` are all registered machines by id, `parents` the links there are. A guest is the machine of its name,
    by the first label and whatever its case; a name two machines share is nobody's. On a Proxmox cluster the node is
    the machine of the node's name, else the one that tells; a guest that moved leaves the cluster's other nodes.
    A link that would go round in a circle is not made.
    """
    by_name: dict[str, int | None] = {}
    for id, name in names.items():
        key = _key(name)
        by_name[key] = None if key in by_name else id
    add: set[tuple[int, int]] = set()
    drop: set[tuple[int, int]] = set()
    rows = list(told)
    nodes: dict[int, set[int]] = {}
    for row in rows:
        if row.fact == PROXMOX:
            nodes.setdefault(row.host, {row.host}).add(_node(row, by_name))
    for row in rows:
        child = by_name.get(_key(_guest(row)))
        node = _node(row, by_name) if row.fact == PROXMOX else row.host
        if child is None or child == node or child in nodes.get(row.host, ()):
            continue
        if (child, node) not in parents and not _above(node, child, parents | add):
            add.add((child, node))
        drop |= {(child, other) for other in nodes.get(row.host, ()) if other != node and (child, other) in parents}
    return Links(frozenset(add), frozenset(drop - add))


def _guest(row: Told) -> str:
    match = _NUMBERED.fullmatch(row.guest) if row.fact == PROXMOX else None
    return match[1] if match else row.guest


def _node(row: Told, by_name: Mapping[str, int | None]) -> int:
    match = _ON.fullmatch(row.value)
    found = by_name.get(_key(match[1])) if match else None
    return row.host if found is None else found


def _key(name: str) -> str:
    return name.strip().partition(".")[0].casefold()


def _above(node: int, child: int, parents: Iterable[tuple[int, int]]) -> bool:
    """Whether `child` is already above `node`."""
    over: dict[int, list[int]] = {}
    for below, parent in parents:
        over.setdefault(below, []).append(parent)
    waiting, seen = [node], set()
    while waiting:
        one = waiting.pop()
        if one == child:
            return True
        if one not in seen:
            seen.add(one)
            waiting += over.get(one, [])
    return False
