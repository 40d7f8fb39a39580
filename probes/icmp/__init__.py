"""ICMP echo ("ping"): is the machine there, how far away, and how much is lost on the way.

Five echoes, and five more before a look counts as failed: on a line that loses 30 % each way that is one
false failure in 800 looks, and state rule R3 wants three in a row.
"""

from __future__ import annotations

import errno
import socket
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from domain.options import option
from domain.reading import Cost, FailureKind, Measure, Reading, Target
from probes import names
from probes.base import Keep, Probe, Produces
from probes.icmp.engine import SILENT, Engine, Round, errors_of
from probes.icmp.packet import HEADER_BYTES, LEAST_SIZE, MOST_SIZE, V4, V6, NotPermitted, permission, trouble
from probes.limits import Deadline, clean

__all__ = ["PROBE", "Engine", "Options", "look", "permission"]

MARGIN = 0.9
"""The share of the deadline the echoes may use; the rest is for coming back."""


@dataclass(frozen=True, slots=True)
class Options:
    count: int = option("Echoes", default=5, low=1, high=20, help="Sent per look; as many again if none comes back.")
    gap: float = option("Seconds between echoes", default=0.2, low=0.01, high=5)
    wait: float = option("Seconds to wait for the last", default=1.0, low=0.05, high=10)
    size: int = option("Bytes of data in an echo", default=56, low=LEAST_SIZE, high=MOST_SIZE)
    family: str = option("IP version", default="any", choices=("any", "4", "6"))


async def look(target: Target, keep: Keep) -> Reading:
    """Ping the target's first address of the wanted family."""
    deadline = Deadline(target.deadline)
    options: Options = target.options
    try:
        place = (await names.of(keep).find_soon(target.address, deadline.remaining(), options.family))[0]
    except names.Unresolved as unresolved:
        return unresolved.reading()
    engine = keep.get(("icmp",), Engine)
    gap, wait = fit(options, deadline.remaining())
    try:
        round = await engine.series(place, options.count, gap, wait, options.size, more=options.count)
    except NotPermitted as missing:
        return Reading.failed(FailureKind.BROKEN, str(missing))
    except OSError as error:
        return Reading.failed(FailureKind.BROKEN, f"Pings cannot be sent from here: {trouble(error.errno or 0)}.")
    return judge(round, place)


def fit(options: Options, seconds: float) -> tuple[float, float]:
    """The gap and the wait, shortened alike where two parts of a series would not end within `seconds`."""
    needed = 2 * ((options.count - 1) * options.gap + options.wait)
    share = min(1.0, MARGIN * seconds / needed)
    return options.gap * share, options.wait * share


def judge(round: Round, place: names.Place) -> Reading:
    """What a finished series says."""
    sent = sum(1 for moment in round.sent if moment)
    times = [rtt for rtt in round.rtt if rtt != SILENT]
    dialect = V4 if place.family == socket.AF_INET else V6
    each = dialect.header_bytes + HEADER_BYTES + LEAST_SIZE + len(round.padding)
    cost = Cost(sent=sent * each, received=len(times) * each)
    loss = Measure("icmp.loss", 1 - len(times) / sent if sent else 1.0)
    if not times:
        kind, detail = _blame(round, place, sent)
        reading = Reading.failed(kind, detail, cost)
        return Reading(measures=(loss,), failure=reading.failure, cost=cost)
    return Reading(measures=(*_times(times), loss), cost=cost)


def _times(times: Sequence[float]) -> tuple[Measure, ...]:
    ordered = sorted(times)
    measures = [
        Measure("icmp.rtt.min", ordered[0], "s"),
        Measure("icmp.rtt.median", statistics.median(ordered), "s"),
        Measure("icmp.rtt.p95", quantile(ordered, 0.95), "s"),
        Measure("icmp.rtt.max", ordered[-1], "s"),
    ]
    if len(times) > 1:
        steps = [abs(b - a) for a, b in pairwise(times)]
        measures.append(Measure("icmp.rtt.jitter", statistics.fmean(steps), "s"))
    return tuple(measures)


def quantile(ordered: Sequence[float], share: float) -> float:
    """The quantile of sorted values, interpolated between neighbours (Hyndman and Fan, type 7)."""
    at = share * (len(ordered) - 1)
    low = int(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (at - low)


_OURS = (errno.EPERM, errno.EACCES, errno.EINVAL, errno.EADDRNOTAVAIL)


def _blame(round: Round, place: names.Place, sent: int) -> tuple[FailureKind, str]:
    """Why nothing came back: what the network said, or that it said nothing."""
    for code, by in errors_of(round):
        if not by and code in _OURS:
            return (
                FailureKind.BROKEN,
                f"A ping to {place.address} cannot leave this machine: {trouble(code)}.",
            )
        said = f"{clean(by)} says" if by else "this machine says"
        return FailureKind.UNREACHABLE, f"{place.address} cannot be reached: {said} {trouble(code)}."
    return FailureKind.TIMEOUT, f"{place.address} answered none of {sent} pings."


PROBE = Probe(
    kind="icmp",
    transport="icmp",
    label="Ping (ICMP)",
    look=look,
    options=Options,
    produces=(
        Produces("icmp.rtt.min", "s", "Shortest round trip"),
        Produces("icmp.rtt.median", "s", "Median round trip"),
        Produces("icmp.rtt.p95", "s", "95th percentile of the round trip"),
        Produces("icmp.rtt.max", "s", "Longest round trip"),
        Produces("icmp.rtt.jitter", "s", "Jitter"),
        Produces("icmp.loss", "1", "Lost pings"),
    ),
)
