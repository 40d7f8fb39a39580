#!/usr/bin/env python3
"""Chat with many browsers at once: from sending to arriving at everybody else, and what other pages take meanwhile.

    python bench/chat.py [--browsers 200] [--seconds 60] [--writers 5] [--every 1.0]

A whole Pantau (`pantau up`) of its own; every browser is a real connection to /events, half of them on the thread that is
talked in and half of them elsewhere, as twenty people with ten each. The writers send by the page's own form. Goal: the
95th percentile from the begin of the POST to the event at the other browsers below 1 s with 200 browsers on two cores.
The browsers run on the same cores, so what they cost is in the figures.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import os
import re
import secrets
import statistics
import sys
import time
import urllib.parse
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import psycopg

from tests.installation import Installation, installed, until

PEOPLE = 20
PAGES = ("/", "/machines", "/chat")
Answer = tuple[int, bytes]


class Measured:
    """What was sent when, what arrived when, and how long pages took."""

    def __init__(self) -> None:
        self.sent: dict[int, float] = {}
        self.arrived: dict[int, list[float]] = {}
        self.answered: list[float] = []
        self.pages: dict[str, list[float]] = {}
        self.open = 0
        self.failed: list[str] = []


def main() -> None:
    """Print a few lines."""
    reader = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    reader.add_argument("--browsers", type=int, default=200)
    reader.add_argument("--seconds", type=float, default=60)
    reader.add_argument("--writers", type=int, default=5)
    reader.add_argument("--every", type=float, default=1.0, help="seconds between two messages of one writer")
    given = reader.parse_args()
    with installed() as running:
        until(lambda: running.answers)
        cookies, thread = settle(running)
        asyncio.run(measure(running, cookies, thread, given))


def settle(running: Installation) -> tuple[list[str], int]:
    """People with a session each, and a machine's thread they all may read."""
    cookies = []
    with psycopg.connect(running.database_url, autocommit=True) as connection:
        division = connection.execute("insert into division (name) values ('bench') returning id").fetchone()
        assert division
        connection.execute("insert into host (name, address, division_id) values ('bench', '127.0.0.1', %s)", division)
        for number in range(PEOPLE):
            person = connection.execute(
                "insert into person (login, name, password_hash, role) values (%s, %s, '-', %s) returning id",
                [f"p{number}", f"Person {number}", "admin" if number == 0 else "none"],
            ).fetchone()
            assert person
            connection.execute("insert into membership values (%s, %s, 'pic')", [person[0], division[0]])
            token = secrets.token_urlsafe(32)
            connection.execute(
                "insert into session (id, person_id, seen_at) values (%s, %s, now() + interval '1 hour')",
                [hashlib.sha256(token.encode()).hexdigest(), person[0]],
            )
            cookies.append(f"pantau-session={token}")
        found = connection.execute("select t.id from thread t join host h on h.id = t.host_id where h.name = 'bench'").fetchone()  # fmt: skip
        assert found
    return cookies, found[0]


async def measure(running: Installation, cookies: list[str], thread: int, given: argparse.Namespace) -> None:
    """Pages alone, then with everybody listening, then with everybody listening and some writing."""
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before; {given.browsers} browsers, {given.writers} writers, one message each {given.every:g} s")  # fmt: skip
    alone, silent, busy = Measured(), Measured(), Measured()
    await visit(running, cookies[0], alone, 15)
    tell("pages alone", alone)
    now = {"to": silent}
    streams = []
    for n in range(given.browsers):
        streams.append(asyncio.create_task(listen(running, cookies[n % PEOPLE], thread if n % 2 == 0 else 0, now)))
        await asyncio.sleep(0.05)
    end = time.monotonic() + 60
    while silent.open < given.browsers and time.monotonic() < end:
        await asyncio.sleep(0.2)
    print(f"{silent.open} browsers listen {silent.failed[:3] or ''}")
    began = cpu(running)
    await visit(running, cookies[0], silent, 15)
    tell("pages, all listening", silent)
    print(f"  the web process meanwhile: {(cpu(running) - began) / 15:.0%} of a core")
    now["to"] = busy
    began, at = cpu(running), time.monotonic()
    await asyncio.gather(
        visit(running, cookies[0], busy, given.seconds),
        *(write(running, cookies[n + 1], thread, busy, given, n) for n in range(given.writers)),
    )
    spent = time.monotonic() - at
    await asyncio.sleep(3)
    tell("pages, all listening, some writing", busy)
    print(f"  the web process meanwhile: {(cpu(running) - began) / spent:.0%} of a core")
    late = sorted(at - busy.sent[turn] for turn, moments in busy.arrived.items() if turn in busy.sent for at in moments)
    wanted = len(busy.sent) * given.browsers
    print(
        f"{len(busy.sent)} messages, {len(late)} of {wanted} arrivals; from POST to the other browsers: {spread(late)}"
    )
    print(f"from POST to its answer: {spread(sorted(busy.answered))}; load {os.getloadavg()[0]:.1f} after")
    for one in busy.failed[:5]:
        print(f"  failed: {one}")
    for stream in streams:
        stream.cancel()
    await asyncio.gather(*streams, return_exceptions=True)


