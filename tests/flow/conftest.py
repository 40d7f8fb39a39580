"""A pen to write with: a recorder on this test's database, and rounds as a poller would hand them in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import Session

from domain.clock import Steady
from domain.health import Policy, combine, reach_outcome_of
from domain.inventory import Check, Host
from domain.reading import FailureKind, Measure, Reading
from poller.lanes import Seen
from poller.plan import CheckPlan, HostPlan, Limit, Plan
from poller.recorder import Recorder
from poller.round import CheckSeen, Round
from poller.spool import Spool
from probes import catalogue
from tests.installation import Browser, Installation, installed, until
from tests.roles import as_role

START = 1_790_000_000.0


class Desk:
    """One host with one ping check, its recorder, and a clock of the test's own."""

    def __init__(self, url: str, session: Session, spool: Path) -> None:
        host = Host(name="web1", address="192.0.2.1")
        host.checks.append(Check(kind="icmp", name="ping"))
        session.add(host)
        session.commit()
        self.url, self.spool, self.host_id, self.check_id = url, spool, host.id, host.checks[0].id
        self.steady = FrozenSteady(START)
        self.limits: tuple[Limit, ...] = ()
        self._recorders: list[Recorder] = []

    def plan(self) -> Plan:
        probe = catalogue()["icmp"]
        check = CheckPlan(self.check_id, self.host_id, "icmp", "ping", probe, probe.options(), None, None, 60, 10, True)
        host = HostPlan(self.host_id, "web1", "192.0.2.1", Policy(60, 3, 1), (check,), self.limits)
        return Plan({self.host_id: host})

    async def recorder(self, limit: int = 1 << 20) -> Recorder:
        """A process starting: a fresh recorder on the same spool and database."""
        recorder = Recorder(as_role(self.url, "poller"), 1, Spool(self.spool, limit), self.steady)
        self._recorders.append(recorder)
        await recorder.open()
        recorder.reconcile(self.plan())
        await recorder.flush()
        return recorder

    async def close(self) -> None:
        """Every process is gone."""
        for recorder in self._recorders:
            await recorder.close()

    def round(self, minute: float, reading: Reading) -> Round:
        """The round at `minute` minutes after START."""
        self.steady.moment = START + minute * 60
        host = self.plan().hosts[self.host_id]
        at = self.steady.utc(self.steady.moment)
        seen = Seen(replace(reading, at=at, took=0.01), self.steady.moment, self.steady.moment + 0.01)
        self.steady.moment += 0.01
        kind = reading.failure.kind if reading.failure else None
        return Round(host, (CheckSeen(host.checks[0], seen),), combine([reach_outcome_of(kind)]), 0.0)


class FrozenSteady(Steady):
    """Time as the test says."""

    def __init__(self, moment: float) -> None:
        super().__init__()
        self.moment = moment

    def now(self) -> float:
        return self.moment

    def utc(self, moment: float) -> Any:
        from datetime import UTC, datetime

        return datetime.fromtimestamp(moment, UTC)


def answered(**values: float) -> Reading:
    """A look that brought numbers; `rtt=0.001` is icmp.rtt.median."""
    values = values or {"rtt": 0.001}
    return Reading(measures=tuple(Measure(f"icmp.{name}", value, "s") for name, value in values.items()))


def silent() -> Reading:
    """A look that nobody answered."""
    return Reading.failed(FailureKind.TIMEOUT, "No answer to 10 pings.")


@pytest.fixture
async def desk(database_url: str, session: Session, tmp_path: Path) -> AsyncIterator[Desk]:
    opened = Desk(database_url, session, tmp_path / "spool")
    yield opened
    await opened.close()


@pytest.fixture
def running() -> Iterator[Installation]:
    """A whole installation that looks every two seconds."""
    with installed(PANTAU_INTERVAL="2") as up:
        yield up


@pytest.fixture
def rina(running: Installation) -> Browser:
    """Rina, who has just set it up."""
    until(lambda: running.answers)
    browser = Browser(running)
    account = {"token": running.token, "name": "Rina", "password": "seven purple umbrellas"}
    assert browser.post("/setup", account).status_code == 303
    return browser
