"""From roll-ups to what will be full, and from a load test to looks every few seconds."""

from __future__ import annotations

from datetime import timedelta

from psycopg import AsyncConnection
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from config import database, vault
from domain.clock import now
from domain.inventory import LoadTest
from poller.forecasts import Forecasts, renew
from poller.plan import load
from tests.flow.conftest import Desk
from tests.roles import as_role

DISK = "system.filesystem.utilization"


async def rolled(connection: AsyncConnection, check_id: int, days: int) -> None:  # type: ignore[type-arg]
    """Hours of a disk that fills, one that stands still, and something that does not fill up."""
    cursor = await connection.execute(
        "insert into metric_set (names, parts, units, digest) values (%s, %s, %s, 'd') returning id",
        [[DISK, DISK, "system.cpu.utilization"], ["/srv", "/", ""], ["1", "1", "1"]],
    )
    row = await cursor.fetchone()
    assert row is not None
    await connection.execute(
        "insert into roll_1h (check_id, ts, set_id, n, failed, vmin, vavg, vmax)"
        " select %s, t, %s, 60, 0, '{}', array[0.5 + 0.01 * extract(epoch from t - (now() - %s)) / 86400, 0.4, 0.2]::real[],"
        " '{}' from generate_series(date_trunc('hour', now() - %s), now(), interval '1 hour') as t",
        [check_id, row[0], timedelta(days=days), timedelta(days=days)],
    )


async def test_a_disk_that_fills_is_told_and_told_anew_each_day(desk: Desk, database_url: str, engine: Engine) -> None:
    async with await AsyncConnection.connect(as_role(database_url, "poller"), autocommit=True) as connection:
        await rolled(connection, desk.check_id, 20)
        assert await renew(connection, now()) == 1
        assert await renew(connection, now()) == 1
    with engine.connect() as reading:
        row = reading.execute(text("select host_id, part, used, per_day, full_at from forecast")).one()
    assert (row.host_id, row.part) == (desk.host_id, "/srv")
    assert abs(row.full_at - now() - timedelta(days=30)) < timedelta(days=2)
    assert 0.6 < row.used < 0.8


async def test_a_database_that_is_away_stops_no_poller() -> None:
    await Forecasts("postgresql://nobody@127.0.0.1:1/none").work()


def test_a_machine_under_a_load_test_is_looked_at_often_while_it_is_recorded(
    desk: Desk, session: Session, engine: Engine, tmp_path: object
) -> None:
    vault.create(desk.spool.parent / "vault.key", desk.spool.parent / "vault.pub")
    opener = vault.opener(desk.spool.parent / "vault.key")
    sessions = database.sessions(engine)
    assert load(sessions, opener, 60, 3).recording == frozenset()
    test = LoadTest(host_id=desk.host_id, minutes=5)
    session.add(test)
    session.commit()
    assert load(sessions, opener, 60, 3).recording == {desk.host_id}
    test.idle_at = now() - timedelta(minutes=6)
    session.commit()
    assert load(sessions, opener, 60, 3).recording == frozenset()
    test.load_at = now()
    session.commit()
    assert load(sessions, opener, 60, 3).recording == {desk.host_id}
    test.ended_at = now()
    session.commit()
    assert load(sessions, opener, 60, 3).recording == frozenset()
