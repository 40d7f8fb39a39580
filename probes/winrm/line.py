"""The way of a session to a Windows machine: pywinrm's logins and sealing, over connections made and watched here.

pywinrm would open connections as it likes, follow redirects, unpack what it is sent, and - after a login that failed -
post the next message unsealed. Here there is one connection after the login and never another; over http nothing
leaves that can be read, and no answer is taken that was not sealed.
"""

from __future__ import annotations

import hashlib
import logging
import os
import socket
import ssl
from collections.abc import Callable
from typing import Any, Literal

import certifi
import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from winrm.transport import Transport

from domain.reading import Failure, FailureKind
from probes import certificate
from probes.limits import Deadline, Guard, Meter, TooLate, clean
from probes.names import Place
from probes.tcp import refusal

# What a machine does wrong is a Failure with a sentence; pywinrm's Kerberos would also write tracebacks.
logging.getLogger("winrm").setLevel(logging.CRITICAL)

PIN = "x509-sha256"
"""What a pinned certificate is written as: this word, a space, and the SHA-256 of its DER form in hex."""
Login = Literal["ntlm", "kerberos", "basic"]
DIALS = 3
"""The most connections one login may take: some servers close the one on which they first refused."""


class Stop(Exception):
    """The look ends here, for the reason it carries; `shown` is the certificate that was not the pinned one."""

    def __init__(self, kind: FailureKind, detail: str, shown: str = "") -> None:
        super().__init__(detail)
        self.failure, self.shown = Failure(kind, detail), shown


class WrongLogin(Stop):
    """User or password were refused: the one thing that must not be tried again and again."""


class HungUp(Exception):
    """The connection that was logged in is gone, and with it the login: once more from the beginning."""


class _Counted:
    line: Line

    def recv_into(self, *args: Any) -> int:
        count: int = super().recv_into(*args)  # type: ignore[misc]
        self.line.meter.take(count)
        return count

    def sendall(self, data: Any, flags: int = 0) -> None:
        self.line.meter.sent += len(data)
        super().sendall(data, flags)  # type: ignore[misc]


class _Plain(_Counted, socket.socket):
    """A TCP socket that counts what passes."""


class _Tls(_Counted, ssl.SSLSocket):
    """A TLS socket that counts what passes."""


