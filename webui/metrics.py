"""/metrics: Pantau told to Prometheus (text format 0.0.4): what watching costs, and whether the watching works."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Any

from flask import Blueprint, Response, current_app
from sqlalchemy import func, select, text

from domain.clock import now
from domain.inventory import Host
from domain.records import Heartbeat, Incident
from domain.requests import Look
from webui import access, costs, store, watched

blueprint = Blueprint("metrics", __name__)

TYPE = "text/plain; version=0.0.4; charset=utf-8"
LABEL = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})
Sample = tuple[dict[str, str], float]

POLLER = (
    ("rounds", "pantau_poller_rounds", "gauge", "Rounds of the last five minutes.", 1.0),
    ("late_p50", "pantau_poller_late_seconds_p50", "gauge", "How late rounds began in the last five minutes, median.", 1.0),
    ("late_p99", "pantau_poller_late_seconds_p99", "gauge", "How late rounds began, 99th percentile.", 1.0),
    ("late_max", "pantau_poller_late_seconds_max", "gauge", "How late rounds began, worst.", 1.0),
    ("looks", "pantau_poller_looks_total", "counter", "Looks made since the poller started.", 1.0),
    ("written", "pantau_poller_samples_written_total", "counter", "Looks written since the poller started.", 1.0),
    ("overlapped", "pantau_poller_rounds_skipped_total", "counter", "Rounds skipped because the last one was not over.", 1.0),
    ("cpu", "pantau_poller_cpu_ratio", "gauge", "Share of one core the poller uses.", 1.0),
    ("memory_mib", "pantau_poller_memory_bytes", "gauge", "Memory of the poller.", 2.0**20),
)  # fmt: skip
"""Key of the poller's heartbeat, name, type, help, factor."""
CHECK = (
    ("looks", "pantau_check_looks_total", "Looks made."),
    ("failed", "pantau_check_failures_total", "Looks that brought no values."),
    ("took", "pantau_check_duration_seconds_total", "How long looks lasted."),
    ("cpu", "pantau_check_cpu_seconds_total", "Processor time of Pantau's machine used by looks."),
    ("sent", "pantau_check_sent_bytes_total", "Bytes sent by looks."),
    ("received", "pantau_check_received_bytes_total", "Bytes received by looks."),
    ("their_cpu", "pantau_check_target_cpu_seconds_total", "Processor time looks used on the watched machine, where it can be told."),
    ("their_processes", "pantau_check_target_processes_total", "Processes started there during looks, where it can be told."),
)  # fmt: skip
"""Attribute of webui.costs.Sums, name, help."""


@blueprint.get("/metrics")
@access.scraper
def metrics() -> Response:
    """Everything, made anew for each scrape."""
    began = time.perf_counter()
    lines = [*_house(), *_web(), *_checks()]
    lines += _told("pantau_scrape_seconds", "gauge", "Time to make this page.", [({}, time.perf_counter() - began)])
    answer = Response("\n".join(lines) + "\n", content_type=TYPE)
    answer.headers["Cache-Control"] = "no-store"
    return answer


