"""Callers who say nothing, or little, or do not listen: everybody else is answered meanwhile, and they are sent away."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests

from config import tls
from tests.installation import installed, until
from tests.ports import free_port
from webui.waiting import source_of, wanted

APPLICATION = """
    import sys
    from pathlib import Path
    from config.settings import Settings
    from webui import server
    from webui.patience import Patience

    def app(environ, start):
        path = environ["PATH_INFO"]
        if path == "/events":
            start("200 OK", [("Content-Type", "text/event-stream")])
            import time
            return ((time.sleep(0.3), b"data: now\\n\\n")[1] for _ in range(12))
        if path == "/large":
            start("200 OK", [("Content-Length", str(6_000_000))])
            return [b"x" * 3_000_000, b"y" * 3_000_000]
        body = b""
        if path != "/unread":
            try:
                body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or -1))
            except OSError as error:
                start("408 Request Timeout", [("Content-Length", "0")])
                return []
        said = f"{len(body)} {environ['wsgi.url_scheme']}".encode()
        start("200 OK", [("Content-Length", str(len(said)))])
        return [said]

    patience = Patience(**eval(sys.argv[4]))
    server.serve(Settings(data=Path(sys.argv[1]), host="127.0.0.1", port=int(sys.argv[2]), tls=sys.argv[3], streams=8), app, patience)
"""


class Served:
    """The web server with a small application of the test's."""

    def __init__(self, port: int, place: Path | None, process: subprocess.Popen[bytes]) -> None:
        self.port, self.process = port, process
        self._trust = tls.authority(place / "tls") if place else None

    @property
    def address(self) -> str:
        return f"{'https' if self._trust else 'http'}://localhost:{self.port}"

    @property
    def trust(self) -> str | bool:
        return str(self._trust) if self._trust else True

    def raw(self) -> socket.socket:
        """A connection that has said nothing yet."""
        return socket.create_connection(("127.0.0.1", self.port), 20)

    def line(self) -> socket.socket:
        """The same, with hands shaken where TLS is spoken."""
        if self._trust is None:
            return self.raw()
        return ssl.create_default_context(cafile=str(self._trust)).wrap_socket(self.raw(), server_hostname="localhost")

    def get(self, path: str = "/") -> requests.Response:
        return requests.get(self.address + path, timeout=20, verify=self.trust)

    def post(self, body: bytes | Iterator[bytes], path: str = "/") -> requests.Response:
        return requests.post(self.address + path, data=body, timeout=30, verify=self.trust)

    @property
    def there(self) -> bool:
        with contextlib.suppress(requests.RequestException):
            return self.get().status_code == 200
        return False


@contextlib.contextmanager
def served(secure: bool, **patience: float) -> Iterator[Served]:
    place = Path(tempfile.mkdtemp(prefix="pantau-slow-"))
    tls.ensure(place / "tls", ["localhost"], datetime.now(UTC))
    port = free_port()
    words = [str(place), str(port), "own" if secure else "off", repr(patience)]
    with (place / "printed").open("w") as printed:
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(APPLICATION), *words],
            stdout=printed, stderr=printed, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        )  # fmt: skip
    running = Served(port, place if secure else None, process)
    try:
        until(lambda: running.there or process.poll() is not None)
        assert process.poll() is None, (place / "printed").read_text()
        yield running
        assert "Traceback" not in (place / "printed").read_text(), (place / "printed").read_text()
    finally:
        process.terminate()
        process.wait(30)
        shutil.rmtree(place)


def closed(line: socket.socket) -> bool:
    """Waits until the other side hangs up; an absolute cap stands for never."""
    line.settimeout(20)
    try:
        while line.recv(65536):
            pass
    except TimeoutError:
        return False
    except OSError:
        pass
    return True


SECURE = pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])


