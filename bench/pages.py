#!/usr/bin/env python3
"""The page of a machine with very many measures, beside one with a tenth of them: time, statements and bytes.

    python bench/pages.py [--looks 8640]

A day of looks every ten seconds, ten measures a port, on an embedded PostgreSQL of its own.
"""

from __future__ import annotations

import argparse
import gzip
import shutil
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from sqlalchemy import event, text

from config import database, migrate, postgres
from config.settings import Settings
from domain.clock import now
from domain.inventory import Person
from tests.webui import estate
from tests.webui.cast import PASSWORD, Town, Visitor
from webui import create_app, passwords

PATHS = ("?range=24h", "?range=1h", "?range=7d", "/parts/network", "/parts/network/curves?of=Gi1/0/5")
ROUNDS = 5


def main() -> None:
    """Print a table."""
    reader = argparse.ArgumentParser(description=__doc__)
    reader.add_argument("--looks", type=int, default=8640)
    looks = reader.parse_args().looks
    place = Path(tempfile.mkdtemp(prefix="pantau-pages-"))
    place.chmod(0o755)
    cluster = postgres.prepare(place / "data", None, None, lambda _: None)
    server = postgres.run(cluster)
    try:
        postgres.wait_ready(cluster, server, lambda _: None)
        measure(cluster.url.replace("///pantau?", "///postgres?", 1), place, looks)
    finally:
        postgres.shut_down(server)
        shutil.rmtree(place, ignore_errors=True)


def measure(url: str, place: Path, looks: int) -> None:
    """Two switches, the same pages of each."""
    engine = database.engine(url)
    migrate.upgrade(engine)
    with database.sessions(engine)() as session:
        session.add(Person(login="rina", name="Rina", password_hash=passwords.digest(PASSWORD), role="admin"))
        today = now().date()
        session.execute(text(f"create table raw_bench partition of raw for values from ('2000-01-01') to ('{today.year + 1}-01-01')"))  # fmt: skip
        session.commit()
        town = Town(session, now())
        hosts = [estate.machine(town, f"sw-{n}", "10.0.0.2", "snmp", estate.ports(n), 1, 3000) for n in (10, 100)]
        for host in hosts:
            session.execute(
                text(
                    "insert into raw (check_id, ts, set_id, state, v) select check_id, now() - make_interval(secs => g * 10),"
                    " set_id, state, v from (select * from raw where check_id = :check limit 1) as one,"
                    " generate_series(1, :looks) as g"
                ),
                {"check": host.checks[0].id, "looks": looks},
            )
        session.commit()
        session.execute(text("analyze raw"))
        session.commit()
        numbers = [host.id for host in hosts]
    rina = Visitor(create_app(Settings(data=place), engine).test_client())
    rina.login("rina")
    counted = [0]
    event.listen(engine, "before_cursor_execute", lambda *_: counted.__setitem__(0, counted[0] + 1))
    print(f"{'page':38} {'100 measures':>26} {'1000 measures':>26}")
    for path in PATHS:
        told = []
        for number in numbers:
            best, body = 1e9, b""
            for _ in range(ROUNDS):
                counted[0], begun = 0, time.perf_counter()
                answer = rina.get(f"/machines/{number}{path}")
                assert answer.status_code == 200
                best, body = min(best, time.perf_counter() - begun), answer.data
            told.append(f"{best * 1000:5.0f} ms {counted[0]:3} st. {len(gzip.compress(body)) / 1024:5.1f} KiB")
        print(f"{path:38} {told[0]:>26} {told[1]:>26}")
    engine.dispose()


if __name__ == "__main__":
    main()
