"""Strangers' requests, made from the OpenAPI document by schemathesis: in shape, out of shape, and from the edges."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import schemathesis
from flask import Flask
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import Status, events, from_schema

CHECKS = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance",
    "response_schema_conformance", "negative_data_rejection", "missing_required_header", "unsupported_method",
)  # fmt: skip
"""What must hold of every answer. Left out: `positive_data_acceptance` (a name that is taken fits every schema),
`use_after_free` and `ensure_resource_availability` (others of the many requests delete what one of them made)."""


REFUSED = ["400", "401", "403", "404", "405", "406", "409", "413", "415", "422"]
"""How what is out of shape may be answered; 413 where it is too large besides."""
SUICIDE = "people.revoke"
"""By which a caller ends its own token, and with it everything that comes after: asked for last."""


@dataclass
class Outcome:
    """What came of it: how many requests, their statuses, and every complaint."""

    requests: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    operations: set[str] = field(default_factory=set)
    complaints: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        codes = ", ".join(f"{code}: {count}" for code, count in sorted(self.statuses.items()))
        return f"{self.requests} requests to {len(self.operations)} operations ({codes}), {len(self.complaints)} complaints"


def fuzz(
    app: Flask,
    document: dict[str, Any],
    headers: Mapping[str, str],
    examples: int,
    seed: int,
    known: Mapping[str, Collection[str | int]],
    edges: bool = True,
    only: Collection[str] = (),
    without: Collection[str] = (SUICIDE,),
) -> Outcome:
    """Ask `examples` questions of every operation (or of these alone), half of them about what `known` says is there.

    With `edges` every value of a schema that borders on being wrong is asked for besides, and every wrong method.
    """
    config = SchemathesisConfig.from_dict({
        "seed": seed,
        "headers": {"Accept-Encoding": "identity", **headers},
        "continue-on-failure": True,
        "generation": {"max-examples": examples, "mode": "all", "deterministic": False, "database": "none"},
        "phases": {"stateful": {"enabled": False}, "coverage": {"enabled": edges}},
        "checks": {
            "enabled": False,
            **{name: {"enabled": True} for name in CHECKS},
            "negative_data_rejection": {"enabled": True, "expected-statuses": REFUSED},
        },
        "dictionaries": {name: {"values": list(values)} for name, values in known.items() if values},
        "parameters": {f"path.{name}": {"dictionary": name, "probability": 0.5} for name, values in known.items() if values},
        "warnings": False,
    })  # fmt: skip
    schema = schemathesis.openapi.from_dict(document, config=config)
    schema.app, schema.location = app, "/api/v1/openapi.json"
    schema = schema.include(operation_id=list(only)) if only else schema.exclude(operation_id=list(without))
    return _run(schema)


def _run(schema: Any) -> Outcome:
    found = Outcome()
    for event in from_schema(schema).execute():
        if isinstance(event, events.NonFatalError | events.FatalError):
            error = event.value if isinstance(event, events.NonFatalError) else event.exception
            found.complaints.append(f"{getattr(event, 'label', '')}: {error!r}")
        if not isinstance(event, events.ScenarioFinished):
            continue
        recorder = event.recorder
        if recorder.interactions:
            found.operations.add(recorder.label)
        for interaction in recorder.interactions.values():
            found.requests += 1
            if interaction.response is not None:
                found.statuses[interaction.response.status_code] += 1
        for _id, checks in recorder.checks.items():
            for check in checks:
                if check.status == Status.FAILURE and check.failure_info is not None:
                    failure = check.failure_info.failure
                    found.complaints.append(
                        f"{recorder.label} [{check.name}] {failure.title}: {failure.message}\n  {check.failure_info.code_sample}"
                    )
    return found