@SECURE
def test_a_person_is_answered_while_hundreds_say_nothing_or_drip_or_do_not_listen(secure: bool) -> None:
    with served(secure, each=1000, heavy=3, heavy_each=3) as running, contextlib.ExitStack() as stack:
        for number in range(260):
            line = stack.enter_context(running.raw())
            line.sendall(b"G" if not secure else b"\x16" if number % 2 else b"")
        for number in range(60):
            line = stack.enter_context(running.line())
            line.sendall(
                [b"GET / HTTP/1.1\r\nHost: x\r\n", b"POST / HTTP/1.1\r\nContent-Length: 900\r\n\r\nhalf"][number % 2]
            )
        for _ in range(6):  # more than may be read at once
            line = stack.enter_context(running.line())
            line.sendall(b"POST / HTTP/1.1\r\nContent-Length: 900000\r\n\r\nhalf")
        for _ in range(40):
            line = stack.enter_context(running.line())
            line.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        for _ in range(40):  # answered, and never hung up by the other side
            line = stack.enter_context(running.line())
            line.sendall(b"GET / HTTP/1.0\r\n\r\n")
        for _ in range(20):
            assert running.get().text.startswith("0 http")
        assert running.post(b"a" * 1000).text.startswith("1000 ")


@SECURE
def test_whoever_comes_to_nothing_or_byte_by_byte_is_sent_away(secure: bool) -> None:
    with served(secure, head=1, body=1, idle=1, answer=1, leave=1) as running:
        lines = [running.raw(), running.line(), running.line(), running.line(), running.line(), running.line()]
        lines[0].sendall(b"\x16" if secure else b"")
        lines[1].sendall(b"GET / HTTP/1.1\r\nHost")
        lines[2].sendall(b"POST / HTTP/1.1\r\nContent-Length: 90\r\n\r\nhalf")
        lines[3].sendall(b"POST / HTTP/1.1\r\nContent-Length: 9000000\r\n\r\nhalf")
        lines[4].sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")  # answered; then silence
        lines[5].sendall(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nha")
        for number, line in enumerate(lines):
            assert closed(line), number
            line.close()
        with running.line() as line, pytest.raises(OSError):  # a byte now and then changes nothing
            for _ in range(400):
                line.sendall(b"a")
                time.sleep(0.05)


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "tls"])
def usual(request: pytest.FixtureRequest) -> Iterator[Served]:
    with served(request.param) as running:
        yield running


def test_bodies_live_lines_and_kept_connections_work_as_before(usual: Served) -> None:
    scheme = usual.address.partition(":")[0]
    with requests.Session() as session:
        session.trust_env, session.verify = False, usual.trust  # the environment may name another authority
        for size in (0, 1, 40_000, 70_000, 3_000_000):
            assert session.post(usual.address, data=b"a" * size, timeout=20).text == f"{size} {scheme}"
        assert session.post(usual.address, data=iter([b"ab", b"cde" * 50_000]), timeout=20).text == f"150002 {scheme}"
        assert session.post(usual.address + "/unread", data=b"a" * 50_000, timeout=20).status_code == 200
        answer = session.get(usual.address + "/large", timeout=20)
        assert answer.content == b"x" * 3_000_000 + b"y" * 3_000_000
        lines = [*session.get(usual.address + "/events", timeout=20, stream=True).iter_lines()]
        assert lines.count(b"data: now") == 12
        expecting = {"Expect": "100-continue"}
        assert session.post(usual.address, data=b"a" * 9, headers=expecting, timeout=20).text == f"9 {scheme}"


def test_requests_sent_in_one_breath_are_all_answered(usual: Served) -> None:
    first, second = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", b"GET / HTTP/1.1\r\nHost: x\r\n"
    with usual.line() as line:
        line.sendall(first + second + b"Connection: close\r\n\r\n")
        assert heard(line).count(b"HTTP/1.1 200 OK") == 2


