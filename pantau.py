"""The command line: composes each room's commands; rooms are imported only when their command runs."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlsplit

import click

from config import listening, logs
from config.settings import Settings, SettingsError, load

if TYPE_CHECKING:
    import psycopg

VERSION = "0.1.0"
_log = logging.getLogger("up")


def main() -> None:
    """Entry point: every foreseeable failure is one sentence on standard error and exit code 1 (2 for usage)."""
    try:
        code = cli(standalone_mode=False, prog_name="pantau")
        sys.stdout.flush()
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        code = 2
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx else "pantau"
        code = _complain(error, f" See: {where} --help", 2)
    except click.ClickException as error:
        code = _complain(error, "", 1)
    except (KeyboardInterrupt, click.Abort):
        click.echo("Stopped by Ctrl-C.", err=True)
        code = 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the interpreter flushes once more at its end
        code = 0
    sys.exit(code if isinstance(code, int) else 0)


def _complain(error: click.ClickException, hint: str, code: int) -> int:
    """Say what is wrong in one line."""
    sentence = " ".join(error.format_message().split())
    click.echo(f"Error: {sentence[:1].upper()}{sentence[1:]}{hint}", err=True)
    return code


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(VERSION, prog_name="pantau")
@click.option("--data", type=click.Path(path_type=Path), help="Directory for the database, keys and spool.")
@click.pass_context
def cli(context: click.Context, data: Path | None) -> None:
    """Pantau watches machines without installing anything on them."""
    context.obj = {"data": data}


def settings_from(context: click.Context, **given: Any) -> Settings:
    """The settings, or one sentence."""
    data = given.pop("data", None) or context.obj["data"]
    try:
        return load(data=data, **given)
    except SettingsError as error:
        raise click.ClickException(str(error)) from None


def stop(message: object) -> NoReturn:
    """End with one sentence."""
    raise click.ClickException(str(message)) from None


# ---- running ----


@cli.command()
@click.option("--data", type=click.Path(path_type=Path), help="Directory for the database, keys and spool.")
@click.option("--host", help="Address to listen on (127.0.0.1).")
@click.option("--port", type=click.IntRange(1, 65535), help="Port to listen on (8080).")
@click.pass_context
def up(context: click.Context, data: Path | None, host: str | None, port: int | None) -> None:
    """Start everything: database, poller, notifier and web, kept alive until Ctrl-C."""
    settings = settings_from(context, data=data, host=host, port=port)
    logs.start(settings.log_level)
    _Up(settings).run()


class _Up:
    """The supervisor: starts what the installation needs in order, brings back what ends, stops it in reverse."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stopping = False
        self._kept: list[Any] = []
        self._server: Any = None

    def run(self) -> None:
        """Until Ctrl-C or SIGTERM."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._told_to_stop)
        lock = self._lock_data()
        listen_test(self._settings)
        listening.remember(self._settings)
        try:
            self._start_database()
            self._first_minutes()
            self._tend()
        except _Stop:
            click.echo("\nPantau: stopping ...")
        finally:
            self._shut_down()
            lock.close()

    def _told_to_stop(self, number: int, frame: object) -> None:
        if self._stopping:
            return
        self._stopping = True
        raise _Stop

    def _lock_data(self) -> Any:
        """Only one `pantau up` for a data directory."""
        import fcntl

        from config.postgres import PostgresError, make_directory

        try:
            make_directory(self._settings.data)
            lock = (self._settings.data / "up.lock").open("w")
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except PostgresError as error:
            stop(error)
        except BlockingIOError:
            stop(f"Pantau already runs on {self._settings.data}. Stop that one first, or choose another --data.")
        except OSError as error:
            stop(
                f"The directory {self._settings.data} cannot be written: {error.strerror}. Choose another with --data."
            )
        return lock

    def _start_database(self) -> None:
        from config import database, migrate, postgres, tls, vault, webkey
        from config.processes import Kept
        from domain.clock import now

        settings, say = self._settings, self._say
        try:
            if settings.database_url is None:
                cluster = postgres.prepare(settings.data, settings.pg_bin, settings.pg_user, say)
                say(f"starting PostgreSQL {cluster.binaries.version} ...")
                self._server = Kept("PostgreSQL", lambda: postgres.run(cluster))
                self._server.tend(time.monotonic())
                postgres.wait_ready(cluster, self._server.child, say)
                postgres.admit(cluster)
            engine = database.engine(database.url(settings.database_url, settings.sockets), size=1, name="pantau up")
            database.verify(engine)
            if migrate.current(engine) is None:
                say("making the tables ...")
            migrate.upgrade(engine)
            if vault.create(settings.vault_key, settings.vault_public):
                say(f"made the vault's key {settings.vault_key} (keep a copy of it, apart from backups).")
            if vault.create(settings.notifier_key, settings.notifier_public):
                say(f"made the notifier's key {settings.notifier_key} (keep a copy of it, apart from backups).")
            if settings.tls == "own":
                made = tls.ensure(settings.tls_directory, tls.names_of(urlsplit(settings.home()).hostname or ""), now())
                if made:
                    say(
                        f"made a certificate; browsers are to trust {tls.authority(settings.tls_directory)} (docs/tls.md)."
                    )
            elif pair := settings.pair():
                pair.verify()
            if webkey.create(settings.web_key):
                say(f"made the web's key {settings.web_key} (keep a copy of it, apart from backups).")
        except (postgres.PostgresError, database.DatabaseError, vault.VaultError, tls.TlsError) as error:
            stop(error)
        self._engine = engine

    def _first_minutes(self) -> None:
        from config import database
        from domain import beginning
        from probes import catalogue

        with database.sessions(self._engine)() as session:
            beginning.prepare(session, socket.gethostname() or "this-machine", "local" in catalogue())
            token = beginning.offer_token(session)
            session.commit()
        self._engine.dispose()
        address = self._settings.address()
        click.echo(f"\n  Pantau watches. Open  {address}{f'/setup?token={token}' if token else '/'}\n")
        if token:
            click.echo(f"  One-time set-up token: {token}\n  (it works until the first account is made)\n")
            if self._settings.tls == "off":
                click.echo("  Plain HTTP: push messages and passkeys work in browsers on this machine only.")
                click.echo("  For all of them: PANTAU_TLS=own, or a certificate of yours (docs/tls.md).\n")
        click.echo("  Ctrl-C stops everything.\n")

    def _tend(self) -> None:
        from config.processes import Kept, spawn

        def start(name: str) -> Callable[[], Any]:
            return lambda: spawn([sys.executable, "-m", "pantau", name], env=self._environment())

        self._kept = [Kept(name, start(name)) for name in ("web", "poller", "notifier")]
        while True:
            now = time.monotonic()
            for kept in ([self._server] if self._server else []) + self._kept:
                kept.tend(now)
            time.sleep(0.2)

    def _environment(self) -> dict[str, str]:
        """What a child needs to come to the same settings, whatever the command line said."""
        settings = self._settings
        given = {"PANTAU_DATA": str(settings.data), "PANTAU_HOST": settings.host, "PANTAU_PORT": str(settings.port)}
        return {**os.environ, **given, "PYTHONUNBUFFERED": "1"}

    def _shut_down(self) -> None:
        from config.postgres import shut_down

        self._stopping = True
        for kept in self._kept:
            if kept.child is not None and kept.child.poll() is None:
                kept.child.terminate()
        for kept in self._kept:
            kept.stop()
        listening.forget(self._settings)
        if self._server is not None and self._server.child is not None:
            shut_down(self._server.child)
        self._say("stopped.")

    def _say(self, text: str) -> None:
        click.echo(f"Pantau: {text}")


def listen_test(settings: Settings) -> None:
    """One sentence where the web server could not listen; nothing listens afterwards."""
    from config.selfcheck import listening_fault

    fault = listening_fault(settings)
    if fault:
        stop(fault)


class _Stop(BaseException):
    """Told to stop by a signal."""


@cli.command()
@click.pass_context
def poller(context: click.Context) -> None:
    """Only the poller (started by `up`, or alone on a remote site)."""
    settings = settings_from(context)
    logs.start(settings.log_level)
    from poller import process

    context.exit(process.run(settings))


@cli.command()
@click.pass_context
def notifier(context: click.Context) -> None:
    """Only the notifier."""
    settings = settings_from(context)
    logs.start(settings.log_level)
    from notifier import process

    context.exit(process.run(settings))


@cli.command()
@click.pass_context
def web(context: click.Context) -> None:
    """Only the web server."""
    settings = settings_from(context)
    logs.start(settings.log_level)
    listen_test(settings)
    listening.remember(settings)
    from webui import server

    server.run(settings)


# ---- people ----


@cli.group()
def person() -> None:
    """People, for an administrator who cannot log in."""


@person.command("reset")
@click.argument("login")
@click.option("--second-factor", "factors", is_flag=True, help="Take the second factor away too.")
@click.pass_context
def reset_person(context: click.Context, login: str, factors: bool) -> None:
    """Print a link by which LOGIN chooses a new password. It opens once, for 30 minutes."""
    from sqlalchemy import delete, select

    from domain import audit, tickets
    from domain.identity import Passkey, RecoveryCode, Totp
    from domain.inventory import Person

    settings = listening.recall(settings_from(context))
    with open_session(settings) as session:
        someone = session.scalar(select(Person).where(Person.login == login.strip().lower()))
        if someone is None:
            stop(f"there is nobody who logs in as '{login}'.")
        if not someone.active:
            stop(f"{someone.name} may not log in; an administrator switches that on under People.")
        token = tickets.make(session, someone, "reset")
        if factors:
            for table in (Totp, RecoveryCode, Passkey):
                session.execute(delete(table).where(table.person_id == someone.id))
        detail = {"name": someone.name, "factors": factors}
        audit.write(session, "person.reset", on=f"person:{someone.id}", detail=detail)
        session.commit()
        click.echo(
            f"{someone.name} chooses a new password here, once, within 30 minutes:\n{settings.home()}/in/{token}"
        )


# ---- database ----


@cli.group()
def db() -> None:
    """The database."""


@db.command()
@click.pass_context
def upgrade(context: click.Context) -> None:
    """Bring the database to this version's tables."""
    from config import database, migrate

    engine = open_database(settings_from(context), demand=False)
    try:
        click.echo(
            "The database is now up to date." if migrate.upgrade(engine) else "The database was up to date already."
        )
    except database.DatabaseError as error:
        stop(error)


