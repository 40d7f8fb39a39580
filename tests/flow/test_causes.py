"""One cause, one incident: from rounds to the tables people read, on a real database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from psycopg import AsyncConnection
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from domain.clock import now
from domain.health import Result
from domain.inventory import Person
from domain.records import Heartbeat, Incident
from poller import incidents
from poller.plan import Limit, Plan
from poller.recorder import Recorder
from tests.flow.conftest import START, answered, silent
from tests.flow.estate import Estate, rows
from webui import handling
from webui.standing import Standing, read

Make = Callable[[dict[str, list[str]]], Estate]
NOTICES = "select kind, subject from notice order by id"
STATES = "select state from track where subject like 'host:%' order by host_id"


def told(engine: Engine) -> Standing:
    """What `pantau status` says while the poller's heart beats."""
    with Session(engine) as session:
        session.merge(Heartbeat(role="poller", at=now(), data={}))
        session.flush()
        return read(session)


@pytest.fixture
async def make(database_url: str, session: Session, tmp_path: Path) -> AsyncIterator[Make]:
    made: list[Estate] = []

    def estate(parents: dict[str, list[str]]) -> Estate:
        made.append(Estate(database_url, session, tmp_path / "spool", parents))
        return made[-1]

    yield estate
    for one in made:
        await one.close()


async def test_a_router_down_is_one_problem_and_what_is_behind_it_is_listed_under_it(
    make: Make, engine: Engine
) -> None:
    net = make({"router": [], **{f"web{n}": ["router"] for n in range(5)}})
    for minute in range(4):
        recorder = await net.recorder()  # each minute by a process of its own
        for name in net.parents:
            recorder.add(net.round(minute, name, answered() if minute == 0 else silent()))
        await recorder.flush()
    assert rows(engine, STATES) == [("down",), *[("unreachable",)] * 5]
    assert rows(engine, NOTICES) == [("problem", f"host:{net.ids['router']}")]
    assert rows(engine, "select subject, closed_at from incident") == [(f"host:{net.ids['router']}", None)]
    under = "select h.name, m.until is null from incident_member m join host h on h.id = m.host_id order by 1"
    assert rows(engine, under) == [(f"web{n}", True) for n in range(5)]
    standing = told(engine)
    lines = standing.as_text().splitlines()
    assert "router" in lines[1] and lines[2].strip() == "5 machines are unreachable because of it"
    assert len(lines) == 3
    assert [one["cause"] for one in standing.as_json()["problems"]] == ["", *["router"] * 5]
    for name in net.parents:
        recorder.add(net.round(4, name, answered()))
    await recorder.flush()
    assert rows(engine, STATES) == [("up",)] * 6
    assert rows(engine, NOTICES)[1:] == [("recovery", f"host:{net.ids['router']}")]
    assert rows(engine, under) == [(f"web{n}", False) for n in range(5)]
    kinds = rows(engine, "select kind from incident_event order by id")
    assert [kind for (kind,) in kinds] == ["opened", "told", "closed", "told"]


async def test_a_machine_that_was_down_before_its_router_is_merged_and_split_again(make: Make, engine: Engine) -> None:
    net = make({"router": [], "web": ["router"]})
    recorder = await net.recorder()
    for minute, (router, web) in enumerate(["oo", "of", "of", "of", "ff", "ff", "ff", "of", "of"]):
        recorder.add(net.round(minute, "router", answered() if router == "o" else silent()))
        recorder.add(net.round(minute + 0.1, "web", answered() if web == "o" else silent()))
        await recorder.flush()
    own, cause = f"host:{net.ids['web']}", f"host:{net.ids['router']}"
    assert rows(engine, NOTICES) == [("problem", own), ("problem", cause), ("recovery", cause)]
    history = rows(
        engine,
        "select i.subject, e.kind, o.subject from incident_event e join incident i on i.id = e.incident_id"
        " left join incident o on o.id = (e.data->>'incident')::bigint where e.kind in ('merged', 'split') order by e.id",
    )
    assert sorted(history[:2]) == sorted([(own, "merged", cause), (cause, "merged", own)])
    assert sorted(history[2:]) == sorted([(own, "split", cause), (cause, "split", own)])
    assert rows(engine, "select merged_into, closed_at is null from incident where subject = :own", own=own) == [
        (None, True)
    ]


