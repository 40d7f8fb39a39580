"""Telegram against a stand-in that keeps chats as the documentation says."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from notifier.channels import telegram
from notifier.channels.base import Action, Fact, Hop, Hops, Message, Place, Sent
from notifier.channels.telegram import CHANNEL, Address, Options, units
from tests.channels.botapi import Telegram, botapi
from tests.channels.sendings import SAMPLE, message, refusal, send
from tests.channels.standin import Reply, provider, said

BUDI, GROUP = Address("42"), Address("-1001", topic=7)


@pytest.fixture
def server() -> Iterator[Telegram]:
    with botapi() as running:
        running.chat(42)
        running.chat(-1001, topics=(7,))
        yield running


def tell(server: Telegram, told: Message = SAMPLE, address: Address = BUDI, **more: Any) -> Sent:
    return send(CHANNEL, Options(server.url), address, told, {"token": server.token}, **more)


def refused(server: Telegram, told: Message = SAMPLE, address: Address = BUDI, token: str = "", **more: Any) -> Any:
    return refusal(CHANNEL, Options(server.url), address, told, {"token": token or server.token}, **more)


def test_a_message_says_what_where_and_offers_what_can_be_done(server: Telegram) -> None:
    hops: list[Hop] = []
    sent = tell(server, hops=Hops(hops.append))
    news, pin = server.messages(42)
    assert sent.ref == f"{news.number}.critical"
    plain = news.text.replace("\u2060", "")
    assert plain.startswith("🔴 db-02 is down\nNo answer to three looks")
    assert "Since: 09:12 WIB" in plain and "Where: Gudang Cikarang, Jl. Raya 1 · Map" in plain
    assert news.marked("bold") == ["db-02 is down"] and "Map" in news.marked("text_link")
    assert {e.get("url") for e in news.entities if e["type"] == "text_link"} == {
        "https://wiki.example.org/db-02", SAMPLE.place and SAMPLE.place.map_url}  # fmt: skip
    assert news.buttons == [
        [{"text": "I take it", "callback_data": "ack:5"}, {"text": "Mute 1 h", "callback_data": "mute:5:60"}],
        [{"text": "Open", "url": "https://pantau.example.org/incidents/5"}],
    ]
    assert (pin.venue, pin.place) == ("Gudang Cikarang, Jl. Raya 1", (-6.3, 107.15))
    assert pin.silent and pin.reply_to == news.number and not news.silent
    assert [hop.name for hop in hops] == ["name lookup", "connect", "accepted", "place"]


def test_an_incident_stays_one_message_as_it_develops(server: Telegram) -> None:
    first = tell(server)
    second = tell(server, message(key="2", kind="acknowledged", text="Budi has it.", replaces=first.ref))
    news, _pin = server.messages(42)
    assert first == second and news.edits == 1 and "Budi has it." in news.text


def test_a_recovery_is_a_reply_that_rings_and_ends_the_old_one(server: Telegram) -> None:
    first = tell(server)
    over = message(key="2", kind="recovery", severity="good", title="db-02 is up again", text="Down for 12 min.",
                   replaces=first.ref, actions=())  # fmt: skip
    last = tell(server, over)
    news, _pin, end = server.messages(42)
    assert news.text.startswith("🟢 db-02 is up again") and news.buttons == []
    assert end.reply_to == news.number and end.text == "🟢 db-02 is up again\nDown for 12 min." and not end.silent
    assert last.ref == f"{news.number}.good"


@pytest.mark.parametrize("change", [{"kind": "reminder"}, {"severity": "critical"}])
def test_what_must_be_heard_is_never_only_an_edit(server: Telegram, change: dict[str, str]) -> None:
    first = tell(server, message(severity="warning"))
    tell(server, message(**{"key": "2", "severity": "warning", "text": "Still.", "replaces": first.ref, **change}))
    assert len(server.messages(42)) == 3


def test_a_digest_is_answered_and_never_overwritten_by_one_of_its_machines(server: Telegram) -> None:
    digest = tell(server, message(kind="digest", title="7 machines are down", thread="", place=None))
    over = message(
        key="2", kind="recovery", severity="good", title="db-02 is up again", replaces=digest.ref, place=None
    )
    last = tell(server, over)
    many, one = server.messages(42)
    assert "7 machines are down" in many.text and many.edits == 0
    assert one.reply_to == many.number and one.text.startswith("🟢 db-02 is up again")
    assert last.ref == f"{one.number}.good"


def test_what_is_already_said_is_said(server: Telegram) -> None:
    first = tell(server)
    again = tell(server, message(replaces=first.ref))
    assert again == first and len(server.messages(42)) == 2
    assert server.methods()[-1] == "editMessageText"


def test_a_message_somebody_deleted_is_sent_anew_without_a_second_pin(server: Telegram) -> None:
    first = tell(server)
    server.deletes(42, int(first.ref.split(".")[0]))
    second = tell(server, message(replaces=first.ref, text="More."))
    pin, news = server.messages(42)
    assert pin.place and second.ref == f"{news.number}.critical" != first.ref and "More." in news.text


@pytest.mark.parametrize("ref", ["", "nonsense", "0", "999999999999999999999999", "5'; drop", "\ud800"])
def test_a_ref_that_is_none_is_a_new_message(server: Telegram, ref: str) -> None:
    tell(server, message(replaces=ref))
    assert any("db-02" in shown.text for shown in server.messages(42))


def test_a_topic_of_a_group_gets_its_message_and_one_that_is_gone_costs_nobody_the_news(server: Telegram) -> None:
    tell(server, address=GROUP)
    assert {shown.topic for shown in server.messages(-1001)} == {7}
    sent = tell(server, address=Address("-1001", topic=8))
    assert server.messages(-1001)[-2].topic is None and "topic" in sent.note


def test_a_group_that_moved_is_followed_and_that_is_said(server: Telegram) -> None:
    server.chat(-1001).moved_to = -100777
    server.chat(-100777, topics=(7,))
    sent = tell(server, address=GROUP)
    assert len(server.messages(-100777)) == 2 and "-100777" in sent.note


def test_flood_control_says_how_long(server: Telegram) -> None:
    server.flood(17)
    why = refused(server)
    assert (why.kind, why.retry_after) == ("later", 17.0) and not server.messages(42)


def test_a_flood_after_the_news_does_not_tell_it_twice(server: Telegram) -> None:
    tell(server, message(place=None))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server, "_do_sendVenue", lambda asked: server._there({"chat_id": 0}), raising=True)
        sent = tell(server, message(key="2"))
    assert sent.ref and len(server.messages(42)) == 2


def test_who_blocked_the_bot_or_never_met_it_is_gone(server: Telegram) -> None:
    assert refused(server, address=Address("4711")).kind == "gone"
    server.chat(42).blocked = True
    assert refused(server).kind == "gone"


@pytest.mark.parametrize("token", ["1234567:wrong-but-well-shaped-token", "", "nonsense", "1:2/../../x", "é" * 40])
def test_a_wrong_token_is_for_an_admin(server: Telegram, token: str) -> None:
    why = refusal(CHANNEL, Options(server.url), BUDI, secret={"token": token})
    assert why.kind == "setup"
    assert not token or token not in str(why)


def test_the_token_is_in_no_error_and_no_log(caplog: pytest.LogCaptureFixture) -> None:
    token = "555555:AA-this_is-very-secret-0123456789"
    caplog.set_level(logging.DEBUG)
    hops: list[Hop] = []
    texts = []
    with provider(
        lambda asked: said({"ok": False, "error_code": 400, "description": f"see {asked.path}"}, 400)
    ) as there:
        texts.append(refusal(CHANNEL, Options(there.url), BUDI, secret={"token": token}, hops=Hops(hops.append)))
        there.reply = lambda asked: Reply(200, asked.path.encode())
        texts.append(refusal(CHANNEL, Options(there.url), BUDI, secret={"token": token}, hops=Hops(hops.append)))
    texts.append(refusal(CHANNEL, Options(there.url), BUDI, secret={"token": token}, hops=Hops(hops.append)))
    everything = "".join(repr(e) + repr(e.__cause__) for e in texts) + "".join(h.detail for h in hops) + caplog.text
    assert "this_is-very-secret" not in everything
    assert all(e.__suppress_context__ or e.__context__ is None for e in texts)


@pytest.mark.parametrize(
    ("code", "why", "kind"),
    [(500, "Internal Server Error", "later"), (502, "Bad Gateway", "later"), (409, "Conflict", "later"),
     (400, "Bad Request: message is too long", "never"), (403, "Forbidden: bot was kicked from the supergroup chat", "gone"),
     (400, "Bad Request: not enough rights to send text messages to the chat", "never"),
     (403, "Forbidden: user is deactivated", "gone"), (401, "Unauthorized", "setup")],
)  # fmt: skip
def test_what_a_no_means(code: int, why: str, kind: str) -> None:
    with provider(said({"ok": False, "error_code": code, "description": why}, code)) as there:
        got = refusal(CHANNEL, Options(there.url), BUDI, secret={"token": "123456:AAAAAAAAAAAAAAAAAAAAAAAAAAAAA"})
    assert got.kind == kind and why.rpartition(": ")[2] in str(got)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"null", b"<html>", b"{}", b'{"ok":1}', b"[" * 20000, b'{"ok":true,"result":7}']
)
def test_an_answer_that_is_none_is_no_delivery_or_one_without_a_number(body: bytes) -> None:
    given = {"secret": {"token": "123456:AAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}}
    with provider(Reply(200, body)) as there:
        if b"result" in body:
            assert send(CHANNEL, Options(there.url), BUDI, **given).ref == ""  # type: ignore[arg-type]
        else:
            assert refusal(CHANNEL, Options(there.url), BUDI, **given).kind == "later"


@pytest.mark.parametrize("filler", ["x", "🔥", "é", "\ud800", "\n", "<b>&", "\x00", "a.bc @you /cmd #tag "])
def test_no_text_is_too_long_or_makes_the_message_refused(server: Telegram, filler: str) -> None:
    huge = filler * (2**20 // len(filler))
    spoilt = message(
        title=huge, text=huge, key=huge, kind=huge, language=huge, url=huge, facts=(Fact(huge, huge, "https://x.example/1"),) * 60,
        place=Place(huge, huge, 1.0, 2.0), actions=(Action("acknowledge", huge, "ack:1"),) * 9,
    )  # fmt: skip
    tell(server, spoilt)
    news = server.messages(42)[0]
    assert units(news.text) <= telegram.LIMIT


def test_words_of_a_machine_make_no_link_no_mention_and_no_command(server: Telegram) -> None:
    spoilt = message(title="evil.example @admin /stop", text="see https://evil.example/x #tag", facts=(Fact("Name", "www.evil.example"),),
                     place=None)  # fmt: skip
    tell(server, spoilt)
    text = server.messages(42)[0].text
    for made in ("evil.example @", "@admin", "/stop", "https://evil", "#tag"):
        assert made not in text
    assert server.messages(42)[0].marked("code") == ["www.evil.example"]
    assert text.replace("\u2060", "").startswith("🔴 evil.example @admin /stop\nsee https://evil.example/x #tag")


def test_markup_in_a_name_stays_letters(server: Telegram) -> None:
    tell(server, message(title="<b>db</b> *x* _y_ [a](http://b) &amp;", place=None))
    assert "<b>db</b> *x* _y_ [a](http://b) &amp;" in server.messages(42)[0].text.replace("\u2060", "")


@pytest.mark.parametrize(
    "url", ["http://localhost:8000/i/5", "http://pantau/i/5", "https://pantau.local/i/5", "http://10.0.0.5/i/5"]
)
def test_an_inner_address_is_text_to_copy_not_a_button_that_is_refused(server: Telegram, url: str) -> None:
    tell(server, message(url=url, actions=(Action("open", "Open", url=url),)))
    news = server.messages(42)[0]
    assert news.buttons == [] and news.marked("code")[-1] == url


def test_a_button_telegram_dislikes_costs_the_button_not_the_news() -> None:
    def picky(asked: Any) -> Reply:
        rows = asked.json["reply_markup"]["inline_keyboard"]
        if any("url" in button for row in rows for button in row):
            return said({"ok": False, "error_code": 400, "description": "Bad Request: BUTTON_URL_INVALID"}, 400)
        return said({"ok": True, "result": {"message_id": 5}})

    with provider(picky) as there:
        secret = {"token": "123456:AAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}
        assert send(CHANNEL, Options(there.url), BUDI, message(place=None), secret).ref == "5.critical"


@pytest.mark.parametrize("chat", ["", "abc", "1 2", "42; drop", "@x", "12345678901234567890123"])
def test_what_is_no_chat_is_no_address(chat: str) -> None:
    with pytest.raises(ValueError, match="chat"):
        Address(chat)


@pytest.mark.parametrize("api", ["http://api.example.org", "ftp://x", "", "https://x/?a=b", "https://u:p@x.example"])
def test_the_token_goes_over_tls_or_nowhere_else(api: str) -> None:
    with pytest.raises(ValueError, match="api"):
        Options(api)
