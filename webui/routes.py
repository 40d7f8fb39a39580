"""My notifications: the ways that lead to me, what I am told by each, and when I am left in peace."""

from __future__ import annotations

import secrets as random
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import available_timezones

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask_babel import refresh
from sqlalchemy import delete as remove
from sqlalchemy import exists, func, select
from sqlalchemy.orm import joinedload
from werkzeug.wrappers import Response

from config.vault import VaultError
from domain import fingerprint
from domain.clock import now
from domain.deliveries import Delivery
from domain.inventory import Person
from domain.recipients import Channel, Linking, Route
from domain.rights import Right
from notifier.channels import catalogue
from webui import access, audited, hours, language, store, trials, ways
from webui.draft import Draft
from webui.forms import Field, OptionsForm
from webui.language import LANGUAGES, gettext, lazy_gettext
from webui.wording import clock, moment

blueprint = Blueprint("routes", __name__, url_prefix="/notifications")

ADDRESS = "address-"
CODE_LASTS = timedelta(minutes=30)
CODES = 20
"""Codes one person has sent within CODE_LASTS: nobody's mailbox is flooded from here."""
LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"
"""Of codes: without those that are read as one another."""
MUTES = {
    "keep": lazy_gettext("as it is"),
    "off": lazy_gettext("not muted"),
    "1h": lazy_gettext("for 1 hour"),
    "8h": lazy_gettext("for 8 hours"),
    "24h": lazy_gettext("for a day"),
    "7d": lazy_gettext("for a week"),
}
LENGTHS = {"1h": timedelta(hours=1), "8h": timedelta(hours=8), "24h": timedelta(days=1), "7d": timedelta(days=7)}
STATES = {
    "waiting": lazy_gettext("waits"),
    "sending": lazy_gettext("is being sent"),
    "sent": lazy_gettext("delivered"),
    "dropped": lazy_gettext("not needed any more"),
    "dead": lazy_gettext("could not be delivered"),
}
"""What became of a delivery (domain.deliveries.STATES)."""
PUSH = "webpush"
SAID = ("mailbox", "phone", "chat", "host", "service")
"""What says of an address where it leads, where that is no secret (notifier/channels)."""


@dataclass
class Row:
    """One way to somebody: what its channel is called, where it leads, and how its last message fared."""

    route: Route
    label: str
    where: str
    last: Delivery | None

    @property
    def state(self) -> str:
        """Why nothing is told there now, or `on`."""
        route, at = self.route, now()
        if route.gone_at is not None:
            return "gone"
        if route.verified_at is None:
            return "code"
        if not route.channel.enabled:
            return "channel"
        if not route.enabled:
            return "off"
        return "muted" if route.muted_until is not None and route.muted_until > at else "on"


@blueprint.route("", methods=["GET", "POST"])
@access.signed_in
def index() -> Response | str | tuple[str, int]:
    """What is in force in one sentence, every way with its state, and what could be added."""
    person, session = access.person(), store.session()
    draft = Draft(request.form if request.method == "POST" else None)
    chosen = draft.choice(
        Field(
            "language",
            gettext("Language of messages"),
            "choice",
            value=person.language or "",
            choices=(("", gettext("as Pantau is set up")), *LANGUAGES.items()),
        )
    )
    zone = draft.text(
        Field(
            "zone",
            gettext("Time zone"),
            value=person.zone or "",
            help=gettext("Such as Asia/Makassar. Empty: %(zone)s, as everywhere.", zone=store.settings().zone),
        )
    )
    if draft.good and zone and zone not in available_timezones():
        draft.blame("zone", gettext("There is no such time zone; one is Asia/Jakarta."))
    if draft.good:
        person.language, person.zone = chosen or None, zone or None
        store.announce("inventory")
        session.commit()
        refresh()  # the answer is in the language just chosen
        flash(gettext("Your language and time zone are kept."), "good")
        return redirect(url_for("routes.index"), 303)
    rows = listed(person)
    page = render_template(
        "routes/index.html",
        active="routes.index",
        rows=rows,
        said=in_force(rows),
        blind=not access.can(Right.SEE) and not session.scalar(select(exists().where(access.visible(person)))),
        draft=draft,
        channels=_offered(),
        push=_push(),
        states=STATES,
    )
    return page if request.method == "GET" else (page, 422)


