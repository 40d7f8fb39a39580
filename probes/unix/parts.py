"""The second, slower script: services, processes, containers, GPUs, pools and arrays; and the reading of its answer.

The same law as for the first: the text is constant, and what a person names is looked for on our side, in what
the machine lists. Sources: systemctl(1), ps(1), docker-inspect(1), nvidia-smi's --query-gpu, zpool-list(8), md(4).
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterator

from domain.reading import Fact, Measure
from probes.base import Produces
from probes.limits import clean, number
from probes.unix.snapshot import Snapshot, whole

CONTAINERS, UNITS, PROCESSES = 200, 2000, 5000
"""The most of each that are read."""

SCRIPT = r"""
exec 2>/dev/null
unset ENV HISTFILE; set +e
LC_ALL=C; export LC_ALL
PATH=$PATH:/usr/sbin:/sbin:/usr/local/sbin:/usr/local/bin; export PATH
p_t() { if command -v timeout >/dev/null; then timeout 8 "$@" </dev/null; else "$@" </dev/null; fi; }
p_has() { command -v "$1" >/dev/null; }
p_containers() {
for i in docker podman; do p_has $i || continue
echo "@@containers $i"
p_ids=$(p_t $i ps -aq | head -n 200)
test -n "$p_ids" && p_t $i inspect --format '{{.Name}}|{{.State.Status}}|{{.State.ExitCode}}|{{.RestartCount}}|{{.Config.Image}}' $p_ids
echo "@@usage $i"
test -n "$p_ids" && p_t $i stats --no-stream --format '{{.Name}}|{{.CPUPerc}}|{{.MemUsage}}'
done
if p_has pct; then echo @@pct; p_t pct list; fi
if p_has qm; then echo @@qm; p_t qm list; fi
if p_has lxc-ls; then echo @@lxc; p_t lxc-ls -f -F NAME,STATE; fi
}
p_parts() {
echo; echo "@@begin $1"
echo @@clock; date +%s
if p_has systemctl; then echo @@units; p_t systemctl list-units --all --plain --no-legend --no-pager --type=service,timer,socket,mount | head -n 2000; fi
echo @@processes; { ps -eo stat=,rss=,cputimes=,comm= || ps -axo stat=,rss=,time=,comm= || ps -o stat,rss,comm; } | head -n 5000
p_containers
if p_has nvidia-smi; then echo @@gpu; p_t nvidia-smi --query-gpu=index,name,utilization.gpu,memory.used,memory.total,temperature.gpu,power.draw --format=csv,noheader,nounits; fi
if p_has zpool; then echo @@zpool; p_t zpool list -Hp -o name,size,allocated,health; fi
if test -r /proc/mdstat; then echo @@mdstat; cat /proc/mdstat; fi
echo "@@end $1"
}
"""
_NONCE = re.compile(r"[0-9a-f]{8,64}")
_MIB, _KIB = 1024**2, 1024
_SIZES = {"b": 1, "kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12, "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40}
_SIZE = re.compile(r"([\d.]+)\s*([kmgt]?i?b)", re.I)

PRODUCES = (
    Produces("system.service.up", "1", "Service running", "service"),
    Produces("process.count", "1", "Processes of this name", "process"),
    Produces("process.memory.usage", "By", "Memory of these processes", "process"),
    Produces("process.cpu.time", "s", "Processor these processes use", "process", "counter"),
    Produces("container.up", "1", "Container running", "container"),
    Produces("container.restarts", "1", "Restarts of a container", "container", "counter"),
    Produces("container.cpu.utilization", "1", "Processor a container uses, of one core", "container"),
    Produces("container.memory.usage", "By", "Memory a container uses", "container"),
    Produces("container.memory.utilization", "1", "Memory a container uses of its limit", "container"),
    Produces("hw.gpu.utilization", "1", "GPU busy", "GPU"),
    Produces("hw.gpu.memory.usage", "By", "GPU memory used", "GPU"),
    Produces("hw.gpu.memory.utilization", "1", "GPU memory used", "GPU"),
    Produces("hw.temperature", "Cel", "Temperature", "sensor"),
    Produces("hw.power", "W", "Power", "sensor"),
    Produces("system.pool.limit", "By", "Size of a storage pool", "pool"),
    Produces("system.pool.usage", "By", "Used of a storage pool", "pool"),
    Produces("system.pool.utilization", "1", "Used of a storage pool", "pool"),
    Produces("hw.status", "1", "Working", "part"),
)


def call(nonce: str) -> str:
    """The whole text for one look. Raises ValueError for a nonce that is not 8 to 64 hexadecimal digits."""
    if not _NONCE.fullmatch(nonce):
        raise ValueError("a nonce is 8 to 64 hexadecimal digits")
    return f"{SCRIPT}p_parts {nonce}\nexit 0\n"


def clock(snapshot: Snapshot) -> float | None:
    """The machine's own clock, seconds since the epoch."""
    return whole(snapshot.first("clock"))


