"""Writes what the rules said: changes and their intervals, incidents with their causes and members, and notices."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from psycopg import AsyncCursor

from domain.chat import asked_line
from domain.routing import ADMINS_ONLY, MONITOR
from poller.page import Page, Row

PROBLEMS = ("down", "warning", "critical")
"""States that open an incident."""
ENDS = ("up", "ok", "disabled", "pending")
"""States that close one: grey does not, since nothing is known then."""
LINE_LOST = "None of the reference targets answers: the monitor's own line is gone."
WELL = ("up", "ok")
MAINTENANCE = ("maintenance", "ended")
"""States of the subjects `maintenance:HOST`, which have intervals and nothing else."""


async def write(
    cursor: AsyncCursor[Any], page: Page, site: int, known: Callable[[int | None, int | None], bool]
) -> None:
    """Everything of the page in its order; rows of hosts and checks that are gone (not `known`) are left out."""
    for row in page.notices:
        if row[4] == "uplink_lost":
            await _lose_line(cursor, row)
    causes = [row for row in page.causes if known(row[0], None)]
    for place in range(len(page.changes) + 1):
        while causes and causes[0][3] <= place:
            await _blame(cursor, causes.pop(0))
        if place < len(page.changes) and known(*page.changes[place][1:3]):
            await _change(cursor, page.changes[place])
    for row in page.notices:
        if known(row[1], row[2]):
            await _notice(cursor, row)
    if page.standing is not None:
        await cursor.execute(
            "insert into standing (site_id, data) values (%s, %s) on conflict (site_id) do update set data = excluded.data",
            [site, json.dumps(page.standing)],
        )


async def _change(cursor: AsyncCursor[Any], change: Row) -> None:
    """One change as a row, its interval, and the incident it opens or closes."""
    subject, host, check, at, since, before, after, reason, kind = change
    row = {
        "subject": subject, "host": host, "check": check, "at": moment(at), "since": moment(since),
        "before": before, "after": after, "reason": reason, "kind": kind,
    }  # fmt: skip
    await _interval(cursor, row)
    if after in MAINTENANCE:
        return
    await cursor.execute(
        "insert into change (subject, host_id, check_id, at, since, from_state, to_state, reason) values"
        " (%(subject)s, %(host)s, %(check)s, %(at)s, %(since)s, %(before)s, %(after)s, %(reason)s)",
        row,
    )
    if after in PROBLEMS:
        await _open(cursor, row)
    elif after in ENDS:
        await _close(cursor, row)
    else:
        await _event(cursor, row, "state")


async def _interval(cursor: AsyncCursor[Any], row: dict[str, Any]) -> None:
    await cursor.execute("delete from state_interval where subject = %(subject)s and since >= %(since)s", row)
    await cursor.execute(
        "update state_interval set until = %(since)s where subject = %(subject)s and (until is null or until > %(since)s)",
        row,
    )
    if row["after"] != "ended":
        await cursor.execute(
            "insert into state_interval (subject, host_id, check_id, since, state) values"
            " (%(subject)s, %(host)s, %(check)s, %(since)s, %(after)s)",
            row,
        )


async def _open(cursor: AsyncCursor[Any], row: dict[str, Any]) -> None:
    """An incident for the subject; one that is open goes on and remembers the worst. A check's joins its host's."""
    await cursor.execute(
        "insert into incident (subject, host_id, check_id, state, since, opened_at, failure_kind, cause) values"
        " (%(subject)s, %(host)s, %(check)s, %(after)s, %(since)s, %(at)s, %(kind)s, %(reason)s)"
        " on conflict (subject) where closed_at is null do update set"
        " state = case when incident.state = 'critical' then incident.state else excluded.state end"
        " returning id, xmax = 0",
        row,
    )
    found = await cursor.fetchone()
    assert found is not None
    await _event(cursor, row, "opened" if found[1] else "state")
    if found[1] or row["before"] in PROBLEMS:
        await _line(cursor, row, found[0], "incident.opened" if found[1] else "incident.changed", state=row["after"])
    if row["check"] is None and row["after"] == "down":
        await _merge(cursor, found[0], "host_id = %(host)s and check_id is not null", row)


async def _close(cursor: AsyncCursor[Any], row: dict[str, Any]) -> None:
    """The subject is well: its incident is over. What else of the machine is not well stands for itself again."""
    await _event(cursor, row, "closed")
    await cursor.execute(
        "update incident set closed_at = greatest(%(since)s, since) where closed_at is null and (subject = %(subject)s"
        " or (%(after)s = 'disabled' and case when %(check)s::int is null then host_id = %(host)s else check_id = %(check)s end))"
        " returning id, extract(epoch from closed_at - since)::float8",
        row,
    )
    told = "incident.recovered" if row["after"] in WELL else "incident.ended"
    for incident, lasted in await cursor.fetchall():
        await _line(cursor, row, incident, told, lasted=round(lasted))
        freed = await _split(cursor, "merged_into = %(into)s", {**row, "into": incident})
        await cursor.execute(
            "update incident_member set until = greatest(since, %s) where incident_id = %s and until is null",
            [row["at"], incident],
        )
        for one in freed:
            await _return(cursor, one, row)


async def _line(cursor: AsyncCursor[Any], row: dict[str, Any], incident: int, kind: str, **more: Any) -> None:
    """A thin line in the threads of the incident and of its machine."""
    detail = {"incident": incident, "subject": row["subject"], **more}
    if row["check"] is not None:
        await cursor.execute("select name from host_check where id = %(check)s", row)
        named = await cursor.fetchone()
        detail["check"] = named[0] if named else ""
    statement, values = asked_line(row["host"], incident, None, kind, detail)
    await cursor.execute(statement.encode(), values)


async def _return(cursor: AsyncCursor[Any], incident: int, row: dict[str, Any]) -> None:
    """What a person had put elsewhere goes to the cause that the rules have known all along, if there is one."""
    await cursor.execute(
        "select coalesce((select o.id from incident o where i.check_id is not null and o.subject = t.subject"
        " and o.closed_at is null), (select o.id from incident o where o.subject = t.data ->> 'cause'"
        " and o.closed_at is null)) from incident i join track t on t.subject = 'host:' || i.host_id where i.id = %s",
        [incident],
    )
    found = await cursor.fetchone()
    if found is not None and found[0] is not None:
        await _merge(cursor, found[0], "id = %(one)s", {**row, "one": incident})


async def _blame(cursor: AsyncCursor[Any], cause: Row) -> None:
    """From now on another subject than before explains a machine's state; or none does."""
    host, subject, at, _ = cause
    row = {"host": host, "own": f"host:{host}", "subject": subject, "at": moment(at)}
    await cursor.execute(
        "update incident_member set until = greatest(since, %(at)s) where host_id = %(host)s and until is null", row
    )
    own = "merged_into not in (select id from incident where subject = %(own)s)"
    await _split(cursor, f"host_id = %(host)s and not merged_by_hand and {own}", row)
    if not subject:
        return
    await cursor.execute("select id from incident where subject = %(subject)s and closed_at is null", row)
    found = await cursor.fetchone()
    if found is None:
        return
    row["incident"] = found[0]
    await cursor.execute(
        "insert into incident_member (incident_id, host_id, since)"
        " select %(incident)s, %(host)s, %(at)s from track where subject = %(own)s and state = 'unreachable'",
        row,
    )
    await _merge(cursor, found[0], "host_id = %(host)s", row)


