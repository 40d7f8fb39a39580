"""One look from the command line: no poller, nothing kept, nothing stored."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable
from dataclasses import replace
from typing import Any, cast

from domain.clock import now
from domain.reading import FailureKind, Reading, Secret, Target
from probes.base import Keep, Probe


def look_once(probe: Probe, address: str, options: Any, secret: Secret | None, deadline: float) -> Reading:
    """What one look brings, with `at` and `took`. A fault of our own is a Failure too."""
    target = Target(address, options, secret, deadline)
    at, began, keep = now(), time.monotonic(), Keep()
    try:
        reading = (
            asyncio.run(_on_loop(probe, target, keep))
            if inspect.iscoroutinefunction(probe.look)
            else _here(probe, target, keep)
        )
    except TimeoutError:
        reading = Reading.failed(
            FailureKind.TIMEOUT, f"No complete answer within {deadline:g} s; the look was given up."
        )
    except Exception as error:  # noqa: BLE001 - the border of one look
        reading = Reading.failed(
            FailureKind.BROKEN, f"Pantau's own fault, please report it: {type(error).__name__}: {error}"
        )
    return replace(reading, at=at, took=time.monotonic() - began)


async def _on_loop(probe: Probe, target: Target, keep: Keep) -> Reading:
    try:
        async with asyncio.timeout(target.deadline + 1):
            return await cast(Awaitable[Reading], probe.look(target, keep))
    finally:
        keep.close()


def _here(probe: Probe, target: Target, keep: Keep) -> Reading:
    try:
        return cast(Reading, probe.look(target, keep))
    finally:
        keep.close()
