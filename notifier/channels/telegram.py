"""Telegram: one message an incident that is edited as it develops, a reply when it is over, buttons to act from there."""

from __future__ import annotations

import contextlib
import ipaddress
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from domain.options import option
from notifier.channels import words
from notifier.channels.base import Channel, Message, Sending, Sent, Undelivered
from notifier.channels.botcalls import API, Said, call, check_api, refused
from notifier.channels.road import Road, road

LIMIT = 4096
"""UTF-16 code units of a message (Bot API, sendMessage and MessageEntity)."""
DATA = 64
"""Bytes of a button's callback data."""
TEXT = 2600
"""Code units of the sentences, so that facts and place find room too."""
RINGING = frozenset({"recovery", "reminder", "escalation", "flap_start", "flap_stop"})
"""Kinds that are told by a message of their own: an edited one makes no sound."""
_RANK = {"good": 0, "info": 1, "warning": 2, "critical": 3}


@dataclass(frozen=True, slots=True)
class Options:
    """Which Bot API server; the bot itself is its token."""

    api: str = option("Bot API server", default=API, help="Another one only if you run your own.")

    def __post_init__(self) -> None:
        check_api(self.api)


@dataclass(frozen=True, slots=True)
class Address:
    """A chat with the bot: of one person, a group, or a topic of a group."""

    chat: str = option("Chat", help="The number of the chat; linking fills it in.")
    topic: int = option("Topic", default=0, low=0, high=2**53, help="In groups with topics: its number. 0: none.")

    def __post_init__(self) -> None:
        if not re.fullmatch(r"-?[0-9]{1,20}|@[A-Za-z][A-Za-z0-9_]{3,40}", self.chat):
            raise ValueError("option 'chat' is the number of a chat, or @ and the name of a channel.")


def deliver(sending: Sending) -> Sent:
    """Send the message, or bring the last one of its thread up to date. `Sent.ref` is its number and severity."""
    options: Options = sending.sender
    with road(sending, listed=(str(urlsplit(options.api).hostname),), own=True) as way:
        chat = _Chat(way, options.api, sending.secret.get("token", ""), sending.address)
        return chat.tell(words.safe(sending.message))


class _Chat:
    """One chat, for one delivery."""

    def __init__(self, way: Road, api: str, token: str, address: Address) -> None:
        self._way, self._api, self._token = way, api, token
        self._place: dict[str, Any] = {"chat_id": int(address.chat) if address.chat[0] != "@" else address.chat}
        if address.topic:
            self._place["message_thread_id"] = address.topic
        self._moved = ""

    def tell(self, message: Message) -> Sent:
        """The whole delivery; what can be done twice comes first, what cannot comes last."""
        before, severity, of_many = _ref(message.replaces)
        over = message.severity == "good"
        if of_many:  # a message about several things stays what it is; this one answers it
            return self._sent(self._anew(message, before), message)
        if not before or not self._edited(message, before, buttons=not over):
            return self._sent(self._anew(message), message)
        worse = _RANK[message.severity] > _RANK.get(severity, 3)
        if over or worse or message.kind in RINGING:
            self._do("sendMessage", self._written(message, short=True) | _reply(before), "accepted")
        return self._sent(before, message)

    def _sent(self, number: int, message: Message) -> Sent:
        alone = "" if message.thread else ".many"
        return Sent(f"{number}.{message.severity}{alone}" if number else "", self._moved)

    def _anew(self, message: Message, before: int = 0) -> int:
        written = self._written(message)
        result = self._do("sendMessage", written | _reply(before) if before else written, "accepted")
        number = result.get("message_id") if isinstance(result, dict) else None
        if not isinstance(number, int) or isinstance(number, bool):
            return 0  # taken, and never to be edited
        if not message.replaces:
            self._pin(message, number)
        return number

    def _edited(self, message: Message, number: int, buttons: bool) -> bool:
        """Whether the message `number` now says this; False where there is none any more."""
        asked = self._written(message, buttons=buttons)
        asked.pop("message_thread_id", None)
        said = self._call("editMessageText", asked | {"message_id": number}, "edited")
        if said.ok or said.because("message is not modified"):
            return True
        if said.because("message to edit not found", "message can't be edited", "message_id_invalid"):
            return False
        raise refused(self._way, said)

    def _pin(self, message: Message, number: int) -> None:
        """The place on a map, once a thread. The news is out already: whatever happens here is no failure of it."""
        place = message.place
        if place is None or place.latitude is None or place.longitude is None:
            return
        asked = {
            "latitude": place.latitude,
            "longitude": place.longitude,
            "disable_notification": True,
            **_reply(number),
        }
        method = "sendLocation"
        if place.name and place.address:
            method, asked = "sendVenue", asked | {"title": place.name, "address": place.address}
        with contextlib.suppress(Undelivered):
            self._call(method, {**self._place, **asked}, "place")

    def _written(self, message: Message, *, short: bool = False, buttons: bool = True) -> dict[str, Any]:
        """The parameters that carry the text; `short`: the title and the sentences alone."""
        text = _Text()
        text.add(f"{words.MARKS[message.severity]} ")
        text.add(still(message.title), "bold")
        if message.text:
            text.add("\n")
            text.add(cut(still(message.text), TEXT))
        shown = _shown(message.url)
        if not short:
            text.rows(words.rows_of(message))
        if message.url and not shown:  # a button would be refused: the reader can still copy it
            text.add(f"\n\n{words.word(message, 'open')}: ")
            text.add(message.url, "code")
        written: dict[str, Any] = {**self._place, "text": text.text, "entities": text.entities}
        written["link_preview_options"] = {"is_disabled": True}
        keys = keyboard(message) if buttons else []
        written["reply_markup"] = {"inline_keyboard": keys}
        return written

    def _do(self, method: str, asked: dict[str, Any], step: str) -> Any:
        """A call that must be taken; tried again at once where only a part of it was not liked."""
        said = self._call(method, asked, step)
        if not said.ok and said.because("wrong http url", "button_url_invalid"):
            rows = [[key for key in row if "url" not in key] for row in asked["reply_markup"]["inline_keyboard"]]
            asked = asked | {"reply_markup": {"inline_keyboard": [row for row in rows if row]}}
            said = self._call(method, asked, step)
        if not said.ok and "message_thread_id" in asked and said.because("message thread not found"):
            self._place.pop("message_thread_id", None)
            self._moved = "The topic of this group does not exist any more; the message went to the group itself."
            said = self._call(method, {k: v for k, v in asked.items() if k != "message_thread_id"}, step)
        if not said.ok:
            raise refused(self._way, said)
        return said.result

    def _call(self, method: str, asked: dict[str, Any], step: str) -> Said:
        """One call; a group that moved is followed, and that is said."""
        said = call(self._way, self._api, self._token, method, asked, step)
        if said.moved_to is None:
            return said
        self._place["chat_id"] = said.moved_to
        self._moved = f"The group has become a supergroup with the number {said.moved_to}: link it anew."
        return call(self._way, self._api, self._token, method, asked | {"chat_id": said.moved_to}, step)


