"""The URL a job calls: ours alone, for nothing else, and what comes of a call."""

from __future__ import annotations

import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.orm import Session

from domain.heard import Job
from domain.inventory import Check
from domain.requests import Look
from tests.webui.cast import Town, Visitor


@pytest.fixture
def job(town: Town, session: Session) -> Check:
    host = town.machine("bk-01", "10.0.0.30")
    check = Check(host_id=host.id, kind="heard", name="Nightly backup", options={"schedule": "30 2 * * *"})
    session.add(check)
    session.commit()
    return check


def path(rina: Visitor, check: Check) -> str:
    page = rina.get(f"/machines/{check.host_id}/checks/{check.id}").text
    return "/heard/" + page.split("/heard/")[1].split("<")[0].split("/$")[0].strip()


def known(session: Session) -> Job:
    session.expire_all()
    return session.scalars(select(Job)).one()


def test_a_call_without_a_login_counts_and_asks_for_a_look(
    rina: Visitor, stranger: Visitor, job: Check, session: Session
) -> None:
    where = path(rina, job)
    assert stranger.get(f"{where}/start").status_code == 200
    assert stranger.get(where).text == "ok\n"
    row = known(session)
    assert row.ok_at is not None
    assert row.took is not None
    assert row.failed_at is None
    assert session.scalars(select(Look.check_id)).first() == job.id


@pytest.mark.parametrize("end", ["/fail", "/1", "/255"])
def test_a_failure_is_kept_with_its_words_made_harmless(
    app: Flask, rina: Visitor, job: Check, session: Session, end: str
) -> None:
    where = path(rina, job)
    answer = app.test_client().post(where + end, data=b"tar: \x1b[31mdisk full\x00" + b"x" * 10_000)
    assert answer.status_code == 200
    row = known(session)
    assert row.failed_at is not None
    assert row.said.startswith("tar: \ufffd[31mdisk full\ufffd")
    assert len(row.said) <= 300


@pytest.mark.parametrize("harm", ["", "0" * 32, "x/start", "../1", "\u00e9" * 32, "\U0001f600/0"])
def test_nobody_reports_for_a_job_whose_url_they_do_not_know(
    rina: Visitor, stranger: Visitor, job: Check, session: Session, harm: str
) -> None:
    where = path(rina, job)
    guessed = where.rsplit("/", 1)[0] + "/" + harm
    assert stranger.get(guessed).status_code == 404
    assert stranger.get(where + "/nonsense").status_code == 404
    other = where.replace(f"/heard/{job.id}/", f"/heard/{job.id + 1}/")
    assert stranger.get(other).status_code == 404
    assert session.scalars(select(Job)).all() == []


def test_a_form_nobody_has_filled_in_blames_nobody(rina: Visitor, town: Town) -> None:
    host = town.machine("web-01", "10.0.0.31")
    for kind in ("icmp", "snmp", "heard", "syslog", "ssh_parts"):
        page = rina.get(f"/machines/{host.id}/checks/new?kind={kind}").text
        assert "Please fill in this field" not in page
    sent = rina.post(f"/machines/{host.id}/checks/new?kind=icmp", {"name": "p", "deadline": "", "reachability": "yes"})
    assert sent.status_code == 422
    assert "Please fill in this field" in sent.text


def test_a_job_that_sends_all_its_output_is_heard_all_the_same(
    app: Flask, rina: Visitor, job: Check, session: Session
) -> None:
    where = path(rina, job)
    answer = app.test_client().post(where, data=b"copied\n" * 500_000)
    assert answer.status_code == 200
    assert known(session).said.startswith("copied copied")


def test_a_new_job_is_saved_and_its_url_shown_at_once(rina: Visitor, town: Town, session: Session) -> None:
    host = town.machine("bk-02", "10.0.0.31")
    session.commit()
    form = {
        "name": "Nightly",
        "option-schedule": "30 2 * * *",
        "option-zone": "Asia/Jakarta",
        "option-grace": "60",
        "deadline": "10",
        "enabled": "yes",
    }
    saved = rina.post(f"/machines/{host.id}/checks/new?kind=heard", form)
    check = session.scalars(select(Check).where(Check.kind == "heard")).one()
    assert saved.status_code == 303
    assert saved.location == f"/machines/{host.id}/checks/{check.id}"
    assert f"/heard/{check.id}/" in rina.get(saved.location).text
