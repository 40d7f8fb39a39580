"""One machine: why is it so, and what may I do."""

from __future__ import annotations

import csv
import io
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from flask import Blueprint, Response, abort, jsonify, redirect, render_template, request, url_for
from markupsafe import Markup
from sqlalchemy import or_, select
from werkzeug.wrappers import Response as Plain

from domain.clock import now
from domain.inventory import Check, Credential, Host, HostKey, Threshold, host_in_group
from domain.records import FactSeen, Incident, Latest, MetricSet, StateInterval, Track
from domain.requests import Look
from webui import access, board, figures, series, store
from webui.drawing import strip
from webui.language import gettext, lazy_gettext
from webui.series import RANGES, Line

blueprint = Blueprint("machine", __name__, url_prefix="/machines/<int:host_id>")
figure_blueprint = Blueprint("figure", __name__, url_prefix="/api/fig/machine/<int:host_id>")

PREVIEW = 200
INCIDENTS, SAMPLES = 20, 50
FACTS = {
    "os.description": lazy_gettext("System"),
    "os.version": lazy_gettext("Kernel"),
    "host.cpu.model.name": lazy_gettext("Processor"),
    "host.cpu.count": lazy_gettext("Cores"),
    "host.model": lazy_gettext("Model"),
    "host.arch": lazy_gettext("Architecture"),
    "host.name": lazy_gettext("Calls itself"),
    "http.server": lazy_gettext("Web server"),
    "tls.issuer": lazy_gettext("Certificate from"),
}
HEADLINES = (
    ("system.cpu.utilization", lazy_gettext("CPU")),
    ("system.memory.utilization", lazy_gettext("Memory")),
    ("system.filesystem.utilization", lazy_gettext("Fullest disk")),
    ("icmp.rtt.median", lazy_gettext("Ping")),
    ("icmp.loss", lazy_gettext("Ping loss")),
    ("http.duration", lazy_gettext("Web answer")),
    ("system.uptime", lazy_gettext("Running for")),
)


@dataclass(frozen=True)
class Box:
    """One chart on the page: its own drawing, and a sentence with its numbers."""

    chart: figures.Chart
    lines: list[tuple[str, Line]]
    preview: Markup
    says: str


@dataclass(frozen=True)
class CheckRow:
    """One check with its newest look."""

    check: Check
    latest: Latest | None
    state: str
    credential: str
    next_at: datetime | None


@blueprint.get("")
@access.signed_in
def show(host_id: int) -> str:
    """The whole page; its parts are fetched anew by themselves."""
    host, moment = access.host(host_id), now()
    wanted = _range(_fitting(moment - host.created_at))
    begin = moment - RANGES[wanted]
    found = next(m for m in board.machines(access.person()) if m.id == host.id)
    checks = _checks(host)
    return render_template(
        "machines/show.html",
        active="machines.index",
        pulse=board.pulse(moment),
        host=host,
        machine=found,
        day=strip(board.histories([host.id], moment - timedelta(hours=24)).get(host.id, []), moment, wide=True),
        availability=_availability(host.id, moment - timedelta(days=30), moment),
        checks=checks,
        numbers=_numbers(checks),
        boxes=_boxes(host, begin, moment),
        facts=_facts(host),
        incidents=_incidents(host),
        offered=_offered(host),
        looking=_looking(host),
        ranges=list(RANGES),
        range=wanted,
        begin=begin,
        end=moment,
        shown_at=_shown_at,
        ssh_open=_ssh_open(checks),
    )


@blueprint.post("/look")
@access.signed_in
def look(host_id: int) -> Plain:
    """Look at all its checks now; the page follows."""
    host = access.host(host_id)
    if not _looking(host):
        store.session().add(Look(id=str(uuid.uuid4()), kind="run", host_id=host.id, asked_by=access.person().id))
        store.session().commit()
    return redirect(url_for("machine.show", host_id=host.id, range=_range()), 303)


@blueprint.get("/samples.csv")
@access.signed_in
def samples(host_id: int) -> Response:
    """The samples of the chosen range, one row a look and measure, for a spreadsheet."""
    host, moment = access.host(host_id), now()
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["at (UTC)", "check", "measure", "part", "unit", "value"])
    names = {check.id: check.name for check in host.checks}
    for line in series.lines(host.id, moment - RANGES[_range()], moment, 100_000):
        for at, value in line.points:
            if value is not None:
                words = (names.get(line.check_id, ""), line.name, line.part, line.unit)
                writer.writerow([at.isoformat(), *(harmless(word) for word in words), repr(value)])
    answer = Response(out.getvalue(), mimetype="text/csv")
    answer.headers["Content-Disposition"] = f'attachment; filename="machine-{host.id}-{_range()}.csv"'
    return answer


@figure_blueprint.get("/<key>")
@access.signed_in
def draw(host_id: int, key: str) -> Response:
    """{data, layout} of one chart for Plotly."""
    host, kind = access.host(host_id), figures.chart(key)
    if kind is None:
        abort(404)
    moment = now()
    begin = moment - RANGES[_range()]
    width = min(max(request.args.get("px", 600, int), 100), 4000)
    lines = figures.of(kind, series.lines(host.id, begin, moment, int(width / 1.5), kind.names))
    return jsonify(figures.figure(kind, lines, _limits(host), begin, moment))


def harmless(text: str) -> str:
    """A cell no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def _range(usual: str = "24h") -> str:
    asked = request.values.get("range", usual)
    return asked if asked in RANGES else usual


def _fitting(age: timedelta) -> str:
    """The range that shows a young machine's whole life; a day for the others."""
    return next((name for name in ("1h", "6h") if age < RANGES[name]), "24h")


