"""Several machines with ways to each other, and rounds of any of them as a poller would hand them in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from domain.health import Policy, combine, reach_outcome_of
from domain.inventory import Check, Host
from domain.reading import Reading
from poller.lanes import Seen
from poller.plan import CheckPlan, HostPlan, Limit, Plan
from poller.recorder import Recorder
from poller.round import CheckSeen, Round
from poller.spool import Spool
from probes import catalogue
from tests.flow.conftest import START, FrozenSteady
from tests.roles import as_role

TOOK = 0.01
"""Seconds every look takes."""


class Estate:
    """Machines by name, each with a ping a minute; `parents` of each by name."""

    def __init__(self, url: str, session: Session, spool: Path, parents: dict[str, list[str]]) -> None:
        self.url, self.spool, self.parents = url, spool, parents
        self.steady = FrozenSteady(START)
        self.limits: tuple[Limit, ...] = ()
        self.disabled: set[str] = set()
        made = {name: Host(name=name, address="192.0.2.1") for name in parents}
        for host in made.values():
            host.checks.append(Check(kind="icmp", name="ping"))
        session.add_all(made.values())
        session.flush()
        for name, above in parents.items():
            made[name].parents = [made[parent] for parent in above]
        session.commit()
        self.ids = {name: host.id for name, host in made.items()}
        self.checks = {name: host.checks[0].id for name, host in made.items()}
        self._recorders: list[Recorder] = []

    def plan(self) -> Plan:
        hosts = {self.ids[name]: self.host(name) for name in self.parents if name not in self.disabled}
        return Plan(hosts, frozenset(self.ids[name] for name in self.disabled))

    def host(self, name: str) -> HostPlan:
        probe, above = catalogue()["icmp"], tuple(self.ids[parent] for parent in self.parents[name])
        check = CheckPlan(
            self.checks[name], self.ids[name], "icmp", "ping", probe, probe.options(), None, None, 60, 10, True
        )
        return HostPlan(self.ids[name], name, "192.0.2.1", Policy(60, 3, 1), (check,), self.limits, above)

    async def recorder(self, references: tuple[str, ...] | None = None) -> Recorder:
        """A process starting, on the same spool and database."""
        recorder = Recorder(as_role(self.url, "poller"), 1, Spool(self.spool, 1 << 24), self.steady, references)
        self._recorders.append(recorder)
        await recorder.open()
        recorder.reconcile(self.plan())
        await recorder.flush()
        return recorder

    def round(self, minute: float, name: str, reading: Reading) -> Round:
        """A round of `name` at `minute` minutes after START."""
        self.steady.moment = START + minute * 60
        host = self.host(name)
        seen = Seen(
            replace(reading, at=self.steady.utc(self.steady.moment), took=TOOK),
            self.steady.moment,
            self.steady.moment + TOOK,
        )
        kind = reading.failure.kind if reading.failure else None
        return Round(host, (CheckSeen(host.checks[0], seen),), combine([reach_outcome_of(kind)]), 0.0)

    async def close(self) -> None:
        """Every process is gone."""
        for recorder in self._recorders:
            await recorder.close()


def rows(engine: Engine, statement: str, **values: Any) -> list[tuple[Any, ...]]:
    """What a query finds."""
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(statement), values)]
