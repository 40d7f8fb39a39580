"""How many results a CPU second the rules judge: by `fold` and `tell` alone, and by the whole replay engine."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator

from domain.health import Outcome, Policy, Result, Track, fold
from domain.replay import replay
from domain.routing import tell

RESULTS = 100_000
HOSTS = 100


def words() -> Iterator[tuple[int, str, Outcome]]:
    """One result a minute for each host: mostly ok, sometimes failing for a while."""
    dice, broken = random.Random(7), dict.fromkeys(range(HOSTS), 0)
    for number in range(RESULTS):
        host = number % HOSTS
        broken[host] = max(0, broken[host] - 1) or (dice.randrange(2, 9) if dice.random() < 0.02 else 0)
        outcome: Outcome = "fail" if broken[host] else "unknown" if dice.random() < 0.01 else "ok"
        yield number // HOSTS * 60, f"h{host}", outcome


def folded() -> int:
    tracks = {f"h{host}": Track() for host in range(HOSTS)}
    changes = 0
    for t, host, outcome in words():
        track, change = fold(tracks[host], Result(t, outcome, t, f"{host}-{t}"), Policy())
        tracks[host], _ = tell(track, t)
        changes += change is not None
    return changes


def replayed() -> int:
    header = json.dumps({"hosts": {f"h{host}": [] for host in range(HOSTS)}})
    lines = (json.dumps([t, host, "result", outcome, {"rid": f"{host}-{t}"}]) for t, host, outcome in words())
    return sum(1 for _ in replay(iter([header, *lines])))


def main() -> None:
    for name, run in (("fold and tell", folded), ("the whole replay", replayed)):
        begin = time.process_time()
        count = run()
        took = time.process_time() - begin
        print(
            f"{name}: {RESULTS} results in {took:.2f} CPU s, {RESULTS / took:,.0f} a second ({count} lines or changes)"
        )


if __name__ == "__main__":
    main()