@blueprint.route("/add/<int:channel_id>", methods=["GET", "POST"])
@access.signed_in
def add(channel_id: int) -> Response | str | tuple[str, int]:
    """An address of mine on a channel: typed and shown to be mine by a code, or a chat linked by a code."""
    channel = _channel(channel_id)
    kind = catalogue()[channel.kind]
    if kind.linked:
        return _link(channel)
    form = OptionsForm(kind.address, ADDRESS)
    typed = request.form if request.method == "POST" else None
    address, fields = form.read(typed) if typed is not None else (None, form.fields())
    if address is not None and _too_many():
        flash(gettext("You had many codes sent just now. Wait half an hour."), "bad")
        return redirect(url_for("routes.index"), 303)
    if address is not None:
        route, session = Route(person_id=access.person().id, channel_id=channel.id), store.session()
        try:
            ways.lead(route, kind, address)
        except VaultError as error:
            flash(str(error), "bad")
            return redirect(url_for("routes.index"), 303)
        session.add(route)
        session.flush()
        trial = _send_code(route)
        session.commit()
        return redirect(url_for("routes.verify", route_id=route.id, trial=trial), 303)
    page = render_template("routes/add.html", active="routes.index", channel=channel, label=gettext(kind.label), fields=fields)  # fmt: skip
    return page if typed is None else (page, 422)


@blueprint.route("/<int:route_id>/code", methods=["GET", "POST"])
@access.signed_in
def verify(route_id: int) -> Response | str | tuple[str, int]:
    """The code that was sent there shows that the address is theirs."""
    route, session = _own(route_id), store.session()
    if route.verified_at is not None:
        return redirect(url_for("routes.edit", route_id=route.id))
    wrong = ""
    if request.method == "POST" and request.form.get("do") == "again":
        if _too_many():
            flash(gettext("You had many codes sent just now. Wait half an hour."), "bad")
            return redirect(url_for("routes.verify", route_id=route.id), 303)
        trial = _send_code(route)
        session.commit()
        return redirect(url_for("routes.verify", route_id=route.id, trial=trial), 303)
    if request.method == "POST":
        found = session.get(Linking, fingerprint.of(f"route:{route.id}:{_bare(request.form.get('code', ''))}"))
        if found is not None and found.person_id == access.person().id and found.expires_at > now():
            session.delete(found)
            route.verified_at = now()
            store.announce("inventory")
            session.commit()
            flash(gettext("This address is yours, and you are told there from now on."), "good")
            return redirect(url_for("routes.edit", route_id=route.id), 303)
        wrong = gettext("This is not the code that was sent last, or it is older than half an hour.")
    field = Field("code", gettext("Code"), wrong=wrong, required=True, autocomplete="one-time-code")
    page = render_template(
        "routes/verify.html",
        active="routes.index",
        route=route,
        where=where(route),
        field=field,
        trial=request.args.get("trial", "")[:40],
    )
    return (page, 422) if wrong else page


@blueprint.route("/<int:route_id>", methods=["GET", "POST"])
@access.signed_in
def edit(route_id: int) -> Response | str | tuple[str, int]:
    """What is told there, and when not."""
    route = _own(route_id)
    draft = Draft(request.form if request.method == "POST" else None)
    values = read(draft, route)
    if draft.good:
        for name, value in values.items():
            setattr(route, name, value)
        store.announce("inventory")
        store.session().commit()
        flash(gettext("It is saved."), "good")
        return redirect(url_for("routes.index"), 303)
    row = _row(route)
    page = render_template(
        "routes/edit.html",
        active="routes.index",
        route=route,
        row=row,
        draft=draft,
        days=hours.DAYS,
        chosen_days=_days() if request.method == "POST" else route.quiet_days,
        muted=route.muted_until is not None and route.muted_until > now(),
        states=STATES,
    )
    return page if request.method == "GET" else (page, 422)


@blueprint.post("/<int:route_id>/test")
@access.signed_in
def test(route_id: int) -> Response:
    """A test message there; its page shows every hop."""
    route = _own(route_id)
    trial = trials.of_route(route.id)
    store.session().commit()
    return redirect(url_for("trials.show", trial_id=trial.id, back=url_for("routes.index")), 303)


@blueprint.route("/<int:route_id>/delete", methods=["GET", "POST"])
@access.signed_in
def delete(route_id: int) -> Response | str:
    """Ask once more; then forget the address."""
    route, session = _own(route_id), store.session()
    if request.method == "GET":
        return render_template("routes/delete.html", active="routes.index", route=route, where=where(route), home=_home(route))  # fmt: skip
    home = _home(route)
    session.delete(route)
    store.announce("inventory")
    session.commit()
    flash(gettext("Nothing is sent there any more."), "good")
    return redirect(home, 303)


def listed(person: Person) -> list[Row]:
    """Every way to `person`, in the order they were made."""
    rows = store.session().scalars(
        select(Route).where(Route.person_id == person.id).options(joinedload(Route.channel)).order_by(Route.id)
    )
    return [_row(route) for route in rows]


