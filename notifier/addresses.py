"""Addresses that are secrets: sealed for their own row, so that the notifier alone opens them; beside the box what may be read."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from psycopg import Connection
from psycopg.types.json import Jsonb

from config import vault
from config.vault import Sealer
from domain.options import fill
from notifier.channels import catalogue
from notifier.channels.base import Channel

PLACE = "case when starts_with(r.seal_id, r.id || '/') then 'route:' || r.seal_id else 'of another row' end as address_place"
"""SQL: where a route's address opens. With a seal_id that was moved from another row it opens nowhere."""


@dataclass(frozen=True)
class Stored:
    """An address as a row of `route` holds it: what may be read, and the box with its place where it is a secret."""

    address: dict[str, Any]
    sealed: bytes | None = None
    seal_id: str = ""


def stored(channel: Channel, address: Any, route_id: int, sealer: Callable[[], Sealer]) -> Stored:
    """How `address`, an instance of the channel's Address, lies in the row `route_id`. Raises VaultError."""
    if channel.shown is None:
        return Stored(plain(asdict(address)))
    return _boxed(plain(asdict(address)), dict(channel.shown(address)), route_id, sealer())


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of an address as JSON has them."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def seal_all(connection: Connection[Any], sealer: Sealer) -> int:
    """Seal every address that is a secret and lies open, as they did before there were boxes. How many; not committed."""
    private = {kind: channel for kind, channel in catalogue().items() if channel.private}
    rows = connection.execute(
        "select r.id, c.kind, r.address from route r join channel c on c.id = r.channel_id"
        " where r.sealed is null and c.kind = any(%s) order by r.id for no key update of r",
        [list(private)],
    ).fetchall()
    for id, kind, values in rows:
        found = _boxed(values, _readable(private[kind], values), id, sealer)
        connection.execute(
            "update route set address = %s, sealed = %s, seal_id = %s where id = %s",
            [Jsonb(found.address), found.sealed, found.seal_id, id],
        )
    return len(rows)


def _boxed(values: dict[str, Any], readable: dict[str, str], route_id: int, sealer: Sealer) -> Stored:
    seal_id = vault.new_place(route_id)
    box = sealer.seal(json.dumps(values).encode(), vault.place("route", route_id, seal_id))
    return Stored(readable, box, seal_id)


def _readable(channel: Channel, values: dict[str, Any]) -> dict[str, str]:
    """What may be read of stored values; nothing where this version does not take them any more."""
    try:
        return dict(channel.shown(fill(channel.address, values))) if channel.shown else {}
    except ValueError:
        return {}
