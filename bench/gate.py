"""Whether time tells what the pages do not: another division's things beside things that do not exist.

Each address with something of a division in it is asked in turns, for the other division's and for a number nobody has, by
somebody in charge of the first; printed is the largest difference of the two medians (goal: 5 ms), and what the second
lock costs (row-level security, for somebody in charge of one of two divisions of 1000 machines each).
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from flask import Flask
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from config import database, migrate, postgres, webkey
from config.settings import Settings
from domain.inventory import Check, Host
from tests.roles import as_role
from tests.webui import test_matrix as matrix
from webui import access, create_app


def main() -> None:
    """Print a table."""
    reader = argparse.ArgumentParser(description=__doc__)
    reader.add_argument("--turns", type=int, default=30)
    turns = reader.parse_args().turns
    place = Path(tempfile.mkdtemp(prefix="pantau-gate-"))
    place.chmod(0o755)
    cluster = postgres.prepare(place / "data", None, None, lambda _: None)
    server = postgres.run(cluster)
    try:
        postgres.wait_ready(cluster, server, lambda _: None)
        postgres.admit(cluster)
        owner, web = database.engine(cluster.url), database.engine(as_role(cluster.url, "web"))
        migrate.upgrade(owner)
        with database.sessions(owner)() as session:
            town = matrix.settle(session)
            webkey.create(place / "web.key")
            app = create_app(Settings(data=place), web)
            compare(app, session, town, turns)
            fill(session, town)
            cost(session, town, owner, web, place)
    finally:
        postgres.shut_down(server)
        shutil.rmtree(place, ignore_errors=True)


def compare(app: Flask, session: Session, town: matrix.Town, turns: int) -> None:
    """Every address, foreign and missing in turns."""
    visitor = matrix.enter(app, session, town.people["pic"])
    token = matrix.token_of(visitor)
    worst: list[tuple[float, str]] = []
    for rule, method, declared in matrix.addresses(app):
        if not rule.arguments - set(matrix.PLAIN) or declared == access.PUBLIC:
            continue
        took: dict[str, list[float]] = {"foreign": [], "missing": []}
        for _ in range(turns):
            for name, of in (("foreign", "B"), ("missing", "nowhere")):
                began = time.perf_counter()
                matrix.send(visitor, method, matrix.path_of(rule, town.of[of]), token)
                took[name].append(time.perf_counter() - began)
        apart = abs(statistics.median(took["foreign"]) - statistics.median(took["missing"]))
        worst.append((apart, f"{method} {rule.rule}"))
    worst.sort(reverse=True)
    print(f"{len(worst)} addresses, {turns} turns each; median apart by at most {worst[0][0] * 1000:.2f} ms (goal: 5)")
    for apart, name in worst[:5]:
        print(f"  {apart * 1000:6.2f} ms  {name}")


def fill(session: Session, town: matrix.Town) -> None:
    """A thousand machines more in each division."""
    for of in ("A", "B"):
        for number in range(1000):
            host = Host(name=f"{of}-{number:04}", address="10.0.0.9", division_id=int(town.of[of]["division_id"]))
            host.checks.append(Check(kind="icmp", name="ping"))
            session.add(host)
    session.commit()


def cost(session: Session, town: matrix.Town, owner: Engine, web: Engine, place: Path) -> None:
    """The list of machines by both users of the database, in turns."""
    paths = ("/", "/machines", f"/machines/{town.of['A']['host_id']}")
    apps = {"without": create_app(Settings(data=place), owner), "with": create_app(Settings(data=place), web)}
    for who in ("pic", "admin"):
        asks: dict[str, Callable[[str], object]] = {
            name: matrix.enter(app, session, town.people[who]).get for name, app in apps.items()
        }
        for path in paths:
            took: dict[str, list[float]] = {name: [] for name in asks}
            for _ in range(15):
                for name, ask in asks.items():
                    began = time.perf_counter()
                    ask(path)
                    took[name].append(time.perf_counter() - began)
            plain, locked = (statistics.median(took[name]) for name in ("without", "with"))
            print(
                f"{who:6} {path:16} {plain * 1000:7.1f} ms without, {locked * 1000:7.1f} ms with: {locked / plain:.2f}"
            )


if __name__ == "__main__":
    main()
