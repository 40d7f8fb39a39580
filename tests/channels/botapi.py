"""A stand-in for Telegram's Bot API on loopback, by its documentation: limits, edits, updates, flood control, refusals.

with botapi() as telegram:
    telegram.chat(42)                       # a person who pressed Start; telegram.chat(-100, topics=(7,)) a group
    ... Options(api=telegram.url), {"token": telegram.token} ...
    telegram.messages(42)                   # what is to be read there now
    telegram.says(42, "/status")            # a person writes
    telegram.presses(42, message_id, data)  # a person presses a button
"""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.channels.standin import Asked, Provider, Reply, provider, said

TOKEN = "123456789:AAtest-token_of-a-bot-that-is-not-there"


class _No(Exception):
    """An error of the API."""

    def __init__(self, code: int, why: str, **parameters: int) -> None:
        super().__init__(why)
        self.code, self.why, self.parameters = code, why, parameters


@dataclass
class Shown:
    """A message in a chat. `edits` counts how often it was edited."""

    number: int
    text: str
    entities: list[dict[str, Any]]
    buttons: list[list[dict[str, Any]]]
    topic: int | None = None
    reply_to: int | None = None
    edits: int = 0
    silent: bool = False
    place: tuple[float, float] | None = None
    venue: str = ""

    def marked(self, kind: str) -> list[str]:
        """The parts of the text that carry an entity of this kind."""
        raw = self.text.encode("utf-16-le")
        return [
            raw[2 * e["offset"] : 2 * (e["offset"] + e["length"])].decode("utf-16-le")
            for e in self.entities
            if e["type"] == kind
        ]


@dataclass
class Chat:
    """A chat as the server keeps it."""

    number: int
    topics: tuple[int, ...] = ()
    blocked: bool = False
    moved_to: int | None = None
    shown: dict[int, Shown] = field(default_factory=dict)


