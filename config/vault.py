"""Sealing of secrets: anyone with the public half can seal, only the poller can open.

A sealed box is an ephemeral X25519 key agreed with the installation's key, HKDF-SHA256, AES-256-GCM: every secret has a
data key of its own, and what wraps it is the installation's key (docs/decisions/0009-vault.md). The place the secret
belongs to is associated data, so a ciphertext moved to another row or column does not open. The box begins with the
number of the key it was sealed for, so that several keys can open side by side while one takes over from another.

A key file holds one private key a line in hex: the first seals (its public half is what the web reads), the others only
open what is not sealed anew yet (poller/rotation.py).
"""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
import time
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from config import files

VERSION = 2
UNNUMBERED = 1
"""The first form: no number of a key, tried with every key there is."""
NUMBER = 4
"""Bytes of a key's number: the first of the SHA-256 of its public half."""
TRIES = 10
"""How often a sealing half is read again that is being written."""
_NONCE = bytes(12)  # one message a key: every box has an ephemeral key of its own


class VaultError(Exception):
    """The vault cannot be used; the message is one sentence with the way out, never a secret."""


def number_of(public: bytes) -> bytes:
    """The number a key goes by."""
    return hashlib.sha256(public).digest()[:NUMBER]


def sealed_for(sealed: bytes) -> bytes:
    """The number of the key a box was sealed for; empty for one of the first form."""
    return sealed[1 : 1 + NUMBER] if sealed[:1] == bytes([VERSION]) else b""


def new_place(id: int | str) -> str:
    """A fresh seal_id for the row `id`: its box opens in that row alone, and a box of before does not open in it again."""
    return f"{id}/{secrets.token_hex(16)}"


def place(kind: str, id: int | str, seal_id: str) -> str:
    """Where the secret of a row belongs, such as the `sealed` of credential 5. Raises VaultError where it is another row's.

    A seal_id without a slash is of the first form, which `pantau vault rotate` leaves none of.
    """
    if "/" in seal_id and not seal_id.startswith(f"{id}/"):
        raise VaultError("A stored secret belongs to another row. Somebody moved it; enter it again.")
    return f"{kind}:{seal_id}"


@dataclass(frozen=True)
class Sealer:
    """The public half: seals and cannot open."""

    public: bytes

    def seal(self, secret: bytes, place: str) -> bytes:
        """`secret` sealed for `place`: `credential:<seal_id>` for a stored one, `look:<id>` for a typed one."""
        ephemeral = X25519PrivateKey.generate()
        half = ephemeral.public_key().public_bytes_raw()
        head = bytes([VERSION]) + number_of(self.public) + half
        key = _agree(ephemeral, self.public, half, b"pantau vault 2" + self.public)
        return head + AESGCM(key).encrypt(_NONCE, secret, head + place.encode())


class Opener:
    """The private halves. Only the poller makes one (the notifier one of its own)."""

    def __init__(self, private: bytes, *older: bytes, source: Path | None = None) -> None:
        self._source = source
        self._take(private, *older)

    def __repr__(self) -> str:
        return f"Opener({len(self._keys)} keys)"

    def open(self, sealed: bytes, place: str) -> bytes:
        """What was sealed for `place`. Raises VaultError where it was sealed by another key or for another place."""
        version = sealed[:1]
        if version == bytes([VERSION]) and len(sealed) >= 1 + NUMBER + 32 + 16:
            return self._open(sealed, place)
        if version == bytes([UNNUMBERED]) and len(sealed) >= 1 + 32 + 16:
            return self._open_unnumbered(sealed, place)
        raise VaultError("A stored secret has an unknown form. Enter the credential again.")

    def _open(self, sealed: bytes, place: str) -> bytes:
        own = self._key(sealed_for(sealed))
        head, half = sealed[: 1 + NUMBER + 32], sealed[1 + NUMBER : 1 + NUMBER + 32]
        key = _agree(own, half, half, b"pantau vault 2" + own.public_key().public_bytes_raw())
        try:
            return AESGCM(key).decrypt(_NONCE, sealed[len(head) :], head + place.encode())
        except InvalidTag:
            raise VaultError("A stored secret does not open at this place. Enter the credential again.") from None

    def _open_unnumbered(self, sealed: bytes, place: str) -> bytes:
        half = sealed[1:33]
        for own in self._keys.values():
            try:
                return AESGCM(_agree(own, half, half, b"pantau vault")).decrypt(_NONCE, sealed[33:], place.encode())
            except InvalidTag:
                continue
        raise VaultError(
            "A stored secret does not open with this installation's key. Enter the credential again."
        ) from None

    def _key(self, number: bytes) -> X25519PrivateKey:
        """The key of this number; one made since is looked up in the file once more."""
        if number not in self._keys and self._source is not None:
            self._take(*_keys(self._source))
        if number not in self._keys:
            raise VaultError(
                f"A stored secret does not open with this installation's key: it was sealed for the key {number.hex()}."
                " Restore that key, or enter the credential again."
            )
        return self._keys[number]

    def _take(self, *privates: bytes) -> None:
        loaded = [X25519PrivateKey.from_private_bytes(private) for private in privates]
        self._keys = {number_of(own.public_key().public_bytes_raw()): own for own in loaded}


