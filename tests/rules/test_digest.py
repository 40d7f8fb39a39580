"""A storm becomes one message for each recipient, renewed at its pace, and ends in silence."""

from __future__ import annotations

from domain.digest import Crowd, Crowds, admit, dropped, passed, resume
from domain.routing import Notice, NoticeKind, Spoken


def told(*moments: float, crowd: Crowd | None = None) -> tuple[Crowd, list[str]]:
    """The ways of one notice at each moment, each about another subject."""
    crowd, ways = crowd or Crowd(), []
    for moment in moments:
        crowd, way = admit(crowd, f"s{moment:g}", moment)
        ways.append(way)
    return crowd, ways


def test_ten_within_a_minute_are_told_each_and_the_eleventh_is_a_digest() -> None:
    crowd, ways = told(*range(11))
    assert ways == ["single"] * 10 + ["digest"]
    assert crowd == Crowd(recent=tuple(range(1, 11)), sent=10)


def test_the_minute_slides_and_is_over_after_sixty_seconds() -> None:
    assert told(*range(10), 59.9)[1][-1] == "digest"
    assert told(*range(10), 60)[1][-1] == "single"
    assert told(*range(10), 60)[0].recent == (*range(1, 10), 60)
    assert told(*[6.0 * number for number in range(100)])[1] == ["single"] * 100


def test_while_the_storm_lasts_all_is_held_and_each_subject_told_once() -> None:
    crowd, ways = told(*range(11), 12, 12, 13)
    assert ways[11:] == ["held"] * 3
    assert (crowd.news, crowd.sent) == (("s12", "s13"), 10)


def test_what_comes_when_the_storm_is_over_does_not_wait_for_the_digest() -> None:
    crowd, ways = told(*range(11), 12, 100)
    assert ways[-2:] == ["held", "single"]
    assert (crowd.news, crowd.sent, crowd.recent) == (("s12",), 10, (100,))


def test_it_is_renewed_after_five_minutes() -> None:
    crowd, _ = told(*range(11), 12)
    assert passed(crowd, 309.9) == (crowd, False)
    renewed, due = passed(crowd, 310)
    assert due and (renewed.sent, renewed.news) == (310, ())


def test_without_news_it_ends() -> None:
    crowd, _ = told(*range(11))
    ended, due = passed(crowd, 310)
    assert not due and (ended.sent, ended.recent) == (None, crowd.recent)
    assert passed(Crowd(), 1e9) == (Crowd(), False)


def test_what_somebody_has_in_hand_is_news_no_more() -> None:
    crowd, _ = told(*range(11), 12, 13)
    assert dropped(crowd, "s12").news == ("s13",)
    assert dropped(crowd, "s10") is crowd


def test_no_moment_of_it_lies_in_the_future_after_a_restart() -> None:
    crowd = Crowd((10, 20), 30, ("a",))
    assert resume(crowd, 15) == Crowd((10, 15), 15, ("a",))
    assert resume(crowd, 40) == crowd
    assert resume(Crowd(), 40) == Crowd()


def notice(kind: NoticeKind, at: float) -> Notice:
    return Notice(kind, at, "down", at)


def test_problems_recoveries_and_what_admins_hear_are_crowds_of_their_own() -> None:
    crowds = Crowds()
    kinds: tuple[NoticeKind, ...] = ("problem", "recovery", "check_problem")
    for at in range(10):
        for kind in kinds:
            assert crowds.speak(f"s{at}", notice(kind, at)) == Spoken(f"s{at}", notice(kind, at))
    for kind in kinds:
        assert crowds.speak(f"s {kind}", notice(kind, 10)) == Spoken(
            "poller", Notice("digest", 10, "down", 10), (f"s {kind}",)
        )
    assert crowds.speak("s0", notice("reminder", 10)) == Spoken("s0", notice("reminder", 10))


def test_what_came_and_went_before_the_digest_told_of_it_is_told_by_the_digest_alone() -> None:
    crowds = Crowds()
    for at in range(12):
        crowds.speak(f"s{at}", notice("problem", at))
    assert crowds.speak("s11", notice("recovery", 70)) is None
    crowds = Crowds.from_json(crowds.to_json(), 70)
    assert list(crowds.renewed(309)) == []
    assert list(crowds.renewed(310)) == [Spoken("poller", Notice("digest", 310, "down", 310), ("s11",))]
    crowds.drop("s11")
    assert list(crowds.renewed(610)) == []
    assert crowds.to_json() == {"all": {"recent": [float(at) for at in range(2, 12)]}}


def several(crowds: Crowds, kind: NoticeKind, number: int) -> list[str]:
    """Whom so many notices of a kind at once are told of."""
    said = (crowds.speak(f"m{one}", Notice(kind, 1, "down", 0)) for one in range(number))
    return [one.subject for one in said if one is not None]


def test_admins_have_a_crowd_of_their_own_and_what_is_well_again_has_one_too() -> None:
    crowds = Crowds()
    for kind in ("check_problem", "problem"):
        assert several(crowds, kind, 11) == [*(f"m{one}" for one in range(10)), "poller"]
    assert several(crowds, "recovery", 10) == [f"m{one}" for one in range(10)]
    assert several(crowds, "reminder", 12) == [f"m{one}" for one in range(12)]
    assert set(crowds.to_json()) == {"all", "admins", "all good"}


def test_what_a_digest_will_tell_is_not_told_beside_it() -> None:
    crowds = Crowds()
    several(crowds, "problem", 13)
    assert crowds.to_json()["all"]["news"] == ["m11", "m12"]
    assert crowds.speak("m12", Notice("recovery", 2, "up", 2)) is None
    assert crowds.speak("m11", Notice("problem", 2, "down", 2)) is None
    assert crowds.speak("m0", Notice("recovery", 2, "up", 2)) is not None
    assert [one.members for one in crowds.renewed(301)] == [("m11", "m12")]


def test_flapping_crowds_too_and_its_end_with_what_is_well_again() -> None:
    crowds = Crowds()
    for kind in ("flap_start", "flap_stop"):
        assert several(crowds, kind, 11)[-1] == "poller"
    assert set(crowds.to_json()) == {"all", "all good"}
