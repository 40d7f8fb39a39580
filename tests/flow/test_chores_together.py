"""Housekeeping beside the poller's heartbeat: neither may lie within the other's transaction."""

from __future__ import annotations

import asyncio

from psycopg.pq import TransactionStatus

from poller.chores import Chores
from tests.roles import as_role


def test_chores_at_the_same_moment_leave_no_transaction_open(database_url: str) -> None:
    url = as_role(database_url, "poller")

    async def together() -> TransactionStatus:
        chores = Chores(url, 7, 90)
        short = [one() for _ in range(10) for one in (chores.acknowledged, chores.adopt, lambda: chores.heartbeat({}))]
        await asyncio.gather(chores.hourly(), *short)
        connection = await chores.open()
        status = connection.info.transaction_status
        await connection.close()
        return status

    assert asyncio.run(together()) is TransactionStatus.IDLE