class Line:
    """Where one session's bytes go: one machine, one port, and for TLS how its certificate is believed.

    `context` is None for http. With `pinned` its certificate is one of those, or not one byte of the login is sent.
    """

    def __init__(
        self, places: tuple[Place, ...], port: int, context: ssl.SSLContext | None, pinned: tuple[str, ...], name: str
    ) -> None:
        self.port, self.name = port, name
        self.context, self.pinned = context, pinned
        self._places = places
        self.meter = Meter()
        self.posts = 0
        self.settled = False
        self.once = False
        """Whether what is posted next is the last: an order must not leave a second time, whatever is answered to it."""
        self._closed = False
        self.certificate = b""
        self.patience = 1.0
        """The share of the time left that a TLS handshake may take: less where HTTP is tried next."""
        self._deadline = Deadline(0)
        self._guard: Guard | None = None
        self._socket: socket.socket | None = None
        self._dials = 0

    @property
    def where(self) -> str:
        """Begins a sentence: "Port 5985 on 192.0.2.7"."""
        return f"Port {self.port} on {self._places[0].address}"

    @property
    def deadline(self) -> Deadline:
        """The deadline of the look under way."""
        return self._deadline

    @property
    def shown(self) -> str:
        """The certificate the machine showed, as it would be pinned; "" over http."""
        return f"{PIN} {hashlib.sha256(self.certificate).hexdigest()}" if self.certificate else ""

    def begin(self, deadline: Deadline, guard: Guard) -> None:
        """A new look: its deadline, its guard and its own count of bytes."""
        self._deadline, self._guard = deadline, guard
        self.meter, self.posts = Meter(), 0
        if self._socket is not None and self._socket.fileno() >= 0:
            guard.hold(self._socket)

    @property
    def late(self) -> bool:
        """Whether the look's own deadline has passed, which makes every other error its mere sound."""
        return self._deadline.passed() or (self._guard is not None and self._guard.fired)

    def pass_on(self) -> None:
        """Something is about to be posted. Raises HungUp after the last."""
        if self._closed:
            raise HungUp
        self._closed = self.once
        self.posts += 1

    def dial(self) -> socket.socket:
        """A connection, its certificate believed. Raises Stop, TooLate, HungUp."""
        if self.settled or self._dials >= DIALS:
            raise HungUp
        self._dials += 1
        line = self._connect()
        self._socket = line
        if self.context is None:
            return line
        self._socket = self._shake(line, self.context)
        return self._socket

    def close(self) -> None:
        """Hang up."""
        if self._socket is not None:
            number = self._socket.detach()  # close() would wait for the library to forget its half-read answer
            if number >= 0:
                socket.close(number)

    def _connect(self) -> socket.socket:
        """To the first address that takes a connection, which it stays with."""
        stop = Stop(FailureKind.BROKEN, "No address was tried.")
        for left, place in zip(range(len(self._places), 0, -1), self._places, strict=True):
            try:
                line = self._one(place, self._deadline.check() / left)
                self._places = (place,)
                return line
            except Stop as failed:
                stop = failed
        raise stop

    def _one(self, place: Place, seconds: float) -> socket.socket:
        line = _Plain(place.family, socket.SOCK_STREAM)
        line.line = self
        try:
            line.settimeout(seconds)
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            line.connect(place.at(self.port))
            if line.getsockname() == line.getpeername():  # a free port of our own, connected to itself by chance
                raise ConnectionRefusedError(111, "")
            if self._guard is not None:
                self._guard.hold(line)
        except OSError as error:
            line.close()
            failure = refusal(error, f"Port {self.port} on {place.address}")
            raise Stop(failure.kind, failure.detail) from None
        except TooLate:
            line.close()
            raise
        return line

    def _shake(self, line: socket.socket, context: ssl.SSLContext) -> socket.socket:
        wrapped: Any = context.wrap_socket(line, server_hostname=self.name, do_handshake_on_connect=False)
        try:
            wrapped.line = self
            wrapped.settimeout(self.deadline.check() * self.patience)
            wrapped.do_handshake()
            self.certificate = wrapped.getpeercert(True) or b""
            if self.pinned and self.shown not in self.pinned:
                raise Stop(FailureKind.UNTRUSTED, _changed(self.shown, self.pinned), self.shown)
        except ssl.SSLCertVerificationError as error:
            wrapped.close()
            why = certificate.distrust(error)
            raise Stop(FailureKind.UNTRUSTED, f"The machine's certificate is not to be trusted: {why}.") from None
        except OSError as error:
            wrapped.close()
            if self.late:
                raise TooLate from None
            silent = " in time" if isinstance(error, TimeoutError) else ""
            raise NoTls(f"{self.where} does not speak TLS{silent}") from None
        except BaseException:
            wrapped.close()
            raise
        found: socket.socket = wrapped
        return found


class NoTls(Exception):
    """The far side does not speak TLS."""


