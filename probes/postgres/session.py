"""One login at a PostgreSQL server through libpq, driven without ever blocking: a deadline and a cap of our own.

libpq owns its socket and has time limits for connecting only, so it is used the non-blocking way: it says what
it waits for, and the waiting is done here.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass

import psycopg
from psycopg import pq
from psycopg.conninfo import make_conninfo

from domain.reading import Failure, FailureKind, Secret
from probes import line
from probes.limits import Deadline, Meter, TooLate, clean
from probes.names import Place
from probes.postgres import refusal

STATEMENT_SECONDS = 5.0
"""The longest the server itself works on one of our questions."""
Row = tuple[str | None, ...]

_NO_FILE = f"{os.devnull}/none"
"""A place where no file can be: libpq reads none, and does not complain on our log as it does of a device."""
_MODES = {"off": "disable", "prefer": "prefer", "require": "require", "verify": "verify-full"}


NOWHERE = "/dev/null/none"
"""A path no file can have: libpq would else look in the home directory."""


class Refused(Exception):
    """The look ends here, with this failure."""

    def __init__(self, failure: Failure, nobody: bool = False) -> None:
        super().__init__(failure.detail)
        self.failure = failure
        self.nobody = nobody  # at this address there is none to talk to; at another of the same machine may be


class Unanswered(Exception):
    """The server answered one question with an error: `state` is its SQLSTATE."""

    def __init__(self, state: str, text: str) -> None:
        super().__init__(text)
        self.state = state


@dataclass(frozen=True, slots=True)
class Door:
    """Where and as whom to log in. `name` is what the certificate must be for, `authority` PEM or nothing."""

    port: int
    database: str
    tls: str
    name: str
    authority: str
    clear: bool
    secret: Secret


class Session:
    """A login. Not for two threads at once; a context manager that hangs up."""

    def __init__(self, connection: pq.abc.PGconn, deadline: Deadline, meter: Meter) -> None:
        self._connection, self._deadline, self._meter = connection, deadline, meter

    @property
    def encrypted(self) -> bool:
        """Whether what is said goes through TLS."""
        return bool(self._connection.ssl_in_use)

    def ask(self, statement: str) -> list[Row]:
        """The rows of one statement. Raises Unanswered, TooLate, TooMuch, or Refused when the line broke."""
        connection, answer = self._connection, None
        try:
            connection.send_query_params(statement.encode(), None)
            while connection.flush() == 1:
                _wait(connection, self._deadline, self._meter, writing=True)
            while True:
                while connection.is_busy():
                    _wait(connection, self._deadline, self._meter)
                    connection.consume_input()
                result = connection.get_result()
                if result is None:
                    break
                answer = result
        except psycopg.OperationalError as error:
            raise Refused(refusal.broken_off(str(error))) from None
        if answer is None or connection.status == pq.ConnStatus.BAD:
            raise Refused(refusal.broken_off(connection.get_error_message()))
        if answer.status != pq.ExecStatus.TUPLES_OK:
            state = (answer.error_field(pq.DiagnosticField.SQLSTATE) or b"").decode("ascii", "replace")
            text = answer.error_field(pq.DiagnosticField.MESSAGE_PRIMARY) or answer.error_message
            if state.startswith("57P"):
                raise Refused(refusal.broken_off(clean(text)))
            raise Unanswered(state, clean(text, 160))
        return [tuple(_text(answer.get_value(y, x)) for x in range(answer.nfields)) for y in range(answer.ntuples)]

    def close(self) -> None:
        """Hang up."""
        self._connection.finish()


@contextlib.contextmanager
def login(place: Place, door: Door, deadline: Deadline, seconds: float, meter: Meter) -> Iterator[Session]:
    """A session at `place`, logged in within `seconds`. Raises Refused, TooLate, TooMuch."""
    with _authority(door) as file:
        connection = pq.PGconn.connect_start(_conninfo(place, door, file, deadline).encode())
        try:
            _shake(connection, place, door, Deadline(min(seconds, deadline.check())), meter)
        except BaseException:
            connection.finish()
            raise
    try:
        connection.nonblocking = 1
        yield Session(connection, deadline, meter)
    finally:
        connection.finish()


def _shake(connection: pq.abc.PGconn, place: Place, door: Door, until: Deadline, meter: Meter) -> None:
    """Connect and log in."""
    where = f"Port {door.port} on {place.address}"
    while True:
        polled = connection.connect_poll() if connection.status != pq.ConnStatus.BAD else pq.PollingStatus.FAILED
        if polled == pq.PollingStatus.OK:
            return
        if polled == pq.PollingStatus.FAILED:
            said = connection.get_error_message()
            raise Refused(
                refusal.of(said, where, door.secret.username, door.database), nobody=refusal.unreached(said) is not None
            )
        try:
            _wait(connection, until, meter, writing=polled == pq.PollingStatus.WRITING)
        except TooLate:
            begun = connection.status not in (pq.ConnStatus.STARTED, pq.ConnStatus.BAD)
            said = (
                f"{where} takes connections but did not finish the login within {until.seconds:.3g} s."
                if begun
                else f"{where} did not answer within {until.seconds:.3g} s."
            )
            raise Refused(Failure(FailureKind.TIMEOUT, said), nobody=not begun) from None


def _wait(connection: pq.abc.PGconn, deadline: Deadline, meter: Meter, *, writing: bool = False) -> None:
    """Until libpq can go on; counts what has come in meanwhile. Raises TooLate, TooMuch."""
    with selectors.DefaultSelector() as ready:
        ready.register(connection.socket, selectors.EVENT_WRITE if writing else selectors.EVENT_READ)
        while not ready.select(deadline.check()):
            deadline.check()
    with contextlib.suppress(OSError, ValueError):
        meter.sent, received = _traffic(connection)
        meter.take(max(0, received - meter.received))


def _traffic(connection: pq.abc.PGconn) -> tuple[int, int]:
    with socket.socket(fileno=os.dup(connection.socket)) as seen:
        return line.traffic(seen)


def _conninfo(place: Place, door: Door, file: str, deadline: Deadline) -> str:
    """Every setting libpq would else take from the environment or the home directory is set here."""
    limit = int(min(STATEMENT_SECONDS, deadline.seconds) * 1000)
    scope = f"%{place.scope}" if place.scope else ""
    wanted = "password,md5,scram-sha-256,none" if door.clear or door.tls == "verify" else "!password"
    return make_conninfo(
        "",
        host=door.name,
        hostaddr=place.address + scope,
        port=door.port,
        dbname=door.database,
        user=door.secret.username,
        password=door.secret.password,
        passfile=_NO_FILE,
        require_auth=wanted,
        sslmode=_MODES[door.tls],
        sslrootcert=file,
        sslcert=NOWHERE,
        sslkey="",
        sslcrl="",
        sslcrldir="",
        sslnegotiation="postgres",
        sslcertmode="disable",
        gssencmode="disable",
        channel_binding="prefer",
        target_session_attrs="any",
        load_balance_hosts="disable",
        client_encoding="UTF8",
        application_name="pantau",
        replication="false",
        options=f"-c statement_timeout={limit} -c lock_timeout=2000 -c default_transaction_read_only=on",
    )


@contextlib.contextmanager
def _authority(door: Door) -> Iterator[str]:
    """A file with whom to believe: libpq takes no certificate from memory. One that is not there: nobody."""
    if door.tls != "verify" or not door.authority:
        yield line.authorities() if door.tls == "verify" else NOWHERE
        return
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
        file.write(door.authority)
        file.flush()
        yield file.name


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", "replace")
