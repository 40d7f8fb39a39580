"""MySQL and MariaDB by their own wire: does a login work, how busy and how full is it, does replication run."""

from __future__ import annotations

import time
from dataclasses import dataclass

from domain.options import option
from domain.reading import Cost, Fact, FailureKind, Measure, Reading, Target
from probes import certificate, line
from probes.base import Keep, Probe
from probes.http.wire import Stop, Wire
from probes.limits import Deadline, Guard, TooLate, TooMuch
from probes.mysql import measures
from probes.mysql.session import Door, Session, login
from probes.refusals import Refusals, digest


@dataclass(frozen=True, slots=True)
class Options:
    """Where to log in, and from when on something is wrong."""

    port: int = option("Port", default=3306, low=1, high=65535)
    database: str = option("Database to log in to", default="", help="Empty: none; statistics are of the whole server.")
    replica: bool = option("Must be a replica", default=False)
    replicas: int = option("Replicas that must be connected", default=0, low=0, high=50)
    slow: float = option("A query is slow after", default=10.0, low=0.1, high=86400, help="Seconds.")
    tls: str = option("TLS", default="prefer", choices=line.TLS)
    name: str = option("Name in the certificate", default="", help="Empty: the machine's address.")
    ca: str = option("Own certificate authority", default="", help="PEM; trusted instead of the system's.")
    plain_password: bool = option("Allow the password in the clear", default=False)
    family: str = option("IP version", default="any", choices=("any", "4", "6"))

    def __post_init__(self) -> None:
        line.check_options(self.tls, self.name, self.ca)


def look(target: Target, keep: Keep) -> Reading:
    """One look: a new login each time, because that it works is what matters to whoever uses the database."""
    options: Options = target.options
    secret, deadline = target.secret, Deadline(target.deadline)
    if secret is None or not secret.username:
        return Reading.failed(FailureKind.DENIED, "No user to log in with: choose a credential for this check.")
    key = ("mysql", target.address, options.port, secret.username, digest(secret))
    refusals = keep.get((*key, "refused"), Refusals)
    if refusals.hold_back():
        return refusals.held_back(secret.username)
    before = keep.get((*key, "before"), measures.Before)
    with Guard(deadline) as guard:
        try:
            wire = line.to(target.address, keep, deadline, guard, options.family, options.name)
        except Stop as stop:
            return Reading(failure=stop.failure)
        door = Door(
            line.host_of(target.address, options.name), options.port, options.database, options.tls, options.ca,
            options.plain_password, secret,
        )  # fmt: skip
        try:
            reading = _look(wire, door, options, keep, before)
            refusals.count = 0
        except (Stop, TooMuch, TooLate, OSError) as error:
            failure = line.failure(wire, error, "MySQL")
            if failure.kind is FailureKind.DENIED:
                refusals.again()
            reading = Reading(failure=failure)
        cost = Cost(wire.meter.sent, wire.meter.received)
    return Reading(reading.measures, reading.facts, reading.failure, cost)


def _look(wire: Wire, door: Door, options: Options, keep: Keep, before: measures.Before) -> Reading:
    start = time.monotonic()
    with login(wire, door, keep) as session:
        entered = Measure("mysql.connect.duration", time.monotonic() - start, "s")
        return _read(session, wire, options, before, entered)


def _read(session: Session, wire: Wire, options: Options, before: measures.Before, entered: Measure) -> Reading:
    """All that is asked of a server that let us in."""
    seen = measures.gather(session, before, options.slow)
    known, facts = certificate.describe(wire.certificate) if wire.certificate else ((), ())
    seen.facts += [Fact("mysql.tls", wire.tls_version or "no"), *facts]
    if options.replica and not seen.channels and "state of replication" not in seen.denied:
        seen.broken.insert(0, "This server replicates from nowhere, and should be a replica.")
    connected = next((one.value for one in seen.measures if one.name == "mysql.replicas"), None)
    if connected is not None and connected < options.replicas:
        seen.broken.insert(0, f"{connected:.0f} of {options.replicas} replicas are connected to this server.")
    return Reading((entered, *seen.measures, *known), tuple(seen.facts), seen.failure())


PROBE = Probe(
    kind="mysql",
    label="MySQL or MariaDB",
    look=look,
    options=Options,
    produces=(*measures.PRODUCES, measures.CERTIFICATE),
    secret=True,
    port=3306,
)
