"""Chat: who needs my answer. A list of threads, one thread with its composer, and the small answers its script asks for.

Everything is a plain form and works so; the script only sends the same forms without leaving the page, and hears what
is said by the stream. A message carries a name its sender gave it, so that sending it again is not saying it again.
"""

from __future__ import annotations

import secrets

from flask import Blueprint, Response, abort, flash, g, jsonify, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.wrappers import Response as Plain

from domain.chat import LONGEST, Message, Picture, Thread
from domain.inventory import Host
from domain.records import Incident
from webui import access, charted, joints, saying, store, talking, threads, uploads
from webui.handling import Refused

blueprint = Blueprint("chat", __name__, url_prefix="/chat")

ROOM = 64 << 10
"""What a form takes beside its pictures."""
LONGEST_SEARCH = 200


@blueprint.get("")
@access.signed_in
def index() -> str:
    """The threads, the latest first; or what was found of what is searched for."""
    words = request.args.get("q", "").strip()[:LONGEST_SEARCH]
    begin = request.args.get("with", "").strip()[:LONGEST_SEARCH]
    places = threads.listed()
    return render_template(
        "chat/index.html",
        active="chat.index",
        places=places,
        words=words,
        begin=begin,
        found=threads.found(words) if words else [],
        offered=threads.offered(begin) if begin or len(places) < 2 else [],
        parts_of=talking.parts(),
    )


@blueprint.get("/<int:thread_id>")
@access.signed_in
def show(thread_id: int) -> str:
    """One thread: from where this person stopped reading, or the newest."""
    return _page(threads.one(thread_id))


@blueprint.post("/<int:thread_id>")
@access.signed_in
@uploads.takes(saying.PICTURES * saying.LARGEST + ROOM)
def say(thread_id: int) -> ResponseReturnValue:
    """Say something. Where it is refused the page is shown again with what was typed."""
    place = threads.one(thread_id)
    files = [sent.read(saying.LARGEST + 1) for sent in request.files.getlist("picture")[: saying.PICTURES] if sent]
    body, client = request.form.get("text", ""), request.form.get("client", "")
    try:
        said = saying.say(thread_id, body, client, [file for file in files if file])
    except Refused as refusal:
        store.session().rollback()
        return _refused(place, str(refusal), body)
    return _done(thread_id, said)


@blueprint.post("/<int:thread_id>/chart")
@access.signed_in
def chart(thread_id: int) -> ResponseReturnValue:
    """The last hour of the machine it is about, as it is now."""
    place = threads.one(thread_id)
    host = _machine(place.row)
    if host is None:
        abort(404)
    try:
        said = saying.say(thread_id, "", request.form.get("client", ""), (), charted.taken(host))
    except Refused as refusal:
        store.session().rollback()
        return _refused(place, str(refusal), "")
    return _done(thread_id, said)


@blueprint.get("/<int:thread_id>/messages")
@access.signed_in
def news(thread_id: int) -> Response:
    """What was said or changed since a turn, or before a number: {"messages": [as talking.told], "more": whether there are}."""
    threads.one(thread_id)
    before, after = request.args.get("before", 0, int), request.args.get("after", 0, int)
    found = (
        threads.told(thread_id, before=before) if before else threads.told(thread_id, after=after, count=talking.MISSED)
    )
    more = len(found) == (threads.PAGE if before else talking.MISSED)
    return jsonify(messages=[talking.told(one) for one in found], more=more)


@blueprint.get("/<int:thread_id>/people")
@access.signed_in
def people(thread_id: int) -> Response:
    """Whom one can name there: [{"login", "name"}]."""
    threads.one(thread_id)
    return jsonify(people=[{"login": login, "name": name} for _, login, name in threads.people(thread_id)])


@blueprint.post("/<int:thread_id>/read")
@access.signed_in
def read(thread_id: int) -> ResponseReturnValue:
    """They have read up to a message."""
    place = threads.one(thread_id)
    threads.read(thread_id, min(request.form.get("number", 0, int), place.row.turn))
    store.session().commit()
    if _script():
        return jsonify(unread=total())
    return redirect(url_for("chat.index"), 303)


@blueprint.route("/<int:thread_id>/messages/<int:message_id>", methods=["GET", "POST"])
@access.signed_in
def edit(thread_id: int, message_id: int) -> ResponseReturnValue:
    """Other words for one's own message."""
    message = threads.message(thread_id, message_id)
    place, wrong, body = threads.one(thread_id), "", message.body
    if request.method == "POST":
        body = request.form.get("text", "")
        try:
            saying.edit(message, body)
        except Refused as refusal:
            store.session().rollback()
            wrong = str(refusal)
        else:
            store.session().commit()
            return redirect(url_for("chat.show", thread_id=thread_id, _anchor=f"m{message.number}"), 303)
    if message.author_id != access.person().id or message.gone_at is not None:
        abort(404)
    page = render_template("chat/edit.html", active="chat.index", place=place, message=message, body=body, wrong=wrong)
    return (page, 422) if wrong else page


