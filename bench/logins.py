#!/usr/bin/env python3
"""A flood of wrong passwords on a whole installation: hashes, processor time, and what it costs everybody else.

    python bench/logins.py [--tries 10000] [--seconds 600] [--accounts 1]

Guesses come from fifty loopback addresses; others log in every second from addresses and with names of their own.
"""

from __future__ import annotations

import argparse
import http.client
import os
import re
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from urllib.parse import urlencode

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.installation import Browser, Installation, installed, until

SOURCES, HONEST = 50, 20
PASSWORD = "seven purple umbrellas"


class Guest:
    """A browser at one loopback address."""

    def __init__(self, port: int, address: str) -> None:
        self._port, self._address = port, address
        self._cookies, self._token = self._visit()

    def login(self, name: str, password: str) -> tuple[int, float]:
        """The status, and how long it took."""
        body = urlencode({"login": name, "password": password, "csrf": self._token})
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Cookie": self._cookies}
        began = time.perf_counter()
        status, _ = self._ask("POST", body, headers)
        return status, time.perf_counter() - began

    def _visit(self) -> tuple[str, str]:
        status, (page, cookies) = self._ask("GET", None, {})
        found = re.search(r'name="csrf" value="([^"]+)"', page)
        assert status == 200 and found, page[:200]
        return "; ".join(cookie.split(";")[0] for cookie in cookies), found[1]

    def _ask(self, method: str, body: str | None, headers: dict[str, str]) -> tuple[int, tuple[str, list[str]]]:
        line = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60, source_address=(self._address, 0))
        try:
            line.request(method, "/login", body, headers)
            answer = line.getresponse()
            return answer.status, (answer.read().decode(), answer.headers.get_all("Set-Cookie") or [])
        finally:
            line.close()


def main() -> None:
    """Print a table."""
    reader = argparse.ArgumentParser(description=__doc__)
    reader.add_argument("--tries", type=int, default=10_000)
    reader.add_argument("--seconds", type=float, default=600)
    reader.add_argument("--accounts", type=int, default=1)
    chosen = reader.parse_args()
    with installed() as running:
        until(lambda: running.answers, 60)
        rina = Browser(running)
        assert rina.post("/setup", {"token": running.token, "name": "rina", "password": PASSWORD}).status_code == 303
        people = "insert into person (login, name, password_hash, role) select %s || n, 'P', password_hash, 'none' from person, generate_series(1, %s) n where login = 'rina'"
        running.query(people, ["victim", chosen.accounts])
        running.query(people, ["honest", 5000])
        usual, _ = honest(running, threading.Event(), 40)
        over, results = threading.Event(), Counter[int]()
        before, began = cpu(running), time.monotonic()
        attack = threading.Thread(target=flood, args=(running, chosen, results, over))
        attack.start()
        during, refused = honest(running, over, 0)
        attack.join()
        took, used = time.monotonic() - began, cpu(running) - before
        usual += honest(running, threading.Event(), 40, 40)[0]  # before and after: the machine does other things too
        report(running, chosen, usual, during, refused, results, took, used)


def flood(running: Installation, chosen: argparse.Namespace, results: Counter[int], over: threading.Event) -> None:
    """Fifty sources, the tries spread over the time."""
    share = chosen.tries // SOURCES

    def one(number: int) -> None:
        guest, pause = Guest(running.port, f"127.0.3.{number + 1}"), chosen.seconds / share
        due = time.monotonic() + pause * number / SOURCES
        for turn in range(share):
            time.sleep(max(0.0, due - time.monotonic()))
            due += pause
            name = f"victim{(turn * SOURCES + number) % chosen.accounts + 1}"
            results[guest.login(name, f"guess {turn}")[0]] += 1

    threads = [threading.Thread(target=one, args=(number,)) for number in range(SOURCES)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    over.set()


def honest(running: Installation, over: threading.Event, many: int, offset: int = 0) -> tuple[list[float], int]:
    """Logins of people who know their password, one a second: how long each took, and how many were refused."""
    took, refused, number = [], 0, 0
    guests = [Guest(running.port, f"127.0.4.{n + 1}") for n in range(HONEST)]
    offset = offset if many else 100
    while len(took) < many if many else not over.is_set():
        number += 1
        status, seconds = guests[number % HONEST].login(f"honest{offset + number}", PASSWORD)
        took.append(seconds)
        refused += status != 303
        time.sleep(0.2 if many else 1.0)
    return took, refused


def cpu(running: Installation) -> float:
    """Processor seconds of the web server and its workers."""
    total = 0.0
    for pid in running.processes():
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes()
            if words.rstrip(b"\0").endswith(b"web"):
                stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                total += (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")
        except OSError:
            continue
    return total


def report(
    running: Installation, chosen: argparse.Namespace, usual: list[float], during: list[float], refused: int,
    results: Counter[int], took: float, used: float,
) -> None:  # fmt: skip
    """One line a figure, with the goal beside it."""
    p95 = lambda values: sorted(values)[int(len(values) * 0.95)]  # noqa: E731
    tried = running.query(
        "select account, count(*) from login_attempt where account like 'victim%' group by account order by 2 desc"
    )
    rows = running.query("select count(*), count(distinct \"on\") from audit where what = 'login.failed'")[0]
    print(f"{chosen.tries} tries from {SOURCES} sources on {chosen.accounts} accounts in {took:.0f} s: {dict(results)}")
    print(f"passwords computed, most of one account   {tried[0][1] if tried else 0:8}     goal <= 50 in 10 minutes")
    print(f"passwords computed, all accounts          {sum(row[1] for row in tried):8}")
    print(
        f"others' login, p95 without / during      {p95(usual) * 1000:5.0f} / {p95(during) * 1000:5.0f} ms  goal < 2 x ({p95(during) / p95(usual):.2f})"
    )
    print(f"others refused                            {refused:8}     of {len(during)}")
    print(f"processor of the web process              {used / took:8.2f} core  goal <= 0.5")
    print(f"audit rows / accounts and sources         {rows[0]} / {rows[1]}   goal <= 1 an account and minute")


if __name__ == "__main__":
    main()
