"""The key of the web process: seals the few secrets that the web itself must read again.

Codes from an app can be checked only by whoever has the seed they are made from, and the secret of an identity provider
is shown to it by the web itself: the vault, which the web can fill but not open, is no place for these. They lie in the
database under AES-256-GCM with a key from a file beside the vault's (`web.key`, 0600, made by `pantau up`), bound to the
place they belong to. So a copy of the database, or of a backup, gives none of them; and the file opens no login of a
watched machine.

The file holds one key a line in hex: the last one seals, those before it only open what is not sealed anew yet
(webui/rekeying.py). It is changed in place, as the web is shut out of any file put in its stead, and in such an order that
a write that is broken off leaves every key whole that is still needed.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from config import files
from config.vault import NUMBER, VaultError, sealed_for

VERSION = 2
UNNUMBERED = 1
"""The first form: no number of a key, tried with every key there is."""
_KEY = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)


def number_of(key: bytes) -> bytes:
    """The number a key goes by: what is sealed begins with the version and this, as in the vault."""
    return hashlib.sha256(b"pantau web key" + key).digest()[:NUMBER]


@dataclass(frozen=True)
class Box:
    """Seals and opens what the web keeps; `older` keys only open."""

    key: bytes = field(repr=False)
    older: tuple[bytes, ...] = field(default=(), repr=False)

    def seal(self, secret: bytes, place: str) -> bytes:
        """`secret` sealed for `place`, such as `totp:<seal_id>`."""
        nonce, head = os.urandom(12), self.head
        return head + nonce + AESGCM(self.key).encrypt(nonce, secret, head + place.encode())

    @property
    def head(self) -> bytes:
        """What a box of the key that seals now begins with."""
        return bytes([VERSION]) + number_of(self.key)

    def open(self, sealed: bytes, place: str) -> bytes:
        """What was sealed for `place`. Raises VaultError where it was sealed by another key or for another place."""
        skipped = 1 + NUMBER if sealed[:1] == bytes([VERSION]) else 1
        bound = sealed[:skipped] + place.encode() if skipped > 1 else place.encode()
        for key in (self.key, *self.older) if sealed[:1] in (bytes([VERSION]), bytes([UNNUMBERED])) else ():
            if skipped > 1 and sealed_for(sealed) != number_of(key):
                continue
            try:
                return AESGCM(key).decrypt(sealed[skipped : skipped + 12], sealed[skipped + 12 :], bound)
            except (InvalidTag, ValueError):
                continue
        raise VaultError(
            "A stored secret does not open with this installation's web.key. Restore the key, or set it up again."
        )


def create(path: Path) -> bool:
    """Make the key unless it is there. True when it was made now."""
    if path.exists():
        read(path)
        return False
    files.replace(path, _text([secrets.token_bytes(32)]))
    return True


def read(path: Path) -> Box:
    """The keys from their file. Raises VaultError where it is missing, damaged or readable by everybody."""
    *older, key = _keys(path)
    return Box(key, tuple(older))


def begin(path: Path) -> Box:
    """Put a new key behind the one that is there, which from now on only opens; or find the one put there before.

    What is written begins with what stands there already: broken off, the old key is whole. Raises VaultError.
    """
    keys = _keys(path)
    if len(keys) == 1:
        keys = [*keys, secrets.token_bytes(32)]
        _rewrite(path, _text(keys))
    return Box(keys[-1], tuple(keys[:-1]))


def end(path: Path) -> None:
    """Take away every key but the one that seals: it is written over the first, and then what is behind is cut off."""
    keys = _keys(path)
    _rewrite(path, _text([keys[-1]]))


def _keys(path: Path) -> list[bytes]:
    """The keys of a file in their order, each once; a line that is broken off is none."""
    try:
        if stat.S_IMODE(path.stat().st_mode) & 0o007:
            raise VaultError(f"The key file {path} can be read by others. Run: chmod 600 {path}")
        words = path.read_bytes().decode(errors="replace").split()
    except FileNotFoundError:
        raise VaultError(
            f"The key file {path} is missing. Restore it, or start `pantau up` once to make one."
        ) from None
    except OSError:
        raise VaultError(f"The key file {path} cannot be read by this user.") from None
    found = dict.fromkeys(bytes.fromhex(word) for word in words if _KEY.fullmatch(word))
    if not found:
        raise VaultError(f"The key file {path} is damaged. Restore it from where you keep it.")
    return [*found]


def _text(keys: Sequence[bytes]) -> bytes:
    return "".join(f"{key.hex()}\n" for key in keys).encode()


def _rewrite(path: Path, text: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY)
    with os.fdopen(descriptor, "wb", buffering=0) as file:
        file.write(text)
        os.fsync(file.fileno())
        file.truncate(len(text))
        os.fsync(file.fileno())
