"""What jobs have reported, for the probe that judges them."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace

from sqlalchemy import select
from sqlalchemy.exc import OperationalError, TimeoutError
from sqlalchemy.orm import Session, sessionmaker

from domain.clock import now
from domain.heard import Job
from domain.inventory import Check
from probes.heard import Report

PATIENCE = 2.0
"""Seconds a look waits for another one's question: a database that hangs may hold one look, never all of them."""


@dataclass
class Reports:
    """Asks the database at each look: a call must count at once, and a look comes seldom."""

    sessions: sessionmaker[Session]
    _known: dict[int, Report] = field(default_factory=dict)
    _asking: threading.Lock = field(default_factory=threading.Lock)

    def last(self, check_id: int) -> Report | None:
        """What is known of the job of this check.

        While PostgreSQL is away no call can be taken in, so no job is late: what was known stands, as of now.
        """
        if not self._asking.acquire(timeout=PATIENCE):
            return self._stale(check_id)
        try:
            report = self._ask(check_id)
        except (OperationalError, TimeoutError):
            return self._stale(check_id)
        finally:
            self._asking.release()
        if report is not None:
            self._known[check_id] = report
        return report

    def _stale(self, check_id: int) -> Report:
        known = self._known.get(check_id)
        return replace(known, made=now()) if known is not None else Report(now())

    def _ask(self, check_id: int) -> Report | None:
        with self.sessions() as session:
            made = session.scalar(select(Check.created_at).where(Check.id == check_id))
            if made is None:
                return None
            job = session.get(Job, check_id)
            if job is None:
                return Report(made)
            return Report(made, job.ok_at, job.failed_at, job.started_at, job.took, job.said)

    def close(self) -> None:
        """The sessions are the poller's."""
