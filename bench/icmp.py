#!/usr/bin/env python3
"""The ping engine beside `fping -i0` and icmplib's async_multiping: CPU and wall seconds for one round.

    python bench/icmp.py [--hosts 10000] [--rounds 3]

Runs as root inside a network namespace of its own (loopback only): once with every host alive, once with
every tenth silent. Each contestant is a process of its own; the median of the rounds is printed. For the
two Python ones the CPU is that of the round itself (a poller starts its interpreter once), for fping that
of the whole process. Goals: at most 1.2 x fping's CPU, at most 1/10 of icmplib's, and with silent hosts no
more than half a second longer than fping.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

ALIVE, SILENT = "127.1", "127.2"
WAIT = 1.0


def addresses(hosts: int, silent: int) -> list[str]:
    """`hosts` loopback addresses in random order, `silent` of them in the range the namespace drops."""
    made = [f"{ALIVE}.{n >> 8}.{n & 255}" for n in range(hosts - silent)]
    made += [f"{SILENT}.{n >> 8}.{n & 255}" for n in range(silent)]
    random.Random(1).shuffle(made)
    return made


async def pantau(listed: list[str]) -> tuple[float, float, int]:
    from probes import names
    from probes.icmp import Engine

    engine = Engine()
    await engine.sweep([names.Place("127.0.0.1", names.socket.AF_INET)])  # the socket is there before any round
    cpu, wall = time.process_time(), time.monotonic()
    places = [place for text in listed if (place := names.numeric(text))]
    mid = time.process_time()
    answers = await engine.sweep(places, wait=WAIT)
    used = time.process_time() - mid  # a poller knows its addresses already
    took = time.monotonic() - wall - (mid - cpu)
    engine.close()
    return used, took, sum(answer is not None for answer in answers)


async def icmplib(listed: list[str]) -> tuple[float, float, int]:
    import icmplib as library

    cpu, wall = time.process_time(), time.monotonic()
    hosts = await library.async_multiping(listed, count=1, interval=0, timeout=WAIT, concurrent_tasks=500)
    return time.process_time() - cpu, time.monotonic() - wall, sum(host.is_alive for host in hosts)


def fping(file: str) -> tuple[float, float, int]:
    before, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    words = ["fping", "-i0", "-r0", f"-t{int(WAIT * 1000)}", "-a", "-f", file]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return used, time.monotonic() - wall, len(done.stdout.splitlines())


def contest(name: str, file: str) -> tuple[float, float, int]:
    """One round of one contestant in a process of its own."""
    if name == "fping":
        return fping(file)
    done = subprocess.run([sys.executable, __file__, "--one", name, file], capture_output=True, text=True, check=True)
    used, took, alive = json.loads(done.stdout)
    return used, took, alive


def compare(title: str, listed: list[str], rounds: int) -> None:
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("\n".join(listed) + "\n")
        file.flush()
        rows = {name: [contest(name, file.name) for _ in range(rounds)] for name in ("pantau", "fping", "icmplib")}
    print(f"\n{title}")
    print(f"  {'':10}{'CPU s':>8}{'wall s':>8}{'alive':>8}")
    middle = {}
    for name, runs in rows.items():
        middle[name] = statistics.median(run[0] for run in runs), statistics.median(run[1] for run in runs)
        print(f"  {name:10}{middle[name][0]:8.3f}{middle[name][1]:8.2f}{min(run[2] for run in runs):8}")
    print(f"  CPU: {middle['pantau'][0] / middle['fping'][0]:.2f} x fping (goal 1.2), ", end="")
    print(f"1/{middle['icmplib'][0] / middle['pantau'][0]:.0f} of icmplib (goal 1/10)")
    print(f"  wall: {middle['pantau'][1] - middle['fping'][1]:+.2f} s against fping (goal +0.5)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        listed = Path(asked.one[1]).read_text().split()
        print(json.dumps(asyncio.run({"pantau": pantau, "icmplib": icmplib}[asked.one[0]](listed))))
    elif asked.inside:
        compare(f"{asked.hosts} hosts, all alive", addresses(asked.hosts, 0), asked.rounds)
        compare(f"{asked.hosts} hosts, every tenth silent", addresses(asked.hosts, asked.hosts // 10), asked.rounds)
    else:
        in_namespace([*sys.argv[1:], "--inside"])


def in_namespace(words: list[str]) -> None:
    """Run this script again in a fresh namespace that drops what goes to the silent range."""
    if os.geteuid():
        sys.exit("This needs root, for a network namespace.")
    name = f"bench{os.getpid()}"
    inside = ["ip", "netns", "exec", name]
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        subprocess.run([*inside, "ip", "link", "set", "lo", "up"], check=True)
        drop = ["iptables", "-A", "INPUT", "-d", f"{SILENT}.0.0/16", "-p", "icmp", "-j", "DROP"]
        subprocess.run([*inside, *drop], check=True)
        for mode, group in (("raw socket", "1 0"), ("unprivileged socket", "0 2147483647")):
            print(f"\n== {mode}", flush=True)
            subprocess.run([*inside, "sysctl", "-qw", f"net.ipv4.ping_group_range={group}"], check=True)
            subprocess.run([*inside, sys.executable, __file__, *words], check=True)
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=True)


if __name__ == "__main__":
    main()
