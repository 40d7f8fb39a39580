"""What holds for any network whatever happens to it: results of all kinds, numbers, maintenance, switching off, kills."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.rules.tapes import said
from tests.rules.worlds import topologies

GONE = ("down", "unreachable")
LEVELS = [{"state": "warning", "over": 80, "clear": 70, "for": 60, "clear_for": 60}, {"state": "critical", "over": 95}]


@st.composite
def histories(draw: st.DrawFn) -> tuple[dict[str, Any], list[list[Any]]]:
    """A header and up to eighty inputs in order of time."""
    parents = draw(topologies(most=5))
    hosts = sorted(parents)
    header: dict[str, Any] = {
        "hosts": parents,
        "params": {
            "interval": 60,
            "attempts": draw(st.integers(1, 3)),
            "recover_after": draw(st.integers(1, 2)),
            "remind": draw(st.sampled_from([0, 150])),
        },
        "metrics": {"cpu": {"host": hosts[-1], "levels": LEVELS}},
    }
    if draw(st.booleans()):
        references = draw(st.sampled_from([[], ["gw"], ["gw", "ns"]]))
        header["uplink"] = {"references": references, "share": 0.6, "least": draw(st.integers(2, 4))}
        hosts = [*hosts, *references]
    subject, word = st.sampled_from(sorted(parents)), st.sampled_from(["ok", "ok", "fail", "fail", "fail", "unknown"])
    thing = st.one_of(
        st.tuples(st.sampled_from(hosts), st.just("result"), word),
        st.tuples(st.sampled_from(hosts), st.just("result"), word),
        st.tuples(st.just(hosts), st.just("round"), word),
        st.tuples(st.just("cpu"), st.just("metric"), st.sampled_from([50, 75, 90, 99])),
        st.tuples(st.just("poller"), st.just("tick"), st.none()),
        st.tuples(subject, st.just("maintenance"), st.sampled_from(["start", "end"])),
        st.tuples(subject, st.sampled_from(["ack", "disable", "enable"]), st.none()),
    )
    t, rows = 0, []
    for step, (who, what, value) in draw(
        st.lists(st.tuples(st.sampled_from([1, 5, 30, 60, 60, 200]), thing), max_size=80)
    ):
        t += step
        rows += [[t, one, "result", value] for one in who] if what == "round" else [[t, who, what, value]]
    return header, rows


def quiet(header: dict[str, Any], t: int) -> list[list[Any]]:
    """From `t` on all is switched on, nothing is in maintenance, and everything answers for longer than any rule waits."""
    rows: list[list[Any]] = []
    for host in header["hosts"]:
        rows += [[t, host, "enable", None], [t, host, "maintenance", "end"]]
    for number in range(45):
        now = t + 60 * (number + 1)
        rows += [
            [now, name, "result", "ok"] for name in (*header["hosts"], *header.get("uplink", {}).get("references", ()))
        ]
        rows += [[now, "cpu", "metric", 10], [now, "poller", "tick", None]]
    return rows


def end(rows: list[list[Any]]) -> int:
    return int(rows[-1][0]) if rows else 0


@given(histories(), st.data())
def test_a_kill_anywhere_neither_loses_nor_repeats_anything(
    history: tuple[dict[str, Any], list[list[Any]]], data: st.DataObject
) -> None:
    header, rows = history
    killed = list(rows)
    for place in sorted(data.draw(st.sets(st.integers(0, len(rows)), max_size=6)), reverse=True):
        killed.insert(place, [rows[place - 1][0] if place else 0, "poller", "kill", None])
    assert said(killed, header) == said(rows, header)


@given(histories())
def test_a_kill_after_every_input_neither_loses_nor_repeats_anything(
    history: tuple[dict[str, Any], list[list[Any]]],
) -> None:
    header, rows = history
    killed = [line for row in rows for line in (row, [row[0], "poller", "kill", None])]
    assert said(killed, header) == said(rows, header)


@given(histories())
def test_once_all_is_well_for_long_enough_the_last_word_about_everything_says_so(
    history: tuple[dict[str, Any], list[list[Any]]],
) -> None:
    """Nobody is left with a problem that is over, a flapping that stopped, a silent poller or a lost line."""
    header, rows = history
    lines = said([*rows, *quiet(header, end(rows))], header)
    state: dict[str, str] = {}
    last: dict[str, str] = {}
    for _, subject, what, *rest in lines:
        if what == "state":
            state[subject] = rest[1]
            if rest[1] == "disabled":  # closed without a word, its numbers too
                last.pop(subject, None)
                if header["metrics"]["cpu"]["host"] == subject:
                    last.pop("cpu", None)
        else:
            last[subject] = rest[0]
    assert {state[host] for host in header["hosts"]} == {"up"}
    assert state.get("cpu", "ok") == "ok"
    well = {"recovery", "flap_stop", "poller_back", "uplink_back", "check_problem", "digest"}
    assert set(last.values()) <= well


@given(histories())
def test_only_a_host_behind_nothing_but_lost_ones_is_unreachable(
    history: tuple[dict[str, Any], list[list[Any]]],
) -> None:
    header, rows = history
    state, lost = dict.fromkeys(header["hosts"], "pending"), False
    for _, subject, what, *rest in said(rows, header):
        if rest[0] in ("uplink_lost", "uplink_back"):
            lost = rest[0] == "uplink_lost"
        if what != "state" or subject == "cpu":
            continue
        state[subject] = rest[1]
        if rest[1] == "unreachable":
            watched = [state[parent] for parent in header["hosts"][subject] if state[parent] != "disabled"]
            assert all(one in GONE for one in watched) and (watched or lost)
        elif rest[1] == "down":
            watched = [state[parent] for parent in header["hosts"][subject] if state[parent] != "disabled"]
            assert not watched or not all(one in GONE for one in watched)


@given(histories())
def test_what_is_told_of_a_host_is_so_when_it_is_told(history: tuple[dict[str, Any], list[list[Any]]]) -> None:
    header, rows = history
    state: dict[str, str] = {**dict.fromkeys(header["hosts"], "pending"), "cpu": "ok"}
    flapping: set[str] = set()
    right = {"problem": GONE[:1], "recovery": ("up",), "reminder": ("down",), "check_problem": ("unknown",)}
    for _, subject, what, *rest in said(rows, header):
        if what == "state":
            state[subject] = rest[1]
            flapping -= {subject} if rest[1] == "disabled" else set()
        elif rest[0] in ("flap_start", "flap_stop"):
            assert (subject in flapping) == (rest[0] == "flap_stop")
            assert state[subject] not in ("unreachable", "pending", "disabled")
            flapping ^= {subject}
        elif subject in header["hosts"]:
            assert state[subject] in right[rest[0]] and subject not in flapping
