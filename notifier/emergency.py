"""Tells the administrators that PostgreSQL is away, without PostgreSQL.

While all is well, the routes of administrators are kept in a file, their channels' secrets and addresses sealed as they
are stored.
What was told in an emergency is kept there too, so that a restart tells nothing twice, and the end of it is told to
those who know of it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from psycopg import Connection
from psycopg.rows import dict_row

from config import files
from notifier import addresses
from notifier.channels.base import Message, Severity, Undelivered
from notifier.hands import PLACE, Hands
from notifier.speech import Speech

_log = logging.getLogger("notifier")
AFTER = timedelta(seconds=60)
"""How long PostgreSQL must be away before it is told: a restart is none."""
AGAIN = timedelta(seconds=60)
"""Between two tries to tell it to those who could not be told yet."""
ADMINS = f"""
select r.id, r.address, encode(r.sealed, 'hex') as address_sealed, {addresses.PLACE},
 c.kind, c.options, encode(c.sealed, 'hex') as sealed, {PLACE},
 coalesce(r.language, p.language) as language, coalesce(r.zone, p.zone) as zone
from route r join channel c on c.id = r.channel_id join person p on p.id = r.person_id
where r.enabled and r.gone_at is null and r.verified_at is not null and c.enabled and p.active and p.role = 'admin'
order by r.id
"""  # noqa: S608 - our own words


@dataclass
class Emergency:
    """`file` holds what is needed; `zone` and `language` are the installation's, `home` its address for links."""

    file: Path
    hands: Hands
    language: str
    zone: str
    home: str
    since: datetime | None = None
    tried: datetime | None = None

    def well(self, connection: Connection[Any], now: datetime) -> None:
        """PostgreSQL is there: remember whom to tell, and tell that it is back where it was told to be away."""
        kept = self._read()
        self.since = self.tried = None
        told = dict(kept.get("told", {}))
        for number, row in list(told.items()):
            if self._send(row, self._back(row, now)):
                del told[number]
        with connection.cursor(row_factory=dict_row) as cursor:
            routes = cursor.execute(ADMINS).fetchall()
        if {"routes": routes, "told": told} != kept:
            self._write({"routes": routes, "told": told})

    def away(self, now: datetime) -> int:
        """PostgreSQL is away: once that has lasted, tell those who do not know yet. How many were told now."""
        self.since = self.since or now
        if now - self.since < AFTER or (self.tried is not None and now - self.tried < AGAIN):
            return 0
        self.tried = now
        kept = self._read()
        told, reached = kept.setdefault("told", {}), 0
        for row in kept.get("routes", []):
            if str(row["id"]) not in told and self._send(row, self._gone(row, self.since)):
                told[str(row["id"])] = row
                reached += 1
                self._write(kept)
        if reached:
            _log.warning("%d administrators were told that PostgreSQL is away.", reached)
        return reached

    def _gone(self, row: Mapping[str, Any], since: datetime) -> Message:
        speech = self._speech(row)
        return self._message(
            row, speech, f"away-{int(since.timestamp())}", since, "critical", speech.gettext("Pantau's database is away"),
            speech.gettext(
                "Since %(since)s PostgreSQL does not answer. Machines are still looked at and results are kept, but nothing"
                " else is told until it is back.",
                since=speech.moment(since),
            ),
        )  # fmt: skip

    def _back(self, row: Mapping[str, Any], now: datetime) -> Message:
        speech = self._speech(row)
        return self._message(
            row, speech, f"back-{int(now.timestamp())}", now, "good", speech.gettext("Pantau's database is back"),
            speech.gettext("What was kept meanwhile is written; what is still in trouble is told now."),
        )  # fmt: skip

    def _message(
        self, row: Mapping[str, Any], speech: Speech, key: str, at: datetime, severity: Severity, title: str, text: str
    ) -> Message:
        return Message(
            key=f"pantau-emergency-{row['id']}-{key}", kind="emergency", severity=severity, title=title, text=text, at=at,
            language=speech.language, url=self.home,
        )  # fmt: skip

    def _speech(self, row: Mapping[str, Any]) -> Speech:
        return Speech(row["language"] or self.language, row["zone"] or self.zone)

    def _send(self, row: Mapping[str, Any], message: Message) -> bool:
        boxes = {name: bytes.fromhex(row[name]) for name in ("sealed", "address_sealed") if row.get(name)}
        try:
            self.hands.deliver(message, {**row, **boxes})
        except Undelivered as error:
            _log.warning("An administrator was not told by %s: %s", row["kind"], error)
            return False
        return True

    def _read(self) -> dict[str, Any]:
        try:
            found = json.loads(self.file.read_text())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _write(self, value: Mapping[str, Any]) -> None:
        files.replace(self.file, json.dumps(value).encode())
