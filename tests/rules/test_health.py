"""What a result means, what a stored track may hold, and what a clock may do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from domain.flapping import Flaps
from domain.health import (
    Change,
    Outcome,
    Policy,
    Result,
    Road,
    Track,
    calm,
    combine,
    decide,
    disable,
    doubt,
    enable,
    excuse,
    fold,
    outcome_of,
    reach_outcome_of,
    release,
    reroute,
    resume,
    stale,
)
from domain.reading import FailureKind
from domain.routing import acknowledge, tell
from domain.told import Told


def folded(words: str, start: float = 0.0, track: Track | None = None) -> Track:
    """A track after one result a minute: o = ok, f = fail, u = unknown."""
    track = track or Track(since=start)
    meanings: dict[str, Outcome] = {"o": "ok", "f": "fail", "u": "unknown"}
    for number, word in enumerate(words):
        track, _ = fold(track, Result(start + number * 60, meanings[word]), Policy())
    return track


@pytest.mark.parametrize(
    ("kind", "check", "host"),
    [
        (None, "ok", "ok"),
        (FailureKind.REFUSED, "fail", "ok"),
        (FailureKind.UNREACHABLE, "fail", "fail"),
        (FailureKind.TIMEOUT, "fail", "fail"),
        (FailureKind.DENIED, "unknown", "unknown"),
        (FailureKind.UNTRUSTED, "unknown", "unknown"),
        (FailureKind.UNSUPPORTED, "unknown", "unknown"),
        (FailureKind.BROKEN, "unknown", "unknown"),
    ],
)
def test_a_refused_port_is_a_failed_check_not_a_down_host(kind: FailureKind | None, check: str, host: str) -> None:
    assert (outcome_of(kind), reach_outcome_of(kind)) == (check, host)


def test_a_host_nobody_could_be_asked_about_is_unknown() -> None:
    assert combine({}) == "unknown"
    assert combine({"ssh": "unknown", "icmp": "unknown"}) == "unknown"
    assert combine(["unknown", "fail"]) == "fail"


def test_the_stale_limit_is_passed_at_181_seconds_not_at_180() -> None:
    track = folded("o")
    assert stale(track, 180, Policy()) == (track, None)
    after, change = stale(track, 181, Policy())
    assert change is not None and (change.to_state, change.since, change.at) == ("unknown", 0, 181)
    assert after.stale


def test_the_length_of_an_outage_counts_from_its_first_failure_even_through_maintenance() -> None:
    down, notices = tell(folded("offf"), 180)
    assert [notice.kind for notice in notices] == ["problem"]
    up, notices = tell(folded("o", 600, down), 600, quiet=True)
    assert notices == ()
    _, (recovery,) = tell(up, 900)
    assert (recovery.kind, recovery.outage, recovery.since, recovery.at) == ("recovery", 540, 600, 900)


def test_acknowledging_a_message_still_held_back_settles_it_but_not_its_recovery() -> None:
    down = acknowledge(folded("fff"))
    assert tell(down, 200)[1] == ()
    _, (recovery,) = tell(folded("o", 240, down), 240)
    assert (recovery.kind, recovery.outage) == ("recovery", 240)


def test_there_is_nothing_to_acknowledge_on_a_healthy_or_grey_host() -> None:
    for words in ("o", "", "uuu", "ff"):
        assert acknowledge(folded(words)) == folded(words)


def test_two_looks_begun_at_the_same_moment_are_one_unless_their_ids_differ() -> None:
    policy = Policy(attempts=2)
    bare, _ = fold(Track(), Result(5, "fail", start=0), policy)
    assert fold(bare, Result(6, "fail", start=0), policy) == (bare, None)
    named, _ = fold(Track(), Result(5, "fail", start=0, rid="a"), policy)
    assert fold(named, Result(6, "fail", start=0, rid="a"), policy) == (named, None)
    assert fold(named, Result(6, "fail", start=0, rid="b"), policy)[0].state == "down"


def test_a_host_left_grey_by_a_silent_poller_that_then_refuses_our_key_is_told_once() -> None:
    grey, _ = stale(folded("o"), 400, Policy())
    covered = Track.from_json({**grey.to_json(), "told": {"check": "poller"}})
    said = []
    for number in range(5):
        covered, _ = fold(covered, Result(500 + 60 * number, "unknown"), Policy())
        covered, notices = tell(covered, 500 + 60 * number)
        said.append([notice.kind for notice in notices])
    assert said == [[], [], ["check_problem"], [], []]


def test_a_clock_set_back_while_nobody_looked_does_not_make_every_result_old() -> None:
    stored = tell(folded("offf", 10_000), 10_180)[0]
    woken = resume(stored, 5_000)
    assert (woken.since, woken.seen, woken.started) == (4_880, 5_000, 5_000)
    assert woken.told.since == 4_880
    assert fold(woken, Result(5_060, "ok"), Policy())[0].state == "up"
    assert fold(stored, Result(5_060, "ok"), Policy())[0].state == "down"
    assert resume(stored, 10_200) is stored


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        ({"mood": 1}, "key 'mood'.*newer"),
        ({"told": {"mood": 1}}, "stored Told has the key 'mood'"),
        ({"state": "green"}, "'state' of a stored Track is one of"),
        ({"state": ["up"]}, "'state'"),
        ({"failures": -1}, "whole number from 0"),
        ({"failures": True}, "whole number"),
        ({"since": float("nan")}, "finite number"),
        ({"seen": "yesterday"}, "finite number"),
        ({"since": 10**400}, "finite number"),
        ({"rids": "abc"}, "list of texts"),
        ({"stale": 1}, "true or false"),
        ({"told": []}, "is an object"),
        ("up", "is an object"),
    ],
)
def test_a_stored_track_that_is_not_understood_is_refused_with_a_sentence(raw: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence) as refused:
        Track.from_json(raw)
    assert str(refused.value).endswith(".")


def test_a_track_stored_by_an_older_version_takes_the_defaults() -> None:
    assert Track.from_json({"state": "up", "since": 5}) == Track(state="up", since=5.0, told=Told())


@pytest.mark.parametrize(
    "values", [{"interval": 0}, {"interval": float("inf")}, {"attempts": 0}, {"recover_after": 0}, {"remind": -1}]
)
def test_a_policy_that_could_never_decide_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(values))):
        Policy(**values)


def test_an_unknown_result_decides_nothing_even_when_patience_was_cut_meanwhile() -> None:
    failing = folded("off")
    after, change = fold(failing, Result(180, "unknown"), Policy(attempts=2))
    assert (after.state, change) == ("up", None)
    assert fold(after, Result(240, "fail"), Policy(attempts=2))[0].since == 60


def test_an_acknowledgement_ends_at_a_recovery_nobody_was_told_of() -> None:
    down = acknowledge(tell(folded("fff"), 120)[0])
    again = folded("offf", 180, tell(down, 121, quiet=True)[0])
    assert (again.state, again.told.problem, again.told.acknowledged) == ("down", "down", False)


def test_counters_start_afresh_after_staleness_even_for_a_look_that_ended_before_it_was_judged() -> None:
    aged, _ = stale(folded("off"), 301, Policy())
    after, change = fold(aged, Result(295, "fail", start=290), Policy())
    assert (after.failures, change) == (1, None)


def test_a_host_enabled_after_a_long_pause_is_not_stale_at_once() -> None:
    enabled, _ = enable(disable(folded("o"), 60)[0], 100_000)
    assert stale(enabled, 100_180, Policy()) == (enabled, None)
    assert stale(enabled, 100_181, Policy())[0].state == "unknown"


def test_a_quick_look_begun_later_does_not_make_the_last_answer_older() -> None:
    slow, _ = fold(Track(), Result(100, "ok", start=60), Policy())
    quick, _ = fold(slow, Result(90, "ok", start=89), Policy())
    assert quick.seen == 100


def test_grey_after_a_told_outage_is_news_for_admins_again() -> None:
    grey, first = tell(folded("uuu"), 120)
    down, second = tell(folded("fff", 180, grey), 300)
    again, third = tell(folded("ouuu", 360, down), 540)
    assert [notice.kind for notice in (*first, *second, *third)] == ["check_problem", "problem", "check_problem"]
    assert tell(folded("o", 600, again), 600)[1][0].kind == "recovery"


def turns(words: str, policy: Policy | None = None, road: Road = "clear") -> list[Change]:
    """The changes of one result a minute: o = ok, f = fail, u = unknown."""
    track, found = Track(), []
    meanings: dict[str, Outcome] = {"o": "ok", "f": "fail", "u": "unknown"}
    for number, word in enumerate(words):
        track, change = fold(track, Result(number * 60 + 1, meanings[word], number * 60), policy or Policy(), road)
        found += [change] if change else []
    return found


def test_every_change_says_why() -> None:
    assert turns("offfo") == [
        Change("pending", "up", 0, 1, "answered"),
        Change("up", "down", 60, 181, "failed"),
        Change("down", "up", 240, 241, "answered"),
    ]
    assert turns("ouuu")[1] == Change("up", "unknown", 60, 181, "unasked")
    assert turns("fff", road="blocked") == [Change("pending", "unreachable", 0, 121, "blocked")]
    assert turns("ffffff", road="blocked")[1:] == turns("fff", road="waiting") == []
    assert stale(folded("o"), 181, Policy())[1] == Change("up", "unknown", 0, 181, "stale")
    closed, change = disable(folded("o"), 70)
    assert change == Change("up", "disabled", 70, 70, "disabled")
    assert enable(closed, 80)[1] == Change("disabled", "pending", 80, 80, "enabled")


def test_what_is_switched_off_is_closed_whole_and_once() -> None:
    flapping = Flaps("of", True, True, (1.0,), 2.0)
    known = Track(
        "down", 10, 3, 10, seen=130, started=130, rids=("a",), stale=True, told=Told("down"), flaps=flapping, cause="sw"
    )
    closed, _ = disable(known, 200)
    assert closed == Track("disabled", 200, started=130, rids=("a",))
    assert disable(closed, 300) == (closed, None)
    assert fold(closed, Result(300, "fail"), Policy()) == (closed, None)
    assert stale(closed, 10_000, Policy()) == (closed, None)
    assert decide(closed, Policy(), "blocked", 300) == (closed, None)
    begun, _ = enable(closed, 400)
    assert begun == Track("pending", 400, started=130, rids=("a",))
    assert enable(begun, 500) == (begun, None)


def test_only_what_is_not_down_yet_and_not_stale_is_decided_by_another_way() -> None:
    failing = folded("offf", track=Track("unreachable"))
    assert decide(failing, Policy(), "clear", 200)[0].state == "down"
    for state in ("down", "disabled"):
        track = Track(state, failures=3, first_failure=5)  # type: ignore[arg-type]
        assert decide(track, Policy(), "clear", 200) == (track, None)
    aged = Track("up", failures=3, first_failure=5, stale=True)
    assert decide(aged, Policy(), "clear", 200) == (aged, None)
    lost = Track("unreachable", failures=3, first_failure=5)
    assert decide(lost, Policy(), "blocked", 200) == (lost, None)


def test_a_host_let_go_counts_only_looks_that_set_out_afterwards() -> None:
    lost = Track("unreachable", 10, 3, 10, seen=130, started=130)
    free = release(lost, 150)
    assert free == Track("unreachable", 10, seen=130, started=130, fresh=150)
    assert release(Track("up"), 150) == Track("up")
    early, change = fold(free, Result(155, "fail", 149), Policy(attempts=1))
    assert (early.state, early.failures, change) == ("unreachable", 0, None)
    late, change = fold(free, Result(155, "fail", 150), Policy(attempts=1))
    assert (late.state, late.fresh) == ("down", None) and change is not None and change.since == 150
    up, _ = fold(free, Result(155, "ok", 149), Policy())
    assert (up.state, up.fresh, up.since) == ("up", None, 149)


def test_a_doubt_about_the_way_is_remembered_until_a_look_sets_out_after_it() -> None:
    failing = folded("off")
    doubted = doubt(failing, 130)
    assert doubted == replace(failing, fresh=130)
    assert fold(doubted, Result(135, "fail", 129), Policy(attempts=2))[1] is None
    assert fold(doubted, Result(195, "fail", 180), Policy(attempts=2))[0].state == "down"


def test_raw_results_are_comings_and_goings_only_where_the_way_is_clear() -> None:
    ok = folded("o")
    assert fold(ok, Result(60, "fail"), Policy())[0].flaps.window == "of"
    for road in ("waiting", "blocked"):
        assert fold(ok, Result(60, "fail"), Policy(), road)[0].flaps.window == "o"  # type: ignore[arg-type]
        assert fold(folded("of"), Result(120, "ok"), Policy(), road)[0].flaps.window == "ofo"  # type: ignore[arg-type]
    assert fold(ok, Result(60, "unknown"), Policy())[0].flaps.window == "o"


def test_where_nothing_ends_the_very_same_track_comes_back() -> None:
    calm_one = folded("of")
    assert calm(calm_one, 1e9) is calm_one
    clear = folded("fo")
    assert excuse(clear) is clear
    slow = replace(calm_one, flaps=Flaps("of", slow=True, turn=0))
    assert calm(slow, 1800) == replace(calm_one, flaps=Flaps("of", turn=0))
    late, change = fold(replace(slow, fresh=100), Result(1900, "fail", 90), Policy(interval=3600))
    assert not late.flaps.slow and change is None


def test_the_moments_of_flapping_are_moved_with_the_clock_too_and_only_when_it_was_set_back() -> None:
    track = replace(folded("o", 1000), flaps=Flaps("o", slow=True, downs=(900.0,), turn=950.0), fresh=990.0)
    woken = resume(track, 999)
    assert (woken.seen, woken.flaps) == (999, Flaps("o", slow=True, downs=(899.0,), turn=949.0))
    assert (woken.fresh, woken.first_ok) == (989, 999)
    assert resume(track, 1000) is track
    assert resume(track, 999.5).seen == 999.5


def test_an_interval_may_be_shorter_than_a_second() -> None:
    assert Policy(interval=0.5).patience == 1.5


def test_a_result_without_an_id_is_not_told_apart_from_one_of_the_same_start() -> None:
    named, _ = fold(Track(), Result(5, "fail", start=0, rid="a"), Policy())
    assert fold(named, Result(6, "fail", start=0), Policy()) == (named, None)
    bare, _ = fold(Track(), Result(5, "fail", start=0), Policy())
    assert fold(bare, Result(6, "fail", start=0, rid="a"), Policy()) == (bare, None)


def test_one_outcome_of_many_is_read_from_the_answers_not_from_the_names() -> None:
    assert combine({"ok": "fail", "fail": "unknown"}) == "fail"


def test_grey_forgets_a_row_of_answers_and_keeps_who_has_it_in_hand() -> None:
    waiting = folded("fffo", track=Track(), start=0.0)
    assert waiting.state == "up"
    slow = Policy(recover_after=2)
    track = Track()
    for number, word in enumerate(["ok", "unknown", "unknown", "unknown"]):
        track, _ = fold(track, Result(number * 60.0, word), slow)  # type: ignore[arg-type]
    assert (track.state, track.oks, track.first_ok) == ("unknown", 0, None)
    down = acknowledge(folded("fff"))
    assert fold(down, Result(180, "fail"), Policy())[0].told.acknowledged
    lost, _ = fold(replace(down, state="up", failures=2), Result(180, "fail"), Policy(), "blocked")
    assert (lost.state, lost.told.acknowledged) == ("unreachable", True)
    assert fold(down, Result(180, "ok"), Policy())[0].told.acknowledged is False


def test_a_grey_host_whose_key_is_refused_is_owed_a_word_of_its_own() -> None:
    track = Track("unknown", 10, unknowns=2, first_unknown=10, seen=60, started=60, told=Told(check="poller"))
    after, _ = fold(track, Result(120, "unknown"), Policy())
    assert after.told == Told()


def test_another_way_lets_go_takes_back_doubts_or_decides() -> None:
    policy = Policy(attempts=2)
    lost = Track("unreachable", 10, failures=3, first_failure=10)
    assert reroute(lost, policy, "blocked", 99) == (lost, None)
    assert reroute(replace(lost, fresh=50), policy, "blocked", 99) == (lost, None)
    for road in ("clear", "waiting"):
        assert reroute(lost, policy, road, 99) == (Track("unreachable", 10, fresh=99), None)  # type: ignore[arg-type]
    free = replace(lost, failures=0, first_failure=None, fresh=50)
    assert reroute(free, policy, "clear", 99)[0] is free
    waited = Track("up", 5, failures=2, first_failure=20, flaps=Flaps("off"))
    assert reroute(waited, policy, "clear", 99) == (replace(waited, fresh=99), None)
    for track in (replace(waited, failures=1), replace(waited, state="down"), Track("up")):
        assert reroute(track, policy, "clear", 99)[0] is track
    cut, change = reroute(waited, policy, "blocked", 99)
    assert (cut.state, cut.since, cut.flaps.window) == ("unreachable", 20, "o")
    assert change == Change("up", "unreachable", 20, 99, "blocked")
    assert reroute(waited, policy, "waiting", 99) == (replace(waited, flaps=Flaps("o")), None)
    for track in (Track("up", flaps=Flaps("off")), replace(waited, unknowns=1), Track("up", unknowns=1)):
        assert reroute(track, policy, "blocked", 99)[0] is track


def test_a_track_where_nothing_is_excused_or_decided_is_the_very_same() -> None:
    failing = Track("up", failures=1, first_failure=20, flaps=Flaps("o"))
    assert reroute(failing, Policy(), "blocked", 99)[0] is failing


def test_the_last_eight_looks_are_known_by_their_ids() -> None:
    track = Track()
    for number in range(12):
        track, _ = fold(track, Result(number * 60.0, "ok", rid=str(number)), Policy())
    assert track.rids == ("4", "5", "6", "7", "8", "9", "10", "11")
    assert Track().since == 0
