"""Requests for actions at the terminal."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.flow.court import Court
from tests.installation import command

Run = Callable[..., CompletedProcess[str]]


@pytest.fixture
def court(database_url: str) -> Iterator[Court]:
    made = Court(database_url)
    yield made
    made.close()


@pytest.fixture
def run(court: Court, place: Path) -> Run:
    """Run `pantau requests` where the court is."""
    return lambda *words: command("requests", *words, DATABASE_URL=court.url, PANTAU_DATA=str(place))


def test_a_request_is_asked_for_listed_shown_and_taken_back(run: Run, court: Court) -> None:
    assert run("list").stdout == "No request is open.\n"
    asked = run("ask", "till", "restart:nginx.service", "--as", "pic", "--reason", "It hangs.")
    assert (asked.returncode, asked.stdout) == (0, "Request 1: Waiting for agreement.\n"), asked.stderr
    assert court.request(1).params == {"service": "nginx.service"}
    listed = run("list").stdout
    assert "till: Restart the service nginx.service  (Pic: It hangs.)" in listed
    told = json.loads(run("show", "1", "--json").stdout)
    assert (told["state"], told["by"], told["steps"][0]["what"]) == ("waiting", "Pic", "Pic asked for it")
    assert run("cancel", "1", "--as", "pic").stdout == "Request 1 is taken back; nothing is done.\n"
    assert "till: Restart the service nginx.service - Cancelled." in run("show", "1").stdout
    assert run("list").stdout == "No request is open.\n"
    assert len([json.loads(line) for line in run("list", "--all", "--json").stdout.splitlines()]) == 1
    row = court.ask_database("select distinct source from audit where what like 'action.%%'")
    assert row == [{"source": "command line"}]


WRONG = (
    (("ask", "till", "restart:ssh.service", "--as", "pic", "--reason", "x"), "Ssh.service is not among the services"),
    (("ask", "till", "run:Nothing", "--as", "pic", "--reason", "x"), "There is no such runbook any more."),
    (("ask", "till", "restart", "--as", "staff", "--reason", "x"), "You may not do this at this machine."),
    (("ask", "nowhere", "restart", "--as", "pic", "--reason", "x"), "There is no machine 'nowhere'"),
    (("ask", "till", "explode", "--as", "pic", "--reason", "x"), "ACTION is restart"),
    (("show", "7"), "There is no request 7"),
)


def test_what_cannot_be_is_one_sentence_and_changes_nothing(run: Run, court: Court) -> None:
    for words, said in WRONG:
        found = run(*words)
        assert found.returncode != 0 and said.lower() in found.stderr.lower(), found.stderr
        assert "Traceback" not in found.stderr
    assert court.ask_database("select id from request") == []
