"""What machines say unasked: SNMP traps and syslog, taken in, counted, noted, and answered by a look.

Everything here can be forged by whoever sends a datagram. So nothing heard is a state: it becomes a note, held
to so many a minute for each machine, and an immediate look, held to one in ten seconds. Only machines that are
watched are heard; traps must besides carry the community or user of one of their SNMP checks.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any

import psycopg
from psycopg import AsyncConnection

from poller.plan import HostPlan, Plan
from probes import names, syslog
from probes.base import Keep
from probes.limits import clean
from probes.snmp import speak
from probes.snmp.ber import Malformed
from probes.snmp.traps import Heard, Trap
from probes.snmp.usm import Unauthentic, User
from probes.snmp.voice import Community, Known

_log = logging.getLogger("poller")
NOTES_AT_ONCE, NOTE_EVERY = 30, 30.0
"""Notes one machine can cause at once, and seconds for each further one; the rest is counted and told with the next."""
LOOK_EVERY = 10.0
"""Seconds between two looks a machine can cause by speaking."""
WAITING = 5_000
"""Notes kept while PostgreSQL is away."""
NOTED = 3
"""Syslog messages as bad as this (error) or worse become notes."""
LINE = 8192
STREAMS, STREAMS_EACH = 200, 4
"""Connections that may send syslog over TCP at once: of all machines, and of one."""
NAMES_EVERY = 300.0
_INSERT = (
    "insert into note (host_id, at, source, severity, text)"
    " select %s, to_timestamp(%s), %s, %s, %s where exists (select from host where id = %s)"
)


@dataclass(slots=True)
class _Speaker:
    """One machine as heard."""

    host: HostPlan
    communities: tuple[str, ...] = field(repr=False)
    users: tuple[User, ...]
    left: float = NOTES_AT_ONCE
    noted: float = 0.0
    more: int = 0
    looked: float = 0.0


@dataclass(slots=True)
class Counts:
    """What was heard since the start."""

    traps: int = 0
    syslog: int = 0
    strangers: int = 0
    refused: int = 0
    lost: int = 0


@dataclass(slots=True)
class Ears:
    """Listens at `traps` and `syslog` (address, port; None: not at all). `look` is called with machines to look at now."""

    url: str = field(repr=False)
    keep: Keep
    look: Callable[[HostPlan], None]
    traps: tuple[str, int] | None
    syslog: tuple[str, int] | None
    counts: Counts = field(default_factory=Counts)
    _speakers: dict[str, _Speaker] = field(default_factory=dict)
    _heard: Heard = field(default_factory=Heard)
    _notes: deque[tuple[int, float, str, int, str]] = field(default_factory=deque)
    _wake: asyncio.Event = field(default_factory=asyncio.Event)
    _open: list[Any] = field(default_factory=list)
    _plan: Plan = field(default_factory=lambda: Plan({}))
    _streams: Counter[str] = field(default_factory=Counter)

    async def open(self) -> None:
        """Begin to listen. Raises OSError with a sentence where an address cannot be taken: then at none of them."""
        try:
            for at, hear in ((self.traps, self.hear_trap), (self.syslog, self.hear_line)):
                if at is not None:
                    await self._datagrams(at, hear)
            if self.syslog is not None:
                await self._stream_server(self.syslog)
        except OSError:
            self.close()
            raise

    async def _datagrams(
        self, at: tuple[str, int], hear: Callable[[bytes, str, Callable[[bytes], None]], None]
    ) -> None:
        try:
            transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
                partial(_Datagrams, hear), local_addr=at
            )
        except OSError as error:
            raise OSError(_blocked(at, "UDP", error)) from None
        self._open.append(transport)

    async def _stream_server(self, at: tuple[str, int]) -> None:
        try:
            self._open.append(await asyncio.start_server(self._stream, *at, limit=LINE))
        except OSError as error:
            raise OSError(_blocked(at, "TCP", error)) from None
        syslog.inbox(self.keep).listening = True

    async def plan(self, plan: Plan) -> None:
        """Take over who is watched, and where each one speaks from."""
        self._plan = plan
        if self.traps is None and self.syslog is None:
            return
        found: dict[str, _Speaker] = {}
        asked = await asyncio.gather(*(self._addresses(host) for host in plan.hosts.values()))
        for host, addresses in zip(plan.hosts.values(), asked, strict=True):
            communities, users = _secrets(host)
            for address in addresses:
                known = self._speakers.get(address)
                speaker = _Speaker(host, communities, users)
                if known is not None and known.host.id == host.id:
                    speaker.left, speaker.noted, speaker.more, speaker.looked = (
                        known.left, known.noted, known.more, known.looked,
                    )  # fmt: skip
                found[address] = speaker
        self._speakers = found

    async def follow(self) -> None:
        """Names may move: look them up again now and then."""
        while True:
            await asyncio.sleep(NAMES_EVERY)
            await self.plan(self._plan)

    def hear_trap(self, data: bytes, address: str, back: Callable[[bytes], None]) -> None:
        """One datagram at the port for traps."""
        speaker = self._speakers.get(address)
        if speaker is None:
            self.counts.strangers += 1
            return
        try:
            trap: Trap = self._heard.read(data, speaker.communities, speaker.users)
        except (Malformed, Unauthentic, ValueError):
            self.counts.refused += 1
            return
        self.counts.traps += 1
        if trap.answer:
            back(trap.answer)
        self._note(speaker, "trap", trap.severity, trap.text)
        self._look(speaker)

    def hear_line(self, data: bytes, address: str, _back: Callable[[bytes], None] | None = None) -> None:
        """One syslog message."""
        speaker = self._speakers.get(address)
        if speaker is None:
            self.counts.strangers += 1
            return
        self.counts.syslog += 1
        line = syslog.parse(data)
        syslog.inbox(self.keep).add(address, line)
        if line.severity <= NOTED:
            self._note(speaker, "syslog", line.severity, line.text)

    async def write(self) -> None:
        """Bring notes to PostgreSQL, for ever; while it is away they wait. Nothing to do where nobody listens."""
        if self.traps is None and self.syslog is None:
            await asyncio.Event().wait()
        while True:
            try:
                async with await AsyncConnection.connect(
                    self.url, autocommit=True, connect_timeout=3, application_name="pantau ears"
                ) as connection:
                    await self._write_with(connection)
            except psycopg.Error:
                await asyncio.sleep(2)

    async def _write_with(self, connection: AsyncConnection[Any]) -> None:
        while True:
            if not self._notes:
                self._wake.clear()
                await self._wake.wait()
                await asyncio.sleep(0.3)  # many as one
            batch = list(islice(self._notes, 200))
            async with connection.transaction():
                await connection.cursor().executemany(_INSERT, [(*row, row[0]) for row in batch])
            for _ in batch:
                self._notes.popleft()

    def close(self) -> None:
        """Listen no more."""
        for each in self._open:
            each.close()
        self._open.clear()

    def _note(self, speaker: _Speaker, source: str, severity: int, text: str) -> None:
        now = time.monotonic()
        speaker.left = min(NOTES_AT_ONCE, speaker.left + (now - speaker.noted) / NOTE_EVERY)
        speaker.noted = now
        if speaker.left < 1:
            speaker.more += 1
            return
        if speaker.more:
            self._put(speaker.host.id, source, 5, f"{speaker.more} more messages came meanwhile and were not noted.")
        speaker.left, speaker.more = speaker.left - 1, 0
        self._put(speaker.host.id, source, severity, text)

    def _put(self, host_id: int, source: str, severity: int, text: str) -> None:
        if len(self._notes) >= WAITING:
            self.counts.lost += 1
            return
        self._notes.append((host_id, time.time(), source, severity, clean(text, 500)))
        self._wake.set()

    def _look(self, speaker: _Speaker) -> None:
        now = time.monotonic()
        if now - speaker.looked >= LOOK_EVERY:
            speaker.looked = now
            self.look(speaker.host)

    async def _addresses(self, host: HostPlan) -> Sequence[str]:
        try:
            return [place.address for place in await names.of(self.keep).find_soon(host.address, 2.0)]
        except names.Unresolved:
            return []

    async def _stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Syslog over TCP: octet counts or lines (RFC 6587). A stranger, and a line without end, is hung up on."""
        peer = writer.get_extra_info("peername")  # None where it hung up before we could ask
        address = _bare(peer[0]) if peer else ""
        self._streams[address] += 1
        self._open.append(writer)
        try:
            full = self._streams[address] > STREAMS_EACH or self._streams.total() > STREAMS
            if full or address not in self._speakers:
                self.counts.strangers += 1
                return
            while True:
                async with asyncio.timeout(3600):
                    line = await _framed(reader)
                if not line:
                    return
                self.hear_line(line, address)
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError, OSError, TimeoutError):
            return
        except asyncio.CancelledError:  # the poller stops; asyncio of Python 3.11 would call that a fault
            return
        finally:
            self._streams[address] -= 1
            if not self._streams[address]:
                del self._streams[address]
            if writer in self._open:
                self._open.remove(writer)
            writer.close()


