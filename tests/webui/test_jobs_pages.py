"""What happens unattended, on pages: set up, agreed to, run, paused, refused as nonsense, and seen by whom it concerns."""

from __future__ import annotations

import re
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.orm import Session

from domain import cron
from domain.inventory import Division, Membership, Person
from domain.jobs import Letter, Mandate, Remedy, Schedule, ScheduleRun
from tests.webui.test_matrix import enter
from tests.webui.test_requests import Office, office
from webui import cronwords

__all__ = ["office"]
NIGHTLY = {
    "name": "Nightly restart", "expression": "30 2 * * *", "zone": "Asia/Jakarta", "overlap": "skip", "grace": "60",
    "do": "service.restart", "service": "nginx.service", "runbook": "", "values": "", "reason": "It leaks.", "days": "90",
}  # fmt: skip
BACKUP = {
    "name": "Backup",
    "expression": "@daily",
    "zone": "Asia/Jakarta",
    "overlap": "skip",
    "grace": "60",
    "keep": "7",
}


def typed(office: Office, **more: str) -> dict[str, str]:
    return {**NIGHTLY, "target": f"host:{office.host.id}", "division_id": str(office.host.division_id), **more}


def made(office: Office, session: Session, who: str = "pic", **more: str) -> Schedule:
    answer = office[who].post("/jobs/new/action", typed(office, **more))
    assert answer.status_code == 303, answer.text
    session.expire_all()
    return session.scalars(select(Schedule)).one()


def test_set_up_agreed_to_paused_run_and_deleted(office: Office, session: Session) -> None:
    assert "Nothing happens by itself yet" in office["pic"].get("/jobs").text
    row = made(office, session)
    page = f"/jobs/{row.id}"
    shown = office["pic"].get(page).text
    assert (
        "At 02:30, every day" in shown
        and "Waiting for agreement" in shown
        and "Restart the service nginx.service" in shown
    )
    assert "Nobody agrees to what they asked for themselves" in shown
    letters = session.scalars(select(Letter.why)).all()
    assert letters == ["asked", "asked"]
    for name in ("one", "two"):
        text = office[name].get(page).text
        assert "Agree to all of it" in text
        assert row.mandate is not None
        answer = office[name].post(f"/mandates/{row.mandate_id}/agree", {"form": row.mandate.bound}, page=page)
        assert answer.status_code == 303
    session.expire_all()
    assert row.mandate is not None and row.mandate.agreed_at is not None
    assert "Agreed to" in office["viewer"].get(page).text
    listed = office["pic"].get("/jobs").text
    assert "next " in listed and "Pause" in listed
    assert "Pause" not in office["viewer"].get("/jobs").text
    office["pic"].post(f"{page}/pause", {"next": "/jobs"}, page=page)
    session.expire_all()
    assert (row.enabled, row.next_at) == (False, None)
    assert "Paused" in office["pic"].get("/jobs").text
    office["pic"].post(f"{page}/pause", {"go": "on"}, page=page)
    office["pic"].post(f"{page}/run", {}, page=page)
    office["pic"].post(f"{page}/run", {}, page=page)
    session.expire_all()
    (run,) = session.scalars(select(ScheduleRun)).all()
    assert (run.why, run.state, run.asked_by) == ("asked", "waiting", office.people["pic"].id)
    assert "run by hand by Pic" in office["pic"].get(page).text
    assert "Nothing of this can be brought back" in office["pic"].get(f"{page}/delete").text
    office["pic"].post(f"{page}/delete", {}, page=f"{page}/delete")
    assert session.scalars(select(Mandate)).all() == [] == session.scalars(select(Schedule)).all()


