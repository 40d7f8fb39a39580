"""When something will be full, and when nothing may be said."""

from __future__ import annotations

import math
import random
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.forecast import FILLING, Forecast, _interval, forecast, since_step

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


# ---- to the edge ----

DAY = timedelta(days=1)


def line(count: int, apart: float, used: float, per_day: float) -> list[tuple[datetime, float]]:
    """`count` points every `apart` days, exactly on a line that holds `used` at its end (all in powers of two)."""
    last = (count - 1) * apart
    return [(BEGIN + n * apart * DAY, used - per_day * (last - n * apart)) for n in range(count)]


def rough(days: int, per_day: float, noise: float, seed: int, *, start: float, step: float = 0) -> Forecast | None:
    """A forecast from noisy points, told in steps of `step` where given."""
    rows = points(days, start=start, per_day=per_day, noise=noise, seed=seed)
    return told([(at, round(value / step) * step if step else value) for at, value in rows])


def test_ten_points_over_five_days_are_enough_and_no_less() -> None:
    assert told(line(10, 0.75, 0.75, 2**-5)) is not None
    assert told(line(9, 0.75, 0.75, 2**-5)) is None
    assert told(line(11, 0.5, 0.75, 2**-5)) is not None
    assert told(line(11, 0.49, 0.75, 2**-5)) is None


def test_two_days_without_a_point_are_borne_and_no_more() -> None:
    rows = line(11, 0.5, 0.75, 2**-5)
    found = forecast(rows, rows[-1][0] + 2 * DAY)
    assert found is not None
    assert (found.used, found.per_day, found.days) == (0.75 + 2 * 2**-5, 2**-5, 5)
    assert found.full_at == found.earliest == found.latest == rows[-1][0] + 8 * DAY
    assert forecast(rows, rows[-1][0] + 2 * DAY + timedelta(seconds=1)) is None


def test_what_is_full_to_the_brim_is_full_already() -> None:
    assert told(line(11, 0.5, 1.0, 2**-5)) is None


def test_six_times_its_own_length_ahead_is_told_and_no_more() -> None:
    assert told(line(11, 0.5, 1 - 30 * 2**-7, 2**-7)) is not None
    assert told(line(11, 0.5, 1 - 30.5 * 2**-7, 2**-7)) is None


def test_a_year_ahead_is_told_and_no_more() -> None:
    assert told(line(129, 1.0, 1 - 365 * 2**-10, 2**-10)) is not None
    assert told(line(129, 1.0, 1 - 365.5 * 2**-10, 2**-10)) is None


def test_two_points_of_one_moment_are_two_points() -> None:
    rows = line(11, 0.5, 0.75, 2**-5)
    assert told(sorted([*rows, rows[4]])) is not None


def test_of_few_points_one_pause_or_one_step_back_is_too_many() -> None:
    rows = line(10, 1.0, 0.75, 2**-6)
    assert told(rows) is not None
    pause = [*rows[:5], (rows[5][0], rows[4][1]), *rows[6:]]
    back = [*rows[:5], (rows[5][0], rows[4][1] - 2**-8), *rows[6:]]
    assert told(pause) is None
    assert told(back) is None


def test_a_trend_must_be_steady() -> None:
    assert rough(62, 0.004, 0.08, 4, start=0.3, step=2**-5) is None, "tau is 0.49, though the interval is narrow enough"
    assert rough(62, 0.002, 0.03, 0, start=0.3, step=2**-5) is not None, "tau is 0.55, with many equal pairs"


def test_the_interval_may_be_so_wide_and_no_wider() -> None:
    found = rough(20, 0.004, 0.01, 0, start=0.5)
    assert found is not None, "26 days to either side of 105"
    assert timedelta(days=25) < found.give_or_take < timedelta(days=27)
    assert rough(20, 0.004, 0.012, 0, start=0.5, step=2**-6) is None, "36 days to either side of 108"


def test_a_step_is_two_percent_and_eight_times_the_usual_change() -> None:
    moments = [BEGIN + n * DAY for n in range(8)]
    sudden = list(zip(moments, [0.0] * 4 + [0.02] * 4, strict=True))
    assert since_step(sudden) == sudden[4:]
    small = list(zip(moments, [0.0] * 4 + [0.019] * 4, strict=True))
    assert since_step(small) == small
    usual, big = 2**-7, 2**-4
    rising = [n * usual for n in range(5)]
    stepped = list(zip(moments, [*rising, *(rising[-1] + big + n * usual for n in range(3))], strict=True))
    assert since_step(stepped) == stepped[5:]
    less = list(zip(moments, [*rising, *(rising[-1] + big - 2**-9 + n * usual for n in range(3))], strict=True))
    assert since_step(less) == less


@pytest.mark.parametrize("count, low, high", [(10, 0, 44), (12, 4, 62), (50, 378, 847)])
def test_the_interval_is_sens_doubled(count: int, low: int, high: int) -> None:
    """Of 50 points 1225 slopes; 2 * 1.96 * sqrt(50 * 49 * 105 / 18) = 468.6, half of it to either side of the middle."""
    slopes = [float(n) for n in range(count * (count - 1) // 2)]
    assert _interval(slopes, count) == (low, high)


def test_give_or_take_is_half_of_the_interval() -> None:
    assert Forecast(BEGIN + 3 * DAY, BEGIN, BEGIN + 8 * DAY, 0.5, 0.1, 9).give_or_take == 4 * DAY


def test_what_fills_up_is_a_share_of_a_whole() -> None:
    assert set(FILLING) == {
        "system.filesystem.utilization", "system.pool.utilization", "proxmox.storage.utilization",
        "proxmox.node.filesystem.utilization", "proxmox.guest.filesystem.utilization",
        "sqlserver.transaction_log.utilization", "postgresql.wraparound.utilization",
    }  # fmt: skip
