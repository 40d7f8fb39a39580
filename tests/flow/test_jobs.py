"""What happens unattended: agreed to once, run once, told; late, missed, one beside the other, and killed in between."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from config import backup, vault
from config.settings import Settings
from domain import approving, mandates, schedules
from domain.approving import Denied
from domain.inventory import HostKey
from domain.jobs import Mandate, Schedule
from poller.actions import Actions, Patience
from poller.jobs import Jobs
from poller.jobs import Patience as Pause
from tests.flow.court import Court
from tests.flow.machine import Machine, machine
from tests.flow.test_actions import seal
from tests.installation import until
from tests.roles import as_role

EVERY_NIGHT = "30 2 * * *"


@pytest.fixture
def court(database_url: str) -> Iterator[Court]:
    made = Court(database_url)
    yield made
    made.close()


def settings(court: Court, place: Path) -> Settings:
    return Settings(data=place, database_url=court.url)


def unattended(court: Court, place: Path) -> Jobs:
    """The poller's part."""
    return Jobs(court.poller_sessions, settings(court, place), Pause(0.05))


def schedule(court: Court, who: str = "pic", kind: str = "action", name: str = "nightly", **more: Any) -> int:
    """A schedule as its page makes it."""
    with court.as_person(who) as (session, someone):
        made = Schedule(
            name=name,
            kind=kind,
            division_id=court.home,
            expression=EVERY_NIGHT,
            zone="Asia/Jakarta",
            made_by=someone.id,
            **more,
        )
        if kind == "action":
            made.mandate = mandate = Mandate(
                division_id=court.home, host_id=court.host, kind="service.restart", params={"service": "nginx.service"},
                reason="It leaks.", days=90, condition={"cron": EVERY_NIGHT, "zone": "Asia/Jakarta"},
            )  # fmt: skip
        session.add(made)
        session.flush()
        if kind == "action":
            mandates.renew(session, mandate, someone)
        return made.id


def agree(court: Court, id: int, *names: str) -> str:
    """These people agree to it; how it stands afterwards."""
    for name in names:
        with court.as_person(name) as (session, someone):
            mandate = session.get_one(Schedule, id).mandate
            assert mandate is not None
            mandates.answer(session, mandate.id, someone, mandate.bound, agrees=True)
    return stands(court, id)


def stands(court: Court, id: int) -> str:
    """As the poller sees it."""
    with court.as_poller() as session:
        number = session.scalar(select(Schedule.mandate_id).where(Schedule.id == id))
        return mandates.stands(session, session.get_one(Mandate, number)).state


def due(court: Court, id: int, **ago: float) -> None:
    """Its moment came so long ago."""
    court.ask_database("update schedule set next_at = now() - %s where id = %s", timedelta(**ago), id)


def at_any_minute(court: Court, id: int) -> None:
    court.ask_database("update schedule set expression = '* * * * *', overlap = overlap where id = %s", id)


def work(jobs: Jobs, actions: Actions | None = None, *, anew: bool = False) -> None:
    """Everything that is due, until its end."""

    async def serve() -> None:
        if anew:
            await jobs.open()
        await jobs.serve()
        while jobs._under_way:
            if actions is not None:
                await actions.serve()
            await asyncio.sleep(0.05)
        if actions is not None:
            await actions.idle()

    asyncio.run(asyncio.wait_for(serve(), 120))


def runs(court: Court, id: int) -> list[dict[str, Any]]:
    return court.ask_database("select * from schedule_run where schedule_id = %s order by due", id)


def incidents(court: Court, id: int) -> list[dict[str, Any]]:
    return court.ask_database(
        "select state, cause, closed_at is null as open from incident where subject = %s order by id", f"job:{id}"
    )


# --- the standing approval, at a real machine ----------------------------------------------------------------------


def test_what_was_agreed_to_once_happens_by_itself_and_no_longer_than_it_is_agreed_to(
    database_url: str, place: Path
) -> None:
    with machine("nginx.service") as there:
        there.systemctl("start", "nginx.service")
        court = Court(database_url, there.address, there.port)
        vault.create(place / "vault.key", place / "vault.pub")
        seal(court, place, there.key)
        with court.owner() as session:
            session.add(
                HostKey(host_id=court.host, port=22, key=there.host_key, fingerprint="SHA256:x", state="pinned")
            )
            session.commit()
        try:
            _tell_the_whole_story(court, there, place)
        finally:
            court.close()


