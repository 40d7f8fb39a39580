"""How one asks an SNMP engine and which answers are believed: by community (v1, v2c) or as a user (v3)."""

from __future__ import annotations

import hmac
import time
from dataclasses import dataclass, field

from probes.snmp import message, usm
from probes.snmp.ber import Malformed
from probes.snmp.message import Pdu
from probes.snmp.usm import AUTH, PRIV, Authority, Unauthentic, User


@dataclass(frozen=True, slots=True)
class Community:
    """Version 1 or 2c: a word in the clear."""

    version: int
    word: bytes = field(repr=False)

    def ask(self, number: int, kind: int, names: tuple[bytes, ...], first: int, second: int) -> bytes:
        """The message of a request (message.pdu)."""
        before, after = message.template(self.version, self.word, kind, names, first, second)
        return before + number.to_bytes(4) + after

    def open(self, data: bytes) -> Pdu:
        """The PDU of an answer to us. Raises Malformed or Unauthentic."""
        version, word, found = message.read(data)
        if version != self.version or not hmac.compare_digest(word, self.word):
            raise Unauthentic("it is of another version or community")
        return found


class Known:
    """Version 3: a user, and what is known of the one engine it speaks to."""

    __slots__ = ("authority", "hint", "user")

    def __init__(self, user: User) -> None:
        self.user = user
        self.authority = Authority()
        self.hint: Hint | None = None
        """What the last Report said."""

    def ask(self, number: int, kind: int, names: tuple[bytes, ...], first: int, second: int) -> bytes:
        """The message of a request; without a known engine it is the question for one."""
        body = message.pdu(kind, number, message.asks(names), first, second)
        if not self.authority.engine:
            return usm.seal(User("", context=self.user.context), self.authority, time.monotonic(), number, body)
        return usm.seal(self.user, self.authority, time.monotonic(), number, body)

    def open(self, data: bytes) -> Pdu:
        """The PDU of an answer or Report to us; a Report leaves its `hint`. Raises Malformed or Unauthentic.

        A Report that is not authentic is believed only so far as to end this one request (its message number
        is random) and, before any engine is known, to learn whom to ask (RFC 3414, section 4).
        """
        now = time.monotonic()
        got = usm.read(data)
        known = bool(self.authority.engine)
        if known and got.flags & (AUTH | PRIV) == self.user.level and got.flags & PRIV:
            return usm.unseal(self.user, self.authority, now, got)
        trusted = False
        if known and got.flags & AUTH and self.user.auth:
            usm.verify(self.user, got)
            trusted = got.engine == self.authority.engine
        found = usm.scoped(self.user, got)
        if found.kind == message.REPORT:
            self.hint = Hint(usm.report(found), got.engine, got.boots, got.time, trusted)
            return found
        if not known:
            raise Unauthentic("it answers before it was asked as a user")
        return usm.unseal(self.user, self.authority, now, got)

    def learn(self, hint: Hint) -> None:
        """Take over the engine and clock of a Report."""
        self.authority = Authority(hint.engine, hint.boots, hint.time, time.monotonic() if hint.engine else 0.0)

    def forget(self) -> None:
        """Ask anew which engine is there."""
        self.authority = Authority()


@dataclass(frozen=True, slots=True)
class Hint:
    """A Report: `why` is one of usm's six reasons or 0; `trusted` that its digest was right."""

    why: int
    engine: bytes
    boots: int
    time: int
    trusted: bool


Voice = Community | Known


__all__ = ["Community", "Hint", "Known", "Malformed", "Unauthentic", "Voice"]
