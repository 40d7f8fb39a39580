"""The audit for administrators to read: by person, object, kind and time, newest first; and as a table to take along."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, Response, render_template, request, stream_with_context, url_for
from sqlalchemy import ColumnElement, func, or_, select

from domain import audit
from domain.audit import Audit
from domain.clock import now
from domain.inventory import Person
from webui import access, audited, deeds, details, sheets, store
from webui.details import Names
from webui.language import reader_zone

blueprint = Blueprint("auditing", __name__, url_prefix="/audit")

PAGE = 100
MOST_LINES = 200_000
ASKED = ("person", "what", "on", "from", "to")
HEADS = ["number", "at (UTC)", "person", "from where", "what", "on", "said", "detail", "hash"]


@blueprint.get("")
@access.admin
def index() -> str:
    """One page of what was done; what is chosen stands in the address."""
    session = store.session()
    found = list(session.scalars(_wanted().order_by(Audit.id.desc()).limit(PAGE + 1)))
    rows = found[:PAGE]
    query: dict[str, Any] = {name: value for name in ASKED if (value := request.args.get(name, "").strip())}
    return render_template(
        "auditing/index.html",
        active="auditing.index",
        rows=rows,
        deeds=deeds,
        names=deeds.known(rows),
        query=query,
        older=url_for("auditing.index", before=rows[-1].id, **query) if len(found) > PAGE else None,
        taken=url_for("auditing.table", **query),
        kinds=_kinds(),
        people=list(session.execute(select(Person.id, Person.name).order_by(Person.name))),
        stands=audit.head(session),
    )


@blueprint.get("/audit.csv")
@access.admin
@access.fresh
def table() -> Response:
    """All that fits what is chosen, newest first; taking it along is itself on record."""
    chosen = {name: request.args.get(name, "")[:100] for name in ASKED if request.args.get(name)}
    audited.note_now("audit.exported", **chosen)
    answer = Response(stream_with_context(_lines(_wanted())), mimetype="text/csv")
    answer.headers["Content-Disposition"] = f'attachment; filename="pantau-audit-{now():%Y%m%d%H%M}.csv"'
    return answer


def _lines(wanted: Any) -> Iterator[bytes]:
    """The file, a thousand rows at a time; every cell is text to a spreadsheet, whoever wrote it."""
    yield sheets.csv_of([HEADS])
    rows = store.session().scalars(wanted.order_by(Audit.id.desc()).limit(MOST_LINES).execution_options(yield_per=1000))
    for some in rows.partitions(1000):
        names = deeds.known(some)
        yield sheets.csv_of([_cells(row, names) for row in some]).removeprefix("\ufeff".encode())


def _cells(row: Audit, names: Names) -> list[str]:
    at = row.at.astimezone(UTC).isoformat(timespec="microseconds")
    said, detail = deeds.sentence(row, names), json.dumps(row.detail, ensure_ascii=False)
    return [str(row.id), at, row.person, row.source, row.what, row.on, said, detail, row.hash.hex()]


def _wanted() -> Any:
    wanted = select(Audit)
    for only in _chosen():
        wanted = wanted.where(only)
    return wanted


def _chosen() -> list[ColumnElement[bool]]:
    """The conditions the address asks for; what makes no sense is left out."""
    found: list[Any] = []
    if (person := _number("person")) is not None:
        found.append(Audit.person_id == person)
    what = request.args.get("what", "").strip()[:100]
    if what:
        found.append(or_(Audit.what == what, Audit.what.startswith(f"{what}.", autoescape=True)))
    if on := request.args.get("on", "").strip()[:200]:
        found.append(Audit.on.in_([on] if ":" in on else [on, *details.found_by_name(on)]))
    if (since := _moment("from")) is not None:
        found.append(Audit.at >= since)
    if (until := _moment("to")) is not None:
        found.append(Audit.at < until)
    if (before := _number("before")) is not None:
        found.append(Audit.id < before)
    return found


def _kinds() -> list[tuple[str, str]]:
    """(kind, in words) of what there is, found by stepping along the index rather than by reading every row."""
    session, found, last = store.session(), [], ""
    while (what := session.scalar(select(func.min(Audit.what)).where(Audit.what > last))) is not None:
        found.append(what)
        last = what
    return sorted(((what, deeds.kind(what)) for what in found), key=lambda one: one[1])


def _moment(name: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(request.args.get(name, "").strip())
        if not 2000 < found.year < 3000:
            return None
        return (found if found.tzinfo else found.replace(tzinfo=reader_zone())).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _number(name: str) -> int | None:
    text = request.args.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None
