"""One guarded, counted connection to a machine's own port, TLS on it where wanted: for wire protocols other than HTTP."""

from __future__ import annotations

import http.client
import os
import re
import socket
import ssl
import struct

import certifi
from cryptography import x509

from domain.reading import Failure, FailureKind
from probes import names
from probes.base import Keep
from probes.dialogue import Unspoken
from probes.doors import Doors
from probes.http.wire import Stop, Trust, Wire
from probes.limits import Deadline, Guard, TooMuch, clean

TLS = ("prefer", "require", "verify", "off")
"""How much is asked of TLS: used if offered, insisted on, insisted on and believed only with a good certificate, none."""

_TCP_INFO = 11
_BYTES_AT = 120  # struct tcp_info (linux/tcp.h): tcpi_bytes_acked, tcpi_bytes_received as two u64


class _Any(Doors):
    """The ports of a registered machine, all of them: nobody is sent on from here to somewhere else."""

    def why_not(self, address: str, port: int, *, loopback: bool = False, private: bool = True) -> str:
        """No reason."""
        return ""


def to(address: str, keep: Keep, deadline: Deadline, guard: Guard, family: str = "any", name: str = "") -> Wire:
    """The way to `address`, resolved now; raises Stop. It is known to the Wire as `host_of(address, name)`."""
    wire = Wire(deadline, guard, names.of(keep), _Any(), loopback=True, family=family)
    wire.pin(host_of(address, name), address)
    return wire


def host_of(address: str, name: str = "") -> str:
    """What the far side must prove to be: `name` where one is given, else the machine's address."""
    return name or address.strip().strip("[]").lower()


def check_options(tls: str, name: str, authority: str) -> None:
    """Raises ValueError with a sentence where these options cannot work together."""
    if name and not re.fullmatch(r"[\w.:-]{1,253}", name):
        raise ValueError(f"option 'name' is a host name or an address, not {name!r}.")
    if not authority:
        return
    if tls != "verify":
        raise ValueError("option 'ca' is of use only where option 'tls' is verify.")
    try:
        x509.load_pem_x509_certificates(authority.encode())
    except ValueError:
        raise ValueError("option 'ca' is one or more certificates in PEM form.") from None


def context(keep: Keep, verify: bool, authority: str = "") -> ssl.SSLContext:
    """A client's TLS context; `authority` (PEM) is trusted instead of the system's."""
    return keep.get(("line", "trust"), Trust).context(verify, authority)


def authorities() -> str:
    """A file with the authorities of this system in PEM form, else those that come with us."""
    found = ssl.get_default_verify_paths().cafile or ""
    usual = (found, "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")
    return next((path for path in usual if path and os.path.exists(path)), certifi.where())


def traffic(line: socket.socket) -> tuple[int, int]:
    """Bytes the far side has confirmed and bytes it has sent on a TCP socket, whoever reads it: as the kernel counts.

    Raises ValueError where the system does not tell (Linux does), OSError for a socket that is none any more.
    """
    told = line.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, _BYTES_AT + 16) if hasattr(socket, "TCP_INFO") else b""
    if len(told) < _BYTES_AT + 16:
        raise ValueError("no counters here")
    sent, received = struct.unpack_from("=QQ", told, _BYTES_AT)
    return max(0, int(sent) - 1), int(received)  # the first confirmed byte is the connection itself


def failure(wire: Wire, error: Exception, speaks: str) -> Failure:
    """What an exception on the way means. `speaks` is what the far side should: "SMTP"."""
    if isinstance(error, Stop):
        return error.failure
    if isinstance(error, TooMuch):
        return Failure(FailureKind.REFUSED, f"The server {error}.")
    if wire.late(error):
        return Failure(FailureKind.TIMEOUT, wire.lateness())
    if isinstance(error, Unspoken):
        return Failure(FailureKind.REFUSED, str(error))
    if isinstance(error, ConnectionError | EOFError | http.client.RemoteDisconnected):
        return Failure(FailureKind.REFUSED, "The server breaks the connection off without a whole answer.")
    said = clean(str(error), 120) or type(error).__name__
    return Failure(FailureKind.REFUSED, f"The answer is not proper {speaks}: {said}.")
