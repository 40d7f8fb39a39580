"""Who is on call: people in turn, swaps, the next weeks, and calendars in and out."""

from __future__ import annotations

import secrets
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import icalendar
from flask import Blueprint, Response, abort, flash, redirect, render_template, request, url_for
from sqlalchemy import delete as remove
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from werkzeug.wrappers import Response as Plain

from domain import fingerprint
from domain.clock import now
from domain.inventory import Person
from domain.recipients import Rota, Shift
from webui import access, deleting, receivers, store
from webui.draft import Draft
from webui.forms import Field
from webui.language import gettext

blueprint = Blueprint("rotas", __name__, url_prefix="/rotas")

WEEKS = timedelta(weeks=8)
CALENDAR = timedelta(weeks=26)
PLACES, SPARE = 30, 2
LONGEST_SWAP = timedelta(days=366)
MOST_EVENTS, MOST_BYTES = 1000, 256 * 1024


@blueprint.get("")
@access.signed_in
def index() -> str:
    """Every rota, who is on call now, and the next eight weeks."""
    at, people = now(), _people(active=False)
    rows = []
    for row in receivers.rotas():
        rule = receivers.rota(row)
        turns = [(people.get(turn.person, "–"), turn.since, turn.until) for turn in rule.turns(at, at + WEEKS)]
        rows.append((row, people.get(rule.on_call(at) or 0), turns))
    return render_template("rotas/index.html", active="rotas.index", rows=rows, at=at)


@blueprint.route("/new", methods=["GET", "POST"])
@access.admin
def new() -> Plain | str | tuple[str, int]:
    """Add a rota."""
    return _work(None)


@blueprint.route("/<int:rota_id>", methods=["GET", "POST"])
@access.admin
def edit(rota_id: int) -> Plain | str | tuple[str, int]:
    """Change a rota, swap, and its calendars."""
    return _work(_rota(rota_id))


@blueprint.post("/<int:rota_id>/swap")
@access.admin
def swap(rota_id: int) -> Plain | tuple[str, int]:
    """Somebody is on call from then until then, whatever the turn says."""
    row, session = _rota(rota_id), store.session()
    person = session.get(Person, request.form.get("person", 0, int))
    since, until = _moment(request.form.get("since", ""), row.zone), _moment(request.form.get("until", ""), row.zone)
    if person is None or not person.active or since is None or until is None:
        wrong = gettext("Please choose somebody, and fill in both moments.")
    elif not since < until <= since + LONGEST_SWAP:
        wrong = gettext("The end lies after the beginning, and at most a year later.")
    else:
        session.add(Shift(rota_id=row.id, person_id=person.id, since=since, until=until, made_by=access.person().id))
        store.announce("inventory")
        session.commit()
        flash(gettext("%(name)s is on call then.", name=person.name), "good")
        return redirect(url_for("rotas.edit", rota_id=row.id), 303)
    draft = Draft(None)
    _read(draft, row)
    return _page(row, draft, [*row.people, *[0] * SPARE][:PLACES], swap=wrong), 422


@blueprint.post("/<int:rota_id>/shifts/<int:shift_id>/delete")
@access.admin
def unswap(rota_id: int, shift_id: int) -> Plain:
    """The turn counts again."""
    session = store.session()
    session.execute(remove(Shift).where(Shift.id == shift_id, Shift.rota_id == _rota(rota_id).id))
    store.announce("inventory")
    session.commit()
    flash(gettext("The turn counts again."), "good")
    return redirect(url_for("rotas.edit", rota_id=rota_id), 303)


@blueprint.post("/<int:rota_id>/link")
@access.admin
def link(rota_id: int) -> str | Plain:
    """A fresh secret address of its calendar, shown once; the one before opens nothing any more."""
    row, session = _rota(rota_id), store.session()
    if request.form.get("do") == "none":
        row.token = None
        session.commit()
        flash(gettext("Its calendar cannot be read from outside any more."), "good")
        return redirect(url_for("rotas.edit", rota_id=row.id), 303)
    token = secrets.token_urlsafe(32)
    row.token = fingerprint.of(token)
    session.commit()
    return render_template("rotas/link.html", active="rotas.index", row=row, address=url_for("rotas.calendar", token=token, _external=True))  # fmt: skip


