"""One login at a MySQL or MariaDB server: PyMySQL speaks, over a socket of our own that has a deadline and a cap."""

from __future__ import annotations

import contextlib
import ssl
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pymysql
from pymysql.constants import CR, ER

from domain.reading import FailureKind, Secret
from probes import line
from probes.base import Keep
from probes.http.wire import Stop, Wire
from probes.limits import TooLate, TooMuch, clean

STATEMENT_SECONDS = 5.0
"""The longest the server itself works on one of our questions."""
Row = dict[str, str | None]

# What PyMySQL raises for packets that are none: it trusts their lengths and numbers.
GARBAGE = (
    struct.error,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    AssertionError,
    ArithmeticError,
    NameError,  # a greeting that ends early leaves one of its variables without a value
)


class Unanswered(Exception):
    """The server answered one question with an error: `code` is its number."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class _Bare(Exception):
    """The server asks for the password in a way that whoever listens, or poses as the server, could read it."""


@dataclass(frozen=True, slots=True)
class Door:
    """Where and as whom to log in. `host` is what the certificate must be for, `authority` PEM or nothing."""

    host: str
    port: int
    database: str
    tls: str
    authority: str
    clear: bool
    secret: Secret


class _Connection(pymysql.connections.Connection):
    """PyMySQL without its trust: the password itself leaves only where that was allowed."""

    bare = True
    entered = False

    def write_packet(self, payload: bytes) -> None:
        secret = bytes(self.password)
        # 1 and 2 ask for a public key (sha256_password, caching_sha2_password) that an impostor could have made.
        if not self.entered and not self.bare and (payload in (b"\1", b"\2") or (secret and secret in payload)):
            raise _Bare
        super().write_packet(payload)


class Session:
    """A login. Not for two threads at once."""

    def __init__(self, connection: _Connection, wire: Wire) -> None:
        self._connection, self._wire = connection, wire
        # MariaDB puts a version of MySQL before its own, for clients that would not talk to it otherwise.
        self.version = clean(str(connection.get_server_info()).removeprefix("5.5.5-"), 60)  # type: ignore[no-untyped-call]
        self.mariadb = "mariadb" in self.version.lower()

    @property
    def encrypted(self) -> bool:
        """Whether what is said goes through TLS."""
        return bool(self._wire.tls_version)

    def ask(self, statement: str) -> list[Row]:
        """The rows of one statement, columns in lower case, values as text. Raises Unanswered or Stop."""
        with _meaning(self._wire), self._connection.cursor() as cursor:
            cursor.execute(statement)
            names = [str(column[0]).lower() for column in cursor.description or ()]
            return [dict(zip(names, map(_text, row), strict=True)) for row in cursor.fetchall()]


@contextlib.contextmanager
def login(wire: Wire, door: Door, keep: Keep) -> Iterator[Session]:
    """A session, logged in. Raises Stop, TooMuch."""
    raw = wire.connect(door.host, door.port)
    connection = _prepared(door, wire, keep)
    try:
        wire.waiting_for = "the login"
        with _meaning(wire, door):
            connection.connect(raw)
        connection.entered = True
        upgraded = connection._sock  # type: ignore[attr-defined]  # the library's own TLS socket: nothing public tells
        if isinstance(upgraded, ssl.SSLSocket):
            wire.tls_version = upgraded.version() or ""
            wire.certificate = upgraded.getpeercert(binary_form=True) or b""
        session = Session(connection, wire)
        wire.waiting_for = "the answers"
        _limit(session)
        yield session
    finally:
        with contextlib.suppress(Exception):  # whatever state the library is in, the socket goes
            connection.close()
        raw.close()


def _prepared(door: Door, wire: Wire, keep: Keep) -> _Connection:
    """A connection object that has not been anywhere yet."""
    how: dict[str, Any] = {"ssl_disabled": True}
    if door.tls in ("require", "verify"):
        how = {"ssl": line.context(keep, door.tls == "verify", door.authority)}
    seconds = wire.deadline.check()
    connection = _Connection(
        host=door.host, port=door.port, user=door.secret.username, password=door.secret.password.encode(),
        database=door.database or None, charset="utf8mb4", defer_connect=True, autocommit=None, conv={},
        connect_timeout=seconds, read_timeout=seconds, write_timeout=seconds, program_name="pantau", **how,
    )  # fmt: skip
    if door.tls == "prefer":  # set by hand: the library's own way reads the system's authorities each time
        connection.ssl, connection.ctx = True, line.context(keep, False)  # type: ignore[attr-defined]
    connection.bare = door.clear or door.tls in ("require", "verify")
    return connection


def _limit(session: Session) -> None:
    """Ask the server to give up on questions that take long; old ones cannot."""
    settings = {True: f"max_statement_time = {STATEMENT_SECONDS:g}", False: "max_execution_time = 5000"}
    with contextlib.suppress(Unanswered):
        session.ask(f"SET SESSION {settings[session.mariadb]}")


@contextlib.contextmanager
def _meaning(wire: Wire, door: Door | None = None) -> Iterator[None]:
    """The library's exceptions as Unanswered (a question) or Stop (the login, or the line)."""
    try:
        yield
    except _Bare:
        raise Stop(
            FailureKind.UNTRUSTED,
            "The server wants the password in the clear or under a key of its own, which somebody in between could "
            "read: set TLS to verify or require, or allow it in the options of this check.",
        ) from None
    except TooMuch:
        raise
    except pymysql.Error as error:
        raise _told(wire, error, door) from None
    except (OSError, TooLate) as error:
        failure = line.failure(wire, error, "MySQL")
        raise Stop(failure.kind, failure.detail) from None
    except RuntimeError as error:  # the library lacks what one way of logging in needs
        raise Stop(FailureKind.UNSUPPORTED, f"Pantau cannot log in that way: {clean(str(error), 120)}.") from None
    except GARBAGE as error:
        if wire.late(error):
            raise Stop(FailureKind.TIMEOUT, wire.lateness()) from None
        raise Stop(FailureKind.REFUSED, "What answers there is not MySQL or MariaDB.") from None


