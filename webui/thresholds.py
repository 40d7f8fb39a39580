"""Limits set by hand, of a machine, a group, a division, or all: what holds and why, tried out before it is saved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from sqlalchemy import select
from werkzeug.wrappers import Response

from domain.clock import now
from domain.inventory import Division, Host, HostGroup, LimitEdit, Threshold, owner
from domain.records import Latest, MetricSet
from domain.rights import Right
from domain.thresholds import Level
from probes import catalogue
from webui import access, amounts, audited, figures, limitedits, normals, series, store, units, whatif
from webui.causes import unit_of
from webui.draft import Draft
from webui.forms import Field
from webui.language import gettext, lazy_gettext
from webui.limits import limits, overridden
from webui.wording import titles

blueprint = Blueprint("thresholds", __name__)

MOST_PARTS = 300
"""Parts offered while one types."""
SENSITIVITIES = {
    "off": lazy_gettext("Not at all"),
    "wide": lazy_gettext("Only very far from it"),
    "usual": lazy_gettext("Far from it (usual)"),
    "narrow": lazy_gettext("Already nearer to it"),
}
"""How sensitive, as Host.sensitivity stores it."""
STATUS = {
    "ready": lazy_gettext("known"),
    "calibrating": lazy_gettext("still learning"),
    "scant": lazy_gettext("too little history"),
    "erratic": lazy_gettext("too erratic: it has no normal"),
}
"""How domain.baseline.Band.status is told."""
TRIED = 30
"""Machines a limit of many is tried on."""


@dataclass(frozen=True)
class Known:
    """What is measured: the unit of each measure, and all parts."""

    units: dict[str, str]
    parts: tuple[str, ...]


@dataclass(frozen=True)
class Scope:
    """Whose limits a page is about: `kind` is host, group, division or all, `id` its number, `name` as people call it."""

    kind: str
    id: int | None
    name: str
    hosts: tuple[Host, ...]

    @property
    def url(self) -> str:
        """The page itself."""
        if self.kind == "host":
            return url_for("thresholds.index", host_id=self.id)
        if self.kind == "all":
            return url_for("thresholds.everybody")
        return url_for("thresholds.shared", kind=self.kind, owner_id=self.id)

    @property
    def owned(self) -> dict[str, int]:
        """The columns that make a limit this owner's."""
        return {} if self.id is None else {f"{self.kind}_id": self.id}


@blueprint.route("/machines/<int:host_id>/limits", methods=["GET", "POST"])
@access.may(Right.EDIT)
def index(host_id: int) -> Response | str | tuple[str, int]:
    """The limits that hold for the machine, where each comes from, and one more."""
    host = access.host(host_id)
    return _page(Scope("host", host.id, host.name, (host,)))


@blueprint.route("/limits", methods=["GET", "POST"])
@access.admin
def everybody() -> Response | str | tuple[str, int]:
    """The limits of all machines, and the way to those of groups and divisions."""
    return _page(Scope("all", None, gettext("all machines"), _hosts(Host.id.is_not(None))))


@blueprint.route("/limits/group/<int:owner_id>", methods=["GET", "POST"], defaults={"kind": "group"})
@blueprint.route("/limits/division/<int:owner_id>", methods=["GET", "POST"], defaults={"kind": "division"})
@access.admin
def shared(kind: str, owner_id: int) -> Response | str | tuple[str, int]:
    """The limits a group or a division has in common."""
    if kind == "group":
        found: Any = store.session().get(HostGroup, owner_id)
        own = Host.groups.any(HostGroup.id == owner_id)
    else:
        found, own = store.session().get(Division, owner_id), Host.division_id == owner_id
    if found is None:
        abort(404)
    return _page(Scope(kind, owner_id, found.name, _hosts(own)))


@blueprint.post("/limits/<int:threshold_id>/delete")
@access.may(Right.EDIT)
def delete(threshold_id: int) -> Response:
    """Take a limit away; what owners farther away say of the same counts from now on."""
    row = store.session().get(Threshold, threshold_id)
    if row is None:
        abort(404)
    _demand(row.host_id)
    back = _scope_of(row)
    edit = limitedits.replace(access.person(), [row], [])
    store.session().commit()
    flash(gettext("The limit is taken away."), "good")
    return redirect(f"{back.url}?edit={edit.id}", 303)


