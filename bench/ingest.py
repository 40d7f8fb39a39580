#!/usr/bin/env python3
"""The recorder beside plain ORM rows: samples written per CPU second (ours and the server's), and bytes a sample.

    python bench/ingest.py [--checks 1000] [--rounds 20] [--values 12]

Starts a PostgreSQL of its own in a temporary directory. The recorder does its whole work (rules, newest rows,
notifications, one transaction a page); the ORM only inserts one row a value, as the obvious table would have it.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from sqlalchemy import BigInteger, Engine, text
from sqlalchemy.orm import Mapped, Session, mapped_column

from config import database, migrate, postgres
from domain.clock import Steady
from domain.health import Policy
from domain.reading import Measure, Reading
from domain.table import Table
from poller.lanes import Seen
from poller.plan import CheckPlan, HostPlan, Plan
from poller.recorder import Recorder
from poller.round import CheckSeen, Round
from poller.spool import Spool
from probes import catalogue


class Naive(Table):
    """One row a value: what everybody writes first."""

    __tablename__ = "naive"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    check_id: Mapped[int]
    ts: Mapped[datetime]
    name: Mapped[str]
    value: Mapped[float]


def server_cpu(cluster: postgres.Cluster) -> float:
    """CPU seconds of every process of the server, ended ones included."""
    pid = int((cluster.directory / "postmaster.pid").read_text().split()[0])
    total = 0
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if entry.name == str(pid):
                total += sum(int(fields[i]) for i in (11, 12, 13, 14))
            elif fields[1] == str(pid):
                total += int(fields[11]) + int(fields[12])
    return total / 100


def checks(engine: Engine, count: int) -> Plan:
    """`count` hosts with one check each, in the database and as a plan."""
    probe, hosts = catalogue()["icmp"], {}
    with engine.begin() as connection:
        connection.execute(
            text("insert into host (name, address) select 'h' || i, '192.0.2.1' from generate_series(1, :n) i"),
            {"n": count},
        )
        connection.execute(text("insert into host_check (host_id, kind, name) select id, 'icmp', 'ping' from host"))
        for check_id, host_id in connection.execute(text("select id, host_id from host_check")):
            check = CheckPlan(check_id, host_id, "icmp", "ping", probe, probe.options(), None, None, 60, 10, True)
            hosts[host_id] = HostPlan(host_id, f"h{host_id}", "192.0.2.1", Policy(), (check,))
    return Plan(hosts)


def rounds(plan: Plan, steady: Steady, values: int, number: int) -> list[Round]:
    """One round of every host, a minute after the last."""
    made, start = [], steady.now() + number * 60
    for host in plan.hosts.values():
        measures = tuple(Measure(f"m{i}", host.id + i + number / 7) for i in range(values))
        seen = Seen(Reading(measures, at=steady.utc(start), took=0.01), start, start + 0.01)
        made.append(Round(host, (CheckSeen(host.checks[0], seen),), "ok", 0.0))
    return made


async def record(url: str, spool: Path, plan: Plan, values: int, count: int) -> tuple[float, float]:
    """(our CPU seconds, wall seconds) for `count` rounds of every host."""
    steady = Steady()
    recorder = Recorder(url, 1, Spool(spool, 1 << 30), steady)
    await recorder.open()
    recorder.reconcile(plan)
    await recorder.flush()
    prepared = [rounds(plan, steady, values, number) for number in range(count)]
    cpu, wall = time.process_time(), time.monotonic()
    for batch in prepared:
        for one in batch:
            recorder.add(one)
        await recorder.flush()
    used = time.process_time() - cpu, time.monotonic() - wall
    await recorder.close()
    return used


def naive(engine: Engine, plan: Plan, values: int, count: int) -> tuple[float, float]:
    """The same samples as ORM rows, one transaction a round."""
    cpu, wall = time.process_time(), time.monotonic()
    for number in range(count):
        with Session(engine) as session:
            at = datetime.now(UTC)
            session.add_all(
                Naive(check_id=host.checks[0].id, ts=at, name=f"m{i}", value=host.id + i + number / 7)
                for host in plan.hosts.values()
                for i in range(values)
            )
            session.commit()
    return time.process_time() - cpu, time.monotonic() - wall


def size(engine: Engine, name: str) -> int:
    with engine.connect() as connection:
        found: Any = connection.execute(
            text(
                "select coalesce(sum(pg_total_relation_size(relid)), pg_total_relation_size(cast(:n as regclass)))::bigint from pg_partition_tree(cast(:n as regclass))"
            ),
            {"n": name},
        ).scalar_one()
    return int(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checks", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--values", type=int, default=12)
    chosen = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="pantau-bench-"))
    directory.chmod(0o755)
    cluster = postgres.prepare(directory / "data", None, None, lambda said: None)
    server = postgres.run(cluster)
    try:
        postgres.wait_ready(cluster, server, lambda said: None)
        engine = database.engine(cluster.url)
        migrate.upgrade(engine)
        Naive.__table__.create(engine)  # type: ignore[attr-defined]
        plan = checks(engine, chosen.checks)
        samples = chosen.checks * chosen.rounds * chosen.values
        orm_rounds = max(1, chosen.rounds // 10)
        before = server_cpu(cluster)
        cpu, wall = asyncio.run(record(cluster.url, directory / "spool", plan, chosen.values, chosen.rounds))
        middle = server_cpu(cluster)
        orm_cpu, orm_wall = naive(engine, plan, chosen.values, orm_rounds)
        after = server_cpu(cluster)
        orm_samples = chosen.checks * orm_rounds * chosen.values
        ours, theirs = samples / (cpu + middle - before), orm_samples / (orm_cpu + after - middle)
        our_size, their_size = size(engine, "raw") / samples, size(engine, "naive") / orm_samples
        print(f"{samples} samples by the recorder, {orm_samples} as ORM rows; CPU is ours + PostgreSQL's")
        print(
            f"recorder  {samples / cpu:>12,.0f} samples/CPU s ours   {ours:>12,.0f} both   {our_size:6.1f} bytes a sample   {wall:6.2f} s"
        )
        print(
            f"ORM rows  {orm_samples / orm_cpu:>12,.0f} samples/CPU s ours   {theirs:>12,.0f} both   {their_size:6.1f} bytes a sample   {orm_wall:6.2f} s"
        )
        print(
            f"ratio     {(samples / cpu) / (orm_samples / orm_cpu):>12.1f} x                  {ours / theirs:>12.1f} x      {our_size / their_size:6.2f} x"
        )
        engine.dispose()
    finally:
        postgres.shut_down(server)
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
