"""Where a place is, as people have it at hand: typed, copied from a map, or a map's own address."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, unquote, urlsplit

_NUMBER = r"[+-]?\d{1,3}(?:[.,]\d+)?"
_PAIR = re.compile(rf"\s*({_NUMBER})\s*(?:[,;/|]|\s)\s*({_NUMBER})\s*")
_ANGLE = re.compile(
    r"""\s*([NSEWUTB])?\s*(\d{1,3}(?:[.,]\d+)?)\s*[°º]\s*(?:(\d{1,2}(?:[.,]\d+)?)\s*['′’]\s*)?(?:(\d{1,2}(?:[.,]\d+)?)\s*["″”]\s*)?([NSEWLUTB]{1,2})?[\s,;]*""",
    re.IGNORECASE,
)
_SIGNS = {"N": ("lat", 1), "S": ("lat", -1), "E": ("lon", 1), "W": ("lon", -1), "LS": ("lat", -1), "LU": ("lat", 1), "U": ("lat", 1), "BT": ("lon", 1), "T": ("lon", 1), "BB": ("lon", -1), "B": ("lon", -1)}  # fmt: skip
"""Points of the compass in English, and in Indonesian as on its maps: LS, LU, BT, BB."""
_LONGEST = 2000


def read(text: str) -> tuple[float, float] | None:
    """(latitude, longitude) in degrees of `-6.2, 106.8`, of `6°12'S 106°49'E`, or of the address of a map; else None."""
    given = text.strip()[:_LONGEST]
    found = _of_address(given) if re.match(r"(?i)(https?|geo):", given) else _of_numbers(given) or _of_angles(given)
    if found is None or not (-90 <= found[0] <= 90 and -180 <= found[1] <= 180):
        return None
    return round(found[0], 6), round(found[1], 6)


def said(latitude: float | None, longitude: float | None) -> str:
    """The pair as `read` reads it back; empty without one."""
    return "" if latitude is None or longitude is None else f"{_short(latitude)}, {_short(longitude)}"


def _short(degrees: float) -> str:
    return f"{degrees:.6f}".rstrip("0").rstrip(".")


def _of_numbers(text: str) -> tuple[float, float] | None:
    """Two plain numbers. A comma is the decimal mark only where another sign stands between the two."""
    bare = text.strip("()[] ")
    if bare.count(",") == 1 and re.fullmatch(r"[+-]?\d+\s*,\s*[+-]?\d+", bare):
        first, second = bare.split(",")
        return float(first), float(second)
    match = _PAIR.fullmatch(bare)
    return (float(match[1].replace(",", ".")), float(match[2].replace(",", "."))) if match else None


def _of_angles(text: str) -> tuple[float, float] | None:
    """Degrees, minutes and seconds with points of the compass, in either order."""
    found: dict[str, float] = {}
    place = 0
    while place < len(text) and len(found) < 2:
        match = _ANGLE.match(text, place)
        if match is None or match.end() == place:
            return None
        axis, sign = _SIGNS.get((match[5] or match[1] or "").upper(), ("", 1))
        parts = [float((part or "0").replace(",", ".")) for part in match.group(2, 3, 4)]
        if not axis or axis in found or parts[1] >= 60 or parts[2] >= 60:
            return None
        found[axis] = sign * (parts[0] + parts[1] / 60 + parts[2] / 3600)
        place = match.end()
    return (found["lat"], found["lon"]) if len(found) == 2 and place == len(text) else None


def _of_address(address: str) -> tuple[float, float] | None:
    """The place an address of OpenStreetMap, Google Maps or Apple Maps points at, or a `geo:` one."""
    try:
        parts = urlsplit(address)
        asked = parse_qs(parts.query)
    except ValueError:
        return None
    if parts.scheme.lower() == "geo":
        return _of_numbers(parts.path.split(";")[0])
    if "mlat" in asked and "mlon" in asked:
        return _of_numbers(f"{asked['mlat'][0]}, {asked['mlon'][0]}")
    exact = re.search(r"!3d(-?\d+\.\d+)!4d(-?\d+\.\d+)", address)
    if exact:
        return float(exact[1]), float(exact[2])
    for name in ("q", "query", "ll", "destination", "center"):
        pair = _of_numbers(asked[name][0]) if name in asked else None
        if pair:
            return pair
    seen = re.search(r"@(-?\d+\.\d+),(-?\d+\.\d+)", unquote(parts.path)) or re.fullmatch(
        r"map=[\d.]+/(-?\d+\.\d+)/(-?\d+\.\d+)", parts.fragment
    )
    return (float(seen[1]), float(seen[2])) if seen else None
