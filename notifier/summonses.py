"""Makes a notice of each person who is to be told of a request: what tells them by their own ways is the same as ever."""

from __future__ import annotations

from typing import Any

from psycopg import Connection

AT_ONCE = 100
ROUTED = """
with fresh as (
 update summons set routed_at = now() where (request_id, person_id, why) in (
  select s.request_id, s.person_id, s.why from summons s where s.routed_at is null
  order by s.request_id limit %s for update skip locked) returning request_id, person_id, why, made_at
) insert into notice (at, kind, subject, host_id, state, since, person_id)
 select now(), 'request', 'request:' || f.request_id || ':' || f.why, r.host_id, f.why, f.made_at, f.person_id
 from fresh f join request r on r.id = f.request_id
 where f.why <> 'asked' or r.state = 'waiting' order by f.request_id
"""


def turn(connection: Connection[Any]) -> int:
    """One transaction: whoever is to be told of a request since the last one is. How many notices were made.

    Nobody is asked for an answer that is not wanted any more.
    """
    with connection.transaction():
        return connection.execute(ROUTED, [AT_ONCE]).rowcount
