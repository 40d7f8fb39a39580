"""The server's end of a connection: an answer the other side takes slowly is owed to it, and holds no thread."""

from __future__ import annotations

import contextlib
import errno
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from typing import Any

from gunicorn.http.unreader import SocketUnreader

EACH, ALL = 4 * 1024 * 1024, 64 * 1024 * 1024
"""Bytes owed to one caller, and to all of them together; what is beyond is waited for in its thread."""
PIECE = 64 * 1024


def gone(what: str) -> TimeoutError:
    """A caller who took too long, told as one who hung up: nobody's fault here, and nothing for the log."""
    return TimeoutError(errno.ECONNRESET, what)


class Debt:
    """How much is owed to everybody together."""

    def __init__(self, most: int = ALL) -> None:
        self._left, self._lock = most, threading.Lock()

    def take(self, amount: int) -> bool:
        """Whether there is room for so many bytes more; they are counted then."""
        with self._lock:
            if amount > self._left:
                return False
            self._left -= amount
            return True

    def give(self, amount: int) -> None:
        """So many bytes are owed no longer."""
        with self._lock:
            self._left += amount


class _Line(socket.socket):
    """A connection that never makes its thread wait for a slow reader, unless it is owed too much already."""

    owed: bytearray
    _debt: Debt
    _patience: float
    _rate: int

    def begin(self, debt: Debt, patience: float, rate: int) -> None:
        """Seconds for an answer, and bytes a second that lengthen them."""
        self.owed, self._debt, self._patience, self._rate = bytearray(), debt, patience, rate

    def due(self, amount: int) -> float:
        """Seconds within which so many bytes must be taken."""
        return self._patience + amount / self._rate

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Send, or owe what is not taken at once. Raises OSError when the caller is gone, or too slow for too much."""
        rest = memoryview(data)
        if self.pay():
            rest = rest[self._now(rest) :]
        if not rest:
            return
        if len(self.owed) + len(rest) <= EACH and self._debt.take(len(rest)):
            self.owed += rest
            return
        self._insist(rest)

    def pay(self) -> bool:
        """Send of what is owed as much as is taken at once; whether nothing is owed any more."""
        while self.owed:
            with memoryview(self.owed)[:PIECE] as piece:
                sent = self._now(piece)
            if not sent:
                return False
            del self.owed[:sent]
            self._debt.give(sent)
        return True

    def sendfile(self, file: Any, offset: int = 0, count: int | None = None) -> int:
        """Send a file as any other answer."""
        file.seek(offset)
        whole = 0
        while count is None or whole < count:
            piece = file.read(PIECE if count is None else min(PIECE, count - whole))
            if not piece:
                break
            self.sendall(piece)
            whole += len(piece)
        return whole

    def close(self) -> None:
        """Hang up; nothing is owed any more."""
        debt = getattr(self, "owed", None)
        if debt:
            self._debt.give(len(debt))
            self.owed = bytearray()
        super().close()

    def _now(self, data: memoryview) -> int:
        with self._waiting(0):
            try:
                whole = 0
                while whole < len(data):
                    whole += self.send(data[whole : whole + PIECE])
            except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
                pass
            return whole

    def _insist(self, rest: memoryview) -> None:
        end = time.monotonic() + self.due(len(self.owed) + len(rest))
        owed, self.owed = self.owed, bytearray()
        self._debt.give(len(owed))
        for data in (memoryview(owed), rest):
            while data:
                left = end - time.monotonic()
                if left <= 0:
                    raise gone("the answer was not taken")
                with self._waiting(left):
                    try:
                        data = data[self.send(data[:PIECE]) :]
                    except TimeoutError:
                        raise gone("the answer was not taken") from None

    @contextlib.contextmanager
    def _waiting(self, seconds: float) -> Iterator[None]:
        usual = self.gettimeout()
        self.settimeout(seconds)
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                self.settimeout(usual)


class Plain(_Line):
    """A connection in the clear."""


class Secure(_Line, ssl.SSLSocket):
    """A connection under TLS."""


class Unhurried(SocketUnreader):  # type: ignore[misc]
    """What a thread still reads of a large body: so many seconds, and longer only by what really came."""

    def __init__(self, line: _Line, seconds: float, rate: int) -> None:
        super().__init__(line)
        self._seconds, self._rate = seconds, rate
        self.begin()

    def begin(self) -> None:
        """A new request: its time begins."""
        self._end = time.monotonic() + self._seconds

    def chunk(self, size_hint: int | None = None) -> bytes:
        """The next bytes. Raises TimeoutError once they came too slowly."""
        usual, left = self.sock.gettimeout(), self._end - time.monotonic()
        if left <= 0:
            raise gone("the request came too slowly")
        self.sock.settimeout(left if usual is None else min(usual, left))
        try:
            data: bytes = super().chunk(size_hint)
        except TimeoutError:
            raise gone("the request came too slowly") from None
        finally:
            self.sock.settimeout(usual)
        self._end += len(data) / self._rate
        return data
