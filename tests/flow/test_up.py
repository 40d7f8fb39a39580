"""The one command: everything starts, comes back when killed, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.installation import Installation, command, installed, until
from tests.ports import free_port


@pytest.fixture(scope="module")
def running() -> Iterator[Installation]:
    with installed(PANTAU_INTERVAL="2") as up:
        yield up


def test_it_prints_the_address_and_a_token_that_opens_the_first_page(running: Installation) -> None:
    assert running.address in running.printed
    page = until(lambda: _get(f"{running.address}/setup?token={running.token}"))
    assert page.status_code == 200


def test_it_watches_its_own_machine_before_anybody_logs_in(running: Installation) -> None:
    until(lambda: running.query("select 1 from latest where failure_kind is null"))
    assert running.query("select state from track where subject = 'host:1'") == [("up",)]


@pytest.mark.parametrize("name", ["poller", "web", "notifier", "postgres"])
def test_a_killed_child_comes_back(running: Installation, name: str) -> None:
    before = until(lambda: running.children().get(name))
    os.kill(before, signal.SIGKILL)
    until(lambda: running.children().get(name, before) != before)
    until(lambda: _get(f"{running.address}/healthz"))
    stamp = time.time()
    until(lambda: running.query("select 1 from latest where ts > to_timestamp(%s)", [stamp]), 30)


def test_a_second_one_on_the_same_directory_is_refused_in_one_sentence(running: Installation) -> None:
    said = command("up", "--data", str(running.directory), "--port", str(free_port()))
    assert said.returncode == 1
    assert said.stderr.startswith("Error: Pantau already runs on")
    assert len(said.stderr.strip().splitlines()) == 1


def test_a_port_in_use_is_refused_in_one_sentence_and_nothing_is_made(place: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        said = command("up", "--data", str(place / "data"), "--port", str(taken.getsockname()[1]))
    assert said.returncode == 1
    assert "cannot be used: Address already in use. Choose another with --port." in said.stderr
    assert "Traceback" not in said.stderr
    assert not (place / "data" / "postgres").exists()


def test_ctrl_c_stops_everything_and_the_next_start_finds_it_all() -> None:
    with installed() as up:
        until(lambda: up.query("select 1 from latest"))
        everything = up.processes()
        assert len(everything) >= 5
        assert up.stop(signal.SIGINT) == 0
        assert up.printed.rstrip().endswith("Pantau: stopped.")
        assert "Traceback" not in up.printed
        assert up.processes() == []


def test_a_killed_supervisor_leaves_no_orphan_and_the_next_one_starts(place: Path) -> None:
    with installed() as up:
        until(lambda: len(up.children()) == 4)
        up.process.kill()
        up.process.wait()
        until(lambda: up.processes() == [], 5)


def _get(address: str) -> requests.Response | None:
    try:
        answer = requests.get(address, timeout=3)
    except requests.RequestException:
        return None
    return answer if answer.status_code < 500 else None
