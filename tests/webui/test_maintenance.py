"""Maintenance in people's and scripts' hands: begun with two taps, planned with a preview, ended early, refused as nonsense."""

from __future__ import annotations

import csv
import io
import re
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from domain.clock import now
from domain.inventory import Division, HostGroup, Person, Site, Window
from domain.records import StateInterval
from poller import plan
from tests.webui.cast import OpenBrowser, Town, Visitor
from tests.webui.test_pages import accessible, enter, evaluate
from webui import BODY, access, windows

WEEKLY = {"kind": "weekly", "weekdays": ["sat", "sun"], "at": "22:00", "duration": "3h", "zone": "Asia/Jakarta"}


def only(session: Session) -> Window:
    session.expire_all()
    return session.scalars(select(Window)).one()


def token(visitor: Visitor) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', visitor.get("/me").text)
    assert found
    return found[1]


def call(visitor: Visitor, path: str, body: object) -> tuple[int, dict[str, object]]:
    answer = visitor.client.post(path, json=body, headers={"X-CSRF-Token": token(visitor)}, base_url=visitor.base)
    return answer.status_code, answer.get_json()


def test_from_the_machines_page_it_begins_now_and_ends_early(rina: Visitor, town: Town, session: Session) -> None:
    host = town.machine("db-02", "10.0.0.12")
    page = f"/machines/{host.id}"
    rina.post(f"{page}/maintenance", {"for": "2h", "note": "New disk"}, page=page)
    row = only(session)
    begun, end = windows.stand(row, now()).now or (None, None)
    assert begun and end and end - begun == timedelta(hours=2)
    assert (row.host_id, row.note, row.kind) == (host.id, "New disk", "once")
    assert "New disk" in rina.get("/maintenance").text
    ends = re.search(r'action="(/maintenance/\d+/end)"', rina.get(page).text)
    assert ends
    assert rina.post(ends[1], {"next": page}, page=page).location == page
    assert only(session).ended_at is not None
    assert windows.stand(only(session), now()).over
    rina.post(ends[1], {}, page=page)
    assert "nothing left to end" in rina.get("/maintenance").text


def test_the_poller_reads_what_the_page_made(rina: Visitor, town: Town, session: Session) -> None:
    host, behind = town.machine("sw-01", "10.0.0.2"), town.machine("pc-01", "10.0.1.1")
    behind.parents = [host]
    session.commit()
    rina.post(f"/machines/{host.id}/maintenance", {"for": "30m"}, page=f"/machines/{host.id}")
    found, places = plan._windows(session), plan._places(session)
    assert [one.host for one in found] == [host.id]
    from domain import calendar

    assert set(calendar.muted(found, places, now())) == {host.id, behind.id}


def test_a_plan_shows_its_next_times_before_it_is_saved(rina: Visitor, town: Town, session: Session) -> None:
    host = town.machine("db-02", "10.0.0.12")
    form = {**WEEKLY, "target": f"host:{host.id}", "note": "Backups"}
    seen = rina.post("/maintenance/new", {**form, "do": "preview"})
    assert seen.status_code == 200
    assert seen.text.count("22:00 WIB</time> – ") == 5
    assert session.scalars(select(Window)).all() == []
    assert rina.post("/maintenance/new", {**form, "do": "save"}).status_code == 303
    row = only(session)
    assert (row.kind, row.options["weekdays"], row.options["duration"]) == ("weekly", ["sat", "sun"], 10800)
    assert rina.get("/maintenance").text.count("22:00 WIB</time>") >= 5


def test_the_live_preview_changes_nothing_and_says_what_is_wrong(rina: Visitor, session: Session) -> None:
    good = rina.get("/maintenance/preview?kind=cron&expression=0+22+*+*+6L&duration=2h").text
    assert good.count("22:00 WIB</time> – ") == 5
    assert "This is no duration" in rina.get("/maintenance/preview?kind=cron&expression=0+22+*+*+*&duration=long").text
    assert "would never end" in rina.get("/maintenance/preview?kind=cron&expression=*+*+*+*+*&duration=2h").text
    assert "Please fill in both moments" in rina.get("/maintenance/preview?kind=once").text
    assert session.scalars(select(Window)).all() == []


