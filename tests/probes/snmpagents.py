"""SNMP agents for tests: Debian's snmpd on a loopback port, and a small one that can misbehave in any way."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from probes.snmp import ber, message
from probes.snmp.message import GET, GET_BULK, GET_NEXT, RESPONSE, Pdu
from tests.ports import free_port

COMMUNITY = "only-for-tests"
AUTH, PRIV = "authentic-12", "private-1234"
USERS = """
createUser open
createUser sha1 SHA "{auth}" AES "{priv}"
createUser sha256 SHA-256 "{auth}" AES-256 "{priv}"
createUser sha512 SHA-512 "{auth}" AES-192 "{priv}"
createUser cisco SHA "{auth}" AES-256-C "{priv}"
createUser old MD5 "{auth}" DES "{priv}"
rouser open noauth
rouser sha1 auth
rouser sha256 priv
rouser sha512 priv
rouser cisco priv
rouser old auth
"""


class Snmpd:
    """A real agent, started and stopped at will; its engine's boots are kept as on a real machine."""

    def __init__(self, place: Path) -> None:
        self.port = free_port()
        self._place = place
        place.mkdir(parents=True, exist_ok=True)
        self._conf = place / "agent.conf"  # snmpd.conf there is the one it keeps for itself
        users = USERS.format(auth=AUTH, priv=PRIV)
        self._conf.write_text(
            f"rocommunity {COMMUNITY} 127.0.0.1\nsysLocation Jakarta\nsysContact it@example.test\nsysName tester\n{users}"
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start, and wait until it answers."""
        self._process = subprocess.Popen(
            ["snmpd", "-f", "-Lf", "/dev/null", "-C", "-c", str(self._conf), "-p", str(self._place / "pid"),
             f"udp:127.0.0.1:{self.port}"],
            env={**os.environ, "SNMP_PERSISTENT_DIR": str(self._place), "MIBS": ""},
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        ask = message.community(
            1, COMMUNITY.encode(), message.pdu(GET, message.LOWEST_ID, message.asks((ber.name("1.3.6.1.2.1.1.3.0"),)))
        )
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
            line.settimeout(0.2)
            line.connect(("127.0.0.1", self.port))
            for _ in range(100):
                with contextlib.suppress(OSError):
                    line.send(ask)
                    line.recv(4096)
                    return
                time.sleep(0.05)
        raise AssertionError("snmpd does not answer")

    def pause(self) -> None:
        """Stop it from answering without closing its port."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.terminate()
            self._process.wait(10)
            self._process = None


Answer = Callable[[bytes, tuple[str, int]], list[bytes]]


class Responder:
    """A UDP port; each datagram is given to `answer`, whose datagrams go back, from `sender` if there is one."""

    def __init__(self, answer: Answer, sender: str = "") -> None:
        self._line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._line.bind(("127.0.0.1", 0))
        self.port: int = self._line.getsockname()[1]
        self.heard: list[bytes] = []
        self._sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sender.bind((sender or "127.0.0.1", 0))
        self._elsewhere = bool(sender)
        self._answer = answer
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            data, source = self._line.recvfrom(65535)
            if data == b"end":
                return
            self.heard.append(data)
            for each in self._answer(data, source):
                (self._sender if self._elsewhere else self._line).sendto(each, source)

    def close(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
            line.sendto(b"end", ("127.0.0.1", self.port))
        self._thread.join(10)
        self._line.close()
        self._sender.close()


@contextlib.contextmanager
def responding(answer: Answer, sender: str = "") -> Iterator[Responder]:
    """A Responder, closed after use."""
    made = Responder(answer, sender)
    try:
        yield made
    finally:
        made.close()


Tree = dict[str, tuple[int, bytes]]
"""Object names in dotted form and their values: tag and encoded content."""


class Agent:
    """A well-behaved agent of version 1 and 2c over a tree; tests override what they want it to do wrong."""

    def __init__(self, tree: Tree, most: int = 1400) -> None:
        self.set(tree)
        self.most = most
        self.pdus: list[Pdu] = []

    def set(self, tree: Tree) -> None:
        """Other contents from now on."""
        parsed = {tuple(map(int, name.split("."))): value for name, value in tree.items()}
        self._order = sorted(parsed)
        self._tree = parsed

    def __call__(self, data: bytes, source: tuple[str, int]) -> list[bytes]:
        version, word, asked = message.read(data)
        self.pdus.append(asked)
        return [message.community(version, word, self.answer(version, asked))]

    def answer(self, version: int, asked: Pdu) -> bytes:
        """The PDU that answers."""
        names = [tuple(map(int, ber.dotted(name).split("."))) for name, _, _ in asked.bindings]
        rows: list[tuple[tuple[int, ...], int, bytes]] = []
        if asked.kind == GET:
            for name in names:
                rows.append((name, *self._tree.get(name, (ber.NO_SUCH_INSTANCE, b""))))
        else:
            for _ in range(asked.at if asked.kind == GET_BULK else 1):
                step = [self.after(name) for name in names]
                rows += step
                names = [name for name, _, _ in step]
        absent = next((at for at, (_, tag, _) in enumerate(rows, 1) if tag in ber.ABSENT), 0)
        if version == message.V1 and absent:
            return response(asked.request_id, [(ber.encode(n), ber.NULL, b"") for n in self._asked(asked)], 2, absent)
        if asked.kind in (GET, GET_NEXT):
            if sum(len(value) + 20 for _, _, value in rows) > self.most:
                return response(asked.request_id, [], 1, 0)
        else:
            while sum(len(value) + 20 for _, _, value in rows) > self.most and len(rows) > 1:
                rows.pop()
        return response(asked.request_id, [(ber.encode(name), tag, value) for name, tag, value in rows])

    def after(self, name: tuple[int, ...]) -> tuple[tuple[int, ...], int, bytes]:
        """What follows `name`."""
        for each in self._order:
            if each > name:
                return (each, *self._tree[each])
        return (name, ber.END_OF_VIEW, b"")

    @staticmethod
    def _asked(asked: Pdu) -> list[tuple[int, ...]]:
        return [tuple(map(int, ber.dotted(name).split("."))) for name, _, _ in asked.bindings]


def response(number: int, rows: list[tuple[bytes, int, bytes]], status: int = 0, at: int = 0) -> bytes:
    """A Response PDU."""
    bindings = b"".join(
        ber.wrap(ber.SEQUENCE, ber.wrap(ber.OID, name) + ber.wrap(tag, value)) for name, tag, value in rows
    )
    return ber.wrap(
        RESPONSE,
        message.number(number) + ber.integer(status) + ber.integer(at) + ber.wrap(ber.SEQUENCE, bindings),
    )


def words(text: str) -> tuple[int, bytes]:
    """An OCTET STRING."""
    return ber.OCTETS, text.encode()


def whole(value: int, tag: int = ber.INTEGER) -> tuple[int, bytes]:
    """A number of any type."""
    return tag, value.to_bytes(value.bit_length() // 8 + 1, signed=True)


SYSTEM: Tree = {
    "1.3.6.1.2.1.1.1.0": words("a small agent"),
    "1.3.6.1.2.1.1.3.0": whole(123456, ber.TIME_TICKS),
    "1.3.6.1.2.1.1.5.0": words("small"),
}


def ports(count: int, first: int = 1, **cells: int) -> Tree:
    """An ifTable of `count` rows whose numbers begin at `first`."""
    tree: Tree = {}
    for at in range(first, first + count):
        entry = "1.3.6.1.2.1.2.2.1"
        tree |= {
            f"{entry}.2.{at}": words(f"port{at}"),
            f"{entry}.3.{at}": whole(6),
            f"{entry}.5.{at}": whole(cells.get("speed", 100_000_000), ber.GAUGE32),
            f"{entry}.7.{at}": whole(cells.get("admin", 1)),
            f"{entry}.8.{at}": whole(cells.get("oper", 1)),
            f"{entry}.10.{at}": whole(cells.get("receive", 1000), ber.COUNTER32),
            f"{entry}.14.{at}": whole(0, ber.COUNTER32),
            f"{entry}.16.{at}": whole(cells.get("transmit", 2000), ber.COUNTER32),
            f"{entry}.20.{at}": whole(0, ber.COUNTER32),
        }
    return tree