@blueprint.get("/calendar/<token>.ics")
@access.public
def calendar(token: str) -> Response:
    """The turns of half a year for a calendar program: whoever has the address may read them."""
    row = store.session().scalar(select(Rota).where(Rota.token == fingerprint.of(token)))
    if row is None:
        abort(404)
    at, people = now(), _people(active=False)
    told = icalendar.Calendar()
    told.add("prodid", "-//Pantau//on call//EN")
    told.add("version", "2.0")
    told.add("x-wr-calname", row.name)
    for turn in receivers.rota(row).turns(at - timedelta(days=30), at + CALENDAR):
        event = icalendar.Event()
        event.add("uid", f"rota-{row.id}-{turn.since:%Y%m%dT%H%M%SZ}@pantau")
        event.add("dtstamp", at)
        event.add("dtstart", turn.since.astimezone(UTC))
        event.add("dtend", turn.until.astimezone(UTC))
        event.add("summary", f"{row.name}: {people.get(turn.person, '–')}")
        told.add_component(event)
    return Response(told.to_ical(), mimetype="text/calendar")


@blueprint.post("/<int:rota_id>/calendar")
@access.admin
def upload(rota_id: int) -> Plain | tuple[str, int]:
    """Shifts read from a calendar file; they take the place of those read before."""
    row, session = _rota(rota_id), store.session()
    sent = request.files.get("file")
    content = b""
    if sent is not None:
        content = sent.stream.read(MOST_BYTES + 1)
        sent.close()  # a large one lies in a file meanwhile
    try:
        shifts = read(content, row)
    except ValueError as error:
        draft = Draft(None)
        _read(draft, row)
        return _page(row, draft, [*row.people, *[0] * SPARE][:PLACES], file=str(error)), 422
    session.execute(remove(Shift).where(Shift.rota_id == row.id, Shift.uid.is_not(None)))
    session.add_all(shifts)
    store.announce("inventory")
    session.commit()
    flash(gettext("Shifts read from the calendar: %(count)s.", count=len(shifts)), "good")
    return redirect(url_for("rotas.edit", rota_id=row.id), 303)


@blueprint.route("/<int:rota_id>/delete", methods=["GET", "POST"])
@access.admin
def delete(rota_id: int) -> Plain | str:
    """Ask once more; then delete."""
    row = _rota(rota_id)
    text = gettext("Rules that name it reach nobody by it any more; the next rung of their ladder comes at once.")
    return deleting.asked_twice(row, text, home="rotas.index", back=url_for("rotas.edit", rota_id=row.id))


def read(content: bytes, row: Rota) -> list[Shift]:
    """The shifts of a calendar: each event's title, or an attendee's address, names somebody. Raises ValueError."""
    if not content or len(content) > MOST_BYTES:
        raise ValueError(gettext("Please choose a calendar file of at most 256 KiB."))
    try:
        events = list(icalendar.Calendar.from_ical(content).walk("VEVENT"))
    except (ValueError, IndexError, KeyError, TypeError):
        raise ValueError(gettext("This is no calendar file (iCalendar, .ics).")) from None
    if len(events) > MOST_EVENTS:
        raise ValueError(gettext("At most %(most)s events are read.", most=MOST_EVENTS))
    people = {
        person.login.lower(): person.id for person in store.session().scalars(select(Person).where(Person.active))
    }
    people |= {name.lower(): id for id, name in _people().items()}
    found: dict[tuple[str, datetime], Shift] = {}
    for number, event in enumerate(events, 1):
        title = " ".join(str(event.get("SUMMARY", "")).split())[:80]
        if event.get("RRULE"):
            raise ValueError(
                gettext("“%(title)s” repeats itself; export the calendar with single events.", title=title)
            )
        try:
            since, until = _edge(event, "DTSTART", row.zone), _edge(event, "DTEND", row.zone)
        except OverflowError:  # of the year 1 or 9999: no calendar of ours has it
            since = until = None
        person = _named(event, title, people)
        if since is None or until is None or since >= until:
            raise ValueError(gettext("“%(title)s” has no beginning before its end.", title=title))
        if person is None:
            raise ValueError(gettext("“%(title)s” names nobody who can log in here.", title=title))
        uid = str(event.get("UID", number)).replace("\0", "")[:200]
        found[uid, since] = Shift(rota_id=row.id, person_id=person, since=since, until=until, uid=uid, made_by=access.person().id)  # fmt: skip
    if not found:
        raise ValueError(gettext("The calendar holds no events."))
    return list(found.values())


def _named(event: Any, title: str, people: dict[str, int]) -> int | None:
    """Whom an event names: an attendee's login or address, the whole title, or what stands behind its colon."""
    attendees = event.get("ATTENDEE") or []
    for one in attendees if isinstance(attendees, list) else [attendees]:
        mailbox = str(one).lower().removeprefix("mailto:")
        for name in (mailbox, mailbox.partition("@")[0]):
            if name in people:
                return people[name]
    whole = title.lower()
    return people.get(whole) or people.get(whole.rpartition(":")[2].strip())


def _edge(event: Any, name: str, zone: str) -> datetime | None:
    at = getattr(event.get(name), "dt", None)
    if isinstance(at, datetime):
        return (at if at.tzinfo else at.replace(tzinfo=ZoneInfo(zone))).astimezone(UTC)
    return datetime.combine(at, time(), ZoneInfo(zone)).astimezone(UTC) if isinstance(at, date) else None