async def test_our_own_line_gone_is_one_incident_about_ourselves(make: Make, engine: Engine) -> None:
    net = make({f"web{n}": [] for n in range(6)})
    recorder = await net.recorder(references=("192.0.2.254",))
    for minute in range(4):
        for name in net.parents:
            recorder.add(net.round(minute, name, answered() if minute == 0 else silent()))
        await recorder.flush()
        if minute == 1:
            assert recorder.judge.suspects_line
            for second in (66, 68, 70):
                recorder.asked({"192.0.2.254": Result(START + second + 1, "fail", START + second)})
                await recorder.flush()
    assert rows(engine, NOTICES) == [("uplink_lost", "poller")]
    assert rows(engine, STATES) == [("unreachable",)] * 6
    assert rows(engine, "select subject, host_id, cause <> '' from incident") == [("poller", None, True)]
    assert rows(engine, "select count(*) from incident_member where until is null") == [(6,)]
    lines = told(engine).as_text().splitlines()
    assert "own line is gone" in lines[1] and lines[2].strip() == "6 machines are unreachable because of it"
    recorder.asked({"192.0.2.254": Result(START + 241, "ok", START + 240)})
    await recorder.flush()
    assert rows(engine, NOTICES) == [("uplink_lost", "poller"), ("uplink_back", "poller")]
    assert rows(engine, "select closed_at is not null from incident") == [(True,)]
    assert rows(engine, "select count(*) from incident_member where until is null") == [(0,)]


async def test_maintenance_is_quiet_recorded_and_its_end_tells_what_is_left(make: Make, engine: Engine) -> None:
    net = make({"web": []})
    recorder = await net.recorder()
    recorder.maintained = frozenset({net.ids["web"]})
    for minute in range(5):
        recorder.add(net.round(minute, "web", answered() if minute == 0 else silent()))
        await recorder.flush()
    assert rows(engine, NOTICES) == []
    assert rows(engine, STATES) == [("down",)]
    recorder = await net.recorder()  # what was quiet before a restart is quiet after it
    recorder.maintained = frozenset({net.ids["web"]})
    recorder.add(net.round(5, "web", silent()))
    await recorder.flush()
    assert rows(engine, NOTICES) == []
    recorder.maintained = frozenset()
    recorder.add(net.round(6, "web", silent()))
    await recorder.flush()
    assert rows(engine, NOTICES) == [("problem", f"host:{net.ids['web']}")]
    spans = rows(
        engine, "select state, until is null from state_interval where subject = :s", s=f"maintenance:{net.ids['web']}"
    )
    assert spans == [("maintenance", False)]


async def test_a_machine_nobody_looks_at_turns_grey_and_only_its_admins_hear_of_it(make: Make, engine: Engine) -> None:
    net = make({"web": [], "mail": []})
    recorder = await net.recorder()
    recorder.add(net.round(0, "web", answered()))
    for minute in range(5):
        recorder.add(net.round(minute, "mail", answered()))
        await recorder.flush()
    assert rows(engine, STATES) == [("unknown",), ("up",)]
    assert rows(engine, "select kind, admins_only from notice") == [("check_problem", True)]
    assert rows(engine, "select reason from change where to_state = 'unknown'") == [
        ("Nobody has looked at it for more than three intervals.",)
    ]


async def test_a_pause_of_the_poller_is_grey_and_not_green(make: Make, engine: Engine) -> None:
    net = make({"web": [], "mail": []})
    recorder = await net.recorder()
    for name in net.parents:
        recorder.add(net.round(0, name, answered()))
    await recorder.flush()
    net.steady.moment = START + 3600
    recorder = await net.recorder()
    net.steady.moment += 6
    await recorder.flush()
    assert rows(engine, STATES) == [("unknown",), ("unknown",)]
    for name in net.parents:
        recorder.add(net.round(60.5, name, answered()))
    await recorder.flush()
    spans = rows(
        engine, "select state, extract(epoch from until - since)::int from state_interval where subject = :s order by since",
        s=f"host:{net.ids['web']}",
    )  # fmt: skip
    assert spans == [("up", 0), ("unknown", 3630), ("up", None)]
    assert rows(engine, NOTICES) == []


async def test_an_acknowledgement_reaches_the_rules_and_ends_with_the_outage(make: Make, engine: Engine) -> None:
    net = make({"web": []})
    recorder = await net.recorder()
    subject = f"host:{net.ids['web']}"
    for minute in range(7):
        if minute == 5:
            recorder.acknowledged = {subject}
        recorder.add(net.round(minute, "web", answered() if minute in (0, 6) else silent()))
        await recorder.flush()
        if minute == 5:
            assert rows(engine, "select data->'told'->'acknowledged' from track where subject = :s", s=subject) == [
                (True,)
            ]
    assert rows(engine, NOTICES) == [("problem", subject), ("recovery", subject)]


