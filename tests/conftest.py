"""What every test may stand on: one real PostgreSQL a session, one fresh database a test."""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from config import database, migrate, postgres

if "CI" not in os.environ:  # there hypothesis is calm by itself, and draws the same every time
    settings.register_profile("calm", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("calm")
FAST = "fsync = off\nsynchronous_commit = off\nfull_page_writes = off\nmax_wal_size = 128MB\nmin_wal_size = 32MB\n"
"""No test pulls the plug of the whole machine, and a fresh database a test is twenty times as quick without the disk."""
MEMORY, PLENTY = Path("/dev/shm"), 2 << 30
"""Where a fresh database is made in a tenth of the time, if so many bytes are free there."""


@pytest.fixture(scope="session", autouse=True)
def _clean_environment() -> None:
    """A developer's own settings must not reach the tests."""
    for name in [name for name in os.environ if name.startswith("PANTAU_") or name == "DATABASE_URL"]:
        del os.environ[name]


@pytest.fixture
def place() -> Iterator[Path]:
    """A short-named directory that an ordinary user can reach too (pytest's own is closed to others)."""
    directory = Path(tempfile.mkdtemp(prefix="pantau-"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def cluster() -> Iterator[postgres.Cluster]:
    """A running embedded server, with a migrated database `template_pantau` to clone."""
    roomy = os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > PLENTY
    directory = Path(tempfile.mkdtemp(prefix="pantau-", dir=MEMORY if roomy else None))
    directory.chmod(0o755)
    made = postgres.prepare(directory / "data", None, None, lambda text: None)
    with (made.directory / "postgresql.auto.conf").open("a") as options:
        options.write(FAST)
    server = postgres.run(made)
    try:
        postgres.wait_ready(made, server, lambda text: None)
        postgres.admit(made)
        _execute(made, "create database template_pantau")
        bound = database.engine(_url(made, "template_pantau"))
        migrate.upgrade(bound)
        bound.dispose()
        yield made
    finally:
        postgres.shut_down(server)
        shutil.rmtree(directory, ignore_errors=True)


_numbers = itertools.count(1)


@pytest.fixture
def database_url(cluster: postgres.Cluster) -> Iterator[str]:
    """libpq URL of a fresh, migrated database of this test's own."""
    name = f"test_{os.getpid()}_{next(_numbers)}"
    _execute(cluster, f'create database "{name}" template template_pantau strategy file_copy')
    yield _url(cluster, name)
    _execute(cluster, f'drop database "{name}" with (force)')


@pytest.fixture
def role_url(cluster: postgres.Cluster, database_url: str) -> Callable[[str], str]:
    """libpq URL of this test's database as one of config.roles.ROLES comes in."""
    name = database_url.split("///", 1)[1].split("?", 1)[0]
    return lambda role: _url(cluster, name, role)


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """An engine on this test's database."""
    bound = database.engine(database_url)
    yield bound
    bound.dispose()


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    """A session on this test's database."""
    with database.sessions(engine)() as opened:
        yield opened


def _url(cluster: postgres.Cluster, name: str, role: str = database.OWNER) -> str:
    return database.url(None, cluster.sockets, role).replace("///pantau?", f"///{name}?", 1)


def _execute(cluster: postgres.Cluster, statement: str) -> None:
    with psycopg.connect(_url(cluster, "postgres"), autocommit=True) as connection:
        connection.execute(statement.encode())
