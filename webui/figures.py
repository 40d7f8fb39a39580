"""Charts of one machine: which there are, the server's own drawing of each, and the same for Plotly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from flask_babel import get_timezone
from markupsafe import Markup

from domain.inventory import Threshold
from webui.language import gettext, lazy_gettext
from webui.series import Line
from webui.wording import number, titles, value

WIDE, TALL = 600, 150
MOST = 8
"""Lines in one chart; more cannot be told apart. Those with the highest values stay."""


@dataclass(frozen=True)
class Chart:
    """A kind of chart: `names` are the measures in it; with `totals` only lines without a part, else all."""

    key: str
    title: Any
    names: tuple[str, ...]
    totals: bool = False
    share: bool = False


CHARTS = (
    Chart("cpu", lazy_gettext("CPU"), ("system.cpu.utilization", "system.cpu.iowait", "system.cpu.steal"), True, True),
    Chart("memory", lazy_gettext("Memory"), ("system.memory.utilization", "system.paging.utilization"), share=True),
    Chart("disks", lazy_gettext("File systems"), ("system.filesystem.utilization",), share=True),
    Chart("ping", lazy_gettext("Ping"), ("icmp.rtt.median", "icmp.rtt.p95", "icmp.rtt.max")),
    Chart("loss", lazy_gettext("Ping loss"), ("icmp.loss",), share=True),
    Chart("network", lazy_gettext("Network"), ("system.network.io.receive", "system.network.io.transmit")),
    Chart("io", lazy_gettext("Disk traffic"), ("system.disk.io.read", "system.disk.io.write")),
    Chart("busy", lazy_gettext("Disk busy"), ("system.disk.utilization",), share=True),
    Chart(
        "load",
        lazy_gettext("Load"),
        ("system.cpu.load_average.1m", "system.cpu.load_average.5m", "system.cpu.load_average.15m"),
    ),
    Chart("answer", lazy_gettext("Time to answer"), ("http.duration", "tcp.connect.duration")),
    Chart("certificate", lazy_gettext("Certificate left"), ("tls.certificate.expiry",)),
    Chart("processes", lazy_gettext("Processes"), ("system.processes.count",), True),
    Chart(
        "pressure",
        lazy_gettext("Pressure"),
        ("system.linux.pressure.cpu.some", "system.linux.pressure.memory.full", "system.linux.pressure.io.full"),
        share=True,
    ),
)
PLAIN = {
    "system.cpu.load_average.1m",
    "system.cpu.load_average.5m",
    "system.cpu.load_average.15m",
    "system.processes.count",
}
"""Measures whose unit is 1 and that are counts, not shares."""


def chart(key: str) -> Chart | None:
    """The kind of chart of that key."""
    return next((one for one in CHARTS if one.key == key), None)


def of(one: Chart, lines: Sequence[Line]) -> list[Line]:
    """The lines that belong in the chart, the highest first, at most MOST."""
    own = [line for line in lines if line.name in one.names and not (one.totals and line.part) and line.known]
    if len(own) > MOST:
        own = sorted(own, key=lambda line: -max(line.known))[:MOST]
    return sorted(own, key=lambda line: (one.names.index(line.name), line.part))


def label(one: Chart, line: Line) -> str:
    """What tells the line from the others of its chart."""
    if len(one.names) == 1:
        return line.part or gettext(str(one.title))
    title = gettext(titles().get(line.name, line.name))
    return f"{title} {line.part}".strip()


def said(line: Line) -> str:
    """A number of this line in words."""
    return "" if not line.known else shown(line, line.known[-1])


def shown(line: Line, amount: float) -> str:
    """`amount` as a person would say it."""
    return number(amount, 2) if line.name in PLAIN else value(amount, line.unit)


def preview(one: Chart, lines: Sequence[Line], begin: datetime, end: datetime) -> Markup:
    """The chart as the server draws it: real data in the first paint, and all there is without JavaScript."""
    top = _top(one, lines)
    paths = [_path(line, begin, end, top, index) for index, line in enumerate(lines)]
    grid = Markup("").join(
        Markup('<path class="grid" d="M0 {0:.1f}H{1}"/>').format(TALL * share, WIDE)
        for share in (0.02, 0.34, 0.66, 0.98)
    )
    return Markup(
        '<svg class="plot" viewBox="0 0 {} {}" preserveAspectRatio="none" aria-hidden="true">{}{}</svg>'
    ).format(WIDE, TALL, grid, Markup("").join(paths))


def figure(
    one: Chart, lines: Sequence[Line], limits: Sequence[Threshold], begin: datetime, end: datetime
) -> dict[str, Any]:
    """{"data", "layout"} for Plotly; times in the reader's zone, values as stored (shares 0..1, seconds, bytes)."""
    data = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": label(one, line),
            "x": [_local(at) for at, _ in line.points],
            "y": [None if amount is None else float(f"{amount:.5g}") for _, amount in line.points],
            "connectgaps": False,
            "line": {"width": 1.6},
        }
        for line in lines
    ]
    shapes, notes = _limits(one, limits)
    axis: dict[str, Any] = {"rangemode": "tozero", "fixedrange": True}
    unit = lines[0].unit if lines else "1"
    if one.share:
        axis |= {"tickformat": ".0%", "range": [0, max(1.0, _top(one, lines))]}
    elif unit in ("By", "By/s"):
        axis |= {"tickformat": ".3s", "ticksuffix": unit.replace("By", "B")}
    elif unit == "s":
        axis |= {"tickformat": ".2s", "ticksuffix": "s"}
    layout = {
        "xaxis": {"type": "date", "range": [_local(begin), _local(end)]},
        "yaxis": axis,
        "margin": {"l": 56, "r": 12, "t": 8, "b": 32},
        "showlegend": len(lines) > 1,
        "legend": {"orientation": "h", "y": -0.2},
        "hovermode": "x unified",
        "shapes": shapes,
        "annotations": notes,
    }
    return {"data": data, "layout": layout}


