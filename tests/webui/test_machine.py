"""The page of one machine: real numbers at first paint, charts that draw, looks on request, news without reload."""

from __future__ import annotations

import csv
import io
import json
import re
import time
from datetime import timedelta

import plotly.graph_objects
import pytest
import requests
from flask import Flask
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from domain.inventory import HostKey, Person
from domain.records import MetricSet, raw
from domain.requests import Look
from tests.webui.cast import PASSWORD, OpenBrowser, Town, Visitor
from tests.webui.test_pages import enter, evaluate
from webui import figures, series
from webui.sheets import harmless


def test_the_first_paint_holds_the_numbers_and_the_drawn_series(rina: Visitor, town: Town) -> None:
    host = town.machine("fs-01", "10.0.0.20", cpu=0.41, disk=0.82)
    page = rina.get(f"/machines/{host.id}").text
    assert "<dd>41\u00a0%</dd>" in page
    assert "<dd>82\u00a0%</dd>" in page
    assert 'class="plot"' in page
    assert 'class="c0" d="M' in page


def test_every_figure_is_one_that_plotly_understands(rina: Visitor, town: Town) -> None:
    host = town.machine("fs-01", "10.0.0.20")
    drawn = 0
    for kind in figures.CHARTS:
        answer = rina.get(f"/api/fig/machine/{host.id}/{kind.key}?range=1h&px=600")
        assert answer.status_code == 200
        made = json.loads(answer.text)
        plotly.graph_objects.Figure(made)
        drawn += len(made["data"])
        assert all(len(trace["x"]) <= 600 for trace in made["data"])
    assert drawn >= 3
    assert rina.get(f"/api/fig/machine/{host.id}/nonsense").status_code == 404


def test_a_long_series_is_thinned_and_keeps_its_extremes_and_its_gaps(town: Town) -> None:
    begin = town.now - timedelta(hours=24)
    points: list[series.Point] = [(begin + timedelta(minutes=n), 0.2) for n in range(1440)]
    points[700] = (points[700][0], 0.99)
    points[900] = (points[900][0], None)
    thin = list(series.thin(points, begin, town.now, 100))
    assert len(thin) <= 110
    assert max(value for _, value in thin if value is not None) == 0.99
    assert None in [value for _, value in thin]


def test_looking_now_asks_the_poller_once_however_often_the_button_is_pressed(
    rina: Visitor, town: Town, session: Session
) -> None:
    host = town.machine("fs-01", "10.0.0.20")
    for _ in range(3):
        assert rina.post(f"/machines/{host.id}/look", {}, page=f"/machines/{host.id}").status_code == 303
    looks = session.scalars(select(Look)).all()
    assert [(look.kind, look.host_id) for look in looks] == [("run", host.id)]


def test_samples_come_as_a_table_no_spreadsheet_takes_for_formulas(rina: Visitor, town: Town, session: Session) -> None:
    host = town.machine("fs-01", "10.0.0.20")
    evil = MetricSet(names=["system.filesystem.utilization"], parts=['=cmd|"/c calc"!A1'], units=["1"], digest=b"evil")
    session.add(evil)
    session.flush()
    row = {
        "check_id": host.checks[0].id,
        "ts": town.now - timedelta(minutes=1),
        "set_id": evil.id,
        "state": 0,
        "v": [0.5],
    }
    session.execute(raw.insert(), [row])
    session.commit()
    answer = rina.get(f"/machines/{host.id}/samples.csv?range=1h")
    assert answer.headers["Content-Disposition"].startswith("attachment")
    rows = list(csv.reader(io.StringIO(answer.text)))
    assert rows[0][:3] == ["at (UTC)", "check", "measure"]
    assert len(rows) > 40
    cells = {cell for one in rows[1:] for cell in one}
    assert not [cell for cell in cells if cell and cell[0] in "=+@"]
    assert harmless("-1+1") == "'-1+1"


