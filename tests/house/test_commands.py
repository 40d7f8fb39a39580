"""The command line as people meet it: real processes, a real database, and every mistake one sentence."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from config import vault
from domain.clock import now
from domain.inventory import Check, Host, Window
from domain.records import FailureSeen, Heartbeat, Incident, Latest, MetricSet, Track, raw
from tests.installation import command

Run = Callable[..., CompletedProcess[str]]
ONE = "version: 1\nhosts: [{name: web1, address: 192.0.2.7}]\n"


@pytest.fixture
def run(database_url: str, place: Path) -> Run:
    """Run `pantau` on this test's database and a data directory of its own."""
    vault.create(place / "vault.key", place / "vault.pub")

    def go(*words: str, **environment: str) -> CompletedProcess[str]:
        return command(*words, **{"DATABASE_URL": database_url, "PANTAU_DATA": str(place), **environment})

    return go


def sentence(done: CompletedProcess[str], code: int) -> str:
    """What a failed command said: one line on standard error, nothing else."""
    assert done.returncode == code, done
    assert done.stdout == "", done
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("Error: "), done.stderr
    return lines[0]


def test_apply_twice_then_export_and_apply_changes_nothing(run: Run, place: Path) -> None:
    file = place / "pantau.yaml"
    file.write_text(ONE)
    first = run("apply", str(file))
    assert first.returncode == 0, first.stderr
    assert first.stdout.splitlines() == ["+ host web1", "+ check web1/ping", "2 added, 0 changed, 0 removed."]
    assert run("apply", str(file)).stdout == "Nothing to change: everything is as the file says.\n"
    file.write_text(run("export").stdout)
    assert run("apply", str(file), "--prune").stdout == "Nothing to change: everything is as the file says.\n"


def test_a_dry_run_tells_and_changes_nothing(run: Run, place: Path, session: Session) -> None:
    (place / "f").write_text(ONE)
    assert "+ host web1" in run("apply", str(place / "f"), "--dry-run").stdout
    assert session.scalar(select(func.count(Host.id))) == 0


def test_a_document_may_come_from_standard_input(database_url: str, place: Path, session: Session) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pantau", "apply", "-"],
        input=ONE,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "DATABASE_URL": database_url, "PANTAU_DATA": str(place)},
    )
    assert done.returncode == 0, done.stderr
    assert session.scalar(select(func.count(Host.id))) == 1


