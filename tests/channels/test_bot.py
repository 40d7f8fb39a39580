"""The bot's ear and voice against a Bot API stand-in: nothing twice, nothing lost, nothing believed."""

from __future__ import annotations

import datetime
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import talkers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from notifier.bot import Asked, Bot, Chat, Heard, Left, Linked, Moved, Person, Poll, Pressed, Spoken, parse
from notifier.channels.base import Undelivered
from notifier.channels.telegram import CHANNEL, Address, Options, units
from probes.base import Keep
from tests.channels.botapi import TOKEN, Telegram, botapi
from tests.channels.sendings import keeping, send
from tests.channels.standin import Reply, provider, said


@pytest.fixture
def server() -> Iterator[Telegram]:
    with botapi() as running:
        running.chat(42)
        running.chat(-1001, topics=(7,))
        yield running


@pytest.fixture
def keep() -> Iterator[Keep]:
    with keeping() as kept:
        yield kept


@pytest.fixture
def bot(server: Telegram, keep: Keep) -> Bot:
    return Bot(TOKEN, keep, server.url).whoami()


def only(poll: Poll) -> Heard:
    (heard,) = poll.heard
    return heard


def test_the_bot_knows_its_name_and_makes_links(bot: Bot) -> None:
    assert bot.username == "pantau_test_bot"
    assert bot.link("abcd-1234") == "https://t.me/pantau_test_bot?start=abcd-1234"


def test_a_code_brought_by_a_link_links_the_chat(server: Telegram, bot: Bot) -> None:
    server.says(42, "/start Kode_1234-abc")
    assert only(bot.listen(0, 0)) == Linked("Kode_1234-abc", Chat("42"), Person(42, "Budi", "id"))


def test_a_group_and_a_topic_are_linked_too(server: Telegram, bot: Bot) -> None:
    server.says(-1001, "/link@pantau_test_bot kode1234", sender=42, topic=7)
    assert only(bot.listen(0, 0)) == Linked("kode1234", Chat("-1001", 7, private=False), Person(42, "Budi", "id"))


def test_a_command_comes_with_its_words(server: Telegram, bot: Bot) -> None:
    server.says(42, "/HOST   db-02  \n now", language="en-GB")
    heard = only(bot.listen(0, 0))
    assert isinstance(heard, Asked)
    assert (heard.command, heard.words, heard.chat, heard.person.language) == (
        "host",
        ("db-02", "now"),
        Chat("42"),
        "en",
    )
    assert abs(heard.at - datetime.datetime.now(datetime.UTC)) < datetime.timedelta(minutes=1)


def test_start_without_a_code_is_a_question_like_any_other(server: Telegram, bot: Bot) -> None:
    server.says(42, "/start")
    server.says(42, "/start ab;drop")
    first, second = bot.listen(0, 0).heard
    assert isinstance(first, Asked) and isinstance(second, Asked) and second.words == ("ab;drop",)


def test_what_is_said_to_others_is_not_heard(server: Telegram, bot: Bot) -> None:
    server.says(-1001, "/status@other_bot")
    server.says(-1001, "good morning", edited=True)
    server.says(42, "/status", edited=True)
    server.says(42, "what about /status")
    poll = bot.listen(0, 0)
    assert poll.heard == () and bot.listen(poll.offset, 0) == Poll(poll.offset)


def test_what_is_said_in_a_group_or_its_topic_is_heard_as_it_was_said(server: Telegram, bot: Bot) -> None:
    server.says(-1001, "good morning\n<b>all</b>", sender=99)
    server.says(-1001, "and here", sender=99, topic=7)
    first, second = bot.listen(0, 0).heard
    assert isinstance(first, Spoken) and isinstance(second, Spoken)
    assert (first.text, first.chat, first.person) == (
        "good morning\n<b>all</b>", Chat("-1001", 0, False), Person(99, "Budi", "id"),
    )  # fmt: skip
    assert second.chat.topic == 7 and second.message > first.message


def test_a_press_says_who_pressed_what_where(server: Telegram, bot: Bot) -> None:
    sent = send(CHANNEL, Options(server.url), Address("-1001", 7), secret={"token": TOKEN})
    number = int(sent.ref.split(".")[0])
    query = server.presses(-1001, number, "ack:5", sender=99)
    heard = only(bot.listen(0, 0))
    assert heard == Pressed("ack:5", Chat("-1001", 0, False), Person(99, "Budi", "id"), query, number)
    assert bot.acknowledge(query, "Tercatat.", alert=True)
    assert server.answers()[0] | {"text": "Tercatat.", "show_alert": True} == server.answers()[0]
    assert not bot.acknowledge(query)  # twice, or too late, is no error
    assert not bot.acknowledge("nonsense")


