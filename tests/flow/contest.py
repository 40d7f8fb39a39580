"""Actions under contest: eight at once at one request, and pollers killed between claim, command and proof.

    python -m tests.flow.contest --races 1000 --kills 200 --seed 1

Both promise the same: nothing is carried out twice, nothing without the agreement it needs, nothing after its time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from config import database, migrate, postgres, vault
from domain.approving import Denied
from domain.inventory import HostKey
from poller.actions import Actions, Patience
from tests.flow.court import Court
from tests.flow.machine import Machine, machine
from tests.installation import until
from tests.roles import as_role

NGINX: dict[str, Any] = {"kind": "service.restart", "params": {"service": "nginx.service"}}
QUICK = Patience(restart=20, service=5, checks=0, pause=0.05)
STAGES = ("begun", "looked", "sent", "taken", "proof")
"""The steps of a restart of a service, from the claim to the proof."""
POLLER = """
import asyncio, sys
from config import database, vault
from pathlib import Path
from poller.actions import Actions, Patience
url, key = sys.argv[1:]
sessions = database.sessions(database.engine(url, size=2))
actions = Actions(sessions, vault.opener(Path(key)), None, lambda host: None, Patience(5, 2, 0, 0.05))
async def work():
    await actions.open()
    print("ready", flush=True)
    while True:
        await actions.serve()
        await asyncio.sleep(0.02)
asyncio.run(work())
"""


def race(court: Court, turn: int, chance: random.Random, done: Counter[int]) -> str:
    """Eight at once: some agree, one is the requester, one refuses, takes it back or lets it expire, two pollers take it.

    The state it came to; `done` counts what was taken. Raises AssertionError where a promise is broken.
    """
    request = court.ask(host=court.machine(f"m{turn}"), **NGINX)

    def take(name: str) -> None:
        for _ in range(3):
            if (found := court.claim(name)) is not None:
                done[found] += 1

    moves: list[Callable[[], object]] = [
        *(partial(court.vote, name, request) for name in ("one", "two", "boss", "pic")),
        *(partial(take, name) for name in ("a", "b")),
        partial(court.vote, "boss", request, agrees=False) if turn % 3 == 0 else partial(court.vote, "one", request),
        (
            partial(court.cancel, "pic", request),
            partial(court.later, request, minutes=15),
            partial(court.vote, "two", request),
            partial(court.vote, "two", request),
        )[turn % 4],
    ]
    chance.shuffle(moves)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(_tried, moves))
    take("a")
    found = court.request(request)
    votes = court.ask_database(
        "select v.person_id, v.at < r.expires_at as timely from vote v join request r on r.id = v.request_id"
        " where r.id = %s and v.agrees", request,
    )  # fmt: skip
    agreed = {row["person_id"] for row in votes}
    assert court.id["pic"] not in agreed, "somebody agreed to what they asked for"
    assert done[request] == (1 if found.state == "running" else 0), (turn, found.state, done[request])
    if found.state == "running":
        assert len(agreed) >= 2, "begun without the agreement of two"
        assert found.claimed_at is not None
    else:
        assert found.state in ("refused", "cancelled", "expired", "waiting"), found.state
    return found.state


def _tried(move: Callable[[], object]) -> None:
    with suppress(Denied):
        move()


def agreed(court: Court, **more: Any) -> int:
    """A request that two agreed to."""
    request = court.ask(**more)
    court.vote("one", request)
    assert court.vote("two", request) == "approved"
    return request


def seal(court: Court, place: Path, key: str) -> None:
    """The login for actions, as the web keeps it."""
    secret = json.dumps({"private_key": key, "passphrase": ""}).encode()
    where = vault.place("credential", court.login, f"{court.login}/x")
    court.ask_database(
        "update credential set kind = 'ssh_key', username = 'root', seal_id = %s, sealed = %s where id = %s",
        f"{court.login}/x", vault.sealer(place / "vault.pub").seal(secret, where), court.login,
    )  # fmt: skip


def kill(court: Court, there: Machine, place: Path, turn: int, stage: str, after: float) -> tuple[str, str]:
    """A poller is killed so many seconds after a step of its work (one of STAGES), and the next one goes on.

    The state it came to, and the last step that stood when it died. Raises AssertionError for a repetition.
    """
    host = court.machine(f"m{turn}")
    with court.owner() as session:
        session.add(HostKey(host_id=host, port=22, key=there.host_key, fingerprint="SHA256:x", state="pinned"))
        session.commit()
    sent = len(there.sudo)
    words = [sys.executable, "-c", POLLER, as_role(court.url, "poller"), str(place / "vault.key")]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "ready\n"
        request = agreed(court, host=host, **NGINX)
        until(lambda: stage in _steps(court, request), pause=0.005)
        time.sleep(after)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
    last = court.ask_database("select code from step where request_id = %s order by id desc limit 1", request)[0][
        "code"
    ]
    time.sleep(0.3)  # what had left arrives
    following = Actions(court.poller_sessions, vault.opener(place / "vault.key"), None, lambda host: None, QUICK)

    async def go_on() -> None:
        await following.open()
        await following.serve()
        await following.idle()

    asyncio.run(go_on())
    found, orders = court.request(request), len(there.sudo) - sent
    assert found.state in ("done", "unknown", "failed"), found.state
    assert orders <= 1, "an order was sent again"
    if found.state == "failed":
        assert orders == 0, "failed tells that nothing was sent"
    if found.state == "done":
        assert orders == 1
    return found.state, last


def _steps(court: Court, request: int) -> list[str]:
    rows = court.ask_database("select code from step where request_id = %s order by id", request)
    return [row["code"] for row in rows]


def kill_at(court: Court, place: Path, moment: Callable[[int], object], following: Actions, **asked: Any) -> int:
    """A poller is killed at a moment of a request that two agreed to, and the next one goes on; the request's id."""
    words = [sys.executable, "-c", POLLER, as_role(court.url, "poller"), str(place / "vault.key")]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "ready\n"
        request = agreed(court, **asked)
        until(lambda: moment(request), pause=0.005)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()

    async def go_on() -> None:
        await following.open()
        await following.serve()
        await following.idle()

    asyncio.run(go_on())
    return request


