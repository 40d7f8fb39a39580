"""From Redis's INFO (its documentation, command INFO) to measures, and to what is plainly broken."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from domain.reading import Fact, Measure
from probes.base import Produces
from probes.limits import clean, number

PARTS = 50
"""The most replicas and databases told one by one."""

FIELDS = {
    "uptime_in_seconds": "redis.uptime",
    "connected_clients": "redis.clients.connected",
    "blocked_clients": "redis.clients.blocked",
    "maxclients": "redis.clients.max",
    "used_memory": "redis.memory.used",
    "used_memory_rss": "redis.memory.rss",
    "mem_fragmentation_ratio": "redis.memory.fragmentation",
    "evicted_keys": "redis.keys.evicted",
    "expired_keys": "redis.keys.expired",
    "keyspace_hits": "redis.keyspace.hits",
    "keyspace_misses": "redis.keyspace.misses",
    "total_commands_processed": "redis.commands.processed",
    "total_error_replies": "redis.commands.failed",
    "total_connections_received": "redis.connections.received",
    "rejected_connections": "redis.connections.rejected",
    "total_net_input_bytes": "redis.net.input",
    "total_net_output_bytes": "redis.net.output",
    "rdb_changes_since_last_save": "redis.rdb.changes_since_last_save",
    "connected_slaves": "redis.replicas",
}


@dataclass
class Before:
    """The last look's hits and misses, kept for the hit ratio, which is one of the time between two looks."""

    hits: float = 0.0
    misses: float = 0.0
    run: str = ""

    def close(self) -> None:
        """Nothing is held open."""


@dataclass
class Seen:
    """What one look gathers."""

    measures: list[Measure] = field(default_factory=list)
    facts: list[Fact] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    def add(self, name: str, value: object, of: str = "") -> None:
        """One measure by its declared unit and kind, unless `value` is no number."""
        found = number(value)
        if found is not None:
            made = _DECLARED[name]
            self.measures.append(Measure(name, found, made.unit, of, made.kind))


def parse(text: str) -> dict[str, str]:
    """INFO's `name:value` lines."""
    pairs = (line.partition(":") for line in text.splitlines() if not line.startswith("#"))
    return {name: value.strip() for name, colon, value in pairs if colon}


def gather(info: dict[str, str], before: Before) -> Seen:
    """All that INFO tells."""
    seen = Seen()
    for name, measure in FIELDS.items():
        seen.add(measure, info.get(name))
    _limits(info, seen)
    _hits(info, seen, before)
    _persistence(info, seen)
    _databases(info, seen)
    if info.get("role") == "slave":
        _replica(info, seen)
    _replicas(info, seen)
    role = {"master": "primary", "slave": "replica"}.get(info.get("role", ""), "")
    version = info.get("valkey_version") or info.get("redis_version")
    for fact, text in (("version", version), ("role", role), ("memory.policy", info.get("maxmemory_policy"))):
        if text:
            seen.facts.append(Fact(f"redis.{fact}", clean(text, 60)))
    return seen


def _limits(info: dict[str, str], seen: Seen) -> None:
    """maxmemory 0 is no limit: then there is no share of it either."""
    most, used = number(info.get("maxmemory"), 0), number(info.get("used_memory"), 0)
    if most and used is not None:
        seen.add("redis.memory.max", most)
        seen.add("redis.memory.utilization", used / most)
    clients, limit = number(info.get("connected_clients"), 0), number(info.get("maxclients"), 1)
    if clients is not None and limit:
        seen.add("redis.clients.utilization", min(1.0, clients / limit))


def _hits(info: dict[str, str], seen: Seen, before: Before) -> None:
    """Share of look-ups that found their key since the last look; another run id is a restart."""
    hits, misses = number(info.get("keyspace_hits"), 0), number(info.get("keyspace_misses"), 0)
    if hits is None or misses is None:
        return
    run = info.get("run_id", "")
    found, missed = hits - before.hits, misses - before.misses
    if before.run and before.run == run and found >= 0 and missed >= 0 and found + missed > 0:
        seen.add("redis.keyspace.hit.ratio", found / (found + missed))
    before.hits, before.misses, before.run = hits, misses, run or "?"


def _persistence(info: dict[str, str], seen: Seen) -> None:
    states = {
        "rdb_last_bgsave_status": "saving its data to disk",
        "aof_last_write_status": "writing its log of changes",
        "aof_last_bgrewrite_status": "rewriting its log of changes",
    }
    failing = [what for name, what in states.items() if info.get(name, "ok") not in ("ok", "")]
    seen.add("redis.persistence.failing", float(bool(failing)))
    if failing:
        seen.broken.append(f"The last time, {failing[0]} failed: look at the space on its disk and at Redis's log.")


