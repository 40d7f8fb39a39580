"""Invitations, lost passwords, and somebody who leaves."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from click.testing import CliRunner
from flask import Flask
from psycopg_pool import ConnectionPool
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from config import listening, vault
from config.settings import Settings
from domain import tickets
from domain.audit import Audit
from domain.identity import Ticket
from domain.inventory import Person
from domain.recipients import Channel, Route
from domain.requests import Trial
from notifier import trials
from notifier.hands import Hands
from notifier.outbox import Outbox
from notifier.queue import Waker
from notifier.telling import Telling
from pantau import cli
from tests.channels.mailserver import office
from tests.webui.cast import PASSWORD, Visitor

NEW = {"login": "siti", "name": "Siti", "password": "", "role": "none", "active": "yes", "division": "Gudang", "part": "staff", "invite": "yes"}  # fmt: skip
CHOSEN = "tidy river wagon moss"


def link_on(page: str) -> str:
    found = re.search(r"http://[^/]+(/in/[\w-]{43})", page)
    assert found, page
    return found[1]


@pytest.fixture
def mail(app: Flask, session: Session) -> Channel:
    """A mail server that is set up, and the notifier's key."""
    settings = app.config["PANTAU"]
    vault.create(settings.notifier_key, settings.notifier_public)
    channel = Channel(kind="email", name="Mail", options={"host": "mail.example.com"}, seal_id="x")
    session.add(channel)
    session.commit()
    return channel


def sent(app: Flask, session: Session) -> list[tuple[str, str, str]]:
    """(letter, mailbox, link) of what waits for the notifier, opened as only the notifier can."""
    opener = vault.opener(app.config["PANTAU"].notifier_key)
    session.expire_all()
    found = []
    for one in session.scalars(select(Trial)):
        link = opener.open(one.sealed or b"", f"trial:{one.id}").decode()
        assert link not in str(one.asked)
        found.append((one.asked["letter"], one.asked["address"]["mailbox"], link))
    return found


def test_somebody_invited_chooses_their_own_password_once(
    rina: Visitor, app: Flask, session: Session, stranger: Visitor
) -> None:
    shown = rina.post("/people/new", NEW)
    assert shown.status_code == 200
    path = link_on(shown.text)
    assert stranger.login("siti", "").status_code == 422, "without a password nobody comes in"
    assert "Welcome, Siti" in stranger.get(path).text
    assert stranger.post(path, {"new": "short"}).status_code == 422
    assert stranger.post(path, {"new": CHOSEN}).status_code == 303
    assert stranger.get(path).status_code == 404
    assert stranger.login("siti", CHOSEN).status_code == 303
    assert path.rpartition("/")[2] not in str(session.scalars(select(Ticket.id)).all())


def test_the_table_holds_only_the_hash_and_time_ends_the_link(
    rina: Visitor, session: Session, stranger: Visitor
) -> None:
    path = link_on(rina.post("/people/new", NEW).text)
    assert session.scalars(select(Ticket.id)).one() != path.rpartition("/")[2]
    session.execute(text("update ticket set expires_at = now() - interval '1 second'"))
    session.commit()
    gone, never = stranger.get(path), stranger.get("/in/" + "x" * 43)
    assert gone.status_code == never.status_code == 404
    assert "opens nothing" in gone.text


def test_a_newer_link_ends_the_older_one(rina: Visitor, stranger: Visitor, session: Session) -> None:
    older = link_on(rina.post("/people/new", NEW).text)
    siti = session.scalars(select(Person).where(Person.login == "siti")).one()
    page = f"/people/{siti.id}"
    newer = link_on(rina.post(f"{page}/link", {}, page=page).text)
    assert stranger.get(older).status_code == 404
    assert stranger.get(newer).status_code == 200


def test_with_mail_set_up_an_invitation_is_sent_and_not_shown(
    rina: Visitor, app: Flask, session: Session, mail: Channel, stranger: Visitor
) -> None:
    answer = rina.post("/people/new", {**NEW, "email": "siti@example.com"})
    assert answer.status_code == 303
    assert "/in/" not in rina.get(answer.location).text
    ((letter, mailbox, link),) = sent(app, session)
    assert (letter, mailbox) == ("invite", "siti@example.com")
    assert stranger.get(link_on(link)).status_code == 200


