"""The only writer of records: rounds in, rules applied, one transaction out; the spool when PostgreSQL is away."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from psycopg import AsyncConnection, AsyncCursor, sql

from domain import clock
from domain.clock import Steady
from domain.health import Result, Track, resume
from domain.records import IN_ALL
from domain.thresholds import MetricTrack
from domain.thresholds import resume as resume_metric
from poller import incidents
from poller.copy import pack
from poller.incidents import moment
from poller.judge import Judge, Memory
from poller.normals import Ready
from poller.page import Page, Row
from poller.plan import Plan
from poller.round import Round
from poller.spool import Spool

_log = logging.getLogger("poller")
EVERY = 0.5
"""Seconds between two pages: what waited meanwhile is one transaction."""
TICK = 5.0
"""Seconds between two moments at which the rules are told that time has passed."""
AT_MOST = 1000
"""Rounds on one page."""
PATIENCE = 20.0
"""Seconds a transaction may take before PostgreSQL counts as away: a frozen server answers nothing, not even an error."""
REFUSED = (psycopg.DataError, psycopg.IntegrityError, psycopg.errors.ProgramLimitExceeded)
"""What PostgreSQL says of a page it will never take, however often it is tried."""
_NOTIFY_LIMIT = 7000


class Displaced(Exception):
    """Another poller has written for this site: this one must stop at once."""


class Unreadable(Exception):
    """What the rules remember was stored by another version; the message says what to do."""


class Recorder:
    """Keeps order and loses nothing: a page is in the database, or in the spool, or still being written.

    `judge` is set by `open`. Rounds are handed in with `add`; `run` writes until cancelled, then once more.
    """

    judge: Judge

    def __init__(
        self, url: str, site: int, spool: Spool, steady: Steady, references: tuple[str, ...] | None = None,
        normals: Ready | None = None,
    ) -> None:  # fmt: skip
        self._url, self._site, self._spool, self._steady = url, site, spool, steady
        self._normals = normals
        self._references = references
        self._asked: list[tuple[str, Result]] = []
        self._ticked = steady.now()
        self.maintained: frozenset[int] = frozenset()
        self.acknowledged: set[str] = set()
        self._me = str(uuid.uuid4())
        self._rounds: list[Round] = []
        self._plan: Plan | None = None
        self._seq = 0
        self._inherited = spool.last  # written by the process before us: perhaps already there
        self._connection: AsyncConnection[Any] | None = None
        self._sets: dict[bytes, int] = {}
        self._days: set[str] = set()
        self.away_since: datetime | None = None
        self.written = 0

    async def open(self) -> None:
        """Replay the spool, then load what is remembered.

        Raises psycopg.OperationalError when PostgreSQL is away, Unreadable for what this version does not understand.
        """
        await self._connect()
        await self._drain()
        try:
            self.judge = Judge(await self._load(), self._steady, self._references, self._normals)
        except ValueError as error:
            raise Unreadable(f"What the rules remember cannot be read: {error}") from None

    def add(self, round: Round) -> None:
        """A round to record; written within EVERY seconds when PostgreSQL is there."""
        self._rounds.append(round)

    def asked(self, results: Mapping[str, Result]) -> None:
        """What the reference targets of our own line answered (R27)."""
        self._asked.extend(results.items())

    def reconcile(self, plan: Plan) -> None:
        """The inventory changed: its consequences go on the next page."""
        self._plan = plan

    async def run(self) -> None:
        """Write pages until cancelled; what waits then is still written (or spooled)."""
        try:
            while True:
                await asyncio.sleep(EVERY)
                await self.flush()
        finally:
            await self.flush()
            await self.close()

    async def close(self) -> None:
        """Let the connection go; what waits stays in the spool."""
        if self._connection is not None:
            await self._connection.close()
            self._connection = None

    async def flush(self) -> None:
        """Write what waits. Raises Displaced; a database that is away is no error but spooling."""
        while self._rounds or self._asked or self._plan is not None or self._due(self._steady.now()):
            taken, self._rounds = self._rounds[:AT_MOST], self._rounds[AT_MOST:]
            page = self._next_page(taken)
            if not page.empty:
                await self._keep(page)
        if len(self._spool):
            await self._try(self._drain)

    def _next_page(self, rounds: list[Round]) -> Page:
        page = Page(seq=self._seq + 1)
        if self._plan is not None:
            self.judge.reconcile(page, self._plan)
            self._plan = None
        self._tick(page, min([self._steady.now(), *(round.start for round in rounds)]))
        for round in rounds:
            self.judge.judge(page, round)
        for name, result in self._asked:
            self.judge.reference(page, name, result)
        self._asked = []
        self.judge.finish(page)
        if not page.empty:
            self._seq = page.seq
        return page

    def _due(self, now: float) -> bool:
        return now - self._ticked >= TICK

    def _tick(self, page: Page, now: float) -> None:
        """Time has passed until `now`: before any look that waits on this page, so that none is missed for waiting."""
        if not self._due(now):
            return
        self._ticked = now
        self.judge.maintain(page, self.maintained)
        self.judge.acknowledge(page, self.acknowledged)
        self.judge.tick(page, now)

    async def _keep(self, page: Page) -> None:
        """Into the database, or, behind everything that already waits there, into the spool."""
        if len(self._spool) or not await self._try(lambda: self._write_or_set_aside(page)):
            self._spool.put(page)

    async def _write_or_set_aside(self, page: Page) -> None:
        """Write; a page the database will never take is set aside on disk, so that it cannot stop those behind it."""
        try:
            await self._write(page)
        except REFUSED as error:
            _log.error("Page %d is refused by the database and set aside: %s", page.seq, _first_line(error))
            self._spool.set_aside(page)

    async def _try(self, work: Callable[[], Any]) -> bool:
        """Do `work` on a connection; False when PostgreSQL is away. Logs once when it goes and once when it is back."""
        try:
            async with asyncio.timeout(PATIENCE):
                if self._connection is None or self._connection.broken:
                    await self._connect()
                await work()
        except (psycopg.Error, OSError, TimeoutError) as error:
            if self.away_since is None:
                self.away_since = clock.now()
                _log.error("PostgreSQL is away (%s); looks go on and are kept in the spool.", _first_line(error))
            self._let_go()
            return False
        if self.away_since is not None and not len(self._spool):
            _log.warning(
                "PostgreSQL is back after %s; everything kept meanwhile is written.", clock.now() - self.away_since
            )
            self.away_since = None
        return True

    def _let_go(self) -> None:
        """Drop the connection without a word to the server, which may not be listening."""
        if self._connection is not None:
            self._connection.pgconn.finish()
            self._connection = None

    async def _connect(self) -> None:
        await self.close()
        self._connection = await AsyncConnection.connect(
            self._url, connect_timeout=3, application_name="pantau recorder", options="-c statement_timeout=30000"
        )
        await self._connection.execute(
            "create temp table latest_in (check_id int, host_id int, ts timestamptz, took real, late real, outcome smallint,"
            " good_at timestamptz, set_id int, v real[], failure_kind text, failure_detail text, sent int, received int)"
            " on commit delete rows"
        )
        cursor = await self._connection.execute(
            "select seq, writer from batch where site_id = %s order by seq desc limit 1", [self._site]
        )
        seq, writer = await cursor.fetchone() or (0, self._me)
        await self._connection.commit()
        if self._seq and writer != self._me and seq > self._seq:
            raise Displaced("Another poller writes for this site; this one stops.")
        self._seq = max(self._seq, self._spool.last, seq)

    async def _drain(self) -> None:
        """Everything in the spool, in order."""
        while (page := self._spool.first()) is not None:
            await self._write_or_set_aside(page)
            self._spool.drop(page.seq)

    async def _write(self, page: Page) -> None:
        """One page, one transaction. A page already there is passed over; somebody else's raises Displaced."""
        connection = self._connection
        assert connection is not None
        known_sets, known_days = dict(self._sets), set(self._days)
        try:
            written = await self._transact(connection, page)
        except BaseException:
            self._sets, self._days = known_sets, known_days  # what the rolled-back transaction made is not there
            raise
        self.written += written

    async def _transact(self, connection: AsyncConnection[Any], page: Page) -> int:
        """Everything of one page, all or nothing; how many samples."""
        async with connection.transaction(), connection.cursor() as cursor:
            if not await self._claim(cursor, page.seq):
                return 0
            hosts, checks = await self._alive(cursor, page)
            ids = [await self._set_id(cursor, row) for row in page.sets]
            raw = [row for row in page.raw if row[0] in checks]
            await self._ensure_days(cursor, raw)
            async with cursor.copy("copy raw (check_id, ts, set_id, state, v) from stdin (format binary)") as copy:
                await copy.write(pack(raw, ids))
            await self._write_latest(cursor, [row for row in page.latest.values() if row[0] in checks], ids)
            await _write_tracks(cursor, page, hosts, checks)
            await incidents.write(cursor, page, self._site, lambda host, check: _known(host, check, hosts, checks))
            await _write_notes(cursor, page, hosts, checks)
            await _write_costs(cursor, page, checks)
            await _tell(cursor, page)
        return len(raw)

    async def _claim(self, cursor: AsyncCursor[Any], seq: int) -> bool:
        """Whether this page is new. The number was spoken for by us: done before; by another: Displaced."""
        await cursor.execute(
            "insert into batch (site_id, seq, writer) values (%s, %s, %s) on conflict do nothing returning seq",
            [self._site, seq, self._me],
        )
        if await cursor.fetchone():
            return True
        await cursor.execute("select writer from batch where site_id = %s and seq = %s", [self._site, seq])
        row = await cursor.fetchone()
        if row is not None and str(row[0]) != self._me and seq > self._inherited:
            raise Displaced("Another poller writes for this site; this one stops.")
        return False

    async def _alive(self, cursor: AsyncCursor[Any], page: Page) -> tuple[set[int], set[int]]:
        """Which hosts and checks of this page still exist; they cannot be deleted before we commit."""
        hosts = {row[1] for row in page.latest.values()} | {row[0] for row in page.tracks.values()}
        hosts |= {row[1] for row in page.changes} | {row[0] for row in page.causes}
        hosts |= {row[1] for row in page.notices if row[1] is not None}
        checks = (
            set(page.latest)
            | {row[1] for row in page.tracks.values() if row[1]}
            | {row[2] for row in (*page.changes, *page.notices) if row[2]}
            | {row[0] for row in page.costs}
        )
        await cursor.execute("select id from host where id = any(%s) order by id for key share", [list(hosts)])
        alive = {row[0] for row in await cursor.fetchall()}
        await cursor.execute("select id from host_check where id = any(%s) order by id for key share", [list(checks)])
        return alive, {row[0] for row in await cursor.fetchall()}

    async def _set_id(self, cursor: AsyncCursor[Any], row: Row) -> int:
        digest = hashlib.sha256(json.dumps(row).encode()).digest()
        if digest not in self._sets:
            await cursor.execute(
                "with made as (insert into metric_set (names, parts, units, digest) values (%s, %s, %s, %s)"
                " on conflict (digest) do nothing returning id)"
                " select id from made union all select id from metric_set where digest = %s",
                [*row, digest, digest],
            )
            found = await cursor.fetchone()
            assert found is not None
            self._sets[digest] = found[0]
        return self._sets[digest]

    async def _ensure_days(self, cursor: AsyncCursor[Any], raw: list[Row]) -> None:
        for day in {moment(row[1]).strftime("%Y%m%d") for row in raw} - self._days:
            await cursor.execute(partition(day))
            self._days.add(day)

    async def _write_latest(self, cursor: AsyncCursor[Any], rows: list[Row], ids: list[int]) -> None:
        columns = "check_id, host_id, ts, took, late, outcome, good_at, set_id, v, failure_kind, failure_detail, sent, received"
        types = [
            "int4",
            "int4",
            "timestamptz",
            "float4",
            "float4",
            "int2",
            "timestamptz",
            "int4",
            "float4[]",
            "text",
            "text",
        ]
        async with cursor.copy(f"copy latest_in ({columns}) from stdin (format binary)") as copy:
            copy.set_types([*types, "int4", "int4"])
            for check, host, ts, took, late, outcome, index, values, kind, detail, sent, received in rows:
                good = index >= 0
                at = moment(ts)
                await copy.write_row(
                    (check, host, at, took, late, outcome, at if good else None, ids[index] if good else None,
                     values if good else None, kind, detail, min(sent, 2**31 - 1), min(received, 2**31 - 1))
                )  # fmt: skip
        await cursor.execute(
            f"insert into latest ({columns}) select {columns} from latest_in on conflict (check_id) do update set"  # noqa: S608 - our own names
            " ts = excluded.ts, took = excluded.took, late = excluded.late, outcome = excluded.outcome,"
            " good_at = coalesce(excluded.good_at, latest.good_at), set_id = coalesce(excluded.set_id, latest.set_id),"
            " v = coalesce(excluded.v, latest.v), failure_kind = excluded.failure_kind,"
            " failure_detail = excluded.failure_detail, sent = excluded.sent, received = excluded.received"
            " where latest.ts <= excluded.ts"
        )

    async def _load(self) -> Memory:
        """The memory as the last transaction left it."""
        connection, memory, now = self._connection, Memory(), self._steady.now()
        seen = memory.seen
        assert connection is not None
        async with connection.transaction(), connection.cursor() as cursor:
            await cursor.execute(
                "select host_id, check_id, extract(epoch from ts)::float8, failure_kind, failure_detail from latest"
            )
            last: dict[int, float] = {}
            for host, check, ts, kind, detail in await cursor.fetchall():
                last[host] = max(last.get(host, 0.0), ts)
                last[-check] = ts
                if kind is not None:
                    seen.failures[check] = (kind, detail)
            await cursor.execute("select check_id, name, part, value from fact")
            seen.facts = {(check, name, part): value for check, name, part, value in await cursor.fetchall()}
            await cursor.execute("select subject, host_id, data from track")
            for subject, host, data in await cursor.fetchall():
                kind, _, rest = subject.partition(":")
                if kind == "metric":
                    memory.tracks[subject] = host, resume_metric(MetricTrack.from_json(data), now)
                else:
                    key = int(rest) if kind == "host" else -int(rest)
                    memory.tracks[subject] = host, _resumed(Track.from_json(data), last.get(key), now)
            await cursor.execute("select data from standing where site_id = %s", [self._site])
            row = await cursor.fetchone()
            memory.standing = row[0] if row else {}
        return memory


