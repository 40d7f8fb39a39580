"""The ping engine: one socket per family for the whole fleet, one timer for all that is due.

An echo counts as answered only when index, nonce of the round, time of sending and source address agree.
A host that is silent costs a slot in an array and its share of one deadline, never a task or a timer.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import heapq
import itertools
import os
import socket
import struct
import sys
import time
from array import array
from collections.abc import Iterable, Sequence

from probes.icmp import packet
from probes.icmp.packet import BODY, BODY_BYTES, HEADER_BYTES, V4, V6, Dialect
from probes.names import Place

BURST = 64
"""The most echoes sent before the answers are taken in."""
DRAIN = 1024
"""The most datagrams taken in at one go: a flood may not hold the loop."""
TICK = 0.002
"""Echoes due within this many seconds leave together, which spares the loop most of its wake-ups."""
SILENT = -1.0
THE_END = -1

_STAMP = getattr(socket, "SO_TIMESTAMPNS", 35)
_TIME = struct.Struct("@qq")
_ERROR = struct.Struct("@IBBBBII")  # sock_extended_err (linux/errqueue.h)


class Round:
    """A number of echoes and what came back. `rtt[i]` is in seconds, or SILENT."""

    __slots__ = ("done", "errors", "nonce", "padding", "places", "rtt", "sent", "waiting", "wall")

    def __init__(self, places: Sequence[Place], size: int = BODY_BYTES) -> None:
        self.places = places
        self.nonce = os.urandom(8)
        self.padding = bytes(max(0, size - BODY_BYTES))
        self.rtt = array("d", [SILENT]) * len(places)
        self.sent = array("d", [0.0]) * len(places)
        self.wall = array("d", [0.0]) * len(places)
        self.waiting = 0
        self.errors: dict[int, tuple[int, str]] = {}
        self.done: asyncio.Future[None] | None = None

    def answered(self, index: int, sent: float, source: str, now: float, wall: float) -> None:
        """Take in one reply if it is the answer to echo `index` and no other.

        The time is the kernel's stamp against our wall clock, bounded by the monotonic clock on both
        sides, so neither a busy loop nor a step of the wall clock can bend it far.
        """
        if index >= len(self.places) or self.rtt[index] != SILENT or sent != self.sent[index] or not sent:
            return
        if source != self.places[index].address:
            return
        upper = now - sent
        stamped = wall - self.wall[index]
        self.rtt[index] = stamped if 0.0 < stamped < upper else upper
        self._settle()

    def failed(self, index: int, code: int, by: str) -> None:
        """Note that the network, or our own side, said why echo `index` cannot be answered."""
        if index < len(self.places) and index not in self.errors:
            self.errors[index] = (code, by)

    def _settle(self) -> None:
        self.waiting -= 1
        if self.waiting <= 0:
            self.end()

    def end(self) -> None:
        """Wake whoever waits for this round."""
        if self.done is not None and not self.done.done() and not self.done.get_loop().is_closed():
            self.done.set_result(None)


class _Line:
    """One family's socket on the loop."""

    def __init__(self, dialect: Dialect, loop: asyncio.AbstractEventLoop, rounds: dict[bytes, Round]) -> None:
        self.dialect = dialect
        self.ident = int.from_bytes(os.urandom(2)) or 1
        self.socket, self.mode = packet.open_socket(dialect, self.ident)
        with contextlib.suppress(OSError):
            self.socket.setsockopt(socket.SOL_SOCKET, _STAMP, 1)
        self._summed = self.mode == "raw" and dialect is V4
        self._rounds = rounds
        self._loop = loop
        loop.add_reader(self.socket, self.drain)

    def send(self, round: Round, index: int) -> bool:
        """Send echo `index` of `round`; False when the kernel's buffer is full and it must be tried again."""
        sent = time.monotonic()
        round.sent[index] = sent
        round.wall[index] = time.time()
        data = packet.request(self.dialect, self.ident, index, round.nonce, sent, round.padding, self._summed)
        for attempt in (1, 2):
            try:
                self.socket.sendto(data, round.places[index].at())
                return True
            except BlockingIOError:
                return False
            except OSError as error:
                if error.errno in (errno.ENOBUFS, errno.ENOMEM):
                    return False
                # A pending error of an earlier echo is reported here once; only the second is about this one.
                if attempt == 2:
                    round.failed(index, error.errno or errno.EIO, "")
        return True

    def drain(self) -> None:
        """Take in what has arrived."""
        receive, accept = self.socket.recvmsg, self._accept
        for _ in range(DRAIN):
            try:
                data, notes, _, source = receive(2048, 64)
            except BlockingIOError:
                break
            except OSError:  # the pending error of an earlier echo: its story is in the error queue
                self._drain_errors()
                continue
            accept(data, notes, source[0])
        self._drain_errors()

    def _accept(self, data: bytes, notes: list[tuple[int, int, bytes]], source: str) -> None:
        now = time.monotonic()
        start = (data[0] & 15) * 4 if data and data[0] >> 4 == 4 else 0  # raw IPv4 brings the IP header along
        at = start + HEADER_BYTES
        if len(data) < at + BODY_BYTES or data[start] != self.dialect.reply:
            return
        index, nonce, sent = BODY.unpack_from(data, at)
        round = self._rounds.get(nonce)
        if round is not None:
            wall = 0.0
            if notes and len(notes[0][2]) == _TIME.size:
                seconds, nanos = _TIME.unpack(notes[0][2])
                wall = seconds + nanos / 1e9
            round.answered(index, sent, source.partition("%")[0], now, wall)

    def _drain_errors(self) -> None:
        if not packet.MSG_ERRQUEUE:
            return
        for _ in range(DRAIN):
            try:
                data, notes, _, _ = self.socket.recvmsg(2048, 512, packet.MSG_ERRQUEUE)
            except OSError:
                return
            self._blame(data, notes)

    def _blame(self, data: bytes, notes: list[tuple[int, int, bytes]]) -> None:
        """One ICMP error that quotes an echo of ours (quotes too short to carry our nonce are ignored)."""
        if len(data) < HEADER_BYTES + BODY_BYTES or data[0] != self.dialect.request:
            return
        index, nonce, _ = BODY.unpack_from(data, HEADER_BYTES)
        round = self._rounds.get(nonce)
        if round is None:
            return
        for _, _, note in notes:
            if len(note) > _ERROR.size and (code := _ERROR.unpack_from(note)[0]) != errno.EMSGSIZE:
                round.failed(index, code, _offender(note[_ERROR.size :]))
                return

    def close(self) -> None:
        if not self._loop.is_closed():
            self._loop.remove_reader(self.socket)
        self.socket.close()


