"""Limits proposed from a machine idle and under load."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.baseline import ANSWER, BUSY, Floor
from domain.loadtest import propose

VALUES = st.lists(st.floats(0, 1), min_size=5, max_size=60)


def test_what_the_machine_bore_is_no_warning_and_what_is_left_is_told() -> None:
    found = propose([0.05] * 20, [0.6] * 20, BUSY)
    assert found is not None
    assert (found.idle, found.load) == (0.05, 0.6)
    assert found.warning == pytest.approx(0.7)
    assert found.critical == pytest.approx(0.6 + 0.4 * 2 / 3)


def test_where_the_load_does_not_show_nothing_is_proposed() -> None:
    assert propose([0.05] * 20, [0.06] * 20, BUSY) is None
    assert propose([0.5] * 20, [0.1] * 20, BUSY) is None


def test_too_short_a_recording_proposes_nothing() -> None:
    assert propose([0.05] * 4, [0.6] * 20, BUSY) is None
    assert propose([0.05] * 20, [0.6] * 4, BUSY) is None


def test_what_has_no_top_is_warned_of_above_the_load() -> None:
    found = propose([0.01] * 9, [0.1] * 9, ANSWER)
    assert found is not None
    assert (found.warning, found.critical) == (pytest.approx(0.125), pytest.approx(0.25))


def test_a_machine_that_was_full_is_still_told_before_it_is() -> None:
    found = propose([0.1] * 9, [1.0] * 9, BUSY)
    assert found is not None
    assert found.warning == pytest.approx(0.97)
    assert found.critical == pytest.approx(0.99)


@given(VALUES, VALUES)
def test_limits_lie_in_order_and_below_the_top(idle: list[float], load: list[float]) -> None:
    found = propose(idle, load, BUSY)
    if found is not None:
        assert found.idle < found.load
        assert found.warning <= found.critical < 1


def test_five_samples_of_each_are_enough() -> None:
    assert propose([0.05] * 5, [0.6] * 5, BUSY) is not None


def test_a_load_shows_from_half_of_what_would_be_no_news() -> None:
    floor = Floor(0.5, 0, 0, 0)
    assert propose([0.25] * 9, [0.5] * 9, floor) is not None
    assert propose([0.25] * 9, [0.4375] * 9, floor) is None
    assert propose([0.25] * 9, [0.25] * 9, Floor(0, 0, 0, 0)) is None


def test_what_was_usual_at_the_most_is_the_95th_percentile_between_two_samples() -> None:
    idle, load = [n / 100 for n in range(11)], [1 + n / 10 for n in range(11)]
    found = propose(idle, load, ANSWER)
    assert found is not None
    assert (found.idle, found.load) == (pytest.approx(0.095), pytest.approx(1.95))
    other = propose([0.0] * 18 + [0.2, 0.4], [9.0] * 18 + [10.0, 20.0], ANSWER)
    assert other is not None
    assert (other.idle, other.load) == (pytest.approx(0.21), pytest.approx(10.5))
