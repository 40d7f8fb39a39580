"""A webhook: the news as signed JSON to a machine, which may know a repetition by its key."""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from domain.options import option
from notifier.channels import words
from notifier.channels.base import Channel, Message, Sending, Sent, Undelivered
from notifier.channels.road import Answer, Road, json_body, road, said


@dataclass(frozen=True, slots=True)
class Options:
    """Where webhooks may lead. The machine Pantau runs on is closed to them unless it is listed."""

    hosts: tuple[str, ...] = option(
        "Hosts on this machine", default=(), help="Like localhost; only these may be the machine Pantau runs on."
    )

    def __post_init__(self) -> None:
        if any(not re.fullmatch(r"\[?[\w.:-]{1,253}\]?", host) for host in self.hosts):
            raise ValueError("option 'hosts' are host names or addresses.")


@dataclass(frozen=True, slots=True)
class Address:
    """Where to: a secret, for what stands behind the host often is the key to it."""

    url: str = option("URL", help="http or https; redirects are not followed.")

    def __post_init__(self) -> None:
        if not words.link(self.url):
            raise ValueError("option 'url' is like https://example.org/hook, without a user or a password in it.")

    def __repr__(self) -> str:
        return "Address(***)"


def deliver(sending: Sending) -> Sent:
    """POST the message. Raises Undelivered."""
    options: Options = sending.sender
    address: Address = sending.address
    message = words.safe(sending.message)
    parts = urlsplit(address.url)
    hidden = (part for part in (parts.query, *parts.path.split("/")) if len(part) >= 12)  # tokens are often there
    with road(sending, listed=options.hosts, hide=hidden) as way:
        body = json_body(told(message))
        headers = {"Content-Type": "application/json", "Idempotency-Key": message.key}
        if secret := sending.secret.get("key", ""):
            headers["Pantau-Signature"] = signature(secret, int(time.time()), body)
        answer = way.ask("POST", address.url, headers, body, heard=False)
        if answer.taken:
            return Sent()
        raise _no(way, answer, clean_host(address.url))


def told(message: Message) -> dict[str, Any]:
    """The JSON of a safe message. Fields are only ever added; `version` counts what breaks."""
    place = message.place
    return {
        "version": 1,
        "id": message.key,
        "kind": message.kind,
        "severity": message.severity,
        "title": message.title,
        "text": message.text,
        "at": message.at.isoformat(),
        "language": message.language,
        "thread": message.thread,
        "url": message.url,
        "facts": [{"label": fact.label, "value": fact.value, "url": fact.url} for fact in message.facts],
        "place": None
        if place is None
        else {
            "name": place.name,
            "address": place.address,
            "latitude": place.latitude,
            "longitude": place.longitude,
            "map": place.map_url,
        },
    }


def signature(secret: str, at: int, body: bytes) -> str:
    """The value of Pantau-Signature: `t=`, seconds since 1970, `,v1=`, HMAC-SHA256 in hexadecimal of `t.body`."""
    mac = hmac.new(secret.encode("utf-8", "surrogatepass"), f"{at}.".encode() + body, hashlib.sha256)
    return f"t={at},v1={mac.hexdigest()}"


def clean_host(url: str) -> str:
    """Who is meant, for a sentence."""
    return words.line(urlsplit(url).hostname or "", 100)


def shown(address: Address) -> dict[str, str]:
    """Of an address, its host."""
    return {"host": clean_host(address.url)}


def _no(way: Road, answer: Answer, host: str) -> Undelivered:
    status = answer.status
    sentence = f"{host} answers {status}{said(answer)}"
    if 300 <= status < 400:
        return way.no(f"{host} answers {status}, a redirect, which is not followed: enter where it leads.", "never")
    if status == 410:
        return way.no(sentence, "gone")
    if status in (404, 408, 421, 423, 425, 429) or status >= 500:  # 404: it may be about to come back
        return way.no(sentence, "later", answer.retry_after())
    return way.no(sentence, "never")


CHANNEL = Channel(
    kind="webhook",
    label="Webhook",
    deliver=deliver,
    options=Options,
    address=Address,
    secrets={"key": "Key for the signature"},
    persons=False,
    shown=shown,
)
