"""What the probe tests share: a Keep that is closed again, and two machines on one cable."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from namespaces import Cable, Namespace

from probes.base import Keep


@pytest.fixture
def keep() -> Iterator[Keep]:
    """What a process would keep between looks."""
    kept = Keep()
    yield kept
    kept.close()


@pytest.fixture
def cable() -> Iterator[Cable]:
    """Two network namespaces joined by a cable, gone after the test."""
    here, there = Namespace(), Namespace()
    try:
        here.join(there, "10.77.0.1/24", "10.77.0.2/24")
        for side, address in ((here, "fd77::1/64"), (there, "fd77::2/64")):
            device = side.do("ip", "-o", "-4", "address", "show", "to", "10.77.0.0/24").split()[1].split("@")[0]
            side.do("ip", "address", "add", address, "dev", device, "nodad")
        yield Cable(here, there)
    finally:
        here.close()
        there.close()
