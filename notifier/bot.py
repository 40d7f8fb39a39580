"""What people say to the Telegram bot, fetched by long polling, and the bot's answers. No port is opened for it.

Everything that comes in is a stranger's word: it is parsed into a few frozen values here, and nothing else leaves this
room. Who may do what is judged by the caller, from `person` (who it was) and never from the chat alone: in a group
everybody sees the buttons.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from notifier.channels import words
from notifier.channels.base import Hops, Undelivered
from notifier.channels.botcalls import API, Said, call, refused
from notifier.channels.road import way
from notifier.channels.telegram import LIMIT, cut, still
from probes.base import Keep

WAIT = 25
"""Seconds one call waits for something to happen."""
GRACE = 10.0
"""Seconds beyond WAIT for the way there and back."""
UPDATES = 100
"""The most updates of one call (Bot API, getUpdates)."""
WORDS = 20
"""The most words of a command that are read."""
CODE = re.compile(r"[A-Za-z0-9_-]{4,64}")
"""A code for linking, as a deep link may carry it (https://core.telegram.org/api/links: start parameter)."""


@dataclass(frozen=True, slots=True)
class Chat:
    """Where something was said; `number` and `topic` are what the channel's Address takes. `private`: with one person."""

    number: str
    topic: int = 0
    private: bool = True


@dataclass(frozen=True, slots=True)
class Person:
    """Who said it: Telegram's number of the account, the name they show, and the language of their app ("id")."""

    number: int
    name: str = ""
    language: str = ""


@dataclass(frozen=True, slots=True)
class Linked:
    """Somebody brought a code from Pantau's pages: `/start CODE`, or `/link CODE` in a group."""

    code: str
    chat: Chat
    person: Person


@dataclass(frozen=True, slots=True)
class Pressed:
    """Somebody pressed a button of `message`. `data` is the Action's; `callback` must be answered with `acknowledge`."""

    data: str
    chat: Chat
    person: Person
    callback: str
    message: int


@dataclass(frozen=True, slots=True)
class Asked:
    """Somebody gave a command: `/host db-02` is ("host", ("db-02",)). `at` is when it was said."""

    command: str
    words: tuple[str, ...]
    chat: Chat
    person: Person
    message: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Spoken:
    """Somebody said something in a group that is no command; `message` is its number in that chat."""

    text: str
    chat: Chat
    person: Person
    message: int


@dataclass(frozen=True, slots=True)
class Left:
    """The bot was blocked by a person or put out of a group: nothing can be sent to this chat any more."""

    chat: Chat


@dataclass(frozen=True, slots=True)
class Moved:
    """A group became a supergroup and has another number from now on."""

    chat: Chat
    to: str


Heard = Linked | Pressed | Asked | Spoken | Left | Moved


@dataclass(frozen=True, slots=True)
class Poll:
    """What was heard, in order, and the offset for the next call: to be stored once all of it is dealt with."""

    offset: int
    heard: tuple[Heard, ...] = ()


@dataclass(frozen=True, slots=True)
class Bot:
    """A bot: its server, its token, and what is kept between calls. `username` without @, as `whoami` tells it."""

    token: str
    keep: Keep
    api: str = API
    username: str = ""

    def __repr__(self) -> str:
        return f"Bot({self.username or '?'})"

    def whoami(self, seconds: float = 10.0) -> Bot:
        """The same bot with its name known. Raises Undelivered."""
        said = self._call("getMe", {}, seconds)
        name = said.result.get("username") if isinstance(said.result, dict) else None
        return replace(self, username=name if isinstance(name, str) and re.fullmatch(r"\w{1,64}", name) else "")

    def link(self, code: str) -> str:
        """The URL that, touched, brings `code` to the bot."""
        return f"https://t.me/{self.username}?start={code}"

    def listen(self, offset: int, wait: int = WAIT) -> Poll:
        """Wait up to `wait` s for what people say. What lies before `offset` is confirmed and never comes again.

        Raises Undelivered: `later` also where another program reads as the same bot, `setup` where the token is wrong.
        """
        asked = {
            "offset": offset,
            "limit": UPDATES,
            "timeout": wait,
            "allowed_updates": ["message", "callback_query", "my_chat_member"],
        }
        said = self._call("getUpdates", asked, wait + GRACE)
        if not isinstance(said.result, list):
            raise Undelivered("Telegram answers without a list of what happened.")
        heard: list[Heard] = []
        latest = offset
        for update in said.result[:UPDATES]:
            number = _number(_map(update).get("update_id"))
            if number is None or number < offset:
                continue
            latest = max(latest, number + 1)
            found = parse(_map(update), self.username)
            if found is not None:
                heard.append(found)
        if said.result and latest == offset:
            raise Undelivered("Telegram answers with nothing that has a number; it would come again and again.")
        return Poll(latest, tuple(heard))

    def say(
        self,
        chat: Chat,
        text: str,
        *,
        reply_to: int = 0,
        buttons: Iterable[Iterable[tuple[str, str]]] = (),
        commands: bool = False,
        seconds: float = 10.0,
    ) -> int:
        """Plain text into a chat, cut to what a message holds; `buttons` are rows of (label, data or URL).

        With `commands` what looks like a command in it can be touched: only for texts of our own making.

        The number of the message. Raises Undelivered.
        """
        asked: dict[str, Any] = {
            "chat_id": int(chat.number),
            "text": cut(words.lines(text, LIMIT) if commands else still(words.lines(text, LIMIT)), LIMIT) or "-",
            "link_preview_options": {"is_disabled": True},
        }
        if chat.topic:
            asked["message_thread_id"] = chat.topic
        if reply_to:
            asked["reply_parameters"] = {"message_id": reply_to, "allow_sending_without_reply": True}
        rows = [[_button(*button) for button in row] for row in buttons]
        if rows:
            asked["reply_markup"] = {"inline_keyboard": rows}
        said = self._call("sendMessage", asked, seconds)
        return _number(_map(said.result).get("message_id")) or 0

    def acknowledge(self, callback: str, text: str = "", *, alert: bool = False, seconds: float = 10.0) -> bool:
        """Answer a press: until then the button turns. False where it was too long ago. Raises Undelivered."""
        asked: dict[str, Any] = {"callback_query_id": callback, "show_alert": alert}
        if text:
            asked["text"] = cut(words.line(text, 200), 200)
        said = self._ask("answerCallbackQuery", asked, seconds)
        if isinstance(said, Undelivered):
            if "too old" in str(said):
                return False
            raise said
        return True

    def offer(self, commands: Mapping[str, Iterable[tuple[str, str]]], seconds: float = 10.0) -> None:
        """The menu of commands by language ("" for everybody else): rows of (command, what it does)."""
        for language, rows in commands.items():
            listed = [{"command": command, "description": words.line(told, 100)} for command, told in rows]
            asked: dict[str, Any] = {"commands": listed}
            if language:
                asked["language_code"] = language
            self._call("setMyCommands", asked, seconds)

    def _call(self, method: str, asked: dict[str, Any], seconds: float) -> Said:
        said = self._ask(method, asked, seconds)
        if isinstance(said, Undelivered):
            raise said
        return said

    def _ask(self, method: str, asked: dict[str, Any], seconds: float) -> Said | Undelivered:
        """One call, and the no as a value."""
        listed = (str(urlsplit(self.api).hostname),)
        with way(self.keep, Hops(), seconds, listed=listed, hide=(self.token,)) as road:
            road.own = True
            said = call(road, self.api, self.token, method, asked, method)
            return said if said.ok else refused(road, said)


def parse(update: Mapping[str, Any], username: str = "") -> Heard | None:
    """What an update says, or None where it is nothing for us. Never raises, whatever is in it.

    Commands for another bot of the group (`/status@other_bot`) are not for us.
    """
    if "callback_query" in update:
        return _pressed(_map(update["callback_query"]))
    if "my_chat_member" in update:
        return _left(_map(update["my_chat_member"]))
    message = _map(update.get("message"))
    chat = _chat(message)
    if chat is None:
        return None
    moved = _number(message.get("migrate_to_chat_id"))
    if moved is not None:
        return Moved(chat, str(moved))
    person = _person(message.get("from"))
    return None if person is None else _asked(message, chat, person, username)


def _asked(message: Mapping[str, Any], chat: Chat, person: Person, username: str) -> Linked | Asked | Spoken | None:
    text = message.get("text")
    if not isinstance(text, str) or not text.startswith("/"):
        return _spoken(message, chat, person)
    found = re.match(r"/([A-Za-z0-9_]{1,32})(?:@(\w{1,64}))?(?:\s|$)", text)
    if found is None:
        return None
    if found[2] and username and found[2].lower() != username.lower():
        return None
    command = found[1].lower()
    said = tuple(word for word in (words.line(part, 64) for part in text[found.end() :][:4000].split()[:WORDS]) if word)
    if command in ("start", "link") and said and CODE.fullmatch(said[0]):
        return Linked(said[0], chat, person)
    at = _number(message.get("date")) or 0
    when = datetime.fromtimestamp(min(max(at, 0), 2**33), UTC)
    return Asked(command, said, chat, person, _number(message.get("message_id")) or 0, when)


def _spoken(message: Mapping[str, Any], chat: Chat, person: Person) -> Spoken | None:
    """Words in a group, or those under a picture; what is said to the bot alone is no talk."""
    text, number = message.get("text", message.get("caption")), _number(message.get("message_id"))
    if chat.private or number is None or not isinstance(text, str) or not text.strip():
        return None
    return Spoken(text[:LIMIT], chat, person, number)


def _pressed(query: Mapping[str, Any]) -> Pressed | None:
    message = _map(query.get("message"))
    chat, person = _chat(message), _person(query.get("from"))
    data, callback = query.get("data"), query.get("id")
    number = _number(message.get("message_id"))
    if chat is None or person is None or number is None:
        return None
    if not isinstance(data, str) or not re.fullmatch(r"[\x21-\x7e]{1,64}", data):
        return None
    if not isinstance(callback, str) or not re.fullmatch(r"[\x21-\x7e]{1,64}", callback):
        return None
    return Pressed(data, chat, person, callback, number)


def _left(change: Mapping[str, Any]) -> Left | None:
    status = _map(change.get("new_chat_member")).get("status")
    chat = _chat(change)
    return Left(chat) if chat is not None and status in ("kicked", "left") else None


def _chat(message: Mapping[str, Any]) -> Chat | None:
    there = _map(message.get("chat"))
    number = _number(there.get("id"))
    if number is None or there.get("type") not in ("private", "group", "supergroup"):
        return None
    topic = _number(message.get("message_thread_id")) if message.get("is_topic_message") is True else None
    return Chat(str(number), topic if topic and topic > 0 else 0, there.get("type") == "private")


def _person(raw: object) -> Person | None:
    """Who; nobody for bots, for they answer each other without end."""
    said = _map(raw)
    number = _number(said.get("id"))
    if number is None or number <= 0 or said.get("is_bot") is not False:
        return None
    name = " ".join(part for part in (said.get("first_name"), said.get("last_name")) if isinstance(part, str))
    language = said.get("language_code")
    known = isinstance(language, str) and re.fullmatch(r"[A-Za-z]{2,3}([-_]\w{2,8})?", language)
    return Person(number, words.line(name, 80), str(language)[:2].lower() if known else "")


def _button(label: str, leads: str) -> dict[str, str]:
    return {"text": words.line(label, 40) or "-", "url" if words.link(leads) else "callback_data": leads}


def _map(raw: object) -> Mapping[str, Any]:
    return raw if isinstance(raw, dict) else {}


def _number(raw: object) -> int | None:
    """A whole number as JSON has it, small enough for a database."""
    return raw if isinstance(raw, int) and not isinstance(raw, bool) and abs(raw) < 2**62 else None
