"""The queue's own tables (Procrastinate, which lives in our database) made and brought up to the installed version.

The library ships its schema and one file for every later change of it. Which of them a database has is kept beside the
installation's settings, so an upgrade of the library is followed by `pantau db upgrade` like any other.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from procrastinate.schema import SchemaManager
from sqlalchemy import Connection, text

KEY = "queue_schema"


def newest() -> str:
    """The name of the last change of the installed library's schema."""
    return _changes()[-1].name


def create(connection: Connection) -> None:
    """Make the tables as the installed library wants them."""
    _run(connection, SchemaManager.get_schema())
    _keep(connection)


def upgrade(connection: Connection) -> bool:
    """Apply what the installed library changed since; True when there was anything."""
    stored = connection.execute(text("select value ->> 'last' from setting where key = :key"), {"key": KEY}).scalar()
    due = [change for change in _changes() if stored is not None and change.name > stored]
    for change in due:
        _run(connection, change.read_text())
    if due:
        _keep(connection)
    return bool(due)


def drop(connection: Connection) -> None:
    """Take all of it away again."""
    found = connection.execute(
        text(
            "select format('drop table %I cascade', tablename) from pg_tables"
            " where schemaname = current_schema() and tablename like 'procrastinate\\_%'"
            " union all select format('drop function %s cascade', oid::regprocedure) from pg_proc"
            " where pronamespace = current_schema()::regnamespace and proname like 'procrastinate\\_%'"
            " union all select format('drop type %I cascade', typname) from pg_type"
            " where typnamespace = current_schema()::regnamespace and typname like 'procrastinate\\_job\\_%'"
            " and typtype in ('e', 'c') and not exists (select from pg_class c where c.oid = typrelid and c.relkind = 'r')"
        )
    )
    for (statement,) in found.fetchall():
        _run(connection, statement)
    connection.execute(text("delete from setting where key = :key"), {"key": KEY})


def _run(connection: Connection, script: str) -> None:
    """A script as it stands: SQLAlchemy would read its percent signs as places for values."""
    driver: Any = connection.connection.driver_connection
    driver.execute(script.encode())


def _changes() -> list[Path]:
    folder = Path(str(SchemaManager.get_migrations_path()))
    return sorted((entry for entry in folder.iterdir() if entry.suffix == ".sql"), key=lambda entry: entry.name)


def _keep(connection: Connection) -> None:
    connection.execute(
        text(
            "insert into setting (key, value) values (:key, cast(:value as jsonb))"
            " on conflict (key) do update set value = excluded.value"
        ),
        {"key": KEY, "value": json.dumps({"last": newest()})},
    )
