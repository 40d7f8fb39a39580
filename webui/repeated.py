"""Maintenance that comes again, as code: made what a document says, and written down again.

What happens once is no configuration: it is left alone here, and left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from domain import calendar
from domain.clock import now
from domain.inventory import Window
from webui import windows
from webui.written import Repeated

Key = tuple[str, str, str]
"""Name, kind of target, its name."""


def export(session: Session) -> list[Repeated]:
    """Every window that comes again, as an entry; one without a name, or that cannot be read, is left out."""
    found = []
    for key, row in _there(session).items():
        try:
            rule = calendar.read(row.kind, row.options, row.zone)
        except ValueError:
            continue
        words: dict[str, object] = {
            "name": key[0],
            key[1]: key[2] or True,
            "duration": rule.duration.total_seconds(),
            "zone": rule.zone,
            "lasts": rule.lasts.total_seconds() if rule.flexible else None,
        }
        if rule.kind == "weekly" and rule.at is not None:
            words |= {"weekdays": rule.weekdays, "at": f"{rule.at:%H:%M}"}
        else:
            words |= {"expression": rule.expression}
        found.append(Repeated.model_validate(words))
    return sorted(found, key=lambda one: one.key)


def make_true(
    session: Session, entries: Sequence[Repeated], ids: Mapping[str, Mapping[str, int]], prune: bool
) -> Iterator[str]:
    """The changes as lines. `ids` are those of hosts, groups, divisions and sites by name. Raises ValueError with one sentence."""
    there, named = _there(session), set()
    for entry in entries:
        if entry.key in named:
            raise ValueError(f"maintenance '{entry.name}' stands twice for the same target.")
        named.add(entry.key)
        _, kind, target = entry.key
        if kind != "everything" and target not in ids[kind]:
            raise ValueError(f"maintenance '{entry.name}' is for the {kind} '{target}', which is not there.")
        rule, row = entry.rule(), there.get(entry.key)
        if row is None:
            id = None if kind == "everything" else ids[kind][target]
            windows.make(session, rule, (kind, id), entry.name, None)
            yield f"+ maintenance {entry.name}"
        elif (row.kind, row.options, row.zone) != (rule.kind, rule.options(), rule.zone):
            row.kind, row.options, row.zone = rule.kind, rule.options(), rule.zone
            yield f"~ maintenance {entry.name}: {_said(rule)}"
    if prune:
        for key in sorted(there.keys() - named):
            there[key].ended_at = now()
            yield f"- maintenance {key[0]}"


def _there(session: Session) -> dict[Key, Window]:
    """The windows that come again and were not ended."""
    rows = session.scalars(
        select(Window)
        .where(Window.kind != "once", Window.ended_at.is_(None), Window.note != "")
        .options(*(joinedload(getattr(Window, kind)) for kind in windows.TARGETS))
        .order_by(Window.id)
    )
    found: dict[Key, Window] = {}
    for row in rows:
        aim = next(((kind, getattr(row, kind).name) for kind in windows.TARGETS if getattr(row, kind)), ("everything", ""))  # fmt: skip
        found.setdefault((row.note, *aim), row)
    return found


def _said(rule: calendar.Rule) -> str:
    """The new times, briefly."""
    lasts = f", on for {calendar.written(rule.lasts)} from going down" if rule.flexible else ""
    return f"{rule.expression} for {calendar.written(_whole(rule.duration))} in {rule.zone}{lasts}"


def _whole(duration: timedelta) -> timedelta:
    return timedelta(minutes=duration.total_seconds() // 60)
