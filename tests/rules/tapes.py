"""Makes recorded inputs of every kind for the properties: at most seven minutes of two hosts and a metric."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from domain.replay import replay

HEADER: dict[str, Any] = {
    "hosts": {"a": [], "b": []},
    "params": {"interval": 60, "attempts": 2, "recover_after": 2, "remind": 150},
    "metrics": {
        "cpu": {
            "host": "a",
            "levels": [
                {"state": "warning", "over": 80, "clear": 70, "for": 60, "clear_for": 60},
                {"state": "critical", "over": 95},
            ],
        }
    },
}

_OUTCOME = st.sampled_from(["ok", "ok", "fail", "fail", "fail", "unknown", "unknown"])
_THING = st.one_of(
    st.tuples(st.sampled_from("ab"), st.just("result"), _OUTCOME),
    st.tuples(st.just("a"), st.just("result"), _OUTCOME),
    st.tuples(st.just("cpu"), st.just("metric"), st.sampled_from([50, 75, 90, 99])),
    st.tuples(st.just("poller"), st.just("tick"), st.none()),
    st.tuples(st.sampled_from(["a", "b", "cpu"]), st.just("maintenance"), st.sampled_from(["start", "end"])),
    st.tuples(st.sampled_from(["a", "cpu"]), st.just("ack"), st.none()),
    st.tuples(st.sampled_from("ab"), st.sampled_from(["disable", "enable"]), st.none()),
)
_STEP = st.sampled_from([1, 30, 60, 60, 60, 60, 200])


@st.composite
def tapes(draw: st.DrawFn) -> list[list[Any]]:
    """Inputs in order of time, without kills; each result with its start and an id of its own."""
    t, rows = 0, []
    for number, (step, thing) in enumerate(draw(st.lists(st.tuples(_STEP, _THING), max_size=40))):
        t += step
        options = [{"start": t, "rid": f"r{number}"}] if thing[1] == "result" else []
        rows.append([t, *thing, *options])
    return rows


def said(rows: list[list[Any]], header: dict[str, Any] = HEADER) -> list[list[Any]]:
    """What the engine says to these inputs."""
    return [json.loads(line) for line in replay(json.dumps(row) for row in [header, *rows])]
