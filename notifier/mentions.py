"""Makes a notice of each time somebody was named in a thread: what tells them by their own ways is the same as ever."""

from __future__ import annotations

from typing import Any

from psycopg import Connection

AT_ONCE = 100
ROUTED = """
with fresh as (
 update mention set routed_at = now() where (message_id, person_id) in (
  select m.message_id, m.person_id from mention m where m.routed_at is null
  order by m.message_id limit %s for update skip locked) returning message_id, person_id
) insert into notice (at, kind, subject, host_id, state, since, person_id)
 select now(), 'mention', 'mention:' || s.id, coalesce(t.host_id, i.host_id), 'said', s.at, f.person_id
 from fresh f join message s on s.id = f.message_id join thread t on t.id = s.thread_id
 left join incident i on i.id = t.incident_id
 where s.gone_at is null and s.author_id is distinct from f.person_id order by s.id
"""


def turn(connection: Connection[Any]) -> int:
    """One transaction: whoever was named since the last one is to be told. How many notices were made.

    Nobody is told of naming themselves, nor of what was taken back meanwhile.
    """
    with connection.transaction():
        return connection.execute(ROUTED, [AT_ONCE]).rowcount
