"""How long the web server waits for those who call, and for how many at once."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Patience:
    """How long (seconds) and for how many at once the server waits."""

    head: float = 10.0
    """For a handshake and the headers together."""
    body: float = 30.0
    """For a body; each `rate` bytes that came lengthen it by a second."""
    idle: float = 5.0
    """For the next request on a connection kept open."""
    answer: float = 60.0
    """For an answer to be taken, and a second more for each `rate` bytes of it."""
    leave: float = 2.0
    """For the other side to hang up after us."""
    rate: int = 8 * 1024
    room: int = 1000
    """Callers waiting at once; beyond, whoever waits longest makes room."""
    each: int = 100
    """The same for one address (IPv6: one /64), unless a listed proxy stands there."""
    heavy: int = 24
    """Large bodies read at once."""
    heavy_each: int = 6
    """The same for one address, and fewer where few are free (webui/waiting.py)."""
