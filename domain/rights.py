"""Decides what a role lets a person do: everywhere, or in one division."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class Right(StrEnum):
    """Something a person may do with the machines within their reach."""

    SEE = "see"
    """Know of the machines, and all that is told of them."""
    HANDLE = "handle"
    """Take trouble in hand: acknowledge, hand over, note, close."""
    MAINTAIN = "maintain"
    """Plan, begin and end maintenance."""
    LOOK = "look"
    """Have them looked at now."""
    EDIT = "edit"
    """Add, change and remove machines, their checks and limits."""
    TALK = "talk"
    """Say something in the threads one may read."""
    ASK = "ask"
    """Ask for an action, such as a restart."""
    APPROVE = "approve"
    """Agree to an action somebody else asked for."""
    ADMIN = "admin"
    """Run the installation: people, credentials, channels, everything."""


_CHARGE = frozenset({Right.SEE, Right.TALK, Right.HANDLE, Right.MAINTAIN, Right.LOOK, Right.ASK})
OF: Mapping[str, frozenset[Right]] = {
    "admin": frozenset(Right) - {Right.APPROVE},
    "operator": _CHARGE | {Right.EDIT},
    "pic": _CHARGE,
    "deputy": _CHARGE,
    "approver": frozenset({Right.SEE, Right.TALK, Right.APPROVE}),
    "staff": frozenset({Right.SEE, Right.TALK, Right.HANDLE}),
    "viewer": frozenset({Right.SEE, Right.TALK}),
    "none": frozenset(),
}
"""What each role lets its holder do. To run everything is not to agree to everything: an administrator who is to
approve is made an approver besides."""
EVERYWHERE = ("admin", "operator", "approver", "viewer", "none")
"""The roles a person has in the whole installation (Person.role), one of them."""
LOCAL = ("operator", "pic", "deputy", "approver", "staff", "viewer")
"""The roles a person has in one division (Membership.role), any of them."""


def roles_with(right: Right) -> tuple[str, ...]:
    """The roles in a division that carry `right`."""
    return tuple(role for role in LOCAL if right in OF[role])
