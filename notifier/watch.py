"""Judges, from outside the poller, whether anybody still looks (R9): by the poller's heartbeat and by its results."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, text

from domain import silence
from domain.health import Policy, Track
from domain.routing import Notice
from domain.silence import Watch

BEAT = 10.0
"""Seconds that count as the interval of the heartbeat: it comes every five, and three intervals without it are silence."""
LOOKS = text("""
select host.id, min(coalesce(host_check.interval_s, host.interval_s, :interval))::float8 as pace,
       extract(epoch from max(latest.ts + latest.took * interval '1 second'))::float8 as seen
from host join host_check on host_check.host_id = host.id and host_check.enabled and host_check.reachability
left join latest on latest.check_id = host_check.id
where host.enabled group by host.id having max(latest.ts) is not null
""")
BEATS = text("select extract(epoch from at)::float8 from heartbeat where role = 'poller'")
KEPT = text("select data from heartbeat where role = 'notifier'")
NOW = text("select extract(epoch from now())::float8")


@dataclass(frozen=True)
class Heard:
    """One look at the watching: `watch` is what is remembered of it, `silent_since` when it fell silent, if it did."""

    watch: Watch
    silent_since: datetime | None
    notice: Notice | None


def look(connection: Connection, interval: float, started: float) -> Heard:
    """One look, told and remembered in the caller's transaction: an own heartbeat, and a notice where one is due.

    `interval` is that of machines that have none of their own. What was silent before `started` (database seconds),
    while nobody listened, is no silence: after a pause of the whole installation the poller has a right to begin.
    """
    now = moment(connection)
    watch, tracks, beat = _watch(connection), _tracks(connection, interval), _beat(connection)
    if not watch.silent:
        tracks = {
            host: (replace(t, seen=max(t.seen or started, started)), policy) for host, (t, policy) in tracks.items()
        }
        beat = None if beat is None else max(beat, started)
    heard = judge(watch, tracks, beat, now)
    data = {
        "watch": heard.watch.to_json(),
        "poller_silent_since": heard.silent_since.isoformat() if heard.silent_since else None,
    }
    connection.execute(
        text(
            "insert into heartbeat (role, at, data) values ('notifier', now(), cast(:data as jsonb))"
            " on conflict (role) do update set at = excluded.at, data = excluded.data"
        ),
        {"data": json.dumps(data)},
    )
    if heard.notice is not None:
        _tell(connection, heard.notice)
    return heard


def moment(connection: Connection) -> float:
    """Now, by the clock of the database: seconds since the epoch."""
    return float(connection.execute(NOW).scalar_one())


def judge(watch: Watch, hosts: dict[str, tuple[Track, Policy]], beat: float | None, now: float) -> Heard:
    """Whether the poller is silent: no result of any machine for more than three intervals, or no heartbeat as long."""
    asked = dict(hosts)
    if beat is not None and (not asked or now - beat > Policy(BEAT).patience):
        asked = {"poller": (Track(state="up", seen=beat), Policy(BEAT))}
    passed = silence.judge(watch, asked, now)
    last = max((track.seen for track, _ in asked.values() if track.seen is not None), default=None)
    silent = datetime.fromtimestamp(last, UTC) if passed.watch.silent and last is not None else None
    return Heard(passed.watch, silent, passed.notice)


def _watch(connection: Connection) -> Watch:
    stored: Any = connection.execute(KEPT).scalar_one_or_none() or {}
    return Watch.from_json(stored.get("watch", {}))


def _tracks(connection: Connection, interval: float) -> dict[str, tuple[Track, Policy]]:
    rows = connection.execute(LOOKS, {"interval": interval})
    return {f"host:{row.id}": (Track(state="up", seen=row.seen), Policy(row.pace)) for row in rows}


def _beat(connection: Connection) -> float | None:
    found = connection.execute(BEATS).scalar_one_or_none()
    return None if found is None else float(found)


def _tell(connection: Connection, notice: Notice) -> None:
    connection.execute(
        text(
            "insert into notice (at, kind, subject, state, since, admins_only)"
            " values (to_timestamp(:at), :kind, 'poller', :state, to_timestamp(:since), true)"
        ),
        {"at": notice.at, "kind": notice.kind, "state": notice.state, "since": notice.since},
    )
