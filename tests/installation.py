"""A whole installation as a user starts it: `pantau up` in a process of its own, on a free port and its own directory."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import psycopg
import requests

from config import database
from tests.ports import free_port

T = TypeVar("T")


def until(look: Callable[[], T | None], seconds: float = 60.0, pause: float = 0.1) -> T:
    """What `look` brings once it brings something; the test fails when it does not within `seconds`."""
    end = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < end, f"not within {seconds} s: {look}"
        time.sleep(pause)


class Installation:
    """`pantau up` running; `query` asks its database."""

    def __init__(self, directory: Path, port: int, process: subprocess.Popen[str], output: Path) -> None:
        self.directory, self.port, self.process, self._output = directory, port, process, output

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def database_url(self) -> str:
        return database.url(None, self.directory / "run")

    @property
    def printed(self) -> str:
        return self._output.read_text()

    @property
    def token(self) -> str:
        found = until(lambda: re.search(r"set-up token: (\S+)", self.printed))
        return found[1]

    def query(self, statement: str, values: Any = None) -> list[tuple[Any, ...]]:
        """Rows; an empty list while the database does not answer."""
        try:
            with psycopg.connect(self.database_url, autocommit=True, connect_timeout=3) as connection:
                cursor = connection.execute(statement.encode(), values)
                return cursor.fetchall() if cursor.description else []
        except psycopg.OperationalError:
            return []

    def children(self) -> dict[str, int]:
        """Process ids of the supervisor's children by name."""
        listed = subprocess.run(
            ["ps", "-o", "pid=,args=", "--ppid", str(self.process.pid)], capture_output=True, text=True, check=False
        ).stdout
        names = {}
        for line in listed.splitlines():
            pid, _, words = line.strip().partition(" ")
            name = "postgres" if "postgres" in words.split(" ")[0] else words.rsplit(" ", 1)[-1]
            names[name] = int(pid)
        return names

    def processes(self) -> list[int]:
        """Every process of this installation: those whose environment or arguments name its directory."""
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                text = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
                gone = (entry / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
            except OSError:
                continue
            if str(self.directory).encode() in text and int(entry.name) != os.getpid() and not gone:
                found.append(int(entry.name))
        return found

    @property
    def answers(self) -> bool:
        """Whether its web server is there."""
        try:
            return requests.get(f"{self.address}/healthz", timeout=2).status_code == 200
        except requests.RequestException:
            return False

    def stop(self, number: int = signal.SIGINT) -> int:
        """Tell it to stop; its exit code."""
        self.process.send_signal(number)
        return self.process.wait(60)


class Browser:
    """Somebody at the forms of a running installation."""

    def __init__(self, running: Installation) -> None:
        self.address, self._session = running.address, requests.Session()

    def get(self, path: str) -> str:
        answer = self._session.get(self.address + path, timeout=10)
        assert answer.status_code == 200, answer.text[:300]
        return answer.text

    def post(self, path: str, data: dict[str, object], page: str | None = None) -> requests.Response:
        token = re.search(r'name="csrf" value="([^"]+)"', self.get(page or path))
        assert token
        return self._session.post(
            self.address + path, data={**data, "csrf": token[1]}, timeout=10, allow_redirects=False
        )


def command(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `pantau WORDS`."""
    env = {**os.environ, **environment}
    return subprocess.run(
        [sys.executable, "-m", "pantau", *words], capture_output=True, text=True, env=env, timeout=60, check=False
    )


@contextmanager
def installed(*words: str, namespace: str | None = None, **environment: str) -> Iterator[Installation]:
    """An installation that is up and printed its address; stopped, and its directory removed, at the end."""
    directory = Path(tempfile.mkdtemp(prefix="pantau-up-"))
    directory.chmod(0o755)
    port = free_port()
    output = directory / "printed"
    argv = [sys.executable, "-m", "pantau", "up", "--data", str(directory / "data"), "--port", str(port), *words]
    if namespace:
        argv = ["ip", "netns", "exec", namespace, *argv]
    with output.open("w") as printed:
        process = subprocess.Popen(
            argv, stdout=printed, stderr=subprocess.STDOUT, text=True, env={**os.environ, **environment}
        )
    running = Installation(directory / "data", port, process, output)
    try:
        until(lambda: "Ctrl-C stops" in running.printed or process.poll() is not None, 60)
        assert process.poll() is None, running.printed
        yield running
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(60)
        shutil.rmtree(directory, ignore_errors=True)
