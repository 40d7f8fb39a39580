"""SNMP messages of the community kind, versions 1 and 2c (RFC 1157, RFC 1901), and PDUs for all (RFC 3416)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from probes.snmp import ber
from probes.snmp.ber import INTEGER, OCTETS, SEQUENCE, Binding, Malformed

GET, GET_NEXT, RESPONSE, GET_BULK, INFORM, TRAP, REPORT = 0xA0, 0xA1, 0xA2, 0xA5, 0xA6, 0xA7, 0xA8
TRAP_V1 = 0xA4
V1, V2C, V3 = 0, 1, 3

LOWEST_ID, HIGHEST_ID = 0x01000000, 0x7FFFFFFF
"""Request ids are drawn from here: always four octets long, so that a request is a template with a hole."""

TOO_BIG, NO_SUCH_NAME, GEN_ERR = 1, 2, 5
ERRORS = {
    1: "tooBig", 2: "noSuchName", 3: "badValue", 4: "readOnly", 5: "genErr", 6: "noAccess", 7: "wrongType",
    8: "wrongLength", 9: "wrongEncoding", 10: "wrongValue", 11: "noCreation", 12: "inconsistentValue",
    13: "resourceUnavailable", 14: "commitFailed", 15: "undoFailed", 16: "authorizationError", 17: "notWritable",
    18: "inconsistentName",
}  # fmt: skip
"""error-status by number (RFC 3416, section 3)."""

_KEPT = 1024
"""Octets of names in a request worth keeping: the names of the next page are the agent's, who may make them long."""
_NULL = b"\x05\x00"
_ID = b"\x02\x04"


@dataclass(frozen=True, slots=True)
class Pdu:
    """What a PDU says. For a GetBulk, `status` and `at` are non-repeaters and max-repetitions."""

    kind: int
    request_id: int
    status: int
    at: int
    bindings: list[Binding]


def number(value: int) -> bytes:
    """A request id or message number: an INTEGER of four octets."""
    return _ID + value.to_bytes(4)


def asks(names: tuple[bytes, ...]) -> bytes:
    """The list of bindings of a request: names with NULL."""
    return _kept_asks(names) if sum(map(len, names)) <= _KEPT else _asks(names)


def _asks(names: tuple[bytes, ...]) -> bytes:
    return ber.wrap(SEQUENCE, b"".join(ber.wrap(SEQUENCE, ber.wrap(ber.OID, name) + _NULL) for name in names))


def pdu(kind: int, request_id: int, names: bytes, first: int = 0, second: int = 0) -> bytes:
    """A PDU; `names` is the encoded list of bindings."""
    numbers = ber.integer(first) + ber.integer(second)
    return ber.wrap(kind, number(request_id) + numbers + names)


def community(version: int, word: bytes, body: bytes) -> bytes:
    """The message that carries PDU `body`."""
    return ber.wrap(SEQUENCE, bytes((INTEGER, 1, version)) + ber.wrap(OCTETS, word) + body)


def template(
    version: int, word: bytes, kind: int, names: tuple[bytes, ...], first: int, second: int
) -> tuple[bytes, bytes]:
    """What goes before and after the four octets of the request id in a whole message."""
    make = _kept_template if sum(map(len, names)) <= _KEPT else _template
    return make(version, word, kind, names, first, second)


def _template(
    version: int, word: bytes, kind: int, names: tuple[bytes, ...], first: int, second: int
) -> tuple[bytes, bytes]:
    body = pdu(kind, LOWEST_ID, asks(names), first, second)
    whole = community(version, word, body)
    at = len(whole) - len(body) + body.index(_ID) + len(_ID)
    return whole[:at], whole[at + 4 :]


_kept_asks = lru_cache(maxsize=4096)(_asks)
_kept_template = lru_cache(maxsize=8192)(_template)


def version_of(data: bytes) -> tuple[int, int, int]:
    """(version, position after it, end) of a message that fills `data`. Raises Malformed."""
    at, end = ber.inside(data, 0, len(data), SEQUENCE)
    if end != len(data):
        raise Malformed("something follows the message")
    version, at = ber.whole(data, at, end)
    return version, at, end


def read(data: bytes) -> tuple[int, bytes, Pdu]:
    """(version, community, PDU) of a message of version 1 or 2c. Raises Malformed."""
    version, at, end = version_of(data)
    if version not in (V1, V2C):
        raise Malformed(f"version {version} where a community belongs")
    word, at = ber.octets(data, at, end)
    return version, word, read_pdu(data, at, end)


def read_pdu(data: bytes, at: int, end: int) -> Pdu:
    """The PDU that fills `at` to `end`. Raises Malformed."""
    kind, at, stop = ber.element(data, at, end)
    if stop != end or kind not in (GET, GET_NEXT, RESPONSE, GET_BULK, INFORM, TRAP, REPORT):
        raise Malformed("no PDU where one belongs")
    request_id, at = ber.whole(data, at, stop)
    status, at = ber.whole(data, at, stop)
    index, at = ber.whole(data, at, stop)
    if not -(2**31) <= request_id < 2**31 or not 0 <= status < 2**31 or not 0 <= index < 2**31:
        raise Malformed("a number of the PDU is out of range")
    return Pdu(kind, request_id, status, index, ber.bindings(data, at, stop))
