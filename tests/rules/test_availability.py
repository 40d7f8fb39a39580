"""What counts as up, what as down, what as neither; and that the sums are the whole period."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import availability
from domain.availability import Interval

BEGIN = datetime(2026, 11, 1, tzinfo=UTC)
END = BEGIN + timedelta(hours=10)


def at(hours: float) -> datetime:
    return BEGIN + timedelta(hours=hours)


def rows(*told: tuple[float, float | None, str]) -> list[Interval]:
    return [(at(since), None if until is None else at(until), state) for since, until, state in told]


def test_availability_is_time_up_by_time_up_and_down() -> None:
    found = availability.over(rows((-5, 6, "up"), (6, 8, "down"), (8, None, "up")), [], BEGIN, END)
    assert (found.up, found.down) == (8 * 3600, 2 * 3600)
    assert found.share == 0.8
    assert [(one.begin, one.end, one.state, one.seconds) for one in found.outages] == [(at(6), at(8), "down", 7200)]


def test_maintenance_is_taken_out_whatever_the_machine_did_in_it() -> None:
    found = availability.over(
        rows((-5, 4, "up"), (4, 6, "down"), (6, None, "up")), rows((3, 5, "maintenance")), BEGIN, END
    )
    assert (found.up, found.down, found.maintenance) == (7 * 3600, 3600, 2 * 3600)
    assert found.share == 7 / 8
    assert [(one.begin, one.seconds) for one in found.outages] == [(at(5), 3600)]


def test_an_outage_wholly_within_maintenance_is_none() -> None:
    found = availability.over(
        rows((-5, 4, "up"), (4, 5, "down"), (5, None, "up")), rows((3, 6, "maintenance")), BEGIN, END
    )
    assert found.share == 1.0
    assert found.outages == ()


def test_an_outage_with_maintenance_in_its_middle_is_one_outage_and_that_time_is_not_counted() -> None:
    found = availability.over(
        rows((-5, 2, "up"), (2, 8, "down"), (8, None, "up")), rows((4, 5, "maintenance")), BEGIN, END
    )
    assert [(one.begin, one.end, one.seconds) for one in found.outages] == [(at(2), at(8), 5 * 3600)]


@pytest.mark.parametrize("border", [4, 4.5, 5])
def test_an_outage_kept_in_two_records_is_one_outage_wherever_maintenance_cuts_it(border: float) -> None:
    told = rows((-5, 2, "up"), (2, border, "down"), (border, 8, "down"), (8, None, "up"))
    for quiet in ([], rows((4, 5, "maintenance"))):
        found = availability.over(told, quiet, BEGIN, END)
        assert [(one.begin, one.end) for one in found.outages] == [(at(2), at(8))]


def test_half_a_second_counts() -> None:
    assert availability.over(rows((0, 0.5 / 3600, "up")), [], BEGIN, END).share == 1.0


def test_two_outages_with_maintenance_and_health_between_are_two_newest_first() -> None:
    found = availability.over(
        rows((0, 2, "down"), (2, 4, "up"), (4, 6, "down"), (6, None, "up")), rows((1.5, 4.5, "maintenance")), BEGIN, END
    )
    assert [(one.begin, one.end) for one in found.outages] == [(at(4.5), at(6)), (at(0), at(1.5))]


@pytest.mark.parametrize("state", ["unknown", "pending", "disabled", "something new"])
def test_time_in_which_nobody_could_tell_counts_neither_for_nor_against(state: str) -> None:
    found = availability.over(rows((0, 2, "up"), (2, 9, state), (9, None, "down")), [], BEGIN, END)
    assert (found.up, found.unknown, found.down) == (2 * 3600, 7 * 3600, 3600)
    assert found.share == 2 / 3


def test_unreachable_is_told_by_itself_and_not_counted_against_the_machine() -> None:
    found = availability.over(rows((0, 4, "up"), (4, 5, "unreachable"), (5, None, "up")), [], BEGIN, END)
    assert (found.unreachable, found.share) == (3600, 1.0)
    assert [one.state for one in found.outages] == ["unreachable"]


def test_without_any_record_nothing_is_said() -> None:
    found = availability.over([], [], BEGIN, END)
    assert (found.share, found.unknown, found.outages) == (None, 36000, ())


def test_an_outage_that_reaches_beyond_the_period_says_so() -> None:
    found = availability.over(rows((-1, 1, "down"), (1, 9, "up"), (9, None, "down")), [], BEGIN, END)
    assert [(one.began_before, one.goes_on) for one in found.outages] == [(False, True), (True, False)]
    ended = availability.over(rows((0, 1, "down"), (1, 9, "up"), (9, 10, "down")), [], BEGIN, END)
    assert [(one.began_before, one.goes_on) for one in ended.outages] == [(False, False), (False, False)]


def test_of_two_records_of_the_same_moment_the_worse_one_holds_and_is_counted_once() -> None:
    found = availability.over(rows((0, 10, "up"), (2, 3, "down"), (2.5, 4, "unreachable")), [], BEGIN, END)
    assert (found.up, found.down, found.unreachable) == (8 * 3600, 3600, 3600)


def test_a_period_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(ValueError, match="after it begins"):
        availability.over([], [], END, BEGIN)
    assert availability.over([], [], BEGIN, BEGIN).share is None


def test_an_outage_through_two_maintenances_is_one_and_keeps_its_state() -> None:
    quiet = rows((2, 3, "maintenance"), (5, 6, "maintenance"))
    found = availability.over(rows((0, 10, "down")), quiet, BEGIN, END)
    assert [(one.state, one.seconds, one.began_before, one.goes_on) for one in found.outages] == [
        ("down", 8 * 3600, False, False)
    ]
    assert (found.outages[0].begin, found.outages[0].end) == (BEGIN, END)


MOMENTS = st.integers(-60, 660).map(lambda minutes: BEGIN + timedelta(minutes=minutes))
STATES = st.sampled_from(["up", "down", "unreachable", "unknown", "pending"])


def interval(since: datetime, length: int | None, state: str) -> Interval:
    return since, None if length is None else since + timedelta(minutes=length), state


INTERVALS = st.lists(st.builds(interval, MOMENTS, st.none() | st.integers(0, 300), STATES), max_size=12)


@given(INTERVALS, INTERVALS)
def test_the_sums_are_always_the_whole_period_and_outages_always_what_was_down(
    states: list[Interval], quiet: list[Interval]
) -> None:
    found = availability.over(states, quiet, BEGIN, END)
    assert found.up + found.down + found.unreachable + found.unknown + found.maintenance == 36000
    assert sum(one.seconds for one in found.outages if one.state == "down") == found.down
    assert sum(one.seconds for one in found.outages if one.state == "unreachable") == found.unreachable
    assert all(BEGIN <= one.begin < one.end <= END for one in found.outages)
    assert found.share is None or 0 <= found.share <= 1


@given(INTERVALS, INTERVALS, st.randoms())
def test_the_order_of_the_records_does_not_matter(
    states: list[Interval], quiet: list[Interval], random: object
) -> None:
    mixed, other = list(states), list(quiet)
    random.shuffle(mixed)  # type: ignore[attr-defined]
    random.shuffle(other)  # type: ignore[attr-defined]
    assert availability.over(mixed, other, BEGIN, END) == availability.over(states, quiet, BEGIN, END)


@given(INTERVALS, INTERVALS, st.integers(1, 599))
def test_two_halves_add_up_to_the_whole(states: list[Interval], quiet: list[Interval], cut: int) -> None:
    middle = BEGIN + timedelta(minutes=cut)
    whole = availability.over(states, quiet, BEGIN, END)
    first, second = availability.over(states, quiet, BEGIN, middle), availability.over(states, quiet, middle, END)
    for name in ("up", "down", "unreachable", "unknown", "maintenance"):
        assert getattr(first, name) + getattr(second, name) == getattr(whole, name)