@blueprint.post("/limits/undo/<int:edit_id>")
@access.may(Right.EDIT)
def undo(edit_id: int) -> Response:
    """Make an edit of limits undone: they are again as they were before."""
    edit = limitedits.undoable(edit_id, lock=True)
    if edit is None:
        abort(404)
    rows = [*edit.before, *edit.after]
    for values in rows:
        _demand(values.get("host_id"))
    limitedits.undo(edit)
    audited.note("limits.undone", edit=edit.id)
    store.session().commit()
    flash(gettext("It is undone: the limits are as they were."), "good")
    owners = {limitedits.owner_of(row) for row in rows}
    kind, id = next(iter(owners)) if len(owners) == 1 else ("all", None)
    return redirect(_url(kind, id), 303)


@blueprint.post("/machines/<int:host_id>/normal")
@access.may(Right.EDIT)
def normal(host_id: int) -> Response:
    """How far from its own normal is a warning; or learn it afresh, from now on."""
    host = access.host(host_id)
    if request.form.get("do") == "afresh":
        host.learn_from = now()
        flash(gettext("What is normal is learnt afresh; tomorrow there is a first band."), "good")
    elif request.form.get("sensitivity") in SENSITIVITIES:
        host.sensitivity = request.form["sensitivity"]
        flash(gettext("It is changed."), "good")
    store.announce("inventory")
    store.session().commit()
    return redirect(url_for("thresholds.index", host_id=host.id), 303)


def _demand(host_id: int | None) -> None:
    if host_id is not None:
        access.host(host_id, Right.EDIT)
    elif not theirs(host_id):
        abort(404)


def theirs(host_id: int | None) -> bool:
    """A machine's own limit is for whoever may edit the machine, what many have in common for administrators."""
    if host_id is None:
        return access.can(Right.ADMIN)
    return store.session().scalar(select(Host.id).where(Host.id == host_id, access.within(Right.EDIT))) is not None


def measured(hosts: Sequence[Host]) -> Known:
    """What the newest looks of these machines brought."""
    asked = (
        select(MetricSet.names, MetricSet.parts, MetricSet.units)
        .where(MetricSet.id.in_(select(Latest.set_id).where(Latest.host_id.in_([host.id for host in hosts]))))
        .limit(2000)
    )
    units: dict[str, str] = {}
    parts: dict[str, None] = {}
    for names, of, each in store.session().execute(asked):
        units |= dict(zip(names, each, strict=True))
        parts |= dict.fromkeys(part for part in of if part)
    return Known(units, tuple(sorted(parts))[:MOST_PARTS])


def _page(scope: Scope) -> Response | str | tuple[str, int]:
    known = measured(scope.hosts)
    edited = _edited(scope)
    draft = Draft(request.form if request.method == "POST" else None)
    row = _read(draft, scope, known, edited)
    also = _also(scope)
    tried = None
    if row is not None:
        tried = _try(row, [*scope.hosts, *also] if scope.kind == "host" else scope.hosts, known)
        if request.form.get("do") != "try" and _free(row, scope, edited, draft):
            edit = _save(row, edited, also)
            flash(gettext("The limit is set."), "good")
            return redirect(f"{scope.url}?edit={edit.id}", 303)
    host = scope.hosts[0] if scope.kind == "host" else None
    every = limits(host) if host else _own(scope)
    rows = [one for one in every if not host or one.measure in known.units or owner(one)[0] == "host"]
    aside = [one for one in every if one not in rows]
    page = render_template(
        "edit/limits.html",
        active="machines.index",
        scope=scope,
        host=host,
        draft=draft,
        known=known,
        edited=edited,
        tried=tried,
        shown=whatif.SHOWN,
        bands=_bands(host) if host else [],
        sensitivities=SENSITIVITIES,
        also={one.id for one in also},
        others=[one for one in _hosts(access.within(Right.EDIT)) if host and one.id != host.id],
        rows=sorted(rows, key=lambda one: (owner(one)[0] != scope.kind, one.measure, one.part, one.state)),
        aside=sorted(aside, key=lambda one: (one.measure, one.part, one.state)),
        source=_source,
        under={one.id: overridden(host, one) for one in rows if owner(one)[0] != "all"} if host else {},
        owners=_owners() if scope.kind == "all" else {},
        undoable=limitedits.undoable(request.args.get("edit", 0, int)),
        titles=titles(),
        say=units.say,
        units={made.name: unit_of(made.name) for probe in catalogue().values() for made in probe.produces}
        | known.units,
    )
    return page if request.method == "GET" or (tried is not None and draft.good) else (page, 422)


