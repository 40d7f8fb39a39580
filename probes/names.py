"""From a name to its addresses, for looks on the loop and on threads, and while the resolver is ill.

Answers are kept for a minute and go on being used for a day when the resolver fails, hangs or denies:
a sick resolver must not turn a healthy fleet grey. It never turns one red: a name we cannot resolve is
our inability (state rule R8).
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from dataclasses import dataclass

from domain.reading import FailureKind, Reading
from probes import doors
from probes.base import Keep
from probes.limits import clean

TTL = 60.0
"""Seconds an answer is used without asking again."""
STALE = 24 * 3600.0
"""Seconds an answer goes on being used while the resolver brings none."""
PATIENCE = 5.0
"""The longest anyone waits for the resolver, in seconds."""
STALE_PATIENCE = 1.0
"""The longest anyone waits who has an old answer to fall back on."""
DENIED_TTL = 10.0
"""Seconds a failure is kept, so that thirty checks of one name ask once."""
SEATS = 8
"""The most threads a hanging resolver can hold."""
NAMES_KEPT = 50_000
"""The most names remembered at once."""


@dataclass(frozen=True, slots=True)
class Place:
    """One numeric address a machine has. `scope` is the interface index of a link-local IPv6 address."""

    address: str
    family: socket.AddressFamily
    scope: int = 0

    def at(self, port: int = 0) -> tuple[str, int] | tuple[str, int, int, int]:
        """The form `socket.connect` and `sendto` take, which never asks a resolver again."""
        if self.family == socket.AF_INET6:
            return (self.address, port, 0, self.scope)
        return (self.address, port)


class Unresolved(Exception):
    """No address is known for a name; the text is a sentence for a person."""

    def reading(self) -> Reading:
        """What a look that ends here brings (state rule R8)."""
        return Reading.failed(FailureKind.UNSUPPORTED, str(self))


Ask = Callable[[str], tuple[Place, ...]]


@dataclass(slots=True)
class _Known:
    places: tuple[Place, ...] = ()
    found: float = 0.0
    failed: float = 0.0
    why: str = ""
    asked: float = 0.0
    asking: Future[None] | None = None


class Names:
    """What is known about names in this process. `ask` does the actual asking and may block."""

    def __init__(
        self,
        ask: Ask | None = None,
        clock: Callable[[], float] = time.monotonic,
        patience: float = PATIENCE,
        stale_patience: float = STALE_PATIENCE,
    ) -> None:
        self._ask = ask or ask_system
        self._clock = clock
        self._patience = patience
        self._stale_patience = stale_patience
        self._known: dict[str, _Known] = {}
        self._lock = threading.Lock()
        self._queue: deque[tuple[str, _Known, Future[None]]] = deque()
        self._workers = 0

    def find(self, name: str, limit: float = PATIENCE, family: str = "any") -> tuple[Place, ...]:
        """The addresses of `name`, best first, at least one; for looks on a thread.

        `limit` is how many seconds the caller can spare, `family` one of "any", "4", "6".
        Raises Unresolved.
        """
        if (place := numeric(name)) is not None:
            return _of_family((_single(place),), name, family)
        known, asked = self._look_up(name)
        if asked is not None:
            with contextlib.suppress(NotYet):
                asked.result(self._wait(known, limit))
        return _of_family(self._answer(name, known), name, family)

    async def find_soon(self, name: str, limit: float = PATIENCE, family: str = "any") -> tuple[Place, ...]:
        """As `find`, for looks on the loop; never blocks it."""
        if (place := numeric(name)) is not None:
            return _of_family((_single(place),), name, family)
        known, asked = self._look_up(name)
        if asked is not None:
            waiter = asyncio.wrap_future(asked)
            try:
                await asyncio.wait([waiter], timeout=self._wait(known, limit))
            finally:
                waiter.cancel()
        return _of_family(self._answer(name, known), name, family)

    def close(self) -> None:
        """Forget everything; asks still running end by themselves and are not waited for."""
        with self._lock:
            self._known.clear()
            for _, known, waiting in self._queue:
                known.asking = None
                waiting.set_result(None)
            self._queue.clear()

    def _look_up(self, name: str) -> tuple[_Known, Future[None] | None]:
        """What is known of `name`, and the ask to wait for if it is not fresh."""
        key = _key(name)
        with self._lock:
            if len(self._known) >= NAMES_KEPT and key not in self._known:
                self._known.pop(next(iter(self._known)))
            known = self._known.setdefault(key, _Known())
            now = self._clock()
            if known.places and now - known.found < TTL:
                return known, None
            if known.asking is None and (not known.why or now - known.failed >= DENIED_TTL):
                known.asking, known.asked = Future(), now
                known.asking.set_running_or_notify_cancel()  # so that one impatient look cannot cancel it for all
                self._queue.append((key, known, known.asking))
                self._seat()
            return known, known.asking

    def _seat(self) -> None:
        """One more thread for the queue, unless all seats are taken (by a resolver that hangs)."""
        if self._workers < SEATS:
            self._workers += 1
            threading.Thread(target=self._work, name="names", daemon=True).start()

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._queue:
                    self._workers -= 1
                    return
                name, known, waiting = self._queue.popleft()
            places, why = self._try(name)
            with self._lock:
                known.asking = None
                known.why = why
                if places:
                    known.places, known.found = places, self._clock()
                else:
                    known.failed = self._clock()
            if not waiting.done():
                waiting.set_result(None)

    def _try(self, name: str) -> tuple[tuple[Place, ...], str]:
        try:
            return self._ask(name), ""
        except Unresolved as refused:
            return (), str(refused)
        except (OSError, UnicodeError) as error:
            return (), f"The name '{clean(name)}' is not resolvable: {_why(error)}."

    def _wait(self, known: _Known, limit: float) -> float:
        """Patience runs from the moment of asking: the thirtieth look at a hanging resolver waits no more."""
        patience = self._stale_patience if known.places else self._patience
        return max(0.0, min(limit, known.asked + patience - self._clock()))

    def _answer(self, name: str, known: _Known) -> tuple[Place, ...]:
        with self._lock:
            if known.places and self._clock() - known.found < STALE:
                return known.places
            why = known.why
        raise Unresolved(why or f"The name '{clean(name)}' is not resolvable: the resolver did not answer in time.")


def of(keep: Keep) -> Names:
    """The names of this process, kept between looks."""
    return keep.get(("names",), Names)


def numeric(text: str) -> Place | None:
    """`text` as an address if it is one (brackets and an IPv6 zone are understood), without asking anyone."""
    bare = text.strip()
    if bare.startswith("[") and bare.endswith("]"):
        bare = bare[1:-1]
    try:
        found = ipaddress.ip_address(bare)
    except ValueError:
        return None
    if isinstance(found, ipaddress.IPv4Address):
        return Place(str(found), socket.AF_INET)
    zone = found.scope_id
    return Place(str(ipaddress.IPv6Address(int(found))), socket.AF_INET6, _interface(zone) if zone else 0)


def is_this_machine(name: str) -> bool:
    """Whether `name`, as a person typed it, plainly means the machine we run on."""
    place = numeric(name)
    if place is not None:
        return doors.embedded(ipaddress.ip_address(place.address)).is_loopback
    key = name.strip().rstrip(".").lower()
    own = socket.gethostname().lower()
    return key in ("localhost", "ip6-localhost", own, own.split(".")[0]) or key.endswith(".localhost")


def ask_system(name: str) -> tuple[Place, ...]:
    """The addresses the operating system's resolver gives for `name`; may block as long as it likes.

    A name of another machine that resolves to this one (loopback, 0.0.0.0) is refused: looking at
    ourselves in its stead would show a dead machine as healthy.
    """
    rows = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    places = []
    for family, _, _, _, at in rows:
        if family not in (socket.AF_INET, socket.AF_INET6):
            continue
        scope = int(at[3]) if len(at) == 4 else 0
        place = Place(str(at[0]).split("%")[0], socket.AddressFamily(family), scope)
        if place not in places:
            places.append(place)
    return _sane(name, tuple(places))


def _sane(name: str, places: tuple[Place, ...]) -> tuple[Place, ...]:
    if is_this_machine(name):
        return places
    if places and all(doors.is_metadata(ipaddress.ip_address(place.address)) for place in places):
        raise Unresolved(
            f"The name '{clean(name)}' is not resolvable: the resolver says {places[0].address}, where clouds keep "
            "credentials of machines. If that is meant, register the address itself."
        )
    places = tuple(place for place in places if not doors.is_metadata(ipaddress.ip_address(place.address)))
    others = tuple(place for place in places if not _is_here(place))
    if places and not others:
        raise Unresolved(
            f"The name '{clean(name)}' is not resolvable: the resolver says {places[0].address}, which is the "
            "machine Pantau runs on. If that is meant, register the address itself."
        )
    return others


def _is_here(place: Place) -> bool:
    address = doors.embedded(ipaddress.ip_address(place.address))
    return address.is_loopback or address.is_unspecified or str(address).startswith("0.")


def _single(place: Place) -> Place:
    """`place` if it is the address of one machine."""
    address = ipaddress.ip_address(place.address)
    if (
        address.is_multicast
        or address.is_unspecified
        or place.address in ("255.255.255.255",)
        or place.address.startswith("0.")
    ):
        raise Unresolved(f"{place.address} is not the address of one machine.")
    return place


def _of_family(places: tuple[Place, ...], name: str, family: str) -> tuple[Place, ...]:
    wanted = {"4": socket.AF_INET, "6": socket.AF_INET6}.get(family)
    fitting = tuple(place for place in places if wanted is None or place.family == wanted)
    if not fitting:
        raise Unresolved(
            f"'{clean(name)}' has no IPv{family} address." if wanted else f"'{clean(name)}' has no address."
        )
    return fitting


def _key(name: str) -> str:
    key = name.strip().rstrip(".").lower()
    if not key or len(key) > 253 or any(c.isspace() or not c.isprintable() for c in key):
        raise Unresolved(f"'{clean(name, 64)}' is neither a name nor an address.")
    return key


def _interface(zone: str) -> int:
    if zone.isdigit():
        return int(zone)
    try:
        return socket.if_nametoindex(zone)
    except (OSError, UnicodeError):
        raise Unresolved(f"There is no network interface '{clean(zone, 32)}' here.") from None


def _why(error: OSError | UnicodeError) -> str:
    if isinstance(error, UnicodeError):
        return "it is not a valid name"
    if isinstance(error, socket.gaierror):
        known = {
            socket.EAI_NONAME: "no such name is known",
            socket.EAI_AGAIN: "the resolver could not be reached or failed",
            socket.EAI_FAIL: "the resolver failed",
        }
        return known.get(error.errno or 0, clean(error.strerror or "the resolver failed", 80))
    return clean(error.strerror or str(error), 80)
