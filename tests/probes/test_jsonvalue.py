"""The JSON probe against a real web server and against documents made to break a reader."""

from __future__ import annotations

import json

import pytest
from webpeers import Request, response, web
from webserver import nginx

from domain.options import fill
from domain.reading import FailureKind, Measure, Reading, Secret, Target
from probes import catalogue, jsonvalue
from probes.base import Keep
from probes.jsonvalue import Options
from tests.ports import free_port

DOCUMENT = {
    "status": "ok", "n": 3, "share": 0.25, "on": True, "none": None, "text": "12.5", "name": "db\x1b[2J",
    "disks": [{"free": 100, "name": "a"}, {"free": 200, "a.b": 1, "x/y~z": 7}],
}  # fmt: skip


def look(keep: Keep, port: int, secret: Secret | None = None, **options: object) -> Reading:
    return jsonvalue.look(Target("127.0.0.1", fill(Options, {"port": port, **options}), secret, 5.0), keep)


def failed(reading: Reading, kind: FailureKind, *words: str) -> None:
    assert reading.failure is not None, reading
    assert reading.failure.kind is kind, reading.failure
    for word in words:
        assert word in reading.failure.detail, reading.failure


def chosen(reading: Reading) -> dict[str, Measure]:
    return {one.of: one for one in reading.measures if one.name == "json.value"}


def from_document(keep: Keep, *values: str, document: object = DOCUMENT, **options: object) -> Reading:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    with web(response(body=body)) as peer:
        return look(keep, peer.port, values=values, **options)


def test_values_of_a_real_web_servers_document_are_found(keep: Keep) -> None:
    with nginx(state_json=json.dumps(DOCUMENT)) as port:
        reading = look(keep, port, path="/state.json", values="n = n\nfree = disks[1].free : By", expect="status = ok")
    assert reading.failure is None
    assert chosen(reading)["free"] == Measure("json.value", 200.0, "By", "free")
    assert chosen(reading)["n"].unit == "1"
    assert {one.name for one in reading.measures} <= {row.name for row in catalogue()["json"].produces}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("n", 3), ("share", 0.25), ("on", 1), ("text", 12.5), ("disks[0].free", 100), ('disks[1]["a.b"]', 1),
        ("/disks/1/free", 200), ("/disks/1/x~1y~0z", 7), ("$.n", 3),
    ],
)  # fmt: skip
def test_paths_and_pointers_lead_to_numbers(keep: Keep, path: str, value: float) -> None:
    reading = from_document(keep, f"x = {path}")
    assert reading.failure is None
    assert chosen(reading)["x"].value == value


def test_a_counter_is_one_where_it_is_said_to_be(keep: Keep) -> None:
    assert chosen(from_document(keep, "x = n : By counter"))["x"].kind == "counter"
    assert chosen(from_document(keep, "x = n : counter"))["x"] == Measure("json.value", 3.0, "1", "x", "counter")


def test_a_text_is_a_fact_and_is_cleaned(keep: Keep) -> None:
    reading = from_document(keep, "x = name")
    assert reading.failure is None and not chosen(reading)
    assert next(one for one in reading.facts if one.name == "json.text").of == "x"
    assert "\x1b" not in repr(reading) and "\\x1b" not in repr(reading)


@pytest.mark.parametrize("path", ["nowhere", "disks[9].free", "none", "disks", "n.deeper", "/disks/x", "/"])
def test_what_is_no_value_fails_the_check_and_leaves_the_others(keep: Keep, path: str) -> None:
    reading = from_document(keep, f"x = {path}", "n = n")
    failed(reading, FailureKind.REFUSED, "no value")
    assert set(chosen(reading)) == {"n"}


def test_another_text_than_expected_fails_the_check(keep: Keep) -> None:
    assert from_document(keep, expect="status = ok\nn = 3\non = true").failure is None
    failed(from_document(keep, expect="status = down"), FailureKind.REFUSED, "'ok' at 'status', expected 'down'")
    failed(from_document(keep, expect="nowhere = x"), FailureKind.REFUSED, "nothing at 'nowhere'")


@pytest.mark.parametrize(
    "body",
    [b"<html>", b"", b'{"a": NaN}', b"[" * 100_000, b"1" * 100_000, b"\xff\xfe{", b'{"x": 1' + b" " * 300_000],
)
def test_what_is_not_json_is_said_not_to_be(keep: Keep, body: bytes) -> None:
    reading = from_document(keep, "x = x", document=body)
    failed(reading, FailureKind.REFUSED)
    assert not chosen(reading)


def test_numbers_beyond_all_bounds_are_none(keep: Keep) -> None:
    for body in (b'{"x": 1e999}', b'{"x": -1e999}', b'{"x": "nan"}', b'{"x": ' + b"9" * 400 + b"}"):
        assert not chosen(from_document(keep, "x = x", document=body))


def test_a_token_goes_into_the_header_it_is_meant_for(keep: Keep) -> None:
    with web(lambda request: response(body=b'{"n": 1}')) as peer:
        look(keep, peer.port, Secret("x", "key"), header="X-API-Key", plain_password=True)
        look(keep, peer.port, Secret("user", "word"), plain_password=True)
        failed(look(keep, peer.port, Secret("x", "key"), header="X-API-Key"), FailureKind.UNTRUSTED, "in the clear")
        first, second = peer.requests
    assert first.headers["x-api-key"] == "key" and "authorization" not in first.headers
    assert second.headers["authorization"].startswith("Basic ")


def test_no_token_follows_to_another_origin(keep: Keep) -> None:
    with web(response(body=b'{"n": 1}')) as other:

        def away(request: Request) -> bytes:
            return response("302 Found", b"", Location=f"http://127.0.0.1:{other.port}/")

        with web(away) as peer:
            look(keep, peer.port, Secret("x", "key"), header="X-API-Key", plain_password=True)
        assert "x-api-key" not in other.requests[0].headers


def test_other_statuses_and_closed_ports_are_failed_checks(keep: Keep) -> None:
    with web(response("503 Service Unavailable", b'{"n": 1}')) as peer:
        failed(look(keep, peer.port), FailureKind.REFUSED, "Answered 503")
        assert look(keep, peer.port, status="503", values="n = n").failure is None
    failed(look(keep, free_port()), FailureKind.REFUSED, "nothing listens there")


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"values": "a"}, "label = where"),
        ({"values": "a = b[c"}, "paths"),
        ({"expect": "status"}, "status = ok"),
        ({"header": "Host"}, "header"),
        ({"header": "a b"}, "header"),
        ({"url": "ftp://x"}, "url"),
        ({"verify": False}, "unverified_because"),
    ],
)
def test_options_that_cannot_work_are_refused_when_they_are_set(values: dict[str, object], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        fill(Options, values)
