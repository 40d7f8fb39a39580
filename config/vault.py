"""Sealing of secrets: anyone with the public half can seal, only the poller can open.

A sealed box is an ephemeral X25519 key agreed with the installation's key, HKDF-SHA256, AES-256-GCM; the place the
secret belongs to is associated data, so a ciphertext moved to another row does not open.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

VERSION = 1
_NONCE = bytes(12)  # one message a key: every box has an ephemeral key of its own


class VaultError(Exception):
    """The vault cannot be used; the message is one sentence with the way out, never a secret."""


@dataclass(frozen=True)
class Sealer:
    """The public half: seals and cannot open."""

    public: bytes

    def seal(self, secret: bytes, place: str) -> bytes:
        """`secret` sealed for `place`: `credential:<seal_id>` for a stored one, `look:<id>` for a typed one."""
        ephemeral = X25519PrivateKey.generate()
        half = ephemeral.public_key().public_bytes_raw()
        box = AESGCM(_agree(ephemeral, self.public, half)).encrypt(_NONCE, secret, place.encode())
        return bytes([VERSION]) + half + box


@dataclass(frozen=True)
class Opener:
    """The private half. Only the poller makes one."""

    private: bytes = field(repr=False)

    def open(self, sealed: bytes, place: str) -> bytes:
        """What was sealed for `place`. Raises VaultError where it was sealed by another key or for another place."""
        if len(sealed) < 1 + 32 + 16 or sealed[0] != VERSION:
            raise VaultError("A stored secret has an unknown form. Enter the credential again.")
        own, half = X25519PrivateKey.from_private_bytes(self.private), sealed[1:33]
        try:
            return AESGCM(_agree(own, half, half)).decrypt(_NONCE, sealed[33:], place.encode())
        except InvalidTag:
            raise VaultError(
                "A stored secret does not open with this installation's key. Enter the credential again."
            ) from None


def create(key: Path, public: Path) -> bool:
    """Make the installation's key pair unless it is there. True when it was made now."""
    made = not key.exists()
    private = X25519PrivateKey.generate() if made else X25519PrivateKey.from_private_bytes(_read(key))
    if made:
        _write(key, private.private_bytes_raw().hex(), 0o600)
    if made or not public.exists():
        _write(public, private.public_key().public_bytes_raw().hex(), 0o644)
    return made


def sealer(public: Path) -> Sealer:
    """The sealing half from its file. Raises VaultError where it is missing or damaged."""
    return Sealer(_read(public))


def opener(key: Path) -> Opener:
    """The opening half from its file. Raises VaultError where it is missing, damaged or readable by others."""
    if key.exists() and stat.S_IMODE(key.stat().st_mode) & 0o077:
        raise VaultError(f"The key file {key} can be read by others. Run: chmod 600 {key}")
    return Opener(_read(key))


def _agree(private: X25519PrivateKey, public: bytes, salt: bytes) -> bytes:
    shared = private.exchange(X25519PublicKey.from_public_bytes(public))
    return HKDF(algorithm=SHA256(), length=32, salt=salt, info=b"pantau vault").derive(shared)


def _read(path: Path) -> bytes:
    try:
        value = bytes.fromhex(path.read_text().strip())
    except FileNotFoundError:
        raise VaultError(
            f"The key file {path} is missing. Restore it, or start `pantau up` once to make one."
        ) from None
    except PermissionError:
        raise VaultError(f"The key file {path} cannot be read by this user.") from None
    except ValueError:
        value = b""
    if len(value) != 32:
        raise VaultError(f"The key file {path} is damaged. Restore it from where you keep it.")
    return value


def _write(path: Path, text: str, mode: int) -> None:
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "w") as file:
        os.fchmod(file.fileno(), mode)
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
