"""One machine: why is it so, and what may I do."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from flask import Blueprint, Response, abort, jsonify, redirect, render_template, request, url_for
from markupsafe import Markup
from sqlalchemy import func, select
from werkzeug.wrappers import Response as Plain

from domain import approving, inventory
from domain.baseline import Usual
from domain.clock import now
from domain.heard import Note
from domain.inventory import Host, HostKey
from domain.records import FactSeen, Incident
from domain.requests import Look
from domain.rights import Right
from probes import catalogue
from probes.syslog import SEVERITIES
from webui import (
    access,
    asking,
    audited,
    board,
    costs,
    doings,
    families,
    figures,
    fills,
    headlines,
    looked,
    normals,
    outages,
    series,
    store,
    topology,
    windows,
)
from webui.drawing import strip
from webui.language import gettext, lazy_gettext
from webui.limits import limits
from webui.looked import CheckRow, Present
from webui.ranges import RANGES, Window, window
from webui.series import Key, Line
from webui.wording import clock, span, titles

blueprint = Blueprint("machine", __name__, url_prefix="/machines/<int:host_id>")
figure_blueprint = Blueprint("figure", __name__, url_prefix="/api/fig/machine/<int:host_id>")

PREVIEW = 240
FEW = 5
"""Outages shown before the rest is unfolded."""
BEHIND = 100
INCIDENTS = 20
NOTES = 20
ROWS = 24
"""Rows of the table under a chart."""
PATIENCE = timedelta(seconds=30)
"""So long a look somebody asked for is waited for."""
NEARBY = 2
"""Charts that stand above a table of many parts; the rest is one part at a time, or all measures."""
UNFOLDED = 14
"""Charts of a machine before all measures are asked for."""
GROUPED = 8
"""More charts than these get headings between them."""
OTHER_FACTS = 60
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
    "host.description": lazy_gettext("Device"),
    "host.serial": lazy_gettext("Serial number"),
    "host.location": lazy_gettext("Location"),
    "host.contact": lazy_gettext("Contact"),
    "snmp.security": lazy_gettext("How safe the way is"),
    "http.server": lazy_gettext("Web server"),
    "tls.issuer": lazy_gettext("Certificate from"),
}


@dataclass(frozen=True)
class Box:
    """One chart on the page: its own drawing, a sentence with its numbers, and its rows for who prefers a table."""

    chart: figures.Chart
    lines: list[tuple[str, Line]]
    preview: Markup
    says: str
    rows: list[tuple[datetime, list[str]]]


@dataclass
class Section:
    """One family on the page: its charts, and its parts where they are many."""

    family: families.Family
    boxes: list[Box] = field(default_factory=list)

    @property
    def wide(self) -> bool:
        """Whether it stands by itself."""
        return bool(self.family.tables)


@blueprint.get("")
@access.signed_in
def show(host_id: int) -> str:
    """The whole page; its parts are fetched anew by themselves."""
    host, moment = access.host(host_id), now()
    chosen = window(request.args, moment, _fitting(moment - host.created_at))
    every = request.args.get("all") == "1"
    found = board.machine(access.person(), host.id)
    checks, pulse = looked.checks(host, moment), board.pulse(moment)
    values, known = costs.without(looked.present(host, checks)), normals.bands(host.id)
    sections, folded = _sections(host, values, chosen, every)
    facts, other_facts = _facts(host)
    incidents, asked, busy = _incidents(host), _asked(host), asking.under_way(host.id)
    return render_template(
        "machines/show.html",
        active="machines.index",
        pulse=pulse,
        host=host,
        machine=found,
        stale=_stale(host, found.state, checks, pulse, moment),
        day=strip(board.histories([host.id], moment - timedelta(hours=24)).get(host.id, []), moment, wide=True),
        uptime=outages.of(host.id, moment - timedelta(days=outages.DAYS), moment),
        days=outages.DAYS,
        few=FEW,
        maintained=_maintained(host, moment),
        behind=topology.behind(host.id)[:BEHIND],
        checks=checks,
        numbers=headlines.headlines(values, normals.at(known, moment)),
        learning=normals.state(known.values()),
        fills=fills.of(host, moment),
        sections=sections,
        drawn=sum(len(section.boxes) for section in sections),
        folded=folded,
        grouped_from=GROUPED,
        rows_first=families.FIRST,
        columns_first=families.COLUMNS,
        every=every,
        averaged=series.averaged(chosen.span),
        cost=costs.of(host, checks, moment),
        facts=facts,
        other_facts=other_facts,
        incidents=incidents,
        notes=_notes(host),
        severities=SEVERITIES,
        about=_about(host, incidents),
        offered=_offered(host),
        looking=asked is not None and moment - asked < PATIENCE,
        unanswered=asked is not None and moment - asked >= PATIENCE,
        kinds=KINDS,
        labels={probe.kind: probe.label for probe in catalogue().values()},
        ranges=list(RANGES),
        window=chosen,
        ssh_open=_ssh_open(checks),
        under_way=busy,
        agreed=approving.tally(store.session(), busy).agreed if busy else 0,
        doing_states=doings.STATES,
    )


@blueprint.post("/look")
@access.may(Right.LOOK)
def look(host_id: int) -> Plain:
    """Look at all its checks now; the page follows."""
    host = access.host(host_id)
    asked = _asked(host)
    if host.enabled and (asked is None or now() - asked > PATIENCE):
        store.session().add(Look(id=str(uuid.uuid4()), kind="run", host_id=host.id, asked_by=access.person().id))
        audited.note("look.asked", f"host:{host.id}", name=host.name)
        store.session().commit()
    query: dict[str, Any] = window(request.form, now()).query
    return redirect(url_for("machine.show", host_id=host.id, **query), 303)


@figure_blueprint.get("/<path:key>")
@access.signed_in
def draw(host_id: int, key: str) -> Response:
    """{data, layout} of one chart for Plotly: `?range=` or `?from=&to=`, `px`, the width it will have, `part` for one."""
    host, kind = access.host(host_id), figures.chart(key)
    chosen = window(request.args, now())
    width = min(max(request.args.get("px", 600, int), 100), 4000)
    sets = series.kept(host.id, chosen.begin, chosen.end)
    every = {one for keys in sets.values() for one in keys}
    if kind not in figures.CHARTS and not any(
        name in titles() or any(one.name == name for one in every) for name in kind.names
    ):
        abort(404)
    wanted = figures.choose(kind, every, looked.newest(host.id), request.args.get("part"))
    own = figures.ordered(kind, series.lines(chosen.begin, chosen.end, int(width / 1.5), sets, wanted))
    usual = normals.area(normals.bands(host.id), own, chosen.begin, chosen.end)
    return jsonify(figures.figure(kind, own, limits(host), down(host.id, chosen), chosen.begin, chosen.end, usual))


def _fitting(age: timedelta) -> str:
    """The range that shows a young machine's whole life; a day for the others."""
    return next((name for name in ("1h", "6h") if age < RANGES[name]), "24h")