def partition(day: str) -> sql.Composed:
    """DDL of the partition of `raw` for a UTC day, YYYYMMDD, unless it is there."""
    start = datetime.strptime(day, "%Y%m%d").replace(tzinfo=UTC)
    return sql.SQL("create table if not exists {} partition of raw for values from ({}) to ({})").format(
        sql.Identifier(f"raw_{day}"),
        sql.Literal(start.isoformat()),
        sql.Literal((start + timedelta(days=1)).isoformat()),
    )


def _resumed(track: Track, last: float | None, now: float) -> Track:
    """A stored track with its last look's moment put back."""
    if last is not None and (track.seen is None or last > track.seen) and track.state != "disabled":
        track = replace(track, seen=last, started=last)
    return resume(track, now)


def _known(host: int | None, check: int | None, hosts: set[int], checks: set[int]) -> bool:
    return (host is None or host in hosts) and (check is None or check in checks)


async def _write_tracks(cursor: AsyncCursor[Any], page: Page, hosts: set[int], checks: set[int]) -> None:
    rows = [
        (subject, host, check, state, moment(since), failing, json.dumps(data))
        for subject, (host, check, state, since, failing, data) in page.tracks.items()
        if _known(host, check, hosts, checks)
    ]
    await cursor.executemany(
        "insert into track (subject, host_id, check_id, state, since, failing, data) values (%s, %s, %s, %s, %s, %s, %s)"
        " on conflict (subject) do update set state = excluded.state, since = excluded.since,"
        " failing = excluded.failing, data = excluded.data",
        rows,
    )


