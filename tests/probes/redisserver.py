"""Real Redis servers on loopback, each with a directory of its own."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from installation import until

from config import processes
from tests.ports import free_port

PROGRAM = "/usr/bin/redis-server"
COMMAND = "/usr/bin/redis-cli"


@dataclass
class Server:
    """One running server."""

    place: Path
    port: int
    options: tuple[str, ...]
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it takes connections."""
        argv = [PROGRAM, "--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.place), "--save", "",
                "--repl-diskless-sync-delay", "0", "--repl-timeout", "3", "--repl-ping-replica-period", "1",
                *self.options]  # fmt: skip
        self.process = processes.spawn(argv, death=signal.SIGKILL, quiet=True)
        until(self._takes, 30)

    def _takes(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False

    def stop(self) -> None:
        """At once."""
        if self.process is not None:
            processes.stop(self.process, signal.SIGKILL, 10)
            self.process = None

    def do(self, *words: str) -> str:
        """One command, by Redis's own client."""
        argv = [COMMAND, "-p", str(self.port), *words]
        return subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False).stdout.strip()


@contextlib.contextmanager
def server(*options: str) -> Iterator[Server]:
    """A server with these further options; `PLACE` in them is its directory."""
    place = Path(tempfile.mkdtemp(prefix="pantau-redis-"))
    made = Server(place, free_port(), tuple(word.replace("PLACE", str(place)) for word in options))
    try:
        made.start()
        yield made
    finally:
        made.stop()
        shutil.rmtree(place, ignore_errors=True)