def test_a_lost_password_is_mended_by_mail_and_every_session_ends(
    rina: Visitor, app: Flask, session: Session, person: Person, mail: Channel, stranger: Visitor
) -> None:
    person.email = "rina@example.com"
    session.commit()
    assert "on its way" in stranger.post("/lost", {"login": "RINA@example.com "}).text
    ((letter, mailbox, link),) = sent(app, session)
    assert (letter, mailbox) == ("reset", "rina@example.com")
    assert rina.get("/").status_code == 200, "asking ends nothing"
    assert stranger.post(link_on(link), {"new": CHOSEN}).status_code == 303
    assert rina.get("/").status_code == 302
    assert stranger.login("rina", PASSWORD).status_code == 422
    assert stranger.login("rina", CHOSEN).status_code == 303


def test_the_answer_is_the_same_for_somebody_nobody_knows(
    stranger: Visitor, person: Person, session: Session, mail: Channel
) -> None:
    person.email = "rina@example.com"
    session.commit()
    clean = lambda page: re.sub(r'value="[^"]*"', "", page)  # noqa: E731
    known, unknown = stranger.post("/lost", {"login": "rina"}), stranger.post("/lost", {"login": "nobody"})
    assert known.status_code == unknown.status_code == 200
    assert clean(known.text) == clean(unknown.text)


def test_an_address_somebody_else_gave_themselves_takes_the_way_back_from_nobody(
    stranger: Visitor, app: Flask, session: Session, person: Person, keeper: Person, mail: Channel
) -> None:
    person.email, person.email_sure = "rina@example.com", True
    keeper.email = "rina@example.com"
    session.commit()
    clean = lambda page: re.sub(r'value="[^"]*"', "", page)  # noqa: E731
    told, nobody = stranger.post("/lost", {"login": "rina@example.com"}), stranger.post("/lost", {"login": "x@y.z"})
    assert clean(told.text) == clean(nobody.text)
    assert [one.person_id for one in session.scalars(select(Ticket))] == [person.id]
    assert [(letter, mailbox) for letter, mailbox, _ in sent(app, session)] == [("reset", "rina@example.com")]


def test_where_nobody_is_vouched_for_all_letters_go_to_that_one_mailbox(
    stranger: Visitor, app: Flask, session: Session, person: Person, keeper: Person, mail: Channel
) -> None:
    person.email, keeper.email = "rina@example.com", "Rina@Example.com"
    session.commit()
    stranger.post("/lost", {"login": "rina@example.com"})
    assert {one.person_id for one in session.scalars(select(Ticket))} == {person.id, keeper.id}
    assert {mailbox.lower() for _, mailbox, _ in sent(app, session)} == {"rina@example.com"}


def test_a_name_to_log_in_with_comes_before_anybodys_address(
    stranger: Visitor, app: Flask, session: Session, person: Person, keeper: Person, mail: Channel
) -> None:
    person.login, person.email = "rina@example.com", "rina@home.example"
    keeper.email, keeper.email_sure = "rina@example.com", True
    session.commit()
    stranger.post("/lost", {"login": "rina@example.com"})
    assert [mailbox for _, mailbox, _ in sent(app, session)] == ["rina@home.example"]


def test_asking_again_and_again_is_slowed_down(stranger: Visitor, person: Person) -> None:
    codes = [stranger.post("/lost", {"login": "rina"}).status_code for _ in range(9)]
    assert codes[0] == 200 and codes[-1] == 429


def test_where_the_link_leads_is_not_what_a_request_says(
    app: Flask, session: Session, person: Person, mail: Channel
) -> None:
    person.email = "rina@example.com"
    session.commit()
    evil = Visitor(app.test_client(), "http://evil.example")
    evil.post("/lost", {"login": "rina"})
    assert "evil" not in sent(app, session)[0][2]


