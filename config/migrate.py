"""Bringing a database to this version's tables, and refusing one made by another version."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine

from config import queue, roles
from config.database import DatabaseError

SCRIPTS = Path(__file__).parent.parent / "migrations"


def newest() -> str:
    """The revision this version of Pantau works on."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    if head is None:
        raise DatabaseError("This copy of Pantau carries no migrations; install it again.")
    return head


def current(bound: Engine) -> str | None:
    """The revision the database is at; None for an empty one."""
    with bound.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def upgrade(bound: Engine) -> bool:
    """Migrate to `newest`, all or nothing. True when anything was done.

    Raises DatabaseError for a database made by another version of Pantau.
    """
    at = current(bound)
    if at == newest():
        with bound.begin() as connection:
            done = queue.upgrade(connection)
            roles.grant(connection)
            return done
    config = _config()
    if at is not None and at not in {
        script.revision for script in ScriptDirectory.from_config(config).walk_revisions()
    }:
        raise DatabaseError(
            f"The database was made by another version of Pantau (revision {at}). Start that version, or restore a backup."
        )
    with bound.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        queue.upgrade(connection)
        roles.grant(connection)
    return True


def demand(bound: Engine) -> None:
    """Raises DatabaseError unless the database is exactly at `newest`."""
    at = current(bound)
    if at != newest():
        raise DatabaseError(
            f"The database is at revision {at or 'none'} and this Pantau needs {newest()}. Run: pantau db upgrade"
        )


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    return config
