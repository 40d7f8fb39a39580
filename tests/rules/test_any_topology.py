"""What holds for any network and any outages whatever: one cause, one message, and nobody blamed for another."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.rules.tapes import said
from tests.rules.worlds import World, topologies, worlds

GONE = ("down", "unreachable")


def spoken(world: World) -> list[list[Any]]:
    return said(world.rows, world.header)


@given(worlds())
def test_no_more_messages_than_there_were_causes(world: World) -> None:
    """However many hosts lie behind one that broke, and in whatever order they are looked at."""
    told = Counter(row[1] for row in spoken(world) if row[2:] == ["notify", "problem"])
    broke = Counter(name for name, _, _ in world.broken)
    assert not told - broke


@given(worlds(spells=12))
def test_of_a_host_that_never_broke_nothing_is_said_whatever_comes_and_goes_before_it(world: World) -> None:
    """Neither that it is down nor that it flaps: its parents are, and they are told of."""
    assert {row[1] for row in spoken(world) if row[2] == "notify"} <= {name for name, _, _ in world.broken}


@given(topologies(), st.integers(1, 2), st.integers(0, 2**20), st.data())
def test_one_host_that_comes_and_goes_is_told_of_once_and_nobody_behind_it(
    parents: dict[str, list[str]], period: int, seed: int, data: st.DataObject
) -> None:
    culprit = data.draw(st.sampled_from(sorted(parents)))
    spells = [(culprit, 60 * begin, 60 * (begin + period)) for begin in range(3, 30, 2 * period)]
    world = World(parents, spells, 30, seed, upward=False)
    notices = [row[1:] for row in spoken(world) if row[2] == "notify"]
    assert notices == [[culprit, "notify", "flap_start"]]


@given(worlds())
def test_nobody_is_told_of_a_host_that_is_not_down_nor_twice_without_a_recovery(world: World) -> None:
    state, open_ = dict.fromkeys(world.parents, "pending"), dict.fromkeys(world.parents, False)
    for _, host, what, *rest in spoken(world):
        if what == "state":
            assert state[host] == rest[0] != rest[1]
            state[host] = rest[1]
        elif rest[0] == "problem":
            assert state[host] == "down" and not open_[host]
            open_[host] = True
        elif rest[0] == "recovery":
            assert state[host] == "up" and open_[host]
            open_[host] = False
        elif rest[0] == "flap_stop":
            open_[host] = state[host] == "down"


@given(worlds())
def test_a_host_becomes_unreachable_only_when_every_way_to_it_is_gone(world: World) -> None:
    state = dict.fromkeys(world.parents, "pending")
    for _, host, what, *rest in spoken(world):
        if what == "state":
            state[host] = rest[1]
            if rest[1] == "unreachable":
                assert world.parents[host] and all(state[parent] in GONE for parent in world.parents[host])
            if rest[1] == "down":
                parents = world.parents[host]
                assert not parents or not all(state[parent] in GONE for parent in parents)


@given(worlds())
def test_when_all_is_quiet_every_state_is_the_truth_and_the_last_word_of_it_is_that_state(world: World) -> None:
    state, word = dict.fromkeys(world.parents, "pending"), dict.fromkeys(world.parents, "")
    for _, host, what, *rest in spoken(world):
        if what == "state":
            state[host] = rest[1]
        elif rest[0] in ("problem", "recovery"):
            word[host] = rest[0]
        elif rest[0] == "flap_stop":  # it carries the state
            word[host] = "problem" if state[host] == "down" else "recovery"
    end = world.rounds * 60
    for host in world.parents:
        if world.answers(host, end):
            assert (state[host], word[host]) in (("up", ""), ("up", "recovery"))
        elif world.reached(host, end):
            assert (state[host], word[host]) == ("down", "problem")
        else:
            assert (state[host], word[host]) in (
                ("unreachable", ""),
                ("unreachable", "recovery"),
                ("unreachable", "problem"),  # down first, then cut off: its recovery is still owed
                ("down", "problem"),
            )


@given(worlds(), st.data())
def test_a_kill_anywhere_changes_nothing_for_any_network(world: World, data: st.DataObject) -> None:
    rows = world.rows
    killed = list(rows)
    for place in sorted(data.draw(st.sets(st.integers(0, len(rows)), max_size=6)), reverse=True):
        killed.insert(place, [rows[place - 1][0] if place else 0, "poller", "kill", None])
    assert said(killed, world.header) == said(rows, world.header)


@given(worlds(), st.integers(-(10**9), 2 * 10**9))
def test_another_clock_changes_nothing_for_any_network(world: World, by: int) -> None:
    moved = [[t + by, *rest] for t, *rest in world.rows]
    back = [
        [t - by, *rest[:-1], rest[-1] - by] if rest[1] == "state" else [t - by, *rest]
        for t, *rest in said(moved, world.header)
    ]
    assert back == spoken(world)
