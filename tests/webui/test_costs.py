"""What watching costs is told on the machine's page and to Prometheus, and only to those who may know it."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from config.settings import Settings, SettingsError, load
from domain.inventory import Host
from domain.records import IN_ALL, WatchCost
from tests.webui.cast import Town, Visitor
from webui import create_app

TOKEN = "sixteen characters and more"
LINE = re.compile(r'[a-z_0-9]+(\{[a-z_]+="(\\.|[^"\\])*"(,[a-z_]+="(\\.|[^"\\])*")*\})? -?[0-9.e+-]+')


def spend(town: Town, host: Host, hours: int = 24, told: bool = True) -> None:
    """A day of looks, one a minute."""
    check = host.checks[0]
    check.created_at = town.now - timedelta(days=9)
    hour = town.now.replace(minute=0, second=0, microsecond=0)
    for back in range(1, hours + 1):
        town.session.add(cost(check.id, hour - timedelta(hours=back), 60, told))
    town.session.add(cost(check.id, IN_ALL, 9 * 1440, told))
    town.session.commit()


def cost(check: int, ts: object, looks: int, told: bool) -> WatchCost:
    return WatchCost(
        check_id=check, ts=ts, looks=looks, failed=looks // 60, took=looks * 0.2, late=0.0, cpu=looks * 0.004,
        sent=looks * 1024, received=looks * 4096, told=looks if told else 0, their_cpu=looks * 0.02 if told else 0.0,
        their_processes=looks * 30.0 if told else 0.0,
    )  # fmt: skip


def test_the_page_says_what_being_watched_takes_a_day_on_both_sides(rina: Visitor, town: Town) -> None:
    host = town.machine("fs-01", "10.0.0.20")
    spend(town, host)
    page = rina.get(f"/machines/{host.id}").text
    cost = page[page.index('id="cost"') :]
    assert "of one core" in cost
    assert re.search(r"takes this machine 2\d(\.\d)?\u00a0s of processor a day", cost)
    assert re.search(r"spends 5\.\d+\u00a0s of processor", cost)
    assert re.search(r"; (6\.\d|7)\u00a0MiB cross the network", cost)
    assert "Reckoned from less than a day" not in cost


def test_a_young_machine_is_reckoned_and_one_that_cannot_tell_says_so(rina: Visitor, town: Town) -> None:
    host = town.machine("fs-01", "10.0.0.20")
    assert 'id="cost"' not in rina.get(f"/machines/{host.id}").text
    spend(town, host, hours=2, told=False)
    page = rina.get(f"/machines/{host.id}").text
    assert "Reckoned from less than a day" in page
    assert "none of its checks can tell" in page


def test_prometheus_reads_the_cost_of_every_check_and_the_health_of_the_house(
    rina: Visitor, town: Town, session: Session
) -> None:
    host = town.machine("fs-01", "10.0.0.20")
    spend(town, host)
    spend(town, town.machine('evil"\n\\', "10.0.0.21"))
    answer = rina.get("/metrics")
    assert answer.content_type.startswith("text/plain; version=0.0.4")
    lines = answer.text.splitlines()
    assert [line for line in lines if not line.startswith("# ") and not LINE.fullmatch(line)] == []
    assert 'pantau_check_looks_total{machine="fs-01",check="SSH",kind="ssh"} 12960' in lines
    assert 'machine="evil\\"\\n\\\\"' in answer.text
    assert 'pantau_machines{state="up"} 2' in lines
    names = {line.split()[2] for line in lines if line.startswith("# TYPE")}
    wanted = "heartbeat_age_seconds asked_looks_waiting database_bytes web_pool_connections check_cpu_seconds_total"
    assert names >= {f"pantau_{name}" for name in wanted.split()}
    assert len(names) == len([line for line in lines if line.startswith("# TYPE")])


@pytest.fixture
def guarded(engine: Engine, place: Path) -> Flask:
    return create_app(Settings(data=place, metrics_token=TOKEN), engine)


def test_a_scraper_shows_its_token_and_that_token_opens_nothing_else(
    guarded: Flask, town: Town, person: object
) -> None:
    scraper = Visitor(guarded.test_client())
    shown = {"Authorization": f"Bearer {TOKEN}"}
    assert scraper.get("/metrics", headers=shown).status_code == 200
    for wrong in (
        {},
        {"Authorization": "Bearer nearly"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": "Bearer "},
    ):
        assert scraper.get("/metrics", headers=wrong).status_code in (302, 401)
    assert scraper.get("/", headers=shown).status_code == 302
    assert scraper.get("/machines", headers=shown).status_code == 302


def test_without_a_token_set_nobody_opens_it_with_an_empty_one(app: Flask, town: Town, person: object) -> None:
    stranger = Visitor(app.test_client())
    for shown in ("Bearer None", "Bearer ", "Bearer x"):
        assert stranger.get("/metrics", headers={"Authorization": shown}).status_code == 302


def test_a_token_too_short_is_refused_without_repeating_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PANTAU_METRICS_TOKEN", "hunter2")
    with pytest.raises(SettingsError) as refused:
        load()
    assert "hunter2" not in str(refused.value)
    assert TOKEN not in repr(Settings(metrics_token=TOKEN))
