"""DNS: does a server give the right answer to a question, and how fast."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import secrets
import socket
import struct
import time
from dataclasses import dataclass

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.reversename

from domain.options import option
from domain.reading import Cost, Fact, Failure, FailureKind, Measure, Reading, Target
from probes import names
from probes.base import Keep, Probe, Produces
from probes.limits import Deadline, clean
from probes.names import Place
from probes.tcp import refusal

TYPES = ("A", "AAAA", "CNAME", "MX", "NS", "TXT", "SOA", "PTR", "SRV", "CAA", "DS", "DNSKEY", "TLSA", "SVCB", "HTTPS")
PAYLOAD = 1232
"""The largest answer by UDP asked for: fits any path (DNS flag day 2020)."""
STRAYS = 100
"""The most packets that are no answer to our question before the look is given up."""
SHOWN = 8
"""The most answers that are shown."""


@dataclass(frozen=True, slots=True)
class Options:
    """What is asked of whom, and what must come."""

    question: str = option("Name to ask for", default="", help="Empty: the machine's own name.")
    type: str = option("Record type", default="A", choices=TYPES)
    resolver: str = option("Server to ask", default="", help="An address; empty: the machine itself.")
    port: int = option("Port", default=53, low=1, high=65535)
    expect: tuple[str, ...] = option("Expected answers", default=(), help="Each of them must be there.")
    exact: bool = option("No other answer may be there", default=False)
    absent: bool = option("The name must not exist", default=False)
    validated: bool = option("DNSSEC must have been checked", default=False, help="By the server: its AD flag.")
    protocol: str = option("Protocol", default="udp", choices=("udp", "tcp"))
    family: str = option("IP version", default="any", choices=("any", "4", "6"))

    def __post_init__(self) -> None:
        if self.question:
            _name(self.question, self.type)
        if self.absent and self.expect:
            raise ValueError("option 'absent' leaves nothing for option 'expect'.")
        for text in self.expect:
            _canonical(text, self.type)


async def look(target: Target, keep: Keep) -> Reading:
    """Ask once (and once more by UDP if nothing comes), and judge the answer."""
    deadline = Deadline(target.deadline)
    options: Options = target.options
    subject = options.question or target.address
    if not options.question and names.numeric(target.address) is not None and options.type != "PTR":
        return Reading.failed(
            FailureKind.UNSUPPORTED,
            "The machine is registered by its address: say in the options what name to ask for.",
        )
    try:
        places = await names.of(keep).find_soon(
            options.resolver or target.address, deadline.remaining(), options.family
        )
        query = dns.message.make_query(_name(subject, options.type), options.type, use_edns=0, payload=PAYLOAD)
    except names.Unresolved as unresolved:
        return unresolved.reading()
    except ValueError as error:
        return Reading.failed(FailureKind.UNSUPPORTED, f"That cannot be asked for: {error}")
    query.id = secrets.randbelow(65536)
    if options.validated:
        query.flags |= dns.flags.AD
    asked = _Question(query, places[0], options, deadline)
    try:
        answer = await asked.ask()
    except _Unasked as unasked:
        return Reading(failure=unasked.failure, cost=asked.cost)
    return _judged(answer, options, asked)


class _Unasked(Exception):
    """No answer came."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.detail)
        self.failure = failure


