"""Limits changed together and undone together."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import select

from domain.clock import now
from domain.inventory import Division, Host, HostGroup, LimitEdit, Person, Threshold, owner
from webui import store

COLUMNS = (
    "host_id", "group_id", "division_id", "measure", "part", "state", "over", "under", "clear", "for_s", "clear_for_s",
)  # fmt: skip
SAME = COLUMNS[:6]
"""What makes it the same limit."""
UNDONE_FOR = timedelta(hours=24)
"""So long an edit may be undone."""


def plain(row: Threshold) -> dict[str, Any]:
    """A limit as plain values."""
    return {name: getattr(row, name) for name in COLUMNS}


def row_from(values: dict[str, Any]) -> Threshold:
    """A limit from plain values."""
    return Threshold(**{name: values.get(name) for name in COLUMNS})


def owner_of(values: dict[str, Any]) -> tuple[str, int | None]:
    """Whose limit it is, as domain.inventory.owner tells."""
    return owner(row_from(values))


def replace(person: Person, before: Sequence[Threshold], after: Sequence[Threshold]) -> LimitEdit:
    """Take limits away and set others, as one edit. The caller commits."""
    session = store.session()
    edit = LimitEdit(made_by=person.id, before=[plain(row) for row in before], after=[plain(row) for row in after])
    for row in before:
        session.delete(row)
    session.flush()
    session.add_all([*after, edit])
    store.announce("inventory")
    session.flush()
    return edit


def undo(edit: LimitEdit) -> None:
    """Make what the edit touched as it was before it, whatever came since. The caller commits."""
    session = store.session()
    for values in (*edit.after, *edit.before):
        same = select(Threshold).filter_by(**{name: values[name] for name in SAME})
        for row in session.scalars(same):
            session.delete(row)
    session.flush()
    session.add_all(row_from(values) for values in edit.before if _there(values))
    edit.undone_at = now()
    store.announce("inventory")
    session.flush()


def _there(values: dict[str, Any]) -> bool:
    """Whether the limit's owner still exists: one that was deleted since needs no limits."""
    tables: tuple[tuple[str, Any], ...] = (("host_id", Host), ("group_id", HostGroup), ("division_id", Division))
    return all(store.session().get(table, values[name]) for name, table in tables if values.get(name) is not None)


def undoable(edit_id: int, *, lock: bool = False) -> LimitEdit | None:
    """The edit, if it may still be undone; with `lock`, nobody else undoes it meanwhile."""
    known = 0 < edit_id < 2**31
    edit = store.session().get(LimitEdit, edit_id, with_for_update=lock or None) if known else None
    return edit if edit is not None and edit.undone_at is None and now() - edit.made_at < UNDONE_FOR else None