class Telegram:
    """The server's memory, and what people do."""

    def __init__(self, server: Provider) -> None:
        self.token = TOKEN
        self._server = server
        self._lock = threading.Condition()
        self._chats: dict[int, Chat] = {}
        self._updates: list[dict[str, Any]] = []
        self._update_numbers, self._message_numbers = itertools.count(1000), itertools.count(11)
        self._queries: dict[str, dict[str, Any] | None] = {}
        self._floods: list[int] = []
        self._polls = 0
        self._over = False
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.webhook = False

    @property
    def url(self) -> str:
        """The base URL for Options.api."""
        return self._server.url

    def chat(self, number: int, topics: tuple[int, ...] = ()) -> Chat:
        """A person (positive) who started the bot, or a group (negative)."""
        with self._lock:
            return self._chats.setdefault(number, Chat(number, topics))

    def messages(self, number: int) -> list[Shown]:
        """What is in the chat now, oldest first."""
        with self._lock:
            return list(self._chats[number].shown.values())

    def methods(self) -> list[str]:
        """The methods called so far."""
        return [method for method, _ in self.calls]

    def flood(self, *waits: int) -> None:
        """The next calls are answered 429 with these seconds to wait."""
        self._floods += waits

    def deletes(self, chat: int, number: int) -> None:
        """Somebody deletes a message."""
        with self._lock:
            del self._chats[chat].shown[number]

    def answers(self) -> list[dict[str, Any]]:
        """The answers to button presses so far."""
        return [answer for answer in self._queries.values() if answer is not None]

    def says(
        self, chat: int, text: str, *, sender: int | None = None, language: str | None = "id", topic: int | None = None,
        name: str = "Budi", edited: bool = False,
    ) -> int:  # fmt: skip
        """Somebody writes to the bot; the number of the update."""
        told: dict[str, Any] = {**self._head(chat, sender, language, name), "text": text}
        if text.startswith("/"):
            told["entities"] = [{"type": "bot_command", "offset": 0, "length": len(text.split()[0])}]
        if topic is not None:
            told |= {"message_thread_id": topic, "is_topic_message": True}
        return self.happens({"edited_message" if edited else "message": told})

    def presses(self, chat: int, number: int, data: str, *, sender: int | None = None, language: str = "id") -> str:
        """Somebody presses a button of message `number`; the id of the query."""
        query = f"q{next(self._update_numbers)}"
        self._queries[query] = None
        head = self._head(chat, sender, language, "Budi")
        message = {**head, "message_id": number, "text": self._chats[chat].shown[number].text}
        self.happens({"callback_query": {"id": query, "from": head["from"], "message": message, "data": data,
                                         "chat_instance": "1"}})  # fmt: skip
        return query

    def happens(self, update: dict[str, Any]) -> int:
        """Any update at all."""
        with self._lock:
            number = next(self._update_numbers)
            self._updates.append({"update_id": number, **update})
            self._lock.notify_all()
            return number

    def _head(self, chat: int, sender: int | None, language: str | None, name: str) -> dict[str, Any]:
        person = {"id": sender or abs(chat), "is_bot": False, "first_name": name}
        if language:
            person["language_code"] = language
        kind = "private" if chat > 0 else "supergroup"
        return {"message_id": next(self._message_numbers), "date": int(time.time()), "from": person,
                "chat": {"id": chat, "type": kind}}  # fmt: skip

    def end(self) -> None:
        """Release whoever waits in getUpdates."""
        with self._lock:
            self._over = True
            self._lock.notify_all()

    def reply(self, asked: Asked) -> Reply:
        """One HTTP request."""
        url = urlsplit(asked.path)
        head, _, method = url.path.removeprefix("/bot").partition("/")
        if not url.path.startswith("/bot") or ":" not in head:
            return said({"ok": False, "error_code": 404, "description": "Not Found"}, 404)
        if head != self.token:
            return said({"ok": False, "error_code": 401, "description": "Unauthorized"}, 401)
        values = {name: rows[-1] for name, rows in parse_qs(url.query).items()}
        if asked.body:
            values |= asked.json
        self.calls.append((method, values))
        try:
            if self._floods and method != "getUpdates":
                wait = self._floods.pop(0)
                raise _No(429, f"Too Many Requests: retry after {wait}", retry_after=wait)
            done = getattr(self, f"_do_{method}", None)
            if done is None:
                raise _No(404, "Not Found: method not found")
            return said({"ok": True, "result": done(values)})
        except _No as no:
            told: dict[str, Any] = {"ok": False, "error_code": no.code, "description": no.why}
            if no.parameters:
                told["parameters"] = no.parameters
            return said(told, no.code)

    def _do_getMe(self, asked: dict[str, Any]) -> Any:
        return {"id": 123456789, "is_bot": True, "first_name": "Pantau", "username": "pantau_test_bot"}

    def _do_setMyCommands(self, asked: dict[str, Any]) -> Any:
        return True

    def _do_getUpdates(self, asked: dict[str, Any]) -> Any:
        """Confirms what is below `offset`; a second reader ends the first one's wait with 409."""
        offset, limit = int(asked.get("offset", 0)), min(100, int(asked.get("limit", 100)))
        until = time.monotonic() + int(asked.get("timeout", 0))
        with self._lock:
            if self.webhook:
                raise _No(409, "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook first")
            self._polls += 1
            mine = self._polls
            self._lock.notify_all()
            if offset < 0:
                self._updates = self._updates[offset:]
            else:
                self._updates = [update for update in self._updates if update["update_id"] >= offset]
            while True:
                if mine != self._polls:
                    raise _No(409, "Conflict: terminated by other getUpdates request; make sure that only one bot "
                                   "instance is running")  # fmt: skip
                kinds = asked.get("allowed_updates")
                found = [u for u in self._updates if not kinds or kinds_of(u) in kinds][:limit]
                left = until - time.monotonic()
                if found or left <= 0 or self._over:
                    return found
                self._lock.wait(left)

    def _do_sendMessage(self, asked: dict[str, Any]) -> Any:
        with self._lock:
            chat = self._there(asked)
            text, entities = _text(asked)
            return self._show(chat, asked, Shown(0, text, entities, _buttons(asked)))

    def _do_sendLocation(self, asked: dict[str, Any]) -> Any:
        return self._placed(asked, "")

    def _do_sendVenue(self, asked: dict[str, Any]) -> Any:
        if not asked.get("title") or not asked.get("address"):
            raise _No(400, "Bad Request: title and address must be non-empty")
        return self._placed(asked, f"{asked['title']}, {asked['address']}")

    def _placed(self, asked: dict[str, Any], venue: str) -> Any:
        with self._lock:
            chat = self._there(asked)
            where = (float(asked["latitude"]), float(asked["longitude"]))
            if not (abs(where[0]) <= 90 and abs(where[1]) <= 180):
                raise _No(400, "Bad Request: invalid location specified")
            return self._show(chat, asked, Shown(0, "", [], _buttons(asked), place=where, venue=venue))

    def _do_editMessageText(self, asked: dict[str, Any]) -> Any:
        with self._lock:
            chat = self._there({**asked, "message_thread_id": None})
            shown = chat.shown.get(int(asked.get("message_id", 0)))
            if shown is None:
                raise _No(400, "Bad Request: message to edit not found")
            text, entities = _text(asked)
            buttons = _buttons(asked)
            if (text, entities, buttons) == (shown.text, shown.entities, shown.buttons):
                raise _No(400, "Bad Request: message is not modified: specified new message content and reply markup are "
                               "exactly the same as a current content and reply markup of the message")  # fmt: skip
            shown.text, shown.entities, shown.buttons = text, entities, buttons
            shown.edits += 1
            return {"message_id": shown.number, "chat": {"id": chat.number}, "text": text}

    def _do_answerCallbackQuery(self, asked: dict[str, Any]) -> Any:
        with self._lock:
            query = str(asked.get("callback_query_id"))
            if self._queries.get(query, "") is not None:
                raise _No(400, "Bad Request: query is too old and response timeout expired or query ID is invalid")
            if len(str(asked.get("text", ""))) > 200:
                raise _No(400, "Bad Request: MESSAGE_TOO_LONG")
            self._queries[query] = asked
            return True

    def _there(self, asked: dict[str, Any]) -> Chat:
        """The chat that is meant, if the bot may write there."""
        number = asked.get("chat_id")
        chat = self._chats.get(int(number)) if str(number).lstrip("-").isdigit() else None
        if chat is None:
            raise _No(400, "Bad Request: chat not found")
        if chat.moved_to is not None:
            raise _No(
                400, "Bad Request: group chat was upgraded to a supergroup chat", migrate_to_chat_id=chat.moved_to
            )
        if chat.blocked:
            raise _No(403, "Forbidden: bot was blocked by the user")
        topic = asked.get("message_thread_id")
        if topic is not None and topic not in chat.topics:
            raise _No(400, "Bad Request: message thread not found")
        return chat

    def _show(self, chat: Chat, asked: dict[str, Any], shown: Shown) -> Any:
        reply = asked.get("reply_parameters") or {}
        if reply and reply["message_id"] not in chat.shown:
            if not reply.get("allow_sending_without_reply"):
                raise _No(400, "Bad Request: message to be replied not found")
            reply = {}
        shown.number = next(self._message_numbers)
        shown.reply_to = reply.get("message_id")
        shown.topic = asked.get("message_thread_id")
        shown.silent = bool(asked.get("disable_notification"))
        chat.shown[shown.number] = shown
        return {"message_id": shown.number, "date": int(time.time()), "chat": {"id": chat.number}, "text": shown.text}


