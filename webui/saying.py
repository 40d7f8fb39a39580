"""What a person does in a thread: say something, put it better, take it back. A refusal is a Refused with one sentence.

Each function changes rows in the session of the request and leaves committing to its caller.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert

from domain.chat import CLIENT, LONGEST, MENTIONS, Mention, Message, Picture, named, plain
from domain.clock import now
from domain.inventory import Person
from webui import access, audited, drawn, store, threads
from webui.handling import Refused
from webui.language import gettext

SHAPE = re.compile(rf"[A-Za-z0-9_-]{{8,{CLIENT}}}")
"""What a sender may call a message."""
EDITABLE = timedelta(minutes=15)
"""So long one may put what one said better, or take it back."""
MINUTE, BUSY = timedelta(minutes=1), 60
"""So many messages of one person in so long are enough."""
LARGEST, PICTURES = 5 << 20, 4
"""Bytes of one picture as it is sent; pictures of one message."""


def say(
    thread_id: int, body: str, client: str, pictures: Sequence[bytes] = (), detail: dict[str, Any] | None = None
) -> Message:
    """A message, once however often it is sent: with the same `client` of the same person it is the one there is."""
    session, me = store.session(), access.person()
    if not SHAPE.fullmatch(client):
        raise Refused(gettext("This message has no name of its own. Please open the page again and send it once more."))
    before = _sent(client)
    if before is not None:
        return before
    text = _checked(body, bool(pictures or detail))
    images = [_drawn(picture) for picture in pictures]
    _hurry(me)
    row = (
        insert(Message)
        .values(
            thread_id=thread_id, kind="said", author_id=me.id, author=me.name, client=client, body=text,
            detail=detail or {},
        )
        .on_conflict_do_nothing(index_elements=[Message.author_id, Message.client])
        .returning(Message.id)
    )  # fmt: skip
    id = session.scalar(row)
    if id is None:  # sent twice at once, and the other one was first
        before = _sent(client)
        assert before is not None
        return before
    session.add_all(Picture(message_id=id, width=one.width, height=one.height, image=one.jpeg) for one in images)
    _name(thread_id, id, text)
    return session.get_one(Message, id)


def edit(message: Message, body: str) -> None:
    """Other words for one's own message, for a while."""
    _own(message)
    text = _checked(body, bool(message.detail) or _has_picture(message))
    if text == message.body:
        return
    message.body, message.edited_at = text, now()
    store.session().flush()
    _name(message.thread_id, message.id, text)
    audited.note("chat.edited", f"thread:{message.thread_id}", message=message.id)


def take_back(message: Message) -> None:
    """Nothing of it is left but that it was there."""
    _own(message)
    message.body, message.detail, message.gone_at = "", {}, now()
    store.session().execute(delete(Picture).where(Picture.message_id == message.id))
    audited.note("chat.taken_back", f"thread:{message.thread_id}", message=message.id)


def changeable(message: Message, moment: datetime | None = None) -> bool:
    """Whether whoever asks may still change it."""
    young = message.at > (moment or now()) - EDITABLE
    return message.kind == "said" and message.author_id == access.person().id and message.gone_at is None and young


def _own(message: Message) -> None:
    if message.kind != "said" or message.author_id != access.person().id:
        raise Refused(gettext("This is not your message."))
    if message.gone_at is not None:
        raise Refused(gettext("This message was taken back already."))
    if not changeable(message):
        raise Refused(
            gettext("A message can be changed for %(minutes)s minutes.", minutes=int(EDITABLE.total_seconds() // 60))
        )


def _sent(client: str) -> Message | None:
    wanted = select(Message).where(Message.author_id == access.person().id, Message.client == client)
    return store.session().scalar(wanted)


def _checked(body: str, more: bool) -> str:
    """What is kept of a text; where there is nothing to it, there is to be more than the text."""
    text = plain(body)
    if not text and not more:
        raise Refused(gettext("Please write something first."))
    if len(text) > LONGEST:
        raise Refused(
            gettext(
                "A message has at most %(most)s characters; this one has %(count)s. Send it in parts.",
                most=LONGEST, count=len(text),
            )
        )  # fmt: skip
    return text


def _hurry(me: Person) -> None:
    """Refuse whoever floods."""
    recent = select(func.count()).select_from(Message).where(Message.author_id == me.id, Message.at > now() - MINUTE)
    if (store.session().scalar(recent) or 0) >= BUSY:
        raise Refused(gettext("You sent %(count)s messages within a minute. Wait a moment.", count=BUSY))


def _drawn(file: bytes) -> drawn.Drawing:
    if len(file) > LARGEST:
        raise Refused(gettext("This picture is larger than 5 MiB."))
    try:
        return drawn.whole(file)
    except drawn.BadPicture as bad:
        if bad.reason == "size":
            raise Refused(gettext("This picture has more than 20 million points; make it smaller first.")) from None
        raise Refused(gettext("This is no picture Pantau can read: it takes JPEG, PNG, WebP and GIF.")) from None


def _has_picture(message: Message) -> bool:
    return store.session().scalar(select(Picture.id).where(Picture.message_id == message.id).limit(1)) is not None


def _name(thread_id: int, message_id: int, text: str) -> None:
    """Keep whom the text names, of those who may read it; nobody is told twice."""
    logins = named(text)
    if not logins:
        return
    told = [id for id, login, _ in threads.people(thread_id) if login in logins][:MENTIONS]
    if told:
        rows = [{"message_id": message_id, "person_id": id} for id in told]
        store.session().execute(insert(Mention).on_conflict_do_nothing(), rows)
