"""The DNS probe against a real server on loopback, and against servers that lie, drip, truncate and keep silent."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from installation import command, until
from talkers import Talker, dripping, talking, within

from config import processes
from domain.options import fill
from domain.reading import FailureKind, Reading, Target
from probes import catalogue
from probes import dns as probe
from probes.base import Keep
from probes.dns import Options
from tests.ports import free_port

UNBOUND = "/usr/sbin/unbound"
ZONE = """
server:
  interface: 127.0.0.1@{port}
  port: {port}
  username: ""
  chroot: ""
  directory: "{place}"
  pidfile: "{place}/pid"
  use-syslog: no
  logfile: "{place}/log"
  do-not-query-localhost: no
  access-control: 127.0.0.0/8 allow
  num-threads: 1
  module-config: "iterator"
  local-zone: "example.test." static
  local-data: "example.test. 300 IN SOA ns.example.test. admin.example.test. 2026112101 3600 900 86400 300"
  local-data: "www.example.test. 60 IN A 192.0.2.1"
  local-data: "www.example.test. 60 IN A 192.0.2.2"
  local-data: "www.example.test. 60 IN AAAA 2001:db8::1"
  local-data: "example.test. 300 IN MX 10 Mail.example.test."
  local-data: 'example.test. 300 IN TXT "v=spf1 -all" " more"'
  local-data-ptr: "192.0.2.1 www.example.test"
{many}
remote-control:
  control-enable: no
