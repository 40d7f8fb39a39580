"""Who walks through the pages, and the town whose machines they look at."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from flask.testing import FlaskClient
from playwright.sync_api import BrowserContext
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from domain.inventory import Check, Host, HostGroup
from domain.records import Heartbeat, Latest, MetricSet, StateInterval, Track, raw

OpenBrowser = Callable[..., BrowserContext]
PASSWORD = "correct horse battery staple"


@dataclass
class Visitor:
    """A browser without a screen: keeps cookies, and takes the form's token along as a real form would."""

    client: FlaskClient
    base: str = "http://localhost"

    def get(self, path: str, **more: object) -> TestResponse:
        """Open a page."""
        return self.client.get(path, base_url=self.base, **more)  # type: ignore[arg-type]

    def post(self, path: str, data: dict[str, object], page: str | None = None) -> TestResponse:
        """Send the form on `page` (the same path if not told)."""
        token = re.search(r'name="csrf" value="([^"]+)"', self.get(page or path).text)
        assert token, f"{page or path} holds no form"
        return self.client.post(path, base_url=self.base, data={**data, "csrf": token[1]})

    def login(self, name: str, password: str = PASSWORD, **more: object) -> TestResponse:
        """Log in through the form."""
        return self.post("/login", {"login": name, "password": password, **more})


@dataclass
class Town:
    """A seeded installation, and the hand that adds to it."""

    session: Session
    now: datetime

    def beat(self, ago: float = 1) -> None:
        """The poller's sign of life."""
        self.session.merge(Heartbeat(role="poller", at=self.now - timedelta(seconds=ago), data={}))
        self.session.commit()

    def machine(
        self,
        name: str,
        address: str,
        state: str = "up",
        *,
        cpu: float = 0.2,
        memory: float = 0.4,
        disk: float = 0.5,
        minutes: float = 60,
        reason: str = "",
        metric: str = "",
        groups: tuple[HostGroup, ...] = (),
    ) -> Host:
        """A machine in a state for some minutes, with a sample, an hour of raw values and a day of history."""
        host = Host(name=name, address=address, groups=list(groups))
        host.checks.append(Check(kind="ssh", name="SSH"))
        self.session.add(host)
        self.session.flush()
        check, since = host.checks[0], self.now - timedelta(minutes=minutes)
        names = ["system.cpu.utilization", "system.memory.utilization", "system.filesystem.utilization"]
        values = self._set(names)
        self.session.add(
            Latest(
                check_id=check.id,
                host_id=host.id,
                ts=self.now - timedelta(seconds=12),
                took=0.2,
                late=0.0,
                outcome=1 if reason else 0,
                good_at=self.now,
                set_id=values.id,
                v=[cpu, memory, disk],
                failure_kind="timeout" if reason else None,
                failure_detail=reason or None,
            )
        )
        self.session.add(Track(subject=f"host:{host.id}", host_id=host.id, state=state, since=since, data={}))
        if metric:
            subject = f"metric:{check.id}:system.filesystem.utilization:/"
            self.session.add(
                Track(subject=subject, host_id=host.id, check_id=check.id, state=metric, since=since, data={})
            )
        begun = self.now - timedelta(days=3)
        self.session.add(
            StateInterval(subject=f"host:{host.id}", host_id=host.id, since=begun, until=since, state="up")
        )
        self.session.add(
            StateInterval(subject=f"host:{host.id}", host_id=host.id, since=since, until=None, state=state)
        )
        points = [
            {
                "check_id": check.id,
                "ts": self.now - timedelta(minutes=n),
                "set_id": values.id,
                "state": 0,
                "v": [max(0.0, cpu + 0.05 * ((n * 7 + host.id) % 5 - 2)), memory, disk],
            }
            for n in range(45, 0, -1)
        ]
        self.session.execute(raw.insert(), points)
        self.session.commit()
        return host

    def _set(self, names: list[str]) -> MetricSet:
        digest = " ".join(names).encode()
        found = self.session.query(MetricSet).filter_by(digest=digest).one_or_none()
        if found is None:
            found = MetricSet(names=names, parts=[""] * len(names), units=["1"] * len(names), digest=digest)
            self.session.add(found)
            self.session.flush()
        return found
