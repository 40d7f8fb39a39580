"""Puts a message into the hands of its channel: the sender, the address and the opened secrets, from rows as stored."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from config.vault import Opener, VaultError
from domain.options import fill
from notifier.channels import catalogue
from notifier.channels.base import Hops, Message, Sending, Sent, Undelivered
from probes.base import Keep

PLACE = (
    "case when strpos(c.seal_id, '/') = 0 or starts_with(c.seal_id, c.id || '/') then 'channel:' || c.seal_id"
    " else 'of another row' end as place"
)
"""SQL: where a channel's secrets open. With a seal_id that was moved from another row they open nowhere."""
DEADLINE = 20.0
"""Seconds one message may take."""


@dataclass(frozen=True)
class Hands:
    """What every delivery needs: the key that opens channels' secrets and sealed addresses, and what channels keep open."""

    opener: Opener
    keep: Keep = field(default_factory=Keep)

    def deliver(self, message: Message, way: Mapping[str, Any], hops: Hops | None = None) -> Sent:
        """Deliver by `way`: `kind`, `options`, and of the channel's secrets and the address each plain or in a box.

        `secret` are secrets that are open already, else `sealed` (or None) is their box for `place`; `address_sealed` (or
        None) is the address's for `address_place`, without it `address` is all there is. Raises Undelivered.
        """
        channel = catalogue().get(way["kind"])
        if channel is None:
            raise Undelivered(f"This Pantau knows no channel of the kind '{way['kind']}'.", "setup")
        try:
            sender = fill(channel.options, way["options"])
            secret = way["secret"] if "secret" in way else self.opened(way["sealed"], way["place"])
            boxed = way.get("address_sealed")
            address = fill(channel.address, self.opened(boxed, way["address_place"]) if boxed else way["address"])
        except (ValueError, VaultError) as error:
            raise Undelivered(str(error), "setup") from None
        return channel.deliver(Sending(message, sender, secret, address, DEADLINE, self.keep, hops or Hops()))

    def opened(self, box: bytes | None, place: str) -> dict[str, Any]:
        """The JSON object in a box; empty where there is none. Raises VaultError."""
        found: dict[str, Any] = json.loads(self.opener.open(bytes(box), place)) if box else {}
        return found
