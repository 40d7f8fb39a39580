"""A report reaches its readers by mail in the language of each, a failure the administrators, and nobody else hears of either."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy.orm import Session

from config import database
from config.settings import Settings
from domain.jobs import Schedule
from poller.jobs import Jobs, Patience
from tests.channels.mailserver import office
from tests.flow.people import Village
from tests.installation import until
from tests.roles import as_role


def run(jobs: Jobs) -> None:
    async def serve() -> None:
        await jobs.serve()
        await jobs.idle()

    asyncio.run(serve())


def test_a_report_is_told_in_the_language_of_each_and_a_failure_to_administrators(
    database_url: str, tmp_path: Path
) -> None:
    village = Village(database_url, tmp_path)
    village.division("finance")
    village.division("sales")
    with office() as post:
        channel = village.mail(post.port)
        rina = village.person("rina", finance="pic")
        budi = village.person("budi", language="id", finance="viewer")
        gone = village.person("gone", sales="pic")
        boss = village.person("boss", role="admin")
        for login, person in (("rina", rina), ("budi", budi), ("gone", gone), ("boss", boss)):
            village.route(person, channel, {"mailbox": f"{login}@example.org"})
        village.machine("till", "finance")
        village.trouble(village.machine("printer <b>", "finance"), cause="No answer to 10 pings.")
        village.trouble(village.machine("secret", "sales"))
        village.ask("delete from notice")
        engine, poller = database.engine(village.url), database.engine(as_role(village.url, "poller"))
        with Session(engine) as session:
            (division,) = village.ask("select id from division where name = 'finance'")
            session.add(
                Schedule(
                    name="Monday", kind="report", division_id=division["id"], expression="0 7 * * 1", zone="Asia/Jakarta",
                    options={"people": [rina, budi, gone]}, next_at=datetime.now(UTC), made_by=rina,
                )
            )  # fmt: skip
            session.commit()
        jobs = Jobs(database.sessions(poller), Settings(data=tmp_path, database_url=village.url), Patience(0.05))
        run(jobs)
        with village.notifier():
            until(lambda: len(post.taken) == 2)
            mails = {mail.to[0]: mail.message for mail in post.taken}
            assert set(mails) == {"rina@example.org", "budi@example.org"}, "who may not see the division reads nothing"
            assert mails["rina@example.org"]["Subject"] == "finance: 1 of 2 machines in trouble"
            assert mails["budi@example.org"]["Subject"] == "finance: 1 dari 2 mesin bermasalah"
            plain = mails["rina@example.org"].get_body(("plain",))
            assert plain is not None
            body = plain.get_content()
            assert "printer <b>" in body and "No answer to 10 pings." in body and "secret" not in body
            assert "/jobs/1" in body
            village.ask("update schedule set kind = 'backup', options = '{\"keep\": 1}', next_at = now()")
            (tmp_path / "backups").write_text("in the way")
            run(jobs)
            until(lambda: len(post.taken) >= 4)
            told = {mail.to[0]: mail.message["Subject"] for mail in post.taken[2:]}
            assert told == dict.fromkeys(
                ("boss@example.org", "rina@example.org"), "The job “Monday” did not go as it should"
            )
            (tmp_path / "backups").unlink()
            village.ask("update schedule set next_at = now()")
            run(jobs)
            until(lambda: len(post.taken) == 5)
            assert post.taken[-1].to == ["boss@example.org"]
            assert post.taken[-1].message["Subject"] == "The job “Monday” works again"
        for one in (engine, poller):
            one.dispose()
