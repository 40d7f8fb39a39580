"""Limits of one machine, set by hand: a measure, a part, how much for how long, and how bad that is."""

from __future__ import annotations

from dataclasses import dataclass

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from werkzeug.wrappers import Response

from domain.inventory import Host, Threshold
from domain.records import Latest, MetricSet
from probes import catalogue
from probes.limits import number as plain
from webui import access, store, units
from webui.draft import Draft
from webui.forms import Field
from webui.language import gettext
from webui.limits import limits
from webui.wording import titles

blueprint = Blueprint("thresholds", __name__, url_prefix="/machines/<int:host_id>/limits")

MOST_PARTS = 300
"""Parts offered while one types."""


@dataclass(frozen=True)
class Known:
    """What is measured of one machine: the unit of each measure, and all parts."""

    units: dict[str, str]
    parts: tuple[str, ...]


@blueprint.route("", methods=["GET", "POST"])
@access.admin
def index(host_id: int) -> Response | str | tuple[str, int]:
    """The limits that hold for the machine, and one more."""
    host = access.host(host_id)
    known = measured(host)
    draft = Draft(request.form if request.method == "POST" else None)
    row = _read(draft, host, known)
    if row is not None and _keep(row, draft):
        flash(gettext("The limit is set."), "good")
        return redirect(url_for("thresholds.index", host_id=host.id), 303)
    page = render_template(
        "edit/limits.html",
        active="machines.index",
        host=host,
        draft=draft,
        known=known,
        rows=sorted(limits(host), key=lambda one: (one.host_id is None, one.measure, one.part, one.state)),
        titles=titles(),
        say=units.say,
        units={made.name: made.unit for probe in catalogue().values() for made in probe.produces} | known.units,
    )
    return page if request.method == "GET" else (page, 422)


@blueprint.post("/<int:threshold_id>/delete")
@access.admin
def delete(host_id: int, threshold_id: int) -> Response:
    """Take a limit of this machine away; those of groups and of all machines stay."""
    host = access.host(host_id)
    row = store.session().get(Threshold, threshold_id)
    if row is None or row.host_id != host.id:
        abort(404)
    store.session().delete(row)
    store.announce("inventory")
    store.session().commit()
    flash(gettext("The limit is taken away."), "good")
    return redirect(url_for("thresholds.index", host_id=host.id), 303)


def measured(host: Host) -> Known:
    """What the newest looks brought."""
    asked = (
        select(MetricSet.names, MetricSet.parts, MetricSet.units)
        .join(Latest, Latest.set_id == MetricSet.id)
        .where(Latest.host_id == host.id)
    )
    units: dict[str, str] = {}
    parts: dict[str, None] = {}
    for names, of, each in store.session().execute(asked):
        units |= dict(zip(names, each, strict=True))
        parts |= dict.fromkeys(part for part in of if part)
    return Known(units, tuple(sorted(parts))[:MOST_PARTS])


def _read(draft: Draft, host: Host, known: Known) -> Threshold | None:
    """The limit typed, or None where nothing or something wrong is."""
    english = titles()
    choices = sorted((gettext(english.get(name, name)), name) for name in known.units)
    measure = draft.choice(
        Field(
            "measure", gettext("Measure"), "choice", choices=tuple((name, f"{said} ({name})") for said, name in choices)
        )
    )
    part = draft.text(
        Field("part", gettext("Part"), help=gettext("Such as a mount point, an interface, a label. Empty: every part."))
    )
    state = draft.choice(
        Field("state", gettext("Then it is"), "choice", value="warning",
              choices=(("warning", gettext("Warning")), ("critical", gettext("Critical"))))
    )  # fmt: skip
    side = draft.choice(
        Field("side", gettext("When it is"), "choice", value="over",
              choices=(("over", gettext("above")), ("under", gettext("below"))))
    )  # fmt: skip
    typed = draft.text(
        Field(
            "amount",
            gettext("This much"),
            required=True,
            help=gettext("In the measure's own unit; shares as 80 % or 0.8."),
        )
    )
    minutes = draft.number(
        Field("minutes", gettext("For so many minutes"), "number", value="5", required=True, low=0, high=1440)
    )
    amount = plain(typed.rstrip("% \u00a0").replace(",", "."), -1e18, 1e18)
    if typed and amount is None:
        draft.blame("amount", gettext("This is not a number."))
    if not draft.good or amount is None or minutes is None:
        return None
    if typed.rstrip().endswith("%"):
        amount /= 100
    row = Threshold(host_id=host.id, measure=measure, part=part, state=state, for_s=minutes * 60, clear_for_s=0)
    setattr(row, side, amount)
    return row


def _keep(row: Threshold, draft: Draft) -> bool:
    """Store it; False where this machine has one for the same already."""
    database = store.session()
    try:
        database.add(row)
        database.flush()
        store.announce("inventory")
        database.commit()
    except IntegrityError:
        database.rollback()
        draft.blame("measure", gettext("There is such a limit already. Take it away first."))
        return False
    return True
