"""Rows of `raw` in PostgreSQL's binary COPY form (documentation: SQL-COPY, "Binary Format")."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from struct import Struct

from poller.page import Row

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"
_EPOCH = 946_684_800_000_000  # microseconds from 1970 to 2000, where PostgreSQL counts from
_REAL = 700  # oid of float4
_NO_VALUES = Struct(">hiiiqiiihiiii").pack
_HEAD = Struct(">hiiiqiiihiiiiii").pack
_NULL = b"\xff\xff\xff\xff"
_VALUE = Struct(">if").pack


def pack(rows: Iterable[Row], set_ids: list[int]) -> bytes:
    """COPY data for raw(check_id, ts, set_id, state, v); a row names its set by index, -1 for none (stored as 0)."""
    parts = [HEADER]
    for check_id, ts, index, state, values in rows:
        set_id = set_ids[index] if index >= 0 else 0
        n = len(values)
        if n == 0:
            parts.append(_NO_VALUES(5, 4, check_id, 8, ts - _EPOCH, 4, set_id, 2, state, 12, 0, 0, _REAL))
        elif None in values:
            cells = b"".join(_NULL if value is None else _VALUE(4, value) for value in values)
            parts.append(_HEAD(5, 4, check_id, 8, ts - _EPOCH, 4, set_id, 2, state, 20 + len(cells), 1, 1, _REAL, n, 1))
            parts.append(cells)
        else:
            words: list[float] = [4] * (2 * n)
            words[1::2] = values
            parts.append(_HEAD(5, 4, check_id, 8, ts - _EPOCH, 4, set_id, 2, state, 20 + 8 * n, 1, 0, _REAL, n, 1))
            parts.append(_cells(n)(*words))
    parts.append(TRAILER)
    return b"".join(parts)


@cache
def _cells(n: int):  # type: ignore[no-untyped-def]  # a bound Struct.pack
    return Struct(">" + "if" * n).pack