async def _write_notes(cursor: AsyncCursor[Any], page: Page, hosts: set[int], checks: set[int]) -> None:
    """Facts, failures, host keys and the last use of credentials."""
    await cursor.executemany(
        "insert into fact (check_id, host_id, name, part, value, since) values (%s, %s, %s, %s, %s, %s)"
        " on conflict (check_id, name, part) do update set value = excluded.value, since = excluded.since",
        [(*row[:5], moment(row[5])) for row in page.facts if row[0] in checks],
    )
    await cursor.executemany(
        "insert into failure (check_id, since, kind, detail) values (%s, %s, %s, %s)",
        [(row[0], moment(row[1]), *row[2:]) for row in page.failures if row[0] in checks],
    )
    await cursor.executemany(
        "insert into host_key (host_id, port, key, fingerprint, state) values (%s, %s, %s, %s, %s) on conflict do nothing",
        [row for row in page.keys if row[0] in hosts],
    )
    if page.used:
        await cursor.execute(
            "update credential set last_used_at = now() where id = any(%s)"
            " and (last_used_at is null or last_used_at < now() - interval '1 minute')",
            [page.used],
        )
    if page.uses:
        await _write_uses(cursor, [use for use in page.uses if use[1] in hosts])


async def _write_uses(cursor: AsyncCursor[Any], uses: list[list[int]]) -> None:
    """Which credential was used at which machine: at most every five minutes each; the very first time is on record."""
    await cursor.execute(
        "insert into credential_use as u (credential_id, host_id)"
        " select c.id, used.host from unnest(%s::int[], %s::int[]) as used (credential, host)"
        " join credential c on c.id = used.credential"
        " on conflict (credential_id, host_id) do update set last_at = now()"
        " where u.last_at < now() - interval '5 minutes'"
        " returning credential_id, host_id, first_at = last_at",
        [[use[0] for use in uses], [use[1] for use in uses]],
    )
    first = [row[:2] for row in await cursor.fetchall() if row[2]]
    if first:
        await cursor.execute(
            'insert into audit (what, "on", source, detail)'
            " select 'credential.first_use', 'credential:' || c.id, current_setting('application_name'),"
            " jsonb_build_object('name', c.name, 'machine', h.name, 'host', h.id)"
            " from unnest(%s::int[], %s::int[]) as used (credential, host)"
            " join credential c on c.id = used.credential join host h on h.id = used.host",
            [[row[0] for row in first], [row[1] for row in first]],
        )


