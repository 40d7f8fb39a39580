"""SNMP: machines and devices asked by their agents, versions 1, 2c and 3, nothing installed there.

What a device offers decides what is read of it (`profiles`); the codec and the engine are our own, small
and strict, because a fleet is asked every minute and every answer may be forged or broken.
"""

from __future__ import annotations

import asyncio
import errno
import fnmatch
import hashlib
import time
from collections.abc import Iterable
from dataclasses import dataclass

from domain.options import option
from domain.reading import Cost, Fact, FailureKind, Measure, Reading, Secret, Target
from probes import names
from probes.base import Keep, Probe, Produces
from probes.limits import Deadline, Meter, TooLate, TooMuch, clean
from probes.names import Place
from probes.snmp import custom, usm
from probes.snmp.ber import Malformed
from probes.snmp.device import Device
from probes.snmp.engine import Blocked, Engine, Silent
from probes.snmp.message import V1, V2C
from probes.snmp.profiles import PROFILES, Seen, produces
from probes.snmp.session import NO_ACCESS, Nonsense, Rejected, Session
from probes.snmp.usm import AUTH_PROTOCOLS, PRIV_PROTOCOLS, User
from probes.snmp.voice import Community, Known, Voice

VERSIONS = ("auto", "3", "2c", "1")
LEVELS = ("authPriv", "authNoPriv", "noAuthNoPriv")
LEFT = 0.2
"""Seconds of the deadline kept for making a reading of what came."""
LOOK_BYTES = 4 * 1024 * 1024
"""A chassis of a thousand ports tells of itself in two or three million octets."""


@dataclass(frozen=True)
class Options:
    """How to ask, and what besides what is understood anyway."""

    port: int = option("Port", default=161, low=1, high=65535, help="Where the SNMP agent listens (UDP).")
    version: str = option(
        "Version",
        default="auto",
        choices=VERSIONS,
        help="Auto is 3 with a user and 2c with a community. Only 3 is safe: with 1 and 2c everything travels readable.",
    )
    level: str = option("Security of version 3", default="authPriv", choices=LEVELS)
    auth: str = option("Authentication", default="SHA-256", choices=AUTH_PROTOCOLS, help="Version 3 only.")
    priv: str = option(
        "Encryption",
        default="AES-128",
        choices=PRIV_PROTOCOLS,
        help="Version 3 only. DES is broken: only for devices that know nothing else.",
    )
    context: str = option("Context", default="", help="Version 3 only; empty on nearly every device.")
    interfaces: tuple[str, ...] = option(
        "Interfaces", default=(), help="Names or patterns such as Gi1/0/*, one per line; empty means all."
    )
    objects: tuple[str, ...] = option(
        "Objects of your own",
        default=(),
        help="One per line: LABEL = OBJECT [UNIT] [* or / NUMBER], such as: Inlet = 1.3.6.1.4.1.318.1.1.10.2.3.2.1.4.1 Cel / 10",
    )

    def __post_init__(self) -> None:
        custom.parse(self.objects)


async def look(target: Target, keep: Keep) -> Reading:
    """One look at everything the agent offers."""
    options: Options = target.options
    deadline, meter = Deadline(max(0.1, target.deadline - LEFT)), Meter(LOOK_BYTES)
    voice = speak(options, target.secret)
    if isinstance(voice, str):
        return Reading.failed(FailureKind.DENIED, voice)
    try:
        place = (await names.of(keep).find_soon(target.address, deadline.remaining()))[0]
    except names.Unresolved as unresolved:
        return unresolved.reading()
    engine = keep.get(("snmp",), Engine)
    key = ("snmp", place.address, options.port, _digest(voice, target.options))
    device = keep.get(key, lambda: Device(voice))
    try:
        async with asyncio.timeout(deadline.remaining()):
            await device.busy.acquire()
    except TimeoutError:
        return Reading.failed(
            FailureKind.UNSUPPORTED, "Another look at this agent took all the time there was; give the check more time."
        )
    try:
        return await _look(target, engine, place, device, deadline, meter)
    finally:
        device.busy.release()


async def _look(
    target: Target, engine: Engine, place: Place, device: Device, deadline: Deadline, meter: Meter
) -> Reading:
    options: Options = target.options
    session = Session(engine, place, options.port, device.voice, deadline, meter, device.manners)
    seen = Seen({}, {}, time.monotonic())
    wanted = custom.parse(options.objects)
    found: tuple[Measure | Fact, ...] = ()
    failure: tuple[FailureKind, str] | None = None
    try:
        values = await device.read(session, seen, {one.label: one.name for one in wanted})
        found = tuple(custom.judge(one, values.get(one.label)) for one in wanted)
    except (Silent, TooLate) as late:
        failure = await _silent(late, session, options, place, target, answered=bool(seen.scalars))
    except Blocked as blocked:
        failure = _blocked(blocked.code, place, options.port)
    except Rejected as rejected:
        failure = _rejected(rejected.why, options, target.secret)
    except (Malformed, Nonsense) as wrong:
        failure = FailureKind.UNSUPPORTED, f"The agent's answer cannot be used: {wrong}."
    except TooMuch as much:
        failure = FailureKind.UNSUPPORTED, f"The agent {much}; name the interfaces to watch, or watch fewer parts."
    return _reading(device, session, seen, found, failure, meter, options)