def _house() -> Iterator[str]:
    """The poller, the machines it watches, and what waits."""
    database, moment = store.session(), now()
    beats = list(database.scalars(select(Heartbeat).where(Heartbeat.role.like("poller%"))))
    ages = [({"role": beat.role}, (moment - beat.at).total_seconds()) for beat in beats]
    yield from _told("pantau_heartbeat_age_seconds", "gauge", "Since when the poller has said nothing.", ages)
    for key, name, kind, about, factor in POLLER:
        rows = [({"role": one.role}, float(one.data[key]) * factor) for one in beats if _number(one.data.get(key))]
        yield from _told(name, kind, about, rows)
    away = [({"role": one.role}, float(one.data.get("away_since") is not None)) for one in beats]
    yield from _told("pantau_poller_database_away", "gauge", "1 while the poller cannot write and spools.", away)
    found = watched.machines(database, Host.id.is_not(None), moment, store.settings().interval)
    counted = watched.counts(found)
    states = [({"state": state}, float(counted.get(state, 0))) for state in watched.WORST_FIRST]
    yield from _told("pantau_machines", "gauge", "Machines by state.", states)
    flags = [({"flag": flag}, float(sum(getattr(one, flag) for one in found))) for flag in ("maintenance", "flapping", "stale")]  # fmt: skip
    yield from _told("pantau_machines_flagged", "gauge", "Machines by what is said beside their state.", flags)
    open_ = dict(
        database.execute(
            select(Incident.state, func.count()).where(Incident.closed_at.is_(None)).group_by(Incident.state)
        ).all()
    )
    rows = [({"state": state}, float(open_.get(state, 0))) for state in ("down", "critical", "warning")]
    yield from _told("pantau_incidents_open", "gauge", "Incidents that are not over.", rows)
    waiting, oldest = database.execute(
        select(func.count(), func.min(Look.asked_at)).where(Look.claimed_at.is_(None), Look.done_at.is_(None))
    ).one()
    yield from _told("pantau_asked_looks_waiting", "gauge", "Looks people asked for that nobody has begun.", [({}, float(waiting))])  # fmt: skip
    lag = (moment - oldest).total_seconds() if oldest else 0.0
    yield from _told("pantau_asked_looks_lag_seconds", "gauge", "How long the oldest of them waits.", [({}, lag)])
    size, connections = database.execute(
        text(
            "select pg_database_size(current_database()),"
            " (select count(*) from pg_stat_activity where datname = current_database())"
        )
    ).one()
    yield from _told("pantau_database_bytes", "gauge", "Size of the database.", [({}, float(size))])
    yield from _told("pantau_database_connections", "gauge", "Connections to it.", [({}, float(connections))])


def _web() -> Iterator[str]:
    """The web process that answers this."""
    pool = current_app.extensions["sessions"].kw["bind"].pool
    taken: Any = getattr(pool, "checkedout", lambda: 0)
    size: Any = getattr(pool, "size", lambda: 0)
    hub = current_app.extensions["hub"]
    rows = (
        ("pantau_web_pool_connections", "gauge", "Database connections of this web process in use.", float(taken())),
        ("pantau_web_pool_size", "gauge", "Database connections this web process keeps.", float(size())),
        ("pantau_web_streams", "gauge", "Live pages served by this web process.", float(hub.listening)),
        ("pantau_web_cpu_seconds_total", "counter", "Processor time of this web process.", time.process_time()),
    )  # fmt: skip
    for name, kind, about, amount in rows:
        yield from _told(name, kind, about, [({}, amount)])


def _checks() -> Iterator[str]:
    """What each check took since it was made."""
    found = costs.in_all()
    labels = [{"machine": host, "check": check, "kind": kind} for host, check, kind, _, _ in found]
    for key, name, about in CHECK:
        theirs = key.startswith("their_")
        rows = [
            (label, float(getattr(row[3], key)))
            for label, row in zip(labels, found, strict=True)
            if not theirs or row[3].told
        ]
        yield from _told(name, "counter", about, rows)
    late = [(label, float(row[4])) for label, row in zip(labels, found, strict=True)]
    yield from _told("pantau_check_late_seconds_total", "counter", "How late looks began.", late)


def _told(name: str, kind: str, about: str, samples: Iterable[Sample]) -> Iterator[str]:
    yield f"# HELP {name} {about}"
    yield f"# TYPE {name} {kind}"
    for labels, amount in samples:
        words = ",".join(f'{key}="{value.translate(LABEL)}"' for key, value in labels.items())
        yield f"{name}{{{words}}} {amount:.10g}" if words else f"{name} {amount:.10g}"


def _number(told: Any) -> bool:
    return isinstance(told, int | float) and not isinstance(told, bool)
