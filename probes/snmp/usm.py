"""The user-based security of SNMP version 3: keys, authentication, privacy (RFC 3414, RFC 3826, RFC 7860).

AES with keys of 192 and 256 bits is in no RFC; both ways of lengthening keys that agents use are here:
the draft's (draft-blumenthal-aes-usm-04, net-snmp) and the one of Cisco's agents
(draft-reeder-snmpv3-usm-3desede-00, section 2.1).
"""

from __future__ import annotations

import hashlib
import hmac
import os
import warnings
from dataclasses import dataclass, field
from functools import lru_cache

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from probes.snmp import ber, message
from probes.snmp.ber import INTEGER, OCTETS, SEQUENCE, Malformed
from probes.snmp.message import Pdu

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
    from cryptography.hazmat.decrepit.ciphers.modes import CFB

AUTH_PROTOCOLS = ("SHA-256", "SHA-512", "SHA-384", "SHA-224", "SHA-1", "MD5")
PRIV_PROTOCOLS = ("AES-128", "AES-256", "AES-192", "AES-256-Cisco", "AES-192-Cisco", "DES")
_HASHES = {  # hashlib's name, octets of the key, octets of the digest that travel (RFC 3414, 6 and 7; RFC 7860, 4)
    "MD5": ("md5", 16, 12),
    "SHA-1": ("sha1", 20, 12),
    "SHA-224": ("sha224", 28, 16),
    "SHA-256": ("sha256", 32, 24),
    "SHA-384": ("sha384", 48, 32),
    "SHA-512": ("sha512", 64, 48),
}
_CIPHER_KEYS = {"AES-128": 16, "AES-192": 24, "AES-256": 32, "AES-192-Cisco": 24, "AES-256-Cisco": 32, "DES": 16}
_MEGABYTE = 1024 * 1024
_WINDOW = 150
"""Seconds a message may be older than the newest one heard (RFC 3414, section 2.2.3)."""
_BOOTS_MAX = 2**31 - 1
_SECURITY_MODEL = 3
_MAX_SIZE = 65507
AUTH, PRIV, REPORTABLE = 1, 2, 4

_STATS = ber.name("1.3.6.1.6.3.15.1.1")
UNSUPPORTED_LEVEL, NOT_IN_WINDOW, UNKNOWN_USER, UNKNOWN_ENGINE, WRONG_DIGEST, DECRYPTION_ERROR = range(1, 7)
"""What a Report says, by the last but one number of the usmStats object in it (RFC 3414, section 5)."""


class Unauthentic(ValueError):
    """The message is not from whom it says it is, or is too old; it counts as never received."""


@dataclass(frozen=True, slots=True)
class User:
    """Who asks and how. An empty `auth` means no authentication, an empty `priv` no privacy."""

    name: str
    auth: str = ""
    auth_password: str = field(default="", repr=False)
    priv: str = ""
    priv_password: str = field(default="", repr=False)
    context: str = ""

    @property
    def level(self) -> int:
        """The flags of RFC 3412, section 6.4, without the reportable one."""
        return (AUTH if self.auth else 0) | (PRIV if self.priv else 0)

    def without_privacy(self) -> User:
        """The same user asking in the clear, to tell a wrong privacy password from a wrong user."""
        return User(self.name, self.auth, self.auth_password, "", "", self.context)


@dataclass(slots=True)
class Authority:
    """What is known of the engine that answers: its id, and its clock as last heard (RFC 3414, section 2.3)."""

    engine: bytes = b""
    boots: int = 0
    time: int = 0
    heard: float = 0.0
    """Our steady clock when `time` was heard."""

    def time_now(self, now: float) -> int:
        """The engine's clock as we reckon it."""
        return min(_BOOTS_MAX, self.time + int(now - self.heard)) if self.heard else self.time

    def hear(self, boots: int, time: int, now: float) -> None:
        """Take over the clock of an authentic message. Raises Unauthentic if it lies outside the window (3.2, 7b)."""
        if boots == _BOOTS_MAX or boots < self.boots:
            raise Unauthentic("it was made before the last restart of the engine")
        expected = self.time_now(now)
        if boots == self.boots and time < expected - _WINDOW:
            raise Unauthentic("it is too old")
        if boots > self.boots or time >= expected:
            self.boots, self.time, self.heard = boots, time, now


