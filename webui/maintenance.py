"""Maintenance: running, coming and over; begun with two taps, planned with a preview, ended early."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from sqlalchemy import ColumnElement, false, select, true
from sqlalchemy.orm import joinedload
from werkzeug.datastructures import MultiDict
from werkzeug.wrappers import Response

from domain import calendar
from domain.calendar import Rule, Span
from domain.clock import now
from domain.inventory import Division, Host, HostGroup, Site, Window
from domain.rights import Right
from webui import access, board, store, windows
from webui.language import gettext, lazy_gettext
from webui.wording import moment, span

blueprint = Blueprint("maintenance", __name__)

QUICK = ("30m", "1h", "2h", "4h", "8h")
SENTENCES = (
    ("at least a minute", lazy_gettext("The end lies at least a minute after the beginning.")),
    ("between the years", lazy_gettext("A window lies between the years 1970 and 2999.")),
    ("at most a year", lazy_gettext("A window is at most a year long; switch a machine off that is not to be watched at all.")),
    ("at least one day", lazy_gettext("A weekly window needs at least one day of the week.")),
    ("no time of day", lazy_gettext("This is no time of day; one is 22:30.")),
    ("no duration", lazy_gettext("This is no duration; one is 90m, 2h, 1h 30m or 1d.")),
    ("between a minute", lazy_gettext("A window that comes again lasts between a minute and 31 days.")),
    ("never end", lazy_gettext("This window would never end: it begins again before it is over.")),
    ("never comes", lazy_gettext("This moment never comes.")),
    ("five fields", lazy_gettext("A cron expression has five fields: minute, hour, day of month, month, day of week.")),
    ("cron does not", lazy_gettext("Cron does not understand this expression.")),
    ("no time zone", lazy_gettext("There is no such time zone; one is Asia/Jakarta.")),
    ("no moment", lazy_gettext("Please fill in both moments.")),
)  # fmt: skip
"""What domain.calendar refuses, by words of its sentence, as the page says it."""


@blueprint.get("/maintenance")
@access.signed_in
def index() -> str:
    """Running now, coming, and what was."""
    at = now()
    running, coming, over = windows.listed(store.session(), at, known())
    return render_template(
        "maintenance/index.html",
        active="maintenance.index",
        pulse=board.pulse(at),
        running=running,
        coming=coming,
        over=over,
        target=windows.target,
        words=windows.words,
        ended=windows.ended,
        theirs=theirs,
        at=at,
    )


@blueprint.route("/maintenance/new", methods=["GET", "POST"])
@access.may(Right.MAINTAIN)
def new() -> Response | str | tuple[str, int]:
    """Plan a window; what it comes to is shown before it is saved."""
    typed = _typed(request.form if request.method == "POST" else None)
    if request.method == "GET":
        return _form(typed, "", ())
    session, at = store.session(), now()
    try:
        aim, rule = _aim(typed["target"]), _rule(typed, typed.getlist("weekdays"))
    except ValueError as error:
        return _form(typed, _sentence(error), ()), 422
    coming = calendar.occurrences(rule, at, windows.NEXT)
    if not coming:
        return _form(typed, gettext("This lies wholly in the past."), ()), 422
    if request.form.get("do") == "preview":
        return _form(typed, "", coming, windows.words(rule))
    windows.make(session, rule, aim, typed["note"], access.person().id)
    session.commit()
    flash(gettext("The maintenance is planned."), "good")
    return redirect(url_for("maintenance.index"), 303)


@blueprint.get("/maintenance/preview")
@access.may(Right.MAINTAIN)
def preview() -> str:
    """The next occurrences of what is being typed, for the page; changes nothing."""
    typed = _typed(request.args)
    try:
        rule = _rule(typed, typed.getlist("weekdays"))
        coming = calendar.occurrences(rule, now(), windows.NEXT)
        wrong = "" if coming else gettext("This lies wholly in the past.")
        said = windows.words(rule)
    except ValueError as error:
        coming, wrong, said = [], _sentence(error), ""
    return render_template("maintenance/preview.html", coming=coming, wrong=wrong, said=said)


@blueprint.post("/maintenance/<int:window_id>/end")
@access.may(Right.MAINTAIN)
def end(window_id: int) -> Response:
    """End it now; a repeated one only for this time, unless all of it is meant."""
    session = store.session()
    row = session.get(Window, window_id, options=[joinedload(Window.host)], with_for_update={"of": Window})
    if row is None or not seen(row):
        abort(404)
    if not theirs(row):
        abort(403)
    whole = request.form.get("whole") == "yes"
    if windows.end(session, row, access.person().id, now(), whole=whole):
        session.commit()
        flash(gettext("The maintenance is over."), "good")
    else:
        session.rollback()
        flash(gettext("There was nothing left to end."), "bad")
    return redirect(access.onward(request.form.get("next") or url_for("maintenance.index")), 303)


@blueprint.post("/machines/<int:host_id>/maintenance")
@access.may(Right.MAINTAIN)
def begin(host_id: int) -> Response:
    """Maintenance on one machine, from now on."""
    host, session, at = access.host(host_id), store.session(), now()
    lasts = request.form.get("for", "")
    duration = calendar.length(lasts) if lasts in QUICK else timedelta(hours=1)
    note = request.form.get("note", "")
    row = windows.start(session, ("host", host.id), duration, note, access.person().id, at, store.settings().zone)
    session.commit()
    said = gettext("Maintenance for %(time)s has begun.", time=span(duration.total_seconds()))
    flash(said, f"undo {url_for('maintenance.end', window_id=row.id)}")
    return redirect(url_for("machine.show", host_id=host.id), 303)


def _typed(given: Mapping[str, str] | None) -> MultiDict[str, str]:
    """What was typed, or what a new form begins with."""
    if given is not None:
        return MultiDict(given)
    zone = ZoneInfo(store.settings().zone)
    begin = now().astimezone(zone) + timedelta(hours=1)
    return MultiDict({
        "target": request.args.get("target", ""),
        "kind": "once",
        "note": "",
        "from": f"{begin:%Y-%m-%dT%H:00}",
        "until": f"{begin + timedelta(hours=2):%Y-%m-%dT%H:00}",
        "at": "22:00",
        "duration": "2h",
        "expression": "0 22 * * 6L",
        "lasts": "30m",
        "zone": store.settings().zone,
    })  # fmt: skip


def _rule(typed: Mapping[str, str], weekdays: list[str]) -> Rule:
    """The rule of what was typed. Raises ValueError."""
    kind, zone = typed.get("kind", ""), typed.get("zone", "").strip() or store.settings().zone
    lasts = calendar.length(typed.get("lasts", "")) if typed.get("flexible") == "yes" else None
    if kind == "weekly":
        return calendar.weekly(weekdays, typed.get("at", ""), calendar.length(typed.get("duration", "")), zone=zone, lasts=lasts)  # fmt: skip
    if kind == "cron":
        return calendar.cron(typed.get("expression", ""), calendar.length(typed.get("duration", "")), zone=zone, lasts=lasts)  # fmt: skip
    begin, until = _moment(typed.get("from", ""), zone), _moment(typed.get("until", ""), zone)
    return calendar.once(begin, until, zone=zone, lasts=lasts)


def _moment(text: str, zone: str) -> datetime:
    """A moment as a browser sends it, without a zone: the window's own."""
    try:
        found = datetime.fromisoformat(text.strip())
        return (found if found.tzinfo else found.replace(tzinfo=ZoneInfo(zone))).astimezone(UTC)
    except (ValueError, OverflowError, KeyError, OSError):
        raise ValueError(f"'{text}' is no moment.") from None


