"""The ping engine against kernels, namespaces and a machine that lies."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import icmplib
import pytest
from namespaces import Cable, Namespace

from domain.reading import FailureKind, Reading, Target
from probes import catalogue, names
from probes.base import Keep
from probes.icmp import Engine, Options, fit, look, permission
from probes.icmp.packet import BODY, HEADER, V4, V6, checksum, open_socket

QUICK = Options(gap=0.02, wait=0.3)


def value(reading: Reading, name: str) -> float:
    return next(measure.value for measure in reading.measures if measure.name == name)


def ask(namespace: Namespace, address: str, options: Options = QUICK, deadline: float = 5.0) -> Reading:
    async def one() -> Reading:
        keep = Keep()
        try:
            return await look(Target(address, options, deadline=deadline), keep)
        finally:
            keep.close()

    return namespace.awaiting(one)


@contextmanager
def answering(namespace: Namespace, reply: Callable[[bytes, str], list[tuple[bytes, str]]]) -> Iterator[None]:
    """A machine whose kernel keeps quiet and whose echoes are answered by `reply(icmp, source) -> [(icmp, from)]`."""
    namespace.do("sysctl", "-qw", "net.ipv4.icmp_echo_ignore_all=1")
    ready, stop = threading.Event(), threading.Event()

    def serve() -> None:
        with (
            socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as line,
            socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as out,
        ):
            line.settimeout(0.1)
            ready.set()
            while not stop.is_set():
                try:
                    packet, (source, _) = line.recvfrom(4096)
                except TimeoutError:
                    continue
                icmp = packet[(packet[0] & 15) * 4 :]
                if icmp[0] == 8:
                    for data, pretended in reply(icmp, source):
                        out.sendto(_ip(data, pretended, source), (source, 0))

    thread = threading.Thread(target=lambda: namespace.inside(serve))
    thread.start()
    ready.wait(10)
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _ip(icmp: bytes, source: str, to: str) -> bytes:
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(icmp), 0, 0, 64, 1, 0, *map(socket.inet_aton, (source, to)))
    return head + icmp


def echo_reply(request: bytes, body: bytes | None = None) -> bytes:
    """The honest reply to `request`, or one that carries `body` in its stead."""
    kind, _, _, ident, sequence = HEADER.unpack_from(request)
    assert kind == 8
    rest = request[8:] if body is None else body
    whole = HEADER.pack(0, 0, 0, ident, sequence) + rest
    return HEADER.pack(0, 0, checksum(whole), ident, sequence) + rest


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "[::1]", "localhost"])
async def test_this_machine_answers_with_a_round_trip_and_no_loss(keep: Keep, address: str) -> None:
    reading = await look(Target(address, QUICK), keep)
    assert reading.failure is None
    assert value(reading, "icmp.loss") == 0
    times = [value(reading, f"icmp.rtt.{name}") for name in ("min", "median", "p95", "max")]
    assert times == sorted(times) and times[0] > 0 and times[-1] < 1
    assert reading.cost.sent == reading.cost.received > 0


async def test_every_measure_brought_is_declared_with_its_unit(keep: Keep) -> None:
    reading = await look(Target("127.0.0.1", QUICK), keep)
    declared = {(row.name, row.unit) for row in catalogue()["icmp"].produces}
    assert {(measure.name, measure.unit) for measure in reading.measures} == declared


@pytest.mark.root
@pytest.mark.parametrize("allowed", [True, False], ids=["unprivileged", "raw"])
@pytest.mark.parametrize("address", ["10.77.0.2", "fd77::2"])
def test_both_kinds_of_socket_reach_the_other_end_of_a_cable(cable: Cable, address: str, allowed: bool) -> None:
    if allowed:
        cable.here.do("sysctl", "-qw", "net.ipv4.ping_group_range=0 2147483647")
    mode, advice = cable.here.inside(permission)
    assert (mode, bool(advice)) == (("dgram", False) if allowed else ("raw", True))
    reading = ask(cable.here, address)
    assert reading.failure is None
    assert value(reading, "icmp.loss") == 0


@pytest.mark.root
@pytest.mark.parametrize("allowed", [True, False], ids=["unprivileged", "raw"])
@pytest.mark.parametrize("address", ["10.77.0.2", "fd77::2"])
def test_a_silent_host_times_out_after_ten_echoes(cable: Cable, address: str, allowed: bool) -> None:
    if allowed:
        cable.here.do("sysctl", "-qw", "net.ipv4.ping_group_range=0 2147483647")
    cable.there.do("sysctl", "-qw", "net.ipv4.icmp_echo_ignore_all=1", "net.ipv6.icmp.echo_ignore_all=1")
    reading = ask(cable.here, address)
    assert reading.failure is not None
    assert reading.failure.kind is FailureKind.TIMEOUT
    assert "none of 10 pings" in reading.failure.detail
    assert value(reading, "icmp.loss") == 1


@pytest.mark.root
@pytest.mark.parametrize("allowed", [True, False], ids=["unprivileged", "raw"])
@pytest.mark.parametrize(("address", "router"), [("10.99.0.1", "10.77.0.2"), ("fd99::1", "fd77::2")])
def test_a_router_that_knows_no_way_is_quoted(cable: Cable, address: str, router: str, allowed: bool) -> None:
    if allowed:
        cable.here.do("sysctl", "-qw", "net.ipv4.ping_group_range=0 2147483647")
    net = "10.99.0.0/16" if "." in address else "fd99::/64"
    cable.there.do("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
    cable.there.do("ip", "route", "add", "unreachable", net)
    cable.here.do("ip", "route", "add", net, "via", router)
    reading = ask(cable.here, address)
    assert reading.failure is not None
    assert reading.failure.kind is FailureKind.UNREACHABLE
    assert f"{router} says" in reading.failure.detail


@pytest.mark.root
def test_no_way_out_of_this_machine_is_unreachable(cable: Cable) -> None:
    reading = ask(cable.here, "10.99.0.1")
    assert reading.failure is not None
    assert reading.failure.kind is FailureKind.UNREACHABLE
    assert "this machine says the network is unreachable" in reading.failure.detail


@pytest.mark.root
def test_one_answer_after_the_first_five_were_lost_is_an_up_host(cable: Cable) -> None:
    seen: list[bytes] = []

    def reply(icmp: bytes, source: str) -> list[tuple[bytes, str]]:
        seen.append(icmp)
        return [(echo_reply(icmp), "10.77.0.2")] if len(seen) == 7 else []

    with answering(cable.there, reply):
        reading = ask(cable.here, "10.77.0.2")
    assert len(seen) == 10
    assert reading.failure is None
    assert value(reading, "icmp.loss") == pytest.approx(0.9)


@pytest.mark.root
def test_half_of_all_round_trips_lost_is_loss_and_not_down(cable: Cable) -> None:
    chance = random.Random(8)
    with answering(
        cable.there, lambda icmp, source: [(echo_reply(icmp), "10.77.0.2")] if chance.random() < 0.49 else []
    ):
        readings = [ask(cable.here, "10.77.0.2", Options(gap=0.01, wait=0.2)) for _ in range(20)]
    assert [reading.failure for reading in readings] == [None] * 20
    mean = sum(value(reading, "icmp.loss") for reading in readings) / 20
    assert 0.3 < mean < 0.75


@pytest.mark.root
@pytest.mark.parametrize("allowed", [True, False], ids=["unprivileged", "raw"])
@pytest.mark.parametrize("lie", ["source", "nonce", "index", "time", "short", "nan"])
def test_a_reply_that_does_not_agree_is_no_reply(cable: Cable, lie: str, allowed: bool) -> None:
    if allowed:
        cable.here.do("sysctl", "-qw", "net.ipv4.ping_group_range=0 2147483647")

    def reply(icmp: bytes, source: str) -> list[tuple[bytes, str]]:
        index, nonce, sent = BODY.unpack_from(icmp, 8)
        tail = icmp[8 + BODY.size :]
        body = {
            "source": icmp[8:],
            "nonce": BODY.pack(index, bytes(8), sent) + tail,
            "index": BODY.pack(index + 10, nonce, sent) + tail,
            "time": BODY.pack(index, nonce, sent - 100) + tail,
            "nan": BODY.pack(index, nonce, float("nan")) + tail,
            "short": icmp[8:16],
        }[lie]
        return [(echo_reply(icmp, body), "10.77.0.3" if lie == "source" else "10.77.0.2")]

    with answering(cable.there, reply):
        reading = ask(cable.here, "10.77.0.2")
    assert reading.failure is not None
    assert reading.failure.kind is FailureKind.TIMEOUT


@pytest.mark.root
def test_doubled_and_repeated_replies_count_once(cable: Cable) -> None:
    with answering(cable.there, lambda icmp, source: [(echo_reply(icmp), "10.77.0.2")] * 50):
        reading = ask(cable.here, "10.77.0.2")
    assert reading.failure is None
    assert value(reading, "icmp.loss") == 0
    assert reading.cost.received == reading.cost.sent == 5 * (20 + 8 + 56)  # and none of the five was left out


@pytest.mark.root
def test_a_late_answer_counts_while_the_look_lasts(cable: Cable) -> None:
    held: list[bytes] = []

    def reply(icmp: bytes, source: str) -> list[tuple[bytes, str]]:
        held.append(icmp)
        return [(echo_reply(held[0]), "10.77.0.2")] if len(held) == 8 else []

    with answering(cable.there, reply):
        reading = ask(cable.here, "10.77.0.2")
    assert reading.failure is None
    assert value(reading, "icmp.rtt.min") > QUICK.wait


@pytest.mark.root
def test_a_series_fits_its_deadline_however_slow_its_options(cable: Cable) -> None:
    cable.there.do("sysctl", "-qw", "net.ipv4.icmp_echo_ignore_all=1")
    slow = Options(gap=5, wait=10)
    gap, wait = fit(slow, 1.0)
    assert 2 * (4 * gap + wait) <= 1.0
    reading = ask(cable.here, "10.77.0.2", slow, deadline=1.0)
    assert reading.failure is not None
    assert "none of 10 pings" in reading.failure.detail


@pytest.mark.root
def test_one_sweep_finds_the_living_among_the_silent(cable: Cable) -> None:
    cable.there.do("ip", "route", "add", "local", "10.78.0.0/23", "dev", "lo")
    cable.there.do("iptables", "-A", "INPUT", "-d", "10.78.1.0/24", "-j", "DROP")
    cable.here.do("ip", "route", "add", "10.78.0.0/23", "via", "10.77.0.2")
    places = [names.numeric(f"10.78.{net}.{host}") for host in range(1, 255) for net in (0, 1)]

    async def sweep() -> list[float | None]:
        engine = Engine()
        try:
            return await engine.sweep([place for place in places if place], wait=0.5, tries=2)
        finally:
            engine.close()

    answers = cable.here.awaiting(sweep)
    assert all(answer is not None and 0 < answer < 1 for answer in answers[::2])
    assert answers[1::2] == [None] * 254


async def test_ten_thousand_addresses_are_swept_in_one_go(keep: Keep) -> None:
    engine = keep.get(("icmp",), Engine)
    places = [names.numeric(f"127.1.{n >> 8}.{n & 255}") for n in range(10_000)]
    answers = await engine.sweep([place for place in places if place], wait=5)
    assert sum(answer is None for answer in answers) == 0


async def test_a_thousand_looks_share_one_socket_and_do_not_mix_answers(keep: Keep) -> None:
    options = Options(count=2, gap=0.05, wait=3)
    readings = await asyncio.gather(
        *(look(Target(f"127.2.{n >> 8}.{n & 255}", options, deadline=20), keep) for n in range(1, 1001))
    )
    assert [reading.failure for reading in readings] == [None] * 1000
    assert list(keep.keys()).count(("icmp",)) == 1


async def test_looks_on_the_loop_do_not_block_it(keep: Keep) -> None:
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1

    ticker = asyncio.create_task(tick())
    await look(Target("127.0.0.1", Options(gap=0.1)), keep)
    ticker.cancel()
    assert ticks >= 10


def test_our_round_trip_agrees_with_another_ping() -> None:
    async def ours() -> Reading:
        keep = Keep()
        try:
            return await look(Target("127.0.0.1", QUICK), keep)
        finally:
            keep.close()

    theirs = icmplib.ping("127.0.0.1", count=5, interval=0.02)
    reading = asyncio.run(ours())
    assert theirs.is_alive and reading.failure is None
    assert value(reading, "icmp.rtt.min") * 1000 < theirs.max_rtt + 1


def test_one_keep_serves_one_loop_after_another() -> None:
    keep = Keep()
    for _ in range(3):
        assert asyncio.run(look(Target("127.0.0.1", QUICK), keep)).failure is None
    keep.close()


@pytest.mark.parametrize("address", ["255.255.255.255", "224.0.0.1", "0.0.0.0", "ff02::1", "::"])
async def test_an_address_of_many_machines_or_none_is_not_pinged(keep: Keep, address: str) -> None:
    reading = await look(Target(address, QUICK), keep)
    assert reading.failure is not None
    assert reading.failure.kind is FailureKind.UNSUPPORTED
    assert reading.cost.sent == 0


async def test_a_name_nobody_knows_is_our_inability_and_not_a_down_host(keep: Keep) -> None:
    reading = await look(Target("no-such-host.invalid", QUICK), keep)
    assert reading.failure is not None
    assert reading.failure.kind is FailureKind.UNSUPPORTED
    assert "not resolvable" in reading.failure.detail


@pytest.mark.root
def test_without_any_right_the_exact_command_is_told() -> None:
    code = (
        "import asyncio, sys; from probes.icmp import *; from probes.base import Keep; from domain.reading import Target;"
        "print(permission()[0]); print(permission()[1]);"
        "r = asyncio.run(look(Target('127.0.0.1', Options()), Keep())); print(r.failure.kind, r.failure.detail)"
    )
    words = ["setpriv", "--bounding-set=-net_raw", "--inh-caps=-net_raw", sys.executable, "-c", code]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    mode, advice, failure = done.stdout.splitlines()
    assert mode == "None", done
    assert 'sudo sysctl -w net.ipv4.ping_group_range="0 2147483647"' in advice and "setcap" in advice
    assert failure.startswith("broken Pantau may not send pings here.")


@pytest.mark.root
@pytest.mark.parametrize(("dialect", "other"), [(V4, "10.77.0.2"), (V6, "fd77::2")])
def test_a_raw_socket_is_not_woken_by_the_pings_of_others(cable: Cable, dialect: object, other: str) -> None:
    def listen() -> None:
        line, mode = open_socket(dialect, 4711)  # type: ignore[arg-type]
        with line:
            assert mode == "raw"
            icmplib.ping(other, count=2, interval=0.05, id=99)
            with pytest.raises(BlockingIOError):
                line.recv(4096)

    cable.here.inside(listen)
