"""The TCP probe against ports that greet, refuse, keep silent, drip and never end."""

from __future__ import annotations

import asyncio
import socket
import struct

import pytest
from namespaces import Cable
from talkers import Talker, dripping, endless, saying, silent, talking, within

from domain.options import fill
from domain.reading import FailureKind, Reading, Target
from probes import tcp
from probes.base import Keep
from probes.names import Names, numeric
from probes.tcp import Options
from tests.ports import free_port


async def look(keep: Keep, port: int, address: str = "127.0.0.1", deadline: float = 1.0, **options: object) -> Reading:
    return await tcp.look(Target(address, Options(port, **options), deadline=deadline), keep)  # type: ignore[arg-type]


async def test_an_open_port_gives_the_time_to_connect(keep: Keep) -> None:
    with talking(silent) as peer:
        reading = await look(keep, peer.port)
    assert reading.failure is None
    (measure,) = reading.measures
    assert (measure.name, measure.unit) == ("tcp.connect.duration", "s")
    assert 0 < measure.value < 1


@pytest.mark.parametrize(("address", "bound"), [("localhost", "127.0.0.1"), ("::1", "::1")])
async def test_names_and_both_families_are_reached(keep: Keep, address: str, bound: str) -> None:
    with talking(silent, bound) as peer:
        assert (await look(keep, peer.port, address)).failure is None


async def test_the_second_address_of_a_name_is_tried_when_the_first_refuses(keep: Keep) -> None:
    places = tuple(place for text in ("127.0.0.1", "::1") if (place := numeric(text)))
    keep.get(("names",), lambda: Names(ask=lambda name: places))
    with talking(silent, "::1") as peer:
        assert (await look(keep, peer.port, "twofold.example")).failure is None
        reading = await look(keep, peer.port, "twofold.example", family="4")
    assert reading.failure is not None
    assert reading.failure.kind is FailureKind.REFUSED


async def test_a_refused_port_is_a_failed_check_not_a_down_host(keep: Keep) -> None:
    reading = await look(keep, free_port())
    assert reading.failure is not None
    assert reading.failure.kind is FailureKind.REFUSED
    assert "nothing listens" in reading.failure.detail
    assert not reading.measures


async def test_the_expected_greeting_is_found_across_packets(keep: Keep) -> None:
    def speech(talker: Talker, line: socket.socket) -> None:
        for part in (b"220 mail.exam", b"ple.org ESM", b"TP ready\r\n"):
            line.sendall(part)
            talker.pause(0.05)
        talker.pause(5)

    with talking(speech) as peer:
        reading = await look(keep, peer.port, expect="ESMTP", deadline=5)
    assert reading.failure is None
    assert reading.measures
    assert reading.facts[0].value.startswith("220 mail.example.org ESMTP")


async def test_another_greeting_is_a_failed_check_that_quotes_it_harmlessly(keep: Keep) -> None:
    with talking(saying(b"SSH-1.5-\x1b[31mold\x00\xff\r\n" + b"." * 100)) as peer:
        reading = await look(keep, peer.port, expect="SSH-2.0", limit=64)
    assert reading.failure is not None
    assert reading.failure.kind is FailureKind.REFUSED
    assert "SSH-1.5-\ufffd[31mold\ufffd\ufffd" in reading.failure.detail
    assert "'SSH-2.0' is expected" in reading.failure.detail


async def test_a_port_that_never_speaks_is_said_to_say_nothing(keep: Keep) -> None:
    stop = within(3)
    with talking(silent) as peer:
        reading = await look(keep, peer.port, expect="ESMTP", deadline=0.5)
        stop()
    assert reading.failure is not None
    assert reading.failure.kind is FailureKind.TIMEOUT
    assert "takes the connection but says nothing within 0.5 s" in reading.failure.detail
    assert reading.measures


async def test_a_dripped_greeting_ends_at_the_deadline(keep: Keep) -> None:
    stop = within(3)
    with talking(dripping(b"-")) as peer:
        reading = await look(keep, peer.port, expect="ESMTP", deadline=0.5)
        stop()
    assert reading.failure is not None
    assert reading.failure.kind is FailureKind.TIMEOUT


async def test_an_endless_greeting_is_read_no_further_than_the_cap(keep: Keep) -> None:
    with talking(endless) as peer:
        reading = await look(keep, peer.port, expect="ESMTP", limit=2000, deadline=5)
    assert reading.failure is not None
    assert reading.failure.kind is FailureKind.REFUSED
    assert "in its first 2000 bytes" in reading.failure.detail
    assert reading.cost.received == 2000
    assert len(reading.failure.detail) < 300


@pytest.mark.parametrize("hard", [True, False], ids=["reset", "closed"])
async def test_a_port_that_hangs_up_is_a_failed_check(keep: Keep, hard: bool) -> None:
    def speech(talker: Talker, line: socket.socket) -> None:
        line.sendall(b"go")
        talker.pause(0.1)
        if hard:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with talking(speech) as peer:
        reading = await look(keep, peer.port, expect="ESMTP", deadline=5)
    assert reading.failure is not None
    assert reading.failure.kind is FailureKind.REFUSED
    assert "'go' and then" in reading.failure.detail


@pytest.mark.root
@pytest.mark.parametrize(
    "rule", ["DROP", "REJECT --reject-with icmp-host-unreachable", "REJECT --reject-with tcp-reset"]
)
def test_silence_unreachable_and_refusal_are_told_apart(cable: Cable, rule: str) -> None:
    cable.there.do("iptables", "-A", "INPUT", "-p", "tcp", "-j", *rule.split())
    stop = within(5)
    reading = cable.here.awaiting(lambda: look(Keep(), 22, "10.77.0.2"))
    stop()
    assert reading.failure is not None
    kinds = {"DROP": "timeout", "icmp": "unreachable", "tcp-reset": "refused"}
    assert reading.failure.kind.value == next(kind for word, kind in kinds.items() if word in rule)


@pytest.mark.root
def test_a_network_without_a_route_is_unreachable(cable: Cable) -> None:
    reading = cable.here.awaiting(lambda: look(Keep(), 22, "10.99.0.1"))
    assert reading.failure is not None
    assert reading.failure.kind is FailureKind.UNREACHABLE


async def test_a_hundred_silent_ports_wait_side_by_side(keep: Keep) -> None:
    stop = within(10)
    with talking(silent) as peer:
        readings = await asyncio.gather(*(look(keep, peer.port, expect="x", deadline=1) for _ in range(100)))
        stop()
    assert {reading.failure.kind for reading in readings if reading.failure} == {FailureKind.TIMEOUT}


async def test_an_unknown_name_is_our_inability(keep: Keep) -> None:
    reading = await look(keep, 22, "no-such-host.invalid")
    assert reading.failure is not None
    assert reading.failure.kind is FailureKind.UNSUPPORTED


@pytest.mark.parametrize("port", [0, 65536, "ssh"])
def test_an_impossible_port_is_refused_when_it_is_registered(port: object) -> None:
    with pytest.raises(ValueError, match="port"):
        fill(Options, {"port": port})
