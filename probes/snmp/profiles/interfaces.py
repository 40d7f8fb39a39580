"""Network interfaces (IF-MIB, RFC 2863): traffic, errors, states; 64-bit counters where the agent has them."""

from __future__ import annotations

import re

from domain.reading import Fact, Measure
from probes.base import Produces
from probes.snmp.profiles.base import Found, Profile, Seen, distinct, group, measure, number, table, text
from probes.snmp.session import Row

_IF = "1.3.6.1.2.1.2.2.1"
_IFX = "1.3.6.1.2.1.31.1.1.1"
_CEILING = 2**32 - 1
_MEGA = 1_000_000

GROUPS = (
    group(
        "1.3.6.1.2.1.2.2",
        table(
            "ifTable",
            _IF,
            {"descr": 2, "type": 3},
            speed=5,
            admin=7,
            oper=8,
            receive=10,
            receive_dropped=13,
            receive_errors=14,
            transmit=16,
            transmit_dropped=19,
            transmit_errors=20,
        ),
    ),
    group(
        "1.3.6.1.2.1.31.1.1",
        table("ifXTable", _IFX, {"name": 1, "alias": 18}, receive=6, transmit=10, high_speed=15),
    ),
)
PRODUCES = (
    Produces("system.network.io.receive", "By", "Network received", "interface", "counter"),
    Produces("system.network.io.transmit", "By", "Network sent", "interface", "counter"),
    Produces("system.network.errors.receive", "1", "Network receive errors", "interface", "counter"),
    Produces("system.network.errors.transmit", "1", "Network send errors", "interface", "counter"),
    Produces("system.network.dropped.receive", "1", "Network packets dropped on receipt", "interface", "counter"),
    Produces("system.network.dropped.transmit", "1", "Network packets dropped on sending", "interface", "counter"),
    Produces("hw.network.bandwidth.limit", "bit/s", "Network speed", "interface"),
    Produces("hw.network.bandwidth.utilization", "1", "Network line busy", "interface"),
    Produces("hw.network.up", "1", "Network interface up", "interface"),
)

OPER = {1: "up", 2: "down", 3: "testing", 4: "unknown", 5: "dormant", 6: "notPresent", 7: "lowerLayerDown"}
"""ifOperStatus."""
ADMIN = {1: "up", 2: "down", 3: "testing"}
"""ifAdminStatus."""
_WINDOWS = re.compile(r"[a-z0-9]+_\d+")  # ifName of Windows: true to no cable; its ifDescr is what people know


def read(seen: Seen) -> Found:
    """Every interface by its name. Counters of 32 bits are made whole again where that is beyond doubt."""
    rows = seen.rows("ifTable")
    extended = seen.rows("ifXTable")
    if rows:  # interfaces come and go on some devices by the thousand: what is gone is forgotten
        kept = seen.memory.get("octets", {})
        seen.memory["octets"] = {key: value for key, value in kept.items() if key[0] in rows}
    for index, name in distinct({i: _name(row, extended.get(i, {})) for i, row in rows.items()}, "interface").items():
        row, more = rows[index], extended.get(index, {})
        speed = speed_of(row, more)
        yield Fact("interface.index", ".".join(map(str, index)), name)
        yield from _states(row, name)
        if alias := text(more, "alias"):
            yield Fact("interface.alias", alias, name)
        yield from measure("hw.network.bandwidth.limit", speed, "bit/s", name)
        yield from _traffic(seen, index, row, more, speed, name)
        for direction in ("receive", "transmit"):
            for key, what in (("errors", "errors"), ("dropped", "dropped")):
                if (value := number(row, f"{direction}_{key}")) is not None and value >= 0:
                    yield Measure(f"system.network.{what}.{direction}", value, "1", name, "counter")


def speed_of(row: Row, more: Row) -> float | None:
    """Bits per second: ifHighSpeed above what ifSpeed can say, else ifSpeed; None for 0, which says nothing."""
    speed, high = number(row, "speed"), number(more, "high_speed")
    if speed is None or speed >= _CEILING or speed <= 0:
        return high * _MEGA if high else speed if speed and speed > 0 else None
    return high * _MEGA if high and high * _MEGA > _CEILING else speed


def _name(row: Row, more: Row) -> str:
    """ifName, which is short and what is printed at the port; ifDescr where there is none."""
    name, descr = text(more, "name", 64), text(row, "descr", 100)
    return descr or name if not name or _WINDOWS.fullmatch(name) else name


def _states(row: Row, name: str) -> Found:
    admin, oper = number(row, "admin"), number(row, "oper")
    if admin is not None:
        yield Fact("interface.admin", ADMIN.get(int(admin), "unknown"), name)
    if oper is not None:
        yield Fact("interface.oper", OPER.get(int(oper), "unknown"), name)
    if admin == 1 and oper in (1, 2):  # what is switched off, absent or waits for another is no failure of its own
        yield Measure("hw.network.up", 1.0 if oper == 1 else 0.0, "1", name)


def _traffic(seen: Seen, index: tuple[int, ...], row: Row, more: Row, speed: float | None, name: str) -> Found:
    kept: dict[tuple[tuple[int, ...], str], tuple[float, float, float]] = seen.memory.setdefault("octets", {})
    busiest: float | None = None
    for direction in ("receive", "transmit"):
        wide, raw = number(more, direction), number(row, direction)
        now = wide if wide is not None else raw
        if now is None or now < 0:
            kept.pop((index, direction), None)
            continue
        before = None if seen.restarted else kept.get((index, direction))
        value: float | None = now
        gained: float | None = None
        if before is not None:
            last, total, at = before
            gained = now - last if wide is not None else _gain(last, now, speed, seen.at - at)
            if wide is None and gained is not None:
                value = total + gained
            if gained is not None and gained >= 0 and speed and seen.at > at:
                used = gained * 8 / (seen.at - at) / speed
                if used <= 1.1:  # more is a counter that jumped
                    busiest = max(busiest or 0.0, min(1.0, used))
        kept[index, direction] = now, now if gained is None else value or now, seen.at
        if before is None or gained is not None:
            yield Measure(f"system.network.io.{direction}", float(value or 0), "By", name, "counter")
    yield from measure("hw.network.bandwidth.utilization", busiest, of=name)


def _gain(last: float, now: float, speed: float | None, seconds: float) -> float | None:
    """Octets since the last look by a 32-bit counter; None when it may have gone round more than once or was reset."""
    if speed and speed / 8 * seconds >= 2**32:
        return None
    gained = (now - last) % 2**32
    if now < last and (gained * 8 > speed * seconds * 1.1 if speed else gained > 2**31):
        return None
    return gained


PROFILE = Profile(GROUPS, read, PRODUCES)
