"""Whether anybody looks is judged by another process than the poller, told once, and never taken for green."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from domain.clock import now
from domain.inventory import Check, Host
from notifier import watch


@pytest.fixture
def machines(session: Session) -> list[int]:
    """Two machines looked at each minute, answered just now."""
    made = []
    for name in ("web1", "web2"):
        host = Host(name=name, address="192.0.2.1")
        host.checks.append(Check(kind="icmp", name="ping"))
        session.add(host)
        made.append(host)
    session.commit()
    for host in made:
        session.execute(
            text(
                "insert into latest (check_id, host_id, ts, took, late, outcome) values (:check, :host, now(), 0, 0, 0)"
            ),
            {"check": host.checks[0].id, "host": host.id},
        )
    session.commit()
    return [host.id for host in made]


def age(engine: Engine, seconds: float, host: int | None = None) -> None:
    """The newest looks (of one machine, or all) are so old."""
    with engine.begin() as connection:
        connection.execute(
            text("update latest set ts = now() - :age where cast(:host as int) is null or host_id = :host"),
            {"age": timedelta(seconds=seconds), "host": host},
        )


def beat(engine: Engine, seconds: float) -> None:
    """The poller's last heartbeat is so old."""
    with engine.begin() as connection:
        connection.execute(
            text(
                "insert into heartbeat (role, at) values ('poller', now() - :age)"
                " on conflict (role) do update set at = excluded.at"
            ),
            {"age": timedelta(seconds=seconds)},
        )


def look(engine: Engine, started: float | None = None) -> watch.Heard:
    begun = (now() - timedelta(days=1)).timestamp() if started is None else started
    with engine.begin() as connection:
        return watch.look(connection, 60, begun)


def told(engine: Engine) -> list[tuple[str, str, bool]]:
    with engine.connect() as connection:
        rows = connection.execute(text("select kind, subject, admins_only from notice order by id"))
        return [(row.kind, row.subject, row.admins_only) for row in rows]


def test_a_poller_that_looks_is_not_silent(machines: list[int], engine: Engine) -> None:
    beat(engine, 4)
    assert look(engine).silent_since is None
    age(engine, 170)
    assert look(engine).silent_since is None
    assert told(engine) == []


def test_one_machine_without_results_is_not_a_silent_poller(machines: list[int], engine: Engine) -> None:
    beat(engine, 4)
    age(engine, 4000, machines[0])
    assert look(engine).silent_since is None


def test_no_result_of_any_machine_for_three_intervals_is_told_once_though_the_heart_beats(
    machines: list[int], engine: Engine
) -> None:
    beat(engine, 4)
    age(engine, 185)
    for _ in range(3):
        heard = look(engine)  # what it remembers is in the database: any process could go on here
        assert heard.silent_since is not None
    assert told(engine) == [("poller_silent", "poller", True)]
    age(engine, 1, machines[1])
    assert look(engine).silent_since is None
    assert look(engine).notice is None
    assert told(engine) == [("poller_silent", "poller", True), ("poller_back", "poller", True)]


def test_a_heart_that_stops_is_silence_before_the_machines_miss_it(machines: list[int], engine: Engine) -> None:
    beat(engine, 40)
    assert look(engine).silent_since is not None
    beat(engine, 2)
    age(engine, 300)
    assert look(engine).silent_since is not None, "a heart that beats again is not yet a look"
    age(engine, 1)
    assert look(engine).silent_since is None
    assert [kind for kind, *_ in told(engine)] == ["poller_silent", "poller_back"]


def test_after_a_pause_of_everything_the_poller_may_begin_first(machines: list[int], engine: Engine) -> None:
    beat(engine, 40_000)
    age(engine, 40_000)
    assert look(engine, started=now().timestamp() - 20).silent_since is None
    assert look(engine, started=now().timestamp() - 35).silent_since is not None


def test_an_installation_without_machines_is_judged_by_the_heartbeat_alone(engine: Engine) -> None:
    assert look(engine).silent_since is None
    beat(engine, 5)
    assert look(engine).silent_since is None
    beat(engine, 31)
    assert look(engine).silent_since is not None
