"""What people can be here, in words: everywhere (Person.role), and in one division (Membership.role)."""

from __future__ import annotations

from collections.abc import Iterable

from domain.inventory import Membership, Person
from webui.language import lazy_gettext

EVERYWHERE = {
    "none": lazy_gettext("Sees the machines of their divisions"),
    "viewer": lazy_gettext("Viewer: sees every machine, changes nothing"),
    "approver": lazy_gettext("Approver: sees every machine and decides over restarts"),
    "operator": lazy_gettext("Operator: runs every machine, its checks and limits"),
    "admin": lazy_gettext("Administrator: everything, people and credentials too"),
}
TITLES = {
    "viewer": lazy_gettext("Viewer"),
    "approver": lazy_gettext("Approver"),
    "operator": lazy_gettext("Operator"),
    "admin": lazy_gettext("Administrator"),
}
"""The same as a mark beside a name."""
LOCAL = {
    "pic": lazy_gettext("In charge"),
    "deputy": lazy_gettext("Deputy"),
    "operator": lazy_gettext("Operator"),
    "approver": lazy_gettext("Approver"),
    "staff": lazy_gettext("Staff"),
    "viewer": lazy_gettext("Viewer"),
}
ORDER = tuple(LOCAL)


def said(memberships: Iterable[Membership]) -> list[str]:
    """What somebody is, one text a division: `Gudang: In charge, Approver`."""
    found: dict[str, list[str]] = {}
    for one in memberships:
        found.setdefault(one.division.name, []).append(one.role)
    return [
        f"{name}: {', '.join(str(LOCAL[role]) for role in ORDER if role in roles)}"
        for name, roles in sorted(found.items())
    ]


def title(person: Person) -> str:
    """What somebody is everywhere; empty for whoever is only something in divisions."""
    return str(TITLES[person.role]) if person.role in TITLES else ""
