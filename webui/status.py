"""Home: is anything wrong, and since when. And the small answers that tell machines the web itself is alive."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from flask import Blueprint, Response, jsonify, render_template
from sqlalchemy import func, select, text

from domain.clock import now
from domain.inventory import Host
from domain.records import Change
from webui import access, board, store
from webui.drawing import Interval, strip
from webui.language import gettext, ngettext
from webui.wording import shape

blueprint = Blueprint("status", __name__)

SHOWN = 50
SAID = 2
"""So many kinds of trouble are named in the sentence; the rest is a number."""
REFRESH = 30


@dataclass(frozen=True)
class Answer:
    """The sentence on top: its shape and its words."""

    state: str
    words: str


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
        answer=_answer(counted, len(found)),
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


def _answer(counted: dict[str, int], total: int) -> Answer:
    """What is wrong, in one sentence."""
    wrong = {state: number for state, number in counted.items() if state in board.PROBLEMS}
    if wrong:
        parts = [_part(state, number) for state, number in list(wrong.items())[:SAID]]
        left = sum(list(wrong.values())[SAID:])
        if left:
            parts.append(ngettext("%(num)s more needs a look", "%(num)s more need a look", left))
        return Answer(next(iter(wrong)), ", ".join(parts) + ".")
    waiting = counted.get("pending", 0)
    if waiting:
        words = ngettext(
            "Waiting for the first look at %(num)s machine.", "Waiting for the first look at %(num)s machines.", waiting
        )
        return Answer("pending", words)
    watched = total - counted.get("disabled", 0)
    if not watched:
        return Answer("disabled", gettext("Nothing is being watched: every machine is switched off."))
    return Answer("up", ngettext("The one machine is up.", "All %(num)s machines are up.", watched))


def _part(state: str, number: int) -> str:
    if state == "down":
        return ngettext("%(num)s machine is down", "%(num)s machines are down", number)
    if state == "critical":
        return ngettext("%(num)s machine is critical", "%(num)s machines are critical", number)
    if state == "unreachable":
        return ngettext("%(num)s machine is unreachable", "%(num)s machines are unreachable", number)
    if state == "warning":
        return ngettext("%(num)s machine has a warning", "%(num)s machines have a warning", number)
    return ngettext("%(num)s machine could not be asked", "%(num)s machines could not be asked", number)


def _together(found: list[board.Machine], moment: datetime) -> list[Interval]:
    """The day of all machines in one strip: at each moment the worst of those that could be asked."""
    histories = board.histories([machine.id for machine in found], moment - timedelta(hours=24))
    joined = [interval for history in histories.values() for interval in history]
    return [row for row in joined if shape(row[2]) != "unknown"]
