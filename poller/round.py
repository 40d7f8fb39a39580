"""One machine, one tick: reachability first, the rest only where the machine answers."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass

from config.vault import VaultError
from domain.health import Outcome, combine, reach_outcome_of
from domain.reading import Failure, FailureKind, Reading, Target
from poller.lanes import Lanes, Seen
from poller.plan import CheckPlan, HostPlan


@dataclass(frozen=True, slots=True)
class CheckSeen:
    """One check's look within a round."""

    check: CheckPlan
    seen: Seen


@dataclass(frozen=True, slots=True)
class Round:
    """What one round brought. `outcome` is the host's (R23), None where no reachability check was due in it.

    `late` is how many seconds after its due moment the round's first look began: our lateness, not the machine's.
    """

    host: HostPlan
    looks: tuple[CheckSeen, ...]
    outcome: Outcome | None
    late: float

    @property
    def start(self) -> float:
        """When its first look began; no moment at all where it has none."""
        return min((look.seen.start for look in self.looks), default=math.inf)


async def look_round(lanes: Lanes, host: HostPlan, checks: tuple[CheckPlan, ...], due: float, *, down: bool) -> Round:
    """Look at `checks` of `host`. `due` is steady seconds; `down` seats blocking looks in the small lane."""
    first = tuple(check for check in checks if check.reachability)
    looks = await _look_all(lanes, host, first, down)
    outcome = combine([reach_outcome_of(_kind(look)) for look in looks]) if first else None
    if outcome != "fail" and not (down and outcome is None):
        looks += await _look_all(lanes, host, tuple(c for c in checks if not c.reachability), down)
    late = max(0.0, min((look.seen.start for look in looks), default=due) - due)
    return Round(host, looks, outcome, late)


async def look_one(lanes: Lanes, host: HostPlan, check: CheckPlan, *, down: bool = False) -> CheckSeen:
    """One check's look; a check that cannot be made answers with its fault, unasked."""
    if check.fault or check.probe is None:
        seen = lanes.nothing(Reading(failure=Failure(FailureKind.UNSUPPORTED, check.fault)))
        return CheckSeen(check, seen)
    secret = check.secret
    if check.fetch is not None:
        try:
            secret = await asyncio.to_thread(check.fetch)
        except VaultError as error:
            said = f"This check cannot be looked at: {error}"
            return CheckSeen(check, lanes.nothing(Reading(failure=Failure(FailureKind.UNSUPPORTED, said))))
    target = Target(host.address, check.options, secret, check.deadline)
    return CheckSeen(check, await lanes.look(check.probe, target, down=down))


async def _look_all(lanes: Lanes, host: HostPlan, checks: tuple[CheckPlan, ...], down: bool) -> tuple[CheckSeen, ...]:
    return tuple(await asyncio.gather(*(look_one(lanes, host, check, down=down) for check in checks)))


def _kind(look: CheckSeen) -> FailureKind | None:
    return look.seen.reading.failure.kind if look.seen.reading.failure else None
