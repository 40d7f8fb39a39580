"""A machine's many parts (ports, services, sensors): the whole table, sorted and filtered, and one part by itself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from flask import Blueprint, abort, render_template, request
from markupsafe import Markup

from domain.clock import now
from domain.inventory import Host
from webui import access, board, families, figures, looked, machine, series
from webui.drawing import sparkline
from webui.families import Column, Family, Row, Table
from webui.language import gettext
from webui.ranges import RANGES, window
from webui.series import Key
from webui.units import is_share, say
from webui.wording import titles

blueprint = Blueprint("parts", __name__, url_prefix="/machines/<int:host_id>/parts/<key>")

PAGE = 100
BACK = timedelta(days=7)
"""How far the small curve of an opened row reaches: averages by the hour, never single looks."""
WIDTH = 168
LONGEST = 100


@dataclass(frozen=True)
class Curve:
    """One measure of an opened row."""

    title: str
    says: str
    least: str
    most: str
    drawn: Markup


@blueprint.get("")
@access.signed_in
def index(host_id: int, key: str) -> str:
    """The table: worst first, or by a column; the words typed are looked for in the part's name."""
    host = access.host(host_id)
    family, table = _table(host, key)
    query, sort = request.args.get("q", "").strip()[:LONGEST], request.args.get("sort", "")[:200]
    down = request.args.get("dir", "down") != "up"
    words = query.lower().split()
    rows = [row for row in table.ordered(sort, down) if all(word in row.part.lower() for word in words)]
    start = min(max(request.args.get("from", 0, int), 0), len(table.rows))
    size = families.FIRST if request.args.get("few") and not (sort or words) else PAGE
    return render_template(
        "machines/parts.html",
        active="machines.index",
        pulse=board.pulse(now()),
        host=host,
        family=family,
        table=table,
        rows=rows[start : start + size],
        matching=len(rows),
        following=start + size if len(rows) > start + size else None,
        columns=table.columns,
        query=query,
        sort=sort,
        down=down,
        few=False,
    )


@blueprint.get("/one")
@access.signed_in
def one(host_id: int, key: str) -> str:
    """One part: everything that is measured of it, as charts."""
    host, moment = access.host(host_id), now()
    family, table, row = _row(host, key)
    chosen = window(request.args, moment)
    sets = series.kept(host.id, chosen.begin, chosen.end)
    keys = [one for own in sets.values() for one in own if _is(one, table.columns, row)]
    planned = [(None, kind, figures.choose(kind, keys, {}, row.part)) for kind in figures.charts(keys)]
    lines = series.lines(chosen.begin, chosen.end, machine.PREVIEW, sets, keys)
    return render_template(
        "machines/part.html",
        active="machines.index",
        pulse=board.pulse(moment),
        host=host,
        family=family,
        table=table,
        row=row,
        boxes=[box for _, box in machine.boxes(host, chosen, planned, lines)],
        averaged=series.averaged(chosen.span),
        ranges=list(RANGES),
        window=chosen,
    )


@blueprint.get("/curves")
@access.signed_in
def curves(host_id: int, key: str) -> str:
    """What an opened row shows: the last week of each of its measures, small, from the averages by the hour."""
    host, moment = access.host(host_id), now()
    _, table, row = _row(host, key)
    sets = series.kept(host.id, moment - BACK, moment)
    keys = dict.fromkeys(one for own in sets.values() for one in own if _is(one, table.columns, row))
    lines = series.lines(moment - BACK, moment, WIDTH, sets, keys)
    drawn = {line.name: _curve(line) for line in lines if line.known}
    return render_template(
        "machines/curves.html",
        host=host,
        table=table,
        row=row,
        curves=[drawn[column.name] for column in table.columns if column.name in drawn],
    )


def _table(host: Host, key: str) -> tuple[Family, Table]:
    values = looked.present(host, looked.checks(host, now()))
    found = [(family, table) for family in families.families(values) for table in family.tables if table.key == key]
    if not found:
        abort(404)
    return found[0]


def _row(host: Host, key: str) -> tuple[Family, Table, Row]:
    family, table = _table(host, key)
    part, check = request.args.get("of", ""), request.args.get("check", 0, int)
    row = next((row for row in table.rows if row.part == part and check in (0, row.check_id)), None)
    if row is None:
        abort(404)
    return family, table, row


def _is(key: Key, columns: list[Column], row: Row) -> bool:
    return (key.check_id, key.part) == (row.check_id, row.part) and any(column.name == key.name for column in columns)


def _curve(line: series.Line) -> Curve:
    known = line.known
    least, most = (say(value, line.unit, line.name) for value in (min(known), max(known)))
    high = 1.0 if is_share(line.name, line.unit) and max(known) > 0.1 else None
    drawn = sparkline([value for _, value in line.points], f"{least} – {most}", high=high)
    return Curve(gettext(titles().get(line.name, line.name)), say(known[-1], line.unit, line.name), least, most, drawn)
