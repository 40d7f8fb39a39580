"""The TLS probe against servers with good, bad, old and foreign certificates, and protocols that begin in the clear."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Sink
from installation import command
from postgresserver import before_tls
from talkers import Talker, dripping, endless, saying, silent, talking, within
from webpeers import Authority

from domain.options import fill
from domain.reading import FailureKind, Reading, Target
from probes import catalogue, tls
from probes.base import Keep
from probes.tls import Options
from tests.ports import free_port

DAY = 86400


def look(keep: Keep, port: int, deadline: float = 4.0, **options: object) -> Reading:
    return tls.look(Target("127.0.0.1", fill(Options, {"port": port, **options}), None, deadline), keep)


def failed(reading: Reading, kind: FailureKind, *words: str) -> None:
    assert reading.failure is not None, reading
    assert reading.failure.kind is kind, reading.failure
    for word in words:
        assert word in reading.failure.detail, reading.failure


def value(reading: Reading, name: str) -> float:
    return next(one.value for one in reading.measures if one.name == name)


def fact(reading: Reading, name: str) -> str:
    return next(one.value for one in reading.facts if one.name == name)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def wrapping(context: ssl.SSLContext, first: bytes = b"") -> Callable[[Talker, socket.socket], None]:
    """Say `first`, do TLS, wait for the end."""

    def speech(talker: Talker, line: socket.socket) -> None:
        if first:
            line.sendall(first)
        with context.wrap_socket(line, server_side=True) as wrapped:
            while wrapped.recv(100):
                pass

    return speech


# --- certificates -----------------------------------------------------------------------------------------------


def test_a_good_certificate_tells_its_days_its_key_and_its_chain(keep: Keep, authority: Authority) -> None:
    context, _ = authority.server("127.0.0.1", "shop.example", days=40)
    with talking(wrapping(context)) as peer:
        reading = look(keep, peer.port, ca=authority.pem)
        assert look(keep, peer.port, ca=authority.pem, name="shop.example").failure is None
    assert reading.failure is None
    assert value(reading, "tls.certificate.expiry") == pytest.approx(40 * DAY, abs=120)
    assert value(reading, "tls.chain.expiry") == pytest.approx(40 * DAY, abs=120)
    assert value(reading, "tls.chain.length") == 1
    assert value(reading, "tls.certificate.rung") == 0
    assert 0 < value(reading, "tls.handshake.duration") < 4
    assert fact(reading, "tls.names") == "shop.example, 127.0.0.1"
    assert fact(reading, "tls.key").startswith("EC ")
    assert fact(reading, "tls.signature") == "sha256"
    assert fact(reading, "tls.version") == "TLSv1.3"
    assert reading.cost.received > 0


def test_every_measure_brought_is_declared_with_its_unit(keep: Keep, authority: Authority) -> None:
    context, _ = authority.server("127.0.0.1")
    with talking(wrapping(context)) as peer:
        reading = look(keep, peer.port, ca=authority.pem)
    declared = {(row.name, row.unit) for row in catalogue()["tls"].produces}
    assert {(one.name, one.unit) for one in reading.measures} == declared


@pytest.mark.parametrize(("days", "rung"), [(31, 0), (29, 1), (13, 2), (6, 3), (0.5, 4)])
def test_the_nearer_the_end_the_more_steps_of_the_ladder_are_passed(
    keep: Keep, authority: Authority, days: float, rung: int
) -> None:
    context, _ = authority.server("127.0.0.1", days=days)
    with talking(wrapping(context)) as peer:
        reading = look(keep, peer.port, ca=authority.pem)
        strict = look(keep, peer.port, ca=authority.pem, fail_days=7)
    assert value(reading, "tls.certificate.rung") == rung
    assert reading.failure is None
    if days < 7:
        failed(strict, FailureKind.REFUSED, "renew it", "hours" if days < 1 else "days")
    else:
        assert strict.failure is None


@pytest.mark.parametrize(
    ("made", "words"),
    [
        ({"days": -1, "begun": 9}, "expired"),
        ({"days": 30, "begun": -1}, "not valid yet"),
        ({"days": 30, "alone": True}, "signed by itself"),
    ],
)
def test_a_certificate_not_to_be_believed_is_described_all_the_same(
    keep: Keep, authority: Authority, made: dict[str, float], words: str
) -> None:
    context, _ = authority.server("127.0.0.1", **made)  # type: ignore[arg-type]
    with talking(wrapping(context)) as peer:
        reading = look(keep, peer.port, ca=authority.pem)
    failed(reading, FailureKind.UNTRUSTED, words)
    assert value(reading, "tls.certificate.expiry") == pytest.approx(made["days"] * DAY, abs=120)


def test_the_wrong_name_is_told_with_the_right_ones(keep: Keep, authority: Authority) -> None:
    context, _ = authority.server("right.example")
    with talking(wrapping(context)) as peer:
        failed(look(keep, peer.port, ca=authority.pem, name="wrong.example"), FailureKind.UNTRUSTED, "(right.example)")


def test_an_own_certificate_is_believed_where_pinned_and_nowhere_else(keep: Keep, authority: Authority) -> None:
    context, pem = authority.server("127.0.0.1", alone=True)
    other, _ = authority.server("127.0.0.1", alone=True)
    with talking(wrapping(context)) as peer:
        assert look(keep, peer.port, ca=pem).failure is None
        assert look(keep, peer.port, verify=False, unverified_because="a printer").failure is None
    with talking(wrapping(other)) as peer:
        failed(look(keep, peer.port, ca=pem), FailureKind.UNTRUSTED)


# --- protocols that begin in the clear --------------------------------------------------------------------------


@pytest.fixture
def mail(authority: Authority) -> Iterator[int]:
    """A real SMTP server that offers STARTTLS."""
    context, _ = authority.server("127.0.0.1")
    controller = Controller(Sink(), hostname="127.0.0.1", port=free_port(), tls_context=context)
    controller.start()
    yield controller.port
    controller.stop()


def test_smtp_is_brought_to_tls_and_its_certificate_believed_or_not(
    keep: Keep, mail: int, authority: Authority
) -> None:
    reading = look(keep, mail, starttls="smtp", ca=authority.pem)
    assert reading.failure is None
    assert value(reading, "tls.certificate.expiry") > 29 * DAY
    distrusted = look(keep, mail, starttls="smtp")
    failed(distrusted, FailureKind.UNTRUSTED, "certificate")
    assert value(distrusted, "tls.certificate.expiry") > 29 * DAY


def test_postgresql_is_brought_to_tls(keep: Keep, authority: Authority) -> None:
    context, _ = authority.server("127.0.0.1")
    with talking(silent) as behind, before_tls(behind.port, context) as peer:
        assert look(keep, peer.port, starttls="postgres", ca=authority.pem).failure is None
    with talking(saying(b"N")) as peer:
        failed(look(keep, peer.port, starttls="postgres"), FailureKind.REFUSED, "does not offer TLS")


SCRIPTS = {
    "imap": ((b"* OK hello\r\n", b"a STARTTLS\r\n"), (b"* note\r\na OK begin\r\n", b"")),
    "pop3": ((b"+OK hello\r\n", b"STLS\r\n"), (b"+OK begin\r\n", b"")),
    "ftp": ((b"220-hello\r\n220 there\r\n", b"AUTH TLS\r\n"), (b"234 begin\r\n", b"")),
    "smtp": (
        (b"220 hello\r\n", b"EHLO pantau.invalid\r\n"),
        (b"250-me\r\n250 STARTTLS\r\n", b"STARTTLS\r\n"),
        (b"220 begin\r\n", b""),
    ),
}


def scripted(
    steps: tuple[tuple[bytes, bytes], ...], context: ssl.SSLContext, extra: bytes = b""
) -> Callable[[Talker, socket.socket], None]:
    """Say and hear in turns, then do TLS; `extra` is said too much before that."""

    def speech(talker: Talker, line: socket.socket) -> None:
        for say, hear in steps:
            line.sendall(say if hear else say + extra)
            if hear:
                assert line.recv(100) == hear
        with context.wrap_socket(line, server_side=True) as wrapped:
            wrapped.recv(100)

    return speech


@pytest.mark.parametrize("protocol", list(SCRIPTS))
def test_each_protocol_is_brought_to_tls_in_its_own_words(keep: Keep, authority: Authority, protocol: str) -> None:
    context, _ = authority.server("127.0.0.1")
    with talking(scripted(SCRIPTS[protocol], context)) as peer:
        assert look(keep, peer.port, starttls=protocol, ca=authority.pem).failure is None


@pytest.mark.parametrize("protocol", list(SCRIPTS))
def test_words_slipped_in_before_tls_end_the_look(keep: Keep, authority: Authority, protocol: str) -> None:
    context, _ = authority.server("127.0.0.1")
    with talking(scripted(SCRIPTS[protocol], context, b"250 SLIPPED IN\r\n")) as peer:
        failed(look(keep, peer.port, starttls=protocol), FailureKind.REFUSED, "in between")


@pytest.mark.parametrize("protocol", [*SCRIPTS, "postgres"])
def test_what_speaks_another_protocol_is_said_to(keep: Keep, protocol: str) -> None:
    with talking(saying(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as peer:
        failed(look(keep, peer.port, starttls=protocol), FailureKind.REFUSED)


def test_a_mail_server_without_starttls_is_said_to_be_so(keep: Keep) -> None:
    controller = Controller(Sink(), hostname="127.0.0.1", port=free_port())
    controller.start()
    try:
        failed(look(keep, controller.port, starttls="smtp"), FailureKind.REFUSED, "does not offer STARTTLS")
    finally:
        controller.stop()


# --- bad company ------------------------------------------------------------------------------------------------


def test_a_closed_port_refuses_and_a_plain_server_does_not_speak_tls(keep: Keep) -> None:
    failed(look(keep, free_port()), FailureKind.REFUSED, "nothing listens there")
    with talking(saying(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as peer:
        failed(look(keep, peer.port), FailureKind.REFUSED, "does not speak TLS")
    with talking(lambda talker, line: None) as peer:
        failed(look(keep, peer.port), FailureKind.REFUSED)


@pytest.mark.parametrize("protocol", ["", "smtp", "imap", "postgres"])
def test_a_server_that_says_nothing_or_drips_is_given_up_in_time(keep: Keep, protocol: str) -> None:
    for speech in (
        silent,
        dripping(b"\x16\x03\x03\x40\x00" if not protocol else b"220-" if protocol == "smtp" else b"* "),
    ):
        with talking(speech) as peer:
            stop = within(6)
            reading = look(keep, peer.port, deadline=1.0, starttls=protocol)
            stop()
        assert reading.failure is not None
        assert protocol == "postgres" or reading.failure.kind is FailureKind.TIMEOUT


@pytest.mark.parametrize("protocol", ["", *SCRIPTS])
def test_a_flood_is_hung_up_on(keep: Keep, protocol: str) -> None:
    def lines(talker: Talker, line: socket.socket) -> None:
        while True:
            line.sendall(b"220-more\r\n* more\r\n" * 1000)

    for speech in (endless, lines):
        with talking(speech) as peer:
            stop = within(6)
            failed(look(keep, peer.port, deadline=3.0, starttls=protocol), FailureKind.REFUSED)
            stop()


def test_looks_leave_no_thread_and_no_open_file_behind(keep: Keep, authority: Authority) -> None:
    context, _ = authority.server("127.0.0.1")
    with talking(wrapping(context)) as peer:
        look(keep, peer.port, ca=authority.pem)
        before = threading.active_count()
        for _ in range(10):
            look(keep, peer.port, ca=authority.pem)
            look(keep, peer.port)
    assert threading.active_count() <= before


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"ladder": "thirty"}, "ladder"),
        ({"ladder": ""}, "ladder"),
        ({"ladder": "1," * 11}, "ladder"),
        ({"verify": False}, "unverified_because"),
        ({"ca": "nonsense"}, "PEM"),
        ({"starttls": "gopher"}, "starttls"),
        ({"name": "a b"}, "name"),
    ],
)
def test_options_that_cannot_work_are_refused_when_they_are_set(values: dict[str, object], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        fill(Options, values)


def test_the_command_line_looks_as_the_poller_does(authority: Authority) -> None:
    context, _ = authority.server("127.0.0.1")
    with talking(wrapping(context)) as peer:
        words = ("--set", f"port={peer.port}", "--set", f"ca={authority.pem}", "--json")
        done = command("probe", "tls", "127.0.0.1", *words)
        distrusting = command("probe", "tls", "127.0.0.1", "--set", f"port={peer.port}", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["failure"] is None
    assert distrusting.returncode == 1
    assert json.loads(distrusting.stdout)["failure"]["kind"] == "untrusted"