def _sections(host: Host, values: Sequence[Present], chosen: Window, every: bool) -> tuple[list[Section], int]:
    """The families with their charts, and how many charts are folded away. One read, however many lines there are."""
    sets = series.kept(host.id, chosen.begin, chosen.end)
    keys = dict.fromkeys(key for own in sets.values() for key in own if not key.name.startswith(costs.WATCH))
    newest = {Key(one.check_id, one.name, one.part, one.unit): one.amount for one in values}
    probes = {check.id: check.kind for check in host.checks}
    sections = {family.key: Section(family) for family in families.families(values)}
    planned: list[tuple[Section, figures.Chart, list[Key]]] = []
    folded = 0
    for kind in figures.charts(keys):
        own = figures.choose(kind, keys, newest)
        if not own:
            continue
        key, title = families.of(own[0].name, probes.get(own[0].check_id, ""))
        section = sections.setdefault(key, Section(families.Family(key, title)))
        beside = sum(one is section for one, _, _ in planned)
        aside = section.wide and (beside >= NEARBY or not figures.telling(kind, keys))
        if every or not (aside or figures.folded(kind, keys) or len(planned) >= UNFOLDED):
            planned.append((section, kind, own))
        else:
            folded += 1
    lines = series.lines(chosen.begin, chosen.end, PREVIEW, sets, {key for _, _, own in planned for key in own})
    for section, box in boxes(host, chosen, planned, lines):
        section.boxes.append(box)
    return [one for one in sections.values() if one.boxes or one.wide], folded


