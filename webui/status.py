"""Home: is anything wrong, and since when. And the small answers that tell machines the web itself is alive."""

from __future__ import annotations

from datetime import datetime, timedelta

from flask import Blueprint, Response, jsonify, render_template
from sqlalchemy import func, select, text

from domain.clock import now
from domain.inventory import Host
from domain.records import Change
from webui import access, board, store
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
    problems = [machine for machine in found if machine.state in board.PROBLEMS]
    counted = board.counts(found)
    return render_template(
        "status/home.html",
        active="status.home",
        pulse=board.pulse(moment),
        found=found,
        problems=problems[:SHOWN],
        more=len(problems) - SHOWN,
        counted=counted,
        answer=board.answer(counted, len(found)),
        last_trouble=board.last_trouble() if not problems else None,
        day=strip(_together(found, moment), moment, wide=True) if found else "",
    )


@blueprint.get("/beat")
@access.signed_in
def beat() -> Response:
    """What a page asks every few seconds: has anything changed since it was drawn?"""
    moment = now()
    changed, hosts = (
        store.session()
        .execute(select(select(func.max(Change.id)).scalar_subquery(), select(func.count(Host.id)).scalar_subquery()))
        .one()
    )
    pulse = board.pulse(moment)
    age = int((moment - pulse.at).total_seconds()) if pulse.at else None
    version = f"{changed}/{hosts}/{int(moment.timestamp()) // REFRESH}/{pulse.silent}"
    return jsonify(version=version, age=age, silent=pulse.silent)


@blueprint.get("/healthz")
@access.public
def healthz() -> Response:
    """200 while pages can be served: the web answers and its database does."""
    store.session().execute(text("select 1"))
    return Response("ok\n", mimetype="text/plain")


def _together(found: list[board.Machine], moment: datetime) -> list[Interval]:
    """The day of all machines in one strip: at each moment the worst of those that could be asked."""
    histories = board.histories([machine.id for machine in found], moment - timedelta(hours=24))
    joined = [interval for history in histories.values() for interval in history]
    return [row for row in joined if shape(row[2]) != "unknown"]
