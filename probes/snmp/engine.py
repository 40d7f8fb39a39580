"""The SNMP engine: one UDP socket per address family for the whole fleet, on the caller's loop.

An answer counts only when its number, its source address and port, and its community (or engine, user and
digest) are those of a request under way. Everything else is dropped and cannot prolong a wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import struct
from collections.abc import Sequence

from probes.limits import Meter, TooMuch
from probes.names import Place
from probes.snmp import ber, message
from probes.snmp.ber import Malformed
from probes.snmp.message import HIGHEST_ID, LOWEST_ID, REPORT, RESPONSE, V3, Pdu
from probes.snmp.voice import Unauthentic, Voice

DRAIN = 256
"""The most datagrams taken in at one go: a flood may not hold the loop."""
BUFFER = 4 * 1024 * 1024
"""Octets of answers the kernel keeps while the loop is busy, as far as the system allows."""
PATIENCE = (1.0, 2.0, 4.0, 8.0)
"""Seconds until a request is sent again, each time anew, within the deadline."""
_LARGEST = 65535
_MSG_ERRQUEUE = getattr(socket, "MSG_ERRQUEUE", 0)
_IP_RECVERR, _IPV6_RECVERR = 11, 25  # linux/in.h, linux/in6.h
_ERROR = struct.Struct("@IBBBBII")  # sock_extended_err (linux/errqueue.h)


class Silent(Exception):
    """No answer within the time; `stray` is the address something came from instead, `why` why it was not believed."""

    def __init__(self, stray: str = "", why: str = "") -> None:
        super().__init__(stray, why)
        self.stray = stray
        self.why = why


class Blocked(Exception):
    """The network, the machine's own kernel or ours said why no answer will come."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class _Waiting:
    __slots__ = ("attempt", "datagram", "future", "meter", "place", "port", "stray", "timer", "voice", "why")

    def __init__(
        self, place: Place, port: int, voice: Voice, datagram: bytes, meter: Meter, future: asyncio.Future[Pdu]
    ) -> None:
        self.meter = meter
        self.place = place
        self.port = port
        self.voice = voice
        self.datagram = datagram
        self.future = future
        self.attempt = 0
        self.timer: asyncio.TimerHandle | None = None
        self.stray = ""
        self.why = ""


class _Line:
    """One family's socket on the loop."""

    def __init__(self, family: int, loop: asyncio.AbstractEventLoop, pending: dict[int, _Waiting]) -> None:
        self.socket = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        with contextlib.suppress(OSError):
            if family == socket.AF_INET6:
                self.socket.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVERR, 1)
            else:
                self.socket.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)
        self._loop = loop
        self._pending = pending
        loop.add_reader(self.socket, self.drain)

    def send(self, waiting: _Waiting) -> None:
        for attempt in (1, 2):
            try:
                self.socket.sendto(waiting.datagram, waiting.place.at(waiting.port))
                return
            except BlockingIOError:  # our own buffer is full: as if lost on the way, it is sent again
                return
            except OSError as error:
                if error.errno in (errno.ENOBUFS, errno.ENOMEM):
                    return
                # A pending error of an earlier request is reported here once; only the second is about this one.
                if attempt == 2:
                    _fail(waiting, Blocked(error.errno or errno.EIO))

    def drain(self) -> None:
        """Take in what has arrived."""
        receive, accept = self.socket.recvfrom, self._accept
        for _ in range(DRAIN):
            try:
                data, source = receive(_LARGEST)
            except BlockingIOError:
                return
            except OSError:  # the pending error of an earlier request: its story is in the error queue
                self._drain_errors()
                continue
            accept(data, source)

    def _accept(self, data: bytes, source: tuple[str, int]) -> None:
        try:
            waiting = self._pending.get(number_of(data))
            if waiting is None or waiting.future.done():
                return
            if source[1] != waiting.port or source[0].partition("%")[0] != waiting.place.address:
                waiting.stray = f"{source[0]} port {source[1]}"
                return
            found = waiting.voice.open(data)
        except (Malformed, Unauthentic) as error:
            if waiting := self._pending_from(source):
                waiting.why = str(error)
            return
        if found.kind == RESPONSE:
            if self._pending.get(found.request_id) is not waiting:
                return
        elif found.kind != REPORT:
            return
        try:
            waiting.meter.take(len(data))
        except TooMuch as much:
            _fail(waiting, much)
            return
        waiting.future.set_result(found)

    def _pending_from(self, source: tuple[str, int]) -> _Waiting | None:
        """A request to where something unreadable came from, to say so if nothing better comes."""
        address = source[0].partition("%")[0]
        for waiting in self._pending.values():
            if waiting.port == source[1] and waiting.place.address == address:
                return waiting
        return None

    def _drain_errors(self) -> None:
        if not _MSG_ERRQUEUE:
            return
        for _ in range(DRAIN):
            try:
                _, notes, _, target = self.socket.recvmsg(64, 512, _MSG_ERRQUEUE)
            except OSError:
                return
            for _, _, note in notes:
                if len(note) >= _ERROR.size and (code := _ERROR.unpack_from(note)[0]) != errno.EMSGSIZE:
                    self._blame((target[0], target[1]), code)

    def _blame(self, target: tuple[str, int], code: int) -> None:
        address = target[0].partition("%")[0]
        for waiting in list(self._pending.values()):
            if waiting.port == target[1] and waiting.place.address == address:
                _fail(waiting, Blocked(code))

    def close(self) -> None:
        if not self._loop.is_closed():
            self._loop.remove_reader(self.socket)
        self.socket.close()