def kinds_of(update: dict[str, Any]) -> str:
    """The kind of an update: its other key."""
    return next(name for name in update if name != "update_id")


def _text(asked: dict[str, Any]) -> tuple[str, list[dict[str, Any]]]:
    text, entities = str(asked.get("text", "")), list(asked.get("entities") or [])
    if any(0xD800 <= ord(c) <= 0xDFFF for c in text):
        raise _No(400, "Bad Request: strings must be encoded in UTF-8")
    size = len(text.encode("utf-16-le")) // 2
    if not text.strip():
        raise _No(400, "Bad Request: message text is empty")
    if size > 4096:
        raise _No(400, "Bad Request: message is too long")
    for entity in entities:
        if entity["offset"] < 0 or entity["length"] <= 0 or entity["offset"] + entity["length"] > size:
            raise _No(400, "Bad Request: entity is outside of the text")
    if len(entities) > 100:
        raise _No(400, "Bad Request: too many entities")
    return text, entities


def _buttons(asked: dict[str, Any]) -> list[list[dict[str, Any]]]:
    rows: list[list[dict[str, Any]]] = (asked.get("reply_markup") or {}).get("inline_keyboard") or []
    for button in (button for row in rows for button in row):
        if not button.get("text"):
            raise _No(400, "Bad Request: text buttons are unallowed in the inline keyboard")
        if "url" in button:
            parts = urlsplit(button["url"])
            if parts.scheme not in ("http", "https", "tg") or "." not in (parts.hostname or ""):
                raise _No(400, f"Bad Request: inline keyboard button URL '{button['url']}' is invalid: Wrong HTTP URL")
        elif not 1 <= len(str(button.get("callback_data", "")).encode()) <= 64:
            raise _No(400, "Bad Request: BUTTON_DATA_INVALID")
    return rows


@contextlib.contextmanager
def botapi() -> Iterator[Telegram]:
    """A running stand-in."""
    with provider() as server:
        telegram = Telegram(server)
        server.reply = telegram.reply
        try:
            yield telegram
        finally:
            telegram.end()
