"""What a recording may hold, and each sentence that refuses one."""

from __future__ import annotations

import pytest

from domain.health import Policy
from domain.tape import Header, Input, Metric, ReplayError, read
from domain.thresholds import Level
from domain.uplink import Suspicion

HEADER = '{"hosts": {"web1": []}, "metrics": {"cpu": {"host": "web1"}}, "uplink": {"references": ["gw"]}}'


def header_of(line: str) -> Header:
    return read([line])[0]


def inputs_of(*lines: str) -> list[Input]:
    return list(read([HEADER, *lines])[1])


def test_a_header_is_read_whole() -> None:
    header = header_of(
        '{"hosts": {"sw": [], "web1": ["sw", "sw"]}, "params": {"interval": 30, "attempts": 2, "recover_after": 4,'
        ' "remind": 9}, "uplink": {"references": ["gw", "gw", "ns"], "share": 0.5, "least": 3},'
        ' "metrics": {"cpu": {"host": "web1", "levels": [{"state": "warning", "over": 80, "clear": 75, "for": 300,'
        ' "clear_for": 60}, {"state": "critical", "under": 5}]}, "mem": {"host": "sw"}}}'
    )
    assert header.hosts == {"sw": (), "web1": ("sw",)}
    assert header.policy == Policy(30, 2, 4, 9)
    assert header.suspicion == Suspicion(("gw", "ns"), 0.5, 3) and header.references == ("gw", "ns")
    assert header.topology.children("sw") == ["web1"]
    levels = (Level("warning", over=80, clear=75, for_=300, clear_for=60), Level("critical", under=5))
    assert header.metrics == {"cpu": Metric("web1", levels), "mem": Metric("sw", ())}


def test_an_empty_header_means_the_usual() -> None:
    header = header_of("{}")
    assert (header.hosts, header.policy, header.metrics) == ({}, Policy(), {})
    assert (header.suspicion, header.references) == (None, ())
    assert header_of('{"uplink": {}}').suspicion == Suspicion()


def test_inputs_are_read_whole() -> None:
    assert inputs_of(
        '[0, "web1", "result", {"icmp": "fail", "ssh": "ok"}, {"start": -1.5, "rid": 7}]',
        "  ",
        '[1, "web1", "result", "unknown", {"rid": "a"}]',
        '[2, "cpu", "metric", 1.5]',
        '[3, "poller", "tick", null]',
        '[4, "cpu", "maintenance", "start"]',
        '[5, "web1", "maintenance", "end"]',
        '[6, "cpu", "ack", null]',
        '[7, "web1", "disable", null]',
        '[8, "web1", "enable", null]',
        '[9, "anybody", "kill", null]',
        '[10, "gw", "result", "ok"]',
    ) == [
        Input(2, 0, "web1", "result", "ok", -1.5, "7"),
        Input(4, 1, "web1", "result", "unknown", None, "a"),
        Input(5, 2, "cpu", "metric", 1.5),
        Input(6, 3, "poller", "tick"),
        Input(7, 4, "cpu", "maintenance", "start"),
        Input(8, 5, "web1", "maintenance", "end"),
        Input(9, 6, "cpu", "ack"),
        Input(10, 7, "web1", "disable"),
        Input(11, 8, "web1", "enable"),
        Input(12, 9, "anybody", "kill"),
        Input(13, 10, "gw", "result", "ok"),
    ]


def test_without_hosts_any_subject_is_one() -> None:
    assert [item.subject for item in read(["{}", '[0, "x", "result", "ok"]'])[1]] == ["x"]
    assert header_of('{"metrics": {"cpu": {"host": "anywhere"}}}').metrics["cpu"].host == "anywhere"


def test_a_line_of_eighty_letters_is_shown_whole_and_a_longer_one_in_part() -> None:
    for length, shown in ((80, "x" * 80), (81, "x" * 80 + "...")):
        with pytest.raises(ReplayError) as refused:
            header_of(" " + "x" * length + " ")
        assert refused.value.sentence == f"this is not JSON: {shown!r}."
    with pytest.raises(ReplayError) as refused:
        header_of('{"params": {"interval": "' + "9" * 100 + '"}}')
    assert refused.value.sentence == "'interval' is a finite number, not '" + "9" * 79 + "."


