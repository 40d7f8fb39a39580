"""Eyes and hands: one file per way of reaching a machine; `catalogue` collects them."""

import importlib
import pkgutil
from functools import cache

from probes.base import Probe


@cache
def catalogue() -> dict[str, Probe]:
    """Every probe by its kind: each module (or package) here that offers a PROBE."""
    found = {}
    for entry in pkgutil.iter_modules(__path__):
        probe = getattr(importlib.import_module(f"{__name__}.{entry.name}"), "PROBE", None)
        if isinstance(probe, Probe):
            found[probe.kind] = probe
    return found
