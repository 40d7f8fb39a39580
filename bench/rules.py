"""What the rules cost: 100 000 results of 1000 hosts behind one router, by the engine alone and by a whole replay.

    python bench/rules.py

Beside our own engine stand the published flapping formulas alone (`tests/rules/flappers.py`: Nagios, Icinga 2), which
is the part of the work that others document exactly; our figure holds all of R1-R28.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from domain.health import Outcome, Policy, Result, Track, fold
from domain.judgement import Judgement, Spoken, Turned
from domain.reach import Topology
from domain.replay import replay
from domain.routing import tell
from domain.thresholds import Level
from domain.uplink import Suspicion
from tests.rules.flappers import Icinga, Nagios

RESULTS = 100_000
HOSTS = 1000
CUT = range(30, 60)
"""Minutes in which the router is away."""
LEVELS = (
    Level("warning", over=80, clear=70, for_=300, clear_for=300),
    Level("critical", over=95, clear=90, for_=300, clear_for=300),
    Level("warning", under=5, clear=6, for_=300, clear_for=300),
)
"""A usual pair of limits and a band's lower edge."""


def words(hosts: int = HOSTS, cut: range = CUT) -> Iterator[tuple[float, str, Outcome]]:
    """One result a minute for each host: mostly ok, sometimes failing for a while, all failing while the way is cut."""
    dice, broken = random.Random(7), dict.fromkeys(range(hosts), 0)
    for number in range(RESULTS):
        host, minute = number % hosts, number // hosts
        broken[host] = max(0, broken[host] - 1) or (dice.randrange(2, 9) if dice.random() < 0.02 else 0)
        away = minute in cut or (host > 0 and broken[host])
        outcome: Outcome = "fail" if away else "unknown" if dice.random() < 0.01 else "ok"
        yield minute * 60 + host * 60 / hosts, f"h{host}", outcome


def folded() -> Counter[str]:
    """Rules of one host alone: no ways, no crowd."""
    tracks = {f"h{host}": Track() for host in range(HOSTS)}
    said: Counter[str] = Counter()
    for t, host, outcome in words():
        track, change = fold(tracks[host], Result(t, outcome, t, f"{host}-{t}"), Policy())
        tracks[host], notices = tell(track, t)
        said["changes"] += change is not None
        said["notices"] += len(notices)
    return said


def judged(parents: bool = True, numbers: bool = False, ticks: bool = False) -> Counter[str]:
    """The engine as the poller uses it: with a number each look, and a tick every five seconds, where asked."""
    rules = Judgement(Suspicion(("gw",)))
    above = {f"h{host}": ("h0",) if parents and host else () for host in range(HOSTS)}
    rules.arrange(dict.fromkeys(above, Policy()), Topology(above), 0.0)
    said: Counter[str] = Counter()
    for number, (t, host, outcome) in enumerate(words()):
        events = rules.result(host, Result(t, outcome, t, f"{host}-{t}"))
        if numbers and outcome == "ok":
            events += rules.sample(f"cpu {host}", host, t, 50.0 + number % 45, LEVELS, 60.0, t)
        if ticks and number % (HOSTS // 12) == 0:
            events += rules.tick(t)
        rules.touched.clear()
        for event in events:
            said["changes"] += isinstance(event, Turned)
            said["notices"] += isinstance(event, Spoken)
    return said


def storm() -> Counter[str]:
    """Everything answers but for the cut: what a router with a thousand machines behind it makes people hear."""
    rules = Judgement(Suspicion(("gw",)))
    above = {f"h{host}": ("h0",) if host else () for host in range(HOSTS)}
    rules.arrange(dict.fromkeys(above, Policy()), Topology(above), 0.0)
    said: Counter[str] = Counter()
    for number in range(RESULTS):
        minute, host = number // HOSTS, number % HOSTS
        t = minute * 60 + host * 60 / HOSTS
        outcome: Outcome = "fail" if minute in CUT else "ok"
        for event in rules.result(f"h{host}", Result(t, outcome, t, f"{host}-{t}")):
            if isinstance(event, Spoken):
                said[f"{event.notice.kind} of {event.subject}"] += 1
            elif isinstance(event, Turned):
                said[f"-> {event.change.to_state}"] += 1
    return said


def replayed() -> Counter[str]:
    header = json.dumps({"hosts": {f"h{host}": ["h0"] if host else [] for host in range(HOSTS)}})
    lines = (json.dumps([t, host, "result", outcome, {"rid": f"{host}-{t}"}]) for t, host, outcome in words())
    return Counter(lines=sum(1 for _ in replay(iter([header, *lines]))))


def peers(make: Callable[[], Nagios | Icinga]) -> Counter[str]:
    judges = {f"h{host}": make() for host in range(HOSTS)}
    return Counter(flapping=sum(judges[host].flaps(outcome == "ok") for _, host, outcome in words()))


def main() -> None:
    cases: list[tuple[str, Callable[[], Counter[str]]]] = [
        ("fold and tell, each host alone", folded),
        ("the engine, no ways", lambda: judged(parents=False)),
        ("the engine, all behind one router", judged),
        ("the same, and a number each against three limits", lambda: judged(numbers=True)),
        ("the same, and told every five seconds that time passes", lambda: judged(numbers=True, ticks=True)),
        ("a router cut and nothing else", storm),
        ("a whole replay of the same file", replayed),
        ("Nagios' flapping formula alone", lambda: peers(Nagios)),
        ("Icinga 2's flapping formula alone", lambda: peers(Icinga)),
    ]
    begin = time.process_time()
    sum(1 for _ in words())
    own = time.process_time() - begin
    for name, run in cases:
        begin = time.process_time()
        said = run()
        took = time.process_time() - begin - own
        print(f"{name}: {took:.2f} CPU s, {RESULTS / took:,.0f} results a second; {dict(said)}", flush=True)


if __name__ == "__main__":
    main()
