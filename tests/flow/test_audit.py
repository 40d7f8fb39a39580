"""What was done is on record, in order, and cannot be taken off it."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable

import psycopg
import pytest
from sqlalchemy import Engine, delete, inspect, select, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

import domain.actions
import domain.chat
import domain.deliveries
import domain.heard
import domain.identity
import domain.jobs
import domain.recipients
import domain.records
import domain.requests  # noqa: F401
from config import database
from domain import audit
from domain.audit import Actor, Audit
from domain.inventory import Check, Credential, Division, Host, HostGroup, Membership, Person, Setting
from domain.table import Table
from poller.chores import Chores

UNWATCHED = {
    "addition": "made with an event that says what was added; its rows are the machines' own",
    "alembic_version": "the migrations' own",
    "audit": "itself",
    "limit_edit": "the way back of an edit whose limits are watched",
    "linking": "a code for minutes; what it brings about is a route",
    "login_attempt": "counted by the minute as login.failed",
    "parked_form": "what was typed, for minutes; sending it is the event",
    "half_login": "for minutes; the login that comes of it is an event",
    "portrait": "a picture of oneself; the page that takes it says so",
    "answered": "answers kept for a day, so that a program may ask twice",
    "api_token": "events say that one was made or revoked",
    "ticket": "events say that a link was made and used",
    "foreign_identity": "an event says that somebody was linked",
    "provider": "an event says that it was changed",
    "passkey": "events say that a factor was added or removed",
    "recovery_code": "an event says that they were made",
    "spent_challenge": "for minutes",
    "totp": "events say that a factor was added or removed",
    "retired_key": "an event says that the vault has a new key",
    "credential_use": "its first row is an event of the poller's",
    "session": "an event says who logged in and out",
    "discovery": "an event says what was looked for",
    "look": "an event says what was asked, where a secret was typed",
    "trial": "an event says what was tried",
    "joint": "which chat elsewhere a thread goes on in; its messages say who wrote them",
    "mention": "made with the message that names somebody",
    "message": "says itself who wrote what and when, and what was taken back",
    "picture": "made with its message",
    "request": "events say who asked for an action and what became of it",
    "seen": "how far somebody has read",
    "step": "the live log of a request, which is itself a history",
    "summons": "who is to be told of a request",
    "thread": "made with what is talked about",
    "vote": "an event says who agreed or refused",
    "mandate": "events say who asked for a standing approval, and that it was made anew",
    "consent": "an event says who agreed to a standing approval or refused",
    "schedule_run": "an event says who had it run; it is itself a history",
    "firing": "what a remedy did or would have done, which is itself a history",
    "letter": "who is to be told of what happened unattended",
}  # fmt: skip
MACHINES_OWN = (
    "band", "batch", "change", "delivery", "escalation", "fact", "failure", "forecast", "found", "heartbeat",
    "hour_range", "incident", "incident_event", "incident_member", "job", "latest", "mark", "metric_set", "note",
    "notice", "raw", "roll_1d", "roll_1h", "standing", "state_interval", "track", "watch_cost",
)  # fmt: skip
"""What the machine writes, and the histories that say themselves who did what."""


@pytest.fixture
def rina(engine: Engine) -> Session:
    """A session in which Rina works."""
    maker = database.sessions(engine)
    audit.attend(maker, lambda: Actor(7, "Rina", "192.0.2.9"))
    with maker() as opened:
        yield opened


def rows(session: Session, what: str = "%") -> list[Audit]:
    session.rollback()
    return list(session.scalars(select(Audit).where(Audit.what.like(what)).order_by(Audit.id)))


def verdict(database_url: str, checkpoint: str = "") -> audit.Verdict:
    with psycopg.connect(database_url) as connection:
        return audit.verify(connection, checkpoint)


def by_hand(database_url: str, *statements: str) -> None:
    """Somebody who owns the database, and the triggers with it."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("alter table audit disable trigger keep")
        for statement in statements:
            connection.execute(statement.encode())


