"""Passwords: argon2id, the same work for a name that does not exist, and a rule that can be said in one sentence."""

from __future__ import annotations

import itertools
from functools import cache
from threading import BoundedSemaphore

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from domain.inventory import Person
from webui.language import gettext

SHORTEST, LONGEST = 12, 1000
FEWEST_DIFFERENT = 5

_hasher = PasswordHasher(time_cost=3, memory_cost=32 * 1024, parallelism=1)
_seats = BoundedSemaphore(4)  # each hash takes 32 MiB while it works: a flood of logins must not take the memory

COMMON = (
    "password",
    "qwerty",
    "123456",
    "abc123",
    "admin",
    "welcome",
    "letmein",
    "iloveyou",
    "rahasia",
    "indonesia",
    "pantau",
)


def digest(password: str) -> str:
    """The hash to store."""
    with _seats:
        return _hasher.hash(password)


def right(person: Person | None, password: str) -> bool:
    """Whether it is this person's password. Nobody at all costs as much as somebody."""
    stored = person.password_hash if person else _nobody()
    try:
        with _seats:
            return _hasher.verify(stored, password) and person is not None
    except (VerificationError, InvalidHashError):
        return False


def rule() -> str:
    """What a password has to be, for the help text."""
    return gettext("At least %(count)s characters; a few words in a row are easy to remember.", count=SHORTEST)


def weakness(password: str, login: str) -> str:
    """The sentence that says why a password will not do; empty when it will."""
    if len(password) < SHORTEST:
        return gettext("This is too short: it takes at least %(count)s characters.", count=SHORTEST)
    if len(password) > LONGEST:
        return gettext("This is too long: it takes at most %(count)s characters.", count=LONGEST)
    left = password.lower()
    for known in (*COMMON, login.lower()):
        left = left.replace(known, "") if known else left
    if len(set(left)) < FEWEST_DIFFERENT or _is_a_row(left):
        return gettext("This is among the first that are tried. Take a few words that do not belong together.")
    return ""


def _is_a_row(text: str) -> bool:
    """Whether the characters merely count up or down: 123456789012, zyxwvu."""
    steps = [(ord(b) - ord(a)) % 10 if text.isdigit() else ord(b) - ord(a) for a, b in itertools.pairwise(text)]
    return len(set(steps)) == 1


@cache
def _nobody() -> str:
    return _hasher.hash("the password of somebody who does not exist")
