#!/usr/bin/env python3
"""One WinRM look beside pywinrm's `run_cmd`: our CPU, posts and bytes, against the listener of the tests.

    python bench/winrm_look.py [--rounds 100]

The listener is a process of its own. A look brings processors, memory, disks, network, up time and more; `run_cmd` is
one command whose output would still have to be read (the usual way to one number), in a shell opened for it as
`winrm.Session` does. On a real machine each `run_cmd` also starts a process there, each look none. Both log in with
NTLM and seal every message. Medians of the rounds; goal: a fifth of the posts for one number, and less CPU for them all.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import requests.adapters  # noqa: E402
import winrm  # noqa: E402

from domain.reading import Secret, Target  # noqa: E402
from probes.base import Keep  # noqa: E402
from probes.winrm import Options, look  # noqa: E402

USER, PASSWORD = "pantau-read", "Look-only 1"


@contextlib.contextmanager
def listener() -> Iterator[int]:
    """The listener in a process of its own; its port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    words = [sys.executable, "-m", "tests.probes.wsman", "--port", str(port)]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert re.match("listening", running.stdout.readline())
        try:
            yield port
        finally:
            running.terminate()


class Count:
    """Posts and bytes of pywinrm, taken where requests sends them."""

    def __init__(self) -> None:
        self.posts = self.sent = self.received = 0

    def watch(self) -> None:
        """Count from now on."""
        plain = requests.adapters.HTTPAdapter.send

        def send(adapter: Any, request: Any, *rest: Any, **named: Any) -> requests.Response:
            response = plain(adapter, request, *rest, **named)
            self.posts += 1
            self.sent += len(request.body or b"") + _head(request.headers)
            self.received += int(response.headers.get("Content-Length", 0)) + _head(response.headers)
            return response

        requests.adapters.HTTPAdapter.send = send  # type: ignore[method-assign]


def _head(headers: Any) -> int:
    return sum(len(name) + len(str(value)) + 4 for name, value in headers.items()) + 30


def rounds(count: int, work: Callable[[], Any]) -> tuple[float, float]:
    """Median CPU and wall seconds of one piece of work."""
    cpu, wall = [], []
    for _ in range(count):
        began, used = time.monotonic(), time.process_time()
        work()
        cpu.append(time.process_time() - used)
        wall.append(time.monotonic() - began)
    return statistics.median(cpu), statistics.median(wall)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=100)
    asked = parser.parse_args()
    with listener() as port:
        compare(port, asked.rounds)


def compare(port: int, count: int) -> None:
    target = Target("127.0.0.1", Options(port=port, tls="http"), Secret(USER, PASSWORD), 20)
    kept = Keep()

    def one_look() -> Any:
        reading = look(target, kept)
        assert reading.failure is None, reading.failure
        return reading

    one_look()  # the first one reads what is read seldom
    rows = {}
    cpu, wall = rounds(count, one_look)
    reading = one_look()
    posts = next(m.value for m in reading.measures if m.name == "winrm.posts")
    rows["a look, login kept"] = cpu, wall, posts, reading.cost.sent, reading.cost.received, len(reading.measures)

    def look_anew() -> Any:
        home = next(kept.peek(key) for key in kept.keys() if len(key) == 5)  # noqa: SIM118 - a Keep is no dict
        home.drop()
        return one_look()

    cpu, wall = rounds(count, look_anew)
    reading = look_anew()
    posts = next(m.value for m in reading.measures if m.name == "winrm.posts")
    rows["a look, new login"] = cpu, wall, posts, reading.cost.sent, reading.cost.received, len(reading.measures)
    kept.close()

    counted = Count()
    counted.watch()
    session = winrm.Session(f"http://127.0.0.1:{port}/wsman", auth=(USER, PASSWORD), transport="ntlm", proxy=None)
    session.run_cmd("hostname")
    for title, work in (
        ("run_cmd, same Session", lambda: session.run_cmd("hostname")),
        ("run_cmd, new session", lambda: fresh(port)),
    ):
        cpu, wall = rounds(count, work)
        before = counted.posts, counted.sent, counted.received
        work()
        rows[title] = (cpu, wall, counted.posts - before[0], counted.sent - before[1], counted.received - before[2], 1)

    print(f"{'':24}{'CPU ms':>8}{'wall ms':>9}{'posts':>7}{'sent B':>8}{'read B':>8}{'values':>8}")
    for title, (cpu, wall, posts, sent, received, values) in rows.items():
        print(f"{title:24}{cpu * 1e3:8.2f}{wall * 1e3:9.2f}{posts:7.0f}{sent:8}{received:8}{values:8}")
    ours, anew = rows["a look, login kept"], rows["a look, new login"]
    theirs = rows["run_cmd, same Session"]  # closing its shell, it hangs up: the next command logs in anew
    print(
        f"CPU: a whole look is {ours[0] / theirs[0]:.2f} x one run_cmd, {anew[0] / theirs[0]:.2f} x where both log in"
    )
    per_value = ours[2] / ours[5]
    print(f"posts a value: {per_value:.2f} against {theirs[2]:.0f}, 1/{theirs[2] / per_value:.0f} (goal 1/5)")
    print("processes started on the machine: none against one a command")


def fresh(port: int) -> Any:
    """What most scripts do: a session, a command, and away."""
    session = winrm.Session(f"http://127.0.0.1:{port}/wsman", auth=(USER, PASSWORD), transport="ntlm", proxy=None)
    done = session.run_cmd("hostname")
    session.protocol.transport.close_session()
    return done


if __name__ == "__main__":
    main()
