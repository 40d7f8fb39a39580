"""When our own line is suspected, found well or lost, and what is remembered and said of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from domain.health import Outcome, Policy, Result, Track
from domain.routing import Notice
from domain.uplink import Line, Suspicion, Uplink, answered, counted, heard, notice, resume

ALONE = Suspicion(least=3, share=0.5)
ASKING = Suspicion(("gw", "ns"), least=3, share=0.5)


def asked(line: Uplink, *answers: tuple[float, str, Outcome], suspicion: Suspicion = ASKING) -> Uplink:
    for at, name, outcome in answers:
        line = answered(line, name, Result(at, outcome), Policy(attempts=2), suspicion)
    return line


@pytest.mark.parametrize("share", [0.01, 0.6, 1])
@pytest.mark.parametrize("least", [1, 2, 100])
def test_any_share_up_to_the_whole_and_any_number_from_one_will_do(share: float, least: int) -> None:
    assert Suspicion(share=share, least=least).share == share


@pytest.mark.parametrize("values", [{"share": 0}, {"share": 1.01}, {"share": -1}, {"least": 0}, {"least": -1}])
def test_a_suspicion_that_could_never_or_always_arise_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(values))) as refused:
        Suspicion(**values)
    assert repr(next(iter(values.values()))) in str(refused.value)


def test_usually_five_hosts_and_more_than_sixty_per_cent_must_fail() -> None:
    assert (Suspicion().least, Suspicion().share, Suspicion().references) == (5, 0.6, ())
    assert counted(Uplink(), Suspicion(), 4, 0, 4, 9) == Uplink()
    assert counted(Uplink(), Suspicion(), 5, 0, 5, 9) == Uplink(suspected=9)
    assert counted(Uplink(), Suspicion(), 6, 0, 10, 9) == Uplink()
    assert counted(Uplink(), Suspicion(), 7, 0, 10, 9) == Uplink(suspected=9)


def test_the_suspicion_dates_from_the_first_moment_and_ends_when_fewer_fail() -> None:
    line = counted(Uplink(), ALONE, 3, 0, 4, 10)
    assert counted(line, ALONE, 3, 0, 4, 20) is line and line.stand == "suspect"
    assert counted(line, ALONE, 2, 0, 3, 20) == Uplink()
    assert counted(line, ALONE, 3, 0, 6, 20) == Uplink()
    well = Uplink()
    assert counted(well, ALONE, 0, 0, 0, 20) is well


def test_without_references_as_many_decided_as_failing_make_it_lost() -> None:
    line = counted(Uplink(), ALONE, 4, 0, 6, 10)
    assert counted(line, ALONE, 4, 2, 3, 70) == line
    assert counted(line, ALONE, 4, 3, 6, 70) == line
    lost = counted(line, ALONE, 4, 4, 6, 70)
    assert lost == Uplink(suspected=10, lost=10) and lost.stand == "gone"
    assert counted(lost, ALONE, 0, 0, 6, 80) is lost


def test_with_references_only_they_decide() -> None:
    line = counted(Uplink(), ASKING, 4, 4, 4, 10)
    assert line == Uplink(suspected=10)
    once = asked(line, (11, "gw", "fail"), (11, "ns", "fail"), (71, "gw", "fail"))
    assert (once.lost, once.stand) == (None, "suspect")
    assert asked(once, (72, "ns", "fail")).lost == 10


def test_a_reference_asked_before_the_suspicion_or_not_ours_says_nothing() -> None:
    line = Uplink(suspected=10)
    assert asked(line, (9, "gw", "ok"), (20, "www", "ok")) is line
    assert asked(Uplink(), (20, "gw", "fail")) == Uplink()
    assert asked(line, (10, "gw", "ok")).cleared


def test_one_reference_that_answers_clears_us_until_the_next_suspicion() -> None:
    line = asked(Uplink(suspected=10), (11, "gw", "ok"))
    assert (line.cleared, line.stand) == (True, "well")
    failing = asked(line, *[(at, name, "fail") for at in (71, 131, 191) for name in ("gw", "ns")])
    assert failing.lost is None
    assert counted(failing, ASKING, 4, 0, 4, 200).cleared
    again = counted(counted(failing, ASKING, 0, 0, 4, 200), ASKING, 4, 0, 4, 260)
    assert again == Uplink(suspected=260)


def test_a_reference_that_answers_brings_a_lost_line_back() -> None:
    assert asked(Uplink(suspected=10, lost=10), (100, "ns", "ok")) == Uplink()


def test_so_does_any_host_without_another_way() -> None:
    assert heard(Uplink(suspected=10, lost=10, references={"gw": Track()})) == Uplink()
    waiting = Uplink(suspected=10)
    assert heard(waiting) is waiting


def test_what_is_said_of_it_carries_its_moments() -> None:
    well, lost = Uplink(), Uplink(suspected=10, lost=10)
    assert notice(well, lost, 80) == Notice("uplink_lost", 80, "down", 10)
    assert notice(lost, well, 200) == Notice("uplink_back", 200, "up", 200, 190)
    assert notice(well, Uplink(suspected=5), 80) is notice(lost, lost, 80) is notice(well, well, 80) is None


def test_all_of_it_is_remembered() -> None:
    line = asked(Uplink(suspected=10.0, lost=12.0, cleared=True), (20, "gw", "fail"))
    stored = json.loads(json.dumps(line.to_json()))
    assert set(stored) == {"suspected", "lost", "cleared", "references"}
    assert Uplink.from_json(stored) == line
    assert Uplink.from_json({}) == Uplink() and Uplink().to_json() == {}
    assert Uplink(suspected=1.5).to_json() == {"suspected": 1.5}


@pytest.mark.parametrize(
    "raw", [{"references": []}, {"references": {"gw": {"state": "green"}}}, {"lost": "x"}, {"x": 1}]
)
def test_a_stored_line_that_is_not_understood_is_refused(raw: Any) -> None:
    with pytest.raises(ValueError, match=r"stored .*\."):
        Uplink.from_json(raw)


def test_no_moment_of_it_lies_in_the_future_after_a_restart() -> None:
    assert resume(Uplink(suspected=100, lost=90, cleared=True), 50) == Uplink(suspected=50, lost=50, cleared=True)
    assert resume(Uplink(suspected=100, lost=90), 200) == Uplink(suspected=100, lost=90)
    assert resume(Uplink(), 200) == Uplink()
    assert resume(Uplink(suspected=100), 40) == Uplink(suspected=40)


def test_a_suspicion_is_never_a_certainty_at_once() -> None:
    line = Line(Suspicion((), 0.5, 1))
    line.count("web", Track("up", failures=1, seen=5), root=True)
    assert line.suspect(lambda host: False, 5) == Uplink(suspected=5)


def test_who_counts_for_our_own_line_is_alive_asked_and_reached_directly() -> None:
    line = Line(Suspicion((), 0.5, 1))
    for state in ("pending", "up", "unknown", "down", "unreachable", "disabled"):
        line.count(state, Track(state, failures=1, seen=5), root=True)  # type: ignore[arg-type]
    assert line.alive == line.failing == {"pending", "up", "unknown"}
    line.count("up", Track("up", failures=1, seen=5, stale=True), root=True)
    line.count("pending", Track(failures=1), root=True)
    line.count("unknown", Track("unknown", failures=1, seen=5), root=False)
    assert line.alive == line.failing == set()
    line.count("well", Track("up", seen=5), root=True)
    assert (line.alive, line.failing) == ({"well"}, set())
    line.forget("well")
    assert line.alive == set()
    assert Line(None).suspect(lambda host: True, 5) == Uplink()
