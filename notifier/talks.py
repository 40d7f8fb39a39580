"""One thread a bot that listens, for as long as this process is the one that sends."""

from __future__ import annotations

import json
import logging
import threading
from typing import Any

import psycopg
from psycopg import Connection
from psycopg.rows import dict_row
from psycopg_pool import ConnectionPool

from config.settings import Settings
from config.vault import Opener, VaultError, place
from notifier import relay
from notifier.bot import Bot
from notifier.channels.base import Undelivered
from notifier.channels.telegram import Options
from notifier.speech import Speech
from notifier.talk import Talk, menu
from probes.base import Keep

_log = logging.getLogger("notifier")
ON = 1.0
"""Seconds between two looks at what is to be sent on."""
PAUSE, LONGEST = 5.0, 300.0
"""Seconds after a first failure until the next try, doubled up to the longest."""
Key = tuple[int, str, bytes]


class Talks:
    """The threads. They end with the process at the latest: a long poll cannot be called back."""

    def __init__(self, pool: ConnectionPool[Connection[Any]], keep: Keep, opener: Opener, settings: Settings) -> None:
        self._pool, self._keep, self._opener, self._settings = pool, keep, opener, settings
        self._running: dict[Key, threading.Event] = {}

    def follow(self) -> None:
        """Begin with bots that are new, end with those that are gone or changed."""
        with self._pool.connection() as connection, connection.cursor(row_factory=dict_row) as cursor:
            rows = cursor.execute(
                "select id, options, sealed, seal_id from channel where kind = 'telegram' and enabled and sealed is not null"
            ).fetchall()
        wanted: dict[Key, dict[str, Any]] = {
            (row["id"], json.dumps(row["options"], sort_keys=True), bytes(row["sealed"])): row for row in rows
        }
        for key in self._running.keys() - wanted.keys():
            self._running.pop(key).set()
        for key in wanted.keys() - self._running.keys():
            stop = self._running[key] = threading.Event()
            threading.Thread(target=self._listen, args=(wanted[key], stop), name="bot", daemon=True).start()
            threading.Thread(target=self._pass_on, args=(wanted[key], stop), name="relay", daemon=True).start()

    def stop(self) -> None:
        """Listen no more."""
        for stop in self._running.values():
            stop.set()
        self._running.clear()

    def _pass_on(self, row: dict[str, Any], stop: threading.Event) -> None:
        """Send on what is said in threads that are joined to chats of this bot."""
        pause, bot = PAUSE, self._bot(row)
        while bot is not None and not stop.wait(ON):
            try:
                while relay.send_on(self._pool, bot, row["id"], self._settings.home()) and not stop.is_set():
                    pass
                pause = PAUSE
            except (Undelivered, psycopg.Error) as error:
                _log.warning("What is said does not go on to Telegram: %s", error)
                stop.wait(getattr(error, "retry_after", None) or pause)
                pause = min(LONGEST, pause * 2)
            except Exception:  # noqa: BLE001 - the border of one round: a strange message must not silence the rest
                _log.exception("What is said cannot be sent on to Telegram.")
                stop.wait(LONGEST)

    def _bot(self, row: dict[str, Any]) -> Bot | None:
        """The bot of a channel; None where its token cannot be had."""
        try:
            secret = json.loads(self._opener.open(bytes(row["sealed"]), place("channel", row["id"], row["seal_id"])))
            return Bot(str(secret.get("token", "")), self._keep, Options(**row["options"]).api)
        except (VaultError, ValueError, TypeError) as error:
            _log.error("The bot cannot listen: %s", error)
            return None

    def _listen(self, row: dict[str, Any], stop: threading.Event) -> None:
        pause, bot = PAUSE, self._bot(row)
        if bot is None:
            return
        talk, greeted = Talk(self._pool, bot, row["id"], self._settings), False
        while not stop.is_set():
            try:
                if not greeted:
                    known = self._greet(bot)
                    talk, greeted = Talk(self._pool, known, row["id"], self._settings), True
                    self._introduce(row["id"], known.username)
                offset = talk.offset()
                poll = bot.listen(offset)
                if stop.is_set():
                    return
                talk.hear(poll.heard)
                if poll.offset != offset:
                    talk.keep(poll.offset)
                pause = PAUSE
            except (Undelivered, psycopg.Error) as error:
                _log.warning("The bot does not hear: %s", error)
                stop.wait(pause)
                pause = min(LONGEST, pause * 2)

    def _greet(self, bot: Bot) -> Bot:
        known = bot.whoami()
        known.offer({"": menu(Speech("en", "UTC")), "id": menu(Speech("id", "UTC"))})
        return known

    def _introduce(self, channel: int, username: str) -> None:
        """Let the pages know the bot's name: the link that opens it with a code needs it."""
        with self._pool.connection() as connection:
            connection.execute(
                "insert into setting (key, value) values (%s, %s::jsonb) on conflict (key) do update set value = excluded.value",
                [f"bot:{channel}", json.dumps({"username": username})],
            )
