"""Mutated answers for everything that reads HTTP: `python -m tests.fuzz.http --count 1000000 --seed 1`.

Each input goes the whole way of a look: over a real socket into the HTTP library, through caps, unpacking and decoding,
and to one of the readers of bodies (keywords, JSON paths, exporter pages, status pages). What must hold for any bytes:

- nothing is raised, and the failure is never `broken` (which would be our own bug) nor a time-out (nobody waited);
- every number is finite, of a declared measure, and every text is clean;
- nothing takes longer than a moment, whatever the bytes are.

The same seed brings the same inputs. An input that breaks one of these is written to the directory fuzz-found, to become a seed.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import json
import math
import random
import socket
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

from domain.options import fill
from domain.reading import FailureKind, Reading, Secret, Target
from probes import catalogue, http, jsonvalue, prometheus, webstatus
from probes.base import Keep
from probes.http import wire
from probes.limits import clean

SEEDS = Path(__file__).with_name("seeds") / "http"
FOUND = Path("fuzz-found")
LONGEST = 2.0
"""Seconds one input may take: a thousand times what it does take, so that only an explosion shows."""
ROOM = 120_000
"""The longest input: what a socket takes without anybody reading at the other end."""

TOKENS = (
    b"\r\n", b"\n", b"\r", b"\0", b": ", b";", b",", b"\xff", b"\xc3\x28", b"\xed\xa0\x80", b"\xe2\x80\xae", b"\x1b[2J", b" " * 80,
    b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 101 Switching Protocols\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/9.9 ",
    b"Content-Length: -1\r\n", b"Content-Length: 99999999999999999999\r\n", b"Content-Length: 1\r\nContent-Length: 2\r\n",
    b"Content-Length: \xd9\xa1\r\n", b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: gzip, chunked\r\n",
    b"Content-Encoding: gzip\r\n", b"Content-Encoding: deflate\r\n", b"Content-Encoding: br\r\n", b"Connection: upgrade\r\n",
    b"Content-Type: text/html; charset=punycode\r\n", b"Content-Type: text/html; charset=\"\r\n", b"Set-Cookie: a=b\r\n",
    b"Location: http://127.0.0.1/\r\n", b"Location: //[::1%25eth0]/\r\n", b"Location: http://[::ffff:1.2.3.4]:99999/\r\n",
    b"Location: \xff\xfe\r\n", b"Location: http://a:b@c/\r\n", b"Retry-After: 1\r\n", b"X" * 70_000, b"0\r\n\r\n", b"ffffffff\r\n",
    b"-1\r\n", b"1;x=y\r\n", b"[" * 2000, b"{" * 2000, b'{"a":' * 500, b"1e999", b"NaN", b"-Infinity", b"9" * 5000, b"\\u0000",
    b"\\ud800", b"# TYPE a counter\n", b'a{b="', b'"}', b"\\", b"{", b"}", b" +Inf\n", b" 1 2 3\n", b"_total",
    b"Active connections: ", b"BusyWorkers: ", b"Scoreboard: ",
)  # fmt: skip


@dataclass
class Tally:
    """What came of all inputs."""

    count: int = 0
    seconds: float = 0.0
    slowest: float = 0.0
    kinds: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)


class Fed(wire.Wire):
    """A Wire whose every connection brings the input of the moment, over a real pair of sockets."""

    data = b""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._far: list[socket.socket] = []

    def pin(self, host: str, address: str) -> None:
        """Any host will do that a resolver would take: nobody is asked."""
        try:
            host.encode("idna")
        except UnicodeError:
            raise wire.Stop(FailureKind.UNSUPPORTED, "The name is not resolvable: it is not a valid name.") from None

    def connect(self, host: str, port: int) -> socket.socket:
        near, far = socket.socketpair()
        with far:
            far.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * ROOM)
            far.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                far.sendall(Fed.data)
            far.shutdown(socket.SHUT_WR)
            line = wire._Plain(near.family, near.type, near.proto, fileno=near.detach())
            line.meter = self.meter
            line.settimeout(5)
            self.guard.hold(line)
            self._far.append(far.dup())  # open until the look is over: the request must go on
        return line

    def close(self) -> None:
        """The far ends, once the look is over."""
        for far in self._far:
            far.close()


def readers() -> list[tuple[str, Any, Any]]:
    """Each probe that reads HTTP, with options that make it read much."""
    where = {"plain_password": True, "port": 80}
    wanted = {"keyword": "a", "json_path": "items[0].name", "json_value": "x"}
    return [
        ("http", http.look, fill(http.Options, where | wanted)),
        ("http", http.look, fill(http.Options, where | {"follow": False, "method": "HEAD"})),
        ("json", jsonvalue.look, fill(jsonvalue.Options, where | {"values": "a = a\nb = items[0].n", "expect": "s = ok"})),
        ("prometheus", prometheus.look, fill(prometheus.Options, where | {"values": 'a = a\nb = http_requests_total{code!="1"}'})),
        ("webstatus", webstatus.look, fill(webstatus.Options, where)),
    ]  # fmt: skip


def seeds() -> list[bytes]:
    """The inputs to begin with: those of the directory, and packed ones made here."""
    found = [path.read_bytes() for path in sorted(SEEDS.glob("*"))]
    document = json.dumps({"a": 1, "s": "ok", "items": [{"name": "x", "n": 2}]}).encode()
    packed = gzip.compress(document * 20)
    found.append(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s" % (len(packed), packed))
    found.append(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(bytes(3_000_000)))
    return found


def mutated(base: list[bytes], chance: random.Random) -> bytes:
    """One input: a seed with a few things done to it."""
    data = bytearray(chance.choice(base))
    for _ in range(chance.choice((1, 1, 1, 2, 2, 3, 5, 9))):
        at = chance.randrange(len(data) + 1)
        what = chance.randrange(9)
        if what == 0 and data:
            data[at % len(data)] ^= 1 << chance.randrange(8)
        elif what == 1 and data:
            data[at % len(data)] = chance.randrange(256)
        elif what == 2:
            data[at:at] = chance.choice(TOKENS)
        elif what == 3:
            del data[at : at + chance.choice((1, 2, 10, 100))]
        elif what == 4:
            del data[at:]
        elif what == 5:
            part = data[at : at + chance.choice((1, 5, 50, 500))]
            data[at:at] = part * chance.choice((1, 2, 10, 40))
        elif what == 6:
            other = chance.choice(base)
            data[at:] = other[chance.randrange(len(other) + 1) :]
        elif what == 7:
            data[at:at] = chance.randbytes(chance.choice((1, 4, 30)))
        else:
            _another_number(data, chance)
    return bytes(data[:ROOM])


def _another_number(data: bytearray, chance: random.Random) -> None:
    digits = [place for place, byte in enumerate(data[:2000]) if 48 <= byte <= 57]
    if digits:
        number = chance.choice(
            (b"0", b"-1", b"1", b"65536", b"2147483648", b"18446744073709551616", b"1e400", b"0x10", b"007")
        )
        place = chance.choice(digits)
        data[place : place + 1] = number


def run(count: int, seed: int, say: bool = False) -> Tally:
    """So many inputs through the readers, in turns."""
    chance, tally, base, turns = random.Random(seed), Tally(), seeds(), readers()
    declared = {kind: {row.name for row in probe.produces} for kind, probe in catalogue().items()}
    began = time.monotonic()
    with patch.object(http, "Wire", _tracked()), contextlib.closing(Keep()) as keep:
        for number in range(count):
            kind, look, options = turns[number % len(turns)]
            Fed.data = mutated(base, chance)
            start = time.perf_counter()
            why = _once(look, Target("127.0.0.1", options, Secret("a", "b"), 30.0), keep, declared[kind], tally)
            took = time.perf_counter() - start
            tally.slowest = max(tally.slowest, took)
            if took > LONGEST:
                why = why or f"took {took:.1f} s"
            if why:
                tally.broken.append(f"{kind} input {number} of seed {seed}: {why}")
                FOUND.mkdir(exist_ok=True)
                (FOUND / f"http-{kind}-{seed}-{number}").write_bytes(Fed.data)
            if say and number and number % 100_000 == 0:
                print(f"{number} inputs, {time.monotonic() - began:.0f} s, {len(tally.broken)} broken", flush=True)
    tally.count, tally.seconds = count, time.monotonic() - began
    return tally


def _once(look: Any, target: Target, keep: Keep, declared: set[str], tally: Tally) -> str:
    """What does not hold of one look, or nothing."""
    try:
        reading = look(target, keep)
    except Exception as error:  # noqa: BLE001 - that nothing is raised is what is tried here
        return f"raised {type(error).__name__}: {error}"
    finally:
        for made in _made:
            made.close()
        _made.clear()
    tally.kinds[str(reading.failure.kind) if reading.failure else "answered"] += 1
    return next(_unsound(reading, declared), "")


def _unsound(reading: Reading, declared: set[str]) -> Iterator[str]:
    if reading.failure is not None:
        if reading.failure.kind in (FailureKind.BROKEN, FailureKind.TIMEOUT, FailureKind.UNREACHABLE):
            yield f"failed as {reading.failure.kind}: {reading.failure.detail}"
        if clean(reading.failure.detail, 2000) != reading.failure.detail or not reading.failure.detail:
            yield f"said {reading.failure.detail!r}"
    for measure in reading.measures:
        if not math.isfinite(measure.value) or measure.name not in declared:
            yield f"measured {measure}"
        if clean(measure.of, 500) != measure.of:
            yield f"called a part {measure.of!r}"
    for fact in reading.facts:
        if clean(fact.value, 2000) != fact.value or clean(fact.of, 500) != fact.of:
            yield f"told {fact}"
    if reading.cost.received > 2 * 1024 * 1024:
        yield f"took in {reading.cost.received} bytes"


_made: list[Fed] = []


def _tracked() -> Any:
    def make(*args: Any, **named: Any) -> Fed:
        made = Fed(*args, **named)
        _made.append(made)
        return made

    return make


def main() -> int:
    """Run as told on the command line; the exit code is 1 where anything did not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    tally = run(chosen.count, chosen.seed, say=True)
    print(f"{tally.count} inputs in {tally.seconds:.0f} s, slowest {tally.slowest * 1000:.0f} ms: {dict(tally.kinds)}")
    for line in tally.broken[:20]:
        print(line)
    print(f"{len(tally.broken)} broken")
    return 1 if tally.broken else 0


if __name__ == "__main__":
    sys.exit(main())
