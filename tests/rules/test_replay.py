"""What a replayed file may hold, and what is said of a line that is not understood."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from domain.replay import ReplayError, replay

HEADER = '{"hosts": {"web1": []}, "metrics": {"cpu": {"host": "web1", "levels": []}}}'


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("[0, ", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("9" * 10_000, "not JSON"),
        ("{}", "an input is"),
        ('[0, "web1", "result"]', "an input is"),
        ('["0", "web1", "result", "ok"]', "t is a finite number"),
        ('[true, "web1", "result", "ok"]', "t is a finite number"),
        ('[1e999, "web1", "result", "ok"]', "t is a finite number"),
        (f'[1{"0" * 400}, "web1", "result", "ok"]', "t is a finite number"),
        ('[0, "cpu", "metric", NaN]', "NaN is not a number here"),
        ('[0, "cpu", "metric", "90"]', "value of metric is a finite number"),
        ('[0, "web1", "metric", 90]', "not among the metrics"),
        ('[0, "cpu", "result", "ok"]', "is a metric"),
        ('[0, "cpu", "disable", null]', "belongs to its host, 'web1'"),
        ('[0, "web2", "result", "ok"]', "not among the hosts"),
        ('[0, "web1", "tick", null]', "subject of tick is 'poller'"),
        ('[0, "poller", "result", "ok"]', "'poller'"),
        ('[0, "", "result", "ok"]', "subject"),
        ('[0, "web1", "reboot", null]', "third item is one of"),
        ('[0, "web1", ["result"], null]', "third item is one of"),
        ('[0, "web1", "result", "up"]', "a result is one of ok, fail, unknown"),
        ('[0, "web1", "result", {}]', "a result is one of"),
        ('[0, "web1", "result", {"icmp": ["ok"]}]', "a result is one of"),
        ('[0, "web1", "maintenance", null]', "'start' or 'end'"),
        ('[0, "web1", "ack", 1]', "value of ack is null"),
        ('[0, "web1", "result", "ok", []]', "options are an object"),
        ('[0, "web1", "result", "ok", {"id": 1}]', "no 'id'; known: start, rid"),
        ('[0, "web1", "ack", null, {"rid": "a"}]', "options of ack has no 'rid'"),
        ('[0, "web1", "result", "ok", {"start": "now"}]', "'start' is a finite number"),
        ('[0, "web1", "result", "ok", {"rid": [1]}]', "'rid' is a text"),
    ],
)
def test_a_line_that_is_not_understood_is_named_with_its_number(line: str, sentence: str) -> None:
    lines = [HEADER, '[0, "web1", "result", "ok"]', "", line]
    said = replay(lines)
    assert json.loads(next(said)) == [0, "web1", "state", "pending", "up", 0]
    with pytest.raises(ReplayError, match=sentence) as refused:
        next(said)
    assert refused.value.line == 4
    assert str(refused.value).startswith("line 4: ") and refused.value.sentence.endswith((".", "'"))


@pytest.mark.parametrize(
    ("header", "sentence"),
    [
        ("[]", "the first line is the header"),
        ('{"host": {}}', "the header has no 'host'"),
        ('{"hosts": []}', "'hosts' of the header is an object"),
        ('{"hosts": {"a": "b"}}', "list of host names"),
        ('{"hosts": {"a": ["b"]}}', "parent 'b' of 'a' is not among"),
        ('{"hosts": {"a": ["a"]}}', "its own parent"),
        ('{"hosts": {"poller": []}}', "cannot be named 'poller'"),
        ('{"params": {"interval": 0}}', "'interval' is a number of seconds above 0"),
        ('{"params": {"attempts": 2.5}}', "'attempts' is a whole number"),
        ('{"params": {"attempts": 0}}', "'attempts' is a whole number from 1 up"),
        ('{"params": {"pace": 1}}', "'params' has no 'pace'"),
        ('{"metrics": {"cpu": {}}}', "names its 'host'"),
        ('{"hosts": {"a": []}, "metrics": {"cpu": {"host": "b"}}}', "host 'b' of the metric 'cpu' is not among"),
        ('{"metrics": {"cpu": {"host": "a", "levels": [{"state": "warning"}]}}}', "exactly one of 'over' and 'under'"),
        ('{"metrics": {"cpu": {"host": "a", "levels": [{"state": "warning", "over": true}]}}}', "'over' is a finite"),
        ('{"metrics": {"cpu": {"host": "a", "levels": [{"state": [], "over": 1}]}}}', "warning or critical"),
        ('{"metrics": {"cpu": {"host": "a", "normal": 7}}}', "the 'normal' of the metric 'cpu' is an object"),
        ('{"metrics": {"cpu": {"host": "a", "normal": {"middle": 7}}}}', "has no 'middle'"),
        ('{"metrics": {"cpu": {"host": "a", "normal": {"low": [1, 2]}}}}', "a number, or a list of 168"),
        (
            '{"metrics": {"cpu": {"host": "a", "normal": {"low": 1, "high": 2, "under": 3, "over": 4}}}}',
            "not in order",
        ),
        (
            '{"metrics": {"cpu": {"host": "a", "normal":'
            ' {"low": 1, "high": 2, "under": 0, "over": 4, "zone": "Mars/Olympus"}}}}',
            "no time zone",
        ),
        (
            '{"metrics": {"cpu": {"host": "a", "levels":'
            ' [{"state": "warning", "over": 1}, {"state": "warning", "over": 2}]}}}',
            "two levels",
        ),
    ],
)
def test_a_header_that_is_not_understood_is_refused(header: str, sentence: str) -> None:
    with pytest.raises(ReplayError, match=sentence) as refused:
        list(replay([header]))
    assert refused.value.line == 1


@pytest.mark.parametrize("lines", [[], [""], ["", "  "]])
def test_an_empty_file_is_refused(lines: list[str]) -> None:
    with pytest.raises(ReplayError, match="empty"):
        list(replay(lines))


def test_without_a_list_of_hosts_every_subject_met_is_a_host() -> None:
    said = [json.loads(line) for line in replay(["{}", '[5, "x", "result", "ok"]', '[6, "y", "result", "unknown"]'])]
    assert said == [[5, "x", "state", "pending", "up", 5]]


def test_answers_come_as_the_inputs_come() -> None:
    def lines() -> Any:
        yield HEADER
        yield '[0, "web1", "result", "ok"]'
        raise AssertionError("asked for more than was needed")

    assert json.loads(next(replay(lines()))) == [0, "web1", "state", "pending", "up", 0]


def test_fractions_of_a_second_and_strange_names_are_said_as_given() -> None:
    said = list(replay(["{}", '[0.5, "caf\\u00e9\\n", "result", "ok"]']))
    assert said == ['[0.5, "caf\\u00e9\\n", "state", "pending", "up", 0.5]']


def test_the_manual_shows_what_replay_really_says() -> None:
    page = (Path(__file__).parents[2] / "docs/replay.md").read_text()
    example = page.split("```")[1]
    given, _, shown = example.partition("<<'END'\n")[2].partition("\nEND\n")
    assert list(replay(given.splitlines())) == shown.strip().splitlines()


@pytest.mark.parametrize("t", [0, 1e18, -1e18])
def test_a_normal_is_judged_at_any_moment(t: float) -> None:
    header = '{"metrics": {"cpu": {"host": "a", "normal": {"low": 1, "high": 2, "under": 0.5, "over": 4}}}}'
    said = [json.loads(line) for line in replay([header, *(f'[{t + 600 * n}, "cpu", "metric", 9]' for n in range(2))])]
    assert said == []
