"""Maintenance for scripts at the address they first had; webui/api/maintenance.py is where it lives now."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, request
from sqlalchemy.orm import joinedload

from domain import calendar
from domain.clock import now
from domain.inventory import Window
from webui import access, faults, store, windows

blueprint = Blueprint("windows_api", __name__, url_prefix="/api/maintenance")


@blueprint.get("")
@access.admin
def index() -> Response:
    """Every window that is running, coming, or was over within 30 days."""
    running, coming, over = windows.listed(store.session(), now())
    told = {"running": running, "coming": coming, "over": over}
    return jsonify({name: [windows.as_json(one) for one in found] for name, found in told.items()})


@blueprint.post("")
@access.admin
def make() -> tuple[Response, int]:
    """A new window: a target, and either `for` (from now on) or the fields of its kind."""
    asked, session, at = request.get_json(silent=True), store.session(), now()
    try:
        if not isinstance(asked, dict):
            raise ValueError("the request's body is a JSON object.")
        aim = windows.aimed(session, asked)
        rule = windows.ruled(asked, at, store.settings().zone)
        if not calendar.occurrences(rule, at, 1):
            raise ValueError("this window lies wholly in the past.")
        note = asked.get("note", "")
        if not isinstance(note, str):
            raise ValueError("'note' is a text.")
    except ValueError as error:
        return _refused(str(error), 422)
    row = windows.make(session, rule, aim, note, access.person().id)
    session.commit()
    return jsonify(windows.as_json(windows.stand(row, at))), 201


@blueprint.post("/<int:window_id>/end")
@access.admin
def end(window_id: int) -> tuple[Response, int]:
    """End it now; with {"whole": true} a repeated one for good."""
    session, at = store.session(), now()
    row = session.get(Window, window_id, options=[joinedload(Window.host)], with_for_update={"of": Window})
    if row is None:
        return _refused("there is no such window.", 404)
    asked = request.get_json(silent=True)
    whole = isinstance(asked, dict) and asked.get("whole") is True
    if not windows.end(session, row, access.person().id, at, whole=whole):
        session.rollback()
        return _refused("nothing of it is left to end.", 409)
    session.commit()
    return jsonify(windows.as_json(windows.stand(row, at))), 200


def _refused(sentence: str, code: int) -> tuple[Response, int]:
    return faults.problem(code, sentence[:1].upper() + sentence[1:]), code
