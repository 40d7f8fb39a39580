"""The database's own users: each room logs in as one that can do what the room does, and no more.

What a role may not touch it cannot give away: the web reads no sealed secret and only the rows of the person who asks
(migrations/versions/0025), the poller no passwords of people, the notifier no login of a watched machine.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path

import psycopg
from psycopg import sql
from sqlalchemy import Connection

from config import files

ROLES = ("web", "poller", "notifier", "reader")
"""Besides the owner, who migrates: three rooms, and whoever only reads reports."""
READ, WRITE, DROP = "select", "select, insert, update, delete", "select, delete"
ADD = "select, insert"
LOCK = "select, update (created_at)"
"""To hold a row in its place while something is written about it takes the right to change a column of it."""
OWN = "own"
"""The poller makes and drops partitions, which only an owner may."""

# fmt: off
EDITED = (
    "action_rule", "addition", "channel", "credential", "division", "host", "host_check", "host_group", "host_in_group", "host_key",
    "host_parent", "host_service", "limit_edit", "load_test", "lookout", "maintenance_window", "policy", "rota", "route",
    "runbook", "shift", "site", "threshold", "wording",
)
"""What people edit."""
RECORDED = (
    "band", "batch", "change", "fact", "failure", "forecast", "heartbeat", "hour_range", "incident", "incident_event",
    "incident_member", "latest", "metric_set", "note", "notice", "standing", "state_interval", "track", "watch_cost",
)
"""What the poller writes."""
PARTED = ("raw", "roll_1h", "roll_1d")
TOLD = ("delivery", "escalation", "mark")
"""What the notifier writes."""
ASKED = ("discovery", "found", "job", "look")
"""What the web asks of the poller."""
IDENTITY = (
    "answered", "api_token", "foreign_identity", "half_login", "login_attempt", "membership", "parked_form", "passkey",
    "person", "portrait", "provider", "recovery_code", "session", "spent_challenge", "ticket", "totp",
)
"""What people log in with."""
TALKED = {
    "web": {"thread": READ, "message": "select, insert, update", "picture": WRITE, "mention": ADD, "seen": WRITE, "joint": DROP},
    "poller": {"thread": READ, "message": "select, insert, delete"},
    "notifier": {"thread": READ, "message": ADD, "mention": "select, insert, update", "picture": READ, "joint": WRITE},
}
"""What people say to each other. Threads are made, and messages get their place, by the database itself."""
KEPT = "select, insert, update"
DONE = {
    "web": {"request": KEPT, "vote": ADD, "step": ADD, "summons": KEPT},
    "poller": {"request": KEPT, "vote": ADD, "step": ADD, "summons": KEPT},
    "notifier": {"request": READ, "summons": "select, update"},
}
"""What is done to machines. Nobody takes back what they said, and no request is ever thrown away by a page."""
UNATTENDED = {
    "web": {
        **dict.fromkeys(("mandate", "schedule", "remedy", "consent"), "select, insert, update, delete"),
        "schedule_run": "select, insert, update", "firing": READ, "letter": "select, insert, delete",
    },
    "poller": {
        "mandate": READ, "schedule": "select, update", "remedy": READ, "consent": READ, "schedule_run": WRITE,
        "firing": WRITE, "letter": ADD,
    },
    "notifier": {
        **dict.fromkeys(("mandate", "schedule", "schedule_run", "remedy", "firing"), READ), "letter": "select, update, delete",
    },
}
"""What happens by itself: people say what, the poller alone does it."""
HIDDEN = {
    "web": {"credential": "sealed", "channel": "sealed", "look": "sealed", "trial": "sealed", "route": "sealed"},
    "poller": {"person": "password_hash", "channel": "sealed", "trial": "sealed", "route": "sealed"},
    "notifier": {"person": "password_hash", "credential": "sealed", "look": "sealed"},
}
"""Columns a role does not read, by table; it may write them where it may write the table."""
MAY: Mapping[str, Mapping[str, str]] = {
    "web": {
        **dict.fromkeys((*EDITED, *IDENTITY, *ASKED, "linking", "setting", "trial"), WRITE),
        **dict.fromkeys((*RECORDED, *PARTED, *TOLD, "alembic_version"), READ),
        **dict.fromkeys(("incident", "incident_event", "incident_member", "delivery"), WRITE),
        **dict.fromkeys(("credential_use", "retired_key"), READ),
        "audit": ADD,
        **TALKED["web"],
        **DONE["web"],
        **UNATTENDED["web"],
    },
    "poller": {
        **dict.fromkeys((*EDITED, "membership", "person", "setting", "alembic_version"), READ),
        **dict.fromkeys((*RECORDED, *ASKED, "host_key", "host_parent"), WRITE),
        **dict.fromkeys(("session", "login_attempt", "linking"), DROP),
        **dict.fromkeys(PARTED, OWN),
        "credential": "select, update",
        "credential_use": WRITE,
        "retired_key": READ,
        "host": LOCK,
        "host_check": LOCK,
        "audit": "insert",
        "maintenance_window": ADD,
        **TALKED["poller"],
        **DONE["poller"],
        **UNATTENDED["poller"],
    },
    "notifier": {
        **dict.fromkeys((*EDITED, *RECORDED, *PARTED, "membership", "person", "alembic_version"), READ),
        **dict.fromkeys((*TOLD, "channel", "route", "linking", "lookout", "trial", "setting", "heartbeat", "notice"), WRITE),
        **dict.fromkeys(("incident", "incident_event", "incident_member"), WRITE),
        **dict.fromkeys(("job", "discovery", "found", "retired_key"), READ),
        "audit": "insert",
        **TALKED["notifier"],
        **DONE["notifier"],
        **UNATTENDED["notifier"],
    },
    "reader": {},
}
"""Which role may do what with which table; what is not named here is closed to it."""
QUEUED = ("web", "notifier")
"""Who puts jobs into the queue or takes them out."""
# fmt: on


class RolesError(Exception):
    """The roles cannot be made; the message is one sentence with the way out."""


def name(role: str) -> str:
    """The role's name in the database."""
    return f"pantau_{role}"


