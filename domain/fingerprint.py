"""What is kept in the place of a token that was made at random: enough to know it again, no use to whoever reads it."""

from __future__ import annotations

import hashlib


def of(token: str) -> str:
    """SHA-256 of `token` in hex. For tokens with 128 bits and more of chance only: a password would be guessed from it."""
    return hashlib.sha256(token.encode()).hexdigest()
