"""What devices say unasked: traps of version 1, 2c and 3, and informs of 2c, as one sentence each.

A trap is a hint and never a state: its sender's address can be forged, and in version 1 and 2c so can its
community. It makes us look at once; what we then see is what counts.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Sequence
from dataclasses import dataclass

from probes.limits import clean
from probes.snmp import ber, message, usm
from probes.snmp.ber import Binding, Malformed
from probes.snmp.message import INFORM, TRAP, TRAP_V1, V1, V3
from probes.snmp.usm import AUTH, Authority, Unauthentic, User

_TRAP_OID = ber.name("1.3.6.1.6.3.1.1.4.1.0")  # snmpTrapOID.0, the second binding of a trap (RFC 3416, 4.2.6)
_UPTIME = ber.name("1.3.6.1.2.1.1.3.0")
_IF_DESCR, _IF_NAME = ber.name("1.3.6.1.2.1.2.2.1.2"), ber.name("1.3.6.1.2.1.31.1.1.1.1")
_IF_INDEX = ber.name("1.3.6.1.2.1.2.2.1.1")
_STANDARD = "1.3.6.1.6.3.1.1.5"
_UPS, _APC = "1.3.6.1.2.1.33.2", "1.3.6.1.4.1.318.0"
ENGINES = 10_000
"""Engines whose clocks are remembered; past them the one heard first is forgotten."""
SHOWN = 3
"""Bindings told of a trap we have no words for."""

# (what it means, how bad as syslog counts it: 2 critical, 3 error, 4 warning, 5 notice, 6 information)
KNOWN: dict[str, tuple[str, int]] = {
    f"{_STANDARD}.1": ("The device started anew (coldStart).", 4),
    f"{_STANDARD}.2": ("The device's agent started anew (warmStart).", 5),
    f"{_STANDARD}.3": ("An interface went down (linkDown)", 4),
    f"{_STANDARD}.4": ("An interface came up (linkUp)", 5),
    f"{_STANDARD}.5": ("Somebody asked the device with a wrong community or user (authenticationFailure).", 4),
    f"{_UPS}.1": ("The UPS runs on battery (upsTrapOnBattery).", 2),
    f"{_UPS}.2": ("The UPS finished a test (upsTrapTestCompleted).", 5),
    f"{_UPS}.3": ("The UPS raised an alarm (upsTrapAlarmEntryAdded).", 3),
    f"{_UPS}.4": ("An alarm of the UPS ended (upsTrapAlarmEntryRemoved).", 5),
    f"{_APC}.1": ("The UPS lost contact with its management card (communicationLost).", 3),
    f"{_APC}.2": ("The UPS is overloaded (upsOverload).", 2),
    f"{_APC}.3": ("The UPS failed its self-test (upsDiagnosticsFailed).", 3),
    f"{_APC}.4": ("The UPS was discharged too far (upsDischarged).", 3),
    f"{_APC}.5": ("The UPS runs on battery (upsOnBattery).", 2),
    f"{_APC}.7": ("The UPS's battery is nearly empty (lowBattery).", 2),
    f"{_APC}.8": ("The UPS has contact with its management card again (communicationEstablished).", 5),
    f"{_APC}.9": ("The mains are back at the UPS (powerRestored).", 5),
    f"{_APC}.11": ("The UPS's battery is charged enough again (returnFromLowBattery).", 5),
    f"{_APC}.17": ("The UPS's battery needs to be replaced (upsBatteryNeedsReplacement).", 3),
}


@dataclass(frozen=True, slots=True)
class Trap:
    """`name` is the trap's object name in dotted form; `severity` as syslog counts (RFC 5424, table 2)."""

    name: str
    text: str
    severity: int
    answer: bytes = b""
    """What to send back, for an inform."""


