"""Sends what waits for one route: lease, send, mark. At least once, in order, and what needs no telling is not told.

Each message is two small transactions around the sending. A process that dies in between leaves a delivery in `sending`:
the route's next job takes it up again under the same key, so a receiver that had taken it can know the repetition.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

import psycopg
from psycopg import Connection, Cursor
from psycopg.rows import dict_row
from psycopg_pool import ConnectionPool

from domain import clock
from domain.audience import Hours
from domain.chat import HEARS
from domain.lasttold import Lately, Marked, Pending, Plan, Taste, plan, stands
from domain.rights import Right
from notifier import addresses
from notifier.channels.base import Message, Sent, Undelivered
from notifier.errands import reached
from notifier.hands import DEADLINE, PLACE, Hands
from notifier.house import reach
from notifier.queue import Waker

_log = logging.getLogger("notifier")
Row = dict[str, Any]
FIRST, LONGEST = 5.0, 600.0
"""Seconds until the second attempt; doubled for each further one, up to the longest."""
AWAY = 0.5
"""Seconds between two tries to write while PostgreSQL is away."""
GIVE_UP = timedelta(hours=24)
"""What could not be delivered for so long is dead."""
UNMADE = "The message cannot be made; the log says why."
HEARD = HEARS.replace(
    "%(thread)s",
    "(select s.thread_id from message s where s.gone_at is null and s.id = split_part(n.subject, ':', 2)::bigint)",
)
"""SQL: who may read what the notice `n` says somebody is named in."""
OPEN = f"""
select d.id, d.state, d.due_at, d.attempts, d.unsure, d.made_at, n.id as notice_id, n.kind, n.subject, n.state as n_state,
 n.since, n.at, n.incident_id, n.members, i.closed_at is not null as over,
 i.acknowledged_at is not null and i.acknowledged_at > n.at
  and (i.acknowledged_until is null or i.acknowledged_until > now()) as in_hand,
 case when n.kind = 'mention' then r.person_id not in ({HEARD})
 when n.kind = 'job' then not coalesce(({reached("p.id")}), false) else
 p.id is not null and not coalesce({reach(Right.SEE, "h", "p.id")}, false) end as hidden
from delivery d join notice n on n.id = d.notice_id left join incident i on i.id = n.incident_id
join route r on r.id = d.route_id left join person p on p.id = r.person_id left join host h on h.id = n.host_id
where d.route_id = %s and d.state in ('waiting', 'sending') order by d.id for update of d
"""  # noqa: S608 - our own words
ROUTE = f"""
select r.*, r.sealed as address_sealed, {addresses.PLACE}, c.kind, c.options, c.sealed, {PLACE}, c.enabled as channel_on, coalesce(p.active, true) as active,
 coalesce(r.language, p.language) as spoken, coalesce(r.zone, p.zone) as clock
