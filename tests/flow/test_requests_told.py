"""Whoever is to agree is told by their own ways; so is whoever asked, of what came of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from config import database
from domain import approving
from domain.inventory import Check, Credential, Host, Person
from tests.channels.mailserver import office
from tests.flow.people import Village
from tests.installation import until


@pytest.fixture
def village(database_url: str, tmp_path: Path) -> Village:
    made = Village(database_url, tmp_path)
    made.division("finance")
    made.division("sales")
    return made


def test_asked_answered_and_told(village: Village) -> None:
    with office() as post:
        channel = village.mail(post.port)
        people = {
            login: village.person(login, **roles)
            for login, roles in (
                ("rina", {"finance": "pic"}), ("one", {"finance": "approver"}), ("two", {"finance": "approver"}),
                ("other", {"sales": "approver"}),
            )
        }  # fmt: skip
        for login, person in people.items():
            village.route(person, channel, {"mailbox": f"{login}@example.org"}, severity="critical")
        host = village.machine("till", "finance")
        engine = database.engine(village.url)
        with Session(engine) as session:
            login = Credential(name="restarts", kind="password", sealed=b"", seal_id="1/x")
            session.add_all([login, Check(host_id=host, kind="ssh", name="SSH for actions")])
            session.flush()
            machine, rina = session.get(Host, host), session.get(Person, people["rina"])
            assert machine is not None and rina is not None
            machine.action_credential_id = login.id
            session.flush()
            request = approving.ask(session, rina, machine, "host.restart", {}, "It hangs <b>again</b>.").id
            session.commit()
        with village.notifier():
            until(lambda: len(post.taken) == 2)
            asked = {mail.to[0]: mail for mail in post.taken}
            assert set(asked) == {"one@example.org", "two@example.org"}
            mail = asked["one@example.org"].message
            assert mail["Subject"] == "Rina asks you: till: Restart the machine"
            body = mail.get_body(("plain",)).get_content()  # type: ignore[union-attr]
            assert "It hangs <b>again</b>." in body and f"/requests/{request}" in body
            with Session(engine) as session:
                two = session.get(Person, people["two"])
                assert two is not None
                approving.vote(session, request, two, agrees=False, reason="Not today.")
                session.commit()
            until(lambda: len(post.taken) == 3)
        engine.dispose()
        assert post.taken[-1].to == ["rina@example.org"]
        assert post.taken[-1].message["Subject"] == "Refused: till: Restart the machine"
    assert village.ask("select * from mark") == []
