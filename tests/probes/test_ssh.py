"""SSH against a real sshd, and against servers that mean no good."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator

import paramiko
import pytest

from domain.reading import FailureKind, Reading, Secret, Target
from probes.base import Keep
from probes.ssh import Options, look
from probes.ssh.session import IDLE_CHECK, Gate
from tests.probes.sshserver import Server, hostile, keygen, sshd


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with sshd() as running:
        yield running


@pytest.fixture
def keep() -> Iterator[Keep]:
    kept = Keep()
    yield kept
    kept.close()


def target(
    port: int,
    key: str = "",
    deadline: float = 8.0,
    pinned: tuple[str, ...] = (),
    user: str = "root",
    password: str = "",
) -> Target:
    return Target("127.0.0.1", Options(port, pinned), Secret(user, password, key), deadline)


def value(reading: Reading, name: str, of: str = "") -> float:
    assert reading.failure is None, reading.failure
    return next(m.value for m in reading.measures if m.name == name and m.of == of)


def fact(reading: Reading, name: str) -> str:
    return next((f.value for f in reading.facts if f.name == name), "")


def kind(reading: Reading) -> FailureKind:
    assert reading.failure is not None
    assert reading.failure.detail.endswith((".", "it says: This account is currently not available."))
    return reading.failure.kind


def test_what_it_reads_is_what_the_machine_says_of_itself(server: Server, keep: Keep) -> None:
    reading = look(target(server.port, server.key), keep)
    with open("/proc/meminfo") as file:
        table = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in file}
    assert value(reading, "system.memory.limit") == table["MemTotal"]
    assert abs(value(reading, "system.memory.usage") - (table["MemTotal"] - table["MemAvailable"])) < 400 * 2**20
    disk = os.statvfs("/")
    used = (disk.f_blocks - disk.f_bfree) / (disk.f_blocks - disk.f_bfree + disk.f_bavail)
    assert abs(value(reading, "system.filesystem.utilization", "/") - used) < 0.01
    with open("/proc/uptime") as file:
        assert abs(value(reading, "system.uptime") - float(file.read().split()[0])) < 5
    with open("/proc/sys/kernel/random/boot_id") as file:
        assert fact(reading, "host.boot.id") == file.read().strip()
    assert fact(reading, "host.cpu.count") == str(os.cpu_count())
    assert fact(reading, "os.version") == os.uname().release
    assert reading.cost.received > 1000


def test_the_very_first_look_knows_how_busy_the_processor_is(server: Server, keep: Keep) -> None:
    reading = look(target(server.port, server.key), keep)
    assert 0 <= value(reading, "system.cpu.utilization") <= 1
    cores = [m for m in reading.measures if m.name == "system.cpu.utilization" and m.of]
    assert len(cores) == os.cpu_count()


def test_the_second_look_uses_the_same_connection(keep: Keep) -> None:
    with sshd() as own:
        for _ in range(4):
            assert look(target(own.port, own.key), keep).failure is None
        assert own.log.count("Accepted publickey") == 1


def test_a_restarted_server_costs_no_look(keep: Keep) -> None:
    with sshd() as own:
        assert look(target(own.port, own.key), keep).failure is None
        own.stop()
        own.start()
        assert look(target(own.port, own.key), keep).failure is None
        own.stop()
        assert kind(look(target(own.port, own.key), keep)) is FailureKind.REFUSED


def test_the_key_of_first_contact_is_reported_and_then_demanded(keep: Keep) -> None:
    with sshd() as own:
        offered = fact(look(target(own.port, own.key), keep), "ssh.host_key")
        port, algorithm, body, fingerprint = offered.split(" ")
        assert port == str(own.port)
        assert algorithm == "ssh-ed25519"
        assert fingerprint.startswith("SHA256:")
        pinned = (f"{algorithm} {body}",)
        reading = look(target(own.port, own.key, pinned=pinned), keep)
        assert reading.failure is None
        assert fact(reading, "ssh.host_key") == ""


def test_a_changed_key_gets_not_one_byte_of_the_login(keep: Keep) -> None:
    with sshd() as own:
        offered = fact(look(target(own.port, own.key), keep), "ssh.host_key").split(" ")
        pinned = (f"{offered[1]} {offered[2]}",)
        own.stop()
        keygen(own.directory / "host")
        (own.directory / "log").write_text("")
        own.start()
        reading = look(target(own.port, own.key, pinned=pinned), keep)
        assert kind(reading) is FailureKind.UNTRUSTED
        assert offered[3] in (reading.failure.detail if reading.failure else "")
        shown = fact(reading, "ssh.host_key")
        assert shown.startswith(f"{own.port} ssh-ed25519 ")
        assert shown.split(" ")[2] != offered[2]
        time.sleep(0.3)
        assert "publickey" not in own.log
        assert "root" not in own.log


def test_a_wrong_key_is_denied_and_after_two_refusals_left_alone(
    server: Server, keep: Keep, tmp_path: os.PathLike[str]
) -> None:
    from pathlib import Path

    other = Path(tmp_path) / "other"
    keygen(other)
    wrong = target(server.port, other.read_text())
    before = server.log.count("Connection from")
    assert kind(look(wrong, keep)) is FailureKind.DENIED
    assert kind(look(wrong, keep)) is FailureKind.DENIED
    held = look(wrong, keep)
    assert kind(held) is FailureKind.DENIED
    assert "every five minutes" in (held.failure.detail if held.failure else "")
    assert server.log.count("Connection from") == before + 2


def test_a_text_that_is_no_key_and_a_check_without_login_are_sentences(server: Server, keep: Keep) -> None:
    assert kind(look(target(server.port, "hello"), keep)) is FailureKind.DENIED
    assert kind(look(Target("127.0.0.1", Options(server.port), None, 5), keep)) is FailureKind.DENIED


def test_an_account_without_a_shell_says_so(keep: Keep) -> None:
    with sshd("ForceCommand /usr/sbin/nologin") as own:
        reading = look(target(own.port, own.key), keep)
    assert reading.failure is not None
    assert reading.failure.kind is FailureKind.UNSUPPORTED
    assert "not available" in reading.failure.detail


def test_a_shell_that_prints_a_banner_first_does_not_matter(keep: Keep) -> None:
    with sshd("ForceCommand /bin/sh -c 'echo WELCOME; printf \"@@begin 0000\\n@@end 0000\\n\"; exec sh'") as own:
        assert value(look(target(own.port, own.key), keep), "system.uptime") > 0


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ("silent", FailureKind.TIMEOUT),
        ("drip", FailureKind.TIMEOUT),
        ("garbage", FailureKind.REFUSED),
        ("endless", FailureKind.REFUSED),
        ("hangs up", FailureKind.REFUSED),
    ],
)
def test_a_server_that_means_no_good_ends_by_the_deadline_with_a_reason(
    keep: Keep, what: str, expected: FailureKind
) -> None:
    def behave(line: socket.socket) -> None:
        if what == "silent":
            line.recv(1)
            time.sleep(20)
        elif what == "drip":
            for letter in b"SSH-2.0-slow_as_a_snail_and_longer_than_the_deadline\r\n":
                line.send(bytes([letter]))
                time.sleep(1)
        elif what == "garbage":
            line.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 100)
        elif what == "endless":
            line.sendall(b"SSH-2.0-x\r\n")
            while True:
                line.sendall(os.urandom(65536))

    with hostile(behave) as port:
        began = time.monotonic()
        reading = look(target(port, password="x", deadline=3), keep)
        took = time.monotonic() - began
    found = kind(reading)
    assert found is expected or (what in ("endless", "garbage") and found in (FailureKind.TIMEOUT, FailureKind.REFUSED))
    assert took < 5


def test_an_endless_answer_is_cut_at_a_mebibyte(keep: Keep) -> None:
    with sshd("ForceCommand /bin/sh -c 'read x; yes junk'") as own:
        reading = look(target(own.port, own.key, deadline=8), keep)
    assert kind(reading) is FailureKind.UNSUPPORTED
    assert "1024 KiB" in (reading.failure.detail if reading.failure else "")


def test_a_flood_on_standard_error_ends_the_connection_and_not_our_memory(keep: Keep) -> None:
    with sshd("ForceCommand /bin/sh -c 'yes junk >&2'") as own:
        before = memory()
        reading = look(target(own.port, own.key, deadline=4), keep)
        assert reading.failure is not None
        assert memory() - before < 40 * 2**20


def memory() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def test_a_shell_that_never_answers_ends_by_the_deadline(keep: Keep) -> None:
    with sshd("ForceCommand /bin/sleep 60") as own:
        began = time.monotonic()
        assert kind(look(target(own.port, own.key, deadline=3), keep)) is FailureKind.TIMEOUT
        assert time.monotonic() - began < 5


def test_the_private_attribute_that_keeps_idle_transports_asleep_is_still_there(server: Server, keep: Keep) -> None:
    assert paramiko.Transport._active_check_timeout == 0.1  # type: ignore[attr-defined]
    look(target(server.port, server.key), keep)
    session = next(keep.peek(key) for key in keep.keys() if len(key) == 5)  # noqa: SIM118
    assert session.line.gettimeout() == IDLE_CHECK


def test_handshakes_are_spread() -> None:
    from probes.limits import Deadline

    gate, began = Gate(50), time.monotonic()
    for _ in range(6):
        gate.wait(Deadline(5))
    assert time.monotonic() - began >= 0.09


def test_a_text_that_is_no_key_is_never_offered_and_never_held_back(server: Server, keep: Keep) -> None:
    before = server.log.count("Connection from")
    for _ in range(4):
        reading = look(target(server.port, "hello"), keep)
        assert kind(reading) is FailureKind.DENIED
        assert "not a key" in (reading.failure.detail if reading.failure else "")
    assert server.log.count("Connection from") == before


class HangsUpAtLogin(paramiko.ServerInterface):
    """Shakes hands, then is gone before it has answered the login."""

    def __init__(self, transport: paramiko.Transport) -> None:
        self.transport = transport

    def get_allowed_auths(self, username: str) -> str:
        return "password"

    def check_auth_password(self, username: str, password: str) -> int:
        self.transport.sock.close()
        return paramiko.AUTH_FAILED


def test_a_machine_that_hangs_up_during_the_login_has_not_refused_it(keep: Keep) -> None:
    host = paramiko.ECDSAKey.generate()

    def behave(line: socket.socket) -> None:
        transport = paramiko.Transport(line)
        transport.add_server_key(host)
        transport.start_server(server=HangsUpAtLogin(transport))
        transport.join(10)

    with hostile(behave) as port:
        for _ in range(3):
            reading = look(target(port, password="x", deadline=5), keep)
            assert kind(reading) is FailureKind.REFUSED
            assert "hung up during the login" in (reading.failure.detail if reading.failure else "")
