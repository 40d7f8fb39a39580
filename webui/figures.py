"""Charts of one machine: which there are, the server's own drawing of each, and the same for Plotly."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from markupsafe import Markup

from domain.inventory import Threshold
from webui.language import gettext, lazy_gettext, locale
from webui.normals import Area
from webui.ranges import zone
from webui.series import Key, Line
from webui.units import FLAGS, Scale, is_share, low_is_bad, say, scale
from webui.wording import number, share, titles

WIDE, TALL = 600, 150
MOST = 8
"""Lines in one chart; more cannot be told apart. Those with the highest values stay."""

Outage = tuple[datetime, datetime]


@dataclass(frozen=True)
class Chart:
    """A kind of chart: `names` are the measures in it; with `totals` only lines without a part, where there are any.

    With `unit` only lines of that unit: a measure named by its user may come in several.
    """

    key: str
    title: Any
    names: tuple[str, ...]
    totals: bool = False
    unit: str = ""


CHARTS = (
    Chart("cpu", lazy_gettext("CPU"), ("system.cpu.utilization", "system.cpu.iowait", "system.cpu.steal"), True),
    Chart("memory", lazy_gettext("Memory"), ("system.memory.utilization", "system.paging.utilization")),
    Chart("disks", lazy_gettext("File systems"), ("system.filesystem.utilization",)),
    Chart("ping", lazy_gettext("Ping"), ("icmp.rtt.median", "icmp.rtt.p95", "icmp.rtt.max")),
    Chart("loss", lazy_gettext("Ping loss"), ("icmp.loss",)),
    Chart(
        "lines",
        lazy_gettext("How full the lines are"),
        ("system.network.utilization", "hw.network.bandwidth.utilization"),
    ),
    Chart("network", lazy_gettext("Network"), ("system.network.io.receive", "system.network.io.transmit")),
    Chart("io", lazy_gettext("Disk traffic"), ("system.disk.io.read", "system.disk.io.write")),
    Chart("busy", lazy_gettext("Disk busy"), ("system.disk.utilization",)),
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
    ),
)
"""Measures read best together. Whatever else a probe brings gets a chart of its own, see `charts`."""
CHARTED = tuple(name for one in CHARTS for name in one.names)
FOLDED = frozenset(
    {
        "http.response.size", "http.status_code", "icmp.rtt.jitter", "icmp.rtt.min", "system.disk.operation_time",
        "system.disk.operations", "system.filesystem.inodes.utilization", "system.filesystem.limit",
        "system.filesystem.usage", "system.memory.limit", "system.memory.usage", "system.network.errors.receive",
        "system.network.errors.transmit", "system.paging.limit", "system.paging.usage", "system.reboot.required",
        "system.services.failed", "system.uptime", "system.users.count",
    }
)  # fmt: skip
"""Rarely looked at as a curve: drawn only when all measures are asked for."""
ASIDE = (".limit", ".count", ".total", ".uptime", ".size")
"""How a measure ends that is rarely looked at as a curve."""
AT = "@"
"""Between the name of a measure and its unit in the key of a chart that shows one unit of several."""
SHARES = (".utilization", ".ratio", ".loss", ".iowait", ".steal", ".some", ".full")
"""How a measure of unit 1 ends that is a share of a whole; any other of unit 1 is a count."""
TIMES = ((172800.0, 86400.0, lazy_gettext("days")), (7200.0, 3600.0, lazy_gettext("hours")), (120.0, 60.0, lazy_gettext("min")), (1.0, 1.0, "s"), (0.0, 0.001, "ms"))  # fmt: skip
SIZES = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def charts(keys: Collection[Key]) -> list[Chart]:
    """The charts these lines can fill, in the order they are shown."""
    names = {key.name for key in keys}
    kinds = [one for one in CHARTS if names & set(one.names)]
    left = names - {name for one in CHARTS for name in one.names}
    for name in sorted(left):
        kinds += _single(name, sorted({key.unit for key in keys if key.name == name}))
    return kinds


def folded(one: Chart, keys: Iterable[Key]) -> bool:
    """Whether the chart is drawn only when all measures are asked for: raw counts beside a share of the same thing."""
    if len(one.names) > 1 or one in CHARTS:
        return False
    name = one.names[0]
    if name in FOLDED or name.endswith(ASIDE):
        return True
    stem = name.rpartition(".")[0]
    own = next((key for key in keys if key.name == name), None)
    if own is None or is_share(name, own.unit) or not (own.unit in ("1", "By") or own.unit.startswith("{")):
        return False
    return any(is_share(key.name, key.unit) and key.name.rpartition(".")[0] == stem for key in keys)


def telling(one: Chart, keys: Iterable[Key]) -> bool:
    """Whether the chart says something of many parts at once: counts and states of many are better read as a table."""
    own = [key for key in keys if key.name in one.names]
    if one in CHARTS or any(is_share(key.name, key.unit) for key in own):
        return True
    return len(own) <= MOST and not one.names[0].endswith(FLAGS)


def chart(key: str) -> Chart:
    """The kind of chart of that key: one of CHARTS, or a single measure, perhaps of one unit."""
    known = next((one for one in CHARTS if one.key == key), None)
    name, _, unit = key.partition(AT)
    return known or Chart(key, lazy_gettext(titles().get(name, name)), (name,), unit=unit)


def choose(one: Chart, keys: Iterable[Key], newest: Mapping[Key, float], part: str | None = None) -> list[Key]:
    """The lines that belong in the chart: of one part, or of as many as MOST lines allow, the worst of now first."""
    own = [key for key in keys if key.name in one.names and one.unit in ("", key.unit)]
    if part is not None:
        own = [key for key in own if key.part == part]
    elif one.totals and any(not key.part for key in own):
        own = [key for key in own if not key.part]
    if len(own) > MOST:
        sign = 1 if low_is_bad(one.names[0]) else -1
        worst: dict[tuple[int, str], float] = {}
        for key in own:
            place = (key.check_id, key.part)
            worst[place] = min(worst.get(place, float("inf")), sign * newest.get(key, -sign * 1e300))
        kept = sorted(worst, key=lambda place: worst[place])[: max(1, MOST // len({key.name for key in own}))]
        own = [key for key in own if (key.check_id, key.part) in set(kept)]
    return sorted(own, key=lambda key: (one.names.index(key.name), key.part))


def ordered(one: Chart, lines: Iterable[Line]) -> list[Line]:
    """The lines of the chart that say something, in its own order."""
    own = [line for line in lines if line.name in one.names and one.unit in ("", line.unit) and line.known]
    return sorted(own, key=lambda line: (one.names.index(line.name), line.part))


def label(one: Chart, line: Line) -> str:
    """What tells the line from the others of its chart."""
    if len(one.names) == 1:
        return line.part or gettext(str(one.title))
    title = gettext(titles().get(line.name, line.name))
    return f"{title} {line.part}".strip()


def shown(line: Line, amount: float) -> str:
    """`amount` as a person would say it."""
    return say(amount, line.unit, line.name)


def says(one: Chart, lines: Sequence[Line], clock: Any) -> str:
    """The chart in a sentence: now, least and most (and when) of its first line, or of the worst of many parts."""
    named = len(lines) > 1
    worst = min if low_is_bad(one.names[0]) else max
    line = worst(lines, key=lambda line: line.known[-1]) if named and len(one.names) == 1 else lines[0]
    known = line.known
    peak = next(at for at, amount in line.points if amount == max(known))
    sentence = gettext(
        "now %(now)s, least %(least)s, most %(most)s at %(when)s",
        now=shown(line, known[-1]), least=shown(line, min(known)), most=shown(line, max(known)), when=clock(peak),
    )  # fmt: skip
    return f"{label(one, line)}: {sentence}." if named else f"{sentence[:1].upper()}{sentence[1:]}."


def preview(
    lines: Sequence[Line],
    limits: Sequence[Threshold],
    outages: Sequence[Outage],
    begin: datetime,
    end: datetime,
    usual: Area | None = None,
) -> Markup:
    """The chart as the server draws it: real data in the first paint, and all there is without JavaScript."""
    top = _top(lines, limits, usual)
    span = (end - begin).total_seconds() or 1.0
    bands = [
        Markup('<path class="outage" d="M{:.1f} 0V{}H{:.1f}V0z"/>').format(
            (a - begin).total_seconds() / span * WIDE, TALL, (b - begin).total_seconds() / span * WIDE
        )
        for a, b in outages
    ]
    grid = [Markup('<path class="grid" d="M0 {:.1f}H{}"/>').format(_y(part), WIDE) for part in (0, 1 / 3, 2 / 3, 1)]
    bars = [
        Markup('<path class="limit {}" d="M0 {:.1f}H{}"/>').format(limit.state, _y(at / top), WIDE)
        for limit, at in _drawn(lines, limits)
        if at <= top
    ]
    paths = [_path(line, begin, end, top, index) for index, line in enumerate(lines)]
    normal = [] if usual is None else [_normal(usual, begin, end, top)]
    return Markup(
        '<svg class="plot" viewBox="0 0 {} {}" preserveAspectRatio="none" aria-hidden="true">{}</svg>'
    ).format(WIDE, TALL, Markup("").join([*normal, *bands, *grid, *bars, *paths]))


def figure(
    one: Chart,
    lines: Sequence[Line],
    limits: Sequence[Threshold],
    outages: Sequence[Outage],
    begin: datetime,
    end: datetime,
    usual: Area | None = None,
) -> dict[str, Any]:
    """{"data", "layout"} for Plotly; times on the reader's clock, values in the unit the axis names."""
    scale = _scale(lines)
    form = ".1%" if scale.share else ",.3~r"
    data = [
        {
            "type": "scatter",
            "mode": "lines+markers" if len(line.known) == 1 else "lines",
            "name": _plain(label(one, line)),
            "x": [_local(at) for at, _ in line.points],
            "y": [None if amount is None else float(f"{amount / scale.by:.5g}") for _, amount in line.points],
            "connectgaps": False,
            "line": {"width": 1.6},
            "hovertemplate": f"%{{y:{form}}}{'' if scale.share else ' ' + scale.unit}",
        }
        for line in lines
    ]
    axis: dict[str, Any] = {"rangemode": "tozero", "fixedrange": True}
    if scale.share:
        axis |= {"tickformat": ".0%", "range": [0, _top(lines, limits, usual)]}
    elif scale.unit:
        axis |= {"ticksuffix": f" {scale.unit}"}
    bars, notes = _limits(lines, limits, scale)
    layout = {
        "xaxis": {"type": "date", "range": [_local(begin), _local(end)]},
        "yaxis": axis,
        "margin": {"l": 64, "r": 8, "t": 8, "b": 36},
        "showlegend": False,
        "hovermode": "x unified",
        "separators": ",." if locale().language == "id" else ".,",
        "shapes": [*([_shape(usual, scale)] if usual else []), *(_band(outage) for outage in outages), *bars],
        "annotations": notes,
    }
    return {"data": data, "layout": layout}


