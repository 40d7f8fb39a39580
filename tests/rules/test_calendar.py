"""Maintenance windows: in every zone, through both nights of the clock change, on leap day, and refused with a sentence."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from itertools import pairwise, takewhile
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import calendar
from domain.calendar import Cover, Place, Rule, Window

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
BERLIN, JAKARTA = "Europe/Berlin", "Asia/Jakarta"


def moment(text: str, zone: str = "UTC") -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


def local(spans: list[calendar.Span], zone: str) -> list[tuple[str, str]]:
    return [tuple(f"{one.astimezone(ZoneInfo(zone)):%m-%d %H:%M}" for one in span) for span in spans]  # type: ignore[misc]


# ---- once ----


def test_a_single_window_holds_from_its_beginning_until_just_before_its_end() -> None:
    rule = calendar.once(moment("2026-11-21T22:00", JAKARTA), moment("2026-11-21T23:00", JAKARTA))
    assert not calendar.covers(rule, moment("2026-11-21T14:59:59"))
    assert calendar.covers(rule, moment("2026-11-21T15:00"))
    assert calendar.covers(rule, moment("2026-11-21T15:59:59"))
    assert not calendar.covers(rule, moment("2026-11-21T16:00"))


def test_a_single_window_turns_twice_and_then_never_again() -> None:
    begin, end = moment("2026-11-21T15:00"), moment("2026-11-21T16:00")
    rule = calendar.once(begin, end)
    assert calendar.turns(rule, begin - HOUR) == begin
    assert calendar.turns(rule, begin) == end
    assert calendar.turns(rule, end) is None


# ---- weekly ----


def test_a_weekly_window_comes_on_its_days_at_its_local_time() -> None:
    rule = calendar.weekly(["sun", "sat"], "22:00", 3 * HOUR, zone=JAKARTA)
    found = calendar.occurrences(rule, moment("2026-11-20T00:00"), 3)
    assert local(found, JAKARTA) == [
        ("11-21 22:00", "11-22 01:00"),
        ("11-22 22:00", "11-23 01:00"),
        ("11-28 22:00", "11-29 01:00"),
    ]
    assert calendar.covers(rule, moment("2026-11-22T00:59", JAKARTA))
    assert not calendar.covers(rule, moment("2026-11-22T01:00", JAKARTA))


def test_wall_time_stays_when_the_clocks_of_berlin_change() -> None:
    rule = calendar.weekly(["sun"], "04:00", HOUR, zone=BERLIN)
    for begin in ("2026-03-15T00:00", "2026-10-11T00:00"):
        starts = [begin for begin, _ in calendar.occurrences(rule, moment(begin), 4)]
        assert {f"{one.astimezone(ZoneInfo(BERLIN)):%H:%M}" for one in starts} == {"04:00"}
        assert len({one.hour for one in starts}) == 2


def test_a_start_that_the_spring_night_skips_is_the_moment_after_the_skip() -> None:
    rule = calendar.weekly(["sun"], "02:30", HOUR, zone=BERLIN)
    begin, end = calendar.occurrences(rule, moment("2026-03-28T00:00"), 1)[0]
    assert begin == moment("2026-03-29T01:00")
    assert f"{begin.astimezone(ZoneInfo(BERLIN)):%H:%M}" == "03:00"
    assert end - begin == HOUR


def test_a_start_that_the_autumn_night_has_twice_is_the_first_of_the_two_and_no_other() -> None:
    rule = calendar.weekly(["sun"], "02:30", HOUR, zone=BERLIN)
    found = calendar.occurrences(rule, moment("2026-10-24T00:00"), 2)
    assert [begin for begin, _ in found] == [moment("2026-10-25T00:30"), moment("2026-11-01T01:30")]
    assert calendar.covers(rule, moment("2026-10-25T01:29"))  # 02:29 for the second time
    assert not calendar.covers(rule, moment("2026-10-25T01:30"))
    assert calendar.turns(rule, moment("2026-10-25T01:10")) == moment("2026-10-25T01:30")


def test_eight_hours_are_eight_hours_in_both_nights() -> None:
    rule = calendar.weekly(["sat"], "22:00", 8 * HOUR, zone=BERLIN)
    spring = calendar.occurrences(rule, moment("2026-03-28T00:00"), 1)
    autumn = calendar.occurrences(rule, moment("2026-10-24T00:00"), 1)
    assert local(spring + autumn, BERLIN) == [("03-28 22:00", "03-29 07:00"), ("10-24 22:00", "10-25 05:00")]


def test_two_days_that_touch_are_one_stretch() -> None:
    rule = calendar.weekly(["sat", "sun"], "00:00", 24 * HOUR, zone=JAKARTA)
    begin = moment("2026-11-21T00:00", JAKARTA)
    assert calendar.run(rule, begin + HOUR) == (begin, begin + 48 * HOUR)
    assert calendar.turns(rule, begin + HOUR) == begin + 48 * HOUR


# ---- cron ----


def test_cron_knows_the_last_friday_and_leap_day() -> None:
    friday = calendar.cron("0 22 * * 5L", 2 * HOUR, zone=JAKARTA)
    assert local(calendar.occurrences(friday, moment("2026-11-21T00:00"), 2), JAKARTA) == [
        ("11-27 22:00", "11-28 00:00"),
        ("12-25 22:00", "12-26 00:00"),
    ]
    leap = calendar.cron("30 1 29 2 *", HOUR, zone=JAKARTA)
    years = [
        begin.astimezone(ZoneInfo(JAKARTA)) for begin, _ in calendar.occurrences(leap, moment("2026-11-21T00:00"), 2)
    ]
    assert [f"{one:%Y-%m-%d %H:%M}" for one in years] == ["2028-02-29 01:30", "2032-02-29 01:30"]
    assert calendar.covers(leap, moment("2028-02-29T02:00", JAKARTA))
    assert not calendar.covers(leap, moment("2027-03-01T02:00", JAKARTA))


def test_every_hour_comes_23_and_25_times_in_the_nights_of_berlin() -> None:
    rule = calendar.cron("@hourly", 10 * MINUTE, zone=BERLIN)
    for day, hours in (("2026-03-29", 23), ("2026-10-25", 25), ("2026-06-01", 24)):
        begin = moment(f"{day}T00:00", BERLIN)
        end = (begin.astimezone(ZoneInfo(BERLIN)) + timedelta(days=1)).astimezone(UTC)
        found = [span for span in calendar.occurrences(rule, begin, 30) if span[0] < end]
        assert len(found) == hours
        assert all(b[0] - a[0] == HOUR for a, b in pairwise(found))


def test_in_cron_either_day_is_enough_where_both_are_named() -> None:
    rule = calendar.cron("0 3 13 * 5", HOUR, zone="UTC")
    days = [begin.date().isoformat() for begin, _ in calendar.occurrences(rule, moment("2026-12-01T00:00"), 4)]
    assert days == ["2026-12-04", "2026-12-11", "2026-12-13", "2026-12-18"]


# ---- flexible ----


def test_a_flexible_window_begins_when_the_machine_goes_down_and_lasts_its_duration_from_then() -> None:
    begin = moment("2026-11-21T20:00")
    rule = calendar.once(begin, begin + 8 * HOUR, lasts=30 * MINUTE)
    down = begin + 3 * HOUR
    assert not calendar.covers(rule, begin + HOUR)
    assert not calendar.covers(rule, down, None)
    assert calendar.covers(rule, down, down)
    assert calendar.covers(rule, down + 29 * MINUTE, down)
    assert not calendar.covers(rule, down + 30 * MINUTE, down)
    assert calendar.run(rule, down + MINUTE, down) == (down, down + 30 * MINUTE)


def test_going_down_at_the_last_moment_still_gets_the_whole_duration_and_a_moment_later_none() -> None:
    begin = moment("2026-11-21T20:00")
    rule = calendar.once(begin, begin + HOUR, lasts=2 * HOUR)
    last = begin + HOUR - timedelta(seconds=1)
    assert calendar.covers(rule, last + 119 * MINUTE, last)
    assert not calendar.covers(rule, begin + HOUR, begin + HOUR)


def test_a_machine_that_was_down_before_the_window_opened_is_not_excused_by_it() -> None:
    begin = moment("2026-11-21T20:00")
    rule = calendar.once(begin, begin + 8 * HOUR, lasts=HOUR)
    assert not calendar.covers(rule, begin + MINUTE, begin - MINUTE)


def test_only_the_first_time_down_begins_a_flexible_window() -> None:
    begin = moment("2026-11-21T20:00")
    rule = calendar.once(begin, begin + 8 * HOUR, lasts=HOUR)
    downs = [begin + 4 * HOUR, begin + HOUR]
    assert calendar.covers(rule, begin + 90 * MINUTE, downs)
    assert not calendar.covers(rule, begin + 4 * HOUR, downs)


def test_a_flexible_window_that_is_repeated_begins_anew_each_time() -> None:
    rule = calendar.weekly(["sat", "sun"], "22:00", 4 * HOUR, zone=JAKARTA, lasts=HOUR)
    saturday = moment("2026-11-21T23:00", JAKARTA)
    downs = [saturday, saturday + timedelta(days=1)]
    assert calendar.covers(rule, saturday + 30 * MINUTE, downs)
    assert not calendar.covers(rule, saturday + 90 * MINUTE, downs)
    assert calendar.covers(rule, saturday + timedelta(days=1, minutes=30), downs)


# ---- ended early ----


def test_what_was_ended_is_off_from_that_moment() -> None:
    begin = moment("2026-11-21T20:00")
    rule = replace(calendar.once(begin, begin + 8 * HOUR), ended=begin + HOUR)
    assert calendar.covers(rule, begin + 59 * MINUTE)
    assert not calendar.covers(rule, begin + HOUR)
    assert calendar.run(rule, begin) == (begin, begin + HOUR)
    assert calendar.run(replace(rule, ended=begin + 9 * HOUR), begin) == (begin, begin + 8 * HOUR)
    assert calendar.turns(rule, begin) == begin + HOUR
    assert calendar.turns(rule, begin + HOUR) is None
    assert calendar.occurrences(rule, begin, 5) == [(begin, begin + HOUR)]
    assert calendar.occurrences(rule, begin + 2 * HOUR, 5) == []


def test_one_evening_ended_early_leaves_the_next_one_in_force() -> None:
    rule = calendar.weekly(["sat", "sun"], "22:00", 3 * HOUR, zone=JAKARTA)
    at = moment("2026-11-21T23:00", JAKARTA)
    rule = replace(rule, resumes=at)
    assert not calendar.covers(rule, at)
    assert local(calendar.occurrences(rule, at, 1), JAKARTA) == [("11-22 22:00", "11-23 01:00")]
    assert calendar.turns(rule, at) == moment("2026-11-22T22:00", JAKARTA)


# ---- borders ----


def test_a_single_window_is_a_minute_to_a_year_long() -> None:
    begin = moment("2026-11-21T20:00")
    assert calendar.once(begin, begin + MINUTE).duration == MINUTE
    assert calendar.once(begin, begin + timedelta(days=366)).duration == timedelta(days=366)
    for wrong in (timedelta(seconds=59.999), timedelta(0), timedelta(days=366, microseconds=1)):
        with pytest.raises(ValueError, match=r"minute|year"):
            calendar.once(begin, begin + wrong)


def test_what_is_repeated_lasts_a_minute_to_31_days() -> None:
    assert calendar.cron("@yearly", timedelta(days=31), zone="UTC").duration == timedelta(days=31)
    assert calendar.cron("@yearly", MINUTE, zone="UTC").duration == MINUTE
    assert calendar.once(moment("2026-11-21T20:00"), moment("2026-11-21T21:00"), lasts=MINUTE).lasts == MINUTE
    for wrong in (timedelta(seconds=59), timedelta(days=31, seconds=1)):
        with pytest.raises(ValueError, match="31 days"):
            calendar.cron("@yearly", wrong, zone="UTC")
        with pytest.raises(ValueError, match="31 days"):
            calendar.once(moment("2026-11-21T20:00"), moment("2026-11-21T21:00"), lasts=wrong)


def test_a_window_needs_a_break_now_and_then() -> None:
    six = calendar.WEEKDAYS[:6]
    assert calendar.weekly(six, "00:00", 24 * HOUR, zone=JAKARTA).weekdays == six
    assert calendar.cron("@daily", 24 * HOUR - MINUTE, zone="UTC").expression == "0 0 * * *"
    for whole in (24 * HOUR, 25 * HOUR):
        with pytest.raises(ValueError, match="never end"):
            calendar.cron("@daily", whole, zone="UTC")
        with pytest.raises(ValueError, match="never end"):
            calendar.weekly(calendar.WEEKDAYS, "00:00", whole, zone=JAKARTA)


def test_a_window_may_overlap_itself_for_a_while_and_is_one_stretch_then() -> None:
    rule = calendar.cron("*/20 8-9 * * *", HOUR, zone="UTC")
    begin = moment("2026-11-21T08:00")
    assert calendar.run(rule, begin + 90 * MINUTE)[1] == moment("2026-11-21T10:40")  # type: ignore[index]
    assert calendar.turns(rule, begin) == moment("2026-11-21T10:40")
    assert not calendar.covers(rule, moment("2026-11-21T10:40"))


def test_the_days_of_the_week_have_their_names() -> None:
    assert calendar.weekly(["Saturday", " SUN ", "wed"], "7:05", HOUR, zone="UTC").weekdays == ("wed", "sat", "sun")
    for wrong in ("satan", "s", "", "sa", "6"):
        with pytest.raises(ValueError, match="no day of the week"):
            calendar.weekly([wrong], "22:00", HOUR, zone="UTC")


@pytest.mark.parametrize("text, told", [("7:05", "07:05"), ("07.05", "07:05"), ("0:00", "00:00"), ("23:59", "23:59")])
def test_times_of_day(text: str, told: str) -> None:
    rule = calendar.weekly(["mon"], text, HOUR, zone="UTC")
    assert rule.options() == {"weekdays": ["mon"], "at": told, "duration": 3600}
    assert f"{rule.at:%H:%M}" == told


@pytest.mark.parametrize("text", ["24:00", "7:60", "7", "7:5", "", "٠٧:٠٥", "12:30:00"])
def test_what_is_no_time_of_day(text: str) -> None:
    with pytest.raises(ValueError, match="no time of day"):
        calendar.weekly(["mon"], text, HOUR, zone="UTC")


def test_a_time_given_as_such_loses_its_seconds() -> None:
    assert calendar.weekly(["mon"], time(7, 5, 59), HOUR, zone="UTC").at == time(7, 5)


def test_an_expression_has_a_length() -> None:
    minutes = ",".join(str(n) for n in range(60))
    assert calendar.cron(f"{minutes} 3 * * *", MINUTE, zone="UTC").expression.startswith("0,1,2")
    with pytest.raises(ValueError, match="five fields"):
        calendar.cron(f"{minutes},{minutes} 3 * * *", MINUTE, zone="UTC")


def test_of_two_windows_that_end_together_the_first_one_says_why() -> None:
    assert calendar.muted([Window(4, ON, host=1), Window(3, ON)], places(a=""), NOW)[1].window == 4


def test_a_parent_that_is_gone_is_no_way() -> None:
    world = {1: Place(1), 2: Place(2, parents=frozenset({1, 99})), 3: Place(3, parents=frozenset({99}))}
    assert set(calendar.muted([Window(1, ON, host=1)], world, NOW)) == {1, 2}


def test_an_occurrence_is_over_at_its_end_and_armed_from_its_very_beginning() -> None:
    begin = moment("2026-11-21T20:00")
    rule = calendar.once(begin, begin + HOUR)
    assert calendar.occurrences(rule, begin + HOUR - timedelta(seconds=1), 1) == [(begin, begin + HOUR)]
    assert calendar.occurrences(rule, begin + HOUR, 1) == []
    ended = replace(rule, ended=begin + 30 * MINUTE)
    assert calendar.occurrences(ended, begin + 30 * MINUTE, 1) == []
    assert calendar.covers(calendar.once(begin, begin + HOUR, lasts=HOUR), begin, begin)


def test_what_begins_when_it_resumes_is_not_left_out_and_what_began_before_is() -> None:
    begin = moment("2026-11-21T20:00")
    rule = calendar.once(begin, begin + HOUR)
    assert calendar.covers(replace(rule, resumes=begin), begin)
    assert not calendar.covers(replace(rule, resumes=begin + timedelta(microseconds=1)), begin + MINUTE)


def test_a_length_between_two_seconds_is_kept_as_it_is() -> None:
    rule = calendar.cron("@daily", timedelta(seconds=90.5), zone="UTC")
    assert rule.options()["duration"] == 90.5
    assert calendar.read("cron", rule.options(), "UTC") == rule
    for wrong in (-1, 1e8 + 1, float("inf")):
        with pytest.raises(ValueError, match="number of seconds"):
            calendar.read("cron", {"expression": "@daily", "duration": wrong}, "UTC")


def test_an_expression_of_200_characters_is_the_longest() -> None:
    longest = "0" + ",5" * 95 + " 03 * * *"
    assert len(longest) == 200
    assert calendar.cron(longest, MINUTE, zone="UTC").expression == longest
    with pytest.raises(ValueError, match="five fields"):
        calendar.cron(longest.replace(" 03 ", " 003 "), MINUTE, zone="UTC")


def test_occurrences_are_as_many_as_asked_and_no_more() -> None:
    rule = calendar.cron("@hourly", MINUTE, zone="UTC")
    assert [len(calendar.occurrences(rule, NOW, n)) for n in (0, 1, 7)] == [0, 1, 7]
    ended = replace(rule, ended=NOW + 2 * HOUR)
    assert len(calendar.occurrences(ended, NOW + MINUTE, 9)) == 1
    assert calendar.turns(ended, NOW + HOUR + MINUTE) is None


# ---- refused ----


@pytest.mark.parametrize(
    "kind, options, zone, sentence",
    [
        ("once", {"from": "2026-11-21T22:00+07:00", "until": "2026-11-21T21:00+07:00"}, JAKARTA, "at least a minute"),
        ("once", {"from": "2026-11-21T22:00+07:00", "until": "2028-11-21T21:00+07:00"}, JAKARTA, "at most a year"),
        ("once", {"from": "2026-11-21T22:00", "until": "2026-11-21T23:00+07:00"}, JAKARTA, "needs its zone"),
        ("once", {"from": "tonight", "until": "2026-11-21T23:00+07:00"}, JAKARTA, "no moment"),
        ("once", {"from": "2026-11-21T22:00+07:00"}, JAKARTA, "needs 'until'"),
        ("once", {"from": "2026-11-21T22:00+07:00", "until": "2026-11-21T23:00+07:00", "x": 1}, JAKARTA, "has no 'x'"),
        ("weekly", {"weekdays": ["someday"], "at": "22:00", "duration": 3600}, JAKARTA, "no day of the week"),
        ("weekly", {"weekdays": [], "at": "22:00", "duration": 3600}, JAKARTA, "at least one day"),
        ("weekly", {"weekdays": "sat", "at": "22:00", "duration": 3600}, JAKARTA, "list of days"),
        ("weekly", {"weekdays": ["sat"], "at": "25:00", "duration": 3600}, JAKARTA, "no time of day"),
        ("weekly", {"weekdays": ["sat"], "at": "22:00", "duration": 59}, JAKARTA, "between a minute and 31 days"),
        ("weekly", {"weekdays": ["sat"], "at": "22:00", "duration": "long"}, JAKARTA, "number of seconds"),
        ("weekly", {"weekdays": ["sat"], "at": "22:00", "duration": True}, JAKARTA, "number of seconds"),
        ("weekly", {"weekdays": ["sat"], "at": "22:00", "duration": float("nan")}, JAKARTA, "number of seconds"),
        ("weekly", {"weekdays": ["sat"], "at": "22:00", "duration": 604800}, JAKARTA, "never end"),
        ("weekly", {"weekdays": ["sat"], "at": "22:00", "duration": 3600}, "Asia/Nowhere", "no time zone"),
        ("weekly", {"weekdays": ["sat"], "at": "22:00", "duration": 3600}, "../etc/passwd", "no time zone"),
        ("cron", {"expression": "0 22 * *", "duration": 3600}, JAKARTA, "five fields"),
        ("cron", {"expression": "0 0 22 * * *", "duration": 3600}, JAKARTA, "five fields"),
        ("cron", {"expression": "0 24 * * *", "duration": 3600}, JAKARTA, "the hour of"),
        ("cron", {"expression": "0 0 30 2 *", "duration": 3600}, JAKARTA, "day-of-month"),
        ("cron", {"expression": "* * * * *", "duration": 60}, JAKARTA, "never end"),
        ("cron", {"expression": "0 0 * * *", "duration": 86400 * 40}, JAKARTA, "31 days"),
        ("cron", {"expression": "0 22 * * *", "duration": 3600, "flexible": True}, JAKARTA, "'lasts'"),
        ("yearly", {}, JAKARTA, "not 'yearly'"),
    ],
)  # fmt: skip
def test_nonsense_is_refused_with_a_sentence(kind: str, options: dict[str, object], zone: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        calendar.read(kind, options, zone)


@pytest.mark.parametrize(
    "text, minutes", [("90m", 90), ("2h", 120), ("1h 30m", 90), ("1h30m", 90), (" 1D ", 1440), ("2 h", 120), ("0m", 0)]
)
def test_durations_are_read_as_people_write_them(text: str, minutes: int) -> None:
    assert calendar.length(text) == timedelta(minutes=minutes)
    assert calendar.length(calendar.written(calendar.length(text))) == timedelta(minutes=minutes)


@pytest.mark.parametrize("text", ["", "2", "h", "two hours", "-1h", "1.5h", "9999999h", "1h1h1h1h", "٢h"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no duration"):
        calendar.length(text)


# ---- properties ----

ZONES = st.sampled_from([BERLIN, JAKARTA, "UTC", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"])
MOMENTS = st.datetimes(datetime(2024, 2, 1), datetime(2029, 1, 1)).map(
    lambda one: one.replace(tzinfo=UTC, microsecond=0)
)
NIGHTS = st.sampled_from(["2026-03-29T01:00", "2026-10-25T01:00", "2024-02-29T00:00", "2028-02-29T12:00"]).flatmap(
    lambda text: st.integers(-90_000, 90_000).map(lambda more: moment(text) + timedelta(seconds=more))
)
CLOCKS = st.times().map(lambda one: time(one.hour, one.minute))
WEEKLY = st.builds(
    lambda days, at, minutes, zone: calendar.weekly(days, at, timedelta(minutes=minutes), zone=zone),
    st.sets(st.sampled_from(calendar.WEEKDAYS), min_size=1, max_size=4),
    CLOCKS,
    st.integers(1, 2000),
    ZONES,
)
CRONS = st.builds(
    lambda text, minutes, zone: calendar.cron(text, timedelta(minutes=minutes), zone=zone),
    st.sampled_from(["30 2 * * *", "0 3 29 2 *", "15 1,2,3 * * 0", "0 */6 * * *", "59 23 L * *", "*/30 2 * 3,10 *"]),
    st.integers(1, 25),
    ZONES,
)
ONCE = st.builds(lambda begin, minutes: calendar.once(begin, begin + timedelta(minutes=minutes)), MOMENTS, st.integers(1, 9000))  # fmt: skip
RULES = st.one_of(ONCE, WEEKLY, CRONS)
ATS = MOMENTS | NIGHTS


@given(RULES, ATS)
def test_a_window_is_on_exactly_between_its_turns(rule: Rule, at: datetime) -> None:
    turn = calendar.turns(rule, at)
    if turn is None:
        assert not calendar.covers(rule, at)
        return
    assert turn > at
    on = calendar.covers(rule, at)
    assert calendar.covers(rule, at + (turn - at) / 2) == on
    assert calendar.covers(rule, turn - timedelta(microseconds=1)) == on
    assert calendar.covers(rule, turn) is not on


@given(RULES, ATS)
def test_what_covers_is_one_of_the_occurrences(rule: Rule, at: datetime) -> None:
    found = calendar.occurrences(rule, at, 3)
    assert calendar.covers(rule, at) == any(begin <= at < end for begin, end in found)
    assert all(end - begin == rule.duration and end > at for begin, end in found)
    assert all(a[0] < b[0] for a, b in pairwise(found))


@given(WEEKLY, ATS)
def test_a_weekly_window_begins_at_its_wall_time_on_its_days_and_on_no_other(rule: Rule, after: datetime) -> None:
    zone, clock = ZoneInfo(rule.zone), rule.at
    assert clock is not None
    wanted = set()
    first = after.astimezone(zone).date() - timedelta(days=2)
    for day in (first + timedelta(days=n) for n in range(14)):
        if calendar.WEEKDAYS[day.weekday()] in rule.weekdays:
            wall = datetime.combine(day, clock, zone)
            real = wall.astimezone(UTC)
            if real.astimezone(zone).replace(tzinfo=None) != wall.replace(tzinfo=None):  # the night skips it
                real = next(
                    one for one in (real - n * MINUTE for n in range(180))
                    if (one - MINUTE).astimezone(zone).utcoffset() != one.astimezone(zone).utcoffset()
                )  # fmt: skip
            wanted.add(real)
    last = after + timedelta(days=9)
    found = {begin for begin, _ in calendar.occurrences(rule, after, 12) if begin > after}
    assert {one for one in found if one < last} == {one for one in wanted if after < one < last}


@given(RULES)
def test_a_rule_comes_back_from_what_is_stored(rule: Rule) -> None:
    assert calendar.read(rule.kind, rule.options(), rule.zone if rule.kind != "once" else "UTC") == rule


@given(RULES, ATS, st.integers(1, 600), st.lists(st.integers(-4000, 4000), max_size=4))
def test_a_flexible_window_never_lasts_longer_than_it_may(rule: Rule, at: datetime, minutes: int, downs: list[int]) -> None:  # fmt: skip
    lasts = timedelta(minutes=minutes)
    flexible = replace(rule, flexible=True, lasts=lasts)
    moments = [at + timedelta(minutes=n) for n in downs]
    span = calendar.run(flexible, at, moments)
    if span is not None:
        assert span[1] - span[0] == lasts
        assert span[0] in moments
        assert span[0] <= at < span[1]
        assert calendar.covers(rule, span[0])
    assert not calendar.covers(flexible, at, [])


@given(RULES, ATS, st.integers(1, 600), st.lists(st.integers(-4000, 10), max_size=4))
def test_a_flexible_window_begins_at_the_first_outage_of_an_armed_time(
    rule: Rule, at: datetime, minutes: int, downs: list[int]
) -> None:
    lasts = timedelta(minutes=minutes)
    moments = [at + timedelta(minutes=n) for n in downs]
    armed = takewhile(lambda begin: begin <= at, calendar._starts(rule, at - lasts - rule.duration))
    firsts = [
        min((one for one in moments if begin <= one < begin + rule.duration and one <= at), default=None)
        for begin in armed
    ]
    wanted = next(((first, first + lasts) for first in firsts if first is not None and at < first + lasts), None)
    assert calendar.run(replace(rule, flexible=True, lasts=lasts), at, moments) == wanted


# ---- whom it covers ----

NOW = moment("2026-11-21T12:00")
ON = calendar.once(NOW - HOUR, NOW + HOUR)
SPAN = (NOW - HOUR, NOW + HOUR)


def places(**parents: str) -> dict[int, Place]:
    """Machines named a to h, which are 1 to 8."""
    number = {name: n for n, name in enumerate("abcdefgh", 1)}
    return {
        number[name]: Place(number[name], parents=frozenset(number[one] for one in above))
        for name, above in parents.items()
    }


def test_a_window_on_a_machine_covers_all_behind_it_and_says_from_whom() -> None:
    found = calendar.muted([Window(7, ON, host=1)], places(a="", b="a", c="b", d=""), NOW)
    assert found == {1: Cover(7, *SPAN), 2: Cover(7, *SPAN, 1), 3: Cover(7, *SPAN, 2)}


def test_a_machine_that_another_way_leads_to_is_not_excused() -> None:
    world = places(a="", b="", c="ab")
    assert set(calendar.muted([Window(1, ON, host=1)], world, NOW)) == {1}
    assert set(calendar.muted([Window(1, ON, host=1), Window(2, ON, host=2)], world, NOW)) == {1, 2, 3}


def test_of_two_ways_the_one_that_is_back_first_ends_it() -> None:
    long = Window(1, calendar.once(NOW - 2 * HOUR, NOW + 5 * HOUR), host=1)
    found = calendar.muted([long, Window(2, ON, host=2)], places(a="", b="", c="ab"), NOW)
    assert found[3] == Cover(2, NOW - HOUR, NOW + HOUR, 2)


def test_a_circle_of_parents_ends() -> None:
    world = {1: Place(1, parents=frozenset({2})), 2: Place(2, parents=frozenset({1})), 3: Place(3)}
    assert set(calendar.muted([Window(1, ON, host=1)], world, NOW)) == {1, 2}
    assert set(calendar.muted([Window(1, ON, host=3)], world, NOW)) == {3}


def test_a_window_may_be_for_a_group_a_division_a_site_or_everything() -> None:
    world = {
        1: Place(1, groups=frozenset({5})),
        2: Place(2, division=9),
        3: Place(3, groups=frozenset({6}), division=8, site=4),
    }
    assert set(calendar.muted([Window(1, ON, site=4)], world, NOW)) == {3}
    assert set(calendar.muted([Window(1, ON, group=5)], world, NOW)) == {1}
    assert set(calendar.muted([Window(1, ON, division=9)], world, NOW)) == {2}
    assert set(calendar.muted([Window(1, ON)], world, NOW)) == {1, 2, 3}
    assert calendar.muted([Window(1, ON)], world, NOW + HOUR) == {}


def test_of_two_windows_the_longer_one_says_why() -> None:
    longer = calendar.once(NOW - MINUTE, NOW + 3 * HOUR)
    found = calendar.muted([Window(1, ON, host=1), Window(2, longer)], places(a=""), NOW)
    assert found == {1: Cover(2, NOW - MINUTE, NOW + 3 * HOUR)}


def test_a_flexible_window_of_everything_begins_for_each_machine_by_itself_and_for_those_behind_it() -> None:
    rule = calendar.once(NOW - HOUR, NOW + HOUR, lasts=HOUR)
    down = NOW - 10 * MINUTE
    world = {1: Place(1, downs=(down,)), 2: Place(2), 3: Place(3, parents=frozenset({1}))}
    found = calendar.muted([Window(1, rule)], world, NOW)
    assert found == {1: Cover(1, down, down + HOUR), 3: Cover(1, down, down + HOUR, 1)}


LINKS = st.sets(st.tuples(st.integers(1, 7), st.integers(1, 7)).filter(lambda pair: pair[0] != pair[1]), max_size=12)


@given(LINKS, st.sets(st.integers(1, 7)))
def test_in_any_topology_inheritance_adds_and_takes_nothing_away(links: set[tuple[int, int]], aimed: set[int]) -> None:
    world = {n: Place(n, parents=frozenset(p for child, p in links if child == n)) for n in range(1, 8)}
    found = calendar.muted([Window(n, ON, host=n) for n in aimed], world, NOW)
    assert aimed <= set(found)
    for place in world.values():
        inherits = bool(place.parents) and place.parents <= set(found)
        assert (place.id in found) == (place.id in aimed or inherits)
    assert calendar.muted([], world, NOW) == {}


@pytest.mark.parametrize("day", ["0001-01-01", "1969-12-30", "3000-01-01", "9999-12-31"])
def test_a_moment_at_the_edge_of_the_calendar_is_refused_with_a_sentence(day: str) -> None:
    options = {"from": f"{day}T01:00+14:00", "until": f"{day}T02:00+14:00"}
    with pytest.raises(ValueError, match="lies between the years 1970 and 2999"):
        calendar.read("once", options, JAKARTA)


def test_a_flexible_window_costs_nothing_for_machines_that_did_not_go_down(monkeypatch: pytest.MonkeyPatch) -> None:
    rule = calendar.cron("*/2 * * * *", MINUTE, zone="UTC", lasts=timedelta(days=31))
    at = moment("2026-11-21T12:00:30")
    assert calendar.run(rule, at, [at - 20 * MINUTE]) == (at - 20 * MINUTE, at - 20 * MINUTE + timedelta(days=31))
    monkeypatch.setattr(calendar, "_starts", lambda *_: pytest.fail("it counted starts though nothing went down"))
    assert calendar.run(rule, at, []) is None
    assert calendar.run(rule, at, [at - timedelta(days=31), at + MINUTE]) is None


def test_a_thousand_machines_that_went_down_together_ask_the_calendar_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rule = calendar.cron("*/2 * * * *", MINUTE, zone="Asia/Jakarta", lasts=timedelta(days=31))
    at, asked, starts = moment("2027-01-21T12:04:30"), [], calendar._starts
    monkeypatch.setattr(calendar, "_starts", lambda *given: asked.append(given) or starts(*given))
    for n in range(1000):
        went = at - timedelta(minutes=4, milliseconds=n)
        assert calendar.run(rule, at, [went]) == (went, went + timedelta(days=31))
    assert len(asked) == 1


def test_a_flexible_window_knows_starts_that_are_no_whole_minute() -> None:
    begin = moment("2026-11-21T10:00:30")
    rule = calendar.once(begin, begin + HOUR, lasts=HOUR)
    assert calendar.covers(rule, begin + 2 * MINUTE, [begin])
    assert not calendar.covers(rule, begin + 2 * MINUTE, [begin - timedelta(seconds=1)])
    later = begin + timedelta(seconds=20)
    assert calendar.run(rule, later, [begin + timedelta(seconds=10), later]) == (
        begin + timedelta(seconds=10),
        begin + timedelta(seconds=10) + HOUR,
    )
    assert not calendar.covers(rule, later + HOUR, [begin + timedelta(seconds=10), later])


# ---- what is stored, to the letter ----

ENDED, RESUMES = moment("2026-12-24T00:00"), moment("2026-11-01T00:00")
STORED = [
    ("once", {"from": "2026-11-21T10:00:00+00:00", "until": "2026-11-21T12:00:00+00:00"}),
    ("weekly", {"weekdays": ["mon", "sat"], "at": "22:05", "duration": 7200}),
    ("cron", {"expression": "0 22 * * 6", "duration": 7200}),
]


@pytest.mark.parametrize("kind, options", STORED)
def test_a_rule_is_stored_and_read_to_the_letter_flexible_or_not(kind: str, options: dict[str, object]) -> None:
    fixed = calendar.read(kind, options, BERLIN, ended=ENDED, resumes=RESUMES)
    assert fixed.options() == options
    assert (fixed.kind, fixed.zone, fixed.duration) == (kind, BERLIN, 2 * HOUR)
    assert (fixed.flexible, fixed.lasts, fixed.ended, fixed.resumes) == (False, timedelta(0), ENDED, RESUMES)
    told = {**options, "flexible": True, "lasts": 1800}
    flexible = calendar.read(kind, told, BERLIN)
    assert flexible.options() == told
    assert (flexible.flexible, flexible.lasts, flexible.ended, flexible.resumes) == (True, 30 * MINUTE, None, None)
    assert calendar.read(kind, {**options, "flexible": False, "lasts": 1800}, BERLIN) == calendar.read(
        kind, options, BERLIN
    )


def test_a_weekly_rule_is_a_cron_expression_with_the_names_of_its_days() -> None:
    rule = calendar.weekly(["Saturday", "mon"], time(22, 5, 9, 7, tzinfo=UTC), HOUR, zone=BERLIN)
    assert (rule.expression, rule.weekdays, rule.at) == ("5 22 * * MON,SAT", ("mon", "sat"), time(22, 5))
    with pytest.raises(ValueError, match="'Caturday' is no day of the week"):
        calendar.weekly(["Caturday"], "22:00", HOUR, zone=BERLIN)


@pytest.mark.parametrize("kind, options", STORED[1:])
def test_a_duration_that_is_no_number_is_named(kind: str, options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"^'duration' is a number of seconds, not 'long'"):
        calendar.read(kind, {**options, "duration": "long"}, BERLIN)
    for wrong in (True, -1, 1e8 + 1):
        with pytest.raises(ValueError, match=r"^'lasts' is a number of seconds"):
            calendar.read(kind, {**options, "flexible": True, "lasts": wrong}, BERLIN)
    for short in (0, 0.5, 1e8):
        with pytest.raises(ValueError, match="between a minute and 31 days"):
            calendar.read(kind, {**options, "duration": short}, BERLIN)
    assert calendar.read(kind, {**options, "duration": 90.5}, BERLIN).options()["duration"] == 90.5
    whole = calendar.read(kind, {**options, "duration": 90.0}, BERLIN).options()["duration"]
    assert isinstance(whole, int) and whole == 90


@pytest.mark.parametrize("year", [1970, 2999])
def test_the_first_and_the_last_year_of_the_calendar_belong_to_it(year: int) -> None:
    begin = datetime(year, 6, 1, 10, tzinfo=ZoneInfo(JAKARTA))
    rule = calendar.once(begin, begin + HOUR, zone=JAKARTA)
    assert rule.begin is not None
    assert (rule.begin, rule.begin.tzinfo) == (begin, UTC)
    assert rule.zone == JAKARTA


def test_a_duration_is_written_in_days_hours_and_minutes() -> None:
    told = {"1d 2h 3m": 1563, "2d": 2880, "1h": 60, "59m": 59, "0m": 0, "23h 59m": 1439}
    assert {calendar.written(minutes * MINUTE): minutes for minutes in told.values()} == told


def test_a_window_that_is_not_on_hides_none_that_comes_after_it() -> None:
    later = calendar.once(NOW + HOUR, NOW + 2 * HOUR)
    armed = replace(ON, flexible=True, lasts=HOUR)
    assert set(calendar.muted([Window(1, later), Window(2, armed), Window(3, ON, host=1)], places(a=""), NOW)) == {1}
    world = places(a="", b="a", c="a", d="b")
    world[1] = replace(world[1], downs=(NOW - MINUTE,))
    assert set(calendar.muted([Window(2, armed, host=1)], world, NOW)) == {1, 2, 3, 4}


def test_what_is_behind_two_under_maintenance_has_it_from_the_one_that_began_last() -> None:
    early = calendar.once(NOW - 2 * HOUR, NOW + 3 * HOUR)
    for first, second, latest in ((ON, early, 1), (early, ON, 2), (ON, ON, 2)):
        found = calendar.muted([Window(11, first, host=1), Window(12, second, host=2)], places(a="", b="", c="ab"), NOW)
        assert (found[3].inherited_from, found[3].window, found[3].since) == (latest, 10 + latest, NOW - HOUR)
        assert found[3].until == NOW + HOUR


def test_what_cannot_inherit_hides_nobody_who_can() -> None:
    world = places(a="", b="ah", c="a", d="ah", e="c", h="")  # h is well, and is a way to b and d
    assert set(calendar.muted([Window(1, ON, host=1)], world, NOW)) == {1, 3, 5}