def test_whoever_leaves_is_shut_out_everywhere(
    rina: Visitor, budi: Visitor, app: Flask, keeper: Person, session: Session, mail: Channel
) -> None:
    push = Channel(kind="webpush", name="Push", seal_id="y")
    session.add(push)
    session.flush()
    session.add(Route(person_id=keeper.id, channel_id=push.id, address={"endpoint": "https://push.example/1"}))
    session.add(Route(person_id=keeper.id, channel_id=mail.id, address={"mailbox": "budi@example.com"}))
    token = tickets.make(session, keeper, "reset")
    session.commit()
    form = {"name": "Budi", "role": "none", "division": "", "part": "pic"}
    assert rina.post(f"/people/{keeper.id}", form).status_code == 303
    session.expire_all()
    assert budi.get("/").status_code == 302
    assert [(one.channel_id, one.enabled) for one in session.scalars(select(Route))] == [(mail.id, False)]
    assert Visitor(app.test_client()).get(f"/in/{token}").status_code == 404
    page = f"/people/{keeper.id}"
    assert rina.post(f"{page}/link", {}, page=page).status_code == 303
    assert session.scalars(select(Ticket)).all() == []


def test_a_second_factor_is_still_asked_after_a_lost_password(
    rina: Visitor, app: Flask, session: Session, person: Person, stranger: Visitor
) -> None:
    from tests.webui.test_second import with_app

    with_app(rina)
    token = tickets.make(session, person, "reset")
    session.commit()
    stranger.post(f"/in/{token}", {"new": CHOSEN})
    assert stranger.login("rina", CHOSEN).location == "/login/second"


def test_the_letter_arrives_with_the_link_that_opens(
    rina: Visitor, app: Flask, session: Session, mail: Channel, stranger: Visitor, database_url: str
) -> None:
    settings = app.config["PANTAU"]
    with office() as post:
        mail.options = {"host": "127.0.0.1", "port": post.port, "sender": "pantau@example.com", "security": "none"}
        session.commit()
        rina.post("/people/new", {**NEW, "email": "siti@example.com"})
        hands = Hands(vault.opener(settings.notifier_key))
        with ConnectionPool(database_url, min_size=1, open=True) as pool, ThreadPoolExecutor(1) as threads:
            outbox = Outbox(pool, Waker(), Telling(settings), hands, settings.zone)
            assert trials.serve(pool, outbox, threads) == 1
            threads.shutdown(wait=True)
        hands.keep.close()
        session.expire_all()
        assert session.scalars(select(Trial)).one().answer["sent"], session.scalars(select(Trial)).one().answer
    (letter,) = post.taken
    assert letter.to == ["siti@example.com"]
    body = letter.message.get_body(("plain",))
    assert body is not None
    path = link_on(body.get_content())
    assert "Open this link" in body.get_content()
    assert stranger.get(path).status_code == 200


def test_whoever_logs_in_elsewhere_gets_no_link(
    app: Flask, session: Session, person: Person, mail: Channel, stranger: Visitor
) -> None:
    person.email, person.password_hash = "rina@example.com", ""
    session.commit()
    assert stranger.post("/lost", {"login": "rina"}).status_code == 200
    assert sent(app, session) == []


def test_an_administrator_who_is_locked_out_gets_a_link_on_the_machine_itself(
    rina: Visitor, app: Flask, session: Session, person: Person, database_url: str, place: Path, stranger: Visitor
) -> None:
    from tests.webui.test_second import with_app

    with_app(rina)
    url = f"postgresql:{database_url.removeprefix('postgresql:')}"
    run = lambda *words: CliRunner().invoke(  # noqa: E731
        cli, ["--data", str(place), "person", "reset", *words], env={"DATABASE_URL": url}
    )
    assert run("nobody").exit_code != 0
    listening.remember(Settings(data=place, port=18765))
    printed = run("RINA", "--second-factor")
    assert printed.exit_code == 0, printed.output
    assert "http://127.0.0.1:18765/in/" in printed.output
    assert stranger.post(link_on(printed.output), {"new": CHOSEN}).status_code == 303
    assert stranger.login("rina", CHOSEN).location == "/"
    session.expire_all()
    assert session.scalars(select(Audit).where(Audit.what == "person.reset")).one().on == f"person:{person.id}"