def found(snapshot: Snapshot) -> Iterator[Measure | Fact]:
    """All that is told without being asked for by name."""
    for part in (_containers, _guests, _gpus, _zpools, _arrays):
        yield from _harmless(part, snapshot)


def services(snapshot: Snapshot, names: tuple[str, ...]) -> Iterator[Measure | Fact | str]:
    """The units of these names (or patterns) and their states; a sentence for each that is not as it should be.

    A name without a type means a service. Timers and sockets are well when active, as services are.
    """
    listed: dict[str, tuple[str, str]] = {}
    for line in snapshot.lines("units")[:UNITS]:
        words = line.replace("●", " ").split(None, 4)
        if len(words) >= 4:
            listed[clean(words[0], 120)] = clean(words[2], 20), clean(words[3], 20)
    for name in names:
        wanted = name if "." in name else f"{name}.service"
        matching = [unit for unit in listed if fnmatch.fnmatchcase(unit, wanted)]
        if "units" not in snapshot.now:
            yield f"{name}: this machine has no systemd to ask"
        elif not matching:
            yield Measure("system.service.up", 0.0, of=wanted)
            yield f"{wanted} is not there"
        for unit in matching:
            active, sub = listed[unit]
            yield Measure("system.service.up", 1.0 if active == "active" else 0.0, of=unit)
            yield Fact("system.service.state", f"{active} ({sub})", unit)
            if active not in ("active", "activating", "reloading"):
                yield f"{unit} is {active} ({sub})"


def processes(snapshot: Snapshot, names: tuple[str, ...]) -> Iterator[Measure | Fact | str]:
    """How many processes have these names (patterns; the kernel keeps 15 characters), and what they take."""
    rows = []
    for line in snapshot.lines("processes")[:PROCESSES]:
        words = line.split(None, 3)
        if len(words) == 4:
            rows.append((words[0], _kib(words[1]), _seconds(words[2]), words[3].strip().rsplit("/", 1)[-1]))
        elif len(words) == 3:
            rows.append((words[0], _kib(words[1]), None, words[2].strip().rsplit("/", 1)[-1]))
    for name in names:
        mine = [row for row in rows if fnmatch.fnmatchcase(row[3], name) or row[3] == name[:15]]
        alive = [row for row in mine if not row[0].startswith("Z")]
        yield Measure("process.count", float(len(alive)), of=name)
        yield Measure("process.memory.usage", sum(row[1] or 0.0 for row in alive), "By", name)
        if alive and all(row[2] is not None for row in alive):
            yield Measure("process.cpu.time", sum(row[2] or 0.0 for row in alive), "s", name, "counter")
        if not alive:
            yield f"no process '{name}' is running"


def _harmless(part: Callable[[Snapshot], Iterator[Measure | Fact]], snapshot: Snapshot) -> list[Measure | Fact]:
    try:
        return list(part(snapshot))
    except (ValueError, IndexError, KeyError, ZeroDivisionError):
        return []


_ENDED_WELL = ("exited", "created", "configured", "stopped", "initialized")


def _containers(snapshot: Snapshot) -> Iterator[Measure | Fact]:
    """docker and podman: running is up; ended with 0, or never started, is nobody's trouble; all else is down."""
    for engine in ("docker", "podman"):
        for line in snapshot.lines(f"containers {engine}")[:CONTAINERS]:
            cells = line.split("|")
            if len(cells) != 5:
                continue
            name, state = clean(cells[0].lstrip("/"), 120), clean(cells[1], 20)
            code, restarts = number(cells[2]), number(cells[3], 0)
            yield Fact("container.state", f"{state} ({code:g})" if code else state, name)
            yield Fact("container.image.name", clean(cells[4], 120), name)
            if state not in _ENDED_WELL or code:
                yield Measure("container.up", 1.0 if state == "running" else 0.0, of=name)
            if restarts is not None:
                yield Measure("container.restarts", restarts, of=name, kind="counter")
        for line in snapshot.lines(f"usage {engine}")[:CONTAINERS]:
            cells = line.split("|")
            if len(cells) != 3:
                continue
            name, cpu = clean(cells[0].lstrip("/"), 120), number(cells[1].rstrip("% "), 0)
            used, _, limit = cells[2].partition("/")
            if cpu is not None:
                yield Measure("container.cpu.utilization", cpu / 100, of=name)
            size, most = _size(used), _size(limit)
            if size is not None:
                yield Measure("container.memory.usage", size, "By", name)
                if most and size <= most:
                    yield Measure("container.memory.utilization", size / most, of=name)