async def _framed(reader: asyncio.StreamReader) -> bytes:
    first = await reader.read(1)
    if not first:
        return b""
    if first.isdigit() and first != b"0":
        size = first + await reader.readuntil(b" ")
        if not size.strip().isdigit() or int(size) > LINE:
            raise ValueError("a frame that is too long")
        return await reader.readexactly(int(size))
    return first + await reader.readuntil(b"\n")


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, hear: Callable[[bytes, str, Callable[[bytes], None]], None]) -> None:
        self._hear = hear
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        self._hear(
            data, _bare(addr[0]), lambda answer: self._transport.sendto(answer, addr) if self._transport else None
        )

    def error_received(self, exc: Exception) -> None:
        """An answer of ours did not arrive: no matter."""


def _bare(address: str) -> str:
    """An address as a plan knows it: without the interface, and of version 4 where it is only wrapped in 6."""
    return address.partition("%")[0].removeprefix("::ffff:")


def _secrets(host: HostPlan) -> tuple[tuple[str, ...], tuple[User, ...]]:
    """Communities and users of the machine's SNMP checks."""
    communities, users = [], []
    for check in host.checks:
        if check.kind == "snmp" and check.options is not None:
            try:
                voice = speak(check.options, check.secret)
            except UnicodeError:  # a secret that is no text: its check says so itself, and all others are heard
                continue
            if isinstance(voice, Community):
                communities.append(voice.word.decode("utf-8", "replace"))
            elif isinstance(voice, Known):
                users.append(voice.user)
    return tuple(communities), tuple(users)


def _blocked(at: tuple[str, int], what: str, error: OSError) -> str:
    return (
        f"Pantau cannot listen at {at[0]} port {at[1]} ({what}): {error.strerror or error}. Choose another port, or allow it: "
        "ports below 1024 need root, or the capability cap_net_bind_service."
    )
