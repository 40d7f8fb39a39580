"""Codes on paper that stand in once for an app or a key that was lost."""

from __future__ import annotations

import hashlib
import secrets

from sqlalchemy import delete, func, select, update

from domain.clock import now
from domain.identity import RecoveryCode
from webui import store

LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"
"""Without those that are read as one another."""
MANY = 10


def make(person_id: int) -> list[str]:
    """Ten new codes (79 bits each) instead of all earlier ones, in the caller's transaction. Only their hashes stay."""
    fresh = [written() for _ in range(MANY)]
    database = store.session()
    database.execute(delete(RecoveryCode).where(RecoveryCode.person_id == person_id))
    database.add_all(RecoveryCode(digest=_digest(person_id, one), person_id=person_id) for one in fresh)
    return fresh


def accept(person_id: int, typed: str) -> bool:
    """Whether `typed` is a code of this person that was not used; then it is used, in the caller's transaction."""
    used = (
        update(RecoveryCode)
        .where(
            RecoveryCode.digest == _digest(person_id, typed),
            RecoveryCode.person_id == person_id,
            RecoveryCode.used_at.is_(None),
        )
        .values(used_at=now())
        .returning(RecoveryCode.digest)
    )
    return store.session().scalar(used) is not None


def left(person_id: int) -> int:
    """How many codes are not used yet."""
    mine = RecoveryCode.person_id == person_id, RecoveryCode.used_at.is_(None)
    return store.session().scalar(select(func.count()).select_from(RecoveryCode).where(*mine)) or 0


def written() -> str:
    """Four times four letters nobody thought of."""
    return "-".join("".join(secrets.choice(LETTERS) for _ in range(4)) for _ in range(4))


def _digest(person_id: int, code: str) -> str:
    letters = "".join(one for one in code.lower() if one in LETTERS)
    return hashlib.sha256(f"recovery {person_id} {letters}".encode()).hexdigest()
