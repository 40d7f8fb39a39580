"""When something will be full, and when nothing may be said."""

from __future__ import annotations

import math
import random
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from domain.forecast import Forecast, forecast, since_step

BEGIN = datetime(2026, 11, 1, tzinfo=UTC)


def points(
    days: float, *, start: float = 0.5, per_day: float = 0.01, noise: float = 0.002, seed: int = 1
) -> list[tuple[datetime, float]]:
    dice = random.Random(seed)
    return [
        (BEGIN + timedelta(hours=6 * n), start + per_day * n / 4 + dice.gauss(0, noise))
        for n in range(int(days * 4) + 1)
    ]


def told(rows: list[tuple[datetime, float]]) -> Forecast | None:
    return forecast(rows, rows[-1][0])


def test_a_steady_growth_is_told_to_the_day() -> None:
    found = told(points(20))
    assert found is not None
    true = BEGIN + timedelta(days=50)
    assert abs(found.full_at - true) < timedelta(days=1)
    assert found.earliest <= true <= found.latest
    assert found.give_or_take < timedelta(days=4)
    assert found.days == 20


def test_a_few_days_tell_nothing() -> None:
    assert told(points(4.5)) is None
    assert forecast([], BEGIN) is None
    assert forecast(points(20)[::12], BEGIN + timedelta(days=20)) is None


def test_what_stands_still_or_shrinks_is_never_full() -> None:
    assert told(points(20, per_day=0)) is None
    assert told(points(20, per_day=-0.01)) is None


def test_what_goes_up_and_down_each_day_has_no_trend() -> None:
    rows = [(at, 0.6 + 0.2 * math.sin(n / 4 * 2 * math.pi)) for n, (at, _) in enumerate(points(20))]
    assert told(rows) is None


def test_a_cleanup_starts_afresh() -> None:
    rows = points(30)
    cleaned = [(at, value - 0.3 if n >= 80 else value) for n, (at, value) in enumerate(rows)]
    assert len(since_step(cleaned)) == len(rows) - 80
    found = told(cleaned)
    assert found is not None
    assert found.days == 10
    assert abs(found.full_at - (BEGIN + timedelta(days=80))) < timedelta(days=5)
    assert told(cleaned[:90]) is None


def test_a_few_wild_points_do_not_bend_the_line() -> None:
    rows = points(20)
    dice = random.Random(3)
    wild = [(at, value + (dice.choice((-0.01, 0.012)) if n % 9 == 0 else 0)) for n, (at, value) in enumerate(rows)]
    found = told(wild)
    assert found is not None
    assert abs(found.full_at - (BEGIN + timedelta(days=50))) < timedelta(days=2)


def test_the_far_future_is_not_told() -> None:
    assert told(points(20, per_day=0.0005, noise=0.0001)) is None


def test_what_is_full_already_or_was_not_seen_of_late_is_not_forecast() -> None:
    assert told(points(60)) is None
    assert forecast(points(20), BEGIN + timedelta(days=25)) is None


@given(st.lists(st.floats(0, 1.2), max_size=60), st.integers(0, 1000))
def test_whatever_was_seen_a_forecast_lies_ahead_and_in_its_own_interval(values: list[float], hours: int) -> None:
    rows = [(BEGIN + timedelta(hours=6 * n), value) for n, value in enumerate(values)]
    now = (rows[-1][0] if rows else BEGIN) + timedelta(hours=hours)
    found = forecast(rows, now)
    if found is not None:
        assert now < found.earliest <= found.full_at <= found.latest
        assert found.per_day > 0
