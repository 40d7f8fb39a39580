"""What a way of reaching a machine looks like to the house."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, TypeVar

from domain.reading import Kind, Reading, Target
from probes.acting import Hand, Way

T = TypeVar("T")


class Keep:
    """What a probe may keep open between looks (sockets, sessions), owned by whoever calls the probe.

    One Keep lives as long as its process; `close` closes everything in it. Keys are chosen by the probe
    and start with its own kind. A kept thing has a `close()`. Safe for several threads.
    """

    def __init__(self) -> None:
        self._things: dict[tuple[Any, ...], Any] = {}
        self._lock = threading.Lock()

    def get(self, key: tuple[Any, ...], make: Callable[[], T]) -> T:
        """The thing kept under `key`, made now if there is none."""
        kept: T | None = self._things.get(key)
        if kept is None:
            made = make()  # may take long (a login): never under the lock
            with self._lock:
                kept = self._things.setdefault(key, made)
            if kept is not made:
                made.close()  # type: ignore[attr-defined]
        return kept

    def peek(self, key: tuple[Any, ...]) -> Any | None:
        """The thing kept under `key`, or None."""
        return self._things.get(key)

    def drop(self, key: tuple[Any, ...], only: object = None) -> None:
        """Close and forget what is kept under `key`, if anything; with `only`, where it is that very thing."""
        with self._lock:
            thing = self._things.get(key)
            if thing is None or (only is not None and thing is not only):
                return
            del self._things[key]
        thing.close()

    def keys(self) -> Iterator[tuple[Any, ...]]:
        """The keys kept now (a copy: dropping while iterating is allowed)."""
        with self._lock:
            return iter(list(self._things))

    def close(self) -> None:
        """Close everything kept."""
        for key in self.keys():
            self.drop(key)


Look = Callable[[Target, Keep], Reading] | Callable[[Target, Keep], Awaitable[Reading]]
"""One look: never raises for what the far side does (that is a Failure); may raise only for our own bugs."""


Act = Callable[[Way, float], AbstractContextManager[Hand]]
"""Opens a session of its own to act by, for so many seconds. Raises NotDone (probes/acting.py) where it cannot."""


@dataclass(frozen=True, slots=True)
class Produces:
    """One measure a probe can bring. Charts, thresholds, /metrics and the documentation are made from these.

    `title` is English and translated by the page that shows it; `of` says what the part is ("core",
    "mount point") or "" when there is only one.
    """

    name: str
    unit: str
    title: str
    of: str = ""
    kind: Kind = "gauge"


@dataclass(frozen=True, slots=True)
class Probe:
    """One way of reaching a machine.

    `look` is `async def` (runs on the poller's loop and must never block it) or `def` (runs on a worker
    thread). `reachability` says that its failures feed the machine's up/down (state rule R23). `port` is
    the usual port, tried when addresses are pasted. `credentials` are the
    kinds of credential it can use (domain/inventory.py), `secret_words` the kind's own words for the fields of
    Secret, for the command line. `transport` is `tcp`, `udp`, `icmp`, or `none` where nothing is sent to the
    machine: a test knocks at the port of `tcp` only. `act` is there where one can act upon the machine this way, too.
    """

    kind: str
    label: str
    look: Look
    options: type
    produces: tuple[Produces, ...]
    secret: bool = False
    reachability: bool = True
    port: int | None = None
    hidden: tuple[str, ...] = ()
    credentials: tuple[str, ...] = ("password",)
    transport: str = "tcp"
    secret_words: Mapping[str, str] = dataclasses.field(default_factory=dict)
    act: Act | None = None
