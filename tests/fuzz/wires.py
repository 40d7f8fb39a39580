"""Mutated answers of MySQL, Redis, DNS and NTP servers: `python -m tests.fuzz.wires --count 200000 --seed 1`.

As for HTTP (tests/fuzz/http.py): nothing is raised, nothing is broken by our own fault, numbers are finite and declared,
texts are clean, and nothing takes longer than a moment. The seeds are made here, of the servers' own messages.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import patch

import dns.message
import dns.rrset

from domain.options import fill
from domain.reading import Reading, Secret, Target
from probes import catalogue, line, mysql, ntp, redis
from probes import dns as dns_probe
from probes.base import Keep
from probes.limits import Deadline
from probes.names import numeric
from tests.fuzz import http as fuzz
from tests.fuzz.http import Fed, Tally

NONCE = 0x1122334455667788
OURS = 1_800_000_000.0


def packets(*bodies: bytes, first: int = 0) -> bytes:
    """MySQL packets numbered from `first` on."""
    numbered = (
        len(body).to_bytes(3, "little") + bytes([(first + place) % 256]) + body for place, body in enumerate(bodies)
    )
    return b"".join(numbered)


def text(words: str) -> bytes:
    """A length-encoded string of MySQL's."""
    data = words.encode()
    return (bytes([len(data)]) if len(data) < 251 else b"\xfc" + len(data).to_bytes(2, "little")) + data


def table(names: list[str], *rows: list[str | None]) -> bytes:
    """A text result set as the answer to one command."""
    columns = [b"\3def\0\0\0" + text(name) + text(name) + b"\x0c\x2d\0\xff\0\0\0\xfd\0\0\0\0\0" for name in names]
    values = [b"".join(b"\xfb" if one is None else text(one) for one in row) for row in rows]
    return packets(bytes([len(names)]), *columns, b"\xfe\0\0\2\0", *values, b"\xfe\0\0\2\0", first=1)


def mysql_seeds() -> list[bytes]:
    """A whole conversation, one that ends in an error, and one that asks for another way to log in."""
    salt = b"\x0a8.4.3\0\7\0\0\0" + b"12345678\0\x0b\xa2\x2d\2\0\x0a\0\x15" + bytes(10) + b"123456789012\0"
    hello = packets(salt + b"mysql_native_password\0")
    ok, done = packets(b"\0\0\0\2\0\0\0", first=2), packets(b"\0\0\0\2\0\0\0", first=1)
    pairs = table(["Variable_name", "Value"], ["Uptime", "100"], ["Threads_connected", "3"], ["Questions", "9"])
    replica = table(
        ["Replica_IO_Running", "Replica_SQL_Running", "Seconds_Behind_Source", "Source_Host", "Channel_Name"],
        ["Yes", "Yes", "3", "10.0.0.1", "east"], ["No", "Yes", None, "10.0.0.2", "west"],
    )  # fmt: skip
    rest = (pairs, table(["Variable_name", "Value"], ["max_connections", "151"]), table(["1"]),
            table(["slow", "replicas"], ["0", "1"]), table(["oldest", "blocked"], ["4", "0"]), table(["deadlocks"], ["7"]), replica)  # fmt: skip
    error = packets(b"\xff\x15\x04#28000Access denied for user", first=2)
    switch = packets(b"\xfecaching_sha2_password\0" + b"1234567890123456789\0", first=2)
    return [
        hello + ok + done * 2 + b"".join(rest),
        hello + error,
        hello + switch,
        packets(b"\xff\x10\x04Too many connections"),
    ]


def redis_seeds() -> list[bytes]:
    """PING, INFO and SLOWLOG answered, and errors."""
    info = (
        b"# Server\r\nredis_version:7.0.15\r\nrun_id:abc\r\nuptime_in_seconds:9\r\nused_memory:100\r\nmaxmemory:200\r\n"
        b"role:slave\r\nmaster_host:10.0.0.1\r\nmaster_link_status:down\r\nconnected_slaves:1\r\nmaster_repl_offset:90\r\n"
        b"slave0:ip=10.0.0.2,port=6379,state=online,offset=80,lag=1\r\nkeyspace_hits:3\r\nkeyspace_misses:1\r\n"
        b"rdb_last_bgsave_status:err\r\nconnected_clients:1\r\nmaxclients:10\r\ndb0:keys=1,expires=0,avg_ttl=0\r\n"
    )
    slow = b"*1\r\n*6\r\n:14\r\n:1\r\n:2\r\n*1\r\n$3\r\nGET\r\n$1\r\na\r\n$0\r\n\r\n"
    whole = b"+OK\r\n+PONG\r\n$%d\r\n%s\r\n%s" % (len(info), info, slow)
    return [whole, b"-NOAUTH Authentication required.\r\n", b"+OK\r\n-LOADING busy\r\n", b"+OK\r\n+PONG\r\n$-1\r\n"]


def dns_seeds() -> list[bytes]:
    """Answers of several types to the question that is asked."""
    query = dns.message.make_query("www.example.test", "TXT", use_edns=0, id=4711)
    rows = ['"v=spf1 -all" "more"', '"\\027[2J"', '""']
    found = []
    for count in range(len(rows) + 1):
        answer = dns.message.make_response(query)
        if count:
            answer.answer.append(dns.rrset.from_text("www.example.test.", 60, "IN", "TXT", *rows[:count]))
        found.append(answer.to_wire())
    return found


