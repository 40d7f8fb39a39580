"""How often a secret was refused, so that offering it again and again locks nobody's account."""

from __future__ import annotations

import hashlib
import time

from domain.reading import FailureKind, Reading, Secret


class Refusals:
    """How often a machine refused a secret: after twice it is offered only every five minutes, lest accounts lock."""

    LIMIT, PAUSE = 2, 300.0

    def __init__(self) -> None:
        self.count, self._last = 0, 0.0

    def hold_back(self) -> bool:
        """Whether to leave the machine alone now."""
        return self.count >= self.LIMIT and time.monotonic() - self._last < self.PAUSE

    def again(self) -> None:
        """It refused once more."""
        self.count, self._last = self.count + 1, time.monotonic()

    def held_back(self, username: str) -> Reading:
        """What a look brings that leaves the machine alone."""
        return Reading.failed(
            FailureKind.DENIED,
            f"The machine refused '{username}' {self.count} times; it is tried again every five minutes only, "
            "so that the account is not locked. Mend the credential, then use the test button.",
        )

    def close(self) -> None:
        """Nothing is held."""


def digest(secret: Secret) -> str:
    """Tells one secret from another without holding it."""
    text = "\0".join((secret.username, secret.password, secret.private_key, secret.passphrase, secret.certificate))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
