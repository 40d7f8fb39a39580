"""Nonsense in addresses, forms and scripts is answered with a sentence, never with a broken page."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from domain.clock import now
from domain.inventory import Division, LimitEdit, Person, Threshold
from domain.records import Incident
from tests.webui.cast import Town, Visitor
from tests.webui.test_maintenance import call
from webui.limitedits import plain

HUGE = (2**31, 2**63, 10**30)


@pytest.mark.parametrize("number", HUGE)
def test_a_number_too_large_for_any_row_is_no_such_page(rina: Visitor, town: Town, number: int) -> None:
    host = town.machine("db-02", "10.0.0.12")
    for path in (f"/incidents/{number}", f"/machines/{number}", f"/machines/{number}/way", f"/limits/group/{number}"):
        assert rina.get(path).status_code == 404, path
    for path in (f"/maintenance/{number}/end", f"/limits/undo/{number}", f"/limits/{number}/delete"):
        assert rina.post(path, {}, page="/me").status_code == 404, path
    assert call(rina, f"/api/maintenance/{number}/end", {})[0] == 404
    for query in (f"edit={number}", f"change={number}"):
        assert rina.get(f"/machines/{host.id}/limits?{query}").status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        {"host": "db\x0002", "for": "1h"},
        {"host": "db-02", "for": "1h", "note": "a\x00b"},
        {"host": "db-02", "from": "0001-01-01T00:00+14:00", "until": "0001-01-01T02:00+14:00"},
        {"host": "db-02", "from": "9999-12-31T22:00Z", "until": "9999-12-31T23:00Z"},
        {"host": "db-02", "for": []},
        {"host": ["db-02"], "for": "1h"},
        {"everything": True, "for": "1h", "zone": "../../etc/passwd"},
        [],
        "emoji 🙂",
    ],
)
def test_a_script_that_asks_for_nonsense_is_told_so(rina: Visitor, town: Town, body: object) -> None:
    town.machine("db-02", "10.0.0.12")
    status, answer = call(rina, "/api/maintenance", body)
    assert status == 422, answer
    assert rina.get("/maintenance").status_code == 200


def test_undoing_limits_of_a_division_that_is_gone_leaves_it_gone(rina: Visitor, session: Session) -> None:
    division = Division(name="Warehouse")
    session.add(division)
    session.flush()
    limit = plain(Threshold(division_id=division.id, measure="m", part="", state="warning", over=1.0, for_s=60))
    edit = LimitEdit(made_by=session.scalar(select(func.min(Person.id))), before=[limit], after=[])
    session.add(edit)
    session.flush()
    session.execute(delete(Division))
    session.commit()
    assert rina.post(f"/limits/undo/{edit.id}", {}, page="/me").status_code == 303
    assert session.scalar(select(func.count()).where(Threshold.measure == "m")) == 0


def test_what_was_changed_longer_than_a_day_ago_is_not_undone(rina: Visitor, session: Session) -> None:
    maker = session.scalar(select(func.min(Person.id)))
    edit = LimitEdit(made_by=maker, before=[], after=[], made_at=now() - timedelta(hours=25))
    session.add(edit)
    session.commit()
    assert rina.post(f"/limits/undo/{edit.id}", {}, page="/me").status_code == 404


def test_notes_hold_what_people_type_and_not_what_breaks_the_table(rina: Visitor, town: Town, session: Session) -> None:
    host = town.machine("db-02", "10.0.0.12")
    row = Incident(subject=f"host:{host.id}", host_id=host.id, state="down", since=now(), opened_at=now())
    session.add(row)
    session.commit()
    page = f"/incidents/{row.id}"
    for text in ("🙂" * 5000, "nul\x00nul", ""):
        for path, field in (("note", "text"), ("acknowledge", "note"), ("close", "cause")):
            assert rina.post(f"{page}/{path}", {field: text}, page=page).status_code in (303, 409, 422), (
                path,
                text[:9],
            )
        assert rina.get(page).status_code == 200
    for number in HUGE:
        assert rina.post(f"{page}/merge", {"into": str(number)}, page=page).status_code == 404
        assert rina.post(f"{page}/hand-over", {"to": str(number)}, page=page).status_code == 404
