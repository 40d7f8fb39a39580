"""What is said, on its way to the browsers that listen: who may hear it, and what it looks like to each."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from flask import render_template
from flask_babel import get_timezone
from sqlalchemy import select, text
from sqlalchemy.orm import Session, sessionmaker

from domain.chat import Message, Thread, heard_by, theirs
from domain.clock import now
from domain.inventory import Person
from webui import access, charted, chatlines, saying, store, threads
from webui.language import locale

KEPT = 500
"""Drawn messages that are kept for the next browser."""
MISSED = 100
"""What was said meanwhile is sent after at most so many; whoever missed more looks."""


@dataclass(frozen=True)
class Heard:
    """Something was said in a thread, as the database tells: nothing of it but numbers."""

    thread: int
    message: int
    turn: int
    kind: str

    @property
    def topics(self) -> frozenset[str]:
        """Who wants to hear of it: its readers, and of what people say everybody who may."""
        own = f"chat:{self.thread}"
        return frozenset({own, "chats"} if self.kind == "said" else {own})


def heard(payload: str) -> Heard:
    """A notification as the database writes it (migration "What people say to each other")."""
    thread, message, turn, kind = payload.split()
    return Heard(int(thread), int(message), int(turn), kind)


class Ears:
    """Who may hear: asked anew each time something is said, in one question for all who listen."""

    def __init__(self, sessions: sessionmaker[Session]) -> None:
        self._sessions = sessions

    def allowed(self, heard: Heard, people: set[int]) -> set[int]:
        """Those of the people who may read in this thread now."""
        with self._sessions() as session:
            session.execute(text("select set_config('pantau.person', :who, true)"), {"who": str(store.HOUSE)})
            asked = select(Person.id).where(Person.id.in_(people), Person.id.in_(heard_by(heard.thread)))
            return set(session.scalars(asked))


def missed(topics: frozenset[str], last: str) -> list[Heard]:
    """What was said since the last event a browser got (`thread-turn`), in a thread it listens to and may."""
    thread, _, turn = last.partition("-")
    if f"chat:{thread}" not in topics or not _number(thread) or not _number(turn):
        return []
    wanted = (
        select(Message.thread_id, Message.id, Message.turn, Message.kind)
        .join(Thread, Thread.id == Message.thread_id)
        .where(Thread.id == int(thread), theirs(access.person()), Message.turn > int(turn))
        .order_by(Message.turn)
        .limit(MISSED)
    )
    found = store.session().execute(wanted).all()
    return [Heard(of, message, last or 0, kind) for of, message, last, kind in found]


def _number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 19


class Drawings:
    """Messages as they look, drawn by the first who asks, once a language and clock; whoever else listens takes the same."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[int, int, str, str], dict[str, Any]] = OrderedDict()
        self._lock = threading.Lock()

    def data(self, heard: Heard, whole: bool) -> str:
        """The data of an event, as JSON: {"thread", "turn", "kind", "author", "new"}, and for readers what `told` says."""
        answer: dict[str, Any] = {"thread": heard.thread, "turn": heard.turn, "kind": heard.kind}
        found = self._drawn(heard)
        if whole:
            return json.dumps(answer | found)
        return json.dumps(answer | {"author": found.get("author"), "new": found.get("new", False)})

    def _drawn(self, heard: Heard) -> dict[str, Any]:
        key = (heard.message, heard.turn, str(locale()), str(get_timezone()))
        with self._lock:
            found = self._kept.get(key)
            if found is None:
                found = self._kept[key] = _drawing(heard)
                while len(self._kept) > KEPT:
                    self._kept.popitem(last=False)
            return found


def _drawing(heard: Heard) -> dict[str, Any]:
    row = store.session().scalar(
        select(Message).where(Message.id == heard.message).execution_options(populate_existing=True)
    )
    return told(threads.said([row])[0], heard.turn) if row is not None and row.number is not None else {}


def told(one: threads.Said, turn: int | None = None) -> dict[str, Any]:
    """A message for the page's script: {"number", "turn", "author", "new", "html"}; `new` where it was not there before."""
    row = one.row
    return {
        "number": row.number,
        "turn": row.turn,
        "author": row.author_id,
        "new": row.number == (turn or row.turn) and row.kind == "said",
        "html": markup([one]),
    }


def markup(said: list[threads.Said]) -> str:
    """Messages as they stand in the page, the same for all readers of one language: whose they are the page marks."""
    return render_template("chat/messages.html", said=said, me=None, **parts())


def parts() -> dict[str, Any]:
    """What the template of messages needs beside them."""
    return {"lines": chatlines, "charted": charted.shown, "until": _until}


def _until(row: Message) -> str:
    """Until when its author may change it, for the page's script; empty where nobody may."""
    end = row.at + saying.EDITABLE
    return end.isoformat() if row.kind == "said" and row.gone_at is None and end > now() else ""
