"""The way to PostgreSQL: engine, sessions, and a connection that listens."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import psycopg
from psycopg import sql
from sqlalchemy import Engine, create_engine, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.orm import Session, sessionmaker

FLOOR = 150000
OWNER = "owner"


class DatabaseError(Exception):
    """PostgreSQL cannot be used; the message is one sentence with the way out."""


def url(database_url: str | None, sockets: Path, role: str = OWNER) -> str:
    """A libpq URL: the one set, or that of the embedded server whose sockets lie in `sockets`.

    `role` logs in as one of config.roles.ROLES where its password file lies beside the sockets' directory (config.roles
    makes it), as the owner of everything where there is none.
    """
    file = passwords(sockets, role)
    user = f"pantau_{role}" if role != OWNER and file.exists() else ""
    if not database_url:
        file = file if user else passwords(sockets, OWNER)
        return f"postgresql:///pantau?host={sockets}&user={user or 'pantau'}&passfile={file}"
    whole = "postgresql://" + database_url.split("://", 1)[1]
    if not user:
        return whole
    parts = urlsplit(whole)
    query = [(key, value) for key, value in parse_qsl(parts.query) if key not in ("user", "password", "passfile")]
    place = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=place, query=urlencode([*query, ("user", user), ("passfile", str(file))])))


def passwords(sockets: Path, role: str) -> Path:
    """Where the password of a role is kept, as libpq reads it."""
    return sockets.parent / "roles" / f"{role}.pass"


def engine(libpq_url: str, *, size: int = 5, name: str = "pantau") -> Engine:
    """A pooled engine in UTC; connections are tested before use, and a statement may take 30 s at most.

    Nothing is compiled to machine code (`jit`): with row-level security in it, a list of 2000 machines looks expensive enough
    for that, and the compiler takes twenty times as long as the query (measured in docs/performance.md).

    Raises DatabaseError where the URL cannot be read.
    """
    try:
        address = make_url("postgresql+psycopg://" + libpq_url.split("://", 1)[1])
    except (ValueError, ArgumentError):
        raise DatabaseError(
            "DATABASE_URL cannot be read; it looks like postgresql://user:password@host:5432/database."
        ) from None
    return create_engine(
        address,
        pool_size=size,
        max_overflow=size,
        pool_pre_ping=True,
        pool_timeout=5,
        connect_args={
            "application_name": name,
            "connect_timeout": 5,
            "options": "-c statement_timeout=30000 -c timezone=UTC -c jit=off",
        },
    )


def sessions(bound: Engine) -> sessionmaker[Session]:
    """Makes sessions whose objects stay readable after commit."""
    return sessionmaker(bound, expire_on_commit=False)


def runs(sockets: Path) -> bool:
    """Whether an embedded server listens in `sockets`; false too where one was killed and left its socket."""
    with socket.socket(socket.AF_UNIX) as line:
        try:
            line.connect(str(sockets / ".s.PGSQL.5432"))
        except PermissionError:
            return True  # it is there, and will say itself why it does not let us in
        except OSError:
            return False
    return True


@contextmanager
def listening(libpq_url: str, *channels: str) -> Iterator[psycopg.Connection]:
    """A connection of its own that hears NOTIFY on `channels`; read `.notifies(timeout=...)`."""
    with psycopg.connect(libpq_url, autocommit=True, connect_timeout=5, application_name="pantau listen") as heard:
        for channel in channels:
            heard.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
        yield heard


def verify(bound: Engine) -> None:
    """Raises DatabaseError where the server cannot be reached or is older than PostgreSQL 15."""
    try:
        with bound.connect() as connection:
            version = int(connection.execute(text("show server_version_num")).scalar_one())
    except DBAPIError as error:
        reason = (str(error.orig).strip().splitlines() or ["no reason given"])[0].rstrip(".")
        raise DatabaseError(
            f"PostgreSQL cannot be reached: {reason}. Check DATABASE_URL and that the server runs."
        ) from None
    if version < FLOOR:
        raise DatabaseError(f"PostgreSQL {version // 10000} is too old; Pantau needs 15 or newer.")