async def listen(running: Installation, cookie: str, thread: int, now: dict[str, Measured]) -> None:
    """One browser: on the thread, or on another page, where it hears that something was said."""
    topic = f"chat:{thread}" if thread else "home"
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port, limit=1 << 20)
    writer.write(f"GET /events?topic={topic}&topic=chats HTTP/1.1\r\nHost: x\r\nCookie: {cookie}\r\nAccept-Language: en\r\n\r\n".encode())  # fmt: skip
    first = await reader.readline()
    if b" 200 " not in first:
        now["to"].failed.append(first.decode())
        return
    now["to"].open += 1
    while line := await reader.readline():
        if line.startswith(b"id: "):
            at, turn = time.monotonic(), int(line.rpartition(b"-")[2])
            now["to"].arrived.setdefault(turn, []).append(at)


async def write(
    running: Installation, cookie: str, thread: int, into: Measured, given: argparse.Namespace, place: int
) -> None:
    """One writer, by the page's own form."""
    _, page = await ask(running, cookie, f"/chat/{thread}")
    found = re.search(rb'name="csrf" value="([^"]+)"', page)
    assert found
    await asyncio.sleep(place * given.every / given.writers)
    end = time.monotonic() + given.seconds
    while time.monotonic() < end:
        body = urllib.parse.urlencode({"csrf": found[1].decode(), "client": secrets.token_urlsafe(18), "text": "The fan of this machine is loud, and it is warm. " * 3})  # fmt: skip
        at = time.monotonic()
        code, answer = await ask(running, cookie, f"/chat/{thread}", body)
        turn = re.search(rb'"turn":\s*(\d+)', answer)
        if code == 200 and turn:
            into.sent[int(turn[1])] = at
            into.answered.append(time.monotonic() - at)
        else:
            into.failed.append(f"{code} {answer[:100]!r}")
        await asyncio.sleep(max(0.0, given.every - (time.monotonic() - at)))


async def visit(running: Installation, cookie: str, into: Measured, seconds: float) -> None:
    """Somebody who reads pages, two a second."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for path in PAGES:
            at = time.monotonic()
            code, _ = await ask(running, cookie, path)
            into.pages.setdefault(path, []).append(time.monotonic() - at)
            if code != 200:
                into.failed.append(f"{path} {code}")
            await asyncio.sleep(0.5)


async def ask(running: Installation, cookie: str, path: str, body: str | None = None) -> Answer:
    """One request on a connection of its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    head = (
        f"{'GET' if body is None else 'POST'} {path} HTTP/1.1\r\nHost: x\r\nCookie: {cookie}\r\nConnection: close\r\n"
    )
    if body is not None:
        head += f"Accept: application/json\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n"  # fmt: skip
    writer.write(f"{head}\r\n{body or ''}".encode())
    answer = await reader.read()
    writer.close()
    return int(answer.split(b" ", 2)[1]), answer.partition(b"\r\n\r\n")[2]


def cpu(running: Installation) -> float:
    """Processor seconds of the web process and its worker so far."""
    web = running.children()["web"]
    total = 0.0
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(entry.name) == web or int(fields[1]) == web:
                total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return total


def spread(values: list[float]) -> str:
    """Median, 95th percentile and the largest, in ms."""
    if not values:
        return "nothing"
    at = values[min(len(values) - 1, int(0.95 * len(values)))]
    return f"p50 {statistics.median(values) * 1000:.0f} ms, p95 {at * 1000:.0f} ms, largest {values[-1] * 1000:.0f} ms"


def tell(name: str, measured: Measured) -> None:
    """One line a page."""
    print(f"{name}:")
    for path, took in measured.pages.items():
        print(f"  {path:10} {spread(sorted(took))}")


if __name__ == "__main__":
    main()