def number_of(data: bytes) -> int:
    """The request id (v1, v2c) or message number (v3) of a datagram. Raises Malformed."""
    version, at, end = message.version_of(data)
    if version != V3:
        _, at = ber.octets(data, at, end)
    _, inner, stop = ber.element(data, at, end)
    return ber.whole(data, inner, stop)[0]


def _fail(waiting: _Waiting, error: Exception) -> None:
    if not waiting.future.done():
        waiting.future.set_exception(error)


class Engine:
    """Requests for everybody on one asyncio loop; kept in the caller's Keep and used only from that loop."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lines: dict[int, _Line] = {}
        self._pending: dict[int, _Waiting] = {}

    async def ask(
        self,
        place: Place,
        port: int,
        voice: Voice,
        kind: int,
        names: Sequence[bytes],
        until: float,
        meter: Meter,
        first: int = 0,
        second: int = 0,
    ) -> Pdu:
        """The PDU that answers one request: a Response or (v3) a Report.

        `names` are encoded object names, `first` and `second` non-repeaters and max-repetitions of a GetBulk,
        `until` the moment (of `time.monotonic`, which is the loop's clock) at which to give up. The request
        is sent again meanwhile. Raises Silent, Blocked or limits.TooMuch.
        """
        line = self._line(place.family)
        number = self._number()
        assert self._loop is not None  # set by _line
        waiting = _Waiting(
            place, port, voice, voice.ask(number, kind, tuple(names), first, second), meter, self._loop.create_future()
        )
        self._pending[number] = waiting
        try:
            self._send(line, waiting, until)
            found = await waiting.future
        finally:
            del self._pending[number]
            if waiting.timer is not None:
                waiting.timer.cancel()
        return found

    def close(self) -> None:
        """Close the sockets; requests under way end as unanswered."""
        for line in self._lines.values():
            line.close()
        self._lines.clear()
        for waiting in self._pending.values():
            if waiting.timer is not None:
                waiting.timer.cancel()
            if not waiting.future.done() and not waiting.future.get_loop().is_closed():
                waiting.future.set_exception(Silent())

    def _send(self, line: _Line, waiting: _Waiting, until: float) -> None:
        """Send, and set the clock for sending again or giving up."""
        assert self._loop is not None  # only ever called by that loop
        now = self._loop.time()
        if now >= until:
            _fail(waiting, Silent(waiting.stray, waiting.why))
            return
        line.send(waiting)
        waiting.meter.sent += len(waiting.datagram)
        wait = PATIENCE[min(waiting.attempt, len(PATIENCE) - 1)]
        waiting.attempt += 1
        # What is left when the next attempt could no longer be answered is waited out, not sent into.
        again = now + wait if now + 1.25 * wait < until else until
        waiting.timer = self._loop.call_at(again, self._send, line, waiting, until)

    def _number(self) -> int:
        while True:
            number = LOWEST_ID + int.from_bytes(os.urandom(4)) % (HIGHEST_ID - LOWEST_ID)
            if number not in self._pending:
                return number

    def _line(self, family: int) -> _Line:
        loop = asyncio.get_running_loop()
        if self._loop is not loop:  # a new loop (the command line makes one per command): old readers are void
            self.close()
            self._loop = loop
        if family not in self._lines:
            self._lines[family] = _Line(family, loop, self._pending)
        return self._lines[family]


__all__ = ["Blocked", "Engine", "Silent", "TooMuch", "number_of"]
