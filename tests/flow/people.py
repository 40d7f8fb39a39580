"""People with routes, machines they are in charge of, and a notifier in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

from config import vault
from tests.roles import as_role


class Village:
    """A database with people, divisions, machines and channels; what is told is written as the poller writes it."""

    def __init__(self, url: str, place: Path) -> None:
        self.url, self.place = url, place
        vault.create(place / "notifier.key", place / "notifier.pub")
        self.moment = datetime.now(UTC)

    def ask(self, statement: str, *values: Any) -> list[dict[str, Any]]:
        """Rows of a query, committed."""
        with (
            psycopg.connect(self.url, autocommit=True) as connection,
            connection.cursor(row_factory=dict_row) as cursor,
        ):
            cursor.execute(statement.encode(), values)
            return cursor.fetchall() if cursor.description else []

    def one(self, statement: str, *values: Any) -> Any:
        """The one value of a query."""
        (row,) = self.ask(statement, *values)
        (found,) = row.values()
        return found

    def division(self, name: str) -> int:
        return int(self.one("insert into division (name) values (%s) returning id", name))

    def person(self, login: str, role: str = "none", language: str = "en", **roles: str) -> int:
        """`roles` by the name of a division."""
        found = self.one(
            "insert into person (login, name, password_hash, role, language) values (%s, %s, 'x', %s, %s) returning id",
            login, login.title(), role, language,
        )  # fmt: skip
        for division, what in roles.items():
            self.ask(
                "insert into membership (person_id, division_id, role) select %s, id, %s from division where name = %s",
                found, what, division,
            )  # fmt: skip
        return int(found)

    def machine(self, name: str, division: str | None = None, **more: Any) -> int:
        found = self.one(
            "insert into host (name, address, division_id) values (%s, '192.0.2.1',"
            " (select id from division where name = %s)) returning id",
            name, division,
        )  # fmt: skip
        for column, value in more.items():
            self.ask(f"update host set {column} = %s where id = %s", value, found)
        return int(found)

    def mail(self, port: int, name: str = "mail") -> int:
        """A channel that mails to a server on this port."""
        return self.channel(
            "email", name, {"host": "127.0.0.1", "sender": "pantau@example.org", "security": "none", "port": port}
        )

    def channel(self, kind: str, name: str, options: dict[str, Any]) -> int:
        return int(
            self.one(
                "insert into channel (kind, name, options, seal_id) values (%s, %s, %s::jsonb, 'none') returning id",
                kind, name, psycopg.types.json.Jsonb(options),
            )
        )  # fmt: skip

    def route(self, person: int | None, channel: int, address: dict[str, Any], **more: Any) -> int:
        found = self.one(
            "insert into route (person_id, channel_id, address, verified_at) values (%s, %s, %s::jsonb, now())"
            " returning id",
            person, channel, psycopg.types.json.Jsonb(address),
        )  # fmt: skip
        for column, value in more.items():
            self.ask(f"update route set {column} = %s where id = %s", value, found)
        return int(found)

    def trouble(
        self, host: int, state: str = "down", cause: str = "No answer to 10 pings.", ago: float = 0.0, since: str = ""
    ) -> int:
        """A change, its incident and its notice in one transaction; the notice's id."""
        at = datetime.now(UTC) - timedelta(seconds=ago)
        with psycopg.connect(self.url) as connection:
            incident = connection.execute(
                "insert into incident (subject, host_id, state, since, opened_at, cause) values (%s, %s, %s, %s, %s, %s)"
                " on conflict (subject) where closed_at is null do update set state = excluded.state returning id",
                [f"host:{host}", host, state, at, at, cause],
            ).fetchone()
            assert incident is not None
            notice = self._notice(connection, host, "problem", state, at, incident[0])
            if since:
                connection.execute("update notice set since = %s where id = %s", [since, notice])
            return notice

    def well(self, host: int, outage: float = 60.0) -> int:
        """It is well again."""
        at = datetime.now(UTC)
        with psycopg.connect(self.url) as connection:
            incident = connection.execute(
                "update incident set closed_at = %s where subject = %s and closed_at is null returning id",
                [at, f"host:{host}"],
            ).fetchone()
            return self._notice(connection, host, "recovery", "up", at, incident[0] if incident else None, outage)

    def _notice(
        self, connection: psycopg.Connection[Any], host: int, kind: str, state: str, at: datetime,
        incident: int | None, outage: float | None = None,
    ) -> int:  # fmt: skip
        row = connection.execute(
            "insert into notice (at, kind, subject, host_id, incident_id, state, since, outage)"
            " values (%s, %s, %s, %s, %s, %s, %s, %s) returning id",
            [at, kind, f"host:{host}", host, incident, state, at, outage],
        ).fetchone()
        assert row is not None
        return int(row[0])

    def deliveries(self) -> list[tuple[str, str]]:
        """(state, detail) of every delivery, in order."""
        return [(row["state"], row["detail"]) for row in self.ask("select state, detail from delivery order by id")]

    def start(self) -> subprocess.Popen[bytes]:
        """A notifier."""
        with (self.place / "notifier.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "pantau", "notifier"],
                env={
                    **os.environ,
                    "DATABASE_URL": as_role(self.url, "notifier"),
                    "PANTAU_DATA": str(self.place),
                    "PYTHONUNBUFFERED": "1",
                },
                stderr=log,
            )

    @contextmanager
    def notifier(self) -> Iterator[subprocess.Popen[bytes]]:
        """A notifier that works meanwhile."""
        process = self.start()
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(20)
