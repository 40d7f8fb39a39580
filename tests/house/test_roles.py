"""The database's own users: what each may do, and what none but its room may."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from psycopg.errors import InsufficientPrivilege
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from config import migrate, roles
from domain.inventory import Check, Credential, Division, Host, Membership, Person
from domain.table import Table

ME = "select set_config('pantau.person', %s, false)"


def test_every_table_says_who_may_do_what_with_it(engine: Engine) -> None:
    assert migrate.current(engine)  # the tables are all declared by now
    named = {table for may in roles.MAY.values() for table in may}
    assert set(Table.metadata.tables) - named == set()
    assert named - set(Table.metadata.tables) == {"alembic_version"}


@pytest.fixture
def two(session: Session) -> dict[str, Person]:
    """Two divisions with a machine each, and somebody in charge of each."""
    found = {}
    for name in ("Gudang", "Kasir"):
        division = Division(name=name)
        host = Host(name=f"pc-{name}", address="10.0.0.1", division=division, checks=[Check(kind="icmp", name="ping")])
        one = Person(
            login=name.lower(), name=name, password_hash="-", memberships=[Membership(division=division, role="pic")]
        )
        session.add_all([host, one])
        found[name] = one
    session.add(Host(name="nobody's", address="10.0.0.9"))
    session.add(Person(login="rina", name="Rina", password_hash="-", role="admin"))
    session.add(Credential(name="root", kind="password", sealed=b"x", seal_id="1"))
    session.commit()
    return found


def seen(connection: psycopg.Connection, person: int | None) -> set[str]:
    connection.execute(ME, [str(person) if person is not None else ""])
    return {row[0] for row in connection.execute("select name from host")}


def test_the_web_reads_the_rows_of_whoever_asks_and_no_others(
    role_url: Callable[[str], str], two: dict[str, Person], session: Session
) -> None:
    rina = session.query(Person).filter_by(login="rina").one()
    with psycopg.connect(role_url("web"), autocommit=True) as web:
        assert seen(web, None) == set()
        assert seen(web, two["Gudang"].id) == {"pc-Gudang"}
        assert seen(web, two["Kasir"].id) == {"pc-Kasir"}
        assert seen(web, rina.id) == seen(web, 0) == {"pc-Gudang", "pc-Kasir", "nobody's"}
        assert seen(web, 999_999) == set()
        web.execute(ME, [str(two["Gudang"].id)])
        assert web.execute("select count(*) from host_check").fetchone() == (1,)
        assert web.execute("update host set note = 'x' where name = 'pc-Kasir'").rowcount == 0
        with pytest.raises(InsufficientPrivilege, match="row-level security"):
            web.execute("update host set division_id = (select id from division where name = 'Kasir')")


def test_whoever_is_switched_off_reads_nothing(
    role_url: Callable[[str], str], two: dict[str, Person], session: Session
) -> None:
    two["Gudang"].active = False
    session.query(Person).filter_by(login="rina").one().active = False
    session.commit()
    with psycopg.connect(role_url("web"), autocommit=True) as web:
        for one in session.query(Person).filter_by(active=False):
            assert seen(web, one.id) == set()


@pytest.mark.parametrize(
    "role, statement",
    [
        ("web", "select sealed from credential"),
        ("web", "select * from credential"),
        ("web", "select sealed from channel"),
        ("web", "select sealed from look"),
        ("web", "delete from audit"),
        ("web", "update audit set what = 'x'"),
        ("web", "insert into raw (check_id, ts, set_id, state) values (1, now(), 1, 0)"),
        ("web", "create table mine (x int)"),
        ("web", "set role pantau"),
        ("web", "alter table host disable row level security"),
        ("web", "drop policy divisions on host"),
        ("poller", "select password_hash from person"),
        ("poller", "select sealed from channel"),
        ("poller", "select * from audit"),
        ("poller", "drop table host"),
        ("notifier", "select sealed from credential"),
        ("notifier", "select password_hash from person"),
        ("notifier", "select * from session"),
        ("notifier", "delete from host"),
        ("reader", "select * from host"),
        ("reader", "select * from person"),
    ],
)
def test_what_is_no_business_of_a_room_is_closed_to_it(
    role_url: Callable[[str], str], role: str, statement: str
) -> None:
    with psycopg.connect(role_url(role), autocommit=True) as room, pytest.raises(InsufficientPrivilege):
        room.execute(statement.encode())


def test_a_password_is_set_again_and_again_and_stays_the_same(role_url: Callable[[str], str]) -> None:
    file = Path(role_url("web").rpartition("passfile=")[2])
    before = file.read_text()
    with psycopg.connect(role_url("owner"), autocommit=True) as owner:
        roles.make(owner)
        roles.admit(owner, "web", file)
    assert file.read_text() == before
    with psycopg.connect(role_url("web")) as web:
        assert web.execute("select current_user").fetchone() == ("pantau_web",)
