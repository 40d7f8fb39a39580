"""A server that speaks just enough of the MySQL protocol to say what no MariaDB says: MySQL 8's forms, and lies."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence

from talkers import Talker, talking

Rows = Sequence[Mapping[str, str | None]]
Answer = Callable[[str], Rows | tuple[int, str]]
CAPABILITIES = 0x1 | 0x2 | 0x8 | 0x200 | 0x2000 | 0x8000 | 0x20000 | 0x80000


class Wire:
    """One connection: packets of three bytes length, one byte number, and their content."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self.number = 0

    def say(self, body: bytes) -> None:
        self._line.sendall(len(body).to_bytes(3, "little") + bytes([self.number]) + body)
        self.number = (self.number + 1) % 256

    def hear(self) -> bytes:
        head = self._exactly(4)
        self.number = (head[3] + 1) % 256
        return self._exactly(int.from_bytes(head[:3], "little"))

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            more = self._line.recv(count - len(data))
            if not more:
                raise ValueError("gone")
            data += more
        return data


def greeting(version: str = "8.4.3", plugin: str = "mysql_native_password") -> bytes:
    """Protocol::HandshakeV10."""
    low, high = (CAPABILITIES & 0xFFFF).to_bytes(2, "little"), (CAPABILITIES >> 16).to_bytes(2, "little")
    start = b"\x0a" + version.encode() + b"\0" + (7).to_bytes(4, "little") + b"12345678\0" + low + b"\x2d\2\0" + high
    return start + b"\x15" + bytes(10) + b"123456789012\0" + plugin.encode() + b"\0"


OK = b"\0\0\0\2\0\0\0"
END = b"\xfe\0\0\2\0"


def rows(wire: Wire, found: Rows) -> None:
    """A text result set; values None are NULL."""
    names = list(found[0]) if found else ["nothing"]
    wire.say(bytes([len(names)]))
    for name in names:
        parts = b"".join(_text(part) for part in ("def", "", "", "", name, name))
        wire.say(parts + b"\x0c\x2d\0\xff\0\0\0\xfd\0\0\0\0\0")
    wire.say(END)
    for row in found:
        wire.say(b"".join(b"\xfb" if value is None else _text(value) for value in row.values()))
    wire.say(END)


def _text(text: str) -> bytes:
    data = text.encode()
    return (bytes([len(data)]) if len(data) < 251 else b"\xfc" + len(data).to_bytes(2, "little")) + data


@contextlib.contextmanager
def mysql(answer: Answer, version: str = "8.4.3") -> Iterator[Talker]:
    """A server that lets everybody in and answers each statement by `answer`: rows, or an error's number and text."""

    def speech(talker: Talker, line: socket.socket) -> None:
        wire = Wire(line)
        wire.say(greeting(version))
        wire.hear()
        wire.say(OK)
        while True:
            said = wire.hear()
            if said[:1] != b"\3":
                return
            statement = said[1:].decode()
            found = [] if statement.startswith("SET") else answer(statement)
            if statement.startswith("SET"):
                wire.say(OK)
            elif isinstance(found, tuple):
                wire.say(b"\xff" + found[0].to_bytes(2, "little") + b"#HY000" + found[1].encode())
            else:
                rows(wire, found)

    with talking(speech) as talker:
        yield talker
