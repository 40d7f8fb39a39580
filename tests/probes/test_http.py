"""The HTTP probe against servers that answer, redirect, drip, flood, lie and present bad certificates."""

from __future__ import annotations

import gzip
import socket
import ssl
import threading
import tracemalloc
import zlib
from pathlib import Path

import pytest
from namespaces import Cable
from talkers import Talker, dripping, endless, saying, silent, talking, within
from webpeers import Authority, Request, redirect, response, web

from domain.options import fill
from domain.reading import FailureKind, Reading, Secret, Target
from probes import catalogue, http
from probes.base import Keep
from probes.doors import Doors
from probes.http import Options
from probes.names import Names, Place, numeric
from tests.ports import free_port

SECRET = Secret("watcher", "pässword:1")
METADATA = "http://169.254.169.254/latest/meta-data/"


def look(
    keep: Keep,
    port: int = 0,
    address: str = "127.0.0.1",
    deadline: float = 3.0,
    secret: Secret | None = None,
    **options: object,
) -> Reading:
    values = {"port": port, **options} if port else options
    return http.look(Target(address, fill(Options, values), secret=secret, deadline=deadline), keep)


def failed(reading: Reading, kind: FailureKind, *words: str) -> str:
    assert reading.failure is not None, reading
    assert reading.failure.kind is kind, reading.failure
    for word in words:
        assert word in reading.failure.detail, reading.failure
    return reading.failure.detail


def value(reading: Reading, name: str) -> float:
    return next(measure.value for measure in reading.measures if measure.name == name)


def fact(reading: Reading, name: str) -> str:
    return next(fact.value for fact in reading.facts if fact.name == name)


def resolving(keep: Keep, **known: str) -> None:
    """Let names resolve as told (underscores are dots), several addresses separated by spaces."""

    def ask(name: str) -> tuple[Place, ...]:
        return tuple(place for text in known[name.replace(".", "_")].split() if (place := numeric(text)))

    keep.get(("names",), lambda: Names(ask=ask))


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


# --- honest servers ---------------------------------------------------------------------------------------------


def test_a_page_gives_its_time_status_and_size(keep: Keep) -> None:
    with web(response(body=b"hello", Server="nginx")) as peer:
        reading = look(keep, peer.port)
    assert reading.failure is None
    assert value(reading, "http.status_code") == 200
    assert value(reading, "http.response.size") == 5
    assert 0 < value(reading, "http.duration") < 3
    assert fact(reading, "http.server") == "nginx"
    assert reading.cost.sent > 50 and reading.cost.received > 20


def test_every_measure_brought_is_declared_with_its_unit(keep: Keep, authority: Authority) -> None:
    context, _ = authority.server("127.0.0.1")
    with web(response(), tls=context) as peer:
        reading = look(keep, peer.port, tls=True, ca=authority.pem)
    declared = {(row.name, row.unit) for row in catalogue()["http"].produces}
    assert {(measure.name, measure.unit) for measure in reading.measures} == declared


@pytest.mark.parametrize("address", ["::1", "[::1]"])
def test_ipv6_servers_are_asked_by_their_bracketed_address(keep: Keep, address: str) -> None:
    with web(response(), address="::1") as peer:
        assert look(keep, peer.port, address).failure is None
        assert peer.requests[0].headers["host"] == f"[::1]:{peer.port}"


