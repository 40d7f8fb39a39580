"""What the menu leads to, for the person who opens it."""

from __future__ import annotations

from flask import g
from sqlalchemy.exc import SQLAlchemyError

from domain.rights import Right
from webui import access, approvals, deliveries
from webui.language import lazy_gettext

PAGES = (
    (
        lazy_gettext("You"),
        (
            ("profile.index", "settings", lazy_gettext("Your account"), None),
            ("routes.index", "bell", lazy_gettext("Notifications"), None),
        ),
    ),
    (
        lazy_gettext("Day to day"),
        (
            ("approvals.index", "check", lazy_gettext("Requests"), None),
            ("maintenance.index", "calendar", lazy_gettext("Maintenance"), None),
            ("jobs.index", "refresh", lazy_gettext("Unattended"), None),
            ("sites.index", "map-pin", lazy_gettext("Sites"), None),
            ("rotas.index", "clock", lazy_gettext("On call"), None),
            ("deliveries.index", "messages", lazy_gettext("What was told"), None),
        ),
    ),
    (
        lazy_gettext("People and access"),
        (
            ("staff.index", "user", lazy_gettext("People"), Right.ADMIN),
            ("divisions.index", "users", lazy_gettext("Divisions"), Right.ADMIN),
            ("credentials.index", "key", lazy_gettext("Credentials"), Right.ADMIN),
            ("entry.index", "lock", lazy_gettext("Logging in"), Right.ADMIN),
            ("auditing.index", "report-analytics", lazy_gettext("Who did what"), Right.ADMIN),
        ),
    ),
    (
        lazy_gettext("Actions"),
        (
            ("actionrules.index", "list-check", lazy_gettext("Who must agree"), Right.ADMIN),
            ("runbooks.index", "player-play", lazy_gettext("Runbooks"), Right.ADMIN),
        ),
    ),
    (
        lazy_gettext("Messages"),
        (
            ("policies.index", "list-check", lazy_gettext("Who is told"), Right.ADMIN),
            ("channels.index", "plug-connected", lazy_gettext("Channels"), Right.ADMIN),
            ("wordings.index", "pencil", lazy_gettext("Wording"), Right.ADMIN),
            ("lookouts.index", "heartbeat", lazy_gettext("Signs of life"), Right.ADMIN),
        ),
    ),
)
"""Groups under their headings: endpoint, icon, name, and the right a page takes; None for everybody."""


def groups() -> list[tuple[str, list[tuple[str, str, str]]]]:
    """(heading, [(endpoint, icon, name)]) of what this person may open."""
    if g.get("person") is None:
        return []
    found = []
    for heading, pages in PAGES:
        open_to = [
            (page, icon, str(name)) for page, icon, name, right in pages if right is None or access.anywhere(right)
        ]
        if open_to:
            found.append((str(heading), open_to))
    return found


def dead_letters() -> int:
    """How many messages wait for an administrator, for the mark on the menu; 0 for everybody else."""
    if g.get("person") is None or not access.anywhere(Right.ADMIN):
        return 0
    try:
        return deliveries.dead()
    except SQLAlchemyError:  # the page of a fault is drawn by the same frame
        return 0


def awaited() -> int:
    """How many requests wait for this person's answer, for the mark on the menu; 0 for who has none to give."""
    if g.get("person") is None:
        return 0
    try:
        if access.anywhere(Right.APPROVE) or access.anywhere(Right.EDIT):
            return approvals.waiting_for()
    except SQLAlchemyError:  # the page of a fault is drawn by the same frame
        pass
    return 0
