"""Jobs that report: a cron job, a backup, a script calls a URL when it is done; a call that is late is a failure.

Nothing is asked of any machine: the web takes the calls in, and the poller hands this probe a `Reports` to ask
for the last of them. Which moments a call is due at is a cron expression as cron itself reads it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from domain import clock
from domain.calendar import expanded
from domain.options import option
from domain.reading import Fact, FailureKind, Measure, Reading, Target
from probes.base import Keep, Probe, Produces
from probes.limits import clean

LONGEST = 366 * 24 * 60
"""Minutes a job may be late without a word, at most."""


@dataclass(frozen=True, slots=True)
class Report:
    """What is known of one job. Moments are UTC; None for never. `said` is the last call's text."""

    made: datetime
    ok: datetime | None = None
    failed: datetime | None = None
    started: datetime | None = None
    took: float | None = None
    said: str = ""


class Reports(Protocol):
    """Who knows the calls; kept in the poller's Keep under ("reports",)."""

    def last(self, check_id: int) -> Report | None:
        """What is known of the job of this check, None if there is no such check."""
        ...


@dataclass(frozen=True)
class Options:
    """When the job is due."""

    schedule: str = option(
        "Schedule",
        default="@daily",
        help="As in crontab: minute, hour, day of the month, month, day of the week; or @hourly, @daily, @weekly, @monthly.",
    )
    zone: str = option("Time zone", default="Asia/Jakarta", help="The schedule's, such as Asia/Jakarta.")
    grace: int = option(
        "Minutes it may be late",
        default=60,
        low=1,
        high=LONGEST,
        help="From the scheduled moment to the end of the job.",
    )
    check_id: int = option("Check", default=0, hidden=True)

    def __post_init__(self) -> None:
        try:
            ZoneInfo(self.zone)
        except (KeyError, ValueError, OSError):
            raise ValueError(f"'{clean(self.zone, 40)}' is not a time zone such as Asia/Jakarta.") from None
        try:
            CronSim(expanded(self.schedule), datetime(2026, 1, 1, tzinfo=UTC))
        except CronSimError:
            raise ValueError(
                f"'{clean(self.schedule, 60)}' is not a schedule as in crontab, such as 30 2 * * 1-5."
            ) from None


def due_before(schedule: str, zone: str, moment: datetime) -> datetime | None:
    """The last scheduled moment at or before `moment` (UTC), looking back a year at most."""
    local = moment.astimezone(ZoneInfo(zone))
    try:
        found = next(CronSim(expanded(schedule), local + timedelta(minutes=1), reverse=True))
    except StopIteration:
        return None
    return found.astimezone(UTC)


def look(target: Target, keep: Keep) -> Reading:
    """Whether the last call due has come, and was good."""
    options: Options = target.options
    reports: Reports | None = keep.peek(("reports",))
    report = reports.last(options.check_id) if reports is not None and options.check_id else None
    if report is None:
        return Reading.failed(
            FailureKind.UNSUPPORTED,
            "No calls are known for this job yet: save the check, then let the job call the URL shown there.",
        )
    return judge(options, report, clock.now())


def judge(options: Options, report: Report, now: datetime) -> Reading:
    """The same without asking anybody."""
    due = due_before(options.schedule, options.zone, now - timedelta(minutes=options.grace))
    facts, measures = [], []
    if report.ok is not None:
        facts.append(Fact("job.last", report.ok.isoformat(timespec="seconds").replace("+00:00", "Z")))
        measures.append(Measure("job.age", (now - report.ok).total_seconds(), "s"))
    if report.took is not None:
        measures.append(Measure("job.duration", report.took, "s"))
    if report.said:
        facts.append(Fact("job.said", report.said))
    if report.failed is not None and (report.ok is None or report.failed > report.ok):
        said = f": {report.said}" if report.said else ""
        reading = Reading.failed(
            FailureKind.REFUSED,
            clean(f"The job reported at {_at(report.failed, options)} that it failed{said}", 300) + ".",
        )
        return Reading(tuple(measures), tuple(facts), reading.failure)
    last = max(filter(None, (report.ok, report.made)))
    if due is not None and last < due:
        began = report.started is not None and report.started >= due
        what = "began but did not report its end" if began else "did not report"
        reading = Reading.failed(
            FailureKind.REFUSED,
            f"The job due at {_at(due, options)} {what} within {options.grace} minutes; look whether it ran, and whether it can reach Pantau.",
        )
        return Reading(tuple(measures), tuple(facts), reading.failure)
    return Reading(tuple(measures), tuple(facts))


def _at(moment: datetime, options: Options) -> str:
    return moment.astimezone(ZoneInfo(options.zone)).strftime("%Y-%m-%d %H:%M")


PROBE = Probe(
    kind="heard",
    label="Job that reports",
    look=look,
    options=Options,
    produces=(
        Produces("job.age", "s", "Time since the job last succeeded"),
        Produces("job.duration", "s", "Time the job took"),
    ),
    reachability=False,
    transport="none",
)