def _databases(info: dict[str, str], seen: Seen) -> None:
    found = [(name, value) for name, value in info.items() if re.fullmatch(r"db\d{1,6}", name, re.ASCII)]
    total = 0.0
    for name, value in found:
        keys = number(_pairs(value).get("keys"), 0) or 0.0
        total += keys
        if len(found) <= PARTS:
            seen.add("redis.db.keys", keys, name)
    seen.add("redis.db.keys", total)


def _replica(info: dict[str, str], seen: Seen) -> None:
    """This server's own link to its primary. While it is down, what it holds grows old."""
    up = info.get("master_link_status") == "up"
    seen.add("redis.replication.link", float(up))
    last = number(info.get("master_last_io_seconds_ago"), 0)  # -1 while there is no link
    down = number(info.get("master_link_down_since_seconds"), 0)
    seen.add("redis.replication.silent", last if up else down)
    if not up:
        source = clean(f"{info.get('master_host', '?')}:{info.get('master_port', '?')}", 80)
        what = "is copying everything anew from" if info.get("master_sync_in_progress") == "1" else "has lost"
        seen.broken.append(f"This replica {what} its primary {source}: what it holds is not up to date.")


def _replicas(info: dict[str, str], seen: Seen) -> None:
    """The replicas of this server: how many bytes and how long behind each is."""
    offset = number(info.get("master_repl_offset"), 0)
    names = [name for name in info if re.fullmatch(r"slave\d{1,4}", name, re.ASCII)]
    for name in names[:PARTS]:
        row = _pairs(info[name])
        of = clean(f"{row.get('ip', '?')}:{row.get('port', '?')}", 80)
        have = number(row.get("offset"), 0)
        if row.get("state") == "online" and have is not None and offset is not None:
            seen.add("redis.replica.data_delay", max(0.0, offset - have), of)
        lag = number(row.get("lag"), 0)
        seen.add("redis.replica.lag", lag, of)


def _pairs(text: str) -> dict[str, str]:
    """`ip=::1,port=1` as a dict."""
    return {name: value for name, _, value in (part.partition("=") for part in text.split(","))}


PRODUCES = (
    Produces("redis.connect.duration", "s", "Time to log in"),
    Produces("redis.ping.duration", "s", "Time to answer a ping"),
    Produces("redis.uptime", "s", "Redis has been running"),
    Produces("redis.clients.connected", "1", "Clients"),
    Produces("redis.clients.blocked", "1", "Clients that wait"),
    Produces("redis.clients.max", "1", "Clients that are allowed"),
    Produces("redis.clients.utilization", "1", "Share of the clients allowed"),
    Produces("redis.memory.used", "By", "Memory in use"),
    Produces("redis.memory.rss", "By", "Memory as the system sees it"),
    Produces("redis.memory.max", "By", "Memory that is allowed"),
    Produces("redis.memory.utilization", "1", "Share of the memory allowed"),
    Produces("redis.memory.fragmentation", "1", "Memory as the system sees it, to memory in use"),
    Produces("redis.keys.evicted", "1", "Keys thrown out for want of memory", kind="counter"),
    Produces("redis.keys.expired", "1", "Keys expired", kind="counter"),
    Produces("redis.keyspace.hits", "1", "Look-ups that found their key", kind="counter"),
    Produces("redis.keyspace.misses", "1", "Look-ups that did not", kind="counter"),
    Produces("redis.keyspace.hit.ratio", "1", "Share of look-ups that found their key"),
    Produces("redis.commands.processed", "1", "Commands", kind="counter"),
    Produces("redis.commands.failed", "1", "Commands answered with an error", kind="counter"),
    Produces("redis.commands.slow", "1", "Slow commands", kind="counter"),
    Produces("redis.connections.received", "1", "Connections taken", kind="counter"),
    Produces("redis.connections.rejected", "1", "Connections turned away", kind="counter"),
    Produces("redis.net.input", "By", "Received from clients", kind="counter"),
    Produces("redis.net.output", "By", "Sent to clients", kind="counter"),
    Produces("redis.rdb.changes_since_last_save", "1", "Changes not yet saved"),
    Produces("redis.persistence.failing", "1", "Saving fails"),
    Produces("redis.db.keys", "1", "Keys", of="database"),
    Produces("redis.replicas", "1", "Replicas connected"),
    Produces("redis.replica.data_delay", "By", "Changes a replica has not confirmed", of="replica"),
    Produces("redis.replica.lag", "s", "Replica last heard from", of="replica"),
    Produces("redis.replication.link", "1", "Link to the primary is up"),
    Produces("redis.replication.silent", "s", "Nothing heard from the primary for"),
)
_DECLARED = {made.name: made for made in PRODUCES}
