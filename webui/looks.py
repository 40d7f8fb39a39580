"""Looks somebody waits for: asked here, answered by the poller; a test is shown as a ladder, rung by rung."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from flask import Blueprint, abort, jsonify, render_template, request, url_for
from werkzeug.wrappers import Response

from domain.clock import now
from domain.inventory import Host
from domain.requests import Look
from domain.rights import Right
from probes import catalogue
from webui import access, audited, store
from webui.language import gettext, lazy_gettext
from webui.logins import Login
from webui.wording import number, titles, value

blueprint = Blueprint("looks", __name__, url_prefix="/looks")

PATIENCE = timedelta(seconds=5)
GIVEN_UP = timedelta(minutes=2)
"""The poller claims nothing older than this."""
RUNGS = {
    "name": lazy_gettext("Name"),
    "ping": lazy_gettext("Ping"),
    "port": lazy_gettext("Port"),
    "login": lazy_gettext("Login"),
    "command": lazy_gettext("Command"),
    "value": lazy_gettext("Value"),
}
HINTS = {
    "name": lazy_gettext("Check the spelling of the name, or enter the machine's IP address instead."),
    "ping": lazy_gettext("Many firewalls drop pings. Where the next rung answers, this is no fault."),
    "port": lazy_gettext(
        "See that the service runs there, that the port is right, and that no firewall between Pantau's machine and this one closes it."
    ),
    "login": lazy_gettext("Check the user name and the secret by logging in once by hand from Pantau's machine."),
    "command": lazy_gettext(
        "The login works. See that this account may run commands: it needs a plain shell and no forced command."
    ),
    "value": lazy_gettext("It answers, but not as this check expects. Compare the options with what it says."),
}
MOST_VALUES = 60


@dataclass(frozen=True)
class Rung:
    """One step of the ladder: `state` is ok, fail or skip; `took` in seconds; `hint` says what to do about a failure."""

    name: str
    state: str
    detail: str
    took: float
    hint: str


def run(host_id: int) -> Look:
    """Ask for a look at all checks of a machine, in the caller's transaction."""
    return _ask("run", {}, host_id=host_id)


def sweep(addresses: Iterable[str], names: dict[str, str]) -> Look:
    """Ask what answers at `addresses`, in the caller's transaction."""
    wanted = list(addresses)
    audited.note("look.swept", count=len(wanted), first=wanted[:20])
    return _ask("sweep", {"addresses": wanted, "names": names})


def test(host: Host, kind: str, options: dict[str, Any], credential_id: int | None, login: Login | None) -> Look:
    """Ask for a look with options that are not stored yet; a login just typed is sealed for this look alone."""
    asked: dict[str, Any] = {"kind": kind, "address": host.address, "options": options, "host_id": host.id}
    asked["credential_id"] = credential_id
    if login is not None:
        asked["typed"] = {"kind": login.kind, "username": login.username}
    audited.note(
        "look.tested",
        f"host:{host.id}",
        name=host.name,
        kind=kind,
        address=host.address,
        credential=credential_id,
        typed=login.username if login is not None else None,
    )
    return _ask("test", asked, host_id=host.id, login=login)


def own(look_id: str, kind: str) -> Look:
    """A look this very person asked for; any other is 404."""
    look = store.session().get(Look, look_id)
    if look is None or look.kind != kind or look.asked_by != access.person().id:
        abort(404)
    return look


def fresh(look: Look) -> bool:
    """Whether it was asked so recently that nobody need have answered yet."""
    return now() - look.asked_at < PATIENCE


def pending(look: Look) -> bool:
    """Whether more of the answer may come."""
    return look.done_at is None and not look.answer.get("error") and now() - look.asked_at < GIVEN_UP


@blueprint.get("/<look_id>")
@access.may(Right.EDIT)
def show(look_id: str) -> str | Response:
    """The ladder as far as it has come: a page, or JSON for whoever asks for that."""
    look = own(look_id, "test")
    ladder = {
        "pending": pending(look),
        "silent": look.claimed_at is None and not fresh(look),
        "error": str(look.answer.get("error") or ""),
        "rungs": _rungs(look),
        "values": _values(look),
        "facts": _facts(look),
    }
    if request.accept_mimetypes.best_match(["text/html", "application/json"]) == "application/json":
        return jsonify(ladder)
    kind = str(look.asked.get("kind"))
    probe = catalogue().get(kind)
    return render_template(
        "looks/show.html",
        active="machines.index",
        look=look,
        label=gettext(probe.label) if probe else kind,
        back=url_for("edit.machine", host_id=look.host_id) if look.host_id else url_for("machines.index"),
        rung_names=RUNGS,
        good=look.done_at is not None and bool(ladder["rungs"]) and _rungs(look)[-1].state == "ok",
        **ladder,
    )


def _ask(kind: str, asked: dict[str, Any], host_id: int | None = None, login: Login | None = None) -> Look:
    id = str(uuid.uuid4())
    look = Look(id=id, kind=kind, asked=asked, host_id=host_id, asked_by=access.person().id)
    if login is not None:
        look.sealed = login.sealed(f"look:{id}")
    store.session().add(look)
    store.announce("asked", id)
    return look


def _rungs(look: Look) -> list[Rung]:
    kind = str(look.asked.get("kind"))
    found = []
    for row in look.answer.get("rungs", ()):
        name, state = str(row.get("rung")), str(row.get("state"))
        hint = HINTS.get(_meant(kind, name), "") if state == "fail" else ""
        found.append(Rung(name, state, str(row.get("detail") or ""), float(row.get("took") or 0), str(hint)))
    return found


def _meant(kind: str, rung: str) -> str:
    """Which hint fits: the one rung of a ping or a port check is that ping, that port."""
    return {"icmp": "ping", "tcp": "port"}.get(kind, rung) if rung == "value" else rung


def _values(look: Look) -> list[tuple[str, str]]:
    """(title, value as people say it) of what was read."""
    known = titles()
    measures = (look.answer.get("reading") or {}).get("measures", ())[:MOST_VALUES]
    return [
        (
            f"{gettext(known[m['name']]) if m['name'] in known else m['name']} {m.get('of') or ''}".strip(),
            _said(m) if isinstance(m["value"], int | float) else "–",
        )
        for m in measures
    ]


def _said(measure: dict[str, Any]) -> str:
    """A number as people say it: of the unitless ones only ratios are per cent, a load or a status is a number."""
    unit, ratio = str(measure.get("unit") or ""), measure["name"].endswith(("utilization", ".loss"))
    return value(float(measure["value"]), unit) if ratio or unit != "1" else number(float(measure["value"]), 2)


def _facts(look: Look) -> list[tuple[str, str]]:
    facts = (look.answer.get("reading") or {}).get("facts", ())[:MOST_VALUES]
    return [(f"{f['name']} {f.get('of') or ''}".strip(), str(f["value"])[:300]) for f in facts]
