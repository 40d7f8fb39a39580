"""The status pages of a real nginx and a real Apache, and pages that are none."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from webpeers import response, web
from webserver import apache, nginx

from domain.options import fill
from domain.reading import FailureKind, Reading, Target
from probes import catalogue, webstatus
from probes.base import Keep
from probes.webstatus import Options
from tests.ports import free_port


def look(keep: Keep, port: int, **options: object) -> Reading:
    return webstatus.look(Target("127.0.0.1", fill(Options, {"port": port, **options}), None, 5.0), keep)


def failed(reading: Reading, kind: FailureKind, *words: str) -> None:
    assert reading.failure is not None, reading
    assert reading.failure.kind is kind, reading.failure
    for word in words:
        assert word in reading.failure.detail, reading.failure


def value(reading: Reading, name: str, of: str = "") -> float:
    return next(one.value for one in reading.measures if one.name == name and one.of == of)


@pytest.fixture(scope="module")
def engine() -> Iterator[int]:
    with nginx(page_html="<p>hello") as port:
        yield port


@pytest.fixture(scope="module")
def indian() -> Iterator[int]:
    with apache(page_html="<p>hello") as port:
        yield port


def test_nginx_tells_its_connections_and_requests(keep: Keep, engine: int) -> None:
    before = look(keep, engine)
    with socket.create_connection(("127.0.0.1", engine)):
        after = look(keep, engine)
    assert before.failure is None and after.failure is None
    assert value(after, "nginx.requests") == value(before, "nginx.requests") + 1
    assert value(after, "nginx.connections_accepted") == value(before, "nginx.connections_accepted") + 2
    assert value(after, "nginx.connections_dropped") == 0
    assert value(after, "nginx.connections_current") == 2
    assert value(after, "nginx.connections_current", "writing") == 1


def test_apache_tells_its_workers_and_requests(keep: Keep, indian: int) -> None:
    look(keep, indian, server="apache")
    reading = look(keep, indian, server="apache")
    assert reading.failure is None
    assert value(reading, "apache.workers.busy") >= 1
    assert 0 < value(reading, "apache.workers.utilization") <= 1
    assert value(reading, "apache.requests") >= 1
    assert value(reading, "apache.scoreboard", "sending") >= 1
    assert value(reading, "apache.uptime") >= 0
    assert next(one.value for one in reading.facts if one.name == "apache.version").startswith("Apache/2")


def test_every_measure_brought_is_declared_with_its_unit_and_kind(keep: Keep, engine: int, indian: int) -> None:
    declared = {(row.name, row.unit, row.kind) for row in catalogue()["webstatus"].produces}
    for reading in (look(keep, engine), look(keep, indian, server="apache")):
        assert {(one.name, one.unit, one.kind) for one in reading.measures} <= declared
        assert len({(one.name, one.of) for one in reading.measures}) == len(reading.measures)


def test_a_page_that_is_closed_missing_or_another_is_told_with_what_to_do(keep: Keep, engine: int, indian: int) -> None:
    failed(look(keep, engine, path="/closed"), FailureKind.DENIED, "(403)", "switch it on")
    failed(look(keep, indian, path="/closed?auto"), FailureKind.DENIED, "(403)")
    failed(look(keep, engine, path="/nowhere"), FailureKind.UNSUPPORTED, "(404)")
    failed(look(keep, engine, path="/page.html"), FailureKind.UNSUPPORTED, "no status page")
    failed(look(keep, indian, path="/server-status"), FailureKind.UNSUPPORTED, "?auto")
    failed(look(keep, free_port()), FailureKind.REFUSED, "nothing listens there")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"Active connections: 1",
        b"Active connections: 1 \nserver accepts handled requests\n 1 1 1 \nReading: 0 Writing: 1 Waiting: x \n",
        b"BusyWorkers: many\n",
        b"BusyWorkers: NaN\nIdleWorkers: 1\n",
        b"\xff\xfe\0" * 100,
        b"Active connections: " + b"9" * 100_000,
    ],
)
def test_numbers_that_are_none_are_not_invented(keep: Keep, body: bytes) -> None:
    with web(response(body=body)) as peer:
        reading = look(keep, peer.port)
    failed(reading, FailureKind.UNSUPPORTED, "no status page")
    assert not [one for one in reading.measures if one.name.startswith(("nginx", "apache"))]