def boxes(
    host: Host, chosen: Window, planned: Sequence[tuple[Any, figures.Chart, list[Key]]], lines: Sequence[Line]
) -> list[tuple[Any, Box]]:
    """What was planned, drawn; whatever stands first in a plan comes back with its chart. A chart without a value is none."""
    by_key = {Key(line.check_id, line.name, line.part, line.unit): line for line in lines}
    bars, red, known = limits(host), down(host.id, chosen), normals.bands(host.id)
    present = normals.at(known, chosen.end)
    drawn = []
    for whose, kind, keys in planned:
        own = figures.ordered(kind, [by_key[key] for key in keys if key in by_key])
        if own:
            area = normals.area(known, own, chosen.begin, chosen.end)
            preview = figures.preview(own, bars, red, chosen.begin, chosen.end, area)
            named = [(figures.label(kind, line), line) for line in own]
            says = " ".join(filter(None, (figures.says(kind, own, clock), _usually(own, present, len(own) > 1))))
            drawn.append((whose, Box(kind, named, preview, says, _table(own, chosen))))
    return drawn


def _usually(lines: Sequence[Line], present: Mapping[normals.Key, Usual], named: bool) -> str:
    """What is usual for the line whose normal the chart shows, in words."""
    for line in lines:
        usual = present.get((line.check_id, line.name, line.part))
        if usual is not None:
            said = gettext("Usually %(range)s at this hour.", range=normals.usually(usual, line.unit, line.name))
            title = gettext(titles().get(line.name, line.name))
            return f"{title} {line.part}".strip() + f": {said}" if named else said
    return ""


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


def down(host_id: int, chosen: Window) -> list[figures.Outage]:
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


def _stale(host: Host, state: str, checks: list[CheckRow], pulse: board.Pulse, moment: datetime) -> str:
    """Why what is shown may be old, in a sentence; empty while it is fresh, or where the page says it already."""
    if not host.enabled:
        return gettext("This machine is switched off; nobody looks at it.")
    looked = [row for row in checks if row.latest and row.state != "disabled"]
    if pulse.silent or not looked or not all(row.overdue for row in looked):
        return ""
    newest = max(row.latest.ts for row in looked if row.latest)
    return gettext("No look for %(time)s: what is below is old.", time=span((moment - newest).total_seconds()))


def _facts(host: Host) -> tuple[list[tuple[Any, str]], list[tuple[str, str]]]:
    """What the machine says of itself: what has a title, and the rest as it names it."""
    rows = store.session().execute(
        select(FactSeen.name, FactSeen.part, FactSeen.value)
        .where(FactSeen.host_id == host.id)
        .order_by(FactSeen.name, FactSeen.part)
        .limit(1000)
    )
    found = {(name, part): value for name, part, value in rows}
    known = [(title, found[name, ""]) for name, title in FACTS.items() if (name, "") in found]
    rest = [(f"{name} {part}".strip(), value) for (name, part), value in found.items() if part or name not in FACTS]
    return known, rest[:OTHER_FACTS]


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


def _maintained(host: Host, moment: datetime) -> list[windows.Stretch]:
    """The windows on this very machine that are running or armed, and so can be ended here."""
    return windows.listed(store.session(), moment, inventory.Window.host_id == host.id)[0]


def _notes(host: Host) -> list[Note]:
    newest = select(Note).where(Note.host_id == host.id).order_by(Note.at.desc(), Note.id.desc())
    return list(store.session().scalars(newest.limit(NOTES)))


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
