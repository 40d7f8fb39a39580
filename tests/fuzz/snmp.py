"""Mutated SNMP answers into the decoder: `python -m tests.fuzz.snmp [--count 1000000] [--seed 1]`.

Each answer is a good one of version 1, 2c or 3 with octets changed, cut out, doubled or swapped. Nothing but
Malformed and Unauthentic may be raised; what is believed must be an answer to the question that was asked:
right number and community, and in version 3 unchanged in every octet the digest covers.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass, replace

from probes.snmp import ber, message, usm
from probes.snmp.engine import number_of
from probes.snmp.message import RESPONSE, V1, V2C, Pdu
from probes.snmp.voice import Community, Known, Malformed, Unauthentic, Voice

NUMBER = 0x01020304
ENGINE = b"\x80\x00\x1f\x88\x04fuzzed-engine"
VALUES = (
    (ber.OCTETS, b"Linux router 6.1"), (ber.OCTETS, b""), (ber.OCTETS, bytes(range(256)) * 2), (ber.INTEGER, b"\x7f"),
    (ber.INTEGER, b"\xff\x80"), (ber.COUNTER32, b"\x00\xff\xff\xff\xff"), (ber.GAUGE32, b"\x05\xf5\xe1\x00"),
    (ber.TIME_TICKS, b"\x12\xd6\x87"), (ber.COUNTER64, b"\x00" + b"\xff" * 8), (ber.IP_ADDRESS, b"\x7f\x00\x00\x01"),
    (ber.OID, b"+\x06\x01\x04\x01\x09"), (ber.OPAQUE, b"\x9f\x78\x04\x41\x48\x00\x00"), (ber.NULL, b""),
    (ber.NO_SUCH_INSTANCE, b""), (ber.END_OF_VIEW, b""),
)  # fmt: skip


@dataclass(frozen=True)
class Seed:
    """A good answer, who is to believe it, and what it says."""

    voice: Voice
    data: bytes
    says: Pdu


def seeds() -> list[Seed]:
    """Answers of every version and level."""
    names = [ber.name(f"1.3.6.1.2.1.2.2.1.{at}.{at * 131}") for at in range(1, len(VALUES) + 1)]
    bindings = b"".join(
        ber.wrap(ber.SEQUENCE, ber.wrap(ber.OID, name) + ber.wrap(tag, content))
        for name, (tag, content) in zip(names, VALUES, strict=True)
    )
    body = ber.wrap(
        RESPONSE, message.number(NUMBER) + ber.integer(0) + ber.integer(0) + ber.wrap(ber.SEQUENCE, bindings)
    )
    made: list[Seed] = []
    for version in (V1, V2C):
        voice = Community(version, b"public")
        data = message.community(version, b"public", body)
        made.append(Seed(voice, data, voice.open(data)))
    for user in (
        usm.User("noone"),
        usm.User("auth", "SHA-256", "authentic-12"),
        usm.User("both", "SHA-1", "authentic-12", "AES-128", "private-1234"),
        usm.User("old", "MD5", "authentic-12", "DES", "private-1234"),
    ):
        known = Known(user)
        now = time.monotonic()
        known.authority = usm.Authority(ENGINE, 7, 100_000, now)
        data = usm.seal(user, known.authority, now, NUMBER, body)
        made.append(Seed(known, data, known.open(data)))
    return made


def mutated(data: bytes, chance: random.Random) -> bytes:
    """One to four small harms."""
    octets = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 2, 3, 4))):
        at = chance.randrange(len(octets)) if octets else 0
        match chance.randrange(9):
            case 0:
                octets[at : at + 1] = bytes((octets[at] ^ 1 << chance.randrange(8),)) if octets else b""
            case 1:
                octets[at : at + 1] = bytes((chance.choice((0, 1, 0x7F, 0x80, 0x81, 0x82, 0x84, 0xFF)),))
            case 2:
                del octets[at : at + chance.randrange(1, 9)]
            case 3:
                octets[at:at] = chance.randbytes(chance.randrange(1, 9))
            case 4:
                octets = octets[:at]
            case 5:
                there = chance.randrange(len(octets) + 1)
                octets[at:at] = octets[there : there + chance.randrange(1, 40)]
            case 6:
                octets[at : at + 1] = bytes((chance.randrange(256),))
            case 7:
                octets += chance.randbytes(chance.randrange(1, 20))
            case _:
                octets[at : at + 4] = chance.choice(
                    (b"\xff\xff\xff\xff", b"\x84\xff\xff\xff", b"\x30\x80\x00\x00", bytes(4))
                )
    return bytes(octets)


def believed(seed: Seed, data: bytes) -> Pdu | None:
    """What the engine would believe of `data`, decided as it decides; None for nothing."""
    try:
        if number_of(data) != NUMBER:
            return None
        found = seed.voice.open(data)
    except (Malformed, Unauthentic):
        return None
    return found if found.kind == RESPONSE and found.request_id == NUMBER else None


def run(count: int, seed: int) -> Counter[str]:
    """How often each thing happened. Raises AssertionError with the input where something wrong was believed."""
    chance, made, told = random.Random(seed), seeds(), Counter[str]()
    for _ in range(count):
        one = chance.choice(made)
        data = mutated(one.data, chance)
        kept = replace(one.voice.authority) if isinstance(one.voice, Known) else None
        try:
            found = believed(one, data)
        except Exception as error:
            raise AssertionError(f"{type(error).__name__} for {data.hex()} to {one.voice}") from error
        if isinstance(one.voice, Known) and kept is not None:
            one.voice.authority = kept
        if found is None:
            told["not believed"] += 1
            continue
        told["believed"] += 1
        if isinstance(one.voice, Community):
            version, word, _ = message.read(data)
            assert (version, word) == (one.voice.version, one.voice.word), data.hex()
        elif one.voice.user.auth:  # changes outside what the digest covers do not exist: it covers all
            assert found == one.says, data.hex()
    return told


def main() -> int:
    """Print what happened; an exception is the finding."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    began = time.monotonic()
    told = run(asked.count, asked.seed)
    print(f"{asked.count} answers, seed {asked.seed}: {dict(told)}, {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
