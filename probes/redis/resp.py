"""Redis's protocol (RESP 2, the one every version speaks): commands out, one bounded answer each in."""

from __future__ import annotations

import socket
from typing import BinaryIO, cast

from probes.limits import ANSWER_BYTES, clean

LINE_BYTES = 1024
"""The longest line that is not a text of its own."""
ITEMS = 1024
"""The most things one answer may be made of."""
DEPTH = 8

Answer = str | int | list["Answer"] | None


class Garbage(Exception):
    """What came is not RESP; the text says how."""


class Refusal(Exception):
    """The server answered with an error: `code` is its first word ("NOAUTH")."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.code = text.partition(" ")[0]


class Talk:
    """Commands and answers over a connected socket, which stays its owner's."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._from = cast(BinaryIO, line.makefile("rb"))

    def ask(self, *words: str) -> Answer:
        """The answer to one command. Raises Refusal, Garbage, EOFError, or what the socket raises."""
        encoded = [word.encode() for word in words]
        parts = [b"*%d\r\n" % len(encoded), *(b"$%d\r\n%s\r\n" % (len(word), word) for word in encoded)]
        self._line.sendall(b"".join(parts))
        self._left = ITEMS
        return self._read(DEPTH)

    def close(self) -> None:
        """Let go of the socket."""
        self._from.close()

    def _read(self, depth: int) -> Answer:
        """One value, arrays with what is in them."""
        self._left -= 1
        if self._left < 0 or depth < 0:
            raise Garbage("an answer of too many parts")
        head = self._from.readline(LINE_BYTES)
        if not head:
            raise EOFError
        if not head.endswith(b"\r\n") or len(head) < 3:
            raise Garbage(f"it says '{clean(head, 60)}'")
        kind, rest = head[:1], head[1:-2]
        if kind == b"+":
            return rest.decode("utf-8", "replace")
        if kind == b"-":
            raise Refusal(clean(rest, 200))
        if kind == b":":
            return _count(rest)
        if kind == b"$":
            return self._text(_count(rest))
        if kind == b"*":
            size = _count(rest)
            return None if size == -1 else [self._read(depth - 1) for _ in range(size)]
        raise Garbage(f"it says '{clean(head, 60)}'")

    def _text(self, size: int) -> str | None:
        if size == -1:
            return None
        if not 0 <= size <= ANSWER_BYTES:
            raise Garbage("a text of impossible length")
        data = self._from.read(size + 2)
        if len(data) < size + 2:
            raise EOFError
        if not data.endswith(b"\r\n"):
            raise Garbage("a text of another length than it says")
        return data[:-2].decode("utf-8", "replace")


def _count(text: bytes) -> int:
    if not text or len(text) > 20 or not text.removeprefix(b"-").isdigit():
        raise Garbage(f"'{clean(text, 40)}' is not a number")
    return int(text)
