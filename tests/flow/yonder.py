"""A place behind a cable, at an address that is not ours, where servers of the test's own process can listen."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.namespaces import Namespace


@dataclass
class Yonder:
    """`address` is there; what listens there is reached from here as any machine is."""

    namespace: Namespace
    address: str

    def ears(self, port: int = 0) -> socket.socket:
        """A socket that listens there."""
        return self.namespace.inside(lambda: socket.create_server((self.address, port), backlog=64))


@contextmanager
def yonder() -> Iterator[Yonder]:
    """One for this process at a time."""
    there, pid = Namespace(), os.getpid()
    near, far = f"py{pid % 1_000_000}a", f"py{pid % 1_000_000}b"
    net, first = f"10.79.{pid // 64 % 256}", pid % 64 * 4
    run = ["ip", "link", "add", near, "type", "veth", "peer", "name", far, "netns", there.name]
    try:
        subprocess.run(run, check=True)
        subprocess.run(["ip", "address", "add", f"{net}.{first + 1}/30", "dev", near], check=True)
        subprocess.run(["ip", "link", "set", near, "up"], check=True)
        there.do("ip", "address", "add", f"{net}.{first + 2}/30", "dev", far)
        there.do("ip", "link", "set", far, "up")
        yield Yonder(there, f"{net}.{first + 2}")
    finally:
        subprocess.run(["ip", "link", "delete", near], check=False)
        there.close()
