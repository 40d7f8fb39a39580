"""The way of one HTTP look to the network: a name resolved once, a judged address, one deadline, counted bytes.

requests and urllib3 would resolve at will, follow the environment's proxies and wait per read; here they
only speak HTTP over a socket that this module has made.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import os
import socket
import ssl
import time
from collections.abc import Mapping
from http.cookiejar import parse_ns_headers  # type: ignore[attr-defined]  # the reader itself, and not told of
from typing import Any
from urllib.parse import urlsplit

import certifi
import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from domain.reading import Failure, FailureKind
from probes import certificate, names
from probes.doors import Doors
from probes.limits import Deadline, Guard, Meter, TooLate, clean
from probes.names import Names, Place
from probes.tcp import ADDRESSES, refusal

# What a server does wrong is a Failure with a sentence; the library would also write a traceback for each bad header.
logging.getLogger("urllib3").setLevel(logging.CRITICAL)


class Stop(Exception):
    """The look ends here, for the reason it carries."""

    def __init__(self, kind: FailureKind, detail: str) -> None:
        super().__init__(detail)
        self.failure = Failure(kind, detail)


class _Counted:
    """A socket that counts what passes."""

    meter: Meter

    def recv_into(self, *args: Any) -> int:
        count: int = super().recv_into(*args)  # type: ignore[misc]
        self.meter.take(count)
        return count

    def recv(self, *args: Any) -> bytes:
        data: bytes = super().recv(*args)  # type: ignore[misc]
        self.meter.take(len(data))
        return data

    def sendall(self, data: Any, flags: int = 0) -> None:
        self.meter.sent += len(data)
        super().sendall(data, flags)  # type: ignore[misc]


class _Plain(_Counted, socket.socket):
    """A counted TCP socket."""


class _Tls(_Counted, ssl.SSLSocket):
    """A counted TLS socket."""


class _Context(ssl.SSLContext):
    """A TLS context whose sockets go on counting on the meter of the socket below them."""

    def wrap_socket(self, sock: socket.socket, *args: Any, **named: Any) -> ssl.SSLSocket:
        wrapped = super().wrap_socket(sock, *args, **named)
        wrapped.meter = sock.meter  # type: ignore[attr-defined]
        return wrapped


class Trust:
    """TLS contexts, made once: reading the system's certificate authorities takes tens of milliseconds."""

    def __init__(self) -> None:
        self._contexts: dict[str, ssl.SSLContext] = {}

    def context(self, verify: bool, authority: str = "") -> ssl.SSLContext:
        """A client context; `authority` (PEM) replaces the system's authorities, and may be the server's own leaf."""
        key = f"{verify}{hashlib.sha256(authority.encode()).hexdigest()}"
        if key not in self._contexts:
            self._contexts[key] = _context(verify, authority)
        return self._contexts[key]

    def close(self) -> None:
        """Forget them."""
        self._contexts.clear()


def _context(verify: bool, authority: str) -> ssl.SSLContext:
    context = _Context(ssl.PROTOCOL_TLS_CLIENT)
    context.sslsocket_class = _Tls
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif authority:
        context.load_verify_locations(cadata=authority)
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # so that a pinned leaf is an anchor too
    else:
        context.load_default_certs()
        paths = ssl.get_default_verify_paths()
        if not paths.cafile and not (paths.capath and os.listdir(paths.capath)):
            context.load_verify_locations(certifi.where())  # a system without authorities of its own
    return context


