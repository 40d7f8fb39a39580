"""The way of one delivery to the network: judged addresses, one deadline, hops told as they happen, secrets never."""

from __future__ import annotations

import contextlib
import json
import math
import socket
import ssl
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, Literal
from urllib.parse import quote, quote_plus, urlsplit

import requests

from domain.reading import FailureKind
from notifier.channels.base import Hop, Hops, Sending, Undelivered
from probes import doors, names
from probes.base import Keep
from probes.dialogue import Unspoken
from probes.http import BROKEN, body_of, why
from probes.http.wire import Stop, Trust, Wire, session
from probes.limits import Deadline, Guard, TooLate, TooMuch, clean

ANSWER = 64 * 1024
"""The most bytes of an answer that are read; the rest is not waited for."""
LONGEST_WAIT = 24 * 3600.0
"""The longest a provider may ask us to wait, in seconds."""
SENTENCE = 400
BEFORE = frozenset({"name lookup", "connect", "TLS", "greeting", "login", "sign and encrypt"})
"""Steps before anything of a message is on its way."""

Kind = Literal["later", "never", "gone", "setup"]
TROUBLES = (Stop, Unspoken, TooMuch, TooLate, EOFError, *BROKEN)
"""What our own way and the libraries raise for what a far side does."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What an HTTP server said: status, headers (any case), and at most ANSWER bytes of body."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def taken(self) -> bool:
        """Whether the status says yes."""
        return 200 <= self.status < 300

    def json(self) -> Any:
        """The body as JSON, or None where it is none."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None

    def retry_after(self) -> float | None:
        """Seconds to wait by the Retry-After header (RFC 9110, 10.2.3: seconds or a date); None without a sane one."""
        said = self.headers.get("Retry-After", "").strip()
        if said.isascii() and said.isdigit():
            return min(float(said[:9]), LONGEST_WAIT)
        try:
            at = parsedate_to_datetime(said)
            moment = at.replace(tzinfo=at.tzinfo or UTC).timestamp()
        except (ValueError, TypeError, OverflowError, IndexError):
            return None
        return min(max(0.0, moment - time.time()), LONGEST_WAIT)


