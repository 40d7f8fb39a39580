"""Everything the pages do, for programs: one module a subject, each a list of operations. Put together here."""

from __future__ import annotations

from flask import Blueprint

from webui.api import (
    actions,
    audits,
    credentials,
    discoveries,
    docs,
    estate,
    history,
    incidents,
    layer,
    limits,
    looks,
    machines,
    maintenance,
    people,
    places,
    talk,
    telling,
    unattended,
)
from webui.api.layer import Operation, Routes

HOME = "/api/v1"
SUBJECTS: tuple[Routes, ...] = (
    machines.routes,
    history.routes,
    looks.routes,
    incidents.routes,
    talk.routes,
    limits.routes,
    maintenance.routes,
    actions.routes,
    unattended.routes,
    places.routes,
    telling.routes,
    discoveries.routes,
    credentials.routes,
    people.routes,
    audits.routes,
    estate.routes,
)
OPERATIONS: tuple[Operation, ...] = tuple(one for routes in SUBJECTS for one in routes.operations)


def blueprint() -> Blueprint:
    """All operations, the document that describes them, and the page that shows it."""
    made = Blueprint("api", __name__, url_prefix=HOME)
    for one in OPERATIONS:
        layer.register(made, one)
    docs.register(made, OPERATIONS, HOME)
    return made
