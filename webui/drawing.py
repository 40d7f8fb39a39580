"""Small pictures made by the server: the strip of the last hours and the sparkline. Plain SVG, no styles inside."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from flask import Flask
from markupsafe import Markup

from webui.language import gettext, ngettext
from webui.wording import shape, span

WORST_FIRST = ("down", "unreachable", "warning", "unknown", "maintenance", "up")
BEFORE = "before"
"""The time before the first record: nothing is claimed about it, a hairline is drawn."""
HEIGHT = {"up": 20, "warning": 14, "down": 20, "unreachable": 10, "maintenance": 6, "unknown": 6, BEFORE: 1}
TALL = 20
CELLS = 96
HOUR = 4
"""So many cells stand together; a hair of space behind them gives the eye a rhythm."""
WIDE = 1.4

Interval = tuple[datetime, datetime | None, str]
"""From, until (None while it lasts), state."""


def install(app: Flask) -> None:
    """Give templates the small pictures they draw themselves."""
    app.jinja_env.globals["bar"] = bar


def strip(intervals: Iterable[Interval], until: datetime, hours: int = 24, wide: bool = False) -> Markup:
    """The states of the last `hours` as bars: height tells the state as well as colour does.

    A gap in the records is drawn as unknown: silence is never shown as up.
    """
    begin = until - timedelta(hours=hours)
    known = [(max(a, begin), min(b or until, until), shape(state)) for a, b, state in intervals]
    known = [row for row in known if row[0] < row[1]]
    cells = _cells(known, begin, until)
    paths = Markup("").join(_bars(state, cells) for state in (*WORST_FIRST, BEFORE) if state in cells)
    return Markup(
        '<svg class="strip{}" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" aria-label="{}">{}</svg>'
    ).format(" wide" if wide else "", CELLS * 2, TALL, _told(known, hours), paths)


def sparkline(points: Sequence[float | None], label: str, low: float = 0.0, high: float | None = None) -> Markup:
    """A line through `points`, oldest first; None leaves a gap. Empty when fewer than two points are known."""
    known = [p for p in points if p is not None]
    if len(known) < 2:
        return Markup("")
    top = max(known) if high is None else high
    reach = (top - low) or 1.0
    step = 96 / (len(points) - 1)
    path, pen_down = [], False
    for index, point in enumerate(points):
        if point is not None:
            y = 22 - 20 * min(1.0, max(0.0, (point - low) / reach))
            path.append(f"{'L' if pen_down else 'M'}{index * step:.1f} {y:.1f}")
        pen_down = point is not None
    return Markup(
        '<svg class="spark" viewBox="0 0 96 24" preserveAspectRatio="none" role="img" aria-label="{}"><path d="{}"/></svg>'
    ).format(label, "".join(path))


def bar(ratio: float, hot: bool = False) -> Markup:
    """How full something is, as a short bar. The number beside it carries the meaning, so it is hidden from readers."""
    filled = round(48 * min(1.0, max(0.0, ratio)))
    return Markup(
        '<svg class="bar{}" viewBox="0 0 48 6" aria-hidden="true"><rect width="48" height="6" rx="3"/>'
        '<rect width="{}" height="6" rx="3"/></svg>'
    ).format(" hot" if hot else "", filled)


def _cells(known: list[tuple[datetime, datetime, str]], begin: datetime, until: datetime) -> dict[str, list[int]]:
    """For each state the cells it is drawn in: the worst state that touches a cell wins it."""
    width = (until - begin) / CELLS
    taken: dict[int, str] = {}
    for state in reversed(WORST_FIRST):
        for start, end, its in known:
            if its == state:
                first = int((start - begin) / width)
                last = min(CELLS - 1, int((end - begin) / width - 1e-9))
                taken.update(dict.fromkeys(range(first, last + 1), state))
    first = min(taken, default=CELLS)
    cells: dict[str, list[int]] = {}
    for index in range(CELLS):
        cells.setdefault(taken.get(index, "unknown" if index > first else BEFORE), []).append(index)
    return cells


def _bars(state: str, cells: dict[str, list[int]]) -> Markup:
    """All bars of one state as one path, neighbours of an hour joined: a calm day is a single element."""
    tall, runs = HEIGHT[state], _runs(cells[state])
    path = "".join(f"M{a * 2} {TALL}v-{tall}h{(b - a) * 2 + WIDE}v{tall}z" for a, b in runs)
    if state == "down":  # the notch that tells it from the others without colour
        path = "".join(f"M{a * 2} {TALL}V0h{(b - a) + 0.2}v5h1V0h{(b - a) + 0.2}v{TALL}z" for a, b in runs)
    return Markup('<path class="{}" d="{}"/>').format(state, path)


def _runs(cells: list[int]) -> list[tuple[int, int]]:
    runs: list[tuple[int, int]] = []
    for cell in cells:
        if runs and runs[-1][1] == cell - 1 and cell % HOUR:
            runs[-1] = (runs[-1][0], cell)
        else:
            runs.append((cell, cell))
    return runs


def _told(known: list[tuple[datetime, datetime, str]], hours: int) -> str:
    """The strip in words."""
    outages = [(a, b) for a, b, state in known if state == "down"]
    if not outages:
        return gettext("Last %(hours)s hours: no outage", hours=hours)
    seconds = sum((b - a).total_seconds() for a, b in outages)
    return ngettext(
        "Last %(hours)s hours: %(num)s outage, down for %(time)s",
        "Last %(hours)s hours: %(num)s outages, down for %(time)s",
        len(outages),
        hours=hours,
        time=span(seconds),
    )
