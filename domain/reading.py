"""The only words a probe speaks: what it is pointed at and what it saw. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

Kind = Literal["gauge", "counter"]


class FailureKind(StrEnum):
    """Why a look brought nothing. The kind decides, once, what the failure means for the machine's state."""

    UNREACHABLE = "unreachable"  # nothing there: feeds up/down
    TIMEOUT = "timeout"  # no answer within the deadline: feeds up/down
    REFUSED = "refused"  # a live machine said no: the check fails, the machine is up (R4)
    DENIED = "denied"  # credentials or rights: we could not ask (R8)
    UNTRUSTED = "untrusted"  # changed host key or bad certificate: we would not ask (R8)
    UNSUPPORTED = "unsupported"  # the machine cannot answer this, or its name does not resolve (R8)
    BROKEN = "broken"  # our own fault, and shown as ours (R8, R28)


@dataclass(frozen=True, slots=True)
class Failure:
    """`detail` is one sentence for a person: what failed and, where known, what to do now."""

    kind: FailureKind
    detail: str


@dataclass(frozen=True, slots=True)
class Measure:
    """One number. `name` and `unit` follow OpenTelemetry and UCUM; `of` names the part (core, mount, device)."""

    name: str
    value: float
    unit: str = "1"
    of: str = ""
    kind: Kind = "gauge"


@dataclass(frozen=True, slots=True)
class Fact:
    """One text: model, version, boot id, offered host key. `of` as in `Measure`."""

    name: str
    value: str
    of: str = ""


@dataclass(frozen=True, slots=True)
class Cost:
    """What this look took from the line: bytes as seen by us."""

    sent: int = 0
    received: int = 0


@dataclass(frozen=True, slots=True)
class Secret:
    """An unsealed credential. Never printed: its text form says only that there is one."""

    username: str = ""
    password: str = field(default="", repr=False)
    private_key: str = field(default="", repr=False)
    passphrase: str = field(default="", repr=False)
    certificate: str = field(default="", repr=False)

    def __str__(self) -> str:
        return "Secret(***)"

    __repr__ = __str__


@dataclass(frozen=True, slots=True)
class Target:
    """One thing to look at.

    `address` is the name or IP address as a person typed it; `options` is an instance of the probe's
    own Options dataclass; `deadline` is how many seconds the look may take in all, counted from its start.
    """

    address: str
    options: Any
    secret: Secret | None = None
    deadline: float = 10.0


@dataclass(frozen=True, slots=True)
class Reading:
    """What one look brought. `at` (UTC) and `took` (seconds) are set by the caller, never by the probe."""

    measures: tuple[Measure, ...] = ()
    facts: tuple[Fact, ...] = ()
    failure: Failure | None = None
    cost: Cost = Cost()
    at: datetime | None = None
    took: float = 0.0

    @classmethod
    def failed(cls, kind: FailureKind, detail: str, cost: Cost = Cost()) -> Reading:
        """A look that brought nothing but its reason."""
        return cls(failure=Failure(kind, detail), cost=cost)
