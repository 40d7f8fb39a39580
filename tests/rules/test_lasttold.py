"""What one receiver is told: by what holds, and by what they were last told; a crowd is one digest."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from domain.audience import Hours
from domain.lasttold import CROWD, DIGEST_PAUSE, LATE, Lately, Marked, Pending, Plan, Taste, plan, stands

NOW = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)


def row(
    id: int, kind: str = "problem", subject: str = "host:1", state: str = "down", ago: float = 0, **more: bool
) -> Pending:
    if kind == "recovery":
        state = "up"
    at = NOW - timedelta(seconds=ago)
    return Pending(id, kind, subject, state, at, at, **more)


def decide(*rows: Pending, taste: Taste = Taste(), lately: Lately = Lately(), **marks: str) -> Plan:  # noqa: B008
    told = {subject.replace("_", ":"): Marked(state, NOW) for subject, state in marks.items()}
    return plan(rows, told, taste, lately, NOW)


def test_a_problem_is_told_and_its_recovery_to_whoever_knows_of_it() -> None:
    assert decide(row(1)).single == (1,)
    assert decide(row(2, "recovery"), host_1="down").single == (2,)
    assert decide(row(2, "recovery")).drop == {2: "its trouble was never told here"}


def test_what_came_and_went_before_it_could_be_told_is_not_told() -> None:
    told = decide(row(1), row(2, "recovery"))
    assert set(told.drop) == {1, 2} and not told.single


def test_after_any_silence_the_state_that_holds_is_compared_with_what_was_last_told() -> None:
    assert decide(row(1, "recovery"), row(2), host_1="down").single == ()
    assert decide(row(1, "recovery"), row(2, "problem", state="critical"), host_1="warning").single == (2,)
    assert decide(row(1), row(2, "recovery"), host_1="down").single == (2,)


def test_what_may_have_been_taken_counts_as_told_once_it_is_not_sent_again() -> None:
    cut = decide(row(1, unsure=True), row(2, "recovery"))
    assert cut.single == (2,) and cut.assume == (1,)
    over = decide(row(1, unsure=True, over=True))
    assert over.drop and over.assume == (1,)
    heard = decide(row(1, "recovery", unsure=True), row(2), host_1="down")
    assert heard.single == (2,) and heard.forget == ("host:1",)
    assert decide(row(1, unsure=True)).single == (1,)  # nothing later: it is sent again under its own key


def test_what_somebody_has_in_hand_is_not_told_but_its_recovery_is() -> None:
    assert decide(row(1, in_hand=True)).drop == {1: "somebody has it in hand"}
    assert decide(row(1, "reminder", in_hand=True), host_1="down").drop == {1: "somebody has it in hand"}
    assert decide(row(1, "recovery", in_hand=True), host_1="down").single == (1,)


def test_what_is_over_is_not_told_as_if_it_lasted() -> None:
    assert decide(row(1, over=True)).drop == {1: "over before it could be told"}


def test_a_receiver_of_what_is_critical_hears_of_nothing_yellow() -> None:
    taste = Taste(severity="critical")
    assert decide(row(1, state="warning"), taste=taste).drop == {1: "only what is critical is wanted here"}
    assert decide(row(1), taste=taste).single == (1,)


def test_a_receiver_without_recoveries_hears_of_none() -> None:
    told = decide(row(1, "recovery"), taste=Taste(recoveries=False), host_1="down")
    assert told.drop and told.forget == ("host:1",)


def test_a_reminder_repeats_what_was_told() -> None:
    assert decide(row(1, "reminder"), host_1="down").single == (1,)


def test_muted_and_quiet_hold_everything_until_they_end() -> None:
    over = NOW + timedelta(hours=1)
    muted = decide(row(1), taste=Taste(muted_until=over))
    assert muted.held == (1,) and muted.later == over
    quiet = Hours(9 * 60, 11 * 60, "Asia/Jakarta")  # 10:00 WIB now
    held = decide(row(1), taste=Taste(quiet=quiet, quiet_critical=False))
    assert held.held == (1,) and held.later == NOW + timedelta(hours=1)
    assert decide(row(1), taste=Taste(muted_until=NOW)).single == (1,)


def test_what_is_critical_breaks_through_quiet_hours_and_so_does_its_end() -> None:
    quiet = Taste(quiet=Hours(9 * 60, 11 * 60, "Asia/Jakarta"))
    told = decide(row(1), row(2, "problem", "host:2", "warning"), taste=quiet)
    assert told.single == (1,) and told.held == (2,) and told.later == NOW + timedelta(hours=1)
    assert decide(row(1, "recovery"), taste=quiet, host_1="down").single == (1,)
    assert decide(row(1, "recovery"), taste=quiet, host_1="warning").held == (1,)


def test_more_than_ten_are_one_digest_and_the_next_digest_waits_five_minutes() -> None:
    crowd = [row(n, subject=f"host:{n}") for n in range(1, CROWD + 2)]
    assert decide(*crowd[:CROWD]).single == tuple(range(1, CROWD + 1))
    assert decide(*crowd).digest == tuple(range(1, CROWD + 2))
    lately = Lately((), NOW - timedelta(minutes=1))
    held = decide(*crowd, lately=lately)
    assert held.held == tuple(range(1, CROWD + 2)) and held.later == NOW - timedelta(minutes=1) + DIGEST_PAUSE


def test_what_was_told_singly_in_the_last_minute_counts_towards_the_crowd() -> None:
    lately = Lately([NOW - timedelta(seconds=5)] * CROWD)
    assert decide(row(1), row(2, subject="host:2"), lately=lately).digest == (1, 2)
    old = Lately([NOW - timedelta(seconds=61)] * CROWD)
    assert decide(row(1), row(2, subject="host:2"), lately=old).single == (1, 2)


def test_what_was_held_up_long_is_told_together() -> None:
    late = LATE.total_seconds() + 1
    assert decide(row(1, ago=late), row(2, subject="host:2")).digest == (1, 2)
    assert decide(row(1, ago=late)).single == (1,)


def test_no_more_messages_an_hour_than_the_receiver_wants() -> None:
    lately = Lately([NOW - timedelta(minutes=30)] * 5)
    full = decide(row(1), taste=Taste(hourly=5), lately=lately)
    assert full.held == (1,) and full.later == NOW + timedelta(minutes=30)
    assert decide(row(1), row(2, subject="host:2"), taste=Taste(hourly=6), lately=lately).digest == (1, 2)


def test_a_route_that_is_switched_off_is_told_nothing() -> None:
    assert decide(row(1), taste=Taste(enabled=False)).drop == {1: "switched off"}


KINDS = st.sampled_from(["problem", "recovery", "reminder", "flap_start", "flap_stop"])
ROWS = st.lists(
    st.tuples(
        KINDS,
        st.integers(1, 15),
        st.sampled_from(["down", "warning", "critical"]),
        st.floats(0, 4000),
        st.booleans(),
        st.booleans(),
    ),
    max_size=40,
)
TASTES = st.builds(
    Taste, enabled=st.booleans(), severity=st.sampled_from(["warning", "critical"]), recoveries=st.booleans(),
    quiet=st.none() | st.just(Hours(540, 660, "Asia/Jakarta")), quiet_critical=st.booleans(),
    muted_until=st.none() | st.just(NOW + timedelta(hours=2)), hourly=st.integers(1, 60),
)  # fmt: skip


@given(ROWS, TASTES, st.dictionaries(st.integers(1, 15), st.sampled_from(["down", "warning"])), st.integers(0, 20))
def test_each_delivery_has_exactly_one_fate_and_what_is_held_has_a_moment(
    given_rows: list[tuple[str, int, str, float, bool, bool]], taste: Taste, marks: dict[int, str], before: int
) -> None:
    rows = [
        row(place, kind, f"host:{number}", state, ago, in_hand=hand, over=over)
        for place, (kind, number, state, ago, hand, over) in enumerate(given_rows)
    ]
    told = plan(rows, {f"host:{n}": Marked(s, NOW) for n, s in marks.items()}, taste, Lately([NOW] * before), NOW)
    fates = [*told.drop, *told.single, *told.digest, *told.held]
    assert sorted(fates) == [one.id for one in rows]
    assert bool(told.held) == (told.later is not None) and (told.later is None or told.later > NOW)
    assert not (told.single and told.digest) and len(told.single) <= CROWD
    spoken = [one for one in rows if one.id in (*told.single, *told.digest)]
    assert len({one.subject for one in spoken}) == len(spoken)
    assert all(stands(one.kind, one.state) or one.subject in {f"host:{n}" for n in marks} for one in spoken)


def test_who_may_not_see_a_machine_any_more_is_told_nothing_of_it_and_what_they_knew_is_forgotten() -> None:
    told = decide(row(1, "recovery", hidden=True), row(2, subject="host:2"), host_1="down")
    assert told.single == (2,) and set(told.drop) == {1} and told.forget == ("host:1",)


def test_what_is_said_to_one_person_is_told_whatever_they_want_of_trouble_but_not_in_their_quiet() -> None:
    first, second = row(1, "mention", "mention:1", "said"), row(2, "mention", "mention:2", "said")
    picky = Taste(severity="critical", recoveries=False)
    assert decide(first, second, taste=picky).single == (1, 2)
    assert stands("mention", "said") == ""
    night = Taste(quiet=Hours(0, 1439, "UTC", frozenset()))
    assert decide(first, taste=night).held == (1,)
    hidden = decide(row(3, "mention", "mention:3", "said", hidden=True))
    assert list(hidden.drop) == [3] and not hidden.single
