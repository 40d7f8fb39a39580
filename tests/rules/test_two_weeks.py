"""Two weeks of invented load, after two of calibration: how often bands cry, and how soon they notice (docs/normals.md).

The machines, their noise and what is planted come from fixed seeds, so the counts are always the same.
"""

from __future__ import annotations

import pytest

from bench.normals import KINDS, Score, judge, lives


@pytest.fixture(scope="module")
def scores() -> tuple[Score, Score]:
    pair = (Score(), Score())
    for life in (*lives(machines=1, seed=1), *lives(machines=1, seed=2)):
        for total, own in zip(pair, judge(life), strict=True):
            total.add(own)
    return pair


def test_false_yellow_stays_under_one_per_cent_of_the_hours(scores: tuple[Score, Score]) -> None:
    calibrating, after = scores
    assert after.hours >= 2 * len(KINDS) * 14 * 24
    assert after.banded == after.hours
    assert after.false < 0.01
    assert calibrating.false < 0.01


def test_everything_planted_is_found_within_ten_minutes_of_leaving_its_normal(scores: tuple[Score, Score]) -> None:
    after = scores[1]
    assert len(after.delays) > 50
    assert (after.missed, after.slow) == (0, [])
    assert max(after.delays) <= 10
