"""Push to browsers: what installs the site, the worker that shows messages, and the ways in and out of a subscription."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from flask import Blueprint, Response, current_app, g, jsonify, request, url_for
from sqlalchemy import delete, select
from werkzeug.wrappers import Response as Plain

from config.vault import VaultError
from domain.clock import now
from domain.inventory import Person
from domain.options import fill
from domain.recipients import Channel, Route
from domain.records import Incident
from domain.rights import Right
from notifier.channels import webpush
from notifier.channels.webpush import SERVICES, Address
from webui import access, cookies, csrf, handling, store, trouble, ways
from webui.handling import Refused
from webui.language import gettext, reader_zone

blueprint = Blueprint("push", __name__)

KIND = "webpush"
COOKIE, YEAR = "push", 365 * 24 * 3600
TERM = "4h"
"""For how long one has it who presses the button of a notification, as with the button on a page."""
MOST = 20
"""Browsers of one person."""
SYSTEMS = (("iPhone", "iPhone"), ("iPad", "iPad"), ("Android", "Android"), ("Windows", "Windows"), ("Mac OS X", "Mac"), ("Linux", "Linux"))  # fmt: skip
BROWSERS = (("Edg", "Edge"), ("OPR", "Opera"), ("Firefox", "Firefox"), ("Chrome", "Chrome"), ("Safari", "Safari"))


@blueprint.get("/manifest.webmanifest")
@access.public
def manifest() -> Response:
    """What a home screen needs to know."""
    shelf = current_app.extensions["shelf"]

    def icon(name: str, sizes: str, kind: str, purpose: str = "any") -> dict[str, str]:
        return {"src": url_for("assets.give", stamp=shelf.stamp(name), name=name), "sizes": sizes, "type": kind, "purpose": purpose}  # fmt: skip

    answer = jsonify(
        id="/",
        name="Pantau",
        short_name="Pantau",
        start_url="/",
        scope="/",
        display="standalone",
        background_color="#f6f7f9",
        theme_color="#0b5cad",
        icons=[
            icon("icon.svg", "any", "image/svg+xml"),
            icon("icon-192.png", "192x192", "image/png"),
            icon("icon-512.png", "512x512", "image/png"),
            icon("icon-512.png", "512x512", "image/png", "maskable"),
        ],
    )
    answer.mimetype = "application/manifest+json"
    answer.headers["Cache-Control"] = "no-cache"
    return answer


@blueprint.get("/worker.js")
@access.public
def worker() -> Response:
    """The service worker. It lies at the root, as its scope is the site, and keeps nothing of any page."""
    body = current_app.extensions["shelf"].get("worker.js").bodies["identity"]
    answer = Response(body, mimetype="text/javascript")
    answer.headers["Cache-Control"] = "no-cache"
    answer.headers["Content-Security-Policy"] = "default-src 'none'; connect-src 'self'; img-src 'self'"
    return answer


@blueprint.get("/push/token")
@access.signed_in
def token() -> Response:
    """What the worker needs before it may change anything: bound to the session of this browser."""
    return jsonify(token=csrf.token())


@blueprint.post("/push/subscriptions")
@access.signed_in
def subscribe() -> Plain | tuple[Response, int]:
    """This browser, as it subscribed: it is the device of whoever is logged in, and of nobody else any more."""
    sent = request.get_json(silent=True)
    channel = _channel()
    if channel is None:
        return jsonify(error=gettext("No channel for push is set up.")), 409
    try:
        address = _address(sent, channel)
    except ValueError as error:
        return jsonify(error=str(error)), 422
    session, person = store.session(), access.person()
    shown = webpush.shown(address)
    same = Route.address["mark"].astext == shown["mark"]
    route = session.scalar(select(Route).where(Route.channel_id == channel.id, Route.person_id == person.id, same))
    session.execute(delete(Route).where(Route.channel_id == channel.id, Route.person_id != person.id, same))
    if route is None:
        mine = select(Route.id).where(Route.channel_id == channel.id, Route.person_id == person.id)
        for old in list(session.scalars(mine.order_by(Route.id.desc())))[MOST - 1 :]:
            session.execute(delete(Route).where(Route.id == old))
        route = Route(person_id=person.id, channel_id=channel.id, name=device(request.headers.get("User-Agent", "")))
    if route.address != shown:  # a browser sends what it has at every visit; the same needs no new box
        try:
            ways.lead(route, webpush.CHANNEL, address)
        except VaultError as error:
            return jsonify(error=str(error)), 503
        session.add(route)
    route.gone_at = None
    route.verified_at = route.verified_at or now()
    store.announce("inventory")
    session.commit()
    answer = jsonify(id=route.id)
    cookies.put(answer, COOKIE, _mark(route.id, person), YEAR)
    return answer


@blueprint.post("/push/subscriptions/end")
@access.signed_in
def unsubscribe() -> Plain:
    """Nothing is pushed to this browser any more."""
    answer = jsonify(ended=True)
    forget(answer)
    return answer


@blueprint.post("/push/acknowledge")
@access.may(Right.HANDLE)
def acknowledge() -> tuple[Response, int] | Response:
    """“I'm on it”, from a notification: by the session of this browser, of an incident this person may take in hand."""
    sent = request.get_json(silent=True)
    match = re.fullmatch(r"ack:(\d{1,18})", str(sent.get("data", "")) if isinstance(sent, dict) else "")
    session, moment = store.session(), now()
    case = trouble.one(session, access.visible(access.person()), int(match[1])) if match else None
    if case is None or not handling.may(session, case.row, access.person()):
        return jsonify(error=gettext("This incident is not there any more.")), 404
    incident = session.get(Incident, case.row.id, with_for_update=True, populate_existing=True)
    try:
        assert incident is not None
        handling.acknowledge(
            session, incident, access.person(), moment, handling.term(TERM, moment, str(reader_zone())), ""
        )
    except Refused as refusal:
        session.rollback()
        return jsonify(error=str(refusal)), 409
    store.announce("incident", str(incident.id))
    session.commit()
    return jsonify(said=gettext("You are on it; reminders are silent."))


