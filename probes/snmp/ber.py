"""The part of BER (X.690) that SNMP uses, flat: object names stay encoded, values keep their SNMP type.

Everything read is hostile: each length is checked against what is there, and anything else is Malformed.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from functools import lru_cache

INTEGER, OCTETS, NULL, OID, SEQUENCE = 0x02, 0x04, 0x05, 0x06, 0x30
# RFC 2578, section 7.1, and RFC 3416, section 3
IP_ADDRESS, COUNTER32, GAUGE32, TIME_TICKS, OPAQUE, COUNTER64 = 0x40, 0x41, 0x42, 0x43, 0x44, 0x46
NO_SUCH_OBJECT, NO_SUCH_INSTANCE, END_OF_VIEW = 0x80, 0x81, 0x82
ABSENT = frozenset((NULL, NO_SUCH_OBJECT, NO_SUCH_INSTANCE, END_OF_VIEW))
"""Tags that mean "there is no value here"."""

_UNSIGNED = {COUNTER32: 5, GAUGE32: 5, TIME_TICKS: 5, COUNTER64: 9}  # the most octets each may have
_FLOAT, _DOUBLE = b"\x9f\x78\x04", b"\x9f\x79\x08"  # an opaque-wrapped number, as net-snmp sends it
_PARTS = 128  # sub-identifiers of one name (RFC 2578, section 3.5)
_KEPT = 16  # octets of a suffix worth keeping: longer ones come from hostile agents too, and would fill the memory
_LARGEST = 2**32 - 1

Value = tuple[int, int | float | bytes | None]
"""(tag, value): int for numbers, bytes for texts, addresses and names, float for opaque floats, None if absent."""
Binding = tuple[bytes, int, int | float | bytes | None]
"""(encoded object name, tag, value)."""


class Malformed(ValueError):
    """The octets are not what BER or SNMP allow; the text says where."""


def length(size: int) -> bytes:
    """A definite length, the shortest form."""
    if size < 0x80:
        return bytes((size,))
    octets = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes((0x80 | len(octets),)) + octets


def wrap(tag: int, content: bytes) -> bytes:
    """One element."""
    return bytes((tag,)) + length(len(content)) + content


def integer(value: int, tag: int = INTEGER) -> bytes:
    """A signed INTEGER in its shortest form (also of an unsigned type, by `tag`)."""
    return wrap(tag, value.to_bytes(value.bit_length() // 8 + 1, signed=True))


@lru_cache(maxsize=8192)
def name(text: str) -> bytes:
    """An object name in dotted form as its encoded content. Raises ValueError for what is none."""
    words = text.strip().removeprefix(".").split(".")
    if len(words) < 2 or len(words) > _PARTS or not all(w.isascii() and w.isdigit() and len(w) <= 10 for w in words):
        raise ValueError(f"'{text}' is not an object name like 1.3.6.1.2.1.1.3.0.")
    return encode(tuple(map(int, words)))


def encode(parts: tuple[int, ...]) -> bytes:
    """Sub-identifiers as the content of an OBJECT IDENTIFIER. Raises ValueError out of range."""
    if len(parts) < 2 or parts[0] > 2 or (parts[0] < 2 and parts[1] > 39) or max(parts) > _LARGEST:
        raise ValueError(f"{'.'.join(map(str, parts))} is not an object name.")
    return b"".join(map(_base128, (parts[0] * 40 + parts[1], *parts[2:])))


def index(parts: Iterable[int]) -> bytes:
    """The sub-identifiers of an instance, as they follow the column's name."""
    return b"".join(map(_base128, parts))


def parts(content: bytes) -> tuple[int, ...]:
    """The sub-identifiers of an instance suffix. Raises Malformed."""
    return _short_parts(content) if len(content) <= _KEPT else _parts(content)


def _parts(content: bytes) -> tuple[int, ...]:
    found, value = [], 0
    for position, octet in enumerate(content):
        if octet == 0x80 and value == 0:
            raise Malformed("a sub-identifier with a leading zero octet")
        value = value << 7 | octet & 0x7F
        if value > _LARGEST:
            raise Malformed("a sub-identifier above 2^32 - 1")
        if not octet & 0x80:
            found.append(value)
            value = 0
            if len(found) > _PARTS:
                raise Malformed("a name of more than 128 parts")
        elif position == len(content) - 1:
            raise Malformed("a name that breaks off")
    return tuple(found)


_short_parts = lru_cache(maxsize=32768)(_parts)


