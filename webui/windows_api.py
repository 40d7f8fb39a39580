"""Maintenance for scripts, as JSON: begin, plan, end, list. Administrators only."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, Response, jsonify, request
from sqlalchemy.orm import joinedload

from domain import calendar
from domain.calendar import Rule
from domain.clock import now
from domain.inventory import Window
from webui import access, faults, store, windows

blueprint = Blueprint("windows_api", __name__, url_prefix="/api/maintenance")

OWN = {"host", "group", "division", "site", "everything", "note", "for", "zone", "kind"}


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
        aim = _aim(asked)
        rule = _rule(asked, at)
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


def _aim(asked: dict[str, Any]) -> tuple[str, int | None]:
    named = [kind for kind in ("host", "group", "division", "site", "everything") if asked.get(kind)]
    if len(named) != 1:
        raise ValueError("name exactly one of host, group, division, site and everything.")
    value = asked[named[0]]
    if named[0] == "everything" and value is not True:
        raise ValueError("'everything' is true or left out.")
    if named[0] != "everything" and not isinstance(value, str):
        raise ValueError(f"'{named[0]}' is a name.")
    return windows.find(store.session(), named[0], str(value))


def _rule(asked: dict[str, Any], at: datetime) -> Rule:
    zone = str(asked.get("zone") or store.settings().zone)
    if "for" in asked:
        strange = sorted(set(asked) - OWN)
        if strange:
            raise ValueError(f"'for' begins now and takes no '{strange[0]}'.")
        return calendar.once(at, at + calendar.length(str(asked["for"])), zone=zone)
    options = {key: value for key, value in asked.items() if key not in OWN}
    for key in ("duration", "lasts"):
        if isinstance(options.get(key), str):
            options[key] = calendar.length(options[key]).total_seconds()
    if asked.get("kind", "once") == "once" and "until" in options:
        options.setdefault("from", at.astimezone(UTC).isoformat())
    return calendar.read(str(asked.get("kind", "once")), options, zone)


def _refused(sentence: str, code: int) -> tuple[Response, int]:
    return faults.problem(code, sentence[:1].upper() + sentence[1:]), code
