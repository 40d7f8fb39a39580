"""The queue of deliveries: at most one job a route waits in it, and wakes whoever sends to that route.

A job carries no message. What is to be told stands in `delivery`; the job is the word that there is something, kept by
PostgreSQL in the same transaction. Jobs of one route never run side by side, so its messages keep their order.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Collection, Mapping
from datetime import datetime
from typing import Any

import procrastinate
from procrastinate import PsycopgConnector, SyncPsycopgConnector
from procrastinate.jobs import Status
from psycopg import Connection
from psycopg.rows import dict_row

TASK = "send"
SEATS = 20
"""Connections of the queue at most: one a channel to listen, and some to fetch and finish."""
POLL = 2.0
"""Seconds between two looks for work that was put off; new work wakes a worker at once."""


def application(url: str, send: Callable[[int], Awaitable[None]]) -> procrastinate.App:
    """The queue on the database at `url`; `send(route)` does the work of a job."""
    app = procrastinate.App(connector=PsycopgConnector(conninfo=url, min_size=1, max_size=SEATS, kwargs=_OPTIONS))

    @app.task(name=TASK)
    async def work(route: int) -> None:
        await send(route)

    return app


_OPTIONS = {"application_name": "pantau queue", "connect_timeout": 5}


class Waker:
    """Puts the jobs of routes into the queue, on the caller's connection and in its transaction."""

    def __init__(self) -> None:
        self._app = procrastinate.App(
            connector=SyncPsycopgConnector()
        )  # never opened: it writes on others' connections

    def wake(self, connection: Connection[Any], routes: Mapping[int, datetime]) -> None:
        """Have each route sent to at its moment, or earlier where it was to be earlier. The routes are locked meanwhile."""
        if not routes:
            return
        with connection.cursor(row_factory=dict_row) as cursor:
            found = cursor.execute(
                "select id, channel_id from route where id = any(%s) order by id for no key update", [sorted(routes)]
            ).fetchall()
            earlier = cursor.execute(
                "delete from procrastinate_jobs where status = 'todo' and queueing_lock = any(%s)"
                " returning queueing_lock, coalesce(scheduled_at, now()) as at",
                [[lock(route) for route in routes]],
            ).fetchall()
        known = {row["queueing_lock"]: row["at"] for row in earlier}
        for row in found:
            name, at = lock(row["id"]), routes[row["id"]]
            at = min(at, known.get(name, at))
            self._app.configure_task(
                TASK,
                queue=name_of(row["channel_id"]),
                lock=name,
                queueing_lock=name,
                schedule_at=at,
                connection=connection,
            ).defer(route=row["id"])


def name_of(channel: int) -> str:
    """The queue of a channel: each has its own workers, so that a slow one delays no other."""
    return f"channel:{channel}"


def lock(route: int) -> str:
    """The name under which one job at a time works on a route."""
    return f"route:{route}"


class Recovery:
    """Takes work that nobody does out of the queue; `sweep` puts it in again.

    This process is the only one that sends (it holds the lock), so whatever is under way in the queue and not here is
    the work of a dead process, or of one of ours that could not say that it ended. It must be seen so twice: a job
    that was fetched a moment ago has not begun yet. It cannot go back as it is: another job of its route may wait.
    """

    def __init__(self, app: procrastinate.App, running: Collection[int]) -> None:
        self._app, self._running = app, running
        self._suspects: set[int] = set()

    async def look(self, at_once: bool = False) -> int:
        """One look; with `at_once` (nothing can have begun here yet) without a second one. How much was taken out."""
        manager = self._app.job_manager
        jobs = {
            job.id: job
            for job in await manager.list_jobs_async(status=Status.DOING.value)
            if job.id is not None and job.task_kwargs.get("route") not in self._running
        }
        lost = [job for id, job in jobs.items() if at_once or id in self._suspects]
        self._suspects = set(jobs)
        for job in lost:
            with contextlib.suppress(procrastinate.exceptions.ConnectorException):  # it ended just now
                await manager.finish_job(job, Status.FAILED, delete_job=True)
        return len(lost)


def sweep(connection: Connection[Any], waker: Waker, now: datetime) -> int:
    """Wake routes for which something is due and no job waits: the net under all the other rules."""
    with connection.transaction(), connection.cursor() as cursor:
        found = cursor.execute(
            "select d.route_id from delivery d where d.state in ('waiting', 'sending') and d.route_id is not null"
            " group by d.route_id having (array_agg(d.due_at order by d.id))[1] <= %s"
            " and not exists (select from procrastinate_jobs j where j.queueing_lock = 'route:' || d.route_id"
            " and j.status in ('todo', 'doing'))",
            [now],
        ).fetchall()
        waker.wake(connection, {row[0]: now for row in found})
        return len(found)