@pytest.mark.parametrize(
    "change, sentence",
    [
        ({"target": ""}, "Please choose what it is for."),
        ({"target": "host:4711"}, "What it was for is gone"),
        ({"target": "planet:1"}, "Please choose what it is for."),
        ({"weekdays": []}, "at least one day"),
        ({"at": "late"}, "no time of day"),
        ({"duration": "0m"}, "between a minute and 31 days"),
        ({"zone": "../../etc"}, "no such time zone"),
        ({"flexible": "yes", "lasts": "soon"}, "no duration"),
        ({"kind": "cron", "expression": "61 * * * *"}, "Cron does not understand"),
        ({"kind": "once", "from": "2020-01-01T00:00", "until": "2020-01-01T01:00"}, "wholly in the past"),
        ({"kind": "once", "from": "2030-01-01T02:00", "until": "2030-01-01T01:00"}, "after the beginning"),
        ({"kind": "once", "from": "0001-01-01T00:00", "until": "0001-01-01T01:00"}, "both moments"),
    ],
)
def test_nonsense_is_told_on_the_form_and_what_was_typed_stays(
    rina: Visitor, town: Town, session: Session, change: dict[str, object], sentence: str
) -> None:
    host = town.machine("db-02", "10.0.0.12")
    answer = rina.post("/maintenance/new", {**WEEKLY, "target": f"host:{host.id}", "note": "Kept words", **change})
    assert answer.status_code == 422
    assert sentence in answer.text
    assert "Kept words" in answer.text
    assert session.scalars(select(Window)).all() == []


def test_one_evening_ends_early_and_the_next_one_comes_or_never_again(
    rina: Visitor, town: Town, session: Session
) -> None:
    town.machine("db-02", "10.0.0.12")
    started = now() - timedelta(minutes=30)
    session.add(
        Window(
            kind="cron", zone="UTC", everything=True,
            options={"expression": f"{started.minute} {started.hour} * * *", "duration": 7200},
        )
    )  # fmt: skip
    session.commit()
    row = only(session)
    assert windows.stand(row, now()).now is not None
    rina.post(f"/maintenance/{row.id}/end", {}, page="/maintenance")
    after = windows.stand(only(session), now())
    assert after.now is None and len(after.next) == 5
    rina.post(f"/maintenance/{row.id}/end", {"whole": "yes"}, page="/maintenance")
    assert windows.stand(only(session), now()).over
    assert "Over, last 30 days" in rina.get("/maintenance").text


def test_a_window_is_for_exactly_one_thing_and_goes_with_it(town: Town, session: Session) -> None:
    host, group = town.machine("db-02", "10.0.0.12"), HostGroup(name="Gudang")
    session.add(group)
    session.commit()
    options = {"from": "2026-01-01T00:00+00:00", "until": "2026-01-01T01:00+00:00"}
    for wrong in ({}, {"host_id": host.id, "group_id": group.id}, {"host_id": host.id, "everything": True}):
        session.add(Window(kind="once", options=options, zone="UTC", **wrong))
        with pytest.raises(IntegrityError):
            session.flush()
        session.rollback()
    session.add(Window(kind="once", options=options, zone="UTC", host_id=host.id))
    session.commit()
    session.delete(host)
    session.commit()
    assert session.scalars(select(Window)).all() == []


# ---- for scripts ----


def problem(answer: Any, code: int) -> str:
    """The sentence of a failure as RFC 9457 has it."""
    assert (answer.status_code, answer.mimetype) == (code, "application/problem+json"), answer.text
    told = answer.get_json()
    assert told["status"] == code
    assert told["title"]
    return str(told["detail"])


