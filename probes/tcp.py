"""TCP: does a port take connections, how long does that take, and does the right thing greet us there."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import time
from dataclasses import dataclass

from domain.options import option
from domain.reading import Cost, Fact, Failure, FailureKind, Measure, Reading, Target
from probes import names
from probes.base import Keep, Probe, Produces
from probes.limits import ANSWER_BYTES, Deadline, clean
from probes.names import Place

ADDRESSES = 3
"""The most addresses of one name that are tried in one look."""


@dataclass(frozen=True, slots=True)
class Options:
    port: int = option("Port", low=1, high=65535)
    expect: str = option(
        "Expected greeting",
        default="",
        help="Text the far side must send first; empty: a connection is enough.",
    )
    limit: int = option("Bytes to read for it", default=1024, low=1, high=ANSWER_BYTES)
    family: str = option("IP version", default="any", choices=("any", "4", "6"))


async def look(target: Target, keep: Keep) -> Reading:
    """Connect to the port, and read its greeting where one is expected."""
    deadline = Deadline(target.deadline)
    options: Options = target.options
    try:
        places = await names.of(keep).find_soon(target.address, deadline.remaining(), options.family)
    except names.Unresolved as unresolved:
        return unresolved.reading()
    reading = Reading.failed(FailureKind.BROKEN, "No address was tried.")
    tried = places[:ADDRESSES]
    for left, place in zip(range(len(tried), 0, -1), tried, strict=True):
        reading = await _one(place, options, deadline, deadline.remaining() / left)
        if reading.failure is None or reading.measures:
            break
    return reading


async def _one(place: Place, options: Options, deadline: Deadline, seconds: float) -> Reading:
    """One address: connect within `seconds`, greet within the whole deadline."""
    where = f"Port {options.port} on {place.address}"
    try:
        line = socket.socket(place.family, socket.SOCK_STREAM)
    except OSError as error:
        return Reading.failed(
            FailureKind.BROKEN, f"{where} cannot be tried from here: {os.strerror(error.errno or 0)}."
        )
    with line:
        line.setblocking(False)
        start = time.monotonic()
        try:
            async with asyncio.timeout(seconds):
                await asyncio.get_running_loop().sock_connect(line, place.at(options.port))
        except TimeoutError:
            return Reading.failed(FailureKind.TIMEOUT, f"{where} did not answer within {seconds:.3g} s.")
        except OSError as error:
            return Reading(failure=refusal(error, where))
        if line.getsockname() == line.getpeername():
            # Connecting to a free port of one's own machine can, by chance, connect a socket to itself.
            return Reading.failed(FailureKind.REFUSED, f"{where} refuses connections: nothing listens there.")
        measure = Measure("tcp.connect.duration", time.monotonic() - start, "s")
        if not options.expect:
            return Reading(measures=(measure,))
        return await _greeting(line, options, deadline, where, measure)


async def _greeting(line: socket.socket, options: Options, deadline: Deadline, where: str, measure: Measure) -> Reading:
    """Read until the expected text has come, the far side closes, the cap is reached or the time is up."""
    loop = asyncio.get_running_loop()
    wanted = options.expect.encode()
    heard = b""
    end = "and then closed the connection"
    try:
        async with asyncio.timeout(deadline.remaining()):
            while wanted not in heard and len(heard) < options.limit:
                more = await loop.sock_recv(line, options.limit - len(heard))
                if not more:
                    break
                heard += more
            else:
                end = f"in its first {options.limit} bytes"
    except TimeoutError:
        end = "" if heard else "nothing"
    except OSError as error:
        end = f"and then broke the connection ({os.strerror(error.errno or 0)})"
    said = clean(heard, 80)
    failure = None
    if wanted not in heard:
        failure = _ungreeted(where, clean(options.expect, 80), said, end, deadline.seconds)
    facts = (Fact("tcp.greeting", clean(heard)),) if heard else ()
    return Reading(measures=(measure,), facts=facts, failure=failure, cost=Cost(received=len(heard)))


def _ungreeted(where: str, wanted: str, said: str, end: str, seconds: float) -> Failure:
    if end == "nothing":
        detail = f"{where} takes the connection but says nothing within {seconds:g} s; '{wanted}' is expected."
        return Failure(FailureKind.TIMEOUT, detail)
    if not end:
        detail = f"{where} said '{said}' and no more within {seconds:g} s; '{wanted}' is expected."
        return Failure(FailureKind.TIMEOUT, detail)
    return Failure(FailureKind.REFUSED, f"{where} said '{said}' {end}; '{wanted}' is expected.")


_AWAY = (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN)
_OURS = (
    errno.EPERM,
    errno.EACCES,
    errno.EADDRNOTAVAIL,
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOBUFS,
    errno.EINVAL,
)


def refusal(error: OSError, where: str) -> Failure:
    """What a failed connect means. `where` begins the sentence: "Port 22 on 10.0.0.1"."""
    code = error.errno or 0
    if isinstance(error, TimeoutError):  # the kernel gave up before us
        return Failure(FailureKind.TIMEOUT, f"{where} did not answer.")
    if code == errno.ECONNREFUSED:
        return Failure(
            FailureKind.REFUSED, f"{where} refuses connections: nothing listens there, or a firewall says no."
        )
    if code in (errno.ECONNRESET, errno.ECONNABORTED, errno.EPIPE):
        return Failure(FailureKind.REFUSED, f"{where} breaks the connection off.")
    if code in _AWAY:
        return Failure(FailureKind.UNREACHABLE, f"{where} cannot be reached: {os.strerror(code).lower()}.")
    kind = FailureKind.BROKEN if code in _OURS else FailureKind.UNREACHABLE
    return Failure(kind, f"{where} cannot be tried from here: {os.strerror(code).lower()}.")


PROBE = Probe(
    kind="tcp",
    label="TCP port",
    look=look,
    options=Options,
    produces=(Produces("tcp.connect.duration", "s", "Time to connect"),),
)