def _tell_the_whole_story(court: Court, there: Machine, place: Path) -> None:
    actions = Actions(
        court.poller_sessions, vault.opener(place / "vault.key"), None, lambda host: None,
        Patience(restart=20, service=10, checks=0, pause=0.2),
    )  # fmt: skip
    jobs, id = unattended(court, place), schedule(court)
    assert stands(court, id) == "waiting"
    due(court, id, minutes=1)
    work(jobs, actions)
    assert [(row["state"], row["outcome"]["code"]) for row in runs(court, id)] == [("failed", "not_agreed")]
    assert court.ask_database("select id from request") == [], "nothing was asked for"
    assert agree(court, id, "one") == "waiting"
    assert agree(court, id, "two") == "agreed"
    before = there.pid("nginx.service")
    due(court, id, minutes=0)
    work(jobs, actions)
    (done,) = runs(court, id)[1:]
    assert (done["state"], done["outcome"]["machines"]) == ("done", 1), done
    assert there.pid("nginx.service") not in (None, before)
    assert there.sudo == ["/bin/systemctl restart -- nginx.service"]
    request = court.request(done["requests"][0])
    assert (request.state, request.made_by) == ("done", court.id["pic"])
    votes = court.ask_database("select person_id from vote where request_id = %s order by person_id", request.id)
    assert [row["person_id"] for row in votes] == sorted([court.id["one"], court.id["two"]])
    assert incidents(court, id) == [{"state": "critical", "cause": schedules.CAUSES["not_agreed"], "open": False}]
    court.ask_database("delete from membership where person_id = %s", court.id["two"])
    assert stands(court, id) == "waiting", "who may not agree any more does not count"
    due(court, id, seconds=0)
    work(jobs, actions)
    assert runs(court, id)[-1]["outcome"]["code"] == "not_agreed"
    told = court.ask_database("select p.login from letter l join person p on p.id = l.person_id where why = 'lost'")
    assert {"pic", "one"} <= {row["login"] for row in told}
    assert len(there.sudo) == 1


@pytest.mark.parametrize(
    ("change", "state"),
    [
        ("update host set address = '10.1.1.1'", "changed"),
        ('update mandate set params = \'{"service": "sshd.service"}\'', "changed"),
        ('update mandate set condition = \'{"cron": "* * * * *"}\'', "changed"),
        ("update host set action_credential_id = null", "changed"),
        ("delete from host_service", "changed"),
        ("update mandate set agreed_at = now() - interval '90 days'", "expired"),
        ("update person set active = false where login = 'pic'", "asker"),
        ("update person set active = false where login = 'two'", "waiting"),
        ("insert into action_rule (position, name, allow) values (0, 'never', false)", "refused"),
    ],
)
def test_an_approval_is_of_one_order_at_one_place_for_so_long(court: Court, change: str, state: str) -> None:
    id = schedule(court)
    assert agree(court, id, "one", "two") == "agreed"
    court.ask_database(change)
    assert stands(court, id) == state


def test_nobody_agrees_to_their_own_and_a_refusal_stays(court: Court) -> None:
    id = schedule(court)
    with pytest.raises(Denied, match=r"^own$"):
        agree(court, id, "pic")
    for name in ("staff", "operator", "admin"):
        with pytest.raises(Denied, match=r"^right$"):
            agree(court, id, name)
    with court.as_person("one") as (session, someone):
        mandate = session.get_one(Schedule, id).mandate
        assert mandate is not None
        with pytest.raises(Denied, match=r"^changed$"):
            mandates.answer(session, mandate.id, someone, "another", agrees=True)
        mandates.answer(session, mandate.id, someone, mandate.bound, agrees=False, reason="Not at night.")
    assert stands(court, id) == "refused"
    with pytest.raises(Denied, match=r"^changed$"):
        agree(court, id, "two")


