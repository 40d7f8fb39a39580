"""What one look at each database and service costs us, against real servers on loopback: `python bench/services.py`."""

from __future__ import annotations

import asyncio
import inspect
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "probes"), str(ROOT)]

import mariadbserver  # noqa: E402
import postgresserver  # noqa: E402
import redisserver  # noqa: E402
import webserver  # noqa: E402

from domain.reading import Secret, Target  # noqa: E402
from probes import catalogue  # noqa: E402
from probes.base import Keep, fill  # noqa: E402

TURNS = 200


def main() -> None:
    """Our CPU and the time of a look, in milliseconds, and the bytes it took."""
    with ExitStack() as stack:
        ports = {
            "postgres": stack.enter_context(postgresserver.server()).port,
            "mysql": stack.enter_context(mariadbserver.server()).port,
            "redis": stack.enter_context(redisserver.server()).port,
            "webstatus": stack.enter_context(webserver.nginx()),
        }
        print(f"{'check':<12}{'our CPU, ms':>12}{'took, ms':>10}{'sent':>8}{'received':>10}")
        for kind, port in ports.items():
            _measure(kind, port)


def _measure(kind: str, port: int) -> None:
    probe, keep = catalogue()[kind], Keep()
    secret = Secret("watcher", "right") if probe.kind in ("postgres", "mysql") else None
    target = Target("127.0.0.1", fill(probe.options, {"port": port}), secret, 10.0)
    _look(probe, target, keep)
    cpu, start = time.process_time(), time.perf_counter()
    for _ in range(TURNS):
        reading = _look(probe, target, keep)
        assert reading.failure is None, reading.failure
    cpu, took = time.process_time() - cpu, time.perf_counter() - start
    each, cost = 1000 / TURNS, reading.cost
    print(f"{kind:<12}{cpu * each:>12.2f}{took * each:>10.2f}{cost.sent:>8}{cost.received:>10}")
    keep.close()


def _look(probe: Any, target: Target, keep: Keep) -> Any:
    if inspect.iscoroutinefunction(probe.look):
        return asyncio.run(probe.look(target, keep))
    return probe.look(target, keep)


if __name__ == "__main__":
    main()
