"""What a way to people looks like to the house: a message in, the provider's word on it out.

A channel is a stranger to the house: it knows these values and one library. It keeps nothing of its own but what is in
the Keep it is handed, and it never decides whether, when or how often something is told.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from probes.base import Keep

Severity = Literal["critical", "warning", "good", "info"]
ActionKind = Literal["acknowledge", "open", "mute"]


@dataclass(frozen=True, slots=True)
class Fact:
    """One line of a message: `label` and `value` in the reader's language; `url` where the value leads somewhere."""

    label: str
    value: str
    url: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a machine stands. `latitude` and `longitude` in degrees (WGS 84), both or neither."""

    name: str
    address: str = ""
    latitude: float | None = None
    longitude: float | None = None

    @property
    def map_url(self) -> str:
        """Leads to the place on a map; empty without coordinates."""
        if self.latitude is None or self.longitude is None:
            return ""
        return f"https://www.openstreetmap.org/?mlat={self.latitude:.6f}&mlon={self.longitude:.6f}#map=17/{self.latitude:.6f}/{self.longitude:.6f}"


@dataclass(frozen=True, slots=True)
class Action:
    """Something the reader may do from where they read. `label` is in their language.

    `acknowledge` and `mute` are answered by `data` (a short text, at most 40 bytes of ASCII); `open` leads to `url`.
    """

    kind: ActionKind
    label: str
    data: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """What one person is told on one channel, worded in their language; all texts are plain, never markup.

    `key` names this delivery: the same at every attempt, so that a receiver can know a repetition. `thread` names the
    conversation (one incident), safe in URLs, at most 32 characters; empty where there is none. `replaces` is what
    `Sent.ref` said of the last message of this thread to this reader, or empty. `title` is one line; `text` is the same
    news as a few sentences; `facts` are its particulars in the order of their weight. `ttl` (s) is how long it is worth
    delivering. `discreet`: the reader wants no names on a locked screen.
    """

    key: str
    kind: str
    severity: Severity
    title: str
    text: str
    at: datetime
    language: str = "en"
    thread: str = ""
    replaces: str = ""
    facts: tuple[Fact, ...] = ()
    url: str = ""
    place: Place | None = None
    actions: tuple[Action, ...] = ()
    ttl: float = 3600.0
    discreet: bool = False


@dataclass(frozen=True, slots=True)
class Sent:
    """The provider took it. `ref` is what a later message of the same thread needs (a message id), at most 200 bytes.

    `note` is a sentence for the log and for an admin where something should be mended though this went well (a group
    that moved), else empty.
    """

    ref: str = ""
    note: str = ""


class Undelivered(Exception):
    """It was not taken; the message is a sentence for the log, without secrets.

    `kind`: `later` = worth another try, not before `retry_after` seconds if given; `never` = this message will not be
    taken however often it is tried; `gone` = this address does not exist any more and nothing more is to be sent there;
    `setup` = the channel itself is not set up rightly (login refused), an admin must mend it; it is tried again later.
    `unsure`: nobody said no; the far side may have taken it before the line was cut or the time was over.
    """

    def __init__(
        self,
        sentence: str,
        kind: Literal["later", "never", "gone", "setup"] = "later",
        retry_after: float | None = None,
        unsure: bool = False,
    ) -> None:
        super().__init__(sentence)
        self.kind, self.retry_after, self.unsure = kind, retry_after, unsure


@dataclass(slots=True)
class Hop:
    """One step of a delivery: what was done, how it went, and the seconds it took."""

    name: str
    ok: bool = True
    detail: str = ""
    took: float = 0.0


@dataclass
class Hops:
    """The steps of one delivery as they happen; `told` is called after each (the page of a test follows them)."""

    told: Callable[[Hop], None] = lambda _hop: None
    taken: list[Hop] = field(default_factory=list)

    @contextmanager
    def step(self, name: str, detail: str = "") -> Iterator[Hop]:
        """One step; it failed when it raises, and the sentence of what it raises is its detail."""
        hop, begun = Hop(name, detail=detail), time.monotonic()
        try:
            yield hop
        except Exception as error:
            hop.ok, hop.detail = False, str(error)
            raise
        finally:
            hop.took = time.monotonic() - begun
            self.taken.append(hop)
            self.told(hop)


@dataclass(frozen=True, slots=True)
class Sending:
    """Everything one delivery needs.

    `sender` is an instance of the channel's Options, `secret` its secret fields by name, `address` an instance of its
    Address. `deadline` (s) is how long it may take altogether. `keep` holds kept connections, safe for several threads.
    """

    message: Message
    sender: Any
    secret: Mapping[str, str]
    address: Any
    deadline: float
    keep: Keep
    hops: Hops


@dataclass(frozen=True, slots=True)
class Channel:
    """One way to people.

    `deliver` blocks (it runs on a worker thread), keeps to the deadline, and raises Undelivered; anything else it raises
    is our own bug. `options` describe the sender (once an installation), `address` one receiver; both are frozen
    dataclasses of domain.options fields. `secrets` are the names and labels of the sender's secret values. `persons` says
    that a person can have an address here, else only a group of people or a machine does. `linked` says that addresses
    are not typed but made by the far side (a push subscription, a chat that was linked by a code).
    `shown` is there where addresses are secrets, as whoever has one may send there: of an address, what may stand beside
    its sealed box for everybody to read. `seats` is how many deliveries may be under way at once.
    """

    kind: str
    label: str
    deliver: Callable[[Sending], Sent]
    options: type
    address: type
    secrets: Mapping[str, str] = field(default_factory=dict)
    persons: bool = True
    linked: bool = False
    shown: Callable[[Any], Mapping[str, str]] | None = None
    seats: int = 4

    @property
    def private(self) -> bool:
        """Whether addresses are secrets."""
        return self.shown is not None