def grow(database_url: str, count: int) -> None:
    with psycopg.connect(database_url) as connection:
        for n in range(count):
            audit.write(connection, "thing.done", on=f"thing:{n}", detail={"n": n, "said": "“ä” \\ \n \t €"})


def test_every_table_people_edit_is_watched_and_every_other_has_a_reason() -> None:
    tables = set(Table.metadata.tables)
    assert set(audit.WATCHED) | set(UNWATCHED) | set(MACHINES_OWN) >= tables
    assert set(audit.WATCHED) <= tables
    assert not set(audit.WATCHED) & (set(UNWATCHED) | set(MACHINES_OWN))


def test_the_tables_said_to_be_watched_are_those_with_a_deferred_trigger(session: Session) -> None:
    found = session.scalars(
        text(
            "select tgrelid::regclass::text from pg_trigger where tgname = 'audit' and tgdeferrable and tginitdeferred"
        )
    )
    assert set(found) == set(audit.WATCHED)


def test_an_edit_says_who_from_where_what_and_how_it_was(rina: Session) -> None:
    host = Host(name="db-01", address="192.0.2.1")
    rina.add(host)
    rina.commit()
    host.address, host.interval_s = "192.0.2.2", 30
    rina.commit()
    made, changed = rows(rina, "host.%")
    assert (made.what, made.on, made.person, made.person_id, made.source) == (
        "host.made", f"host:{host.id}", "Rina", 7, "192.0.2.9",
    )  # fmt: skip
    assert changed.detail == {
        "id": host.id,
        "name": "db-01",
        "changed": {"address": ["192.0.2.1", "192.0.2.2"], "interval_s": [None, 30]},
    }


def test_what_belongs_to_a_machine_is_found_under_the_machine(rina: Session) -> None:
    host = Host(name="db-01", address="192.0.2.1", groups=[HostGroup(name="Linux")])
    host.checks.append(Check(kind="ssh", name="SSH"))
    rina.add(host)
    rina.commit()
    assert {row.what for row in rows(rina) if row.on == f"host:{host.id}"} == {
        "host.made", "check.made", "grouping.made",
    }  # fmt: skip
    rina.delete(rina.get(Host, host.id))
    rina.commit()
    assert {row.what for row in rows(rina, "%.gone")} == {"host.gone", "check.gone", "grouping.gone"}


def test_bulk_statements_and_bare_sql_are_on_record_like_any_edit(rina: Session, database_url: str) -> None:
    rina.add_all([Host(name=f"pc-{n}", address=f"192.0.2.{n}") for n in range(1, 4)])
    rina.commit()
    rina.execute(update(Host).values(note="moved"), execution_options={"synchronize_session": False})
    rina.commit()
    with psycopg.connect(database_url, application_name="psql") as connection:
        connection.execute("update host set enabled = false where name = 'pc-1'")
    rina.execute(delete(Host))
    rina.commit()
    assert len(rows(rina, "host.changed")) == 4
    assert rows(rina, "host.changed")[-1].source == "psql"
    assert sorted(row.detail["name"] for row in rows(rina, "host.gone")) == ["pc-1", "pc-2", "pc-3"]


def test_secrets_hashes_and_addresses_of_people_are_only_said_to_have_changed(rina: Session) -> None:
    person = Person(login="budi", name="Budi", password_hash="argon2-canary")
    credential = Credential(name="root", kind="password", sealed=b"sealed-canary", seal_id="x")
    rina.add_all([person, credential, Setting(key="cookie_key", value={"hex": "cookie-canary"})])
    rina.commit()
    person.password_hash, credential.sealed = "argon2-canary-2", b"sealed-canary-2"
    rina.commit()
    everything = rina.scalar(text("select string_agg(audit::text, ' ') from audit"))
    assert "canary" not in everything
    assert b"canary".hex() not in everything
    assert rows(rina, "person.changed")[0].detail["hidden"] == ["password_hash"]
    assert rows(rina, "credential.changed")[0].detail["hidden"] == ["sealed"]


