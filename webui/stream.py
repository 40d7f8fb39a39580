"""Live pages: one listener a process on PostgreSQL's NOTIFY, fanned out to browsers as server-sent events.

An event `changed` says only that something did (`home`, `machine:17`, `look:<id>`); the page fetches what it shows. An
event `chat` brings what was said itself: whoever reads that thread (`chat:4`) gets the message, whoever wants to know of
any of theirs (`chats`) its thread. Who may hear it is asked once for all browsers, each time something is said; what it
looks like is drawn once a language.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterator
from typing import Any

import psycopg
from flask import Blueprint, Flask, Response, current_app, request, stream_with_context
from sqlalchemy import Select, exists, select
from sqlalchemy.exc import SQLAlchemyError

from config import database
from domain.actions import Request
from domain.chat import Thread, theirs
from domain.inventory import Host
from domain.records import Incident, IncidentMember
from domain.requests import Discovery, Look, Trial
from domain.rights import Right
from webui import access, store, talking
from webui.talking import Heard

_log = logging.getLogger("web")
blueprint = Blueprint("stream", __name__)

BEAT, PACE, TRUST = 15.0, 1.0, 4.0
"""Seconds between comments on a quiet line; between two events of one client; until its session is asked for again."""
TOPICS = 8
BEHIND = 100
"""So much may be said before a browser that does not keep up is only told to look."""
EACH = 24
"""Live lines of one person at once: windows on several devices, and no more than leaves the others theirs."""


class Hub:
    """Who listens to what. The listener thread is started with the first client and lasts as long as the process."""

    def __init__(self, url: str, limit: int, ears: talking.Ears | None = None) -> None:
        self._url, self._limit, self._ears = url, limit, ears
        self._lock, self._clients = threading.Lock(), set[Client]()
        self.drawings = talking.Drawings()
        self._thread: threading.Thread | None = None

    @property
    def listening(self) -> int:
        """How many browsers listen now."""
        return len(self._clients)

    def join(self, topics: frozenset[str], person_id: int) -> Client | None:
        """A new client, or None when there is no room."""
        with self._lock:
            own = [one for one in self._clients if one.person_id == person_id]
            if len(own) >= EACH or len(self._clients) >= self._limit:
                return None
            client = Client(topics, person_id)
            self._clients.add(client)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._listen, name="live", daemon=True)
                self._thread.start()
            return client

    def leave(self, client: Client) -> None:
        """The client is gone."""
        with self._lock:
            self._clients.discard(client)

    def tell(self, topics: set[str]) -> None:
        """Something about these topics changed."""
        with self._lock:
            for client in self._clients:
                client.tell(topics)

    def doubt(self, person: str) -> None:
        """A session of this person ended: each of their browsers is asked for its session again at once."""
        with self._lock:
            for client in self._clients:
                if str(client.person_id) == person:
                    client.doubt()

    def said(self, heard: Heard) -> None:
        """Something was said: whoever listens there and may hear it, hears it."""
        with self._lock:
            clients = [one for one in self._clients if heard.topics & one.topics]
        allowed = self._ears.allowed(heard, {one.person_id for one in clients}) if clients and self._ears else set()
        for client in clients:
            if client.person_id in allowed:
                client.hear(heard)

    def _listen(self) -> None:
        """Hear PostgreSQL; after every interruption everybody is told to look again."""
        while True:
            try:
                with database.listening(
                    self._url, "recorded", "look", "inventory", "incident", "action", "session", "chat"
                ) as heard:
                    self.tell({"*"})
                    for notice in heard.notifies():
                        if notice.channel == "session":
                            self.doubt(notice.payload)
                            continue
                        if notice.channel == "chat":
                            self._pass_on(notice.payload)
                            continue
                        self.tell(topics_of(notice.channel, notice.payload))
            except psycopg.Error as error:
                _log.debug("The live line to PostgreSQL is down (%s).", type(error).__name__)
            self.tell({"*"})
            time.sleep(2)

    def _pass_on(self, payload: str) -> None:
        """What was said; where nobody can be asked who may hear it, whoever listens is told to look, and is asked then."""
        heard = talking.heard(payload)
        try:
            self.said(heard)
        except SQLAlchemyError:
            self.tell(set(heard.topics))


class Client:
    """One browser's wish list and what it has not been told yet."""

    def __init__(self, topics: frozenset[str], person_id: int) -> None:
        self.topics, self.person_id = topics, person_id
        self.doubted = False
        self._waiting: set[str] = set()
        self._heard: list[Heard] = []
        self._ready = threading.Event()
        self._lock = threading.Lock()

    def tell(self, topics: set[str]) -> None:
        """Remember what of this the client wants to know: told once, however often it happens meanwhile."""
        wanted = self.topics if "*" in topics else self.topics & topics
        if wanted:
            with self._lock:
                self._waiting |= wanted
                self._ready.set()

    def hear(self, heard: Heard) -> None:
        """Something was said that is theirs to hear. Who does not keep up is told to look instead."""
        with self._lock:
            if len(self._heard) < BEHIND:
                self._heard.append(heard)
            else:
                self._waiting |= self.topics & heard.topics
            self._ready.set()

    def doubt(self) -> None:
        """Whether this browser may still listen is to be asked now."""
        self.doubted = True
        self._ready.set()

    def wait(self, seconds: float) -> tuple[set[str], list[Heard]]:
        """What changed, and what was said; nothing after so many seconds of silence."""
        if not self._ready.wait(seconds):
            return set(), []
        with self._lock:
            self._ready.clear()
            told, self._waiting = self._waiting, set()
            heard, self._heard = self._heard, []
        return told, heard