class Engine:
    """Echoes for everybody on one asyncio loop; kept in the caller's Keep and used only from that loop."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lines: dict[int, _Line] = {}
        self._rounds: dict[bytes, Round] = {}
        self._due: list[tuple[float, int, Round, int]] = []
        self._order = itertools.count()
        self._timer: asyncio.TimerHandle | None = None

    async def series(self, place: Place, count: int, gap: float, wait: float, size: int, more: int = 0) -> Round:
        """`count` echoes to one place, `gap` seconds apart, and `more` if none of the first came back.

        Ends as soon as everything sent is answered, or `wait` seconds after the last echo. A late answer to
        any of them counts until then. Raises packet.NotPermitted, or OSError where the family is missing.
        """
        self._line(place.family)
        round = Round([place] * (count + more), size)
        self._rounds[round.nonce] = round
        try:
            await self._part(round, range(count), gap, wait)
            if more and max(round.rtt) == SILENT:
                await self._part(round, range(count, count + more), gap, wait)
        finally:
            self._rounds.pop(round.nonce, None)
        return round

    async def sweep(
        self,
        places: Sequence[Place],
        wait: float = 1.0,
        tries: int = 1,
        over: float = 0.0,
        size: int = BODY_BYTES,
    ) -> list[float | None]:
        """One echo to each place, up to `tries` to the silent; round-trip seconds or None, in order.

        `over` spreads the sending over that many seconds (0: as fast as answers can be taken in).
        """
        for family in {place.family for place in places}:
            self._line(family)
        best: list[float | None] = [None] * len(places)
        asked: Sequence[int] = range(len(places))
        for _ in range(tries):
            round = Round([places[i] for i in asked], size)
            self._rounds[round.nonce] = round
            try:
                await self._all(round, wait, over * len(asked) / max(1, len(places)))
            finally:
                self._rounds.pop(round.nonce, None)
            for at, i in enumerate(asked):
                if round.rtt[at] != SILENT:
                    best[i] = round.rtt[at]
            asked = [i for i in asked if best[i] is None]
            if not asked:
                break
        return best

    def close(self) -> None:
        """Close the sockets; rounds under way end with what they have."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for line in self._lines.values():
            line.close()
        self._lines.clear()
        self._due.clear()
        for round in self._rounds.values():
            round.end()

    def _line(self, family: int) -> _Line:
        loop = asyncio.get_running_loop()
        if self._loop is not loop:  # a new loop (the command line makes one per command): old readers are void
            self.close()
            self._loop = loop
        if family not in self._lines:
            self._lines[family] = _Line(V4 if family == socket.AF_INET else V6, loop, self._rounds)
        return self._lines[family]

    async def _part(self, round: Round, indexes: range, gap: float, wait: float) -> None:
        """Queue these echoes and wait for their answers."""
        loop = asyncio.get_running_loop()
        round.waiting += len(indexes)
        round.done = loop.create_future()
        start = loop.time()
        for step, index in enumerate(indexes):
            heapq.heappush(self._due, (start + step * gap, next(self._order), round, index))
        end = start + (len(indexes) - 1) * gap + wait
        heapq.heappush(self._due, (end, next(self._order), round, THE_END))
        self._arm()
        await round.done

    async def _all(self, round: Round, wait: float, over: float) -> None:
        """Send every echo of `round` in bursts and wait for the answers."""
        count = len(round.places)
        round.waiting = count
        round.done = asyncio.get_running_loop().create_future()
        start = time.monotonic()
        for first in range(0, count, BURST):
            for index in range(first, min(first + BURST, count)):
                while not self._line(round.places[index].family).send(round, index):
                    await asyncio.sleep(TICK)
            for line in self._lines.values():
                line.drain()
            ahead = start + over * first / count - time.monotonic() if over else 0.0
            await asyncio.sleep(max(0.0, ahead))
        if round.waiting:
            await asyncio.wait([round.done], timeout=wait)

    def _arm(self) -> None:
        """One timer for all that is due."""
        if not self._due or self._loop is None:
            return
        if self._timer is not None:
            if self._timer.when() <= self._due[0][0]:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(self._due[0][0], self._wake)

    def _wake(self) -> None:
        """Send what is due, at most a burst, and take in what has come back meanwhile."""
        self._timer = None
        assert self._loop is not None  # only ever called by that loop
        soon = self._loop.time() + TICK
        ended: list[Round] = []
        for _ in range(BURST):
            if not self._due or self._due[0][0] > soon:
                break
            _, order, round, index = heapq.heappop(self._due)
            if round.nonce not in self._rounds:
                continue
            if index == THE_END:
                ended.append(round)
            elif not self._line(round.places[index].family).send(round, index):
                heapq.heappush(self._due, (soon, order, round, index))
                break
        for line in self._lines.values():
            line.drain()
        for round in ended:  # after the drain: an answer already here is not late
            round.end()
        self._arm()


def errors_of(round: Round) -> Iterable[tuple[int, str]]:
    """What the network said about the echoes of `round`: (error number, who said it or "")."""
    return round.errors.values()


def _offender(name: bytes) -> str:
    """The address in the sockaddr after a sock_extended_err."""
    family = int.from_bytes(name[:2], sys.byteorder)
    if family == socket.AF_INET and len(name) >= 8:
        return socket.inet_ntop(socket.AF_INET, name[4:8])
    if family == socket.AF_INET6 and len(name) >= 24:
        return socket.inet_ntop(socket.AF_INET6, name[8:24])
    return ""