def test_headers_without_end_are_refused(usual: Served) -> None:
    for said, code in ((b"GET /" + b"a" * 40_000, b"414"), (b"GET / HTTP/1.1\r\nx: " + b"a" * 40_000, b"431")):
        with usual.line() as line:
            line.sendall(said)
            assert heard(line).startswith(b"HTTP/1.1 " + code)


def heard(line: socket.socket) -> bytes:
    """All that is said until the other side hangs up."""
    line.settimeout(20)
    said = b""
    while data := line.recv(65536):
        said += data
    return said


def test_an_address_has_so_many_waiting_connections_and_its_oldest_make_room() -> None:
    with served(False, each=20, head=60) as running, contextlib.ExitStack() as stack:
        lines = [stack.enter_context(running.raw()) for _ in range(60)]
        for line in lines[:40]:
            assert closed(line)
        lines[-1].sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert b" 200 OK" in heard(lines[-1])


def test_one_address_reads_so_many_large_bodies_at_once_and_is_told_to_wait() -> None:
    with served(False, heavy_each=2, body=120) as running, contextlib.ExitStack() as stack:
        for _ in range(2):
            line = stack.enter_context(running.line())
            line.sendall(b"POST / HTTP/1.1\r\nContent-Length: 900000\r\n\r\nhalf")
        until(lambda: running.post(b"a" * 100_000).status_code == 503)
        assert running.post(b"a" * 1_000).status_code == 200


def test_large_bodies_of_a_few_addresses_leave_room_for_those_of_others() -> None:
    with served(False, heavy=8, heavy_each=6, body=120) as running, contextlib.ExitStack() as stack:
        for address in range(2, 6):
            for _ in range(6):
                line = socket.create_connection(("127.0.0.1", running.port), 20, (f"127.0.0.{address}", 0))
                stack.enter_context(line).sendall(b"POST / HTTP/1.1\r\nContent-Length: 900000\r\n\r\nhalf")
        assert b" 503 " in heard(line)  # by then all of them were judged: the last one had its share
        assert running.post(b"a" * 100_000).status_code == 200


def test_a_large_body_that_comes_steadily_has_longer(place: Path) -> None:
    def steadily() -> Iterator[bytes]:
        for _ in range(15):
            yield b"a" * 8_000
            time.sleep(0.2)

    with served(False, body=1, rate=10_000) as running:
        assert running.post(steadily()).text.startswith("120000 ")


def test_an_installation_answers_the_login_page_while_five_hundred_connections_stand() -> None:
    with installed(PANTAU_TLS="own") as running, contextlib.ExitStack() as stack:
        trust = str(running.directory / "tls" / "ca.pem")
        secure = f"https://localhost:{running.port}"

        def there() -> bool:
            with contextlib.suppress(requests.RequestException):
                return requests.get(f"{secure}/healthz", timeout=5, verify=trust).status_code == 200
            return False

        until(there)
        for number in range(500):
            line = stack.enter_context(socket.create_connection(("127.0.0.1", running.port), 20))
            if number % 3:
                line.sendall(b"\x16\x03\x01\x02\x00\x01"[: number % 6])
        for _ in range(10):
            assert requests.get(f"{secure}/healthz", timeout=20, verify=trust).status_code == 200


@pytest.mark.parametrize(
    ("said", "size"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n", None),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27),
        (b"POST / HTTP/1.1\r\ncontent-LENGTH:  7 \r\n\r\nab", 47),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", -1),
        (b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n", -1),
        (b"POST / HTTP/1.1\r\nX-Content-Length: 9\r\n\r\n", 40),
    ],
)
def test_how_much_a_request_has_is_told_by_its_headers(said: bytes, size: int | None) -> None:
    assert wanted(said) == size


def test_a_whole_network_of_ipv6_counts_as_one() -> None:
    assert source_of("2001:db8:1:2:3::4") == source_of("2001:db8:1:2:ffff::1") != source_of("2001:db8:1:3::1")
    assert source_of("::ffff:192.0.2.1") == source_of("192.0.2.1") == "192.0.2.1"
