"""Jobs that report: in time, late, failed, begun and never ended, across the night the clocks change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from domain.options import fill
from domain.reading import FailureKind, Target
from probes import heard
from probes.base import Keep
from probes.heard import Options, Report, due_before, judge

MADE = datetime(2026, 11, 1, tzinfo=UTC)
NIGHTLY = Options(schedule="30 2 * * *", zone="Asia/Jakarta", grace=60)  # 19:30 UTC
NOON = datetime(2026, 11, 21, 5, 0, tzinfo=UTC)
DUE = datetime(2026, 11, 20, 19, 30, tzinfo=UTC)


def test_a_job_that_reported_after_its_moment_is_well_and_tells_its_age() -> None:
    reading = judge(NIGHTLY, Report(MADE, ok=DUE + timedelta(minutes=20), took=1200.0), NOON)
    assert reading.failure is None
    values = {m.name: m.value for m in reading.measures}
    assert values == {"job.age": pytest.approx(9.5 * 3600 - 1200), "job.duration": 1200.0}


def test_a_job_that_did_not_report_is_late_only_after_its_grace() -> None:
    yesterday = Report(MADE, ok=DUE - timedelta(hours=23))
    assert judge(NIGHTLY, yesterday, DUE + timedelta(minutes=59)).failure is None
    failure = judge(NIGHTLY, yesterday, DUE + timedelta(minutes=61)).failure
    assert failure is not None
    assert failure.kind is FailureKind.REFUSED
    assert "2026-11-21 02:30 did not report within 60 minutes" in failure.detail


def test_a_job_that_began_and_never_ended_is_told_so() -> None:
    failure = judge(NIGHTLY, Report(MADE, started=DUE + timedelta(minutes=1)), NOON).failure
    assert failure is not None
    assert "began but did not report its end" in failure.detail


def test_a_failure_is_told_with_its_words_until_a_success_follows() -> None:
    failed = Report(MADE, ok=DUE - timedelta(days=1), failed=DUE, said="disk full")
    failure = judge(NIGHTLY, failed, NOON).failure
    assert failure is not None
    assert "failed: disk full." in failure.detail
    assert judge(NIGHTLY, Report(MADE, ok=DUE + timedelta(hours=1), failed=DUE), NOON).failure is None


def test_a_job_just_made_is_not_late_for_what_was_before_it() -> None:
    assert judge(NIGHTLY, Report(NOON), NOON + timedelta(minutes=5)).failure is None
    assert judge(NIGHTLY, Report(NOON), NOON + timedelta(days=1)).failure is not None


def test_the_schedule_is_kept_across_the_night_the_clocks_change() -> None:
    # 25 October 2026, Berlin: 03:00 becomes 02:00; the job at 02:30 runs once.
    before = due_before("30 2 * * *", "Europe/Berlin", datetime(2026, 10, 25, 12, 0, tzinfo=UTC))
    assert before is not None
    assert before in (datetime(2026, 10, 25, 0, 30, tzinfo=UTC), datetime(2026, 10, 25, 1, 30, tzinfo=UTC))
    # 29 March 2026: 02:30 does not exist; the day before counts, or the moment the clocks jump to.
    spring = due_before("30 2 * * *", "Europe/Berlin", datetime(2026, 3, 29, 12, 0, tzinfo=UTC))
    assert spring is not None
    assert datetime(2026, 3, 28, 0, 0, tzinfo=UTC) < spring < datetime(2026, 3, 29, 2, 0, tzinfo=UTC)


@pytest.mark.parametrize("options", [{"schedule": "every day"}, {"schedule": "61 * * * *"}, {"zone": "Asia/Bandung"}])
def test_a_wrong_schedule_or_zone_is_told_when_it_is_typed(options: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="is not a"):
        fill(Options, options)


def test_nicknames_are_those_of_cron() -> None:
    assert due_before("@hourly", "UTC", datetime(2026, 11, 21, 5, 17, tzinfo=UTC)) == datetime(
        2026, 11, 21, 5, tzinfo=UTC
    )
    assert fill(Options, {"schedule": "@weekly"}).schedule == "@weekly"


def test_alone_it_says_that_nobody_has_called() -> None:
    reading = heard.look(Target("x", Options()), Keep())
    assert reading.failure is not None
    assert reading.failure.kind is FailureKind.UNSUPPORTED