async def _merge(cursor: AsyncCursor[Any], into: int, which: str, row: dict[str, Any]) -> None:
    """Open incidents that share a cause become part of the one that is the cause; both histories say so.

    What is part of another already stays there: of its own machine's, or where a person put it.
    """
    row = {**row, "into": into}
    joining = f"select id from incident where {which} and closed_at is null and merged_into is null"  # noqa: S608
    # Locked in the order in which people's hands do it, and then read anew: two at once must not make a circle.
    await cursor.execute(f"select from incident where id = %(into)s or id in ({joining}) order by id for update", row)
    # A person may have put the cause under one of them: the other way round as well, none would be in any list.
    above = (
        "with recursive above(id) as (select merged_into from incident where id = %(into)s"
        " union select i.merged_into from incident i join above on i.id = above.id)"
    )
    await cursor.execute(f"{above} select from above where id in ({joining})", row)
    if cursor.rowcount:
        await _split(cursor, "id = %(into)s and merged_into is not null", row)
    await cursor.execute(
        "with joined as (update incident set merged_into = %(into)s"  # noqa: S608 - our own conditions
        f" where {which} and closed_at is null and merged_into is null and id <> %(into)s returning id)"
        " insert into incident_event (incident_id, at, kind, data)"
        " select x.id, %(at)s, 'merged', jsonb_build_object('incident', x.other) from"
        " (select id, %(into)s::bigint as other from joined union all select %(into)s::bigint, id from joined) as x",
        row,
    )


