"""When a real outage that begins during flapping is told, by our rules and by the published ones, at a look a minute.

Minutes are counted from the first look of the outage to the word about it, over every phase of every pattern; only
where the one in question is holding messages back when the outage begins (the others tell at the third failure).
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.rules.flappers import Icinga, Judge, Nagios, recognised_at, recognised_by_us, told_by, told_by_us

PEERS: dict[str, Callable[[], Judge]] = {
    "Nagios 25/50": lambda: Nagios(25, 50),
    "Nagios 5/20": lambda: Nagios(5, 20),
    "Icinga 2": Icinga,
}
LONG = "f" * 40


def phases(ok: int, fail: int) -> Iterator[str]:
    """What was seen before an outage that begins at any place of the pattern."""
    for length in range(60, 60 + ok + fail):
        yield ("o" * 5 + ("o" * ok + "f" * fail) * 60)[:length]


def chance(share: float, seed: int = 1, times: int = 200) -> Iterator[str]:
    """Each look fails with this chance, never thrice in a row (that would be down)."""
    dice = random.Random(seed)
    for _ in range(times):
        seen = "o" * 10
        while len(seen) < 60:
            seen += "f" if dice.random() < share and not seen.endswith("ff") else "o"
        yield seen


def line(name: str, befores: list[str]) -> str:
    cells = [spread([told_by_us(before + LONG, len(before)) for before in befores])]
    cells += [spread([told_by(peer(), before + LONG, len(before)) for before in befores]) for peer in PEERS.values()]
    return f"| {name} | {' | '.join(cells)} |"


def spread(found: list[int | None]) -> str:
    """Least, median and most minutes, and of how many."""
    held = sorted(one for one in found if one is not None)
    if not held:
        return "not seen as flapping"
    share = "" if len(held) == len(found) else f" ({100 * len(held) // len(found)} % seen)"
    return f"{held[0]} - {held[len(held) // 2]} - {held[-1]}{share}"


def main() -> None:
    print(f"| flapping before the outage | ours | {' | '.join(PEERS)} |\n|---|---|---|---|---|")
    for ok, fail in ((1, 1), (2, 1), (1, 2), (2, 2), (3, 1), (3, 2), (4, 2), (5, 2), (3, 3), (5, 5)):
        print(line(f"{ok} min up, {fail} down", list(phases(ok, fail))))
    for share in (0.2, 0.4, 0.6):
        print(line(f"{share:.0%} of looks fail, no three in a row", list(chance(share))))
    five = "ooooofffff" * 30
    said = {"ours": recognised_by_us(five)} | {name: recognised_at(peer(), five) for name, peer in PEERS.items()}
    print(f"\nfive up, five down is recognised at minute: {said}")


if __name__ == "__main__":
    main()