"""


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """A real DNS server with a zone of its own."""
    found = free_port()
    many = "\n".join(f'  local-data: "many.example.test. 60 IN TXT \\"{n:03} {"x" * 200}\\""' for n in range(40))
    with tempfile.TemporaryDirectory(prefix="pantau-dns-") as place:
        settings = Path(place) / "conf"
        settings.write_text(ZONE.format(port=found, place=place, many=many))
        child = processes.spawn([UNBOUND, "-d", "-c", settings], death=signal.SIGKILL, quiet=True)
        try:
            until(lambda: _answers(found), 30)
            yield found
        finally:
            processes.stop(child, signal.SIGTERM, 10)


def _answers(port: int) -> bool:
    query = dns.message.make_query("example.test", "SOA").to_wire()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line, contextlib.suppress(OSError):
        line.settimeout(0.5)
        line.connect(("127.0.0.1", port))
        line.send(query)
        return bool(line.recv(500))
    return False


def look(keep: Keep, port: int, name: str = "www.example.test", deadline: float = 4.0, **options: object) -> Reading:
    filled = fill(Options, {"question": name, "port": port, **options})
    return asyncio.run(probe.look(Target("127.0.0.1", filled, None, deadline), keep))


def failed(reading: Reading, kind: FailureKind, *words: str) -> None:
    assert reading.failure is not None, reading
    assert reading.failure.kind is kind, reading.failure
    for word in words:
        assert word in reading.failure.detail, reading.failure


def value(reading: Reading, name: str) -> float:
    return next(one.value for one in reading.measures if one.name == f"dns.{name}")


def fact(reading: Reading, name: str) -> str:
    return next(one.value for one in reading.facts if one.name == f"dns.{name}")


# --- right and wrong answers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", ["udp", "tcp"])
def test_an_address_is_told_with_its_time_and_how_long_it_may_be_kept(keep: Keep, port: int, protocol: str) -> None:
    reading = look(keep, port, protocol=protocol)
    assert reading.failure is None
    assert 0 < value(reading, "duration") < 4
    assert value(reading, "answers") == 2
    assert value(reading, "ttl") == 60
    assert fact(reading, "answer") == "192.0.2.1, 192.0.2.2"
    assert fact(reading, "status") == "NOERROR"
    assert fact(reading, "authoritative") == "yes"
    assert reading.cost.sent > 20 and reading.cost.received > 40


def test_every_measure_brought_is_declared_with_its_unit(keep: Keep, port: int) -> None:
    declared = {(row.name, row.unit) for row in catalogue()["dns"].produces}
    reading = look(keep, port, "example.test", type="SOA")
    assert {(one.name, one.unit) for one in reading.measures} == declared
    assert value(reading, "serial") == 2026112101


@pytest.mark.parametrize(
    ("kind", "name", "wanted"),
    [
        ("A", "www.example.test", "192.0.2.2, 192.0.2.1"),
        ("AAAA", "www.example.test", "2001:0db8:0::1"),
        ("MX", "example.test", "10 mail.EXAMPLE.test"),
        ("TXT", "example.test", "v=spf1 -all more"),
        ("PTR", "192.0.2.1", "www.example.test."),
    ],
)
def test_expected_answers_are_compared_as_people_write_them(
    keep: Keep, port: int, kind: str, name: str, wanted: str
) -> None:
    assert look(keep, port, name, type=kind, expect=wanted, exact=True).failure is None


def test_another_answer_and_one_too_many_are_failed_checks(keep: Keep, port: int) -> None:
    failed(look(keep, port, expect="192.0.2.9"), FailureKind.REFUSED, "192.0.2.1", "expected is 192.0.2.9")
    failed(look(keep, port, expect="192.0.2.1", exact=True), FailureKind.REFUSED, "192.0.2.2 too")
    assert look(keep, port, expect="192.0.2.1").failure is None


def test_a_name_that_is_not_there_fails_unless_that_is_wanted(keep: Keep, port: int) -> None:
    failed(look(keep, port, "no.example.test"), FailureKind.REFUSED, "there is no name 'no.example.test'")
    assert look(keep, port, "no.example.test", absent=True).failure is None
    failed(look(keep, port, absent=True), FailureKind.REFUSED, "exists, and should not")
    failed(look(keep, port, "www.example.test", type="MX"), FailureKind.REFUSED, "has no MX record")


def test_a_server_that_checked_no_signatures_fails_where_that_is_wanted(keep: Keep, port: int) -> None:
    failed(look(keep, port, validated=True), FailureKind.REFUSED, "DNSSEC")


def test_a_long_answer_is_asked_for_again_by_tcp(keep: Keep, port: int) -> None:
    reading = look(keep, port, "many.example.test", type="TXT")
    assert reading.failure is None
    assert value(reading, "answers") == 40


def test_the_machine_is_asked_for_itself_and_another_server_can_be(keep: Keep, port: int) -> None:
    options = fill(Options, {"resolver": "127.0.0.1", "port": port})
    reading = asyncio.run(probe.look(Target("www.example.test", options, None, 4.0), keep))
    assert fact(reading, "answer") == "192.0.2.1, 192.0.2.2"
    nameless = asyncio.run(probe.look(Target("127.0.0.1", fill(Options, {"port": port}), None, 4.0), keep))
    failed(nameless, FailureKind.UNSUPPORTED, "what name to ask for")


# --- servers that are not there, or not honest ------------------------------------------------------------------


def test_a_port_without_a_server_refuses(keep: Keep) -> None:
    for protocol in ("udp", "tcp"):
        failed(look(keep, free_port(), protocol=protocol), FailureKind.REFUSED)


@dataclass
class Peer:
    """A UDP server that answers by `answer`: packets for one question."""

    answer: Callable[[dns.message.Message], list[bytes]]

    def __enter__(self) -> Peer:
        self._line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._line.bind(("127.0.0.1", 0))
        self.port: int = self._line.getsockname()[1]
        self.asked = 0
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
            data, who = self._line.recvfrom(65535)
            if not data:
                return
            self.asked += 1
            for packet in self.answer(dns.message.from_wire(data)):
                self._line.sendto(packet, who)


def _right(query: dns.message.Message, address: str = "192.0.2.7") -> dns.message.Message:
    answer = dns.message.make_response(query)
    answer.answer.append(dns.rrset.from_text(query.question[0].name, 60, "IN", "A", address))
    return answer


def test_a_silent_server_is_asked_twice_and_given_up_in_time(keep: Keep) -> None:
    with Peer(lambda query: []) as peer:
        stop = within(4)
        failed(look(keep, peer.port, deadline=1.0), FailureKind.TIMEOUT, "did not answer within 1 s")
        stop()
        assert peer.asked == 2


def test_only_the_answer_to_our_question_counts(keep: Keep) -> None:
    def lies(query: dns.message.Message) -> list[bytes]:
        other = _right(query, "192.0.2.66")
        other.id = (query.id + 1) % 65536
        elsewhere = _right(dns.message.make_query("evil.example.test", "A", id=query.id), "192.0.2.66")
        question = query.to_wire()
        return [b"", b"\0", b"x" * 600, question, other.to_wire(), elsewhere.to_wire(), _right(query).to_wire()]

    with Peer(lies) as peer:
        reading = look(keep, peer.port)
    assert reading.failure is None
    assert fact(reading, "answer") == "192.0.2.7"


def test_a_flood_of_strays_ends_the_look(keep: Keep) -> None:
    with Peer(lambda query: [b"stray"] * 150) as peer:
        failed(look(keep, peer.port), FailureKind.REFUSED, "no answer to what was asked")


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        (dns.rcode.REFUSED, FailureKind.DENIED, "allow its address"),
        (dns.rcode.SERVFAIL, FailureKind.REFUSED, "SERVFAIL"),
        (dns.rcode.NOTIMP, FailureKind.REFUSED, "NOTIMP"),
    ],
)
def test_a_server_that_declines_says_why(keep: Keep, code: dns.rcode.Rcode, kind: FailureKind, words: str) -> None:
    def declines(query: dns.message.Message) -> list[bytes]:
        answer = dns.message.make_response(query)
        answer.set_rcode(code)
        return [answer.to_wire()]

    with Peer(declines) as peer:
        failed(look(keep, peer.port), kind, words)


def test_text_of_a_server_is_cleaned(keep: Keep) -> None:
    def odd(query: dns.message.Message) -> list[bytes]:
        answer = dns.message.make_response(query)
        answer.answer.append(dns.rrset.from_text(query.question[0].name, 60, "IN", "TXT", '"\\027[2J\\226\\128\\174"'))
        return [answer.to_wire()]

    with Peer(odd) as peer:
        said = repr(look(keep, peer.port, type="TXT"))
    assert "\x1b" not in said and "\u202e" not in said and "\\x1b" not in said and "\\u202e" not in said


def test_a_tcp_server_that_drips_floods_or_speaks_http_fails_in_time(keep: Keep) -> None:
    def http(talker: Talker, line: socket.socket) -> None:
        line.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" + bytes(70_000))

    for speech, kind in ((dripping(b"\xff\xff"), FailureKind.TIMEOUT), (http, FailureKind.REFUSED)):
        with talking(speech) as peer:
            stop = within(6)
            failed(look(keep, peer.port, protocol="tcp", deadline=1.0), kind)
            stop()


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"question": "a..b"}, "question"),
        ({"question": "x" * 70}, "question"),
        ({"expect": "banana"}, "addresses"),
        ({"absent": True, "expect": "192.0.2.1"}, "absent"),
        ({"type": "AXFR"}, "type"),
    ],
)
def test_options_that_cannot_work_are_refused_when_they_are_set(values: dict[str, object], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        fill(Options, values)


def test_the_command_line_looks_as_the_poller_does(port: int) -> None:
    words = ("--set", f"port={port}", "--set", "question=www.example.test", "--set", "expect=192.0.2.1", "--json")
    done = command("probe", "dns", "127.0.0.1", *words)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["failure"] is None
