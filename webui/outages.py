"""How available a machine was, and its outages: for its page, and as a table for spreadsheets."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import datetime, timedelta

from flask import Blueprint, Response, request
from sqlalchemy import or_, select

from domain import availability
from domain.availability import Availability, Interval
from domain.clock import now
from domain.records import StateInterval
from webui import access, audited, store
from webui.sheets import harmless

blueprint = Blueprint("outages", __name__, url_prefix="/machines/<int:host_id>")

DAYS = 30
MOST_DAYS = 366


def of(host_id: int, begin: datetime, end: datetime) -> Availability:
    """What is known of a machine over this period; its maintenance is what really was, as recorded."""
    subjects = (f"host:{host_id}", f"maintenance:{host_id}")
    rows = store.session().execute(
        select(StateInterval.subject, StateInterval.since, StateInterval.until, StateInterval.state).where(
            StateInterval.subject.in_(subjects),
            StateInterval.since < end,
            or_(StateInterval.until.is_(None), StateInterval.until > begin),
        )
    )
    own: list[Interval] = []
    quiet: list[Interval] = []
    for subject, since, until, state in rows:
        (own if subject == subjects[0] else quiet).append((since, until, state))
    return availability.over(own, quiet, begin, end)


@blueprint.get("/availability.csv")
@access.signed_in
def table(host_id: int) -> Response:
    """Sums and outages of the last `?days=` (30), newest first; times are UTC."""
    host, end = access.host(host_id), now()
    asked = request.args.get("days", "")
    days = min(max(int(asked), 1), MOST_DAYS) if asked.isascii() and asked.isdigit() and len(asked) < 6 else DAYS
    begin = end - timedelta(days=days)
    audited.note_now("export.availability", f"host:{host.id}", name=host.name, days=days)
    answer = Response(_lines(host.name, of(host.id, begin, end), begin, end), mimetype="text/csv; charset=utf-8")
    answer.headers["Content-Disposition"] = f'attachment; filename="availability-{host.id}.csv"'
    return answer


def _lines(name: str, found: Availability, begin: datetime, end: datetime) -> Iterator[str]:
    sums = (
        ("up", found.up),
        ("down", found.down),
        ("unreachable (not counted)", found.unreachable),
        ("unknown (not counted)", found.unknown),
        ("maintenance (not counted)", found.maintenance),
    )
    yield _row("machine", "what", "from (UTC)", "to (UTC)", "seconds", "began before", "goes on")
    for what, seconds in sums:
        yield _row(name, what, _utc(begin), _utc(end), f"{seconds:.0f}", "", "")
    share = "" if found.share is None else f"{found.share:.6f}"
    yield _row(name, "availability = up / (up + down)", _utc(begin), _utc(end), share, "", "")
    for one in found.outages:
        marks = ["yes" if mark else "" for mark in (one.began_before, one.goes_on)]
        yield _row(name, f"outage: {one.state}", _utc(one.begin), _utc(one.end), f"{one.seconds:.0f}", *marks)


def _row(*cells: str) -> str:
    packed = io.StringIO()
    csv.writer(packed).writerow([harmless(cell) for cell in cells])
    return packed.getvalue()


def _utc(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}"
