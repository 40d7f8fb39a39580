"""A backup of Pantau: everything the database holds, in one file that pg_restore reads, verified before it counts.

The keys that open what is sealed in it are files of their own and no part of it: a backup alone opens no secret.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from config import database, postgres
from config.settings import Settings

LONGEST = 4 * 3600.0
"""Seconds a backup, or the look through it, may take."""
MUST = frozenset({"host", "host_check", "person", "incident", "audit", "alembic_version"})
"""Tables without which it is no backup of Pantau."""
_TABLE = re.compile(r"^\d+; \d+ \d+ TABLE DATA public (\S+) ", re.MULTILINE)


class BackupError(Exception):
    """There is no backup; the message is one sentence."""


@dataclass(frozen=True)
class Backup:
    """A file that was looked through: `size` in bytes, and how many tables it holds. `gone` are older ones dropped."""

    path: Path
    size: int
    tables: int
    gone: tuple[str, ...] = ()


def make(settings: Settings, keep: int, mark: str = "hand", place: Path | None = None) -> Backup:
    """Make one in `place` (the installation's own directory of backups), and keep the newest `keep` of this `mark`.

    Raises BackupError; then nothing of it is left, and no older one was dropped.
    """
    url = database.url(settings.database_url, settings.sockets)
    programs = _programs(settings, url)
    directory = place or settings.data / "backups"
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        whole = directory / f"pantau-{mark}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.dump"
        part = whole.with_suffix(".part")
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
    except OSError as error:
        raise BackupError(f"{directory} cannot be written: {error.strerror}.") from None
    try:
        line, environment = _line(url)
        _run(
            [programs / "pg_dump", "--format=custom", "--no-password", f"--file={part}", f"--dbname={line}"],
            environment,
        )
        tables = verify(programs, part)
        with part.open("rb") as written:
            os.fsync(written.fileno())
        part.rename(whole)
        size = whole.stat().st_size
    except OSError as error:
        raise BackupError(f"{directory} cannot be written: {error.strerror}.") from None
    finally:
        for left in directory.glob(f"pantau-{mark}-*.part"):
            with contextlib.suppress(OSError):
                left.unlink()
    return Backup(whole, size, tables, _drop(directory, mark, keep))


def verify(programs: Path, file: Path) -> int:
    """Read a backup from its beginning to its end; how many tables it holds. Raises BackupError."""
    listed = _run([programs / "pg_restore", "--list", file], {})
    tables = set(_TABLE.findall(listed))
    if missing := sorted(MUST - tables):
        raise BackupError(f"The backup does not hold {missing[0]}, so it is none.")
    _run([programs / "pg_restore", "--file=/dev/null", file], {})
    return len(tables)


def _drop(directory: Path, mark: str, keep: int) -> tuple[str, ...]:
    """Older backups of the same mark; one that cannot be removed stays."""
    names = sorted(path.name for path in directory.glob(f"pantau-{mark}-*.dump"))
    gone = []
    for name in names[: max(0, len(names) - keep)]:
        with contextlib.suppress(OSError):
            (directory / name).unlink()
            gone.append(name)
    return tuple(gone)


def _programs(settings: Settings, url: str) -> Path:
    """Where the programs are that can read a server as new as ours."""
    try:
        with psycopg.connect(url, connect_timeout=10, application_name="pantau backup") as connection:
            version = connection.info.server_version // 10000
    except psycopg.Error as error:
        reason = (str(error).strip().splitlines() or ["no reason given"])[0].rstrip(".")
        raise BackupError(f"The database cannot be reached: {reason}.") from None
    try:
        for found in postgres.candidates(settings.pg_bin):
            if found.version >= version and all(
                os.access(found.directory / name, os.X_OK) for name in ("pg_dump", "pg_restore")
            ):
                return found.directory
    except postgres.PostgresError as error:
        raise BackupError(str(error)) from None
    raise BackupError(f"There is no pg_dump of PostgreSQL {version} or newer here. Install it (apt-get install postgresql-client).")  # fmt: skip


def _line(url: str) -> tuple[str, dict[str, str]]:
    """(where to connect, what of it nobody may read in the list of processes)."""
    parts = conninfo_to_dict(url)
    password = parts.pop("password", None)
    line = make_conninfo(**{name: str(value) for name, value in parts.items() if value is not None})
    return line, {"PGPASSWORD": str(password)} if password else {}


def _run(words: list[str | Path], environment: dict[str, str]) -> str:
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, errors="replace", timeout=LONGEST, check=False,
            env={**os.environ, **environment, "LC_ALL": "C"}, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise BackupError("The backup took longer than four hours and was given up.") from None
    except OSError as error:
        raise BackupError(f"{Path(words[0]).name} cannot be run: {error.strerror}.") from None
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise BackupError(f"{Path(words[0]).name} gave up: {said[:300].rstrip('.')}.")
    return done.stdout