async def _split(cursor: AsyncCursor[Any], which: str, row: dict[str, Any]) -> list[int]:
    """Incidents that were part of another stand for themselves again; which they were."""
    await cursor.execute(
        "with parted as (select id, merged_into from incident"  # noqa: S608 - our own conditions
        f" where {which} and closed_at is null for update),"
        " freed as (update incident set merged_into = null, merged_by_hand = false"
        " where id in (select id from parted)),"
        " told as (insert into incident_event (incident_id, at, kind, data)"
        " select x.id, %(at)s, 'split', jsonb_build_object('incident', x.other) from"
        " (select id, merged_into as other from parted union all select merged_into, id from parted) as x)"
        " select id from parted order by id",
        row,
    )
    return [id for (id,) in await cursor.fetchall()]


async def _event(cursor: AsyncCursor[Any], row: dict[str, Any], kind: str) -> None:
    """A line in the history of the subject's open incident, if there is one."""
    data = {"from": row["before"], "to": row["after"], "reason": row["reason"]}
    await cursor.execute(
        "insert into incident_event (incident_id, at, kind, data)"
        " select id, %(at)s, %(event)s, %(data)s::jsonb from incident where subject = %(subject)s and closed_at is null",
        {**row, "event": kind, "data": json.dumps(data)},
    )


async def _lose_line(cursor: AsyncCursor[Any], notice: Row) -> None:
    """An incident of our own: what cannot be reached meanwhile is listed under it."""
    await cursor.execute(
        "insert into incident (subject, state, since, opened_at, cause) values (%s, 'down', %s, %s, %s)"
        " on conflict (subject) where closed_at is null do nothing",
        [MONITOR, moment(notice[6]), moment(notice[3]), LINE_LOST],
    )


async def _notice(cursor: AsyncCursor[Any], notice: Row) -> None:
    """One notice, beside the newest incident of its subject. Our own line's opens and closes one of its own."""
    subject, host, check, at, kind, state, since, outage, members = notice
    row = {
        "subject": subject, "host": host, "check": check, "at": moment(at), "kind": kind, "state": state,
        "since": moment(since), "outage": outage, "members": members, "admins": kind in ADMINS_ONLY,
    }  # fmt: skip
    await cursor.execute(
        "insert into notice (at, kind, subject, host_id, check_id, incident_id, state, since, outage, members, admins_only)"
        " values (%(at)s, %(kind)s, %(subject)s, %(host)s, %(check)s, case when %(kind)s <> 'digest' then"
        " (select max(id) from incident where subject = %(subject)s) end,"
        " %(state)s, %(since)s, %(outage)s, %(members)s, %(admins)s) returning incident_id",
        row,
    )
    found = await cursor.fetchone()
    if found is not None and found[0] is not None:
        await cursor.execute(
            "insert into incident_event (incident_id, at, kind, data) values (%s, %s, 'told', %s)",
            [found[0], row["at"], json.dumps({"notice": kind})],
        )
    if kind == "uplink_back":
        await _close(cursor, {**row, "before": "down", "after": "up", "reason": ""})


def moment(micros: int) -> datetime:
    """A page's moment as PostgreSQL takes it."""
    return datetime.fromtimestamp(micros / 1_000_000, UTC)
