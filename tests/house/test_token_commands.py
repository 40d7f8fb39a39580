"""Tokens made, listed and revoked at the terminal."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from domain.inventory import Person
from domain.tokens import ApiToken
from tests.installation import command
from webui import bearer

Run = Callable[..., CompletedProcess[str]]


@pytest.fixture
def run(database_url: str, place: Path, session: Session) -> Run:
    """Run `pantau token` where Rina is."""
    session.add(Person(login="rina", name="Rina", password_hash="x", role="admin"))
    session.commit()
    return lambda *words: command("token", *words, DATABASE_URL=database_url, PANTAU_DATA=str(place))


def test_a_token_is_made_listed_without_itself_and_revoked(run: Run, session: Session) -> None:
    made = run("make", "rina", "--name", "backup", "--scope", "read", "--scope", "edit", "--days", "7")
    assert made.returncode == 0, made.stderr
    token = made.stdout.strip()
    assert re.fullmatch(r"pantau_[A-Za-z0-9_-]{43}", token)
    row = session.scalars(select(ApiToken)).one()
    assert (row.hash, row.scopes) == (bearer.digest(token), ["read", "edit"])
    listed = run("list").stdout
    assert "backup" in listed and row.hint in listed and token not in listed
    assert run("revoke", str(row.id)).stdout == "Revoked: backup.\n"
    assert run("list", "rina").stdout == "No token opens anything.\n"


@pytest.mark.parametrize(
    "words, sentence",
    [
        (("make", "nobody", "--name", "x"), "nobody 'nobody'"),
        (("make", "rina", "--name", "x", "--scope", "everything"), "at least one of read"),
        (("revoke", "4711"), "no token 4711"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(run: Run, words: tuple[str, ...], sentence: str) -> None:
    done = run(*words)
    assert (done.returncode, done.stdout) == (1, "")
    assert sentence in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
