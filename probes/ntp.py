"""A time server: does it answer, is it itself synchronised, and how far is its clock from ours (SNTP, RFC 5905)."""

from __future__ import annotations

import asyncio
import errno
import secrets
import socket
import struct
import time
from dataclasses import dataclass

from domain import clock
from domain.options import option
from domain.reading import Cost, Fact, Failure, FailureKind, Measure, Reading, Target
from probes import names
from probes.base import Keep, Probe, Produces
from probes.limits import Deadline, clean
from probes.names import Place
from probes.tcp import refusal

PACKET = struct.Struct("!BBbbII4sQQQQ")
"""RFC 5905, figure 8: flags, stratum, poll, precision, root delay, root dispersion, reference id, four timestamps."""
ASK = 0x23
"""Leap 0, version 4, mode 3 (client)."""
UNIX = 2_208_988_800
"""Seconds from 1900, where NTP begins to count, to 1970."""
ERA = 1 << 32
UNSYNCHRONISED = 16
STRAYS = 50
"""The most packets that are no answer to our question before the look is given up."""


@dataclass(frozen=True, slots=True)
class Options:
    """Where time is told, and how far off it may be."""

    port: int = option("Port", default=123, low=1, high=65535)
    samples: int = option("Questions", default=3, low=1, high=8, help="The quickest answer counts.")
    most: float = option("Fail when off by more than", default=0.0, low=0, high=86400, help="Seconds; 0: never.")
    family: str = option("IP version", default="any", choices=("any", "4", "6"))


@dataclass(frozen=True, slots=True)
class Sample:
    """One answer, and what it says of the server's clock: `offset` is the server's time less ours."""

    offset: float
    delay: float
    leap: int
    stratum: int
    root_delay: float
    root_dispersion: float
    reference: bytes
    age: float | None


async def look(target: Target, keep: Keep) -> Reading:
    """Ask a few times; the answer that took least time says most about the clock (RFC 5905, section 10)."""
    deadline = Deadline(target.deadline)
    options: Options = target.options
    try:
        places = await names.of(keep).find_soon(target.address, deadline.remaining(), options.family)
    except names.Unresolved as unresolved:
        return unresolved.reading()
    asked = _Asked(places[0], options.port, deadline)
    try:
        samples = await asked.collect(options.samples)
    except Told as told:
        return Reading(failure=told.failure, cost=asked.cost)
    except OSError as error:
        return Reading(failure=asked.refused(error), cost=asked.cost)
    best = min(samples, key=lambda sample: sample.delay)
    return Reading(tuple(_measures(best)), _facts(best), _wrong(best, options), asked.cost)


class Told(Exception):
    """The look ends here, with this failure."""

    def __init__(self, kind: FailureKind, detail: str) -> None:
        super().__init__(detail)
        self.failure = Failure(kind, detail)


class _Asked:
    """One look under way."""

    def __init__(self, place: Place, port: int, deadline: Deadline) -> None:
        self._place, self._port, self._deadline = place, port, deadline
        self._where = f"Port {port} on {place.address}"
        self.sent = self.received = 0

    @property
    def cost(self) -> Cost:
        """Bytes of the questions and of all that came back."""
        return Cost(self.sent, self.received)

    async def collect(self, wanted: int) -> list[Sample]:
        """At least one sample, at most `wanted`. Raises Told, OSError."""
        found: list[Sample] = []
        with socket.socket(self._place.family, socket.SOCK_DGRAM) as line:
            line.setblocking(False)
            # Connected: the kernel keeps out whatever another address or port says.
            await asyncio.get_running_loop().sock_connect(line, self._place.at(self._port))
            # One question may be lost, with or without its answer: then the time is shared with one more.
            for turn in range(max(2, wanted)):
                share = self._deadline.remaining() / (2 if not found and turn == 0 else 1)
                try:
                    async with asyncio.timeout(share if not found else min(share, 1.0)):
                        found.append(await self._once(line))
                except TimeoutError:
                    if found or turn:
                        break
                if len(found) >= wanted or (found and self._deadline.remaining() < self._deadline.seconds / 2):
                    break
        if not found:
            raise Told(FailureKind.TIMEOUT, f"{self._where} did not answer within {self._deadline.seconds:g} s.")
        return found

    async def _once(self, line: socket.socket) -> Sample:
        loop = asyncio.get_running_loop()
        nonce = secrets.randbits(64) | 1  # for our time of sending: it need not be the time, only come back
        question = PACKET.pack(ASK, 0, 0, 0, 0, 0, b"", 0, 0, 0, nonce)
        ours, start = clock.now().timestamp(), time.monotonic()
        await loop.sock_sendall(line, question)
        self.sent += len(question)
        for _ in range(STRAYS):
            data = await loop.sock_recv(line, 2048)
            took = time.monotonic() - start
            self.received += len(data)
            if (sample := read(data, nonce, ours, took)) is not None:
                return sample
        raise Told(FailureKind.REFUSED, f"{self._where} sends much, but nothing that answers what was asked.")

    def refused(self, error: OSError) -> Failure:
        """What a socket's error means."""
        if error.errno == errno.ECONNREFUSED:
            return Failure(FailureKind.REFUSED, f"{self._where} refuses questions: no time server listens there.")
        return refusal(error, self._where)