def topics_of(channel: str, payload: str) -> set[str]:
    """What a notification is about. What cannot be read concerns everybody."""
    if channel == "look":
        return {f"look:{payload}"}
    if channel == "incident":
        return {"home", "incidents", f"incident:{payload}"}
    if channel == "inventory":
        return {"home", "machines"}
    if channel == "action":
        return {"requests", f"request:{payload}"}
    if channel == "action":
        return {"requests", f"request:{payload}"}
    try:
        told: dict[str, Any] = json.loads(payload)
        topics = {f"machine:{int(host)}" for host in told["hosts"]} | {"machines"}
        return topics | ({"home", "incidents"} if told["changed"] else set())
    except (ValueError, KeyError, TypeError):
        return {"*"}


def install(app: Flask, url: str, limit: int) -> None:
    """One hub a process."""
    app.extensions["hub"] = Hub(url, limit, talking.Ears(app.extensions["sessions"]))


@blueprint.get("/events")
@access.signed_in
def events() -> Response:
    """`?topic=home&topic=machine:17`: an event for each change, its data the topic."""
    hub: Hub = current_app.extensions["hub"]
    client = hub.join(frozenset(request.args.getlist("topic")[:TOPICS]), access.person().id)
    if client is None:
        return Response("", 503, {"Retry-After": "5"})
    missed = talking.missed(client.topics, request.headers.get("Last-Event-ID", ""))
    store.session().close()  # a stream holds no connection of the pool; who it is for is known all the same
    answer = Response(stream_with_context(_lines(hub, client, missed)), mimetype="text/event-stream")
    answer.headers["Cache-Control"] = "no-store"
    answer.headers["X-Accel-Buffering"] = "no"
    return answer


