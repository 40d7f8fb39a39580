"""What jobs have reported, asked of a PostgreSQL that answers, that is gone, and that hangs."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy.orm import Session

from config import database
from domain.clock import now
from domain.heard import Job
from domain.inventory import Check, Host
from poller.reports import Reports
from probes.heard import Options, judge


@pytest.fixture
def hanging() -> Iterator[str]:
    """A server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as line:
        yield f"postgresql://pantau@127.0.0.1:{line.getsockname()[1]}/pantau"


def test_no_job_is_late_while_the_database_that_hears_them_is_away(database_url: str, session: Session) -> None:
    host = Host(name="bk-01", address="10.0.0.30")
    session.add(host)
    session.flush()
    week = timedelta(days=7)
    check = Check(host_id=host.id, kind="heard", name="Nightly", options={}, created_at=now() - 2 * week)
    session.add(check)
    session.flush()
    session.add(Job(check_id=check.id, ok_at=now() - week))
    session.commit()
    engine = database.engine(database_url)
    reports = Reports(database.sessions(engine))
    known = reports.last(check.id)
    engine.dispose()
    assert known is not None
    assert judge(Options(), known, now()).failure is not None
    reports.sessions = database.sessions(database.engine("postgresql://127.0.0.1:1/nowhere"))
    away = reports.last(check.id)
    assert away is not None
    assert away.ok == known.ok
    assert judge(Options(), away, now()).failure is None


def test_a_database_that_hangs_holds_one_look_and_lets_the_others_go(hanging: str) -> None:
    reports = Reports(database.sessions(database.engine(hanging, size=1)))
    began = time.monotonic()
    with ThreadPoolExecutor(12) as looks:
        found = list(looks.map(reports.last, range(12)))
    assert all(report is not None for report in found)
    assert time.monotonic() - began < 9  # a connection may take 5 s, a place in the pool 5 s more
