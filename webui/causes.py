"""Why a machine is as it is, in a few words for lists and headings."""

from __future__ import annotations

from functools import cache

from flask import Flask

from domain.clock import now
from domain.records import Incident
from probes import catalogue
from webui import normals, units
from webui.language import gettext
from webui.watched import Machine
from webui.wording import MEASURES, share, span, titles


def install(app: Flask) -> None:
    """Give templates `cause(machine)` and `seen(incident)`."""
    app.jinja_env.globals.update(cause=cause, seen=seen)


def cause(machine: Machine) -> str:
    """Why it is in its state; empty where there is no more to say."""
    if machine.stale and machine.state == "unknown" and machine.sampled_at:
        return gettext("No look for %(time)s.", time=span((now() - machine.sampled_at).total_seconds()))
    if machine.state == "unreachable":
        return gettext("A machine on the way to it is down.")
    if machine.measure:
        title = MEASURES.get(machine.measure) or titles().get(machine.measure, machine.measure)
        shown = f"{gettext(str(title))} {machine.part}".strip()
        if machine.amount is None:
            return shown
        whole = units.is_share(machine.measure, machine.unit)
        told = share(machine.amount) if whole else units.say(machine.amount, machine.unit, machine.measure)
        usual = normals.range_of(machine.case.cause if machine.case else "", machine.unit, machine.measure)
        beside = f" ({gettext('usually %(range)s', range=usual)})" if usual else ""
        return f"{shown} · {told}{beside}"
    return str(machine.reason)


def seen(incident: Incident) -> str:
    """What was seen when it began: the sentence of the failure, or the value that crossed a limit, with its unit."""
    if not incident.subject.startswith("metric:"):
        return incident.cause
    measure = incident.subject.split(":", 3)[2]
    unit = unit_of(measure)
    told = normals.why(incident.cause, unit, measure)
    if told or not incident.cause:
        return told[:1].upper() + told[1:]
    try:
        return units.say(float(incident.cause), unit, measure)
    except ValueError:
        return incident.cause


@cache
def unit_of(measure: str) -> str:
    """The unit in which a measure is stored: a counter becomes a rate; `1` where no check of this version brings it."""
    made = (one for probe in catalogue().values() for one in probe.produces if one.name == measure)
    for one in made:
        if one.kind == "counter":
            return "1" if one.unit == "s" else f"{one.unit}/s"
        return one.unit
    return "1"
