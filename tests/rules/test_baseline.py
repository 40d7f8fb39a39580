"""What a machine's own normal is, and what lies far from it (R19)."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.baseline import (
    BUSY,
    NORMALS,
    SLOTS,
    Band,
    Floor,
    Hour,
    Usual,
    _Alike,
    _cries,
    _median,
    _says_nothing,
    _Seen,
    _shrunk,
    _slot,
    _steadied,
    _steady,
    learn,
    levels,
    place,
    usable,
)
from domain.thresholds import Level, MetricTrack, fold_metric

ZONE = ZoneInfo("Asia/Jakarta")
MONDAY = datetime(2026, 8, 31, tzinfo=ZONE)
FLOOR = Floor(0.1, 0.2, 0.05, 0.3, 1.0)


def office(at: datetime) -> float:
    """40 % from eight to five on workdays, 8 % else."""
    return 0.4 if at.weekday() < 5 and 8 <= at.hour < 17 else 0.08


def hours(days: float, value: Callable[[datetime], float] = office, noise: float = 0.05) -> list[Hour]:
    dice = random.Random(4)
    found = []
    for index in range(int(days * 24)):
        at = MONDAY + timedelta(hours=index)
        middle = value(at) * (1 + dice.gauss(0, noise))
        found.append(Hour(at, middle * 0.9, middle * 1.1))
    return found


def after(days: float) -> datetime:
    return MONDAY + timedelta(days=days)


def learnt(days: float, value: Callable[[datetime], float] = office, noise: float = 0.05, **how: object) -> Band:
    return learn(hours(days, value, noise), FLOOR, ZONE, after(days), **how)  # type: ignore[arg-type]


def at(band: Band, day: int, hour: float) -> Usual:
    usual = band.at(day * 24 + hour)
    assert usual is not None
    return usual


def test_the_band_knows_working_hours_from_nights_and_weekends() -> None:
    band = learnt(28)
    assert band.status == "ready"
    busy, still, sunday = at(band, 1, 10.5), at(band, 1, 3.5), at(band, 6, 10.5)
    assert 0.3 < busy.low < 0.4 < busy.high < 0.5
    assert still.high < 0.12
    assert sunday.high < 0.12
    assert busy.under is not None
    assert 0.1 < busy.under < busy.low
    assert busy.over is not None
    assert busy.over > busy.high + 0.09


def test_a_usable_first_band_exists_after_one_day() -> None:
    band = learnt(1)
    assert band.status == "calibrating"
    assert band.days == 1
    tuesday = at(band, 1, 10.5)
    assert tuesday.under is not None
    assert 0.04 < tuesday.under < 0.3
    assert tuesday.over is not None


def test_of_days_never_seen_nothing_is_said() -> None:
    band = learnt(4)
    assert band.at(5 * 24 + 10.5) is None
    assert band.at(4 * 24 + 10.5) is not None


def test_before_a_day_is_over_there_is_no_band() -> None:
    assert learn([], FLOOR, ZONE, MONDAY) == Band("scant", 0)
    assert learnt(0.5).status == "scant"
    assert learnt(0.5).at(30) is None


def test_the_band_narrows_as_weeks_pass() -> None:
    widths = []
    for days in (1, 7, 28):
        usual = at(learnt(days), 2, 10.5)
        assert usual.under is not None
        widths.append(usual.low - usual.under)
    assert widths[0] > 1.2 * widths[1]
    assert widths[0] > 1.2 * widths[2]


def test_what_has_no_rhythm_at_all_has_no_band() -> None:
    dice = random.Random(8)
    wild = [Hour(after(n / 24), 0.0, 0.9 if dice.random() < 0.2 else 0.01) for n in range(24 * 14)]
    band = learn(wild, FLOOR, ZONE, after(14))
    assert band.status == "erratic"
    assert band.at(30) is None


def test_a_machine_that_tosses_coins_never_stands_out() -> None:
    dice = random.Random(8)
    band = learn([Hour(after(n / 24), 0.0, dice.random()) for n in range(24 * 14)], FLOOR, ZONE, after(14))
    said = sum(len(judged(band, lambda minute: dice.random(), day * 24, 24 * 60)) for day in range(7))
    assert said == 0


def test_below_the_floor_nothing_is_far_however_regular_a_machine_is() -> None:
    band = learnt(28, lambda at: 0.30, noise=0.0)
    usual = at(band, 2, 10)
    assert usual.over is not None
    assert usual.over >= usual.high + FLOOR.least
    assert usual.under is not None
    assert usual.under <= usual.low - FLOOR.least_below


def test_an_idle_machine_cannot_be_far_below() -> None:
    assert at(learnt(28, lambda at: 0.01), 2, 10).under is None


def test_a_machine_that_may_be_full_cannot_be_far_above() -> None:
    assert at(learnt(28, lambda at: 0.9), 2, 10).over is None


def test_the_weekly_job_is_normal_once_it_was_seen_often_enough() -> None:
    def weekly(at: datetime) -> float:
        return 0.8 if at.weekday() == 6 and at.hour == 3 else 0.08

    first, later = learnt(7, weekly), learnt(28, weekly)
    assert at(first, 6, 3.5).high < 0.5
    usual = at(later, 6, 3.5)
    assert usual.high > 0.75
    assert usual.over is None
    assert at(later, 5, 3.5).high < 0.15


def test_one_week_of_trouble_does_not_become_the_normal() -> None:
    spoilt = [
        Hour(h.at, 0.02, 0.03) if timedelta(days=9, hours=10) <= h.at - MONDAY < timedelta(days=9, hours=13) else h
        for h in hours(14)
    ]
    usual = at(learn(spoilt, FLOOR, ZONE, after(14)), 2, 11.5)
    assert usual.under is not None
    assert usual.low > 0.3
    assert usual.under > 0.05


def test_hours_of_outages_are_left_out() -> None:
    whole = hours(2)
    out = [(after(0.5) + timedelta(minutes=30), after(0.5) + timedelta(minutes=90))]
    left = usable(whole, out)
    assert [h.at for h in whole if h not in left] == [after(0.5), after(0.5) + timedelta(hours=1)]
    assert usable(whole, [(after(1), after(1))]) == whole


def test_a_lasting_change_is_the_new_normal_within_three_weeks() -> None:
    band = learn(
        [Hour(h.at, h.low + 0.2, h.high + 0.2) if h.at >= after(21) else h for h in hours(42)], FLOOR, ZONE, after(42)
    )
    assert at(band, 2, 3.5).low > 0.25


def test_the_turn_of_the_hour_is_no_step() -> None:
    band = learnt(28)
    for minute in range(0, SLOTS * 60):
        one, two = band.at(minute / 60), band.at((minute + 1) / 60)
        assert one is not None
        assert two is not None
        assert abs(one.high - two.high) < 0.02
        assert abs(one.low - two.low) < 0.02


def test_what_begins_at_the_full_hour_is_normal_from_its_first_minute() -> None:
    band = learnt(28)
    for hour in (7.99, 8.01, 16.99, 17.01):
        usual = at(band, 1, hour)
        assert usual.high > 0.38
        assert usual.low < 0.12


@pytest.mark.parametrize("zone", ["Asia/Jakarta", "Europe/Berlin", "UTC"])
def test_the_place_in_the_week_is_on_the_clock_of_the_zone(zone: str) -> None:
    local = datetime(2026, 11, 17, 9, 30, tzinfo=ZoneInfo(zone))
    assert place(local.astimezone(UTC), ZoneInfo(zone)) == 24 + 9.5


def test_how_sensitive_is_a_choice() -> None:
    reach = []
    for chosen in ("narrow", "usual", "wide"):
        usual = at(learnt(28, sensitivity=chosen), 2, 10.5)
        assert usual.over is not None
        reach.append(usual.over)
    assert reach == sorted(reach)
    assert reach[0] < reach[2]


def judged(band: Band, value: Callable[[int], float], begin: float, minutes: int) -> list[tuple[int, str, str]]:
    track, said = MetricTrack(), []
    for minute in range(minutes):
        now = levels(band.at((begin + minute / 60) % SLOTS))
        track, change = fold_metric(track, minute * 60.0, value(minute), now, 60)
        if change:
            said.append((minute, change.to_state, change.by))
    return said


def test_a_load_that_has_gone_is_a_warning_after_three_minutes() -> None:
    said = judged(learnt(28), lambda minute: 0.4 if minute < 60 else 0.03, 24 + 10, 120)
    assert said == [(63, "warning", "normal warning under")]


def test_a_load_that_came_back_is_well_after_ten_minutes() -> None:
    said = judged(learnt(28), lambda minute: 0.03 if minute < 60 else 0.4, 24 + 10, 120)
    assert said == [(3, "warning", "normal warning under"), (70, "ok", "normal warning under")]


def test_the_hour_alone_clears_nothing() -> None:
    """The load went at four; at night little is usual, which says nothing; it is back in the morning."""
    band = learnt(28)
    said = judged(band, lambda minute: 0.03 if minute < 17 * 60 else 0.4, 24 + 16, 18 * 60)
    assert said == [(3, "warning", "normal warning under"), (17 * 60 + 10, "ok", "normal warning under")]


def test_where_there_is_no_saying_what_was_reached_stays_reached() -> None:
    band = learnt(4)  # knows no Saturday
    said = judged(band, lambda minute: 0.9, 4 * 24 + 22, 4 * 60)
    assert said == [(3, "warning", "normal warning over")]


def test_a_limit_and_the_normal_of_one_state_and_side_stand_beside_each_other() -> None:
    limit = Level("warning", over=0.8, for_=0)
    normal = levels(Usual(0.3, 0.4, 0.1, 0.6))
    track, change = fold_metric(MetricTrack(), 0, 0.9, (limit, *normal), 60)
    assert change is not None
    assert change.by == "warning over"
    for minute in range(1, 10):
        track, _ = fold_metric(track, minute * 60.0, 0.9, (limit, *normal), 60)
    assert [level.key for level in track.levels if level.raised] == ["warning over", "normal warning over"]
    assert MetricTrack.from_json(track.to_json()) == track
    track, change = fold_metric(track, 600.0, 0.7, (limit, *normal), 60)
    assert (track.state, change) == ("warning", None)


@given(
    st.lists(st.tuples(st.floats(0, 1e9), st.floats(0, 1e9)), min_size=24, max_size=24 * 9),
    st.sampled_from(sorted(NORMALS)),
    st.floats(0, 167.99),
)
def test_a_band_is_always_in_order_and_its_levels_make_sense(
    rows: list[tuple[float, float]], name: str, where: float
) -> None:
    known = [Hour(after(n / 24), min(row), max(row)) for n, row in enumerate(rows)]
    band = learn(known, NORMALS[name], ZONE, after(len(rows) / 24))
    usual = band.at(where)
    if usual is not None:
        assert usual.low <= usual.high
        assert usual.under is None or 0 < usual.under < usual.low
        assert usual.over is None or usual.over > usual.high
        assert all(math.isfinite(edge) for edge in (usual.low, usual.high))
    assert [level.key for level in levels(usual)] == ["normal warning over", "normal warning under"]


@given(st.integers(0, 10**6))
def test_the_order_in_which_hours_come_changes_nothing(seed: int) -> None:
    known = hours(10)
    mixed = random.Random(seed).sample(known, len(known))
    one, two = learn(known, BUSY, ZONE, after(10)), learn(mixed, BUSY, ZONE, after(10))
    for row, other in ((one.low, two.low), (one.over, two.over)):
        assert all(a == pytest.approx(b) for a, b in zip(row, other, strict=True))


# ---- to the figure ----


def lively(at: datetime) -> float:
    """Office hours that no day has quite like another."""
    dice = random.Random(at.toordinal() * 24 + at.hour)
    return 0.35 + 0.1 * dice.random() if at.weekday() < 5 and 8 <= at.hour < 17 else 0.05 + 0.02 * dice.random()


def sums(band: Band) -> list[float]:
    """All lows, highs, unders and overs of the week, each added up."""
    return [math.fsum(edge for edge in row if edge is not None) for row in (band.low, band.high, band.under, band.over)]


FINE = Floor(1e-6, 0, 1e-6, 0)
NEVER_STILL = Floor(0.02, 0.1, 0.02, 0.2)


@pytest.mark.parametrize(
    "days, floor, sensitivity, figures",
    [
        (1, FLOOR, "usual", [21.219511376834053, 25.934958349463844, 7.348289646852173, 48.712304764980225]),
        (3, FINE, "usual", [20.822332228881148, 25.449517168665505, 15.372089773663395, 32.73993936175873]),
        (10, NEVER_STILL, "narrow", [22.92541022414636, 28.025441810765923, 18.25071669400969, 33.95504046146212]),
        (10, FINE, "usual", [22.936220072799205, 28.033157866773056, 17.220930989835328, 36.03383479397271]),
        (17, FLOOR, "wide", [22.68932203474058, 27.725949435445713, 2.7113251635009648, 60.40777258282645]),
        (30, NEVER_STILL, "wide", [23.022887430447202, 28.138785013665778, 11.649507112922448, 43.926969948996465]),
        (41.5, NEVER_STILL, "usual", [22.807973831171285, 27.876597309086826, 16.384778135246076, 36.10830265495761]),
    ],
)
def test_the_method_in_figures(days: float, floor: Floor, sensitivity: str, figures: list[float]) -> None:
    """Whoever changes the method changes these and docs/normals.md, knowingly."""
    band = learn(hours(days, lively, 0.12), floor, ZONE, after(days), sensitivity)  # type: ignore[arg-type]
    assert sums(band) == pytest.approx(figures, rel=1e-9)


def test_a_machine_that_is_idle_at_night_in_figures() -> None:
    known = [Hour(h.at, 0.0 if h.at.hour < 6 else h.low, 0.0 if h.at.hour < 3 else h.high) for h in hours(17, lively)]
    assert sums(learn(known, NEVER_STILL, ZONE, after(17))) == pytest.approx(
        [20.552354973604896, 26.479160082839787, 14.667476536784868, 33.038511214056115], rel=1e-9
    )
    still = [Hour(h.at, 0.0, 0.0) for h in known]
    assert sums(learn(still, FINE, ZONE, after(17))) == pytest.approx([0, 0, -168e-6, 168e-6])


def test_how_sensitive_off_learns_as_usual() -> None:
    assert learnt(28, lively, sensitivity="off") == learnt(28, lively) == learnt(28, lively, sensitivity="usual")


def test_the_calibration_is_a_fortnight_unless_told_otherwise() -> None:
    assert [learnt(days).status for days in (13, 14, 15)] == ["calibrating", "ready", "ready"]
    assert [learnt(days, calibration=3).status for days in (2, 3)] == ["calibrating", "ready"]


def test_hours_of_the_last_six_weeks_count_and_those_to_come_do_not() -> None:
    now = after(42)
    days = [Hour(now - timedelta(hours=n), 0.3, 0.4) for n in range(1, 20)]
    assert learn([*days, Hour(now, 0.3, 0.4)], FLOOR, ZONE, now) == Band("scant", 1)
    assert learn([*days, Hour(MONDAY - timedelta(seconds=1), 0.3, 0.4)], FLOOR, ZONE, now) == Band("scant", 1)
    whole = learn([*days, Hour(MONDAY, 0.3, 0.4)], FLOOR, ZONE, now)
    assert (whole.status, whole.days) == ("ready", 42)


def test_where_half_of_the_week_says_something_there_is_a_band() -> None:
    def wild(busy: int) -> Band:
        known = [Hour(h.at, 0.0, 1.0) if h.at.hour < busy else Hour(h.at, 0.4, 0.5) for h in hours(28)]
        return learn(known, BUSY, ZONE, after(28))

    assert wild(12).status == "ready"
    assert (wild(14).status, wild(14).days) == ("erratic", 28)


def test_a_side_is_left_out_where_nothing_can_be_far() -> None:
    row = (1.0,) * SLOTS
    whole = {"low": (0.5,) * SLOTS, "high": (0.6,) * SLOTS, "under": (0.2,) * SLOTS, "over": row}
    assert Band("ready", 1, **whole).at(3.5) == Usual(0.5, 0.6, 0.2, 1.0)
    assert Band("ready", 1, **whole, top=1.0).at(3.5) == Usual(0.5, 0.6, 0.2, None)
    assert Band("ready", 1, **{**whole, "under": (0.0,) * SLOTS}).at(3.5) == Usual(0.5, 0.6, None, 1.0)
    for name in whole:
        assert Band("ready", 1, **{key: edge for key, edge in whole.items() if key != name}).at(3.5) is None


def test_the_place_in_the_week_is_to_the_second() -> None:
    assert place(datetime(2026, 11, 17, 9, 30, 45, tzinfo=ZONE), ZONE) == pytest.approx(24 + 9.5 + 45 / 3600)


def test_a_normal_is_left_halfway_and_by_the_other_side_where_it_has_none() -> None:
    over, under = levels(Usual(0.3, 0.4, 0.1, 0.6))
    assert (over.over, over.under, over.clear, over.for_, over.clear_for) == (0.6, None, 0.5, 180, 600)
    assert (under.over, under.under, under.clear) == (None, 0.1, pytest.approx(0.2))
    over, under = levels(Usual(0.3, 0.4, None, None))
    assert (over.over, over.clear) == (1e300, 0.3)
    assert (under.under, under.clear) == (-1e300, 0.4)


def test_the_median_of_weights() -> None:
    assert _median([(10, 1), (1, 1), (3, 1), (2, 1)]) == 2.5
    assert _median([(1, 3), (5, 1)]) == 1
    assert _median([(1, 1), (5, 3)]) == 5
    assert _median([(1, 0.1), (2, 0.2), (3, 0.3)]) == 2.5, "0.1 + 0.2 is half of it, whatever a computer says"
    assert _median([(4, 1), (3, 1), (2, 1), (1, 1)], 0.75) == 3.5
    assert _median([(7, 2), (8, 2), (9, 2)], 1.0) == 9
    assert _median([(7, 2)]) == 7


def test_few_days_are_drawn_to_what_is_typical() -> None:
    assert _steady((10, 4), 0.3, 3) == (10, pytest.approx(math.sqrt((3 * 16 + 6 * 9) / 9)))


def test_a_lone_week_that_differs_is_believed_little_and_weeks_that_agree_are() -> None:
    assert _shrunk([], (8, 3), 0.1, 1.5) == (8, 3)
    # spread² 1/3, doubt 1 + 4 / (1/3 + 1/4), so that one week weighs 0.2029
    assert _shrunk([(10, 1)], (8, 3), 0.1, 1.5) == (pytest.approx(8.4057971), pytest.approx(2.8086426))
    # three weeks: median 11, MAD 0.5; spread² 0.6229, doubt 11.3101, weight 0.9891
    assert _shrunk([(10, 1), (12, 1), (11, 2)], (8, 3), 0.1, 1.5) == (
        pytest.approx(10.9672069, rel=1e-6),
        pytest.approx(0.9009917, rel=1e-6),
    )


def test_the_edges_of_an_hour_by_hand() -> None:
    alike = _Alike((10, 2), (20, 4), 2, (0.1, 0.2))
    unseen = (10 + 0.6 * 15) / 4
    low, high, under, over = _slot([], alike, Floor(0.1, 0, 0.1, 0), "usual") or (0, 0, 0, 0)
    assert (low, high, over) == (10, 20, pytest.approx(20 + 2.2 * 4 + unseen))
    assert under == pytest.approx(10 * math.exp(-(2.2 * 2 + unseen) / 10))
    _, _, under, over = _slot([], alike, Floor(50, 0, 9.9, 0), "wide") or (0, 0, 0, 0)
    assert (under, over) == (pytest.approx(10 - 9.9 * 4 / 2.2), pytest.approx(20 + 50 * 4 / 2.2))
    assert (_slot([], _Alike((0, 0), (0, 0), 9), Floor(0.5, 0, 0.25, 0), "usual")) == (0, 0, -0.25, 0.5)
    assert _slot([], None, FLOOR, "usual") is None


def test_an_hour_says_nothing_where_nothing_that_can_be_measured_is_far() -> None:
    free, full = Floor(0.5, 0, 0, 0), Floor(0.5, 0, 0, 0, 1.0)
    assert [_says_nothing((0, high, under, over), free) for high, under, over in (
        (1, 0, 8.0), (1, 0, 8.1), (1, 0.1, 8.1), (0.1, 0, 4.0), (0.1, -1, 4.1),
    )] == [False, True, False, False, True]  # fmt: skip
    assert [_says_nothing((0, 0.5, under, over), full) for under, over in ((0, 1.0), (0, 0.99), (0.1, 1.0))] == [
        True, False, False,
    ]  # fmt: skip


def test_what_would_have_been_far_more_than_sixteen_times_in_a_fortnight_has_no_normal() -> None:
    rows = [(0.2, 0.5, 0.1, 0.8)] * SLOTS
    now = after(14)

    def cries(times: int, oldest: float, beside: tuple[float, float] = (0.1, 0.8)) -> bool:
        far = [Hour(now - timedelta(days=oldest), 0.2, 0.9)]
        far += [
            Hour(now - timedelta(hours=3 * n), 0.05 if n % 2 else 0.2, 0.5 if n % 2 else 0.9) for n in range(1, times)
        ]
        calm = [Hour(now - timedelta(hours=3 * n + 1), *beside) for n in range(times)]
        return _cries([_Seen(hour, ZONE, now) for hour in (*calm, *far)], rows)

    assert not cries(16, 14)
    assert cries(17, 14)
    assert not cries(17, 14.01)
    assert not _cries([_Seen(Hour(now - timedelta(hours=n), 0.1, 0.8), ZONE, now) for n in range(1, 300)], rows)


def test_an_hour_that_is_mostly_but_not_always_nothing_has_no_share_to_differ_by() -> None:
    found = _steadied({(False, 0): _Alike((0.0, 0.1), (1.0, 0.1), 3), (True, 0): None})
    assert found[True, 0] is None
    assert found[False, 0] == _Alike((0.0, pytest.approx(0.1 / math.sqrt(3))), (1.0, pytest.approx(0.1)), 3, (0.0, 0.1))
    still = _steadied({(False, 0): _Alike((0.0, 0.0), (0.0, 0.1), 3)})[False, 0]
    assert still is not None
    assert still.typical == (0.0, 0.0)
