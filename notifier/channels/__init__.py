"""Ways to people: one file per channel; `catalogue` collects them."""

import importlib
import pkgutil
from functools import cache

from notifier.channels.base import Channel


@cache
def catalogue() -> dict[str, Channel]:
    """Every channel by its kind: each module here that offers a CHANNEL."""
    found = {}
    for entry in pkgutil.iter_modules(__path__):
        channel = getattr(importlib.import_module(f"{__name__}.{entry.name}"), "CHANNEL", None)
        if isinstance(channel, Channel):
            found[channel.kind] = channel
    return found