def test_no_column_of_bytes_in_a_watched_table_is_ever_told(engine: Engine) -> None:
    hidden = ("hash", "secret", "token", "seed", "sealed", "password", "private")
    for table in audit.WATCHED:
        for column in inspect(engine).get_columns(table):
            if str(column["type"]) == "BYTEA":
                assert column["name"].rsplit("_", 1)[-1] in hidden, f"{table}.{column['name']}"


def test_bookkeeping_is_no_event(rina: Session) -> None:
    rina.add(Credential(name="root", kind="password", sealed=b"x", seal_id="x"))
    rina.commit()
    rina.execute(text("update credential set last_used_at = now()"))
    rina.commit()
    assert [row.what for row in rows(rina)] == ["credential.made"]


def test_where_the_row_cannot_be_written_nothing_is_done(rina: Session, database_url: str) -> None:
    rina.add(Host(name="db-01", address="192.0.2.1"))
    rina.commit()
    by_hand(database_url, "alter table audit add constraint full_up check (id < 2)")
    host = rina.scalars(select(Host)).one()
    host.name = "renamed"
    with pytest.raises(DBAPIError, match="full_up"):
        rina.commit()
    rina.rollback()
    rina.execute(text("update host set name = 'renamed'"))
    with pytest.raises(DBAPIError, match="full_up"):
        rina.commit()
    rina.rollback()
    audit.write(rina, "export.estate")
    with pytest.raises(DBAPIError, match="full_up"):
        rina.commit()
    rina.rollback()
    assert rina.scalars(select(Host.name)).all() == ["db-01"]


@pytest.mark.parametrize("statement", ["update audit set what = 'x'", "delete from audit", "truncate audit"])
def test_what_is_written_stays_written(rina: Session, statement: str) -> None:
    for _ in range(2):  # the second time as a session that claims to replay a replica
        with pytest.raises(DBAPIError, match="only added to"):
            rina.execute(text(statement))
        rina.rollback()
        rina.execute(text("set session_replication_role = replica"))


def test_nobody_chooses_moment_number_or_hash(rina: Session, database_url: str) -> None:
    rina.execute(
        text("insert into audit (id, at, what, previous, hash) values (99, '2001-01-01', 'forged', '\\x01', '\\x02')")
    )
    rina.commit()
    row = rows(rina)[0]
    assert row.id == 1
    assert row.at.year > 2001
    assert verdict(database_url).rows == 1