def _bands(host: Host) -> list[tuple[str, str]]:
    """What has a normal, or why not: the measure's title and the status in words."""
    known = sorted(normals.bands(host.id).items(), key=lambda item: (item[0][1], item[0][2]))
    return [
        (f"{gettext(titles().get(name, name))} {part}".strip(), str(STATUS[band.status]))
        for (_, name, part), band in known
    ]


def _source(row: Threshold, scope: Scope) -> str:
    """Where a limit comes from: `from division Warehouse`; empty where it is the page's own."""
    kind, _ = owner(row)
    if kind == scope.kind:
        return ""
    if kind == "group" and row.group:
        return gettext("from group %(name)s", name=row.group.name)
    if kind == "division" and row.division:
        return gettext("from division %(name)s", name=row.division.name)
    return gettext("for all machines")


def _hosts(which: Any) -> tuple[Host, ...]:
    return tuple(
        store.session().scalars(select(Host).where(which, access.visible(access.person())).order_by(Host.name))
    )


def _own(scope: Scope) -> list[Threshold]:
    return [row for row in store.session().scalars(select(Threshold)) if owner(row) == (scope.kind, scope.id)]


def _owners() -> dict[str, list[tuple[int, str, int]]]:
    """Groups and divisions with how many limits each has of its own."""
    counted: dict[tuple[str, int | None], int] = {}
    for row in store.session().scalars(select(Threshold)):
        counted[owner(row)] = counted.get(owner(row), 0) + 1
    kinds: tuple[tuple[str, Any], ...] = (("division", Division), ("group", HostGroup))
    return {
        kind: [
            (one.id, one.name, counted.get((kind, one.id), 0))
            for one in store.session().scalars(select(table).order_by(table.name))
        ]
        for kind, table in kinds
    }


def _edited(scope: Scope) -> Threshold | None:
    """The limit being changed, if one is: it must be this page's own."""
    change = request.values.get("change", 0, int)
    row = store.session().get(Threshold, change) if 0 < change < 2**31 else None
    return row if row is not None and owner(row) == (scope.kind, scope.id) else None


def _also(scope: Scope) -> list[Host]:
    """The other machines that are to have the same limit of their own."""
    ids = set(request.form.getlist("also", int)) if request.method == "POST" and scope.kind == "host" else set()
    return [one for one in _hosts(Host.id.in_(ids) & access.within(Right.EDIT)) if one.id != scope.id] if ids else []


def _scope_of(row: Threshold) -> Scope:
    kind, id = owner(row)
    return Scope(kind, id, "", ())


def _url(kind: str, id: int | None) -> str:
    return Scope(kind, id, "", ()).url


def _read(draft: Draft, scope: Scope, known: Known, edited: Threshold | None) -> Threshold | None:
    """The limit typed, or None where nothing or something wrong is."""
    english = titles()
    offered = known.units or {made.name: unit_of(made.name) for p in catalogue().values() for made in p.produces}
    if edited is not None:
        offered = {edited.measure: known.units.get(edited.measure, unit_of(edited.measure))}
    choices = sorted((gettext(english.get(name, name)), name) for name in offered)
    old = edited or Threshold(measure="", part="", state="warning", over=0.0, for_s=300, clear_for_s=0)
    unit = offered.get(old.measure, "1")
    measure = draft.choice(
        Field("measure", gettext("Measure"), "choice", value=old.measure,
              choices=tuple((name, f"{said} ({name})") for said, name in choices))
    )  # fmt: skip
    part = draft.text(
        Field(
            "part", gettext("Part"), value=old.part,
            help=gettext("Such as a mount point, an interface, a label. Empty: every part."),
        )
    )  # fmt: skip
    state = draft.choice(
        Field("state", gettext("Then it is"), "choice", value=old.state,
              choices=(("warning", gettext("Warning")), ("critical", gettext("Critical"))))
    )  # fmt: skip
    side = draft.choice(
        Field("side", gettext("When it is"), "choice", value="under" if old.under is not None else "over",
              choices=(("over", gettext("above")), ("under", gettext("below"))))
    )  # fmt: skip
    least = old.over if old.over is not None else old.under
    amount = _amount(draft, "amount", gettext("This much"), "" if edited is None else amounts.written(least, unit, old.measure), offered, measure, gettext("As people say it: 80 %, 2 GiB, 5 min, 10 MiB/s."), True)  # fmt: skip
    minutes = draft.number(
        Field("minutes", gettext("For so many minutes"), "number", value=f"{old.for_s / 60:g}", required=True, low=0, high=1440)
    )  # fmt: skip
    clear = _amount(draft, "clear", gettext("Well again at"), amounts.written(old.clear, unit, old.measure), offered, measure, gettext("Empty: at the limit itself."), False)  # fmt: skip
    back = draft.number(
        Field("clear_minutes", gettext("Held for so many minutes"), "number", value=f"{old.clear_for_s / 60:g}", low=0, high=1440)
    )  # fmt: skip
    if not draft.good or amount is None or minutes is None:
        return None
    row = Threshold(
        **scope.owned, measure=measure, part=part, state=state, clear=clear, for_s=minutes * 60, clear_for_s=(back or 0) * 60
    )  # fmt: skip
    setattr(row, side, amount)
    try:
        _level(row)
    except ValueError:
        draft.blame("clear", gettext("This lies outside the limit itself: it could never be well again."))
        return None
    return row