@db.command("roles")
@click.pass_context
def database_roles(context: click.Context) -> None:
    """Make each process's own user in the database, with a password nobody knows."""
    from config import database, migrate, roles

    settings = settings_from(context)
    engine = open_database(settings)
    try:
        with database_line(settings) as connection:
            roles.make(connection)
            for role in roles.ROLES:
                roles.admit(connection, role, database.passwords(settings.sockets, role))
        migrate.upgrade(engine)
    except (roles.RolesError, database.DatabaseError) as error:
        stop(error)
    click.echo(f"Made: {', '.join(map(roles.name, roles.ROLES))}. They are used from the next start on.")


@contextmanager
def database_line(settings: Settings, then: str = "", *, autocommit: bool = False) -> Iterator[psycopg.Connection]:
    """A plain line to the installation's database; one that breaks ends the command with a sentence, and `then`."""
    import psycopg

    from config import database

    url = database.url(settings.database_url, settings.sockets)
    try:
        with psycopg.connect(url, connect_timeout=10, application_name="pantau", autocommit=autocommit) as connection:
            yield connection
    except psycopg.Error as error:
        reason = (str(error).strip().splitlines() or ["no reason given"])[0].rstrip(".")
        stop(f"The database gave up: {reason}. {then}".rstrip())


def open_database(settings: Settings, *, demand: bool = True) -> Any:
    """An engine on the installation's database, or one sentence."""
    from config import database, migrate

    if settings.database_url is None and not database.runs(settings.sockets):
        stop(f"Pantau is not running on {settings.data}. Start it: pantau up --data {settings.data}")
    try:
        engine = database.engine(database.url(settings.database_url, settings.sockets), size=1, name="pantau command")
        database.verify(engine)
        if demand:
            migrate.demand(engine)
    except database.DatabaseError as error:
        stop(error)
    return engine