def test_a_head_request_has_no_body(keep: Keep) -> None:
    with web(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n") as peer:
        reading = look(keep, peer.port, method="HEAD")
    assert reading.failure is None
    assert value(reading, "http.response.size") == 0


def test_an_unexpected_status_is_a_failed_check_that_says_both(keep: Keep) -> None:
    with web(response("503 Service Unavailable")) as peer:
        reading = look(keep, peer.port)
        failed(reading, FailureKind.REFUSED, "Answered 503 (Service Unavailable), expected 200-399.")
        assert look(keep, peer.port, status="200, 500-599").failure is None
    assert value(reading, "http.status_code") == 503


def test_keywords_are_wanted_or_unwanted(keep: Keep) -> None:
    with web(response(body="Halo, dünya. All systems nominal".encode())) as peer:
        assert look(keep, peer.port, keyword="dünya", keyword_absent="error").failure is None
        failed(look(keep, peer.port, keyword="goodbye"), FailureKind.REFUSED, "'goodbye' is not in the answer")
        failed(look(keep, peer.port, keyword_absent="nominal"), FailureKind.REFUSED, "'nominal' is in the answer")


def test_a_keyword_is_read_in_the_charset_of_the_page(keep: Keep) -> None:
    with web(response(body="grün".encode("latin-1"), Content_Type="text/html; charset=iso-8859-1")) as peer:
        assert look(keep, peer.port, keyword="grün").failure is None
    with web(response(body="grün".encode(), Content_Type="text/html; charset=\x1bpunycode")) as peer:
        assert look(keep, peer.port, keyword="grün").failure is None


DOCUMENT = b'{"status": "ok", "n": 3, "on": true, "none": null, "items": [{"name": "a"}, {"a.b": 1.5}]}'


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("status", "ok"),
        ("$.status", "ok"),
        ("n", "3"),
        ("n", "3.0"),
        ("on", "true"),
        ("none", "null"),
        ("items[0].name", "a"),
        ('items[1]["a.b"]', "1.5"),
        ("items[1]['a.b']", ""),
        ("$", ""),
        ("items[0]", '{"name": "a"}'),
    ],
)
def test_a_value_in_a_json_answer_is_found(keep: Keep, path: str, wanted: str) -> None:
    with web(response(body=DOCUMENT)) as peer:
        assert look(keep, peer.port, json_path=path, json_value=wanted).failure is None


@pytest.mark.parametrize(
    ("path", "wanted", "words"),
    [
        ("status", "down", "is 'ok' at 'status', expected 'down'"),
        ("n", "4", "is '3' at 'n'"),
        ("on", "1", "is 'true'"),
        ("n", "true", "is '3'"),
        ("items[7]", "", "has nothing at"),
        ("status.deeper", "", "has nothing at"),
        ("nowhere", "", "has nothing at"),
    ],
)
def test_another_value_or_none_is_a_failed_check(keep: Keep, path: str, wanted: str, words: str) -> None:
    with web(response(body=DOCUMENT)) as peer:
        failed(look(keep, peer.port, json_path=path, json_value=wanted), FailureKind.REFUSED, words)


@pytest.mark.parametrize("body", [b"<html>", b'{"a": NaN}', b"[" * 100_000, b"1" * 100_000, b"", b"\xff\xfe{"])
def test_what_is_not_json_is_said_not_to_be(keep: Keep, body: bytes) -> None:
    with web(response(body=body)) as peer:
        failed(look(keep, peer.port, json_path="a", json_value="1"), FailureKind.REFUSED)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "raw"])
def test_an_answer_packed_unasked_is_unpacked(keep: Keep, encoding: str) -> None:
    raw = zlib.compressobj(wbits=-15)
    packed = {"gzip": gzip.compress(b"hello"), "deflate": zlib.compress(b"hello")}
    body = packed.get(encoding) or raw.compress(b"hello") + raw.flush()
    with web(response(body=body, Content_Encoding=encoding.replace("raw", "deflate"))) as peer:
        assert look(keep, peer.port, keyword="hello").failure is None
        assert peer.requests[0].headers["accept-encoding"] == "identity"


def test_a_page_above_the_cap_is_judged_by_its_beginning(keep: Keep) -> None:
    with web(response(body=b"first" + b"x" * 600_000 + b"last")) as peer:
        assert look(keep, peer.port, keyword="first").failure is None
        failed(look(keep, peer.port, keyword="last"), FailureKind.REFUSED, "in the first 256 KiB")
        failed(look(keep, peer.port, json_path="a"), FailureKind.REFUSED, "larger than 256 KiB")
        assert value(look(keep, peer.port), "http.response.size") == 256 * 1024


