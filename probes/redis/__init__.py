"""Redis by its own wire: does it answer, how full is it, what does it throw out, do its replicas keep up."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass

from domain.options import option
from domain.reading import Cost, Failure, FailureKind, Measure, Reading, Secret, Target
from probes import certificate, line
from probes.base import Keep, Probe, Produces
from probes.http.wire import Stop, Wire
from probes.limits import Deadline, Guard, TooLate, TooMuch
from probes.redis import measures
from probes.redis.resp import Garbage, Refusal, Talk
from probes.refusals import Refusals, digest


@dataclass(frozen=True, slots=True)
class Options:
    """Where to ask, and from when on something is wrong."""

    port: int = option("Port", default=6379, low=1, high=65535)
    role: str = option("Expected role", default="any", choices=("any", "primary", "replica"))
    replicas: int = option("Replicas that must be connected", default=0, low=0, high=50)
    tls: str = option("TLS", default="off", choices=("off", "require", "verify"))
    name: str = option("Name in the certificate", default="", help="Empty: the machine's address.")
    ca: str = option("Own certificate authority", default="", help="PEM; trusted instead of the system's.")
    plain_password: bool = option("Allow the password without TLS", default=False)
    family: str = option("IP version", default="any", choices=("any", "4", "6"))

    def __post_init__(self) -> None:
        line.check_options(self.tls, self.name, self.ca)


def look(target: Target, keep: Keep) -> Reading:
    """One look, over a connection of its own."""
    options: Options = target.options
    deadline, secret = Deadline(target.deadline), target.secret or Secret()
    key = ("redis", target.address, options.port, secret.username, digest(secret))
    refusals = keep.get((*key, "refused"), Refusals)
    if refusals.hold_back():
        return refusals.held_back(secret.username or "default")
    before = keep.get((*key, "before"), measures.Before)
    with Guard(deadline) as guard:
        try:
            wire = line.to(target.address, keep, deadline, guard, options.family, options.name)
        except Stop as stop:
            return Reading(failure=stop.failure)
        try:
            reading = _look(target, wire, secret, keep, before)
            refusals.count = 0
        except Refusal as refusal:
            failure = _refused(refusal, secret)
            if failure.kind is FailureKind.DENIED and refusal.code == "WRONGPASS":
                refusals.again()
            reading = Reading(failure=failure)
        except (Stop, Garbage, TooMuch, TooLate, OSError, EOFError) as error:
            reading = Reading(failure=line.failure(wire, error, "Redis"))
        cost = Cost(wire.meter.sent, wire.meter.received)
    return Reading(reading.measures, reading.facts, reading.failure, cost)


def _look(target: Target, wire: Wire, secret: Secret, keep: Keep, before: measures.Before) -> Reading:
    options: Options = target.options
    start = time.monotonic()
    with _connected(target, wire, keep) as connected:
        talk = Talk(connected)
        with contextlib.closing(talk):
            _log_in(talk, secret, options)
            entered = time.monotonic()
            talk.ask("PING")
            pinged = time.monotonic()
            info = talk.ask("INFO")
            if not isinstance(info, str) or "redis_version" not in info:
                raise Garbage("it does not say what INFO says")
            seen = measures.gather(measures.parse(info), before)
            seen.add("redis.commands.slow", _slow(talk))
    _expectations(seen, options)
    known, facts = certificate.describe(wire.certificate) if wire.certificate else ((), ())
    taken = (
        Measure("redis.connect.duration", entered - start, "s"),
        Measure("redis.ping.duration", pinged - entered, "s"),
    )
    failure = Failure(FailureKind.REFUSED, " ".join(seen.broken[:3])) if seen.broken else None
    return Reading((*taken, *seen.measures, *known), (*seen.facts, *facts), failure)


@contextlib.contextmanager
def _connected(target: Target, wire: Wire, keep: Keep) -> Iterator[socket.socket]:
    """A connection, in TLS where wanted, closed at the end."""
    options: Options = target.options
    host = line.host_of(target.address, options.name)
    raw = wire.connect(host, options.port)
    with raw:
        if options.tls == "off":
            yield raw
            return
        wire.context = line.context(keep, options.tls == "verify", options.ca)
        with wire.secure(raw, host, options.port) as wrapped:
            yield wrapped


def _log_in(talk: Talk, secret: Secret, options: Options) -> None:
    """AUTH, where there is a credential. The password itself travels, so only in TLS unless that was allowed."""
    if not secret.password:
        return
    if options.tls == "off" and not options.plain_password:
        raise Stop(
            FailureKind.UNTRUSTED,
            "The password would travel in the clear: use TLS, or allow it in the options of this check.",
        )
    talk.ask("AUTH", *([secret.username] if secret.username else []), secret.password)


def _slow(talk: Talk) -> float | None:
    """How many commands the slow log has counted: the last one's number, which begins with 0. None where not allowed."""
    try:
        last = talk.ask("SLOWLOG", "GET", "1")
    except Refusal:
        return None
    if not isinstance(last, list):
        return None
    if not last:
        return 0.0
    entry = last[0]
    return float(entry[0] + 1) if isinstance(entry, list) and entry and isinstance(entry[0], int) else None


def _expectations(seen: measures.Seen, options: Options) -> None:
    role = next((fact.value for fact in seen.facts if fact.name == "redis.role"), "")
    if options.role not in ("any", role):
        seen.broken.insert(0, f"This server is now a {role or 'sentinel'}, and should be a {options.role}.")
    connected = next((one.value for one in seen.measures if one.name == "redis.replicas"), 0.0)
    if connected < options.replicas:
        seen.broken.insert(0, f"{connected:.0f} of {options.replicas} replicas are connected to this server.")


_SENTENCES = {
    "NOAUTH": (FailureKind.DENIED, "Redis wants a password: choose a credential for this check."),
    "WRONGPASS": (FailureKind.DENIED, "Redis does not take this user and password: correct the credential."),
    "NOPERM": (
        FailureKind.DENIED,
        "This user may not ask what this check asks: ACL SETUSER as the page of this check shows. It says: {said}",
    ),
    "DENIED": (
        FailureKind.DENIED,
        "Redis is in protected mode and talks to its own machine only: give it a password or a user, and bind.",
    ),
    "LOADING": (FailureKind.REFUSED, "Redis is still loading its data from disk."),
    "BUSY": (FailureKind.REFUSED, "Redis is busy with a script that does not end."),
    "MASTERDOWN": (FailureKind.REFUSED, "This replica has lost its primary and answers nothing meanwhile."),
}


def _refused(refusal: Refusal, secret: Secret) -> Failure:
    """What an error of the server means."""
    said = str(refusal) or "it gives no reason"
    if refusal.code in _SENTENCES:
        kind, sentence = _SENTENCES[refusal.code]
        return Failure(kind, sentence.format(said=said if said.endswith(".") else f"{said}."))
    if "max number of clients" in said:
        return Failure(FailureKind.REFUSED, "Redis takes no more clients: all it may have are connected.")
    if "AUTH" in said and secret.password:
        return Failure(FailureKind.DENIED, f"Redis does not take this credential: {said}")
    return Failure(FailureKind.REFUSED, f"Redis refuses to answer: {said}")


PROBE = Probe(
    kind="redis",
    label="Redis",
    look=look,
    options=Options,
    produces=(*measures.PRODUCES, Produces("tls.certificate.expiry", "s", "Certificate is good for")),
    secret=True,
    port=6379,
)
