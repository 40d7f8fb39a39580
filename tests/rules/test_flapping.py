"""The window, its weights and its limits; the hour and its half."""

from __future__ import annotations

import pytest

from domain.flapping import CALM, Flaps, excused, passed, seen, turned, weighed


def after(letters: str, flaps: Flaps = CALM) -> Flaps:
    for letter in letters:
        flaps = seen(flaps, letter == "o")
    return flaps


def test_a_change_weighs_three_quarters_when_oldest_and_five_quarters_when_newest() -> None:
    place = 76.0
    assert weighed("of" + "f" * 19) / place == 0.75
    assert weighed("o" * 20 + "f") / place == 1.25
    assert weighed("of" * 10 + "o") / place == pytest.approx(20)
    assert weighed("f" * 21) == weighed("") == weighed("o") == 0
    assert weighed("of") / place == 1.25  # places before the first result hold none


def test_six_turns_in_a_row_start_it_five_of_the_newest_are_a_hair_too_few() -> None:
    assert weighed("ofofof") == 455 and not after("ofofof").fast
    assert weighed("ofofofo") == 540 and after("ofofofo").fast
    assert not after("o" * 30 + "f").fast


def window(*changes: int) -> str:
    """21 results that change at these of the 20 places, oldest 0."""
    letters = "o"
    for place in range(20):
        letters += letters[-1] if place not in changes else "f" if letters[-1] == "o" else "o"
    return letters


@pytest.mark.parametrize(
    ("changes", "share", "starts"), [((0, 5, 9, 10, 14, 19), 456, True), ((0, 5, 8, 10, 14, 19), 454, False)]
)
def test_exactly_thirty_per_cent_starts_it(changes: tuple[int, ...], share: int, starts: bool) -> None:
    letters = window(*changes)
    assert weighed(letters) == share
    assert seen(Flaps("x" + letters[:-1]), letters[-1] == "o").fast is starts


@pytest.mark.parametrize(("changes", "share", "goes_on"), [((1, 9, 10, 18), 304, False), ((1, 9, 11, 18), 306, True)])
def test_exactly_twenty_per_cent_stops_it(changes: tuple[int, ...], share: int, goes_on: bool) -> None:
    letters = window(*changes)
    assert weighed(letters) == share
    assert seen(Flaps("x" + letters[:-1], fast=True), letters[-1] == "o").fast is goes_on


def test_ten_equal_results_end_it_and_clear_the_window_nine_do_not() -> None:
    flapping = after("of" * 15)
    assert flapping.fast and len(flapping.window) == 21
    nine = after("f" * 8, flapping)
    assert nine.fast
    assert after("f", nine) == Flaps()
    assert after("o" * 9, flapping).fast and after("o" * 10, flapping) == Flaps()


def test_one_letter_stands_for_any_number_of_equal_results_while_nothing_changes() -> None:
    assert after("ooooo").window == "o" and after("fffff").window == "f"
    assert after("ooooof").window == "of"


def test_failures_that_were_anothers_are_taken_back() -> None:
    assert excused(Flaps("ofoff")) == Flaps("ofo")
    assert excused(Flaps("ff", slow=True)) == Flaps("", slow=True)
    calm = Flaps("ofo")
    assert excused(calm) is calm


def test_the_fourth_down_within_an_hour_is_slow_flapping_and_no_other_change_counts() -> None:
    flaps = CALM
    for at in (0.0, 1000.0, 2000.0):
        flaps = turned(turned(flaps, at, True), at + 500, False)
        assert not flaps.slow
    assert flaps == Flaps(downs=(0.0, 1000.0, 2000.0), turn=2500.0)
    assert turned(flaps, 3600.0, True) == Flaps(slow=True, downs=(0.0, 1000.0, 2000.0, 3600.0), turn=3600.0)
    later = turned(flaps, 3601.0, True)
    assert not later.slow
    assert turned(later, 4600.0, True) == Flaps(slow=True, downs=(1000.0, 2000.0, 3601.0, 4600.0), turn=4600.0)
    assert turned(Flaps(slow=True), 9.0, True).slow and turned(Flaps(slow=True), 9.0, False).slow


def test_half_an_hour_without_a_change_ends_it() -> None:
    flaps = Flaps(slow=True, fast=True, downs=(1.0,), turn=100.0)
    assert passed(flaps, 1899.9) is flaps
    assert passed(flaps, 1900.0) == Flaps(fast=True, downs=(1.0,), turn=100.0)
    quick = Flaps(fast=True, turn=1.0)
    assert passed(quick, 1e9) is quick
    odd = Flaps(slow=True)
    assert passed(odd, 1e9) is odd


def test_either_makes_it_flap() -> None:
    assert [Flaps(fast=fast, slow=slow).flapping for fast in (False, True) for slow in (False, True)] == [
        False,
        True,
        True,
        True,
    ]