def test_chunked_answers_are_read(keep: Keep) -> None:
    with web(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n") as peer:
        assert look(keep, peer.port, keyword="hello").failure is None


def test_a_virtual_host_is_asked_for_by_its_name_at_the_machines_address(keep: Keep, authority: Authority) -> None:
    context, _ = authority.server("shop.example")
    with web(response(), tls=context) as peer:
        reading = look(keep, peer.port, tls=True, ca=authority.pem, host="shop.example")
        assert peer.requests[0].headers["host"] == f"shop.example:{peer.port}"
    assert reading.failure is None


# --- credentials ------------------------------------------------------------------------------------------------


def test_a_credential_is_sent_over_tls(keep: Keep, authority: Authority) -> None:
    context, _ = authority.server("127.0.0.1")
    with web(response(), tls=context) as peer:
        assert look(keep, peer.port, tls=True, ca=authority.pem, secret=SECRET).failure is None
        assert peer.requests[0].headers["authorization"] == "Basic d2F0Y2hlcjpww6Rzc3dvcmQ6MQ=="
        look(keep, peer.port, tls=True, ca=authority.pem, secret=Secret(password="token"))
        assert peer.requests[1].headers["authorization"] == "Bearer token"


def test_a_password_is_not_sent_in_the_clear_unless_that_is_allowed(keep: Keep) -> None:
    with web(response()) as peer:
        failed(look(keep, peer.port, secret=SECRET), FailureKind.UNTRUSTED, "in the clear")
        assert not peer.requests
        assert look(keep, peer.port, secret=SECRET, plain_password=True).failure is None


def test_a_refused_credential_is_our_problem_and_not_the_servers(keep: Keep) -> None:
    with web(response("401 Unauthorized")) as peer:
        failed(look(keep, peer.port, secret=SECRET, plain_password=True), FailureKind.DENIED, "credential")
        failed(look(keep, peer.port), FailureKind.REFUSED, "Answered 401")


def test_no_credential_follows_to_another_origin(keep: Keep) -> None:
    with web(response()) as other, web(lambda request: redirect(f"http://127.0.0.1:{other.port}/")) as peer:
        assert look(keep, peer.port, secret=SECRET, plain_password=True).failure is None
        assert "authorization" in peer.requests[0].headers
        assert "authorization" not in other.requests[0].headers


def test_a_credential_stays_with_its_own_origin_over_a_redirect(keep: Keep) -> None:
    with web(lambda request: response() if request.path == "/b" else redirect("/b")) as peer:
        assert look(keep, peer.port, secret=SECRET, plain_password=True).failure is None
        assert ["authorization" in request.headers for request in peer.requests] == [True, True]


def test_the_environment_has_no_say(keep: Keep, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login a password b\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    with web(response("500 Proxy")) as proxy, web(response()) as peer:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        assert look(keep, peer.port).failure is None
        assert not proxy.requests
        assert "authorization" not in peer.requests[0].headers


# --- redirects and addresses ------------------------------------------------------------------------------------


def chain(length: int) -> object:
    def reply(request: Request) -> bytes:
        number = int(request.path.strip("/") or 0)
        return redirect(f"/{number + 1}") if number < length else response(body=b"arrived")

    return reply


def test_three_redirects_are_followed_and_a_fourth_is_not(keep: Keep) -> None:
    with web(chain(3)) as peer:  # type: ignore[arg-type]
        assert look(keep, peer.port, keyword="arrived").failure is None
    with web(chain(4)) as peer:  # type: ignore[arg-type]
        failed(look(keep, peer.port), FailureKind.REFUSED, "more than 3 times")
        assert len(peer.requests) == 4


def test_a_redirect_can_be_the_expected_answer(keep: Keep) -> None:
    with web(redirect("/elsewhere")) as peer:
        reading = look(keep, peer.port, follow=False, status="302")
        assert reading.failure is None
        assert len(peer.requests) == 1


@pytest.mark.parametrize(
    "to",
    [
        METADATA,
        "//169.254.169.254/",
        "http://[::ffff:169.254.169.254]/",
        "http://[64:ff9b::a9fe:a9fe]/",
        "http://[2002:a9fe:a9fe::1]/",
        "http://[fe80::1]/",
        "http://[fd00:ec2::254]/",
        "http://100.100.100.200/",
        "http://127.0.0.1:5432/",
    ],
)
def test_a_redirect_to_a_metadata_address_is_not_followed(keep: Keep, to: str) -> None:
    with web(redirect(to)) as peer:
        failed(look(keep, peer.port), FailureKind.UNTRUSTED, "Pantau does not ask")


@pytest.mark.parametrize("to", ["http://0.0.0.0/", "http://224.0.0.1/", "http://[::]/", "http://255.255.255.255/"])
def test_a_redirect_to_no_single_machine_is_not_followed(keep: Keep, to: str) -> None:
    with web(redirect(to)) as peer:
        failed(look(keep, peer.port), FailureKind.UNSUPPORTED, "not the address of one machine")


@pytest.mark.parametrize("to", ["http://2852039166/", "http://0xa9fea9fe/", "http://0251.0376.0251.0376/"])
def test_an_address_in_disguise_is_judged_by_what_it_resolves_to(keep: Keep, to: str) -> None:
    with web(redirect(to)) as peer:
        failed(look(keep, peer.port), FailureKind.UNSUPPORTED, "169.254.169.254", "not resolvable")


@pytest.mark.parametrize(
    "to", ["file:///etc/passwd", "gopher://x/", "ftp://x/", "http://a:b@127.0.0.1/", "javascript:1"]
)
def test_a_redirect_to_no_web_page_is_a_failed_check(keep: Keep, to: str) -> None:
    with web(redirect(to)) as peer:
        failed(look(keep, peer.port), FailureKind.REFUSED, "where Pantau does not go")


@pytest.mark.root
def test_another_machine_cannot_send_us_to_our_own(cable: Cable) -> None:
    hits = []
    with web(response()) as own:
        to = f"http://127.0.0.1:{own.port}/"

        def serve(listener: socket.socket) -> None:
            line, _ = listener.accept()
            with line:
                line.recv(4096)
                line.sendall(redirect(to))

        listener = cable.there.inside(lambda: socket.create_server(("10.77.0.2", 0)))
        with listener:
            thread = threading.Thread(target=serve, args=(listener,))
            thread.start()
            reading = cable.here.inside(lambda: look(Keep(), listener.getsockname()[1], "10.77.0.2"))
            thread.join()
        hits += own.requests
    failed(reading, FailureKind.UNTRUSTED, "which is the machine Pantau runs on")
    assert not hits


def test_this_machine_is_asked_only_when_it_is_the_one_registered(keep: Keep) -> None:
    with web(response()) as peer:
        url = f"http://127.0.0.1:{peer.port}/"
        for address in ("127.0.0.1", "localhost", "::1"):
            assert look(keep, address=address, url=url).failure is None
        before = len(peer.requests)
        failed(look(keep, address="10.1.2.3", url=url), FailureKind.UNTRUSTED, "machine Pantau runs on")
        assert len(peer.requests) == before


def test_a_name_that_is_rebound_between_two_questions_is_asked_only_once(keep: Keep) -> None:
    answers = iter(["127.0.0.1", "169.254.169.254"])
    asked = []

    def ask(name: str) -> tuple[Place, ...]:
        asked.append(name)
        place = numeric(next(answers))
        assert place is not None
        return (place,)

    now = 0.0

    def reply(request: Request) -> bytes:
        nonlocal now
        now += 1000  # whatever was known of the name is by then too old to be used again
        return chain(3)(request)  # type: ignore[operator,no-any-return]

    keep.get(("names",), lambda: Names(ask=ask, clock=lambda: now))
    with web(reply) as peer:
        assert look(keep, url=f"http://rebound.example:{peer.port}/").failure is None
        assert len(peer.requests) == 4
    assert asked == ["rebound.example"]


def test_one_bad_address_of_a_name_spoils_them_all(keep: Keep) -> None:
    resolving(keep, mixed_example="127.0.0.1 169.254.169.254")
    with web(response()) as peer:
        failed(look(keep, url=f"http://mixed.example:{peer.port}/"), FailureKind.UNTRUSTED)
        assert not peer.requests


def test_the_ports_of_pantau_itself_stay_shut(keep: Keep) -> None:
    with web(response()) as peer:
        keep.get(("doors",), lambda: Doors([("127.0.0.1", peer.port)]))
        failed(look(keep, peer.port), FailureKind.UNTRUSTED, "a port of Pantau itself")
        failed(look(keep, peer.port, "localhost"), FailureKind.UNTRUSTED, "a port of Pantau itself")
        assert not peer.requests


def test_private_addresses_are_for_checks_and_not_for_webhooks() -> None:
    doors = Doors()
    for address in ("10.0.0.1", "172.16.5.4", "192.168.1.1", "fd12::1"):
        assert doors.why_not(address, 80) == ""
        assert doors.why_not(address, 80, private=False) == "which is an address of the local network"
    assert doors.why_not("::ffff:127.0.0.1", 80) == "which is the machine Pantau runs on"
    assert doors.why_not("::ffff:127.0.0.1", 5432, loopback=True) == "which is a port of Pantau itself"


# --- silence, drips, floods -------------------------------------------------------------------------------------


def test_a_refused_port_is_a_failed_check_not_a_down_host(keep: Keep) -> None:
    failed(look(keep, free_port()), FailureKind.REFUSED, "refuses connections")


def test_an_unknown_name_is_our_inability(keep: Keep) -> None:
    failed(look(keep, 80, "no-such-host.invalid"), FailureKind.UNSUPPORTED, "not resolvable")


@pytest.mark.root
def test_silence_and_unreachable_are_told_apart(cable: Cable) -> None:
    failed(cable.here.inside(lambda: look(Keep(), 80, "10.99.0.1")), FailureKind.UNREACHABLE)
    cable.there.do("iptables", "-A", "INPUT", "-p", "tcp", "-j", "DROP")
    stop = within(4)
    failed(cable.here.inside(lambda: look(Keep(), 80, "10.77.0.2", deadline=1)), FailureKind.TIMEOUT)
    stop()


@pytest.mark.parametrize("tls", [False, True])
def test_a_server_that_never_answers_times_out(keep: Keep, tls: bool) -> None:
    stop = within(3)
    with talking(silent) as peer:
        reading = look(keep, peer.port, deadline=0.6, tls=tls)
        stop()
    failed(reading, FailureKind.TIMEOUT, "waiting for the TLS handshake" if tls else "waiting for the answer")


HEAD = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("begin", "drip", "waiting"),
    [
        (b"", b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1000, "the answer"),
        (HEAD, b"X: y\r\n", "the answer"),
        (HEAD + b"\r\n", b"x", "the rest of the body"),
        (HEAD + b"Content-Length: 100000\r\n\r\n", b"x", "the rest of the body"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n", "the rest of the body"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n", "the answer"),
    ],
    ids=["status line", "headers", "body without end", "body of a length", "chunks", "continue for ever"],
)
def test_a_drip_ends_at_the_deadline(keep: Keep, begin: bytes, drip: bytes, waiting: str) -> None:
    def speech(talker: Talker, line: socket.socket) -> None:
        line.sendall(begin)
        dripping(drip, 0.03)(talker, line)

    stop = within(3.5)
    with web(speech=speech) as peer:  # type: ignore[arg-type]
        reading = look(keep, peer.port, deadline=1)
        stop()
    failed(reading, FailureKind.TIMEOUT, waiting, "within 1 s")


def test_a_drip_inside_tls_ends_at_the_deadline(keep: Keep, authority: Authority) -> None:
    context, _ = authority.server("127.0.0.1")

    def speech(talker: Talker, line: ssl.SSLSocket) -> None:
        line.sendall(HEAD + b"\r\n")
        dripping(b"x", 0.03)(talker, line)

    stop = within(3.5)
    with web(speech=speech, tls=context) as peer:  # type: ignore[arg-type]
        reading = look(keep, peer.port, deadline=1, tls=True, ca=authority.pem)
        stop()
    failed(reading, FailureKind.TIMEOUT, "the rest of the body")


@pytest.mark.parametrize("begin", [b"", HEAD + b"X: ", HEAD], ids=["status line", "one header", "headers"])
def test_an_endless_head_is_cut_off(keep: Keep, begin: bytes) -> None:
    def speech(talker: Talker, line: socket.socket) -> None:
        line.sendall(begin)
        while True:
            line.sendall(b"X: y\r\n" * 1000 if begin == HEAD else b"y" * 10_000)

    with web(speech=speech) as peer:  # type: ignore[arg-type]
        reading = look(keep, peer.port, deadline=10)
    failed(reading, FailureKind.REFUSED)
    assert reading.cost.received <= 1024 * 1024 + 65536


def test_endless_interim_answers_are_cut_off_at_the_cap(keep: Keep) -> None:
    with web(speech=lambda talker, line: endlessly(line, b"HTTP/1.1 100 Continue\r\n\r\n" * 100)) as peer:
        failed(look(keep, peer.port, deadline=20), FailureKind.REFUSED, "sent more than 1024 KiB")


def endlessly(line: object, data: bytes) -> None:
    while True:
        line.sendall(data)  # type: ignore[attr-defined]


def test_an_endless_body_is_read_to_the_cap_and_no_further(keep: Keep) -> None:
    def speech(talker: Talker, line: socket.socket) -> None:
        line.sendall(HEAD + b"\r\n")
        endless(talker, line)

    with web(speech=speech) as peer:  # type: ignore[arg-type]
        reading = look(keep, peer.port, deadline=20)
    assert reading.failure is None
    assert reading.cost.received < 400 * 1024


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_bomb_does_not_go_off(keep: Keep, encoding: str) -> None:
    pack = zlib.compressobj(9, wbits=31 if encoding == "gzip" else 15)
    bomb = b"".join([*(pack.compress(bytes(1024 * 1024)) for _ in range(200)), pack.flush()])
    with web(response(body=bomb, Content_Encoding=encoding)) as peer:
        tracemalloc.start()
        reading = look(keep, peer.port, keyword="x", deadline=20)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    failed(reading, FailureKind.REFUSED, "inflates to more than")
    assert peak < 16 * 1024 * 1024


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "gzip"])
def test_an_answer_packed_in_an_unknown_way_is_said_to_be(keep: Keep, encoding: str) -> None:
    with web(response(body=b"not packed", Content_Encoding=encoding)) as peer:
        failed(look(keep, peer.port, keyword="x"), FailureKind.REFUSED, "The body ")


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x00\xff\x1b[2J\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 99999 X\r\n\r\n",
        b"HTTP/1.1 -1 X\r\n\r\n",
        HEAD + b"Content-Length: 10\r\n\r\nshort",
        HEAD + b"Content-Length: -5\r\n\r\nbody",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nbody",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n-5\r\nbody",
        HEAD + b"broken header\r\n\r\n",
        b"",
        b"HTTP/1.1 302 Found\r\nLocation: \xff\xfe\x00://\r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_whatever_is_answered_ends_in_a_sentence_and_never_in_an_exception(keep: Keep, answer: bytes) -> None:
    with web(answer) as peer:
        reading = look(keep, peer.port, deadline=2)
    if reading.failure is not None:
        assert reading.failure.kind in (FailureKind.REFUSED, FailureKind.TIMEOUT)
        assert reading.failure.detail.isprintable() and len(reading.failure.detail) < 300


def test_hostile_header_text_is_made_harmless(keep: Keep) -> None:
    hostile = "\x1b]0;owned\x07<script>\u202e" + "x" * 5000
    with web(response(Server=hostile.encode().decode("latin-1"))) as peer:
        text = fact(look(keep, peer.port), "http.server")
    assert text.isprintable() and len(text) <= 256


def test_a_connection_cut_without_an_answer_is_a_failed_check(keep: Keep) -> None:
    with web(speech=lambda talker, line: None) as peer:
        failed(look(keep, peer.port), FailureKind.REFUSED, "breaks the connection off")


# --- certificates -----------------------------------------------------------------------------------------------


def test_a_good_certificate_tells_its_time_names_and_fingerprint(keep: Keep, authority: Authority) -> None:
    context, _ = authority.server("127.0.0.1", days=12, common="web 1")
    with web(response(), tls=context) as peer:
        reading = look(keep, peer.port, tls=True, ca=authority.pem)
    assert reading.failure is None
    assert value(reading, "tls.certificate.expiry") == pytest.approx(12 * 86400, abs=120)
    assert fact(reading, "tls.issuer") == "CN=Test authority"
    assert fact(reading, "tls.subject") == "CN=web 1"
    assert len(fact(reading, "tls.fingerprint")) == 32 * 3 - 1
    assert fact(reading, "tls.version") == "TLSv1.3"


@pytest.mark.parametrize(
    ("names", "made", "words"),
    [
        (["127.0.0.1"], {"days": -1, "begun": 9}, "it has expired"),
        (["127.0.0.1"], {"begun": -1}, "not valid yet"),
        (["127.0.0.1"], {"alone": True}, "signed by itself"),
        (["127.0.0.9", "other.example"], {}, "it is for another address (other.example, 127.0.0.9)"),
    ],
)
def test_a_bad_certificate_is_untrusted_with_its_reason_and_still_measured(
    keep: Keep, authority: Authority, names: list[str], made: dict[str, float], words: str
) -> None:
    context, _ = authority.server(*names, **made)  # type: ignore[arg-type]
    with web(response(), tls=context) as peer:
        reading = look(keep, peer.port, tls=True, ca=authority.pem, secret=SECRET)
        assert not peer.requests
    failed(reading, FailureKind.UNTRUSTED, words)
    assert value(reading, "tls.certificate.expiry") == pytest.approx(made.get("days", 30) * 86400, abs=120)


def test_the_wrong_name_is_told_with_the_right_ones(keep: Keep, authority: Authority) -> None:
    context, _ = authority.server("right.example")
    with web(response(), tls=context) as peer:
        reading = look(keep, peer.port, tls=True, ca=authority.pem, host="wrong.example")
    failed(reading, FailureKind.UNTRUSTED, "wrong.example", "for another name (right.example)")


def test_an_authority_we_do_not_know_is_not_believed(keep: Keep, authority: Authority) -> None:
    context, _ = authority.server("127.0.0.1")
    with web(response(), tls=context) as peer:
        failed(look(keep, peer.port, tls=True), FailureKind.UNTRUSTED, "certificate authority")


def test_a_certificate_is_left_unverified_only_with_a_reason(keep: Keep, authority: Authority) -> None:
    with pytest.raises(ValueError, match="unverified_because"):
        fill(Options, {"verify": False})
    context, _ = authority.server("elsewhere.example", days=-1, begun=9, alone=True)
    with web(response(), tls=context) as peer:
        reading = look(keep, peer.port, tls=True, verify=False, unverified_because="the printer of floor 2")
    assert reading.failure is None
    assert value(reading, "tls.certificate.expiry") < 0


def test_a_servers_own_certificate_can_be_pinned(keep: Keep, authority: Authority) -> None:
    context, pem = authority.server("127.0.0.1", alone=True)
    other, _ = authority.server("127.0.0.1", alone=True)
    with web(response(), tls=context) as peer:
        assert look(keep, peer.port, tls=True, ca=pem).failure is None
    with web(response(), tls=other) as peer:
        failed(look(keep, peer.port, tls=True, ca=pem), FailureKind.UNTRUSTED)


def test_a_plain_server_on_a_tls_port_is_said_not_to_speak_tls(keep: Keep) -> None:
    with talking(saying(response("400 Bad Request"))) as peer:
        failed(look(keep, peer.port, tls=True), FailureKind.REFUSED, "does not speak TLS")


def test_looks_leave_no_thread_and_no_open_file_behind(keep: Keep) -> None:
    with web(response()) as peer:
        look(keep, peer.port)
        before = len(list(Path("/proc/self/fd").iterdir()))
        for _ in range(20):
            look(keep, peer.port)
        after = len(list(Path("/proc/self/fd").iterdir()))
    assert after <= before + 25  # the server's own ends, which it keeps until it is closed
    assert sum(thread.name == "deadlines" for thread in threading.enumerate()) <= 1


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"url": "ftp://x/"}, "url"),
        ({"url": "http://a:b@x/"}, "credential"),
        ({"url": "http://x/ y"}, "url"),
        ({"url": "http://x:99999/"}, "url"),
        ({"path": "x"}, "path"),
        ({"status": "ok"}, "status"),
        ({"status": "300-200"}, "status"),
        ({"json_path": "a[b"}, "json_path"),
        ({"json_value": "1"}, "json_path"),
        ({"method": "HEAD", "keyword": "x"}, "GET"),
        ({"host": "a b"}, "host"),
        ({"ca": "nonsense"}, "PEM"),
        ({"method": "POST"}, "method"),
    ],
)
def test_options_that_cannot_work_are_refused_when_they_are_set(values: dict[str, object], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        fill(Options, values)


def test_a_cookie_that_cannot_be_read_is_no_matter(keep: Keep) -> None:
    bad = "a=b; expires=Wed, 09-Jqn-2021 10:18:14 GMT"
    with web(lambda request: redirect("/b") if request.path == "/" else response()) as peer:
        assert look(keep, peer.port).failure is None
    with web(response(Set_Cookie=bad)) as peer:
        assert look(keep, peer.port).failure is None


def test_a_cookie_lasts_as_long_as_the_look(keep: Keep) -> None:
    def reply(request: Request) -> bytes:
        return (
            response() if request.path == "/b" else response("302 Found", b"", Location="/b", Set_Cookie="a=b; Path=/")
        )

    with web(reply) as peer:
        for _ in range(2):
            assert look(keep, peer.port).failure is None
        assert [request.headers.get("cookie") for request in peer.requests] == [None, "a=b", None, "a=b"]


def test_a_test_knocks_where_the_look_will_go(keep: Keep) -> None:
    assert fill(Options, {}).knocks == 80
    assert fill(Options, {"tls": True}).knocks == 443
    assert fill(Options, {"tls": True, "port": 8443}).knocks == 8443
    assert fill(Options, {"url": "https://example.org/"}).knocks == 0


@pytest.mark.parametrize("size", ["-18446744073709551616", "ffffffffffffffffffffffff", "-1", "zz", ""])
def test_a_chunk_of_a_size_no_machine_has_is_not_proper_http(keep: Keep, size: str) -> None:
    body = f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n{size}\r\nlo\r\n0\r\n\r\n".encode()
    with web(lambda request: body) as peer:
        reading = look(keep, peer.port, keyword="hello", deadline=2.0)
    assert reading.failure is not None and reading.failure.kind in (FailureKind.REFUSED, FailureKind.TIMEOUT)
