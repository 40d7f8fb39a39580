"""What a status report tells: how machines stand, what happened since the last one, and which of them were down longest."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

MOST = 25
"""Troubles and events told one by one; the rest is counted."""
WORST = 5
TROUBLE = ("down", "critical", "unreachable", "warning", "unknown")
_STATES = text("""
select case when not h.enabled then 'disabled' else coalesce(
 case when t.state in ('down', 'unreachable', 'unknown') then t.state end,
 (select i.state from incident i where i.host_id = h.id and i.closed_at is null
  order by array_position(array['down', 'critical', 'warning'], i.state) limit 1),
 t.state, 'pending') end as state, h.name, t.since
from host h left join track t on t.subject = 'host:' || h.id
where cast(:division as int) is null or h.division_id = cast(:division as int) order by h.name
""")
_EVENTS = text("""
select h.name, hc.name as check, i.state, i.since, i.closed_at, i.cause from incident i
join host h on h.id = i.host_id left join host_check hc on hc.id = i.check_id
where (cast(:division as int) is null or h.division_id = cast(:division as int)) and i.merged_into is null
 and (i.opened_at > :since or i.closed_at > :since) order by coalesce(i.closed_at, now()) desc, i.id desc
""")
_DOWN = text("""
select h.name, extract(epoch from sum(least(coalesce(s.until, :now), :now) - greatest(s.since, :since)))::float8 as down
from state_interval s join host h on h.id = s.host_id and s.subject = 'host:' || h.id
where s.state = 'down' and coalesce(s.until, :now) > :since and s.since < :now and (cast(:division as int) is null or h.division_id = cast(:division as int))
group by h.name order by 2 desc limit :most
""")


def report(session: Session, division_id: int | None, since: datetime, now: datetime) -> dict[str, Any]:
    """Plain values for JSON, moments as ISO text: `states` {state: machines}, `bad` and `events` (at most MOST) with how
    many there are, `worst` [(machine, seconds down)]."""
    given = {"division": division_id, "since": since, "now": now, "most": WORST}
    rows = session.execute(_STATES, given).all()
    states: dict[str, int] = {}
    for row in rows:
        states[row.state] = states.get(row.state, 0) + 1
    bad = [row for row in rows if row.state in TROUBLE]
    bad.sort(key=lambda row: (TROUBLE.index(row.state), row.name))
    events = session.execute(_EVENTS, given).all()
    return {
        "since": since.isoformat(),
        "until": now.isoformat(),
        "machines": len(rows),
        "states": states,
        "bad": [[row.name, row.state, row.since.isoformat() if row.since else None] for row in bad[:MOST]],
        "bad_count": len(bad),
        "events": [
            [
                f"{row.name} · {row.check}" if row.check else row.name, row.state, row.since.isoformat(),
                row.closed_at.isoformat() if row.closed_at else None, row.cause[:200],
            ]
            for row in events[:MOST]
        ],
        "event_count": len(events),
        "ended": sum(row.closed_at is not None for row in events),
        "worst": [[row.name, row.down] for row in session.execute(_DOWN, given) if row.down and row.down >= 60],
    }  # fmt: skip
