"""What the menu leads to, for the person who opens it."""

from __future__ import annotations

from flask import g
from sqlalchemy.exc import SQLAlchemyError

from domain.rights import Right
from webui import access, deliveries
from webui.language import lazy_gettext

PAGES = (
    ("routes.index", "bell", lazy_gettext("Notifications"), None),
    ("maintenance.index", "calendar", lazy_gettext("Maintenance"), None),
    ("sites.index", "map-pin", lazy_gettext("Sites"), None),
    ("deliveries.index", "messages", lazy_gettext("What was told"), None),
    ("rotas.index", "clock", lazy_gettext("On call"), None),
    ("profile.index", "settings", lazy_gettext("Your account"), None),
    ("credentials.index", "key", lazy_gettext("Credentials"), Right.ADMIN),
    ("staff.index", "users", lazy_gettext("People"), Right.ADMIN),
    ("entry.index", "lock", lazy_gettext("Logging in"), Right.ADMIN),
    ("policies.index", "list-check", lazy_gettext("Who is told"), Right.ADMIN),
    ("lookouts.index", "heartbeat", lazy_gettext("Signs of life"), Right.ADMIN),
    ("wordings.index", "pencil", lazy_gettext("Wording"), Right.ADMIN),
    ("auditing.index", "lock", lazy_gettext("Who did what"), Right.ADMIN),
    ("channels.index", "plug-connected", lazy_gettext("Channels"), Right.ADMIN),
)
"""Endpoint, icon, name, and the right it takes: None for everybody."""


def pages() -> list[tuple[str, str, str]]:
    """(endpoint, icon, name) of what this person may open."""
    if g.get("person") is None:
        return []
    return [
        (endpoint, icon, str(name)) for endpoint, icon, name, right in PAGES if right is None or access.anywhere(right)
    ]


def dead_letters() -> int:
    """How many messages wait for an administrator, for the mark on the menu; 0 for everybody else."""
    if g.get("person") is None or not access.anywhere(Right.ADMIN):
        return 0
    try:
        return deliveries.dead()
    except SQLAlchemyError:  # the page of a fault is drawn by the same frame
        return 0
