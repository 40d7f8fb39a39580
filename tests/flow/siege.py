"""A notifier under siege: killed again and again, its database too, while changes flow and receivers misbehave.

    python -m tests.flow.siege --kills 200 --seed 1

Every division has one machine and one webhook. Receivers refuse, delay, answer 429, cut the line before they take a
message or after. In the end each must know what holds, in order, and a repetition must have a reason.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import socket
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any

import psycopg

from config import database, migrate, postgres
from tests.flow.people import Village

DIVISIONS = 40


@dataclass
class Taken:
    """A message that a receiver took; `cut`: the line was cut instead of an answer."""

    at: float
    key: str
    kind: str
    cut: bool


@dataclass
class Receivers:
    """All receivers, one a path; what they do is drawn from `dice`, until `calm`."""

    dice: random.Random
    taken: dict[str, list[Taken]] = field(default_factory=lambda: defaultdict(list))
    done: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    calm: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def draw(self) -> str:
        with self.lock:
            ways = ("take", "refuse", "delay", "busy", "cut before", "cut after")
            way = "take" if self.calm else self.dice.choices(ways, (70, 8, 6, 6, 5, 5))[0]
            self.done[way] += 1
            return way

    def take(self, path: str, message: dict[str, Any], cut: bool) -> None:
        with self.lock:
            self.taken[path].append(Taken(time.monotonic(), message["id"], message["kind"], cut))


def serve(receivers: Receivers) -> ThreadingHTTPServer:
    """The receivers on a loopback port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            try:
                self._answer()
            except (ConnectionError, ValueError):
                self.close_connection = True

        def _answer(self) -> None:
            message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            way = receivers.draw()
            if way == "delay":
                time.sleep(1.0)
            if way in ("cut before", "cut after"):
                if way == "cut after":
                    receivers.take(self.path, message, True)
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
                return
            if way in ("take", "delay"):
                receivers.take(self.path, message, False)
            self.send_response({"refuse": 500, "busy": 429}.get(way, 200))
            self.send_header("Content-Length", "0")
            if way == "busy":
                self.send_header("Retry-After", "1")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


