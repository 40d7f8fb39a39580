"""Every rule by example: `sequences/*.jsonl` goes in, what stands in `*.expected.jsonl` comes out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from domain.replay import replay

SEQUENCES = Path(__file__).parent / "sequences"
INPUTS = sorted(path for path in SEQUENCES.glob("*.jsonl") if not path.name.endswith(".expected.jsonl"))
JUDGED = {
    f"r{number:02}"
    for number in (1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28)
}


@pytest.mark.parametrize("path", INPUTS, ids=lambda path: path.stem)
def test_the_engine_says_what_the_rule_says(path: Path) -> None:
    said = [json.loads(line) for line in replay(path.read_text().splitlines())]
    expected = path.with_suffix(".expected.jsonl").read_text().splitlines()
    assert said == [json.loads(line) for line in expected]


def test_every_judged_rule_has_an_example_and_every_example_its_expectation() -> None:
    assert {path.name[:3] for path in INPUTS} >= JUDGED
    assert {path.stem for path in INPUTS} == {
        path.name.removesuffix(".expected.jsonl") for path in SEQUENCES.glob("*.expected.jsonl")
    }
