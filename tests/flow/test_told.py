"""A change is told to the right people, once, by the way they chose; and what needs no telling is not told."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.channels.mailserver import Mail, office
from tests.flow.people import Village
from tests.installation import until


@pytest.fixture
def village(database_url: str, tmp_path: Path) -> Village:
    made = Village(database_url, tmp_path)
    made.division("finance")
    made.division("sales")
    return made


def subjects(taken: list[Mail], to: str) -> list[str]:
    return [str(mail.message["Subject"]) for mail in taken if to in mail.to]


def test_the_pic_of_its_division_is_told_and_the_other_one_is_not(village: Village) -> None:
    with office() as post:
        channel = village.mail(post.port)
        rina, budi = village.person("rina", finance="pic"), village.person("budi", sales="pic")
        village.route(rina, channel, {"mailbox": "rina@example.org"})
        village.route(budi, channel, {"mailbox": "budi@example.org"})
        machine = village.machine("db-02", "finance", runbook="Call the provider.")
        with village.notifier():
            village.trouble(machine)
            until(lambda: post.taken)
            village.well(machine)
            until(lambda: len(post.taken) >= 2)
        assert subjects(post.taken, "rina@example.org") == ["db-02 is down", "db-02 is up again"]
        assert subjects(post.taken, "budi@example.org") == []
        first, second = (mail.message for mail in post.taken)
        body = first.get_body(("plain",)).get_content()  # type: ignore[union-attr]
        assert "No answer to 10 pings." in body and "Call the provider." in body and "finance" in body
        assert second["In-Reply-To"] == first["Message-ID"]
    assert village.deliveries() == [("sent", ""), ("sent", "")]
    assert village.ask("select * from mark") == []


def test_a_reader_of_indonesian_reads_indonesian(village: Village) -> None:
    with office() as post:
        channel = village.mail(post.port)
        rina = village.person("rina", language="id", finance="pic")
        village.route(rina, channel, {"mailbox": "rina@example.org"})
        machine = village.machine("db-02", "finance")
        with village.notifier():
            village.trouble(machine)
            until(lambda: post.taken)
        (mail,) = post.taken
        assert mail.message["Subject"] != "db-02 is down" and "db-02" in str(mail.message["Subject"])
