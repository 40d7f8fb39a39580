"""HTTP and HTTPS: does a page answer as it should, how fast, and how long is its certificate still good."""

from __future__ import annotations

import http.client
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, urljoin, urlsplit

import requests
import urllib3
from cryptography import x509

from domain.options import option
from domain.reading import Cost, Fact, Failure, FailureKind, Measure, Reading, Secret, Target
from probes import certificate, doors, names
from probes.base import Keep, Probe, Produces
from probes.http import verdict
from probes.http.verdict import Answer, Wanted
from probes.http.wire import Stop, Trust, Wire, credential, session
from probes.limits import ANSWER_BYTES, REDIRECTS, Deadline, Guard, TooLate, TooMuch, clean

CHUNK = 16 * 1024
URL_CHARACTERS = 2048


@dataclass(frozen=True, slots=True)
class Options:
    url: str = option("URL", default="", help="Empty: made of the machine's address and the next three.")
    tls: bool = option("HTTPS", default=False)
    port: int = option("Port", default=0, low=0, high=65535, help="0: 80, or 443 with HTTPS.")
    path: str = option("Path", default="/")
    method: str = option("Method", default="GET", choices=("GET", "HEAD"))
    status: str = option("Expected status", default="200-399", help="Ranges and single numbers: 200-299, 401")
    keyword: str = option("Text that must be there", default="")
    keyword_absent: str = option("Text that must not be there", default="")
    json_path: str = option("Path in the JSON answer", default="", help="Like status.items[0].name")
    json_value: str = option("Expected value there", default="", help="Empty: it is enough that there is one.")
    follow: bool = option("Follow redirects", default=True, help=f"At most {REDIRECTS}.")
    host: str = option("Host name to ask for", default="", help="For virtual hosts: Host header and TLS name.")
    verify: bool = option("Verify the certificate", default=True)
    unverified_because: str = option("Why it is not verified", default="", help="Required when it is not.")
    ca: str = option("Own certificate authority", default="", help="PEM; trusted instead of the system's.")
    plain_password: bool = option("Allow the password without TLS", default=False)
    family: str = option("IP version", default="any", choices=("any", "4", "6"))

    def __post_init__(self) -> None:
        if self.url:
            _checked(self.url)
        if not self.path.startswith("/"):
            raise ValueError("option 'path' begins with a slash.")
        if self.host and not re.fullmatch(r"[\w.-]{1,253}", self.host):
            raise ValueError(f"option 'host' is a host name, not {self.host!r}.")
        verdict.statuses(self.status)
        verdict.steps(self.json_path)
        if self.json_value and not self.json_path:
            raise ValueError("option 'json_value' needs 'json_path'.")
        if self.method == "HEAD" and (self.keyword or self.keyword_absent or self.json_path):
            raise ValueError("option 'method' is GET where the body is looked at.")
        if not self.verify and not self.unverified_because.strip():
            raise ValueError("option 'unverified_because' says why the certificate is not verified.")
        if self.ca:
            _authority(self.ca)

    @property
    def knocks(self) -> int:
        """The port a test knocks at; 0 for none, where a URL may lead elsewhere."""
        return 0 if self.url else self.port or (443 if self.tls else 80)


Judge = Callable[[Answer], tuple[tuple[Measure, ...], tuple[Fact, ...], Failure | None]]
"""What to make of the last answer of a visit."""
Sign = Callable[[Secret], dict[str, str]]
"""The headers that carry a credential."""


def basic(secret: Secret) -> dict[str, str]:
    """A credential as HTTP itself has it: Basic, or Bearer where there is no user name."""
    return {"Authorization": credential(secret.username, secret.password)}


def look(target: Target, keep: Keep) -> Reading:
    """Fetch the page, follow its redirects, and judge the last answer."""
    options: Options = target.options
    wanted = Wanted(options.status, options.keyword, options.keyword_absent, options.json_path, options.json_value)
    signed = target.secret is not None
    return visit(target, options, keep, lambda answer: ((), (), verdict.judge(answer, wanted, signed)))


def visit(
    target: Target, page: Options, keep: Keep, judge: Judge, *, most: int = ANSWER_BYTES, sign: Sign = basic
) -> Reading:
    """One page of `target` fetched as `page` says and given to `judge`: for every probe that speaks HTTP.

    `most` is how many bytes of the body are taken; the judge is told whether that was all.
    """
    deadline = Deadline(target.deadline)
    with Guard(deadline) as guard:
        here = names.is_this_machine(target.address)
        wire = Wire(deadline, guard, names.of(keep), doors.of(keep), loopback=here, family=page.family)
        wire.context = keep.get(("http", "trust"), Trust).context(page.verify, page.ca)
        return _Visit(target, page, wire, judge, most, sign).read()