def _actor() -> Any:
    """Whoever types commands here, as the audit knows them: the system's account, under which sudo was used if it was."""
    from getpass import getuser

    from domain.audit import Actor

    try:
        name = os.environ.get("SUDO_USER") or getuser()
    except (KeyError, OSError):  # an account without a name, as in some containers
        name = str(os.getuid()) if hasattr(os, "getuid") else ""
    return Actor(name=name, source="command line")


@contextmanager
def open_session(settings: Settings) -> Iterator[Any]:
    """A session on the installation's database; what the database refuses is one sentence, and rolled back."""
    from sqlalchemy.exc import DBAPIError

    from config import database
    from domain import audit

    engine = open_database(settings)
    maker = database.sessions(engine)
    audit.attend(maker, _actor)
    try:
        with maker() as session:
            yield session
    except DBAPIError as error:
        reason = (str(error.orig).strip().splitlines() or ["no reason given"])[0].rstrip(".")
        stop(f"The database gave up, and nothing was changed: {reason}.")
    finally:
        engine.dispose()


# ---- looking ----


@cli.command()
@click.argument("kind")
@click.argument("address")
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="An option of the probe; may be repeated.")
@click.option("--user", default="", help="User name to log in with.")
@click.option("--key", type=click.Path(path_type=Path), help="Private key file to log in with.")
@click.option("--ask-password", is_flag=True, help="Ask for the password (or the key's passphrase).")
@click.option("--deadline", type=float, default=15.0, show_default=True, help="Seconds the look may take.")
@click.option("--json", "as_json", is_flag=True, help="Print the Reading as JSON.")
@click.pass_context
def probe(
    context: click.Context, kind: str, address: str, sets: tuple[str, ...], user: str, key: Path | None,
    ask_password: bool, deadline: float, as_json: bool,
) -> None:  # fmt: skip
    """Look once at ADDRESS by KIND and print what was seen. Nothing is stored.

    Exit code: 0 looked, 1 the look failed, 2 usage.
    """
    from domain.options import fill
    from probes import catalogue
    from probes.once import look_once

    found = catalogue().get(kind)
    if found is None:
        raise click.UsageError(f"There is no '{kind}' probe; there are: {', '.join(sorted(catalogue()))}.")
    if not 0.1 <= deadline <= 300:
        raise click.UsageError("--deadline lies between 0.1 and 300 seconds.")
    pairs = _pairs(sets)
    words = {found.secret_words[name]: pairs.pop(name) for name in list(pairs) if name in found.secret_words}
    address, port = _address(address)
    if port and "port" not in pairs and found.port is not None:
        pairs["port"] = port
    try:
        options = fill(found.options, pairs)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    reading = look_once(found, address, options, _secret(user, key, ask_password, words), deadline)
    _print_reading(reading, as_json)
    context.exit(1 if reading.failure else 0)


def _pairs(sets: tuple[str, ...]) -> dict[str, str]:
    pairs = {}
    for pair in sets:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise click.UsageError(f"--set takes KEY=VALUE, not '{pair}'.")
        pairs[name] = value
    return pairs


def _address(text: str) -> tuple[str, str]:
    """A machine and, where it ends in ":PORT", the port. IPv6 addresses with a port stand in brackets."""
    host, colon, port = text.rpartition(":")
    if colon and port.isascii() and port.isdigit() and (":" not in host or host.endswith("]")) and "/" not in host:
        return host, port
    return text, ""


def _secret(user: str, key: Path | None, ask: bool, words: dict[str, str]) -> Any:
    from domain.reading import Secret

    if not user and key is None and not ask and not words:
        return None
    password = click.prompt("Password or passphrase", hide_input=True, default="", show_default=False) if ask else ""
    if key is None:
        return Secret(user, **{"password": password, **words})
    try:
        return Secret(user, private_key=key.read_text(), passphrase=password)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not a text file"
        raise click.UsageError(f"The key file {key} cannot be read: {reason}.") from None


