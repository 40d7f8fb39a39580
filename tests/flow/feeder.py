"""A poller's pen in a process of its own, made to be killed: writes the rounds of a tape until it has written all.

    python -m tests.flow.feeder FILE

FILE is JSON: `url`, `spool`, `parents`, `ids`, `checks`, and `tape`, a list of [seconds, name, answered]. A process that
starts goes on behind the last round that is in the database, as a poller that starts looks again.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import psycopg

from tests.flow.conftest import START, FrozenSteady, answered, silent
from tests.flow.estate import TOOK, Estate

AT_ONCE = 4
"""Rounds on one page: many small transactions, so that a kill finds one under way."""


class Known(Estate):
    """An estate whose machines are in the database already."""

    def __init__(self, given: dict[str, Any]) -> None:
        self.url, self.spool, self.parents = given["url"], Path(given["spool"]), given["parents"]
        self.ids, self.checks = given["ids"], given["checks"]
        self.steady, self.limits, self.disabled, self._recorders = FrozenSteady(START), (), set(), []


async def feed(given: dict[str, Any]) -> None:
    net = Known(given)
    net.steady.moment = (
        START + written(net.url) + TOOK
    )  # a clock that stood before the end of a look counts as set back
    recorder = await net.recorder()
    behind = written(net.url)  # the spool may have held more
    waiting = [row for row in given["tape"] if row[0] > behind]
    print("ready", flush=True)
    for place, (seconds, name, well) in enumerate(waiting):
        recorder.add(net.round(seconds / 60, name, answered() if well else silent()))
        if place % AT_ONCE == AT_ONCE - 1:
            await recorder.flush()
    await recorder.flush()
    await net.close()


def written(url: str) -> float:
    """Seconds of the tape that are in the database."""
    with psycopg.connect(url) as connection:
        row = connection.execute("select extract(epoch from max(ts))::float8 from raw").fetchone()
    return -1.0 if row is None or row[0] is None else round(row[0] - START, 3)


if __name__ == "__main__":
    asyncio.run(feed(json.loads(Path(sys.argv[1]).read_text())))
