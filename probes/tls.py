"""TLS on any port: is the certificate to be believed, for the right name, and for how many days still."""

from __future__ import annotations

import contextlib
import ssl
import time
from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from domain import clock
from domain.options import option
from domain.reading import Cost, Fact, Failure, FailureKind, Measure, Reading, Target
from probes import certificate, line, starttls
from probes.base import Keep, Probe, Produces
from probes.dialogue import Unspoken
from probes.http.wire import Stop, Wire
from probes.limits import Deadline, Guard, TooLate, TooMuch, clean, number

DAY = 86400.0
RUNGS = 10
"""The most rungs of a ladder."""
CHAIN = 10
"""The most certificates of a chain that are looked at."""


@dataclass(frozen=True, slots=True)
class Options:
    """Where TLS is spoken, what the certificate must be, and when its end is near."""

    port: int = option("Port", default=443, low=1, high=65535)
    starttls: str = option("Begins in the clear", default="", choices=("", *starttls.STEPS), help="STARTTLS")
    name: str = option("Name in the certificate", default="", help="Empty: the machine's address.")
    ladder: tuple[str, ...] = option("Days left that count", default=("30", "14", "7", "1"), help="Highest first.")
    fail_days: float = option("Fail with fewer days left than", default=0.0, low=0, high=1000)
    verify: bool = option("Verify the certificate", default=True)
    unverified_because: str = option("Why it is not verified", default="", help="Required when it is not.")
    ca: str = option("Own certificate authority", default="", help="PEM; trusted instead of the system's.")
    family: str = option("IP version", default="any", choices=("any", "4", "6"))

    def __post_init__(self) -> None:
        line.check_options("verify", self.name, self.ca)
        if not self.verify and not self.unverified_because.strip():
            raise ValueError("option 'unverified_because' says why the certificate is not verified.")
        days = rungs(self.ladder)
        if not 1 <= len(days) <= RUNGS or any(one is None for one in days):
            raise ValueError(f"option 'ladder' is 1 to {RUNGS} numbers of days, like 30, 14, 7, 1.")


def rungs(ladder: tuple[str, ...]) -> list[float | None]:
    """The ladder's numbers of days; None for what is none."""
    return [number(text, 0, 36500) for text in ladder]


def look(target: Target, keep: Keep) -> Reading:
    """One handshake; a second one, told not to believe, where the first does not bring the certificate."""
    deadline = Deadline(target.deadline)
    options: Options = target.options
    with Guard(deadline) as guard:
        try:
            wire = line.to(target.address, keep, deadline, guard, options.family, options.name)
        except Stop as stop:
            return Reading(failure=stop.failure)
        look_at = _Handshake(wire, target, keep)
        failure = look_at.shake()
        measures, facts = look_at.told()
        left = next((one.value for one in measures if one.name == "tls.certificate.expiry"), None)
        if failure is None and left is not None and left < options.fail_days * DAY:
            failure = Failure(FailureKind.REFUSED, f"The certificate is good for {_days(left)} only: renew it.")
        cost = look_at.cost
    return Reading(tuple(measures), tuple(facts), failure, cost)


