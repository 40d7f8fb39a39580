"""Passwords: argon2id, the same work for a name that does not exist, and a rule that can be said in one sentence."""

from __future__ import annotations

import itertools
import re
import time
from functools import cache
from threading import BoundedSemaphore, Lock

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from domain.inventory import Person
from webui import guessed
from webui.language import gettext

SHORTEST, LONGEST = 12, 1000

_hasher = PasswordHasher(time_cost=3, memory_cost=32 * 1024, parallelism=1)
_seats = BoundedSemaphore(2)
"""A hash takes 32 MiB and one processor while it works: a flood of logins must take neither all memory nor all of those."""


class Busy(Exception):
    """Too many are trying passwords just now; nothing was computed."""


class Crowd:
    """The lane of those who have failed lately: one is served, few wait, the rest are told to come back.

    So guesses never stand before whoever logs in for the first time today, nor take the threads that serve pages.
    """

    def __init__(self, waiting: int) -> None:
        self._seat, self._free, self._lock = BoundedSemaphore(1), waiting + 1, Lock()
        self._began = 0.0

    def __enter__(self) -> None:
        with self._lock:
            if not self._free:
                raise Busy
            self._free -= 1
        self._seat.acquire()
        self._began = time.monotonic()

    def __exit__(self, *_error: object) -> None:
        time.sleep(min(LONGEST_REST, time.monotonic() - self._began))  # a rest as long as the work: half a processor
        self._seat.release()
        with self._lock:
            self._free += 1


LONGEST_REST = 0.5
_crowd = Crowd(waiting=2)


def digest(password: str) -> str:
    """The hash to store."""
    with _seats:
        return _hasher.hash(password)


def right(person: Person | None, password: str) -> bool:
    """Whether it is this person's password."""
    return fits(person.password_hash if person else "", password)


def fits(stored: str, password: str, *, crowded: bool = False) -> bool:
    """Whether `password` is the one whose hash is `stored`; an empty hash fits none, and costs as much as any.

    Raises Busy where whoever asks is one of a `crowded` lane that is full.
    """
    try:
        with _crowd if crowded else _seats:
            return _hasher.verify(stored or _nobody(), password) and bool(stored)
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
    if guessed.guessed(password, (login.lower(), *re.split(r"[^a-z0-9]+", login.lower()))) or _is_a_row(
        password.lower()
    ):
        return gettext("This is among the first that are tried. Take a few words that do not belong together.")
    return ""


def _is_a_row(text: str) -> bool:
    """Whether the characters merely count up or down: 123456789012, zyxwvu."""
    steps = [(ord(b) - ord(a)) % 10 if text.isdigit() else ord(b) - ord(a) for a, b in itertools.pairwise(text)]
    return len(set(steps)) == 1


@cache
def _nobody() -> str:
    return _hasher.hash("the password of somebody who does not exist")