def make(connection: psycopg.Connection) -> None:
    """Make the roles unless they are there. Raises RolesError where this login may not."""
    for role in ROLES:
        there = connection.execute("select from pg_roles where rolname = %s", [name(role)]).fetchone()
        if there is not None:
            continue
        try:
            connection.execute(sql.SQL("create role {} login").format(sql.Identifier(name(role))))
        except psycopg.errors.InsufficientPrivilege:
            raise RolesError(
                "This database login may not make roles. As a superuser: alter role <login> createrole; then try again."
            ) from None
        connection.execute(sql.SQL("grant {} to current_user").format(sql.Identifier(name(role))))


def grant(bound: Connection) -> None:
    """Give each role that is there exactly what MAY says, whatever it had before; in the caller's transaction."""
    connection = bound.connection.driver_connection
    assert isinstance(connection, psycopg.Connection)
    there = {row[0] for row in connection.execute("select rolname from pg_roles").fetchall()}
    for role in (role for role in ROLES if name(role) in there):
        _close(connection, role)
        for table, may in MAY[role].items():
            _open(connection, role, table, may)
        if role in QUEUED:
            _queue(connection, role)
        if role == "poller":
            _prune(connection)
        if role == "reader":
            _report(connection)


def _close(connection: psycopg.Connection, role: str) -> None:
    """Nothing but the way in; what it owns stays its own."""
    who = sql.Identifier(name(role))
    connection.execute(sql.SQL("revoke all on all tables in schema public from {}").format(who))
    connection.execute(sql.SQL("grant usage on schema public to {}").format(who))
    connection.execute(sql.SQL("grant usage on all sequences in schema public to {}").format(who))
    owned = connection.execute("select tablename from pg_tables where tableowner = %s", [name(role)]).fetchall()
    for (table,) in owned:
        connection.execute(sql.SQL("grant all on {} to {}").format(sql.Identifier(table), who))


def _open(connection: psycopg.Connection, role: str, table: str, may: str) -> None:
    who, what = sql.Identifier(name(role)), sql.Identifier(table)
    if may == OWN:
        connection.execute(sql.SQL("grant create on schema public to {}").format(who))
        parts = connection.execute("select relid::regclass::text from pg_partition_tree(%s)", [table]).fetchall()
        for (part,) in parts or [(table,)]:
            connection.execute(sql.SQL("alter table {} owner to {}").format(sql.Identifier(part), who))
        return
    hidden = HIDDEN.get(role, {}).get(table)
    verbs = [verb.strip() for verb in may.split(",")]
    if hidden is not None and "select" in verbs:
        verbs.remove("select")
        connection.execute(
            sql.SQL("grant select ({}) on {} to {}").format(_columns(connection, table, hidden), what, who)
        )
    if verbs:
        connection.execute(sql.SQL("grant {} on {} to {}").format(sql.SQL(", ".join(verbs)), what, who))


def _columns(connection: psycopg.Connection, table: str, hidden: str) -> sql.Composed:
    """All columns of a table but one."""
    rows = connection.execute(
        "select attname from pg_attribute where attrelid = %s::regclass and attnum > 0 and not attisdropped"
        " and attname <> %s",
        [table, hidden],
    ).fetchall()
    return sql.SQL(", ").join(sql.Identifier(column) for (column,) in rows)


def _report(connection: psycopg.Connection) -> None:
    """The views of the schema `report`, made for whoever reads by SQL (docs/grafana.md)."""
    who = sql.Identifier(name("reader"))
    connection.execute(sql.SQL("grant usage on schema report to {}").format(who))
    connection.execute(sql.SQL("grant select on all tables in schema report to {}").format(who))


def _prune(connection: psycopg.Connection) -> None:
    """The poller's chore drops rows of the audit that are older than they are kept; nobody else may, nor by any other way."""
    if connection.execute("select to_regprocedure('audit_prune(timestamptz)')").fetchone() != (None,):
        who = sql.Identifier(name("poller"))
        connection.execute(sql.SQL("grant execute on function audit_prune(timestamptz) to {}").format(who))


def _queue(connection: psycopg.Connection, role: str) -> None:
    """The queue's tables; its functions run as whoever calls them."""
    rows = connection.execute(
        "select tablename from pg_tables where schemaname = 'public' and tablename like 'procrastinate\\_%'"
    ).fetchall()
    for (table,) in rows:
        connection.execute(
            sql.SQL("grant {} on {} to {}").format(sql.SQL(WRITE), sql.Identifier(table), sql.Identifier(name(role)))
        )


def admit(connection: psycopg.Connection, role: str, file: Path) -> None:
    """Give a role the password in `file` (0600, as libpq reads it); one nobody knows is made where there is none.

    `role` is one of ROLES, or `owner`: the one who is connected. Commit afterwards; it may be done again and again.
    """
    user = connection.info.user if role == "owner" else name(role)
    password = _password(file) or secrets.token_urlsafe(32)
    file.parent.mkdir(mode=0o700, exist_ok=True)
    files.replace(file, f"*:*:*:{user}:{password}\n".encode())
    hashed = connection.pgconn.encrypt_password(password.encode(), user.encode(), b"scram-sha-256")
    connection.execute(sql.SQL("alter role {} password {}").format(sql.Identifier(user), sql.Literal(hashed.decode())))


def _password(file: Path) -> str:
    try:
        return file.read_text().strip().rpartition(":")[2]
    except FileNotFoundError:
        return ""
