"""Amounts as people type them, in the unit of what they are about."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webui.amounts import read, written


@pytest.mark.parametrize(
    ("typed", "unit", "name", "amount"),
    [
        ("80 %", "1", "system.cpu.utilization", 0.8), ("80", "1", "system.cpu.utilization", 0.8),
        ("0.8", "1", "system.cpu.utilization", 0.8), ("2 GiB", "By", "", 2 * 2**30), ("2,5 GB", "By", "", 2.5e9),
        ("5 min", "s", "", 300), ("250 ms", "s", "", 0.25), ("1 h", "s", "", 3600), ("10 MiB/s", "By/s", "", 10 * 2**20),
        ("100 Mbit/s", "By/s", "", 12.5e6), ("1.234,5", "{query}/s", "", 1234.5), ("1,234.5", "{query}/s", "", 1234.5),
        ("40", "1", "system.processes.count", 40), ("3 queries/s", "{query}/s", "", None), ("5 GiB", "s", "", None),
        ("10 %", "By", "", None), ("much", "1", "", None), ("", "1", "", None), ("80 GiB", "1", "a.utilization", None),
        ("7 query/s", "{query}/s", "", 7), ("2 kW", "W", "", 2000), ("1e400", "1", "", None),
    ],
)  # fmt: skip
def test_what_is_typed_is_read_in_the_measures_unit(typed: str, unit: str, name: str, amount: float | None) -> None:
    assert read(typed, unit, name) == (None if amount is None else pytest.approx(amount))


@given(
    st.floats(0, 1e15),
    st.sampled_from([("By", ""), ("By/s", "system.network.io.receive"), ("s", ""), ("1", "system.cpu.utilization"), ("{query}/s", "")]),
)  # fmt: skip
def test_what_is_written_is_read_back(amount: float, kind: tuple[str, str]) -> None:
    if kind[1].endswith("utilization"):
        amount %= 1
    assert read(written(amount, *kind), *kind) == pytest.approx(amount, rel=1e-4, abs=1e-6)
