"""Looking now, for programs: ask, and poll for what came of it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from flask import abort, url_for
from pydantic import Field, ValidationError
from sqlalchemy import select

from domain.inventory import Credential
from domain.requests import Look as Row
from domain.rights import Right
from probes import catalogue
from webui import access, audited, checks, looks, store
from webui.api.layer import Asked, Routes, grave
from webui.api.problems import Refusal
from webui.api.shapes import Model
from webui.written import Look as Check

routes = Routes("Looking now")


class Asking(Model):
    """A look somebody asked for. `answer` grows while it is worked on; it is done when `done_at` is set.

    Of `run` the answer is {"readings": [...]}, of `test` {"rungs": [...], "reading": ...}; {"error": sentence} where it
    could not be made at all.
    """

    id: str
    kind: Literal["run", "test", "sweep"]
    machine: int | None
    asked_at: datetime
    claimed_at: datetime | None
    done_at: datetime | None
    pending: bool
    answer: dict[str, Any]


class Trial(Model):
    """A check to try out, as in a document: its `kind`, `options`, and the name of a `credential`."""

    kind: str
    options: dict[str, Any] = Field(default_factory=dict)
    credential: str | None = None


@routes.post("/machines/{host_id}/look", Right.LOOK)
def run(host_id: int) -> Asked[Asking]:
    """Look at all checks of a machine now."""
    host = access.host(host_id, Right.LOOK)
    if not host.enabled:
        raise Refusal(409, "This machine is switched off; nobody looks at it.")
    audited.note("look.asked", f"host:{host.id}", name=host.name)
    return _asked(looks.run(host.id))


@routes.post("/machines/{host_id}/test", Right.EDIT)
def test(host_id: int, body: Trial) -> Asked[Asking]:
    """Try out a check on a machine, without storing it or what it brings."""
    host = access.host(host_id, Right.EDIT)
    if not checks.allowed(host):
        raise Refusal(403, "This is the machine Pantau runs on. Only an administrator may have it watched.")
    try:
        check = Check.model_validate({"kind": body.kind, "options": body.options, "credential": body.credential})
    except ValidationError as error:
        said = str(error.errors()[0].get("ctx", {}).get("error", error.errors()[0]["msg"]))
        raise Refusal(422, f"The check {said.rstrip('.')}.", pointer="#/options") from None
    credential = None
    if check.credential is not None:
        wanted = select(Credential.id).where(Credential.name == check.credential)
        credential = store.session().scalar(wanted.where(Credential.kind.in_(catalogue()[check.kind].credentials)))
        if credential is not None and all(
            checks.elsewhere(one, check.kind, credential, check.options) for one in (None, *host.checks)
        ):
            credential = None  # a login that does not go there already is not theirs to send, nor to know of
        if credential is None:
            raise Refusal(422, "There is no such credential for a check of this kind.", pointer="#/credential")
        if all(checks.aims(one, check.kind, credential, check.options) for one in (None, *host.checks)):
            grave()
    return _asked(looks.test(host, check.kind, check.options, credential, None))


@routes.get("/looks/{look_id}")
def show(look_id: str) -> Asking:
    """What came of a look you asked for, as far as it has come."""
    row = store.session().get(Row, look_id)
    if row is None or row.asked_by != access.person().id:
        abort(404)
    return _look(row)


def _asked(row: Row) -> Asked[Asking]:
    store.session().flush()
    store.session().refresh(row)
    return Asked(_look(row), url_for("api.looks_show", look_id=row.id))


def _look(row: Row) -> Asking:
    return Asking(
        id=row.id,
        kind=row.kind,
        machine=row.host_id,
        asked_at=row.asked_at,
        claimed_at=row.claimed_at,
        done_at=row.done_at,
        pending=looks.pending(row),
        answer=row.answer,
    )
