"""A real machine behind a real cable: cut it, and see what is said and when."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from tests.installation import Installation, installed, until
from tests.namespaces import Namespace

ADD = """
with made as (insert into host (name, address, interval_s) values ('branch', '10.77.0.2', 1) returning id)
insert into host_check (host_id, kind, name) select id, 'icmp', 'ping' from made returning host_id
"""


@pytest.fixture(scope="module")
def line() -> Iterator[tuple[Installation, Namespace, int]]:
    """Pantau in one namespace, a machine in another, a cable between them, a look each second."""
    here, there = Namespace(), Namespace()
    try:
        here.join(there, "10.77.0.1/24", "10.77.0.2/24")
        with installed(namespace=here.name) as up:
            ((host,),) = up.query(ADD)
            until(lambda: up.query("select 1 from track where subject = %s and state = 'up'", [f"host:{host}"]))
            yield up, there, host
    finally:
        here.close()
        there.close()


def test_a_cut_cable_is_down_at_the_third_miss_since_the_first_and_mended_with_the_right_length(
    line: tuple[Installation, Namespace, int],
) -> None:
    up, there, host = line
    cable = re.findall(r"(pb\d+)@", there.do("ip", "-o", "link"))[0]
    last = until(lambda: up.query("select max(ts) from raw where state = 0"))[0][0]
    there.do("ip", "link", "set", cable, "down")
    cut = time.time()
    down = until(lambda: up.query(
        "select since, at, reason from change where subject = %s and to_state = 'down'", [f"host:{host}"]
    ))[0]  # fmt: skip
    misses = [ts for (ts,) in up.query(
        "select r.ts from raw r join host_check c on c.id = r.check_id where c.host_id = %s and r.state = 1 order by r.ts",
        [host],
    )]  # fmt: skip
    assert down[0] == misses[0], "since is the start of the first miss"
    assert misses[2] <= down[1] <= misses[2] + timedelta(seconds=2), "decided by the third miss"
    assert last < down[0]
    assert down[1].timestamp() - cut < 6
    assert down[2], "the reason is a sentence"
    time.sleep(3)
    there.do("ip", "link", "set", cable, "up")
    since, until_ = until(lambda: up.query(
        "select since, until from state_interval where subject = %s and state = 'down' and until is not null",
        [f"host:{host}"],
    ))[0]  # fmt: skip
    first_answer = _first_answer(up, host, since)
    assert until_ == first_answer, "the outage ends with the first answer"
    closed = up.query("select since, closed_at from incident where subject = %s", [f"host:{host}"])
    assert closed == [(since, until_)]
    assert len(up.query("select 1 from change where subject = %s", [f"host:{host}"])) == 3


def _first_answer(up: Installation, host: int, after: datetime) -> datetime:
    rows = up.query(
        "select min(r.ts) from raw r join host_check c on c.id = r.check_id"
        " where c.host_id = %s and r.state = 0 and r.ts > %s",
        [host, after],
    )
    found: datetime = rows[0][0]
    return found
