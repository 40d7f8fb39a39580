"""What others read of Pantau: whether it is ready, its metrics, and its views by SQL. Names once told stay."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from flask import Flask
from sqlalchemy import Engine, select, text
from sqlalchemy.orm import Session

from config.settings import Settings
from domain.inventory import Division, Host
from domain.records import Heartbeat
from tests.webui.cast import Town, Visitor
from webui import create_app

DOCS = Path(__file__).parents[2] / "docs"


def test_ready_means_database_tables_and_poller(stranger: Visitor, town: Town) -> None:
    answer = stranger.get("/readyz")
    assert (answer.status_code, answer.get_json()["ready"]) == (200, True)
    assert set(answer.get_json()["parts"]) == {"database", "migrations", "poller"}


def test_a_silent_poller_is_not_ready_and_said_so(stranger: Visitor, town: Town, session: Session) -> None:
    town.beat(ago=90)
    answer = stranger.get("/readyz")
    assert answer.status_code == 503
    assert answer.get_json()["parts"]["poller"] == {
        "ready": False,
        "detail": "The poller has not been heard of for 30 seconds.",
    }
    session.execute(text("delete from heartbeat"))
    session.commit()
    assert "No poller has ever" in stranger.get("/readyz").get_json()["parts"]["poller"]["detail"]


def test_tables_of_another_version_are_not_ready(stranger: Visitor, town: Town, session: Session) -> None:
    session.execute(text("update alembic_version set version_num = '0001'"))
    session.commit()
    answer = stranger.get("/readyz")
    assert answer.status_code == 503
    assert "pantau db upgrade" in answer.get_json()["parts"]["migrations"]["detail"]


def test_without_a_database_it_is_not_ready_and_still_answers(place: Path) -> None:
    from config import database

    gone = create_app(Settings(data=place), database.engine(f"postgresql:///pantau?host={place}&user=nobody"))
    answer = gone.test_client().get("/readyz")
    assert answer.status_code == 503
    told = answer.get_json()
    assert told["parts"]["database"]["detail"] == "The database does not answer."
    assert not any(part["ready"] for part in told["parts"].values())


def test_the_views_for_reports_are_those_that_are_documented(
    busy: Town, role_url: Callable[[str], str], session: Session
) -> None:
    told = dict(re.findall(r"^\| `report\.(\w+)` \| .*?: (.*) \|$", (DOCS / "grafana.md").read_text(), re.M))
    with psycopg.connect(role_url("reader")) as reader:
        there = {
            name: [column.name for column in reader.execute(f'select * from report."{name}" limit 0').description or ()]
            for (name,) in reader.execute("select viewname from pg_views where schemaname = 'report'").fetchall()
        }
    assert set(told) == set(there)
    for name, words in told.items():
        if "same columns" in words:
            words = told["latest_value"] if name == "sample" else told["hour"]
        named = re.findall(r"`(\w+)`", words)
        if "…" in words:
            named = [*there["latest_value"][:-1], *named[2:]]
        assert named == there[name], name


def test_the_queries_that_are_documented_answer(busy: Town, role_url: Callable[[str], str], session: Session) -> None:
    session.execute(select(1))
    host = session.scalars(select(Host).where(Host.name == "fs-01")).one()
    host.division = Division(name="Gudang")
    session.commit()
    queries = re.findall(r"```sql\n(.*?)```", (DOCS / "grafana.md").read_text(), re.S)
    assert len(queries) == 2
    with psycopg.connect(role_url("reader")) as reader:
        curve = reader.execute(
            re.sub(r"\$__timeFilter\((.*?)\)", r"\1 between now() - interval '1 hour' and now()", queries[0])
        ).fetchall()
        wrong = reader.execute(queries[1]).fetchall()
    assert len(curve) == 45
    assert {row[1] for row in curve} == {"fs-01"}
    assert [(row[0], row[1], row[3]) for row in wrong] == [("db-02", "host", "down")]


def test_whoever_reads_reports_reads_nothing_else(busy: Town, role_url: Callable[[str], str]) -> None:
    with psycopg.connect(role_url("reader"), autocommit=True) as reader:
        for table in ("host", "person", "credential", "audit", "api_token", "session", "setting"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                reader.execute(f"select * from {table}")
        for change in ("delete from report.incident", "update report.machine set name = ''", "create table x (i int)"):
            with pytest.raises(psycopg.errors.Error):
                reader.execute(change)


def test_the_names_of_the_metrics_are_those_that_are_documented(rina: Visitor, busy: Town, session: Session) -> None:
    beat = session.get(Heartbeat, "poller")
    assert beat is not None
    keys = ("rounds", "late_p50", "late_p99", "late_max", "looks", "written", "overlapped", "cpu", "memory_mib")
    beat.data = {**dict.fromkeys(keys, 1), "away_since": None}
    session.commit()
    told = re.findall(r"^\| `(pantau_\w+)` \| (gauge|counter) \|", (DOCS / "metrics.md").read_text(), re.M)
    there = re.findall(r"^# TYPE (\w+) (\w+)$", rina.get("/metrics").text, re.M)
    assert sorted(told) == sorted(there)


def test_a_scrape_of_metrics_is_what_prometheus_reads(rina: Visitor, busy: Town, app: Flask, engine: Engine) -> None:
    answer = rina.get("/metrics")
    assert answer.content_type == "text/plain; version=0.0.4; charset=utf-8"
    for line in answer.text.splitlines():
        assert line.startswith("# ") or re.fullmatch(
            r'[a-z_0-9]+(\{([a-z_]+="(\\.|[^"\\])*",?)*\})? -?[0-9.e+-]+', line
        ), line
