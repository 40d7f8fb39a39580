"""What is asked of a router because of a machine behind it: enough to know whose fault it is, and no more."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from poller.plan import CheckPlan, HostPlan, Plan
from poller.upward import Upward
from tests.flow.conftest import answered, silent
from tests.flow.estate import Estate


@pytest.fixture
async def net(database_url: str, session: Session, tmp_path: Path) -> AsyncIterator[Estate]:
    made = Estate(database_url, session, tmp_path / "spool", {"router": [], "web": ["router"]})
    yield made
    await made.close()


def with_a_heavy_look(net: Estate) -> Plan:
    """The router answers pings, and tells a great deal about itself when it is asked the long way."""
    plan, router = net.plan(), net.host("router")
    tables = replace(router.checks[0], id=10_000, name="tables", reachability=False)
    return replace(plan, hosts={**plan.hosts, router.id: replace(router, checks=(*router.checks, tables))})


async def failing(net: Estate, minutes: int) -> list[tuple[float, str, list[str]]]:
    """What the poller asks beside the schedule while the web server is silent and its router is well."""
    recorder, plan, asked = await net.recorder(), with_a_heavy_look(net), []
    minute = 0.0

    def look(host: HostPlan, checks: tuple[CheckPlan, ...]) -> None:
        asked.append((minute, host.name, [check.name for check in checks]))

    upward = Upward(net.steady.now, look)
    for step in range(minutes):
        minute = step
        recorder.add(net.round(minute, "router", answered()))
        recorder.add(net.round(minute + 0.1, "web", silent() if minute else answered()))
        if minute:
            upward.failed(net.host("web"), plan, recorder.judge.well, recorder.judge.down)
        await recorder.flush()
    assert recorder.judge.down(net.ids["web"])
    return asked


async def test_a_router_is_only_asked_whether_it_is_there(net: Estate) -> None:
    asked = await failing(net, 4)
    assert [(host, checks) for _, host, checks in asked] == [("router", ["ping"])] * 3


async def test_a_machine_that_stays_down_leaves_its_router_in_peace(net: Estate) -> None:
    asked = await failing(net, 30)
    assert [minute for minute, _, _ in asked] == [1, 2, 3]