from route r join channel c on c.id = r.channel_id left join person p on p.id = r.person_id where r.id = %s
"""  # noqa: S608 - our own words


class Words(Protocol):
    """Makes the message of some deliveries to one reader."""

    def __call__(self, cursor: Cursor[Any], route: Row, notices: list[int], key: str) -> Message: ...


@dataclass
class Work:
    """One message on its way: `rows` are the deliveries it tells of, the first carries it."""

    route: Row
    rows: list[Row]
    message: Message


@dataclass
class Outbox:
    """Sends to routes. `words` makes the messages, `installation` begins their keys, `zone` is the clock of
    whoever has none, `stopped` ends long waits."""

    pool: ConnectionPool[Connection[Any]]
    waker: Waker
    words: Words
    hands: Hands
    zone: str
    installation: str = ""
    stopped: Callable[[], bool] = lambda: False
    busy: set[int] = field(default_factory=set)
    _mutex: threading.Lock = field(default_factory=threading.Lock)

    def send(self, route: int) -> None:
        """Everything that is due for `route`, in order. Returns when there is no more, or when it must wait.

        `busy` holds the routes that are being sent to: a thread that outlives its job (PostgreSQL went away) still has
        its message in hand, and nobody else may begin with that route.
        """
        with self._mutex:
            if route in self.busy:
                return
            self.busy.add(route)
        try:
            while not self.stopped():
                work = self._next(route)
                if work is None or not self._deliver(work):
                    return
        finally:
            self.busy.discard(route)

    # ---- before sending

    def _next(self, route_id: int) -> Work | None:
        """The next message, leased; None where nothing is due. What waits longer is put into the queue again."""
        now = clock.now()
        with self._cursor() as cursor:
            # the route first, as everybody who changes it: else two could wait for each other
            route = cursor.execute(f"{ROUTE} for no key update of r", [route_id]).fetchone()
            rows = cursor.execute(OPEN, [route_id]).fetchall()
            if not rows or route is None:
                return None
            rows = _not_dead(cursor, rows, now)
            soonest = max((row["due_at"] for row in rows[:1]), default=now)
            if soonest > now:  # the first one waits, and all behind it, or their order would be lost
                self.waker.wake(cursor.connection, {route_id: soonest})
                return None
            decided = self._decide(cursor, route, rows, now)
            _drop(cursor, decided.drop)
            _forget(cursor, route_id, decided.forget)
            _remember(cursor, route_id, [row for row in rows if row["id"] in decided.assume], now, "")
            chosen = [row for row in rows if row["id"] in (decided.single[:1] or decided.digest)]
            if chosen:
                return self._lease(cursor, route, chosen, now)
            if decided.later is not None:
                self.waker.wake(cursor.connection, {route_id: decided.later})
            return None

    @contextmanager
    def _cursor(self) -> Iterator[Cursor[Any]]:
        """A transaction."""
        with (
            self.pool.connection() as connection,
            connection.transaction(),
            connection.cursor(row_factory=dict_row) as cursor,
        ):
            yield cursor

    def _decide(self, cursor: Cursor[Any], route: Row, rows: list[Row], now: datetime) -> Plan:
        usable = route["enabled"] and route["channel_on"] and route["active"] and route["gone_at"] is None
        marks = {
            row["subject"]: Marked(row["state"], row["since"])
            for row in cursor.execute("select subject, state, since from mark where route_id = %s", [route["id"]])
        }
        sent = cursor.execute(
            "select sent_at, digest from delivery where route_id = %s and state = 'sent' and sent_at > %s"
            " and (digest is null or digest = id) order by sent_at",
            [route["id"], now - timedelta(hours=1)],
        ).fetchall()
        quiet = None
        if route["quiet_from"] is not None:
            days = frozenset(int(day) for day in route["quiet_days"])
            quiet = Hours(route["quiet_from"], route["quiet_to"], route["clock"] or self.zone, days)
        taste = Taste(
            usable, route["severity"], route["recoveries"], quiet, route["quiet_critical"], route["muted_until"],
            route["hourly"],
        )  # fmt: skip
        digests = [row["sent_at"] for row in sent if row["digest"] is not None]
        lately = Lately([row["sent_at"] for row in sent if row["digest"] is None], max(digests, default=None))
        pending = [
            Pending(
                row["id"], row["kind"], row["subject"], row["n_state"], row["since"], row["at"],
                bool(row["in_hand"]), bool(row["over"]), row["unsure"], row["hidden"],
            )
            for row in rows
        ]  # fmt: skip
        return plan(pending, marks, taste, lately, now)

    def _lease(self, cursor: Cursor[Any], route: Row, chosen: list[Row], now: datetime) -> Work | None:
        """The message made and leased. One that cannot be made is dead at once: trying again would not make it."""
        message = self._made(cursor, route, chosen)
        if message is None:
            alone = [row for row in chosen if len(chosen) == 1 or self._made(cursor, route, [row]) is None]
            _bury(cursor, alone or chosen[:1], UNMADE)  # where each can be made and all together cannot, one has to go
            self.waker.wake(cursor.connection, {route["id"]: now})
            return None
        cursor.execute(
            "update delivery set state = 'sending', leased_until = %s, attempts = least(attempts + 1, 32000), unsure = true"
            " where id = any(%s)",
            [now + timedelta(seconds=DEADLINE), [row["id"] for row in chosen]],
        )
        return Work(route, chosen, message)

    def _made(self, cursor: Cursor[Any], route: Row, chosen: list[Row]) -> Message | None:
        """The message, or None where it cannot be made, whatever the reason: nothing else must stop for it."""
        key = f"{self.installation}-{chosen[0]['id']}"
        try:
            with cursor.connection.transaction():
                return self.words(cursor, route, [row["notice_id"] for row in chosen], key)
        except psycopg.OperationalError:
            raise
        except Exception:  # noqa: BLE001 - the border of one message
            _log.exception("A message cannot be made.")
            return None

    # ---- sending

    def _deliver(self, work: Work) -> bool:
        """Send and mark. Whether the next may follow at once."""
        try:
            sent = self.hands.deliver(work.message, work.route)
        except Undelivered as error:
            return self._failed(work, error)
        except Exception as error:  # noqa: BLE001 - the border of one channel
            _log.exception("A channel failed in a way of its own.")
            return self._failed(work, Undelivered(f"The channel failed: {type(error).__name__}.", unsure=True))
        self._settle(lambda cursor: _mark(cursor, work, sent, clock.now()))
        return True

    def _failed(self, work: Work, error: Undelivered) -> bool:
        """Put it off, or bury it. Whether the next may follow at once."""
        carrier, now = work.rows[0], clock.now()
        _log.warning("Not delivered on %s: %s", work.route["kind"], error)
        if error.kind == "never":
            self._settle(lambda cursor: _bury(cursor, work.rows, str(error)))
            return True
        if error.kind == "gone":
            self._settle(lambda cursor: _gone(cursor, work, str(error), now))
            return False
        pause = min(LONGEST, FIRST * 2.0 ** min(carrier["attempts"], 10))
        if error.retry_after is not None:
            pause = max(error.retry_after, 1.0)
        again = now + timedelta(seconds=min(pause, GIVE_UP.total_seconds()))

        def put_off(cursor: Cursor[Any]) -> None:
            cursor.execute(
                "update delivery set state = 'waiting', leased_until = null, detail = %s, unsure = %s,"
                " due_at = case when id = %s then %s else due_at end where id = any(%s)",
                [str(error)[:500], error.unsure, carrier["id"], again, [row["id"] for row in work.rows]],
            )
            self.waker.wake(cursor.connection, {work.route["id"]: again})

        self._settle(put_off)
        return False

    def _settle(self, write: Callable[[Cursor[Any]], None]) -> None:
        """Write what became of a message; while PostgreSQL is away, until it is back: forgetting would tell it twice."""
        while True:
            try:
                with self._cursor() as cursor:
                    write(cursor)
                return
            except psycopg.OperationalError:
                if self.stopped():
                    raise
                time.sleep(AWAY)


def _not_dead(cursor: Cursor[Any], rows: list[Row], now: datetime) -> list[Row]:
    """Without those that could not be delivered for too long."""
    old = [row for row in rows if row["attempts"] and row["made_at"] < now - GIVE_UP]
    if old:
        cursor.execute(
            "update delivery set state = 'dead', leased_until = null,"
            " detail = 'Could not be delivered for a day. ' || detail where id = any(%s)",
            [[row["id"] for row in old]],
        )
    return [row for row in rows if row not in old]


def _drop(cursor: Cursor[Any], drop: Mapping[int, str]) -> None:
    if drop:
        cursor.execute(
            "update delivery d set state = 'dropped', leased_until = null, detail = x.why"
            " from unnest(%s::bigint[], %s::text[]) as x(id, why) where d.id = x.id",
            [list(drop), list(drop.values())],
        )


def _forget(cursor: Cursor[Any], route: int, subjects: Sequence[str]) -> None:
    """What is well again needs no mark."""
    if subjects:
        cursor.execute("delete from mark where route_id = %s and subject = any(%s)", [route, list(subjects)])


def _bury(cursor: Cursor[Any], rows: list[Row], why: str) -> None:
    cursor.execute(
        "update delivery set state = 'dead', leased_until = null, detail = %s where id = any(%s)",
        [why[:500], [row["id"] for row in rows]],
    )


def _gone(cursor: Cursor[Any], work: Work, why: str, now: datetime) -> None:
    """The address does not exist any more: nothing more goes there, and what waits is over."""
    cursor.execute("update route set gone_at = %s where id = %s", [now, work.route["id"]])
    cursor.execute(
        "update delivery set state = 'dead', leased_until = null, detail = %s"
        " where route_id = %s and state in ('waiting', 'sending')",
        [why[:500], work.route["id"]],
    )


def _mark(cursor: Cursor[Any], work: Work, sent: Sent, now: datetime) -> None:
    """It was taken: what this receiver was last told moves with it (R12)."""
    carrier = work.rows[0]["id"]
    cursor.execute(
        "update delivery set state = 'sent', leased_until = null, unsure = false, sent_at = %s, ref = %s, digest = %s, detail = %s"
        " where id = any(%s)",
        [
            now,
            sent.ref[:200],
            carrier if len(work.rows) > 1 else None,
            sent.note[:500],
            [row["id"] for row in work.rows],
        ],
    )
    route = work.route["id"]
    _forget(cursor, route, [row["subject"] for row in work.rows if not stands(row["kind"], row["n_state"])])
    _remember(cursor, route, work.rows, now, sent.ref)


def _remember(cursor: Cursor[Any], route: int, rows: Sequence[Row], now: datetime, ref: str) -> None:
    """The marks of what stands after these were told."""
    cursor.executemany(
        "insert into mark (route_id, subject, state, since, at, notice_id, incident_id, ref)"
        " values (%s, %s, %s, %s, %s, %s, %s, %s) on conflict (route_id, subject) do update set state = excluded.state,"
        " since = excluded.since, at = excluded.at, notice_id = excluded.notice_id, incident_id = excluded.incident_id,"
        " ref = excluded.ref",
        [
            [
                route, row["subject"], stands(row["kind"], row["n_state"]), row["since"], now, row["notice_id"],
                row["incident_id"], ref[:200],
            ]
            for row in rows
            if stands(row["kind"], row["n_state"])
        ],
    )  # fmt: skip