def forget(answer: Plain) -> None:
    """This browser's subscription goes: at logout, and when it is switched off."""
    id, _, signature = cookies.read(COOKIE).partition(".")
    person: Person | None = g.get("person")
    if person is not None and id.isascii() and id.isdigit() and cookies.signed("push", f"{id}:{person.id}", signature):
        session = store.session()
        session.execute(delete(Route).where(Route.id == int(id), Route.person_id == person.id))
        store.announce("inventory")
        session.commit()
    cookies.drop(answer, COOKIE)


def device(agent: str) -> str:
    """A name for a browser: `Chrome, Android`."""
    system = next((said for word, said in SYSTEMS if word in agent), "")
    browser = next((said for word, said in BROWSERS if word in agent), "")
    return ", ".join(part for part in (browser, system) if part)


def _address(sent: object, channel: Channel) -> Address:
    """What the browser sent, if it is whole and leads to a service that is known. Raises ValueError with a sentence."""
    broken = gettext("This is no subscription of a browser.")
    keys = sent.get("keys") if isinstance(sent, dict) else None
    if not isinstance(sent, dict) or not isinstance(keys, dict) or len(str(sent.get("endpoint"))) > 2000:
        raise ValueError(broken)
    try:
        found: Address = fill(Address, {"endpoint": sent.get("endpoint"), "p256dh": keys.get("p256dh"), "auth": keys.get("auth")})  # fmt: skip
        parts = urlsplit(found.endpoint)
        host, port = (parts.hostname or "").rstrip(".").lower(), parts.port
    except (ValueError, TypeError):
        raise ValueError(broken) from None
    listed = {str(item).strip("[]").rstrip(".").lower() for item in channel.options.get("hosts", ())}
    known = any(host == item or (item.startswith(".") and host.endswith(item)) for item in SERVICES)
    if host not in listed and not (known and parts.scheme == "https" and port in (None, 443)):
        raise ValueError(gettext("%(host)s is no push service that Pantau knows; an administrator may add it to the channel.", host=host[:100]))  # fmt: skip
    return found


def _mark(route_id: int, person: Person) -> str:
    return f"{route_id}.{cookies.sign('push', f'{route_id}:{person.id}')}"


def _channel() -> Channel | None:
    return store.session().scalar(select(Channel).where(Channel.enabled, Channel.kind == KIND).order_by(Channel.id))