async def _write_costs(cursor: AsyncCursor[Any], page: Page, checks: set[int]) -> None:
    """Added to the hour's row, and to the one that sums up everything."""
    await cursor.executemany(
        "insert into watch_cost as c (check_id, ts, looks, failed, took, late, cpu, sent, received, told, their_cpu,"
        " their_processes) values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) on conflict (check_id, ts) do update set"
        " looks = c.looks + excluded.looks, failed = c.failed + excluded.failed, took = c.took + excluded.took,"
        " late = c.late + excluded.late, cpu = c.cpu + excluded.cpu, sent = c.sent + excluded.sent,"
        " received = c.received + excluded.received, told = c.told + excluded.told,"
        " their_cpu = c.their_cpu + excluded.their_cpu, their_processes = c.their_processes + excluded.their_processes",
        [(row[0], ts, *row[2:]) for row in sorted(page.costs) if row[0] in checks for ts in (moment(row[1]), IN_ALL)],
    )


async def _tell(cursor: AsyncCursor[Any], page: Page) -> None:
    """NOTIFY `recorded`: {"hosts": [ids seen], "changed": [ids whose state changed]}, in as many as needed."""
    hosts = sorted({row[1] for row in page.latest.values()})
    changed = {row[1] for row in page.changes}
    for start in range(0, max(len(hosts), 1), 500):
        part = hosts[start : start + 500]
        text = json.dumps({"hosts": part, "changed": sorted(changed if start == 0 else [])}, separators=(",", ":"))
        await cursor.execute(
            "select pg_notify('recorded', %s)", [text[:_NOTIFY_LIMIT] if len(text) < _NOTIFY_LIMIT else "{}"]
        )


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
