"""What holds for any sequence of inputs whatever."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from domain.health import Policy, Result, Track, fold, stale
from domain.routing import acknowledge, tell
from domain.thresholds import Level, MetricTrack, fold_metric
from tests.rules.tapes import said, tapes

RESULTS = st.lists(st.sampled_from(["ok", "fail", "unknown"]), max_size=40)
POLICIES = st.builds(Policy, attempts=st.integers(1, 4), recover_after=st.integers(1, 3))


@given(tapes(), st.data())
def test_a_kill_anywhere_neither_loses_nor_repeats_anything(rows: list[list[Any]], data: st.DataObject) -> None:
    killed = list(rows)
    for place in sorted(data.draw(st.sets(st.integers(0, len(rows)), max_size=5)), reverse=True):
        t = rows[place - 1][0] if place else 0
        killed.insert(place, [t, "poller", "kill", None])
    assert said(killed) == said(rows)


@given(tapes())
def test_a_kill_after_every_input_neither_loses_nor_repeats_anything(rows: list[list[Any]]) -> None:
    killed = [line for row in rows for line in (row, [row[0], "a", "kill", None])]
    assert said(killed) == said(rows)


@given(tapes(), st.integers(-(10**9), 2 * 10**9))
def test_another_clock_changes_nothing_but_the_stamps(rows: list[list[Any]], by: int) -> None:
    moved = []
    for t, *rest in rows:
        if rest[1] == "result":
            rest = [*rest[:3], {**rest[3], "start": rest[3]["start"] + by}]
        moved.append([t + by, *rest])
    back = [[t - by, *rest[:-1], rest[-1] - by] if rest[1] == "state" else [t - by, *rest] for t, *rest in said(moved)]
    assert back == said(rows)


@given(tapes(), st.integers(0, 40), st.integers(1, 10**6))
def test_a_step_forward_of_the_stamps_neither_creates_nor_hides_a_change(
    rows: list[list[Any]], place: int, by: int
) -> None:
    stepped = [
        [*row[:4], {**row[4], "start": row[4]["start"] + by}] if row[2] == "result" and number >= place else row
        for number, row in enumerate(rows)
    ]
    hosts = [row for row in said(rows) if row[1] != "cpu"]
    after = [row for row in said(stepped) if row[1] != "cpu"]
    assert [row[:5] for row in after] == [row[:5] for row in hosts]


@given(tapes())
def test_a_duplicate_changes_nothing(rows: list[list[Any]]) -> None:
    doubled = [line for row in rows for line in ([row, row] if row[2] == "result" else [row])]
    assert said(doubled) == said(rows)


@given(tapes(), st.lists(st.tuples(st.integers(0, 40), st.sampled_from(["ok", "fail", "unknown"])), max_size=6))
def test_old_results_in_any_order_are_history_only(rows: list[list[Any]], late: list[tuple[int, str]]) -> None:
    """Only what was already asked about can be answered late: an old result needs a newer one before it."""
    mixed = list(rows)
    for place, outcome in sorted(late, reverse=True):
        before = [row for row in rows[:place] if row[2] == "result" and row[1] == "a"]
        # a host that is disabled processes nothing, so nothing is newer there
        if before and not any(row[2] == "disable" for row in rows[:place]):
            t = rows[min(place, len(rows)) - 1][0]
            mixed.insert(
                place, [t, "a", "result", outcome, {"start": before[-1][4]["start"] - 0.5, "rid": f"l{place}"}]
            )
    assert said(mixed) == said(rows)


@given(tapes())
def test_time_never_goes_back_in_what_is_said(rows: list[list[Any]]) -> None:
    times = [row[0] for row in said(rows)]
    assert times == sorted(times)


@given(st.lists(st.tuples(st.integers(0, 1000), st.sampled_from(["ok", "fail", "unknown"])), max_size=40))
def test_time_never_goes_back_even_for_inputs_out_of_order(inputs: list[tuple[int, str]]) -> None:
    times = [row[0] for row in said([[t, "a", "result", word] for t, word in inputs])]
    assert times == sorted(times)


@given(tapes())
def test_every_change_starts_where_the_last_one_ended(rows: list[list[Any]]) -> None:
    state = {"a": "pending", "b": "pending", "cpu": "ok"}
    for _, subject, what, *rest in said(rows):
        if what == "state":
            assert rest[0] == state[subject] != rest[1]
            state[subject] = rest[1]


@given(tapes())
def test_problem_and_recovery_take_turns_and_follow_the_state(rows: list[list[Any]]) -> None:
    """No change is told twice, nothing is told that is not so, and no recovery without a problem."""
    state, open_ = {"a": "pending", "b": "pending"}, {"a": False, "b": False}
    spoken = iter(said(rows))
    closed = {(row[0], row[1]) for row in rows if row[2] == "disable"}
    for t, subject, what, *rest in spoken:
        if subject not in state:
            continue
        if what == "state":
            state[subject] = rest[1]
            if rest[1] == "disabled":
                assert (t, subject) in closed
                open_[subject] = False
        elif rest[0] == "problem":
            assert state[subject] == "down" and not open_[subject]
            open_[subject] = True
        elif rest[0] == "recovery":
            assert state[subject] == "up" and open_[subject]
            open_[subject] = False
        elif rest[0] == "reminder":
            assert state[subject] == "down" and open_[subject]
        elif rest[0] == "check_problem":
            assert state[subject] == "unknown"


@given(tapes())
def test_without_maintenance_every_turn_to_red_is_told_once_and_at_once(rows: list[list[Any]]) -> None:
    lines = said([row for row in rows if row[2] not in ("maintenance", "ack")])
    for number, (t, subject, what, *rest) in enumerate(lines):
        if what == "state" and rest[1] == "down":
            assert lines[number + 1] == [t, subject, "notify", "problem"]
    downs = sum(1 for row in lines if row[2] == "state" and row[4] == "down")
    assert downs == sum(1 for row in lines if row[1] in "ab" and row[3] == "problem")


@given(tapes())
def test_nothing_is_said_of_a_subject_in_maintenance(rows: list[list[Any]]) -> None:
    begin = [[0, "poller", "tick", None]]
    muted = [[0, name, "maintenance", "start"] for name in ("a", "b")]
    plain = begin + [row for row in rows if row[2] not in ("maintenance", "ack")]
    quiet, loud = said(muted + plain), said(plain)
    assert [row for row in quiet if row[2] == "notify" and row[1] != "poller"] == []
    assert [row for row in quiet if row[2] == "state"] == [row for row in loud if row[2] == "state"]


@given(RESULTS, POLICIES)
def test_red_and_green_take_turns_and_unknown_never_changes_red(words: list[Any], policy: Policy) -> None:
    track, hard = Track(), []
    for number, word in enumerate(words):
        before = track
        track, change = fold(track, Result(number * 60.0, word), policy)
        assert (change is None) == (before.state == track.state)
        if before.state == "down" and word == "unknown":
            assert track.state == "down" and change is None
        if change is not None and change.to_state in ("up", "down"):
            hard.append(change.to_state)
    assert ("down", "down") not in pairwise(hard)


@given(RESULTS, POLICIES, st.booleans())
def test_a_track_survives_being_stored(words: list[Any], policy: Policy, acknowledged: bool) -> None:
    track = Track(since=5.0)
    for number, word in enumerate(words):
        track, _ = fold(track, Result(number * 60.0 + 6, word, rid=str(number)), policy)
        track, _ = tell(track, number * 60.0 + 6)
        track = acknowledge(track) if acknowledged else track
        text = json.dumps(track.to_json())
        assert Track.from_json(json.loads(text)) == track
        assert json.dumps(Track.from_json(json.loads(text)).to_json()) == text


@given(st.lists(st.floats(0, 100), max_size=40), st.sampled_from([0, 60, 300]))
def test_a_metric_track_survives_being_stored(values: list[float], held: float) -> None:
    levels = (Level("warning", over=60, clear=50, for_=held), Level("critical", over=90), Level("warning", under=5))
    track = MetricTrack()
    for number, value in enumerate(values):
        track, _ = fold_metric(track, number * 60.0, value, levels, 60)
        track, _ = tell(track, number * 60.0)
        assert MetricTrack.from_json(json.loads(json.dumps(track.to_json()))) == track


@given(RESULTS, POLICIES)
def test_telling_again_tells_nothing(words: list[Any], policy: Policy) -> None:
    track = Track()
    for number, word in enumerate(words):
        track, change = fold(track, Result(number * 60.0, word), policy)
        track, notices = tell(track, number * 60.0)
        unforced = [notice for notice in notices if notice.kind not in ("flap_start", "flap_stop")]
        assert len(notices) <= 1 and len(unforced) <= (change is not None)
        assert tell(track, number * 60.0) == (track, ())


@given(RESULTS, st.floats(0, 1000))
def test_staleness_is_judged_once_and_never_turns_red(words: list[Any], later: float) -> None:
    track = Track()
    for number, word in enumerate(words):
        track, _ = fold(track, Result(number * 60.0, word), Policy())
    now = (track.seen or 0.0) + later
    aged, change = stale(track, now, Policy())
    assert aged.stale == (later > 180)
    assert (change is not None) == (aged.stale and track.state in ("pending", "up"))
    assert stale(aged, now + 1, Policy())[0] is aged or not aged.stale
