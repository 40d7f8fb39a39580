"""What can be wrong with an installation before it looks at anything: coded findings, each with what to do."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import socket
import stat
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from config import database, migrate, sandbox, vault
from config.database import DatabaseError
from config.roles import ROLES
from config.settings import Settings
from config.tls import TlsError

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
    return [
        *_data(settings),
        *_key("P003", "vault", settings.vault_key),
        *_key("P007", "notifier", settings.notifier_key),
        _port(settings),
        *_database(settings),
        _roles(settings),
        _enclosed(),
        _certificate(settings),
    ]


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


def _key(code: str, whose: str, path: Path) -> Iterator[Finding]:
    if not path.exists():
        yield Finding(code, "warning", f"The {whose} has no key yet.", "`pantau up` makes it.")
        return
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        yield Finding(
            code, "error", f"The {whose}'s key {path} can be read by others (mode {mode:o}).", f"Run: chmod 600 {path}"
        )
        return
    try:
        vault.opener(path)
        yield Finding(code, "ok", f"The {whose}'s key is there and private.")
    except vault.VaultError as error:
        yield Finding(code, "error", str(error))


def listening_fault(settings: Settings) -> str:
    """Why the web server could not listen where it is told to, as a sentence; empty when it could."""
    try:
        found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except (OSError, UnicodeError):
        return f"'{settings.host}' is not an address of this machine. Choose another with --host."
    with socket.socket(found[0], found[1]) as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            line.bind(found[4])
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL:
                return f"{settings.host} is not an address of this machine. Choose another with --host."
            return (
                f"Port {settings.port} on {settings.host} cannot be used: {error.strerror}. Choose another with --port."
            )
    return ""


def _enclosed() -> Finding:
    if sandbox.offered():
        return Finding("P016", "ok", "The web process can be shut out of the keys (Landlock).")
    return Finding(
        "P016", "warning", "This system cannot shut the web process out of the keys.",
        "Use Linux 5.13 or newer with Landlock, or run `pantau web` as a user of its own.",
    )  # fmt: skip


def _roles(settings: Settings) -> Finding:
    lacking = [role for role in ROLES if not database.passwords(settings.sockets, role).exists()]
    if not lacking:
        return Finding("P014", "ok", "Each process has a user of its own in the database.")
    hint = "Run: pantau db roles" if settings.database_url else "Start it: `pantau up` makes them."
    return Finding("P014", "warning", "The processes share one user in the database.", hint)


def _certificate(settings: Settings) -> Finding:
    pair = settings.pair()
    if pair is None:
        if settings.proxies or settings.home().startswith("https://"):
            return Finding("P015", "ok", "Browsers are told to come over HTTPS, by a proxy in front.")
        return Finding(
            "P015", "warning", "The pages are served over plain HTTP.",
            "Push messages and passkeys need HTTPS: set PANTAU_TLS=own, or see docs/tls.md.",
        )  # fmt: skip
    try:
        pair.verify()
    except TlsError as error:
        return Finding("P015", "error", str(error))
    return Finding("P015", "ok", "The pages are served over HTTPS.")


def _port(settings: Settings) -> Finding:
    fault = listening_fault(settings)
    if not fault:
        return Finding("P004", "ok", f"Port {settings.port} is free for the web server.")
    if os.strerror(errno.EADDRINUSE) in fault:
        return Finding("P004", "ok", f"Port {settings.port} is in use: by Pantau, if it is running.")
    text, _, hint = fault.partition(". ")
    return Finding("P004", "error", f"{text}.", hint)


def _database(settings: Settings) -> Iterator[Finding]:
    if settings.database_url is None and not database.runs(settings.sockets):
        yield Finding("P005", "warning", "Pantau is not running here.", f"Start it: pantau up --data {settings.data}")
        return
    try:
        with contextlib.closing(_Bound(settings)) as bound:
            skew = bound.skew()
    except DatabaseError as error:
        yield Finding("P005", "error", str(error))
        return
    yield Finding("P005", "ok", "PostgreSQL answers, at the right revision.")
    late = skew > 2
    hint = "Set both clocks by NTP: states are stamped by ours." if late else ""
    yield Finding("P006", "warning" if late else "ok", f"PostgreSQL's clock and ours differ by {skew:.1f} s.", hint)


class _Bound:
    """The installation's database, verified."""

    def __init__(self, settings: Settings) -> None:
        url = database.url(settings.database_url, settings.sockets)
        self._engine = database.engine(url, size=1, name="pantau doctor")

    def skew(self) -> float:
        """Seconds between its clock and ours. Raises DatabaseError where it cannot be used as it is."""
        database.verify(self._engine)
        migrate.demand(self._engine)
        with self._engine.connect() as connection:
            theirs = connection.exec_driver_sql("select extract(epoch from clock_timestamp())").scalar_one()
            return abs(float(theirs) - time.time())

    def close(self) -> None:
        """Give the connection back."""
        self._engine.dispose()
