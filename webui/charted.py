"""The last hour of a machine as numbers, kept in a message as they are now, and drawn again whenever it is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from markupsafe import Markup

from domain.clock import now
from domain.inventory import Host
from webui import figures, series
from webui.drawing import sparkline
from webui.handling import Refused
from webui.language import gettext
from webui.units import is_share, say
from webui.wording import moment, titles

HOUR = timedelta(hours=1)
POINTS = 60
LINES = 4
DIGITS = 6
"""Significant digits of a kept number."""


@dataclass(frozen=True)
class Curve:
    """One line of a kept chart."""

    title: str
    says: str
    least: str
    most: str
    drawn: Markup


@dataclass(frozen=True)
class Chart:
    """A kept chart as it is shown."""

    name: str
    until: str
    curves: tuple[Curve, ...]


def taken(host: Host) -> dict[str, Any]:
    """The last hour: {"chart": {"name", "until", "lines": [{"measure", "part", "unit", "values": [number or null]}]}}.

    Raises Refused where nothing was measured.
    """
    moment = now()
    sets = series.kept(host.id, moment - HOUR, moment)
    keys = list(dict.fromkeys(key for own in sets.values() for key in own))
    chosen: list[series.Key] = []
    for kind in figures.charts(keys):
        if not figures.folded(kind, keys):
            chosen += figures.choose(kind, keys, {})[:1]
    lines = series.lines(moment - HOUR, moment, POINTS, sets, chosen[:LINES])
    order = {key: place for place, key in enumerate(chosen)}
    kept = [
        {
            "measure": line.name,
            "part": line.part,
            "unit": line.unit,
            "values": [None if value is None else float(f"{value:.{DIGITS}g}") for _, value in line.points],
        }
        for line in sorted(lines, key=lambda one: order.get(series.Key(one.check_id, one.name, one.part, one.unit), 99))
        if line.known
    ]
    if not kept:
        raise Refused(gettext("Nothing was measured of %(name)s within the last hour.", name=host.name))
    return {"chart": {"name": host.name, "until": moment.isoformat(), "lines": kept}}


def shown(detail: Mapping[str, Any]) -> Chart | None:
    """The chart a message carries, if it carries one."""
    kept = detail.get("chart")
    if not isinstance(kept, Mapping):
        return None
    curves = tuple(
        _curve(str(one["measure"]), str(one["part"]), str(one["unit"]), one["values"]) for one in kept["lines"]
    )
    return Chart(str(kept["name"]), moment(datetime.fromisoformat(str(kept["until"]))), curves)


def _curve(name: str, part: str, unit: str, values: Sequence[float | None]) -> Curve:
    known = [value for value in values if value is not None]
    least, most = say(min(known), unit, name), say(max(known), unit, name)
    high = 1.0 if is_share(name, unit) and max(known) > 0.1 else None
    title = f"{gettext(titles().get(name, name))} {part}".strip()
    return Curve(
        title, say(known[-1], unit, name), least, most, sparkline(values, f"{title}: {least} – {most}", high=high)
    )