def _print_reading(reading: Any, as_json: bool) -> None:
    from domain.spoken import as_json as spoken

    if as_json:
        click.echo(json.dumps(spoken(reading), ensure_ascii=False))
        return
    if reading.failure:
        click.echo(f"{reading.failure.kind}: {reading.failure.detail}", err=True)
    for fact in reading.facts:
        click.echo(f"{fact.name + (f'[{fact.of}]' if fact.of else ''):<44} {fact.value}")
    for measure in reading.measures:
        name = measure.name + (f"[{measure.of}]" if measure.of else "")
        click.echo(
            f"{name:<44} {measure.value:>16.6g} {measure.unit}{' (counter)' if measure.kind == 'counter' else ''}"
        )
    click.echo(f"took {reading.took:.3f} s, sent {reading.cost.sent} bytes, received {reading.cost.received} bytes")


@cli.command()
@click.argument("file", type=click.File("r", encoding="utf-8"), required=False)
@click.option("--host", "name", help="A machine: its stored results instead of a file.")
@click.option("--from", "begin", default="14d", show_default=True, help="From when: 14d, 3h, or 2026-11-21T09:00.")
@click.option("--to", "end", help="Until when; now, if not given.")
@click.option("--limit", "limits", multiple=True, help="A limit to try: 'system.cpu.utilization > 85 % for 10 min'.")
@click.option("--write", is_flag=True, help="Print the recording itself instead of what the rules say to it.")
@click.pass_context
def replay(
    context: click.Context,
    file: Any,
    name: str | None,
    begin: str,
    end: str | None,
    limits: tuple[str, ...],
    write: bool,
) -> None:
    """Feed recorded results through the rules and print what they would say.

    FILE is JSON lines (- for standard input); with --host the stored results of a machine are taken instead.
    """
    from domain.replay import ReplayError
    from domain.replay import replay as run

    if (file is None) == (name is None):
        stop("give either a FILE, or --host with the name of a machine.")
    source: Any = file
    if name is not None:
        source = _recorded(settings_from(context), name, begin, end, limits)
    elif limits or write or end:
        stop("--limit, --write and --to belong to --host: a file has its own limits.")
    called = file.name if file is not None else str(name)
    try:
        for line in source if write else run(source):
            click.echo(line)
    except ReplayError as error:
        stop(f"{called}, {error}")
    except UnicodeDecodeError:
        stop(f"{called} is not UTF-8 text.")
    except OSError as error:
        stop(f"{called} cannot be read: {error.strerror}.")


def _recorded(settings: Settings, name: str, begin: str, end: str | None, limits: tuple[str, ...]) -> list[str]:
    """What is stored of a machine, as the lines of a recording."""
    from sqlalchemy import select

    from domain.clock import now
    from domain.inventory import Host
    from webui import recorded

    with open_session(settings) as session:
        host = session.scalar(select(Host).where(Host.name == name))
        if host is None:
            stop(f"there is no machine '{name}'.")
        try:
            moments = [recorded.moment(typed, now(), settings) for typed in (begin, end or "0d")]
            typed = [recorded.limit(one) for one in limits]
        except ValueError as error:
            stop(error)
        return list(recorded.lines(session, host, moments[0], moments[1], settings, typed))


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@click.pass_context
def doctor(context: click.Context, as_json: bool) -> None:
    """Check this installation: coded findings, each with what to do. Exit code 1 if anything must be mended."""
    from config import selfcheck
    from probes import selftest

    settings = listening.recall(settings_from(context))
    findings = selfcheck.findings(settings) + [selfcheck.Finding(*f) for f in selftest.findings()]
    if any(f.code == "P005" and f.level == "ok" for f in findings):
        from webui import caution

        with open_session(settings) as session:
            findings += [selfcheck.Finding(*f) for f in caution.findings(session, settings.zone)]
    if as_json:
        click.echo(json.dumps([f.as_json() for f in findings], ensure_ascii=False))
    else:
        for finding in findings:
            click.echo(str(finding))
    context.exit(1 if any(f.level == "error" for f in findings) else 0)


# ---- configuration as code ----


@cli.command()
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--dry-run", is_flag=True, help="Only print what would change.")
@click.option("--prune", is_flag=True, help="Remove what FILE does not name, in the sections it has.")
@click.option("--renew-secrets", is_flag=True, help="Read every secret again, even of credentials that exist.")
@click.pass_context
def apply(context: click.Context, file: Path, dry_run: bool, prune: bool, renew_secrets: bool) -> None:
    """Make the inventory what FILE (YAML, - for standard input) says, and print the difference.

    All or nothing. Applying the same file twice changes nothing. A running poller takes it over by itself.
    """
    from config import vault
    from domain import audit as record
    from webui import documents

    settings = settings_from(context)
    ask = _ask_secret if sys.stdin.isatty() else None
    try:
        text = sys.stdin.buffer.read().decode() if str(file) == "-" else file.read_text(encoding="utf-8")
        document = documents.parse(text)
        with open_session(settings) as session:
            seal = vault.sealer(settings.vault_public).seal if document.credentials else _nothing_to_seal
            lines = list(documents.apply(session, document, seal, ask=ask, renew=renew_secrets, prune=prune))
            if lines:
                record.write(session, "apply.done", detail={"file": file.name, "changes": len(lines)})
            session.rollback() if dry_run else session.commit()
    except (documents.DocumentError, vault.VaultError) as error:
        stop(f"{file}: {error}" if isinstance(error, documents.DocumentError) else error)
    except (OSError, UnicodeDecodeError) as error:
        stop(f"{file} cannot be read: {getattr(error, 'strerror', None) or 'it is not UTF-8 text'}.")
    for line in lines or ["Nothing to change: everything is as the file says."]:
        click.echo(line)
    if dry_run and lines:
        click.echo("Only looked: nothing was changed.")