def speak(options: Options, secret: Secret | None) -> Voice | str:
    """How to ask with this secret; or a sentence saying what is missing.

    The community is the secret's password; of a user, the authentication password is the password and the
    privacy password the passphrase.
    """
    if secret is None or not (secret.username or secret.password):
        return "Nothing to ask with: choose an SNMP community or an SNMP user as the credential of this check."
    if version_of(options, secret) != "3":
        if not secret.password or secret.username:
            return (
                f"Version {options.version} asks with a community, but this credential is a user: choose another one."
            )
        return Community(V1 if options.version == "1" else V2C, secret.password.encode())
    if not secret.username:
        return "Version 3 asks as a user, but this credential is a community: choose another one, or version 2c."
    if options.level != "noAuthNoPriv" and not secret.password:
        return f"The credential of '{clean(secret.username, 64)}' has no authentication password."
    if options.level == "authPriv" and not secret.passphrase:
        return f"The credential of '{clean(secret.username, 64)}' has no privacy password."
    auth = options.auth if options.level != "noAuthNoPriv" else ""
    priv = options.priv if options.level == "authPriv" else ""
    return Known(User(secret.username, auth, secret.password, priv, secret.passphrase, options.context))


def version_of(options: Options, secret: Secret | None) -> str:
    """The version itself, where `auto` leaves it to the credential."""
    if options.version != "auto":
        return options.version
    return "3" if secret is not None and secret.username else "2c"


def _reading(
    device: Device,
    session: Session,
    seen: Seen,
    found: tuple[Measure | Fact, ...],
    failure: tuple[FailureKind, str] | None,
    meter: Meter,
    options: Options,
) -> Reading:
    """What came, also of a look that ended early."""
    cost = Cost(meter.sent, meter.received)
    if failure is not None and not seen.tables:
        return Reading.failed(failure[0], failure[1], cost)
    rows = [*found, *(row for profile in PROFILES for row in profile.read(seen))]
    if options.interfaces:
        rows = [row for row in rows if _wanted(row, options.interfaces)]
    measures = tuple(row for row in rows if isinstance(row, Measure))
    facts = [row for row in rows if isinstance(row, Fact)] + device.facts()
    facts.append(Fact("snmp.security", security(options, voice_version(device))))
    if session.troubles:
        troubles = "; ".join(f"{name}: {why}" for name, why in sorted(session.troubles.items())[:10])
        facts.append(Fact("snmp.troubles", clean(troubles)))
    if failure is not None:
        return Reading(measures, tuple(facts), Reading.failed(*failure).failure, cost)
    if not measures and not any(fact.name == "host.description" for fact in facts):
        return Reading.failed(
            FailureKind.DENIED,
            "The agent answers but shows nothing: its view for this community or user is empty. Allow it to read 1.3.6.1.",
            cost,
        )
    return Reading(measures, tuple(facts), cost=cost)


_OF_INTERFACES = ("system.network.", "hw.network.", "interface.")


def _wanted(row: Measure | Fact, patterns: Iterable[str]) -> bool:
    return not row.name.startswith(_OF_INTERFACES) or any(fnmatch.fnmatchcase(row.of, one) for one in patterns)


def voice_version(device: Device) -> str:
    """The version a device is asked by."""
    if isinstance(device.voice, Known):
        return "3"
    return "1" if device.voice.version == V1 else "2c"


def security(options: Options, version: str) -> str:
    """How safe the way is, in a word or a warning."""
    if version != "3":
        return f"v{version}: the community and all values travel readable for everyone on the way"
    if options.level == "noAuthNoPriv":
        return "v3 noAuthNoPriv: anyone can read and forge the answers"
    if options.level == "authNoPriv":
        return f"v3 authNoPriv, {options.auth}: all values travel readable"
    if options.priv == "DES":
        return f"v3 authPriv, {options.auth}, DES: this encryption is broken; use AES where the device has it"
    if options.auth == "MD5":
        return f"v3 authPriv, MD5, {options.priv}: this authentication is weak; use SHA where the device has it"
    return f"v3 authPriv, {options.auth}, {options.priv}"


