"""A person links Telegram by a code, is told there, takes an incident by its button, and asks; a stranger learns nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from config import vault
from tests.channels.botapi import Telegram, botapi
from tests.flow.people import Village
from tests.installation import until

RINA, BUDI, STRANGER, GROUP = 501, 502, 666, -1001


@pytest.fixture
def village(database_url: str, tmp_path: Path) -> Village:
    made = Village(database_url, tmp_path)
    made.division("finance")
    made.division("sales")
    return made


@pytest.fixture
def telegram() -> Iterator[Telegram]:
    with botapi() as running:
        yield running


def bot(village: Village, telegram: Telegram) -> int:
    """The bot as a channel."""
    channel = village.channel("telegram", "bot", {"api": telegram.url})
    seal = vault.sealer(village.place / "notifier.pub").seal
    village.ask("update channel set sealed = %s where id = %s", seal(json.dumps({"token": telegram.token}).encode(), "channel:none"), channel)  # fmt: skip
    return channel


def code(village: Village, channel: int, person: int | None, text: str, minutes: int = 10) -> None:
    """A code from the pages."""
    village.ask(
        "insert into linking (code, channel_id, person_id, expires_at) values (%s, %s, %s, now() + %s * interval '1 minute')",
        hashlib.sha256(text.encode()).hexdigest(), channel, person, minutes,
    )  # fmt: skip


def texts(telegram: Telegram, chat: int) -> list[str]:
    return [shown.text for shown in telegram.messages(chat)]


def asks(telegram: Telegram, chat: int, text: str, **more: int) -> str:
    """What the bot answers."""
    before = len(texts(telegram, chat))
    telegram.says(chat, text, language="en", **more)
    return until(lambda: texts(telegram, chat)[before:])[0]


def test_a_person_links_is_told_takes_it_and_asks(village: Village, telegram: Telegram) -> None:
    channel = bot(village, telegram)
    rina, budi = village.person("rina", finance="pic"), village.person("budi", sales="pic")
    code(village, channel, rina, "code-of-rina")
    code(village, channel, budi, "code-of-budi")
    code(village, channel, rina, "an-old-code", minutes=-1)
    database = village.machine("db-02", "finance")
    village.machine("shop", "sales")
    for number in (RINA, BUDI, STRANGER):
        telegram.chat(number)
    with village.notifier():
        assert "too old" in asks(telegram, RINA, "/start an-old-code")
        assert asks(telegram, RINA, "/start code-of-rina").startswith("Linked.")
        assert asks(telegram, BUDI, "/start code-of-budi").startswith("Linked.")
        assert "too old" in asks(telegram, STRANGER, "/start code-of-rina")  # a code is good once
        assert village.one("select count(*) from linking") == 1

        incident = village.one("select incident_id from notice where id = %s", village.trouble(database))
        told = until(lambda: [shown for shown in telegram.messages(RINA) if "db-02 is down" in shown.text])[0]
        village.ask("insert into track (subject, host_id, state, since, data) values (%s, %s, 'down', now(), '{}')", f"host:{database}", database)  # fmt: skip
        data = [button["callback_data"] for row in told.buttons for button in row if "callback_data" in button]
        assert data == [f"ack:{incident}", f"mute:{incident}"]

        telegram.presses(BUDI, telegram.messages(BUDI)[0].number, f"ack:{incident}", language="en")
        telegram.presses(STRANGER, telegram.messages(STRANGER)[0].number, f"ack:{incident}", language="en")
        until(lambda: len(telegram.answers()) == 2)
        assert [answer["text"] for answer in telegram.answers()] == [
            "There is no such incident.", "I do not know you. Link this account in Pantau first.",
        ]  # fmt: skip
        assert village.one("select owner_id from incident") is None

        telegram.presses(RINA, told.number, f"ack:{incident}", language="en")
        until(lambda: village.one("select owner_id from incident") == rina)
        (event,) = village.ask("select kind, person_id from incident_event where kind = 'acknowledged'")
        assert event["person_id"] == rina

        assert "db-02: Down" in asks(telegram, RINA, "/down") and "shop" not in asks(telegram, RINA, "/status")
        assert asks(telegram, BUDI, "/down") == "Nothing is down."
        assert asks(telegram, BUDI, "/host db-02") == "You have no machine of this name."
        assert asks(telegram, RINA, "/host DB-02").startswith("db-02 (192.0.2.1): Down")
        assert asks(telegram, RINA, "/ack") == "There is nothing that nobody has in hand."
        assert asks(telegram, RINA, f"/ack {incident}") == "You have it in hand already."
        assert asks(telegram, BUDI, f"/ack {incident}") == "There is no such incident."
        assert asks(telegram, RINA, "/oncall") == "There is no rota."
        assert "/status" in asks(telegram, RINA, "/whatever")
        assert asks(telegram, STRANGER, "/status").startswith("I do not know you.")

        telegram.presses(RINA, told.number, f"mute:{incident}", language="en")
        until(lambda: village.one("select muted_until > now() from route where person_id = %s", rina))
        assert village.one("select muted_until is null from route where person_id = %s", budi)


def test_a_group_is_linked_by_its_own_code_and_a_persons_code_stays_private(
    village: Village, telegram: Telegram
) -> None:
    channel = bot(village, telegram)
    rina = village.person("rina", finance="pic")
    code(village, channel, rina, "code-of-rina")
    code(village, channel, None, "code-of-group")
    telegram.chat(GROUP)
    telegram.chat(RINA)
    with village.notifier():
        assert "with me alone" in asks(telegram, GROUP, "/link code-of-rina", sender=RINA)
        assert asks(telegram, GROUP, "/link code-of-group", sender=RINA).startswith("Linked.")
        assert asks(telegram, RINA, "/start code-of-rina").startswith("Linked.")
        telegram.presses(GROUP, telegram.messages(GROUP)[0].number, "mute:1", sender=RINA, language="en")
        until(telegram.answers)
        assert telegram.answers()[0]["text"] == "Only administrators can silence a group."
    routes = village.ask("select person_id, address ->> 'chat' as chat from route order by id")
    assert [(row["person_id"], row["chat"]) for row in routes] == [(None, str(GROUP)), (rina, str(RINA))]


def test_codes_cannot_be_guessed_for_long(village: Village, telegram: Telegram) -> None:
    channel = bot(village, telegram)
    code(village, channel, village.person("rina"), "code-of-rina")
    telegram.chat(STRANGER)
    with village.notifier():
        for number in range(5):
            assert "too old" in asks(telegram, STRANGER, f"/start guess-{number}")
        telegram.says(STRANGER, "/start code-of-rina", language="en")
        assert asks(telegram, STRANGER, "/help").startswith("I do not know you.")
    assert village.one("select count(*) from route") == 0