def test_what_is_confirmed_never_comes_again_and_what_is_not_does(server: Telegram, bot: Bot) -> None:
    for number in range(250):
        server.says(42, f"/host db-{number}")
    heard: list[Any] = []
    offset = 0
    while (poll := bot.listen(offset, 0)).heard:
        assert bot.listen(offset, 0) == poll  # as after a crash before it was stored
        heard += poll.heard
        offset = poll.offset
    assert [ask.words[0] for ask in heard] == [f"db-{number}" for number in range(250)]


def test_a_word_is_heard_as_soon_as_it_is_said(server: Telegram, bot: Bot) -> None:
    stop = talkers.within(15)
    timer = threading.Timer(0.3, lambda: server.says(42, "/help"))
    timer.start()
    heard = only(bot.listen(0, 20))
    stop()
    timer.join()
    assert isinstance(heard, Asked) and heard.command == "help"


def test_silence_is_no_error(bot: Bot) -> None:
    assert bot.listen(7, 1) == Poll(7)


def test_a_second_reader_is_told_of(server: Telegram, bot: Bot) -> None:
    failed: list[Undelivered] = []

    def first() -> None:
        try:
            bot.listen(0, 20)
        except Undelivered as why:
            failed.append(why)

    thread = threading.Thread(target=first)
    thread.start()
    until = time.monotonic() + 10
    while server._polls < 1 and time.monotonic() < until:
        time.sleep(0.02)
    bot.listen(0, 0)
    thread.join(10)
    assert failed[0].kind == "later" and "other getUpdates" in str(failed[0])


def test_a_wrong_token_is_for_an_admin(server: Telegram, keep: Keep) -> None:
    token = "55555:wrong-token-of-the-right-shape"
    with pytest.raises(Undelivered) as why:
        Bot(token, keep, server.url).listen(0, 0)
    assert why.value.kind == "setup" and token not in str(why.value)
    assert token not in repr(Bot(token, keep, server.url))


def test_who_leaves_and_what_moves_is_heard(server: Telegram, bot: Bot) -> None:
    there = {"id": 42, "type": "private"}
    server.happens({"my_chat_member": {"chat": there, "new_chat_member": {"status": "kicked"}}})
    server.happens({"my_chat_member": {"chat": there, "new_chat_member": {"status": "member"}}})
    group = {"id": -5, "type": "group"}
    server.happens({"message": {"message_id": 1, "date": 1, "chat": group, "migrate_to_chat_id": -1005}})
    assert bot.listen(0, 0).heard == (Left(Chat("42")), Moved(Chat("-5", private=False), "-1005"))


def test_an_answer_is_plain_text_where_it_was_asked(server: Telegram, bot: Bot) -> None:
    number = bot.say(
        Chat("-1001", 7, False),
        "<b>db-02</b> is up @all",
        buttons=[[("I take it", "ack:5")], [("Open", "https://p.example.org/i")]],
    )
    (shown,) = server.messages(-1001)
    assert shown.number == number and shown.topic == 7 and shown.entities == []
    assert shown.text.replace("\u2060", "") == "<b>db-02</b> is up @all" and "@all" not in shown.text
    assert shown.buttons == [
        [{"text": "I take it", "callback_data": "ack:5"}],
        [{"text": "Open", "url": "https://p.example.org/i"}],
    ]


@pytest.mark.parametrize("text", ["", "\x00", "\ud800", "🔥" * 9000, "x" * 2**20, "a.b " * 3000])
def test_no_answer_is_too_long_or_too_odd(server: Telegram, bot: Bot, text: str) -> None:
    assert bot.say(Chat("42"), text)
    assert units(server.messages(42)[0].text) <= 4096


def test_a_blocked_bot_and_a_flood_are_undelivered(server: Telegram, bot: Bot) -> None:
    server.flood(9)
    with pytest.raises(Undelivered) as why:
        bot.say(Chat("42"), "x")
    assert why.value.retry_after == 9.0
    server.chat(42).blocked = True
    with pytest.raises(Undelivered) as why:
        bot.say(Chat("42"), "x")
    assert why.value.kind == "gone"


