"""Whether enough of the right people agree."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from domain.quorum import Vote, standing


def yes(person: int, *, counts: bool = True, local: bool = True) -> Vote:
    return Vote(person, agrees=True, counts=counts, local=local)


def no(person: int, *, counts: bool = True) -> Vote:
    return Vote(person, agrees=False, counts=counts, local=True)


def test_two_of_whom_one_is_of_the_division_are_enough() -> None:
    assert standing(2, 1, 9, [yes(1), yes(2, local=False)]).reached


def test_two_strangers_are_not_enough_where_one_must_be_of_the_division() -> None:
    stands = standing(2, 1, 9, [yes(1, local=False), yes(2, local=False)])
    assert not stands.reached
    assert stands.missing == 1


def test_nobody_counts_twice() -> None:
    assert standing(2, 1, 9, [yes(1), yes(1), yes(1)]).agreed == 1


def test_the_requester_never_counts_neither_for_nor_against() -> None:
    stands = standing(2, 1, 9, [yes(9), no(9), yes(1)])
    assert (stands.agreed, stands.refused) == (1, False)


def test_one_refusal_ends_it_however_many_agree() -> None:
    stands = standing(2, 1, 9, [yes(1), yes(2), yes(3), no(4)])
    assert stands.refused
    assert not stands.reached


def test_a_role_that_was_lost_takes_its_vote_with_it() -> None:
    assert not standing(2, 0, 9, [yes(1), yes(2, counts=False)]).reached
    assert not standing(1, 0, 9, [yes(1), no(2, counts=False)]).refused


def test_nothing_is_needed_where_nothing_is_needed() -> None:
    assert standing(0, 1, 9, []).reached


VOTES = st.lists(st.builds(Vote, st.integers(1, 6), st.booleans(), st.booleans(), st.booleans()), max_size=12)


@given(st.integers(1, 5), st.integers(0, 5), st.integers(1, 6), VOTES)
def test_it_is_reached_exactly_when_enough_others_agree(needs: int, local: int, asker: int, votes: list[Vote]) -> None:
    stands = standing(needs, local, asker, votes)
    counted = [vote for vote in votes if vote.counts and vote.person_id != asker]
    people = {vote.person_id for vote in counted if vote.agrees}
    near = {vote.person_id for vote in counted if vote.agrees and vote.local}
    assert stands.reached == (
        all(vote.agrees for vote in counted) and len(people) >= needs and len(near) >= min(local, needs)
    )
    assert (stands.missing == 0) == (stands.reached or (stands.refused and stands.missing == 0))