def main() -> None:
    """Print what came of it."""
    reader = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    reader.add_argument("--races", type=int, default=1000)
    reader.add_argument("--kills", type=int, default=200)
    reader.add_argument("--seed", type=int, default=1)
    given = reader.parse_args()
    place = Path(tempfile.mkdtemp(prefix="pantau-contest-"))
    place.chmod(0o755)
    cluster = postgres.prepare(place / "data", None, None, lambda _: None)
    server = postgres.run(cluster)
    try:
        postgres.wait_ready(cluster, server, lambda _: None)
        postgres.admit(cluster)
        migrate.upgrade(database.engine(cluster.url))
        with machine("nginx.service") as there:
            court = settle(cluster.url, there, place)
            contest(court, there, place, given)
            court.close()
    finally:
        postgres.shut_down(server)
        shutil.rmtree(place, ignore_errors=True)


def settle(url: str, there: Machine, place: Path) -> Court:
    """A court at this machine, with the login for actions sealed as the web seals it."""
    there.systemctl("start", "nginx.service")
    court = Court(url, there.address, there.port)
    vault.create(place / "vault.key", place / "vault.pub")
    seal(court, place, there.key)
    return court


def contest(court: Court, there: Machine, place: Path, given: argparse.Namespace) -> None:
    """All races, then all kills."""
    chance, done = random.Random(given.seed), Counter[int]()
    began = time.monotonic()
    ends = Counter(race(court, turn, chance, done) for turn in range(given.races))
    took = time.monotonic() - began
    print(f"{given.races} races of 8 in {took:.0f} s: {dict(ends)}; {sum(done.values())} taken, none twice")
    states, stages = Counter[str](), Counter[str]()
    for turn in range(given.kills):
        state, stage = kill(court, there, place, given.races + turn, chance.choice(STAGES), chance.uniform(0, 0.2))
        states[state] += 1
        stages[stage] += 1
    print(f"{given.kills} kills: {dict(states)}, none repeated; the last step when it died: {dict(stages)}")


if __name__ == "__main__":
    main()