def create(key: Path, public: Path) -> bool:
    """Make the installation's key pair unless it is there. True when it was made now."""
    made = not key.exists()
    private = generate() if made else read_keys(key)[0]
    if made:
        write_keys(key, private)
    if made or not public.exists():
        write_public(public, private)
    return made


def sealer(public: Path) -> Sealer:
    """The sealing half from its file. Raises VaultError where it is missing or damaged."""
    for _ in range(TRIES):
        found = _halves(public)
        if found is not None:
            return Sealer(found)
        time.sleep(0.02)  # it is being written this very moment
    raise _damaged(public)


def opener(key: Path) -> Opener:
    """The opening half from its file. Raises VaultError where it is missing, damaged or readable by others."""
    return Opener(*_keys(key), source=key)


def read_keys(key: Path) -> tuple[bytes, ...]:
    """The private keys of a file, the one that seals first. Raises VaultError."""
    return _read(key)


def write_keys(key: Path, *privates: bytes) -> None:
    """Replace a key file whole: whatever happens meanwhile, the old one or the new one is there."""
    files.replace(key, "".join(f"{private.hex()}\n" for private in privates).encode())


def write_public(public: Path, private: bytes) -> None:
    """Replace the sealing half by that of `private`, in the same file: the web is shut out of any that is put in its place.

    Its number stands behind it, so that nobody seals for half of one key and half of another.
    """
    half = public_of(private)
    text = f"{half.hex()} {number_of(half).hex()}\n".encode()
    try:
        descriptor = os.open(public, os.O_WRONLY)
    except FileNotFoundError:
        files.replace(public, text, 0o644)
        return
    with os.fdopen(descriptor, "wb", buffering=0) as file:
        file.write(text)
        file.truncate(len(text))
        os.fsync(file.fileno())


def public_of(private: bytes) -> bytes:
    """The half of a private key that seals."""
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def generate() -> bytes:
    """A new private key."""
    return X25519PrivateKey.generate().private_bytes_raw()


def _keys(key: Path) -> tuple[bytes, ...]:
    if key.exists() and stat.S_IMODE(key.stat().st_mode) & 0o077:
        raise VaultError(f"The key file {key} can be read by others. Run: chmod 600 {key}")
    return _read(key)


def _agree(private: X25519PrivateKey, public: bytes, salt: bytes, info: bytes) -> bytes:
    try:
        shared = private.exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError:  # a point of low order, which no sealer of ours makes
        raise VaultError("A stored secret has an unknown form. Enter the credential again.") from None
    return HKDF(algorithm=SHA256(), length=32, salt=salt, info=info).derive(shared)


def _halves(public: Path) -> bytes | None:
    """The sealing half; None where it and the number behind it (earlier there was none) do not belong together."""
    values = _values(public)
    if not values or len(values[0]) != 32 or len(values) > 2:
        return None
    return values[0] if values[1:] in ((), (number_of(values[0]),)) else None


def _values(path: Path) -> tuple[bytes, ...]:
    """The hex words of a key file; none where they are none."""
    try:
        return tuple(bytes.fromhex(word) for word in path.read_text().split())
    except FileNotFoundError:
        raise VaultError(
            f"The key file {path} is missing. Restore it, or start `pantau up` once to make one."
        ) from None
    except PermissionError:
        raise VaultError(f"The key file {path} cannot be read by this user.") from None
    except ValueError:
        return ()


def _read(path: Path) -> tuple[bytes, ...]:
    values = _values(path)
    if not values or any(len(value) != 32 for value in values):
        raise _damaged(path)
    return values


def _damaged(path: Path) -> VaultError:
    return VaultError(f"The key file {path} is damaged. Restore it from where you keep it.")
