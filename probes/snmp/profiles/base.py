"""What a profile is: which objects show that a device has something, what to read then, and what it means."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from domain.reading import Fact, Measure
from probes.base import Produces
from probes.limits import clean
from probes.snmp import ber
from probes.snmp.session import Row, Rows


@dataclass(frozen=True, slots=True)
class Table:
    """Columns of a conceptual table. `fixed` ones (names, types, sizes) are read seldom, `live` ones at each look."""

    key: str
    live: dict[str, bytes]
    fixed: dict[str, bytes]


@dataclass(frozen=True, slots=True)
class Group:
    """Objects that come together: read where something lies under `witness`."""

    witness: bytes
    scalars: dict[str, bytes] = field(default_factory=dict)
    tables: tuple[Table, ...] = ()


@dataclass(slots=True)
class Seen:
    """All that one look read of a device; and what to remember for the next look."""

    scalars: Row
    tables: dict[str, Rows]
    at: float
    """Steady seconds."""
    restarted: bool = False
    """Whether the agent or the device started since the last look: differences mean nothing."""
    memory: dict[str, Any] = field(default_factory=dict)
    skip: tuple[str, ...] = ()

    def number(self, key: str) -> float | None:
        """A scalar that is a number."""
        return number(self.scalars, key)

    def text(self, key: str) -> str:
        """A scalar that is a text, cleaned; "" if there is none."""
        return text(self.scalars, key)

    def rows(self, key: str) -> Rows:
        """The rows of a table."""
        return self.tables.get(key, {})


Found = Iterator[Measure | Fact]


@dataclass(frozen=True, slots=True)
class Profile:
    """One kind of thing devices have. `read` is pure but for `Seen.memory`."""

    groups: tuple[Group, ...]
    read: Callable[[Seen], Found]
    produces: tuple[Produces, ...] = ()


def group(witness: str, *tables: Table, **scalars: str) -> Group:
    """A Group from dotted names; a scalar's name is its object's, without the instance 0 unless it ends otherwise."""
    return Group(ber.name(witness), {key: ber.name(name) for key, name in scalars.items()}, tables)


def table(key: str, entry: str, fixed: dict[str, int] | None = None, **live: int) -> Table:
    """A Table from its entry's dotted name and the columns' numbers."""
    named = {column: ber.name(f"{entry}.{at}") for column, at in live.items()}
    return Table(key, named, {column: ber.name(f"{entry}.{at}") for column, at in (fixed or {}).items()})


def number(row: Row, key: str) -> float | None:
    """A cell that is a finite number; texts are none."""
    value = row.get(key)
    if isinstance(value, int) or (isinstance(value, float) and value - value == 0):
        return value
    return None


def text(row: Row, key: str, limit: int = 256) -> str:
    """A cell that is a text, cleaned: trailing NULs cut, UTF-8 where it is that, Latin-1 where not."""
    value = row.get(key)
    if not isinstance(value, bytes):
        return ""
    value = value.rstrip(b"\0")
    try:
        return clean(value.decode(), limit)
    except UnicodeDecodeError:
        return clean(value.decode("latin-1"), limit)


def share(part: float | None, whole: float | None) -> float | None:
    """`part` of `whole`, or None where that means nothing."""
    if part is None or whole is None or whole <= 0 or not 0 <= part <= whole:
        return None
    return part / whole


def percent(value: float | None) -> float | None:
    """A percentage as a share; None for what is none."""
    return value / 100 if value is not None and 0 <= value <= 100 else None


def unsigned(value: float | None) -> float | None:
    """A 32-bit number some agents send with its sign bit set (hrStorageSize above 2^31)."""
    if value is None or value >= 0:
        return value
    return value + 2**32 if value >= -(2**31) else None


def distinct(names: dict[tuple[int, ...], str], what: str) -> dict[tuple[int, ...], str]:
    """Each row's name made its own: an empty one becomes `what` and its index, a repeated one gets its index."""
    counts: dict[str, int] = {}
    for name in names.values():
        counts[name] = counts.get(name, 0) + 1
    return {
        index: f"{what} {'.'.join(map(str, index))}" if not name
        else name if counts[name] == 1
        else f"{name} #{'.'.join(map(str, index))}"
        for index, name in names.items()
    }  # fmt: skip


def status(
    of: str, value: float | None, words: dict[int, str], good: tuple[int, ...], absent: tuple[int, ...] = ()
) -> Found:
    """A state as a word, and as 1 (good) or 0 where it says either; nothing for what is not there."""
    if value is None or value in absent:
        return
    yield Fact("hw.status", words.get(int(value), f"state {int(value)}"), of)
    yield Measure("hw.status", 1.0 if value in good else 0.0, "1", of)


def measure(name: str, value: float | None, unit: str = "1", of: str = "") -> Found:
    """The measure, if there is a value."""
    if value is not None:
        yield Measure(name, float(value), unit, of)
