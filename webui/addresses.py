"""Reads pasted addresses: one a line, with an optional name, small ranges and networks opened up."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from probes import doors, names
from webui.language import gettext

MOST = 1024
SMALLEST_PREFIX = 24
HOST = re.compile(r"(?=.{1,253}\.?$)(?!-)[A-Za-z0-9_-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9_-]{1,63}(?<!-))*\.?")
RANGE = re.compile(
    r"(\d{1,3}\.\d{1,3}\.\d{1,3}\.)(\d{1,3})\s*-\s*(?:(\d{1,3}\.\d{1,3}\.\d{1,3}\.))?(\d{1,3})(?=$|[\s,;])"
)
ODD = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True)
class Pasted:
    """What was understood: addresses in order without repetition, the names given to some, and what was not understood."""

    addresses: tuple[str, ...]
    names: dict[str, str]
    wrong: tuple[str, ...]


def read(text: str, most: int = MOST, prefix: int = SMALLEST_PREFIX) -> Pasted:
    """`text` as a person pasted it. Each line that is not understood gives one sentence naming it.

    `most` addresses are taken in all, and networks down to a /`prefix`.
    """
    addresses: dict[str, None] = {}
    names: dict[str, str] = {}
    wrong: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            found, name = _line(line.strip(), prefix)
        except ValueError as error:
            wrong.append(
                gettext("Line %(number)s, “%(line)s”: %(reason)s", number=number, line=_short(line), reason=str(error))
            )
            continue
        addresses.update(dict.fromkeys(found))
        if name and len(found) == 1:
            names[found[0]] = name
    if len(addresses) > most:
        wrong.append(
            gettext(
                "These are %(count)s addresses; at most %(most)s are looked at in one go.",
                count=len(addresses),
                most=most,
            )
        )
    return Pasted(tuple(addresses), names, tuple(wrong))


def own(address: str) -> bool:
    """Whether it means the machine Pantau runs on, or where clouds tell a machine its own credentials.

    What listens there trusts whoever is on this machine, so checks of it are for administrators to make. Names that only
    resolve to such a place are refused when they are looked at (probes/names.py).
    """
    if names.is_this_machine(address):
        return True
    place = names.numeric(address)
    if place is None:
        return False
    found = doors.embedded(ipaddress.ip_address(place.address))
    return found.is_unspecified or found.is_link_local or doors.is_metadata(found) or str(found).startswith("0.")


def _line(line: str, prefix: int) -> tuple[list[str], str]:
    """The addresses of one line and the name behind them."""
    span = RANGE.match(line)
    if span:
        return _range(span), ""
    first, _, rest = re.sub(r"[,;\t ]+", " ", line).strip().partition(" ")
    name = ODD.sub("", rest).strip()[:100]
    if "/" in first:
        return _network(first, prefix), ""
    return [one(first)], name


def one(text: str) -> str:
    """One IP address in its usual form, or a host name; ValueError with a sentence for anything else."""
    try:
        return str(ipaddress.ip_address(text.strip("[]")))
    except ValueError:
        pass
    if re.fullmatch(r"[\d.]+", text) or not HOST.fullmatch(text):
        raise ValueError(gettext("this is neither an IP address nor a host name."))
    return text.rstrip(".").lower()


def _range(span: re.Match[str]) -> list[str]:
    """10.0.0.5-20 or 10.0.0.5-10.0.0.20."""
    start, low, other, high = span[1], int(span[2]), span[3], int(span[4])
    if other not in (None, start) or high < low:
        raise ValueError(gettext("a range goes upwards within the last number, such as 10.0.0.5-20."))
    return [one(f"{start}{last}") for last in range(low, high + 1)]


def _network(text: str, prefix: int) -> list[str]:
    """The hosts of a network no larger than a /`prefix`."""
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueError(gettext("this is not a network such as 10.0.0.0/24.")) from None
    if network.num_addresses > 2 ** (32 - prefix):
        raise ValueError(
            gettext("this network has too many addresses; at most a /%(prefix)s is looked through.", prefix=prefix)
        )
    return [str(address) for address in network.hosts()]


def _short(line: str) -> str:
    seen = ODD.sub("", line.strip())
    return seen if len(seen) <= 40 else seen[:39] + "…"
