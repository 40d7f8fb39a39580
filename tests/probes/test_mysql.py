"""The MySQL probe against a real MariaDB and its replica, against MySQL's own forms, and against liars."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import pymysql
import pytest
from installation import until
from mariadbserver import Server, replica, server
from mysqltalk import OK, Rows, Wire, greeting, mysql
from talkers import Talker, dripping, endless, saying, silent, talking, within

from domain.options import fill
from domain.reading import FailureKind, Reading, Secret, Target
from probes import catalogue
from probes import mysql as probe
from probes.base import Keep
from probes.mysql import Options
from tests.ports import free_port

WATCHER = Secret("watcher", "right")


def look(keep: Keep, port: int, secret: Secret | None = WATCHER, deadline: float = 8.0, **options: object) -> Reading:
    return probe.look(Target("127.0.0.1", fill(Options, {"port": port, **options}), secret, deadline), keep)


def failed(reading: Reading, kind: FailureKind, *words: str) -> None:
    assert reading.failure is not None, reading
    assert reading.failure.kind is kind, reading.failure
    for word in words:
        assert word in reading.failure.detail, reading.failure


def value(reading: Reading, name: str, of: str = "") -> float:
    return next(one.value for one in reading.measures if one.name == f"mysql.{name}" and one.of == of)


def named(reading: Reading) -> set[str]:
    return {one.name.removeprefix("mysql.") for one in reading.measures}


def fact(reading: Reading, name: str) -> str:
    return next(one.value for one in reading.facts if one.name == f"mysql.{name}")


@pytest.fixture(scope="module")
def source() -> Iterator[Server]:
    with server() as made:
        yield made


# --- a healthy server -------------------------------------------------------------------------------------------


def test_a_healthy_server_tells_its_load_and_its_limits(keep: Keep, source: Server) -> None:
    look(keep, source.port)
    source.do("select count(*) from shop.things")
    reading = look(keep, source.port)
    assert reading.failure is None
    assert 0 < value(reading, "connect.duration") < 8
    assert value(reading, "connection.max") == 10
    assert value(reading, "connections.utilization") == pytest.approx(value(reading, "connection.count") / 10)
    assert 0 <= value(reading, "buffer_pool.hit.ratio") <= 1
    assert 0 < value(reading, "buffer_pool.utilization") <= 1
    assert value(reading, "query.count") > 0
    assert value(reading, "commands", "select") > 0
    assert value(reading, "replicas") == 0
    assert value(reading, "transactions.blocked") == 0
    assert "MariaDB" in fact(reading, "version")
    assert fact(reading, "tls").startswith("TLS")
    assert reading.cost.sent > 500 and reading.cost.received > 500


def test_every_measure_brought_is_declared_with_its_unit_and_kind(keep: Keep, source: Server) -> None:
    declared = {(row.name, row.unit, row.kind) for row in catalogue()["mysql"].produces}
    look(keep, source.port)
    reading = look(keep, source.port)
    assert {(one.name, one.unit, one.kind) for one in reading.measures} <= declared
    assert len({(one.name, one.of) for one in reading.measures}) == len(reading.measures)


def test_queries_are_counted_as_they_happen(keep: Keep, source: Server) -> None:
    before = value(look(keep, source.port), "commands", "select")
    with source.session() as session:
        for _ in range(20):
            session.cursor().execute("select 1")
    assert value(look(keep, source.port), "commands", "select") - before >= 20


def test_a_transaction_that_waits_for_a_row_and_a_long_query_are_seen(keep: Keep, source: Server) -> None:
    with source.session() as holder, source.session() as other:
        holder.begin()
        holder.cursor().execute("insert into shop.things values (-1)")
        thread = threading.Thread(target=_quietly, args=(other, "insert into shop.things values (-1)"))
        thread.start()
        reading = until(
            lambda: (r := look(keep, source.port, slow=0.5)) and value(r, "transactions.blocked") == 1 and r, 20
        )
        assert value(reading, "row_locks.waiting") == 1
        assert until(lambda: value(look(keep, source.port, slow=0.5), "queries.long") == 1)
        assert until(lambda: value(look(keep, source.port), "transaction.oldest") >= 1)
        holder.rollback()
        thread.join(20)
    assert until(lambda: value(look(keep, source.port), "transactions.blocked") == 0)
    source.do("delete from shop.things")


def _quietly(connection: pymysql.connections.Connection, statement: str) -> None:  # type: ignore[type-arg]
    with contextlib.suppress(pymysql.Error):
        connection.cursor().execute(statement)


# --- replication ------------------------------------------------------------------------------------------------


def test_replication_that_works_and_then_breaks_is_told_on_both_sides(keep: Keep, source: Server) -> None:
    with replica(source) as second:
        good = until(lambda: (r := look(keep, second.port, replica=True)).failure is None and r)
        assert value(good, "replica.running") == 1
        assert value(good, "replica.time_behind_source") >= 0
        assert look(keep, source.port, replicas=1).failure is None
        assert value(look(keep, source.port), "replicas") == 1

        second.do("insert into shop.things values (5)")
        source.do("insert into shop.things values (5)")
        conflict = until(lambda: (r := look(keep, second.port)).failure and r)
        failed(conflict, FailureKind.REFUSED, "does not apply what it received", "Duplicate entry")
        assert value(conflict, "replica.running") == 0
        assert "replica.time_behind_source" not in named(conflict)

        second.do("stop slave", "set sql_log_bin = 0", "delete from shop.things where n = 5", "start slave")
        assert until(lambda: look(keep, second.port).failure is None)
        second.do("stop slave io_thread")
        stopped = until(lambda: (r := look(keep, second.port)).failure and r)
        failed(stopped, FailureKind.REFUSED, "receives nothing", "gives no error")
        assert until(lambda: (r := look(keep, source.port, replicas=1)).failure and "0 of 1" in r.failure.detail, 60)


def test_a_replica_whose_source_is_gone_is_broken_and_not_level(keep: Keep) -> None:
    with server() as first, replica(first) as second:
        assert until(lambda: look(keep, second.port).failure is None)
        first.stop()
        reading = until(lambda: (r := look(keep, second.port)).failure and r, 40)
        failed(reading, FailureKind.REFUSED, "receives nothing", "connecting")
        assert "replica.time_behind_source" not in named(reading)


def test_a_server_that_should_be_a_replica_and_is_none_fails(keep: Keep, source: Server) -> None:
    failed(look(keep, source.port, replica=True), FailureKind.REFUSED, "replicates from nowhere")


# --- MySQL's own forms ------------------------------------------------------------------------------------------

CHANNEL = {
    "Replica_IO_Running": "Yes", "Replica_SQL_Running": "Yes", "Seconds_Behind_Source": "3", "Source_Host": "10.0.0.1",
    "Last_IO_Error": "", "Last_SQL_Error": "", "Channel_Name": "east",
}  # fmt: skip


def forms(statement: str, *channels: dict[str, str | None]) -> Rows | tuple[int, str]:
    """What MySQL 8.4 answers."""
    if statement.startswith("SHOW GLOBAL STATUS"):
        return [{"Variable_name": "Uptime", "Value": "100"}, {"Variable_name": "Threads_connected", "Value": "3"}]
    if statement.startswith("SHOW GLOBAL VARIABLES"):
        return [{"Variable_name": "max_connections", "Value": "151"}]
    if statement == "SHOW REPLICA STATUS":
        return list(channels)
    if "innodb_metrics" in statement:
        return [{"deadlocks": "7"}]
    if "processlist" in statement:
        return [{"slow": "0", "replicas": "2"}]
    if "trx_started" in statement:
        return [{"oldest": "4", "blocked": "0"}]
    return [] if "innodb_trx" in statement else (1064, "You have an error in your SQL syntax")


def test_mysql_says_it_in_words_of_its_own(keep: Keep) -> None:
    west = CHANNEL | {"Channel_Name": "west", "Seconds_Behind_Source": None, "Replica_IO_Running": "Connecting"}
    with mysql(lambda statement: forms(statement, CHANNEL, west)) as peer:
        reading = look(keep, peer.port)
    failed(reading, FailureKind.REFUSED, "'west' from 10.0.0.1 receives nothing (it is connecting)")
    assert value(reading, "replica.running", "east") == 1
    assert value(reading, "replica.time_behind_source", "east") == 3
    assert value(reading, "replica.running", "west") == 0
    assert [one.of for one in reading.measures if one.name == "mysql.replica.time_behind_source"] == ["east"]
    assert value(reading, "deadlocks") == 7
    assert value(reading, "replicas") == 2


def test_a_lag_that_is_null_is_not_none_but_unknown(keep: Keep) -> None:
    odd = CHANNEL | {"Seconds_Behind_Source": None}
    with mysql(lambda statement: forms(statement, odd)) as peer:
        reading = look(keep, peer.port)
    failed(reading, FailureKind.REFUSED, "does not know how far behind")


def test_an_old_mysql_is_asked_in_its_old_words(keep: Keep) -> None:
    names = {"Replica": "Slave", "Source": "Master"}
    old = {name.replace("Replica", "Slave").replace("Source", "Master"): text for name, text in CHANNEL.items()}

    def answer(statement: str) -> Rows | tuple[int, str]:
        if statement == "SHOW SLAVE STATUS":
            return [old]
        return (1064, "syntax") if "REPLICA" in statement else forms(statement)

    with mysql(answer, "5.7.44-log") as peer:
        reading = look(keep, peer.port)
    assert names and reading.failure is None
    assert value(reading, "replica.time_behind_source", "east") == 3


def test_text_of_a_server_is_cleaned(keep: Keep) -> None:
    bad = CHANNEL | {"Replica_SQL_Running": "No", "Last_SQL_Error": "\x1b[2Jred\u202e", "Channel_Name": "a\x07b"}
    with mysql(lambda statement: forms(statement, bad), "8.4.3\x1b[31m") as peer:
        reading = look(keep, peer.port)
    failed(reading, FailureKind.REFUSED, "red")
    said = repr(reading)
    assert "\\x1b" not in said and "\\u202e" not in said and "\\x07" not in said


# --- rights, and who is let in ----------------------------------------------------------------------------------


def test_a_user_without_rights_is_told_so_and_brings_what_it_may_see(keep: Keep, source: Server) -> None:
    reading = look(keep, source.port, Secret("blind", "right"))
    failed(reading, FailureKind.DENIED, "sessions of others", "state of replication", "grant")
    assert value(reading, "connections.utilization") > 0
    assert "queries.long" not in named(reading)
    assert "replicas" not in named(reading)


def test_a_wrong_password_is_denied_and_is_not_offered_for_ever(keep: Keep, source: Server) -> None:
    wrong = Secret("watcher", "wrong")
    for _ in range(2):
        failed(look(keep, source.port, wrong), FailureKind.DENIED, "credential", "watcher")
    failed(look(keep, source.port, wrong), FailureKind.DENIED, "every five minutes")
    assert look(keep, source.port).failure is None


def test_no_credential_another_address_and_no_such_database_are_denied(keep: Keep, source: Server) -> None:
    failed(look(keep, source.port, None), FailureKind.DENIED, "credential")
    failed(look(keep, source.port, Secret("here", "right")), FailureKind.DENIED)
    failed(look(keep, source.port, database="nowhere"), FailureKind.DENIED, "'nowhere'")


def test_a_server_whose_connections_are_all_in_use_refuses(keep: Keep, source: Server) -> None:
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(pymysql.OperationalError):
            for _ in range(12):
                stack.enter_context(source.session())
        failed(look(keep, source.port), FailureKind.REFUSED, "no more connections")
    until(lambda: look(keep, source.port).failure is None)


def test_a_stopped_server_refuses_and_its_machine_is_up(keep: Keep) -> None:
    failed(look(keep, free_port()), FailureKind.REFUSED, "nothing listens there")


# --- TLS, and the password --------------------------------------------------------------------------------------


def test_tls_is_used_where_offered_and_believed_only_with_a_good_certificate(keep: Keep, source: Server) -> None:
    assert fact(look(keep, source.port, tls="off"), "tls") == "no"
    for mode in ("prefer", "require"):
        reading = look(keep, source.port, tls=mode)
        assert reading.failure is None and fact(reading, "tls").startswith("TLS")
    good = look(keep, source.port, tls="verify", ca=source.authority.pem)
    assert good.failure is None
    assert next(one.value for one in good.measures if one.name == "tls.certificate.expiry") > 86400
    failed(look(keep, source.port, tls="verify"), FailureKind.UNTRUSTED, "certificate authority")
    other = look(keep, source.port, tls="verify", ca=source.authority.pem, name="db.example")
    failed(other, FailureKind.UNTRUSTED, "for another")


def test_tls_that_is_insisted_on_and_not_offered_is_untrusted(keep: Keep) -> None:
    with mysql(forms) as peer:
        failed(look(keep, peer.port, tls="require"), FailureKind.UNTRUSTED, "does not offer TLS")


@pytest.mark.parametrize("plugin", [b"mysql_clear_password", b"dialog", b"caching_sha2_password", b"sha256_password"])
def test_an_impostor_does_not_get_the_password(keep: Keep, plugin: bytes) -> None:
    heard: list[bytes] = []

    def speech(talker: Talker, line: socket.socket) -> None:
        wire = Wire(line)
        wire.say(greeting())
        wire.hear()
        wire.say(b"\xfe" + plugin + b"\0" + (b"\2Password: " if plugin == b"dialog" else b"12345678901234567890\0"))
        heard.append(wire.hear())
        wire.say(b"\1\4")
        heard.append(wire.hear())
        wire.say(OK)

    with talking(speech) as peer:
        failed(look(keep, peer.port), FailureKind.UNTRUSTED, "in the clear", "verify")
    assert not any(b"right" in said or said in (b"\1", b"\2") for said in heard)


# --- bad company ------------------------------------------------------------------------------------------------


def test_a_server_that_says_nothing_or_drips_is_given_up_in_time(keep: Keep) -> None:
    packet = len(greeting()).to_bytes(3, "little") + b"\0" + greeting()
    for speech in (silent, dripping(packet)):
        with talking(speech) as peer:
            stop = within(6)
            failed(look(keep, peer.port, deadline=1.0), FailureKind.TIMEOUT, "waiting for")
            stop()


@pytest.mark.parametrize(
    "answer",
    [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-OpenSSH_9.2\r\n", b"\1\0\0\0\x0a", b"\x05\0\0\0\x0a\0\0\0\0", b""],
)
def test_what_is_not_mysql_is_said_not_to_be(keep: Keep, answer: bytes) -> None:
    def and_goes(talker: Talker, line: socket.socket) -> None:
        line.sendall(answer)

    for speech in (and_goes, saying(answer)) if answer.startswith((b"HTTP", b"SSH")) else (and_goes,):
        with talking(speech) as peer:
            failed(look(keep, peer.port, deadline=3.0), FailureKind.REFUSED)


def test_a_flood_is_hung_up_on(keep: Keep) -> None:
    def without_end(talker: Talker, line: socket.socket) -> None:
        wire = Wire(line)
        wire.say(greeting())
        wire.hear()
        wire.say(OK)
        while True:
            line.sendall(b"\xff\xff\xff\1" + b"x" * 65536)

    for speech in (endless, without_end):
        with talking(speech) as peer:
            stop = within(8)
            reading = look(keep, peer.port, deadline=5.0)
            stop()
        assert reading.failure is not None and reading.failure.kind is FailureKind.REFUSED
        assert reading.cost.received < 8 * 1024 * 1024


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"ca": "nonsense", "tls": "verify"}, "PEM"),
        ({"ca": "x"}, "tls"),
        ({"name": "a b"}, "name"),
        ({"slow": 0}, "slow"),
    ],
)
def test_options_that_cannot_work_are_refused_when_they_are_set(values: dict[str, object], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        fill(Options, values)
