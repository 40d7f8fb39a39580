"""Any text at all in any field of a message: what is made of it is whole, bounded, and has the same shape."""

from __future__ import annotations

import dataclasses
import datetime
import json
from email import message_from_bytes
from email.policy import SMTP, default

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from notifier.channels import email, telegram, webhook, webpush, whatsapp, words
from notifier.channels.base import Action, Fact, Message, Place

CALM = settings(
    deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
_ODD = st.sampled_from(
    ["", "\x00", "\r\nBcc: x@y.example", "\x0b\x0c\x1c\x85\u2028", "\ud800", "=?utf-8?q?=0D=0AX:_y?=", "<b>&\"'", "{{7*7}}", "\u202e", "\ufeff",
     "x" * 3000, "🔥" * 900, "é " * 700, ",;:<>@()[]\\\"", "a" * 80 + " " + "b" * 1200, "=?", "\t", "https://x.example/?a=b&c=<d>", "javascript:x"]
)  # fmt: skip
TEXT = st.lists(_ODD | st.text(st.characters(), max_size=30), max_size=4).map("".join)
COORDINATE = st.none() | st.floats()
MESSAGES = st.builds(
    Message,
    key=TEXT, kind=TEXT, severity=st.sampled_from(["critical", "warning", "good", "info"]), title=TEXT, text=TEXT,
    at=st.datetimes(min_value=datetime.datetime(1970, 1, 2), timezones=st.just(datetime.UTC)), language=TEXT | st.sampled_from(["id", "en"]),
    thread=TEXT, replaces=TEXT | st.just("<a.b@c.example>"), facts=st.lists(st.builds(Fact, TEXT, TEXT, TEXT), max_size=4).map(tuple),
    url=TEXT, place=st.none() | st.builds(Place, TEXT, TEXT, COORDINATE, COORDINATE),
    actions=st.lists(st.builds(Action, st.sampled_from(["acknowledge", "open", "mute"]), TEXT, TEXT, TEXT), max_size=3).map(tuple),
    ttl=st.floats(), discreet=st.booleans(),
)  # fmt: skip
SENDER = email.Options("mail.example.org", "pantau@example.org")
HEADERS = {"From", "To", "Subject", "Date", "Message-ID", "In-Reply-To", "References", "Auto-Submitted", "X-Auto-Response-Suppress",
           "List-Id", "Importance", "MIME-Version", "Content-Type"}  # fmt: skip


@CALM
@given(MESSAGES, TEXT)
def test_a_mail_has_the_headers_it_should_and_no_other(message: Message, name: str) -> None:
    sender = dataclasses.replace(SENDER, name=name)
    raw = email.compose(words.safe(message), sender, email.Address("ana@example.org")).as_bytes(policy=SMTP)
    read = message_from_bytes(raw, policy=default)
    assert set(read.keys()) <= HEADERS and len(set(read.keys())) == len(read.keys())
    assert [part.get_content_type() for part in read.walk()] == ["multipart/alternative", "text/plain", "text/html"]
    assert read["To"].addresses[0].addr_spec == "ana@example.org" and len(read["To"].addresses) == 1
    assert read["From"].addresses[0].addr_spec == "pantau@example.org" and len(read["From"].addresses) == 1
    assert all(len(line) <= 998 for line in raw.split(b"\r\n")) and b"\n" not in raw.replace(b"\r\n", b"")
    page = read.get_body(("html",)).get_content()  # type: ignore[union-attr]
    assert "<script" not in page and "<b>" not in page and "javascript:" not in "".join(page.split('href="')[1:])[:11]


@CALM
@given(MESSAGES)
def test_a_push_fits_and_is_json(message: Message) -> None:
    body = webpush.json_body_of(words.safe(message))
    told = json.loads(body)
    assert len(body) <= webpush.PAYLOAD and told["title"] and told["tag"]


@CALM
@given(MESSAGES)
def test_a_text_for_telegram_fits_with_its_entities_within_it(message: Message) -> None:
    safe = words.safe(message)
    written = telegram._Text()
    written.add(telegram.still(safe.title), "bold")
    written.add("\n" + telegram.still(safe.text))
    written.rows(words.rows_of(safe))
    size = telegram.units(written.text)
    assert size <= telegram.LIMIT
    assert (
        all(e["length"] > 0 and e["offset"] + e["length"] <= size for e in written.entities)
        and len(written.entities) <= 100
    )
    for row in telegram.keyboard(safe):
        assert all(1 <= len(key.get("callback_data", "x").encode()) <= telegram.DATA and key["text"] for key in row)


@CALM
@given(MESSAGES)
def test_json_for_others_is_json_and_a_template_has_no_empty_part(message: Message) -> None:
    safe = words.safe(message)
    assert json.loads(json.dumps(webhook.told(safe), allow_nan=False))["title"]
    sent = whatsapp.written(safe, whatsapp.Options("1234567"), "+628123456789")
    parts = [part["text"] for part in sent["template"]["components"][0]["parameters"]]
    assert all(parts) and sum(map(len, parts)) <= 1000 and not any("\n" in part or "\t" in part for part in parts)


@CALM
@given(MESSAGES)
def test_what_is_safe_stays_the_same_when_it_is_made_safe_again(message: Message) -> None:
    safe = words.safe(message)
    assert words.safe(safe) == safe


@pytest.mark.parametrize(
    "url",
    ["https://x.example/\u202egpj.exe", "https://x.example/\u2028", "https://x.example/\ufeff", "https://x.example/\ud800", "https://u@x.example/",
     "https:/x", "javascript:alert(1)", "data:text/html,x", "https://x.example/<b>", "https://x.example/\x00", "https://x.example:99999/",
     "https://", "https://x.example/" + "y" * 2000, " https://x.example/", "https://x.example/'"],
)  # fmt: skip
def test_what_might_deceive_is_no_link(url: str) -> None:
    assert words.link(url) == ""


@pytest.mark.parametrize(
    "url", ["https://x.example", "http://10.0.0.1:8000/a?b=c&d#e", "https://[2001:db8::1]/x", "https://hök.example/ü"]
)
def test_what_is_a_link_stays_it(url: str) -> None:
    assert words.link(url) == url
