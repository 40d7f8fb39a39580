"""A router with a thousand machines behind it is cut: one problem, one recovery, all of them listed under it."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from tests.flow.conftest import answered, silent
from tests.flow.estate import Estate, rows

BEHIND = 1000
CUT, BACK, END = 3, 8, 10
"""Minutes: the cut and the repair fall within a round, so that some machines are looked at before and some after."""


@pytest.fixture
async def net(database_url: str, session: Session, tmp_path: Path) -> AsyncIterator[Estate]:
    parents: dict[str, list[str]] = {"router": [], **{f"m{number:04}": ["router"] for number in range(BEHIND)}}
    made = Estate(database_url, session, tmp_path / "spool", parents)
    yield made
    await made.close()


@pytest.mark.timeout(600)
async def test_a_router_with_a_thousand_machines_behind_it_is_cut(net: Estate, engine: Engine) -> None:
    router, dice = f"host:{net.ids['router']}", random.Random(1)
    recorder = await net.recorder()
    names = list(net.parents)
    for minute in range(END):
        dice.shuffle(names)
        for place, name in enumerate(names):
            moment = minute + place / len(names)
            recorder.add(net.round(moment, name, silent() if CUT + 0.5 <= moment < BACK + 0.5 else answered()))
            if place % 100 == 99:
                await recorder.flush()
        await recorder.flush()
        if minute == BACK - 1:
            assert rows(
                engine, "select state, count(*) from track where subject like 'host:%' group by 1 order by 1"
            ) == [
                ("down", 1),
                ("unreachable", BEHIND),
            ]
            listed = "select count(distinct m.host_id) from incident_member m join incident i on i.id = m.incident_id"
            assert rows(engine, f"{listed} where i.subject = :s and m.until is null", s=router) == [(BEHIND,)]
    assert rows(engine, "select kind, subject from notice order by id") == [("problem", router), ("recovery", router)]
    assert rows(engine, "select subject, closed_at is not null from incident") == [(router, True)]
    assert rows(engine, "select count(*), count(distinct host_id) from incident_member where until is not null") == [
        (BEHIND, BEHIND)
    ]
    assert rows(engine, "select state, count(*) from track where subject like 'host:%' group by 1") == [
        ("up", BEHIND + 1)
    ]
    assert rows(engine, "select count(*) from raw") == [((BEHIND + 1) * END,)]
