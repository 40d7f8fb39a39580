"""Stamps come from a clock that no one can step."""

import time
from datetime import timedelta

import pytest

from domain.clock import Steady


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
