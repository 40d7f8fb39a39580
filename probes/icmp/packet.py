"""Echo requests and replies as bytes (RFC 792, RFC 4443), and the sockets that carry them."""

from __future__ import annotations

import ctypes
import errno
import os
import shlex
import socket
import struct
import sys
from dataclasses import dataclass
from typing import Literal

Mode = Literal["dgram", "raw"]

HEADER = struct.Struct("!BBHHH")  # type, code, checksum, identifier, sequence
BODY = struct.Struct("!I8sd")  # index in the round, nonce of the round, monotonic time of sending
WHOLE = struct.Struct(HEADER.format + BODY.format[1:])
HEADER_BYTES = HEADER.size
BODY_BYTES = BODY.size
LEAST_SIZE = BODY_BYTES
MOST_SIZE = 1400  # with all headers still one Ethernet frame: a fragmented echo measures something else
RECEIVE_BUFFER = 4 * 1024 * 1024

_SO_ATTACH_FILTER = 26
_SO_RCVBUFFORCE = 33
_ICMP6_FILTER = 1
_IP_RECVERR = 11
_IPV6_RECVERR = 25
MSG_ERRQUEUE = getattr(socket, "MSG_ERRQUEUE", 0)

SETTING = 'sysctl -w net.ipv4.ping_group_range="0 2147483647"'


@dataclass(frozen=True, slots=True)
class Dialect:
    """What differs between the two families."""

    family: socket.AddressFamily
    protocol: int
    request: int
    reply: int
    header_bytes: int  # of the IP header, for the cost of a look


V4 = Dialect(socket.AF_INET, socket.IPPROTO_ICMP, 8, 0, 20)
V6 = Dialect(socket.AF_INET6, socket.IPPROTO_ICMPV6, 128, 129, 40)


class NotPermitted(Exception):
    """This process may not send echoes; the text says the exact command that allows it."""


def request(dialect: Dialect, ident: int, index: int, nonce: bytes, sent: float, padding: bytes, summed: bool) -> bytes:
    """One echo request. `summed`: with its checksum, which the kernel adds except on raw IPv4 sockets."""
    data = WHOLE.pack(dialect.request, 0, 0, ident, index & 0xFFFF, index, nonce, sent) + padding
    return data[:2] + checksum(data).to_bytes(2) + data[4:] if summed else data


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071): the 16-bit words summed in one's complement, i.e. modulo 65535."""
    if len(data) & 1:
        data += b"\0"
    return 0xFFFF - (int.from_bytes(data) % 0xFFFF or 0xFFFF)


def open_socket(dialect: Dialect, ident: int) -> tuple[socket.socket, Mode]:
    """A non-blocking socket for echoes, unprivileged if the system allows it, else raw and filtered.

    Raises NotPermitted where neither is allowed, OSError where the family itself is missing.
    """
    mode: Mode = "dgram"
    try:
        line = socket.socket(dialect.family, socket.SOCK_DGRAM, dialect.protocol)
    except PermissionError:
        mode = "raw"
        try:
            line = socket.socket(dialect.family, socket.SOCK_RAW, dialect.protocol)
        except PermissionError:
            raise NotPermitted(hint()) from None
    try:
        _tune(line, dialect)
        if mode == "raw":
            _filter(line, dialect, ident)
    except OSError:
        line.close()
        raise
    return line, mode


def permission() -> tuple[Mode | None, str]:
    """How this process may send echoes, and what to do where it may not (or could do with less).

    For `pantau doctor`: ("dgram", ""), ("raw", advice) or (None, the exact command).
    """
    try:
        line, mode = open_socket(V4, 1)
    except NotPermitted as missing:
        return None, str(missing)
    except OSError as error:
        return None, f"ICMP cannot be used here: {error.strerror}."
    line.close()
    if mode == "raw":
        return mode, f"Echoes go through a raw socket, which needs privileges; without them: sudo {SETTING}"
    return mode, ""


def hint() -> str:
    """What to type so that this process may send echoes."""
    python = shlex.quote(os.path.realpath(sys.executable))
    return (
        f"Pantau may not send pings here. Allow it with: sudo {SETTING} (to keep it, put the same setting in "
        f"/etc/sysctl.d/60-pantau.conf), or with: sudo setcap cap_net_raw+ep {python}"
    )


def _tune(line: socket.socket, dialect: Dialect) -> None:
    line.setblocking(False)
    try:
        line.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, RECEIVE_BUFFER)
    except OSError:  # only root may pass net.core.rmem_max: take what it allows
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    if sys.platform == "linux":
        if dialect is V4:
            line.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)
        else:
            line.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVERR, 1)


def _filter(line: socket.socket, dialect: Dialect, ident: int) -> None:
    """Let the kernel drop all but our own echo replies.

    A raw socket is handed every ICMP packet of the machine, every other process's replies among them.
    """
    if sys.platform != "linux":
        return
    if dialect is V4:  # the packet begins with the IP header, whose length is in its first byte
        code = [(0xB1, 0, 0, 0), (0x50, 0, 0, 0), (0x15, 0, 3, dialect.reply)]
        code += [(0x48, 0, 0, 4), (0x15, 0, 1, ident), (0x06, 0, 0, 0xFFFFFFFF), (0x06, 0, 0, 0)]
    else:  # the packet begins with the ICMPv6 header
        code = [(0x30, 0, 0, 0), (0x15, 0, 3, dialect.reply)]
        code += [(0x28, 0, 0, 4), (0x15, 0, 1, ident), (0x06, 0, 0, 0xFFFFFFFF), (0x06, 0, 0, 0)]
        allow = bytearray(b"\xff" * 32)  # a set bit blocks the type of that number
        allow[16 + 0] &= ~(1 << (dialect.reply - 128)) & 0xFF
        line.setsockopt(socket.IPPROTO_ICMPV6, _ICMP6_FILTER, _by_words(bytes(allow)))
    program = b"".join(struct.pack("HBBI", *step) for step in code)
    memory = ctypes.create_string_buffer(program)
    line.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HP", len(code), ctypes.addressof(memory)))


def _by_words(bits: bytes) -> bytes:
    """A little-endian bit set as the native 32-bit words the kernel reads."""
    return struct.pack("=8I", *struct.unpack("<8I", bits))


def trouble(code: int) -> str:
    """An error number of the network in words."""
    words = {
        errno.EHOSTUNREACH: "no route to the host",
        errno.ENETUNREACH: "the network is unreachable",
        errno.ECONNREFUSED: "the host does not take ICMP",
        errno.EACCES: "a firewall or a broadcast address forbids it",
        errno.EPERM: "the firewall of this machine forbids it",
        errno.EHOSTDOWN: "the host is down",
    }
    return words.get(code, os.strerror(code).lower())
