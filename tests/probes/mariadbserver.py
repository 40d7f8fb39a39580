"""Real MariaDB servers on loopback, each with a directory of its own: a source, and replicas of it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pymysql
from installation import until
from webpeers import Authority

from config import processes
from tests.ports import free_port

PROGRAM, MAKE, USER = "/usr/sbin/mariadbd", "/usr/bin/mariadb-install-db", "mysql"
CREATE = (
    "create user blind@'127.0.0.1' identified by 'right'",
    "create user here@'localhost' identified by 'right'",
    "create user app@'127.0.0.1' identified by 'right'",
    "create user copier@'127.0.0.1' identified by 'right'",
    "grant replication slave on *.* to copier@'127.0.0.1'",
    "create database shop",
    "create table shop.things (n int primary key)",
    "grant all on shop.* to app@'127.0.0.1'",
)


@dataclass
class Server:
    """One running server. `number` is its id in replication."""

    place: Path
    port: int
    number: int
    authority: Authority
    options: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        certificate = self.place / "server.pem"
        options = {
            "datadir": self.place / "data", "socket": self.place / "s", "pid-file": self.place / "pid",
            "bind-address": "127.0.0.1", "port": self.port, "server-id": self.number, "log-bin": "log",
            "innodb-buffer-pool-size": "16M", "innodb-flush-log-at-trx-commit": 0, "max-connections": 10,
            "ssl-cert": certificate, "ssl-key": certificate, "skip-name-resolve": "1", "slave-net-timeout": 4,
            "log-error": self.place / "log", "performance-schema": "off", "master-retry-count": 1000,
        } | self.options  # fmt: skip
        argv = [PROGRAM, "--no-defaults", *(f"--{name}={value}" for name, value in options.items())]
        self.process = processes.spawn(argv, user=_user(), death=signal.SIGKILL, quiet=True)
        until(lambda: self.do("select 1"), 60)

    def stop(self) -> None:
        """At once: nothing of it is needed again but by a start, which recovers."""
        if self.process is not None:
            processes.stop(self.process, signal.SIGTERM, 30)
            self.process = None

    @contextlib.contextmanager
    def session(self, user: str = "app") -> Iterator[Any]:
        """A session as `user` with the password all of them have here."""
        connection = pymysql.connect(
            host="127.0.0.1", port=self.port, user=user, password="right", ssl_disabled=True, autocommit=True
        )
        try:
            yield connection
        finally:
            with contextlib.suppress(pymysql.Error):
                connection.close()

    def do(self, *statements: str) -> list[Any]:
        """Statements as the superuser, the last one's rows; an empty list while the server does not answer."""
        with socket.socket(socket.AF_UNIX) as line:  # the library leaves its own open where there is no server yet
            try:
                line.connect(str(self.place / "s"))
                connection = pymysql.connect(user="root", autocommit=True, ssl_disabled=True, defer_connect=True)
                connection.connect(line)
                with contextlib.closing(connection), connection.cursor() as cursor:
                    for statement in statements:
                        cursor.execute(statement)
                    return list(cursor.fetchall())
            except (OSError, pymysql.OperationalError):
                return []


@contextlib.contextmanager
def server(number: int = 1, **options: str) -> Iterator[Server]:
    """A server with the users and the table of CREATE."""
    place = Path(tempfile.mkdtemp(prefix="pantau-my-"))
    place.chmod(0o755)
    authority = Authority(place)
    context_file = sorted(place.glob("*.pem"))
    authority.server("127.0.0.1")
    made_file = next(path for path in place.glob("*.pem") if path not in context_file)
    made_file.rename(place / "server.pem")
    data = place / "data"
    data.mkdir(0o700)
    if user := _user():
        for path in (place, data, place / "server.pem"):
            shutil.chown(path, user)
    subprocess.run(
        [MAKE, "--no-defaults", f"--datadir={data}", "--auth-root-authentication-method=normal", "--skip-test-db",
         *([f"--user={user}"] if user else []), "--innodb-buffer-pool-size=16M"],
        check=True, capture_output=True, cwd="/",
    )  # fmt: skip
    made = Server(place, free_port(), number, authority, dict(options))
    try:
        made.start()
        made.do(*CREATE, *_documented(), "reset master")
        yield made
    finally:
        made.stop()
        shutil.rmtree(place, ignore_errors=True)


@contextlib.contextmanager
def replica(source: Server) -> Iterator[Server]:
    """A server that replicates from `source`, up and level."""
    with server(2) as made:
        made.do(
            f"change master to master_host='127.0.0.1', master_port={source.port}, master_user='copier',"
            " master_password='right', master_use_gtid=slave_pos, master_connect_retry=1",
            "start slave",
        )
        yield made


def _documented() -> list[str]:
    """The statements of the documentation for MariaDB, for the user the tests log in as."""
    page = (Path(__file__).parents[2] / "docs" / "probes" / "mysql.md").read_text()
    block = page.partition("MariaDB 10.5 and newer:")[2].partition("```sql\n")[2].partition("```")[0]
    block = block.replace("pantau@", "watcher@").replace("ADDRESS-OF-PANTAU", "127.0.0.1")
    return [line for line in block.replace("A-LONG-PASSWORD", "right").splitlines() if line]


def _user() -> str | None:
    return USER if os.geteuid() == 0 else None
