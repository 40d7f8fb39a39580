"""The list of machines: where is that one, and how is it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from flask import Blueprint, render_template, request
from markupsafe import Markup

from domain.clock import now
from webui import access, board, fills
from webui.board import Machine
from webui.drawing import sparkline, strip
from webui.wording import WORDS, value, word

blueprint = Blueprint("machines", __name__, url_prefix="/machines")

PAGE = 100
HOURS = 24
CURVE = timedelta(minutes=60)
LONGEST_QUERY = 200


@dataclass(frozen=True)
class Row:
    """One machine as the list shows it."""

    machine: Machine
    day: Markup
    curve: Markup


@blueprint.get("")
@access.signed_in
def index() -> str:
    """The first rows; the rest follow by scrolling, or by the link at the end."""
    found = board.machines(access.person())
    matching = _matching(found)
    start = _start()
    return render_template(
        "machines/index.html",
        active="machines.index",
        pulse=board.pulse(now()),
        fills=fills.soon(access.person(), now()),
        total=len(found),
        counted=board.counts(_matching(found, any_state=True)),
        matching=len(matching),
        rows=_rows(matching[start : start + PAGE]),
        following=start + PAGE if len(matching) > start + PAGE else None,
        query=_query(),
        status=_status(),
    )


@blueprint.get("/rows")
@access.signed_in
def rows() -> str:
    """Rows alone, for scrolling on and for filtering as one types."""
    matching = _matching(board.machines(access.person()))
    start = _start()
    return render_template(
        "machines/rows.html",
        rows=_rows(matching[start : start + PAGE]),
        following=start + PAGE if len(matching) > start + PAGE else None,
        matching=len(matching),
        query=_query(),
        status=_status(),
    )


def _rows(page: list[Machine]) -> list[Row]:
    """These machines with their pictures: three queries, however many rows."""
    moment, ids = now(), [machine.id for machine in page]
    histories = board.histories(ids, moment - timedelta(hours=HOURS)) if ids else {}
    curves = board.curves(ids, moment - CURVE) if ids else {}
    return [
        Row(machine, strip(histories.get(machine.id, []), moment, HOURS), _curve(curves.get(machine.id, [])))
        for machine in page
    ]


def _curve(points: list[float | None]) -> Markup:
    known = [point for point in points if point is not None]
    if not known:
        return Markup("")
    unit = "1" if max(known) <= 1 else "s"
    return sparkline(points, f"{value(min(known), unit)} – {value(max(known), unit)}")


def _matching(found: list[Machine], any_state: bool = False) -> list[Machine]:
    return matching(found, _query(), "" if any_state else _status())


def matching(found: list[Machine], query: str, status: str) -> list[Machine]:
    """The machines that the words typed and the chip chosen (none: empty) leave over."""
    words = query.lower().split()
    states = {status} - {""}
    named = {w.removeprefix("status:") for w in words if w.startswith("status:") and len(w) > 7}
    texts = [w for w in words if not w.startswith("status:")]
    return [
        m
        for m in found
        if (not states or m.state in states)
        and (not named or any(m.state.startswith(n) or word(m.state).lower().startswith(n) for n in named))
        and all(t in _text(m) for t in texts)
    ]


def fitting(found: list[Machine], query: str) -> list[Machine]:
    """Those of `found` that every word of `query` fits: a part of the name, the address or a group."""
    return [machine for machine in found if all(word in _text(machine) for word in query.lower().split())]


def _text(machine: Machine) -> str:
    return " ".join((machine.name, machine.address, *machine.groups)).lower()


def _query() -> str:
    return request.args.get("q", "").strip()[:LONGEST_QUERY]


def _status() -> str:
    asked = request.args.get("status", "")
    return asked if asked in WORDS else ""


def _start() -> int:
    asked = request.args.get("from", "0")
    return min(int(asked), 1_000_000) if asked.isascii() and asked.isdigit() and len(asked) < 8 else 0
