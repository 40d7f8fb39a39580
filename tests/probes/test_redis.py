"""The Redis probe against real servers and a replica, and against peers that are no Redis."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from installation import command, until
from redisserver import Server, server
from talkers import Talker, dripping, endless, saying, silent, talking, within
from webpeers import Authority

from domain.options import fill
from domain.reading import FailureKind, Reading, Secret, Target
from probes import catalogue, redis
from probes.base import Keep
from probes.redis import Options
from tests.ports import free_port

WATCHER = Secret("pantau", "right")
ACL = ("ACL", "SETUSER", "pantau", "on", ">right", "resetkeys", "-@all", "+ping", "+info", "+slowlog|get")


def look(keep: Keep, port: int, secret: Secret | None = None, deadline: float = 8.0, **options: object) -> Reading:
    values = {"port": port, "plain_password": True, **options}
    return redis.look(Target("127.0.0.1", fill(Options, values), secret, deadline), keep)


def failed(reading: Reading, kind: FailureKind, *words: str) -> None:
    assert reading.failure is not None, reading
    assert reading.failure.kind is kind, reading.failure
    for word in words:
        assert word in reading.failure.detail, reading.failure


def value(reading: Reading, name: str, of: str = "") -> float:
    return next(one.value for one in reading.measures if one.name == f"redis.{name}" and one.of == of)


def named(reading: Reading) -> set[str]:
    return {one.name.removeprefix("redis.") for one in reading.measures}


def fact(reading: Reading, name: str) -> str:
    return next(one.value for one in reading.facts if one.name == f"redis.{name}")


@pytest.fixture(scope="module")
def primary() -> Iterator[Server]:
    with server("--maxmemory", "64mb", "--maxclients", "20") as made:
        made.do(*ACL)
        yield made


def test_a_healthy_server_tells_its_load_and_its_limits(keep: Keep, primary: Server) -> None:
    look(keep, primary.port)
    primary.do("SET", "a", "1")
    for key in ("a", "a", "a", "b"):
        primary.do("GET", key)
    reading = look(keep, primary.port)
    assert reading.failure is None
    assert 0 < value(reading, "ping.duration") < value(reading, "connect.duration") + 8
    assert value(reading, "memory.max") == 64 * 1024 * 1024
    assert value(reading, "memory.utilization") == pytest.approx(value(reading, "memory.used") / 64 / 1024 / 1024)
    assert value(reading, "clients.max") == 20
    assert value(reading, "clients.utilization") == pytest.approx(1 / 20)
    assert value(reading, "keyspace.hit.ratio") == pytest.approx(0.75)
    assert value(reading, "db.keys", "db0") == value(reading, "db.keys") == 1
    assert value(reading, "commands.processed") > 5
    assert value(reading, "persistence.failing") == 0
    assert fact(reading, "role") == "primary"
    assert fact(reading, "version").startswith(("6.", "7.", "8."))
    assert reading.cost.sent > 20 and reading.cost.received > 1000


def test_every_measure_brought_is_declared_with_its_unit_and_kind(keep: Keep, primary: Server) -> None:
    declared = {(row.name, row.unit, row.kind) for row in catalogue()["redis"].produces}
    look(keep, primary.port)
    reading = look(keep, primary.port)
    assert {(one.name, one.unit, one.kind) for one in reading.measures} <= declared
    assert len({(one.name, one.of) for one in reading.measures}) == len(reading.measures)


def test_the_user_of_the_documentation_is_enough(keep: Keep, primary: Server) -> None:
    reading = look(keep, primary.port, WATCHER)
    assert reading.failure is None
    assert "commands.slow" in named(reading)
    assert ACL[2:] == tuple(_documented())


def _documented() -> list[str]:
    page = Path(__file__).parents[2] / "docs" / "probes" / "redis.md"
    line = next(text for text in page.read_text().splitlines() if text.startswith("ACL SETUSER"))
    return line.replace(">A-LONG-PASSWORD", ">right").split()[2:]


def test_slow_commands_are_counted(keep: Keep, primary: Server) -> None:
    before = value(look(keep, primary.port), "commands.slow")
    primary.do("DEBUG", "SLEEP", "0.05")
    primary.do("CONFIG", "SET", "slowlog-log-slower-than", "0")
    primary.do("SET", "a", "1")
    primary.do("CONFIG", "SET", "slowlog-log-slower-than", "10000")
    assert value(look(keep, primary.port), "commands.slow") > before


def test_keys_thrown_out_for_want_of_memory_are_counted(keep: Keep) -> None:
    with server("--maxmemory", "3mb", "--maxmemory-policy", "allkeys-lru") as made:
        assert value(look(keep, made.port), "keys.evicted") == 0
        made.do("EVAL", "for i = 1, 5000 do redis.call('SET', 'k' .. i, string.rep('x', 1000)) end", "0")
        reading = look(keep, made.port)
    assert value(reading, "keys.evicted") > 0
    assert value(reading, "memory.utilization") > 0.7
    assert fact(reading, "memory.policy") == "allkeys-lru"


def test_without_a_limit_there_is_no_share_of_it(keep: Keep) -> None:
    with server() as made:
        reading = look(keep, made.port)
    assert reading.failure is None
    assert not {"memory.max", "memory.utilization"} & named(reading)


def test_a_replica_that_loses_its_primary_is_broken_on_both_sides(keep: Keep) -> None:
    with server() as first, server("--replicaof", "127.0.0.1", str(first.port)) as second:
        good = until(lambda: (r := look(keep, second.port, role="replica")).failure is None and r)
        assert value(good, "replication.link") == 1
        assert value(until(lambda: (r := look(keep, first.port, replicas=1)).failure is None and r), "replicas") == 1
        source = until(lambda: (r := look(keep, first.port)) and "replica.data_delay" in named(r) and r)
        assert value(source, "replica.data_delay", f"127.0.0.1:{second.port}") >= 0
        assert value(source, "replica.lag", f"127.0.0.1:{second.port}") < 10
        failed(look(keep, second.port, role="primary"), FailureKind.REFUSED, "now a replica")
        first.stop()
        lost = until(lambda: (r := look(keep, second.port)).failure and r)
        failed(lost, FailureKind.REFUSED, "has lost its primary 127.0.0.1")
        assert value(lost, "replication.link") == 0
        assert value(lost, "replication.silent") >= 0
        first.start()
        assert until(lambda: look(keep, second.port).failure is None)
        second.stop()
        assert until(lambda: (r := look(keep, first.port, replicas=1)).failure and "0 of 1" in r.failure.detail)


def test_saving_that_fails_is_told(keep: Keep) -> None:
    with server() as made:
        made.do("CONFIG", "SET", "enable-debug-command", "yes")
        (made.place / "dump.rdb").mkdir()  # what it would rename its file to
        made.do("SET", "a", "1")
        made.do("BGSAVE")
        reading = until(lambda: (r := look(keep, made.port)).failure and r)
    failed(reading, FailureKind.REFUSED, "saving its data to disk failed")
    assert value(reading, "persistence.failing") == 1


# --- who is let in ----------------------------------------------------------------------------------------------


def test_a_server_that_wants_a_password_and_gets_none_or_a_wrong_one_denies(keep: Keep) -> None:
    with server("--requirepass", "right") as made:
        failed(look(keep, made.port), FailureKind.DENIED, "wants a password")
        assert look(keep, made.port, Secret(password="right")).failure is None
        wrong = Secret(password="wrong")
        for _ in range(2):
            failed(look(keep, made.port, wrong), FailureKind.DENIED, "credential")
        failed(look(keep, made.port, wrong), FailureKind.DENIED, "every five minutes")


def test_a_user_without_rights_is_denied_with_what_to_do(keep: Keep, primary: Server) -> None:
    primary.do("ACL", "SETUSER", "blind", "on", ">right", "+ping")
    failed(look(keep, primary.port, Secret("blind", "right")), FailureKind.DENIED, "ACL SETUSER", "info")


def test_a_password_does_not_travel_in_the_clear_unless_that_is_allowed(keep: Keep, primary: Server) -> None:
    failed(look(keep, primary.port, WATCHER, plain_password=False), FailureKind.UNTRUSTED, "in the clear")
    assert look(keep, primary.port, WATCHER).failure is None


def test_a_server_with_all_its_clients_refuses(keep: Keep, primary: Server) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(21):
            stack.enter_context(socket.create_connection(("127.0.0.1", primary.port)))
        failed(until(lambda: (r := look(keep, primary.port)).failure and r), FailureKind.REFUSED, "no more clients")
    assert until(lambda: look(keep, primary.port).failure is None)


def test_a_stopped_server_refuses_and_its_machine_is_up(keep: Keep) -> None:
    failed(look(keep, free_port()), FailureKind.REFUSED, "nothing listens there")


def test_redis_in_tls_is_believed_only_with_a_good_certificate(keep: Keep, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    authority.server("127.0.0.1")
    file, port = str(next(tmp_path.glob("*.pem"))), free_port()
    with server("--tls-port", str(port), "--tls-cert-file", file, "--tls-key-file", file, "--tls-auth-clients", "no"):
        good = look(keep, port, tls="verify", ca=authority.pem, plain_password=False)
        assert good.failure is None
        assert next(one.value for one in good.measures if one.name == "tls.certificate.expiry") > 86400
        assert look(keep, port, tls="require").failure is None
        failed(look(keep, port, tls="verify"), FailureKind.UNTRUSTED, "certificate")
        failed(look(keep, port), FailureKind.REFUSED)


# --- bad company ------------------------------------------------------------------------------------------------


def test_a_server_that_says_nothing_or_drips_is_given_up_in_time(keep: Keep) -> None:
    for speech in (silent, dripping(b"+PONG")):
        with talking(speech) as peer:
            stop = within(6)
            failed(look(keep, peer.port, deadline=1.0), FailureKind.TIMEOUT)
            stop()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"+PONG\r\n+PONG\r\n",
        b"+PONG\r\n$-2\r\n",
        b"+PONG\r\n$99999999999999\r\n",
        b"+PONG\r\n$3\r\nabcdef\r\n",
        b"+PONG\r\n" + b"*1\r\n" * 2000,
        b"+PONG\r\n*99999999\r\n" + b":1\r\n" * 5000,
        b"+PONG\r\n:--1\r\n",
        b"+PONG\r\n:\xd9\xa1\r\n",
        b"\r\n" * 100,
        b"x" * 5000,
        b"",
    ],
)
def test_what_is_not_redis_is_said_not_to_be(keep: Keep, answer: bytes) -> None:
    def speech(talker: Talker, line: socket.socket) -> None:
        line.sendall(answer)
        line.shutdown(socket.SHUT_WR)
        while line.recv(4096):
            pass

    with talking(speech) as peer:
        failed(look(keep, peer.port, deadline=3.0), FailureKind.REFUSED)


def test_a_flood_is_hung_up_on(keep: Keep) -> None:
    with talking(endless) as peer:
        stop = within(6)
        failed(look(keep, peer.port, deadline=3.0), FailureKind.REFUSED)
        stop()


def test_text_of_a_server_is_cleaned(keep: Keep) -> None:
    info = "redis_version:7\x1b[2J\r\nrole:slave\r\nmaster_host:a\u202eb\r\nmaster_link_status:down\r\n".encode()
    with talking(saying(b"+PONG\r\n$%d\r\n%s\r\n*0\r\n" % (len(info), info))) as peer:
        reading = look(keep, peer.port)
    failed(reading, FailureKind.REFUSED, "has lost its primary")
    assert "\\x1b" not in repr(reading) and "\\u202e" not in repr(reading)


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"ca": "nonsense", "tls": "verify"}, "PEM"),
        ({"ca": "x"}, "tls"),
        ({"name": "a b"}, "name"),
        ({"role": "x"}, "role"),
    ],
)
def test_options_that_cannot_work_are_refused_when_they_are_set(values: dict[str, object], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        fill(Options, values)


def test_the_command_line_looks_as_the_poller_does(primary: Server) -> None:
    done = command("probe", "redis", "127.0.0.1", "--set", f"port={primary.port}", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["failure"] is None
    assert {"name": "redis.memory.max", "value": 67108864.0} in [
        {"name": one["name"], "value": one["value"]} for one in told["measures"]
    ]
