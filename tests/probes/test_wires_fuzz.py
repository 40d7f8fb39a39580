"""A short run of the fuzzer of the databases' and services' own wires; the long one is `python -m tests.fuzz.wires`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz import wires as fuzz


def test_no_answer_whatever_its_bytes_breaks_a_reader_or_gets_a_wrong_value_in(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(fuzz.fuzz, "FOUND", tmp_path)
    tally = fuzz.run(8000, seed=20261121)
    assert tally.broken == []
    for kind in ("dns read", "ntp read", "mysql refused", "redis refused", "dns not believed", "ntp not believed"):
        assert tally.kinds[kind] > 0, kind


def test_the_seeds_themselves_are_read() -> None:
    with fuzz.patch.object(fuzz.line, "Wire", fuzz.fuzz._tracked()), fuzz.contextlib.closing(fuzz.Keep()) as keep:
        for probe, options, seed in (
            (fuzz.mysql, {"tls": "off"}, fuzz.mysql_seeds()[0]),
            (fuzz.redis, {"plain_password": True}, fuzz.redis_seeds()[0]),
        ):
            reading = fuzz.over_a_line(probe, fuzz.fill(probe.Options, options))(seed, keep)
            assert len(reading.measures) > 5, reading
        for made in fuzz.fuzz._made:
            made.close()
        fuzz.fuzz._made.clear()
    assert fuzz.dns_answer(fuzz.dns_seeds()[1], keep).failure is None
    assert fuzz.ntp_answer(fuzz.ntp_seeds()[0], keep).measures
