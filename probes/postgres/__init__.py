"""PostgreSQL by its own wire: does a login work, how busy and how full is it, do its replicas keep up."""

from __future__ import annotations

import time
from dataclasses import dataclass

from domain.options import option
from domain.reading import Cost, Fact, Failure, FailureKind, Measure, Reading, Target
from probes import line, names
from probes.base import Keep, Probe
from probes.limits import Deadline, Meter, TooLate, TooMuch
from probes.postgres import measures, questions
from probes.postgres.session import Door, Refused, Session, Unanswered, login
from probes.refusals import Refusals, digest
from probes.tcp import ADDRESSES


@dataclass(frozen=True, slots=True)
class Options:
    """Where to log in, and from when on something is wrong."""

    port: int = option("Port", default=5432, low=1, high=65535)
    database: str = option("Database to log in to", default="postgres", help="Statistics are of all databases.")
    role: str = option("Expected role", default="any", choices=("any", "primary", "standby"))
    replicas: int = option("Replicas that must stream", default=0, low=0, high=50)
    slow: float = option("A query is slow after", default=10.0, low=0.1, high=86400, help="Seconds.")
    sizes: bool = option("Measure the sizes of the databases", default=True, help="Costs a look at each file.")
    tls: str = option("TLS", default="prefer", choices=line.TLS)
    name: str = option("Name in the certificate", default="", help="Empty: the machine's address.")
    ca: str = option("Own certificate authority", default="", help="PEM; trusted instead of the system's.")
    plain_password: bool = option("Allow the password in the clear", default=False)
    family: str = option("IP version", default="any", choices=("any", "4", "6"))

    def __post_init__(self) -> None:
        line.check_options(self.tls, self.name, self.ca)
        if not self.database.strip():
            raise ValueError("option 'database' is required.")


def look(target: Target, keep: Keep) -> Reading:
    """One look: a new login each time, because that it works is what matters to whoever uses the database."""
    options: Options = target.options
    secret, deadline, meter = target.secret, Deadline(target.deadline), Meter()
    if secret is None or not secret.username:
        return Reading.failed(FailureKind.DENIED, "No role to log in as: choose a credential for this check.")
    key = ("postgres", target.address, options.port, secret.username, digest(secret))
    refusals = keep.get((*key, "refused"), Refusals)
    if refusals.hold_back():
        return refusals.held_back(secret.username)
    before = keep.get((*key, "before"), measures.Before)
    door = Door(
        options.port, options.database, options.tls, line.host_of(target.address, options.name), options.ca,
        options.plain_password, secret,
    )  # fmt: skip
    try:
        reading = _look(target, door, keep, deadline, meter, before)
        refusals.count = 0
    except names.Unresolved as unknown:
        return unknown.reading()
    except Refused as refused:
        if refused.failure.kind is FailureKind.DENIED:
            refusals.again()
        reading = Reading(failure=refused.failure)
    except TooLate:
        reading = Reading.failed(
            FailureKind.TIMEOUT, f"PostgreSQL did not finish answering within {target.deadline:g} s."
        )
    except TooMuch as much:
        reading = Reading.failed(FailureKind.REFUSED, f"The server {much}.")
    return Reading(reading.measures, reading.facts, reading.failure, Cost(meter.sent, meter.received))


def _look(target: Target, door: Door, keep: Keep, deadline: Deadline, meter: Meter, before: measures.Before) -> Reading:
    """The first of the machine's addresses that lets itself be talked to."""
    options: Options = target.options
    places = names.of(keep).find(target.address, deadline.remaining(), options.family)[:ADDRESSES]
    for left, place in zip(range(len(places), 0, -1), places, strict=True):
        start = time.monotonic()
        try:
            with login(place, door, deadline, deadline.check() / left, meter) as session:
                return _read(session, options, before, time.monotonic() - start)
        except Refused as refused:
            if left == 1 or not refused.nobody:
                raise
    raise TooLate


def _read(session: Session, options: Options, before: measures.Before, took: float) -> Reading:
    """All that is asked of a server that let us in."""
    entered = (Measure("postgresql.connect.duration", took, "s"),)
    try:
        found = measures.basics(session)
    except Unanswered as error:
        failure = Failure(
            FailureKind.UNSUPPORTED, f"The server does not know PostgreSQL's own questions about itself: {error}."
        )
        return Reading(entered, failure=failure)
    if found.number < questions.FLOOR:
        failure = Failure(FailureKind.UNSUPPORTED, f"PostgreSQL {found.version} is too old: version 10 is the oldest.")
        return Reading(entered, (Fact("postgresql.version", found.version),), failure)
    seen = measures.gather(session, found, before, options.slow, options.sizes)
    seen.facts.append(Fact("postgresql.tls", "yes" if session.encrypted else "no"))
    role = "standby" if found.standby else "primary"
    if options.role not in ("any", role):
        seen.broken.insert(0, f"This server is now a {role}, and should be a {options.role}.")
    streaming = next((one.value for one in seen.measures if one.name == "postgresql.replicas"), 0.0)
    if streaming < options.replicas:
        seen.broken.insert(0, f"{streaming:.0f} of {options.replicas} replicas stream from this server.")
    return Reading((*entered, *seen.measures), tuple(seen.facts), seen.failure(found))


PROBE = Probe(
    kind="postgres",
    label="PostgreSQL",
    look=look,
    options=Options,
    produces=measures.PRODUCES,
    secret=True,
    port=5432,
)