def _guests(snapshot: Snapshot) -> Iterator[Measure | Fact]:
    """Guests of Proxmox (pct, qm) and LXC: VMID, name and status are columns whose order each tool has its own."""
    for tool, state_at, name_at in (("pct", 1, -1), ("qm", 2, 1), ("lxc", 1, 0)):
        for line in snapshot.lines(tool)[1 : CONTAINERS + 1]:
            words = line.split()
            if len(words) > max(state_at, 1):
                state = words[state_at].lower()
                name = f"{words[0]} {words[name_at]}" if tool != "lxc" else words[0]
                yield Fact("container.state", clean(state, 20), clean(name, 120))
                yield Measure("container.up", 1.0 if state == "running" else 0.0, of=clean(name, 120))


def _gpus(snapshot: Snapshot) -> Iterator[Measure | Fact]:
    for line in snapshot.lines("gpu")[:64]:
        cells = [cell.strip() for cell in line.split(",")]
        if len(cells) != 7:
            continue
        index, name, busy, used, total, celsius, watts = cells
        of = f"GPU {clean(index, 8)}"
        yield Fact("hw.gpu.model", clean(name, 120), of)
        if (value := number(busy, 0, 100)) is not None:
            yield Measure("hw.gpu.utilization", value / 100, of=of)
        size, most = number(used, 0), number(total, 0)
        if size is not None:
            yield Measure("hw.gpu.memory.usage", size * _MIB, "By", of)
            if most and size <= most:
                yield Measure("hw.gpu.memory.utilization", size / most, of=of)
        if (value := number(celsius, -50, 200)) is not None:
            yield Measure("hw.temperature", value, "Cel", of)
        if (value := number(watts, 0, 10_000)) is not None:
            yield Measure("hw.power", value, "W", of)


def _zpools(snapshot: Snapshot) -> Iterator[Measure | Fact]:
    for line in snapshot.lines("zpool")[:64]:
        cells = line.split("\t")
        if len(cells) != 4:
            continue
        of, size, used = clean(cells[0], 60), number(cells[1], 1), number(cells[2], 0)
        health = clean(cells[3], 20)
        yield Fact("hw.status", health, of)
        yield Measure("hw.status", 1.0 if health == "ONLINE" else 0.0, of=of)
        if size is not None and used is not None and used <= size:
            yield Measure("system.pool.limit", size, "By", of)
            yield Measure("system.pool.usage", used, "By", of)
            yield Measure("system.pool.utilization", used / size, of=of)


_ARRAY = re.compile(r"(md\S{1,20}) : (active|inactive)(.*)")
_MEMBERS = re.compile(r"\[(\d{1,4})/(\d{1,4})\] \[([U_]{1,256})\]")
_RECOVERY = re.compile(r"(recovery|resync|reshape|check)\s*=\s*([\d.]{1,8})%")


def _arrays(snapshot: Snapshot) -> Iterator[Measure | Fact]:
    """/proc/mdstat: an array is whole when every member is U; what is being rebuilt is said beside it."""
    lines = snapshot.lines("mdstat")
    for at, line in enumerate(lines):
        match = _ARRAY.fullmatch(line.strip())
        if match is None:
            continue
        rest = " ".join(lines[at + 1 : at + 4]).split(" md")[0]
        members = _MEMBERS.search(rest)
        good = match[2] == "active" and "(F)" not in match[3] and (members is None or "_" not in members[3])
        word = "active" if good else "degraded" if match[2] == "active" else "inactive"
        if (going := _RECOVERY.search(rest)) is not None:
            word += f", {going[1]} {going[2]} %"
        yield Fact("hw.status", word, match[1])
        yield Measure("hw.status", 1.0 if good else 0.0, of=match[1])


def _kib(text: str) -> float | None:
    """Resident size in KiB; busybox says 12m for what is large."""
    factor = {"m": 1024.0, "g": 1024.0**2}.get(text[-1:].lower(), 1.0)
    value = number(text.rstrip("mMgG"), 0)
    return None if value is None else value * factor * _KIB


def _seconds(text: str) -> float | None:
    """Seconds, or [[hours:]minutes:]seconds as BSD says it."""
    total = 0.0
    for part in text.split(":"):
        value = number(part, 0)
        if value is None:
            return None
        total = total * 60 + value
    return total


def _size(text: str) -> float | None:
    match = _SIZE.fullmatch(text.strip())
    return float(match[1]) * _SIZES[match[2].lower()] if match and number(match[1]) is not None else None
