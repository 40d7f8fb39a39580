"""What is said in a thread goes on to the Telegram chat it is joined to, and what is said there comes back into it.

Texts are only texts, both ways. What came from a chat is never sent back to it, and what bots say is never heard
(notifier/bot.py), so nothing goes round in a circle. Out it goes at least once and in its order: what was sent is
remembered after it was taken. In it comes once: a message has a number there, and that is its name here.
"""

from __future__ import annotations

import logging
from typing import Any

from psycopg import Connection, Cursor
from psycopg.rows import dict_row
from psycopg_pool import ConnectionPool

from domain import audit, chat
from domain.chat import HEARS
from notifier.bot import Bot, Chat, Linked, Spoken
from notifier.channels.base import Undelivered

_log = logging.getLogger("notifier")
Row = dict[str, Any]
AT_ONCE = 20
"""Messages sent on to one chat in a row, before the next chat has its turn."""
WAITING = """
select j.thread_id, j.chat, j.topic, m.id, m.number, m.author, m.body,
 m.detail <> '{}' or exists (select from picture p where p.message_id = m.id) as more
from joint j join message m on m.thread_id = j.thread_id and m.number > j.sent and m.kind = 'said' and m.gone_at is null
 and (m.origin is null or not starts_with(m.origin, %(origin)s || j.chat || ':'))
where j.channel_id = %(channel)s order by m.thread_id, m.number limit %(most)s
"""
WHOSE = """
select p.id, p.name, p.active from route r join person p on p.id = r.person_id
where r.channel_id = %s and r.address ->> 'chat' = %s and r.verified_at is not null order by p.active desc, r.id limit 1
"""


def send_on(pool: ConnectionPool[Connection[Any]], bot: Bot, channel: int, home: str) -> int:
    """Send on what waits for the chats of this bot; how much it was. Raises Undelivered where it must wait."""
    with pool.connection() as connection, connection.cursor(row_factory=dict_row) as cursor:
        values = {"channel": channel, "origin": _origin(channel), "most": AT_ONCE}
        rows = cursor.execute(WAITING, values).fetchall()
    for row in rows:
        trouble = ""
        try:
            bot.say(Chat(row["chat"], row["topic"], private=False), _words(row, home))
        except Undelivered as error:
            if error.kind not in ("never", "gone"):
                raise
            trouble = str(error)[:200]
            _log.warning("A message does not go on to Telegram: %s", error)
        with pool.connection() as connection:
            connection.execute(
                "update joint set sent = greatest(sent, %s), trouble = %s where thread_id = %s",
                [row["number"], trouble, row["thread_id"]],
            )
    return len(rows)


def hear(cursor: Cursor[Any], channel: int, heard: Spoken) -> None:
    """Something was said in a chat: into the thread it is joined to, if whoever said it may write there."""
    joint = cursor.execute(
        "select thread_id from joint where channel_id = %s and chat = %s and topic = %s",
        [channel, heard.chat.number, heard.chat.topic],
    ).fetchone()
    text = chat.plain(heard.text)[: chat.LONGEST]
    if joint is None or not text:
        return
    known = cursor.execute(WHOSE, [channel, str(heard.person.number)]).fetchone()
    if known is not None and not (known["active"] and _may(cursor, joint["thread_id"], known["id"])):
        return
    said = cursor.execute(
        "insert into message (thread_id, author_id, author, origin, body) values (%s, %s, %s, %s, %s)"
        " on conflict (origin) do nothing returning id",
        [
            joint["thread_id"],
            known["id"] if known else None,
            known["name"] if known else heard.person.name or "?",
            f"{_origin(channel)}{heard.chat.number}:{heard.message}",
            text,
        ],
    ).fetchone()
    if said is not None:
        cursor.execute(
            "insert into mention (message_id, person_id) select %(message)s, p.id from person p"  # noqa: S608 - our own words
            f" where p.login = any(%(logins)s) and p.id in ({HEARS}) on conflict do nothing",
            {"message": said["id"], "logins": sorted(chat.named(text))[: chat.MENTIONS], "thread": joint["thread_id"]},
        )


def join(cursor: Cursor[Any], found: Row, channel: int, heard: Linked) -> bool:
    """A code from a thread's page was brought: from now on it and this chat are one. False where the chat has another."""
    cursor.execute("delete from joint where thread_id = %s", [found["thread_id"]])
    made = cursor.execute(
        "insert into joint (thread_id, channel_id, chat, topic, title, made_by, sent)"
        " select %s, %s, %s, %s, %s, %s, turn from thread where id = %s on conflict do nothing returning thread_id",
        [
            found["thread_id"], channel, heard.chat.number, heard.chat.topic, heard.person.name[:60], found["made_by"],
            found["thread_id"],
        ],
    ).fetchone()  # fmt: skip
    if made is None:
        return False
    who = cursor.execute("select name from person where id = %s", [found["made_by"]]).fetchone()
    name = who["name"] if who else ""
    cursor.execute(
        "insert into message (thread_id, kind, detail) values (%s, 'line', jsonb_build_object('what', 'telegram.linked', 'by', %s::text))",
        [found["thread_id"], name],
    )
    audit.write(
        cursor.connection, "chat.joined", person_id=found["made_by"], person=name, source="telegram",
        on=f"thread:{found['thread_id']}",
    )  # fmt: skip
    return True


def _may(cursor: Cursor[Any], thread: int, person: int) -> bool:
    return cursor.execute(f"select where %(person)s in ({HEARS})", {"person": person, "thread": thread}).fetchone() is not None  # fmt: skip


def _origin(channel: int) -> str:
    return f"telegram:{channel}:"


def _words(row: Row, home: str) -> str:
    """Who said what; what cannot be sent as words is told as the page where it is."""
    there = f"{home}/chat/{row['thread_id']}?at={row['number']}"
    parts = [f"{row['author']}: {row['body']}" if row["body"] else f"{row['author']}:"]
    return "\n".join([*parts, there] if row["more"] else parts)