@blueprint.post("/<int:thread_id>/messages/<int:message_id>/remove")
@access.signed_in
def remove(thread_id: int, message_id: int) -> Plain:
    """Take one's own message back."""
    message = threads.message(thread_id, message_id)
    try:
        saying.take_back(message)
    except Refused as refusal:
        store.session().rollback()
        flash(str(refusal), "bad")
    else:
        store.session().commit()
    return redirect(url_for("chat.show", thread_id=thread_id, _anchor=f"m{message.number}"), 303)


@blueprint.get("/<int:thread_id>/pictures/<int:picture_id>")
@access.signed_in
def picture(thread_id: int, picture_id: int) -> Response:
    """A picture of a message, for whoever may read the message."""
    image = store.session().scalar(
        select(Picture.image)
        .join(Message, Message.id == Picture.message_id)
        .join(Thread, Thread.id == Message.thread_id)
        .where(Picture.id == picture_id, Thread.id == thread_id, threads.mine())
    )
    if image is None:
        abort(404)
    answer = Response(image, mimetype="image/jpeg")
    answer.headers["Content-Security-Policy"] = "default-src 'none'; sandbox"
    answer.headers["Content-Disposition"] = "inline; filename=picture.jpg"
    answer.headers["Cache-Control"] = "private, max-age=86400, immutable"
    return answer


@blueprint.get("/machine/<int:host_id>")
@access.signed_in
def machine(host_id: int) -> Plain:
    """To the thread of a machine."""
    return _to(threads.about(Thread.host_id, host_id))


@blueprint.get("/incident/<int:incident_id>")
@access.signed_in
def incident(incident_id: int) -> Plain:
    """To the thread of an incident."""
    return _to(threads.about(Thread.incident_id, incident_id))


@blueprint.get("/division/<int:division_id>")
@access.signed_in
def division(division_id: int) -> Plain:
    """To the thread of a division."""
    return _to(threads.about(Thread.division_id, division_id))


@blueprint.get("/administrators")
@access.signed_in
def direct() -> Plain:
    """To one's own thread with the administrators."""
    return _to(threads.own())


def total() -> int:
    """How many messages somebody has not read, for the mark in the bar; no page fails for it."""
    if g.get("person") is None:
        return 0
    try:
        return sum(threads.unread().values())
    except SQLAlchemyError:
        return 0


def waiting(kind: str, number: int) -> int:
    """How many messages somebody has not read in the thread of a machine, an incident or a division."""
    column = {"machine": Thread.host_id, "incident": Thread.incident_id, "division": Thread.division_id}[kind]
    thread = store.session().scalar(select(Thread.id).where(column == number))
    return threads.unread([thread]).get(thread, 0) if thread is not None else 0


def _page(place: threads.Place, body: str = "", wrong: str = "") -> str:
    number = request.args.get("at", 0, int)
    before = request.args.get("before", 0, int)
    said = threads.around(place.id, number) if number else threads.told(place.id, before=before or None)
    return render_template(
        "chat/show.html",
        active="chat.index",
        place=place,
        said=said,
        older=len(said) >= threads.PAGE // 3,
        newest=not (before or number) or not said or (said[-1].row.number or 0) >= place.row.turn,
        seen=threads.read_until(place.id),
        body=body,
        wrong=wrong,
        client=secrets.token_urlsafe(18),
        longest=LONGEST,
        machine=_machine(place.row),
        me=access.person().id,
        joint=joints.of(place.id),
        **talking.parts(),
    )


def _machine(thread: Thread) -> Host | None:
    """The machine a thread is about, if this person may see it."""
    id = thread.host_id
    if thread.incident_id is not None:
        case = store.session().get(Incident, thread.incident_id)
        id = case.host_id if case is not None else None
    if id is None:
        return None
    return store.session().scalar(select(Host).where(Host.id == id, access.visible(access.person())))


def _done(thread_id: int, said: Message) -> ResponseReturnValue:
    """It is said, and whoever said it has read so far."""
    store.session().commit()
    store.session().refresh(said)
    threads.read(thread_id, said.number or 0)
    store.session().commit()
    if _script():
        return jsonify(talking.told(threads.said([said])[0]))
    return redirect(url_for("chat.show", thread_id=thread_id, _anchor=f"m{said.number}"), 303)


def _refused(place: threads.Place, why: str, body: str) -> ResponseReturnValue:
    if _script():
        return jsonify(error=why), 422
    return _page(place, body, why), 422


def _to(thread: Thread) -> Plain:
    return redirect(url_for("chat.show", thread_id=thread.id))


def _script() -> bool:
    """Whether the page's own script asks."""
    return request.accept_mimetypes.best_match(["text/html", "application/json"]) == "application/json"
