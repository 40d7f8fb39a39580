"""Gives a route its address: sealed for the notifier where it is a secret, for these pages can seal and not open."""

from __future__ import annotations

from typing import Any

from config import vault
from domain.inventory import next_id
from domain.recipients import Route
from notifier import addresses
from notifier.channels.base import Channel as Kind
from webui import store


def lead(route: Route, kind: Kind, address: Any) -> None:
    """From now on `route` leads to `address`, an instance of the kind's Address; not committed. Raises VaultError."""
    route.id = route.id or next_id(store.session(), "route")
    found = addresses.stored(kind, address, route.id, lambda: vault.sealer(store.settings().notifier_public))
    route.address, route.sealed, route.seal_id = found.address, found.sealed, found.seal_id
