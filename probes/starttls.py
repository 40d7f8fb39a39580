"""From a plain conversation to TLS, in the words of each protocol that begins in the clear."""

from __future__ import annotations

import socket
from collections.abc import Callable

from probes.dialogue import Dialogue, Unspoken
from probes.limits import clean

_SSL_REQUEST = bytes((0, 0, 0, 8, 4, 210, 22, 47))
"""PostgreSQL's SSLRequest (protocol, message formats): length 8, code 80877103."""


def begin(protocol: str, line: socket.socket) -> None:
    """Bring `line` to where a TLS handshake may begin. Raises Unspoken with a sentence, EOFError, socket errors."""
    STEPS[protocol](line)


def smtp(talk: Dialogue) -> tuple[str, frozenset[str]]:
    """The greeting, and what the server says it can after EHLO (RFC 5321, 4.1.1.1), upper case."""
    code, texts = talk.reply()
    if code != 220:
        raise Unspoken(f"The server greets with {code}: {_full(texts)}")
    talk.say("EHLO pantau.invalid")
    code, can = talk.reply()
    if code != 250:
        raise Unspoken(f"The server answers {code} to EHLO: {_full(can)}")
    return texts[0], frozenset(text.strip().upper() for text in can[1:])


def upgrade_smtp(talk: Dialogue, can: frozenset[str]) -> None:
    """STARTTLS (RFC 3207), once greeted."""
    if "STARTTLS" not in can:
        raise Unspoken("The server does not offer STARTTLS.")
    talk.say("STARTTLS")
    code, texts = talk.reply()
    if code != 220:
        raise Unspoken(f"The server answers {code} to STARTTLS: {_full(texts)}")
    talk.hush()


def _smtp(line: socket.socket) -> None:
    talk = Dialogue(line, "SMTP")
    upgrade_smtp(talk, smtp(talk)[1])


def _imap(line: socket.socket) -> None:
    """RFC 9051, 6.2.1."""
    talk = Dialogue(line, "IMAP")
    greeting = talk.hear()
    if not greeting.upper().startswith(("* OK", "* PREAUTH")):
        raise Unspoken(f"The server greets with '{clean(greeting, 60)}'.")
    talk.say("a STARTTLS")
    for _ in range(10):
        said = talk.hear()
        if said.upper().startswith("A OK"):
            talk.hush()
            return
        if not said.startswith("*"):
            break
    raise Unspoken(f"The server does not begin TLS: '{clean(said, 60)}'.")


def _pop3(line: socket.socket) -> None:
    """RFC 2595, 4."""
    talk = Dialogue(line, "POP3")
    for words in ("", "STLS"):
        if words:
            talk.say(words)
        said = talk.hear()
        if not said.upper().startswith("+OK"):
            raise Unspoken(f"The server does not begin TLS: '{clean(said, 60)}'.")
    talk.hush()


def _ftp(line: socket.socket) -> None:
    """RFC 4217, 4."""
    talk = Dialogue(line, "FTP")
    code, texts = talk.reply()
    if code == 220:
        talk.say("AUTH TLS")
        code, texts = talk.reply()
    if code != 234:
        raise Unspoken(f"The server does not begin TLS: {code} {_full(texts)}")
    talk.hush()


def _postgres(line: socket.socket) -> None:
    line.sendall(_SSL_REQUEST)
    said = line.recv(2)
    if not said:
        raise EOFError
    if said != b"S":
        what = "does not offer TLS" if said == b"N" else f"is not PostgreSQL: it says '{clean(said, 8)}'"
        raise Unspoken(f"The server {what}.")


def _full(texts: tuple[str, ...]) -> str:
    said = clean(" ".join(texts), 160) or "without a word"
    return said if said.endswith(".") else f"{said}."


STEPS: dict[str, Callable[[socket.socket], None]] = {
    "smtp": _smtp,
    "imap": _imap,
    "pop3": _pop3,
    "ftp": _ftp,
    "postgres": _postgres,
}
