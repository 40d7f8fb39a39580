"""What each role lets its holder do."""

from __future__ import annotations

import pytest

from domain.rights import EVERYWHERE, LOCAL, OF, Right, roles_with


def test_every_role_is_described_and_no_other() -> None:
    assert set(OF) == {*EVERYWHERE, *LOCAL}


@pytest.mark.parametrize("role", sorted({*EVERYWHERE, *LOCAL} - {"none"}))
def test_whoever_may_do_anything_sees_what_they_do_it_with(role: str) -> None:
    assert Right.SEE in OF[role]


def test_no_role_in_a_division_runs_the_installation() -> None:
    assert roles_with(Right.ADMIN) == ()


def test_no_role_both_asks_and_approves() -> None:
    assert not [role for role, rights in OF.items() if {Right.ASK, Right.APPROVE} <= rights]


def test_the_roles_that_carry_a_right() -> None:
    assert roles_with(Right.EDIT) == ("operator",)
    assert roles_with(Right.APPROVE) == ("approver",)
    assert set(roles_with(Right.SEE)) == set(LOCAL)
    assert set(roles_with(Right.HANDLE)) == {"operator", "pic", "deputy", "staff"}
    assert set(roles_with(Right.MAINTAIN)) == {"operator", "pic", "deputy"}
