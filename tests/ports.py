"""Ports for servers of tests: given to one process only, and never one the kernel hands out by itself.

"Bind port 0, close, bind again" leaves a moment in which another process gets the same number from the kernel. These lie
below the kernel's own range (ip_local_port_range), and each process owns a block of them for as long as it lives.
"""

from __future__ import annotations

import fcntl
import itertools
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

FIRST, LAST, BLOCK = 20_000, 32_700, 100

_locks: list[object] = []
"""What keeps our blocks ours: the lock of a file goes with the process."""


def free_port() -> int:
    """A loopback port at which nothing listens, neither TCP nor UDP, and which nobody else is given meanwhile."""
    return next(port for port in _ports if _free(port))


def _given() -> Iterator[int]:
    first = _block()
    yield from itertools.cycle(range(first, first + BLOCK))


def _block() -> int:
    """The first port of a block no living process has."""
    place = Path(tempfile.gettempdir()) / "pantau-ports"
    place.mkdir(mode=0o777, exist_ok=True)
    for first in range(FIRST, LAST - BLOCK, BLOCK):
        lock = (place / str(first)).open("a")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            continue
        _locks.append(lock)
        return first
    raise OSError("Every block of test ports is taken by a living process: end old test runs.")


def _free(port: int) -> bool:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as line:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1 if kind == socket.SOCK_STREAM else 0)
            try:
                line.bind(("127.0.0.1", port))
            except OSError:
                return False
    return True


_ports = _given()
