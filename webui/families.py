"""What belongs together on a machine's page: measures by family, and where there are many parts, as a table of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from probes import catalogue
from webui.language import gettext, lazy_gettext
from webui.looked import STATES, Present
from webui.units import is_share, low_is_bad, say
from webui.wording import titles

TABLED = 4
"""So many parts and more are a table; fewer can be told apart in a chart."""
FIRST = 10
"""Rows of a table on the machine's own page."""
COLUMNS = 6
"""Columns of a table on the machine's own page: shares of a whole come first."""


@dataclass(frozen=True)
class Kind:
    """A family: every measure whose name begins with one of `names`."""

    key: str
    title: Any
    names: tuple[str, ...]


KINDS = (
    Kind("cpu", lazy_gettext("Processor"), ("system.cpu.", "system.linux.pressure.cpu.", "system.processes.")),
    Kind("memory", lazy_gettext("Memory"), ("system.memory.", "system.paging.", "system.linux.pressure.memory.")),
    Kind("filesystems", lazy_gettext("File systems"), ("system.filesystem.", "system.pool.")),
    Kind("disks", lazy_gettext("Disks"), ("system.disk.", "system.linux.pressure.io.")),
    Kind("network", lazy_gettext("Network"), ("system.network.", "hw.network.", "network.")),
    Kind("hyperv", lazy_gettext("Hyper-V"), ("hyperv.",)),
    Kind("sqlserver", lazy_gettext("SQL Server"), ("sqlserver.",)),
    Kind("iis", lazy_gettext("IIS"), ("iis.",)),
    Kind("ups", lazy_gettext("Power supply"), ("ups.", "hw.battery.", "hw.power_supply.")),
    Kind("printer", lazy_gettext("Printer"), ("printer.",)),
    Kind("sensors", lazy_gettext("Sensors"), ("hw.", "sensor.")),
    Kind("containers", lazy_gettext("Containers"), ("container.",)),
    Kind("processes", lazy_gettext("Processes"), ("process.",)),
    Kind("files", lazy_gettext("Files and logs"), ("file.", "log.")),
    Kind("services", lazy_gettext("Services"), ("system.services.", "system.service.", "windows.service.", "systemd.")),
    Kind("ping", lazy_gettext("Ping and connections"), ("icmp.", "tcp.")),
    Kind("web", lazy_gettext("Web"), ("http.", "tls.")),
    Kind("system", lazy_gettext("System"), ("system.", "host.", "windows.")),
)
"""In the order they are shown; what fits none is a family of the check that brings it, shown before `ping`."""
OWN = next(n for n, kind in enumerate(KINDS) if kind.key == "ping")


@dataclass(frozen=True)
class Column:
    """One measure of a table."""

    name: str
    title: str


@dataclass(frozen=True)
class Row:
    """One part: its values by measure, and the worst state of any of them."""

    check_id: int
    part: str
    values: dict[str, Present]
    state: str

    @property
    def old(self) -> str:
        """Since when it is no longer true; empty while it is."""
        return next((one.old for one in self.values.values() if one.old), "")

    def says(self, name: str) -> str:
        """The value in words; a dash where this part has none."""
        one = self.values.get(name)
        return say(one.amount, one.unit, one.name) if one else "–"

    def share(self, name: str) -> float | None:
        """The value where it is a share of a whole, for the bar beside it."""
        one = self.values.get(name)
        return one.amount if one and is_share(one.name, one.unit) else None


@dataclass
class Table:
    """Parts of one kind (interfaces, services ...): `noun` is what one is called, `columns` are shares first."""

    key: str
    noun: str
    columns: list[Column]
    rows: list[Row]

    @property
    def trouble(self) -> int:
        """How many parts are over a limit."""
        return sum(row.state != "ok" for row in self.rows)

    def ordered(self, by: str = "", down: bool = True) -> list[Row]:
        """The rows, worst first; or by one column, or by `part`, downwards or upwards. Parts without a value come last."""
        if by == "part":
            return sorted(self.rows, key=lambda row: natural(row.part), reverse=down)
        if any(column.name == by for column in self.columns):
            known = [row for row in self.rows if by in row.values]
            known.sort(key=lambda row: (row.values[by].amount, natural(row.part)), reverse=down)
            return known + [row for row in self.rows if by not in row.values]
        return sorted(self.rows, key=self._rank)

    def _rank(self, row: Row) -> tuple[Any, ...]:
        main = self.columns[0].name
        amount = row.values[main].amount if main in row.values else None
        weight = 0.0 if amount is None else (amount if low_is_bad(main) else -amount)
        return (STATES.index(row.state), amount is None, weight, natural(row.part))