def test_a_changed_hour_is_agreed_to_anew_and_a_changed_name_is_not(office: Office, session: Session) -> None:
    row = made(office, session)
    assert row.mandate is not None
    before, page = row.mandate.bound, f"/jobs/{row.id}/edit"
    assert office["pic"].post(page, typed(office, name="Restart at night")).status_code == 303
    session.expire_all()
    assert (row.name, row.mandate.bound) == ("Restart at night", before)
    assert office["pic"].post(page, typed(office, expression="0 3 * * *")).status_code == 303
    session.expire_all()
    assert row.mandate.bound != before
    answer = office["one"].post(f"/mandates/{row.mandate_id}/agree", {"form": before}, page=f"/jobs/{row.id}")
    assert "changed meanwhile" in office["one"].get(answer.location).text
    assert session.scalars(select(Letter.person_id)).all() == [office.people["one"].id, office.people["two"].id]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"expression": "61 * * * *"}, "Cron does not understand the minute"),
        ({"expression": "0 0 30 2 *"}, "or it never comes"),
        ({"expression": "$(reboot) * * * *"}, "is made of digits"),
        ({"expression": ""}, "Please fill in this field"),
        ({"zone": "Asia/Nowhere"}, "There is no such time zone"),
        ({"target": "host:999999"}, "Please choose one of the values offered"),
        ({"target": "host:1; drop table host"}, "Please choose one of the values offered"),
        ({"target": ""}, "Please choose what it is for"),
        ({"service": "sshd.service"}, "is not among the services"),
        ({"service": ""}, "Please fill in this field"),
        ({"do": "vm.restart"}, "Please choose one of the values offered"),
        ({"days": "181"}, "180"),
        ({"reason": " "}, "Please fill in this field"),
        ({"grace": "0"}, "1"),
        ({"overlap": "both"}, "Please choose one of the values offered"),
        ({"name": "\x07"}, "characters that cannot be seen"),
        ({"name": "x" * 101}, "at most 100"),
    ],
)
def test_nonsense_is_refused_beside_its_field_and_nothing_typed_is_lost(
    office: Office, session: Session, more: dict[str, str], said: str
) -> None:
    answer = office["pic"].post("/jobs/new/action", typed(office, **more))
    assert answer.status_code == 422
    assert said in answer.text and ("It leaks." in answer.text or "reason" in more)
    assert session.scalars(select(Schedule)).all() == []


def test_what_is_the_whole_installations_is_the_administrators(office: Office, session: Session) -> None:
    for kind in ("backup", "discovery"):
        assert office["pic"].get(f"/jobs/new/{kind}").status_code == 404
        assert kind not in office["pic"].get("/jobs/new").text
    assert office["admin"].post("/jobs/new/backup", BACKUP).status_code == 303
    row = session.scalars(select(Schedule)).one()
    assert (row.division_id, row.options, row.expression) == (None, {"keep": 7}, "0 0 * * *")
    assert office["pic"].get(f"/jobs/{row.id}").status_code == 404
    assert "Backup" not in office["pic"].get("/jobs").text
    assert "The newest 7 are kept" in office["admin"].get(f"/jobs/{row.id}").text
    look = {**BACKUP, "name": "Look", "addresses": "10.0.0.0/29\nprinter-1", "rate": "50", "trace": "yes"}
    assert office["admin"].post("/jobs/new/discovery", look).status_code == 303
    found = session.scalars(select(Schedule).where(Schedule.kind == "discovery")).one()
    assert len(found.options["addresses"]) == 7
    assert "Line 1" in office["admin"].post("/jobs/new/discovery", {**look, "addresses": "10.0.0.0/99"}).text


def test_a_report_is_for_people_who_may_read_it(office: Office, session: Session, app: Flask) -> None:
    away = Division(name="Sales")
    other = Person(login="other", name="Other", password_hash="-", memberships=[Membership(division=away, role="pic")])
    session.add_all([away, other])
    session.commit()
    form: dict[str, Any] = {**BACKUP, "name": "Monday", "division_id": str(office.host.division_id)}
    assert "at least one person" in office["pic"].post("/jobs/new/report", form).text
    people = [office.people["viewer"].id, other.id]
    answer = office["pic"].post("/jobs/new/report", {**form, "people": [str(one) for one in people]})
    assert answer.status_code == 303, answer.text
    row = session.scalars(select(Schedule)).one()
    assert row.options["people"] == [office.people["viewer"].id], "whom one may not choose is not chosen"
    assert "No e-mail reaches them" in office["pic"].get(f"/jobs/{row.id}").text
    assert enter(app, session, other).get(f"/jobs/{row.id}").status_code == 404
    assert office["pic"].post("/jobs/new/report", {**form, "division_id": str(away.id), "people": [str(people[0])]}).status_code == 422  # fmt: skip
    assert office["pic"].post("/jobs/new/report", {**form, "division_id": "", "people": [str(people[0])]}).status_code == 422  # fmt: skip