async def test_a_parent_switched_off_lets_its_children_stand_for_themselves(make: Make, engine: Engine) -> None:
    net = make({"router": [], "web": ["router"]})
    recorder = await net.recorder()
    for minute in range(4):
        for name in net.parents:
            recorder.add(net.round(minute, name, answered() if minute == 0 else silent()))
        await recorder.flush()
    net.disabled.add("router")
    recorder.reconcile(net.plan())
    for minute in range(4, 7):
        recorder.add(net.round(minute, "web", silent()))
        await recorder.flush()
    assert rows(engine, STATES) == [("disabled",), ("down",)]
    assert rows(engine, NOTICES) == [
        ("problem", f"host:{net.ids['router']}"),
        ("problem", f"host:{net.ids['web']}"),
    ]
    assert rows(engine, "select count(*) from incident_member where until is null") == [(0,)]


async def test_a_check_switched_off_closes_what_was_open_of_it(make: Make, engine: Engine) -> None:
    net = make({"web": []})
    net.limits = (Limit("icmp.rtt", "", "warning", 0.5, None, None, 0, 0),)
    recorder = await net.recorder()
    recorder.add(net.round(0, "web", answered(rtt=0.9)))
    await recorder.flush()
    assert rows(engine, "select state, closed_at is null from incident") == [("warning", True)]
    recorder.reconcile(Plan({net.ids["web"]: replace(net.host("web"), checks=())}))
    await recorder.flush()
    assert rows(engine, "select closed_at is null from incident") == [(False,)]
    assert [kind for kind, _ in rows(engine, NOTICES)] == ["problem"], "closed without a word (R24)"


async def test_a_host_down_takes_the_incidents_of_its_checks_and_gives_them_back(make: Make, engine: Engine) -> None:
    net = make({"web": []})
    net.limits = (Limit("icmp.rtt", "", "warning", 0.5, None, None, 0, 0),)
    recorder = await net.recorder()
    slow = answered(rtt=0.9)
    for minute, reading in enumerate([slow, silent(), silent(), silent(), slow]):
        recorder.add(net.round(minute, "web", reading))
        await recorder.flush()
        if minute == 3:
            merged = rows(engine, "select i.state, o.state from incident i join incident o on o.id = i.merged_into")
            assert merged == [("warning", "down")]
    assert rows(engine, "select state, merged_into, closed_at is null from incident order by id") == [
        ("warning", None, True),
        ("down", None, False),
    ]
    assert [kind for kind, _ in rows(engine, NOTICES)] == ["problem", "problem", "recovery"]


async def test_a_machine_deleted_during_its_maintenance_does_not_stop_the_poller(make: Make, engine: Engine) -> None:
    net = make({"web": [], "mail": []})
    recorder = await net.recorder()
    recorder.maintained = frozenset({net.ids["web"]})
    recorder.add(net.round(0, "web", answered()))
    recorder.add(net.round(1, "mail", answered()))
    await recorder.flush()
    with engine.begin() as connection:
        connection.execute(text("delete from host where name = 'web'"))
    del net.parents["web"]
    net.steady.moment += 60
    recorder = await net.recorder()
    recorder.add(net.round(3, "mail", answered()))
    await recorder.flush()
    assert rows(engine, STATES) == [("up",)]
    assert rows(engine, "select data->'muted' from standing") == [([],)]


async def test_a_cause_that_somebody_put_under_its_own_part_comes_out_and_neither_vanishes(
    make: Make, engine: Engine, database_url: str
) -> None:
    net = make({"router": [], "web": ["router"]})
    opened = "insert into incident (subject, host_id, state, since, opened_at, merged_into) values (%s, %s, 'down', now(), now(), %s) returning id"
    async with await AsyncConnection.connect(database_url) as connection, connection.cursor() as cursor:
        ids: list[int] = []
        for name in ("web", "router"):
            host = net.ids[name]
            await cursor.execute(opened, [f"host:{host}", host, ids[0] if ids else None])
            ids += await cursor.fetchone() or ()
        web, router = ids
        await incidents._merge(cursor, router, "host_id = %(host)s", {"host": net.ids["web"], "at": now()})
    assert rows(engine, "select id, merged_into from incident order by id") == [(web, router), (router, None)]


def put(engine: Engine, part: int, whole: int) -> None:
    """A person says that two incidents have the same cause."""
    with Session(engine) as session:
        person = session.query(Person).first() or Person(login="rina", name="Rina", password_hash="-", role="admin")
        session.add(person)
        session.flush()
        one, other = session.get(Incident, part), session.get(Incident, whole)
        assert one and other
        handling.merge(session, one, other, person, now())
        session.commit()


def under(engine: Engine) -> dict[str, str | None]:
    """Each open incident's machine, and that of the one it stands under."""
    return dict(
        rows(
            engine,
            "select h.name, o.name from incident i join host h on h.id = i.host_id left join incident w"
            " on w.id = i.merged_into left join host o on o.id = w.host_id where i.closed_at is null",
        )
    )


