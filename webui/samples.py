"""The single looks behind the charts: a table to page through, and the same for a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from flask import Blueprint, Response, render_template, request, stream_with_context
from sqlalchemy import select

from domain.clock import now
from domain.inventory import Check, Host
from domain.records import OUTCOMES, MetricSet, raw
from webui import access, audited, figures, series, store
from webui.language import gettext
from webui.ranges import Window, window
from webui.series import Line
from webui.sheets import harmless
from webui.wording import titles

blueprint = Blueprint("samples", __name__, url_prefix="/machines/<int:host_id>")

PAGE, FIRST = 50, 4
MOST = 100_000
AT_ONCE = 40
"""Lines read in one query for the file."""
MOST_ROWS = 1_000_000
"""A spreadsheet opens no more."""


@dataclass(frozen=True)
class Look:
    """One look: `values` are (title, value) of all it brought."""

    at: datetime
    check: str
    outcome: str
    values: list[tuple[str, str]]


@blueprint.get("/samples")
@access.signed_in
def index(host_id: int) -> str:
    """Looks of the chosen stretch, newest first, a page at a time."""
    host, chosen = access.host(host_id), window(request.args, now())
    found = _looks(host, chosen.begin, _before(chosen))
    return render_template(
        "machines/samples.html",
        active="machines.index",
        host=host,
        window=chosen,
        looks=found[:PAGE],
        older=found[PAGE - 1].at.isoformat() if len(found) > PAGE else None,
        first=FIRST,
    )


@blueprint.get("/samples.csv")
@access.signed_in
def table(host_id: int) -> Response:
    """The chosen stretch, one row a look and measure. Longer stretches come as averages, and the last column says so."""
    host, chosen = access.host(host_id), window(request.args, now())
    audited.note_now("export.samples", f"host:{host.id}", name=host.name)
    answer = Response(
        stream_with_context(_rows(host.id, {check.id: check.name for check in host.checks}, chosen)),
        mimetype="text/csv",
    )
    name = f"machine-{host.id}-{chosen.begin:%Y%m%d%H%M}-{chosen.end:%Y%m%d%H%M}.csv"
    answer.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return answer


def _rows(host_id: int, names: dict[int, str], chosen: Window) -> Iterator[str]:
    """The file, some lines at a time: a switch fills it with millions of values, and none of them waits in memory."""
    yield _csv([["at (UTC)", "check", "measure", "part", "unit", "value", "average over (s)"]])
    step = series.averaged(chosen.span)
    over, left = f"{step.total_seconds():.0f}" if step else "0", MOST_ROWS
    sets = series.kept(host_id, chosen.begin, chosen.end)
    wanted = list(dict.fromkeys(key for keys in sets.values() for key in keys))
    for start in range(0, len(wanted), AT_ONCE):
        for line in series.lines(chosen.begin, chosen.end, MOST, sets, wanted[start : start + AT_ONCE]):
            words = [harmless(word) for word in (names.get(line.check_id, ""), line.name, line.part, line.unit)]
            known = [(at, value) for at, value in line.points if value is not None]
            if len(known) > left:
                yield _csv([["", *words[:3], "", "", f"cut here: this file holds {MOST_ROWS} rows at most"]])
                return
            left -= len(known)
            yield _csv([[at.isoformat(), *words, f"{value:.7g}", over] for at, value in known])


def _csv(rows: list[list[str]]) -> str:
    out = io.StringIO()
    csv.writer(out).writerows(rows)
    return out.getvalue()


def _before(chosen: Window) -> datetime:
    """Where the page ends: at the look the page before it ended with."""
    try:
        asked = datetime.fromisoformat(request.args.get("before", ""))
    except ValueError:
        return chosen.end
    return min(asked, chosen.end) if asked.tzinfo else chosen.end


def _looks(host: Host, begin: datetime, before: datetime) -> list[Look]:
    found = (
        store.session()
        .execute(
            select(raw.c.ts, raw.c.check_id, raw.c.state, raw.c.set_id, raw.c.v)
            .where(raw.c.check_id.in_(select(Check.id).where(Check.host_id == host.id)))
            .where(raw.c.ts >= begin, raw.c.ts < before)
            .order_by(raw.c.ts.desc(), raw.c.check_id)
            .limit(PAGE + 1)
        )
        .all()
    )
    ids = {row.set_id for row in found}
    sets = {one.id: one for one in store.session().scalars(select(MetricSet).where(MetricSet.id.in_(ids)))}
    names = {check.id: check.name for check in host.checks}
    return [
        Look(row.ts, names.get(row.check_id, ""), OUTCOMES[row.state], _values(sets.get(row.set_id), row.v))
        for row in found
    ]


def _values(kind: MetricSet | None, values: list[float | None]) -> list[tuple[str, str]]:
    if kind is None:
        return []
    told: list[tuple[str, str]] = []
    for name, part, unit, value in zip(kind.names, kind.parts, kind.units, values, strict=False):
        title = f"{gettext(titles().get(name, name))} {part}".strip()
        told.append((title, "–" if value is None else figures.shown(Line(0, name, part, unit, ()), value)))
    return told