def test_what_is_typed_is_shown_before_it_is_saved(office: Office) -> None:
    shown = office["pic"].get("/jobs/preview?expression=0+9+*+*+MON-FRI&zone=Asia/Jakarta").text
    assert "At 09:00, on Monday–Friday" in shown and shown.count("<time") == 5
    assert "has five fields" in office["pic"].get("/jobs/preview?expression=now").text
    answer = office["pic"].post("/jobs/new/action", typed(office, expression="0 9 * * *", preview="yes"))
    assert answer.status_code == 200 and "At 09:00, every day" in answer.text


@pytest.mark.parametrize(
    ("text", "english", "indonesian"),
    [
        ("*/15 * * * *", "Every 15 minutes", "Setiap 15 menit"),
        ("0 22 * * 6L", "At 22:00, on the last Saturday of the month", "Pukul 22:00, pada hari Sabtu terakhir dalam bulan"),
        ("0 7,19 1,15 * *", "At 07:00 and 19:00, on day 1 and 15 of the month", "Pukul 07:00 dan 19:00, pada tanggal 1 dan 15"),
        ("0 9 13 * FRI", "At 09:00, on day 13 of the month and on Friday", "Pukul 09:00, pada tanggal 13 dan pada hari Jumat"),
        ("30 */2 * JAN,JUN *", "Every 2 hours at minute 30, in January and June", "Setiap 2 jam pada menit ke-30, di bulan Januari dan Juni"),
        ("*/20 8-17 L * *", "In the hours 8-17 at the minutes */20, on day the last of the month", "Pada jam 8-17 di menit */20, pada tanggal terakhir"),
    ],
)  # fmt: skip
def test_an_expression_is_said_in_words_in_both_languages(app: Flask, text: str, english: str, indonesian: str) -> None:
    for language, words in (("en", english), ("id", indonesian)):
        with app.test_request_context(headers={"Accept-Language": language}):
            assert cronwords.sentence(cron.read(text, "Asia/Jakarta")) == words


def test_a_stranger_of_another_division_meets_nothing(office: Office, session: Session, app: Flask) -> None:
    row = made(office, session)
    away = Division(name="Sales")
    other = Person(
        login="other", name="Other", password_hash="-", memberships=[Membership(division=away, role="approver")]
    )
    session.add_all([away, other])
    session.commit()
    stranger = enter(app, session, other)
    assert stranger.get(f"/jobs/{row.id}").status_code == 404
    assert "Nightly" not in stranger.get("/jobs").text
    answer = stranger.post(f"/mandates/{row.mandate_id}/agree", {"form": "x"}, page="/me")
    assert answer.status_code in (404, 302)


REMEDY = {
    "name": "web is back", "check_kind": "http", "states": ["down", "critical"], "after": "120", "from": "22:00", "to": "06:00",
    "zone": "Asia/Jakarta", "weekdays": ["0", "4"],
}  # fmt: skip


