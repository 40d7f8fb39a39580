"""The audit, for programs: who did what to what, newest first, with the hashes that chain the rows."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import Field
from sqlalchemy import or_, select

from domain.audit import Audit as Row
from domain.rights import Right
from webui import deeds, store
from webui.api.layer import Routes
from webui.api.shapes import Id, Line, Model, Moment, Page, Paged, after, page
from webui.details import Names

routes = Routes("Audit")


class Chosen(Paged):
    """Which rows, newest first."""

    person: Annotated[Id | None, Field(description="The number of a person.")] = None
    what: Annotated[
        Line | None, Field(description="A kind, such as `login.failed`; or its beginning, such as `login`.")
    ] = None
    on: Annotated[Line | None, Field(description="What it was done to, such as `host:12`.")] = None
    from_: Annotated[Moment | None, Field(alias="from")] = None
    to: Moment | None = None


class AuditRow(Model):
    """One thing somebody did. `hash` (hex) is the SHA-256 of this row and of `previous`."""

    id: int
    at: datetime
    person_id: int | None
    person: str
    source: str
    what: str
    on: str
    said: str
    detail: dict[str, Any]
    previous: str
    hash: str


@routes.get("/audit", Right.ADMIN)
def index(query: Chosen) -> Page[AuditRow]:
    """What was done."""
    wanted = select(Row).order_by(Row.id.desc()).limit(query.limit + 1)
    before = after(query.cursor)
    if before:
        wanted = wanted.where(Row.id < before)
    if query.person is not None:
        wanted = wanted.where(Row.person_id == query.person)
    if query.what is not None:
        wanted = wanted.where(or_(Row.what == query.what, Row.what.startswith(f"{query.what}.", autoescape=True)))
    if query.on is not None:
        wanted = wanted.where(Row.on == query.on)
    if query.from_ is not None:
        wanted = wanted.where(Row.at >= query.from_)
    if query.to is not None:
        wanted = wanted.where(Row.at < query.to)
    rows = list(store.session().scalars(wanted))
    names = deeds.known(rows)
    return page(rows, query.limit, lambda one: one.id, lambda one: _entry(one, names))


def _entry(row: Row, names: Names) -> AuditRow:
    return AuditRow(
        id=row.id, at=row.at, person_id=row.person_id, person=row.person, source=row.source, what=row.what, on=row.on,
        said=deeds.sentence(row, names), detail=row.detail, previous=row.previous.hex(), hash=row.hash.hex(),
    )  # fmt: skip