def _aim(text: str) -> tuple[str, int | None]:
    """The target chosen. Raises ValueError."""
    if text == "everything":
        _demand(access.can(Right.MAINTAIN))
        return text, None
    kind, _, id = text.partition(":")
    table = windows.TARGETS.get(kind)
    if table is None or not (id.isascii() and id.isdigit() and len(id) < 10):
        raise ValueError(gettext("Please choose what it is for."))
    found = store.session().scalar(select(table.id).where(table.id == int(id), within(kind)))
    if found is None:
        raise ValueError(gettext("What it was for is gone; choose again."))
    return kind, found


def seen(row: Window) -> bool:
    """Whether this person may know of it, as on the page that lists them."""
    wanted = select(Host.id).where(Host.id == row.host_id, access.within(Right.SEE))
    return access.can(Right.SEE) or theirs(row) or store.session().scalar(wanted) is not None


def known() -> ColumnElement[bool] | None:
    """Which windows this person may know of: on their machines, on their divisions; None: all."""
    reach = access.divisions(Right.SEE)
    if reach is None:
        return None
    own = select(Host.id).where(access.within(Right.SEE))
    return Window.host_id.in_(own) | Window.division_id.in_(reach)


def within(kind: str) -> ColumnElement[bool]:
    """Which targets of this kind this person may plan for: their machines, their divisions; the rest takes every machine."""
    if kind == "host":
        return access.within(Right.MAINTAIN)
    reach = access.divisions(Right.MAINTAIN)
    if reach is None:
        return true()
    return Division.id.in_(reach) if kind == "division" else false()


def _demand(allowed: bool) -> None:
    if not allowed:
        raise ValueError(gettext("Please choose what it is for."))


def theirs(row: Window) -> bool:
    """Whether this person may end it: what may be planned may be ended."""
    if row.everything:
        return access.can(Right.MAINTAIN)
    kind = next(kind for kind in windows.TARGETS if getattr(row, f"{kind}_id") is not None)
    table = windows.TARGETS[kind]
    wanted = select(table.id).where(table.id == getattr(row, f"{kind}_id"), within(kind))
    return store.session().scalar(wanted) is not None


def _sentence(error: ValueError) -> str:
    said = str(error)
    return next((str(sentence) for words, sentence in SENTENCES if words in said), said[:1].upper() + said[1:])


def _form(typed: MultiDict[str, str], wrong: str, coming: list[Span] | tuple[()], said: str = "") -> str:
    session = store.session()
    choices = [
        (title, [(f"{kind}:{id}", name) for id, name in session.execute(select(table.id, table.name).where(within(kind)).order_by(table.name))])
        for kind, table, title in (
            ("host", Host, gettext("Machines")),
            ("group", HostGroup, gettext("Groups")),
            ("division", Division, gettext("Divisions")),
            ("site", Site, gettext("Sites")),
        )
    ]  # fmt: skip
    return render_template(
        "maintenance/new.html",
        active="maintenance.index",
        typed=typed,
        chosen_days=typed.getlist("weekdays"),
        wrong=wrong,
        coming=coming,
        said=said,
        choices=choices,
        whole=access.can(Right.MAINTAIN),
        weekdays=[(day, windows.days([day])) for day in calendar.WEEKDAYS],
        moment=moment,
    )
