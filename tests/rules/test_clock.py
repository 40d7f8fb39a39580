"""Stamps come from a clock that no one can step."""

import time
from datetime import UTC, datetime, timedelta

import pytest

from domain.clock import Steady, monotonic, now


def test_equal_moments_give_equal_stamps() -> None:
    steady = Steady()
    moment = steady.now()
    assert len({steady.utc(moment) for _ in range(1000)}) == 1


def test_a_step_of_the_wall_clock_moves_stamps_and_never_the_steady_time(monkeypatch: pytest.MonkeyPatch) -> None:
    steady = Steady()
    moment, stamp, real = steady.now(), steady.utc(steady.now()), time.time
    monkeypatch.setattr(time, "time", lambda: real() + 3600)
    assert steady.now() - moment < 5
    assert timedelta(minutes=59) < steady.utc(steady.now()) - stamp < timedelta(minutes=61)


class Clocks:
    """A wall clock and a monotonic one that a test may set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, wall: float, steady: float) -> None:
        self.wall, self.steady = wall, steady
        monkeypatch.setattr(time, "time", lambda: self.wall)
        monkeypatch.setattr(time, "monotonic", lambda: self.steady)


def test_steady_time_is_the_wall_time_of_the_start_and_what_passed_since(monkeypatch: pytest.MonkeyPatch) -> None:
    clocks = Clocks(monkeypatch, wall=1_000_000.0, steady=50.0)
    steady = Steady()
    assert steady.now() == 1_000_000.0
    clocks.steady, clocks.wall = 60.0, 2_000_000.0
    assert steady.now() == 1_000_010.0


def test_a_stamp_follows_every_step_of_the_wall_clock_back_and_forth(monkeypatch: pytest.MonkeyPatch) -> None:
    clocks = Clocks(monkeypatch, wall=1_000_000.0, steady=50.0)
    steady = Steady()
    start = datetime.fromtimestamp(1_000_000, UTC)
    assert steady.utc(1_000_000.0) == start
    for step, seen in ((0.5, 0.5), (0.504, 0.5), (0.496, 0.5), (0.25, 0.25), (-3600.0, -3600.0), (0.0, 0.0)):
        clocks.wall = 1_000_000.0 + step
        assert steady.utc(1_000_000.0) == start + timedelta(seconds=seen)
        assert steady.utc(1_000_000.0).utcoffset() == timedelta(0)


def test_a_difference_of_exactly_five_milliseconds_is_still_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    clocks = Clocks(monkeypatch, wall=0.0, steady=0.0)
    steady = Steady()
    clocks.wall = 0.005
    assert steady.utc(0.0) == datetime.fromtimestamp(0, UTC)
    clocks.wall = 0.006
    assert steady.utc(0.0) == datetime.fromtimestamp(0.006, UTC)


def test_the_present_moment_is_known_in_utc_and_on_a_clock_nobody_can_step(monkeypatch: pytest.MonkeyPatch) -> None:
    assert now().utcoffset() == timedelta(0)
    assert abs(now().timestamp() - time.time()) < 60
    monkeypatch.setattr(time, "monotonic", lambda: 123.5)
    assert monotonic() == 123.5
