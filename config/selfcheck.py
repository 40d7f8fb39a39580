"""What can be wrong with an installation before it looks at anything: coded findings, each with what to do."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

from config import database, migrate, vault
from config.database import DatabaseError
from config.settings import Settings

LOW_DISK = 1 << 30


@dataclass(frozen=True)
class Finding:
    """`code` never changes its meaning; `hint` says what to do, and is empty where nothing is to be done."""

    code: str
    level: Literal["ok", "warning", "error"]
    text: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.code}  {self.level:<8} {self.text}{f' {self.hint}' if self.hint else ''}"

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def findings(settings: Settings) -> list[Finding]:
    """Everything about directories, keys, ports, clock and database."""
    return [*_data(settings), *_key(settings), _port(settings), *_database(settings)]


def _data(settings: Settings) -> Iterator[Finding]:
    place = settings.data
    if not place.is_dir():
        yield Finding("P001", "warning", f"The data directory {place} is not there yet.", "`pantau up` makes it.")
        return
    if not os.access(place, os.W_OK | os.X_OK):
        yield Finding(
            "P001",
            "error",
            f"The data directory {place} cannot be written.",
            "Give it to this user or choose another with --data.",
        )
        return
    yield Finding("P001", "ok", f"The data directory {place} can be written.")
    free = shutil.disk_usage(place).free
    level: Literal["ok", "error"] = "ok" if free > LOW_DISK else "error"
    hint = "" if level == "ok" else "Make room: PostgreSQL stops when the disk is full."
    yield Finding("P002", level, f"{free / 2**30:.1f} GiB are free there.", hint)


def _key(settings: Settings) -> Iterator[Finding]:
    path = settings.vault_key
    if not path.exists():
        yield Finding("P003", "warning", "The vault has no key yet.", "`pantau up` makes it.")
        return
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        yield Finding(
            "P003", "error", f"The vault's key {path} can be read by others (mode {mode:o}).", f"Run: chmod 600 {path}"
        )
        return
    try:
        vault.opener(path)
        yield Finding("P003", "ok", "The vault's key is there and private.")
    except vault.VaultError as error:
        yield Finding("P003", "error", str(error))


def _port(settings: Settings) -> Finding:
    try:
        with socket.create_connection(
            (settings.address().split("//")[1].rsplit(":", 1)[0].strip("[]"), settings.port), 2
        ):
            return Finding("P004", "ok", f"Something answers on port {settings.port}: Pantau, if it is running.")
    except OSError:
        return Finding("P004", "ok", f"Port {settings.port} is free for the web server.")


def _database(settings: Settings) -> Iterator[Finding]:
    bound = database.engine(database.url(settings.database_url, settings.sockets), size=1, name="pantau doctor")
    try:
        database.verify(bound)
        migrate.demand(bound)
        with bound.connect() as connection:
            skew = abs(
                float(connection.exec_driver_sql("select extract(epoch from clock_timestamp())").scalar_one())
                - time.time()
            )
    except DatabaseError as error:
        hint = "" if settings.database_url else f"Start it: pantau up --data {settings.data}"
        yield Finding("P005", "error", str(error), hint)
        return
    finally:
        bound.dispose()
    yield Finding("P005", "ok", "PostgreSQL answers, at the right revision.")
    late = skew > 2
    hint = "Set both clocks by NTP: states are stamped by ours." if late else ""
    yield Finding("P006", "warning" if late else "ok", f"PostgreSQL's clock and ours differ by {skew:.1f} s.", hint)
