"""What machines say of themselves, under other shells, on other systems, and when they lie."""

from __future__ import annotations

import math
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.reading import Target
from probes import unix
from probes.base import Keep
from probes.local import Options, look
from probes.unix.snapshot import Snapshot

NONCE = "00ff00ff"


def run(shell: list[str], environment: dict[str, str] | None = None) -> Snapshot:
    text = unix.DEFINE + unix.call(NONCE, "twice", "facts", "disks", "slow")
    done = subprocess.run(shell, input=text.encode(), capture_output=True, timeout=30, env=environment, check=False)
    snapshot = unix.read(done.stdout.decode(errors="replace"), NONCE)
    assert snapshot is not None, done.stdout[-300:]
    return snapshot


def names(snapshot: Snapshot) -> set[str]:
    return {measure.name for measure in unix.measures(snapshot, None)}


@pytest.mark.parametrize("shell", ["dash", "bash", "busybox"])
def test_the_script_works_under_every_common_shell(shell: str, tmp_path: Path) -> None:
    words = ["busybox", "sh"] if shell == "busybox" else [shell]
    environment = None
    if shell == "busybox":
        farm = tmp_path / "bin"
        farm.mkdir()
        busybox = shutil.which("busybox")
        assert busybox
        for applet in subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split():
            (farm / applet).symlink_to(busybox)
        words, environment = [str(farm / "sh")], {"PATH": str(farm)}
    found = names(run(words, environment))
    assert {"system.cpu.utilization", "system.memory.utilization", "system.uptime", "system.processes.count"} <= found
    assert {"system.filesystem.utilization", "system.network.io.receive", "system.cpu.load_average.1m"} <= found


def test_this_machine_can_look_at_itself() -> None:
    keep = Keep()
    for _ in range(2):
        reading = look(Target("localhost", Options(), None, 10), keep)
        assert reading.failure is None
        told = {m.name: m.value for m in reading.measures}
        assert told.keys() >= {"system.cpu.utilization", "system.memory.limit"}
        assert 0 <= told["host.watch.cpu_time"] < 5
        assert told["host.watch.processes"] >= 5  # cat, df and the like
    keep.close()


def test_everything_measured_was_declared() -> None:
    declared = {made.name for made in unix.PRODUCES}
    assert names(run(["sh"])) <= declared


def test_only_hexadecimal_can_reach_the_shell() -> None:
    for nonce in ("", "abc", "0" * 65, "00ff00ff; reboot", "00FF00FF", "$(id)0000"):
        with pytest.raises(ValueError, match="hexadecimal"):
            unix.call(nonce)


def snapshot(now: str, before: str = "") -> Snapshot:
    inside = f"@@before\n{before}\n@@now\n{now}" if before else now
    read = unix.read(f"noise\n@@begin {NONCE}\n{inside}\n@@end {NONCE}\nmore", NONCE)
    assert read is not None
    return read


def value(one: Snapshot, name: str, of: str = "") -> float:
    return next(m.value for m in unix.measures(one, None) if m.name == name and m.of == of)


def test_the_processor_share_leaves_guest_out_and_forgives_iowait_going_back() -> None:
    one = snapshot("@@stat\ncpu 200 0 100 500 40 0 0 10 150 0", "@@stat\ncpu 100 0 50 400 50 0 0 0 100 0")
    assert value(one, "system.cpu.utilization") == pytest.approx(160 / 260)
    assert value(one, "system.cpu.iowait") == 0
    assert value(one, "system.cpu.steal") == pytest.approx(10 / 260)


def test_memory_of_an_old_kernel_counts_caches_as_free() -> None:
    one = snapshot(
        "@@meminfo\nMemTotal: 1000 kB\nMemFree: 100 kB\nBuffers: 50 kB\nCached: 300 kB\nShmem: 20 kB\nSReclaimable: 30 kB"
    )
    assert value(one, "system.memory.utilization") == pytest.approx(0.54)


