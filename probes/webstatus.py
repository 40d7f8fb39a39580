"""What nginx and Apache say of themselves: their status pages, told apart by what they say."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from domain.options import option
from domain.reading import Fact, Failure, FailureKind, Measure, Reading, Target
from probes import http
from probes.base import Keep, Probe, Produces
from probes.http import verdict
from probes.http.verdict import Answer
from probes.limits import TooMuch, clean, number

PATHS = {"nginx": "/nginx_status", "apache": "/server-status?auto"}

# ngx_http_stub_status_module
_NGINX = re.compile(
    r"\s*Active connections:\s*(\d{1,19})\s+server accepts handled requests\s+(\d{1,19})\s+(\d{1,19})\s+(\d{1,19})\s+"
    r"Reading:\s*(\d{1,19})\s+Writing:\s*(\d{1,19})\s+Waiting:\s*(\d{1,19})\s*",
    re.ASCII,
)
# mod_status, "Machine Readable Status File"
_APACHE = {
    "ServerUptimeSeconds": ("apache.uptime", 1.0),
    "Total Accesses": ("apache.requests", 1.0),
    "Total kBytes": ("apache.traffic", 1024.0),
    "Total Duration": ("apache.request.time", 0.001),
    "BusyWorkers": ("apache.workers.busy", 1.0),
    "IdleWorkers": ("apache.workers.idle", 1.0),
    "ConnsTotal": ("apache.current_connections", 1.0),
}
_SCOREBOARD = {
    "_": "waiting", "S": "starting", "R": "reading", "W": "sending", "K": "keepalive", "D": "dns", "C": "closing",
    "L": "logging", "G": "finishing", "I": "idle_cleanup",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Options:
    """Where the page is."""

    server: str = option("Server", default="nginx", choices=("nginx", "apache"))
    url: str = option("URL", default="", help="Empty: made of the machine's address and the next three.")
    tls: bool = option("HTTPS", default=False)
    port: int = option("Port", default=0, low=0, high=65535, help="0: 80, or 443 with HTTPS.")
    path: str = option("Path", default="/", help="/ is the server's usual one: /nginx_status, /server-status?auto")
    host: str = option("Host name to ask for", default="", help="For virtual hosts: Host header and TLS name.")
    verify: bool = option("Verify the certificate", default=True)
    unverified_because: str = option("Why it is not verified", default="", help="Required when it is not.")
    ca: str = option("Own certificate authority", default="", help="PEM; trusted instead of the system's.")
    plain_password: bool = option("Allow the password without TLS", default=False)
    family: str = option("IP version", default="any", choices=("any", "4", "6"))

    def __post_init__(self) -> None:
        http.page_of(self)

    @property
    def knocks(self) -> int:
        """The port a test knocks at; 0 for none."""
        return http.page_of(self).knocks


def look(target: Target, keep: Keep) -> Reading:
    """Fetch the page and read it."""
    options: Options = target.options
    signed = target.secret is not None
    path = PATHS[options.server] if options.path == "/" else options.path

    def judge(answer: Answer) -> tuple[tuple[Measure, ...], tuple[Fact, ...], Failure | None]:
        if answer.status in (403, 404):
            why = "does not show its status page to Pantau" if answer.status == 403 else "has no status page there"
            return (), (), Failure(
                FailureKind.DENIED if answer.status == 403 else FailureKind.UNSUPPORTED,
                f"The server {why} ({answer.status}): switch it on as the page of this check shows.",
            )  # fmt: skip
        if (failure := verdict.status(answer, "200", signed)) is not None:
            return (), (), failure
        try:
            return read(verdict.text_of(answer))
        except (TooMuch, ValueError) as error:
            return (), (), Failure(FailureKind.REFUSED, f"The body {clean(str(error))}.")

    return http.visit(target, http.page_of(options, path=path), keep, judge)


def read(text: str) -> tuple[tuple[Measure, ...], tuple[Fact, ...], Failure | None]:
    """The page of either server as measures."""
    if match := _NGINX.fullmatch(text):
        return tuple(_nginx([float(number_) for number_ in match.groups()])), (), None
    rows = {name: value.strip() for name, colon, value in (line.partition(": ") for line in text.splitlines()) if colon}
    if number(rows.get("BusyWorkers")) is not None:
        facts = (Fact("apache.version", clean(rows["ServerVersion"], 100)),) if rows.get("ServerVersion") else ()
        return tuple(_apache(rows)), facts, None
    failure = Failure(
        FailureKind.UNSUPPORTED, "The answer is no status page of nginx or Apache: is it the right path, with ?auto?"
    )
    return (), (), failure


def _nginx(numbers: list[float]) -> Iterator[Measure]:
    active, accepted, handled, requests, reading, writing, waiting = numbers
    yield Measure("nginx.connections_current", active)
    for state, value in (("reading", reading), ("writing", writing), ("waiting", waiting)):
        yield Measure("nginx.connections_current", value, of=state)
    yield Measure("nginx.connections_accepted", accepted, kind="counter")
    yield Measure("nginx.connections_dropped", max(0.0, accepted - handled), kind="counter")
    yield Measure("nginx.requests", requests, kind="counter")


def _apache(rows: dict[str, str]) -> Iterator[Measure]:
    for name, (measure, times) in _APACHE.items():
        value = number(rows.get(name), 0)
        if value is not None:
            made = _DECLARED[measure]
            yield Measure(measure, value * times, made.unit, kind=made.kind)
    board = Counter(rows.get("Scoreboard", ""))
    for letter, state in _SCOREBOARD.items():
        if rows.get("Scoreboard"):
            yield Measure("apache.scoreboard", float(board[letter]), of=state)
    slots = sum(board.values())
    if slots and (busy := number(rows.get("BusyWorkers"), 0)) is not None:
        yield Measure("apache.workers.utilization", min(1.0, busy / slots))


PRODUCES = (
    Produces("nginx.connections_current", "1", "Connections", of="state"),
    Produces("nginx.connections_accepted", "1", "Connections taken", kind="counter"),
    Produces("nginx.connections_dropped", "1", "Connections turned away", kind="counter"),
    Produces("nginx.requests", "1", "Requests", kind="counter"),
    Produces("apache.uptime", "s", "Apache has been running"),
    Produces("apache.requests", "1", "Requests", kind="counter"),
    Produces("apache.traffic", "By", "Sent to clients", kind="counter"),
    Produces("apache.request.time", "s", "Requests at work at once, on average", kind="counter"),
    Produces("apache.workers.busy", "1", "Workers at work"),
    Produces("apache.workers.idle", "1", "Workers that wait"),
    Produces("apache.workers.utilization", "1", "Share of the workers in use"),
    Produces("apache.current_connections", "1", "Connections"),
    Produces("apache.scoreboard", "1", "Workers by state", of="state"),
    Produces("http.duration", "s", "Time to the whole answer"),
    Produces("http.status_code", "1", "Status"),
    Produces("http.response.size", "By", "Size of the answer"),
    Produces("tls.certificate.expiry", "s", "Certificate is good for"),
)
_DECLARED = {made.name: made for made in PRODUCES}

PROBE = Probe(
    kind="webstatus", label="nginx or Apache", look=look, options=Options, produces=PRODUCES, secret=True, port=80
)
