"""One machine: why is it so, and what may I do."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from flask import Blueprint, Response, abort, jsonify, redirect, render_template, request, url_for
from markupsafe import Markup
from sqlalchemy import Select, func, or_, select
from werkzeug.wrappers import Response as Plain

from domain.clock import now
from domain.inventory import Check, Credential, Host, HostKey
from domain.records import FactSeen, FailureSeen, Incident, Latest, MetricSet, StateInterval, Track
from domain.requests import Look
from probes import catalogue
from webui import access, board, figures, series, store
from webui.drawing import strip
from webui.language import gettext, lazy_gettext
from webui.limits import limits
from webui.ranges import RANGES, Window, window
from webui.series import Line
from webui.wording import clock, span, titles

blueprint = Blueprint("machine", __name__, url_prefix="/machines/<int:host_id>")
figure_blueprint = Blueprint("figure", __name__, url_prefix="/api/fig/machine/<int:host_id>")

PREVIEW = 240
INCIDENTS = 20
ROWS = 24
"""Rows of the table under a chart."""
PATIENCE = timedelta(seconds=30)
"""So long a look somebody asked for is waited for."""
LATE = 2.5
"""A check whose newest look is older than so many of its intervals is told as overdue."""
KINDS = {
    "unreachable": lazy_gettext("Unreachable"),
    "timeout": lazy_gettext("No answer in time"),
    "refused": lazy_gettext("Refused"),
    "denied": lazy_gettext("Not let in"),
    "untrusted": lazy_gettext("Not trusted"),
    "unsupported": lazy_gettext("Cannot be asked"),
    "broken": lazy_gettext("Our own fault"),
}
"""Kinds of failure (domain.reading.FailureKind) as people call them."""
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
    """One chart on the page: its own drawing, a sentence with its numbers, and its rows for who prefers a table."""

    chart: figures.Chart
    lines: list[tuple[str, Line]]
    preview: Markup
    says: str
    rows: list[tuple[datetime, list[str]]]


@dataclass(frozen=True)
class CheckRow:
    """One check with its newest look. `failing_since` is when it began to fail the way it does now."""

    check: Check
    latest: Latest | None
    state: str
    credential: str
    next_at: datetime | None
    overdue: bool
    failing_since: datetime | None


@dataclass(frozen=True)
class Numeral:
    """One of the numbers at the top; `old` says since when it is no longer true, and is empty while it is."""

    title: Any
    says: str
    part: str
    old: str


@blueprint.get("")
@access.signed_in
def show(host_id: int) -> str:
    """The whole page; its parts are fetched anew by themselves."""
    host, moment = access.host(host_id), now()
    chosen = window(request.args, moment, _fitting(moment - host.created_at))
    every = request.args.get("all") == "1"
    found = next(m for m in board.machines(access.person()) if m.id == host.id)
    checks, pulse = _checks(host, moment), board.pulse(moment)
    boxes, folded = _boxes(host, chosen, every)
    incidents, asked = _incidents(host), _asked(host)
    return render_template(
        "machines/show.html",
        active="machines.index",
        pulse=pulse,
        host=host,
        machine=found,
        stale=_stale(host, found.state, checks, pulse, moment),
        day=strip(board.histories([host.id], moment - timedelta(hours=24)).get(host.id, []), moment, wide=True),
        availability=_availability(host.id, moment - timedelta(days=30), moment),
        checks=checks,
        numbers=_numbers(checks),
        boxes=boxes,
        folded=folded,
        every=every,
        averaged=series.averaged(chosen.span),
        facts=_facts(host),
        incidents=incidents,
        about=_about(host, incidents),
        offered=_offered(host),
        looking=asked is not None and moment - asked < PATIENCE,
        unanswered=asked is not None and moment - asked >= PATIENCE,
        kinds=KINDS,
        labels={probe.kind: probe.label for probe in catalogue().values()},
        ranges=list(RANGES),
        window=chosen,
        ssh_open=_ssh_open(checks),
    )


@blueprint.post("/look")
@access.signed_in
def look(host_id: int) -> Plain:
    """Look at all its checks now; the page follows."""
    host = access.host(host_id)
    asked = _asked(host)
    if host.enabled and (asked is None or now() - asked > PATIENCE):
        store.session().add(Look(id=str(uuid.uuid4()), kind="run", host_id=host.id, asked_by=access.person().id))
        store.session().commit()
    query: dict[str, Any] = window(request.form, now()).query
    return redirect(url_for("machine.show", host_id=host.id, **query), 303)


@figure_blueprint.get("/<key>")
@access.signed_in
def draw(host_id: int, key: str) -> Response:
    """{data, layout} of one chart for Plotly: `?range=` or `?from=&to=`, and `px`, the width it will have."""
    host, kind = access.host(host_id), figures.chart(key)
    if kind is None:
        abort(404)
    chosen = window(request.args, now())
    width = min(max(request.args.get("px", 600, int), 100), 4000)
    own = figures.of(kind, series.lines(host.id, chosen.begin, chosen.end, int(width / 1.5), kind.names))
    return jsonify(figures.figure(kind, own, limits(host), _outages(host.id, chosen), chosen.begin, chosen.end))


def _fitting(age: timedelta) -> str:
    """The range that shows a young machine's whole life; a day for the others."""
    return next((name for name in ("1h", "6h") if age < RANGES[name]), "24h")


