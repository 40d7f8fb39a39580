"""Where the web server listens is known to the commands typed beside it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from config import listening, selfcheck
from config.settings import Settings
from tests.ports import free_port


def test_commands_lead_to_the_port_that_up_was_given(place: Path) -> None:
    listening.remember(Settings(data=place, host="0.0.0.0", port=18901, tls="own"))
    found = listening.recall(Settings(data=place))
    assert found.home() == "https://127.0.0.1:18901"
    listening.forget(Settings(data=place))
    assert listening.recall(Settings(data=place)).port == 8080
    listening.forget(Settings(data=place))


def test_what_a_killed_server_left_leads_nowhere(place: Path) -> None:
    script = "import sys, pathlib; from config import listening; from config.settings import Settings; listening.remember(Settings(data=pathlib.Path(sys.argv[1]), port=18901)); print('kept', flush=True); sys.stdin.read()"  # fmt: skip
    with subprocess.Popen(
        [sys.executable, "-c", script, str(place)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as server:
        assert server.stdout and server.stdout.readline() == b"kept\n"
        assert listening.recall(Settings(data=place)).port == 18901
        server.kill()
        server.wait()
        assert listening.recall(Settings(data=place)).port == 8080
    kept = json.loads((place / "web.json").read_text())
    assert kept["process"][0] == server.pid
    kept["process"] = [os.getpid(), "1", kept["process"][2]]  # another process has its number now
    (place / "web.json").write_text(json.dumps(kept))
    assert listening.recall(Settings(data=place)).port == 8080


def test_an_address_of_ones_own_is_not_taken_back(place: Path) -> None:
    listening.remember(Settings(data=place, port=18901))
    assert (
        listening.recall(Settings(data=place, url="https://pantau.example.com")).home() == "https://pantau.example.com"
    )
    listening.remember(Settings(data=place, url="https://pantau.example.com"))
    assert listening.recall(Settings(data=place)).home() == "https://pantau.example.com"


@pytest.mark.parametrize(
    "told", ["", "{", "[]", "7", '{"host": 1, "port": 2, "tls": "off", "url": null}', '{"host": "x", "port": 0, "tls": "off", "url": null}', '{"host": "x", "port": 5, "tls": "ssl", "url": null}', '{"host": "x", "port": 5, "tls": "off", "url": 5}']
)  # fmt: skip
def test_nonsense_in_its_place_is_no_answer(place: Path, told: str) -> None:
    (place / "web.json").write_text(told)
    assert listening.recall(Settings(data=place)) == Settings(data=place)


def test_a_directory_that_cannot_be_written_keeps_nothing_and_stops_nobody(place: Path) -> None:
    listening.remember(Settings(data=place / "away"))
    assert listening.recall(Settings(data=place / "away")) == Settings(data=place / "away")


def test_the_doctor_looks_at_the_port_that_is_used(place: Path) -> None:
    port = free_port()
    listening.remember(Settings(data=place, port=port))
    found = selfcheck.findings(listening.recall(Settings(data=place)))
    assert any(f"Port {port} " in one.text for one in found if one.code == "P004")
