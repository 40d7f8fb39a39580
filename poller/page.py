"""What one transaction of the recorder writes, as plain values: it waits in memory or in the spool unchanged."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from typing import Any

Row = list[Any]
LATER = {"uses", "costs", "causes", "notices", "standing"}
"""What pages of earlier versions do not have."""


@dataclass
class Page:
    """Rows for one transaction. Moments are microseconds since the epoch, UTC.

    * `sets`: [names, parts, units]; `raw` and `latest` name a set by its index here (-1: none)
    * `raw`: [check, ts, set, state, values]
    * `latest`: [check, host, ts, took, late, outcome, set, values, failure kind, failure detail, sent, received]
    * `tracks`: subject -> [host, check, state, since, failing, data]
    * `changes`: [subject, host, check, at, since, from, to, reason, failure kind]
    * `facts`: [check, host, name, part, value, since]
    * `failures`: [check, since, kind, detail]
    * `keys`: [host, port, key, fingerprint, pinned or offered]
    * `used`: ids of credentials used; `uses`: [credential, host], each now and then
    * `causes`: [host, subject that explains its state or "", at, how many of `changes` came before]
    * `notices`: [subject, host, check, at, kind, state, since, outage, members of a digest]
    * `standing`: what the rules remember beside their subjects, or None where that is as it was
    * `costs`: [check, hour, looks, failed, took, late, cpu, sent, received, told, their cpu, their
      processes], to be added to what is there
    """

    seq: int = 0
    sets: list[Row] = field(default_factory=list)
    raw: list[Row] = field(default_factory=list)
    latest: dict[int, Row] = field(default_factory=dict)
    tracks: dict[str, Row] = field(default_factory=dict)
    changes: list[Row] = field(default_factory=list)
    facts: list[Row] = field(default_factory=list)
    failures: list[Row] = field(default_factory=list)
    keys: list[Row] = field(default_factory=list)
    used: list[int] = field(default_factory=list)
    uses: list[Row] = field(default_factory=list)
    costs: list[Row] = field(default_factory=list)
    causes: list[Row] = field(default_factory=list)
    notices: list[Row] = field(default_factory=list)
    standing: dict[str, Any] | None = None

    @property
    def empty(self) -> bool:
        """Nothing to write."""
        written = self.raw or self.latest or self.tracks or self.changes or self.causes or self.notices
        return not written and self.standing is None

    def dump(self) -> bytes:
        """For the spool."""
        return json.dumps(asdict(self), separators=(",", ":")).encode()

    @classmethod
    def parse(cls, text: bytes) -> Page:
        """A page from the spool, perhaps an earlier version's, which had less on it. Raises ValueError for anything else."""
        value = json.loads(text)
        known = {f.name for f in fields(cls)}
        if not isinstance(value, dict) or not known - LATER <= set(value) <= known:
            raise ValueError("not a page of this version")
        value["latest"] = {int(check): row for check, row in value["latest"].items()}
        return cls(**value)

    def without_samples(self) -> Page:
        """The same page with its single samples given up: what is left when the spool is full."""
        return Page(**{**{f.name: getattr(self, f.name) for f in fields(self)}, "raw": []})

    def set_index(self, names: list[str], parts: list[str], units: list[str]) -> int:
        """The index of a set on this page, added if new."""
        row = [names, parts, units]
        for index, known in enumerate(self.sets):
            if known == row:
                return index
        self.sets.append(row)
        return len(self.sets) - 1
