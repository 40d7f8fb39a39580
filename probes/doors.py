"""Which addresses a URL may lead Pantau to: the one place that decides it, for checks and webhooks alike.

Whoever can make us fetch a URL (an option, a redirect, a name that changes its address) borrows our place
in the network. Addresses are judged after resolving, and it is the judged address that is connected to.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from probes.base import Keep

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# Where clouds tell a machine its own credentials; those outside the link-local range (169.254.0.0/16, fe80::/10).
_METADATA = frozenset(
    map(ipaddress.ip_address, ("100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254"))
)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
POSTGRESQL = 5432


class Doors:
    """The doors of this installation that stay shut: `(address, port)` of its database and admin ports.

    Kept in the caller's Keep under ("doors",); PostgreSQL's usual port on this machine is always among them.
    """

    def __init__(self, shut: Iterable[tuple[str, int]] = ()) -> None:
        self._shut = {(_plain(address), port) for address, port in (*shut, ("127.0.0.1", POSTGRESQL))}

    @property
    def shut(self) -> frozenset[tuple[str, int]]:
        """The doors, for another process that must keep them shut too."""
        return frozenset(self._shut)

    def why_not(self, address: str, port: int, *, loopback: bool = False, private: bool = True) -> str:
        """Why nobody may be sent to this address and port ("" if they may), as the end of a sentence.

        `loopback` allows the machine Pantau runs on, `private` the addresses of a local network (RFC 1918,
        RFC 4193): a LAN monitor looks at those by default, a webhook does not.
        """
        found = embedded(ipaddress.ip_address(address.partition("%")[0]))
        if (_canonical(found), port) in self._shut:
            return "which is a port of Pantau itself"
        if found.is_link_local or is_metadata(found):
            return "which is a link-local or cloud metadata address"
        if found.is_loopback:
            return "" if loopback else "which is the machine Pantau runs on"
        if found.is_multicast or found.is_unspecified or found.is_reserved or str(found).startswith("0."):
            return "which is not the address of one machine"
        if found.is_private and not private:
            return "which is an address of the local network"
        return ""

    def close(self) -> None:
        """Nothing is open here; a Keep closes all it holds."""


def of(keep: Keep) -> Doors:
    """The doors of this process: put there by the poller, else the usual ones."""
    return keep.get(("doors",), Doors)


def is_metadata(address: Address) -> bool:
    """Whether clouds tell a machine its own credentials there."""
    inner = embedded(address)
    return inner in _METADATA or (inner.version == 4 and inner.is_link_local)


def embedded(address: Address) -> Address:
    """The IPv4 address inside an IPv6 one (mapped, NAT64, 6to4), where a packet to it would end up."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        return inner or address
    return address


def _canonical(address: Address) -> str:
    return "127.0.0.1" if address.is_loopback else str(address)


def _plain(address: str) -> str:
    return _canonical(embedded(ipaddress.ip_address(address)))