def test_a_group_is_done_one_by_one_and_left_alone_after_the_first_that_does_not_go_well(
    court: Court, place: Path
) -> None:
    court.machine("till-2")
    court.machine("till-3")
    court.ask_database("insert into host_group (name) values ('tills')")
    court.ask_database("insert into host_in_group select h.id, g.id from host h, host_group g")
    id = schedule(court)
    court.ask_database("update mandate set host_id = null, group_id = (select id from host_group)")
    with court.as_person("pic") as (session, someone):
        mandate = session.get_one(Schedule, id).mandate
        assert mandate is not None
        mandates.renew(session, mandate, someone)
    assert agree(court, id, "one", "two") == "agreed"
    due(court, id, minutes=1)
    jobs, ends = unattended(court, place), ["done", "failed"]

    async def serve() -> None:
        await jobs.serve()
        while jobs._under_way:
            if (claimed := await asyncio.to_thread(court.claim)) is not None:
                with court.as_poller() as session:
                    approving.end(session, claimed, "now", ends.pop(0), {"text": "It is so."})
            await asyncio.sleep(0.05)

    asyncio.run(asyncio.wait_for(serve(), 60))
    (row,) = runs(court, id)
    assert (row["state"], row["outcome"]) == ("failed", {"code": "machine", "machine": "till-2"})
    assert row["output"] == "till: done – It is so.\ntill-2: failed – It is so.\n"
    assert len(row["requests"]) == 2 and not ends


# --- when ------------------------------------------------------------------------------------------------------------


def test_late_is_run_once_later_is_missed_and_an_incident_and_paused_is_neither(court: Court, place: Path) -> None:
    jobs, id = unattended(court, place), schedule(court, "admin", "report", grace_s=3600)
    work(jobs)
    assert runs(court, id) == []
    (row,) = court.ask_database("select next_at from schedule")
    assert row["next_at"] > datetime.now(UTC)
    court.ask_database("update schedule set expression = '0 * * * *'")
    due(court, id, hours=5)
    work(jobs)
    (late,) = runs(court, id)
    assert (late["state"], late["outcome"]["before"] in (4, 5)) == ("done", True), "once, for all that came meanwhile"
    court.ask_database("update schedule set expression = '0 0 1 1 *', next_at = date_trunc('year', now())")
    work(jobs)
    assert [row["state"] for row in runs(court, id)] == ["missed", "done"]
    assert incidents(court, id)[0]["state"] == "warning" and incidents(court, id)[0]["open"]
    notices = court.ask_database("select kind, subject, admins_only from notice where subject like 'job:%%'")
    assert notices == [{"kind": "problem", "subject": f"job:{id}", "admins_only": True}]
    with court.as_person("pic") as (session, someone):
        assert schedules.run_now(session, session.get_one(Schedule, id), someone)
    work(jobs)
    assert not incidents(court, id)[0]["open"], "the next one that goes well ends it"
    with court.as_person("pic") as (session, _):
        schedules.pause(session, session.get_one(Schedule, id), enabled=False)
    due(court, id, days=30)
    work(jobs)
    assert len(runs(court, id)) == 3
    with court.as_person("pic") as (session, _):
        schedules.pause(session, session.get_one(Schedule, id), enabled=True)
    work(jobs)
    assert len(runs(court, id)) == 3, "what came while it was paused is not made up for"


@pytest.mark.parametrize(
    ("policy", "states"), [("skip", ["running", "skipped"]), ("wait", ["running", "waiting", "skipped"])]
)
def test_what_still_runs_is_not_begun_beside_itself(court: Court, policy: str, states: list[str]) -> None:
    id = schedule(court, "admin", "report", overlap=policy)
    at_any_minute(court, id)
    for ago in (3, 2, 1)[: len(states)]:
        due(court, id, minutes=0)
        with court.as_poller() as session:
            schedules.plan(session)
            schedules.claim(session, "one")
        court.ask_database("update schedule_run set due = due - make_interval(mins => %s)", ago)
    assert [row["state"] for row in runs(court, id)] == states
    with court.as_person("pic") as (session, someone):
        assert not schedules.run_now(session, session.get_one(Schedule, id), someone)


