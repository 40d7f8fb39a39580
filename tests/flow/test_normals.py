"""From samples to a machine's own normal, and from there to a warning with the reason why."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest
from psycopg import AsyncConnection
from sqlalchemy import Engine, text

from domain import clock
from domain.baseline import Band
from domain.reading import Measure, Reading
from poller.normals import Normals, Ready, hours, keep, learn, sum_up
from poller.plan import Limit, Plan
from poller.recorder import Recorder, partition
from poller.spool import Spool
from tests.flow.conftest import START, Desk, silent
from tests.roles import as_role

ZONE = ZoneInfo("Asia/Jakarta")
RTT, CPU = "icmp.rtt.median", "system.cpu.utilization"


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[AsyncConnection[Any]]:
    async with await AsyncConnection.connect(as_role(database_url, "poller"), autocommit=True) as opened:
        yield opened


async def samples(
    connection: AsyncConnection[Any], check_id: int, begin: datetime, days: float, value: Callable[[datetime], float]
) -> None:
    """One each five minutes: CPU of the whole, of one core, and something without a normal."""
    cursor = await connection.execute(
        "insert into metric_set (names, parts, units, digest) values (%s, %s, %s, %s) returning id",
        [[CPU, CPU, "system.uptime"], ["", "core0", ""], ["1", "1", "s"], b"one"],
    )
    set_id = (await cursor.fetchone() or [0])[0]
    moments = [begin + timedelta(minutes=5 * n) for n in range(int(days * 288))]
    for day in sorted({at.strftime("%Y%m%d") for at in moments}):
        await connection.execute(partition(day))
    async with connection.cursor() as cursor:
        await cursor.executemany(
            "insert into raw (check_id, ts, set_id, state, v) values (%s, %s, %s, 0, %s)",
            [(check_id, at, set_id, [value(at), 0.5, 7.0]) for at in moments],
        )


def busy_by_day(at: datetime) -> float:
    return 0.4 if 8 <= at.astimezone(ZONE).hour < 17 else 0.1


async def test_hours_are_summed_up_once_for_what_has_a_normal_and_of_the_whole_alone(
    desk: Desk, connection: AsyncConnection[Any], engine: Engine
) -> None:
    dice = random.Random(1)
    begin = datetime(2026, 9, 1, tzinfo=UTC)
    await samples(connection, desk.check_id, begin, 1, lambda at: (at.minute % 10) / 10 + dice.random() / 10)
    for _ in range(2):
        await sum_up(connection, begin, begin + timedelta(days=1))
    cursor = await connection.execute("select places, low, high from hour_range order by ts")
    found = await cursor.fetchall()
    assert len(found) == 24
    assert all(places == [1] and 0 <= low[0] < 0.2 < 0.5 < high[0] <= 1 for places, low, high in found)


async def test_an_hour_of_an_outage_a_maintenance_or_flapping_is_left_out(
    desk: Desk, connection: AsyncConnection[Any]
) -> None:
    begin = datetime(2026, 9, 1, tzinfo=UTC)
    await samples(connection, desk.check_id, begin, 2, busy_by_day)
    await sum_up(connection, begin, begin + timedelta(days=2))

    async def told(subject: str, state: str, hour: float, length: float) -> None:
        await connection.execute(
            "insert into state_interval (subject, host_id, since, until, state) values (%s, %s, %s, %s, %s)",
            [subject, desk.host_id, begin + timedelta(hours=hour), begin + timedelta(hours=hour + length), state],
        )

    await told(f"host:{desk.host_id}", "down", 3.5, 1)
    await told(f"host:{desk.host_id}", "up", 4.5, 20)
    await told(f"maintenance:{desk.host_id}", "maintenance", 10, 2)
    for kind, hour in (("flap_start", 20.2), ("flap_stop", 20.9)):
        await connection.execute(
            "insert into notice (at, kind, subject, host_id, state, since) values (%s, %s, %s, %s, 'down', %s)",
            [begin + timedelta(hours=hour), kind, f"host:{desk.host_id}", desk.host_id, begin],
        )
    host = desk.plan().hosts[desk.host_id]
    found = await hours(connection, host, begin + timedelta(days=2))
    kept = {round((hour.at - begin).total_seconds() / 3600) for hour in found[desk.check_id, CPU, ""]}
    assert set(range(48)) - kept == {3, 4, 10, 11, 20}
    later = replace(host, learn_from=begin + timedelta(days=1))
    assert len((await hours(connection, later, begin + timedelta(days=2)))[desk.check_id, CPU, ""]) == 24


async def test_what_was_learnt_is_stored_and_found_again_by_the_next_process(
    desk: Desk, connection: AsyncConnection[Any], database_url: str, engine: Engine
) -> None:
    full = clock.now().replace(minute=0, second=0, microsecond=0)
    await samples(connection, desk.check_id, full - timedelta(days=3), 3, busy_by_day)
    ready = Ready(ZONE)
    first = Normals(as_role(database_url, "poller"), ready, 14)
    await first.open()
    first.plan(desk.plan())
    await first.work()
    key = (desk.check_id, CPU, "")
    assert set(ready.bands) == {key}
    assert ready.bands[key].status == "calibrating"
    again = Ready(ZONE)
    second = Normals(as_role(database_url, "poller"), again, 14)
    await second.open()
    known = [(row, other) for row, other in zip(ready.bands[key].high, again.bands[key].high, strict=True)]
    assert all((a is None) == (b is None) and (a is None or a == pytest.approx(b)) for a, b in known)

    off = Plan({id: replace(host, sensitivity="off") for id, host in desk.plan().hosts.items()})
    second.plan(off)
    assert again.bands == {}
    await second.work()
    await first.close()
    await second.close()
    with engine.connect() as database:
        assert database.scalar(text("select count(*) from band")) == 0


async def test_a_load_that_has_gone_is_a_warning_that_says_what_is_usual(
    desk: Desk, connection: AsyncConnection[Any], database_url: str, engine: Engine
) -> None:
    start = datetime.fromtimestamp(START, UTC)
    begin = (start - timedelta(days=9)).replace(minute=0, second=0, microsecond=0)
    await samples(connection, desk.check_id, begin, 9, lambda at: 0.35 + 0.05 * (at.minute / 60))
    await sum_up(connection, begin, begin + timedelta(days=9))
    host = desk.plan().hosts[desk.host_id]
    bands = learn(host, await hours(connection, host, start), ZONE, start, 14)
    await keep(connection, host, bands, start)
    ready = Ready(ZONE, dict(bands))
    assert isinstance(bands[desk.check_id, CPU, ""], Band)

    recorder = Recorder(as_role(database_url, "poller"), 1, Spool(desk.spool, 1 << 20), desk.steady, normals=ready)
    await recorder.open()
    desk.limits = (Limit(CPU, "", "warning", 0.8, None, None, 300, 0),)
    recorder.reconcile(desk.plan())

    async def look(minute: float, value: float) -> None:
        recorder.add(desk.round(minute, Reading(measures=(Measure(CPU, value, "1"),))))
        await recorder.flush()

    for minute in range(4):
        await look(minute, 0.37)
    for minute in range(4, 11):
        await look(minute, 0.02)
    with engine.connect() as database:
        row = database.execute(text("select subject, to_state, reason from change where subject like 'metric:%'")).one()
    amount, word, low, high = row.reason.split()
    assert (row.subject, row.to_state) == (f"metric:{desk.check_id}:{CPU}:", "warning")
    assert (float(amount), word) == (0.02, "usually")
    assert 0.3 < float(low) < 0.38 < float(high) < 0.45

    ready.bands.clear()  # somebody switched it off: nothing is wrong any more
    await look(11, 0.02)
    with engine.connect() as database:
        states = database.scalars(text("select to_state from change where subject like 'metric:%' order by id"))
        assert list(states) == ["warning", "ok"]
    await recorder.close()


async def test_looks_go_on_while_the_database_that_learns_is_away(desk: Desk) -> None:
    normals = Normals("postgresql://nobody@127.0.0.1:1/none", Ready(ZONE), 14)
    normals.plan(desk.plan())
    await normals.work()
    with pytest.raises(psycopg.OperationalError):
        await normals.open()
    assert desk.round(0, silent()).outcome == "fail"
