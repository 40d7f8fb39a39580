"""Turns each notice into one delivery a receiver: notices, deliveries, later rungs and the jobs that carry them commit together.

Whoever has something to tell inserts a notice in the transaction of what it is about; so no change is without its notice,
and no notice is ever routed twice or not at all, whatever is killed in between.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from psycopg import Connection, Cursor
from psycopg.rows import dict_row

from domain.audience import WATCHING, Machine, Told, deciding, ladder, receivers, severity_of
from domain.lasttold import stands
from notifier.house import USABLE, house
from notifier.queue import Waker

Row = dict[str, Any]
AT_ONCE = 200
"""Notices routed in one transaction."""
SETTLE = timedelta(seconds=2)
"""A message waits so long for what comes with it: the first three of a thousand must not go out by themselves."""


def turn(connection: Connection[Any], waker: Waker, now: datetime) -> int:
    """One transaction: what is new is routed, what is due is escalated. How much there was; the caller repeats."""
    with connection.transaction(), connection.cursor(row_factory=dict_row) as cursor:
        notices = cursor.execute(
            "select n.*, h.division_id, h.site_id from notice n left join host h on h.id = n.host_id"
            " where n.routed_at is null order by n.id limit %s for update of n skip locked",
            [AT_ONCE],
        ).fetchall()
        due = cursor.execute(
            "select e.*, n.subject, n.state, n.kind, n.incident_id, n.host_id, h.division_id, h.site_id"
            " from escalation e join notice n on n.id = e.notice_id left join host h on h.id = n.host_id"
            " where e.done_at is null and e.due_at <= %s order by e.id limit %s for update of e skip locked",
            [now, AT_ONCE],
        ).fetchall()
        if not notices and not due:
            return 0
        fan = _Fan(cursor, now, [row["host_id"] for row in (*notices, *due) if row["host_id"]])
        for notice in notices:
            fan.notice(notice)
        for row in due:
            fan.escalation(row)
        cursor.execute("update notice set routed_at = %s where id = any(%s)", [now, [row["id"] for row in notices]])
        woken = fan.write()
        waker.wake(connection, dict.fromkeys(woken, now + SETTLE))
        return len(notices) + len(due)


class _Fan:
    """The deliveries of one transaction."""

    def __init__(self, cursor: Cursor[Any], now: datetime, hosts: Sequence[int]) -> None:
        self._cursor, self._now = cursor, now
        self._house = house(cursor, now)
        self._groups: dict[int, set[int]] = defaultdict(set)
        for row in cursor.execute(
            "select host_id, group_id from host_in_group where host_id = any(%s)", [list(set(hosts))]
        ).fetchall():
            self._groups[row["host_id"]].add(row["group_id"])
        self._mail: set[int] = set()
        self._of: dict[int, list[int]] = defaultdict(list)
        for row in cursor.execute(
            "select r.id, r.person_id, c.kind from route r join channel c on c.id = r.channel_id"  # noqa: S608 - our own words
            f" join person p on p.id = r.person_id where {USABLE} order by r.id"
        ).fetchall():
            self._of[row["person_id"]].append(row["id"])
            if row["kind"] == "email":
                self._mail.add(row["id"])
        self._deliveries: list[tuple[int, int, int]] = []
        self._told: dict[str, set[int]] = defaultdict(set)  # routes told of a subject in this very transaction

    def notice(self, row: Row) -> None:
        """Whom it goes to at once, and the later rungs of its ladder."""
        if row["kind"] == "job" and row["state"] == "report":  # it is read, not glanced at
            self._add(
                row["id"], row["subject"], [], [one for one in self._of[row["person_id"]] if one in self._mail], 0
            )
            return
        if row["person_id"] is not None:
            self._add(row["id"], row["subject"], [row["person_id"]], [], 0)
            return
        if not stands(row["kind"], row["state"]):
            self._good_news(row)
            return
        if row["kind"] == "reminder":
            self._again(row)
            return
        machine = self._machine(row)
        policy = (
            WATCHING if row["admins_only"] else deciding(self._house, machine, severity_of(row["state"]), self._now)
        )
        rungs = ladder(self._house, policy, machine, self._now)
        for number, rung in enumerate(rungs):
            if rung.after <= 0:
                self._add(row["id"], row["subject"], rung.persons, rung.routes, number)
            else:
                self._later(row["id"], number, rung)

    def escalation(self, row: Row) -> None:
        """A later rung: told unless somebody has it in hand, it is over, or nobody is to be told (R11, R17)."""
        why = self._settled(row)
        if not why:
            persons, routes, _ = receivers(self._house, row["receivers"], self._machine(row), self._now)
            self._add(row["notice_id"], row["subject"], persons, routes, row["step"])
            why = "told" if persons or routes else "nobody there to tell"
        self._cursor.execute(
            "update escalation set done_at = %s, outcome = %s where id = %s", [self._now, why, row["id"]]
        )

    def write(self) -> set[int]:
        """Insert the deliveries; the routes concerned."""
        if not self._deliveries:
            return set()
        notices, routes, steps = zip(*self._deliveries, strict=True)
        self._cursor.execute(
            "insert into delivery (notice_id, route_id, person_id, channel_id, step, made_at, due_at)"
            " select x.notice, r.id, r.person_id, r.channel_id, x.step, %(now)s, %(due)s"
            " from unnest(%(notices)s::bigint[], %(routes)s::int[], %(steps)s::smallint[])"
            " with ordinality as x(notice, route, step, place) join route r on r.id = x.route order by x.place"
            " on conflict (notice_id, route_id) do nothing",
            {
                "now": self._now, "due": self._now + SETTLE, "notices": list(notices), "routes": list(routes),
                "steps": list(steps),
            },
        )  # fmt: skip
        return set(routes)

    def _good_news(self, row: Row) -> None:
        """For whoever was told of the trouble, or still waits to be: the last-told rule decides at the door (R12)."""
        found = self._cursor.execute(
            "select m.route_id from mark m where m.subject = %(subject)s union"
            " select d.route_id from delivery d join notice n on n.id = d.notice_id"
            " where d.state in ('waiting', 'sending') and n.subject = %(subject)s and d.route_id is not null",
            {"subject": row["subject"]},
        ).fetchall()
        told = {one["route_id"] for one in found} | self._told[row["subject"]]
        self._deliveries += [(row["id"], route, 0) for route in sorted(told)]
        self._cursor.execute(
            "update escalation e set done_at = %s, outcome = 'over' from notice n"
            " where n.id = e.notice_id and e.done_at is null and n.subject = %s and n.id < %s",
            [self._now, row["subject"], row["id"]],
        )

    def _again(self, row: Row) -> None:
        """A reminder goes to those who were told."""
        found = self._cursor.execute("select route_id from mark where subject = %s", [row["subject"]]).fetchall()
        self._deliveries += [(row["id"], one["route_id"], 0) for one in found]

    def _machine(self, row: Row) -> Machine:
        host = row["host_id"]
        return Machine(row["division_id"], row["site_id"], frozenset(self._groups[host]) if host else frozenset())

    def _add(self, notice: int, subject: str, persons: Iterable[int], routes: Iterable[int], step: int) -> None:
        ways = [*(route for person in sorted(persons) for route in self._of[person]), *sorted(routes)]
        self._deliveries += [(notice, route, step) for route in ways]
        self._told[subject].update(ways)

    def _later(self, notice: int, number: int, rung: Told) -> None:
        names = [*(f"person:{id}" for id in rung.persons), *(f"route:{id}" for id in rung.routes)]
        if not names:
            return
        self._cursor.execute(
            "insert into escalation (notice_id, step, receivers, due_at) values (%s, %s, %s, %s) on conflict do nothing",
            [notice, number, names, self._now + timedelta(seconds=rung.after)],
        )

    def _settled(self, row: Row) -> str:
        """Why the rung need not be told; empty where it must be."""
        found = self._cursor.execute(
            "select closed_at is not null as over, acknowledged_at is not null"
            " and (acknowledged_until is null or acknowledged_until > %(now)s) as in_hand,"
            " exists (select from state_interval s where s.subject = 'maintenance:' || %(host)s::text"
            " and s.until is null and s.state = 'maintenance') as silent from incident where id = %(incident)s",
            {"now": self._now, "incident": row["incident_id"], "host": row["host_id"]},
        ).fetchone()
        if found is None:
            return ""
        return "over" if found["over"] else "in hand" if found["in_hand"] else "maintenance" if found["silent"] else ""
