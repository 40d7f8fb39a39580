"""The database the migrations make is the one the tables describe."""

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, text

import domain.actions
import domain.audit
import domain.chat
import domain.deliveries
import domain.heard
import domain.identity
import domain.inventory
import domain.recipients
import domain.records
import domain.requests
import domain.tokens  # noqa: F401
from config import migrate
from config.database import DatabaseError, listening
from domain.table import Table


def ours(thing: object, name: str | None, kind: str, reflected: bool, compared: object) -> bool:
    """The queue's tables are its library's."""
    return not (kind == "table" and reflected and (name or "").startswith("procrastinate_"))


def test_migrations_equal_the_tables(engine: Engine) -> None:
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "include_object": ours})
        assert compare_metadata(context, Table.metadata) == []


def test_a_migrated_database_needs_nothing_more(engine: Engine) -> None:
    assert migrate.upgrade(engine) is False
    migrate.demand(engine)


def test_a_database_of_another_version_is_refused_and_left_alone(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("update alembic_version set version_num = 'f00d'"))
    with pytest.raises(DatabaseError, match="another version of Pantau"):
        migrate.upgrade(engine)
    with pytest.raises(DatabaseError, match="pantau db upgrade"):
        migrate.demand(engine)
    assert migrate.current(engine) == "f00d"


def test_an_edit_wakes_the_poller_but_its_own_bookkeeping_does_not(engine: Engine, database_url: str) -> None:
    with listening(database_url, "inventory") as heard, engine.connect() as connection:
        connection.execute(
            text("insert into credential (name, kind, sealed, seal_id) values ('c', 'password', '\\x00', 'x')")
        )
        connection.commit()
        assert [n.channel for n in heard.notifies(timeout=5, stop_after=1)] == ["inventory"]
        connection.execute(text("update credential set last_used_at = now()"))
        connection.commit()
        assert list(heard.notifies(timeout=0.3)) == []
