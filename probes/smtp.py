"""A mail server: does it greet and answer, how fast, and does it offer TLS that is to be believed."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass

from domain.options import option
from domain.reading import Cost, Fact, Failure, FailureKind, Measure, Reading, Target
from probes import certificate, line, starttls
from probes.base import Keep, Probe, Produces
from probes.dialogue import Dialogue, Unspoken
from probes.http.wire import Stop, Wire
from probes.limits import Deadline, Guard, TooLate, TooMuch, clean

USUAL = {"tls": 465}


@dataclass(frozen=True, slots=True)
class Options:
    """Where mail is taken, and what must be offered."""

    port: int = option("Port", default=0, low=0, high=65535, help="0: 25, or 465 where TLS begins at once.")
    tls: str = option("TLS", default="offered", choices=("ignored", "offered", "starttls", "tls"))
    banner: str = option("Text the greeting must have", default="")
    name: str = option("Name in the certificate", default="", help="Empty: the machine's address.")
    verify: bool = option("Verify the certificate", default=True)
    unverified_because: str = option("Why it is not verified", default="", help="Required when it is not.")
    ca: str = option("Own certificate authority", default="", help="PEM; trusted instead of the system's.")
    family: str = option("IP version", default="any", choices=("any", "4", "6"))

    def __post_init__(self) -> None:
        line.check_options("verify", self.name, self.ca)
        if not self.verify and not self.unverified_because.strip():
            raise ValueError("option 'unverified_because' says why the certificate is not verified.")

    @property
    def knocks(self) -> int:
        """The port a look connects to."""
        return self.port or USUAL.get(self.tls, 25)


def look(target: Target, keep: Keep) -> Reading:
    """Greet, say EHLO, go over to TLS where wanted, and say QUIT. No mail is sent."""
    deadline = Deadline(target.deadline)
    options: Options = target.options
    with Guard(deadline) as guard:
        try:
            wire = line.to(target.address, keep, deadline, guard, options.family, options.name)
        except Stop as stop:
            return Reading(failure=stop.failure)
        seen = _Seen(wire, target, keep)
        failure: Failure | None = None
        try:
            failure = seen.talk()
        except (Stop, TooMuch, TooLate, OSError, EOFError, Unspoken) as error:
            failure = line.failure(wire, error, "SMTP")
        return seen.reading(failure)


class _Seen:
    """One look under way."""

    def __init__(self, wire: Wire, target: Target, keep: Keep) -> None:
        self._wire, self._options, self._keep = wire, target.options, keep
        self._host = line.host_of(target.address, self._options.name)
        self._measures: list[Measure] = []
        self._facts: list[Fact] = []

    def talk(self) -> Failure | None:
        """The conversation, and what is not as it should be."""
        options, wire, start = self._options, self._wire, time.monotonic()
        with self._connected() as connected:
            talk = Dialogue(connected, "SMTP")
            wire.waiting_for = "the greeting"
            greeting, can = starttls.smtp(talk)
            self._measures.append(Measure("smtp.duration", time.monotonic() - start, "s"))
            self._facts.append(Fact("smtp.banner", clean(greeting)))
            offered = "STARTTLS" in can
            self._measures.append(Measure("smtp.starttls", float(offered)))
            if options.banner and options.banner not in greeting:
                return _no(
                    f"The server greets with '{clean(greeting, 80)}'; '{clean(options.banner, 80)}' is expected."
                )
            if options.tls in ("offered", "starttls") and not offered:
                return _no("The server does not offer STARTTLS: whoever listens on the way can read the mail.")
            if options.tls == "starttls":
                starttls.upgrade_smtp(talk, can)
                with self._wrapped(connected) as wrapped:
                    talk = Dialogue(wrapped, "SMTP")
                    talk.say("EHLO pantau.invalid")
                    code, _ = talk.reply()
                    if code != 250:
                        return _no(f"Within TLS, the server answers {code} to EHLO.")
                    _leave(talk)
                    return None
            _leave(talk)
        return None

    def reading(self, failure: Failure | None) -> Reading:
        """All that was seen."""
        wire = self._wire
        if wire.certificate:
            known, facts = certificate.describe(wire.certificate)
            self._measures += known
            self._facts += [*facts, Fact("tls.version", wire.tls_version)]
        cost = Cost(wire.meter.sent, wire.meter.received)
        return Reading(tuple(self._measures), tuple(self._facts), failure, cost)

    @contextlib.contextmanager
    def _connected(self) -> Iterator[socket.socket]:
        options = self._options
        with self._wire.connect(self._host, options.knocks) as raw:
            if options.tls != "tls":
                yield raw
                return
            with self._wrapped(raw) as wrapped:
                yield wrapped

    def _wrapped(self, raw: socket.socket) -> socket.socket:
        options = self._options
        self._wire.context = line.context(self._keep, options.verify, options.ca)
        return self._wire.secure(raw, self._host, options.knocks)


def _leave(talk: Dialogue) -> None:
    """QUIT; whatever is said to that no longer matters."""
    with contextlib.suppress(OSError, EOFError, Unspoken):
        talk.say("QUIT")
        talk.reply()


def _no(detail: str) -> Failure:
    return Failure(FailureKind.REFUSED, detail)


PROBE = Probe(
    kind="smtp",
    label="Mail server (SMTP)",
    look=look,
    options=Options,
    produces=(
        Produces("smtp.duration", "s", "Time to greet and answer"),
        Produces("smtp.starttls", "1", "TLS is offered"),
        Produces("tls.certificate.expiry", "s", "Certificate is good for"),
    ),
    port=25,
)
