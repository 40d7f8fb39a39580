"""A channel's secrets that somebody moved to another channel's row open nowhere, and nobody is called with them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from psycopg.rows import dict_row

from config import vault
from notifier.channels.base import Message, Undelivered
from notifier.hands import Hands
from notifier.outbox import ROUTE
from tests.flow.people import Village
from tests.flow.test_logins_used import Counting

MESSAGE = Message(
    key="m", kind="problem", severity="critical", title="t", text="x", at=datetime(2026, 1, 1, tzinfo=UTC),
    language="en", url="http://127.0.0.1",
)  # fmt: skip


def sealed(village: Village, channel: int) -> None:
    """A password for a channel, as the web stores it."""
    seal_id = vault.new_place(channel)
    box = vault.sealer(village.place / "notifier.pub").seal(
        json.dumps({"password": f"of {channel}"}).encode(), vault.place("channel", channel, seal_id)
    )
    village.ask("update channel set sealed = %s, seal_id = %s where id = %s", box, seal_id, channel)


@pytest.mark.parametrize("what", ["sealed = o.sealed", "sealed = o.sealed, seal_id = o.seal_id"])
def test_swapped_secrets_of_channels_call_nobody(database_url: str, tmp_path: Path, what: str) -> None:
    village, peers = Village(database_url, tmp_path), (Counting(), Counting())
    try:
        rina = village.person("rina")
        ways = []
        for number, peer in enumerate(peers):
            channel = village.mail(peer.port, f"mail {number}")
            sealed(village, channel)
            ways.append(village.route(rina, channel, {"mailbox": "rina@example.org"}))
        hands = Hands(vault.opener(tmp_path / "notifier.key"))

        def deliver(way: int) -> Undelivered:
            with psycopg.connect(database_url, row_factory=dict_row) as connection:
                row = connection.execute(ROUTE.encode(), [way]).fetchone()
            assert row
            with pytest.raises(Undelivered) as caught:
                hands.deliver(MESSAGE, row)
            return caught.value

        for way in ways:
            deliver(way)
        before = [peer.knocks for peer in peers]
        assert all(before)
        village.ask(f"update channel c set {what} from channel o where o.id <> c.id")
        for way in ways:
            assert "does not open" in str(deliver(way))
        assert [peer.knocks for peer in peers] == before
    finally:
        for peer in peers:
            peer.close()