def test_a_changed_host_key_is_told_and_only_an_accepted_one_is_trusted(
    rina: Visitor, town: Town, session: Session
) -> None:
    host = town.machine("fs-01", "10.0.0.20")
    session.add(HostKey(host_id=host.id, port=22, key="ssh-ed25519 OLD", fingerprint="SHA256:old", state="pinned"))
    session.add(HostKey(host_id=host.id, port=22, key="ssh-ed25519 NEW", fingerprint="SHA256:new", state="offered"))
    session.commit()
    assert "SHA256:new" in rina.get(f"/machines/{host.id}").text
    page = rina.get(f"/machines/{host.id}/edit").text
    assert "SHA256:new" in page
    assert "SHA256:old" in page
    offered = session.scalars(select(HostKey.id).where(HostKey.state == "offered")).one()
    path = f"/machines/{host.id}/keys/{offered}/accept"
    assert rina.post(path, {}, page=f"/machines/{host.id}/edit").status_code == 303
    session.expire_all()
    keys = session.scalars(select(HostKey)).all()
    assert [(key.fingerprint, key.state) for key in keys] == [("SHA256:new", "pinned")]
    assert keys[0].accepted_by is not None


@pytest.mark.browser
def test_plotly_draws_under_the_strict_policy(person: Person, town: Town, browse: OpenBrowser) -> None:
    host = town.machine("fs-01", "10.0.0.20")
    page = enter(browse())
    page.goto(f"/machines/{host.id}")
    page.wait_for_selector(".chart.lively .main-svg")
    box = page.locator(".chart.lively .main-svg").first.bounding_box()
    assert box is not None
    assert box["width"] > 300
    assert page.locator(".chart.lively .scatterlayer path.js-line").count() >= 1
    assert evaluate(page, "JSON.stringify(window.violations)") == "[]"


@pytest.mark.browser
def test_a_machine_going_down_shows_on_the_open_pages_within_two_seconds(
    person: Person, town: Town, browse: OpenBrowser, session: Session
) -> None:
    host = town.machine("web-01", "10.0.0.31")
    context = browse()
    page = enter(context)
    detail = context.new_page()
    detail.goto(f"/machines/{host.id}")
    assert "web-01" not in page.inner_text("main")
    page.wait_for_timeout(1500)  # the streams are open
    session.execute(text("update track set state = 'down', since = now() where subject = :s"), {"s": f"host:{host.id}"})
    session.execute(
        text(
            "insert into change (subject, host_id, at, since, from_state, to_state) values (:s, :h, now(), now(), 'up', 'down')"
        ),
        {"s": f"host:{host.id}", "h": host.id},
    )
    told = json.dumps({"hosts": [host.id], "changed": [host.id]})
    session.execute(text("select pg_notify('recorded', :told)"), {"told": told})
    session.commit()
    detail.wait_for_selector("[data-live=head][data-state=down]", timeout=3000)
    page.bring_to_front()
    page.wait_for_selector(".problems >> text=web-01", timeout=6000)


def test_a_stream_ends_when_its_session_does_and_there_is_room_for_so_many_only(
    app: Flask, person: Person, town: Town, site: str
) -> None:
    app.extensions["hub"]._limit = 1
    with requests.Session() as browser:
        token = re.search(r'name="csrf" value="([^"]+)"', browser.get(f"{site}/login", timeout=10).text)
        assert token
        form = {"login": "rina", "password": PASSWORD, "csrf": token[1]}
        assert browser.post(f"{site}/login", form, timeout=10).status_code == 200
        with browser.get(f"{site}/events?topic=home", stream=True, timeout=15) as stream:
            lines = stream.iter_lines(chunk_size=1)
            assert next(lines) == b"retry: 3000"
            full = browser.get(f"{site}/events?topic=home", timeout=10)
            assert (full.status_code, full.headers["Retry-After"]) == (503, "5")
            token = re.search(r'name="csrf" value="([^"]+)"', browser.get(f"{site}/", timeout=10).text)
            assert token
            assert browser.post(f"{site}/logout", {"csrf": token[1]}, timeout=10).status_code == 200
            ended = time.monotonic() + 10
            assert not [line for line in lines if time.monotonic() > ended], "the line was still open"
            assert time.monotonic() < ended