def _boxes(host: Host, begin: datetime, end: datetime) -> list[Box]:
    lines, boxes = series.lines(host.id, begin, end, PREVIEW), []
    for kind in figures.CHARTS:
        own = figures.of(kind, lines)
        if own:
            named = [(figures.label(kind, line), line) for line in own]
            boxes.append(Box(kind, named, figures.preview(kind, own, begin, end), _says(own[0])))
    return boxes


def _shown_at(line: Line, at: datetime) -> str:
    """The line's value at that moment, or a dash: lines are thinned each for itself."""
    amount = next((value for moment, value in line.points if moment == at), None)
    return "–" if amount is None else figures.shown(line, amount)


def _ssh_open(checks: list[CheckRow]) -> bool:
    """Whether the SSH port was found open and nobody has set a login for it yet."""
    found = any(row.check.kind == "tcp" and row.check.options.get("port") == 22 and row.state == "up" for row in checks)
    return found and not any(row.check.kind == "ssh" for row in checks)


def _says(line: Line) -> str:
    known = line.known
    return gettext(
        "Now %(now)s, least %(least)s, most %(most)s.",
        now=figures.shown(line, known[-1]),
        least=figures.shown(line, min(known)),
        most=figures.shown(line, max(known)),
    )


def _checks(host: Host) -> list[CheckRow]:
    database = store.session()
    newest = {row.check_id: row for row in database.scalars(select(Latest).where(Latest.host_id == host.id))}
    subjects = [f"check:{check.id}" for check in host.checks]
    states = {row.subject: row.state for row in database.scalars(select(Track).where(Track.subject.in_(subjects)))}
    names = {row.id: row.name for row in database.execute(select(Credential.id, Credential.name))}
    rows = []
    for check in host.checks:
        latest = newest.get(check.id)
        pace = check.interval_s or host.interval_s or store.settings().interval
        state = "disabled" if not (check.enabled and host.enabled) else states.get(f"check:{check.id}", "pending")
        rows.append(
            CheckRow(
                check, latest, state, names.get(check.credential_id or 0, ""),
                latest.ts + timedelta(seconds=pace) if latest and state != "disabled" else None,
            )
        )  # fmt: skip
    return rows


def _numbers(checks: list[CheckRow]) -> list[tuple[Any, str, bool]]:
    """(title, number, whether it is old) of what matters most, from the newest looks that brought values."""
    ids = {row.latest.set_id for row in checks if row.latest and row.latest.set_id}
    sets = {one.id: one for one in store.session().scalars(select(MetricSet).where(MetricSet.id.in_(ids)))}
    values: dict[str, list[tuple[float, Line, bool]]] = {}
    for row in checks:
        latest = row.latest
        if latest is None or latest.set_id is None or latest.v is None:
            continue
        one, old = sets[latest.set_id], latest.good_at != latest.ts
        for name, part, unit, value in zip(one.names, one.parts, one.units, latest.v, strict=False):
            if value is not None and not (part and name == "system.cpu.utilization"):
                line = Line(row.check.id, name, part, unit, ((latest.ts, value),))
                values.setdefault(name, []).append((value, line, old))
    rows = []
    for name, title in HEADLINES:
        if name in values:
            value, line, old = max(values[name], key=lambda found: found[0])
            rows.append((title, figures.shown(line, value) + (f" · {line.part}" if line.part else ""), old))
    return rows


def _facts(host: Host) -> list[tuple[Any, str]]:
    found = {
        row.name: row.value for row in store.session().scalars(select(FactSeen).where(FactSeen.host_id == host.id))
    }
    return [(title, found[name]) for name, title in FACTS.items() if name in found]


def _incidents(host: Host) -> list[Incident]:
    return list(
        store.session().scalars(
            select(Incident)
            .where(Incident.host_id == host.id)
            .order_by(Incident.closed_at.is_not(None), Incident.opened_at.desc())
            .limit(INCIDENTS)
        )
    )


def _offered(host: Host) -> list[HostKey]:
    return list(store.session().scalars(select(HostKey).where(HostKey.host_id == host.id, HostKey.state == "offered")))


def _looking(host: Host) -> bool:
    """Whether a look somebody asked for is still under way."""
    asked = select(Look.id).where(
        Look.host_id == host.id,
        Look.kind == "run",
        Look.done_at.is_(None),
        Look.asked_at > now() - timedelta(seconds=30),
    )
    return store.session().scalar(asked.limit(1)) is not None


def _limits(host: Host) -> list[Threshold]:
    """The limits that may concern this machine: its own, its groups', everybody's."""
    groups = select(host_in_group.c.group_id).where(host_in_group.c.host_id == host.id)
    own = or_(Threshold.host_id == host.id, Threshold.group_id.in_(groups))
    everybody = Threshold.host_id.is_(None) & Threshold.group_id.is_(None)
    return list(store.session().scalars(select(Threshold).where(or_(own, everybody)).order_by(Threshold.id)))


def _availability(host_id: int, begin: datetime, end: datetime) -> float | None:
    """Share of the time known (up or down) in which it was up; None where nothing is known."""
    rows = store.session().execute(
        select(StateInterval.since, StateInterval.until, StateInterval.state).where(
            StateInterval.subject == f"host:{host_id}", or_(StateInterval.until.is_(None), StateInterval.until > begin)
        )
    )
    spent = {"up": 0.0, "down": 0.0}
    for since, until, state in rows:
        if state in spent:
            spent[state] += max(0.0, (min(until or end, end) - max(since, begin)).total_seconds())
    known = spent["up"] + spent["down"]
    return spent["up"] / known if known else None