def test_file_systems_are_told_as_df_tells_them_and_odd_names_survive() -> None:
    one = snapshot(
        "@@df\nFilesystem Type 1024-blocks Used Available Capacity Mounted on\n"
        "/dev/sda1 ext4 1000 600 200 75% /\n//nas/my share cifs 100 50 50 50% /mnt/my share\ntmpfs tmpfs 10 1 9 10% /run"
    )
    assert value(one, "system.filesystem.utilization", "/") == pytest.approx(0.75)
    assert value(one, "system.filesystem.utilization", "/mnt/my share") == pytest.approx(0.5)
    assert not [m for m in unix.measures(one, None) if m.of == "/run"]


def test_a_disk_counter_that_wrapped_gives_no_share() -> None:
    row = "@@uptime\n{0} 1\n@@diskstats\n8 0 sda {1} 0 800 100 50 0 400 100 0 {2} 0"
    whole = snapshot(row.format(110, 200, 5000), row.format(100, 100, 1000))
    assert value(whole, "system.disk.utilization", "sda") == pytest.approx(0.4)
    wrapped = snapshot(row.format(110, 5, 5000), row.format(100, 100, 1000))
    assert not [m for m in unix.measures(wrapped, None) if m.name == "system.disk.utilization"]
    assert value(wrapped, "system.disk.io.read", "sda") == 800 * 512


def test_freebsd_is_read_from_sysctl() -> None:
    """Synthetic: written after sysctl(3), not recorded."""
    one = snapshot(
        "@@boot\n{ sec = 1700000000, usec = 1 } Tue Nov 14\n@@bsdcpu\n200 0 100 0 700\n@@bsdclock\n1700003600\n"
        "@@sysctl hw.physmem\n1000000\n@@sysctl hw.pagesize\n1000\n@@sysctl vm.stats.vm.v_free_count\n300\n"
        "@@sysctl vm.stats.vm.v_inactive_count\n200\n@@sysctl vm.loadavg\n{ 0.50 0.40 0.30 }\n"
        "@@bsdnet\nName Mtu Network Address Ipkts Ierrs Idrop Ibytes Opkts Oerrs Obytes Coll\n"
        "em0 1500 <Link#1> 00:11:22:33:44:55 10 0 0 1234 20 0 5678 0",
        "@@bsdcpu\n100 0 100 0 600",
    )
    assert value(one, "system.cpu.utilization") == pytest.approx(0.5)
    assert value(one, "system.memory.utilization") == pytest.approx(0.5)
    assert value(one, "system.uptime") == 3600
    assert value(one, "system.cpu.load_average.1m") == 0.5
    assert value(one, "system.network.io.receive", "em0") == 1234
    assert value(one, "system.network.io.transmit", "em0") == 5678


def test_what_was_cut_or_belongs_to_another_look_is_no_answer() -> None:
    assert unix.read("@@begin 00ff00ff\n@@uptime\n1 1\n", NONCE) is None
    assert unix.read("@@begin 11111111\n@@uptime\n1 1\n@@end 11111111", NONCE) is None


SECTIONS = ["stat", "meminfo", "loadavg", "diskstats", "netdev", "df", "inodes", "states", "users", "failed", "uptime", "bsdcpu", "bsdnet", "swapinfo", "boot", "os", "pressure io", "restart"]  # fmt: skip


@given(st.lists(st.tuples(st.sampled_from(SECTIONS), st.text(max_size=300)), max_size=12))
def test_a_lying_machine_never_raises_and_only_plain_numbers_come_out(told: list[tuple[str, str]]) -> None:
    text = "\n".join(f"@@{section}\n{body}" for section, body in told)
    read = unix.read(f"@@begin {NONCE}\n{text}\n@@before\n{text}\n@@end {NONCE}", NONCE)
    if read is None:
        return
    for measure in unix.measures(read, read):
        assert math.isfinite(measure.value)
        assert not any(ord(c) < 32 for c in measure.of)
    for fact in unix.facts(read):
        assert len(fact.value) <= 1000


def test_a_hundred_thousand_lines_are_cut() -> None:
    text = f"@@begin {NONCE}\n@@df\n" + "/dev/sda1 ext4 1000 600 200 75% /\n" * 100_000 + f"@@end {NONCE}\n"
    read = unix.read(text, NONCE)
    assert read is None or len(read.lines("df")) <= 20_000
