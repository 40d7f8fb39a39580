"""How messages are worded: templates of one's own, tried on what really happened before they are kept."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from psycopg.rows import dict_row
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from werkzeug.wrappers import Response

from domain.clock import now
from domain.inventory import Host
from domain.recipients import Wording
from domain.records import Notice
from notifier.channels.base import Message
from notifier.message import KINDS, LONGEST_TEMPLATE, Reader, WordingRefused, preview, variables, word
from notifier.speech import Speech
from notifier.story import Story, stories
from webui import access, deliveries, store
from webui.draft import Draft
from webui.forms import Field
from webui.language import LANGUAGES, gettext
from webui.wording import clock

blueprint = Blueprint("wordings", __name__, url_prefix="/wordings")

TRIED_ON = 20
"""Notices offered to try a wording on."""
LONGEST_TITLE = 300
WORDED = tuple(kind for kind in KINDS if kind != "digest")
"""What can be worded; a digest is put together."""


@blueprint.get("")
@access.admin
def index() -> str:
    """Every kind of message, and which are worded here."""
    own = {(row.kind, row.language): row for row in store.session().scalars(select(Wording))}
    return render_template(
        "wordings/index.html", active="wordings.index", kinds=WORDED, titles=deliveries.KINDS, own=own, spoken=LANGUAGES
    )


@blueprint.route("/<kind>/<language>", methods=["GET", "POST"])
@access.admin
def edit(kind: str, language: str) -> Response | str | tuple[str, int]:
    """Word one kind in one language, or have it as it comes; `preview` keeps nothing."""
    if kind not in WORDED or language not in LANGUAGES:
        abort(404)
    session = store.session()
    row = session.get(Wording, (kind, language))
    if request.method == "POST" and request.form.get("do") == "usual":
        if row is not None:
            session.delete(row)
            session.commit()
        flash(gettext("It is worded as it comes."), "good")
        return redirect(url_for("wordings.index"), 303)
    told = _notices(kind)
    story, reader = _story(kind, told), Reader(Speech(language, store.settings().zone), store.settings().home())
    usual = word([story], reader, "preview", now())
    draft = Draft(request.form if request.method == "POST" else None)
    names = _named(told)
    title = draft.text(Field("title", gettext("Title"), value=row.title if row else "{{ name }}: {{ state }}", required=True), LONGEST_TITLE)  # fmt: skip
    body = draft.text(Field("body", gettext("Text"), "lines", value=row.body if row else "{{ state }} {{ since }}. {{ cause }}", required=True), LONGEST_TEMPLATE)  # fmt: skip
    tried = None
    if title and body and (request.method == "GET" or draft.good):
        tried = _tried(draft, (title, body), story, reader)
    if draft.good and tried is not None and request.form.get("do") != "preview":
        values: dict[str, Any] = {"title": title, "body": body, "changed_by": access.person().id, "changed_at": now()}
        made = insert(Wording).values(kind=kind, language=language, **values)
        session.execute(made.on_conflict_do_update(index_elements=["kind", "language"], set_=values))
        session.commit()
        flash(gettext("The wording is kept."), "good")
        return redirect(url_for("wordings.index"), 303)
    page = render_template(
        "wordings/form.html",
        active="wordings.index",
        kind=kind,
        language_of=language,
        titles=deliveries.KINDS,
        spoken=LANGUAGES,
        row=row,
        draft=draft,
        tried=tried,
        usual=usual,
        values=variables(story, reader, now()),
        notices=[(one.id, f"{clock(one.at)} {names.get(one.host_id, '')}".strip()) for one in told],
        chosen=story.notice,
    )
    return page if request.method == "GET" or tried is not None else (page, 422)


def _named(told: list[Notice]) -> dict[int | None, str]:
    """The names of the machines these notices are about."""
    ids = {one.host_id for one in told if one.host_id}
    return {id: name for id, name in store.session().execute(select(Host.id, Host.name).where(Host.id.in_(ids)))}  # noqa: C416


def _tried(draft: Draft, wording: tuple[str, str], story: Story, reader: Reader) -> Message | None:
    """The message this wording makes; None, with the reason beside the text, where it makes none."""
    try:
        return preview(wording, story, reader, now())
    except WordingRefused as error:
        draft.blame("body", str(error))
        return None


def _notices(kind: str) -> list[Notice]:
    """The newest notices of this kind."""
    chosen = select(Notice).where(Notice.kind == kind).order_by(Notice.id.desc()).limit(TRIED_ON)
    return list(store.session().scalars(chosen))


def _story(kind: str, told: list[Notice]) -> Story:
    """What a wording is tried on: the notice that was chosen, the newest one, or an invented one."""
    asked = request.values.get("notice", "")
    ids = [one.id for one in told]
    wanted = int(asked) if asked.isascii() and asked.isdigit() and len(asked) < 18 and int(asked) in ids else (ids or [0])[0]  # fmt: skip
    if wanted:
        line = store.session().connection().connection.driver_connection
        assert line is not None
        with line.cursor(row_factory=dict_row) as cursor:
            found = stories(cursor, [wanted])
        if found:
            return found[0]
    at = now()
    return Story(
        notice=0, kind=kind, subject="host:0", state="up" if kind in ("recovery", "flap_stop") else "down", since=at - timedelta(minutes=7), at=at,
        outage=420.0 if kind == "recovery" else None, incident=None, host=None, name="db-02", address="10.0.0.12", check="SSH",
        division="IT", site="", site_address="", latitude=None, longitude=None, cause="No answer to 5 pings.", owner="",
        note="", closing="", runbook="", behind=0, names=(), parents=(),
    )  # fmt: skip