def _single(name: str, units: Sequence[str]) -> list[Chart]:
    title = lazy_gettext(titles().get(name, name))
    if len(units) < 2:
        return [Chart(name, title, (name,))]
    return [Chart(f"{name}{AT}{unit}", title, (name,), unit=unit) for unit in units]


def _share(line: Line) -> bool:
    return is_share(line.name, line.unit)


def _scale(lines: Sequence[Line]) -> Scale:
    """The unit in which the highest value reads best."""
    if not lines:
        return Scale(1.0, "")
    return scale(lines[0].name, lines[0].unit, max((abs(v) for line in lines for v in line.known), default=0.0))


def _local(at: datetime) -> str:
    """The moment on the reader's own clock: Plotly knows no zones."""
    return at.astimezone(zone()).replace(tzinfo=None).isoformat(timespec="milliseconds")


def _drawn(lines: Sequence[Line], limits: Sequence[Threshold]) -> list[tuple[Threshold, float]]:
    """The limits that concern a line of this chart, with where they lie; equal ones once."""
    kept: dict[tuple[str, float], Threshold] = {}
    for limit in limits:
        at = limit.over if limit.over is not None else limit.under
        if at is not None and any(line.name == limit.measure and limit.part in ("", line.part) for line in lines):
            kept.setdefault((limit.state, at), limit)
    return [(limit, at) for (_, at), limit in kept.items()]


