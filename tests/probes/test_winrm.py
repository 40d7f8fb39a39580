"""Windows over WinRM, against a listener that genuine clients accept, on a synthetic machine whose rates are known."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from domain.reading import FailureKind, Reading, Secret, Target
from probes.base import Keep
from probes.winrm import Options, look
from tests.probes.windows import Windows
from tests.probes.wsman import PASSWORDS, Certificate, Listener, listening

USER = "pantau-read"


class Clock:
    """A clock that goes only when it is told to."""

    def __init__(self) -> None:
        self.at = time.time()

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def machine(clock: Clock) -> Windows:
    return Windows(clock=clock)


@pytest.fixture
def listener(machine: Windows) -> Iterator[Listener]:
    with listening(machine) as running:
        yield running


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return Certificate(tmp_path_factory.mktemp("certificate"))


def target(
    listener: Listener, deadline: float = 8.0, *, password: str = PASSWORDS[USER], user: str = USER, **options: Any
) -> Target:
    given = {"port": listener.port, "tls": "https" if listener.certificate else "http", **options}
    return Target("127.0.0.1", Options(**given), Secret(user, password), deadline)


def value(reading: Reading, name: str, of: str = "") -> float:
    assert reading.failure is None, reading.failure
    return next(m.value for m in reading.measures if m.name == name and m.of == of)


def values(reading: Reading, name: str) -> dict[str, float]:
    assert reading.failure is None, reading.failure
    return {m.of: m.value for m in reading.measures if m.name == name}


def fact(reading: Reading, name: str, of: str = "") -> str:
    return next((f.value for f in reading.facts if f.name == name and f.of == of), "")


def kind(reading: Reading) -> FailureKind:
    assert reading.failure is not None
    assert reading.failure.detail.endswith("."), reading.failure.detail
    return reading.failure.kind


def two_looks(listener: Listener, clock: Clock, keep: Keep, seconds: float = 60.0, **options: Any) -> Reading:
    """The second of two looks, `seconds` of the machine's own clock apart."""
    assert look(target(listener, **options), keep).failure is None
    clock.at += seconds
    return look(target(listener, **options), keep)


def test_rates_are_those_of_the_machine_to_the_digit(listener: Listener, clock: Clock, keep: Keep) -> None:
    reading = two_looks(listener, clock, keep)
    assert values(reading, "system.cpu.utilization") == pytest.approx({"": 0.5, "0": 0.25, "1": 0.75}, abs=1e-6)
    assert value(reading, "system.cpu.privileged") == pytest.approx(0.125, abs=1e-6)
    assert value(reading, "system.cpu.interrupt") == pytest.approx(0.01, abs=1e-6)
    assert values(reading, "system.disk.io.read") == pytest.approx({"C:": 1_000_000}, rel=1e-6)
    assert values(reading, "system.disk.utilization") == pytest.approx({"C:": 0.3}, abs=1e-6)
    assert values(reading, "system.disk.operation_time") == pytest.approx({"C:": 0.004}, rel=1e-5)
    assert values(reading, "system.network.io.receive") == pytest.approx(
        {"Synthetic Ethernet Adapter": 250_000}, rel=1e-6
    )
    assert values(reading, "system.network.utilization") == pytest.approx(
        {"Synthetic Ethernet Adapter": 0.002}, rel=1e-6
    )
    assert value(reading, "system.memory.utilization") == 0.75
    assert value(reading, "system.memory.commit.utilization") == 0.5
    assert value(reading, "system.uptime") == pytest.approx(14_460)


def test_a_look_costs_five_posts_once_the_machine_is_known_and_starts_nothing_there(
    listener: Listener, clock: Clock, keep: Keep
) -> None:
    look(target(listener), keep)
    before = len(listener.log)
    clock.at += 60
    reading = look(target(listener), keep)
    asked = [entry.what for entry in listener.log[before:]]
    assert len(asked) == 5 == value(reading, "winrm.posts")
    assert all(
        entry.what.startswith(("Enumerate ", "Pull", "Identify", "login", "EnumKey", "Get")) for entry in listener.log
    )
    assert not listener.shells
    assert listener.lines == 1


def test_over_http_everything_after_the_login_is_sealed(listener: Listener, keep: Keep) -> None:
    assert look(target(listener), keep).failure is None
    assert all(entry.sealed for entry in listener.log if entry.what != "login")
    assert not listener.asked("clear")


def test_one_look_from_the_command_line_brings_numbers_as_json(listener: Listener, tmp_path: Path) -> None:
    done = subprocess.run(
        [
            sys.executable, "-m", "pantau", "probe", "winrm", "127.0.0.1", "--set", f"port={listener.port}",
            "--user", USER, "--ask-password", "--json",
        ],
        input=PASSWORDS[USER] + "\n", capture_output=True, text=True, timeout=60, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout[done.stdout.index("{") :])
    assert {"system.memory.utilization", "system.uptime"} <= {m["name"] for m in said["measures"]}
    assert PASSWORDS[USER] not in done.stdout + done.stderr
