"""Web push: an encrypted word to one browser on one device, by the service its maker runs (RFC 8030, 8291, 8292)."""

from __future__ import annotations

import base64
import binascii
import json
import re
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from py_vapid import Vapid02, VapidException
from pywebpush import WebPusher, WebPushException

from domain import fingerprint
from domain.options import option
from notifier.channels import words
from notifier.channels.base import Channel, Message, Sending, Sent, Undelivered
from notifier.channels.road import Answer, Road, road, said
from probes.limits import clean

PAYLOAD = 3000
"""The most bytes of a payload: every service takes 4096 encrypted (RFC 8030, 7.2)."""
LONGEST = 28 * 24 * 3600
"""The longest a service keeps a message for a device that is off, in seconds."""
SIGNED_FOR = 12 * 3600
"""Seconds a signature holds; RFC 8292 allows 24 h, and clocks differ."""
SERVICES = (
    "fcm.googleapis.com",
    "updates.push.services.mozilla.com",
    ".push.services.mozilla.com",
    "web.push.apple.com",
    ".push.apple.com",
    ".notify.windows.com",
)
"""The push services of Chrome and its kin, Firefox, Safari and Edge; a dot stands for any host below."""
URGENCY = {"critical": "high", "warning": "normal", "good": "normal", "info": "low"}


@dataclass(frozen=True, slots=True)
class Options:
    """Who signs (VAPID), and which services may be asked."""

    public_key: str = option("Public key", help="VAPID; made with the private key at the first start.")
    subject: str = option("Contact", help="mailto: address that a push service may write to.")
    hosts: tuple[str, ...] = option(
        "Further push services", default=(), help="Hosts beside those of the browsers' makers; only these may be http."
    )

    def __post_init__(self) -> None:
        if len(_bytes(self.public_key)) != 65:
            raise ValueError("option 'public_key' is 65 bytes in base64url, as made with the private key.")
        if not re.fullmatch(r"mailto:[^@\s<>]{1,64}@[\w.-]{1,253}|https://[\w.-]{1,253}(/[\w./-]*)?", self.subject):
            raise ValueError("option 'subject' is like mailto:admin@example.org.")
        if any(not re.fullmatch(r"\[?[\w.:-]{1,253}\]?", host) for host in self.hosts):
            raise ValueError("option 'hosts' are host names or addresses.")


@dataclass(frozen=True, slots=True)
class Address:
    """One subscription, as the browser made it: a secret, for whoever has it may push to the device."""

    endpoint: str = option("Endpoint")
    p256dh: str = option("Key of the device")
    auth: str = option("Secret of the device")

    def __post_init__(self) -> None:
        if len(_bytes(self.p256dh)) != 65 or len(_bytes(self.auth)) != 16:
            raise ValueError("the keys of this subscription are not whole; subscribe again.")
        if not words.link(self.endpoint):
            raise ValueError("option 'endpoint' is the URL of a push service.")

    def __repr__(self) -> str:
        return "Address(***)"


def shown(address: Address) -> dict[str, str]:
    """Of a subscription, what tells the same device again, and the same keys of it; they are made at random."""
    whole = f"{address.endpoint} {address.p256dh} {address.auth}"
    return {"mark": fingerprint.of(address.endpoint), "keys": fingerprint.of(whole)}


def fresh_pair() -> tuple[str, str]:
    """A new public and private key, both base64url. A new pair ends every subscription made with the old one."""
    pair = ec.generate_private_key(ec.SECP256R1())
    return _public(pair), _text(pair.private_numbers().private_value.to_bytes(32, "big"))


def deliver(sending: Sending) -> Sent:
    """Hand the message to the push service of the device. Raises Undelivered."""
    options: Options = sending.sender
    address: Address = sending.address
    message = words.safe(sending.message)
    with road(sending, listed=options.hosts, hide=(address.auth, urlsplit(address.endpoint).path)) as way:
        _judge(way, address.endpoint, options.hosts)
        with way.hop("sign and encrypt"):
            headers = _headers(message) | _signature(way, options, sending.secret.get("private_key", ""), address)
            body = _sealed(way, address, json_body_of(message))
        answer = way.ask("POST", address.endpoint, headers, body, heard=False)
        if answer.taken:
            return Sent()
        raise _no(way, answer, str(urlsplit(address.endpoint).hostname))


def json_body_of(message: Message) -> bytes:
    """What the service worker reads, for a safe message: less than PAYLOAD bytes; names left out where that is wanted."""
    title, body = message.title, _body(message)
    if message.discreet:
        title, body = words.word(message, message.severity), words.word(message, "discreet")
    told: dict[str, Any] = {
        "id": message.key,
        "kind": message.kind,
        "severity": message.severity,
        "title": title,
        "body": "",
        "url": message.url,
        "tag": message.thread or message.key,
        "actions": [
            {"action": action.kind, "title": action.label, "data": action.data, "url": action.url}
            for action in message.actions[:2]  # no browser shows more
        ],
        "at": message.at.isoformat(),
        "lang": message.language,
    }
    return _fitting(told, body)