def _local(at: datetime) -> str:
    """The moment on the reader's own clock: Plotly knows no zones."""
    return at.astimezone(ZoneInfo(str(get_timezone()))).replace(tzinfo=None).isoformat(timespec="milliseconds")


def _limits(one: Chart, limits: Sequence[Threshold]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The limits on this chart's measures as lines with words."""
    shapes, notes = [], []
    for limit in limits:
        at = limit.over if limit.over is not None else limit.under
        if limit.measure not in one.names or at is None:
            continue
        text = gettext("critical") if limit.state == "critical" else gettext("warning")
        line = {"width": 1, "dash": "dash" if limit.state == "critical" else "dot"}
        shapes.append({"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": at, "y1": at, "line": line})
        notes.append({"xref": "paper", "x": 1, "y": at, "text": text, "showarrow": False, "xanchor": "right", "yanchor": "bottom", "font": {"size": 11}})  # fmt: skip
    return shapes, notes


def _top(one: Chart, lines: Sequence[Line]) -> float:
    highest = max((max(line.known) for line in lines if line.known), default=1.0)
    return max(1.0, highest) if one.share else (highest * 1.08 or 1.0)


def _path(line: Line, begin: datetime, end: datetime, top: float, index: int) -> Markup:
    span = (end - begin).total_seconds() or 1.0
    words, down = [], False
    for at, amount in line.points:
        if amount is not None:
            x = (at - begin).total_seconds() / span * WIDE
            y = TALL * (0.98 - 0.96 * min(1.0, max(0.0, amount / top)))
            words.append(f"{'L' if down else 'M'}{x:.1f} {y:.1f}")
        down = amount is not None
    if len(words) == 1:
        words.append("h1.5")
    return Markup('<path class="c{}" d="{}"/>').format(index, "".join(words))
