"""Looking through a network, for programs: begun, followed, stopped. What is found is added as any machine is."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from flask import abort, url_for
from pydantic import Field
from sqlalchemy import select

from domain.inventory import Credential
from domain.requests import Discovery as Row
from domain.requests import Found as FoundRow
from domain.rights import Right
from webui import access, addresses, discover, store
from webui.api.layer import Asked, Routes, grave, only_tried
from webui.api.problems import Refusal, Wrong
from webui.api.shapes import Line, Model

routes = Routes("Discovery")


class Wanted(Model):
    """Where to look (networks, ranges, addresses or names, one a line), how fast, with which SNMP credentials by name."""

    addresses: Annotated[str, Field(min_length=1, max_length=200_000)]
    rate: Annotated[float, Field(ge=discover.SLOWEST, le=discover.FASTEST, description="Questions a second.")] = discover.RATE  # fmt: skip
    credentials: Annotated[list[Line], Field(max_length=50)] = Field(default_factory=list)
    trace: bool = True


class Found(Model):
    """A machine that answered: its address, and what was seen of it (its name, ports, banners, and the way there)."""

    address: str
    seen: dict[str, Any]


class Discovery(Model):
    """A network being looked through: how far it is, and what answered so far."""

    id: str
    asked_at: datetime
    done_at: datetime | None
    stop_at: datetime | None
    looked: int
    of: int
    note: str
    found: list[Found]


@routes.post("/discoveries", Right.ADMIN)
def begin(body: Wanted) -> Asked[Discovery]:
    """Look through a network."""
    pasted = addresses.read(body.addresses, discover.MOST, discover.SMALLEST_PREFIX)
    if pasted.wrong or not pasted.addresses:
        wrongs = [Wrong(detail=sentence, pointer="#/addresses") for sentence in pasted.wrong[:20]]
        raise Refusal(422, wrongs[0].detail if wrongs else "There is no address in it.", errors=wrongs)
    known = select(Credential.name, Credential.id).where(Credential.kind.in_(discover.SNMP_KINDS))
    ids = dict(store.session().execute(known).all())
    strange = [name for name in body.credentials if name not in ids]
    if strange:
        raise Refusal(422, f"There is no SNMP credential '{strange[0]}'.", pointer="#/credentials")
    if body.credentials:
        grave()
    row = discover.ask(pasted, body.rate, body.trace, {ids[name] for name in body.credentials})
    return Asked(_discovery(row), url_for("api.discoveries_show", discovery_id=row.id))


@routes.get("/discoveries/{discovery_id}", Right.ADMIN)
def show(discovery_id: str) -> Discovery:
    """How far it is, and what answered."""
    return _discovery(_row(discovery_id))


@routes.post("/discoveries/{discovery_id}/stop", Right.ADMIN)
def stop(discovery_id: str) -> Discovery:
    """Stop looking; what was found stays."""
    row = _row(discovery_id)
    if not discover.end(row):
        only_tried()
    return _discovery(row)


def _row(discovery_id: str) -> Row:
    found = store.session().get(Row, discovery_id)
    if found is None or found.asked_by != access.person().id:
        abort(404)
    return found


def _discovery(row: Row) -> Discovery:
    session = store.session()
    session.flush()
    session.refresh(row)
    found = session.scalars(select(FoundRow).where(FoundRow.discovery_id == row.id).order_by(FoundRow.place))
    return Discovery(
        id=row.id, asked_at=row.asked_at, done_at=row.done_at, stop_at=row.stop_at, looked=row.looked,
        of=len(row.addresses), note=row.note, found=[Found(address=one.address, seen=one.seen) for one in found],
    )  # fmt: skip