class _Question:
    """One question under way."""

    def __init__(self, query: dns.message.Message, place: Place, options: Options, deadline: Deadline) -> None:
        self._query, self._place, self._options, self._deadline = query, place, options, deadline
        self._wire = query.to_wire()
        self._where = f"Port {options.port} on {place.address}"
        self.sent = self.received = 0
        self.took = 0.0

    @property
    def cost(self) -> Cost:
        """Bytes of the questions and of all that came back."""
        return Cost(self.sent, self.received)

    async def ask(self) -> dns.message.Message:
        """The server's answer. Raises _Unasked."""
        try:
            if self._options.protocol == "udp":
                answer = await self._by_udp()
                if not answer.flags & dns.flags.TC:
                    return answer
            return await self._by_tcp()
        except TimeoutError:
            kind = FailureKind.TIMEOUT
            raise _Unasked(
                Failure(kind, f"{self._where} did not answer within {self._deadline.seconds:g} s.")
            ) from None
        except OSError as error:
            raise _Unasked(self._refused(error)) from None

    async def _by_udp(self) -> dns.message.Message:
        """Connected, so that the kernel keeps out whatever another address says; asked again once, half way."""
        loop = asyncio.get_running_loop()
        with socket.socket(self._place.family, socket.SOCK_DGRAM) as line:
            line.setblocking(False)
            await loop.sock_connect(line, self._place.at(self._options.port))
            for share in (0.4, 1.0):
                start = time.monotonic()
                await loop.sock_sendall(line, self._wire)
                self.sent += len(self._wire)
                try:
                    async with asyncio.timeout(self._deadline.remaining() * share):
                        return await self._listen(line, start)
                except TimeoutError:
                    if share == 1.0:
                        raise
        raise TimeoutError

    async def _listen(self, line: socket.socket, start: float) -> dns.message.Message:
        loop = asyncio.get_running_loop()
        for _ in range(STRAYS):
            data = await loop.sock_recv(line, 65535)
            self.received += len(data)
            answer = self._read(data)
            if answer is not None:
                self.took = time.monotonic() - start
                return answer
        raise _Unasked(Failure(FailureKind.REFUSED, f"{self._where} sends much, but no answer to what was asked."))

    async def _by_tcp(self) -> dns.message.Message:
        """RFC 7766: two bytes of length before each message."""
        loop = asyncio.get_running_loop()
        with socket.socket(self._place.family, socket.SOCK_STREAM) as line:
            line.setblocking(False)
            start = time.monotonic()
            async with asyncio.timeout(self._deadline.remaining()):
                await loop.sock_connect(line, self._place.at(self._options.port))
                await loop.sock_sendall(line, struct.pack("!H", len(self._wire)) + self._wire)
                self.sent += len(self._wire) + 2
                size = struct.unpack("!H", await self._exactly(line, 2))[0]
                answer = self._read(await self._exactly(line, size))
            self.took = time.monotonic() - start
        if answer is None:
            raise _Unasked(Failure(FailureKind.REFUSED, f"{self._where} does not answer as a DNS server."))
        return answer

    async def _exactly(self, line: socket.socket, count: int) -> bytes:
        data = b""
        while len(data) < count:
            more = await asyncio.get_running_loop().sock_recv(line, count - len(data))
            if not more:
                raise _Unasked(Failure(FailureKind.REFUSED, f"{self._where} breaks off in the middle of its answer."))
            data += more
            self.received += len(more)
        return data

    def _read(self, data: bytes) -> dns.message.Message | None:
        """`data` as the answer to our question, or None."""
        try:
            found = dns.message.from_wire(data, ignore_trailing=True)
        except (dns.exception.DNSException, ValueError, IndexError, struct.error, OverflowError, UnicodeError):
            return None
        return found if self._query.is_response(found) else None

    def _refused(self, error: OSError) -> Failure:
        if error.errno == errno.ECONNREFUSED:
            return Failure(FailureKind.REFUSED, f"{self._where} refuses questions: no DNS server listens there.")
        return refusal(error, self._where)