@lru_cache(maxsize=4096)
def stretched(protocol: str, password: str) -> bytes:
    """A password as a key (RFC 3414, section A.2): the digest of a megabyte of it, repeated."""
    secret = password.encode()
    if not secret:
        raise ValueError("The password is empty.")
    repeated = secret * (_MEGABYTE // len(secret) + 1)
    return _digest(protocol, repeated[:_MEGABYTE])


def localised(protocol: str, key: bytes, engine: bytes) -> bytes:
    """A key made good for one engine only (RFC 3414, section 2.6)."""
    return _digest(protocol, key + engine + key)


@lru_cache(maxsize=65536)
def auth_key(protocol: str, password: str, engine: bytes) -> bytes:
    """The localised authentication key."""
    return localised(protocol, stretched(protocol, password), engine)


@lru_cache(maxsize=65536)
def priv_key(auth: str, priv: str, password: str, engine: bytes) -> bytes:
    """The localised privacy key, lengthened to what the cipher wants."""
    size = _CIPHER_KEYS[priv]
    key = auth_key(auth, password, engine)
    while len(key) < size:
        if priv.endswith("-Cisco"):
            key += localised(auth, _digest_of_key(auth, key[-len(_digest(auth, b"")) :]), engine)
        else:
            key += _digest(auth, key)
    return key[:size]


def _digest_of_key(protocol: str, key: bytes) -> bytes:
    repeated = key * (_MEGABYTE // len(key) + 1)
    return _digest(protocol, repeated[:_MEGABYTE])


def _digest(protocol: str, data: bytes) -> bytes:
    return hashlib.new(_HASHES[protocol][0], data, usedforsecurity=False).digest()


def mac(protocol: str, key: bytes, whole: bytes) -> bytes:
    """The authentication parameter of a message whose own field is all zero (RFC 3414, 6.3.1; RFC 7860, 4.2.1)."""
    return hmac.digest(key, whole, _HASHES[protocol][0])[: _HASHES[protocol][2]]


_salt = int.from_bytes(os.urandom(8))


def _next_salt() -> int:
    global _salt
    _salt = (_salt + 1) & 0xFFFFFFFFFFFFFFFF
    return _salt


def encrypt(user: User, at: Authority, now: float, plain: bytes) -> tuple[bytes, bytes]:
    """(cipher text, privacy parameter) of a scoped PDU (RFC 3826, section 3.1; RFC 3414, section 8.1.1)."""
    key = priv_key(user.auth, user.priv, user.priv_password, at.engine)
    if user.priv == "DES":
        salt = (at.boots & 0xFFFFFFFF).to_bytes(4) + (_next_salt() & 0xFFFFFFFF).to_bytes(4)
        padded = plain + bytes(-len(plain) % 8)
        return _des(key, salt).encryptor().update(padded), salt
    salt = _next_salt().to_bytes(8)
    return _aes(key, at.boots, at.time_now(now), salt).encryptor().update(plain), salt


def decrypt(user: User, engine: bytes, boots: int, time: int, salt: bytes, data: bytes) -> bytes:
    """The scoped PDU. Raises Malformed where the parameters cannot be right."""
    if len(salt) != 8:
        raise Malformed("a privacy parameter that is not of eight octets")
    key = priv_key(user.auth, user.priv, user.priv_password, engine)
    if user.priv == "DES":
        if len(data) % 8:
            raise Malformed("a DES text that is no multiple of eight octets")
        return _des(key, salt).decryptor().update(data)
    return _aes(key, boots, time, salt).decryptor().update(data)


def _aes(key: bytes, boots: int, time: int, salt: bytes) -> Cipher[CFB]:
    return Cipher(algorithms.AES(key), CFB(boots.to_bytes(4) + time.to_bytes(4) + salt))


def _des(key: bytes, salt: bytes) -> Cipher[modes.CBC]:
    # Single DES is triple DES with one key three times; only old gear asks for it.
    vector = bytes(a ^ b for a, b in zip(key[8:16], salt, strict=True))
    return Cipher(TripleDES(key[:8] * 3), modes.CBC(vector))


def seal(user: User, at: Authority, now: float, number: int, body: bytes) -> bytes:
    """The message that carries PDU `body` as message `number` (RFC 3412, section 6; RFC 3414, section 3.1)."""
    scoped = ber.wrap(SEQUENCE, ber.wrap(OCTETS, at.engine) + ber.wrap(OCTETS, user.context.encode()) + body)
    salt = b""
    if user.priv:
        secret, salt = encrypt(user, at, now, scoped)
        scoped = ber.wrap(OCTETS, secret)
    flags = user.level | REPORTABLE
    heading = ber.wrap(
        SEQUENCE,
        message.number(number)
        + ber.integer(_MAX_SIZE)
        + bytes((OCTETS, 1, flags))
        + bytes((INTEGER, 1, _SECURITY_MODEL)),
    )
    size = _HASHES[user.auth][2] if user.auth else 0
    tail = ber.wrap(OCTETS, salt)
    security = ber.wrap(
        SEQUENCE,
        ber.wrap(OCTETS, at.engine)
        + ber.integer(at.boots)
        + ber.integer(at.time_now(now))
        + ber.wrap(OCTETS, user.name.encode())
        + ber.wrap(OCTETS, bytes(size))
        + tail,
    )
    after = tail + scoped
    whole = ber.wrap(SEQUENCE, bytes((INTEGER, 1, message.V3)) + heading + ber.wrap(OCTETS, security) + scoped)
    if not user.auth:
        return whole
    place = len(whole) - len(after) - size
    return (
        whole[:place]
        + mac(user.auth, auth_key(user.auth, user.auth_password, at.engine), whole)
        + whole[place + size :]
    )


@dataclass(frozen=True, slots=True)
class Received:
    """A message of version 3 as it came, not yet believed."""

    number: int
    flags: int
    engine: bytes
    boots: int
    time: int
    user: bytes
    digest: bytes
    digest_at: int
    salt: bytes
    data: bytes
    scoped_at: int
    end: int


def read(data: bytes) -> Received:
    """The outer parts of a message. Raises Malformed."""
    version, at, end = message.version_of(data)
    if version != message.V3:
        raise Malformed(f"version {version} where 3 belongs")
    inner, after = ber.inside(data, at, end, SEQUENCE)
    number, inner = ber.whole(data, inner, after)
    _, inner = ber.whole(data, inner, after)
    flags, inner = ber.octets(data, inner, after)
    model, inner = ber.whole(data, inner, after)
    if inner != after or len(flags) != 1 or model != _SECURITY_MODEL or not 0 <= number < 2**31:
        raise Malformed("a heading that is not of the user-based kind")
    at, stop = ber.inside(data, after, end, OCTETS)
    inner, last = ber.inside(data, at, stop, SEQUENCE)
    if last != stop:
        raise Malformed("something follows the security parameters")
    engine, inner = ber.octets(data, inner, last)
    boots, inner = ber.whole(data, inner, last)
    time, inner = ber.whole(data, inner, last)
    user, inner = ber.octets(data, inner, last)
    digest, after = ber.octets(data, inner, last)
    salt, inner = ber.octets(data, after, last)
    if inner != last or len(engine) > 32 or not 0 <= boots <= _BOOTS_MAX or not 0 <= time <= _BOOTS_MAX:
        raise Malformed("security parameters out of range")
    return Received(
        number, flags[0], engine, boots, time, user, digest, after - len(digest), salt, data, stop, end
    )  # fmt: skip


def unseal(user: User, at: Authority, now: float, got: Received) -> Pdu:
    """The PDU of an answer to `user`, believed: same engine, right digest, in the time window, decrypted.

    Raises Unauthentic or Malformed. The level must be the one asked with, so that nobody strips it on the way.
    """
    if got.flags & (AUTH | PRIV) != user.level:
        raise Unauthentic("it is not at the level of security asked for")
    if got.engine != at.engine or got.user != user.name.encode():
        raise Unauthentic("it is of another engine or user")
    if user.auth:
        verify(user, got)
        at.hear(got.boots, got.time, now)
    return scoped(user, got, at.engine)


def verify(user: User, got: Received) -> None:
    """Raises Unauthentic unless the digest is right."""
    size = _HASHES[user.auth][2]
    blank = got.data[: got.digest_at] + bytes(size) + got.data[got.digest_at + size :]
    key = auth_key(user.auth, user.auth_password, got.engine)
    if len(got.digest) != size or not hmac.compare_digest(mac(user.auth, key, blank), got.digest):
        raise Unauthentic("its digest is wrong")


def scoped(user: User, got: Received, engine: bytes | None = None) -> Pdu:
    """The PDU inside; `engine` is the context engine it must be of, if any. Raises Malformed or Unauthentic."""
    data, at, end = got.data, got.scoped_at, got.end
    if got.flags & PRIV:
        if not user.priv:
            raise Unauthentic("it is encrypted, though it was asked in the clear")
        secret, stop = ber.octets(data, at, end)
        if stop != end:
            raise Malformed("something follows the encrypted part")
        data = decrypt(user, got.engine, got.boots, got.time, got.salt, secret)
        at, end = 0, len(data)
    inner, stop = ber.inside(data, at, end, SEQUENCE)
    if stop != end and not (got.flags & PRIV and end - stop < 8):  # DES pads the end
        raise Malformed("something follows the scoped PDU")
    owner, inner = ber.octets(data, inner, stop)
    context, inner = ber.octets(data, inner, stop)
    found = message.read_pdu(data, inner, stop)
    if found.kind == message.RESPONSE and (
        context != user.context.encode() or (engine is not None and owner != engine)
    ):
        raise Malformed("an answer of another context")
    return found


def report(found: Pdu) -> int:
    """Which usmStats object a Report carries: 1 to 6, or 0 for none of them."""
    for name, _, _ in found.bindings:
        if found.kind == message.REPORT and name.startswith(_STATS) and len(name) > len(_STATS):
            return name[len(_STATS)] if 1 <= name[len(_STATS)] <= 6 else 0
    return 0