def ntp_seeds() -> list[bytes]:
    """One answer with its nonce, at stratum 2, at stratum 1, and a kiss of death."""
    moment = int((OURS + ntp.UNIX) * (1 << 32)) & 0xFFFFFFFFFFFFFFFF
    common = (6, -20, 655, 6553)
    rows = ((2, b"\x0a\0\0\1"), (1, b"GPS\0"), (0, b"RATE"))
    return [ntp.PACKET.pack(0x24, stratum, *common, name, moment, NONCE, moment, moment) for stratum, name in rows]


def over_a_line(probe: Any, options: Any) -> Callable[[bytes, Keep], Reading]:
    """A look whose connection brings the input."""
    target = Target("127.0.0.1", options, Secret("watcher", "right"), 30.0)

    def look(data: bytes, keep: Keep) -> Reading:
        Fed.data = data
        for key in keep.keys():  # noqa: SIM118 - a Keep is no dict
            if "refused" in key:
                keep.drop(key)
        found: Reading = probe.look(target, keep)
        return found

    return look


def dns_answer(data: bytes, keep: Keep) -> Reading:
    """A datagram as the answer to the question of the seeds."""
    options = fill(dns_probe.Options, {"question": "www.example.test", "type": "TXT"})
    query = dns.message.make_query("www.example.test", "TXT", use_edns=0, id=4711)
    place = numeric("127.0.0.1")
    assert place is not None
    asked = dns_probe._Question(query, place, options, Deadline(5))
    answer = asked._read(data)
    return Reading() if answer is None else dns_probe._judged(answer, options, asked)


def ntp_answer(data: bytes, keep: Keep) -> Reading:
    """A datagram as the answer to the question of the seeds."""
    try:
        sample = ntp.read(data, NONCE, OURS, 0.01)
    except ntp.Told as told:
        return Reading(failure=told.failure)
    if sample is None:
        return Reading()
    return Reading(tuple(ntp._measures(sample)), ntp._facts(sample), ntp._wrong(sample, ntp.Options()))


def run(count: int, seed: int, say: bool = False) -> Tally:
    """So many inputs, in turns."""
    chance, tally, keep = random.Random(seed), Tally(), Keep()
    turns = (
        ("mysql", over_a_line(mysql, fill(mysql.Options, {"tls": "off"})), mysql_seeds()),
        ("redis", over_a_line(redis, fill(redis.Options, {"plain_password": True})), redis_seeds()),
        ("dns", dns_answer, dns_seeds()),
        ("ntp", ntp_answer, ntp_seeds()),
    )
    declared = {kind: {row.name for row in catalogue()[kind].produces} for kind, _, _ in turns}
    began = time.monotonic()
    with patch.object(line, "Wire", fuzz._tracked()), contextlib.closing(keep):
        for number in range(count):
            kind, look, base = turns[number % len(turns)]
            data = fuzz.mutated(base, chance)
            start = time.perf_counter()
            why = _once(look, data, keep, declared[kind], kind, tally.kinds)
            took = time.perf_counter() - start
            tally.slowest = max(tally.slowest, took)
            why = why or (f"took {took:.1f} s" if took > fuzz.LONGEST else "")
            if why:
                tally.broken.append(f"{kind} input {number} of seed {seed}: {why}")
                fuzz.FOUND.mkdir(exist_ok=True)
                (fuzz.FOUND / f"{kind}-{seed}-{number}").write_bytes(data)
            if say and number and number % 100_000 == 0:
                print(f"{number} inputs, {time.monotonic() - began:.0f} s, {len(tally.broken)} broken", flush=True)
    tally.count, tally.seconds = count, time.monotonic() - began
    return tally


def _once(
    look: Callable[[bytes, Keep], Reading], data: bytes, keep: Keep, declared: set[str], kind: str, kinds: Counter[str]
) -> str:
    try:
        reading = look(data, keep)
    except Exception as error:  # noqa: BLE001 - that nothing is raised is what is tried here
        return f"raised {type(error).__name__}: {error}"
    finally:
        for made in fuzz._made:
            made.close()
        fuzz._made.clear()
    what = str(reading.failure.kind) if reading.failure else "read" if reading.measures else "not believed"
    kinds[f"{kind} {what}"] += 1
    return next(_unsound(reading, declared), "")


def _unsound(reading: Reading, declared: set[str]) -> Iterator[str]:
    yield from fuzz._unsound(reading, declared)
    said = repr(reading)
    if "right" in said.replace("right now", ""):
        yield "told the password"


def main() -> int:
    """Run as told on the command line; the exit code is 1 where anything did not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    tally = run(chosen.count, chosen.seed, say=True)
    print(f"{tally.count} inputs in {tally.seconds:.0f} s, slowest {tally.slowest * 1000:.0f} ms: {dict(tally.kinds)}")
    for found in tally.broken[:20]:
        print(found)
    print(f"{len(tally.broken)} broken")
    return 1 if tally.broken else 0


if __name__ == "__main__":
    sys.exit(main())