def where(route: Route) -> str:
    """Where a route leads, as its owner knows it."""
    told = route.address
    if route.name:
        return route.name
    if route.channel.kind == PUSH:
        return gettext("a browser")
    return next((str(told[name]) for name in SAID if told.get(name)), route.channel.name)


def in_force(rows: list[Row]) -> str:
    """What somebody with these ways is told, in one sentence."""
    told = [_force(row) for row in rows if row.state in ("on", "muted")]
    if not told:
        return gettext("You are told nothing: no address of yours is in use. Add one below.")
    return gettext("You are told %(what)s.", what="; ".join(told))


def read(draft: Draft, route: Route) -> dict[str, Any]:
    """The settings of one route as typed."""
    name = draft.text(
        Field("name", gettext("Name"), value=route.name, help=gettext("Tells your devices apart, such as “Phone”."))
    )
    is_on = draft.tick(Field("enabled", gettext("Tell me here"), "check", value="yes" if route.enabled else ""))
    severity = draft.choice(
        Field(
            "severity",
            gettext("Of what"),
            "choice",
            value=route.severity,
            choices=(("warning", gettext("Everything: warnings too")), ("critical", gettext("Only what is down or critical"))),
        )
    )  # fmt: skip
    recoveries = draft.tick(
        Field("recoveries", gettext("Also when it is over"), "check", value="yes" if route.recoveries else "")
    )
    begin = _time(draft, "quiet_from", gettext("Quiet from"), route.quiet_from, gettext("Such as 22:00. Empty: never."))
    end = _time(draft, "quiet_to", gettext("until"), route.quiet_to, gettext("Such as 06:00."))
    if draft.good and (begin is None) != (end is None):
        draft.blame("quiet_to" if end is None else "quiet_from", gettext("Quiet hours have a beginning and an end."))
    through = draft.tick(
        Field(
            "quiet_critical",
            gettext("What is critical breaks through"),
            "check",
            value="yes" if route.quiet_critical else "",
        )
    )
    mute = draft.choice(
        Field(
            "mute",
            gettext("Mute"),
            "choice",
            value="keep",
            choices=tuple((key, str(said)) for key, said in MUTES.items()),
            help=gettext("Muted until %(moment)s.", moment=moment(route.muted_until))
            if route.muted_until is not None and route.muted_until > now()
            else gettext("Nothing at all is told here so long."),
        )
    )
    hourly = draft.number(
        Field(
            "hourly",
            gettext("Messages an hour, at most"),
            "number",
            value=str(route.hourly),
            low=1,
            high=1000,
            whole=True,
            required=True,
            help=gettext("What is more comes together in one message."),
        )
    )
    discreet = draft.tick(
        Field(
            "discreet",
            gettext("No names on a locked screen"),
            "check",
            value="yes" if route.discreet else "",
            help=gettext("The message says only that there is trouble; the rest is behind your login."),
        )
    )
    spoken = draft.choice(
        Field(
            "language",
            gettext("Language here"),
            "choice",
            value=route.language or "",
            choices=(("", gettext("as set for you")), *LANGUAGES.items()),
        )
    )
    return {
        "name": name,
        "enabled": is_on,
        "severity": severity,
        "recoveries": recoveries,
        "quiet_from": begin,
        "quiet_to": end,
        "quiet_days": _days() if begin is not None else [],
        "quiet_critical": through,
        "muted_until": _muted(route, mute),
        "hourly": int(hourly or route.hourly or 60),
        "discreet": discreet,
        "language": spoken or None,
    }


def _muted(route: Route, mute: str) -> datetime | None:
    if mute in LENGTHS:
        return now() + LENGTHS[mute]
    return None if mute == "off" else route.muted_until


def _time(draft: Draft, name: str, label: str, minute: int | None, help: str) -> int | None:
    typed = draft.text(Field(name, label, value=hours.said(minute), help=help))
    if not typed:
        return None
    found = hours.read(typed)
    if found is None:
        draft.blame(name, gettext("This is no time of day; one is 22:30."))
    return found


def _days() -> list[int]:
    """The ticked days; none where all are, which means every day."""
    found = sorted({int(day) for day in request.form.getlist("days") if day in {"0", "1", "2", "3", "4", "5", "6"}})
    return [] if len(found) == 7 else found


