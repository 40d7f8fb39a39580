"""Proxmox VE through its API: nodes, guests, storage, replication, and whether backups are made and good."""

from __future__ import annotations

import time
from dataclasses import dataclass

from domain.options import option
from domain.reading import Cost, Fact, Failure, FailureKind, Measure, Reading, Secret, Target
from probes import certificate, line
from probes.base import Keep, Probe
from probes.http.wire import Stop, Wire, session
from probes.limits import Deadline, Guard
from probes.proxmox import act, measures
from probes.proxmox.client import Api, Withheld, denied
from probes.refusals import Refusals, digest

HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Options:
    """Where the API is, and what of it is wanted."""

    port: int = option("Port", default=8006, low=1, high=65535)
    guests: bool = option("Tell the guests one by one", default=True)
    backups: bool = option("Look at the backups", default=True)
    backup_hours: float = option(
        "Fail when a guest's backup is older than", default=0.0, low=0, high=8760, help="Hours; 0: never."
    )
    name: str = option("Name in the certificate", default="", help="Empty: the machine's address.")
    verify: bool = option("Verify the certificate", default=True)
    unverified_because: str = option("Why it is not verified", default="", help="Required when it is not.")
    ca: str = option("Own certificate authority", default="", help="PEM; the node's own certificate pins it.")
    family: str = option("IP version", default="any", choices=("any", "4", "6"))

    def __post_init__(self) -> None:
        line.check_options("verify", self.name, self.ca)
        if not self.verify and not self.unverified_because.strip():
            raise ValueError("option 'unverified_because' says why the certificate is not verified.")

    def origin(self, address: str) -> str:
        """Where the API is, as the beginning of every URL."""
        host = line.host_of(address, self.name).partition("%")[0]
        return f"https://{f'[{host}]' if ':' in host else host}:{self.port}"


def look(target: Target, keep: Keep) -> Reading:
    """One look; any node tells of the whole cluster."""
    options: Options = target.options
    secret, deadline = target.secret, Deadline(target.deadline)
    if secret is None or not act.TOKEN.fullmatch(secret.username):
        return Reading.failed(
            FailureKind.DENIED,
            "No token to ask with: choose a credential whose user name is like pantau@pve!watch and whose password is its secret.",
        )
    key = ("proxmox", target.address, options.port, secret.username, digest(secret))
    refusals = keep.get((*key, "refused"), Refusals)
    if refusals.hold_back():
        return refusals.held_back(secret.username)
    with Guard(deadline) as guard:
        try:
            wire = line.to(target.address, keep, deadline, guard, options.family, options.name)
        except Stop as stop:
            return Reading(failure=stop.failure)
        wire.context = line.context(keep, options.verify, options.ca)
        memory = keep.get((*key, "memory"), measures.Memory)
        start = time.monotonic()
        known: tuple[Measure, ...] = ()
        facts: tuple[Fact, ...] = ()
        try:
            seen = _ask(target, wire, secret, memory)
            refusals.count = 0
            took = Measure("http.duration", time.monotonic() - start, "s")
            known, facts, failure = (took, *seen.measures), tuple(seen.facts), seen.failure()
        except Stop as stop:
            failure = stop.failure
            if failure.kind is FailureKind.DENIED:
                refusals.again()
        except Withheld as withheld:
            failure = _withheld(withheld)
        if wire.certificate:
            more, about = certificate.describe(wire.certificate)
            known, facts = (*known, *more), (*facts, *about)
        cost = Cost(wire.meter.sent, wire.meter.received)
    return Reading(known, facts, failure, cost)


def _ask(target: Target, wire: Wire, secret: Secret, memory: measures.Memory) -> measures.Seen:
    options: Options = target.options
    with session(wire, again=True) as connected:
        api = Api(connected, wire, options.origin(target.address), secret)
        return measures.gather(api, memory, options.guests, options.backups, options.backup_hours * HOUR)


def _withheld(withheld: Withheld) -> Failure:
    """The first questions were not answered at all."""
    if withheld.status == 403:
        return denied("anything")
    if withheld.status == 404:
        return Failure(FailureKind.UNSUPPORTED, "What answers there is not the API of Proxmox VE.")
    return Failure(
        FailureKind.REFUSED, f"The server cannot answer ({withheld.status}): {withheld or 'without a word'}."
    )


PROBE = Probe(
    kind="proxmox",
    label="Proxmox VE",
    look=look,
    options=Options,
    produces=measures.PRODUCES,
    secret=True,
    port=8006,
    act=act.hand,
)