def test_the_chain_has_no_gaps_whatever_is_rolled_back_and_however_many_write(
    engine: Engine, database_url: str
) -> None:
    def writer(seed: int) -> None:
        chance = random.Random(seed)
        with psycopg.connect(database_url) as connection:
            for n in range(40):
                audit.write(connection, "thing.done", on=f"writer:{seed}", detail={"n": n})
                connection.rollback() if chance.random() < 0.4 else connection.commit()

    threads = [threading.Thread(target=writer, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    found = verdict(database_url)
    assert found.broken is None
    with Session(engine) as session:
        ids = list(session.scalars(select(Audit.id).order_by(Audit.id)))
        assert ids == list(range(1, found.rows + 1))
        moments = list(session.scalars(select(Audit.at).order_by(Audit.id)))
        assert moments == sorted(moments)
    assert 100 < found.rows < 190


def test_what_was_told_within_a_savepoint_that_was_given_up_is_not_told(rina: Session) -> None:
    audit.write(rina, "outer.first")
    with rina.begin_nested() as tried:
        rina.add(Host(name="tried", address="192.0.2.1"))
        audit.write(rina, "inner.given_up")
        rina.flush()
        tried.rollback()
    with rina.begin_nested():
        audit.write(rina, "inner.kept")
    rina.commit()
    assert [row.what for row in rows(rina)] == ["outer.first", "inner.kept"]
    audit.write(rina, "all.given_up")
    rina.rollback()
    audit.write(rina, "next")
    rina.commit()
    assert [row.what for row in rows(rina)] == ["outer.first", "inner.kept", "next"]


@pytest.mark.parametrize(
    "forgery, at",
    [
        ("update audit set detail = '{\"n\": 77}' where id = 5", 5),
        ("update audit set person = 'Somebody else' where id = 9", 9),
        ("update audit set person_id = 1 where id = 9", 9),
        ("update audit set at = at + interval '1 microsecond' where id = 3", 3),
        ("update audit set source = what, what = source where id = 4", 4),
        ("delete from audit where id = 1", 2),
        ("delete from audit where id = 6", 7),
        ("delete from audit where id = 6; update audit set id = id - 1 where id > 6", 6),
        ("update audit set hash = previous where id = 8", 8),
    ],
)
def test_a_row_changed_or_left_out_is_found_at_its_place(database_url: str, forgery: str, at: int) -> None:
    grow(database_url, 12)
    assert verdict(database_url).broken is None
    by_hand(database_url, forgery)
    found = verdict(database_url).broken
    assert found is not None
    assert found.id == at


def test_rows_cut_off_at_the_end_or_made_anew_are_missed_by_a_checkpoint(database_url: str) -> None:
    grow(database_url, 12)
    checkpoint = verdict(database_url).checkpoint
    by_hand(database_url, "delete from audit where id > 10")
    assert verdict(database_url).broken is None  # by itself the chain cannot know
    found = verdict(database_url, checkpoint).broken
    assert found is not None
    assert "there were 12" in found.reason
    grow(database_url, 5)
    again = verdict(database_url, checkpoint).broken
    assert again is not None
    assert again.id == 12
    assert verdict(database_url).broken is None
    with pytest.raises(ValueError, match="looks like"):
        verdict(database_url, "12")


def test_a_flood_of_the_same_is_one_row_a_minute(engine: Engine, database_url: str) -> None:
    maker = database.sessions(engine)
    audit.attend(maker, lambda: Actor(source="198.51.100.1"))

    def flood() -> None:
        for _ in range(25):
            with maker() as session:
                audit.write_seldom(session, "login.failed", on="account:rina")
                session.commit()

    threads = [threading.Thread(target=flood) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    with maker() as session:
        assert audit.write_seldom(session, "login.failed", on="account:budi")
        session.commit()
        assert [row.on for row in rows(session)] == ["account:rina", "account:budi"]


def test_a_long_transaction_keeps_nobody_waiting_until_it_commits(rina: Session, database_url: str) -> None:
    rina.add(Host(name="slow", address="192.0.2.1"))
    audit.write(rina, "import.begun")
    rina.flush()
    with psycopg.connect(database_url, options="-c lock_timeout=2000") as connection:
        audit.write(connection, "login.done")
    rina.commit()
    assert [row.what for row in rows(rina)] == ["login.done", "import.begun", "host.made"]


def test_memberships_are_found_under_the_person(rina: Session) -> None:
    budi = Person(
        login="budi",
        name="Budi",
        password_hash="x",
        memberships=[Membership(division=Division(name="Gudang"), role="pic")],
    )
    rina.add(budi)
    rina.commit()
    row = rows(rina, "membership.made")[0]
    assert row.on == f"person:{budi.id}"
    assert row.detail["changed"]["role"] == [None, "pic"]


def test_once_a_day_the_log_says_where_the_record_stands(
    database_url: str, role_url: Callable[[str], str], caplog: pytest.LogCaptureFixture
) -> None:
    grow(database_url, 3)
    checkpoint = verdict(database_url).checkpoint

    async def hours() -> None:
        chores = Chores(role_url("poller"), 7, 90)
        await chores.hourly()
        await chores.hourly()

    with caplog.at_level("INFO", "poller"):
        asyncio.run(hours())
    told = [record.getMessage() for record in caplog.records if "audit stands" in record.getMessage()]
    assert told == [f"The audit stands at {checkpoint}; check it with: pantau audit verify --checkpoint"]


def age(database_url: str, days: int) -> None:
    """The whole chain as if it had been written so many days earlier, by the owner of the database."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("alter table audit disable trigger keep")
        last = audit.GENESIS
        for (id,) in connection.execute("select id from audit order by id").fetchall():
            connection.execute(
                "update audit set at = at - make_interval(days => %s), previous = %s where id = %s", [days, last, id]
            )
            row = connection.execute(
                "update audit set hash = sha256(audit_text(audit)) where id = %s returning hash", [id]
            )
            last = row.fetchone()[0]  # type: ignore[index]
        connection.execute("alter table audit enable always trigger keep")


def prune(url: str, days: int = 365) -> int:
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute("select audit_prune(now() - make_interval(days => %s))", [days]).fetchone()
        assert row is not None
        return int(row[0])


def test_what_is_older_than_it_is_kept_goes_and_the_chain_says_so_and_is_whole(
    database_url: str, role_url: Callable[[str], str], rina: Session
) -> None:
    grow(database_url, 12)
    age(database_url, 400)
    old = verdict(database_url).checkpoint
    grow(database_url, 5)
    kept = verdict(database_url).checkpoint
    assert prune(role_url("poller")) == 12
    said = rows(rina, "audit.pruned")[0]
    assert said.detail["upto"] == 12
    assert f"12:{said.detail['hash']}" == old
    found = verdict(database_url, kept)
    assert (found.broken, found.rows, found.dropped) == (None, 6, 12)
    assert found.checkpoint.startswith("18:")
    assert verdict(database_url, old).broken is None, "the last row that was dropped is known by its hash"
    assert prune(role_url("poller")) == 0
    grow(database_url, 3)
    assert verdict(database_url, found.checkpoint).broken is None


def test_the_end_of_the_chain_and_the_last_month_are_never_dropped(database_url: str) -> None:
    grow(database_url, 4)
    assert prune(database_url, -365) == 0, "the last thirty days stay, whatever is asked"
    age(database_url, 400)
    assert prune(database_url) == 3
    found = verdict(database_url)
    assert (found.broken, found.rows, found.dropped) == (None, 2, 3)
    age_again = verdict(database_url).checkpoint
    grow(database_url, 1)
    assert verdict(database_url, age_again).broken is None


@pytest.mark.parametrize(
    "forgery, at",
    [
        ("delete from audit where id = 13", 14),
        ("delete from audit where id in (13, 14)", 15),
        ("delete from audit where id = 15", 16),
        ("update audit set detail = jsonb_set(detail, '{upto}', '11') where what = 'audit.pruned'", 18),
        ("update audit set what = 'x' where id = 16", 16),
    ],
)
def test_rows_that_nobody_said_were_dropped_are_missed(database_url: str, forgery: str, at: int) -> None:
    grow(database_url, 12)
    age(database_url, 400)
    grow(database_url, 5)
    prune(database_url)
    by_hand(database_url, forgery)
    found = verdict(database_url).broken
    assert found is not None
    assert found.id == at


def test_a_checkpoint_among_what_was_dropped_says_nothing_and_that_is_said(database_url: str) -> None:
    grow(database_url, 5)
    early = verdict(database_url).checkpoint
    grow(database_url, 7)
    age(database_url, 400)
    grow(database_url, 2)
    prune(database_url)
    found = verdict(database_url, early)
    assert found.broken is not None
    assert "among the rows dropped" in found.broken.reason
    wrong = verdict(database_url, f"12:{'00' * 32}").broken
    assert wrong is not None


@pytest.mark.parametrize("role", ["web", "notifier", "reader"])
def test_nobody_but_the_poller_drops_rows(database_url: str, role_url: Callable[[str], str], role: str) -> None:
    grow(database_url, 2)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        prune(role_url(role))


def test_the_chore_drops_once_a_day_where_it_is_set_and_keeps_everything_where_it_is_not(
    database_url: str, role_url: Callable[[str], str]
) -> None:
    grow(database_url, 6)
    age(database_url, 400)
    asyncio.run(Chores(role_url("poller"), 7, 90).hourly())
    assert verdict(database_url).dropped == 0
    asyncio.run(Chores(role_url("poller"), 7, 90, 365).hourly())
    found = verdict(database_url)
    assert (found.broken, found.dropped, found.rows) == (None, 5, 2)
