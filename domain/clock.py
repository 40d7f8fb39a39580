"""The only place that asks what time it is."""

import time
from datetime import UTC, datetime, timedelta


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

    def now(self) -> float:
        """The present moment, steady seconds."""
        return time.monotonic() + self._offset

    def utc(self, moment: float) -> datetime:
        """A steady moment as a UTC stamp, corrected by how far the wall clock has been stepped since the start."""
        return datetime.now(UTC) - timedelta(seconds=self.now() - moment)