class Heard:
    """Whose traps are believed, and the clocks of the engines heard, so that none is replayed."""

    def __init__(self) -> None:
        self._engines: dict[tuple[bytes, str], Authority] = {}

    def read(self, data: bytes, communities: Sequence[str], users: Sequence[User]) -> Trap:
        """The trap in a datagram, said by one of these. Raises Malformed, or Unauthentic for anybody else."""
        version, at, end = message.version_of(data)
        if version == V3:
            return self._of_user(data, users)
        word, at = ber.octets(data, at, end)
        if not any(hmac.compare_digest(word, known.encode()) for known in communities):
            raise Unauthentic("its community is none of this machine's checks")
        kind, inner, stop = ber.element(data, at, end)
        if stop != end:
            raise Malformed("something follows the trap")
        if version == V1 and kind == TRAP_V1:
            return _of_v1(data, inner, stop)
        found = message.read_pdu(data, at, end)
        if found.kind not in (TRAP, INFORM):
            raise Malformed("no trap where one belongs")
        trap = _told(found.bindings)
        if found.kind == INFORM:
            back = bytearray(data)
            back[at] = message.RESPONSE  # the same bindings come back (RFC 3416, section 4.2.7)
            return Trap(trap.name, trap.text, trap.severity, bytes(back))
        return trap

    def _of_user(self, data: bytes, users: Sequence[User]) -> Trap:
        got = usm.read(data)
        user = next((one for one in users if one.name.encode() == got.user), None)
        if user is None:
            raise Unauthentic("its user is none of this machine's checks")
        if got.flags & (AUTH | usm.PRIV) != user.level:
            raise Unauthentic("it is not at the level of security of this machine's checks")
        if not 5 <= len(got.engine) <= 32:
            raise Malformed("an engine id of a wrong length")
        if user.auth:
            usm.verify(user, got)
            now = time.monotonic()
            if (got.engine, user.name) not in self._engines and len(self._engines) >= ENGINES:
                del self._engines[next(iter(self._engines))]
            authority = self._engines.setdefault((got.engine, user.name), Authority(got.engine))
            authority.hear(got.boots, got.time, now)
        found = usm.scoped(user, got)
        if found.kind != TRAP:
            raise Malformed("no trap where one belongs")
        return _told(found.bindings)


def _of_v1(data: bytes, at: int, end: int) -> Trap:
    """A Trap-PDU of version 1 under the name it has since (RFC 3584, section 3.1)."""
    start, at = ber.inside(data, at, end, ber.OID)
    enterprise = ber.dotted(data[start:at])
    _, at = ber.inside(data, at, end, ber.IP_ADDRESS)
    generic, at = ber.whole(data, at, end)
    specific, at = ber.whole(data, at, end)
    _, at = ber.inside(data, at, end, ber.TIME_TICKS)
    name = f"{_STANDARD}.{generic + 1}" if 0 <= generic <= 5 else f"{enterprise}.0.{specific}"
    return _say(name, ber.bindings(data, at, end))


def _told(bindings: list[Binding]) -> Trap:
    for name, _, value in bindings:
        if name == _TRAP_OID and isinstance(value, bytes):
            return _say(ber.dotted(value), bindings)
    raise Malformed("a trap that does not say which it is")


def _say(name: str, bindings: list[Binding]) -> Trap:
    if name in KNOWN:
        text, severity = KNOWN[name]
        if not text.endswith("."):
            text = f"{text}{_interface(bindings)}."
        return Trap(name, text, severity)
    rest = [row for row in bindings if row[0] not in (_TRAP_OID, _UPTIME)][:SHOWN]
    said = "; ".join(f"{ber.dotted(key)} = {_value(value)}" for key, _, value in rest)
    return Trap(name, clean(f"Trap {name}" + (f": {said}" if said else "")), 5)


def _interface(bindings: list[Binding]) -> str:
    for prefix in (_IF_NAME, _IF_DESCR, _IF_INDEX):
        for name, _, value in bindings:
            if name.startswith(prefix) and value is not None:
                said = _value(value)
                return f": {said}" if prefix is not _IF_INDEX else f": interface {said}"
    return ""


def _value(value: int | float | bytes | None) -> str:
    if isinstance(value, bytes):
        return clean(value.rstrip(b"\0"), 64)
    return "nothing" if value is None else str(value)
