"""What the audit costs: rows a second into the chain, alone and beside others, edits that write rows by themselves, and
how fast the whole chain is read and computed again. `python -m bench.audit [rows]`."""

from __future__ import annotations

import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

import psycopg

from config import database, migrate, postgres
from domain import audit


def main(rows: int) -> None:
    """A server of its own, then everything in turn."""
    directory = Path(tempfile.mkdtemp(prefix="pantau-bench-"))
    directory.chmod(0o755)
    cluster = postgres.prepare(directory / "data", None, None, lambda text: None)
    server = postgres.run(cluster)
    try:
        postgres.wait_ready(cluster, server, lambda text: None)
        url = database.url(None, cluster.sockets)
        engine = database.engine(url)
        migrate.upgrade(engine)
        engine.dispose()
        _measure(url, rows)
    finally:
        postgres.shut_down(server)


def _measure(url: str, rows: int) -> None:
    with psycopg.connect(url) as connection:
        took = []
        for n in range(300):
            began = time.perf_counter()
            audit.write(connection, "login", on=f"person:{n}", detail={"how": "password"})
            connection.commit()
            took.append(time.perf_counter() - began)
        print(
            f"one row a transaction: median {statistics.median(took) * 1000:.2f} ms, p95 {sorted(took)[285] * 1000:.2f} ms"
        )
        began = time.perf_counter()
        for n in range(rows):
            audit.write(connection, "thing.done", on=f"thing:{n}", detail={"n": n, "said": "some words of it"})
        connection.commit()
        each = (time.perf_counter() - began) / rows
        print(f"rows in one transaction: {each * 1e6:.0f} us a row, {1 / each:.0f} a second")
        began = time.perf_counter()
        connection.execute(
            "insert into host (name, address) select 'h' || n, '192.0.2.1' from generate_series(1, 2000) n"
        )
        connection.execute("set constraints all immediate")
        with_rows = time.perf_counter() - began
        connection.commit()
        connection.execute("alter table host disable trigger audit")
        began = time.perf_counter()
        connection.execute(
            "insert into host (name, address) select 'x' || n, '192.0.2.1' from generate_series(1, 2000) n"
        )
        without = time.perf_counter() - began
        connection.rollback()
        print(f"2000 machines in one statement: {with_rows:.2f} s with their rows, {without:.2f} s without")
    _beside(url)
    with psycopg.connect(url) as connection:
        began = time.perf_counter()
        found = audit.verify(connection)
        took_whole = time.perf_counter() - began
        size = connection.execute("select pg_total_relation_size('audit')").fetchone()
        assert found.broken is None
        assert size
        print(
            f"verify: {found.rows} rows in {took_whole:.2f} s, {found.rows / took_whole:.0f} a second; {size[0] / found.rows:.0f} bytes a row with indexes"
        )


def _beside(url: str, writers: int = 8, each: int = 100) -> None:
    took: list[float] = []

    def work() -> None:
        with psycopg.connect(url) as connection:
            for n in range(each):
                began = time.perf_counter()
                audit.write(connection, "login", on=f"person:{n}")
                connection.commit()
                took.append(time.perf_counter() - began)

    threads = [threading.Thread(target=work) for _ in range(writers)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    whole = time.perf_counter() - began
    print(
        f"{writers} writers beside each other: {writers * each / whole:.0f} a second, p95 {sorted(took)[int(len(took) * 0.95)] * 1000:.1f} ms"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)
