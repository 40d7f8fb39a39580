"""Messages machines send by syslog: counted by how bad they are, the worst ones kept for the page.

The poller's ears take them in (RFC 3164, RFC 5424; over UDP and TCP) and put them into the inbox; a look
takes out what came since the last one. Who a message is from is its source address, which on a network that
does not check it can be forged: a message is a hint, never a state of its own.
"""

from __future__ import annotations

import re
import threading
import time
from collections import deque
from dataclasses import dataclass, field

from domain.options import option
from domain.reading import Fact, FailureKind, Measure, Reading, Target
from probes import names
from probes.base import Keep, Probe, Produces
from probes.limits import clean

SEVERITIES = ("emergency", "alert", "critical", "error", "warning", "notice", "information", "debug")
"""By their numbers (RFC 5424, table 2)."""
KEPT = 200
"""Lines of one machine kept between two looks."""
MACHINES = 10_000
_PRIORITY = re.compile(rb"<(\d{1,3})>")
_RFC5424 = re.compile(r"1 (\S{1,64}) (\S{1,255}) (\S{1,64}) (\S{1,128}) (\S{1,64}) (-|(?:\[.*?(?<!\\)\])+) ?(.*)", re.S)
_RFC3164 = re.compile(r"[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d (\S{1,255}) (.*)", re.S)


@dataclass(frozen=True, slots=True)
class Line:
    """One message: how bad, and what it says, cleaned."""

    severity: int
    text: str


@dataclass(slots=True)
class _Box:
    counts: list[int] = field(default_factory=lambda: [0] * len(SEVERITIES))
    lines: deque[Line] = field(default_factory=lambda: deque(maxlen=KEPT))
    since: float = field(default_factory=time.monotonic)
    asked: bool = False
    """Whether any check asks for it: where none does, only the counts are kept."""


class Inbox:
    """What has come in, by address; safe for the loop to fill and threads to empty."""

    def __init__(self) -> None:
        self._boxes: dict[str, _Box] = {}
        self._lock = threading.Lock()
        self.listening = False
        """Whether anybody fills it."""

    def add(self, address: str, line: Line) -> None:
        """Keep a message from `address`."""
        with self._lock:
            box = self._boxes.get(address)
            if box is None:
                if len(self._boxes) >= MACHINES:
                    return
                box = self._boxes[address] = _Box()
            box.counts[line.severity] += 1
            if box.asked:
                box.lines.append(line)

    def take(self, addresses: tuple[str, ...]) -> tuple[list[int], list[Line], float]:
        """(messages by severity, lines, seconds) since this was last asked for these addresses."""
        counts, now = [0] * len(SEVERITIES), time.monotonic()
        lines: list[Line] = []
        since = now
        with self._lock:
            for address in addresses:
                box = self._boxes.get(address)
                if box is not None:
                    counts = [a + b for a, b in zip(counts, box.counts, strict=True)]
                    lines += box.lines
                    since = min(since, box.since)
                self._boxes[address] = _Box(asked=True)
        return counts, lines, now - since

    def close(self) -> None:
        """Forget everything."""
        self._boxes.clear()


def inbox(keep: Keep) -> Inbox:
    """The inbox of this process."""
    return keep.get(("syslog",), Inbox)


def parse(data: bytes) -> Line:
    """A message of either form; what has no priority counts as user.notice (RFC 3164, section 4.3.3)."""
    match = _PRIORITY.match(data)
    severity, rest = (int(match[1]) & 7, data[match.end() :]) if match and int(match[1]) <= 191 else (5, data)
    text = rest[:4096].decode("utf-8", "replace").lstrip("\ufeff").rstrip("\0\r\n ")
    if modern := _RFC5424.fullmatch(text):
        program = "" if modern[3] == "-" else f"{modern[3]}: "
        text = program + modern[7].lstrip("\ufeff")
    elif old := _RFC3164.fullmatch(text):
        text = old[2]
    return Line(severity, clean(text))


@dataclass(frozen=True)
class Options:
    """Which messages matter."""

    severity: str = option(
        "Shown from",
        default="error",
        choices=SEVERITIES,
        help="Messages as bad as this, or worse, are counted as bad and shown.",
    )
    words: tuple[str, ...] = option(
        "Words to look for", default=(), help="Texts, one per line; messages with any of them are counted as found."
    )


def look(target: Target, keep: Keep) -> Reading:
    """What came since the last look."""
    box = inbox(keep)
    if not box.listening:
        return Reading.failed(
            FailureKind.UNSUPPORTED,
            "Pantau does not receive syslog here: set PANTAU_SYSLOG to an address and port such as 0.0.0.0:514, and start it anew.",
        )
    options: Options = target.options
    try:
        places = names.of(keep).find(target.address, target.deadline)
    except names.Unresolved as unresolved:
        return unresolved.reading()
    counts, lines, _ = box.take(tuple(place.address for place in places))
    worst = SEVERITIES.index(options.severity)
    found = [line for line in lines if any(word.lower() in line.text.lower() for word in options.words)]
    bad = [line for line in lines if line.severity <= worst]
    measures = [
        Measure("syslog.messages", float(sum(counts))),
        Measure("syslog.messages.bad", float(sum(counts[: worst + 1]))),
    ]
    if options.words:
        measures.append(Measure("syslog.messages.found", float(len(found))))
    facts = []
    if told := (found or bad)[-3:]:
        facts.append(
            Fact("syslog.last", clean(" | ".join(f"{SEVERITIES[one.severity]}: {one.text}" for one in told), 500))
        )
    return Reading(tuple(measures), tuple(facts))


PROBE = Probe(
    kind="syslog",
    label="Syslog messages",
    look=look,
    options=Options,
    produces=(
        Produces("syslog.messages", "1", "Messages since the last look"),
        Produces("syslog.messages.bad", "1", "Bad messages since the last look"),
        Produces("syslog.messages.found", "1", "Messages with the words looked for"),
    ),
    reachability=False,
    transport="none",
)
