"""Silence is told too: by whoever waits for our calls, and to administrators without the database."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from config import vault
from notifier import lookouts
from notifier.emergency import AFTER, AGAIN, Emergency
from notifier.hands import Hands
from probes.base import Keep
from tests.channels.mailserver import PASSWORD, USER, office
from tests.channels.standin import Reply, provider
from tests.flow.people import Village
from tests.installation import until
from tests.roles import as_role

NOW = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)


@pytest.fixture
def village(database_url: str, tmp_path: Path) -> Village:
    return Village(database_url, tmp_path)


@pytest.fixture
def keep() -> Iterator[Keep]:
    kept = Keep()
    yield kept
    kept.close()


@pytest.fixture
def emergency(village: Village, keep: Keep) -> Callable[[], Emergency]:
    """A process starting."""
    key = vault.opener(village.place / "notifier.key")
    return lambda: Emergency(
        village.place / "emergency.json", Hands(key, keep), "en", "Asia/Jakarta", "http://pantau.test"
    )


def test_administrators_are_told_without_the_database_once_and_of_its_end(
    village: Village, emergency: Callable[[], Emergency]
) -> None:
    with office(login=True) as post:
        channel = village.channel(
            "email", "mail",
            {"host": "127.0.0.1", "sender": "pantau@example.org", "security": "none", "port": post.port, "username": USER},
        )  # fmt: skip
        sealed = vault.sealer(village.place / "notifier.pub").seal(
            json.dumps({"password": PASSWORD}).encode(), "channel:none"
        )
        village.ask("update channel set sealed = %s", sealed)
        village.route(village.person("root", "admin"), channel, {"mailbox": "root@example.org"})
        village.route(village.person("rina"), channel, {"mailbox": "rina@example.org"})
        first = emergency()
        with psycopg.connect(village.url) as connection:
            first.well(connection, NOW)
        assert stat.S_IMODE(first.file.stat().st_mode) == 0o600 and PASSWORD not in first.file.read_text()
        assert first.away(NOW) == 0 and first.away(NOW + AFTER / 2) == 0  # a restart is no emergency
        assert first.away(NOW + AFTER) == 1 and first.away(NOW + AFTER + AGAIN) == 0
        after_a_restart = emergency()
        after_a_restart.away(NOW + AFTER)
        assert after_a_restart.away(NOW + 2 * AFTER) == 0
        with psycopg.connect(village.url) as connection:
            after_a_restart.well(connection, NOW + timedelta(hours=1))
            after_a_restart.well(connection, NOW + timedelta(hours=1))
        assert [(mail.to, str(mail.message["Subject"])) for mail in post.taken] == [
            (["root@example.org"], "Pantau's database is away"), (["root@example.org"], "Pantau's database is back"),
        ]  # fmt: skip


def test_an_administrator_who_could_not_be_told_is_tried_again(
    village: Village, emergency: Callable[[], Emergency]
) -> None:
    with office() as post:
        village.route(village.person("root", "admin"), village.mail(post.port), {"mailbox": "root@example.org"})
        told = emergency()
        with psycopg.connect(village.url) as connection:
            told.well(connection, NOW)
        post.refuse["MAIL"] = "421 go away"
        told.away(NOW)
        assert told.away(NOW + AFTER) == 0
        post.refuse.clear()
        assert told.away(NOW + AFTER + AGAIN / 2) == 0 and told.away(NOW + AFTER + AGAIN) == 1


def test_a_damaged_file_of_whom_to_tell_stops_nothing(village: Village, emergency: Callable[[], Emergency]) -> None:
    told = emergency()
    told.file.write_text("{ half")
    assert told.away(NOW) == told.away(NOW + AFTER) == 0
    with psycopg.connect(village.url) as connection:
        told.well(connection, NOW)
    assert json.loads(told.file.read_text()) == {"routes": [], "told": {}}


def looked(village: Village, host: int, at: datetime) -> None:
    """Somebody looked at the machine, and the poller beats."""
    village.ask(
        "insert into latest (check_id, host_id, ts, took, late, outcome, sent, received) select id, host_id, %s, 0, 0, 0, 0, 0"
        " from host_check where host_id = %s on conflict (check_id) do update set ts = excluded.ts",
        at, host,
    )  # fmt: skip
    village.ask(
        "insert into heartbeat (role, at) values ('poller', %s) on conflict (role) do update set at = excluded.at", at
    )


def test_whoever_waits_for_our_calls_hears_them_while_machines_are_looked_at_and_no_longer(
    village: Village, keep: Keep
) -> None:
    with provider() as switch, ConnectionPool(as_role(village.url, "notifier"), min_size=1, max_size=2) as pool:
        host = village.machine("db-01")
        village.ask("insert into host_check (host_id, kind, name) values (%s, 'icmp', 'ping')", host)
        village.ask("insert into lookout (name, url) values ('switch', %s)", f"{switch.url}/ping/abc")

        def call(at: datetime) -> int:
            return lookouts.call(pool, keep, at, 60)

        assert call(NOW) == 0
        looked(village, host, NOW)
        assert call(NOW) == 1 and call(NOW + timedelta(seconds=30)) == 0
        looked(village, host, NOW + timedelta(seconds=60))
        assert call(NOW + timedelta(seconds=61)) == 1
        village.ask("update heartbeat set at = %s", NOW + timedelta(hours=1))  # a process that lives and does not look
        assert call(NOW + timedelta(hours=1)) == 0
        assert [asked.path for asked in switch.asked] == ["/ping/abc"] * 2
        looked(village, host, NOW + timedelta(hours=2))
        switch.reply = lambda _: Reply(503)
        assert call(NOW + timedelta(hours=2)) == 0
        (row,) = village.ask("select told_at, error from lookout")
        assert row["error"] == "It answered with 503." and row["told_at"] == NOW + timedelta(seconds=61)


def test_a_lookout_leads_to_no_inner_place_by_a_name(keep: Keep) -> None:
    assert lookouts.reach("http://169.254.169.254/latest/meta-data", keep)
    assert lookouts.reach("file:///etc/passwd", keep)
    assert lookouts.reach("http://localhost:1/x", keep)


def test_a_file_that_cannot_be_written_stops_no_watching(village: Village) -> None:
    (village.place / "emergency.new").mkdir()
    beat = "select at from heartbeat where role = 'notifier'"
    with village.notifier():
        until(lambda: village.ask(beat), 40)
        (first,) = village.ask(beat)
        until(lambda: village.ask(beat) != [first], 40)