class Wire:
    """Everything one look does on the network."""

    def __init__(self, deadline: Deadline, guard: Guard, known: Names, doors: Doors, *, loopback: bool, family: str):
        self.deadline = deadline
        self.guard = guard
        self.meter = Meter()
        self.context: ssl.SSLContext | None = None
        self.certificate = b""
        self.tls_version = ""
        self.waiting_for = "the connection"
        self.resolving = 0.0
        self._names = known
        self._doors = doors
        self._loopback = loopback
        self._family = family
        self._pins: dict[str, tuple[Place, ...]] = {}

    def pin(self, host: str, address: str) -> None:
        """From now on in this look `host` is at `address` (a name or number), resolved once, here."""
        if host in self._pins:
            return
        self.guard.let_go()
        start = time.monotonic()
        try:
            self._pins[host] = self._names.find(address, self.deadline.remaining(), self._family)
        except names.Unresolved as unresolved:
            raise Stop(FailureKind.UNSUPPORTED, str(unresolved)) from None
        finally:
            self.resolving += time.monotonic() - start

    def connect(self, host: str, port: int) -> socket.socket:
        """A counted, guarded connection to the pinned address of `host`."""
        places = self._pins[host][:ADDRESSES]
        for place in places:
            why = self._doors.why_not(place.address, port, loopback=self._loopback)
            if why:
                shown = clean(host if host == place.address else f"{host} ({place.address})", 120)
                raise Stop(FailureKind.UNTRUSTED, f"Pantau does not ask {shown} on port {port}, {why}.")
        stop = Stop(FailureKind.BROKEN, "No address was tried.")
        for left, place in zip(range(len(places), 0, -1), places, strict=True):
            try:
                return self._one(place, port, self.deadline.check() / left)
            except Stop as failed:
                stop = failed
        raise stop

    def secure(self, line: socket.socket, host: str, port: int) -> ssl.SSLSocket:
        """TLS on `line`, the certificate remembered; raises Stop when it is not to be believed."""
        assert self.context is not None  # set before the first https hop
        self.waiting_for = "the TLS handshake"
        try:
            wrapped = self.shake(line, host, self.context)
        except ssl.SSLCertVerificationError as error:
            self._peek(host, port)
            raise self.not_believed(error, host) from None
        except (OSError, TooLate) as error:
            raise self.unshaken(error, host, port) from None
        self.waiting_for = "the answer"
        return wrapped

    def _one(self, place: Place, port: int, seconds: float) -> socket.socket:
        self.waiting_for = "the connection"
        where = f"Port {port} on {place.address}"
        line = _Plain(place.family, socket.SOCK_STREAM)
        line.meter = self.meter
        try:
            line.settimeout(seconds)
            line.connect(place.at(port))
            if line.getsockname() == line.getpeername():  # a free port of our own, connected to itself by chance
                raise ConnectionRefusedError(111, "")
            line.settimeout(self.deadline.check())
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.guard.hold(line)
        except TimeoutError:
            line.close()
            raise Stop(FailureKind.TIMEOUT, f"{where} did not answer within {seconds:.3g} s.") from None
        except OSError as error:
            line.close()
            failure = refusal(error, where)
            raise Stop(failure.kind, failure.detail) from None
        self.waiting_for = "the answer"
        return line

    def shake(self, line: socket.socket, host: str, context: ssl.SSLContext) -> ssl.SSLSocket:
        """TLS on `line` by `context`, the certificate remembered; raises what the handshake raises."""
        wrapped = context.wrap_socket(line, server_hostname=host, do_handshake_on_connect=False)
        try:
            wrapped.do_handshake()
            self.certificate = wrapped.getpeercert(binary_form=True) or b""
            self.tls_version = wrapped.version() or ""
        except BaseException:
            wrapped.close()
            raise
        return wrapped

    def _peek(self, host: str, port: int) -> None:
        """Fetch a certificate that was not believed, to say what is wrong with it. Nothing else is sent."""
        try:
            self.shake(self.connect(host, port), host, _context(False, "")).close()
        except (OSError, Stop, TooLate):
            return  # the reason is known without it

    def not_believed(self, error: ssl.SSLCertVerificationError, host: str) -> Stop:
        """A certificate that does not check out, as the end of the look."""
        detail = f"The certificate of {clean(host, 120)} is not to be trusted: {certificate.distrust(error)}"
        listed = certificate.names(self.certificate) if error.verify_code in (62, 64) else ()
        return Stop(FailureKind.UNTRUSTED, f"{detail} ({', '.join(listed)})." if listed else f"{detail}.")

    def unshaken(self, error: OSError | TooLate, host: str, port: int) -> Stop:
        """A handshake that did not come about, as the end of the look."""
        where = f"Port {port} on {clean(host, 120)}"
        if self.late(error):
            return Stop(FailureKind.TIMEOUT, self.lateness())
        reason = getattr(error, "reason", "") or ""
        if reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "RECORD_LAYER_FAILURE"):
            return Stop(FailureKind.REFUSED, f"{where} does not speak TLS.")
        words = clean(reason.replace("_", " ").lower() or "the connection was broken off", 80)
        return Stop(FailureKind.REFUSED, f"{where} does not complete the TLS handshake: {words}.")

    def late(self, error: BaseException) -> bool:
        """Whether `error` is but the sound of our own deadline."""
        return self.guard.fired or self.deadline.passed() or isinstance(error, TimeoutError | TooLate)

    def lateness(self) -> str:
        """What was being waited for when the time ran out, as a sentence."""
        return f"Not finished within {self.deadline.seconds:g} s; still waiting for {self.waiting_for}."


