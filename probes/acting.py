"""What acting upon a machine is, whatever the protocol: a hand that looks once more, sends each part of an order once, and
looks whether it came about.

Nothing is kept and nothing is repeated by a hand: whoever uses it has said beforehand, on the record, that a part leaves now.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from domain import clock
from domain.reading import Secret

NEWER = timedelta(seconds=60)
"""Two moments of a start are two starts when they lie further apart: machines derive them from a clock that is set."""
WHOLE, STOP, START = "", "stop", "start"
"""The parts of an order: all of it at once, or a stop that is waited for, and a start after it."""

_BEGAN = clock.now() - timedelta(seconds=time.monotonic())


class NotDone(Exception):
    """It did not come about: it never left, or the machine itself said that it failed. The message is a sentence."""


class LoginRefused(NotDone):
    """The login was refused: not to be tried again and again, lest the account is locked."""


class Unsure(Exception):
    """The order had left, and what became of it is not known; the message is a sentence."""


@dataclass(frozen=True)
class Way:
    """Where and how to act: a kind of check, its options with whom it trusts, and the login."""

    kind: str
    address: str
    options: Any
    secret: Secret = field(repr=False)


@dataclass(frozen=True)
class Order:
    """What is to be done: its kind (domain/orders.py), the service or guest it is about, and a few words for the machine's
    own log."""

    kind: str
    about: str = ""
    note: str = ""


@dataclass(frozen=True)
class Unit:
    """A service as its machine tells it. `runs`: True, False, or None in between. `mark` is another after another start,
    where the machine has such a mark."""

    told: str
    runs: bool | None
    mark: str = ""


class Hand(Protocol):
    """A session to act by. Where the line is lost before a part leaves it is NotDone, afterwards it is Unsure."""

    def start(self, order: Order) -> str:
        """Which start of itself the machine, or the guest the order is about, is in: a text that is another for another
        start, or a moment (ISO 8601). Raises NotDone."""

    def unit(self, service: str) -> Unit:
        """How a service stands. Raises NotDone."""

    def parts(self, order: Order) -> tuple[str, ...]:
        """What leaves one after the other for this order, as things stand. Raises NotDone where nothing can."""

    def down(self, order: Order) -> bool:
        """Whether what STOP was sent to has stopped. Raises NotDone."""

    def send(self, order: Order, part: str) -> None:
        """Let a part leave, once. Raises NotDone where the machine refused, Unsure where nobody knows."""

    def script(self, text: str, values: Sequence[str]) -> str:
        """Run a runbook's script with its parameters: what it said. Raises NotDone, Unsure."""


def same(one: str, other: str) -> bool:
    """Whether two texts of `Hand.start`, or of the fact host.boot.id, are of one start."""
    first, second = _moment(one), _moment(other)
    return one == other if first is None or second is None else abs(second - first) <= NEWER


def newer(before: str, after: str, by: timedelta = NEWER) -> bool:
    """Whether `after` is a later start than `before`."""
    first, second = _moment(before), _moment(after)
    return before != after if first is None or second is None else second - first > by


def begun(seconds_ago: float) -> str:
    """The moment that lies so far back, by a clock that nobody sets while this process lives."""
    found = _BEGAN + timedelta(seconds=time.monotonic() - seconds_ago)
    return found.isoformat(timespec="seconds")


def _moment(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else None