def page_of(options: Any, **more: Any) -> Options:
    """How to fetch a page, from another probe's options that bear the same names. Raises ValueError as Options does."""
    shared = {name: getattr(options, name) for name in Options.__dataclass_fields__ if hasattr(options, name)}
    return Options(**{**shared, **more})


class _Visit:
    """One look under way."""

    def __init__(self, target: Target, page: Options, wire: Wire, judge: Judge, most: int, sign: Sign) -> None:
        self._target, self._options, self._wire = target, page, wire
        self._verdict, self._most, self._sign = judge, most, sign
        self._measures: list[Measure] = []
        self._facts: list[Fact] = []

    def read(self) -> Reading:
        """The whole look, its failure included."""
        start = time.monotonic()
        failure: Failure | None = None
        try:
            failure = self._fetch()
            duration = time.monotonic() - start - self._wire.resolving
            self._measures.insert(0, Measure("http.duration", duration, "s"))
        except (Stop, TooMuch, TooLate, *BROKEN) as error:
            failure = why(self._wire, error)
        if self._wire.certificate:
            measures, facts = certificate.describe(self._wire.certificate)
            self._measures += measures
            self._facts += facts
        if self._wire.tls_version:
            self._facts.append(Fact("tls.version", self._wire.tls_version))
        cost = Cost(self._wire.meter.sent, self._wire.meter.received)
        return Reading(tuple(self._measures), tuple(self._facts), failure, cost)

    def _fetch(self) -> Failure | None:
        """Ask, go where we are sent, judge what is said there."""
        first = url = self._start()
        with session(self._wire) as line:
            for _ in range(REDIRECTS + 1):
                with self._ask(line, url, first) as response:
                    onward = self._onward(response, url)
                    if onward is None:
                        return self._judge(response)
                url = onward
        return Failure(FailureKind.REFUSED, f"Redirects more than {REDIRECTS} times, at last to {_shown(url)}.")

    def _start(self) -> str:
        """The first URL; its host is pinned to the machine's own address if the URL is made from that."""
        options, address = self._options, self._target.address.strip().strip("[]")
        if options.url:
            parts = urlsplit(options.url)
            host = str(parts.hostname)
            if options.host:
                self._wire.pin(options.host.lower(), host)
                return parts._replace(netloc=_netloc(options.host, parts.port)).geturl()
            self._wire.pin(host, host)
            return options.url
        host = options.host or address
        self._wire.pin(host.lower(), address)
        scheme = "https" if options.tls else "http"
        return f"{scheme}://{_netloc(host.partition('%')[0], options.port or None)}{options.path}"

    def _ask(self, line: requests.Session, url: str, first: str) -> requests.Response:
        """One request. The credential goes to the first origin and to no other."""
        headers = {}
        secret = self._target.secret
        if secret is not None and (secret.username or secret.password) and origin(url) == origin(first):
            if not url.lower().startswith("https:") and not self._options.plain_password:
                raise Stop(
                    FailureKind.UNTRUSTED,
                    "The password would travel in the clear: use HTTPS, or allow it in the options of this check.",
                )
            headers = self._sign(secret)
        request = line.prepare_request(requests.Request(self._options.method, url, headers=headers))
        self._wire.waiting_for = "the connection"
        response = line.send(request, stream=True, allow_redirects=False, timeout=self._wire.deadline.check())
        if self._wire.guard.fired:  # our own shutting down reads like the end of the headers
            raise TooLate
        return response

    def _onward(self, response: requests.Response, url: str) -> str | None:
        """Where the answer sends us, checked and pinned, or None when it is the last."""
        location = response.headers.get("Location", "")
        if not self._options.follow or response.status_code not in (301, 302, 303, 307, 308) or not location:
            return None
        try:
            onward = urljoin(url, location.encode("latin-1", "replace").decode("utf-8", "replace")).partition("#")[0]
            parts = _checked(onward)
        except ValueError:
            raise Stop(FailureKind.REFUSED, f"Redirects to {_shown(location)}, where Pantau does not go.") from None
        response.close()
        host = str(parts.hostname)
        self._wire.pin(host, host)
        return onward

    def _judge(self, response: requests.Response) -> Failure | None:
        body, whole = body_of(response, self._wire, self._most)
        self._measures.append(Measure("http.status_code", float(response.status_code)))
        self._measures.append(Measure("http.response.size", float(len(body)), "By"))
        if server := response.headers.get("Server", ""):
            self._facts.append(Fact("http.server", clean(server)))
        kind = http.client.HTTPMessage()
        kind["Content-Type"] = clean(response.headers.get("Content-Type", ""))
        charset = str(kind.get_content_charset() or "utf-8")
        encoding = response.headers.get("Content-Encoding", "")
        answer = Answer(response.status_code, encoding, charset, body, whole)
        measures, facts, failure = self._verdict(answer)
        self._measures += measures
        self._facts += facts
        return failure