_LINE = (CR.CR_CONN_HOST_ERROR, CR.CR_SERVER_LOST, CR.CR_SERVER_GONE_ERROR)
_SENTENCES: dict[int, tuple[FailureKind, str]] = {
    ER.ACCESS_DENIED_ERROR: (
        FailureKind.DENIED,
        "The server does not take this user and password from here: correct the credential of this check. "
        "It says: {said}",
    ),
    1698: (
        FailureKind.DENIED,
        "The server lets this user in only without a password from its own machine: make a user as the page of this "
        "check shows. It says: {said}",
    ),
    ER.DBACCESS_DENIED_ERROR: (FailureKind.DENIED, "This user may not use the database '{database}': {said}"),
    ER.BAD_DB_ERROR: (FailureKind.DENIED, "There is no database '{database}' there: correct its name."),
    ER.HOST_NOT_PRIVILEGED: (
        FailureKind.DENIED,
        "The server lets nobody in from this address: make the user for the address of Pantau. It says: {said}",
    ),
    ER.HOST_IS_BLOCKED: (
        FailureKind.DENIED,
        "The server shut this address out after too many broken connections: FLUSH HOSTS lets it in again.",
    ),
    ER.CON_COUNT_ERROR: (FailureKind.REFUSED, "The server takes no more connections: all of them are in use."),
    ER.TOO_MANY_USER_CONNECTIONS: (FailureKind.REFUSED, "This user has all the connections it may have: {said}"),
    ER.USER_LIMIT_REACHED: (FailureKind.REFUSED, "This user has used up what it may: {said}"),
    ER.SERVER_SHUTDOWN: (FailureKind.REFUSED, "The server is being shut down."),
    1820: (FailureKind.DENIED, "The password of this user has expired: set a new one on the server."),
    1862: (FailureKind.DENIED, "The password of this user has expired: set a new one on the server."),
    3118: (FailureKind.DENIED, "This account is locked on the server: ALTER USER ... ACCOUNT UNLOCK."),
    4151: (FailureKind.DENIED, "This account is locked on the server: ALTER USER ... ACCOUNT UNLOCK."),
    3159: (FailureKind.UNTRUSTED, "The server insists on TLS: set TLS to require or verify."),
    CR.CR_SSL_CONNECTION_ERROR: (
        FailureKind.UNTRUSTED,
        "The server does not offer TLS, which this check insists on: switch it on there, or set TLS to prefer.",
    ),
    CR.CR_AUTH_PLUGIN_CANNOT_LOAD: (FailureKind.UNSUPPORTED, "Pantau cannot log in the way the server wants: {said}"),
    1251: (FailureKind.UNSUPPORTED, "Pantau cannot log in the way the server wants: {said}"),
}
"""By the error numbers of the MySQL and MariaDB references (server errors from 1000, client errors from 2000)."""


def _told(wire: Wire, error: pymysql.Error, door: Door | None) -> Exception:
    """What an error of the library or the server means."""
    code = error.args[0] if error.args and isinstance(error.args[0], int) else 0
    said = clean(str(error.args[1] if len(error.args) > 1 else error), 160) or "it gives no reason"
    inner = getattr(error, "original_exception", None)
    if isinstance(inner, ssl.SSLCertVerificationError) and door is not None:
        return wire.not_believed(inner, door.host)
    if wire.late(inner or error):
        return Stop(FailureKind.TIMEOUT, wire.lateness())
    if isinstance(inner, ssl.SSLError) and door is not None:
        return wire.unshaken(inner, door.host, door.port)
    if code in _SENTENCES:
        kind, sentence = _SENTENCES[code]
        database = clean(door.database, 64) if door else ""
        return Stop(kind, sentence.format(said=said if said.endswith(".") else f"{said}.", database=database))
    if code in _LINE:
        return Stop(FailureKind.REFUSED, "The server breaks the connection off without a whole answer.")
    if door is None and code:
        return Unanswered(code, said)
    if 1000 <= code < 2000 or code >= 3000:
        return Stop(FailureKind.DENIED, f"The server does not let this user in: {said}")
    return Stop(FailureKind.REFUSED, f"What answers there is not MySQL or MariaDB as expected: {said}")


def _text(value: object) -> str | None:
    if value is None:
        return None
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
