"""The second script over a real sshd: services, processes, files and logs; containers, GPUs and pools by stand-ins.

No container engine, GPU or pool is at hand where the tests run: programs of their names print what the real ones
are documented to print (synthetic), so what is proven is the whole way from such an answer to the measures.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from domain.options import fill
from domain.reading import FailureKind, Reading, Secret, Target
from probes import ssh, sshparts
from probes.base import Keep
from probes.sshparts import Options
from probes.unix import parts, snapshot
from tests.probes.sshserver import Server, sshd

STAND_INS = {
    "docker": """case $1 in
ps) echo a1; echo b2; echo c3;;
inspect) echo '/web|running|0|0|nginx:1.27'; echo '/worker|restarting|1|17|app:2 <b>'; echo '/once|exited|0|0|job:1';;
stats) echo 'web|150.20%|512MiB / 2GiB'; echo 'worker|0.00%|0B / 0B';;
esac""",
    "nvidia-smi": "echo '0, NVIDIA A2, 37, 2048, 15356, 61, 41.20'; echo '1, NVIDIA A2, [N/A], 0, 15356, 35, [N/A]'",
    "zpool": "printf 'tank\\t1000\\t250\\tONLINE\\nold\\t1000\\t900\\tDEGRADED\\n'",
    "pct": "echo 'VMID       Status     Lock         Name'; echo '101        running                 files'; "
    "echo '102        stopped    backup       test'",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    place = tmp_path_factory.mktemp("standins")
    for name, text in STAND_INS.items():
        (place / name).write_text(f"#!/bin/sh\n{text}\n")
        (place / name).chmod(0o755)
    with sshd("Subsystem sftp internal-sftp", f"SetEnv PATH={place}:{os.environ['PATH']}") as running:
        yield running


def look(keep: Keep, server: Server, deadline: float = 20.0, **options: tuple[str, ...]) -> Reading:
    filled = fill(Options, {"port": server.port, **options})
    return sshparts.look(Target("127.0.0.1", filled, Secret("root", private_key=server.key), deadline), keep)


def value(reading: Reading, name: str, of: str = "") -> float:
    return next(m.value for m in reading.measures if (m.name, m.of) == (name, of))


def fact(reading: Reading, name: str, of: str = "") -> str:
    return next((f.value for f in reading.facts if (f.name, f.of) == (name, of)), "")


def detail(reading: Reading) -> str:
    assert reading.failure is not None
    assert reading.failure.kind is FailureKind.REFUSED
    return reading.failure.detail


def test_containers_gpus_and_pools_are_told_without_being_asked_for(keep: Keep, server: Server) -> None:
    reading = look(keep, server)
    assert reading.failure is None
    ups = {m.of: m.value for m in reading.measures if m.name == "container.up"}
    assert ups == {"web": 1.0, "worker": 0.0, "101 files": 1.0, "102 test": 0.0}
    assert fact(reading, "container.state", "once") == "exited"
    assert value(reading, "container.restarts", "worker") == 17
    assert value(reading, "container.cpu.utilization", "web") == pytest.approx(1.502)
    assert value(reading, "container.memory.usage", "web") == 512 * 2**20
    assert value(reading, "container.memory.utilization", "web") == 0.25
    assert value(reading, "hw.gpu.utilization", "GPU 0") == 0.37
    assert [m.of for m in reading.measures if m.name == "hw.gpu.utilization"] == ["GPU 0"]
    assert value(reading, "hw.power", "GPU 0") == 41.2
    assert value(reading, "hw.status", "old") == 0.0
    assert value(reading, "system.pool.utilization", "old") == 0.9


def test_processes_are_counted_by_name_and_a_missing_one_is_told(keep: Keep, server: Server) -> None:
    reading = look(keep, server, processes=("sshd", "no-such-daemon"))
    assert value(reading, "process.count", "sshd") >= 2
    assert value(reading, "process.memory.usage", "sshd") > 1e6
    assert value(reading, "process.cpu.time", "sshd") >= 0
    assert "no process 'no-such-daemon' is running" in detail(reading)


def test_the_newest_file_must_be_there_young_and_not_empty(keep: Keep, server: Server, tmp_path: Path) -> None:
    for name, age, size in (("a.dump", 90_000, 10), ("b.dump", 3600, 1234), ("c.txt", 10, 5)):
        (tmp_path / name).write_bytes(b"x" * size)
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    good = look(keep, server, files=(f"Database = {tmp_path}/*.dump within 26h",))
    assert good.failure is None
    assert value(good, "file.newest.age", "Database") == pytest.approx(3600, abs=30)
    assert value(good, "file.newest.size", "Database") == 1234
    assert value(good, "file.count", "Database") == 2
    assert fact(good, "file.newest.name", "Database") == "b.dump"
    (tmp_path / "empty.log").touch()
    bad = look(
        keep, server,
        files=(f"Old = {tmp_path}/a.dump within 1h", f"None = {tmp_path}/*.zip", "Gone = /nowhere/at/all/*", f"Empty = {tmp_path}/*.log"),
    )  # fmt: skip
    assert "Old: the newest file is 25 hours old, more than 60 minutes" in detail(bad)
    assert "None: nothing in" in detail(bad)
    assert "Gone: /nowhere/at/all cannot be read, there is no such place" in detail(bad)
    assert "Empty: the newest file, empty.log, is empty" in detail(bad)


def test_words_in_a_log_are_counted_from_look_to_look_and_over_a_rotation(
    keep: Keep, server: Server, tmp_path: Path
) -> None:
    log = tmp_path / "app.log"
    log.write_text("ERROR of yesterday\n")
    asked = (f"App = {log} : ERROR",)
    assert value(look(keep, server, logs=asked), "log.matches", "App") == 0
    with log.open("a") as opened:
        opened.write("fine\nERROR one\nERROR two \x1b[31m$(reboot)\n")
    second = look(keep, server, logs=asked)
    assert value(second, "log.matches", "App") == 2
    assert fact(second, "log.last", "App") == "ERROR two \ufffd[31m$(reboot)"
    assert value(look(keep, server, logs=asked), "log.matches", "App") == 0
    log.write_text("ERROR new\n")
    assert value(look(keep, server, logs=asked), "log.matches", "App") == 1


def test_what_a_person_names_is_never_run(keep: Keep, server: Server, tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    harm = f"$(touch {trap})`touch {trap}`;touch {trap}"
    look(
        keep,
        server,
        services=(harm,),
        processes=(harm,),
        files=(f"x = {tmp_path}/{harm}",),
        logs=(f"x = {tmp_path}/l : {harm}",),
    )
    assert not trap.exists()


def test_both_checks_of_a_machine_share_one_login(keep: Keep, server: Server) -> None:
    logins = server.log.count("Accepted publickey")
    target = Target("127.0.0.1", ssh.Options(server.port), Secret("root", private_key=server.key), 8.0)
    assert ssh.look(target, keep).failure is None
    assert look(keep, server).failure is None
    assert ssh.look(target, keep).failure is None
    assert server.log.count("Accepted publickey") == logins + 1


def test_without_sftp_files_say_so_and_the_rest_is_measured(keep: Keep) -> None:
    with sshd() as bare:
        reading = look(keep, bare, processes=("sshd",), files=("x = /tmp/*",))
    assert "offers no SFTP" in detail(reading)
    assert value(reading, "process.count", "sshd") >= 1


@pytest.mark.parametrize(
    "options",
    [{"files": ["/no/label"]}, {"files": ["A = relative/*"]}, {"files": ["A = /a/*/b"]}, {"files": ["A = /a/b within 3 moons"]},
     {"logs": ["A = /a"]}, {"logs": ["A: /a : x"]}, {"files": [f"A{n} = /a/{n}" for n in range(31)]}],
)  # fmt: skip
def test_a_wrong_line_is_told_when_it_is_typed(options: dict[str, list[str]]) -> None:
    with pytest.raises(ValueError, match=r"form|at most"):
        fill(Options, options)


def test_services_are_those_that_systemd_lists() -> None:
    text = (
        "@@begin 0123456789abcdef\n@@units\n"
        "nginx.service loaded active running A web server\n"
        "● backup.service loaded failed failed Nightly backup\n"
        "backup.timer loaded active waiting Nightly\n"
        "postgresql@15-main.service loaded active running PostgreSQL\n@@end 0123456789abcdef\n"
    )
    answer = snapshot.read(text, "0123456789abcdef")
    assert answer is not None
    told = list(parts.services(answer, ("nginx", "backup", "backup.timer", "postgresql@*", "gone")))
    assert [one for one in told if isinstance(one, str)] == [
        "backup.service is failed (failed)",
        "gone.service is not there",
    ]
    ups = {one.of: one.value for one in told if isinstance(one, parts.Measure)}
    assert ups == {
        "nginx.service": 1.0, "backup.service": 0.0, "backup.timer": 1.0,
        "postgresql@15-main.service": 1.0, "gone.service": 0.0,
    }  # fmt: skip


def test_a_degraded_array_and_one_being_rebuilt_are_told() -> None:
    text = (
        "@@begin 0123456789abcdef\n@@mdstat\nPersonalities : [raid1]\n"
        "md0 : active raid1 sdb1[1] sda1[0]\n      976630464 blocks super 1.2 [2/2] [UU]\n\n"
        "md1 : active raid1 sdd1[2] sdc1[0]\n      976630464 blocks super 1.2 [2/1] [U_]\n"
        "      [=>...]  recovery =  8.5% (83886080/976630464) finish=90.0min speed=165000K/sec\n\n"
        "unused devices: <none>\n@@end 0123456789abcdef\n"
    )
    answer = snapshot.read(text, "0123456789abcdef")
    assert answer is not None
    told = {(one.name, one.of): one.value for one in parts.found(answer)}
    measures = {one.of: one.value for one in parts.found(answer) if isinstance(one, parts.Measure)}
    assert measures == {"md0": 1.0, "md1": 0.0}
    assert ("hw.status", "md1") in told


def test_a_machine_of_busybox_answers_the_same_script(tmp_path: Path) -> None:
    farm = tmp_path / "bin"
    farm.mkdir()
    for applet in subprocess.run(["busybox", "--list"], capture_output=True, text=True, check=True).stdout.split():
        (farm / applet).symlink_to("/usr/bin/busybox")
    done = subprocess.run(
        [str(farm / "sh")],
        input=parts.call("0123456789abcdef"),
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": str(farm)},
    )
    answer = snapshot.read(done.stdout, "0123456789abcdef")
    assert answer is not None
    told = list(parts.processes(answer, ("busybox", "sh")))
    assert any(isinstance(one, parts.Measure) and one.value >= 1 for one in told)
    assert parts.clock(answer) == pytest.approx(time.time(), abs=5)


def test_everything_measured_was_declared(keep: Keep, server: Server) -> None:
    declared = {made.name for made in sshparts.PROBE.produces}
    reading = look(
        keep,
        server,
        services=("ssh",),
        processes=("sshd",),
        files=("x = /etc/passwd",),
        logs=("y = /etc/passwd : root",),
    )
    assert {m.name for m in reading.measures} <= declared