def body_of(response: requests.Response, wire: Wire, most: int = ANSWER_BYTES) -> tuple[bytes, bool]:
    """At most so many bytes of the body as it comes from the line, and whether that is all of it. Raises TooLate."""
    wire.waiting_for = "the rest of the body"
    parts, size = [], 0
    for part in _parts(response):
        parts.append(part)
        size += len(part)
        if size > most:
            return b"".join(parts)[:most], False
    if wire.guard.fired:  # our own shutting down reads like the end of the body
        raise TooLate
    return b"".join(parts), True


BROKEN = (
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    http.client.HTTPException,
    OSError,
    ValueError,
    OverflowError,  # a chunk of a size no machine has
)
"""What the libraries raise for what a server does."""


def why(wire: Wire, error: Exception) -> Failure:
    """What an exception on the way means, ours or the libraries'."""
    if isinstance(error, Stop):
        return error.failure
    if isinstance(error, TooMuch):
        return Failure(FailureKind.REFUSED, f"The server {error}.")
    inner = _innermost(error)
    if isinstance(inner, Stop):
        return inner.failure
    if wire.late(inner):
        return Failure(FailureKind.TIMEOUT, wire.lateness())
    if isinstance(inner, http.client.RemoteDisconnected | ConnectionError):
        return Failure(FailureKind.REFUSED, "The server breaks the connection off without a whole answer.")
    if isinstance(inner, http.client.IncompleteRead | urllib3.exceptions.IncompleteRead):
        return Failure(FailureKind.REFUSED, "The server ends its answer before it is complete.")
    said = clean(str(inner), 120) or type(inner).__name__
    return Failure(FailureKind.REFUSED, f"The answer is not proper HTTP: {said}.")


def origin(url: str) -> tuple[str, str | None, int]:
    """Scheme, host and port: what a credential belongs to (RFC 6454)."""
    parts = urlsplit(url)
    return parts.scheme.lower(), parts.hostname, parts.port or (443 if parts.scheme.lower() == "https" else 80)


def _parts(response: requests.Response) -> Iterator[bytes]:
    while part := response.raw.read(CHUNK, decode_content=False):
        yield part


def _checked(url: str) -> SplitResult:
    """`url` taken apart; raises ValueError with a sentence where it is none we go to."""
    parts = urlsplit(url)
    try:
        odd = parts.port == 0
    except ValueError:
        odd = True
    if parts.scheme.lower() not in ("http", "https") or not parts.hostname or len(url) > URL_CHARACTERS:
        raise ValueError("option 'url' is like https://example.org/page.")
    if parts.username is not None or parts.password is not None:
        raise ValueError("option 'url' carries no user or password: that belongs in a credential.")
    if any(c.isspace() or not c.isprintable() for c in url) or "\\" in url or odd:
        raise ValueError("option 'url' has a character or a port no URL has.")
    return parts


def _authority(pem: str) -> None:
    try:
        x509.load_pem_x509_certificates(pem.encode())
    except ValueError:
        raise ValueError("option 'ca' is one or more certificates in PEM form.") from None


def _netloc(host: str, port: int | None) -> str:
    return (f"[{host}]" if ":" in host else host) + (f":{port}" if port else "")


def _shown(url: str) -> str:
    return f"'{clean(url, 120)}'"


def _innermost(error: Any) -> Exception:
    """The first cause: requests and urllib3 wrap theirs three deep, in arguments."""
    while True:
        inner = getattr(error, "reason", None)
        if not isinstance(inner, Exception):
            inner = next((a for a in reversed(getattr(error, "args", ())) if isinstance(a, Exception)), None)
        if inner is None:
            found: Exception = error
            return found
        error = inner


PROBE = Probe(
    kind="http",
    label="Web page (HTTP)",
    look=look,
    options=Options,
    produces=(
        Produces("http.duration", "s", "Time to the whole answer"),
        Produces("http.status_code", "1", "Status"),
        Produces("http.response.size", "By", "Size of the answer"),
        Produces("tls.certificate.expiry", "s", "Certificate is good for"),
    ),
    secret=True,
    port=80,
)