def _force(row: Row) -> str:
    """What one way tells, as a part of the sentence."""
    route = row.route
    way = f"{row.label} ({row.where})" if row.where else row.label
    said = gettext("of everything by %(way)s", way=way) if route.severity == "warning" else gettext("of what is critical by %(way)s", way=way)  # fmt: skip
    if not route.recoveries:
        said += gettext(", not when it is over")
    if route.quiet_from is not None and route.quiet_to is not None:
        when = hours.span(route.quiet_from, route.quiet_to, route.quiet_days)
        said += gettext(", %(when)s only of what is critical", when=when) if route.quiet_critical and route.severity == "warning" else "" if route.quiet_critical else gettext(", except %(when)s", when=when)  # fmt: skip
    if row.state == "muted" and route.muted_until is not None:
        said += gettext(", muted until %(moment)s", moment=clock(route.muted_until))
    return said


def _row(route: Route) -> Row:
    kind = catalogue().get(route.channel.kind)
    told = select(Delivery).where(Delivery.route_id == route.id).order_by(Delivery.id.desc()).limit(1)
    return Row(route, gettext(kind.label) if kind else route.channel.kind, where(route), store.session().scalar(told))


def _offered() -> list[tuple[Channel, str, bool]]:
    """(channel, its label, whether it is linked by a code) of what a person can add an address on."""
    rows = store.session().scalars(select(Channel).where(Channel.enabled).order_by(Channel.name))
    known = [(row, catalogue().get(row.kind)) for row in rows]
    return [
        (row, gettext(kind.label), kind.linked) for row, kind in known if kind and kind.persons and row.kind != PUSH
    ]


def _push() -> Channel | None:
    """The channel browsers subscribe to; None where an administrator made none."""
    return store.session().scalar(select(Channel).where(Channel.enabled, Channel.kind == PUSH).order_by(Channel.id))


def _link(channel: Channel) -> str | Response:
    """A code to send to the far side, which then knows whose chat it is."""
    session, code = store.session(), ""
    if request.method == "POST":
        session.execute(remove(Linking).where((Linking.expires_at < now()) | ((Linking.person_id == access.person().id) & (Linking.channel_id == channel.id))))  # fmt: skip
        code = fresh()
        session.add(Linking(code=fingerprint.of(code), channel_id=channel.id, person_id=access.person().id, made_by=access.person().id, expires_at=now() + CODE_LASTS))  # fmt: skip
        audited.note("route.code", f"channel:{channel.id}", name=channel.name)
        session.commit()
    told = store.setting(f"bot:{channel.id}") or {}
    have = session.scalar(select(func.count()).select_from(Route).where(Route.person_id == access.person().id, Route.channel_id == channel.id))  # fmt: skip
    bot = str(told.get("username") or "")
    return render_template(
        "routes/link.html",
        active="routes.index",
        channel=channel,
        code=code,
        bot=bot,
        link=f"https://t.me/{bot}?start={code}",
        have=have,
        until=now() + CODE_LASTS,
    )


def _send_code(route: Route) -> str:
    """A fresh code on its way to the address; the id of the test that carries it."""
    session, code = store.session(), fresh()
    session.execute(remove(Linking).where(Linking.expires_at < now()))
    session.add(
        Linking(
            code=fingerprint.of(f"route:{route.id}:{_bare(code)}"),
            channel_id=route.channel_id,
            person_id=access.person().id,
            made_by=access.person().id,
            expires_at=now() + CODE_LASTS,
        )
    )
    return trials.of_route(route.id, code=code, language=language.choose()).id


def _too_many() -> bool:
    """Whether this person had so many codes sent that it is enough for now."""
    live = select(func.count()).select_from(Linking).where(Linking.made_by == access.person().id, Linking.expires_at > now())  # fmt: skip
    return (store.session().scalar(live) or 0) >= CODES


def fresh() -> str:
    """A code: two times five letters, about 49 bits, good for half an hour."""
    return "-".join("".join(random.choice(LETTERS) for _ in range(5)) for _ in range(2))


def _bare(code: str) -> str:
    return "".join(c for c in code.lower()[:100] if c.isalnum())


def _home(route: Route) -> str:
    return url_for("routes.index") if route.person_id is not None else url_for("policies.index")


def _own(route_id: int) -> Route:
    """One route of this person; an administrator also reaches those of groups. Any other is 404."""
    route = store.session().get(Route, route_id, options=[joinedload(Route.channel)])
    if route is None:
        abort(404)
    group = route.person_id is None and access.can(Right.ADMIN)
    if route.person_id != access.person().id and not group:
        abort(404)
    return route


def _channel(channel_id: int) -> Channel:
    """A channel a person can have an address on."""
    found = store.session().get(Channel, channel_id)
    kind = catalogue().get(found.kind) if found else None
    if found is None or kind is None or not found.enabled or not kind.persons or found.kind == PUSH:
        abort(404)
    return found
