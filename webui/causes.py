"""Why a machine is as it is, in a few words for lists and headings."""

from __future__ import annotations

from flask import Flask

from domain.clock import now
from webui import units
from webui.language import gettext
from webui.watched import Machine
from webui.wording import MEASURES, share, span, titles


def install(app: Flask) -> None:
    """Give templates `cause(machine)`."""
    app.jinja_env.globals["cause"] = cause


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
        return (
            f"{shown} · {share(machine.amount) if whole else units.say(machine.amount, machine.unit, machine.measure)}"
        )
    return str(machine.reason)