def _amount(
    draft: Draft, name: str, label: str, value: str, offered: dict[str, str], measure: str, help: str, required: bool
) -> float | None:
    typed = draft.text(Field(name, label, value=value, required=required, help=help))
    amount = amounts.read(typed, offered.get(measure, "1"), measure) if typed else None
    if typed and amount is None:
        draft.blame(name, gettext("This is not a number, or not in a unit of this measure."))
    return amount


def _level(row: Threshold) -> Level:
    return Level(
        "critical" if row.state == "critical" else "warning", row.over, row.under, row.clear, row.for_s,
        row.clear_for_s or 0,
    )  # fmt: skip


def _free(row: Threshold, scope: Scope, edited: Threshold | None, draft: Draft) -> bool:
    """Whether this owner has no other limit for the same; tells so beside the field."""
    same = [
        one
        for one in _own(scope)
        if (one.measure, one.part, one.state) == (row.measure, row.part, row.state) and one is not edited
    ]
    if same:
        draft.blame("measure", gettext("There is such a limit already. Take it away first."))
    return not same


def _save(row: Threshold, edited: Threshold | None, also: Sequence[Host]) -> LimitEdit:
    """Store it, for the others too; what they had for the same is replaced."""
    after, before = [row], [] if edited is None else [edited]
    for host in also:
        before += [
            one
            for one in store.session().scalars(select(Threshold).where(Threshold.host_id == host.id))
            if (one.measure, one.part, one.state) == (row.measure, row.part, row.state)
        ]
        after.append(limitedits.row_from({**limitedits.plain(row), "host_id": host.id}))
    edit = limitedits.replace(access.person(), before, after)
    store.session().commit()
    return edit


@dataclass(frozen=True)
class Tried:
    """What a limit would have said, and the picture of it where it is about one machine."""

    answer: whatif.Answer
    picture: Any
    many: int
    left_out: int


def _try(row: Threshold, hosts: Sequence[Host], known: Known) -> Tried:
    moment = now()
    answer = whatif.ask(hosts[:TRIED], row.measure, row.part, _level(row), moment, whatif.MOST)
    picture = _picture(row, hosts[0], answer) if len(hosts) == 1 and answer.samples else None
    return Tried(answer, picture, len(hosts), len(hosts) - answer.tried)


def _picture(row: Threshold, host: Host, answer: whatif.Answer) -> Any:
    end = now()
    begin = answer.first
    sets = series.kept(host.id, begin, end)
    keys = {key for own in sets.values() for key in own if key.name == row.measure and row.part in ("", key.part)}
    chart = figures.chart(row.measure)
    wanted = figures.choose(chart, keys, {}, row.part or None)
    lines = figures.ordered(
        figures.Chart(chart.key, chart.title, (row.measure,)), series.lines(begin, end, 600, sets, wanted)
    )
    spans = [(one.begin, one.end) for one in answer.episodes]
    return figures.preview(lines, [row], spans, begin, end) if lines else None