def _boxes(host: Host, chosen: Window, every: bool) -> tuple[list[Box], int]:
    begin, end = chosen.begin, chosen.end
    found, folded = figures.charts(series.lines(host.id, begin, end, PREVIEW), every)
    bars, outages = limits(host), _outages(host.id, chosen)
    boxes = [
        Box(
            kind,
            [(figures.label(kind, line), line) for line in own],
            figures.preview(own, bars, outages, begin, end),
            figures.says(kind, own, clock),
            _table(own, chosen),
        )
        for kind, own in found
    ]
    return boxes, folded


def _table(lines: Sequence[Line], chosen: Window) -> list[tuple[datetime, list[str]]]:
    """The newest value of each line in each of ROWS equal stretches, newest first; a dash where there is none."""
    step = chosen.span / ROWS
    found: dict[int, dict[int, tuple[datetime, float]]] = {}
    for column, line in enumerate(lines):
        for at, amount in line.points:
            if amount is not None:
                found.setdefault(int((at - chosen.begin) / step), {})[column] = (at, amount)
    return [
        (
            max(at for at, _ in row.values()),
            [figures.shown(line, row[column][1]) if column in row else "–" for column, line in enumerate(lines)],
        )
        for _, row in sorted(found.items(), reverse=True)
    ]


def _outages(host_id: int, chosen: Window) -> list[figures.Outage]:
    """When it was down within the stretch shown."""
    rows = board.histories([host_id], chosen.begin).get(host_id, [])
    return [
        (max(begin, chosen.begin), min(end or chosen.end, chosen.end))
        for begin, end, state in rows
        if state == "down" and begin < chosen.end
    ]


def _ssh_open(checks: list[CheckRow]) -> bool:
    """Whether the SSH port was found open and nobody has set a login for it yet."""
    found = any(row.check.kind == "tcp" and row.check.options.get("port") == 22 and row.state == "up" for row in checks)
    return found and not any(row.check.kind == "ssh" for row in checks)


def _checks(host: Host, moment: datetime) -> list[CheckRow]:
    database = store.session()
    newest = {row.check_id: row for row in database.scalars(select(Latest).where(Latest.host_id == host.id))}
    subjects = [f"check:{check.id}" for check in host.checks]
    states = {row.subject: row.state for row in database.scalars(select(Track).where(Track.subject.in_(subjects)))}
    names = {row.id: row.name for row in database.execute(select(Credential.id, Credential.name))}
    begun = {row[0]: row[1] for row in database.execute(_begun(host))}
    rows = []
    for check in host.checks:
        latest, on = newest.get(check.id), check.enabled and host.enabled
        pace = timedelta(seconds=check.interval_s or host.interval_s or store.settings().interval)
        rows.append(
            CheckRow(
                check=check,
                latest=latest,
                state=states.get(f"check:{check.id}", "pending") if on else "disabled",
                credential=names.get(check.credential_id or 0, ""),
                next_at=latest.ts + pace if latest and on else None,
                overdue=bool(latest and on and moment - latest.ts > pace * LATE),
                failing_since=begun.get(check.id) if latest and latest.failure_kind else None,
            )
        )
    return rows