async def _silent(
    late: Silent | TooLate, session: Session, options: Options, place: Place, target: Target, answered: bool
) -> tuple[FailureKind, str]:
    """No answer; what may be behind it. An agent that answered something is alive (state rule R4)."""
    where = f"{place.address} port {options.port}"
    if answered:
        return (
            FailureKind.REFUSED,
            f"The agent at {where} answers, but not everything within {target.deadline:g} s; "
            "give the check more time or name fewer interfaces.",
        )
    if isinstance(late, Silent) and late.stray:
        return (
            FailureKind.UNSUPPORTED,
            f"An answer came from {clean(late.stray)} instead of {where} and was not believed; "
            "register the address the device answers from, or let its agent answer from where it is asked.",
        )
    if isinstance(late, Silent) and late.why:
        return FailureKind.UNSUPPORTED, f"What came from {where} was not believed: {clean(late.why)}."
    if session.knows_engine():
        return (
            FailureKind.DENIED,
            f"The agent at {where} says who it is but does not answer '{_name(target)}': most likely the privacy "
            "password or protocol is wrong, or the user has no access.",
        )
    guess = (
        "its community is another (agents do not answer a wrong one), "
        if version_of(options, target.secret) != "3"
        else ""
    )
    return (
        FailureKind.TIMEOUT,
        f"No SNMP answer from {where} within {target.deadline:g} s: the machine is away, {guess}"
        "this address is not in its list of allowed ones, or a firewall drops UDP.",
    )


def _name(target: Target) -> str:
    return clean(target.secret.username, 64) if target.secret else ""


def _blocked(code: int, place: Place, port: int) -> tuple[FailureKind, str]:
    if code == errno.ECONNREFUSED:
        return (
            FailureKind.REFUSED,
            f"{place.address} is there but nothing listens on UDP port {port}: start its SNMP agent, or mend the port.",
        )
    if code in (errno.EPERM, errno.EACCES, errno.EINVAL, errno.EADDRNOTAVAIL):
        return FailureKind.BROKEN, f"A question to {place.address} cannot leave this machine: {_words(code)}."
    return FailureKind.UNREACHABLE, f"{place.address} cannot be reached: {_words(code)}."


def _words(code: int) -> str:
    known = {errno.EHOSTUNREACH: "no route to it, or it does not answer on its network", errno.ENETUNREACH: "no route"}
    return known.get(code, errno.errorcode.get(code, str(code)))


def _rejected(why: int, options: Options, secret: Secret | None) -> tuple[FailureKind, str]:
    """Which of user, authentication and privacy is wrong (RFC 3414, section 3.2)."""
    user = clean(secret.username, 64) if secret else ""
    who = f"'{user}' with {options.level}" if user else "this community"
    said = {
        usm.UNKNOWN_USER: f"The agent knows no user '{user}': mend the user name, or create the user on the device.",
        usm.WRONG_DIGEST: f"The authentication of '{user}' is wrong: its password, or its protocol (now {options.auth}).",
        usm.DECRYPTION_ERROR: f"The encryption of '{user}' is wrong: the privacy password, or its protocol (now {options.priv}).",
        usm.UNSUPPORTED_LEVEL: f"The agent does not let '{user}' ask with {options.level}: choose the level its user was made for.",
        NO_ACCESS: f"The agent does not let {who} read anything: "
        "allow it to read 1.3.6.1 there, at this level of security.",
        usm.NOT_IN_WINDOW: "The agent's clock does not hold still, so nothing it says can be believed: restart its SNMP agent.",
    }.get(why, "The agent does not take part in version 3 as it should: update it, or use version 2c.")  # fmt: skip
    return FailureKind.DENIED if why in (NO_ACCESS, 1, 3, 5, 6) else FailureKind.UNSUPPORTED, said


def _digest(voice: Voice, options: Options) -> str:
    """Tells one way of asking from another without keeping a secret in a key."""
    if isinstance(voice, Community):
        told: tuple[bytes, ...] = (str(voice.version).encode(), voice.word)
    else:
        user = voice.user
        told = tuple(
            part.encode()
            for part in (user.name, user.auth, user.auth_password, user.priv, user.priv_password, user.context)
        )
    every = b"\0".join((*told, repr((options.interfaces, options.objects)).encode()))
    return hashlib.sha256(every).hexdigest()


PROBE = Probe(
    kind="snmp",
    label="SNMP",
    look=look,
    options=Options,
    produces=(*produces(), Produces("snmp.value", "1", "Objects of your own", "object")),
    secret=True,
    credentials=("snmp_v3", "community"),
    secret_words={"community": "password", "auth_password": "password", "priv_password": "passphrase"},
    port=161,
    transport="udp",
)
