"""The mail server probe against real servers with and without TLS, and against scripts that misbehave."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Sink
from talkers import Talker, dripping, endless, saying, silent, talking, within
from webpeers import Authority

from domain.options import fill
from domain.reading import FailureKind, Reading, Target
from probes import catalogue, smtp
from probes.base import Keep
from probes.smtp import Options
from tests.ports import free_port


def look(keep: Keep, port: int, deadline: float = 4.0, **options: object) -> Reading:
    return smtp.look(Target("127.0.0.1", fill(Options, {"port": port, **options}), None, deadline), keep)


def failed(reading: Reading, kind: FailureKind, *words: str) -> None:
    assert reading.failure is not None, reading
    assert reading.failure.kind is kind, reading.failure
    for word in words:
        assert word in reading.failure.detail, reading.failure


def value(reading: Reading, name: str) -> float:
    return next(one.value for one in reading.measures if one.name == name)


@contextlib.contextmanager
def mail(context: ssl.SSLContext | None = None, at_once: bool = False) -> Iterator[int]:
    """A real SMTP server, with STARTTLS or TLS at once where there is a context."""
    where = {"hostname": "127.0.0.1", "port": free_port(), "ident": "Pantau's test server"}
    if at_once:
        controller = Controller(Sink(), ssl_context=context, **where)
    else:
        controller = Controller(Sink(), tls_context=context, **where)
    controller.start()
    try:
        yield controller.port
    finally:
        controller.stop()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def test_a_mail_server_greets_and_offers_tls(keep: Keep, authority: Authority) -> None:
    context, _ = authority.server("127.0.0.1")
    with mail(context) as port:
        reading = look(keep, port, banner="test server")
        failed(look(keep, port, banner="Postfix"), FailureKind.REFUSED, "'Postfix' is expected")
    assert reading.failure is None
    assert 0 < value(reading, "smtp.duration") < 4
    assert value(reading, "smtp.starttls") == 1
    assert "test server" in next(one.value for one in reading.facts if one.name == "smtp.banner")
    assert reading.cost.sent > 20 and reading.cost.received > 40


@pytest.mark.parametrize("mode", ["starttls", "tls"])
def test_its_certificate_is_believed_or_not(keep: Keep, authority: Authority, mode: str) -> None:
    context, _ = authority.server("127.0.0.1", days=20)
    with mail(context, at_once=mode == "tls") as port:
        good = look(keep, port, tls=mode, ca=authority.pem)
        failed(look(keep, port, tls=mode), FailureKind.UNTRUSTED, "certificate")
        failed(look(keep, port, tls=mode, ca=authority.pem, name="mx.example"), FailureKind.UNTRUSTED, "another")
        assert look(keep, port, tls=mode, verify=False, unverified_because="test").failure is None
    assert good.failure is None
    assert value(good, "tls.certificate.expiry") == pytest.approx(20 * 86400, abs=120)
    declared = {(row.name, row.unit) for row in catalogue()["smtp"].produces}
    assert {(one.name, one.unit) for one in good.measures} == declared


def test_a_server_without_tls_fails_unless_that_is_ignored(keep: Keep) -> None:
    with mail() as port:
        failed(look(keep, port), FailureKind.REFUSED, "does not offer STARTTLS")
        assert look(keep, port, tls="ignored").failure is None


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (b"554 no mail from you\r\n", "greets with 554: no mail from you."),
        (b"421-busy\r\n421 later\r\n", "greets with 421: busy later."),
        (b"220 hello\r\n550 who are you\r\n", "answers 550 to EHLO"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "does not speak SMTP"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "does not speak SMTP"),
        (b"220\xd9\xa1 hi\r\n", "does not speak SMTP"),
        (b"220-x\r\n" * 200, "more than 100 lines"),
        (b"220 " + b"x" * 10_000, "does not speak SMTP"),
        (b"999 \x1b[2J\xe2\x80\xae\r\n", "greets with 999"),
    ],
)
def test_a_server_that_declines_or_speaks_otherwise_is_quoted(keep: Keep, said: bytes, words: str) -> None:
    with talking(saying(said)) as peer:
        reading = look(keep, peer.port)
    failed(reading, FailureKind.REFUSED, words)
    assert "\x1b" not in repr(reading) and "\\x1b" not in repr(reading)


def test_a_server_that_says_nothing_or_drips_is_given_up_in_time(keep: Keep) -> None:
    for speech in (silent, dripping(b"220-hello")):
        with talking(speech) as peer:
            stop = within(5)
            failed(look(keep, peer.port, deadline=1.0), FailureKind.TIMEOUT, "the greeting")
            stop()


def test_a_flood_a_closed_port_and_a_broken_line_are_refusals(keep: Keep) -> None:
    def breaks(talker: Talker, line: socket.socket) -> None:
        line.sendall(b"220-")

    for speech in (endless, breaks, lambda talker, line: None):
        with talking(speech) as peer:
            failed(look(keep, peer.port), FailureKind.REFUSED)
    failed(look(keep, free_port()), FailureKind.REFUSED, "nothing listens there")


@pytest.mark.parametrize(
    ("values", "word"), [({"verify": False}, "unverified_because"), ({"ca": "x"}, "PEM"), ({"tls": "maybe"}, "tls")]
)
def test_options_that_cannot_work_are_refused_when_they_are_set(values: dict[str, object], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        fill(Options, values)


def test_a_test_knocks_where_the_look_will_go() -> None:
    assert fill(Options, {}).knocks == 25
    assert fill(Options, {"tls": "tls"}).knocks == 465
    assert fill(Options, {"port": 587}).knocks == 587