def read(data: bytes, nonce: int, ours: float, took: float) -> Sample | None:
    """`data` as the answer to the question that bore `nonce`, sent at `ours` (Unix time), `took` seconds ago.

    None for what answers no question of ours. Raises Told for an answer that declines.
    """
    if len(data) < PACKET.size:
        return None
    flags, stratum, _, _, root_delay, root_dispersion, reference, referred, origin, received, sent = PACKET.unpack_from(
        data
    )
    if flags & 7 != 4 or not 1 <= flags >> 3 & 7 <= 4 or origin != nonce:
        return None
    if stratum == 0:
        raise _declined(reference)
    theirs, back = _unix(received, ours), _unix(sent, ours)
    if not received or not sent or back < theirs:
        return None
    offset = ((theirs - ours) + (back - (ours + took))) / 2
    delay = max(0.0, took - (back - theirs))
    age = max(0.0, back - _unix(referred, ours)) if referred else None
    return Sample(offset, delay, flags >> 6, stratum, root_delay / 65536, root_dispersion / 65536, reference, age)


def _unix(stamp: int, near: float) -> float:
    """An NTP timestamp (32 bits of seconds, 32 of fractions) as Unix time, in the era that is nearest to `near`."""
    seconds = (stamp >> 32) - UNIX
    era = round((near - seconds) / ERA)
    return seconds + era * ERA + (stamp & 0xFFFFFFFF) / ERA


def _declined(code: bytes) -> Told:
    """A kiss-o'-death packet (RFC 5905, section 7.4)."""
    word = code.rstrip(b"\0").decode("ascii", "replace")
    if word in ("DENY", "RSTR"):
        return Told(FailureKind.DENIED, f"The server does not tell Pantau the time ({word}): allow its address.")
    if word == "RATE":
        return Told(FailureKind.DENIED, "The server finds Pantau asks too often (RATE): look at it less often.")
    return Told(FailureKind.REFUSED, f"The server has no time to tell ({clean(word, 8) or 'no reason given'}).")


def _measures(sample: Sample) -> list[Measure]:
    values = (
        ("ntp.offset", sample.offset, "s"),
        ("ntp.offset.absolute", abs(sample.offset), "s"),
        ("ntp.delay", sample.delay, "s"),
        ("ntp.stratum", float(sample.stratum), "1"),
        ("ntp.root.delay", sample.root_delay, "s"),
        ("ntp.root.dispersion", sample.root_dispersion, "s"),
        ("ntp.reference.age", sample.age, "s"),
    )
    return [Measure(name, value, unit) for name, value, unit in values if value is not None]


def _facts(sample: Sample) -> tuple[Fact, ...]:
    """At stratum 1 the reference is a clock's name, below it a server's IPv4 address (or part of a hash of an IPv6 one)."""
    text = sample.reference.rstrip(b"\0").decode("ascii", "replace")
    source = clean(text, 8) if sample.stratum == 1 else socket.inet_ntoa(sample.reference)
    leap = ("none", "61 s in the last minute of the day", "59 s in the last minute of the day", "unsynchronised")
    return Fact("ntp.reference", source), Fact("ntp.leap", leap[sample.leap])


def _wrong(sample: Sample, options: Options) -> Failure | None:
    if sample.leap == 3 or sample.stratum >= UNSYNCHRONISED:
        return Failure(
            FailureKind.REFUSED, "The server answers, but its own clock is not synchronised: look at its sources."
        )
    if options.most and abs(sample.offset) > options.most:
        way = "ahead of" if sample.offset > 0 else "behind"
        return Failure(
            FailureKind.REFUSED,
            f"The server's clock is {abs(sample.offset):.3g} s {way} that of Pantau, more than {options.most:g} s.",
        )
    return None


PROBE = Probe(
    kind="ntp",
    label="Time server (NTP)",
    look=look,
    options=Options,
    produces=(
        Produces("ntp.offset", "s", "Clock is ahead of ours by"),
        Produces("ntp.offset.absolute", "s", "Clocks differ by"),
        Produces("ntp.delay", "s", "Time on the way"),
        Produces("ntp.stratum", "1", "Steps from the true clock"),
        Produces("ntp.root.delay", "s", "Time on the way from the true clock"),
        Produces("ntp.root.dispersion", "s", "Largest error since the true clock"),
        Produces("ntp.reference.age", "s", "Clock was last set"),
    ),
    port=123,
    transport="udp",
)
