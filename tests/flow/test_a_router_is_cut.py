"""Twenty real machines behind a real cable that is cut: one message, one recovery, all listed; killing the poller adds none."""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import time
from collections.abc import Iterator

import pytest

from tests.installation import Installation, installed, until
from tests.namespaces import Namespace

BEHIND = 20
ADD = """
with r as (insert into host (name, address, interval_s) values ('router', '10.77.0.2', 1) returning id),
m as (insert into host (name, address, interval_s)
      select 'm' || n, '10.77.0.' || (100 + n), 1 from generate_series(1, 20) n returning id),
o as (insert into host (name, address, interval_s) values ('beside', '10.78.0.2', 1) returning id),
p as (insert into host_parent (host_id, parent_id) select m.id, r.id from m, r)
insert into host_check (host_id, kind, name)
select id, 'icmp', 'ping' from (select id from r union all select id from m union all select id from o) x
returning host_id
"""
STATES = (
    "select t.state, count(*)::int from track t join host h on h.id = t.host_id and t.subject = 'host:' || h.id"
    " where h.name = 'router' or h.name ~ '^m[0-9]' group by 1 order by 1"
)
NOTICES = "select n.kind, h.name from notice n left join host h on n.subject = 'host:' || h.id order by n.id"
LISTED = (
    "select count(distinct m.host_id)::int from incident_member m join incident i on i.id = m.incident_id"
    " join host h on i.subject = 'host:' || h.id where h.name = 'router' and m.until is null"
)
UP = [("up", BEHIND + 1)]
CUT = [("down", 1), ("unreachable", BEHIND)]


@pytest.fixture
def site() -> Iterator[tuple[Installation, Namespace, str]]:
    """Pantau in one namespace; a router and what is behind it in another, a machine beside them in a third."""
    here, there, beside = Namespace(), Namespace(), Namespace()
    try:
        here.join(there, "10.77.0.1/24", "10.77.0.2/24")
        here.join(beside, "10.78.0.1/24", "10.78.0.2/24")
        cable = re.findall(r"(pb\d+)@", there.do("ip", "-o", "link"))[0]
        for number in range(1, BEHIND + 1):
            there.do("ip", "address", "add", f"10.77.0.{100 + number}/24", "dev", cable)
        with installed(namespace=here.name) as up:
            until(lambda: up.query(ADD))
            until(lambda: up.query(STATES) == UP)
            yield up, there, cable
    finally:
        for one in (here, there, beside):
            one.close()


def cut_and_mended(up: Installation, there: Namespace, cable: str) -> None:
    there.do("ip", "link", "set", cable, "down")
    until(lambda: up.query(STATES) == CUT, 60)
    until(lambda: up.query(LISTED) == [(BEHIND,)])
    there.do("ip", "link", "set", cable, "up")
    until(lambda: up.query(STATES) == UP, 60)
    until(lambda: up.query("select 1 from notice where kind = 'recovery'"))


@pytest.mark.root
def test_a_cut_router_is_one_problem_and_one_recovery_with_all_behind_it_listed(
    site: tuple[Installation, Namespace, str],
) -> None:
    up, there, cable = site
    cut_and_mended(up, there, cable)
    time.sleep(3)
    assert up.query(NOTICES) == [("problem", "router"), ("recovery", "router")], up.query(
        "select kind, subject, state, at from notice order by id"
    )
    assert up.query("select count(*), count(until) from incident_member") == [(BEHIND, BEHIND)]
    assert up.query("select h.name from change c join host h on h.id = c.host_id where c.to_state = 'down'") == [
        ("router",)
    ]


@pytest.mark.root
@pytest.mark.timeout(300)
def test_killing_the_poller_again_and_again_neither_loses_nor_repeats_a_word(
    site: tuple[Installation, Namespace, str],
) -> None:
    up, there, cable = site
    dice, end = random.Random(3), time.monotonic() + 25
    there.do("ip", "link", "set", cable, "down")
    kills = 0
    while time.monotonic() < end:
        time.sleep(dice.uniform(1, 6))
        if poller := up.children().get("poller"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(poller, signal.SIGKILL)
                kills += 1
    assert kills >= 3
    until(lambda: up.query(STATES) == CUT, 60)
    until(lambda: up.query(LISTED) == [(BEHIND,)])
    there.do("ip", "link", "set", cable, "up")
    until(lambda: up.query(STATES) == UP, 60)
    until(lambda: up.query("select 1 from notice where kind = 'recovery'"))
    time.sleep(3)
    told = [row for row in up.query(NOTICES) if row[0] not in ("poller_silent", "poller_back")]
    assert told == [("problem", "router"), ("recovery", "router")]
    doubled = "select count(*) from (select check_id, ts from raw group by 1, 2 having count(*) > 1) x"
    assert up.query(doubled) == [(0,)]
