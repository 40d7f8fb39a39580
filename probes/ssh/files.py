"""A machine's files over SFTP, to list and to read: the few requests that takes (draft-ietf-secsh-filexfer-02).

Own code and strict, as the far side may send anything: every length is checked against what is there, names are
octets, and whatever does not answer the request just made is Broken.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from probes.limits import Deadline, Meter, clean

PACKET = 256 * 1024
"""The most bytes of one answer; every client and server keeps to it (OpenSSH's SFTP_MAX_MSG_LENGTH)."""
CHUNK = 32 * 1024
"""Bytes asked for at once: what every server must be able to give."""
_INIT, _OPEN, _CLOSE, _READ, _OPENDIR, _READDIR, _STAT = 1, 3, 4, 5, 11, 12, 17
_VERSION, _STATUS, _HANDLE, _DATA, _NAME, _ATTRS = 2, 101, 102, 103, 104, 105
_EOF = 1
_REASONS = {2: "there is no such place", 3: "this account may not read it"}
_TO_READ = 1


class Unreadable(Exception):
    """The machine says why it does not give this; the text goes on after "cannot be read, "."""


class Broken(Exception):
    """The session no longer works; a fresh one may."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A file as the machine tells of it; `size` in bytes, `changed` seconds since the epoch, `mode` as in stat(2)."""

    name: bytes = b""
    size: int = 0
    mode: int | None = None
    changed: int = 0


class Files:
    """One conversation over a channel that runs the sftp subsystem; `allow` is called before each request."""

    def __init__(
        self,
        send: Callable[[bytes], None],
        receive: Callable[[int], bytes],
        allow: Callable[[], None],
        deadline: Deadline,
        meter: Meter,
    ) -> None:
        self._send, self._receive, self._allow = send, receive, allow
        self._deadline, self._meter = deadline, meter
        self._number = 0
        send(_packet(_INIT, struct.pack(">I", 3)))
        kind, _ = self._take()
        if kind != _VERSION:
            raise Broken("its SFTP does not speak SFTP")

    def stat(self, path: str) -> Entry:
        """What is at `path`, links followed. Raises Unreadable, and as all here Broken, TooLate, TooMuch."""
        answer = self._ask(_STAT, _text(path.encode()), _ATTRS)
        return answer.entry(b"")

    def entries(self, directory: str) -> Iterator[Entry]:
        """What is in `directory`, in no order, without `.` and `..`; links are not followed. Raises as `stat`."""
        handle = self._ask(_OPENDIR, _text(directory.encode()), _HANDLE).text()
        while True:
            try:
                page = self._ask(_READDIR, _text(handle), _NAME)
            except EOFError:
                break
            count = page.number()
            if not count:
                raise Broken("its SFTP lists nothing, and again nothing")
            for _ in range(count):
                name, _long = page.text(), page.text()
                entry = page.entry(name)
                if name not in (b".", b".."):
                    yield entry
        self._close(handle)

    def read(self, path: str, start: int, size: int) -> bytes:
        """Up to `size` bytes of the file at `path` from `start` on. Raises as `stat`."""
        handle = self._ask(_OPEN, _text(path.encode()) + struct.pack(">II", _TO_READ, 0), _HANDLE).text()
        found = bytearray()
        while len(found) < size:
            place = struct.pack(">QI", start + len(found), min(CHUNK, size - len(found)))
            try:
                block = self._ask(_READ, _text(handle) + place, _DATA).text()
            except EOFError:
                break
            if not block:
                break
            found += block
        self._close(handle)
        return bytes(found[:size])

    def _close(self, handle: bytes) -> None:
        self._ask(_CLOSE, _text(handle), _STATUS)

    def _ask(self, kind: int, content: bytes, expected: int) -> _Content:
        """The content of the answer to one request. Raises EOFError where the machine says that this was all."""
        self._allow()
        self._number += 1
        self._send(_packet(kind, struct.pack(">I", self._number) + content))
        got, answer = self._take()
        if answer.number() != self._number:
            raise Broken("its SFTP answers another request")
        if got == expected:
            return answer
        if got != _STATUS:
            raise Broken("its SFTP answers with something else")
        code = answer.number()
        if code == _EOF:
            raise EOFError
        raise Unreadable(_REASONS.get(code) or clean(answer.text(), 80) or "the machine gives no reason")

    def _take(self) -> tuple[int, _Content]:
        size = int.from_bytes(self._exactly(4))
        if not 1 <= size <= PACKET:
            raise Broken("its SFTP does not speak SFTP")
        content = self._exactly(size)
        return content[0], _Content(content, 1)

    def _exactly(self, size: int) -> bytes:
        found = bytearray()
        while len(found) < size:
            self._deadline.check()
            block = self._receive(size - len(found))
            if not block:
                raise Broken("its SFTP hung up")
            self._meter.take(len(block))
            found += block
        return bytes(found)


class _Content:
    """Reads fields one after the other; raises Broken where there are no more."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data, self._at = data, at

    def take(self, size: int) -> bytes:
        start, self._at = self._at, self._at + size
        if self._at > len(self._data):
            raise Broken("an answer of its SFTP ends early")
        return self._data[start : self._at]

    def number(self) -> int:
        return int.from_bytes(self.take(4))

    def text(self) -> bytes:
        return self.take(self.number())

    def entry(self, name: bytes) -> Entry:
        """The attributes of a file (section 5)."""
        flags = self.number()
        size = int.from_bytes(self.take(8)) if flags & 1 else 0
        if flags & 2:
            self.take(8)
        mode = self.number() if flags & 4 else None
        changed = int.from_bytes(self.take(8)[4:]) if flags & 8 else 0
        if flags & 0x80000000:
            for _ in range(self.number()):
                self.text()
                self.text()
        return Entry(name, size, mode, changed)


def _text(content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + content


def _packet(kind: int, content: bytes) -> bytes:
    return struct.pack(">IB", len(content) + 1, kind) + content
