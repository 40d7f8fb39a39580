"""The time server probe against a real chronyd, and against servers whose clock, manners or packets are wrong."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import struct
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from installation import until
from talkers import within

from config import processes
from domain.options import fill
from domain.reading import FailureKind, Reading, Target
from probes import catalogue, ntp
from probes.base import Keep
from probes.ntp import PACKET, UNIX, Options
from tests.ports import free_port

CHRONYD = "/usr/sbin/chronyd"


def look(keep: Keep, port: int, deadline: float = 3.0, **options: object) -> Reading:
    return asyncio.run(ntp.look(Target("127.0.0.1", fill(Options, {"port": port, **options}), None, deadline), keep))


def failed(reading: Reading, kind: FailureKind, *words: str) -> None:
    assert reading.failure is not None, reading
    assert reading.failure.kind is kind, reading.failure
    for word in words:
        assert word in reading.failure.detail, reading.failure


def value(reading: Reading, name: str) -> float:
    return next(one.value for one in reading.measures if one.name == f"ntp.{name}")


@pytest.fixture(scope="module")
def chrony() -> Iterator[int]:
    """A real time server that tells the time of this machine and never sets it."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="pantau-ntp-") as place:
        conf = Path(place) / "conf"
        conf.write_text(
            f"port {port}\nbindaddress 127.0.0.1\nallow 127.0.0.1\nlocal stratum 8\ncmdport 0\nbindcmdaddress /\n"
            f"pidfile {place}/pid\ndriftfile {place}/drift\n"
        )
        user = ["-u", "root"] if os.geteuid() == 0 else ["-U"]
        child = processes.spawn([CHRONYD, "-d", "-x", *user, "-f", conf], death=signal.SIGKILL, quiet=True)
        keep = Keep()
        try:
            until(lambda: look(keep, port, 0.5).failure is None, 30)
            yield port
        finally:
            keep.close()
            processes.stop(child, signal.SIGTERM, 10)


def test_a_real_time_server_agrees_with_the_clock_it_shares_with_us(keep: Keep, chrony: int) -> None:
    reading = look(keep, chrony)
    assert reading.failure is None
    assert abs(value(reading, "offset")) < 0.5
    assert value(reading, "offset.absolute") == abs(value(reading, "offset"))
    assert 0 <= value(reading, "delay") < 1
    assert value(reading, "stratum") == 8
    assert reading.cost.sent >= 48 and reading.cost.received >= 48


@dataclass
class Peer:
    """A UDP server that answers each question by `answer`."""

    answer: Callable[[bytes], list[bytes]]

    def __enter__(self) -> Peer:
        self._line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._line.bind(("127.0.0.1", 0))
        self.port: int = self._line.getsockname()[1]
        self.asked: list[bytes] = []
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
            line.sendto(b"", ("127.0.0.1", self.port))
        self._thread.join(10)
        self._line.close()

    def _serve(self) -> None:
        while True:
            data, who = self._line.recvfrom(2048)
            if not data:
                return
            self.asked.append(data)
            for packet in self.answer(data):
                self._line.sendto(packet, who)


def stamp(moment: float) -> int:
    return int((moment + UNIX) * (1 << 32)) & 0xFFFFFFFFFFFFFFFF


def told(
    question: bytes,
    ahead: float = 0.0,
    *,
    flags: int = 0x24,
    stratum: int = 2,
    reference: bytes = b"\x0a\0\0\1",
    origin: int | None = None,
) -> bytes:
    """An answer from a server whose clock is `ahead` of ours."""
    moment = stamp(time.time() + ahead)
    asked = struct.unpack_from("!Q", question, 40)[0] if origin is None else origin
    referred = stamp(time.time() + ahead - 100)
    return PACKET.pack(flags, stratum, 6, -20, 655, 6553, reference, referred, asked, moment, moment)


@pytest.mark.parametrize("ahead", [0.0, 12.5, -3600.0])
def test_a_clock_that_is_off_is_told_by_how_much_and_which_way(keep: Keep, ahead: float) -> None:
    with Peer(lambda question: [told(question, ahead)]) as peer:
        reading = look(keep, peer.port)
        strict = look(keep, peer.port, most=1.0)
    assert reading.failure is None
    assert value(reading, "offset") == pytest.approx(ahead, abs=0.5)
    assert value(reading, "root.delay") == pytest.approx(0.01, abs=0.001)
    assert value(reading, "root.dispersion") == pytest.approx(0.1, abs=0.001)
    assert value(reading, "reference.age") == pytest.approx(100, abs=1)
    assert next(one.value for one in reading.facts if one.name == "ntp.reference") == "10.0.0.1"
    declared = {(row.name, row.unit) for row in catalogue()["ntp"].produces}
    assert {(one.name, one.unit) for one in reading.measures} == declared
    if ahead:
        failed(strict, FailureKind.REFUSED, "ahead of" if ahead > 0 else "behind", "more than 1 s")
    else:
        assert strict.failure is None