def _days(left: float) -> str:
    days = int(left // DAY)
    return f"{days} day{'' if days == 1 else 's'}" if days >= 1 else f"{max(0, int(left // 3600))} hours"


class _Handshake:
    """One look under way."""

    def __init__(self, wire: Wire, target: Target, keep: Keep) -> None:
        self._wire, self._options, self._keep = wire, target.options, keep
        self._host = line.host_of(target.address, self._options.name)
        self._took: float | None = None
        self._chain: list[bytes] = []
        self._cipher = ""
        self.cost = Cost()

    def shake(self) -> Failure | None:
        """The handshake as a client of the service would make it, and why it did not come about."""
        options = self._options
        try:
            try:
                self._once(line.context(self._keep, options.verify, options.ca))
            except ssl.SSLCertVerificationError as error:
                self._peek()
                return self._wire.not_believed(error, self._host).failure
            except (OSError, TooLate) as error:
                return self._broken(error)
        except (Stop, TooMuch, EOFError, Unspoken) as error:
            return line.failure(self._wire, error, "TLS")
        return None

    def told(self) -> tuple[list[Measure], list[Fact]]:
        """What the certificates say, believed or not."""
        measures: list[Measure] = []
        facts: list[Fact] = []
        if self._took is not None:
            measures.append(Measure("tls.handshake.duration", self._took, "s"))
        if self._wire.certificate:
            known, about = certificate.describe(self._wire.certificate)
            measures += known
            facts += [*about, Fact("tls.names", ", ".join(certificate.names(self._wire.certificate)))]
            if known:
                passed = sum(known[0].value < (days or 0.0) * DAY for days in rungs(self._options.ladder))
                measures.append(Measure("tls.certificate.rung", float(passed)))
            facts += _key(self._wire.certificate)
        ends = [end for end in map(_end, self._chain[:CHAIN]) if end is not None]
        if ends:
            measures.append(Measure("tls.chain.expiry", min(ends), "s"))
            measures.append(Measure("tls.chain.length", float(len(self._chain))))
        if self._wire.tls_version:
            facts += [Fact("tls.version", self._wire.tls_version), Fact("tls.cipher", self._cipher)]
        return measures, facts

    def _once(self, context: ssl.SSLContext) -> None:
        raw = self._wire.connect(self._host, self._options.port)
        with raw:
            if self._options.starttls:
                self._wire.waiting_for = f"{self._options.starttls.upper()} to begin TLS"
                starttls.begin(self._options.starttls, raw)
            self._wire.waiting_for = "the TLS handshake"
            start = time.monotonic()
            with self._wire.shake(raw, self._host, context) as wrapped:
                if self._took is None:
                    self._took = time.monotonic() - start
                self._chain = _chain(wrapped)
                self._cipher = (wrapped.cipher() or ("",))[0]
                with contextlib.suppress(OSError, ValueError):
                    sent, received = line.traffic(wrapped)
                    self.cost = Cost(self.cost.sent + sent, self.cost.received + received)

    def _peek(self) -> None:
        """The certificate that was not believed. Nothing is sent to it."""
        try:
            self._once(line.context(self._keep, False))
        except (OSError, Stop, TooLate, TooMuch, Unspoken, EOFError):
            return  # why it was not believed is known without it
        finally:
            self._took = None

    def _broken(self, error: OSError | TooLate) -> Failure:
        if isinstance(error, ssl.SSLError | TooLate) or self._wire.waiting_for == "the TLS handshake":
            return self._wire.unshaken(error, self._host, self._options.port).failure
        return line.failure(self._wire, error, self._options.starttls.upper() or "TLS")


def _chain(wrapped: ssl.SSLSocket) -> list[bytes]:
    """The certificates the server sent, its own first. Python tells them publicly from 3.13 on."""
    inner: Any = getattr(wrapped, "_sslobj", None)
    ask = getattr(wrapped, "get_unverified_chain", None) or getattr(inner, "get_unverified_chain", None)
    found = (ask() if ask else None) or []
    return [one if isinstance(one, bytes) else one.public_bytes(2) for one in found]  # 2: DER


def _end(der: bytes) -> float | None:
    """Seconds from now to the end of one certificate."""
    try:
        return (x509.load_der_x509_certificate(der).not_valid_after_utc - clock.now()).total_seconds()
    except ValueError:
        return None


def _key(der: bytes) -> list[Fact]:
    """What kind of key it is, and what it is signed with."""
    try:
        found = x509.load_der_x509_certificate(der)
        key: Any = found.public_key()
        digest = found.signature_hash_algorithm
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return []
    name = type(key).__name__.lstrip("_").removesuffix("PublicKey")
    if isinstance(key, rsa.RSAPublicKey):
        name = f"RSA {key.key_size}"
    elif isinstance(key, ec.EllipticCurvePublicKey):
        name = f"EC {clean(key.curve.name, 30)}"
    return [Fact("tls.key", name), Fact("tls.signature", digest.name if digest else "none")]


PROBE = Probe(
    kind="tls",
    label="TLS certificate",
    look=look,
    options=Options,
    produces=(
        Produces("tls.handshake.duration", "s", "Time of the TLS handshake"),
        Produces("tls.certificate.expiry", "s", "Certificate is good for"),
        Produces("tls.certificate.rung", "1", "Steps of the ladder passed"),
        Produces("tls.chain.expiry", "s", "Whole chain is good for"),
        Produces("tls.chain.length", "1", "Certificates sent"),
    ),
    port=443,
)
