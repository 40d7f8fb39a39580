"""Runs migrations on the connection given by whoever calls, one at a time for a database (advisory lock)."""

from alembic import context
from sqlalchemy import Connection, text

import domain.actions
import domain.audit
import domain.chat
import domain.deliveries
import domain.heard
import domain.identity
import domain.inventory
import domain.jobs
import domain.recipients
import domain.records
import domain.requests
import domain.tokens  # noqa: F401 - importing declares the tables
from domain.table import Table

LOCK = 0x50414E54  # any constant: two `pantau up` on one database take turns


def include(thing: object, name: str | None, kind: str, reflected: bool, compared: object) -> bool:
    """Leave out of comparisons: partitions (chores make and drop them), and the tables of the queue, which has its own."""
    return not (kind == "table" and reflected and (name or "").startswith(("raw_", "procrastinate_")))


def run(connection: Connection) -> None:
    """Migrate in one transaction."""
    context.configure(connection=connection, target_metadata=Table.metadata, include_object=include, compare_type=True)
    with context.begin_transaction():
        connection.execute(text("select pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        # What is deferred to COMMIT (the audit's rows) would keep a table that was written to from being altered.
        connection.execute(text("set constraints all immediate"))
        context.run_migrations()


run(context.config.attributes["connection"])
