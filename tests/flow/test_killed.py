"""A pen killed at any moment, again and again, writes what one that lived would have written: nothing lost, nothing twice."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy.orm import Session

from tests.flow.estate import Estate

MINUTES = 42
KILLS = 8
PARENTS = {
    "router": [],
    **{f"behind{n}": ["router"] for n in range(8)},
    "alone": [],
    "nervous": [],
    "second": [],
    "both": ["router", "second"],
}
OUTAGES = {"router": [(5, 12), (30, 36)], "alone": [(8, 20)], "behind3": [(18, 24)], "second": [(33, 40)]}
TOLD = "select kind, subject from notice order by id"
CHANGED = "select subject, from_state, to_state, since, reason from change order by id"
OPENED = "select subject, state, since, closed_at from incident order by id"
LISTED = (
    "select i.subject, m.host_id, m.until is null from incident_member m join incident i on i.id = m.incident_id"
    " order by m.incident_id, m.host_id, m.since"
)
SPANS = "select subject, state, since, until from state_interval order by subject, since"
SEEN = "select check_id, ts, state from raw order by ts, check_id"


def well(name: str, minute: float) -> bool:
    """Whether a machine answers: its own outages, its ways, and one that comes and goes."""
    if any(begin <= minute < end for begin, end in OUTAGES.get(name, [])):
        return False
    if name == "nervous" and 5 < minute < 25 and int(minute) % 2:
        return False
    return not PARENTS[name] or any(well(parent, minute) for parent in PARENTS[name])


def tape() -> list[list[Any]]:
    dice, names, rows = random.Random(5), list(PARENTS), []
    for minute in range(MINUTES):
        dice.shuffle(names)
        for place, name in enumerate(names):
            seconds = minute * 60 + place * 4 + 0.25
            rows.append([seconds, name, well(name, seconds / 60)])
    return rows


def fed(given: dict[str, Any], place: Path, life: float | None) -> bool:
    """Whether a process wrote all there was; killed after so many seconds at work (None: left alone)."""
    file = place / "given.json"
    file.write_text(json.dumps(given))
    words = [sys.executable, "-m", "tests.flow.feeder", str(file)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        if life is not None:
            time.sleep(life)
            process.send_signal(signal.SIGKILL)
        return process.wait(120) == 0


def asked(url: str) -> list[list[tuple[Any, ...]]]:
    with psycopg.connect(url) as connection:
        return [connection.execute(query.encode()).fetchall() for query in (TOLD, CHANGED, OPENED, LISTED, SPANS, SEEN)]


def emptied(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "truncate batch, raw, latest, track, change, state_interval, incident, notice, standing, failure"
            " restart identity cascade"
        )


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", [1])
def test_a_pen_killed_at_any_moment_loses_and_doubles_nothing(
    database_url: str, session: Session, tmp_path: Path, seed: int
) -> None:
    net = Estate(database_url, session, tmp_path / "spool", PARENTS)
    given = {"url": database_url, "spool": str(net.spool), "parents": PARENTS, "ids": net.ids, "checks": net.checks}
    assert fed({**given, "tape": tape()}, tmp_path, None)
    expected = asked(database_url)
    kinds = [kind for kind, _ in expected[0]]
    assert len(kinds) >= 10 and {"problem", "recovery", "flap_start", "flap_stop"} <= set(kinds)
    emptied(database_url)
    dice, killed = random.Random(seed), 0
    again = {**given, "spool": str(tmp_path / "other"), "tape": tape()}
    while not fed(again, tmp_path, dice.uniform(0, 0.12) if killed < KILLS else None):
        killed += 1
    assert killed >= 3
    assert asked(database_url) == expected
