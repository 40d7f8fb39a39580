"""The script's answer as sections of lines, whatever a machine sent in their place."""

from __future__ import annotations

from dataclasses import dataclass, field

from probes.limits import clean, number
from probes.unix.script import FILES

LINES = 20_000
"""The most lines of one answer that are read."""
FILED = "files"
COUNTER = 2.0**64
"""No counter, size or time of a machine is larger."""

Sections = dict[str, list[str]]
CARRIED = ("df", "inodes", "states", "users", "failed", "restart")
"""Sections that are not asked for at every look; between their turns the last ones stand."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One answer: its sections by name, and those of the moment before where the counters were taken twice."""

    now: Sections = field(default_factory=dict)
    before: Sections = field(default_factory=dict)

    def lines(self, name: str) -> list[str]:
        """The lines of a section; none where the machine has no such thing."""
        return self.now.get(name, [])

    def first(self, name: str) -> str:
        """The first line of a section, cleaned; "" where there is none."""
        return next((clean(line) for line in self.lines(name) if line.strip()), "")

    def after(self, old: Snapshot | None) -> Snapshot:
        """This answer, with what it was not asked for taken from the one before, within the same run of the machine."""
        if old is None or old.boot != self.boot:
            return self
        kept = {name: old.now[name] for name in CARRIED if name in old.now and name not in self.now}
        return Snapshot({**self.now, **kept}, self.before)

    @property
    def boot(self) -> str:
        """What tells this run of the machine from the next; "" where it does not say."""
        return self.first("boot")


def read(text: str, nonce: str) -> Snapshot | None:
    """The snapshot framed by this nonce; None where the frame is not whole."""
    begin, end = f"@@begin {nonce}", f"@@end {nonce}"
    lines = text.splitlines()[: LINES + 2]
    if begin not in lines or end not in lines:
        return None
    now: Sections = {}
    before: Sections = {}
    current, home = "", now
    for line in lines[lines.index(begin) + 1 : lines.index(end)]:
        if line == "@@before":
            home = before
        elif line == "@@now":
            home = now
        elif line.startswith("@@"):
            current = line[2:]
            home.setdefault(current, [])
        elif current == FILED:
            _file(line, home)
        elif current:
            home[current].append(line)
    return Snapshot(now, before)


def _file(line: str, home: Sections) -> None:
    """A line of one of several files, to its section."""
    path, colon, text = line.partition(":")
    if colon and path in FILES:
        home.setdefault(FILES[path], []).append(text)


def whole(text: str) -> float | None:
    """A count or size as machines print it, or None for anything else."""
    return number(text, 0, COUNTER)
