"""Home: is anything wrong, and since when. And the small answers that tell machines the web itself is alive."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta

from flask import Blueprint, Response, jsonify, render_template
from sqlalchemy import func, select, text

from domain.clock import now
from domain.inventory import Host
from domain.records import Change, IncidentEvent
from webui import access, board, store, watched
from webui.drawing import Interval, strip
from webui.wording import shape

blueprint = Blueprint("status", __name__)

SHOWN = 50
REFRESH = 30


@blueprint.get("/")
@access.signed_in
def home() -> str:
    """One sentence, then what is wrong, worst first; when all is well, next to nothing."""
    moment = now()
    found = board.machines(access.person())
    pulse = board.pulse(moment)
    planned = [machine for machine in found if machine.maintenance]
    orderly = board.in_order(found)
    wrong = [machine for machine in orderly if machine.state in board.PROBLEMS]
    if pulse.silent:  # one sentence says that nobody looks; it is not said of every machine again
        wrong = [machine for machine in wrong if not (machine.stale and machine.state == "unknown")]
    line = watched.own_line(store.session())
    roots = {machine.id for machine in (*wrong, *planned)} | ({0} if line else set())
    problems = [machine for machine in wrong if machine.blocked_by not in roots]
    behind = Counter(machine.blocked_by for machine in wrong if machine.blocked_by in roots)
    counted = board.counts(found)
    return render_template(
        "status/home.html",
        active="status.home",
        pulse=pulse,
        found=found,
        problems=problems[:SHOWN],
        behind=behind,
        line=line,
        planned=planned,
        unowned=_unowned(problems, moment),
        more=len(problems) - SHOWN,
        counted=counted,
        answer=board.answer(board.counts(wrong) or board.counts(orderly), len(orderly), len(planned)),
        last_trouble=board.last_trouble(access.person()) if not problems else None,
        day=strip(_together(found, moment), moment, wide=True) if found else "",
    )


@blueprint.get("/beat")
@access.signed_in
def beat() -> Response:
    """What a page asks every few seconds: has anything changed since it was drawn?"""
    moment = now()
    changed, hosts, happened = (
        store.session()
        .execute(
            select(
                select(func.max(Change.id)).scalar_subquery(),
                select(func.count(Host.id)).scalar_subquery(),
                select(func.max(IncidentEvent.id)).scalar_subquery(),
            )
        )
        .one()
    )
    pulse = board.pulse(moment)
    age = int((moment - pulse.at).total_seconds()) if pulse.at else None
    version = f"{changed}/{hosts}/{happened}/{int(moment.timestamp()) // REFRESH}/{pulse.silent}"
    return jsonify(version=version, age=age, silent=pulse.silent)


@blueprint.get("/healthz")
@access.public
def healthz() -> Response:
    """200 while pages can be served: the web answers and its database does."""
    store.session().execute(text("select 1"))
    return Response("ok\n", mimetype="text/plain")


def _unowned(problems: list[board.Machine], moment: datetime) -> int | None:
    """How many of these nobody has in hand; None where it is one alone, whose line says it."""
    cases = [one.case for one in problems if one.case]
    if len(cases) < 2:
        return None
    return sum(one.owner_id is None or (one.until is not None and one.until <= moment) for one in cases)


def _together(found: list[board.Machine], moment: datetime) -> list[Interval]:
    """The day of all machines in one strip: at each moment the worst of those that could be asked."""
    histories = board.histories([machine.id for machine in found], moment - timedelta(hours=24))
    joined = [interval for history in histories.values() for interval in history]
    return [row for row in joined if shape(row[2]) != "unknown"]