def _work(row: Rota | None) -> Plain | str | tuple[str, int]:
    typed = request.form if request.method == "POST" else None
    draft = Draft(typed)
    values = _read(draft, row)
    people = _people()
    known = people | {id: name for id, name in _people(active=False).items() if row and id in row.people}
    order = _order(typed, known) if typed is not None else list(row.people if row else [])
    wrong = gettext("Choose at least one person.") if typed is not None and not order else ""
    more = typed is not None and typed.get("do") == "more"
    if draft.good and not wrong and not more:
        kept = row or Rota()
        for name, value in values.items():
            setattr(kept, name, value)
        kept.people = order
        if _keep(kept, draft):
            flash(gettext("The rota “%(name)s” is saved.", name=kept.name), "good")
            return redirect(url_for("rotas.edit", rota_id=kept.id), 303)
    page = _page(row, draft, [*order, *[0] * (SPARE + 2 * more)][:PLACES], "" if more else wrong)
    return page if typed is None or more else (page, 422)


def _page(row: Rota | None, draft: Draft, order: list[int], wrong: str = "", swap: str = "", file: str = "") -> str:
    """The page of a rota; `swap` is what is wrong with the swap that was typed, which is shown again, `file` with a calendar."""
    at, gone = now(), _people(active=False)
    people = _people() | {id: name for id, name in gone.items() if row and id in row.people}
    return render_template(
        "rotas/form.html",
        active="rotas.index",
        row=row,
        draft=draft,
        order=order,
        people=people,
        wrong=wrong,
        swap=swap,
        file=Field(
            "file",
            gettext("Read shifts from a calendar file"),
            help=gettext("Each event's title or attendee names somebody. They take the place of those read before."),
            wrong=file,
        ),
        typed=request.form if swap else {},
        shifts=[shift for shift in (row.shifts if row else []) if shift.until > at],
        turns=[(people.get(turn.person, gone.get(turn.person, "–")), turn.since, turn.until) for turn in receivers.rota(row).turns(at, at + WEEKS)] if row else [],
        at=at,
    )  # fmt: skip


def _read(draft: Draft, row: Rota | None) -> dict[str, Any]:
    zone_now = row.zone if row else store.settings().zone
    begun = row.starts_at if row else now().replace(minute=0, second=0, microsecond=0)
    name = draft.text(Field("name", gettext("Name"), value=row.name if row else "", required=True))
    zone = draft.text(Field("zone", gettext("Time zone"), value=zone_now, required=True))
    if draft.good and zone not in available_timezones():
        draft.blame("zone", gettext("There is no such time zone; one is Asia/Jakarta."))
    starts = draft.text(
        Field(
            "starts",
            gettext("Begins"),
            value=f"{begun.astimezone(ZoneInfo(zone_now)):%Y-%m-%d %H:%M}",
            required=True,
            help=gettext(
                "The day and hour at which the first of them begins; at this hour one hands over to the next."
            ),
        )
    )
    at = _moment(starts, zone) if draft.good or zone in available_timezones() else None
    if draft.good and at is None:
        draft.blame("starts", gettext("This is no moment; one is 2026-11-23 08:00."))
    days = draft.number(
        Field(
            "days",
            gettext("Days for each"),
            "number",
            value=str(row.days if row else 7),
            low=1,
            high=365,
            whole=True,
            required=True,
        )
    )
    return {"name": name, "zone": zone, "starts_at": at, "days": int(days or 7)}


def _order(typed: Any, known: dict[int, str]) -> list[int]:
    """The people in turn; the same one may come twice."""
    found = []
    for n in range(PLACES):
        text = typed.get(f"person-{n}", "")
        if text.isascii() and text.isdigit() and len(text) < 10 and int(text) in known:
            found.append(int(text))
    return found


def _keep(row: Rota, draft: Draft) -> bool:
    session = store.session()
    try:
        session.add(row)
        store.announce("inventory")
        session.commit()
    except IntegrityError:
        session.rollback()
        draft.blame("name", gettext("Another rota has this name. Choose another one."))
        return False
    return True


def _moment(text: str, zone: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text.strip())
        if not 2000 < found.year < 3000:
            return None
        return (found if found.tzinfo else found.replace(tzinfo=ZoneInfo(zone))).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _people(active: bool = True) -> dict[int, str]:
    chosen = select(Person.id, Person.name).order_by(Person.name)
    return {id: name for id, name in store.session().execute(chosen.where(Person.active) if active else chosen)}  # noqa: C416


def _rota(rota_id: int) -> Rota:
    found = store.session().get(Rota, rota_id)
    if found is None:
        abort(404)
    return found