def _begun(host: Host) -> Select[int, datetime]:
    """(check, when its newest run of equal failures began)."""
    return (
        select(FailureSeen.check_id, func.max(FailureSeen.since))
        .where(FailureSeen.check_id.in_([check.id for check in host.checks]))
        .group_by(FailureSeen.check_id)
    )


def _stale(host: Host, state: str, checks: list[CheckRow], pulse: board.Pulse, moment: datetime) -> str:
    """Why what is shown may be old, in a sentence; empty while it is fresh, or where the page says it already."""
    if not host.enabled:
        return gettext("This machine is switched off; nobody looks at it.")
    looked = [row for row in checks if row.latest and row.state != "disabled"]
    if pulse.silent or not looked or not all(row.overdue for row in looked):
        return ""
    newest = max(row.latest.ts for row in looked if row.latest)
    return gettext("No look for %(time)s: what is below is old.", time=span((moment - newest).total_seconds()))


def _numbers(checks: list[CheckRow]) -> list[Numeral]:
    """What matters most, from the newest looks that brought values."""
    ids = {row.latest.set_id for row in checks if row.latest and row.latest.set_id}
    sets = {one.id: one for one in store.session().scalars(select(MetricSet).where(MetricSet.id.in_(ids)))}
    values: dict[str, list[tuple[float, Line, str]]] = {}
    for row in checks:
        latest = row.latest
        if latest is None or latest.set_id is None or latest.v is None:
            continue
        one, old = sets[latest.set_id], _old(row)
        for name, part, unit, value in zip(one.names, one.parts, one.units, latest.v, strict=False):
            if value is not None and not (part and name == "system.cpu.utilization"):
                line = Line(row.check.id, name, part, unit, ((latest.ts, value),))
                values.setdefault(name, []).append((value, line, old))
    rows = []
    for name, title in HEADLINES:
        if name in values:
            value, line, old = max(values[name], key=lambda found: found[0])
            rows.append(Numeral(title, figures.shown(line, value), line.part, old))
    return rows


def _old(row: CheckRow) -> str:
    latest = row.latest
    if latest is None or (latest.failure_kind is None and not row.overdue and row.state != "disabled"):
        return ""
    return gettext("from %(when)s", when=clock(latest.good_at or latest.ts))


def _facts(host: Host) -> list[tuple[Any, str]]:
    found = {
        row.name: row.value for row in store.session().scalars(select(FactSeen).where(FactSeen.host_id == host.id))
    }
    return [(title, found[name]) for name, title in FACTS.items() if name in found]


def _about(host: Host, incidents: Sequence[Incident]) -> dict[str, str]:
    """What the subject of each incident is called: a check by its name, a limit by the measure's title."""
    words = {f"check:{check.id}": check.name for check in host.checks}
    for row in incidents:
        if row.subject.startswith("metric:"):
            _, _, measure, part = row.subject.split(":", 3)
            words[row.subject] = f"{gettext(titles().get(measure, measure))} {part}".strip()
    return words


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


def _asked(host: Host) -> datetime | None:
    """When the newest look somebody asked for was asked, if it is not answered yet; None when nobody waits."""
    return store.session().scalar(
        select(func.max(Look.asked_at)).where(
            Look.host_id == host.id,
            Look.kind == "run",
            Look.done_at.is_(None),
            Look.asked_at > now() - 4 * PATIENCE,
        )
    )


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
