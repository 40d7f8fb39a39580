"""How a Reading is written down for people and programs: the form of `pantau probe --json` and of a test's answer."""

from __future__ import annotations

from math import isfinite
from typing import Any

from domain.reading import Reading


def as_json(reading: Reading) -> dict[str, Any]:
    """{"at", "took", "failure", "facts", "measures", "cost"}; `at` is ISO 8601 UTC, `took` seconds.

    A value that is no finite number is null: JSON has no word for it, and PostgreSQL refuses the ones Python has.
    """
    failure = reading.failure
    return {
        "at": reading.at.isoformat() if reading.at else None,
        "took": round(reading.took, 6),
        "failure": {"kind": str(failure.kind), "detail": failure.detail} if failure else None,
        "facts": [{"name": fact.name, "value": fact.value, "of": fact.of} for fact in reading.facts],
        "measures": [
            {
                "name": m.name,
                "value": m.value if isfinite(m.value) else None,
                "unit": m.unit,
                "of": m.of,
                "kind": m.kind,
            }
            for m in reading.measures
        ],
        "cost": {"sent": reading.cost.sent, "received": reading.cost.received},
    }
