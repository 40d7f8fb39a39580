"""What a level may be, what a sample may be, and what a metric remembers."""

from __future__ import annotations

from typing import Any

import pytest

from domain.routing import acknowledge, remind, tell
from domain.thresholds import (
    Level,
    LevelTrack,
    MetricTrack,
    applying,
    close,
    fold_metric,
    grey,
    nearest,
    reaches,
    resume,
)
from domain.told import Told

WARNING = Level("warning", over=80, clear=70, for_=300, clear_for=300)


def sampled(*samples: tuple[float, float], track: MetricTrack | None = None) -> MetricTrack:
    track = track or MetricTrack()
    for at, value in samples:
        track, _ = fold_metric(track, at, value, (WARNING,), 60)
    return track


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_sample_that_is_not_a_number_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="finite number"):
        fold_metric(MetricTrack(), 0, value, (WARNING,), 60)


def test_a_timer_a_hair_early_does_not_cost_a_whole_interval() -> None:
    minutes = [(60.0 * n, 90.0) for n in range(5)]
    assert sampled((0.004, 90), *minutes[1:], (299.998, 90)).state == "warning"
    assert sampled(*minutes, (299.0, 90)).state == "ok"


def test_an_old_or_repeated_sample_is_history_only() -> None:
    track = sampled((0, 90), (60, 90))
    assert sampled((60, 10), (30, 10), track=track) is track


def test_a_level_reached_before_its_host_went_down_is_remembered_and_not_told_again() -> None:
    warned, notices = tell(sampled(*[(60.0 * n, 90.0) for n in range(6)]), 300)
    assert [notice.kind for notice in notices] == ["problem"]
    gone, change = grey(warned, 310, 400)
    assert change is not None and (change.to_state, change.since) == ("unknown", 310)
    assert tell(gone, 400) == (gone, ())
    assert grey(gone, 310, 460) == (gone, None)
    back = sampled((1000, 90), track=gone)
    assert back.state == "warning"
    assert tell(back, 1000) == (back, ())


def test_a_metric_without_a_sample_has_nothing_to_lose() -> None:
    assert grey(MetricTrack(), 0, 60) == (MetricTrack(), None)


def test_a_closed_metric_starts_from_nothing() -> None:
    warned, _ = tell(sampled(*[(60.0 * n, 90.0) for n in range(6)]), 300)
    closed, _ = close(warned, 310)
    back = sampled((1000, 90), track=closed)
    assert back.state == "ok"
    assert tell(back, 1000)[1] == ()


def test_an_edited_level_keeps_its_memory_and_a_removed_one_lets_go() -> None:
    warned = sampled(*[(60.0 * n, 90.0) for n in range(6)])
    edited, change = fold_metric(warned, 360, 90, (Level("warning", over=85, for_=600),), 60)
    assert (edited.state, change) == ("warning", None)
    freed, change = fold_metric(warned, 360, 90, (), 60)
    assert change is not None and (freed.state, change.since) == ("ok", 360)


