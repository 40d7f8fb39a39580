"""Limits of one machine set by hand: on what is measured, in its own unit, and taken away again."""

from __future__ import annotations

import re

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from domain.inventory import Division, Threshold
from tests.webui.cast import Town, Visitor
from webui import whatif

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
    assert rina.post(f"/limits/{row.id}/delete", {}, page=where).status_code == 303
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


@pytest.mark.parametrize(
    ("measure", "typed", "stored"),
    [
        ("system.cpu.utilization", "80 %", 0.8), ("system.cpu.utilization", "80", 0.8),
        ("system.cpu.utilization", "0,8", 0.8), ("system.memory.utilization", "92,5 %", 0.925),
    ],
)  # fmt: skip
def test_amounts_are_typed_as_people_say_them(
    rina: Visitor, town: Town, session: Session, measure: str, typed: str, stored: float
) -> None:
    host = town.machine("web-01", "10.0.0.31")
    assert rina.post(f"/machines/{host.id}/limits", {**FORM, "measure": measure, "amount": typed}).status_code == 303
    assert own(session)[0].over == pytest.approx(stored)


def test_what_was_taken_away_is_back_after_undo(rina: Visitor, town: Town, session: Session) -> None:
    host = town.machine("web-01", "10.0.0.31")
    where = f"/machines/{host.id}/limits"
    rina.post(where, {**FORM, "clear": "90 %", "clear_minutes": "2"})
    (row,) = own(session)
    before = (row.measure, row.over, row.clear, row.clear_for_s)
    answer = rina.post(f"/limits/{row.id}/delete", {}, page=where)
    assert own(session) == []
    page = answer.location
    assert "Undo" in rina.get(page).text
    edit = page.rpartition("=")[2]
    assert rina.post(f"/limits/undo/{edit}", {}, page=page).status_code == 303
    (row,) = own(session)
    assert (row.measure, row.over, row.clear, row.clear_for_s) == before == ("system.cpu.utilization", 0.95, 0.9, 120)
    assert rina.post(f"/limits/undo/{edit}", {}, page=where).status_code == 404


def test_a_limit_is_changed_in_place(rina: Visitor, town: Town, session: Session) -> None:
    host = town.machine("web-01", "10.0.0.31")
    where = f"/machines/{host.id}/limits"
    rina.post(where, dict(FORM))
    (row,) = own(session)
    assert 'value="95 %"' in rina.get(f"{where}?change={row.id}").text
    assert rina.post(where, {**FORM, "amount": "90 %", "change": row.id}).status_code == 303
    assert [one.over for one in own(session)] == [0.9]


def test_the_page_says_where_a_limit_comes_from_and_what_it_stands_before(
    rina: Visitor, town: Town, session: Session
) -> None:
    host = town.machine("web-01", "10.0.0.31")
    division = Division(name="Warehouse")
    session.add(division)
    session.flush()
    session.merge(host).division_id = division.id
    session.commit()
    assert (
        rina.post(f"/limits/division/{division.id}", {**FORM, "state": "warning", "amount": "70 %"}).status_code == 303
    )
    page = rina.get(f"/machines/{host.id}/limits").text
    assert "from division Warehouse" in page
    assert "stands before:" in page
    assert "for all machines" in page
    assert "Warehouse" in rina.get("/limits").text
    assert rina.get("/limits/division/999").status_code == 404


def test_a_limit_is_tried_on_what_is_stored_before_it_is_set(rina: Visitor, town: Town, session: Session) -> None:
    host = town.machine("web-01", "10.0.0.31", cpu=0.85)  # 45 minutes around 85 %
    where = f"/machines/{host.id}/limits"
    tried = rina.post(where, {**FORM, "amount": "70 %", "minutes": "5", "do": "try"})
    assert tried.status_code == 200
    assert "Would have alarmed once in 1 day" in tried.text
    assert "not over yet" in tried.text
    assert 'class="plot"' in tried.text
    assert own(session) == []
    calm = rina.post(where, {**FORM, "amount": "99 %", "do": "try"})
    assert "Would not have alarmed in the last day." in calm.text
    nothing = rina.post("/limits", {**FORM, "measure": "system.memory.utilization", "amount": "99 %", "do": "try"})
    assert "Would not have alarmed" in nothing.text


def test_what_is_too_much_for_one_question_is_not_tried_and_the_page_says_so(
    rina: Visitor, town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(3):
        town.machine(f"web-0{n}", "10.0.0.31", cpu=0.85)  # 45 samples each
    calm = town.machine("web-09", "10.0.0.39", cpu=0.2)
    limit = {**FORM, "amount": "70 %", "minutes": "5", "do": "try"}
    monkeypatch.setattr(whatif, "MOST", 100)
    tried = rina.post("/limits", limit).text
    assert "Would have alarmed 2 times in 1 day" in tried
    assert "Tried on 3 machines." in tried
    assert "1 more machine was not tried." in tried
    monkeypatch.setattr(whatif, "MOST", 20)
    begun = rina.post(f"/machines/{calm.id - 1}/limits", limit).text
    assert "Would have alarmed once in 1 day" in begun
    monkeypatch.undo()
    whole = rina.post(f"/machines/{calm.id - 1}/limits", limit).text
    since = [re.findall(r"since ([^<]+), up to [^<]+, not over yet", page) for page in (begun, whole)]
    assert len(since[0]) == len(since[1]) == 1
    assert since[0] != since[1], "the oldest samples of a machine that has too many are left out"
    assert "Would not have alarmed" in rina.post(f"/machines/{calm.id}/limits", limit).text


def test_one_limit_for_many_machines_is_one_edit_and_one_undo(rina: Visitor, town: Town, session: Session) -> None:
    first, second = town.machine("web-01", "10.0.0.31"), town.machine("web-02", "10.0.0.32")
    where = f"/machines/{first.id}/limits"
    answer = rina.post(where, {**FORM, "also": str(second.id)})
    assert {row.host_id for row in own(session)} == {first.id, second.id}
    edit = answer.location.rpartition("=")[2]
    rina.post(f"/limits/undo/{edit}", {}, page=answer.location)
    assert own(session) == []
