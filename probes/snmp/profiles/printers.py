"""Printers: supplies, pages, what troubles them (Printer-MIB, RFC 3805; HOST-RESOURCES-MIB)."""

from __future__ import annotations

from domain.reading import Fact, Measure
from probes.base import Produces
from probes.snmp.profiles.base import Found, Profile, Seen, distinct, group, number, status, table, text

_PRINTER = "1.3.6.1.2.1.43"
_HR = "1.3.6.1.2.1.25.3"

GROUPS = (
    group(
        f"{_PRINTER}.11.1",
        table("prtMarkerSuppliesTable", f"{_PRINTER}.11.1.1", {"descr": 6, "kind": 4}, most=8, level=9),
    ),
    group(f"{_PRINTER}.10.2", table("prtMarkerTable", f"{_PRINTER}.10.2.1", pages=4)),
    group(f"{_HR}.5", table("hrPrinterTable", f"{_HR}.5.1", status=1, errors=2)),
)
PRODUCES = (
    Produces("printer.supply.level", "1", "Supply left", "supply"),
    Produces("printer.pages", "1", "Pages printed", "marker", "counter"),
)
_RECEPTACLE = 4  # prtMarkerSuppliesClass: a waste box, whose level is what is in it
_STATUS = {1: "other", 2: "unknown", 3: "idle", 4: "printing", 5: "warmup"}
# hrPrinterDetectedErrorState, bit 0 first (RFC 2790)
_ERRORS = (
    "low paper", "no paper", "low toner", "no toner", "door open", "jammed", "offline", "service requested",
    "input tray missing", "output tray missing", "marker supply missing", "output near full", "output full",
    "input tray empty", "overdue for maintenance",
)  # fmt: skip
_SERIOUS = frozenset(("no paper", "no toner", "door open", "jammed", "offline", "service requested", "output full"))


def read(seen: Seen) -> Found:
    """Levels as shares of full; -1, -2 and -3 mean that the printer does not say (RFC 3805)."""
    rows = seen.rows("prtMarkerSuppliesTable")
    for index, name in distinct({i: text(row, "descr", 80) for i, row in rows.items()}, "supply").items():
        level, most = number(rows[index], "level"), number(rows[index], "most")
        if level is None or most is None or level < 0 or most <= 0 or level > most:
            continue
        full = level / most
        yield Measure(
            "printer.supply.level", 1 - full if number(rows[index], "kind") == _RECEPTACLE else full, "1", name
        )
    markers = seen.rows("prtMarkerTable")
    for index, row in markers.items():
        pages = number(row, "pages")
        if pages is not None and pages >= 0:
            of = "" if len(markers) == 1 else ".".join(map(str, index))
            yield Measure("printer.pages", pages, "1", of, "counter")
    for row in seen.rows("hrPrinterTable").values():
        yield from _state(number(row, "status"), row.get("errors"))


def _state(state: float | None, errors: object) -> Found:
    said = errors if isinstance(errors, bytes) else b""
    found = [word for at, word in enumerate(_ERRORS) if at // 8 < len(said) and said[at // 8] & 0x80 >> at % 8]
    if state is not None:
        yield Fact("printer.status", _STATUS.get(int(state), "unknown"))
    yield Fact("printer.errors", ", ".join(found) or "none")
    yield from status("printer", float(bool(_SERIOUS & set(found))), {0: "works", 1: ", ".join(found)}, good=(0,))


PROFILE = Profile(GROUPS, read, PRODUCES)