def test_a_clock_set_back_while_nobody_looked_does_not_make_every_sample_old() -> None:
    woken = resume(sampled((10_000, 90), (10_060, 90)), 5_000)
    assert sampled(*[(5_000 + 60.0 * n, 90.0) for n in range(1, 5)], track=woken).state == "warning"


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"state": "down", "over": 1}, "warning or critical"),
        ({"state": "warning"}, "exactly one of"),
        ({"state": "warning", "over": 1, "under": 2}, "exactly one of"),
        ({"state": "warning", "over": float("nan")}, "'over'.*finite"),
        ({"state": "warning", "over": 1, "for_": float("inf")}, "'for'.*finite"),
        ({"state": "warning", "over": 1, "for_": -1}, "from 0 up"),
        ({"state": "warning", "over": 80, "clear": 81}, "'clear'.*outside"),
        ({"state": "warning", "under": 10, "clear": 9}, "'clear'.*outside"),
    ],
)
def test_a_level_that_contradicts_itself_is_refused(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Level(**values)


@pytest.mark.parametrize("raw", [{"levels": [{"key": "red over"}]}, {"levels": {}}, {"state": "up"}, {"x": 1}, []])
def test_a_stored_metric_track_that_is_not_understood_is_refused(raw: Any) -> None:
    with pytest.raises(ValueError, match="stored"):
        MetricTrack.from_json(raw)


def test_a_short_outage_of_the_host_starts_a_sustained_limit_afresh() -> None:
    """Shorter than the two intervals of missing samples that would do so anyway."""
    gone, _ = grey(sampled(*[(60.0 * n, 90.0) for n in range(5)]), 240, 250)
    assert sampled((300, 90), track=gone).state == "ok"


def test_grey_never_begins_before_the_state_it_ends() -> None:
    warned, _ = fold_metric(MetricTrack(), 100, 90, (Level("warning", over=80),), 60)
    _, change = grey(warned, 60, 180)
    assert change is not None and change.since == 100


def test_two_levels_left_at_once_are_left_since_the_later_of_their_rows() -> None:
    levels = (Level("warning", over=80, clear=70, clear_for=60), Level("critical", over=90, clear=75, clear_for=120))
    track, changes = MetricTrack(), []
    for at, value in ((0, 99), (60, 74), (120, 70), (180, 70)):
        track, change = fold_metric(track, at, value, levels, 60)
        changes += [(change.to_state, change.since)] if change else []
    assert changes == [("critical", 0), ("ok", 120)]


def test_an_acknowledgement_of_a_metric_ends_at_a_recovery_nobody_was_told_of() -> None:
    level = (Level("warning", over=80),)
    warned = acknowledge(tell(fold_metric(MetricTrack(), 0, 90, level, 60)[0], 0)[0])
    assert warned.told.acknowledged
    well, _ = fold_metric(warned, 60, 50, level, 60)
    assert fold_metric(well, 120, 90, level, 60)[0].told.acknowledged is False


def test_a_grey_metric_is_not_reminded_of() -> None:
    warned, _ = tell(fold_metric(MetricTrack(), 0, 90, (Level("warning", over=80),), 60)[0], 0)
    assert [notice.kind for notice in remind(warned, 600, 600)[1]] == ["reminder"]
    assert remind(grey(warned, 60, 180)[0], 600, 600)[1] == ()


def test_of_limits_the_nearest_owner_says_all_about_a_measure_and_nothing_about_another() -> None:
    host, group, everybody = ["cpu 95"], ["cpu 80", "cpu 90", "mem 70"], ["cpu 50", "mem 60", "disk 85", "disk 95"]
    held = nearest([host, group, everybody], lambda limit: limit.split()[0])
    assert sorted(held) == ["cpu 95", "disk 85", "disk 95", "mem 70"]
    assert nearest([], lambda limit: limit) == []


def test_a_limit_without_a_part_means_the_total_or_every_part_where_there_is_none() -> None:
    assert reaches("", "", True)
    assert not reaches("", "core 0", True)
    assert reaches("", "C:", False)
    assert reaches("C:", "C:", True)
    assert reaches("C:", "C:", False)
    assert not reaches("C:", "D:", False)
    assert not reaches("C:", "", True)


def test_what_is_said_of_a_part_by_name_stands_in_place_of_what_is_said_of_all() -> None:
    limits = [("all", ""), ("C: warning", "C:"), ("C: critical", "C:")]
    held = {part: [name for name, _ in applying(limits, part, False, lambda one: one[1])] for part in ("C:", "D:")}
    assert held == {"C:": ["C: warning", "C: critical"], "D:": ["all"]}
    total = {part: [name for name, _ in applying(limits, part, True, lambda one: one[1])] for part in ("", "C:", "D:")}
    assert total == {"": ["all"], "C:": ["C: warning", "C: critical"], "D:": []}


def test_a_change_names_the_limit_that_made_it_a_hand_set_one_before_the_normal() -> None:
    levels = (Level("warning", over=80), Level("critical", over=90), Level("warning", under=5))
    track, names = MetricTrack(), []
    for at, value in ((0, 85), (60, 95), (120, 85), (180, 50), (240, 3)):
        track, change = fold_metric(track, at, value, levels, 60)
        names.append(change.by if change else None)
    assert names == ["warning over", "critical over", "warning over", "warning over", "warning under"]
    freed, change = fold_metric(track, 300, 3, (), 60)
    assert change is not None and (freed.state, change.by) == ("ok", "")


def test_a_clock_set_back_moves_every_moment_of_a_number_and_only_then() -> None:
    levels = (LevelTrack("warning over", True, 90.0), LevelTrack("critical over"))
    track = MetricTrack("warning", 80.0, 100.0, levels, Told("warning", 80.0, at=82.0))
    moved = resume(track, 60)
    assert moved == MetricTrack(
        "warning",
        40.0,
        60,
        (LevelTrack("warning over", True, 50.0), LevelTrack("critical over")),
        Told("warning", 40.0, at=42.0),
    )
    assert resume(track, 100) is track and resume(track, 101) is track
    new = MetricTrack(since=50.0)
    assert resume(new, 10) is new
    assert resume(track, 99.5).seen == 99.5


def test_a_level_without_a_name_is_not_understood() -> None:
    for raw in ({}, {"key": ""}, {"key": "XXXX"}):
        with pytest.raises(ValueError, match="'key' of a stored LevelTrack is one of"):
            LevelTrack.from_json(raw)


def test_a_worse_level_left_for_another_that_held_longer_dates_from_that_ones_own_row() -> None:
    levels = (Level("critical", over=95), Level("warning", over=80, for_=180))
    track, found = MetricTrack(), []
    for at, value in ((0, 99), (60, 99), (120, 99), (180, 90)):
        track, change = fold_metric(track, at, value, levels, 60)
        found += [(change.to_state, change.since, change.by)] if change else []
    assert found == [("critical", 0, "critical over"), ("warning", 0, "warning over")]


@pytest.mark.parametrize(("early", "reached"), [(0.5, True), (0.51, False), (0.4, True)])
def test_a_sample_may_be_half_a_second_early_and_no_more(early: float, reached: bool) -> None:
    minutes = [(60.0 * n, 90.0) for n in range(5)]
    assert (sampled(*minutes, (300 - early, 90)).state == "warning") is reached
    quick = MetricTrack()
    for at in (0.0, 10 - 0.1 - (early - 0.5)):  # a hundredth of an interval of ten seconds is less than half a second
        quick, _ = fold_metric(quick, at, 90, (Level("warning", over=80, for_=10),), 10)
    assert (quick.state == "warning") is reached


def test_who_has_a_warning_in_hand_has_it_in_hand_when_it_gets_worse() -> None:
    levels = (Level("warning", over=80), Level("critical", over=90))
    warned = acknowledge(tell(fold_metric(MetricTrack(), 0, 85, levels, 60)[0], 0)[0])
    worse, _ = fold_metric(warned, 60, 95, levels, 60)
    assert (worse.state, worse.told.acknowledged) == ("critical", True)


def test_the_nearest_owner_who_says_anything_of_a_measure_stands_alone() -> None:
    own = [("cpu", "critical", 1)]
    group = [("cpu", "warning", 2), ("disk", "warning", 3), ("disk", "critical", 4)]
    everybody = [("cpu", "warning", 5), ("disk", "warning", 6), ("memory", "warning", 7)]
    held = nearest([own, group, everybody], lambda limit: limit[0])
    assert sorted(number for _, _, number in held) == [1, 3, 4, 7]
    assert nearest([[], [], everybody], lambda limit: limit[0]) == everybody
    assert nearest([], lambda limit: limit) == []


def test_a_level_says_from_where_it_is_and_refuses_what_it_does_not_know() -> None:
    assert Level("warning", over=1).key == "warning over"
    assert Level("critical", under=1, source="normal").key == "normal critical under"
    with pytest.raises(ValueError, match="limit or normal"):
        Level("warning", over=1, source="else")  # type: ignore[arg-type]


def test_a_change_names_the_level_that_was_reached_and_the_one_that_was_left() -> None:
    levels = (Level("warning", over=80), Level("critical", over=90))
    track, change = fold_metric(MetricTrack(), 0, 95, levels, 60)
    assert change is not None
    assert change.by == "critical over"
    track, change = fold_metric(track, 60, 85, levels, 60)
    assert change is not None
    assert (change.to_state, change.by) == ("warning", "warning over")
    _, change = fold_metric(track, 120, 10, levels, 60)
    assert change is not None
    assert (change.to_state, change.by) == ("ok", "warning over")
