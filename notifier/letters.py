"""Makes a notice of each person who is to be told of something unattended: what tells them by their own ways is the same as ever."""

from __future__ import annotations

from typing import Any

from psycopg import Connection

AT_ONCE = 100
KEPT = "90 days"
ROUTED = """
with fresh as (
 update letter set routed_at = now() where (subject, person_id, why) in (
  select l.subject, l.person_id, l.why from letter l where l.routed_at is null
  order by l.made_at limit %s for update skip locked) returning subject, person_id, why, made_at
) insert into notice (at, kind, subject, state, since, person_id)
 select now(), 'job', f.subject || ':' || f.why, f.why, f.made_at, f.person_id from fresh f order by f.made_at, f.subject
"""


def turn(connection: Connection[Any]) -> int:
    """One transaction: whoever is to be told since the last one is. How many notices were made."""
    with connection.transaction():
        made = connection.execute(ROUTED, [AT_ONCE]).rowcount
        if made:
            connection.execute("delete from letter where routed_at < now() - %s::interval", [KEPT])
        return made
