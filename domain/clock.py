"""The only place that asks what time it is."""

import time
from datetime import UTC, datetime


def now() -> datetime:
    """The present moment, UTC, aware."""
    return datetime.now(UTC)


def monotonic() -> float:
    """Seconds on a clock that no one can step (state rule R26)."""
    return time.monotonic()