def _limits(
    lines: Sequence[Line], limits: Sequence[Threshold], scale: Scale
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The limits on this chart's measures as lines with words. The name of a shape says its colour to the page."""
    shapes, notes = [], []
    for limit, at in _drawn(lines, limits):
        y = at / scale.by
        word = gettext("critical") if limit.state == "critical" else gettext("warning")
        said = share(at, 1) if scale.share else f"{number(y, 2)} {scale.unit}".strip()
        line = {"width": 1, "dash": "dash" if limit.state == "critical" else "dot"}
        shapes.append({"type": "line", "name": limit.state, "xref": "paper", "x0": 0, "x1": 1, "y0": y, "y1": y, "line": line})  # fmt: skip
        text = f"{limit.part} {word} {said}".strip()
        side = {"xanchor": "right", "x": 1} if limit.state == "critical" else {"xanchor": "left", "x": 0}
        notes.append({"xref": "paper", **side, "y": y, "text": _plain(text), "showarrow": False, "yanchor": "bottom" if limit.over is None or y < 0.9 or not scale.share else "top", "font": {"size": 11}})  # fmt: skip
    return shapes, notes


def _plain(text: str) -> str:
    """Words for Plotly, which would read `<` as the beginning of markup."""
    return text.replace("&", "&amp;").replace("<", "&lt;")


def _band(outage: Outage) -> dict[str, Any]:
    begin, end = outage
    return {"type": "rect", "name": "outage", "xref": "x", "yref": "paper", "x0": _local(begin), "x1": _local(end), "y0": 0, "y1": 1, "layer": "below", "line": {"width": 0}}  # fmt: skip


def _normal(usual: Area, begin: datetime, end: datetime, top: float) -> Markup:
    """What is usual, as an area behind the lines."""
    span = (end - begin).total_seconds() or 1.0
    there = [((at - begin).total_seconds() / span * WIDE, low, high) for at, low, high in usual.corners]
    edge = [f"{x:.1f} {_y(high / top):.1f}" for x, _, high in there]
    edge += [f"{x:.1f} {_y(low / top):.1f}" for x, low, _ in reversed(there)]
    return Markup('<path class="normal" d="M{}z"/>').format("L".join(edge))


def _shape(usual: Area, scale: Scale) -> dict[str, Any]:
    """The same for Plotly."""
    edge = [f"{_local(at).replace('T', '_')},{high / scale.by:.5g}" for at, _, high in usual.corners]
    edge += [f"{_local(at).replace('T', '_')},{low / scale.by:.5g}" for at, low, _ in reversed(usual.corners)]
    return {"type": "path", "name": "normal", "path": f"M{'L'.join(edge)}Z", "layer": "below", "line": {"width": 0}}


def _top(lines: Sequence[Line], limits: Sequence[Threshold], usual: Area | None = None) -> float:
    """How high the axis goes. Shares fill the whole scale, except lines that stay so low that it would hide them."""
    highest = max((max(line.known) for line in lines if line.known), default=0.0)
    highest = max(highest, usual.top if usual else 0.0)
    if lines and _share(lines[0]):
        near = [at for _, at in _drawn(lines, limits)]
        return max(1.0, highest) if highest > 0.1 or near else max(0.05, highest * 1.3)
    return highest * 1.08 or 1.0


def _y(part: float) -> float:
    return TALL * (0.98 - 0.96 * min(1.0, max(0.0, part)))


def _path(line: Line, begin: datetime, end: datetime, top: float, index: int) -> Markup:
    span = (end - begin).total_seconds() or 1.0
    words, down = [], False
    for at, amount in line.points:
        if amount is not None:
            words.append(
                f"{'L' if down else 'M'}{(at - begin).total_seconds() / span * WIDE:.1f} {_y(amount / top):.1f}"
            )
        down = amount is not None
    if len(words) == 1:
        words.append("h1.5")
    return Markup('<path class="c{}" d="{}"/>').format(index, "".join(words))
