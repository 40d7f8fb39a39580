"""From a round to rows: written once, whole, in order, whatever happens on the way."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine, text

from domain.reading import Cost, Fact, Measure, Reading
from poller.chores import make_partitions, retire, roll_up
from poller.page import Page
from poller.plan import Limit
from poller.recorder import Displaced, Unreadable
from poller.spool import Spool
from tests.flow.conftest import START, Desk, answered, silent
from tests.roles import as_role


def rows(engine: Engine, statement: str, **values: Any) -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(statement), values)]


def moment(minute: float) -> datetime:
    return datetime.fromtimestamp(START + minute * 60, UTC)


async def test_a_round_becomes_a_sample_the_newest_row_and_a_state(desk: Desk, engine: Engine) -> None:
    recorder = await desk.recorder()
    recorder.add(desk.round(0, answered(rtt=0.25)))
    await recorder.flush()
    assert rows(engine, "select check_id, ts, state, v from raw") == [(desk.check_id, moment(0), 0, [0.25])]
    assert rows(engine, "select host_id, outcome, good_at, v, failure_kind from latest") == [
        (desk.host_id, 0, moment(0), [0.25], None)
    ]
    assert rows(engine, "select subject, state from track order by 1") == [
        (f"check:{desk.check_id}", "up"),
        (f"host:{desk.host_id}", "up"),
    ]
    assert rows(engine, "select names, units from metric_set") == [(["icmp.rtt"], ["s"])]


async def test_the_third_miss_is_down_since_the_first_and_the_answer_ends_it(desk: Desk, engine: Engine) -> None:
    recorder = await desk.recorder()
    for minute, reading in enumerate([answered(), silent(), silent(), silent(), silent(), answered()]):
        recorder.add(desk.round(minute, reading))
        await recorder.flush()
    subject = f"host:{desk.host_id}"
    changes = rows(
        engine, "select from_state, to_state, since, at from change where subject = :s order by id", s=subject
    )
    assert [(row[0], row[1], row[2]) for row in changes] == [
        ("pending", "up", moment(0)),
        ("up", "down", moment(1)),
        ("down", "up", moment(5)),
    ]
    assert changes[1][3] == moment(3) + timedelta(seconds=0.01)
    assert rows(
        engine, "select state, since, until from state_interval where subject = :s order by since", s=subject
    ) == [
        ("up", moment(0), moment(1)),
        ("down", moment(1), moment(5)),
        ("up", moment(5), None),
    ]
    assert rows(engine, "select since, closed_at, failure_kind, cause from incident where subject = :s", s=subject) == [
        (moment(1), moment(5), "timeout", "No answer to 10 pings.")
    ]
    assert rows(engine, "select kind, detail, since from failure") == [("timeout", "No answer to 10 pings.", moment(1))]


async def test_a_new_process_goes_on_where_the_killed_one_stood(desk: Desk, engine: Engine) -> None:
    for minute, reading in enumerate([answered(), silent(), silent(), silent(), answered()]):
        recorder = await desk.recorder()  # every round by a process of its own; none of them closed in order
        recorder.add(desk.round(minute, reading))
        await recorder.flush()
    found = rows(engine, "select to_state, since from change where subject = :s order by id", s=f"host:{desk.host_id}")
    assert found == [("up", moment(0)), ("down", moment(1)), ("up", moment(4))]


async def test_a_page_whose_answer_got_lost_is_not_written_twice(desk: Desk, engine: Engine) -> None:
    recorder = await desk.recorder()
    page = recorder._next_page([desk.round(0, answered())])
    await recorder._write(page)
    await recorder._write(page)
    assert rows(engine, "select count(*) from raw") == [(1,)]
    assert rows(engine, "select count(*) from change where subject = :s", s=f"host:{desk.host_id}") == [(1,)]


async def test_a_second_poller_on_one_site_is_stopped_before_it_can_double_anything(desk: Desk, engine: Engine) -> None:
    first, second = await desk.recorder(), await desk.recorder()
    second.add(desk.round(0, answered()))
    await second.flush()
    first.add(desk.round(1, answered()))
    with pytest.raises(Displaced):
        await first.flush()
    assert rows(engine, "select ts from raw") == [(moment(0),)]


async def test_nothing_is_lost_or_doubled_while_postgresql_refuses_us(desk: Desk, engine: Engine) -> None:
    name = engine.url.database
    recorder = await desk.recorder()
    await recorder.flush()
    administrator = psycopg.connect(desk.url.replace(f"/{name}", "/postgres"), autocommit=True)
    administrator.execute(f'alter database "{name}" allow_connections false'.encode())
    administrator.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", [name])
    readings = [answered(), *[silent()] * 5, answered()]
    for minute, reading in enumerate(readings):
        recorder.add(desk.round(minute, reading))
        await recorder.flush()
    assert recorder.away_since is not None
    assert len(recorder._spool) == len(readings)
    administrator.execute(f'alter database "{name}" allow_connections true'.encode())
    administrator.close()
    await recorder.flush()
    assert recorder.away_since is None
    assert len(recorder._spool) == 0
    assert rows(engine, "select ts from raw order by ts") == [(moment(m),) for m in range(7)]
    states = rows(engine, "select to_state, since from change where subject = :s order by id", s=f"host:{desk.host_id}")
    assert states == [("up", moment(0)), ("down", moment(1)), ("up", moment(6))]


async def test_a_process_killed_during_the_outage_leaves_its_pages_to_the_next(desk: Desk, engine: Engine) -> None:
    recorder = await desk.recorder()
    for minute in range(3):
        recorder._spool.put(recorder._next_page([desk.round(minute, silent())]))
    after = await desk.recorder()
    assert len(after._spool) == 0
    assert rows(engine, "select state, since from track where subject = :s", s=f"host:{desk.host_id}") == [
        ("down", moment(0))
    ]
    assert after.judge.down(desk.host_id)


async def test_a_machine_deleted_meanwhile_does_not_stop_the_pen(desk: Desk, engine: Engine) -> None:
    recorder = await desk.recorder()
    recorder.add(desk.round(0, silent()))
    with engine.begin() as connection:
        connection.execute(text("delete from host"))
    await recorder.flush()
    assert rows(engine, "select count(*) from raw") == [(0,)]
    assert rows(engine, "select count(*) from track") == [(0,)]


async def test_what_a_hostile_machine_says_is_kept_as_harmless_text_and_finite_numbers(
    desk: Desk, engine: Engine
) -> None:
    recorder = await desk.recorder()
    evil = Reading(
        measures=(Measure("a", float("nan")), Measure("b", 1e308), Measure("c", float("-inf")), Measure("d", 4.0)),
        facts=(Fact("host.name", "we\x00b\ud800" + "x" * 5000),),
    )
    recorder.add(desk.round(0, evil))
    await recorder.flush()
    assert rows(engine, "select v from raw") == [([None, None, None, 4.0],)]
    ((value,),) = rows(engine, "select value from fact")
    assert value.startswith("we\ufffdb?xxx")
    assert len(value) == 1000


async def test_a_limit_on_a_number_opens_and_closes_an_incident_and_greys_with_its_machine(
    desk: Desk, engine: Engine
) -> None:
    desk.limits = (Limit("icmp.rtt", "", "warning", 0.2, None, 0.1, 120, 0),)
    recorder = await desk.recorder()
    values = [answered(rtt=0.3), answered(rtt=0.3), answered(rtt=0.3), *[silent()] * 3, answered(rtt=0.05)]
    for minute, reading in enumerate(values):
        recorder.add(desk.round(minute, reading))
        await recorder.flush()
    subject = f"metric:{desk.check_id}:icmp.rtt:"
    found = rows(engine, "select to_state, since from change where subject = :s order by id", s=subject)
    assert found == [("warning", moment(0)), ("unknown", moment(3)), ("ok", moment(6))]
    assert rows(engine, "select closed_at from incident where subject = :s", s=subject) == [(moment(6),)]


@pytest.mark.parametrize("name", ["a\x00b", "".join(map(chr, random.Random(1).sample(range(0x4E00, 0x9FFF), 9000)))])
async def test_a_page_the_database_will_never_take_is_set_aside_and_the_next_goes_through(
    desk: Desk, engine: Engine, name: str
) -> None:
    recorder = await desk.recorder()
    bad = recorder._next_page([desk.round(0, answered())])
    bad.facts.append([desk.check_id, desk.host_id, name, "", "a fact", 0])
    await recorder._keep(bad)
    recorder.add(desk.round(1, answered()))
    await recorder.flush()
    assert rows(engine, "select ts from raw") == [(moment(1),)]
    assert [path.suffix for path in desk.spool.iterdir()] == [".refused"]


def test_a_full_spool_gives_up_samples_and_never_changes(desk: Desk) -> None:
    spool = Spool(desk.spool, 40_000)
    for seq in range(1, 40):
        raw = [[desk.check_id, seq, -1, 0, [1.0] * 100]] * 10
        spool.put(Page(seq=seq, raw=raw, changes=[["host:1", 1, None, seq, seq, "up", "down", "", None]]))
    pages = []
    while (page := Spool(desk.spool, 40_000).first()) is not None:
        pages.append(page)
        Spool(desk.spool, 40_000).drop(page.seq)
    assert [page.seq for page in pages] == list(range(1, 40))
    assert all(page.changes for page in pages)
    assert pages[0].raw == []
    assert pages[-1].raw != []


def test_a_damaged_spool_file_is_set_aside(desk: Desk) -> None:
    spool = Spool(desk.spool, 1 << 20)
    spool.put(Page(seq=1))
    spool.put(Page(seq=2))
    (desk.spool / f"{1:015d}.page").write_bytes(b'{"seq": 1')
    page = spool.first()
    assert page is not None
    assert page.seq == 2


async def test_rollups_say_least_mean_and_most_and_can_be_made_again(desk: Desk, engine: Engine) -> None:
    recorder = await desk.recorder()
    for minute, reading in enumerate([answered(rtt=1.0), answered(rtt=2.0), silent(), answered(rtt=6.0)]):
        recorder.add(desk.round(minute, reading))
    await recorder.flush()
    async with await psycopg.AsyncConnection.connect(as_role(desk.url, "poller"), autocommit=True) as connection:
        for _ in range(2):
            await roll_up(connection, moment(0) - timedelta(hours=2), moment(60))
    hour = moment(0).replace(minute=0, second=0)
    found = rows(engine, "select ts, n, failed, vmin, vavg, vmax from roll_1h order by set_id desc")
    assert found == [(hour, 3, 0, [1.0], [3.0], [6.0]), (hour, 1, 1, [], [], [])]
    day = moment(0).replace(hour=0, minute=0, second=0)
    found = rows(engine, "select ts, n, failed, vmin, vavg, vmax from roll_1d order by set_id desc")
    assert found == [(day, 3, 0, [1.0], [3.0], [6.0]), (day, 1, 1, [], [], [])]


async def test_old_partitions_go_whole_and_new_ones_are_there_in_time(desk: Desk, engine: Engine) -> None:
    recorder = await desk.recorder()
    recorder.add(desk.round(0, answered()))
    await recorder.flush()
    today = moment(0) + timedelta(days=31)
    async with await psycopg.AsyncConnection.connect(as_role(desk.url, "poller"), autocommit=True) as connection:
        await make_partitions(connection, today)
        assert await retire(connection, moment(0) + timedelta(days=29), 30, 366) == []
        assert await retire(connection, today, 30, 366) == [f"raw_{moment(0):%Y%m%d}"]
    left = rows(engine, "select relid::regclass::text from pg_partition_tree('raw') where isleaf order by 1")
    assert left == [(f"raw_{today + timedelta(days=ahead):%Y%m%d}",) for ahead in range(3)]


async def test_switching_off_closes_without_recovery_and_switching_on_begins_at_pending(
    desk: Desk, engine: Engine
) -> None:
    from poller.plan import Plan

    recorder = await desk.recorder()
    for minute in range(3):
        recorder.add(desk.round(minute, silent()))
    await recorder.flush()
    recorder.reconcile(Plan({}, frozenset({desk.host_id})))
    await recorder.flush()
    recorder.reconcile(desk.plan())
    await recorder.flush()
    found = rows(engine, "select to_state from change where subject = :s order by id", s=f"host:{desk.host_id}")
    assert [state for (state,) in found] == ["down", "disabled", "pending"]
    assert rows(engine, "select count(*) from incident where closed_at is null") == [(0,)]


async def test_what_looks_took_is_added_up_by_the_hour_and_in_all_once_a_minute(desk: Desk, engine: Engine) -> None:
    recorder = await desk.recorder()
    spent = Measure("host.watch.cpu_time", 0.25, "s"), Measure("host.watch.processes", 40)
    for minute in (0.0, 0.5, 1.5, 59.0, 61.0):
        reading = Reading(measures=spent if minute else (), cost=Cost(100, 900)) if minute != 59 else silent()
        recorder.add(desk.round(minute, reading))
        await recorder.flush()
    sums = "looks, failed, sent, received, told, their_cpu, their_processes"
    by_hour = rows(engine, f"select {sums} from watch_cost where ts <> 'epoch' order by ts")
    assert sum(row[0] for row in by_hour) == 5
    assert len(by_hour) == 2
    in_all = rows(engine, f"select {sums} from watch_cost where ts = 'epoch'")
    assert in_all == [(5, 1, 400, 3600, 3, 0.75, 120.0)]
    assert rows(engine, "select took from watch_cost where ts = 'epoch'")[0][0] == pytest.approx(0.05)


def test_a_page_an_earlier_version_left_in_the_spool_is_still_written() -> None:
    written = json.loads(Page(seq=7, changes=[["host:1", 1, None, 7, 7, "up", "down", "", None]]).dump())
    del written["costs"]
    page = Page.parse(json.dumps(written).encode())
    assert (page.seq, page.costs) == (7, [])


async def test_a_memory_of_a_newer_version_is_refused_with_a_sentence(desk: Desk, engine: Engine) -> None:
    with engine.begin() as connection:
        newer = {"data": json.dumps({"watch": {"new": 1}})}
        connection.execute(text("insert into standing (site_id, data) values (1, :data)"), newer)
    with pytest.raises(Unreadable, match=r"written by a newer one\. Run that version"):
        await desk.recorder()


async def test_what_was_told_long_ago_is_forgotten_and_what_was_told_lately_is_kept(
    database_url: str, engine: Engine
) -> None:
    with engine.begin() as connection:
        connection.execute(
            text(
                "insert into notice (at, kind, subject, state, since) values (now() - interval '400 days', 'problem',"
                " 'poller', 'down', now()), (now(), 'problem', 'poller', 'down', now())"
            )
        )

    async with await psycopg.AsyncConnection.connect(as_role(database_url, "poller"), autocommit=True) as connection:
        await retire(connection, datetime.now(UTC), 30, 366)
    with engine.connect() as connection:
        assert connection.execute(text("select count(*) from notice")).scalar_one() == 1


async def test_what_was_said_long_ago_goes_with_its_pictures_and_what_was_said_lately_stays(
    database_url: str, engine: Engine, desk: Desk
) -> None:
    with engine.begin() as connection:
        for days, words in ((800, "old"), (10, "new")):
            connection.execute(
                text(
                    "with said as (insert into message (thread_id, author, body, at) select id, 'x', :words,"
                    " now() - make_interval(days => :days) from thread limit 1 returning id)"
                    " insert into picture (message_id, width, height, image) select id, 1, 1, 'x' from said"
                ),
                {"words": words, "days": days},
            )
        connection.execute(text("set constraints all immediate"))
        connection.execute(text("update message set at = now() - interval '800 days' where body = 'old'"))
    async with await psycopg.AsyncConnection.connect(as_role(database_url, "poller"), autocommit=True) as connection:
        await retire(connection, datetime.now(UTC), 30, 366, 730)
    assert rows(engine, "select body from message") == [("new",)]
    assert rows(engine, "select count(*) from picture") == [(1,)]


async def test_trouble_and_its_end_are_lines_in_the_threads_of_the_machine_and_of_the_incident(
    desk: Desk, engine: Engine
) -> None:
    recorder = await desk.recorder()
    for minute, reading in enumerate([answered(), silent(), silent(), silent(), silent(), answered()]):
        recorder.add(desk.round(minute, reading))
        await recorder.flush()
    (incident,) = rows(engine, "select id from incident where subject = :s", s=f"host:{desk.host_id}")
    found = rows(
        engine,
        "select t.kind, m.detail ->> 'what', (m.detail -> 'incident')::int, m.detail ->> 'state', m.detail ->> 'lasted'"
        " from message m join thread t on t.id = m.thread_id where m.detail ->> 'subject' like 'host:%'"
        " order by t.kind, m.number",
    )
    assert found == [
        (kind, *line)
        for kind in ("incident", "machine")
        for line in (
            ("incident.opened", incident[0], "down", None),
            ("incident.recovered", incident[0], None, "240"),
        )
    ]