def test_a_script_begins_lists_and_ends(rina: Visitor, town: Town, session: Session) -> None:
    town.machine("db-02", "10.0.0.12")
    code, made = call(rina, "/api/maintenance", {"host": "db-02", "for": "2h", "note": "deploy"})
    assert (code, made["host"], made["note"], made["running"], made["made_by"]) == (
        201,
        "db-02",
        "deploy",
        True,
        "rina",
    )
    listed = rina.get("/api/maintenance").get_json()
    assert [one["id"] for one in listed["running"]] == [made["id"]]
    code, ended = call(rina, f"/api/maintenance/{made['id']}/end", {})
    assert (code, ended["running"]) == (200, False)
    assert call(rina, f"/api/maintenance/{made['id']}/end", {})[0] == 409
    assert call(rina, "/api/maintenance/4711/end", {})[0] == 404


def test_a_script_plans_for_groups_divisions_sites_and_everything(rina: Visitor, session: Session) -> None:
    session.add_all([HostGroup(name="Gudang"), Division(name="IT"), Site(name="Bandung")])
    session.commit()
    weekly = {"kind": "weekly", "weekdays": ["sun"], "at": "02:00", "duration": "2h", "zone": "Europe/Berlin"}
    code, made = call(rina, "/api/maintenance", {"group": "Gudang", **weekly, "flexible": True, "lasts": "30m"})
    assert (code, made["group"], made["lasts"], made["zone"]) == (201, "Gudang", 1800, "Europe/Berlin")
    assert call(rina, "/api/maintenance", {"division": "IT", **weekly})[0] == 201
    code, made = call(rina, "/api/maintenance", {"site": "Bandung", **weekly})
    assert (code, made["site"]) == (201, "Bandung") and "Site Bandung" in rina.get("/maintenance").text
    code, made = call(rina, "/api/maintenance", {"everything": True, "until": "2030-01-01T00:00+07:00"})
    assert (code, made) == (422, {
        "status": 422, "title": "Unprocessable Entity",
        "detail": "A window is at most a year long; switch a machine off that is not to be watched at all.",
    })  # fmt: skip
    until = (now() + timedelta(hours=3)).isoformat()
    assert call(rina, "/api/maintenance", {"everything": True, "until": until})[0] == 201


@pytest.mark.parametrize(
    "body, sentence",
    [
        ([], "is a JSON object"),
        ("text", "is a JSON object"),
        ({}, "exactly one of host"),
        ({"host": "db-02", "everything": True}, "exactly one of host"),
        ({"everything": "yes"}, "true or left out"),
        ({"host": "nobody", "for": "1h"}, "There is no host 'nobody'"),
        ({"host": ["db-02"], "for": "1h"}, "'host' is a name"),
        ({"host": "db-02"}, "needs 'from'"),
        ({"host": "db-02", "for": "ever"}, "no duration"),
        ({"host": "db-02", "for": "1h", "until": "2030-01-01T00:00+00:00"}, "takes no 'until'"),
        ({"host": "db-02", "for": "1h", "note": 7}, "'note' is a text"),
        ({"host": "db-02", "kind": "sometimes"}, "not 'sometimes'"),
        ({"host": "db-02", "from": "2020-01-01T00:00+00:00", "until": "2020-01-01T01:00+00:00"}, "in the past"),
    ],
)
def test_a_script_is_told_what_is_wrong(
    rina: Visitor, town: Town, session: Session, body: object, sentence: str
) -> None:
    town.machine("db-02", "10.0.0.12")
    code, told = call(rina, "/api/maintenance", body)
    assert code == 422
    assert sentence in str(told["detail"])
    assert session.scalars(select(Window)).all() == []


def test_a_script_without_a_session_or_a_token_gets_nothing(rina: Visitor, stranger: Visitor, person: Person) -> None:
    assert problem(stranger.client.get("/api/maintenance"), 401) == "Please log in."
    begin = {"everything": True, "for": "1h"}
    assert "from another site" in problem(rina.client.post("/api/maintenance", json=begin), 400)


