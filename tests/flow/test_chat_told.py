"""Chat that leaves the pages: whoever is named is told by their own ways; a thread goes on in a Telegram topic."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from config import vault
from tests.channels.botapi import Telegram, botapi
from tests.channels.mailserver import office
from tests.flow.people import Village
from tests.installation import until

RINA, BUDI, JOKO, STRANGER, GROUP = 501, 502, 503, 666, -1001
SAY = "insert into message (thread_id, author_id, author, client, body) values (%s, %s, %s, %s, %s) returning id"


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


def say(village: Village, thread: int, person: int, body: str, *named: int) -> int:
    """Somebody says something on the page."""
    name = village.one("select name from person where id = %s", person)
    number = village.one("select count(*) from message")
    found = int(village.one(SAY, thread, person, name, f"client-{number}", body))
    for one in named:
        village.ask("insert into mention (message_id, person_id) values (%s, %s)", found, one)
    return found


def thread_of(village: Village, host: int) -> int:
    return int(village.one("select id from thread where host_id = %s", host))


def test_whoever_is_named_is_told_by_their_own_way_and_nobody_else(village: Village) -> None:
    with office() as post:
        channel = village.mail(post.port)
        rina, budi = village.person("rina", finance="pic"), village.person("budi", finance="staff")
        for login, person in (("rina", rina), ("budi", budi)):
            village.route(person, channel, {"mailbox": f"{login}@example.org"}, severity="critical")
        thread = thread_of(village, village.machine("db-02", "finance"))
        with village.notifier():
            say(village, thread, rina, "@budi @rina the fan is loud <b>", budi, rina)
            until(lambda: post.taken)
            until(lambda: village.one("select count(*) from mention where routed_at is null") == 0)
        (mail,) = post.taken
        assert mail.to == ["budi@example.org"] and mail.message["Subject"] == "Rina names you in the chat"
        body = mail.message.get_body(("plain",)).get_content()  # type: ignore[union-attr]
        assert "@budi @rina the fan is loud <b>" in body and f"/chat/{thread}?at=1" in body and "db-02" in body
    assert village.deliveries() == [("sent", "")]
    assert village.ask("select * from mark") == []


def test_what_was_taken_back_or_is_foreign_by_now_is_told_to_nobody(village: Village) -> None:
    with office() as post:
        channel = village.mail(post.port)
        rina, budi = village.person("rina", finance="pic"), village.person("budi", finance="staff")
        village.route(budi, channel, {"mailbox": "budi@example.org"})
        thread = thread_of(village, village.machine("db-02", "finance"))
        own = int(village.one("select id from thread where person_id = %s", budi))
        gone = say(village, thread, rina, "@budi forget it", budi)
        village.ask("update message set gone_at = now(), body = '' where id = %s", gone)
        say(village, thread, rina, "@budi not yours any more", budi)
        village.ask("delete from membership where person_id = %s", budi)
        say(village, own, rina, "@budi but this is", budi)
        with village.notifier():
            until(lambda: post.taken)
            until(lambda: village.one("select count(*) from delivery where state in ('waiting', 'sending')") == 0)
        assert len(post.taken) == 1
        assert "but this is" in post.taken[0].message.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    assert [state for state, _ in village.deliveries()] == ["dropped", "sent"]


def bot(village: Village, telegram: Telegram) -> int:
    """The bot as a channel."""
    channel = village.channel("telegram", "bot", {"api": telegram.url})
    seal = vault.sealer(village.place / "notifier.pub").seal
    village.ask("update channel set sealed = %s where id = %s", seal(json.dumps({"token": telegram.token}).encode(), "channel:none"), channel)  # fmt: skip
    return channel


def code(
    village: Village, channel: int, by: int, text: str, thread: int | None = None, person: int | None = None
) -> None:
    """A code from the pages."""
    village.ask(
        "insert into linking (code, channel_id, person_id, made_by, thread_id, expires_at)"
        " values (%s, %s, %s, %s, %s, now() + interval '10 minutes')",
        hashlib.sha256(text.encode()).hexdigest(), channel, person, by, thread,
    )  # fmt: skip


def texts(telegram: Telegram, chat: int) -> list[str]:
    return [shown.text for shown in telegram.messages(chat)]


def bodies(village: Village, thread: int) -> list[tuple[str, str, int | None]]:
    rows = village.ask(
        "select author, body, author_id from message where thread_id = %s and kind = 'said' order by number", thread
    )
    return [(row["author"], row["body"], row["author_id"]) for row in rows]


def test_a_thread_and_a_group_are_one_and_nothing_goes_round_in_a_circle(village: Village, telegram: Telegram) -> None:
    channel = bot(village, telegram)
    rina, budi, joko = (
        village.person("rina", "admin"),
        village.person("budi", finance="pic"),
        village.person("joko", sales="pic"),
    )
    for number, person in ((RINA, rina), (BUDI, budi), (JOKO, joko)):
        village.route(person, channel, {"chat": str(number)})
        telegram.chat(number)
    thread = thread_of(village, village.machine("db-02", "finance"))
    say(village, thread, budi, "from before")
    code(village, channel, rina, "code-of-thread", thread)
    telegram.chat(GROUP)
    with village.notifier():
        telegram.says(RINA, "/start code-of-thread", language="en")
        until(lambda: any("for a group" in one for one in texts(telegram, RINA)))
        telegram.says(GROUP, "/link code-of-thread", sender=RINA, language="en")
        until(lambda: any(one.startswith("Joined:") for one in texts(telegram, GROUP)))
        say(village, thread, budi, "From the page <b>*x*</b> /ack 1 @channel")
        until(lambda: any("From the page" in one for one in texts(telegram, GROUP)))
        telegram.says(GROUP, "From the group <script>", sender=BUDI)
        telegram.says(GROUP, "Who am I? @rina", sender=STRANGER)
        telegram.says(GROUP, "I am of sales", sender=JOKO)
        telegram.says(BUDI, "to the bot alone")
        until(lambda: len(bodies(village, thread)) == 4)
        village.ask("update person set active = false where id = %s", budi)
        telegram.says(GROUP, "I am switched off", sender=BUDI)
        telegram.says(RINA, "/oncall", language="en")
        until(lambda: any("no rota" in one for one in texts(telegram, RINA)))  # all before it was heard
        say(village, thread, rina, "The last one")
        until(lambda: any("The last one" in one for one in texts(telegram, GROUP)))
    told = bodies(village, thread)
    assert [body for _, body, _ in told] == [
        "from before", "From the page <b>*x*</b> /ack 1 @channel", "From the group <script>", "Who am I? @rina",
        "The last one",
    ]  # fmt: skip
    assert told[2][2] == budi and told[3][2] is None
    sent = [one for one in texts(telegram, GROUP) if not one.startswith("Joined:")]
    assert [one.replace("\u2060", "") for one in sent] == [
        "Budi: From the page <b>*x*</b> /ack 1 @channel", "Rina: The last one",
    ]  # fmt: skip
    assert "/\u2060ack" in sent[0] and "@\u2060channel" in sent[0], "no command and no mention there"
    assert village.one("select count(*) from mention where person_id = %s", rina) == 1
    kinds = [row["what"] for row in village.ask("select what from audit where what like 'chat.%%'")]
    assert kinds == ["chat.joined"]


def test_a_chat_belongs_to_one_thread_and_is_free_again_when_the_bot_is_put_out(
    village: Village, telegram: Telegram
) -> None:
    channel = bot(village, telegram)
    rina = village.person("rina", "admin")
    threads = [thread_of(village, village.machine(name, "finance")) for name in ("db-01", "db-02")]
    for number, thread in enumerate(threads):
        code(village, channel, rina, f"code-{number}", thread)
    telegram.chat(GROUP)
    with village.notifier():
        telegram.says(GROUP, "/link code-0", sender=RINA, language="en")
        until(lambda: texts(telegram, GROUP))
        telegram.says(GROUP, "/link code-1", sender=RINA, language="en")
        until(lambda: any("another thread" in one for one in texts(telegram, GROUP)))
    assert village.one("select array_agg(thread_id) from joint") == threads[:1]