def _nothing_to_seal(secret: bytes, place: str) -> bytes:
    raise AssertionError("a document without credentials has no secrets")


def _ask_secret(prompt: str) -> str:
    return str(click.prompt(prompt, hide_input=True))


@cli.command()
@click.pass_context
def export(context: click.Context) -> None:
    """Print the inventory as YAML that `pantau apply` takes; secrets are never printed."""
    from domain import audit as record
    from webui import documents

    with open_session(settings_from(context)) as session:
        try:
            document = documents.dump(documents.export(session))
            record.write(session, "export.estate")
            session.commit()
            click.echo(document, nl=False)
        except documents.DocumentError as error:
            stop(error)


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@click.pass_context
def status(context: click.Context, as_json: bool) -> None:
    """What is wrong, and since when. Exit code 0 all well, 1 something is wrong or cannot be known."""
    from webui import standing

    try:
        settings = settings_from(context)
        with open_session(settings) as session:
            now = standing.read(session, settings.interval)
    except click.ClickException as error:
        if as_json:
            click.echo(json.dumps(standing.without_database(error.message).as_json(), ensure_ascii=False))
        raise
    click.echo(json.dumps(now.as_json(), ensure_ascii=False) if as_json else now.as_text())
    context.exit(1 if now.problems else 0)


# ---- vault ----


@cli.group()
def vault() -> None:
    """The keys that open the logins of watched machines, and what is sealed for them."""


@vault.command("rotate")
@click.pass_context
def rotate_vault(context: click.Context) -> None:
    """Make new keys, seal every secret anew, and take the old keys away. Broken off, it goes on where it was.

    Everything may go on running meanwhile. Whoever runs this must be able to write the key files.
    """

    from config.vault import VaultError
    from poller import rotation
    from webui import rekeying

    settings = settings_from(context)
    open_database(settings).dispose()
    lost: list[str] = []
    try:
        with database_line(settings, "Run it again: it goes on where it was.", autocommit=True) as connection:
            connection.execute("select set_config('pantau.actor', %s, false)", [_actor().as_json()])
            for ring in rotation.rings(settings):
                lost += rotation.rotate(connection, ring, lambda text: click.echo(f"Pantau: {text}")).lost
            lost += rekeying.rotate(connection, settings.web_key, lambda text: click.echo(f"Pantau: {text}"))
    except (VaultError, OSError) as error:
        stop(error)
    click.echo("Keep copies of the new key files. Copies of the old ones are needed for backups made before now alone.")
    if lost:
        stop(f"These opened with no key before, and do not now; enter them again: {', '.join(lost[:20])}.")


@vault.command("check")
@click.pass_context
def check_vault(context: click.Context) -> None:
    """Open every stored secret once, and name those that do not. Nothing is shown or changed."""

    from config import vault as keys
    from poller import rotation
    from webui import rekeying

    settings = settings_from(context)
    open_database(settings).dispose()
    lost: list[str] = []
    try:
        with database_line(settings, autocommit=True) as connection:
            for ring in rotation.rings(settings):
                lost += rotation.lost(connection, ring, keys.opener(ring.key))
            lost += rekeying.lost(connection, settings.web_key)
    except (keys.VaultError, OSError) as error:
        stop(error)
    if lost:
        stop(f"These open with no key; enter them again: {', '.join(lost[:20])}.")
    click.echo("Every stored secret opens with the keys that are there.")


# ---- audit ----


@cli.group()
def audit() -> None:
    """Who did what: a chain of rows that is only added to."""


@audit.command("verify")
@click.option(
    "--checkpoint", default="", metavar="COUNT:HASH", help="One printed earlier: also misses rows cut off since."
)
@click.pass_context
def verify_audit(context: click.Context, checkpoint: str) -> None:
    """Read the whole chain and compute it again. Exit code 1 and the first row that is wrong, if there is one."""

    from domain import audit as record

    settings = settings_from(context)
    open_database(settings).dispose()
    try:
        with database_line(settings) as connection:
            found = record.verify(connection, checkpoint)
    except ValueError as error:
        stop(error)
    if found.broken is not None:
        stop(
            f"The audit is broken at row {found.broken.id}: {found.broken.reason}. The {found.rows} rows before it are whole."
        )
    dropped = f" (the {found.dropped} before them were dropped as set)" if found.dropped else ""
    click.echo(f"The audit is whole: {found.rows} rows{dropped}. Keep this elsewhere: {found.checkpoint}")


