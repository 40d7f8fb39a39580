"""A node that adopts its guests: links made in PostgreSQL, by the tick of its machine and not without."""

from __future__ import annotations

from psycopg import AsyncConnection
from sqlalchemy.orm import Session

from domain.clock import now
from domain.guests import HYPERV
from domain.inventory import Check, Host
from domain.records import FactSeen
from poller.chores import adopt
from tests.roles import as_role


async def test_guests_become_children_where_the_admin_ticked_it(database_url: str, session: Session) -> None:
    node, guest = Host(name="hv1", address="192.0.2.1"), Host(name="files", address="192.0.2.2")
    node.checks.append(Check(kind="winrm", name="winrm"))
    session.add_all((node, guest))
    session.commit()
    session.add(
        FactSeen(check_id=node.checks[0].id, host_id=node.id, name=HYPERV, part="Files", value="running", since=now())
    )
    session.commit()
    async with await AsyncConnection.connect(as_role(database_url, "poller"), autocommit=True) as connection:
        assert await adopt(connection) == 0
        node.adopts_guests = True
        session.commit()
        assert await adopt(connection) == 1
        assert await adopt(connection) == 0
    session.expire_all()
    assert [parent.name for parent in guest.parents] == ["hv1"]
