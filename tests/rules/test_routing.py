"""What is told of a subject, to the last mark: problem, recovery, reminder, flapping, and who has it in hand."""

from __future__ import annotations

import pytest

from domain.flapping import Flaps
from domain.health import Track
from domain.routing import ADMINS_ONLY, Notice, acknowledge, remind, tell, unacknowledge
from domain.thresholds import MetricTrack
from domain.told import NOTHING, Told

FLAPPING = Flaps(fast=True)


def test_each_word_carries_when_what_and_since() -> None:
    down, (problem,) = tell(Track("down", 10), 30)
    assert problem == Notice("problem", 30, "down", 10, None)
    assert down.told == Told("down", 10, at=30)
    up, (recovery,) = tell(Track("up", 100, told=down.told), 120)
    assert recovery == Notice("recovery", 120, "up", 100, 90)
    assert up.told == NOTHING
    grey, (asked,) = tell(Track("unknown", 10), 30)
    assert asked == Notice("check_problem", 30, "unknown", 10, None)
    assert grey.told == Told(check="self")
    unsure = Track("up", 100, told=Told("down"))
    assert tell(unsure, 120)[1] == (Notice("recovery", 120, "up", 100, None),)


@pytest.mark.parametrize("state", ["pending", "unreachable", "disabled"])
def test_of_what_is_nothing_to_speak_of_nothing_is_said_and_nothing_forgotten(state: str) -> None:
    track = Track(state, 10, told=Told("down", 5, at=7), flaps=FLAPPING)  # type: ignore[arg-type]
    assert tell(track, 30) == (track, ())


def test_where_nothing_is_due_the_very_same_track_comes_back() -> None:
    for track in (Track("up"), Track("down", told=Told("down")), Track("unknown", told=Told(check="poller"))):
        assert tell(track, 30)[0] is track
    assert tell(Track("up", told=Told(check="self")), 30) == (Track("up"), ())  # the mark goes in silence


def test_better_but_not_well_moves_the_mark_in_silence_and_worse_again_is_news() -> None:
    critical = MetricTrack("critical", 50, told=Told("warning", 10, at=12, acknowledged=True))
    worse, (notice,) = tell(critical, 60)
    assert notice == Notice("problem", 60, "critical", 50, None)
    assert worse.told == Told("critical", 10, at=60, acknowledged=True)
    better, said = tell(MetricTrack("warning", 70, told=worse.told), 80)
    assert (said, better.told) == ((), Told("warning", 10, at=60, acknowledged=True))
    again, (notice,) = tell(MetricTrack("critical", 90, told=better.told), 95)
    assert (notice.kind, again.told.since) == ("problem", 10)


def test_flapping_is_told_when_it_begins_and_its_end_settles_what_was_not_told_meanwhile() -> None:
    flapping, (start,) = tell(Track("up", 10, flaps=FLAPPING), 30)
    assert start == Notice("flap_start", 30, "up", 10) and flapping.told == Told(flapping=True)
    down = Track("down", 40, flaps=FLAPPING, told=flapping.told)
    assert tell(down, 50) == (down, ())
    stopped, (stop,) = tell(Track("down", 40, told=flapping.told), 60)
    assert stop == Notice("flap_stop", 60, "down", 40)
    assert stopped.told == Told("down", 40, at=60) and tell(stopped, 61) == (stopped, ())
    well, (stop,) = tell(Track("up", 70, told=Told("down", 40, at=41, flapping=True)), 80)
    assert stop == Notice("flap_stop", 80, "up", 70) and well.told == NOTHING
    grey, (stop,) = tell(Track("unknown", 70, told=Told("down", 40, at=41, flapping=True)), 80)
    assert stop == Notice("flap_stop", 80, "unknown", 70)
    assert grey.told == Told("down", 40, check="self", at=41) and tell(grey, 81) == (grey, ())


def test_flapping_that_ends_while_there_is_nothing_to_speak_of_is_told_afterwards() -> None:
    lost = Track("unreachable", 40, told=Told(flapping=True))
    assert tell(lost, 50) == (lost, ())
    assert [notice.kind for notice in tell(Track("up", 60, told=lost.told), 60)[1]] == ["flap_stop"]
    muted = Track("up", 10, flaps=FLAPPING)
    assert tell(muted, 20, quiet=True) == (muted, ())


def test_a_reminder_comes_exactly_so_long_after_the_last_word_and_counts_as_one() -> None:
    down = Track("down", 10, told=Told("down", 10, at=100))
    assert remind(down, 399, 300) == (down, ())
    reminded, (notice,) = remind(down, 400, 300)
    assert notice == Notice("reminder", 400, "down", 10)
    assert reminded.told == Told("down", 10, at=400) and remind(reminded, 699, 300)[1] == ()


@pytest.mark.parametrize(
    "told",
    [
        Told("down", 10, at=100, acknowledged=True),
        Told("down", 10, at=100, flapping=True),
        Told("down", 10),
        Told("critical", 10, at=100),
        Told("", at=100),
    ],
)
def test_nobody_is_reminded_of_what_is_in_hand_or_flaps_or_was_never_told(told: Told) -> None:
    assert remind(Track("down", 10, told=told), 1000, 300)[1] == ()


def test_nobody_is_reminded_where_none_are_set_or_all_is_quiet_or_it_is_over() -> None:
    told = Told("down", 10, at=100)
    assert remind(Track("down", 10, told=told), 1000, 0)[1] == ()
    assert remind(Track("down", 10, told=told), 1000, 300, quiet=True)[1] == ()
    for state in ("up", "unknown", "unreachable"):
        assert remind(Track(state, 10, told=told), 1000, 300)[1] == ()  # type: ignore[arg-type]


def test_who_takes_it_in_hand_settles_what_is_owed_and_can_give_it_back() -> None:
    assert acknowledge(Track("down", 40)).told == Told("down", 40, acknowledged=True)
    assert acknowledge(Track("down", 40, told=Told("down", 10, at=20))).told == Told(
        "down", 10, at=20, acknowledged=True
    )
    assert acknowledge(MetricTrack("critical", 40, told=Told("warning", 10))).told == Told(
        "critical", 10, acknowledged=True
    )
    for track in (Track("up"), Track("unknown"), Track("unreachable"), Track("pending")):
        assert acknowledge(track) is track
    given = unacknowledge(Track("down", 40, told=Told("down", 10, at=20, acknowledged=True)))
    assert given == Track("down", 40, told=Told("down", 10, at=20))
    assert unacknowledge(given) is given


def test_what_is_about_the_watching_is_for_admins_only() -> None:
    assert {"check_problem", "poller_silent", "poller_back", "uplink_lost", "uplink_back"} == ADMINS_ONLY
