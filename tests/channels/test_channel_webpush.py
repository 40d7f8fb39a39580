"""Web push against an endpoint that decrypts what it is sent and checks who signed it."""

from __future__ import annotations

import base64
import dataclasses
import email.utils
import json
import os
import time
from typing import Any

import http_ece
import pytest
import talkers
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from py_vapid import Vapid02

from notifier.channels import webpush
from notifier.channels.base import Action, Fact, Hop, Hops
from notifier.channels.webpush import CHANNEL, Address, Options, fresh_pair
from tests.channels.sendings import message, refusal, send
from tests.channels.standin import Asked, Provider, Reply, provider

PUBLIC, PRIVATE = fresh_pair()
SECRET = {"private_key": PRIVATE}
OPTIONS = Options(PUBLIC, "mailto:admin@example.org", hosts=("127.0.0.1",))


def text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


class Device:
    """A browser's side of a subscription."""

    def __init__(self, endpoint: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._auth = os.urandom(16)
        point = self._key.public_key().public_bytes(
            serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
        )
        self.address = Address(endpoint, text(point), text(self._auth))

    def read(self, asked: Asked) -> Any:
        """What the service worker would see."""
        return json.loads(self.plain(asked))

    def plain(self, asked: Asked) -> bytes:
        opened = http_ece.decrypt(asked.body, private_key=self._key, auth_secret=self._auth, version="aes128gcm")
        return bytes(opened)


def device(service: Provider, path: str = "/push/abc-secret-path") -> Device:
    return Device(f"{service.url}{path}")


def test_a_device_can_read_what_was_sent_and_knows_who_sent_it() -> None:
    with provider(Reply(201, b"")) as service:
        phone = device(service)
        hops: list[Hop] = []
        send(CHANNEL, OPTIONS, phone.address, secret=SECRET, hops=Hops(hops.append))
        asked = service.asked[0]
    told = phone.read(asked)
    assert told == {
        "id": "delivery-17", "kind": "problem", "severity": "critical", "title": "db-02 is down", "body": told["body"],
        "url": "https://pantau.example.org/incidents/5", "tag": "incident-5", "at": "2026-07-03T09:13:00+00:00", "lang": "en",
        "actions": [
            {"action": "acknowledge", "title": "I take it", "data": "ack:5", "url": ""},
            {"action": "mute", "title": "Mute 1 h", "data": "mute:5:60", "url": ""},
        ],
    }  # fmt: skip
    assert told["body"].startswith("No answer to three looks") and "Gudang Cikarang" in told["body"]
    assert (asked.method, asked.headers["ttl"], asked.headers["urgency"]) == ("POST", "3600", "high")
    assert asked.headers["topic"] == "incident-5" and asked.headers["content-encoding"] == "aes128gcm"
    signed = asked.headers["authorization"]
    assert Vapid02.verify(signed)
    assert f"k={PUBLIC}" in signed
    claims = json.loads(base64.urlsafe_b64decode(signed.split("t=")[1].split(".")[1] + "==="))
    assert claims["aud"] == service.url and claims["sub"] == "mailto:admin@example.org"
    assert time.time() < claims["exp"] <= time.time() + 24 * 3600
    assert [hop.name for hop in hops] == ["sign and encrypt", "name lookup", "connect", "accepted"]


@pytest.mark.parametrize(("severity", "urgency"), [("critical", "high"), ("good", "normal"), ("info", "low")])
def test_a_recovery_wakes_nobody_as_a_failure_does(severity: str, urgency: str) -> None:
    with provider(Reply(201, b"")) as service:
        send(CHANNEL, OPTIONS, device(service).address, message(severity=severity, ttl=600.9), SECRET)
    assert (service.asked[0].headers["urgency"], service.asked[0].headers["ttl"]) == (urgency, "600")


@pytest.mark.parametrize(
    ("language", "word"), [("id", "Ada yang mati"), ("en", "Something is down"), ("xx", "Something")]
)
def test_a_locked_screen_shows_no_names_where_that_is_wanted(language: str, word: str) -> None:
    with provider(Reply(201, b"")) as service:
        phone = device(service)
        send(CHANNEL, OPTIONS, phone.address, message(discreet=True, language=language), SECRET)
    told = phone.read(service.asked[0])
    assert told["title"].startswith(word)
    everything = json.dumps(told)
    for name in ("db-02", "Gudang", "Jl. Raya", "No answer", "09:12"):
        assert name not in everything
    assert told["url"] == "https://pantau.example.org/incidents/5"


@pytest.mark.parametrize("filler", ["x", '\\"', "\ud800", "é", "🔥", "\x00", "\n"])
def test_a_payload_stays_below_three_kilobytes_whatever_is_in_it(filler: str) -> None:
    huge = filler * (2**20 // len(filler))
    spoilt = message(
        key=huge, kind=huge, title=huge, text=huge, thread=huge, replaces=huge, language=huge, url="https://a.example/" + huge,
        facts=(Fact(huge, huge, huge),) * 50, actions=(Action("open", huge, huge, huge),) * 9,
    )  # fmt: skip
    with provider(Reply(201, b"")) as service:
        phone = device(service)
        send(CHANNEL, OPTIONS, phone.address, spoilt, SECRET)
    asked = service.asked[0]
    assert len(phone.plain(asked)) <= webpush.PAYLOAD and len(asked.body) < 4096
    assert len(asked.headers["topic"]) <= 32
    assert phone.read(asked)["title"]


@pytest.mark.parametrize(
    ("status", "kind"),
    [(404, "gone"), (410, "gone"), (413, "never"), (400, "never"), (401, "setup"), (403, "setup"), (429, "later"),
     (500, "later"), (503, "later"), (302, "later")],
)  # fmt: skip
def test_what_a_push_service_means_by_its_status(status: int, kind: str) -> None:
    with provider(Reply(status, b"because", {"Location": "http://127.0.0.1:1/"})) as service:
        why = refusal(CHANNEL, OPTIONS, device(service).address, secret=SECRET)
    assert why.kind == kind and str(status) in str(why) and ("because" in str(why) or status == 302)
    assert len(service.asked) == 1


@pytest.mark.parametrize(("said", "low", "high"), [("120", 120, 120), ("999999999999", 86400, 86400), ("-5", None, None),
                                                   ("soon", None, None), ("٣", None, None)])  # fmt: skip
def test_how_long_to_wait_is_heard_in_seconds(said: str, low: float | None, high: float | None) -> None:
    with provider(Reply(429, b"", {"Retry-After": said.encode().decode("latin-1")})) as service:
        waits = refusal(CHANNEL, OPTIONS, device(service).address, secret=SECRET).retry_after
    assert waits == low == high or (waits is not None and low is not None and high is not None and low <= waits <= high)


def test_how_long_to_wait_is_heard_as_a_date() -> None:
    at = email.utils.formatdate(time.time() + 300, usegmt=True)
    with provider(Reply(503, b"", {"Retry-After": at})) as service:
        waits = refusal(CHANNEL, OPTIONS, device(service).address, secret=SECRET).retry_after
    assert waits is not None and 240 < waits <= 300


@pytest.mark.parametrize(
    "endpoint",
    ["https://evil.example/push", "http://fcm.googleapis.com/x", "https://fcm.googleapis.com:8443/x",
     "https://fcm.googleapis.com.evil.example/x", "https://evilpush.apple.com.example/x", "http://169.254.169.254/x",
     "http://10.0.0.1/x", "https://push.services.mozilla.com.evil.example/", "http://[::1]/x", "http://127.0.0.2/x"],
)  # fmt: skip
def test_nobody_is_sent_to_what_is_no_push_service(endpoint: str) -> None:
    hops: list[Hop] = []
    why = refusal(CHANNEL, OPTIONS, Device(endpoint).address, secret=SECRET, hops=Hops(hops.append))
    assert why.kind == "never" and not any(hop.name == "connect" for hop in hops)


def test_the_machine_itself_is_asked_only_where_it_is_listed() -> None:
    with provider(Reply(201, b"")) as service:
        strict = dataclasses.replace(OPTIONS, hosts=())
        assert refusal(CHANNEL, strict, device(service).address, secret=SECRET).kind == "never"
    assert not service.asked


@pytest.mark.parametrize("host", ["fcm.googleapis.com", "updates.push.services.mozilla.com", "web.push.apple.com",
                                  "wns2-par02p.notify.windows.com"])  # fmt: skip
def test_the_services_of_the_browsers_are_known(host: str) -> None:
    why = refusal(CHANNEL, OPTIONS, Device(f"https://{host}/x").address, secret=SECRET, deadline=3.0)
    assert why.kind == "later"  # there is no way there from a test, but it may be gone


def test_a_key_pair_is_fresh_and_any_form_of_it_is_understood() -> None:
    assert fresh_pair() != fresh_pair()
    key = ec.derive_private_key(int.from_bytes(base64.urlsafe_b64decode(PRIVATE + "="), "big"), ec.SECP256R1())
    shape = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    pem = key.private_bytes(serialization.Encoding.PEM, *shape).decode()
    der = text(key.private_bytes(serialization.Encoding.DER, *shape))
    with provider(Reply(201, b"")) as service:
        for form in (pem, der, PRIVATE):
            send(CHANNEL, OPTIONS, device(service).address, secret={"private_key": form})
    assert len(service.asked) == 3


@pytest.mark.parametrize(
    "secret",
    ["", "nonsense", fresh_pair()[1], "-----BEGIN PRIVATE KEY-----\nxx\n-----END PRIVATE KEY-----"],
    ids=("none", "nonsense", "another", "damaged"),
)
def test_another_private_key_is_for_an_admin_to_mend(secret: str) -> None:
    with provider(Reply(201, b"")) as service:
        why = refusal(CHANNEL, OPTIONS, device(service).address, secret={"private_key": secret})
    assert why.kind == "setup" and not service.asked
    assert not secret or secret not in str(why)


def test_a_subscription_with_a_spoilt_key_poisons_only_itself() -> None:
    spoilt = Address("https://fcm.googleapis.com/x", text(b"\x04" + bytes(64)), text(bytes(16)))
    assert refusal(CHANNEL, OPTIONS, spoilt, secret=SECRET).kind == "never"
    for keys in (("", ""), ("é", "x"), (PUBLIC, "AAAA")):
        with pytest.raises(ValueError, match="keys"):
            Address("https://fcm.googleapis.com/x", *keys)


def test_the_secret_part_of_an_endpoint_is_in_no_error() -> None:
    with provider(lambda asked: Reply(500, asked.path.encode())) as service:
        hops: list[Hop] = []
        why = refusal(CHANNEL, OPTIONS, device(service).address, secret=SECRET, hops=Hops(hops.append))
    assert "abc-secret-path" not in str(why) + "".join(hop.detail for hop in hops)


def test_a_taken_message_is_sent_even_if_the_rest_of_the_answer_never_comes() -> None:
    def speech(talker: talkers.Talker, line: Any) -> None:
        line.recv(65536)
        line.sendall(b"HTTP/1.1 201 Created\r\nContent-Length: 100\r\n\r\nhalf")
        talker.pause(30)

    stop = talkers.within(5)
    with talkers.talking(speech) as talker:
        send(CHANNEL, OPTIONS, Device(f"http://127.0.0.1:{talker.port}/x").address, secret=SECRET)
        stop()