def _lines(hub: Hub, client: Client, missed: list[Heard]) -> Iterator[str]:
    quiet = trusted = time.monotonic()
    told, waiting = 0.0, set[str]()
    try:
        yield "retry: 3000\n\n"
        yield from _spoken(hub, client, missed)
        while True:
            pause = max(0.0, told + PACE - time.monotonic()) if waiting else TRUST
            changed, heard = client.wait(min(pause, TRUST))
            waiting |= changed
            now = time.monotonic()
            if client.doubted or now - trusted >= TRUST:
                client.doubted = False
                if not _trusted():
                    yield "event: ended\ndata: session\n\n"
                    return
                trusted = now
            yield from _spoken(hub, client, heard)
            if waiting and now - told >= PACE:
                for topic in _theirs(sorted(waiting)):
                    yield f"event: changed\ndata: {topic}\n\n"
                waiting, told = set(), now
            if waiting or heard or told == now:
                quiet = now
            elif now - quiet >= BEAT:
                yield ": still here\n\n"
                quiet = now
    finally:
        hub.leave(client)


def _spoken(hub: Hub, client: Client, heard: list[Heard]) -> Iterator[str]:
    """What was said, for this reader; where it cannot be drawn now, that there is something to look at."""
    for one in heard:
        try:
            said = hub.drawings.data(one, f"chat:{one.thread}" in client.topics)
        except SQLAlchemyError:
            yield f"event: changed\ndata: chat:{one.thread}\n\n"
            continue
        finally:
            store.session().close()
        yield f"id: {one.thread}-{one.turn}\nevent: chat\ndata: {said}\n\n"


ASKED = ("machine", "incident", "look", "chat", "request")
"""Topics that name something not everybody may know of."""


def _theirs(topics: list[str]) -> list[str]:
    """Those of the topics that are this person's to know of, asked anew for each event; no connection is held afterwards.

    That something happens to a machine, an incident or a look tells that it exists.
    """
    named = {topic: topic.partition(":") for topic in topics}
    asked = {kind: {rest for one, _, rest in named.values() if one == kind} for kind in ASKED}
    if not any(asked.values()):
        return topics
    try:
        if access.again() is None:
            return []
        session, found = store.session(), set[str]()
        for kind, ids in asked.items():
            found |= {f"{kind}:{id}" for id in session.scalars(_visible(kind, ids))} if ids else set()
    except SQLAlchemyError:
        return []
    finally:
        store.session().close()
    return [topic for topic in topics if named[topic][0] not in asked or topic in found]


def _visible(kind: str, ids: set[str]) -> Select[Any]:
    """The ids of this kind, as texts, that whoever listens may know of."""
    person = access.person()
    if kind == "look":
        looks = select(Look.id).where(Look.id.in_(ids), Look.asked_by == person.id)
        return looks.union_all(
            select(Discovery.id).where(Discovery.id.in_(ids), Discovery.asked_by == person.id),
            select(Trial.id).where(Trial.id.in_(ids), Trial.asked_by == person.id),
        )  # type: ignore[return-value]
    numbers = [int(id) for id in ids if id.isascii() and id.isdigit() and len(id) < 10]
    if kind == "chat":
        return select(Thread.id).where(Thread.id.in_(numbers), theirs(person))
    if kind == "request":
        mine = Host.id == Request.host_id, access.visible(person)
        return select(Request.id).where(Request.id.in_(numbers), exists().where(*mine))
    if kind == "request":
        near = exists().where(Host.id == Request.host_id, access.visible(person))
        return select(Request.id).where(Request.id.in_(numbers), near)
    if kind == "machine":
        return select(Host.id).where(Host.id.in_(numbers), access.visible(person))
    if access.can(Right.SEE):
        return select(Incident.id).where(Incident.id.in_(numbers))
    visible = access.visible(person)
    behind = exists().where(IncidentMember.incident_id == Incident.id, IncidentMember.host_id == Host.id, visible)
    return select(Incident.id).where(
        Incident.id.in_(numbers),
        exists().where(Host.id == Incident.host_id, visible) | behind,
    )


def _trusted() -> bool:
    """Whether whoever listens may still: a logout closes the line. While the database is away nobody is put out."""
    try:
        return access.still_in()
    except SQLAlchemyError:
        return True