def trust(authority: bool, pem: str) -> ssl.SSLContext:
    """A TLS context: believed are the system's authorities or those in `pem`; without `authority` the pin decides."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.sslsocket_class = _Tls
    if not authority:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif pem:
        context.load_verify_locations(cadata=pem)
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    else:
        context.load_default_certs()
        paths = ssl.get_default_verify_paths()
        if not paths.cafile and not (paths.capath and os.listdir(paths.capath)):
            context.load_verify_locations(certifi.where())
    return context


def fingerprint(pin: str) -> str:
    """The SHA-256 of a pin as Windows and browsers show it."""
    text = pin.rpartition(" ")[2].upper()
    return ":".join(text[i : i + 2] for i in range(0, len(text), 2))


def _changed(shown: str, pinned: tuple[str, ...]) -> str:
    expected = ", ".join(fingerprint(pin) for pin in pinned)
    return (
        f"The machine shows a certificate with the SHA-256 {fingerprint(shown)}, and {expected} is trusted. Nothing was "
        "sent to it. If it was renewed, accept the new one on its page; if not, somebody may be in between."
    )


class _Connection(HTTPConnection):
    def __init__(self, *args: Any, dial: Callable[[], socket.socket], **named: Any) -> None:
        super().__init__(*args, **named)
        self._dial = dial

    def _new_conn(self) -> socket.socket:
        return self._dial()


class _TlsConnection(HTTPSConnection):
    def __init__(self, *args: Any, dial: Callable[[], socket.socket], **named: Any) -> None:
        super().__init__(*args, **named)
        self._dial = dial

    def connect(self) -> None:
        self.sock = self._dial()
        self.is_verified = True  # the Line has done it, in its own way


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class _Adapter(HTTPAdapter):
    """requests, over a Line."""

    def __init__(self, line: Line) -> None:
        self._line = line
        made = _TlsPool if line.context is not None else _Pool
        # one connection, kept: the login belongs to it. Never wait for one: the line refuses a second by itself
        self._pool = made(line.name, line.port, maxsize=1, block=False, dial=line.dial, timeout=1.0)
        super().__init__(max_retries=0)

    def get_connection_with_tls_context(
        self, request: requests.PreparedRequest, verify: Any, proxies: Any = None, cert: Any = None
    ) -> HTTPConnectionPool:
        return self._pool

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """The Line's own TLS context decides."""

    def send(self, request: requests.PreparedRequest, *args: Any, **named: Any) -> requests.Response:
        sealed = "multipart/encrypted" in str(request.headers.get("Content-Type", ""))
        if self._line.context is None and request.body and not sealed:
            raise Stop(FailureKind.BROKEN, "A message would have left unsealed over http; it was held back.")
        self._line.pass_on()
        response = super().send(request, timeout=self._line.deadline.check())
        if self._line.late:
            raise TooLate
        self._judge(response, sealed)
        return response

    def _judge(self, response: requests.Response, sealed: bool) -> None:
        """What no WS-Management listener does. The body has not been read yet."""
        code, headers = response.status_code, response.headers
        odd = ""
        if 300 <= code < 400:
            odd = "sends us elsewhere, which no WS-Management listener does"
        elif headers.get("Content-Encoding", "identity").lower() != "identity":
            odd = "packs its answer, which was not asked for"
        if odd:
            response.close()
            raise Stop(FailureKind.REFUSED, f"{self._line.where} {odd}.")
        if sealed and code != 401 and "multipart/encrypted" not in headers.get("Content-Type", ""):
            response.close()
            if code in (200, 500):
                raise Stop(
                    FailureKind.UNTRUSTED,
                    f"{self._line.where} answered a sealed message unsealed: that is not the machine that was logged in to.",
                )
            raise HungUp  # 400: it has forgotten the login

    def close(self) -> None:
        self._pool.close()
        self._line.close()
        super().close()


class Way(Transport):
    """pywinrm's transport over a Line, told nothing by the environment."""

    def __init__(self, line: Line, endpoint: str, user: str, password: str, login: Login, principal_host: str) -> None:
        self.line = line
        super().__init__(
            endpoint,
            username=user or None,
            password=password,
            service="HTTP",
            auth_method=login,
            read_timeout_sec=30,
            ca_trust_path=None,  # type: ignore[arg-type] # pywinrm: "None to explicitly disallow any"
            proxy=None,
            server_cert_validation="validate",
            message_encryption="auto" if line.context is not None else "always",
            kerberos_hostname_override=principal_host or None,
        )

    def build_session(self) -> requests.Session:
        """pywinrm's session, on our adapter before anything is sent."""
        fresh = self.session is None
        session: requests.Session = super().build_session()
        if fresh:
            self._ours(session)
        return session

    def setup_encryption(self, session: requests.Session) -> None:
        """The blank post that logs in, before anything is sealed."""
        self._ours(session)
        super().setup_encryption(session)
        if getattr(session.auth, "session_security", True) is None:
            raise Stop(FailureKind.REFUSED, f"{self.line.where} does not ask who we are: nothing can be sealed for it.")

    def _ours(self, session: requests.Session) -> None:
        if isinstance(session.adapters.get("http://"), _Adapter):
            return
        session.trust_env = False
        adapter = _Adapter(self.line)
        session.adapters.clear()
        session.mount("http://", adapter)
        session.mount("https://", adapter)
        session.headers.update({"User-Agent": "Pantau", "Accept-Encoding": "identity"})

    def close_session(self) -> None:
        """Hang up."""
        super().close_session()
        self.line.close()


def shown_text(text: str) -> str:
    """A text of the far side inside a sentence."""
    return clean(text, 160).rstrip(". ")
