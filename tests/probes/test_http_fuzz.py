"""A short run of the HTTP fuzzer with every test run; the long one is `python -m tests.fuzz.http`."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.fuzz import http as fuzz


def test_no_answer_whatever_its_bytes_breaks_a_reader_or_gets_a_wrong_value_in() -> None:
    tally = fuzz.run(4000, seed=20261121)
    assert tally.broken == []
    assert tally.kinds["answered"] > 100  # so many inputs are still good enough to be read
    assert tally.kinds["refused"] > 100


def test_the_fuzzer_notices_what_it_is_there_to_notice(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def bug(text: str) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(fuzz, "FOUND", tmp_path)
    monkeypatch.setattr(fuzz.webstatus, "read", bug)
    assert any("ZeroDivisionError" in line for line in fuzz.run(500, seed=1).broken)
    assert list(tmp_path.iterdir())


def test_the_same_seed_brings_the_same_inputs() -> None:
    base = [b"one" * 100, b"two" * 100]
    one, two = ([fuzz.mutated(base, chance) for _ in range(50)] for chance in (random.Random(5), random.Random(5)))
    assert one == two