def test_lines_are_counted_with_the_blank_ones_and_an_empty_file_is_said_to_be() -> None:
    with pytest.raises(ReplayError) as refused:
        list(read(["", "{}", "", "{}"])[1])
    assert (refused.value.line, str(refused.value)[:8]) == (4, "line 4: ")
    with pytest.raises(ReplayError) as refused:
        read(["", "[]"])
    assert refused.value.line == 2
    with pytest.raises(ReplayError) as refused:
        read([" "])
    assert str(refused.value) == "line 1: the file is empty; its first line is the header, {} at the least."


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("[]", "the first line is the header, an object with any of 'hosts', 'params', 'metrics' and 'uplink'."),
        ('{"host": {}}', "the header has no 'host'; known: hosts, params, metrics, uplink."),
        ('{"hosts": []}', "'hosts' of the header is an object."),
        ('{"params": 1}', "'params' of the header is an object."),
        ('{"metrics": []}', "'metrics' of the header is an object."),
        ('{"uplink": []}', "'uplink' of the header is an object."),
        ('{"hosts": {"a": "b"}}', "the parents of 'a' are a list of host names, [] for none."),
        ('{"hosts": {"a": [1]}}', "the parents of 'a' are a list of host names, [] for none."),
        ('{"hosts": {"a": ["b"]}}', "the parent 'b' of 'a' is not among the hosts."),
        ('{"hosts": {"a": ["a"]}}', "'a' cannot be its own parent."),
        ('{"hosts": {"a": ["b"], "b": ["a"]}}', "of the hosts, these lie behind each other in a circle: a, b."),
        ('{"hosts": {"poller": []}}', "a host cannot be named 'poller', which stands for something else here."),
        (
            '{"hosts": {"cpu": []}, "metrics": {"cpu": {"host": "cpu"}}}',
            "a host cannot be named 'cpu', which stands for something else here.",
        ),
        (
            '{"metrics": {"poller": {"host": "a"}}}',
            "a metric cannot be named 'poller', which stands for something else here.",
        ),
        ('{"uplink": {"refs": []}}', "'uplink' has no 'refs'; known: references, share, least."),
        ('{"uplink": {"references": "gw"}}', "the 'references' of 'uplink' are a list of names, [] for none."),
        ('{"uplink": {"references": [1]}}', "the 'references' of 'uplink' are a list of names, [] for none."),
        ('{"uplink": {"references": [""]}}', "the 'references' of 'uplink' are a list of names, [] for none."),
        (
            '{"hosts": {"gw": []}, "uplink": {"references": ["gw"]}}',
            "the reference 'gw' stands for something else here.",
        ),
        (
            '{"metrics": {"gw": {"host": "a"}}, "uplink": {"references": ["gw"]}}',
            "the reference 'gw' stands for something else here.",
        ),
        ('{"uplink": {"references": ["poller"]}}', "the reference 'poller' stands for something else here."),
        ('{"uplink": {"share": "x"}}', "'share' is a finite number, not 'x'."),
        ('{"uplink": {"share": 0}}', "'share' is above 0 and at most 1, not 0.0."),
        ('{"uplink": {"least": 1.5}}', "'least' is a whole number, not 1.5."),
        ('{"uplink": {"least": true}}', "'least' is a whole number, not True."),
        ('{"uplink": {"least": 0}}', "'least' is a whole number from 1 up, not 0."),
        ('{"params": {"pace": 1}}', "'params' has no 'pace'; known: interval, attempts, recover_after, remind."),
        ('{"params": {"interval": "1"}}', "'interval' is a finite number, not '1'."),
        ('{"params": {"interval": 0}}', "'interval' is a number of seconds above 0, not 0.0."),
        ('{"params": {"attempts": 1.5}}', "'attempts' is a whole number, not 1.5."),
        ('{"params": {"attempts": true}}', "'attempts' is a whole number, not True."),
        ('{"params": {"attempts": 0}}', "'attempts' is a whole number from 1 up, not 0."),
        ('{"params": {"recover_after": "2"}}', "'recover_after' is a whole number, not '2'."),
        ('{"params": {"recover_after": 0}}', "'recover_after' is a whole number from 1 up, not 0."),
        ('{"params": {"remind": null}}', "'remind' is a finite number, not None."),
        ('{"params": {"remind": -1}}', "'remind' is a number of seconds, 0 for none, not -1.0."),
        ('{"metrics": {"cpu": 1}}', "the metric 'cpu' is an object that names its 'host'."),
        ('{"metrics": {"cpu": {}}}', "the metric 'cpu' is an object that names its 'host'."),
        ('{"metrics": {"cpu": {"host": 1}}}', "the metric 'cpu' is an object that names its 'host'."),
        (
            '{"metrics": {"cpu": {"host": "a", "limit": 1}}}',
            "the metric 'cpu' has no 'limit'; known: host, levels, normal.",
        ),
        (
            '{"hosts": {"b": []}, "metrics": {"cpu": {"host": "a"}}}',
            "the host 'a' of the metric 'cpu' is not among the hosts.",
        ),
        ('{"metrics": {"cpu": {"host": "a", "levels": {}}}}', "the 'levels' of the metric 'cpu' are a list."),
        ('{"metrics": {"cpu": {"host": "a", "levels": [1]}}}', "a level of the metric 'cpu' is an object."),
        (
            '{"metrics": {"cpu": {"host": "a", "levels": [{"above": 1}]}}}',
            "a level of the metric 'cpu' has no 'above'; known: state, over, under, clear, for, clear_for.",
        ),
        (
            '{"metrics": {"cpu": {"host": "a", "levels": [{"state": "warning", "over": "1"}]}}}',
            "'over' is a finite number, not '1'.",
        ),
        (
            '{"metrics": {"cpu": {"host": "a", "levels": [{"state": "warning", "under": true}]}}}',
            "'under' is a finite number, not True.",
        ),
        (
            '{"metrics": {"cpu": {"host": "a", "levels": [{"state": "warning", "over": 1, "clear": []}]}}}',
            "'clear' is a finite number, not [].",
        ),
        (
            '{"metrics": {"cpu": {"host": "a", "levels": [{"state": "warning", "over": 1, "for": "5"}]}}}',
            "'for' is a finite number, not '5'.",
        ),
        (
            '{"metrics": {"cpu": {"host": "a", "levels": [{"state": "warning", "over": 1, "clear_for": null}]}}}',
            "'clear_for' is a finite number, not None.",
        ),
        (
            '{"metrics": {"cpu": {"host": "a", "levels": [{"state": "bad", "over": 1}]}}}',
            "of the metric 'cpu': 'state' of a level is warning or critical, not 'bad'.",
        ),
        (
            '{"metrics": {"cpu": {"host": "a", "levels": [{"state": [], "over": 1}]}}}',
            "of the metric 'cpu': 'state' of a level is warning or critical, not [].",
        ),
        (
            '{"metrics": {"cpu": {"host": "a", "levels": [{"state": "warning", "over": 1}, {"state": "warning", "over": 2}]}}}',
            "the metric 'cpu' has two levels of the same state and direction.",
        ),
        ("nonsense", "this is not JSON: 'nonsense'."),
    ],
)
def test_a_header_that_is_not_understood_is_refused_in_so_many_words(line: str, sentence: str) -> None:
    with pytest.raises(ReplayError) as refused:
        header_of(line)
    assert (refused.value.line, refused.value.sentence) == (1, sentence)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("{}", "an input is [t, subject, what, value] or [t, subject, what, value, options]."),
        ('[0, "web1", "result"]', "an input is [t, subject, what, value] or [t, subject, what, value, options]."),
        (
            '[0, "web1", "result", "ok", {}, 1]',
            "an input is [t, subject, what, value] or [t, subject, what, value, options].",
        ),
        ('[0, "", "result", "ok"]', "the subject is the name of a host, a metric or 'poller', not ''."),
        ('[0, 1, "result", "ok"]', "the subject is the name of a host, a metric or 'poller', not 1."),
        (
            '[0, "web1", "reboot", null]',
            "the third item is one of result, metric, tick, maintenance, ack, disable, enable, kill, not 'reboot'.",
        ),
        ('["0", "web1", "result", "ok"]', "t is a finite number, not '0'."),
        ('[0, "web1", "result", "ok", []]', "the options are an object."),
        ('[0, "web1", "result", "ok", {"id": 1}]', "the options of result has no 'id'; known: start, rid."),
        ('[0, "web1", "ack", null, {"rid": "a"}]', "the options of ack has no 'rid'; known: none."),
        ('[0, "web1", "result", "ok", {"start": "now"}]', "'start' is a finite number, not 'now'."),
        ('[0, "web1", "result", "ok", {"rid": [1]}]', "'rid' is a text or a whole number, not [1]."),
        ('[0, "web1", "result", "ok", {"rid": true}]', "'rid' is a text or a whole number, not True."),
        ('[0, "web1", "tick", null]', "the subject of tick is 'poller' and nothing else is, not 'web1' of tick."),
        (
            '[0, "poller", "result", "ok"]',
            "the subject of tick is 'poller' and nothing else is, not 'poller' of result.",
        ),
        ('[0, "cpu", "result", "ok"]', "'cpu' is a metric; result belongs to its host, 'web1'."),
        ('[0, "cpu", "enable", null]', "'cpu' is a metric; enable belongs to its host, 'web1'."),
        ('[0, "gw", "ack", null]', "'gw' is a reference of the uplink; it has results and nothing else."),
        ('[0, "web1", "metric", 1]', "'web1' is not among the metrics of the header."),
        ('[0, "web2", "result", "ok"]', "'web2' is not among the hosts of the header."),
        ('[0, "cpu", "metric", "90"]', "the value of metric is a finite number, not '90'."),
        ('[0, "web1", "maintenance", "on"]', "the value of maintenance is 'start' or 'end', not 'on'."),
        ('[0, "web1", "maintenance", null]', "the value of maintenance is 'start' or 'end', not None."),
        ('[0, "web1", "ack", 1]', "the value of ack is null, not 1."),
        ('[0, "web1", "disable", 0]', "the value of disable is null, not 0."),
        (
            '[0, "web1", "result", "up"]',
            "a result is one of ok, fail, unknown, or one of them for each check, not 'up'.",
        ),
        ('[0, "web1", "result", {}]', "a result is one of ok, fail, unknown, or one of them for each check, not {}."),
        (
            '[0, "web1", "result", {"icmp": 1}]',
            "a result is one of ok, fail, unknown, or one of them for each check, not {'icmp': 1}.",
        ),
        ('[0, "cpu", "metric", Infinity]', "Infinity is not a number here; leave the sample out instead."),
        (
            "[0, xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
            "this is not JSON: '[0, xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...'.",
        ),
    ],
)
def test_an_input_that_is_not_understood_is_refused_in_so_many_words(line: str, sentence: str) -> None:
    with pytest.raises(ReplayError) as refused:
        inputs_of(line)
    assert (refused.value.line, refused.value.sentence) == (2, sentence)
