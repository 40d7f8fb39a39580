"""WhatsApp by Meta's Cloud API: a template that Meta has approved, filled with the news."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from domain.options import option
from notifier.channels import words
from notifier.channels.base import Channel, Message, Sending, Sent, Undelivered
from notifier.channels.road import Answer, Kind, Road, json_body, road
from probes.limits import clean
from probes.names import is_this_machine

API = "https://graph.facebook.com/v21.0"
PARTS = (120, 600, 200)
"""The most characters of title, sentences and place: all of a template's body may have 1024."""


@dataclass(frozen=True, slots=True)
class Options:
    """Who sends, and the template. Its body has {{1}} title, {{2}} sentences, {{3}} place; a URL button takes {{1}}."""

    phone: str = option("Phone number ID", help="Of the sender, from WhatsApp Manager; not the phone number itself.")
    template: str = option("Template", default="pantau_alert", help="Its name, approved, with three variables.")
    languages: tuple[str, ...] = option(
        "Languages of the template",
        default=("en=en_US", "id=id"),
        help="Reader's language = code at Meta; the first is the rest's.",
    )
    button: str = option(
        "Start of the button's link",
        default="",
        help="As in the template, like https://pantau.example.org/; empty: no button.",
    )
    api: str = option("API", default=API, help="With the version.")

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[0-9]{5,25}", self.phone):
            raise ValueError("option 'phone' is the ID of a phone number, digits only.")
        if not re.fullmatch(r"[a-z0-9_]{1,512}", self.template):
            raise ValueError("option 'template' is a template's name: small letters, digits and _.")
        if not self.languages or any(not re.fullmatch(r"[a-z]{2,3}=[A-Za-z_]{2,10}", row) for row in self.languages):
            raise ValueError("option 'languages' are like en=en_US.")
        parts = urlsplit(self.api)
        if not words.link(self.api) or (parts.scheme.lower() == "http" and not is_this_machine(str(parts.hostname))):
            raise ValueError("option 'api' is like https://graph.facebook.com/v21.0.")
        if self.button and not words.link(self.button):
            raise ValueError("option 'button' is the start of a URL, like https://pantau.example.org/.")

    def language(self, wanted: str) -> str:
        """The template's code for a reader's language."""
        codes = dict(row.split("=", 1) for row in self.languages)
        return codes.get(wanted.lower()[:2]) or next(iter(codes.values()))


@dataclass(frozen=True, slots=True)
class Address:
    """One phone."""

    phone: str = option("Phone number", help="With the country: +62 812 3456 789")

    def __post_init__(self) -> None:
        if not re.fullmatch(r"\+[1-9][0-9]{6,14}", _digits(self.phone)):
            raise ValueError("option 'phone' begins with + and the country, like +62 812 3456 789 (E.164).")


def deliver(sending: Sending) -> Sent:
    """Send the template. `Sent.ref` is WhatsApp's number of the message."""
    options: Options = sending.sender
    address: Address = sending.address
    message = words.safe(sending.message)
    token = sending.secret.get("token", "")
    with road(sending, listed=(str(urlsplit(options.api).hostname),), own=True) as way:
        if not re.fullmatch(r"[\x21-\x7e]{10,1000}", token):
            raise way.no("The access token for WhatsApp is missing or is not one.", "setup")
        body = json_body(written(message, options, _digits(address.phone)))
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        answer = way.ask("POST", f"{options.api.rstrip('/')}/{options.phone}/messages", headers, body)
        told = answer.json()
        told = told if isinstance(told, dict) else {}
        if answer.taken and "messages" in told:
            return Sent(_number(told))
        raise _no(way, answer, told.get("error"))


def written(message: Message, options: Options, phone: str) -> dict[str, Any]:
    """The request for a safe message."""
    place = message.place
    where = ", ".join(part for part in (place.name, place.address) if part) if place else ""
    if place is not None and place.map_url and len(f"{where} {place.map_url}") <= PARTS[2]:
        where = f"{where} {place.map_url}".strip()
    texts = (f"{words.MARKS[message.severity]} {message.title}", message.text, where)
    filled = [{"type": "text", "text": _variable(text, limit)} for text, limit in zip(texts, PARTS, strict=True)]
    components: list[dict[str, Any]] = [{"type": "body", "parameters": filled}]
    if options.button and message.url.startswith(options.button) and len(message.url) > len(options.button):
        suffix = {"type": "text", "text": message.url[len(options.button) :]}
        components.append({"type": "button", "sub_type": "url", "index": "0", "parameters": [suffix]})
    template = {
        "name": options.template,
        "language": {"code": options.language(message.language)},
        "components": components,
    }
    return {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "to": phone,
        "type": "template",
        "template": template,
        "biz_opaque_callback_data": message.key[:512],
    }


def _variable(text: str, limit: int) -> str:
    """A variable may have no line end, no tab, no run of spaces, and may not be empty (error 132012, 132018)."""
    return clean(re.sub(r"\s+", " ", text.replace("\n", " · ")), limit) or "-"


def _number(told: dict[str, Any]) -> str:
    rows = told["messages"]
    number = rows[0].get("id") if isinstance(rows, list) and rows and isinstance(rows[0], dict) else None
    return number if isinstance(number, str) and re.fullmatch(r"[\x21-\x7e]{1,200}", number) else ""


_MEANT: dict[Kind, frozenset[int]] = {
    # Rates and faults of their own: later.
    "later": frozenset({1, 2, 4, 80007, 130429, 131000, 131016, 131048, 131049, 131056, 131057, 133004}),
    # Token, rights, account, number, template: an admin's.
    "setup": frozenset(
        {0, 3, 10, 190, 368, 131005, 131030, 131031, 131037, 131042, 131045, 132000, 132001, 132005, 132007, 132012, 132015,
         132016, 132018, 133000, 133005, 133006, 133008, 133009, 133010, 133015, 134011, 135000}
    ),
    # This reader, or this message: 131026 has no WhatsApp, 131047 is beyond 24 h, 131050 wants none of it.
    "never": frozenset({33, 100, 130472, 131008, 131009, 131021, 131026, 131047, 131050, 131051, 131052, 131053}),
}  # fmt: skip


def _no(way: Road, answer: Answer, error: Any) -> Undelivered:
    """What the Cloud API's error means, by its code; the texts change too often."""
    if not isinstance(error, dict):
        return way.no(f"What answers there is not WhatsApp: it says {answer.status}.", "later", answer.retry_after())
    code = error.get("code")
    code = code if isinstance(code, int) else -1
    data = error.get("error_data")
    details = data.get("details") if isinstance(data, dict) else None
    sentence = f"WhatsApp answers {code}: {clean(str(details or error.get('message', '')), 200)}"
    kind = next((kind for kind, codes in _MEANT.items() if code in codes), None)
    if kind is None:
        kind = "setup" if 200 <= code < 300 or answer.status in (401, 403) else "later"
    return way.no(sentence, kind, answer.retry_after() if kind == "later" else None)


def _digits(phone: str) -> str:
    return re.sub(r"[ ().-]", "", phone)


CHANNEL = Channel(
    kind="whatsapp",
    label="WhatsApp",
    deliver=deliver,
    options=Options,
    address=Address,
    secrets={"token": "Access token"},
)
