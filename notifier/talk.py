"""What people say to the bot, and what they are answered: within the rights of the person behind the account.

A private chat with the bot has the number of its account, so the route of a person who linked theirs tells who speaks,
in groups too. Whoever is unknown is told nothing but how to link.
"""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import psycopg
from psycopg import Connection, Cursor
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool

from config.settings import Settings
from domain import audit, chat, clock, fingerprint
from domain.rights import Right
from notifier import relay
from notifier.bot import Asked, Bot, Chat, Heard, Left, Linked, Moved, Person, Pressed, Spoken
from notifier.channels.base import Undelivered
from notifier.house import house, reach
from notifier.speech import Speech
from notifier.telling import LANGUAGES

_log = logging.getLogger("notifier")
Row = dict[str, Any]
MUTED = timedelta(hours=1)
GUESSES = 5
"""Wrong codes of one account until no more are looked at, for the life of this process."""
MOST = 20
"""Machines named in an answer."""
TELLING = ("status", "down", "host", "oncall")
"""Commands whose answers hold texts of machines."""
VISIBLE = reach(Right.SEE, "h", "%(person)s")
"""Which machines a person may see."""
THEIRS = reach(Right.HANDLE, "h", "%(person)s")
"""Which machines' trouble a person may take in hand; by the roles in the whole installation where there is no machine."""


