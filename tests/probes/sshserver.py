"""Real SSH servers for the tests: Debian's sshd with its own keys and port, and hostile ones."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.ports import free_port

SSHD = "/usr/sbin/sshd"


class Server:
    """One sshd on a free loopback port; root logs in with `key` (a private key's text)."""

    def __init__(self, directory: Path, *extra: str) -> None:
        self.directory = directory
        self.port = free_port()
        for name in ("host", "user"):
            if not (directory / name).exists():
                keygen(directory / name)
        self.key = (directory / "user").read_text()
        (directory / "sshd_config").write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {directory / 'host'}\n"
            f"AuthorizedKeysFile {directory / 'user.pub'}\nStrictModes no\nUsePAM no\nPermitRootLogin prohibit-password\n"
            + "".join(f"{line}\n" for line in extra)
            + f"LogLevel VERBOSE\nPidFile {directory / 'pid'}\n"
        )
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        return (self.directory / "log").read_text() if (self.directory / "log").exists() else ""

    def start(self) -> None:
        Path("/run/sshd").mkdir(exist_ok=True)
        self.process = subprocess.Popen(
            [SSHD, "-D", "-f", str(self.directory / "sshd_config"), "-E", str(self.directory / "log")]
        )
        end = time.monotonic() + 10
        while True:
            with socket.socket() as line:
                if line.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            assert time.monotonic() < end, self.log
            time.sleep(0.05)

    def stop(self) -> None:
        """The listener and every session are gone."""
        if self.process is not None:
            subprocess.run(["pkill", "-KILL", "-P", str(self.process.pid)], check=False)
            self.process.kill()
            self.process.wait()
            self.process = None


def keygen(path: Path) -> None:
    path.unlink(missing_ok=True)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)


@contextmanager
def sshd(*extra: str) -> Iterator[Server]:
    """A running sshd of the test's own."""
    directory = Path(tempfile.mkdtemp(prefix="pantau-sshd-"))
    server = Server(directory, *extra)
    server.start()
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def hostile(behave: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server that does `behave` to everybody who connects; gives its port."""
    listener = socket.create_server(("127.0.0.1", 0))
    stop = threading.Event()

    def one(line: socket.socket) -> None:
        with line:
            try:
                behave(line)
            except OSError:
                return

    def serve() -> None:
        listener.settimeout(0.2)
        while not stop.is_set():
            try:
                line, _ = listener.accept()
            except TimeoutError:
                continue
            line.settimeout(30)
            threading.Thread(target=one, args=(line,), daemon=True).start()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield int(listener.getsockname()[1])
    finally:
        stop.set()
        thread.join()
        listener.close()
