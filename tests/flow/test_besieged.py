"""A notifier killed again and again, and its PostgreSQL, loses nothing, and repeats only what it could not know of."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.flow.siege import Siege


@pytest.mark.timeout(600)
def test_kills_and_bad_receivers_lose_nothing_and_repeat_only_what_was_cut_off(place: Path) -> None:
    found = Siege(place, seed=3).run(8, lambda _: None)
    assert found["changes"] > 20 and found["deliveries"]["sent"] > 10
    assert set(found["deliveries"]) <= {"sent", "dropped"}
    assert not found["lost"] and not found["out of order"] and not found["repeated without a reason"]
    assert found["still waiting"] == found["stuck jobs"] == 0
