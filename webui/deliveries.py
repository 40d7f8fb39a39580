"""What was told to whom by which way, and what became of it; what could not be delivered is sent again from here."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from flask import Blueprint, flash, redirect, render_template, request, url_for
from sqlalchemy import ColumnElement, func, select, update
from werkzeug.wrappers import Response

from domain.clock import now
from domain.deliveries import STATES as KEPT
from domain.deliveries import Delivery
from domain.inventory import Host, Person
from domain.recipients import Channel, Route
from domain.records import Notice
from domain.rights import Right
from webui import access, audited, routes, store
from webui.language import gettext, lazy_gettext, reader_zone
from webui.wording import word

blueprint = Blueprint("deliveries", __name__, url_prefix="/deliveries")

PAGE = 100
AGAIN = ("dead", "dropped")
"""What can be sent again."""
RECENT = timedelta(days=7)
"""Dead letters older than this are no call to act any more."""
KINDS = {
    "problem": lazy_gettext("trouble"),
    "recovery": lazy_gettext("over"),
    "reminder": lazy_gettext("reminder"),
    "flap_start": lazy_gettext("comes and goes"),
    "flap_stop": lazy_gettext("settled"),
    "check_problem": lazy_gettext("a check cannot be made"),
    "poller_silent": lazy_gettext("nobody looks"),
    "poller_back": lazy_gettext("looking again"),
    "uplink_lost": lazy_gettext("own line gone"),
    "uplink_back": lazy_gettext("own line back"),
    "digest": lazy_gettext("digest"),
    "mention": lazy_gettext("named in the chat"),
    "job": lazy_gettext("something unattended"),
    "request": lazy_gettext("an action at a machine"),
}
"""Kinds of notices (domain.routing.NoticeKind) as people call them."""


@dataclass(frozen=True)
class Row:
    """One delivery: what it told of, to whom, by which way."""

    delivery: Delivery
    notice: Notice
    machine: str | None
    person: str | None
    channel: str | None
    route: Route | None

    @property
    def said(self) -> str:
        """What was told, in a few words."""
        kind = str(KINDS.get(self.notice.kind, self.notice.kind))
        return f"{kind}: {word(self.notice.state)}" if self.notice.kind in ("problem", "reminder") else kind


@blueprint.get("")
@access.signed_in
def index() -> str:
    """Newest first; everybody sees their own, administrators all. What is chosen stands in the address."""
    session, person = store.session(), access.person()
    whole = access.can(Right.ADMIN)
    chosen = _chosen(whole)
    wanted = found_by(whole)
    for only in chosen:
        wanted = wanted.where(only)
    before = _number("before")
    if before:
        wanted = wanted.where(Delivery.id < before)
    found = [Row(*row) for row in session.execute(wanted.order_by(Delivery.id.desc()).limit(PAGE + 1))]
    rows = found[:PAGE]
    return render_template(
        "deliveries/index.html",
        active="deliveries.index",
        whole=whole,
        rows=rows,
        following=rows[-1].delivery.id if len(found) > PAGE else None,
        where=routes.where,
        states=routes.STATES,
        again=AGAIN,
        query=request.args,
        dead=dead() if whole else 0,
        people=list(session.execute(select(Person.id, Person.name).order_by(Person.name))) if whole else [],
        channels=list(session.execute(select(Channel.id, Channel.name).order_by(Channel.name))) if whole else [],
        machines=list(
            session.execute(select(Host.id, Host.name).where(access.visible(person)).order_by(Host.name).limit(2000))
        ),
    )


@blueprint.post("/again")
@access.admin
def again() -> Response:
    """Try these once more: one, the ticked ones, or every dead letter. What needs no telling by now says so in the log."""
    session = store.session()
    one = request.form.get("one", "")
    ids = [one] if one else request.form.getlist("delivery")
    chosen: ColumnElement[bool] = Delivery.id.in_([int(id) for id in ids if id.isascii() and id.isdigit() and len(id) < 18])  # fmt: skip
    if request.form.get("do") == "dead":
        chosen = every_dead()
    done = retry(chosen)
    session.commit()
    if done:
        flash(gettext("Messages that are tried again now: %(count)s.", count=done), "good")
    else:
        flash(gettext("Nothing was left to send again: it was sent, or its address is gone."), "bad")
    return redirect(access.onward(request.form.get("next") or url_for("deliveries.index")), 303)


def found_by(whole: bool) -> Any:
    """The columns of Row: one's own messages, or with `whole` everybody's."""
    wanted = (
        select(Delivery, Notice, Host.name, Person.name, Channel.name, Route)
        .join(Notice, Notice.id == Delivery.notice_id)
        .outerjoin(Host, Host.id == Notice.host_id)
        .outerjoin(Person, Person.id == Delivery.person_id)
        .outerjoin(Channel, Channel.id == Delivery.channel_id)
        .outerjoin(Route, Route.id == Delivery.route_id)
    )
    return wanted if whole else wanted.where(Delivery.person_id == access.person().id)


def every_dead() -> ColumnElement[bool]:
    """What could not be delivered in the last days."""
    return (Delivery.state == "dead") & (Delivery.made_at > now() - RECENT)


def retry(chosen: ColumnElement[bool]) -> int:
    """Try these again where there is still an address; how many. The caller commits."""
    changed = (
        update(Delivery)
        .where(chosen, Delivery.state.in_(AGAIN), Delivery.route_id.is_not(None))
        .values(state="waiting", due_at=now(), attempts=0, leased_until=None, detail="")
        .returning(Delivery.id)
    )
    done = len(list(store.session().scalars(changed, execution_options={"synchronize_session": False})))
    if done:
        audited.note("delivery.again", count=done)
        store.announce("inventory")
    return done


def dead() -> int:
    """How many messages of the last days could not be delivered: they wait for an administrator."""
    recent = select(func.count()).select_from(Delivery).where(Delivery.state == "dead", Delivery.made_at > now() - RECENT)  # fmt: skip
    return store.session().scalar(recent) or 0


def _chosen(whole: bool) -> list[ColumnElement[bool]]:
    """The conditions the address asks for; what makes no sense is left out."""
    found: list[Any] = []
    if (state := request.args.get("state")) in KEPT:
        found.append(Delivery.state == state)
    if (machine := _number("machine")) is not None:
        found.append(Notice.host_id == machine)
    if whole and (person := _number("person")) is not None:
        found.append(Delivery.person_id == person)
    if whole and (channel := _number("channel")) is not None:
        found.append(Delivery.channel_id == channel)
    if (since := _moment("from")) is not None:
        found.append(Delivery.made_at >= since)
    if (until := _moment("to")) is not None:
        found.append(Delivery.made_at < until)
    return found


def _moment(name: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(request.args.get(name, "").strip())
        if not 2000 < found.year < 3000:
            return None
        return (found if found.tzinfo else found.replace(tzinfo=reader_zone())).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _number(name: str) -> int | None:
    text = request.args.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None