def dotted(content: bytes) -> str:
    """An encoded object name in dotted form; "" for what is none."""
    try:
        first, *rest = parts(content)
    except ValueError:
        return ""
    head = min(first // 40, 2)
    return ".".join(map(str, (head, first - head * 40, *rest)))


def element(data: bytes, at: int, end: int) -> tuple[int, int, int]:
    """(tag, start, stop) of the element at `at`, which must lie within `end`. Raises Malformed."""
    if at + 2 > end:
        raise Malformed("it breaks off within a header")
    size = data[at + 1]
    start = at + 2
    if size & 0x80:
        octets = size & 0x7F
        if not 1 <= octets <= 4 or start + octets > end:
            raise Malformed("a length that is indefinite, too long or cut")
        size = int.from_bytes(data[start : start + octets])
        start += octets
    if start + size > end:
        raise Malformed("an element reaches past its end")
    return data[at], start, start + size


def inside(data: bytes, at: int, end: int, tag: int) -> tuple[int, int]:
    """(start, stop) of the element at `at`, which must be of `tag`. Raises Malformed."""
    found, start, stop = element(data, at, end)
    if found != tag:
        raise Malformed(f"an element 0x{found:02x} where 0x{tag:02x} belongs")
    return start, stop


def whole(data: bytes, at: int, end: int) -> tuple[int, int]:
    """(value, stop) of the INTEGER at `at`. Raises Malformed."""
    start, stop = inside(data, at, end, INTEGER)
    if not 1 <= stop - start <= 8:
        raise Malformed("an INTEGER of no or too many octets")
    return int.from_bytes(data[start:stop], signed=True), stop


def octets(data: bytes, at: int, end: int) -> tuple[bytes, int]:
    """(content, stop) of the OCTET STRING at `at`. Raises Malformed."""
    start, stop = inside(data, at, end, OCTETS)
    return data[start:stop], stop


def bindings(data: bytes, at: int, end: int) -> list[Binding]:
    """A VarBindList (RFC 3416, section 3) that fills `at` to `end`. Raises Malformed."""
    at, stop = inside(data, at, end, SEQUENCE)
    if stop != end:
        raise Malformed("something follows the bindings")
    found: list[Binding] = []
    append, whole_number = found.append, int.from_bytes
    while at < stop:
        # One binding, its lengths in the short form nearly always: this loop is what a look costs.
        if (
            stop - at >= 6
            and data[at] == SEQUENCE
            and data[at + 2] == OID
            and data[at + 1] < 0x80
            and data[at + 3] < 0x80
        ):
            after = at + 2 + data[at + 1]
            start = at + 4
            middle = start + data[at + 3]
        else:
            inner, after = inside(data, at, stop, SEQUENCE)
            start, middle = inside(data, inner, after, OID)
        if after > stop or middle > after or middle == start:
            raise Malformed("a binding reaches past its end")
        begin = middle + 2
        if begin <= after and data[middle + 1] < 0x80:
            tag, close = data[middle], begin + data[middle + 1]
        else:
            tag, begin, close = element(data, middle, after)
        if close != after:
            raise Malformed("a binding with more than a name and a value")
        if tag in _UNSIGNED and 0 < close - begin < _UNSIGNED[tag]:
            append((data[start:middle], tag, whole_number(data[begin:close])))
        else:
            append((data[start:middle], tag, value(tag, data[begin:close])))
        at = after
    return found


def value(tag: int, content: bytes) -> int | float | bytes | None:
    """The value of one element. Raises Malformed for a type SNMP does not have or a size it does not allow.

    Agents that send an unsigned number without its leading zero octet are read as they mean it.
    """
    if tag == INTEGER:
        if not 1 <= len(content) <= 8:
            raise Malformed("an INTEGER of no or too many octets")
        return int.from_bytes(content, signed=True)
    if tag in _UNSIGNED:
        most = _UNSIGNED[tag]
        if not 1 <= len(content) <= most or (len(content) == most and content[0]):
            raise Malformed("an unsigned number of no or too many octets")
        return int.from_bytes(content)
    if tag in (OCTETS, OID):
        return content
    if tag in ABSENT:
        if content:
            raise Malformed("an absent value with content")
        return None
    if tag == IP_ADDRESS:
        if len(content) != 4:
            raise Malformed("an address that is not of four octets")
        return content
    if tag == OPAQUE:
        return _opaque(content)
    raise Malformed(f"a value of the unknown type 0x{tag:02x}")


def _opaque(content: bytes) -> float | bytes:
    if content[:3] == _FLOAT and len(content) == 7:
        return float(struct.unpack(">f", content[3:])[0])
    if content[:3] == _DOUBLE and len(content) == 11:
        return float(struct.unpack(">d", content[3:])[0])
    return content


def _base128(number: int) -> bytes:
    if number < 0x80:
        return bytes((number,))
    found = [number & 0x7F]
    while number := number >> 7:
        found.append(number & 0x7F | 0x80)
    return bytes(reversed(found))
