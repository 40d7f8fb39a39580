"""Logins that are refused are not repeated, lest an account is locked - above all one that opens many machines."""

from __future__ import annotations

import contextlib
import hashlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from domain.reading import FailureKind, Secret
from probes.base import Keep
from probes.limits import Deadline
from probes.winrm.line import Stop

LIMIT = 2
"""So many refusals in a row, and the login is held back."""
PAUSE = 1800.0
"""Seconds it is held back: two attempts in half an hour stay below what domains lock at."""


@dataclass
class Refusals:
    """How often one login was refused in a row, by one machine or by a whole domain."""

    count: int = 0
    last: float = 0.0
    proven: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def held_back(self) -> bool:
        """Whether it is not to be tried now."""
        return self.count >= LIMIT and time.monotonic() - self.last < PAUSE

    def again(self) -> None:
        """Refused once more."""
        self.count, self.last, self.proven = self.count + 1, time.monotonic(), False

    def good(self) -> None:
        """Let in."""
        self.count, self.proven = 0, True

    def close(self) -> None:
        """Nothing is held open."""


class Account:
    """One login at one machine; an account of a domain (DOMAIN\\name, name@domain) is counted for all machines together."""

    def __init__(self, user: str, own: Refusals, everywhere: Refusals | None) -> None:
        self._user, self._own, self._everywhere = user, own, everywhere

    def hold_back(self) -> None:
        """Raises Stop while the login must rest."""
        for refusals, who in ((self._own, "The machine"), (self._everywhere, "The domain")):
            if refusals is not None and refusals.held_back():
                raise Stop(
                    FailureKind.DENIED,
                    f"{who} refused '{self._user}' {refusals.count} times; it is tried again every half hour only, so that "
                    "the account is not locked. Mend the credential, then use the test button.",
                )

    @contextlib.contextmanager
    def turn(self, deadline: Deadline) -> Iterator[None]:
        """While a domain's account is not proven, one machine at a time tries it: thirty at once would lock it."""
        if self._everywhere is None or self._everywhere.proven:
            yield
            return
        if not self._everywhere.lock.acquire(timeout=deadline.remaining()):
            raise Stop(FailureKind.DENIED, f"'{self._user}' is first being tried at another machine.")
        try:
            self.hold_back()
            yield
        finally:
            self._everywhere.lock.release()

    def refused(self) -> None:
        """It was refused once more."""
        for refusals in (self._own, self._everywhere):
            if refusals is not None:
                refusals.again()

    def accepted(self) -> None:
        """It was let in."""
        for refusals in (self._own, self._everywhere):
            if refusals is not None:
                refusals.good()


def shared(keep: Keep, address: str, port: int, secret: Secret) -> Account:
    """The account of this process."""
    digest = hashlib.sha256(f"{secret.username}\0{secret.password}".encode()).hexdigest()[:16]
    own = keep.get(("winrm", "refused", address, port, digest, "own"), Refusals)
    domain = "\\" in secret.username.lstrip(".\\") or "@" in secret.username
    everywhere = keep.get(("winrm", "refused", digest), Refusals) if domain else None
    return Account(secret.username, own, everywhere)