def test_two_pollers_make_one_run_of_one_moment(court: Court) -> None:
    id = schedule(court, "admin", "report")
    due(court, id, minutes=1)
    with court.as_poller() as one, court.as_poller() as two:
        assert schedules.plan(one) == 1
        assert schedules.plan(two) == 0, "it is in the other's hand"
    with court.as_poller() as one, court.as_poller() as two:
        assert schedules.claim(one, "one") is not None
        assert schedules.claim(two, "two") is None
    assert len(runs(court, id)) == 1


# --- killed ----------------------------------------------------------------------------------------------------------

POLLER = """
import asyncio, sys
from pathlib import Path
from config import database
from config.settings import Settings
from poller.jobs import Jobs, Patience
sessions = database.sessions(database.engine(sys.argv[1], size=4))
async def main():
    jobs = Jobs(sessions, Settings(data=Path(sys.argv[2]), database_url=sys.argv[1]), Patience(0.05))
    await jobs.open()
    while True:
        await jobs.serve()
        await asyncio.sleep(0.05)
asyncio.run(main())
"""


@pytest.mark.parametrize("end", ["done", "failed", "unknown"])
def test_a_poller_killed_while_a_job_is_under_way_begins_nothing_twice(court: Court, place: Path, end: str) -> None:
    id = schedule(court)
    assert agree(court, id, "one", "two") == "agreed"
    due(court, id, minutes=1)
    words = [sys.executable, "-c", POLLER, as_role(court.url, "poller"), str(place)]
    process = subprocess.Popen(words, env={**os.environ, "PYTHONPATH": str(Path.cwd())})
    try:
        until(lambda: court.ask_database("select id from request where state = 'approved'"))
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert [row["state"] for row in runs(court, id)] == ["running"]
    request = court.claim("now")
    assert request is not None
    with court.as_poller() as session:
        approving.end(session, request, "now", end, {"text": "It is so."})
    work(unattended(court, place), anew=True)
    (row,) = runs(court, id)
    assert (row["state"], row["outcome"]["code"]) == ("unknown" if end == "unknown" else "failed", "cut_off")
    assert court.ask_database("select count(*) as n from request") == [{"n": 1}]
    assert incidents(court, id)[0]["open"]


# --- a backup ---------------------------------------------------------------------------------------------------------


def test_a_backup_is_whole_kept_so_often_and_without_the_key(court: Court, place: Path) -> None:
    vault.create(place / "vault.key", place / "vault.pub")
    id = schedule(court, "admin", "backup", options={"keep": 2})
    jobs = unattended(court, place)
    for ago in (2, 1, 0):
        at_any_minute(court, id)
        due(court, id, minutes=0)
        work(jobs)
        court.ask_database("update schedule_run set due = due - make_interval(hours => 1)")
        for file in (place / "backups").glob("*.dump"):
            if ago:
                file.rename(
                    file.with_name(f"pantau-{id}-2026010{9 - ago}T000000Z.dump") if "2026010" not in file.name else file
                )
    assert [row["state"] for row in runs(court, id)] == ["done"] * 3, runs(court, id)
    files = sorted((place / "backups").iterdir())
    assert len(files) == 2 and files[0].name == f"pantau-{id}-20260108T000000Z.dump"
    assert (place / "backups").stat().st_mode & 0o777 == 0o700 and files[1].stat().st_mode & 0o777 == 0o600
    made = backup.make(settings(court, place), 1, "check")
    programs = backup._programs(settings(court, place), court.url)
    text = subprocess.run([programs / "pg_restore", "--file=-", made.path], capture_output=True, check=True).stdout
    assert b"COPY public.host " in text and b"till" in text
    for line in (place / "vault.key").read_bytes().split():
        assert line not in text


def test_a_backup_that_cannot_be_made_is_told_and_leaves_nothing(court: Court, place: Path) -> None:
    id = schedule(court, "admin", "backup")
    (place / "backups").write_text("in the way")
    at_any_minute(court, id)
    due(court, id, minutes=0)
    work(unattended(court, place))
    (row,) = runs(court, id)
    assert row["state"] == "failed" and "cannot be written" in row["outcome"]["text"]
    assert incidents(court, id)[0]["cause"] == row["outcome"]["text"]
    broken = place / "half.dump"
    broken.write_bytes(b"PGDMP")
    with pytest.raises(backup.BackupError):
        backup.verify(backup._programs(settings(court, place), court.url), broken)
