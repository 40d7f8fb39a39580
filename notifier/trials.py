"""Answers tests: sends one message now and tells every hop of it, for the page that waits."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

from psycopg import Connection
from psycopg.rows import dict_row
from psycopg_pool import ConnectionPool

from config.vault import VaultError
from domain import clock
from notifier.channels.base import Hop, Hops, Message, Undelivered
from notifier.hands import PLACE
from notifier.outbox import ROUTE, Outbox
from notifier.speech import Speech

_log = logging.getLogger("notifier")
Row = dict[str, Any]
KEPT = "7 days"


def serve(pool: ConnectionPool[Connection[Any]], outbox: Outbox, threads: ThreadPoolExecutor) -> int:
    """Begin whatever was asked for, on threads of its own. How many."""
    with pool.connection() as connection, connection.cursor(row_factory=dict_row) as cursor:
        asked = cursor.execute(
            "update trial set claimed_at = now() where id in (select id from trial where claimed_at is null"
            " order by asked_at limit 20 for update skip locked) returning *"
        ).fetchall()
        if asked:
            cursor.execute("delete from trial where asked_at < now() - %s::interval", [KEPT])
    for row in asked:
        threads.submit(Trial(pool, outbox, row).run)
    return len(asked)


class Trial:
    """One test message."""

    def __init__(self, pool: ConnectionPool[Connection[Any]], outbox: Outbox, row: Row) -> None:
        self._pool, self._outbox, self._row = pool, outbox, row
        self._hops: list[Hop] = []
        asked = row["asked"]
        self._way: Row = {"kind": "", "options": {}, "address": {}, "sealed": None, "place": "", **asked}
        with pool.connection() as connection, connection.cursor(row_factory=dict_row) as cursor:
            if row["route_id"] is not None:
                self._way |= cursor.execute(ROUTE, [row["route_id"]]).fetchone() or {}
            elif "channel" in asked:
                stored = f"select c.kind, c.options, c.sealed, {PLACE} from channel c where c.id = %s"  # noqa: S608 - a constant
                self._way |= cursor.execute(stored.encode(), [asked["channel"]]).fetchone() or {}

    def run(self) -> None:
        """Send it; every hop is on the page the moment it is over."""
        try:
            self.end(True, self._send())
        except Undelivered as error:
            self.end(False, str(error))
        except Exception as error:  # noqa: BLE001 - the border of one test: whoever waits is told
            _log.exception("A test message failed in a way of its own.")
            self.end(False, f"The channel failed: {type(error).__name__}.")

    def _send(self) -> str:
        way = self._way
        try:
            box = self._outbox.hands.opened(self._row["sealed"], f"trial:{self._row['id']}")
        except (ValueError, VaultError) as error:
            raise Undelivered(str(error), "setup") from None
        way = {**way, **{name: box[name] for name in ("secret", "address") if name in box}}
        self._outbox.hands.deliver(self._message(way, str(box.get("link", ""))), way, Hops(self._told))
        return ""

    def _message(self, route: Row, link: str) -> Message:
        code = str(self._row["asked"].get("code", ""))
        language = route.get("spoken") or self._row["asked"].get("language") or "en"
        speech = Speech(language if language in ("en", "id") else "en", route.get("clock") or self._outbox.zone)
        letter = str(self._row["asked"].get("letter", ""))
        if letter:
            title, text = self._letter(letter, speech)
        elif code:
            title = speech.gettext("Your code for Pantau: %(code)s", code=code)
            text = speech.gettext(
                "Type this code on the page that asked for it. If nobody of you asked for it, ignore this message."
            )
        else:
            title = speech.gettext("A test message of Pantau")
            text = speech.gettext("If you can read this, Pantau reaches you here.")
        return Message(
            key=f"{self._outbox.installation}-trial-{self._row['id']}", kind="test", severity="info", title=title,
            text=text, at=clock.now(), language=speech.language, url=link,
        )  # fmt: skip

    @staticmethod
    def _letter(kind: str, speech: Speech) -> tuple[str, str]:
        """Title and text of a letter that carries a link which opens once."""
        if kind == "invite":
            return speech.gettext("You are invited to Pantau"), speech.gettext(
                "Open this link and choose a password. It opens once, within seven days."
            )
        return speech.gettext("Choose a new password for Pantau"), speech.gettext(
            "Somebody, probably you, asked for this. Open this link and choose a new password; it opens once, within 30 minutes. If it was not you, ignore this letter: nothing has changed."
        )

    def _told(self, hop: Hop) -> None:
        self._hops.append(hop)
        self._write({"hops": [asdict(hop) for hop in self._hops]}, False)

    def end(self, sent: bool, sentence: str) -> None:
        """The last word."""
        self._write({"hops": [asdict(hop) for hop in self._hops], "sent": sent, "sentence": sentence}, True)

    def _write(self, answer: Mapping[str, Any], done: bool) -> None:
        with self._pool.connection() as connection:
            connection.execute(
                "update trial set answer = %s::jsonb, done_at = case when %s then now() end where id = %s",
                [json.dumps(answer), done, self._row["id"]],
            )
            connection.execute("select pg_notify('trial', %s)", [self._row["id"]])