class Road(Wire):
    """Everything one delivery does on the network. Made by `road`.

    `own`: the server is the channel's, one for all, so a bad certificate is for an admin and not for one receiver.
    """

    def __init__(
        self, keep: Keep, hops: Hops, deadline: Deadline, guard: Guard, listed: Iterable[str], hide: Iterable[str]
    ) -> None:
        self._listed = frozenset(_host(host) for host in listed)
        self._hops = hops
        self._trust = keep.get(("http", "trust"), Trust)
        super().__init__(deadline, guard, names.of(keep), doors.of(keep), loopback=False, family="any")
        self._hidden = _spellings(tuple(hide))
        self.own = False
        self._line: socket.socket | None = None
        self._session: requests.Session | None = None

    @contextlib.contextmanager
    def hop(self, name: str, detail: str = "") -> Iterator[Hop]:
        """One step; whatever the far side makes go wrong in it becomes Undelivered."""
        with self._hops.step(name, detail) as hop:
            try:
                yield hop
            except TROUBLES as error:
                trouble = self.undelivered(error)
                trouble.unsure = name not in BEFORE
                raise trouble from None

    def no(self, sentence: str, kind: Kind = "later", retry_after: float | None = None) -> Undelivered:
        """An Undelivered to raise, with no secret in it whoever put it there."""
        if retry_after is not None:
            retry_after = min(max(0.0, retry_after), LONGEST_WAIT) if math.isfinite(retry_after) else None
        return Undelivered(clean(self.hide(sentence), SENTENCE), kind, retry_after)

    def hide(self, text: str) -> str:
        """`text` without any of the secrets of this delivery."""
        for secret in self._hidden:
            text = text.replace(secret, "…")
        return text

    def undelivered(self, error: Exception) -> Undelivered:
        """What an exception on the way means for the message."""
        if isinstance(error, Unspoken) and not self.late(error):
            return self.no(str(error))
        if isinstance(error, EOFError):
            error = ConnectionResetError()
        if isinstance(error, Stop) and error.failure.kind == FailureKind.UNTRUSTED:
            return self.no(error.failure.detail, "setup" if self.own else "later")
        return self.no(why(self, error).detail)

    def reach(self, host: str, port: int, *, tls: bool, authority: str = "") -> socket.socket:
        """A connection to `host`, which may be used by `ask`; a step for each part of the way."""
        host = _host(host)
        self._loopback = host in self._listed
        with self.hop("name lookup", clean(host, 120)):
            self.pin(host, host)
        with self.hop("connect", clean(f"{host}:{port}", 120)):
            line = self._judged(host, port)
        return self.lock(line, host, port, authority) if tls else line

    def lock(self, line: socket.socket, host: str, port: int, authority: str = "") -> ssl.SSLSocket:
        """TLS on `line`, believed only with a good certificate for `host`; a step of its own."""
        try:
            with self.hop("TLS") as hop:
                self.context = self._trust.context(True, authority)
                wrapped = self.secure(line, _host(host), port)
                hop.detail = self.tls_version
                return wrapped
        except Undelivered:
            line.close()
            raise

    def ask(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        *,
        step: str = "accepted",
        heard: bool = True,
    ) -> Answer:
        """One request to `url`; nothing is followed. `heard`: the body matters also where the status says yes.

        Raises Undelivered. All requests of a delivery to one server share a connection.
        """
        if self._session is None:
            host, port, tls = self._server(url)
            self._line = self.reach(host, port, tls=tls)
            self._session = session(self, again=True)
        with self.hop(step) as hop:
            request = requests.Request(method, url, headers=dict(headers or {}), data=body)
            ready = self._session.prepare_request(request)
            answer = self._send(ready, heard)
            hop.detail, hop.ok = str(answer.status), answer.status < 400
            return answer

    def connect(self, host: str, port: int) -> socket.socket:
        """The connection `reach` made, once; then others to the same place."""
        line, self._line = self._line, None
        return line or super().connect(_host(host), port)

    def secure(self, line: socket.socket, host: str, port: int) -> ssl.SSLSocket:
        """TLS on `line` unless it has it."""
        return line if isinstance(line, ssl.SSLSocket) else super().secure(line, host, port)

    def end(self) -> None:
        """Close what this delivery opened for `ask`."""
        if self._line is not None:
            self._line.close()
        if self._session is not None:
            self._session.close()

    def _server(self, url: str) -> tuple[str, int, bool]:
        """Host, port and whether TLS is meant."""
        try:
            parts = urlsplit(url)
            tls = parts.scheme.lower() == "https"
            host, port = str(parts.hostname or ""), parts.port or (443 if tls else 80)
        except ValueError:
            host, port, tls = "", 0, False
        with contextlib.suppress(UnicodeError):
            host = host if host.isascii() else host.encode("idna").decode()  # as requests will have it
        if not host.isascii() or not host or parts.scheme.lower() not in ("http", "https"):
            raise self.no("The address is no URL like https://example.org/path.", "never")
        return host, port, tls

    def _judged(self, host: str, port: int) -> socket.socket:
        try:
            return super().connect(host, port)
        except Stop as stop:
            if stop.failure.kind == FailureKind.UNTRUSTED:  # a shut door will be as shut tomorrow
                raise self.no(stop.failure.detail, "never") from None
            raise

    def _send(self, ready: requests.PreparedRequest, heard: bool) -> Answer:
        assert self._session is not None  # made by `ask`
        self.waiting_for = "the answer"
        with self._session.send(ready, stream=True, allow_redirects=False, timeout=self.deadline.check()) as response:
            if self.guard.fired:  # our own shutting down reads like the end of the headers
                raise TooLate
            status, said = response.status_code, response.headers
            if heard:
                return Answer(status, said, body_of(response, self, ANSWER)[0])
            body = b""
            if status >= 300:
                with contextlib.suppress(*TROUBLES):  # the status has said it already
                    body = body_of(response, self, ANSWER)[0]
            return Answer(status, said, body)


@contextlib.contextmanager
def road(
    sending: Sending, *, listed: Iterable[str] = (), hide: Iterable[str] = (), own: bool = False
) -> Iterator[Road]:
    """The way of this delivery. `listed`: hosts that may be the machine Pantau runs on; `hide`: further secrets."""
    hidden = (*sending.secret.values(), *hide)
    with way(sending.keep, sending.hops, sending.deadline, listed=listed, hide=hidden) as made:
        made.own = own
        yield made


@contextlib.contextmanager
def way(
    keep: Keep, hops: Hops, seconds: float, *, listed: Iterable[str] = (), hide: Iterable[str] = ()
) -> Iterator[Road]:
    """A way that ends after `seconds`, whatever is under way on it then."""
    deadline = Deadline(seconds)
    with Guard(deadline) as guard:
        made = Road(keep, hops, deadline, guard, listed, hide)
        try:
            yield made
        finally:
            made.end()


def said(answer: Answer, limit: int = 160) -> str:
    """The words of a server that said no, for a sentence: ": ..." or nothing; markup is not worth quoting."""
    text = " ".join(clean(answer.body[: 4 * limit], limit).split())
    return f": {text}" if text and not text.startswith(("<", "\ufffd")) else ""


def json_body(value: object) -> bytes:
    """`value` as JSON in ASCII, which no proxy can spoil."""
    return json.dumps(value, separators=(",", ":")).encode()


def _host(host: str) -> str:
    return host.strip().strip("[]").rstrip(".").lower()


def _spellings(secrets: Iterable[str]) -> tuple[str, ...]:
    """Every way a secret may stand in an exception's text, the longest first; too short ones would hide everything."""
    found = {
        form for secret in secrets if len(secret) >= 4 for form in (secret, quote(secret, safe=""), quote_plus(secret))
    }
    found |= {repr(secret)[1:-1] for secret in secrets if len(secret) >= 4}
    return tuple(sorted(found, key=len, reverse=True))