def _fitting(told: dict[str, Any], body: str) -> bytes:
    """As much of `body` as there is room for; what is long beside it gives way first."""
    for name in ("url", "title"):
        if len(_utf8(told)) > PAYLOAD - 400:
            told[name] = words.cut(told[name], 300) if name == "title" else ""
    if len(_utf8(told)) > PAYLOAD - 400:
        told["actions"] = []
    size = PAYLOAD - len(_utf8(told))
    while len(_utf8({**told, "body": words.cut(body, size)})) > PAYLOAD:  # quotes take two
        size = size * 9 // 10
    return _utf8({**told, "body": words.cut(body, size)})


def _body(message: Message) -> str:
    rows = [words.row_text(words.Row(row.label, row.value)) for row in words.rows_of(message)]
    return "\n".join(part for part in (message.text, *rows[:4]) if part)


def _utf8(told: dict[str, Any]) -> bytes:
    return json.dumps(told, separators=(",", ":"), ensure_ascii=False).encode()


def _headers(message: Message) -> dict[str, str]:
    headers = {
        "Content-Encoding": "aes128gcm",
        "Content-Type": "application/octet-stream",
        "TTL": str(int(min(message.ttl, LONGEST))),
        "Urgency": URGENCY[message.severity],
    }
    if message.thread:
        headers["Topic"] = message.thread  # a device that was off gets only the newest (RFC 8030, 5.4)
    return headers


def _signature(way: Road, options: Options, secret: str, address: Address) -> dict[str, str]:
    """RFC 8292: for this service alone, and not for long."""
    key = _private(secret)
    if key is None or _public(key) != options.public_key.rstrip("="):
        raise way.no("The private key for web push is missing, or is not the one of the public key.", "setup")
    vapid = Vapid02(private_key=key)
    parts = urlsplit(address.endpoint)
    claims = {
        "aud": f"{parts.scheme}://{parts.netloc}",
        "sub": options.subject,
        "exp": int(time.time()) + SIGNED_FOR,
    }
    try:
        return {"Authorization": str(vapid.sign(claims)["Authorization"])}
    except VapidException:
        raise way.no("Nothing can be signed for this service with this contact address.", "setup") from None


def _sealed(way: Road, address: Address, payload: bytes) -> bytes:
    """RFC 8291."""
    info = {"endpoint": address.endpoint, "keys": {"p256dh": address.p256dh, "auth": address.auth}}
    try:
        return bytes(WebPusher(info).encode(payload)["body"])
    except (WebPushException, ValueError, TypeError, IndexError):
        raise way.no(
            "The keys of this subscription are not good; the device has to subscribe again.", "never"
        ) from None


def _judge(way: Road, endpoint: str, hosts: tuple[str, ...]) -> None:
    """Raises where the endpoint is not at a service we know: anybody may send us one."""
    parts = urlsplit(endpoint)
    host = (parts.hostname or "").rstrip(".").lower()
    listed = host in {item.strip("[]").rstrip(".").lower() for item in hosts}
    known = any(host == item or (item.startswith(".") and host.endswith(item)) for item in SERVICES)
    if listed and parts.scheme in ("http", "https"):
        return
    if not known or parts.scheme != "https" or parts.port not in (None, 443):
        raise way.no(f"{clean(host, 100)} is no push service that Pantau knows; an admin may add it.", "never")


def _no(way: Road, answer: Answer, host: str) -> Undelivered:
    """What a push service's no means (RFC 8030, 5.2 to 7.3, 8.4)."""
    status, words_of = answer.status, said(answer)
    told = f"{host} answers {status}{words_of}"
    if status in (404, 410):
        return way.no(f"This device no longer takes messages: {told}", "gone")
    if status == 413:
        return way.no(f"The message is too large: {told}", "never")
    if status in (401, 403):
        return way.no(f"The signature is not taken (has the key pair changed, is the clock right?): {told}", "setup")
    if status in (408, 425, 429) or status >= 500:
        return way.no(told, "later", answer.retry_after())
    if status >= 400:
        return way.no(told, "never")
    return way.no(f"{told}; nothing is followed", "later")


def _private(secret: str) -> ec.EllipticCurvePrivateKey | None:
    """The key in any of the forms people have it: PEM, or base64url of 32 bytes or DER."""
    try:
        if "-----BEGIN" in secret:
            found: Any = serialization.load_pem_private_key(secret.encode(), None)
        else:
            raw = _bytes(secret)
            if len(raw) == 32:
                found = ec.derive_private_key(int.from_bytes(raw, "big"), ec.SECP256R1())
            else:
                found = serialization.load_der_private_key(raw, None)
    except (ValueError, TypeError):
        return None
    good = isinstance(found, ec.EllipticCurvePrivateKey) and isinstance(found.curve, ec.SECP256R1)
    return found if good else None


def _public(key: ec.EllipticCurvePrivateKey) -> str:
    point = serialization.PublicFormat.UncompressedPoint
    return _text(key.public_key().public_bytes(serialization.Encoding.X962, point))


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    """Base64url, padded or not; empty where it is none."""
    text = re.sub(r"\s", "", text).rstrip("=").replace("+", "-").replace("/", "_")
    if not re.fullmatch(r"[A-Za-z0-9_-]*", text):
        return b""
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (ValueError, binascii.Error):
        return b""


CHANNEL = Channel(
    kind="webpush",
    label="Push to a browser",
    deliver=deliver,
    options=Options,
    address=Address,
    secrets={"private_key": "Private key"},
    linked=True,
    shown=shown,
    seats=8,
)