class _Connection(HTTPConnection):
    def __init__(self, *args: Any, wire: Wire, **named: Any) -> None:
        super().__init__(*args, **named)
        self._wire = wire

    def _new_conn(self) -> socket.socket:
        return self._wire.connect(_bare(self.host), self.port or 80)


class _TlsConnection(HTTPSConnection):
    def __init__(self, *args: Any, wire: Wire, **named: Any) -> None:
        super().__init__(*args, **named)
        self._wire = wire

    def connect(self) -> None:
        host, port = _bare(self.host), self.port or 443
        self.sock = self._wire.secure(self._wire.connect(host, port), host, port)
        self.is_verified = True  # or the look was told not to: urllib3 need not warn about it again


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class _Adapter(HTTPAdapter):
    """requests, over a Wire."""

    def __init__(self, wire: Wire, again: bool) -> None:
        self._wire, self._again = wire, again
        self._pools: dict[tuple[str, str, int], HTTPConnectionPool] = {}
        super().__init__(max_retries=0)

    def get_connection_with_tls_context(
        self, request: requests.PreparedRequest, verify: Any, proxies: Any = None, cert: Any = None
    ) -> HTTPConnectionPool:
        parts = urlsplit(str(request.url))
        secure = parts.scheme == "https"
        made = _TlsPool if secure else _Pool
        host, port = str(parts.hostname), parts.port or (443 if secure else 80)
        key = (parts.scheme, host, port)
        if key in self._pools and not self._again:
            self._pools.pop(key).close()
        if key not in self._pools:
            self._pools[key] = made(host, port, maxsize=1, wire=self._wire)
        return self._pools[key]

    def build_response(self, req: requests.PreparedRequest, resp: Any) -> requests.Response:
        """As the library does; cookies that cannot be read are left out before it writes a warning about itself."""
        message = resp._original_response.msg  # where the library reads them too
        try:
            parse_ns_headers(message.get_all("Set-Cookie", []))
        except (ValueError, LookupError, TypeError, OverflowError):
            del message["Set-Cookie"]
        return super().build_response(req, resp)

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """The Wire's own TLS context decides."""

    def close(self) -> None:
        for pool in self._pools.values():
            pool.close()
        super().close()


def session(wire: Wire, again: bool = False) -> requests.Session:
    """A requests session that reaches the network only through `wire`, and follows nothing by itself.

    `again`: several requests go over one connection; else each makes its own.
    """
    made = requests.Session()
    made.trust_env = False  # no proxies, no netrc, no certificate bundles from the environment
    made.adapters.clear()
    adapter = _Adapter(wire, again)
    made.mount("http://", adapter)
    made.mount("https://", adapter)
    made.headers.clear()
    # "identity": a compressed answer would cost the watched machine work we only undo again.
    common: Mapping[str, str] = {"User-Agent": "Pantau", "Accept": "*/*", "Accept-Encoding": "identity"}
    made.headers.update({**common, "Connection": "keep-alive" if again else "close"})
    return made


def credential(username: str, password: str) -> str:
    """An Authorization value: Basic (RFC 7617, in UTF-8), or Bearer (RFC 6750) where there is no user name."""
    if not username:
        return f"Bearer {password}"
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


def _bare(host: str) -> str:
    return host.strip("[]").lower()
