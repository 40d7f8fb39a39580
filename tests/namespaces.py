"""Network namespaces joined to ours by one cable, for hosts that are silent, lossy, unreachable or hostile."""

from __future__ import annotations

import asyncio
import ctypes
import itertools
import os
import subprocess
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")
_numbers = itertools.count(1)
_CLONE_NEWNET = 0x40000000


def run(*words: str) -> str:
    """One system command; its failure is the test's."""
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}"
    return done.stdout


class Namespace:
    """A namespace with its own loopback; `join` lays a cable to another."""

    def __init__(self) -> None:
        self.name = f"pt{os.getpid()}n{next(_numbers)}"
        run("ip", "netns", "add", self.name)
        self.do("ip", "link", "set", "lo", "up")

    def do(self, *words: str) -> str:
        """A system command inside."""
        return run("ip", "netns", "exec", self.name, *words)

    def join(self, other: Namespace, ours: str, theirs: str) -> None:
        """A cable to `other`; both ends get an address ("10.1.0.1/24")."""
        number = next(_numbers)
        near, far = f"pa{os.getpid() % 10000}{number}", f"pb{os.getpid() % 10000}{number}"
        run("ip", "link", "add", near, "netns", self.name, "type", "veth", "peer", "name", far, "netns", other.name)
        for namespace, cable, address in ((self, near, ours), (other, far, theirs)):
            extra = ["nodad"] if ":" in address else []
            namespace.do("ip", "address", "add", address, "dev", cable, *extra)
            namespace.do("ip", "link", "set", cable, "up")

    def inside(self, work: Callable[[], T]) -> T:
        """Run `work` on a thread whose sockets belong to this namespace."""

        def body() -> T:
            enter(self.name)
            return work()

        with ThreadPoolExecutor(1) as pool:
            return pool.submit(body).result()

    def awaiting(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run a coroutine on a loop of its own in this namespace."""
        return self.inside(lambda: asyncio.run(work()))

    def close(self) -> None:
        run("ip", "netns", "delete", self.name)


@dataclass
class Cable:
    """Our side (10.77.0.1, fd77::1) and a machine at the other end (10.77.0.2, fd77::2)."""

    here: Namespace
    there: Namespace


def enter(name: str) -> None:
    """Move the calling thread into a namespace."""
    with open(f"/var/run/netns/{name}") as handle:
        libc = ctypes.CDLL(None, use_errno=True)
        assert libc.setns(handle.fileno(), _CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
