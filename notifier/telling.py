"""Makes the message of some notices to one route: reads what is known, and words it for this reader."""

from __future__ import annotations

from typing import Any

from psycopg import Cursor

from config.settings import Settings
from domain import clock
from notifier.channels.base import Message
from notifier.message import Reader, word
from notifier.speech import Speech
from notifier.story import stories

LANGUAGES = ("en", "id")


class Telling:
    """What Outbox calls for the message of each delivery."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def __call__(self, cursor: Cursor[Any], route: dict[str, Any], notices: list[int], key: str) -> Message:
        """The message of these notices to the reader of `route`; key as Message has it."""
        told = stories(cursor, notices)
        language = route["spoken"] if route["spoken"] in LANGUAGES else self._settings.language
        reader = Reader(
            Speech(language, route["clock"] or self._settings.zone), self._settings.home(), route["discreet"]
        )
        first = told[0]
        found = cursor.execute(
            "select title, body from wording where kind = %s and language = %s", [first.kind, language]
        ).fetchone()
        before = cursor.execute(
            "select ref from mark where route_id = %s and subject = %s", [route["id"], first.subject]
        ).fetchone()
        thread = f"incident-{first.incident}" if first.incident is not None else ""
        return word(
            told, reader, key, clock.now(), (found["title"], found["body"]) if found else None,
            before["ref"] if before else "", thread,
        )  # fmt: skip