class Talk:
    """Conversations of one bot; `channel` is its row's id."""

    def __init__(self, pool: ConnectionPool[Connection[Any]], bot: Bot, channel: int, settings: Settings) -> None:
        self._pool, self._bot, self._channel, self._settings = pool, bot, channel, settings
        self._wrong: dict[int, int] = defaultdict(int)

    def offset(self) -> int:
        """Where to go on listening."""
        with self._pool.connection() as connection:
            row = connection.execute("select value ->> 'offset' from setting where key = %s", [self._key]).fetchone()
        return int(row[0]) if row and row[0] else 0

    def keep(self, offset: int) -> None:
        """All before `offset` is dealt with."""
        with self._pool.connection() as connection:
            connection.execute(
                "insert into setting (key, value) values (%s, %s::jsonb) on conflict (key) do update set value = excluded.value",
                [self._key, json.dumps({"offset": offset})],
            )

    @property
    def _key(self) -> str:
        return f"telegram:{self._channel}"

    def hear(self, heard: Sequence[Heard]) -> None:
        """Deal with each; one that fails is logged and stops no other."""
        for one in heard:
            try:
                self._hear(one)
            except Undelivered as error:
                _log.warning("The bot could not answer: %s", error)
            except psycopg.OperationalError:
                raise
            except Exception:  # noqa: BLE001 - the border of one message: a strange one must not silence the bot
                _log.exception("The bot cannot deal with a message.")

    def _hear(self, heard: Heard) -> None:
        with self._pool.connection() as connection, connection.cursor(row_factory=dict_row) as cursor:
            match heard:
                case Linked():
                    self._link(cursor, heard)
                case Pressed():
                    self._press(cursor, heard)
                case Asked():
                    self._answer(cursor, heard)
                case Spoken():
                    relay.hear(cursor, self._channel, heard)
                case Left():
                    self._left(cursor, heard.chat)
                case Moved():
                    cursor.execute(
                        "update route set address = jsonb_set(address, '{chat}', to_jsonb(%s::text))"
                        " where channel_id = %s and address ->> 'chat' = %s",
                        [heard.to, self._channel, heard.chat.number],
                    )
                    cursor.execute(
                        "update joint set chat = %s where channel_id = %s and chat = %s",
                        [heard.to, self._channel, heard.chat.number],
                    )

    # ---- who

    def _whose(self, cursor: Cursor[Any], person: Person) -> Row | None:
        """The person behind an account: who linked the private chat that has its number."""
        return cursor.execute(
            "select p.id, p.name, p.role = 'admin' as admin, p.language, p.zone, r.id as route from route r"
            " join person p on p.id = r.person_id where r.channel_id = %s and r.address ->> 'chat' = %s"
            " and r.verified_at is not null and p.active order by r.id limit 1",
            [self._channel, str(person.number)],
        ).fetchone()

    def _speech(self, person: Person, known: Row | None = None) -> Speech:
        language = (known["language"] if known else None) or person.language or self._settings.language
        zone = (known["zone"] if known else None) or self._settings.zone
        return Speech(language if language in LANGUAGES else self._settings.language, zone)

    def _link(self, cursor: Cursor[Any], heard: Linked) -> None:
        """A code from the pages: this chat is somebody's, or a group's."""
        speech, now = self._speech(heard.person), clock.now()
        if self._wrong[heard.person.number] >= GUESSES:
            return
        found = cursor.execute(
            "select * from linking where code = %s and channel_id = %s and expires_at > %s for update",
            [fingerprint.of(heard.code), self._channel, now],
        ).fetchone()
        if found is None:
            self._wrong[heard.person.number] += 1
            self._bot.say(heard.chat, speech.gettext("This code is not known, or too old. Make a new one in Pantau."))
            return
        if found["thread_id"] is not None:
            self._join(cursor, found, heard, speech)
            return
        if found["person_id"] is not None and not heard.chat.private:
            self._bot.say(
                heard.chat, speech.gettext("This code is for a chat with me alone. Open one and send it there.")
            )
            return
        address = {"chat": heard.chat.number, **({"topic": heard.chat.topic} if heard.chat.topic else {})}
        cursor.execute("delete from linking where code = %s", [found["code"]])
        cursor.execute(
            "delete from route where channel_id = %s and address = %s and person_id is not distinct from %s",
            [self._channel, Jsonb(address), found["person_id"]],
        )
        cursor.execute(
            "insert into route (person_id, channel_id, name, address, verified_at) values (%s, %s, %s, %s, %s)",
            [found["person_id"], self._channel, heard.person.name[:60], Jsonb(address), now],
        )
        cursor.connection.commit()
        self._bot.say(
            heard.chat, speech.gettext("Linked. Pantau tells you here from now on; /help says what you can ask.")
        )

    def _join(self, cursor: Cursor[Any], found: Row, heard: Linked, speech: Speech) -> None:
        """A code from a thread's page: the thread goes on in this group from now on."""
        if heard.chat.private:
            self._bot.say(heard.chat, speech.gettext("This code is for a group. Put me into one and send it there."))
            return
        cursor.execute("delete from linking where code = %s", [found["code"]])
        joined = relay.join(cursor, found, self._channel, heard)
        cursor.connection.commit()
        said = speech.gettext("Joined: what is said here is read in Pantau as well, and what is said there here.")
        if not joined:
            said = speech.gettext("This chat is joined to another thread of Pantau already. Part it there first.")
        self._bot.say(heard.chat, said)

    def _left(self, cursor: Cursor[Any], chat: Chat) -> None:
        cursor.execute(
            "update route set gone_at = %s where channel_id = %s and address ->> 'chat' = %s and gone_at is null",
            [clock.now(), self._channel, chat.number],
        )
        cursor.execute("delete from joint where channel_id = %s and chat = %s", [self._channel, chat.number])

    # ---- buttons

    def _press(self, cursor: Cursor[Any], heard: Pressed) -> None:
        known = self._whose(cursor, heard.person)
        speech = self._speech(heard.person, known)
        if known is None:
            self._bot.acknowledge(
                heard.callback, speech.gettext("I do not know you. Link this account in Pantau first."), alert=True
            )
            return
        action, _, number = heard.data.partition(":")
        if action == "ack" and number.isascii() and number.isdigit() and len(number) < 19:
            said = self._take(cursor, known, int(number), speech)
        elif action == "mute":
            said = self._mute(cursor, known, heard.chat, speech)
        else:
            said = speech.gettext("This button is not known any more.")
        cursor.connection.commit()
        self._bot.acknowledge(heard.callback, said)

    def _take(self, cursor: Cursor[Any], known: Row, incident: int, speech: Speech) -> str:
        """ "I'm on it" for an incident that is this person's to take (R17)."""
        now = clock.now()
        found = cursor.execute(
            "select i.id, i.host_id, i.closed_at, i.owner_id from incident i left join host h on h.id = i.host_id"  # noqa: S608 - our own words
            f" where i.id = %(incident)s and {THEIRS} for update of i",
            {"incident": incident, "person": known["id"]},
        ).fetchone()
        if found is None:
            return speech.gettext("There is no such incident.")
        if found["closed_at"] is not None:
            return speech.gettext("It is over already.")
        if found["owner_id"] == known["id"]:
            return speech.gettext("You have it in hand already.")
        cursor.execute(
            "update incident set owner_id = %s, acknowledged_at = %s, acknowledged_until = null, note = '' where id = %s",
            [known["id"], now, incident],
        )
        cursor.execute(
            "insert into incident_event (incident_id, at, kind, person_id, data) values (%s, %s, 'acknowledged', %s, %s)",
            [incident, now, known["id"], Jsonb({"until": None, "note": ""})],
        )
        audit.write(
            cursor.connection, "incident.acknowledged", person_id=known["id"], person=known["name"], source="telegram",
            on=f"incident:{incident}",
        )  # fmt: skip
        detail = {"by": known["name"], "incident": incident}
        chat.line(cursor, host_id=found["host_id"], incident_id=incident, kind="incident.acknowledged", detail=detail)
        return speech.gettext("You have it in hand.")

    def _mute(self, cursor: Cursor[Any], known: Row, chat: Chat, speech: Speech) -> str:
        """Silence for an hour in this chat: one's own, or a group's by an administrator."""
        if not chat.private and not known["admin"]:
            return speech.gettext("Only administrators can silence a group.")
        until = clock.now() + MUTED
        cursor.execute(
            "update route set muted_until = %s where channel_id = %s and address ->> 'chat' = %s"
            " and (person_id is null or person_id = %s)",
            [until, self._channel, chat.number, known["id"]],
        )
        return speech.gettext("Silent until %(time)s.", time=speech.moment(until))

    # ---- commands

    def _answer(self, cursor: Cursor[Any], heard: Asked) -> None:
        known = self._whose(cursor, heard.person)
        speech = self._speech(heard.person, known)
        if known is None:
            if heard.chat.private:
                self._bot.say(
                    heard.chat,
                    speech.gettext("I do not know you. Open Pantau, Notifications, and link Telegram there."),
                )
            return
        answers = {
            "status": self._status, "down": self._down, "host": self._host, "ack": self._ack, "oncall": self._oncall,
        }  # fmt: skip
        said = answers.get(heard.command, self._help)(cursor, known, heard.words, speech)
        cursor.connection.commit()
        self._bot.say(heard.chat, said, reply_to=heard.message, commands=heard.command not in TELLING)

    def _machines(self, cursor: Cursor[Any], known: Row, where: str = "true", **values: Any) -> list[Row]:
        return cursor.execute(
            "select h.id, h.name, h.address, coalesce(t.state, 'pending') as state, t.since from host h"  # noqa: S608 - our own words
            f" left join track t on t.subject = 'host:' || h.id where h.enabled and {VISIBLE} and {where} order by h.name",
            {"person": known["id"], **values},
        ).fetchall()

    def _status(self, cursor: Cursor[Any], known: Row, _words: Sequence[str], speech: Speech) -> str:
        rows = self._machines(cursor, known)
        if not rows:
            return speech.gettext("You are in charge of no machine.")
        bad = [row for row in rows if row["state"] not in ("up", "pending")]
        if not bad:
            return speech.ngettext("%(num)s machine, all is well.", "%(num)s machines, all is well.", len(rows))
        told = speech.ngettext("%(num)s machine", "%(num)s machines", len(rows))
        return f"{told}\n{self._listed(bad, speech)}"

    def _down(self, cursor: Cursor[Any], known: Row, _words: Sequence[str], speech: Speech) -> str:
        rows = self._machines(cursor, known, "t.state not in ('up', 'pending', 'disabled')")
        return self._listed(rows, speech) if rows else speech.gettext("Nothing is down.")

    def _listed(self, rows: Sequence[Row], speech: Speech) -> str:
        lines = [f"{row['name']}: {self._state(row, speech)}" for row in rows[:MOST]]
        if len(rows) > MOST:
            lines.append(speech.gettext("and %(count)s more", count=len(rows) - MOST))
        return "\n".join(lines)

    def _state(self, row: Row, speech: Speech) -> str:
        words = {
            "up": speech.gettext("Up"), "down": speech.gettext("Down"), "warning": speech.gettext("Warning"),
            "unreachable": speech.gettext("Unreachable"), "unknown": speech.gettext("Unknown"),
            "pending": speech.gettext("Waiting"),
        }  # fmt: skip
        since = f", {speech.moment(row['since'])}" if row["since"] else ""
        return f"{words.get(row['state'], row['state'])}{since}"

    def _host(self, cursor: Cursor[Any], known: Row, words: Sequence[str], speech: Speech) -> str:
        if not words:
            return speech.gettext("Say which machine: /host NAME")
        rows = self._machines(cursor, known, "lower(h.name) = lower(%(name)s)", name=words[0])
        if not rows:
            return speech.gettext("You have no machine of this name.")
        (row,) = rows[:1]
        lines = [f"{row['name']} ({row['address']}): {self._state(row, speech)}"]
        for check in cursor.execute(
            "select c.name, l.failure_detail, l.ts from host_check c left join latest l on l.check_id = c.id"
            " where c.host_id = %s and c.enabled order by c.id limit 10",
            [row["id"]],
        ).fetchall():
            told = check["failure_detail"] or (speech.moment(check["ts"]) if check["ts"] else speech.gettext("Waiting"))
            lines.append(f"{check['name']}: {told}")
        lines.append(f"{self._settings.home()}/machines/{row['id']}")
        return "\n".join(lines)

    def _ack(self, cursor: Cursor[Any], known: Row, words: Sequence[str], speech: Speech) -> str:
        """The incident named, or the only one nobody has in hand."""
        if words and words[0].lstrip("#").isascii() and words[0].lstrip("#").isdigit() and len(words[0]) < 19:
            return self._take(cursor, known, int(words[0].lstrip("#")), speech)
        rows = cursor.execute(
            "select i.id, h.name from incident i join host h on h.id = i.host_id where i.closed_at is null"  # noqa: S608 - our own words
            f" and i.merged_into is null and i.owner_id is null and {THEIRS} order by i.id desc limit 10",
            {"person": known["id"]},
        ).fetchall()
        if not rows:
            return speech.gettext("There is nothing that nobody has in hand.")
        if len(rows) == 1:
            return self._take(cursor, known, rows[0]["id"], speech)
        which = "\n".join(f"/ack {row['id']} – {row['name'].replace('/', ' ')}" for row in rows)
        return f"{speech.gettext('Which one?')}\n{which}"

    def _oncall(self, cursor: Cursor[Any], _known: Row, _words: Sequence[str], speech: Speech) -> str:
        now = clock.now()
        all_ = house(cursor, now)
        names = {row["id"]: row["name"] for row in cursor.execute("select id, name from rota").fetchall()}
        if not names:
            return speech.gettext("There is no rota.")
        lines = []
        for number, name in sorted(names.items(), key=lambda pair: str(pair[1])):
            person = all_.rotas[number].on_call(now) or 0
            who = all_.members[person].name if person in all_.members else speech.gettext("nobody")
            lines.append(f"{name}: {who}")
        return "\n".join(lines)

    def _help(self, _cursor: Cursor[Any], _known: Row, _words: Sequence[str], speech: Speech) -> str:
        return "\n".join(f"/{command} – {told}" for command, told in menu(speech))


def menu(speech: Speech) -> list[tuple[str, str]]:
    """The commands, and what each does."""
    return [
        ("status", speech.gettext("How all your machines are")),
        ("down", speech.gettext("What is in trouble now")),
        ("host", speech.gettext("One machine: /host NAME")),
        ("ack", speech.gettext("I'm on it: /ack, or /ack NUMBER")),
        ("oncall", speech.gettext("Who is on call")),
        ("help", speech.gettext("What you can ask")),
    ]
