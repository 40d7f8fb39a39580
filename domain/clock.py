"""The only place that asks what time it is."""

import time
from datetime import UTC, datetime


def now() -> datetime:
    """The present moment, UTC, aware."""
    return datetime.now(UTC)


def monotonic() -> float:
    """Seconds on a clock that no one can step (state rule R26)."""
    return time.monotonic()


class Steady:
    """Seconds since the epoch that never jump: wall time once, advanced by the monotonic clock (state rule R26).

    Rules and schedules count on it; `utc` turns such a moment into the stamp the wall clock would give it now.
    """

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()
        self._stepped = 0.0

    def now(self) -> float:
        """The present moment, steady seconds."""
        return time.monotonic() + self._offset

    def utc(self, moment: float) -> datetime:
        """A steady moment as a UTC stamp, moved by how far the wall clock has been stepped since the start.

        Equal moments give equal stamps: a difference of the two clocks under 5 ms is their own noise.
        """
        stepped = time.time() - self.now()
        if abs(stepped - self._stepped) > 0.005:
            self._stepped = stepped
        return datetime.fromtimestamp(moment + self._stepped, UTC)
