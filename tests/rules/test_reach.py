"""What blocks the way to a host, and networks that go round in a circle."""

from __future__ import annotations

import pytest

from domain.health import State, Track
from domain.reach import Topology, road, stand, without_circles


@pytest.mark.parametrize(
    ("track", "is_"),
    [
        (Track(), "well"),
        (Track("up"), "well"),
        (Track("unknown"), "well"),
        (Track("down"), "gone"),
        (Track("unreachable"), "gone"),
        (Track("disabled"), "away"),
        (Track("up", failures=1), "suspect"),
        (Track("pending", failures=2), "suspect"),
        (Track("unknown", failures=1), "suspect"),
        (Track("up", failures=1, stale=True), "well"),
        (Track("down", failures=9, stale=True), "gone"),
    ],
)
def test_what_a_parent_is_to_its_children(track: Track, is_: State) -> None:
    assert stand(track) == is_


def test_one_well_parent_is_enough_and_one_under_suspicion_is_waited_for() -> None:
    assert road([]) == road(["away"]) == road(["well"]) == road(["gone", "suspect", "well"]) == "clear"
    assert road(["suspect"]) == road(["gone", "suspect"]) == road(["gone", "suspect", "away"]) == "waiting"
    assert road(["gone"]) == road(["gone", "gone"]) == road(["away", "gone"]) == "blocked"


def test_everything_behind_a_host_is_found_nearest_first_and_once() -> None:
    net = Topology({"a": [], "b": ["a"], "c": ["a", "a"], "d": ["b", "c"], "e": ["d"], "x": []})
    assert list(net.behind("a")) == ["b", "c", "d", "e"]
    assert (list(net.behind("d")), list(net.behind("e")), list(net.behind("nobody"))) == (["e"], [], [])
    assert (net.parents("c"), net.parents("d"), net.parents("a"), net.parents("nobody")) == (("a",), ("b", "c"), (), ())
    assert (net.children("a"), net.children("e")) == (["b", "c"], [])


@pytest.mark.parametrize(
    ("parents", "named"),
    [
        ({"a": ["a"]}, "a"),
        ({"a": ["b"], "b": ["a"], "x": []}, "a, b"),
        ({"r": [], "a": ["r", "c"], "b": ["a"], "c": ["b"]}, "a, b, c"),
    ],
)
def test_a_circle_is_refused_and_named(parents: dict[str, list[str]], named: str) -> None:
    with pytest.raises(ValueError) as refused:
        Topology(parents)
    assert str(refused.value) == f"these lie behind each other in a circle: {named}."


def test_only_the_link_that_closes_a_circle_is_left_out_of_what_was_stored() -> None:
    assert without_circles({"b": ["a"], "a": ["b", "r"], "c": ["b"]}) == {"a": ("b", "r"), "c": ("b",)}
    assert without_circles({"a": ["a"]}) == {}
    assert without_circles({"d": ["b", "c"], "b": ["a"], "c": ["a"]}) == {"b": ("a",), "c": ("a",), "d": ("b", "c")}
    assert without_circles({"a": ["b"], "b": ["c"], "c": ["a", "r"]}) == {"a": ("b",), "b": ("c",), "c": ("r",)}
    Topology(without_circles({"a": ["b", "c"], "b": ["c", "a"], "c": ["a", "b"]}))
