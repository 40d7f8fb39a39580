"""The key of the web process: seals the few secrets that the web itself must read again.

Codes from an app can be checked only by whoever has the seed they are made from, and the secret of an identity provider
is shown to it by the web itself: the vault, which the web can fill but not open, is no place for these. They lie in the
database under AES-256-GCM with a key from a file beside the vault's (`web.key`, 0600, made by `pantau up`), bound to the
place they belong to. So a copy of the database, or of a backup, gives none of them; and the file opens no login of a
watched machine.
"""

from __future__ import annotations

import os
import secrets
import stat
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from config import files
from config.vault import VaultError

VERSION = 1


@dataclass(frozen=True)
class Box:
    """Seals and opens what the web keeps."""

    key: bytes = field(repr=False)

    def seal(self, secret: bytes, place: str) -> bytes:
        """`secret` sealed for `place`, such as `totp:<seal_id>`."""
        nonce = os.urandom(12)
        return bytes([VERSION]) + nonce + AESGCM(self.key).encrypt(nonce, secret, place.encode())

    def open(self, sealed: bytes, place: str) -> bytes:
        """What was sealed for `place`. Raises VaultError where it was sealed by another key or for another place."""
        try:
            if sealed[:1] != bytes([VERSION]):
                raise InvalidTag
            return AESGCM(self.key).decrypt(sealed[1:13], sealed[13:], place.encode())
        except (InvalidTag, ValueError):
            raise VaultError(
                "A stored secret does not open with this installation's web.key. Restore the key, or set it up again."
            ) from None


def create(path: Path) -> bool:
    """Make the key unless it is there. True when it was made now."""
    if path.exists():
        read(path)
        return False
    files.replace(path, f"{secrets.token_hex(32)}\n".encode())
    return True


def read(path: Path) -> Box:
    """The key from its file. Raises VaultError where it is missing, damaged or readable by everybody."""
    try:
        if stat.S_IMODE(path.stat().st_mode) & 0o007:
            raise VaultError(f"The key file {path} can be read by others. Run: chmod 600 {path}")
        key = bytes.fromhex(path.read_text().strip())
    except FileNotFoundError:
        raise VaultError(
            f"The key file {path} is missing. Restore it, or start `pantau up` once to make one."
        ) from None
    except OSError:
        raise VaultError(f"The key file {path} cannot be read by this user.") from None
    except ValueError:
        key = b""
    if len(key) != 32:
        raise VaultError(f"The key file {path} is damaged. Restore it from where you keep it.")
    return Box(key)
