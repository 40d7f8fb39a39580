"""What a rule remembers comes back from JSON as it was, and what is not understood is refused in so many words."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import pytest

from domain.digest import Crowd
from domain.flapping import Flaps
from domain.health import Track
from domain.silence import Watch
from domain.stored import Shelf, dump, is_number
from domain.thresholds import LevelTrack, MetricTrack
from domain.told import Told

TOLD = Told("critical", 3.5, "self", 4.5, True, True)
WHOLE = [
    Flaps("offo", True, True, (1.5, 2.5), 3.5),
    Crowd((1.5, 2.5), 3.5, ("a", "b")),
    Watch(True, 7.5),
    MetricTrack("critical", 1.5, 2.5, (LevelTrack("warning under", True, 2.5), LevelTrack("critical over")), TOLD),
]


@dataclass(frozen=True)
class Thing:
    """One of each."""

    number: float = 1.5
    word: str = "a"
    count: int = 0
    many: tuple[float, ...] = ()
    must: Any = None


@pytest.mark.parametrize("whole", WHOLE, ids=lambda whole: type(whole).__name__)
def test_every_field_comes_back(whole: Any) -> None:
    assert all(getattr(whole, field.name) != field.default for field in fields(whole))
    assert type(whole).from_json(json.loads(json.dumps(whole.to_json()))) == whole
    assert type(whole).from_json({}) == type(whole)()
    assert type(whole)().to_json() == {}


def test_every_field_of_a_track_comes_back() -> None:
    values = {field.name: 1.5 for field in fields(Track)}
    whole = Track(
        **{
            **values,
            "state": "unreachable",
            "failures": 1,
            "oks": 2,
            "unknowns": 3,
            "rids": ("a", "b"),
            "stale": True,
            "told": TOLD,
            "flaps": WHOLE[0],
            "cause": "sw",
        }  # type: ignore[arg-type]
    )
    assert all(getattr(whole, field.name) != field.default for field in fields(whole))
    assert Track.from_json(json.loads(json.dumps(whole.to_json()))) == whole


def test_only_what_differs_from_its_default_is_stored() -> None:
    assert dump(Thing(number=2.5, many=(1.0,))) == {"number": 2.5, "many": [1.0]}
    assert dump(LevelTrack("warning over")) == {"key": "warning over"}  # a field without a default always is


@pytest.mark.parametrize("value", [True, float("nan"), float("inf"), "1", None, 10**400, 1j])
def test_what_is_no_finite_number_is_none(value: object) -> None:
    assert not is_number(value)
    assert is_number(1) and is_number(-1.5)


@pytest.mark.parametrize(
    ("read", "value", "wanted"),
    [
        (lambda shelf: shelf.number("x", 0.0), "1", "a finite number, not '1'"),
        (lambda shelf: shelf.moment("x"), True, "a finite number, not True"),
        (lambda shelf: shelf.count("x"), -1, "a whole number from 0 up, not -1"),
        (lambda shelf: shelf.count("x"), 1.0, "a whole number from 0 up, not 1.0"),
        (lambda shelf: shelf.flag("x"), 0, "true or false, not 0"),
        (lambda shelf: shelf.text("x"), 1, "a text, not 1"),
        (lambda shelf: shelf.word("x", "a", ("a", "b")), "c", "one of 'a', 'b', not 'c'"),
        (lambda shelf: shelf.word("x", "a", ("a", "b")), ["a"], "one of 'a', 'b', not ['a']"),
        (lambda shelf: shelf.texts("x"), "ab", "a list of texts, not 'ab'"),
        (lambda shelf: shelf.texts("x"), ["a", 1], "a list of texts, not ['a', 1]"),
        (lambda shelf: shelf.moments("x"), 1.5, "a list of finite numbers, not 1.5"),
        (lambda shelf: shelf.moments("x"), (), "a list of finite numbers, not ()"),
        (lambda shelf: shelf.moments("x"), [1, "2"], "a list of finite numbers, not [1, '2']"),
        (lambda shelf: shelf.things("x"), {}, "a list, not {}"),
    ],
)
def test_a_value_of_the_wrong_kind_is_named_with_what_it_should_be(
    read: Callable[[Shelf], object], value: object, wanted: str
) -> None:
    @dataclass(frozen=True)
    class Box:
        x: object = None

    with pytest.raises(ValueError) as refused:
        read(Shelf(Box, {"x": value}))
    assert str(refused.value) == f"'x' of a stored Box is {wanted}."


def test_a_moment_or_a_number_that_is_a_whole_one_is_read_as_a_moment() -> None:
    shelf = Shelf(Thing, {"number": 2, "many": [1, 2], "word": "b", "count": 3})
    assert [type(one) for one in (shelf.number("number", 0.0), shelf.moment("number"))] == [float, float]
    assert shelf.moments("many") == (1.0, 2.0) and {type(one) for one in shelf.moments("many")} == {float}
    assert (shelf.count("count"), shelf.text("word"), shelf.moment("must")) == (3, "b", None)


def test_the_first_strange_key_is_named_and_whose_it_is() -> None:
    with pytest.raises(ValueError) as refused:
        Shelf(Thing, {"zebra": 1, "ape": 2, "number": 3})
    assert str(refused.value) == (
        "a stored Thing has the key 'ape', which this version does not know: it was written by a newer one. "
        "Run that version, or a later one."
    )
    with pytest.raises(ValueError) as refused:
        Shelf(Thing, [1])
    assert str(refused.value) == "a stored Thing is an object, not [1]."


def test_a_mark_is_moved_whole_and_only_its_moments() -> None:
    assert TOLD.moved(-1) == Told("critical", 2.5, "self", 3.5, True, True)
    assert Told().moved(-1) == Told()
    assert Told(since=1).moved(2) == Told(since=3) and Told(at=1).moved(2) == Told(at=3)
    assert Flaps("of", True, True, (1.0, 2.0), 3.0).moved(-1) == Flaps("of", True, True, (0.0, 1.0), 2.0)
    assert Flaps().moved(-1) == Flaps()
