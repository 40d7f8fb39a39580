"""Makes the message of some notices to one route: reads what is known, and words it for this reader."""

from __future__ import annotations

import logging
from typing import Any

from psycopg import Cursor

from config.settings import Settings
from domain import clock
from notifier.channels.base import Message
from notifier.message import Reader, WordingRefused, word
from notifier.speech import Speech
from notifier.story import stories

_log = logging.getLogger("notifier")
LANGUAGES = ("en", "id")


class Telling:
    """What Outbox calls for the message of each delivery."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def __call__(self, cursor: Cursor[Any], route: dict[str, Any], notices: list[int], key: str) -> Message:
        """The message of these notices to the reader of `route`; key as Message has it."""
        told = stories(cursor, notices, route["person_id"])
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
        replaces = before["ref"] if before else ""
        if found and first.errand is None:  # a wording speaks of machines
            try:
                return word(told, reader, key, clock.now(), (found["title"], found["body"]), replaces, thread)
            except (
                WordingRefused
            ) as error:  # kept by another version, or good only for some messages: an alarm comes first
                _log.error("The wording of %s in %s is not used: %s", first.kind, language, error)
        return word(told, reader, key, clock.now(), None, replaces, thread)
