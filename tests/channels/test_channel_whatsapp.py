"""WhatsApp against a stand-in of the Cloud API: what is filled in, and what its error codes mean."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from notifier.channels.base import Fact, Hop, Hops
from notifier.channels.whatsapp import CHANNEL, Address, Options
from tests.channels.sendings import message, refusal, send
from tests.channels.standin import Asked, Provider, Reply, provider, said

TOKEN = "EAAtest0123456789token"
SECRET = {"token": TOKEN}
BUDI = Address("+62 812-3456 (789)")


def cloud(asked: Asked) -> Reply:
    """What Meta checks before it takes a template."""

    def no(status: int, code: int, text: str) -> Reply:
        return said(
            {"error": {"message": text, "type": "OAuthException", "code": code, "error_data": {"details": text}}},
            status,
        )

    if asked.headers.get("authorization") != f"Bearer {TOKEN}":
        return no(401, 190, "Invalid OAuth access token - Cannot parse access token")
    if asked.path != "/v21.0/1234567/messages":
        return no(404, 100, "Unsupported post request. Object does not exist")
    sent = asked.json
    if sent["messaging_product"] != "whatsapp" or not sent["to"].lstrip("+").isdigit():
        return no(400, 131009, "Parameter value is not valid")
    template = sent["template"]
    if template["name"] != "pantau_alert" or template["language"]["code"] not in ("en_US", "id"):
        return no(404, 132001, "Template name does not exist in the translation")
    texts = [p["text"] for c in template["components"] if c["type"] == "body" for p in c["parameters"]]
    if len(texts) != 3:
        return no(400, 132000, "Number of parameters does not match the expected number of params")
    if any(not t or "\n" in t or "\t" in t or "     " in t for t in texts) or sum(map(len, texts)) > 1000:
        return no(400, 132018, "Param text cannot have new-line/tab characters or more than 4 consecutive spaces")
    number = {"id": "wamid.HBgLNjI4MTIzNDU2Nzg5"}
    return said({"messaging_product": "whatsapp", "contacts": [{"wa_id": "628123456789"}], "messages": [number]})


def options(there: Provider, **more: Any) -> Options:
    return Options(phone="1234567", api=f"{there.url}/v21.0", **more)


def texts(asked: Asked) -> list[str]:
    return [p["text"] for p in asked.json["template"]["components"][0]["parameters"]]


def test_the_template_is_filled_with_title_sentences_and_place() -> None:
    hops: list[Hop] = []
    with provider(cloud) as there:
        sent = send(CHANNEL, options(there), BUDI, secret=SECRET, hops=Hops(hops.append))
    asked = there.asked[0].json
    assert sent.ref == "wamid.HBgLNjI4MTIzNDU2Nzg5"
    assert asked["to"] == "+628123456789" and asked["biz_opaque_callback_data"] == "delivery-17"
    title, text, place = texts(there.asked[0])
    assert title == "🔴 db-02 is down" and text.startswith("No answer to three looks")
    assert place.startswith("Gudang Cikarang, Jl. Raya 1 https://www.openstreetmap.org/")
    assert [hop.name for hop in hops] == ["name lookup", "connect", "accepted"]


@pytest.mark.parametrize(("language", "code"), [("id", "id"), ("en", "en_US"), ("de", "en_US"), ("", "en_US")])
def test_the_template_is_in_the_readers_language(language: str, code: str) -> None:
    with provider(cloud) as there:
        send(CHANNEL, options(there), BUDI, message(language=language), SECRET)
    assert there.asked[0].json["template"]["language"]["code"] == code


def test_the_button_leads_into_pantau_and_nowhere_else() -> None:
    with provider(cloud) as there:
        ours = options(there, button="https://pantau.example.org/")
        send(CHANNEL, ours, BUDI, secret=SECRET)
        send(CHANNEL, ours, BUDI, message(url="https://evil.example/"), SECRET)
    first, second = (asked.json["template"]["components"] for asked in there.asked)
    assert first[1]["parameters"] == [{"type": "text", "text": "incidents/5"}]
    assert len(second) == 1


@pytest.mark.parametrize("filler", ["x", "\n", "\t ", "\ud800", "🔥", "\x00"])
def test_no_text_makes_a_template_refused(filler: str) -> None:
    huge = filler * (2**20 // len(filler))
    with provider(cloud) as there:
        send(
            CHANNEL, options(there), BUDI, message(title=huge, text=huge, place=None, facts=(Fact(huge, huge),)), SECRET
        )
    assert texts(there.asked[0])[2] == "-"


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [(131026, 400, "never"), (131047, 400, "never"), (131050, 400, "never"), (130429, 429, "later"), (131056, 400, "later"),
     (131048, 400, "later"), (80007, 400, "later"), (131000, 500, "later"), (131016, 503, "later"), (190, 401, "setup"),
     (10, 403, "setup"), (200, 403, "setup"), (368, 403, "setup"), (131031, 403, "setup"), (131042, 400, "setup"),
     (132001, 404, "setup"), (132000, 400, "setup"), (133010, 400, "setup"), (100, 400, "never"), (999999, 400, "later")],
)  # fmt: skip
def test_what_an_error_code_means(code: int, status: int, kind: str) -> None:
    reply = said({"error": {"message": "(#1) because", "code": code}}, status, Retry_After="30")
    with provider(reply) as there:
        why = refusal(CHANNEL, options(there), BUDI, secret=SECRET)
    assert why.kind == kind and str(code) in str(why) and "because" in str(why)
    assert why.retry_after == (30.0 if kind == "later" else None)


def test_a_wrong_token_is_for_an_admin_and_is_not_shown() -> None:
    for token in ("EAAwrong0123456789token", "", "with space", "ünïcödé-token-0123"):
        with provider(cloud) as there:
            why = refusal(CHANNEL, options(there), BUDI, secret={"token": token})
        assert why.kind == "setup" and (not token or token not in str(why))


def test_a_token_an_api_repeats_is_not_repeated_by_us() -> None:
    with provider(said({"error": {"message": f"bad {TOKEN}", "code": 190}}, 401)) as there:
        assert TOKEN not in str(refusal(CHANNEL, options(there), BUDI, secret=SECRET))


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"error": 7}', b'{"messages": 7, "error": null'])
def test_what_is_no_answer_of_whatsapp_is_tried_again(body: bytes) -> None:
    with provider(Reply(200, body)) as there:
        assert refusal(CHANNEL, options(there), BUDI, secret=SECRET).kind == "later"


@pytest.mark.parametrize("messages", [7, [], [7], [{"id": 7}], [{"id": "x" * 999}]])
def test_a_message_without_a_number_was_taken_all_the_same(messages: object) -> None:
    with provider(said({"messages": messages})) as there:
        assert send(CHANNEL, options(there), BUDI, secret=SECRET).ref == ""


@pytest.mark.parametrize("phone", ["", "0812345678", "+0812345678", "+62abc", "+62\n8123456789", "+628123456789012345"])
def test_what_is_no_number_is_no_address(phone: str) -> None:
    with pytest.raises(ValueError, match="phone"):
        Address(phone)


def test_options_say_what_is_wrong_with_them() -> None:
    good = Options(phone="1234567")
    for bad in ({"phone": "+62"}, {"template": "A B"}, {"languages": ()}, {"languages": ("x",)}, {"api": "http://graph.example.org"},
                {"button": "javascript:x"}):  # fmt: skip
        with pytest.raises(ValueError, match=next(iter(bad))):
            dataclasses.replace(good, **bad)  # type: ignore[arg-type]
