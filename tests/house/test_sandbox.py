"""What whoever takes over the web process finds: no key, no other room's password, no way out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import psycopg
import pytest

from config import database, sandbox, vault
from config.settings import Settings
from tests.installation import installed, until

INSIDE = """
import json, os, sys, tempfile
from pathlib import Path
from config.settings import Settings
from webui import server

settings = Settings(data=Path(sys.argv[1]))
told = {"enclosed": server.enclose(settings)}

def tried(name, act):
    try:
        act()
        told[name] = "done"
    except Exception as error:
        told[name] = type(error).__name__

for name in ("vault.key", "notifier.key", "roles/owner.pass", "roles/poller.pass", "roles/web.pass", "vault.pub"):
    tried(name, lambda: (settings.data / name).read_text())
tried("list", lambda: os.listdir(settings.data))
tried("write", lambda: (settings.data / "left behind").write_text("x"))
tried("shadow", lambda: Path("/etc/shadow").read_text())
tried("scratch", lambda: tempfile.TemporaryFile().write(b"x"))
tried("outside", lambda: Path("/tmp/left-behind").write_text("x"))
tried("parent", lambda: Path(f"/proc/{os.getppid()}/environ").read_bytes())
tried("kill", lambda: os.kill(os.getppid(), 0))
tried("keys", lambda: __import__("config.vault").vault.opener(settings.vault_key))
print(json.dumps(told))
"""


@pytest.fixture
def data(place: Path) -> Path:
    """A data directory with its keys and passwords."""
    settings = Settings(data=place / "data")
    settings.data.mkdir()
    vault.create(settings.vault_key, settings.vault_public)
    vault.create(settings.notifier_key, settings.notifier_public)
    (settings.data / "roles").mkdir(0o700)
    for role in ("owner", "poller", "web"):
        database.passwords(settings.sockets, role).write_text("*:*:*:x:secret\n")
    return settings.data


def test_the_web_reads_what_it_needs_and_no_key(data: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(INSIDE), str(data)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told.pop("enclosed") is True
    assert {name for name, how in told.items() if how == "done"} == {"roles/web.pass", "vault.pub", "scratch"} | (
        {"kill"} if sandbox.offered() < 6 else set()
    )
    assert told["vault.key"] == told["roles/owner.pass"] == told["shadow"] == told["parent"] == "PermissionError"
    assert told["keys"] == "VaultError"


def test_places_that_are_not_there_are_passed_over(place: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from config import sandbox; print(sandbox.enter([Path('/nowhere')], []))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "True"


def test_a_running_web_server_is_enclosed_and_every_room_has_its_own_user() -> None:
    with installed() as running:
        until(lambda: running.answers)
        web = running.children()["web"]
        assert "NoNewPrivs:\t1" in Path(f"/proc/{web}/status").read_text()
        used = until(
            lambda: (
                rows
                if {"pantau_web", "pantau_poller", "pantau_notifier"}
                <= (rows := {row[0] for row in running.query("select usename from pg_stat_activity")})
                else None
            )
        )
        assert used
        assert os.stat(running.directory / "roles" / "owner.pass").st_mode & 0o077 == 0
        for user in ("pantau", "pantau_poller", "pantau_web"):
            with pytest.raises(psycopg.OperationalError, match="no password supplied"):
                psycopg.connect(f"postgresql:///pantau?host={running.directory / 'run'}&user={user}&passfile=/dev/null")
