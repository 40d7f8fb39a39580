"""What libpq says when a login fails, as a failure: it gives a text only, the server's words among its own."""

from __future__ import annotations

import errno
import os
import re

from domain.reading import Failure, FailureKind
from probes.limits import clean
from probes.tcp import refusal

_ERRNOS = (
    errno.ECONNREFUSED,
    errno.EHOSTUNREACH,
    errno.ENETUNREACH,
    errno.ETIMEDOUT,
    errno.ECONNRESET,
    errno.EHOSTDOWN,
    errno.EPIPE,
    errno.EACCES,
    errno.EADDRNOTAVAIL,
)
_DENIED, _REFUSED, _UNTRUSTED, _UNSUPPORTED = (
    FailureKind.DENIED,
    FailureKind.REFUSED,
    FailureKind.UNTRUSTED,
    FailureKind.UNSUPPORTED,
)
# What the server's FATAL or libpq itself says (src/backend/libpq, src/interfaces/libpq), and what to do about it.
_SENTENCES: tuple[tuple[str, FailureKind, str], ...] = (
    (
        "password authentication failed|no password supplied|empty password|SCRAM.*(wrong|invalid)",
        _DENIED,
        "PostgreSQL does not take the password of '{user}': correct the credential of this check.",
    ),
    (
        "no pg_hba.conf entry|pg_hba.conf rejects",
        _DENIED,
        "PostgreSQL lets nobody in from here as '{user}': add a line for it to pg_hba.conf and reload. It says: {said}",
    ),
    (
        "role .* does not exist|is not permitted to log in|authentication failed for user",
        _DENIED,
        "PostgreSQL does not let '{user}' in: create the role as the page of this check shows. It says: {said}",
    ),
    (
        "permission denied for database|does not have CONNECT privilege",
        _DENIED,
        "'{user}' may not connect to the database '{database}': GRANT CONNECT ON DATABASE to it. It says: {said}",
    ),
    (
        "database .* does not exist|is not currently accepting connections",
        _DENIED,
        "There is no database '{database}' for this check to look at: correct its name. It says: {said}",
    ),
    (
        "authentication method requirement",
        _UNTRUSTED,
        "The server wants the password in the clear, which could be read on the way: give the role a SCRAM password, "
        "or set TLS to verify, or allow it in the options of this check.",
    ),
    (
        "too many clients already|remaining connection slots are reserved|too many connections for",
        _REFUSED,
        "PostgreSQL takes no more connections: all of them are in use. It says: {said}",
    ),
    (
        "the database system is (starting up|shutting down|in recovery|not yet accepting)|not accepting connections",
        _REFUSED,
        "PostgreSQL takes no logins now: {said}",
    ),
    (
        "server does not support SSL",
        _UNTRUSTED,
        "The server does not offer TLS, which this check insists on: switch it on there, or set TLS to prefer.",
    ),
    (
        "certificate verify failed|does not match host name|root certificate|hostname mismatch",
        _UNTRUSTED,
        "The certificate of the server is not to be trusted: {said}",
    ),
    (
        "unsupported startup parameter",
        _UNSUPPORTED,
        "This is a connection pooler and not PostgreSQL itself: give the address and port of the server behind it.",
    ),
    (
        "unsupported frontend protocol|received invalid response|expected authentication request"
        "|invalid authentication request|unrecognized|malformed|SSL error|message contents|message type",
        _REFUSED,
        "What answers there is not PostgreSQL: {said}",
    ),
)


def of(text: str, where: str, user: str, database: str) -> Failure:
    """The failure in libpq's account of a login that did not come about. `where`: "Port 5432 on 10.0.0.1"."""
    said = _last_words(text)
    if (code := unreached(text)) is not None:
        return refusal(OSError(code, ""), where)
    for pattern, kind, sentence in _SENTENCES:
        if re.search(pattern, text, re.IGNORECASE):
            return Failure(kind, sentence.format(user=clean(user, 64), database=clean(database, 64), said=_full(said)))
    if "FATAL" in text:
        return Failure(FailureKind.DENIED, f"PostgreSQL does not let '{clean(user, 64)}' in: {_full(said)}")
    return broken_off(text)


def unreached(text: str) -> int | None:
    """The operating system's number for why no connection came about, where that is what libpq tells."""
    return next((code for code in _ERRNOS if os.strerror(code) in text), None)


def broken_off(text: str) -> Failure:
    """The line broke, or the server ended the session."""
    said = _last_words(text)
    if "closed the connection unexpectedly" in text or "could not receive data" in text or not said:
        return Failure(FailureKind.REFUSED, "The server breaks the connection off without a whole answer.")
    return Failure(FailureKind.REFUSED, f"The server ended the session: {_full(said)}")


def _last_words(text: str) -> str:
    """The message itself: libpq puts where it connected to before it, and may tell of several attempts."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    telling = [line for line in lines if "failed: " in line or line.startswith(("FATAL", "ERROR"))] or lines[:1]
    said = telling[-1].partition(" failed: ")[2] or telling[-1] if telling else ""
    return clean(re.sub(r"^(FATAL|ERROR):\s*", "", said), 160)


def _full(said: str) -> str:
    said = said or "it gives no reason"
    return said if said.endswith((".", "!", "?")) else f"{said}."
