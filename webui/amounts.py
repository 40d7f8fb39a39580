"""Amounts as people type them: 80 %, 2 GiB, 5 min, 10 MiB/s, 100 Mbit/s; and back, for a form that is opened again."""

from __future__ import annotations

import re

from webui.units import is_share

SIZES = {
    "b": 1.0, "kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12, "pb": 1e15,
    "kib": 2.0**10, "mib": 2.0**20, "gib": 2.0**30, "tib": 2.0**40, "pib": 2.0**50,
    "k": 2.0**10, "m": 2.0**20, "g": 2.0**30, "t": 2.0**40,
}  # fmt: skip
TIMES = {
    "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "sec": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0, "hr": 3600.0,
    "hours": 3600.0, "d": 86400.0, "day": 86400.0, "days": 86400.0,
    "detik": 1.0, "mnt": 60.0, "menit": 60.0, "jam": 3600.0, "hari": 86400.0,
}  # fmt: skip
BITS = {"bit": 1 / 8, "kbit": 1e3 / 8, "mbit": 1e6 / 8, "gbit": 1e9 / 8, "bps": 1 / 8, "kbps": 1e3 / 8, "mbps": 1e6 / 8, "gbps": 1e9 / 8}  # fmt: skip
PREFIXES = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9}
_AMOUNT = re.compile(r"([-+]?[\d.,\u00a0 ]*\d)\s*([^\d\s].*)?")


def read(typed: str, unit: str, name: str = "") -> float | None:
    """What was typed, in the measure's own unit; None where it is not understood, or is in a unit of another kind.

    A bare number is meant in the measure's unit, except that of a share more than 1 is meant in per cent.
    """
    found = _AMOUNT.fullmatch(typed.strip())
    number = _number(found[1]) if found else None
    if found is None or number is None:
        return None
    word = (found[2] or "").strip().lower().replace(" ", "")
    if is_share(name, unit):
        return number / 100 if word == "%" or (not word and number > 1) else number if not word else None
    if not word:
        return number
    factor = _factor(word, unit)
    return None if factor is None else number * factor


def written(amount: float | None, unit: str, name: str = "") -> str:
    """An amount so that `read` gives it back."""
    if amount is None:
        return ""
    if is_share(name, unit):
        return f"{_plain(amount * 100)} %"
    if unit in ("By", "By/s"):
        per = unit[2:]
        for word, size in (("TiB", 2.0**40), ("GiB", 2.0**30), ("MiB", 2.0**20), ("KiB", 2.0**10)):
            if abs(amount) >= size:
                return f"{_plain(amount / size)} {word}{per}"
        return f"{_plain(amount)} B{per}"
    if unit == "s":
        for word, size in (("d", 86400.0), ("h", 3600.0), ("min", 60.0), ("s", 1.0)):
            if abs(amount) >= size:
                return f"{_plain(amount / size)} {word}"
        return f"{_plain(amount * 1000)} ms"
    return _plain(amount)


def _plain(number: float) -> str:
    """Without an exponent, and without more digits than a person would type."""
    digits = 3 if abs(number) >= 100 else 6 if abs(number) >= 0.1 else 12
    return f"{number:.{digits}f}".rstrip("0").rstrip(".")


def _factor(word: str, unit: str) -> float | None:
    if unit == "By/s":
        whole = word.removesuffix("/s")
        return BITS.get(whole) or (SIZES.get(whole) if word.endswith("/s") else None)
    if unit == "By":
        return SIZES.get(word)
    if unit == "s":
        return TIMES.get(word)
    plain = unit.lower().replace("{", "").replace("}", "")
    base = plain.removesuffix("/s")
    for letter, factor in PREFIXES.items():
        if word in (
            f"{letter}{plain}",
            f"{letter}{base}",
            f"{letter}{base}s",
            f"{letter}/s" if plain.endswith("/s") else letter,
        ):
            return factor
    return 1.0 if word == "°c" and unit == "Cel" else None


def _number(text: str) -> float | None:
    """A number with a point or a comma: where both stand, the last one divides off the decimals."""
    text = text.replace("\u00a0", "").replace(" ", "")
    if "," in text and "." in text:
        thousands = "." if text.rindex(",") > text.rindex(".") else ","
        text = text.replace(thousands, "")
    text = text.replace(",", ".")
    try:
        number = float(text)
    except ValueError:
        return None
    return number if abs(number) < 1e18 else None
