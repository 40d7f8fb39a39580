#!/usr/bin/env python3
"""From a cut link to the message: a whole installation, real pings, real messages.

    python bench/told.py [--outages 100] [--interval 5]

Runs in a network namespace of its own (root). Each of 100 addresses on loopback belongs to a division with a webhook of
its own; an iptables rule cuts one after the other. Beside the good channel there are one whose server refuses every
connection and one that answers after fifteen seconds: nothing of the good one may wait for them. The goal is three
intervals + the deadline of a look + 10 s at most.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.flow.people import Village
from tests.installation import installed, until

DEADLINE = 10.0


def receiver(slow: float) -> tuple[ThreadingHTTPServer, dict[str, float]]:
    """A webhook that notes when each path was first told of trouble."""
    told: dict[str, float] = {}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            time.sleep(slow)
            if message["kind"] == "problem":
                told.setdefault(self.path, time.time())
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server, told


def cut(address: str, drop: bool) -> None:
    """No ping reaches the address any more, or does again."""
    rule = ["INPUT", "-d", address, "-p", "icmp", "-j", "DROP"]
    subprocess.run(["iptables", "-A" if drop else "-D", *rule], check=True)


def measure(outages: int, interval: float) -> tuple[list[float], list[float]]:
    """Seconds from each cut to its message, and from each decision to its message."""
    quick, told = receiver(0)
    slow, _ = receiver(15)
    with installed(PANTAU_INTERVAL=str(interval), PANTAU_REFERENCES="none") as running:
        village = Village(running.database_url, running.directory)
        channels = [village.channel("webhook", name, {"hosts": ["127.0.0.1"]}) for name in ("quick", "dead", "slow")]
        ports = [quick.server_address[1], 1, slow.server_address[1]]
        for number in range(outages):
            person = village.person(f"p{number}")
            division = village.division(f"d{number}")
            village.ask("insert into membership values (%s, %s, 'pic')", person, division)
            for channel, port in zip(channels, ports, strict=True):
                village.route(person, channel, {"url": f"http://127.0.0.1:{port}/{number}"})
            host = village.machine(f"m{number}", f"d{number}", address=f"127.0.9.{number + 1}")
            village.ask("insert into host_check (host_id, kind, name) values (%s, 'icmp', 'ping')", host)
        until(
            lambda: (
                village.one("select count(*) from track where starts_with(subject, 'host:') and state = 'up'")
                >= outages
            ),
            120,
        )
        cuts, dice = {}, random.Random(1)
        for number in range(outages):
            cuts[number] = time.time()
            cut(f"127.0.9.{number + 1}", True)
            time.sleep(dice.uniform(0.2, 1.0))
        until(lambda: len(told) >= outages, 120)
        waited = [
            float(row["s"])
            for row in village.ask(
                "select extract(epoch from d.sent_at - n.at) as s from delivery d join notice n on n.id = d.notice_id"
                " where d.channel_id = %s and d.state = 'sent' and n.kind = 'problem' order by 1",
                channels[0],
            )
        ]
    quick.shutdown()
    slow.shutdown()
    return sorted(told[f"/{number}"] - at for number, at in cuts.items()), waited


def main() -> int:
    """The figures; 1 where the goal is missed."""
    parser = argparse.ArgumentParser(description="From a cut link to the message.")
    parser.add_argument("--outages", type=int, default=100)
    parser.add_argument("--interval", type=float, default=5)
    wanted = parser.parse_args()
    if os.environ.get("TOLD_INSIDE") != "yes":
        again = ["unshare", "-n", sys.executable, __file__, *sys.argv[1:]]
        return subprocess.run(again, env={**os.environ, "TOLD_INSIDE": "yes"}, check=False).returncode
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    took, waited = measure(wanted.outages, wanted.interval)
    goal = 3 * wanted.interval + DEADLINE + 10
    print(
        f"{len(took)} outages: median {statistics.median(took):.1f} s, p95 {took[int(0.95 * len(took))]:.1f} s,"
        f" longest {took[-1]:.1f} s; goal {goal:.0f} s"
    )
    print(
        f"from the decision to the message, beside a dead and a slow channel: median {statistics.median(waited):.1f} s,"
        f" p95 {waited[int(0.95 * len(waited))]:.1f} s; goal 10 s"
    )
    return int(took[-1] > goal)


if __name__ == "__main__":
    sys.exit(main())
