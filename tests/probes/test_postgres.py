"""The PostgreSQL probe against a real primary and a real replica, and against peers that are no PostgreSQL."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from installation import until
from postgresserver import Server, before_tls, replica, server
from talkers import dripping, endless, saying, silent, talking, within
from webpeers import Authority

from config import postgres as config
from domain.options import fill
from domain.reading import FailureKind, Reading, Secret, Target
from probes import catalogue, postgres
from probes.base import Keep
from probes.postgres import Options, refusal
from tests.ports import free_port

WATCHER = Secret("watcher", "right")


def look(keep: Keep, port: int, secret: Secret | None = WATCHER, deadline: float = 8.0, **options: object) -> Reading:
    return postgres.look(Target("127.0.0.1", fill(Options, {"port": port, **options}), secret, deadline), keep)


def failed(reading: Reading, kind: FailureKind, *words: str) -> None:
    assert reading.failure is not None, reading
    assert reading.failure.kind is kind, reading.failure
    for word in words:
        assert word in reading.failure.detail, reading.failure


def value(reading: Reading, name: str, of: str = "") -> float:
    return next(one.value for one in reading.measures if one.name == f"postgresql.{name}" and one.of == of)


def named(reading: Reading) -> set[str]:
    return {one.name.removeprefix("postgresql.") for one in reading.measures}


def fact(reading: Reading, name: str) -> str:
    return next(one.value for one in reading.facts if one.name == f"postgresql.{name}")


@pytest.fixture(scope="module")
def primary() -> Iterator[Server]:
    with server() as made:
        made.do("create table things (n int)")
        made.do("insert into things select generate_series(1, 1000)")
        made.do("grant all on things to app")
        yield made


@contextlib.contextmanager
def waiting(primary: Server, statement: str) -> Iterator[None]:
    """A session of the application that is in the middle of `statement`."""

    def run(connection: psycopg.Connection[Any]) -> None:
        with contextlib.suppress(psycopg.Error):
            connection.execute(statement.encode())

    with primary.session("app") as connection:
        pid = connection.info.backend_pid
        thread = threading.Thread(target=run, args=(connection,))
        thread.start()
        try:
            until(lambda: primary.do(f"select 1 from pg_stat_activity where pid = {pid} and state = 'active'"))
            yield
        finally:
            primary.do(f"select pg_terminate_backend({pid})")
            thread.join(10)


# --- a healthy server -------------------------------------------------------------------------------------------


def test_a_healthy_primary_tells_its_load_and_its_limits(keep: Keep, primary: Server) -> None:
    look(keep, primary.port)
    primary.do("select count(*) from things")
    reading = look(keep, primary.port)
    assert reading.failure is None
    assert 0 < value(reading, "connect.duration") < 8
    assert value(reading, "connection.max") == 10  # of 12 two are for superusers
    assert value(reading, "backends") >= 1
    assert value(reading, "connections.utilization") == pytest.approx(value(reading, "backends") / 10)
    assert 0 <= value(reading, "cache.hit.ratio") <= 1
    assert 0 < value(reading, "wraparound.utilization") < 0.01
    assert value(reading, "db_size", "postgres") > 1_000_000
    assert value(reading, "transactions") >= value(reading, "transactions", "postgres") > 0
    assert fact(reading, "role") == "primary"
    assert fact(reading, "tls") == "no"
    assert fact(reading, "version")[:2] in ("15", "16", "17", "18")
    assert reading.cost.sent > 500 and reading.cost.received > 500


def test_every_measure_brought_is_declared_with_its_unit_and_kind(keep: Keep, primary: Server) -> None:
    declared = {(row.name, row.unit, row.kind) for row in catalogue()["postgres"].produces}
    look(keep, primary.port)
    reading = look(keep, primary.port)
    assert {(one.name, one.unit, one.kind) for one in reading.measures} <= declared
    assert len({(one.name, one.of) for one in reading.measures}) == len(reading.measures)


@pytest.mark.parametrize(
    "programs", [one.directory for one in config.candidates(None)], ids=lambda path: path.parent.name
)
def test_every_version_at_hand_is_understood(keep: Keep, programs: Path) -> None:
    with server(programs) as made:
        reading = look(keep, made.port)
    assert reading.failure is None
    assert not [one for one in reading.facts if one.name == "postgresql.unanswered"]


def test_statements_are_counted_where_the_server_counts_them(keep: Keep) -> None:
    with server() as made:
        if not made.do("select 1 from pg_available_extensions where name = 'pg_stat_statements'"):
            assert "statements" not in named(look(keep, made.port))  # the bundled server comes without
            return
        made.options["shared_preload_libraries"] = "pg_stat_statements"
        made.stop()
        made.start()
        made.do("create extension pg_stat_statements")
        reading = look(keep, made.port)
        assert reading.failure is None
        assert value(reading, "statements") > 0
        assert value(reading, "statements.time") > 0


def test_transactions_are_counted_as_they_happen(keep: Keep, primary: Server) -> None:
    before = value(look(keep, primary.port), "transactions", "postgres")
    for _ in range(20):
        primary.do("select 1")
    assert until(lambda: value(look(keep, primary.port), "transactions", "postgres") - before >= 20)


def test_the_cache_hit_ratio_is_that_of_the_time_between_two_looks(keep: Keep, primary: Server) -> None:
    assert "cache.hit.ratio" not in named(look(keep, primary.port))
    assert "cache.hit.ratio" in named(look(keep, primary.port))
    other = Keep()
    assert "cache.hit.ratio" not in named(look(other, primary.port))
    other.close()


def test_a_session_that_holds_a_lock_and_one_that_waits_for_it_are_seen(keep: Keep, primary: Server) -> None:
    with primary.session("app") as holder:
        holder.execute("begin")
        holder.execute("lock table things")
        with waiting(primary, "select * from things"):
            reading = until(
                lambda: (r := look(keep, primary.port, slow=0.1)) and value(r, "sessions.blocked") == 1 and r
            )
            assert value(reading, "sessions", "idle in transaction") == 1
            assert value(reading, "transaction.oldest") > 0
            slow = until(lambda: (r := look(keep, primary.port, slow=0.1)) and value(r, "queries.slow") == 1 and r)
            assert slow.failure is None
        assert value(look(keep, primary.port), "sessions.blocked") == 0


def test_a_deadlock_is_counted(keep: Keep, primary: Server) -> None:
    before = value(look(keep, primary.port), "deadlocks")
    with primary.session("app") as one, primary.session("app") as two:
        one.execute("begin")
        two.execute("begin")
        one.execute("select pg_advisory_xact_lock(1)")
        two.execute("select pg_advisory_xact_lock(2)")
        thread = threading.Thread(target=_lock, args=(one, 2))
        thread.start()
        _lock(two, 1)
        thread.join(20)
    assert until(lambda: value(look(keep, primary.port), "deadlocks") == before + 1)


def _lock(connection: psycopg.Connection[Any], number: int) -> None:
    with contextlib.suppress(psycopg.errors.DeadlockDetected):
        connection.execute(f"select pg_advisory_xact_lock({number})".encode())
        connection.execute("rollback")


def test_a_log_that_cannot_be_archived_is_told(keep: Keep) -> None:
    with server(archive_mode="on", archive_command="false") as made:
        assert until(lambda: made.do("select pg_switch_wal()"))
        reading = until(lambda: (r := look(keep, made.port)).failure and r)
        failed(reading, FailureKind.REFUSED, "Archiving the log fails", "archive_command")
        assert value(reading, "archive.failing") == 1


# --- replication ------------------------------------------------------------------------------------------------


def test_replication_that_works_and_then_breaks_is_told_on_both_sides(keep: Keep, primary: Server) -> None:
    with replica(primary) as second:
        assert until(lambda: look(keep, second.port).failure is None)
        standby, source = look(keep, second.port), look(keep, primary.port, replicas=1)
        assert source.failure is None
        assert value(source, "replicas") == 1
        assert value(source, "replication.slot.active", "slot_second") == 1
        assert value(source, "replication.data_delay", "second") >= 0
        assert fact(standby, "role") == "standby"
        assert value(standby, "replication.receiving") == 1
        assert until(lambda: value(look(keep, second.port), "replication.lag") == 0)
        failed(look(keep, second.port, role="primary"), FailureKind.REFUSED, "now a standby", "should be a primary")

        primary.do("insert into things values (0)")  # before the first transaction there is no age to tell
        assert until(
            lambda: second.do(
                "select pg_last_xact_replay_timestamp() where pg_last_xact_replay_timestamp() is not null"
            )
        )
        second.do("select pg_wal_replay_pause()")
        primary.do("insert into things select generate_series(1, 1000)")
        held = until(lambda: (r := look(keep, second.port)) and value(r, "replication.waiting") > 0 and r)
        failed(held, FailureKind.REFUSED, "paused", "pg_wal_replay_resume()")
        assert value(held, "replication.lag") > 0
        assert until(lambda: value(look(keep, primary.port), "replication.data_delay", "second") > 0)
        second.do("select pg_wal_replay_resume()")
        assert until(lambda: look(keep, second.port).failure is None)

        second.stop()
        lonely = until(lambda: (r := look(keep, primary.port, replicas=1)).failure and r)
        failed(lonely, FailureKind.REFUSED, "0 of 1 replicas stream")
        assert value(lonely, "replication.slot.active", "slot_second") == 0
        primary.do("insert into things select generate_series(1, 10000)")
        assert value(look(keep, primary.port), "replication.slot.wal", "slot_second") > 100_000


def test_a_standby_whose_primary_is_gone_is_broken_and_not_level(keep: Keep) -> None:
    with server() as first, replica(first) as second:
        assert until(lambda: look(keep, second.port).failure is None)
        first.do("create table things (n int)")
        assert until(lambda: second.do("select 1 from pg_tables where tablename = 'things'"))
        first.stop()
        reading = until(lambda: (r := look(keep, second.port)).failure and r, 40)
        failed(reading, FailureKind.REFUSED, "receives nothing from its primary")
        assert value(reading, "replication.receiving") == 0
        assert value(reading, "replication.lag") > 0
        first.start()  # so that the replica's slot can be dropped


# --- rights, and who is let in ----------------------------------------------------------------------------------


def test_a_role_without_pg_monitor_is_told_so_and_brings_what_it_may_see(keep: Keep, primary: Server) -> None:
    reading = look(keep, primary.port, Secret("blind", "right"))
    failed(reading, FailureKind.DENIED, "GRANT pg_monitor")
    assert value(reading, "connections.utilization") > 0
    assert value(reading, "transactions") > 0
    assert "sessions.blocked" not in named(reading)


def test_a_wrong_password_is_denied_and_is_not_offered_for_ever(keep: Keep, primary: Server) -> None:
    wrong = Secret("watcher", "wrong")
    for _ in range(2):
        failed(look(keep, primary.port, wrong), FailureKind.DENIED, "password of 'watcher'", "credential")
    failed(look(keep, primary.port, wrong), FailureKind.DENIED, "every five minutes")
    assert look(keep, primary.port).failure is None


def test_no_credential_and_no_pg_hba_line_are_denied(keep: Keep, primary: Server) -> None:
    failed(look(keep, primary.port, None), FailureKind.DENIED, "credential")
    failed(look(keep, primary.port, Secret("stranger", "right")), FailureKind.DENIED, "pg_hba.conf")
    failed(look(keep, primary.port, database="nowhere"), FailureKind.DENIED, "'nowhere'")


def test_a_server_that_wants_the_password_in_the_clear_does_not_get_it(keep: Keep, primary: Server) -> None:
    clearly = Secret("clearly", "right")
    failed(look(keep, primary.port, clearly), FailureKind.UNTRUSTED, "in the clear", "SCRAM")
    assert look(keep, primary.port, clearly, plain_password=True).failure is None


def test_a_server_whose_connections_are_all_in_use_refuses(keep: Keep, primary: Server) -> None:
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(psycopg.OperationalError):
            for _ in range(12):
                stack.enter_context(primary.session("app"))
        failed(look(keep, primary.port), FailureKind.REFUSED, "no more connections")


def test_a_stopped_server_refuses_and_its_machine_is_up(keep: Keep) -> None:
    failed(look(keep, free_port()), FailureKind.REFUSED, "nothing listens there")


def test_a_name_without_an_address_is_not_the_servers_fault(keep: Keep) -> None:
    target = Target("nowhere.invalid", fill(Options, {}), WATCHER, 3.0)
    failed(postgres.look(target, keep), FailureKind.UNSUPPORTED, "not resolvable")


# --- TLS --------------------------------------------------------------------------------------------------------


def test_tls_is_used_where_offered_and_insisted_on_where_told(keep: Keep, primary: Server, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    context, _ = authority.server("127.0.0.1")
    with before_tls(primary.port, context) as front:
        for mode in ("prefer", "require"):
            assert fact(look(keep, front.port, tls=mode), "tls") == "yes"
        assert look(keep, front.port, tls="verify", ca=authority.pem).failure is None
        failed(look(keep, front.port, tls="verify"), FailureKind.UNTRUSTED, "certificate")
        other = look(keep, front.port, tls="verify", ca=authority.pem, name="db.example")
        failed(other, FailureKind.UNTRUSTED, "certificate")
    failed(look(keep, primary.port, tls="require"), FailureKind.UNTRUSTED, "does not offer TLS")
    assert fact(look(keep, primary.port, tls="prefer"), "tls") == "no"


def test_a_certificate_signed_by_itself_can_be_pinned(keep: Keep, primary: Server, tmp_path: Path) -> None:
    context, pem = Authority(tmp_path).server("127.0.0.1", alone=True)
    with before_tls(primary.port, context) as front:
        assert look(keep, front.port, tls="verify", ca=pem).failure is None


def test_the_environment_has_no_say(
    keep: Keep, primary: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in (
        "PGHOST",
        "PGUSER",
        "PGDATABASE",
        "PGOPTIONS",
        "PGSSLMODE",
        "PGPASSFILE",
        "PGAPPNAME",
        "PGSSLROOTCERT",
    ):
        monkeypatch.setenv(name, "nonsense")
    (tmp_path / ".postgresql").mkdir()
    (tmp_path / ".postgresql" / "root.crt").write_text("nonsense")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert look(keep, primary.port).failure is None
    assert look(keep, primary.port, tls="prefer").failure is None


# --- bad company ------------------------------------------------------------------------------------------------


def test_a_server_that_says_nothing_or_drips_is_given_up_in_time(keep: Keep) -> None:
    for speech in (silent, dripping(b"R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0")):
        with talking(speech) as peer:
            stop = within(6)
            failed(look(keep, peer.port, deadline=1.0, tls="off"), FailureKind.TIMEOUT, "login")
            stop()


def test_what_is_not_postgresql_is_said_not_to_be(keep: Keep) -> None:
    http, ssh = b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-OpenSSH_9.2\r\n"
    for answer, mode in ((http, "prefer"), (http, "off"), (ssh, "off"), (bytes(64), "prefer"), (bytes(64), "off")):
        with talking(saying(answer)) as peer:
            failed(look(keep, peer.port, tls=mode, deadline=3.0), FailureKind.REFUSED)


def test_a_flood_is_hung_up_on(keep: Keep) -> None:
    with talking(endless) as peer:
        stop = within(8)
        assert look(keep, peer.port, deadline=3.0, tls="off").failure is not None
        stop()


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + (len(body) + 4).to_bytes(4, "big") + body


def test_an_answer_without_end_is_cut_at_the_cap(keep: Keep) -> None:
    entered = _message(b"R", bytes(4)) + _message(b"K", bytes(8)) + _message(b"Z", b"I")
    row = _message(b"D", b"\0\1" + (60_000).to_bytes(4, "big") + b"7" * 60_000)
    column = b"n\0" + bytes(4) + bytes(2) + (25).to_bytes(4, "big") + b"\xff\xff" + b"\xff\xff\xff\xff" + bytes(2)
    begun = _message(b"1", b"") + _message(b"2", b"") + _message(b"T", b"\0\1" + column)

    def speech(talker: object, line: Any) -> None:
        line.recv(4096)
        line.sendall(entered)
        line.recv(4096)
        line.sendall(begun)
        while True:
            line.sendall(row)

    with talking(speech) as peer:
        stop = within(6)
        reading = look(keep, peer.port, deadline=5.0, tls="off")
        stop()
    failed(reading, FailureKind.REFUSED, "more than 1024 KiB")
    assert reading.cost.received < 8 * 1024 * 1024


@pytest.mark.parametrize(
    ("text", "kind", "words"),
    [
        ("FATAL:  the database system is starting up", FailureKind.REFUSED, "takes no logins now"),
        ("FATAL:  sorry, too many clients already", FailureKind.REFUSED, "no more connections"),
        ("FATAL:  unsupported startup parameter: options", FailureKind.UNSUPPORTED, "pooler"),
        ("FATAL:  etwas anderes", FailureKind.DENIED, "etwas anderes"),
        ("FATAL:  \x1b[31mred\x1b[0m\u202e", FailureKind.DENIED, "red"),
        ("server closed the connection unexpectedly\n\tThis probably means", FailureKind.REFUSED, "breaks"),
    ],
)
def test_each_word_of_a_server_gets_its_meaning(text: str, kind: FailureKind, words: str) -> None:
    told = refusal.of(f'connection to server at "10.0.0.1", port 5432 failed: {text}\n', "Port 5432", "me", "db")
    assert told.kind is kind
    assert words in told.detail
    assert "\x1b" not in told.detail and "\u202e" not in told.detail


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"ca": "nonsense", "tls": "verify"}, "PEM"),
        ({"ca": "x"}, "tls"),
        ({"name": "a b"}, "name"),
        ({"database": " "}, "database"),
        ({"tls": "maybe"}, "tls"),
    ],
)
def test_options_that_cannot_work_are_refused_when_they_are_set(values: dict[str, object], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        fill(Options, values)
