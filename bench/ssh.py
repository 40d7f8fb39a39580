#!/usr/bin/env python3
"""A look over SSH beside an ssh process per check: our CPU and the target's; and what idle connections cost.

    python bench/ssh.py [--looks 200] [--idle 1000] [--rounds 3]

Starts a sshd on a loopback port. "kept" is the probe as the poller runs it: one connection, one shell. "ssh" starts
OpenSSH's client for each look and gives it the same script on its standard input. CPU of ours is this process and
its children; of the target, sshd and everything under it. Goals: ours at most 1/100 of an ssh process, the target at
most 3 ms a look and 1/10 of a login for each; 1000 idle connections at most 1 % of a core (beside a stock paramiko
transport, which wakes ten times a second).
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import paramiko

from domain.reading import Secret, Target
from probes import names, ssh, unix
from probes.base import Keep
from probes.limits import Deadline
from probes.ssh.session import connect
from tests.probes.sshserver import Server, sshd

TICKS = os.sysconf("SC_CLK_TCK")


def ours() -> float:
    """CPU seconds of this process and of the children it has waited for."""
    spent = 0.0
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        usage = resource.getrusage(who)
        spent += usage.ru_utime + usage.ru_stime
    return spent


def theirs(root: int) -> float:
    """CPU seconds of a process and all below it, those already ended included."""
    parents: dict[int, list[int]] = {}
    spent: dict[int, float] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents.setdefault(int(words[1]), []).append(int(entry.name))
            spent[int(entry.name)] = sum(map(int, words[11:15])) / TICKS
    total, waiting = 0.0, [root]
    while waiting:
        one = waiting.pop()
        total += spent.get(one, 0.0)
        waiting += parents.get(one, [])
    return total


def kept(server: Server, looks: int, keep: Keep) -> tuple[float, float]:
    """(our, their) CPU ms a look through one kept connection, its login not counted."""
    target = Target("127.0.0.1", ssh.Options(server.port), Secret("root", private_key=server.key), 30.0)
    assert server.process is not None
    for _ in range(3):
        assert ssh.look(target, keep).failure is None
    before, there = ours(), theirs(server.process.pid)
    for _ in range(looks):
        assert ssh.look(target, keep).failure is None
    return (ours() - before) / looks * 1000, (theirs(server.process.pid) - there) / looks * 1000


def process(server: Server, looks: int) -> tuple[float, float]:
    """(our, their) CPU ms a look by a client of its own."""
    words = [
        "ssh", "-p", str(server.port), "-i", str(server.directory / "user"), "-o", "StrictHostKeyChecking=no",
        "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "-o", "BatchMode=yes", "root@127.0.0.1", "exec sh",
    ]  # fmt: skip
    text = unix.DEFINE + unix.call("0123456789abcdef", "disks", "slow")
    assert server.process is not None
    before, there = ours(), theirs(server.process.pid)
    for _ in range(looks):
        done = subprocess.run(words, input=text, capture_output=True, text=True, check=True)
        assert "@@end 0123456789abcdef" in done.stdout
    time.sleep(0.2)
    return (ours() - before) / looks * 1000, (theirs(server.process.pid) - there) / looks * 1000


def idle(server: Server, count: int, seconds: float) -> float:
    """CPU of `count` kept connections that nobody uses, as a share of one core."""
    place = names.numeric("127.0.0.1")
    assert place is not None
    secret = Secret("root", private_key=server.key)
    opened = [connect(place, server.port, secret, (), Deadline(60)) for _ in range(count)]
    time.sleep(2)
    before, began = time.process_time(), time.monotonic()
    time.sleep(seconds)
    share = (time.process_time() - before) / (time.monotonic() - began)
    for one in opened:
        one.close()
    return share


def stock(server: Server, count: int, seconds: float) -> float:
    """The same with paramiko's own transports, which nobody tuned."""
    key = paramiko.Ed25519Key.from_private_key_file(str(server.directory / "user"))
    opened = []
    for _ in range(count):
        transport = paramiko.Transport(("127.0.0.1", server.port))
        transport.connect(username="root", pkey=key)
        opened.append(transport)
    time.sleep(2)
    before, began = time.process_time(), time.monotonic()
    time.sleep(seconds)
    share = (time.process_time() - before) / (time.monotonic() - began)
    for one in opened:
        one.close()
    return share


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--looks", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--idle", type=int, default=1000)
    asked = parser.parse_args()
    threading.stack_size(256 * 1024)
    with sshd("MaxStartups 2000:30:2000") as server:
        keep = Keep()
        rows: dict[str, list[tuple[float, float]]] = {"kept": [], "ssh": []}
        for _ in range(asked.rounds):
            rows["kept"].append(kept(server, asked.looks, keep))
            rows["ssh"].append(process(server, max(10, asked.looks // 8)))
        keep.close()
        middle = {
            name: tuple(statistics.median(run[at] for run in runs) for at in (0, 1)) for name, runs in rows.items()
        }
        print("a look, CPU ms      ours    target")
        for name, (mine, other) in middle.items():
            print(f"  {name:12}{mine:10.2f}{other:10.2f}")
        print(f"  ours: 1/{middle['ssh'][0] / middle['kept'][0]:.0f} of an ssh process (goal 1/100)")
        print(
            f"  target: {middle['kept'][1]:.1f} ms (goal 3), 1/{middle['ssh'][1] / middle['kept'][1]:.1f} of a login each (goal 1/10)"
        )
        if asked.idle:
            few = max(10, asked.idle // 10)
            print(f"\n{asked.idle} idle connections: {idle(server, asked.idle, 20) * 100:.2f} % of a core (goal 1)")
            print(f"{few} stock paramiko transports: {stock(server, few, 10) * 100:.2f} % of a core")


if __name__ == "__main__":
    main()
