"""Real PostgreSQL servers on loopback, each with a directory of its own: a primary, and replicas made from it."""

from __future__ import annotations

import contextlib
import pwd
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from installation import until
from talkers import Talker, talking

from config import postgres, processes
from tests.ports import free_port

OPTIONS = {
    "listen_addresses": "127.0.0.1", "max_connections": "12", "superuser_reserved_connections": "2",
    "shared_buffers": "16MB", "fsync": "off", "wal_level": "replica", "hot_standby": "on", "max_wal_senders": "4",
    "wal_keep_size": "16MB", "timezone": "UTC", "log_min_messages": "fatal", "wal_receiver_timeout": "5s",
    "wal_retrieve_retry_interval": "1s", "autovacuum": "off",
}  # fmt: skip
HBA = """local all pantau peer map=pantau
host all clearly 127.0.0.1/32 password
host all stranger 127.0.0.1/32 reject
host all trusted 127.0.0.1/32 trust
host replication copier 127.0.0.1/32 scram-sha-256
host all all 127.0.0.1/32 scram-sha-256
"""
CREATE = """
create role blind login password 'right';
create role clearly login password 'right' ; grant pg_monitor to clearly;
create role app login password 'right';
create role copier login replication password 'right';
"""


@dataclass
class Server:
    """One running server."""

    cluster: postgres.Cluster
    port: int
    options: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it lets the superuser in."""
        options = {**OPTIONS, "unix_socket_directories": str(self.cluster.sockets), "port": str(self.port)}
        flags = [word for name, value in (options | self.options).items() for word in ("-c", f"{name}={value}")]
        argv = [self.cluster.binaries.directory / "postgres", "-D", self.cluster.directory, *flags]
        self.process = processes.spawn(argv, user=self.cluster.user, death=signal.SIGQUIT, quiet=True)
        until(lambda: self.do("select 1"), 60)

    def stop(self) -> None:
        """The quick way; nothing is left behind."""
        if self.process is not None:
            processes.stop(self.process, signal.SIGQUIT, 30)
            self.process = None

    @contextlib.contextmanager
    def session(self, user: str = "", **more: Any) -> Iterator[psycopg.Connection[Any]]:
        """A session as `user` with the password all of them have here, else as the superuser."""
        where: dict[str, Any] = {"host": str(self.cluster.sockets), "user": "pantau"}
        if user:
            where = {"host": "127.0.0.1", "user": user, "password": "right"}
        with psycopg.connect(**where, port=self.port, dbname="postgres", autocommit=True, **more) as connection:
            yield connection

    def do(self, statement: str) -> list[tuple[Any, ...]]:
        """One statement as the superuser; an empty list while the server does not let it in."""
        try:
            with self.session() as connection:
                cursor = connection.execute(statement.encode())
                return cursor.fetchall() if cursor.description else []
        except psycopg.OperationalError:
            return []


@contextlib.contextmanager
def server(programs: Path | None = None, **options: str) -> Iterator[Server]:
    """A primary with the roles of CREATE, of the programs in that directory or the best there are."""
    place = Path(tempfile.mkdtemp(prefix="pantau-pg-"))
    place.chmod(0o755)
    cluster = postgres.prepare(place / "data", programs, None, lambda text: None)
    _own(cluster, "pg_hba.conf", HBA)
    made = Server(cluster, free_port(), options)
    try:
        made.start()
        with made.session() as connection:
            connection.execute((CREATE + _documented()).encode())
        yield made
    finally:
        made.stop()
        shutil.rmtree(place, ignore_errors=True)


@contextlib.contextmanager
def replica(primary: Server, name: str = "second") -> Iterator[Server]:
    """A streaming replica of `primary`, up."""
    place = primary.cluster.directory.parent.parent / name
    sockets = place / "run"
    postgres.make_directory(place, primary.cluster.user)
    postgres.make_directory(sockets, primary.cluster.user)
    cluster = postgres.Cluster(place / "postgres", sockets, primary.cluster.user, primary.cluster.binaries)
    account = pwd.getpwnam(cluster.user) if cluster.user else None
    source = f"host=127.0.0.1 port={primary.port} user=copier password=right application_name={name}"
    subprocess.run(
        [cluster.binaries.directory / "pg_basebackup", "-d", source, "-D", cluster.directory, "-R", "-c", "fast",
         "-C", "-S", f"slot_{name}", "-X", "stream"],
        check=True, capture_output=True, cwd="/", user=account.pw_uid if account else None,
        group=account.pw_gid if account else None, extra_groups=[] if account else None,
    )  # fmt: skip
    made = Server(cluster, free_port())
    try:
        made.start()
        until(lambda: primary.do("select 1 from pg_stat_replication where state = 'streaming'"), 30)
        yield made
    finally:
        made.stop()
        primary.do(f"select pg_drop_replication_slot('slot_{name}') where not (select active from pg_replication_slots "
                   f"where slot_name = 'slot_{name}')")  # fmt: skip


@contextlib.contextmanager
def before_tls(to: int, context: ssl.SSLContext) -> Iterator[Talker]:
    """TLS as PostgreSQL offers it (after an SSLRequest), ended here and passed on in the clear to the port `to`."""

    def speech(talker: Talker, line: socket.socket) -> None:
        line.recv(8)
        line.sendall(b"S")
        with context.wrap_socket(line, server_side=True) as near, socket.create_connection(("127.0.0.1", to)) as far:
            thread = threading.Thread(target=_pass_on, args=(far, near))
            thread.start()
            _pass_on(near, far)
            thread.join(10)

    with talking(speech) as talker:
        yield talker


def _pass_on(source: Any, sink: Any) -> None:
    with contextlib.suppress(OSError, ValueError):
        while data := source.recv(65536):
            sink.sendall(data)
    for end in (source, sink):
        with contextlib.suppress(OSError, ValueError):
            socket.socket.shutdown(end, socket.SHUT_RDWR)


def _documented() -> str:
    """The statements of the documentation, for the role the tests log in as."""
    page = (Path(__file__).parents[2] / "docs" / "probes" / "postgres.md").read_text()
    statements = page.partition("```sql\n")[2].partition("```")[0]
    return statements.replace("pantau", "watcher").replace("A-LONG-PASSWORD", "right")


def _own(cluster: postgres.Cluster, name: str, text: str) -> None:
    path = cluster.directory / name
    path.write_text(text)
    if cluster.user:
        shutil.chown(path, cluster.user)
