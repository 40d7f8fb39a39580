"""A storm becomes one message for each recipient, renewed at its pace, and ends in silence."""

from __future__ import annotations

from domain.digest import Crowd, admit, dropped, passed, resume


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
    assert crowd == Crowd(single=tuple(range(10)), sent=10, members=("s10",))


def test_the_minute_slides_and_is_over_after_sixty_seconds() -> None:
    assert told(*range(10), 59.9)[1][-1] == "digest"
    assert told(*range(10), 60)[1][-1] == "single"
    assert told(*range(10), 60)[0].single == (*range(1, 10), 60)
    assert told(*[6.0 * number for number in range(100)])[1] == ["single"] * 100


def test_while_a_digest_runs_all_is_held_and_each_subject_told_once() -> None:
    crowd, ways = told(*range(11), 12, 12, 100)
    assert ways[11:] == ["held"] * 3
    assert (crowd.news, crowd.members, crowd.sent) == (("s12", "s100"), ("s10", "s12", "s100"), 10)


def test_it_is_renewed_after_five_minutes_by_the_next_notice_or_by_time() -> None:
    crowd, ways = told(*range(11), 12, 309.9)
    assert ways[-1] == "held" and passed(crowd, 309.9) == (crowd, False)
    renewed, due = passed(crowd, 310)
    assert due and (renewed.sent, renewed.news, renewed.members) == (310, (), ("s10", "s12", "s309.9"))
    later, ways = told(310, crowd=crowd)
    assert ways == ["digest"] and (later.sent, later.news) == (310, ())
    assert later.members == ("s10", "s12", "s309.9", "s310")


def test_without_news_it_ends_and_the_next_is_told_by_itself() -> None:
    crowd, _ = told(*range(11))
    assert passed(crowd, 310) == (Crowd(single=tuple(range(10))), False)
    after, ways = told(310, crowd=crowd)
    assert ways == ["single"] and after == Crowd(single=(310,))
    assert passed(Crowd(), 1e9) == (Crowd(), False)


def test_what_somebody_has_in_hand_is_news_no_more() -> None:
    crowd, _ = told(*range(11), 12, 13)
    assert dropped(crowd, "s12").news == ("s13",)
    assert dropped(crowd, "s12").members == crowd.members
    assert dropped(crowd, "s10") is crowd


def test_no_moment_of_it_lies_in_the_future_after_a_restart() -> None:
    crowd = Crowd((10, 20), 30, ("a",), ("a", "b"))
    assert resume(crowd, 15) == Crowd((10, 15), 15, ("a",), ("a", "b"))
    assert resume(crowd, 40) == crowd
    assert resume(Crowd(), 40) == Crowd()
