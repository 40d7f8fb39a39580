"""The script's answer as sections of lines, whatever a machine sent in their place."""

from __future__ import annotations

from dataclasses import dataclass, field

from probes.limits import clean, number

LINES = 20_000
"""The most lines of one answer that are read."""
COUNTER = 2.0**64
"""No counter, size or time of a machine is larger."""

Sections = dict[str, list[str]]


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
        elif current:
            home[current].append(line)
    return Snapshot(now, before)


def whole(text: str) -> float | None:
    """A count or size as machines print it, or None for anything else."""
    return number(text, 0, COUNTER)
