"""Our two rules of flapping beside the published ones: sooner told of a real outage, and not blind to slow flapping."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.rules.flappers import Icinga, Judge, Nagios, recognised_at, recognised_by_us, told_by, told_by_us

LONG = "f" * 40


def nagios_object() -> Judge:
    """As most object definitions have it."""
    return Nagios(low=25, high=50)


@pytest.mark.parametrize(("last", "ours", "nagios", "icinga"), [("f", 8, 13, 14), ("o", 9, 14, 15)])
def test_an_outage_that_begins_while_every_minute_is_another_is_told_five_minutes_sooner(
    last: str, ours: int, nagios: int, icinga: int
) -> None:
    """Minutes from the first look that found it to the word: when the row began with the flapping's own last failure,
    and when it did not."""
    before = ("of" * 15 if last == "f" else "fo" * 15) + LONG
    assert told_by_us(before, 30) == ours
    assert told_by(nagios_object(), before, 30) == nagios
    assert told_by(Icinga(), before, 30) == icinga
    assert told_by(Nagios(), before, 30) == nagios + 5


@given(st.text("of", min_size=25, max_size=60))
def test_fast_flapping_never_hides_an_outage_for_more_than_ten_looks(before: str) -> None:
    hard_downs = sum(1 for letter, row in groupby(before) if letter == "f" and len(list(row)) >= 3)
    told = told_by_us(before + LONG, len(before))
    if hard_downs < 3:  # the outage's own is the fourth that makes it slow
        assert told is None or told <= 9


@given(st.text("of", min_size=25, max_size=60))
def test_slow_flapping_never_hides_an_outage_for_more_than_half_an_hour_after_it_is_down(before: str) -> None:
    told = told_by_us(before + LONG, len(before))
    assert told is None or told <= 30 + 2


def test_five_minutes_up_and_five_down_is_recognised_at_the_fourth_down() -> None:
    results = "ooooofffff" * 20
    fourth = [place + 2 for place in range(len(results)) if results[place - 1 : place + 3] == "offf"][3]
    assert recognised_by_us(results) == fourth == 37


@pytest.mark.parametrize("peer", [nagios_object, Icinga])
def test_the_others_never_recognise_it(peer: Callable[[], Judge]) -> None:
    assert recognised_at(peer(), "ooooofffff" * 200) is None


def test_only_the_lowest_of_the_others_limits_do_and_then_hold_an_outage_back_for_a_quarter_of_an_hour() -> None:
    results = "ooooofffff" * 20
    assert recognised_at(Nagios(low=5, high=20), results) == 20
    assert told_by(Nagios(low=5, high=20), "ooooofffff" * 10 + "ooooo" + LONG, 105) == 15


def test_the_peers_are_as_their_documentation_says() -> None:
    """All 20 changed is 100 % for both; a change weighs more the newer it is; both stop only below their low limit."""
    for peer, high in ((Nagios(low=99, high=99.9), 21), (Icinga(low=99, high=99.9), 21)):
        answers = [peer.flaps(bool(number % 2)) for number in range(high)]
        assert answers == [False] * (high - 1) + [True]
    few = "o" * 21 + "fo" * 2 + "o" * 20
    assert recognised_at(Nagios(low=5, high=24), few) == 24
    assert recognised_at(Nagios(low=5, high=24.5), few) is None
    assert recognised_at(Icinga(low=5, high=23), few) == 24
    assert recognised_at(Icinga(low=5, high=23.4), few) is None
