"""What the menu leads to, for the person who opens it."""

from __future__ import annotations

from flask import g
from sqlalchemy.exc import SQLAlchemyError

from webui import deliveries
from webui.access import ADMIN
from webui.language import lazy_gettext

PAGES = (
    ("routes.index", "bell", lazy_gettext("Notifications"), ""),
    ("maintenance.index", "calendar", lazy_gettext("Maintenance"), ""),
    ("sites.index", "map-pin", lazy_gettext("Sites"), ""),
    ("deliveries.index", "messages", lazy_gettext("What was told"), ""),
    ("rotas.index", "clock", lazy_gettext("On call"), ""),
    ("profile.index", "settings", lazy_gettext("Your account"), ""),
    ("credentials.index", "key", lazy_gettext("Credentials"), ADMIN),
    ("staff.index", "users", lazy_gettext("People"), ADMIN),
    ("entry.index", "lock", lazy_gettext("Logging in"), ADMIN),
    ("policies.index", "list-check", lazy_gettext("Who is told"), ADMIN),
    ("lookouts.index", "heartbeat", lazy_gettext("Signs of life"), ADMIN),
    ("wordings.index", "pencil", lazy_gettext("Wording"), ADMIN),
    ("auditing.index", "lock", lazy_gettext("Who did what"), ADMIN),
    ("channels.index", "plug-connected", lazy_gettext("Channels"), ADMIN),
)
"""Endpoint, icon, name, and for whom: empty for everybody."""


def pages() -> list[tuple[str, str, str]]:
    """(endpoint, icon, name) of what this person may open."""
    person = g.get("person")
    role = person.role if person else None
    return [(endpoint, icon, str(name)) for endpoint, icon, name, whose in PAGES if whose in ("", role)]


def dead_letters() -> int:
    """How many messages wait for an administrator, for the mark on the menu; 0 for everybody else."""
    person = g.get("person")
    if person is None or person.role != ADMIN:
        return 0
    try:
        return deliveries.dead()
    except SQLAlchemyError:  # the page of a fault is drawn by the same frame
        return 0