@dataclass
class Family:
    """One family of a machine: `tables` for parts that are many, `names` are the measures charts may be drawn of."""

    key: str
    title: str
    values: list[Present] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)

    @property
    def trouble(self) -> int:
        """How many of its measures are over a limit."""
        return sum(one.state != "ok" for one in self.values)

    @property
    def state(self) -> str:
        """The worst of its measures."""
        return min((one.state for one in self.values), key=STATES.index, default="ok")


def families(values: Iterable[Present]) -> list[Family]:
    """The families these values make, in the order they are shown."""
    found: dict[str, Family] = {}
    for one in values:
        key, title = of(one.name, one.probe)
        found.setdefault(key, Family(key, title)).values.append(one)
    for family in found.values():
        family.tables = list(_tables(family))
    place = {kind.key: (n, 0) for n, kind in enumerate(KINDS)}
    return sorted(found.values(), key=lambda family: place.get(family.key, (OWN - 1, 1)))


def of(name: str, probe: str) -> tuple[str, str]:
    """(key, title) of the family a measure belongs to."""
    kind = next((kind for kind in KINDS if name.startswith(kind.names)), None)
    if kind is not None:
        return kind.key, str(kind.title)
    known = catalogue().get(probe)
    return f"of-{probe}", gettext(known.label) if known else probe


@cache
def nouns() -> dict[str, str]:
    """What a part of each measure is called, in English: "interface", "mount point"; only those that have parts."""
    return {made.name: made.of for probe in catalogue().values() for made in probe.produces if made.of}


def natural(text: str) -> list[tuple[int, int, str]]:
    """A key under which Gi1/0/2 comes before Gi1/0/10."""
    words: list[tuple[int, int, str]] = []
    word, digits = "", False
    for letter in text.lower()[:200]:
        own = letter.isascii() and letter.isdigit()
        if word and own != digits:
            words.append(_piece(word, digits))
            word = ""
        word, digits = word + letter, own
    return [*words, _piece(word, digits)] if word else words


def _piece(word: str, digits: bool) -> tuple[int, int, str]:
    return (0, int(word), "") if digits else (1, 0, word)


def _tables(family: Family) -> Iterable[Table]:
    """A table for each kind of part of which there are many. The whole (no part) is no row of it."""
    by_noun: dict[str, list[Present]] = defaultdict(list)
    for one in family.values:
        if one.part:
            by_noun[nouns().get(one.name, "")].append(one)
    if "" in by_noun and len(by_noun) > 1:  # recorded by another version: what its parts are is what the others' are
        by_noun[max(by_noun.keys() - {""}, key=lambda noun: len(by_noun[noun]))] += by_noun.pop("")
    for noun, values in by_noun.items():
        rows = _rows(values)
        if len(rows) >= TABLED:
            key = family.key if len(by_noun) == 1 else f"{family.key}-{'-'.join(noun.split()) or 'part'}"
            yield Table(key, gettext(noun) if noun else gettext("part"), _columns(values), rows)


def _rows(values: Sequence[Present]) -> list[Row]:
    parts: dict[tuple[int, str], dict[str, Present]] = defaultdict(dict)
    for one in values:
        parts[one.check_id, one.part][one.name] = one
    worst: Callable[[dict[str, Present]], str] = lambda own: min((v.state for v in own.values()), key=STATES.index)  # noqa: E731
    return [Row(check, part, own, worst(own)) for (check, part), own in parts.items()]


def _columns(values: Sequence[Present]) -> list[Column]:
    """Shares of a whole first, then the rest in the order the probe tells them."""
    seen: dict[str, bool] = {}
    for one in values:
        seen.setdefault(one.name, is_share(one.name, one.unit))
    ordered = sorted(seen, key=lambda name: not seen[name])
    return [Column(name, gettext(titles().get(name, name))) for name in ordered]
