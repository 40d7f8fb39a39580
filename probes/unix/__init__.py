"""What a Unix machine says of itself: one constant script, and the reading of its answer.

Shared by the ways of getting the script to run there (`probes.ssh`, `probes.local`).
"""

from probes.unix.measures import PRODUCES, facts, measures
from probes.unix.script import DEFINE, call
from probes.unix.snapshot import Snapshot, read

__all__ = ["DEFINE", "PRODUCES", "Snapshot", "call", "facts", "measures", "read"]