@audit.command("list")
@click.option("--person", default="", help="Only what this person did (part of the name).")
@click.option("--what", default="", help="Only this kind, such as host or host.changed.")
@click.option("--on", default="", help="Only what was done to this, such as host:12.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, show_default=True, help="So many of the newest.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_context
def list_audit(context: click.Context, person: str, what: str, on: str, limit: int, as_json: bool) -> None:
    """Print the newest rows, oldest of them first."""
    from domain import audit as record

    settings = settings_from(context)
    with open_session(settings) as session:
        for row in record.newest(session, limit, person=person, what=what, on=on):
            told = {"id": row.id, "at": row.at.isoformat(), "person": row.person, "source": row.source}
            if as_json:
                found = told | {"what": row.what, "on": row.on, "detail": row.detail, "hash": row.hash.hex()}
                click.echo(json.dumps(found, ensure_ascii=False))
                continue
            who = f"{row.person or '-'} ({row.source})" if row.source else row.person or "-"
            line = f"{row.id:>6}  {_local(row.at, settings.zone)}  {who}  {row.what}  {row.on}  {json.dumps(row.detail, ensure_ascii=False)}"
            click.echo("".join(c if c.isprintable() else " " for c in line))


# ---- tokens ----


@cli.group()
def token() -> None:
    """Tokens with which programs use the API in somebody's name."""


@token.command("make")
@click.argument("login")
@click.option("--name", required=True, help="What it is for.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    default=("read",),
    show_default=True,
    help="read, handle, edit, admin or logins; may be repeated.",
)
@click.option(
    "--days", type=click.IntRange(1, 366), default=90, show_default=True, help="After so many days it expires."
)
@click.pass_context
def make_token(context: click.Context, login: str, name: str, scopes: tuple[str, ...], days: int) -> None:
    """Make a token that acts for LOGIN, and print it: it is shown this once."""
    from datetime import timedelta

    from webui import bearer

    with open_session(settings_from(context)) as session:
        try:
            _, made = bearer.make(session, _person(session, login), name, scopes, timedelta(days=days), "pantau token")
        except bearer.Refused as refusal:
            stop(refusal)
        session.commit()
        click.echo(made)


@token.command("list")
@click.argument("login", required=False)
@click.pass_context
def list_tokens(context: click.Context, login: str | None) -> None:
    """The tokens that still open something, of LOGIN or of everybody."""
    from sqlalchemy import select

    from domain.inventory import Person
    from webui import bearer

    settings = settings_from(context)
    with open_session(settings) as session:
        people = [_person(session, login)] if login else session.scalars(select(Person).order_by(Person.login))
        lines = [
            f"{row.id:>5}  pantau_{row.hint}…  {person.login:<16} {','.join(row.scopes):<20} until"
            f" {_local(row.expires_at, settings.zone)}  {row.name}"
            for person in people
            for row in bearer.alive(session, person.id)
        ]
        for line in lines or ["No token opens anything."]:
            click.echo("".join(c if c.isprintable() else " " for c in line))


@token.command("revoke")
@click.argument("number", type=click.IntRange(1, 2**31 - 1))
@click.pass_context
def revoke_token(context: click.Context, number: int) -> None:
    """Let the token of this NUMBER (as `pantau token list` tells) open nothing any more."""
    from domain.tokens import ApiToken
    from webui import bearer

    with open_session(settings_from(context)) as session:
        row = session.get(ApiToken, number)
        if row is None or row.revoked_at is not None:
            stop(f"there is no token {number} that could be revoked.")
        bearer.revoke(session, row)
        session.commit()
        click.echo(f"Revoked: {row.name}.")


def _person(session: Any, login: str) -> Any:
    from sqlalchemy import select

    from domain.inventory import Person

    found = session.scalar(select(Person).where(Person.login == login.lower(), Person.active))
    if found is None:
        stop(f"there is nobody '{login}' who may log in.")
    return found


# ---- requests ----


@cli.group("requests")
def actions() -> None:
    """Actions at machines: what is asked for, and what came of it. People agree on its page, never here."""


@actions.command("list")
@click.option("--all", "whole", is_flag=True, help="Also what is over; the newest 50.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_context
def list_actions(context: click.Context, whole: bool, as_json: bool) -> None:
    """What waits, was agreed to or runs, newest first."""
    from sqlalchemy import select

    from domain.actions import OPEN, Request

    settings = settings_from(context)
    with open_session(settings) as session:
        wanted = select(Request).order_by(Request.id.desc()).limit(50)
        rows = session.scalars(wanted if whole else wanted.where(Request.state.in_(OPEN))).all()
        for row in rows:
            told = _told_action(session, row)
            line = json.dumps(told, ensure_ascii=False) if as_json else (
                f"{row.id:>5}  {told['state']:<9} {_local(row.made_at, settings.zone)}  {told['machine']}: {told['order']}"
                f"  ({told['by'] or 'somebody who is gone'}: {row.reason})"
            )  # fmt: skip
            click.echo("".join(c if c.isprintable() else " " for c in line))
        if not rows and not as_json:
            click.echo("There is no request." if whole else "No request is open.")


@actions.command("show")
@click.argument("number", type=click.IntRange(1, 2**63 - 1))
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@click.pass_context
def show_action(context: click.Context, number: int, as_json: bool) -> None:
    """One request with everything that happened."""
    from sqlalchemy import select

    from domain.actions import Request, Step
    from webui import doings

    settings = settings_from(context)
    with open_session(settings) as session:
        row = session.get(Request, number) or stop(f"there is no request {number}.")
        steps = session.scalars(select(Step).where(Step.request_id == number).order_by(Step.id)).all()
        log = [(one.at, doings.step(one.code, one.detail), str(one.detail.get("text", ""))) for one in steps]
        told = _told_action(session, row)
        if as_json:
            lines = [{"at": at.isoformat(), "what": what, "said": said} for at, what, said in log]
            click.echo(json.dumps({**told, "steps": lines}, ensure_ascii=False))
            return
        head = f"{told['machine']}: {told['order']} - {doings.STATES[row.state]}. {doings.ending(row.outcome)}".rstrip()
        reason = f"{told['by'] or 'Somebody who is gone'}: {row.reason}"
        for line in (head, reason, *(f"{_local(at, settings.zone)}  {what} {said}".rstrip() for at, what, said in log)):
            click.echo("".join(c if c.isprintable() else " " for c in line))


@actions.command("ask")
@click.argument("machine")
@click.argument("action")
@click.option("--as", "login", required=True, help="Whose request it is; they need the right to ask.")
@click.option("--reason", required=True, help="Why; those who agree read it.")
@click.option("--set", "sets", multiple=True, metavar="NAME=VALUE", help="A parameter of a runbook; may be repeated.")
@click.pass_context
def ask_action(
    context: click.Context, machine: str, action: str, login: str, reason: str, sets: tuple[str, ...]
) -> None:
    """Ask for ACTION at MACHINE: restart, restart:SERVICE, start:SERVICE, stop:SERVICE or run:RUNBOOK."""
    from sqlalchemy import select

    from domain import approving
    from domain.actions import Runbook
    from domain.inventory import Host
    from webui import doings

    verb, _, about = action.partition(":")
    if verb not in ("restart", "start", "stop", "run") or (not about and verb != "restart"):
        raise click.UsageError("ACTION is restart, restart:SERVICE, start:SERVICE, stop:SERVICE or run:RUNBOOK.")
    with open_session(settings_from(context)) as session:
        host = session.scalar(select(Host).where(Host.name == machine)) or stop(f"there is no machine '{machine}'.")
        kind, params = ("service." + verb if about else "host.restart"), ({"service": about} if about else {})
        if verb == "run":
            book = session.scalar(select(Runbook).where(Runbook.name == about))
            kind = "runbook.run"
            params = {"runbook": book.id if book else 0, "values": _pairs(sets)}
        try:
            someone, tied = _person(session, login), approving.occasion(session, host)
            made = approving.ask(session, someone, host, kind, params, reason, **tied)
        except approving.Denied as error:
            stop(doings.not_done(error))
        session.commit()
        click.echo(f"Request {made.id}: {doings.STATES[made.state]}.")


@actions.command("cancel")
@click.argument("number", type=click.IntRange(1, 2**63 - 1))
@click.option("--as", "login", required=True, help="Who takes it back: whoever asked, or who may edit the machine.")
@click.pass_context
def cancel_action(context: click.Context, number: int, login: str) -> None:
    """Take a request back before it has begun."""
    from domain import approving
    from webui import doings

    with open_session(settings_from(context)) as session:
        try:
            approving.cancel(session, number, _person(session, login))
        except approving.Denied as error:
            stop(doings.not_done(error))
        session.commit()
        click.echo(f"Request {number} is taken back; nothing is done.")


def _told_action(session: Any, row: Any) -> dict[str, Any]:
    from domain.actions import Runbook
    from webui import doings

    number = row.params.get("runbook")
    book = session.get(Runbook, number) if isinstance(number, int) else None
    return {
        "id": row.id,
        "state": row.state,
        "machine": row.host.name,
        "order": doings.order(row.kind, row.params, book.name if book else ""),
        "reason": row.reason,
        "by": row.maker.name if row.maker else "",
        "made_at": row.made_at.isoformat(),
        "ended_at": row.ended_at.isoformat() if row.ended_at else None,
    }


# ---- maintenance ----


@cli.group()
def maintenance() -> None:
    """Maintenance: looks go on, messages do not, and its time does not count."""


@maintenance.command("start")
@click.argument("name", required=False)
@click.option("--for", "lasts", default="1h", show_default=True, help="How long: 90m, 2h, 1h 30m, 1d.")
@click.option("--note", default="", help="Why.")
@click.option("--group", "kind", flag_value="group", help="NAME is a group.")
@click.option("--division", "kind", flag_value="division", help="NAME is a division.")
@click.option("--site", "kind", flag_value="site", help="NAME is a site.")
@click.option("--everything", "kind", flag_value="everything", help="Every machine; without NAME.")
@click.option("--host", "kind", flag_value="host", default="host", help="NAME is a machine (the default).")
@click.pass_context
def start_maintenance(context: click.Context, name: str | None, lasts: str, note: str, kind: str) -> None:
    """Begin maintenance on NAME, and on everything behind it, now."""
    from domain import calendar
    from domain.clock import now
    from webui import windows

    if (name is None) is not (kind == "everything"):
        raise click.UsageError(
            "Name a machine, or something with --group, --division or --site; --everything stands without a name."
        )
    settings = settings_from(context)
    with open_session(settings) as session:
        try:
            target = windows.find(session, kind, name or "")
            row = windows.start(session, target, calendar.length(lasts), note, None, now(), settings.zone)
        except ValueError as error:
            stop(error)
        until = windows.stand(row, now()).next[0][1]
        session.commit()
        click.echo(f"Maintenance {row.id} on {name or 'everything'} until {_local(until, settings.zone)}.")


@maintenance.command("end")
@click.argument("which")
@click.option("--whole", is_flag=True, help="End a repeated one for good, not only this time.")
@click.pass_context
def end_maintenance(context: click.Context, which: str, whole: bool) -> None:
    """End the maintenance of this number, or all that is running on the machine WHICH."""
    from domain.clock import now
    from webui import windows

    with open_session(settings_from(context)) as session:
        running, coming, _ = windows.listed(session, now())
        if which.isascii() and which.isdigit():
            chosen = [one for one in (*running, *coming) if one.row.id == int(which)]
        else:
            chosen = [one for one in running if one.row.host is not None and one.row.host.name == which]
        ended = [one.row.id for one in chosen if windows.end(session, one.row, None, now(), whole=whole)]
        if not ended:
            stop(f"there is no maintenance '{which}' that could be ended.")
        session.commit()
        click.echo(f"Ended: {', '.join(str(id) for id in ended)}.")


@maintenance.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@click.pass_context
def list_maintenance(context: click.Context, as_json: bool) -> None:
    """What is running and what is coming."""
    from domain.clock import now
    from webui import windows

    settings = settings_from(context)
    with open_session(settings) as session:
        running, coming, over = windows.listed(session, now())
        if as_json:
            told = {"running": running, "coming": coming, "over": over}
            found = {name: [windows.as_json(one) for one in rows] for name, rows in told.items()}
            click.echo(json.dumps(found, ensure_ascii=False))
            return
        for word, rows in (("now", running), ("coming", coming)):
            for one in rows:
                begin, end = one.now or one.next[0]
                when = f"{_local(begin, settings.zone)} - {_local(end, settings.zone)}"
                line = f"{one.row.id:>5}  {word:<6}  {when}  {windows.target(one.row)}  {one.row.note}".rstrip()
                click.echo("".join(c if c.isprintable() else " " for c in line))
        if not running and not coming:
            click.echo("No maintenance is running or planned.")


# ---- jobs ----


@cli.group()
def jobs() -> None:
    """What happens unattended by the clock. Set up, and agreed to, on its pages."""


@jobs.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_context
def list_jobs(context: click.Context, as_json: bool) -> None:
    """Every schedule: when it comes next, and how it went last."""
    from sqlalchemy import func, select

    from domain.jobs import Schedule, ScheduleRun

    settings = settings_from(context)
    with open_session(settings) as session:
        rows = session.scalars(select(Schedule).order_by(func.lower(Schedule.name))).all()
        for row in rows:
            ran = select(ScheduleRun).where(ScheduleRun.schedule_id == row.id).order_by(ScheduleRun.due.desc()).limit(1)
            last = session.scalar(ran)
            told = {
                "name": row.name, "kind": row.kind, "expression": row.expression, "zone": row.zone, "enabled": row.enabled,
                "next": row.next_at.isoformat() if row.next_at else None, "last": last.due.isoformat() if last else None,
                "state": last.state if last else None,
            }  # fmt: skip
            next_ = _local(row.next_at, settings.zone) if row.next_at else "paused" if not row.enabled else "soon"
            went = f"{last.state} {_local(last.due, settings.zone)}" if last else "never ran"
            line = json.dumps(told, ensure_ascii=False) if as_json else f"{row.name}  {row.kind}  {row.expression}  next: {next_}  last: {went}"  # fmt: skip
            click.echo("".join(c if c.isprintable() else " " for c in line))
        if not rows and not as_json:
            click.echo("Nothing happens by itself yet.")


@jobs.command("run")
@click.argument("name")
@click.pass_context
def run_job(context: click.Context, name: str) -> None:
    """Have the schedule NAME run once now, beside its hours; an action needs its standing approval all the same."""
    from domain import schedules

    with open_session(settings_from(context)) as session:
        if not schedules.run_now(session, _job(session, name), None):
            stop("it is running already, or about to.")
        session.commit()
        click.echo(f"“{name}” begins at once.")


@jobs.command("pause")
@click.argument("name")
@click.pass_context
def pause_job(context: click.Context, name: str) -> None:
    """Pause the schedule NAME."""
    _switch_job(context, name, enabled=False)


@jobs.command("resume")
@click.argument("name")
@click.pass_context
def resume_job(context: click.Context, name: str) -> None:
    """Have the schedule NAME go on; what came meanwhile is not made up for."""
    _switch_job(context, name, enabled=True)


def _switch_job(context: click.Context, name: str, *, enabled: bool) -> None:
    from domain import schedules

    with open_session(settings_from(context)) as session:
        schedules.pause(session, _job(session, name), enabled=enabled)
        session.commit()
        click.echo(f"“{name}” {'goes on' if enabled else 'is paused'}.")


def _job(session: Any, name: str) -> Any:
    from sqlalchemy import select

    from domain.jobs import Schedule

    return session.scalar(select(Schedule).where(Schedule.name == name)) or stop(f"there is no schedule '{name}'.")


@cli.command()
@click.option(
    "--to", "place", type=click.Path(path_type=Path, file_okay=False), help="Directory (default: DATA/backups)."
)
@click.option(
    "--keep", type=click.IntRange(1, 365), default=7, show_default=True, help="How many made by hand are kept."
)
@click.pass_context
def backup(context: click.Context, place: Path | None, keep: int) -> None:
    """Make a backup of everything Pantau knows, and read it to its end. The vault's key is not in it."""
    from config import backup as backups
    from domain import audit as record

    settings, actor = settings_from(context), _actor()
    open_database(settings, demand=False).dispose()
    with database_line(settings, "Nothing was backed up.") as connection:
        there = connection.execute("select to_regclass('audit')").fetchone()
        if there is not None and there[0] is not None:  # a database from before the audit is backed up as well
            record.write(connection, "export.backup", person=actor.name, source=actor.source)
    try:
        made = backups.make(settings, keep, place=place)
    except backups.BackupError as error:
        stop(error)
    click.echo(
        f"{made.path}: {made.size} bytes, {made.tables} tables. Keep vault.key, notifier.key and web.key apart from it."
    )


def _local(at: Any, zone: str) -> str:
    from zoneinfo import ZoneInfo

    return f"{at.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M %Z}"


if __name__ == "__main__":
    main()