def test_a_remedy_begins_dry_and_is_turned_live_by_somebody_who_is_sure(office: Office, session: Session) -> None:
    assert "Nothing is done by itself about trouble" in office["pic"].get("/remedies").text
    form = {**typed(office), **REMEDY}
    for wrong, said in (
        ({"states": []}, "at least one state"),
        ({"from": "25:00"}, "This is no time of day"),
        ({"to": ""}, "Fill in both times"),
        ({"check_kind": "nothing"}, "one of the values offered"),
        ({"service": "sshd.service"}, "is not among the services"),
    ):
        answer = office["pic"].post("/remedies/new", {**form, **wrong})
        assert answer.status_code == 422 and said in answer.text, (wrong, answer.text)
    answer = office["pic"].post("/remedies/new", form)
    assert answer.status_code == 303, answer.text
    row = session.scalars(select(Remedy)).one()
    page = f"/remedies/{row.id}"
    shown = office["viewer"].get(page).text
    assert "22:00–06:00 (Mon, Fri)" in shown and "Dry: only on paper" in shown and "for 2 min" in shown
    assert "Have it act" not in shown
    office["pic"].post(f"{page}/live", {"live": "yes"}, page=page)
    assert "has not shown yet what it would do" in office["pic"].get(page).text
    office["pic"].post(f"{page}/live", {"live": "yes", "sure": "yes"}, page=page)
    session.expire_all()
    assert row.live
    assert "Acts" in office["pic"].get("/remedies").text
    office["pic"].post(f"{page}/edit", {**form, "after": "60"})
    session.expire_all()
    assert (row.live, row.after_s) == (False, 60), "changed, it is dry again"
    office["pic"].post(f"{page}/pause", {}, page=page)
    session.expire_all()
    assert not row.enabled
    office["pic"].post(f"{page}/delete", {}, page=f"{page}/delete")
    assert session.scalars(select(Mandate)).all() == [] == session.scalars(select(Remedy)).all()


def test_programs_set_up_what_people_agree_to(office: Office, session: Session) -> None:
    def call(who: str, method: str, path: str, body: object = None) -> tuple[int, dict[str, Any]]:
        visitor = office[who]
        token = re.search(r'name="csrf" value="([^"]+)"', visitor.get("/me").text)
        assert token
        sent = visitor.client.open(f"/api/v1{path}", method=method, json=body, headers={"X-CSRF-Token": token[1]}, base_url=visitor.base)  # fmt: skip
        return sent.status_code, sent.get_json(silent=True) or {}

    order = {"machine": office.host.id, "do": "service.restart", "service": "nginx.service", "reason": "It leaks."}
    plan = {"name": "api", "kind": "action", "expression": "0 3 * * SUN", "order": order}
    code, told = call("pic", "POST", "/jobs", plan)
    assert code == 201, told
    assert (told["words"], told["agreement"]["state"]) == ("At 03:00, on Sunday", "waiting")
    path = f"/jobs/{told['id']}"
    assert call("viewer", "POST", f"{path}/run")[0] == 403
    assert call("pic", "POST", f"{path}/run")[0] == 200
    assert call("pic", "POST", f"{path}/run")[0] == 409
    assert call("pic", "GET", f"{path}/runs")[1]["items"][0]["state"] == "waiting"
    assert call("pic", "POST", f"{path}/pause")[1]["enabled"] is False
    assert call("pic", "POST", f"{path}/resume")[1]["enabled"] is True
    code, told = call("pic", "PUT", path, {**plan, "expression": "0 99 * * *"})
    assert code == 422 and "the hour" in told["detail"], told
    assert call("pic", "POST", "/jobs", {"name": "b", "kind": "backup", "expression": "@daily"})[0] == 403
    assert call("admin", "POST", "/jobs", {"name": "b", "kind": "backup", "expression": "@daily"})[0] == 201
    assert call("pic", "GET", "/jobs/next?expression=@hourly")[1]["words"] == "Every hour at minute 0"
    treatment = {"name": "cure", "states": ["down"], "from": "22:00", "until": "06:00", "order": order}
    code, told = call("pic", "POST", "/remedies", treatment)
    assert code == 201 and told["from"] == "22:00" and told["live"] is False, told
    cure = f"/remedies/{told['id']}"
    assert call("pic", "GET", f"{cure}/met")[1] == {"items": [], "next": None}
    for verb in ("pause", "resume", "dry", "renew"):
        assert call("pic", "POST", f"{cure}/{verb}")[0] == 200
    assert call("pic", "DELETE", cure)[0] == call("pic", "DELETE", path)[0] == 204
    assert session.scalars(select(Mandate)).all() == []