async def minutes(net: Estate, recorder: Recorder, first: int, *seen: str) -> None:
    """One round a minute of every machine: `x` is silence."""
    for minute, row in enumerate(seen, first):
        for place, (name, what) in enumerate(zip(net.parents, row, strict=True)):
            recorder.add(net.round(minute + place / 100, name, silent() if what == "x" else answered()))
        await recorder.flush()


async def test_what_a_person_put_together_the_rules_leave_together(make: Make, engine: Engine) -> None:
    net = make({"router": [], "web": ["router"], "mail": []})
    recorder = await net.recorder()
    await minutes(net, recorder, 0, "ooo", "oxx", "oxx", "oxx")
    numbers = dict(rows(engine, "select h.name, i.id from incident i join host h on h.id = i.host_id"))
    put(engine, numbers["web"], numbers["mail"])
    await minutes(net, recorder, 4, "xxx", "xxx", "xxx")
    assert rows(engine, STATES) == [("down",)] * 3
    assert under(engine) == {"router": None, "web": "mail", "mail": None}
    await minutes(net, recorder, 7, "oxx", "oxx", "oxx", "oxx")
    assert under(engine) == {"web": "mail", "mail": None}
    await minutes(net, recorder, 11, "oxo")
    assert under(engine) == {"web": None}, "what goes on stands under nothing that is over"


async def test_what_a_person_put_elsewhere_comes_back_to_its_cause_when_that_is_over(
    make: Make, engine: Engine
) -> None:
    net = make({"router": [], "web": ["router"], "mail": []})
    recorder = await net.recorder()
    await minutes(net, recorder, 0, "ooo", "oxx", "oxx", "oxx")
    numbers = dict(rows(engine, "select h.name, i.id from incident i join host h on h.id = i.host_id"))
    put(engine, numbers["web"], numbers["mail"])
    await minutes(net, recorder, 4, "xxx", "xxx", "xxx", "xxo")
    assert under(engine) == {"router": None, "web": "router"}


async def test_a_whole_that_becomes_a_part_keeps_its_parts_and_takes_them_out_again(make: Make, engine: Engine) -> None:
    net = make({"router": [], "web": ["router"], "mail": []})
    recorder = await net.recorder()
    await minutes(net, recorder, 0, "ooo", "oxx", "oxx", "oxx")
    numbers = dict(rows(engine, "select h.name, i.id from incident i join host h on h.id = i.host_id"))
    put(engine, numbers["mail"], numbers["web"])
    await minutes(net, recorder, 4, "xxx", "xxx", "xxx")
    assert under(engine) == {"router": None, "web": "router", "mail": "web"}
    await minutes(net, recorder, 7, "oxx", "oxx", "oxx", "oxx")
    assert under(engine) == {"web": None, "mail": "web"}


async def test_no_circle_comes_of_a_cause_that_stands_deep_under_its_own_part(make: Make, engine: Engine) -> None:
    net = make({"router": [], "web": ["router"], "mail": []})
    recorder = await net.recorder()
    await minutes(net, recorder, 0, "ooo", "oxx", "oxx", "oxx")
    await minutes(net, recorder, 4, "xxx", "xxx")
    with engine.begin() as connection:  # before the rules blame the router, a person blames the web server for it
        opened = (
            "insert into incident (subject, host_id, state, since, opened_at) values (:s, :h, 'down', now(), now())"
        )
        connection.execute(text(opened), {"s": f"host:{net.ids['router']}", "h": net.ids["router"]})
    numbers = dict(rows(engine, "select h.name, i.id from incident i join host h on h.id = i.host_id"))
    put(engine, numbers["router"], numbers["mail"])
    put(engine, numbers["mail"], numbers["web"])
    await minutes(net, recorder, 6, "xxx")
    assert under(engine) == {"router": None, "web": "router", "mail": "web"}


async def test_a_person_and_the_rules_at_the_same_moment_make_no_circle(
    make: Make, engine: Engine, database_url: str
) -> None:
    net = make({"web": [], "mail": []})
    recorder = await net.recorder()
    await minutes(net, recorder, 0, "oo", "xx", "xx", "xx")
    numbers = dict(rows(engine, "select h.name, i.id from incident i join host h on h.id = i.host_id"))
    with engine.begin() as person:
        person.execute(text("select from incident order by id for update"))
        person.execute(text("update incident set merged_into = :mail where id = :web"), numbers)
        async with await AsyncConnection.connect(database_url) as connection, connection.cursor() as cursor:
            one = {"one": numbers["mail"], "at": now()}
            ruled = asyncio.create_task(incidents._merge(cursor, numbers["web"], "id = %(one)s", one))
            waiting = "select count(*) from pg_stat_activity where wait_event_type = 'Lock'"
            while not rows(engine, waiting)[0][0]:
                await asyncio.sleep(0.02)
            person.commit()
            await ruled
    assert under(engine) == {"web": None, "mail": "web"}
