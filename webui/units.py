"""Units as people know them: UCUM codes become GiB, Mbit/s, °C, days; and which numbers are shares of a whole."""

from __future__ import annotations

from dataclasses import dataclass

from webui.language import gettext, lazy_gettext
from webui.wording import number, share, value

SHARES = (
    ".utilization", ".loss", ".iowait", ".steal", ".some", ".full", ".charge", ".ratio", "_ratio", ".level", ".share",
    ".percent", ".duty", ".load",
)  # fmt: skip
"""How a measure of unit 1 ends that is a share of a whole; any other of unit 1 is a count."""
LOW_IS_BAD = (
    ".charge", ".level", ".remaining", ".runtime", ".expiry", ".free", ".available", "hit_ratio", ".headroom", ".oper",
    ".running", ".signal", ".left", "_left", ".up", "hit.ratio", ".online", ".quorate", ".link", ".receiving", ".life_expectancy", ".status", ".signal_strength",
)  # fmt: skip
"""How a measure ends of which little is worse than much."""
FLAGS = (
    ".running",
    ".required",
    ".reachable",
    ".active",
    ".present",
    ".up",
    ".status",
    ".on_battery",
    ".online",
    ".quorate",
    ".link",
    ".receiving",
    ".starttls",
    ".available",
)
"""How a measure of unit 1 ends that is 1 for yes and 0 for no."""
COUNTS = frozenset({"mysql.threads.running"})
"""What ends like a flag and counts all the same."""
LINES = ".network."
"""Traffic on lines is told in bits, as lines are sold."""
TIMES = ((172800.0, 86400.0, lazy_gettext("days")), (7200.0, 3600.0, lazy_gettext("hours")), (120.0, 60.0, lazy_gettext("min")), (1.0, 1.0, "s"), (1e-3, 1e-3, "ms"), (0.0, 1e-6, "µs"))  # fmt: skip
SIZES = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
BIG = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
SCALED = {"Hz": BIG, "bit/s": BIG, "W": BIG[2:], "V.A": BIG[2:], "W.h": BIG[2:], "V": (), "A": ()}
"""Units that take k, M, G."""
SMALL = frozenset({"A", "W"})
"""Units that take m below one."""
NAMES = {"Cel": "°C", "V.A": "VA", "W.h": "Wh", "[degF]": "°F", "deg": "°", "mo": lazy_gettext("months"), "d": lazy_gettext("days"), "h": lazy_gettext("hours"), "1/min": "rpm", "dB[mW]": "dBm", "B[mW]": "dBm"}  # fmt: skip
COUNTED = {
    "page": lazy_gettext("pages"),
    "process": lazy_gettext("processes"),
    "connection": lazy_gettext("connections"),
    "query": lazy_gettext("queries"),
    "packet": lazy_gettext("packets"),
    "error": lazy_gettext("errors"),
    "operation": lazy_gettext("operations"),
    "session": lazy_gettext("sessions"),
    "thread": lazy_gettext("threads"),
    "event": lazy_gettext("events"),
    "request": lazy_gettext("requests"),
    "user": lazy_gettext("users"),
    "lock": lazy_gettext("locks"),
    "row": lazy_gettext("rows"),
    "restart": lazy_gettext("restarts"),
}
"""What a UCUM annotation such as {page} counts, in the plural: units have no singular."""


@dataclass(frozen=True)
class Scale:
    """How an axis counts: values are divided by `by` and called `unit`; shares are told in per cent."""

    by: float
    unit: str
    share: bool = False


def is_share(name: str, unit: str) -> bool:
    """Whether the measure is a share of a whole, 0 to 1."""
    return unit == "1" and name.endswith(SHARES)


def low_is_bad(name: str) -> bool:
    """Whether its smallest part is its worst."""
    return name.endswith(LOW_IS_BAD)


def scale(name: str, unit: str, top: float) -> Scale:
    """The unit in which values up to `top` read best."""
    if is_share(name, unit):
        return Scale(1.0, "", True)
    factor, unit = _lines(name, unit)
    if unit in ("By", "By/s"):
        step = next((n for n in range(len(SIZES)) if top < 1024 ** (n + 1)), len(SIZES) - 1)
        return Scale(1024.0**step, SIZES[step] + unit[2:])
    if unit == "s":
        by, word = next((by, word) for least, by, word in TIMES if top >= least)
        return Scale(by, str(word))
    by, prefix = _prefix(unit, top * factor)
    return Scale(by / factor, f"{prefix}{called(unit)}")


def say(amount: float | None, unit: str, name: str = "") -> str:
    """A value as a person would say it; `name` is the measure's, which tells shares from counts and lines from files."""
    if amount is None:
        return "–"
    if is_share(name, unit):
        return share(amount, 1)
    factor, unit = _lines(name, unit)
    amount *= factor
    if unit in ("By", "By/s", "s"):
        return value(amount, unit)
    by, prefix = _prefix(unit, abs(amount))
    word = f"{prefix}{called(unit)}"
    if unit == "1" and name.endswith(FLAGS) and name not in COUNTS and amount in (0, 1):
        return gettext("yes") if amount else gettext("no")
    size = abs(amount / by)
    told = number(amount / by, 2 if size < 10 else 1 if size < 1000 else 0)
    gap = "" if word in ("", "°") or word.startswith("/") else "\u00a0"
    return f"{told}{gap}{word}"


def called(unit: str) -> str:
    """A UCUM code as people write it: `Cel` is °C, `{page}` is pages, `{query}/s` is queries/s, `1` is nothing."""
    whole, _, per = unit.partition("/")
    if unit in NAMES:
        return str(NAMES[unit])
    if whole.startswith("{") and whole.endswith("}"):
        whole = str(COUNTED.get(whole[1:-1].removesuffix("s"), whole[1:-1]))
    elif whole == "1":
        whole = ""
    else:
        whole = str(NAMES.get(whole, whole))
    return f"{whole}/{per}" if per else whole


def _lines(name: str, unit: str) -> tuple[float, str]:
    """Bytes a second on a line as bits a second."""
    return (8.0, "bit/s") if unit == "By/s" and LINES in name else (1.0, unit)


def _prefix(unit: str, top: float) -> tuple[float, str]:
    """What to divide by and the letter before the unit."""
    for by, letter in SCALED.get(unit, ()):
        if top >= by:
            return by, letter
    return (1e-3, "m") if unit in SMALL and 0 < top < 1 else (1.0, "")