@pytest.mark.parametrize(
    ("written", "says"),
    [
        (b"hosts: [", "not YAML"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (ONE.replace("address", "adress").encode(), "'adress' is not known"),
        (ONE.encode() + b"groups: [a, a]", "is there twice"),
        (ONE.encode() + b"credentials: [{name: k, kind: ssh_key, secret: {file: /nowhere/id}}]", "/nowhere/id is not there"),
        (ONE.encode() + b"credentials: [{name: k, kind: password, secret: prompt}]", "terminal"),
    ],
)  # fmt: skip
def test_a_wrong_document_is_one_sentence_and_changes_nothing(
    run: Run, place: Path, session: Session, written: bytes, says: str
) -> None:
    (place / "f").write_bytes(written)
    assert says in sentence(run("apply", str(place / "f")), 1)
    assert session.scalar(select(func.count(Host.id))) == 0


def test_a_file_that_cannot_be_read_is_named(run: Run, place: Path) -> None:
    assert "/nowhere" in sentence(run("apply", "/nowhere"), 1)
    assert "directory" in sentence(run("apply", str(place)), 1)


def test_no_secret_is_printed_by_any_command(run: Run, place: Path) -> None:
    (place / "f").write_text("version: 1\ncredentials: [{name: c, kind: password, secret: {env: THE_SECRET}}]\n")
    done = run("apply", str(place / "f"), THE_SECRET="canary-91c2")
    assert done.returncode == 0, done.stderr
    spoken = [done, run("export"), run("status", "--json"), run("doctor")]
    assert not any("canary" in one.stdout + one.stderr for one in spoken)


def seed(session: Session, **beat: Any) -> Host:
    host = Host(name="web1", address="192.0.2.7")
    host.checks.append(Check(kind="icmp", name="ping"))
    session.add(host)
    session.flush()
    session.add(Heartbeat(role="poller", at=now() - timedelta(**beat), data={}))
    session.add(Track(subject=f"host:{host.id}", host_id=host.id, state="up", since=now(), data={}))
    session.commit()
    return host


def trouble(session: Session, host: Host, subject: str, state: str, cause: str = "", check: int | None = None) -> None:
    since = now() - timedelta(minutes=7, seconds=5)
    session.merge(Track(subject=subject, host_id=host.id, check_id=check, state=state, since=since, data={}))
    session.add(
        Incident(
            subject=subject, host_id=host.id, check_id=check, state=state, since=since, opened_at=since, cause=cause
        )
    )
    session.commit()


def test_all_well_is_one_calm_sentence(run: Run, session: Session) -> None:
    host = seed(session, seconds=1)
    ended = now() - timedelta(days=3, minutes=1)
    session.add(Incident(subject="x", host_id=host.id, state="down", since=ended, opened_at=ended, closed_at=ended))
    session.commit()
    done = run("status")
    assert (done.returncode, done.stdout) == (0, "The one machine is up. The last trouble ended 3 days ago.\n")
    told = json.loads(run("status", "--json").stdout)
    assert told["well"] is True and told["problems"] == [] and told["counts"] == {"up": 1}


def test_what_is_wrong_is_told_worst_first_with_since_and_why(run: Run, session: Session) -> None:
    host = seed(session, seconds=1)
    check = host.checks[0].id
    trouble(session, host, f"metric:{check}:icmp.loss:", "warning", check=check)
    session.add(
        Latest(check_id=check, host_id=host.id, ts=now(), took=0, late=0, outcome=1, failure_kind="refused",
               failure_detail="Port 22 \x1b[31mrefuses.")
    )  # fmt: skip
    other = Host(name="db1", address="192.0.2.8")
    session.add(other)
    session.flush()
    trouble(session, other, f"host:{other.id}", "down", "No answer to 10 pings.")
    trouble(session, host, f"check:{check}", "down", check=check)
    done = run("status")
    assert done.returncode == 1
    assert done.stdout.splitlines()[0] == "1 machine is down, 1 machine has a warning."
    assert re.search(r"down +db1 +for 7 minutes +No answer to 10 pings\.", done.stdout)
    assert "\x1b" not in done.stdout
    told = json.loads(run("status", "--json").stdout)
    assert {(p["kind"], p["machine"], p["state"]) for p in told["problems"]} == {
        ("host", "db1", "down"), ("check", "web1", "down"), ("metric", "web1", "warning"),
    }  # fmt: skip
    assert [p["measure"] for p in told["problems"] if p["kind"] == "metric"] == ["icmp.loss"]
    assert set(told) == {
        "at",
        "well",
        "summary",
        "machines",
        "counts",
        "poller",
        "last_trouble",
        "maintenance",
        "problems",
    }


def test_a_silent_poller_is_never_all_well(run: Run, session: Session) -> None:
    seed(session, minutes=10)
    done = run("status")
    assert done.returncode == 1 and "silent for 10 minutes" in done.stdout
    assert json.loads(run("status", "--json").stdout)["poller"]["silent"] is True


def test_a_database_that_cannot_be_asked_is_never_all_well(run: Run) -> None:
    away = "postgresql://u:hunter2@127.0.0.1:1/x"
    assert "cannot be reached" in sentence(run("status", DATABASE_URL=away), 1)
    done = run("status", "--json", DATABASE_URL=away)
    assert done.returncode == 1 and json.loads(done.stdout)["problems"][0]["kind"] == "database"
    assert "hunter2" not in done.stdout + done.stderr


def test_while_nothing_runs_status_export_and_apply_say_how_to_start(place: Path) -> None:
    (place / "f").write_text(ONE)
    for words in (["status"], ["export"], ["apply", str(place / "f")], ["db", "upgrade"]):
        done = command(*words, PANTAU_DATA=str(place))
        assert f"pantau up --data {place}" in sentence(done, 1)
    assert [p.name for p in place.iterdir()] == ["f"]


@pytest.mark.parametrize(
    "url", ["mysql://u:pw@h/x", "postgresql://u:pw@h:port/x", "postgresql://u:pw@[x/x", "postgresql:///x?bogus=1"]
)
def test_a_wrong_database_url_is_one_sentence_for_every_command(run: Run, url: str) -> None:
    for words in (["status"], ["export"], ["db", "upgrade"]):
        said = sentence(run(*words, DATABASE_URL=url), 1)
        assert "DATABASE_URL" in said and "pw" not in said


def test_a_database_of_another_version_is_refused_and_left_alone(run: Run, session: Session) -> None:
    session.execute(text("update alembic_version set version_num = '9999'"))
    session.commit()
    assert "pantau db upgrade" in sentence(run("status"), 1)
    assert "another version of Pantau" in sentence(run("db", "upgrade"), 1)
    assert session.scalar(text("select version_num from alembic_version")) == "9999"


def test_a_database_without_tables_names_the_command_that_makes_them(
    run: Run, session: Session, database_url: str
) -> None:
    session.execute(text("drop schema if exists report cascade"))
    session.execute(text("drop schema public cascade"))
    session.execute(text("create schema public"))
    session.commit()
    assert "pantau db upgrade" in sentence(run("status"), 1)
    assert run("db", "upgrade").returncode == 0
    assert run("db", "upgrade").stdout == "The database was up to date already.\n"
    assert run("export").returncode == 0


def test_an_unknown_variable_stops_every_command(run: Run) -> None:
    assert "PANTAU_PROT" in sentence(run("status", PANTAU_PROT="1"), 1)


@pytest.mark.parametrize("words", [["frob"], ["up", "--port", "70000"], ["up", "--port", "x"], ["status", "--bogus"], ["apply"]])  # fmt: skip
def test_a_command_written_wrongly_is_usage(run: Run, words: list[str]) -> None:
    assert "--help" in sentence(run(*words), 2)


def test_up_says_what_is_in_its_way_and_makes_nothing(place: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert f"Port {port}" in sentence(command("up", "--data", str(place / "d"), "--port", port), 1)
    assert not (place / "d" / "postgres").exists()
    assert "--host" in sentence(command("up", "--data", str(place / "d"), "--host", "203.0.113.9"), 1)
    assert "--data" in sentence(command("up", "--data", "/proc/nothing"), 1)


def test_a_cluster_of_another_postgresql_is_named_and_not_touched(place: Path) -> None:
    (place / "postgres").mkdir()
    (place / "postgres" / "PG_VERSION").write_text("12\n")
    from tests.ports import free_port

    said = command("up", "--data", str(place), "--port", str(free_port()))
    assert said.returncode == 1 and "made by PostgreSQL 12" in said.stderr and "Traceback" not in said.stderr
    assert [p.name for p in (place / "postgres").iterdir()] == ["PG_VERSION"]


def test_replay_of_what_is_no_recording_is_one_sentence(place: Path) -> None:
    (place / "text").write_text("garbage\n")
    (place / "bytes").write_bytes(bytes(range(256)))
    (place / "list").write_text("[1, 2]\n" * 3)
    for name in ("text", "bytes", "list"):
        assert name in sentence(command("replay", str(place / name)), 1)
    sentence(command("replay", "/nowhere"), 2)
    sentence(command("replay", str(place)), 2)


def test_a_probe_prints_the_reading_as_json() -> None:
    with socket.create_server(("127.0.0.1", 0)) as line:
        port = line.getsockname()[1]
        done = command("probe", "tcp", "127.0.0.1", "--set", f"port={port}", "--json")
    told = json.loads(done.stdout)
    assert done.returncode == 0 and set(told) == {"at", "took", "failure", "facts", "measures", "cost"}
    assert told["failure"] is None and set(told["measures"][0]) == {"name", "value", "unit", "of", "kind"}


def test_a_look_that_failed_is_exit_code_one_with_its_reason() -> None:
    from tests.ports import free_port

    done = command("probe", "tcp", "127.0.0.1", "--set", f"port={free_port()}", "--json")
    assert done.returncode == 1 and json.loads(done.stdout)["failure"]["kind"] == "refused"


@pytest.mark.parametrize(
    "words",
    [
        ["nosuch", "127.0.0.1"],
        ["tcp", "127.0.0.1"],
        ["tcp", "127.0.0.1", "--set", "prot=1"],
        ["tcp", "127.0.0.1", "--set", "port"],
        ["tcp", "127.0.0.1", "--set", "port=http"],
        ["tcp", "127.0.0.1", "--set", "port=0"],
        ["tcp", "127.0.0.1", "--set", "port=1", "--deadline", "0"],
        ["tcp", "127.0.0.1", "--set", "port=1", "--deadline", "nan"],
        ["ssh", "127.0.0.1", "--user", "u", "--key", "/nowhere/id"],
        ["tcp"],
    ],
)
def test_a_probe_asked_wrongly_is_usage(words: list[str]) -> None:
    sentence(command("probe", *words), 2)


def test_ctrl_c_is_one_word_and_130() -> None:
    with socket.create_server(("127.0.0.1", 0)) as tarpit:
        argv = ["probe", "tcp", "127.0.0.1", "--set", f"port={tarpit.getsockname()[1]}", "--set", "expect=never"]
        asked = subprocess.Popen(
            [sys.executable, "-m", "pantau", *argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background job ignores it
        )  # fmt: skip
        tarpit.settimeout(30)
        answered, _ = tarpit.accept()
        with answered:
            for _ in range(3):  # Python drops an interrupt that comes within a callback: one presses again
                asked.send_signal(signal.SIGINT)
                with suppress(subprocess.TimeoutExpired):
                    asked.wait(2)
                    break
            printed, said = asked.communicate(timeout=30)
    assert (asked.returncode, printed, said.strip()) == (130, "", "Stopped by Ctrl-C.")


def test_a_closed_pipe_is_no_traceback(run: Run, place: Path, database_url: str) -> None:
    hosts = ", ".join(f"{{name: h{n}, address: 192.0.2.1}}" for n in range(1500))
    (place / "f").write_text(f"version: 1\nhosts: [{hosts}]\n")
    assert run("apply", str(place / "f")).returncode == 0
    shown = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m pantau export | head -1"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "DATABASE_URL": database_url},
    )
    assert (shown.stdout, shown.stderr) == ("version: 1\n", "")


def test_doctor_works_while_nothing_runs_and_says_how_to_start(place: Path) -> None:
    done = command("doctor", "--json", PANTAU_DATA=str(place / "d"))
    found = {finding["code"]: finding for finding in json.loads(done.stdout)}
    assert done.returncode == 0, done.stdout
    assert found["P005"]["level"] == "warning" and "pantau up" in found["P005"]["hint"]
    assert not (place / "d").exists()


def test_doctor_finds_an_open_key_and_a_wrong_database(run: Run, place: Path) -> None:
    assert run("doctor").returncode == 0
    (place / "vault.key").chmod(0o644)
    done = run("doctor", "--json", DATABASE_URL="postgresql://127.0.0.1:1/x")
    found = {finding["code"]: finding for finding in json.loads(done.stdout)}
    assert done.returncode == 1
    assert found["P003"]["level"] == "error" and "chmod 600" in found["P003"]["hint"]
    assert found["P005"]["level"] == "error"


def test_every_finding_has_a_line_in_the_manual() -> None:
    root = Path(__file__).parents[2]
    codes = {
        code
        for source in (root / "config" / "selfcheck.py", root / "probes" / "selftest.py")
        for code in re.findall(r'"(P\d{3})"', source.read_text())
    }
    manual = (root / "docs" / "operate.md").read_text()
    assert codes and all(f"| {code} |" in manual for code in codes)


@pytest.mark.timeout(300)
def test_maintenance_is_begun_listed_and_ended_in_a_terminal(run: Run, place: Path, session: Session) -> None:
    file = place / "pantau.yaml"
    file.write_text(ONE)
    run("apply", str(file))
    begun = run("maintenance", "start", "web1", "--for", "2h", "--note", "New disk")
    assert begun.returncode == 0, begun.stderr
    assert re.fullmatch(r"Maintenance \d+ on web1 until \d{4}-\d\d-\d\d \d\d:\d\d WIB\.\n", begun.stdout)
    assert run("maintenance", "start", "--everything", "--for", "30m").returncode == 0
    listed = run("maintenance", "list").stdout.splitlines()
    assert [line.split()[1] for line in listed] == ["now", "now"]
    assert "web1  New disk" in listed[1]
    told = json.loads(run("maintenance", "list", "--json").stdout)
    assert [one.get("host") for one in told["running"]] == [None, "web1"]
    assert run("maintenance", "end", "web1").stdout.startswith("Ended: ")
    assert "no maintenance 'web1'" in sentence(run("maintenance", "end", "web1"), 1)
    assert "There is no host 'web2'" in sentence(run("maintenance", "start", "web2"), 1)
    assert "no duration" in sentence(run("maintenance", "start", "web1", "--for", "ever"), 1)
    assert "Name a machine" in sentence(run("maintenance", "start"), 2)
    assert session.scalar(select(func.count()).select_from(Window).where(Window.ended_at.is_(None))) == 1


def test_stored_results_of_a_machine_are_replayed_against_another_limit(run: Run, session: Session) -> None:
    begun = now() - timedelta(hours=2)
    host = Host(name="web1", address="192.0.2.7")
    host.checks.append(Check(kind="icmp", name="ping"))
    one = MetricSet(names=["system.cpu.utilization"], parts=[""], units=["1"], digest=b"cpu")
    session.add_all([host, one])
    session.flush()
    for day in {begun.date(), now().date()}:
        bounds = f"from ('{day}') to ('{day + timedelta(days=1)}')"
        session.execute(text(f"create table if not exists raw_{day:%Y%m%d} partition of raw for values {bounds}"))
    check, minutes = host.checks[0].id, range(100)
    failing, busy = range(40, 46), range(60, 80)
    session.execute(
        raw.insert(),
        [
            {
                "check_id": check, "ts": begun + timedelta(minutes=n), "set_id": 0 if n in failing else one.id,
                "state": 1 if n in failing else 0, "v": [] if n in failing else [0.75 if n in busy else 0.2],
            }
            for n in minutes
        ],
    )  # fmt: skip
    session.add(FailureSeen(check_id=check, since=begun + timedelta(minutes=40), kind="timeout", detail="Silence."))
    session.commit()
    said = [json.loads(line) for line in run("replay", "--host", "web1", "--from", "1d").stdout.splitlines()]
    assert [row[2:4] for row in said if row[1] == "web1" and row[2] == "notify"] == [
        ["notify", "problem"], ["notify", "recovery"],
    ]  # fmt: skip
    assert not [row for row in said if "cpu" in row[1] and row[2] == "notify"]
    limit = "system.cpu.utilization > 70 % for 10 min clear 60 %"
    tried = run("replay", "--host", "web1", "--from", "1d", "--limit", limit).stdout.splitlines()
    about = [json.loads(line) for line in tried if "cpu" in line]
    assert [row[3] for row in about if row[2] == "notify"] == ["problem", "recovery"]
    tape = run("replay", "--host", "web1", "--from", "1d", "--limit", limit, "--write")
    assert (
        json.loads(tape.stdout.splitlines()[0])["metrics"]["ping: system.cpu.utilization"]["levels"][0]["over"] == 0.7
    )
    assert "no machine" in sentence(run("replay", "--host", "nobody"), 1)
    assert "is written" in sentence(run("replay", "--host", "web1", "--limit", "much"), 1)
    assert "no moment" in sentence(run("replay", "--host", "web1", "--from", "yesterday"), 1)
    assert "either a FILE" in sentence(run("replay"), 1)


def test_the_audit_is_listed_and_verified_and_a_forged_row_is_named(run: Run, place: Path, session: Session) -> None:
    file = place / "pantau.yaml"
    file.write_text(ONE)
    assert run("apply", str(file)).returncode == 0
    assert run("export").returncode == 0
    listed = [json.loads(line) for line in run("audit", "list", "--json").stdout.splitlines()]
    assert {row["what"] for row in listed} == {"host.made", "check.made", "apply.done", "export.estate"}
    assert {row["source"] for row in listed} == {"command line"}
    assert [row["id"] for row in listed] == [1, 2, 3, 4]
    assert "host.made" in run("audit", "list", "--what", "host", "--limit", "5").stdout
    whole = run("audit", "verify")
    assert whole.returncode == 0, whole.stderr
    checkpoint = re.search(r"elsewhere: (4:[0-9a-f]{64})$", whole.stdout.strip())
    assert checkpoint
    session.execute(text("alter table audit disable trigger keep"))
    session.execute(text("delete from audit where id = 4"))
    session.commit()
    assert run("audit", "verify").returncode == 0
    assert "rows are missing at the end" in sentence(run("audit", "verify", "--checkpoint", checkpoint[1]), 1)
    assert "A checkpoint looks like" in sentence(run("audit", "verify", "--checkpoint", "4"), 1)
    session.execute(text("update audit set person = 'nobody' where id = 2"))
    session.commit()
    assert "broken at row 2: it does not say what was written" in sentence(run("audit", "verify"), 1)