def test_the_menu_is_offered_in_every_language(server: Telegram, bot: Bot) -> None:
    bot.offer({"": [("status", "How is it")], "id": [("status", "Bagaimana keadaannya")]})
    assert [asked.get("language_code") for method, asked in server.calls if method == "setMyCommands"] == [None, "id"]


@pytest.mark.parametrize(
    "result", [{}, None, "x", [1, None, "x", {}, {"update_id": "1"}, {"update_id": True}], [{"update_id": -5}]]
)
def test_nonsense_instead_of_updates_is_no_endless_circle(keep: Keep, result: object) -> None:
    with provider(said({"ok": True, "result": result})) as there, pytest.raises(Undelivered):
        Bot(TOKEN, keep, there.url).listen(0, 0)


def test_a_spoilt_update_is_passed_over(keep: Keep) -> None:
    updates = [{"update_id": 5, "message": {"chat": 7}}, {"update_id": 6, "message": {"message_id": 1, "date": 10**30, "text": "/x", "chat":
               {"id": 42, "type": "private"}, "from": {"id": 42, "is_bot": False}}}]  # fmt: skip
    with provider(said({"ok": True, "result": updates})) as there:
        poll = Bot(TOKEN, keep, there.url).listen(0, 0)
    assert poll.offset == 7 and isinstance(only(poll), Asked)


def test_what_was_confirmed_is_not_heard_again_even_if_it_is_sent_again(keep: Keep) -> None:
    def update(number: int) -> dict[str, Any]:
        person, there = {"id": 42, "is_bot": False}, {"id": 42, "type": "private"}
        return {
            "update_id": number,
            "message": {"message_id": 1, "date": 1, "text": f"/x {number}", "chat": there, "from": person},
        }

    with provider(said({"ok": True, "result": [update(3), update(6)]})) as there:
        poll = Bot(TOKEN, keep, there.url).listen(5, 0)
    heard = only(poll)
    assert isinstance(heard, Asked) and heard.words == ("6",) and poll.offset == 7


def test_a_server_that_drips_holds_the_ear_no_longer_than_promised(keep: Keep) -> None:
    stop = talkers.within(20)
    with talkers.talking(talkers.dripping(b"HTTP/1.1 200 OK\r\nX: ", 0.2)) as talker, pytest.raises(Undelivered) as why:
        Bot(TOKEN, keep, f"http://127.0.0.1:{talker.port}").say(Chat("42"), "x", seconds=1.0)
    stop()
    assert why.value.kind == "later"


def test_a_broken_answer_names_no_token(keep: Keep) -> None:
    with provider(lambda asked: Reply(200, asked.path.encode())) as there, pytest.raises(Undelivered) as why:
        Bot(TOKEN, keep, there.url).listen(0, 0)
    assert "AAtest" not in str(why.value) and "no Bot API" in str(why.value)


CALM = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no fault
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
        ["id", "chat", "from", "type", "text", "message", "message_id", "data", "is_bot", "date", "new_chat_member", "status",
         "migrate_to_chat_id", "message_thread_id", "is_topic_message", "first_name", "language_code"]), inner, max_size=8),
    max_leaves=30,
)  # fmt: skip


@CALM
@given(
    st.dictionaries(st.sampled_from(["update_id", "message", "callback_query", "my_chat_member"]), _VALUES, max_size=3)
)
def test_no_update_breaks_the_ear(update: dict[str, Any]) -> None:
    parse(update, "pantau_test_bot")


@CALM
@given(st.text(max_size=200), st.text(max_size=30))
def test_no_text_of_a_stranger_breaks_it_or_comes_in_unclean(text: str, name: str) -> None:
    person = {"id": 42, "is_bot": False, "first_name": name}
    heard = parse(
        {
            "message": {
                "message_id": 1,
                "date": 1,
                "chat": {"id": 42, "type": "private"},
                "from": person,
                "text": "/host " + text,
            }
        }
    )
    assert isinstance(heard, Asked)
    everything = "".join(heard.words) + heard.person.name
    assert not any(ord(c) < 32 or 0xD800 <= ord(c) <= 0xDFFF for c in everything) and len(heard.words) <= 20


def test_bots_do_not_talk_to_each_other() -> None:
    robot = {"id": 43, "is_bot": True}
    assert (
        parse({"message": {"message_id": 1, "chat": {"id": 42, "type": "private"}, "from": robot, "text": "/status"}})
        is None
    )
