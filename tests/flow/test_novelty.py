"""Machines that make up new names at each look: what is kept of them is bounded, and honest ones notice nothing."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from domain.reading import Fact, Measure, Reading
from poller import novelty, samples
from tests.flow.conftest import Desk


def invented(turn: int, count: int) -> Reading:
    """Names nobody has heard of."""
    return Reading(
        tuple(Measure("hw.temperature", 20.0 + turn, "Cel", f"sensor {turn}.{at}") for at in range(count)),
        tuple(Fact("hw.status", "ok", f"sensor {turn}.{at}") for at in range(count)),
    )


def stored(session: Session, query: str) -> int:
    session.rollback()
    return int(session.execute(text(query)).scalar_one())


async def test_new_names_at_each_look_are_held_to_an_allowance_and_what_is_known_goes_on(
    desk: Desk, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(novelty, "NAMES", 100)
    monkeypatch.setattr(samples, "FACTS", 60)
    pen = await desk.recorder()
    for turn in range(40):
        pen.add(desk.round(turn, invented(turn, 20)))
        await pen.flush()
    assert stored(session, "select sum(cardinality(names)) from metric_set") <= 120
    assert stored(session, "select count(*) from fact") == 60
    assert stored(session, "select count(*) from raw") == 40
    known = Measure("hw.temperature", 55.0, "Cel", "sensor 4.7")
    pen.add(desk.round(40, Reading((*invented(40, 30).measures, known))))
    await pen.flush()
    session.rollback()
    names, parts, values = session.execute(
        text("select names, parts, v from latest join metric_set on metric_set.id = set_id")
    ).one()
    assert [value for part, value in zip(parts, values, strict=True) if part == "sensor 4.7"] == [55.0]
    assert len(names) == 20


async def test_an_honest_machine_whose_parts_change_now_and_then_loses_nothing(desk: Desk, session: Session) -> None:
    pen = await desk.recorder()
    for turn in range(50):
        pen.add(desk.round(turn, invented(turn % 5, 30)))
    await pen.flush()
    assert stored(session, "select count(*) from metric_set") == 5
    assert stored(session, "select sum(cardinality(v)) from raw") == 50 * 30


async def test_names_postgresql_cannot_hold_cost_nobody_a_page(desk: Desk, session: Session) -> None:
    pen = await desk.recorder()
    harm = "\0\ud800" + "\U0001f525" * 3000
    pen.add(desk.round(0, Reading((Measure("hw.temperature", 1.0, "Cel", harm),), (Fact("hw.status", harm, harm),))))
    await pen.flush()
    assert pen.away_since is None
    assert stored(session, "select count(*) from raw") == 1
    assert stored(session, "select count(*) from fact") == 1