def keyboard(message: Message) -> list[list[dict[str, str]]]:
    """The buttons under a message (InlineKeyboardMarkup): what answers by data in one row, what leads on below."""
    acts = [
        {"text": action.label, "callback_data": action.data}
        for action in message.actions
        if action.kind != "open" and action.data and len(action.data.encode()) <= DATA
    ]
    leads = [(action.label, action.url or message.url) for action in message.actions if action.kind == "open"]
    if not leads and message.url:
        leads = [(words.word(message, "open"), message.url)]
    opens = [{"text": label, "url": url} for label, url in leads[:1] if _shown(url)]
    return [row for row in (acts, opens) if row]


def units(text: str) -> int:
    """Length as Telegram counts it, in UTF-16 code units."""
    return len(text.encode("utf-16-le")) // 2


def still(text: str) -> str:
    """`text` with an invisible joiner where Telegram would make a link, a mention or a command of a machine's words."""
    return re.sub(r"://|(?<=\w)\.(?=[^\W\d_])|(?<!\w)[@/#$](?=\w)", lambda found: f"{found[0]}\u2060", text)


def cut(text: str, size: int) -> str:
    """`text` in at most `size` UTF-16 code units."""
    if units(text) <= size:
        return text
    return text.encode("utf-16-le")[: 2 * (size - 1)].decode("utf-16-le", "ignore").rstrip() + "…"


class _Text:
    """A text with its entities, never longer than LIMIT."""

    def __init__(self) -> None:
        self.text, self.entities = "", list[dict[str, Any]]()
        self._size = 0

    def add(self, text: str, kind: str = "", url: str = "") -> None:
        """More text, all of it or as much as there is room for."""
        text = cut(text, LIMIT - self._size) if self._size < LIMIT else ""
        size = units(text)
        if kind and size:
            entity = {"type": kind, "offset": self._size, "length": size}
            self.entities.append({**entity, "url": url} if url else entity)
        self.text += text
        self._size += size

    def rows(self, rows: tuple[words.Row, ...]) -> None:
        """A line for each particular, as many as there is room for."""
        self.add("\n")
        for row in rows:
            if self._size + units(words.row_text(row)) + 2 > LIMIT - 400:
                self.add("\n…")
                return
            self._row(row)

    def _row(self, row: words.Row) -> None:
        self.add(f"\n{still(row.label)}: " if row.label else "\n")
        named = [url for said, url in row.links if said == url and _shown(url)]
        if named and row.value:
            self.add(row.value, "text_link", named[0])
        elif re.search(r"[.@/#$:]", row.value) and len(row.value) <= 100:
            self.add(row.value, "code")  # touched, it is copied
        else:
            self.add(still(row.value))
        for said, url in row.links:
            if said != url:
                self.add(" · ")
                self.add(said, "text_link", url)


def _shown(url: str) -> bool:
    """Whether Telegram takes `url` for a button: a public place, by what its host looks like."""
    host = (urlsplit(url).hostname or "").rstrip(".").lower() if words.link(url) else ""
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:
        inner = ("localhost", "local", "lan", "internal", "intranet", "home", "corp", "test", "invalid")
        return "." in host and host.rpartition(".")[2] not in inner


def _reply(number: int) -> dict[str, Any]:
    return {"reply_parameters": {"message_id": number, "allow_sending_without_reply": True}}


def _ref(ref: str) -> tuple[int, str, bool]:
    """Message and severity of the last word, and whether it was about several things; 0 where there is none."""
    found = re.fullmatch(r"([0-9]{1,15})(?:\.([a-z]{1,10}))?(\.many)?", ref)
    return (int(found[1]), found[2] or "", bool(found[3])) if found else (0, "", False)


CHANNEL = Channel(
    kind="telegram",
    label="Telegram",
    deliver=deliver,
    options=Options,
    address=Address,
    secrets={"token": "Token of the bot"},
    linked=True,
)