def test_timestamps_of_the_next_era_are_read_as_the_nearest_time(monkeypatch: pytest.MonkeyPatch) -> None:
    # NTP's seconds begin again at 0 on 7 February 2036.
    ours = 2_085_978_496.0 + 10
    packet = PACKET.pack(0x24, 1, 6, -20, 0, 0, b"GPS\0", 0, 7, stamp(ours + 1), stamp(ours + 1))
    sample = ntp.read(packet, 7, ours, 0.0)
    assert sample is not None and sample.offset == pytest.approx(1.0, abs=0.001)
    before = PACKET.pack(0x24, 1, 6, -20, 0, 0, b"GPS\0", 0, 7, stamp(ours - 30), stamp(ours - 30))
    earlier = ntp.read(before, 7, ours, 0.0)
    assert earlier is not None and earlier.offset == pytest.approx(-30.0, abs=0.001)


def test_no_two_questions_are_alike_and_none_tells_our_time(keep: Keep) -> None:
    with Peer(lambda question: [told(question)]) as peer:
        look(keep, peer.port, samples=4)
        asked = peer.asked
    assert len(asked) == 4 and len({one[40:] for one in asked}) == 4
    assert all(len(one) == 48 and one[0] == 0x23 for one in asked)


def test_only_the_answer_to_our_question_counts(keep: Keep) -> None:
    def lies(question: bytes) -> list[bytes]:
        return [
            b"", b"x", b"\0" * 48, question, told(question, 99, origin=12345), told(question, 99, flags=0x23),
            told(question, 99, flags=0x04), told(question)[:47], told(question),
        ]  # fmt: skip

    with Peer(lies) as peer:
        reading = look(keep, peer.port)
    assert reading.failure is None
    assert abs(value(reading, "offset")) < 0.5


@pytest.mark.parametrize(
    ("how", "kind", "words"),
    [
        ({"stratum": 0, "reference": b"DENY"}, FailureKind.DENIED, "allow its address"),
        ({"stratum": 0, "reference": b"RATE"}, FailureKind.DENIED, "too often"),
        ({"stratum": 0, "reference": b"INIT"}, FailureKind.REFUSED, "no time to tell (INIT)"),
        ({"stratum": 0, "reference": b"\x1b[2J"}, FailureKind.REFUSED, "no time to tell"),
        ({"stratum": 16}, FailureKind.REFUSED, "not synchronised"),
        ({"flags": 0xE4}, FailureKind.REFUSED, "not synchronised"),
    ],
)
def test_a_server_that_declines_or_does_not_know_the_time_says_so(
    keep: Keep, how: dict[str, object], kind: FailureKind, words: str
) -> None:
    with Peer(lambda question: [told(question, **how)]) as peer:  # type: ignore[arg-type]
        reading = look(keep, peer.port)
    failed(reading, kind, words)
    assert "\x1b" not in repr(reading) and "\\x1b" not in repr(reading)


def test_a_lost_packet_is_asked_for_again_and_silence_is_given_up_in_time(keep: Keep) -> None:
    turns: list[bytes] = []

    def second(question: bytes) -> list[bytes]:
        turns.append(question)
        return [told(question)] if len(turns) > 1 else []

    with Peer(second) as peer:
        assert look(keep, peer.port, deadline=2.0).failure is None
    with Peer(lambda question: []) as peer:
        stop = within(4)
        failed(look(keep, peer.port, deadline=1.0), FailureKind.TIMEOUT, "did not answer within 1 s")
        stop()


def test_a_flood_of_strays_ends_the_look_and_a_closed_port_refuses(keep: Keep) -> None:
    with Peer(lambda question: [b"stray"] * 80) as peer:
        failed(look(keep, peer.port), FailureKind.REFUSED, "nothing that answers")
    failed(look(keep, free_port()), FailureKind.REFUSED, "no time server listens")
