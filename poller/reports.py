"""What jobs have reported, for the probe that judges them."""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy import select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session, sessionmaker

from domain.clock import now
from domain.heard import Job
from domain.inventory import Check
from probes.heard import Report


@dataclass
class Reports:
    """Asks the database at each look: a call must count at once, and a look comes seldom."""

    sessions: sessionmaker[Session]
    _known: dict[int, Report] = field(default_factory=dict)

    def last(self, check_id: int) -> Report | None:
        """What is known of the job of this check.

        While PostgreSQL is away no call can be taken in, so no job is late: what was known stands, as of now.
        """
        try:
            report = self._ask(check_id)
        except OperationalError:
            return self._known.get(check_id) or Report(now())
        if report is not None:
            self._known[check_id] = report
        return report

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
