"""Limits of one machine set by hand: on what is measured, in its own unit, and taken away again."""

from __future__ import annotations

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from domain.inventory import Threshold
from tests.webui.cast import Town, Visitor

FORM = {
    "measure": "system.cpu.utilization",
    "part": "",
    "state": "critical",
    "side": "over",
    "amount": "95 %",
    "minutes": "10",
}


def own(session: Session) -> list[Threshold]:
    session.expire_all()
    return list(session.scalars(select(Threshold).where(Threshold.host_id.is_not(None))))


def test_a_limit_is_set_shown_in_words_and_taken_away(rina: Visitor, town: Town, session: Session) -> None:
    host = town.machine("web-01", "10.0.0.31")
    where = f"/machines/{host.id}/limits"
    assert rina.post(where, dict(FORM)).status_code == 303
    (row,) = own(session)
    assert (row.measure, row.over, row.under, row.for_s, row.state) == (
        "system.cpu.utilization",
        0.95,
        None,
        600,
        "critical",
    )
    page = rina.get(where).text
    assert "above 95" in page
    again = rina.post(where, dict(FORM))
    assert again.status_code == 422
    assert "There is such a limit already" in again.text
    assert rina.post(f"{where}/{row.id}/delete", {}, page=where).status_code == 303
    assert own(session) == []


@pytest.mark.parametrize(
    ("field", "typed", "sentence"),
    [
        ("amount", "much", "not a number"), ("amount", "", "fill in"), ("minutes", "", "fill in"),
        ("minutes", "-1", "between"), ("measure", "no.such", "choose one"), ("side", "sideways", "choose one"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_beside_its_field_and_nothing_is_set(
    rina: Visitor, town: Town, session: Session, field: str, typed: str, sentence: str
) -> None:
    host = town.machine("web-01", "10.0.0.31")
    answer = rina.post(f"/machines/{host.id}/limits", {**FORM, field: typed})
    assert answer.status_code == 422
    assert sentence in answer.text
    assert own(session) == []


def test_anothers_limit_is_not_taken_away(rina: Visitor, town: Town, session: Session) -> None:
    mine, other = town.machine("web-01", "10.0.0.31"), town.machine("web-02", "10.0.0.32")
    assert rina.post(f"/machines/{other.id}/limits", dict(FORM)).status_code == 303
    (row,) = own(session)
    gone = rina.post(f"/machines/{mine.id}/limits/{row.id}/delete", {}, page=f"/machines/{mine.id}/limits")
    assert gone.status_code == 404
    assert len(own(session)) == 1
