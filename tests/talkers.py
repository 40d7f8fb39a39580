"""Small TCP servers on loopback that speak, keep silent, drip or never end."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

Speech = Callable[[socket.socket], None]


class Gone(Exception):
    """The test is over."""


class Talker:
    """One listening port; every connection is given to `speech` on a thread of its own."""

    def __init__(self, speech: Speech, address: str = "127.0.0.1") -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._listener = socket.create_server((address, 0), family=family, backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self.connections = 0
        self._speech = speech
        self._over = threading.Event()
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                line, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(line)
            thread = threading.Thread(target=self._talk, args=(line,))
            self._threads.append(thread)
            thread.start()

    def _talk(self, line: socket.socket) -> None:
        with contextlib.suppress(OSError, Gone, ValueError):
            self._speech(line)
        with contextlib.suppress(OSError):
            line.close()

    def pause(self, seconds: float) -> None:
        """Sleep inside a speech; ends the speech when the test is over."""
        if self._over.wait(seconds):
            raise Gone

    def close(self) -> None:
        self._over.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for line in self._open:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(line, socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)


@contextlib.contextmanager
def talking(speech: Callable[[Talker, socket.socket], None], address: str = "127.0.0.1") -> Iterator[Talker]:
    """A Talker whose speech also gets the Talker (for `pause`)."""
    made: list[Talker] = []
    ready = threading.Event()

    def speak(line: socket.socket) -> None:
        ready.wait(10)
        speech(made[0], line)

    made.append(Talker(speak, address))
    ready.set()
    try:
        yield made[0]
    finally:
        made[0].close()


def saying(data: bytes) -> Callable[[Talker, socket.socket], None]:
    """Say `data`, then wait for the far side to go."""

    def speech(talker: Talker, line: socket.socket) -> None:
        line.sendall(data)
        while line.recv(4096):
            pass

    return speech


def dripping(data: bytes, pause: float = 0.05) -> Callable[[Talker, socket.socket], None]:
    """Say `data` one byte at a time, for ever from the beginning."""

    def speech(talker: Talker, line: socket.socket) -> None:
        while True:
            for byte in data:
                line.sendall(bytes([byte]))
                talker.pause(pause)

    return speech


def silent(talker: Talker, line: socket.socket) -> None:
    """Take the connection and never say anything."""
    talker.pause(60)


def endless(talker: Talker, line: socket.socket) -> None:
    """Say more than anyone wants to hear, as fast as it is taken."""
    while True:
        line.sendall(b"x" * 65536)


def within(seconds: float) -> Callable[[], float]:
    """A stopwatch: call it to get the seconds passed, and fail when they are more than `seconds`."""
    start = time.monotonic()

    def stop() -> float:
        passed = time.monotonic() - start
        assert passed <= seconds, f"took {passed:.2f} s, {seconds:.2f} s are allowed"
        return passed

    return stop
