"""Bad company: machines that hang, drip and flood take their own seats, and honest ones do not notice."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from domain.clock import Steady
from domain.reading import FailureKind, Measure, Reading, Target
from poller.lanes import Lanes
from probes import catalogue
from probes.base import Keep, Probe
from tests.probes.sshserver import hostile

DEADLINE = 3.0


class Honest(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *words: object) -> None:
        """Quiet."""


@pytest.fixture
def honest() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Honest)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def silent(line: socket.socket) -> None:
    line.recv(65536)
    time.sleep(20)


def drip(line: socket.socket) -> None:
    line.recv(65536)
    line.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    for _ in range(20):
        line.sendall(b"x")
        time.sleep(1)


def endless(line: socket.socket) -> None:
    line.recv(65536)
    line.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        line.sendall(b"x" * 65536)


def memory() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


async def test_twenty_bad_machines_leave_ten_honest_ones_alone(honest: int) -> None:
    probe = catalogue()["http"]
    lanes = Lanes(64, Steady())
    with hostile(silent) as one, hostile(drip) as two, hostile(endless) as three:
        bad = [Target("127.0.0.1", probe.options(port=port), None, DEADLINE) for port in [one, two, three] * 7]
        good = [Target("127.0.0.1", probe.options(port=honest), None, DEADLINE) for _ in range(10)]
        before, began = memory(), time.monotonic()
        under_way = [asyncio.create_task(lanes.look(probe, target)) for target in bad]
        await asyncio.sleep(0.2)
        seen = await asyncio.gather(*(lanes.look(probe, target) for target in good))
        assert all(one.reading.failure is None for one in seen)
        assert not any(task.done() for task in under_way[:1]), "the silent one still holds its seat"
        ended = await asyncio.gather(*under_way)
        assert time.monotonic() - began < DEADLINE + 3
        assert memory() - before < 60 * 2**20
    for index, look in enumerate(ended):
        assert look.reading.cost.received <= 1.1 * 2**20
        if index % 3 == 2:  # the endless one did answer 200; what it sends beyond the cap is not taken
            continue
        assert look.reading.failure is not None
        assert look.reading.failure.kind is FailureKind.TIMEOUT
        assert look.reading.failure.detail.endswith(".")
    lanes.close()


async def test_waiting_for_a_seat_is_our_lateness_and_not_the_machines_time() -> None:
    def slow(target: Target, keep: Keep) -> Reading:
        time.sleep(0.4)
        return Reading((Measure("x", 1.0),))

    probe = Probe(kind="slow", label="", look=slow, options=object, produces=())
    lanes = Lanes(4, Steady())
    target = Target("h", None, None, 1.0)
    seen = await asyncio.gather(*(lanes.look(probe, target) for _ in range(12)))
    assert all(one.reading.failure is None for one in seen), "nobody timed out for having waited"
    assert all(one.reading.took < 0.9 for one in seen)
    assert max(one.start for one in seen) - min(one.start for one in seen) > 0.7
    lanes.close()


async def test_a_look_that_outlives_its_deadline_is_given_up_and_keeps_its_seat_until_it_ends() -> None:
    released = threading.Event()

    def stuck(target: Target, keep: Keep) -> Reading:
        released.wait(20)
        return Reading()

    probe = Probe(kind="stuck", label="", look=stuck, options=object, produces=())
    lanes = Lanes(4, Steady())
    seen = await lanes.look(probe, Target("h", None, None, 0.2))
    assert seen.reading.failure is not None
    assert seen.reading.failure.kind is FailureKind.TIMEOUT
    assert lanes._seats[False]._value == 3
    released.set()
    await asyncio.sleep(0.3)
    assert lanes._seats[False]._value == 4
    lanes.close()


async def test_our_own_fault_is_shown_as_ours() -> None:
    def faulty(target: Target, keep: Keep) -> Reading:
        raise ZeroDivisionError("oops")

    lanes = Lanes(4, Steady())
    seen = await lanes.look(Probe("faulty", "", faulty, object, ()), Target("h", None, None, 1.0))
    assert seen.reading.failure is not None
    assert seen.reading.failure.kind is FailureKind.BROKEN
    assert "Pantau's own fault" in seen.reading.failure.detail
    lanes.close()


async def test_a_look_is_charged_for_its_own_processor_time_and_not_for_what_runs_beside_it() -> None:
    def burn(seconds: float) -> None:
        end = time.thread_time() + seconds
        while time.thread_time() < end:
            pass

    async def on_loop(target: Target, keep: Keep) -> Reading:
        burn(0.05)
        await asyncio.sleep(0.3)
        burn(0.05)
        return Reading(measures=(Measure("x", 1),))

    def on_thread(target: Target, keep: Keep) -> Reading:
        burn(0.1)
        time.sleep(0.1)
        return Reading(measures=(Measure("x", 1),))

    async def neighbour() -> None:
        for _ in range(20):
            burn(0.01)
            await asyncio.sleep(0.01)

    lanes = Lanes(4, Steady())
    target = Target("127.0.0.1", None, None, 10)
    looks = [Probe("x", "X", look, type(None), ()) for look in (on_loop, on_thread)]
    *seen, _ = await asyncio.gather(*(lanes.look(probe, target) for probe in looks), neighbour())
    lanes.close()
    assert [round(one.cpu, 1) for one in seen] == [0.1, 0.1]  # type: ignore[union-attr]


async def test_a_look_that_is_cancelled_between_its_steps_hears_of_it() -> None:
    heard = []

    async def patient(target: Target, keep: Keep) -> Reading:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            heard.append(True)
            raise
        return Reading()

    lanes = Lanes(4, Steady())
    seen = await lanes.look(Probe("x", "X", patient, type(None), ()), Target("127.0.0.1", None, None, 0.2))
    lanes.close()
    assert heard == [True]
    assert seen.reading.failure is not None
    assert seen.reading.failure.kind is FailureKind.TIMEOUT
