"""Joining a thread to a Telegram chat, and parting them: an administrator makes a code, and brings it into the chat."""

from __future__ import annotations

from flask import Blueprint, flash, redirect, render_template, request, url_for
from sqlalchemy import delete, select
from werkzeug.wrappers import Response

from domain import chat, fingerprint
from domain.chat import Joint
from domain.clock import now
from domain.recipients import Channel, Linking
from webui import access, audited, routes, store, threads
from webui.language import gettext

blueprint = Blueprint("joints", __name__, url_prefix="/chat/<int:thread_id>/telegram")


@blueprint.get("")
@access.admin
def show(thread_id: int) -> str:
    """Whether the thread goes on in Telegram, and how to let it."""
    return _page(threads.one(thread_id))


@blueprint.post("")
@access.admin
def make(thread_id: int) -> str | Response:
    """A code, shown once; whoever brings it into a group with the bot joins that group, or the topic it is said in."""
    place, session = threads.one(thread_id), store.session()
    channel = next((one for one in _bots() if one.id == request.form.get("channel", 0, int)), None)
    if channel is None:
        flash(gettext("Please choose a bot."), "bad")
        return redirect(url_for("joints.show", thread_id=thread_id), 303)
    me, code = access.person(), routes.fresh()
    session.execute(delete(Linking).where((Linking.expires_at < now()) | (Linking.thread_id == thread_id)))
    session.add(
        Linking(
            code=fingerprint.of(code), channel_id=channel.id, thread_id=thread_id, made_by=me.id,
            expires_at=now() + routes.CODE_LASTS,
        )
    )  # fmt: skip
    audited.note("chat.code", f"thread:{thread_id}", name=channel.name)
    session.commit()
    return _page(place, code, channel)


@blueprint.post("/part")
@access.admin
def part(thread_id: int) -> Response:
    """From now on the thread is read in Pantau alone."""
    row, session = threads.one(thread_id).row, store.session()
    if session.scalar(delete(Joint).where(Joint.thread_id == thread_id).returning(Joint.thread_id)) is not None:
        chat.line(
            session, host_id=row.host_id, incident_id=row.incident_id, division_id=row.division_id,
            kind="telegram.parted", detail={"by": access.person().name},
        )  # fmt: skip
        audited.note("chat.parted", f"thread:{thread_id}")
        session.commit()
        flash(gettext("The thread is read in Pantau alone now."), "good")
    return redirect(url_for("chat.show", thread_id=thread_id), 303)


def of(thread_id: int) -> Joint | None:
    """What the thread is joined to."""
    return store.session().get(Joint, thread_id)


def _page(place: threads.Place, code: str = "", channel: Channel | None = None) -> str:
    told = store.setting(f"bot:{channel.id}") or {} if channel else {}
    return render_template(
        "chat/telegram.html",
        active="chat.index",
        place=place,
        joint=of(place.id),
        bots=_bots(),
        code=code,
        bot=str(told.get("username") or ""),
        until=now() + routes.CODE_LASTS,
    )


def _bots() -> list[Channel]:
    wanted = select(Channel).where(Channel.enabled, Channel.kind == "telegram").order_by(Channel.name)
    return list(store.session().scalars(wanted))