def _judged(answer: dns.message.Message, options: Options, asked: _Question) -> Reading:
    """Measures, facts, and why the answer is not what was wanted."""
    wanted = dns.rdatatype.from_text(options.type)
    rows = [rrset for rrset in answer.answer if rrset.rdtype == wanted]
    found = sorted({_canonical(item.to_text(), options.type) for rrset in rows for item in rrset})
    measures = [
        Measure("dns.duration", asked.took, "s"),
        Measure("dns.answers", float(len(found))),
    ]
    if rows:
        measures.append(Measure("dns.ttl", float(min(rrset.ttl for rrset in rows)), "s"))
    if options.type == "SOA" and rows:
        measures.append(Measure("dns.serial", float(rows[0][0].serial)))
    shown = ", ".join(clean(text, 80) for text in found[:SHOWN]) + (", …" if len(found) > SHOWN else "")
    facts = [Fact("dns.answer", clean(shown) or "none"), Fact("dns.status", dns.rcode.to_text(answer.rcode()))]
    facts.append(Fact("dns.authoritative", "yes" if answer.flags & dns.flags.AA else "no"))
    failure = _wrong(answer, options, found, shown)
    return Reading(tuple(measures), tuple(facts), failure, asked.cost)


def _wrong(answer: dns.message.Message, options: Options, found: list[str], shown: str) -> Failure | None:
    """Why the answer is not what was wanted, or None."""
    code = answer.rcode()
    asked = clean(answer.question[0].name.to_text(omit_final_dot=True), 120) if answer.question else "?"
    if code == dns.rcode.REFUSED:
        return Failure(
            FailureKind.DENIED,
            "The server does not answer Pantau (REFUSED): allow its address in the server's settings.",
        )
    if code == dns.rcode.NXDOMAIN:
        return None if options.absent else _no(f"The server says there is no name '{asked}'.")
    if code != dns.rcode.NOERROR:
        return _no(f"The server cannot answer for '{asked}': {dns.rcode.to_text(code)}.")
    if options.absent:
        return _no(f"The name '{asked}' exists, and should not.")
    if not found:
        return _no(f"The name '{asked}' has no {options.type} record.")
    if options.validated and not answer.flags & dns.flags.AD:
        return _no("The server answers without having checked the signatures (DNSSEC).")
    wanted = {_canonical(text, options.type) for text in options.expect}
    if missing := sorted(wanted - set(found)):
        return _no(f"'{asked}' is {shown}; expected is {clean(', '.join(missing), 120)}.")
    if options.exact and (more := sorted(set(found) - wanted)):
        return _no(f"'{asked}' is {clean(', '.join(more), 120)} too, which is not expected.")
    return None


def _no(detail: str) -> Failure:
    return Failure(FailureKind.REFUSED, detail)


def _name(text: str, kind: str) -> dns.name.Name:
    """`text` as the name to ask for; an address where PTR is asked is turned around. Raises ValueError."""
    bare = text.strip().strip("[]")
    if kind == "PTR" and names.numeric(bare) is not None:
        return dns.reversename.from_address(bare.partition("%")[0])
    try:
        return dns.name.from_text(bare)
    except (dns.exception.DNSException, UnicodeError, ValueError):
        raise ValueError(f"option 'question' is a name like www.example.org, not {clean(text, 60)!r}.") from None


def _canonical(text: str, kind: str) -> str:
    """One answer in the form answers are compared in: names without their last dot, lower case but for texts."""
    said = " ".join(text.split())
    if kind in ("A", "AAAA"):
        try:
            return str(ipaddress.ip_address(said))
        except ValueError:
            raise ValueError(
                f"option 'expect' lists addresses where type is {kind}, not {clean(text, 60)!r}."
            ) from None
    if kind == "TXT":
        parts = said.removeprefix('"').removesuffix('"').split('" "')
        return "".join(parts)
    return " ".join(word.rstrip(".") or "." for word in said.lower().split(" "))


PROBE = Probe(
    kind="dns",
    label="DNS answer",
    look=look,
    options=Options,
    produces=(
        Produces("dns.duration", "s", "Time to answer"),
        Produces("dns.answers", "1", "Answers"),
        Produces("dns.ttl", "s", "Answer may be kept for"),
        Produces("dns.serial", "1", "Serial number of the zone"),
    ),
    port=53,
    transport="udp",
)