@pytest.mark.parametrize("accept", ["text/html", "*/*", "application/json"])
def test_every_failure_is_told_to_a_script_in_json_whatever_it_says_it_likes(
    app: Flask, rina: Visitor, person: Person, session: Session, accept: str
) -> None:
    headers = {"X-CSRF-Token": token(rina), "Accept": accept}

    def asked(method: str, path: str, **more: Any) -> Any:
        return rina.client.open(path, method=method, headers=headers, **more)

    assert "has this address" in problem(asked("GET", "/api/nothing"), 404)
    assert "There is no such window" in problem(asked("POST", "/api/maintenance/4711/end", json={}), 404)
    refused = asked("DELETE", "/api/maintenance")
    assert "kind of request" in problem(refused, 405)
    assert set(refused.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS", "POST"}
    assert "larger than" in problem(
        asked("POST", "/api/maintenance", data=b" " * (BODY + 1), content_type="application/json"), 413
    )
    with pytest.MonkeyPatch.context() as broken:
        broken.setitem(app.view_functions, "windows_api.index", access.admin(lambda: 1 // 0))
        assert "written to the log" in problem(asked("GET", "/api/maintenance"), 500)
    person.role = "none"
    session.commit()
    assert "no right" in problem(asked("GET", "/api/maintenance"), 403)


# ---- availability ----


def test_the_machines_page_counts_without_maintenance_and_lists_outages(
    rina: Visitor, town: Town, session: Session
) -> None:
    host = town.machine("db-02", "10.0.0.12", "up", minutes=60)
    for row in session.scalars(select(StateInterval).where(StateInterval.host_id == host.id)):
        session.delete(row)
    session.flush()
    at = lambda hours: town.now - timedelta(hours=hours)  # noqa: E731
    own = f"host:{host.id}"
    told = [(30, 20, "up"), (20, 18, "down"), (18, 8, "up"), (8, 7, "unreachable"), (7, None, "up")]
    for since, until, state in told:
        session.add(
            StateInterval(
                subject=own, host_id=host.id, since=at(since), until=at(until) if until else None, state=state
            )
        )
    session.add(
        StateInterval(
            subject=f"maintenance:{host.id}", host_id=host.id, since=at(19), until=at(17), state="maintenance"
        )
    )
    session.commit()
    page = rina.get(f"/machines/{host.id}").text
    assert "Available 96.296 % in 30 days" in page.replace("\u00a0", " ")  # 26 hours of 27
    rows = list(csv.reader(io.StringIO(rina.get(f"/machines/{host.id}/availability.csv").text)))
    sums = {row[1]: row[4] for row in rows[1:]}
    assert sums["down"] == "3600"
    assert sums["maintenance (not counted)"] == "7200"
    assert sums["unreachable (not counted)"] == "3600"
    assert [row[1] for row in rows if row[1].startswith("outage")] == ["outage: unreachable", "outage: down"]
    for odd in ("days=0", "days=99999999999", "days=-3", "days=x"):
        assert rina.get(f"/machines/{host.id}/availability.csv?{odd}").status_code == 200


@pytest.mark.browser
def test_on_a_phone_maintenance_begins_with_two_taps_and_the_form_shows_what_it_comes_to(
    person: Person, town: Town, browse: OpenBrowser, session: Session
) -> None:
    host = town.machine("db-02", "10.0.0.12")
    page = enter(browse(390, 844, "dark", "id-ID"))
    page.goto(f"/machines/{host.id}")
    page.locator("details.act > summary").click()
    assert not accessible(page)
    page.locator("button[name=for][value='2h']").click()
    page.wait_for_selector("text=Batalkan")
    assert only(session).host_id == host.id
    page.goto("/maintenance/new")
    page.check("#kind-weekly")
    assert page.locator("#expression").is_hidden()
    page.check("#day-sun")
    page.fill("#at", "23:15")
    page.wait_for_selector("#preview >> text=23.15 WIB")
    assert page.locator("#preview li").count() == 5
    assert not accessible(page)
    assert evaluate(page, "document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0
    assert evaluate(page, "JSON.stringify(window.violations)") == "[]"