class Siege:
    """One siege in `place`, on a PostgreSQL of its own."""

    def __init__(self, place: Path, seed: int) -> None:
        self.dice = random.Random(seed)
        self.receivers = Receivers(random.Random(seed + 1))
        self.place = place
        self.kills: list[tuple[float, str]] = []
        self.changes = 0
        self._down: set[int] = set()
        self._over = threading.Event()

    def run(self, kills: int, say: Callable[[str], None]) -> dict[str, Any]:
        """Kill so often, then let it come to rest; what was found."""
        self.cluster = postgres.prepare(self.place / "data", None, None, lambda _: None)
        self.server = postgres.run(self.cluster)
        web = serve(self.receivers)
        try:
            self._people(web.server_address[1])
            self._besiege(kills, say)
            return self._reckon()
        finally:
            self._over.set()
            web.shutdown()
            web.server_close()
            postgres.shut_down(self.server)

    def _people(self, port: int) -> None:
        postgres.wait_ready(self.cluster, self.server, lambda _: None)
        postgres.admit(self.cluster)
        url = self.cluster.url.replace("///pantau?", "///postgres?", 1)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("create database siege")
        self.village = Village(url.replace("/postgres?", "/siege?"), self.place)
        engine = database.engine(self.village.url)
        migrate.upgrade(engine)
        engine.dispose()
        channel = self.village.channel("webhook", "hooks", {"hosts": ["127.0.0.1"]})
        self.hosts, self.routes = {}, {}
        for number in range(DIVISIONS):
            name = f"d{number}"
            self.village.division(name)
            person = self.village.person(f"p{number}", **{name: "pic"})
            self.routes[number] = self.village.route(
                person, channel, {"url": f"http://127.0.0.1:{port}/{number}"}, hourly=1000
            )
            self.hosts[number] = self.village.machine(f"m{number}", name)

    def _besiege(self, kills: int, say: Callable[[str], None]) -> None:
        changing = threading.Thread(target=self._change, daemon=True)
        notifier = self.village.start()
        changing.start()
        for number in range(kills):
            time.sleep(self.dice.uniform(0.5, 5.0))
            if self.dice.random() < 0.7:
                self.kills.append((time.monotonic(), "notifier"))
                notifier.kill()
                notifier.wait()
                notifier = self.village.start()
            else:
                self.kills.append((time.monotonic(), "PostgreSQL"))
                self.server.kill()
                self.server.wait()
                self._revive()
            if number % 20 == 19:
                say(f"{number + 1} kills, {self.changes} changes, {sum(map(len, self.receivers.taken.values()))} taken")
        self._over.set()
        changing.join()
        self.receivers.calm = True
        self._rest()
        notifier.send_signal(signal.SIGTERM)
        notifier.wait(30)

    def _revive(self) -> None:
        while True:
            self.server = postgres.run(self.cluster)
            try:
                postgres.wait_ready(self.cluster, self.server, lambda _: None)
                return
            except postgres.PostgresError:  # the old one has not let go of everything yet
                time.sleep(0.3)

    def _change(self) -> None:
        """One change after the other, each in a transaction of its own; one whose commit was cut off is looked up."""
        dice = random.Random(7)
        while not self._over.is_set():
            number = dice.randrange(DIVISIONS)
            host = self.hosts[number]
            goes_down = number not in self._down
            while True:
                try:
                    known = self.village.ask("select 1 from incident where host_id = %s and closed_at is null", host)
                    if bool(known) != goes_down:
                        if goes_down:
                            self.village.trouble(host)
                        else:
                            self.village.well(host)
                    break
                except psycopg.OperationalError:
                    time.sleep(0.2)
            self._down ^= {number}
            self.changes += 1
            time.sleep(0.25)

    def _rest(self) -> None:
        """Until nothing waits any more."""
        end = time.monotonic() + 180
        while time.monotonic() < end:
            waiting = self.village.one("select count(*) from delivery where state in ('waiting', 'sending')")
            unrouted = self.village.one("select count(*) from notice where routed_at is null")
            if waiting == unrouted == 0:
                return
            time.sleep(0.5)

    def _reckon(self) -> dict[str, Any]:
        """What was lost, doubled, out of order, stuck."""
        lost, disorder, unexplained, explained = [], [], [], 0
        doubtful = {
            row["route_id"]: row["n"]
            for row in self.village.ask(
                "select route_id, count(*) as n from delivery where state = 'dropped' and unsure group by 1"
            )
        }
        for number in range(DIVISIONS):
            taken = self.receivers.taken[f"/{number}"]
            firsts: dict[str, Taken] = {}
            for one in taken:
                first = firsts.setdefault(one.key, one)
                if first is not one:
                    kill = any(first.at - 2 <= at <= one.at for at, _ in self.kills)
                    explained += kill or first.cut
                    if not (kill or first.cut):
                        unexplained.append(one.key)
            order = [one.kind for one in firsts.values()]
            odd = (order[:1] == ["recovery"]) + sum(1 for before, after in pairwise(order) if before == after)
            # what may have been taken, and was overtaken, counts as told: its end is told too, or its like again
            if odd > doubtful.get(self.routes[number], 0) + sum(one.cut for one in firsts.values()):
                disorder.append((number, order))
            knows_down = bool(order) and order[-1] == "problem"
            if knows_down != (number in self._down):
                lost.append(number)
        counts = {
            row["state"]: row["n"] for row in self.village.ask("select state, count(*) as n from delivery group by 1")
        }
        return {
            "kills": {who: sum(1 for _, one in self.kills if one == who) for who in ("notifier", "PostgreSQL")},
            "changes": self.changes, "deliveries": counts, "receivers": dict(self.receivers.done),
            "messages": sum(len(taken) for taken in self.receivers.taken.values()), "lost": lost, "out of order": disorder,
            "repeated after a kill or a cut line": explained, "repeated without a reason": unexplained,
            "still waiting": self.village.one("select count(*) from delivery where state in ('waiting', 'sending')"),
            "stuck jobs": self.village.one("select count(*) from procrastinate_jobs where status = 'doing'"),
        }  # fmt: skip


def main() -> int:
    """The siege as a report; 1 where anything was lost, out of order, or repeated without a reason."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pantau-") as name:
        Path(name).chmod(0o755)
        found = Siege(Path(name), wanted.seed).run(wanted.kills, lambda text: print(text, file=sys.stderr, flush=True))
    print(json.dumps(found, indent=1))
    bad = found["lost"] or found["out of order"] or found["repeated without a reason"] or found["still waiting"]
    return 1 if bad or found["stuck jobs"] else 0


if __name__ == "__main__":
    sys.exit(main())
