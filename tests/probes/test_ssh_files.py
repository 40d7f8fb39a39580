"""Files over a real sshd, with file services of every evil kind in the place of its own; and sessions that are shared."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from domain.options import fill
from domain.reading import FailureKind, Reading, Secret, Target
from probes import ssh, sshparts
from probes.base import Keep
from probes.ssh.session import Session
from tests.probes.sshserver import Server, sshd

EVIL = """#!/usr/bin/env python3
import os, struct, sys, time
def take(size):
    found = b""
    while len(found) < size:
        block = os.read(0, size - len(found))
        if not block: sys.exit()
        found += block
    return found
def asked():
    content = take(int.from_bytes(take(4), "big"))
    return content[0], content[1:5]
def say(content):
    content = struct.pack(">I", len(content)) + content
    while content: content = content[os.write(1, content):]
def name(text): return struct.pack(">I", len(text)) + text
asked(); say(b"\\x02" + struct.pack(">I", 3))
while True:
    kind, number = asked()
    if kind == 11: say(b"\\x66" + number + name(b"h"))
    else: HARM
"""
HARMS = {
    "drips": "os.write(1, struct.pack('>I', 1000)); [(os.write(1, b'x'), time.sleep(0.2)) for _ in range(1000)]",
    "extends without end": "say(b'\\x69' + number + struct.pack('>II', 0x80000000, 0xffffffff)) if kind == 17 else "
    "say(b'\\x68' + number + struct.pack('>I', 1) + name(b'a') * 2 + struct.pack('>II', 0x80000000, 0xffffffff))",
    "sends a packet of gigabytes": "os.write(1, b'\\xff\\xff\\xff\\xf0' + b'x' * 60000)",
    "answers another request": "say(b'\\x69' + b'\\0\\0\\0\\x7f' + bytes(4))",
    "says nothing": "time.sleep(60)",
    "hangs up": "sys.exit()",
    "lists nothing for ever": "say(b'\\x68' + number + bytes(4))",
    "lists for ever": "say(b'\\x68' + number + struct.pack('>I', 200) + (name(b'.') * 2 + bytes(4)) * 200)",
}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with sshd("Subsystem sftp internal-sftp", "MaxStartups 50") as running:
        yield running


def look(keep: Keep, server: Server, deadline: float = 20.0, **options: tuple[str, ...]) -> Reading:
    filled = fill(sshparts.Options, {"port": server.port, **options})
    return sshparts.look(Target("127.0.0.1", filled, Secret("root", private_key=server.key), deadline), keep)


def plain(keep: Keep, server: Server, deadline: float = 10.0) -> Reading:
    filled = fill(ssh.Options, {"port": server.port})
    return ssh.look(Target("127.0.0.1", filled, Secret("root", private_key=server.key), deadline), keep)


def values(reading: Reading, name: str) -> list[float]:
    return [m.value for m in reading.measures if m.name == name]


def session(keep: Keep) -> Session:
    (kept,) = [keep.peek(key) for key in keep.keys() if key[0] == "ssh" and len(key) == 5]  # noqa: SIM118 - a Keep is no dict
    assert isinstance(kept, Session)
    return kept


@pytest.mark.parametrize("harm", HARMS)
def test_a_file_service_that_means_harm_ends_by_the_deadline_and_takes_nothing_with_it(
    keep: Keep, tmp_path: Path, harm: str
) -> None:
    evil = tmp_path / "evil"
    evil.write_text(EVIL.replace("HARM", HARMS[harm]))
    evil.chmod(0o755)
    with sshd(f"Subsystem sftp {evil}") as server:
        for options in ({"files": ("F = /f/* within 1h",)}, {"logs": ("L = /l : x",)}):
            began = time.monotonic()
            reading = look(keep, server, 4.0, **options)
            assert time.monotonic() - began < 6
            assert reading.failure is not None
            assert reading.failure.kind in (FailureKind.UNSUPPORTED, FailureKind.TIMEOUT)
        assert plain(keep, server).failure is None


def test_thousands_of_files_with_names_of_any_octets_are_listed(keep: Keep, server: Server, tmp_path: Path) -> None:
    for at in range(4000):
        (tmp_path / f"{'a-long-name-as-backups-have-them-' * 6}{at}.dump").touch()
    newest = os.path.join(os.fsencode(tmp_path), b"caf\xe9.dump")
    Path(os.fsdecode(newest)).write_bytes(b"x")
    os.utime(newest, (time.time() + 60,) * 2)
    reading = look(keep, server, files=(f"All = {tmp_path}/*.dump within 1h",))
    assert reading.failure is None
    assert values(reading, "file.count") == [4001]
    assert [f.value for f in reading.facts if f.name == "file.newest.name"] == ["caf\ufffd.dump"]


def test_a_directory_of_too_many_files_is_told_and_not_half_read(
    keep: Keep, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sshparts, "ENTRIES", 10)
    for at in range(11):
        (tmp_path / f"{at}.dump").write_text("x")
    reading = look(keep, server, files=(f"All = {tmp_path}/*.dump",))
    assert reading.failure is not None
    assert "holds more than 10 entries" in reading.failure.detail


def test_logs_that_grew_a_lot_are_all_read_and_none_ends_the_session(
    keep: Keep, server: Server, tmp_path: Path
) -> None:
    logs = [tmp_path / f"{at}.log" for at in range(8)]
    for log in logs:
        log.write_text("begin\n")
    asked = tuple(f"{log.name} = {log} : ERROR" for log in logs)
    look(keep, server, logs=asked)
    for log in logs:
        log.write_text("begin\n" + "x" * 600_000 + "\nERROR 1\nERROR 2\nERR")
    reading = look(keep, server, logs=asked)
    assert reading.failure is None
    assert values(reading, "log.matches") == [2] * 8
    with logs[0].open("a") as log:
        log.write("OR 3, a line written in two halves\n")
    assert values(look(keep, server, logs=asked), "log.matches") == [1, *[0] * 7]


def test_pipes_and_devices_in_the_place_of_logs_hold_nobody(keep: Keep, server: Server, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for _ in range(2):
        reading = look(keep, server, 5.0, logs=(f"Pipe = {tmp_path}/pipe : x", "Zero = /dev/zero : x"))
        assert reading.failure is None
        assert values(reading, "log.matches") == [0, 0]


def test_a_look_that_waits_in_vain_for_the_session_logs_in_on_its_own(keep: Keep, server: Server) -> None:
    assert plain(keep, server).failure is None
    kept = session(keep)
    with kept.busy:
        reading = plain(keep, server, 6.0)
    assert reading.failure is None
    assert values(reading, "system.cpu.utilization")
    assert kept.alive
    assert session(keep) is kept


def test_checks_that_find_the_server_restarted_all_at_once_do_not_end_each_others_sessions(keep: Keep) -> None:
    with sshd("Subsystem sftp internal-sftp", "MaxStartups 50") as server, ThreadPoolExecutor(6) as pool:
        assert plain(keep, server).failure is None
        for _ in range(3):
            server.stop()
            server.start()
            readings = list(pool.map(lambda _: look(keep, server), range(6)))
            assert [reading.failure for reading in readings] == [None] * 6


def test_numbers_of_a_file_are_read_as_the_draft_has_them(server: Server, keep: Keep, tmp_path: Path) -> None:
    (tmp_path / "big").touch()
    os.truncate(tmp_path / "big", 5 * 2**32 + 7)
    os.utime(tmp_path / "big", (1, 1_700_000_000))
    reading = look(keep, server, files=(f"Big = {tmp_path}/big",))
    assert values(reading, "file.newest.size") == [5 * 2**32 + 7]
    assert values(reading, "file.newest.age")[0] == pytest.approx(time.time() - 1_700_000_000, abs=60)
