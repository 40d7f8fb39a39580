"""A change that changes nothing leaves nothing behind, and a body of any shape is refused in a sentence."""

from __future__ import annotations

import uuid

from flask import Flask
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from domain.audit import Audit
from domain.inventory import Person
from domain.requests import Discovery
from tests.webui.cast import Town
from tests.webui.program import problem, program


def test_what_is_so_already_is_answered_and_leaves_no_row(
    app: Flask, session: Session, person: Person, busy: Town
) -> None:
    hers = program(app, session, person)
    group = hers.post("/groups", {"name": "g"}).get_json()
    assert hers.get("/me").status_code == 200
    before = session.scalar(select(func.count()).select_from(Audit))
    same = hers.patch(f"/groups/{group['id']}", {"name": "g"}, Idempotency_Key="k")
    assert (same.status_code, same.get_json()) == (200, group)
    assert hers.patch("/machines/1", {}).status_code == 200
    assert hers.post("/deliveries/again", {"dead": True}, Idempotency_Key="l").get_json() == {"count": 0}
    assert hers.ask("PUT", "/machines/1/services", {"services": []}, Idempotency_Key="p").status_code == 200
    assert hers.post("/estate", {"version": 1}, Idempotency_Key="m").get_json()["changes"] == []
    session.expire_all()
    assert session.scalar(select(func.count()).select_from(Audit)) == before
    row = Discovery(id=str(uuid.uuid4()), asked_by=person.id, addresses=["10.0.0.1"], rate=50)
    session.add(row)
    session.commit()
    for key, more in (("n", 1), ("o", 0)):  # the second time there is nothing to stop
        before = session.scalar(select(func.count()).select_from(Audit))
        assert hers.post(f"/discoveries/{row.id}/stop", Idempotency_Key=key).status_code == 200
        session.expire_all()
        assert session.scalar(select(func.count()).select_from(Audit)) == before + more
    assert hers.patch(f"/groups/{group['id']}", {"name": "h"}, Idempotency_Key="k").get_json()["name"] == "h"


def test_a_measure_that_is_no_text_is_refused(app: Flask, session: Session, person: Person) -> None:
    hers = program(app, session, person)
    for measure in ([1], {"a": 1}, None, 1, True):
        told = problem(hers.post("/limits", {"measure": measure, "state": "warning", "over": 1}), 422)
        assert told["errors"][0]["pointer"] == "#/measure"
