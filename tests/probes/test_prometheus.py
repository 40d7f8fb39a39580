"""The exporter probe against a real node exporter, real nginx, and pages made to break a reader."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from installation import until
from talkers import dripping, talking, within
from webpeers import response, web
from webserver import nginx

from config import processes
from domain.options import fill
from domain.reading import FailureKind, Measure, Reading, Secret, Target
from probes import catalogue, prometheus
from probes.base import Keep
from probes.prometheus import Options
from probes.prometheus.text import Series, parse, series
from tests.ports import free_port

EXPORTER = "/usr/bin/prometheus-node-exporter"
PAGE = """# HELP http_requests_total The total.
# TYPE http_requests_total counter
http_requests_total{method="post",code="200"} 1027 1395066363000
http_requests_total{method="post",code="400"}    3 1395066363000

# Escaping in label values:
msdos_file_access_time_seconds{path="C:\\\\DIR\\\\FILE.TXT",error="Cannot find file:\\n\\"FILE.TXT\\""} 1.458255915e9
metric_without_timestamp_and_labels 12.47
something_weird{problem="division by zero"} +Inf -3982045
# TYPE http_request_duration_seconds histogram
http_request_duration_seconds_bucket{le="0.05"} 24054
http_request_duration_seconds_bucket{le="+Inf"} 144320
http_request_duration_seconds_sum 53423
http_request_duration_seconds_count 144320
# TYPE rpc_duration_seconds summary
rpc_duration_seconds{quantile="0.5"} NaN
rpc_duration_seconds_count 2693
# TYPE foo counter
foo_total 17.0 1520879607.789 # {trace_id="a"} 0.67
# TYPE room_celsius gauge
room_celsius{room="a"} 21.5
room_celsius{room="b",} 22
# EOF
"""


def look(
    keep: Keep, port: int, *values: str, deadline: float = 5.0, secret: Secret | None = None, **more: object
) -> Reading:
    options = fill(Options, {"port": port, "values": values, **more})
    return prometheus.look(Target("127.0.0.1", options, secret, deadline), keep)


def failed(reading: Reading, kind: FailureKind, *words: str) -> None:
    assert reading.failure is not None, reading
    assert reading.failure.kind is kind, reading.failure
    for word in words:
        assert word in reading.failure.detail, reading.failure


def chosen(reading: Reading) -> dict[str, Measure]:
    return {one.of: one for one in reading.measures if one.name == "prometheus.value"}


def from_page(keep: Keep, *values: str, page: str = PAGE) -> Reading:
    with web(response(body=page.encode())) as peer:
        return look(keep, peer.port, *values)


# --- a real exporter --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def exporter() -> Iterator[int]:
    port = free_port()
    argv = [EXPORTER, f"--web.listen-address=127.0.0.1:{port}", "--collector.disable-defaults", "--collector.loadavg",
            "--collector.meminfo", "--collector.cpu", "--collector.netdev"]  # fmt: skip
    child = processes.spawn(argv, death=signal.SIGKILL, quiet=True)
    keep = Keep()
    until(lambda: look(keep, port).failure is None, 30)
    yield port
    keep.close()
    processes.stop(child, signal.SIGTERM, 10)


def test_series_of_a_real_exporter_are_found_with_unit_and_kind(keep: Keep, exporter: int) -> None:
    reading = look(
        keep, exporter, "load = node_load1", "free = node_memory_MemAvailable_bytes",
        'idle = node_cpu_seconds_total{cpu="0",mode="idle"}', "got = node_network_receive_bytes_total",
    )  # fmt: skip
    assert reading.failure is None
    found = chosen(reading)
    assert found["free"].value > 1_000_000 and found["free"].unit == "By" and found["free"].kind == "gauge"
    assert found["idle"].unit == "s" and found["idle"].kind == "counter"
    assert found["load"].unit == "1"
    assert next(m for of, m in found.items() if of.startswith("got")).kind == "counter"
    assert next(one.value for one in reading.measures if one.name == "prometheus.series") > 50


def test_where_nothing_is_chosen_yet_it_is_told_what_there_is(keep: Keep, exporter: int) -> None:
    reading = look(keep, exporter)
    assert reading.failure is None
    assert "node_" in next(one.value for one in reading.facts if one.name == "prometheus.offered")


def test_every_measure_brought_is_declared(keep: Keep, exporter: int) -> None:
    declared = {row.name for row in catalogue()["prometheus"].produces}
    assert {one.name for one in look(keep, exporter, "load = node_load1").measures} <= declared


def test_a_page_from_a_real_web_server_is_read_too(keep: Keep) -> None:
    with nginx(metrics="up 1\n") as port:
        assert chosen(look(keep, port, "up = up"))["up"].value == 1


# --- the format -------------------------------------------------------------------------------------------------


def test_the_formats_own_example_is_understood(keep: Keep) -> None:
    reading = from_page(
        keep,
        'bad = http_requests_total{code!="200"}',
        'file = msdos_file_access_time_seconds{path="C:\\\\DIR\\\\FILE.TXT"}',
        'slow = http_request_duration_seconds_bucket{le="+Inf"}',
        "spent = http_request_duration_seconds_sum",
        "calls = rpc_duration_seconds_count : 1 gauge",
        "foo = foo_total",
        "plain = metric_without_timestamp_and_labels : V",
    )
    assert reading.failure is None
    found = {of: (one.value, one.unit, one.kind) for of, one in chosen(reading).items()}
    assert found == {
        "bad": (3.0, "1", "counter"),
        "file": (1.458255915e9, "s", "gauge"),
        "slow": (144320.0, "s", "counter"),
        "spent": (53423.0, "s", "counter"),
        "calls": (2693.0, "1", "gauge"),
        "foo": (17.0, "1", "counter"),
        "plain": (12.47, "V", "gauge"),
    }
    assert not [one for one in reading.facts if one.name == "prometheus.skipped"]


def test_several_series_of_one_choice_bear_what_tells_them_apart(keep: Keep) -> None:
    found = chosen(from_page(keep, "room = room_celsius"))
    assert {of: (one.value, one.unit) for of, one in found.items()} == {
        "room a": (21.5, "Cel"),
        "room b": (22.0, "Cel"),
    }


def test_no_number_is_no_measure_but_a_failed_check(keep: Keep) -> None:
    for where in ("something_weird", "rpc_duration_seconds", "nowhere"):
        reading = from_page(keep, f"x = {where}", "plain = metric_without_timestamp_and_labels")
        failed(reading, FailureKind.REFUSED, f"no number for {where}")
        assert set(chosen(reading)) == {"plain"}


@pytest.mark.parametrize(
    "line",
    [
        "", "{}", "a", "a{", "a{} ", 'a{b="c} 1', "a{b=c} 1", 'a{b="c"', 'a{b="c" d="e"} 1', "1a 1", "a b c d", "a{b=\"c\"}}",
        'a{b="\\', "ä 1", 'a{b!="c"} 1', "a1{,} 1", "a" * 300_000, 'a{b="' + "\\" * 100_001, "a{" + 'b="c",' * 100 + "} 1",
    ],
)  # fmt: skip
def test_a_line_that_is_none_is_left_out(line: str) -> None:
    stop = within(2)
    assert series(line) is None
    stop()


def test_lines_that_are_none_are_counted_and_the_others_stay(keep: Keep) -> None:
    reading = from_page(keep, "a = a", page="a 1\n<html>\nb{ 2\n\r\na\x00b 3\n")
    assert reading.failure is None
    assert next(one.value for one in reading.facts if one.name == "prometheus.skipped") == "3 lines"


def test_labels_are_read_as_written() -> None:
    assert series('a{b="x\\"y\\\\z\\n",c=""} 1 2') == Series("a", (("b", 'x"y\\z\n'), ("c", "")), "1")
    assert parse("# TYPE a counter\n# TYPE a gauge\na 1\n").kind("a") == "counter"


def test_a_page_larger_than_the_cap_is_read_by_its_beginning(keep: Keep) -> None:
    page = "first 1\n" + "filler 2\n" * 100_000 + "last 3\n"
    reading = from_page(keep, "first = first", "last = last", page=page)
    failed(reading, FailureKind.REFUSED, "no number for last", "768 KiB")
    assert set(chosen(reading)) == {"first"}


# --- servers that are no exporter -------------------------------------------------------------------------------


def test_what_is_no_page_of_metrics_is_said_not_to_be(keep: Keep) -> None:
    for page in ("<html><body>hello</body></html>", "", '{"a": 1}', "\x00" * 1000):
        failed(from_page(keep, "a = a", page=page), FailureKind.REFUSED, "no page of metrics")
    with web(response("404 Not Found")) as peer:
        failed(look(keep, peer.port), FailureKind.REFUSED, "Answered 404")
    failed(look(keep, free_port()), FailureKind.REFUSED, "nothing listens there")


def test_a_token_is_sent_as_bearer_and_a_refused_one_is_our_problem(keep: Keep) -> None:
    with web(response("401 Unauthorized")) as peer:
        reading = look(keep, peer.port, secret=Secret(password="t"), plain_password=True)
        failed(reading, FailureKind.DENIED, "credential")
        assert peer.requests[0].headers["authorization"] == "Bearer t"


def test_a_server_that_drips_is_given_up_in_time(keep: Keep) -> None:
    with talking(dripping(b"HTTP/1.1 200 OK\r\n\r\na 1\n")) as peer:
        stop = within(5)
        failed(look(keep, peer.port, "a = a", deadline=1.0), FailureKind.TIMEOUT)
        stop()


@pytest.mark.parametrize(
    ("values", "word"),
    [
        (["a"], "label = where"),
        (["= a"], "label = where"),
        (["a = 1b"], "label = name"),
        (["a = b{c}"], "label = name"),
        (['a = b{c="d"} e'], "label = name"),
        (["a = b", "a = c"], "two values"),
        (["a = b : m s"], "label = name"),
        ([f"a{n} = b" for n in range(101)], "at most 100"),
    ],
)
def test_choices_that_cannot_work_are_refused_when_they_are_set(values: list[str], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        fill(Options, {"values": values})


def test_a_choice_with_several_labels_may_be_typed_as_one_line() -> None:
    filled = fill(Options, {"values": 'a = b{c="d",e!="f"} : By\nx = y'})
    assert prometheus.whole(filled.values) == ('a = b{c="d",e!="f"} : By', "x = y")
