"""Who is told: the first policy that fits, its ladder, whoever is on call, and nobody of what they may not see."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from domain.audience import (
    USUAL,
    WATCHING,
    Hours,
    House,
    Machine,
    Member,
    Policy,
    Rota,
    Shift,
    Step,
    deciding,
    ladder,
    receivers,
    severity_of,
)

JAKARTA, BERLIN = ZoneInfo("Asia/Jakarta"), ZoneInfo("Europe/Berlin")
NOON = datetime(2026, 11, 23, 12, 0, tzinfo=JAKARTA)  # a Monday
PIC, DEPUTY, STAFF, ADMIN, OTHER = 1, 2, 3, 4, 5
FINANCE, SALES = 10, 20
OF_FINANCE = Machine(FINANCE)


def member(id: int, admin: bool = False, **roles: str) -> Member:
    numbers = {"finance": FINANCE, "sales": SALES}
    return Member(id, f"p{id}", admin, {numbers[name]: frozenset({role}) for name, role in roles.items()})


def village(**more: Any) -> House:
    people = {
        PIC: member(PIC, finance="pic"),
        DEPUTY: member(DEPUTY, finance="deputy"),
        STAFF: member(STAFF, finance="staff"),
        ADMIN: member(ADMIN, admin=True),
        OTHER: member(OTHER, sales="pic"),
    }
    return House(people, **{"reached": frozenset(people), **more})


def told(house: House, policy: Policy = USUAL, machine: Machine = OF_FINANCE) -> list[tuple[float, tuple[int, ...]]]:
    return [(rung.after, rung.persons) for rung in ladder(house, policy, machine, NOON)]


def test_by_default_the_division_is_told_then_its_deputy_then_the_administrators() -> None:
    assert told(village()) == [(0, (PIC, STAFF)), (900, (DEPUTY,)), (1800, (ADMIN,))]


def test_a_ladder_never_waits_on_a_rung_that_reaches_nobody() -> None:
    no_deputy = village(reached=frozenset({PIC, ADMIN}))
    assert told(no_deputy) == [(0, (PIC,)), (900, ()), (900, (ADMIN,))]
    only_admins = village(reached=frozenset({ADMIN}))
    assert [one for one in told(only_admins) if one[1]] == [(0, (ADMIN,))]


def test_a_machine_of_no_division_is_told_to_the_administrators_at_once() -> None:
    assert [one for one in told(village(), machine=Machine()) if one[1]] == [(0, (ADMIN,))]


def test_what_is_about_the_watching_goes_to_administrators_alone() -> None:
    assert told(village(), WATCHING, Machine()) == [(0, (ADMIN,))]


def test_a_policy_whose_receivers_reach_nobody_falls_to_the_administrators_but_an_empty_one_tells_nobody() -> None:
    assert told(village(reached=frozenset({ADMIN})), Policy("x", (Step(0, ("pic",)),)))[-1] == (0, (ADMIN,))
    assert told(village(), Policy("silent", ())) == []


def test_nobody_is_told_of_a_machine_they_may_not_see_whoever_names_them() -> None:
    persons, _, missed = receivers(village(), (f"person:{OTHER}", f"person:{PIC}"), Machine(FINANCE), NOON)
    assert persons == {PIC} and missed == (f"person:{OTHER}",)


def test_a_group_route_is_told_where_it_works() -> None:
    house = village(groups=frozenset({7}))
    assert receivers(house, ("route:7", "route:8"), Machine(), NOON) == (set(), {7}, ("route:8",))


def test_nobody_is_told_twice_by_one_ladder() -> None:
    policy = Policy("x", (Step(0, ("pic",)), Step(60, ("pic", "deputy")), Step(120, ("pic",))))
    assert told(village(), policy) == [(0, (PIC,)), (60, (DEPUTY,))]


def test_the_first_policy_that_fits_decides() -> None:
    night = Policy("night", (Step(0, ("admins",)),), division=FINANCE, hours=Hours(22 * 60, 6 * 60, "Asia/Jakarta"))
    rest = Policy("rest", (Step(0, ("pic",)),), division=FINANCE, severity="critical")
    house = village(policies=[night, rest])
    at = lambda hour: NOON.replace(hour=hour)  # noqa: E731
    assert deciding(house, Machine(FINANCE), "critical", at(23)) is night
    assert deciding(house, Machine(FINANCE), "critical", at(3)) is night
    assert deciding(house, Machine(FINANCE), "critical", at(12)) is rest
    assert deciding(house, Machine(FINANCE), "warning", at(12)) is USUAL
    assert deciding(house, Machine(SALES), "critical", at(23)) is USUAL


def test_a_policy_may_ask_for_site_and_group() -> None:
    policy = Policy("x", (), site=1, group=2)
    assert policy.fits(Machine(None, 1, frozenset({2, 3})), "warning", NOON)
    assert not policy.fits(Machine(None, 1, frozenset({3})), "warning", NOON)
    assert not policy.fits(Machine(None, 2, frozenset({2})), "warning", NOON)


def test_what_is_yellow_is_a_warning_and_all_else_is_critical() -> None:
    assert [severity_of(s) for s in ("warning", "unknown", "down", "critical", "silent", "flapping")] == [
        "warning", "warning", "critical", "critical", "critical", "critical",
    ]  # fmt: skip


def test_hours_over_midnight_belong_to_the_day_they_begin_on() -> None:
    friday_night = Hours(22 * 60, 6 * 60, "Asia/Jakarta", frozenset({4}))
    friday = NOON + timedelta(days=4)
    assert friday_night.hold(friday.replace(hour=23))
    assert friday_night.hold((friday + timedelta(days=1)).replace(hour=5))
    assert not friday_night.hold(friday.replace(hour=5))
    assert not friday_night.hold((friday + timedelta(days=1)).replace(hour=23))
    assert friday_night.until(friday.replace(hour=23)) == (friday + timedelta(days=1)).replace(hour=6)


def test_a_rota_hands_over_at_its_hour_also_when_the_clocks_change() -> None:
    starts = datetime(2026, 3, 23, 8, 0, tzinfo=BERLIN)  # the clocks go forward on 29 March
    rota = Rota((PIC, DEPUTY), starts, 7, "Europe/Berlin")
    assert rota.on_call(datetime(2026, 3, 30, 7, 59, tzinfo=BERLIN)) == PIC
    assert rota.on_call(datetime(2026, 3, 30, 8, 0, tzinfo=BERLIN)) == DEPUTY
    assert rota.on_call(starts - timedelta(seconds=1)) is None


def test_a_swap_stands_before_the_turn_and_a_later_swap_before_an_earlier() -> None:
    day = timedelta(days=1)
    swaps = (Shift(STAFF, NOON, NOON + 2 * day), Shift(ADMIN, NOON + day, NOON + 2 * day))
    rota = Rota((PIC, DEPUTY), NOON - day, 7, "Asia/Jakarta", swaps)
    assert [rota.on_call(NOON + n * day) for n in (-1, 0, 1, 2)] == [PIC, STAFF, ADMIN, PIC]
    assert [(s.person, s.since, s.until) for s in rota.turns(NOON - day, NOON + 3 * day)] == [
        (PIC, NOON - day, NOON), (STAFF, NOON, NOON + day), (ADMIN, NOON + day, NOON + 2 * day),
        (PIC, NOON + 2 * day, NOON + 3 * day),
    ]  # fmt: skip


def test_the_rung_of_a_rota_reaches_whoever_is_on_call_when_its_time_comes() -> None:
    rota = Rota((PIC, STAFF), NOON + timedelta(minutes=10) - timedelta(days=7), 7, "Asia/Jakarta")
    policy = Policy("x", (Step(0, ("rota:1",)), Step(1200, ("rota:1",))))
    assert told(village(rotas={1: rota}), policy) == [(0, (PIC,)), (1200, (STAFF,))]


@given(
    st.lists(st.integers(1, 5), max_size=4), st.integers(1, 40), st.integers(0, 400), st.integers(0, 2000),
    st.lists(st.tuples(st.integers(1, 5), st.integers(0, 3000), st.integers(1, 500)), max_size=5),
)  # fmt: skip
def test_the_turns_of_a_rota_say_of_every_moment_what_on_call_says(
    people: list[int], days: int, begin: int, hours: int, swaps: list[tuple[int, int, int]]
) -> None:
    starts = datetime(2026, 1, 5, 8, 30, tzinfo=BERLIN)
    shifts = tuple(
        Shift(who, starts + timedelta(hours=at), starts + timedelta(hours=at + long)) for who, at, long in swaps
    )
    rota = Rota(tuple(people), starts, days, "Europe/Berlin", shifts)
    since = (starts + timedelta(days=begin)).astimezone(UTC)
    until = since + timedelta(hours=hours)
    turns = list(rota.turns(since, until))
    for step in range(0, hours, max(1, hours // 40)):
        moment = since + timedelta(hours=step)
        assert rota.on_call(moment) == next((t.person for t in turns if t.since <= moment < t.until), None)
