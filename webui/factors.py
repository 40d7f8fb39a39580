"""What somebody has beside a password, and whether they must have it."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import exists, select

from config.vault import VaultError
from domain.identity import Passkey, Totp
from domain.inventory import Membership, Person
from webui import recovery, store, totp

SETTING = "second_factor"
GRAVE = ("admin", "approver")
"""Roles whose holders must have a second factor, where the installation asks for it."""


@dataclass(frozen=True)
class Factors:
    """An app that makes codes; how many passkeys."""

    app: bool
    passkeys: int

    @property
    def any(self) -> bool:
        """Whether there is a second factor at all."""
        return self.app or self.passkeys > 0


def of(person_id: int) -> Factors:
    """The factors of a person."""
    database = store.session()
    app = select(exists().where(Totp.person_id == person_id, Totp.confirmed_at.is_not(None)))
    keys = database.scalars(select(Passkey.id).where(Passkey.person_id == person_id)).all()
    return Factors(bool(database.scalar(app)), len(keys))


def code(person_id: int, typed: str) -> bool:
    """Whether `typed` is a code of the app or a recovery code; then it is used up, in the caller's transaction."""
    digits = "".join(typed.split())
    if digits.isascii() and digits.isdigit():
        try:
            return totp.accept(person_id, digits)
        except VaultError:  # the key is away: recovery codes remain
            return False
    return recovery.accept(person_id, typed[:100])


def demanded() -> bool:
    """Whether administrators and approvers must have a second factor here."""
    return bool((store.setting(SETTING) or {}).get("required"))


def grave(person: Person) -> bool:
    """Whether the second factor is asked of this person, where it is asked at all."""
    if person.role in GRAVE:
        return True
    approver = exists().where(Membership.person_id == person.id, Membership.role == "approver")
    return bool(store.session().scalar(select(approver)))
