"""Passwords: argon2id, the same work for a name that does not exist, and a rule that can be said in one sentence."""

from __future__ import annotations

import itertools
from functools import cache
from threading import BoundedSemaphore, Lock

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from domain.inventory import Person
from webui.language import gettext

SHORTEST, LONGEST = 12, 1000
FEWEST_DIFFERENT = 5

_hasher = PasswordHasher(time_cost=3, memory_cost=32 * 1024, parallelism=1)
_seats = BoundedSemaphore(2)
"""A hash takes 32 MiB and one processor while it works: a flood of logins must take neither all memory nor all of those."""

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


class Busy(Exception):
    """Too many are trying passwords just now; nothing was computed."""


class Crowd:
    """The lane of those who have failed lately: one is served, few wait, the rest are told to come back.

    So guesses never stand before whoever logs in for the first time today, nor take the threads that serve pages.
    """

    def __init__(self, waiting: int) -> None:
        self._seat, self._free, self._lock = BoundedSemaphore(1), waiting + 1, Lock()

    def __enter__(self) -> None:
        with self._lock:
            if not self._free:
                raise Busy
            self._free -= 1
        self._seat.acquire()

    def __exit__(self, *_error: object) -> None:
        self._seat.release()
        with self._lock:
            self._free += 1


_crowd = Crowd(waiting=2)


def digest(password: str) -> str:
    """The hash to store."""
    with _seats:
        return _hasher.hash(password)


def right(person: Person | None, password: str, *, crowded: bool = False) -> bool:
    """Whether it is this person's password. Nobody at all, or somebody without a password, costs as much as anybody.

    Raises Busy where whoever asks is one of a `crowded` lane that is full.
    """
    stored = (person.password_hash if person else "") or _nobody()
    known = person is not None and bool(person.password_hash)
    try:
        with _crowd if crowded else _seats:
            return _hasher.verify(stored, password) and known
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
