"""Divisions, groups and sites for programs."""

from __future__ import annotations

from typing import Any, TypeVar

from flask import abort, url_for
from pydantic import Field
from sqlalchemy import func, select

from domain.inventory import Division as DivisionRow
from domain.inventory import Host, HostGroup, host_in_group
from domain.inventory import Site as SiteRow
from domain.rights import Right
from webui import access, store
from webui.api.layer import Made, Routes
from webui.api.problems import Refusal
from webui.api.shapes import Model, Page, Paged, after, page
from webui.written import Name, Place

routes = Routes("Divisions, groups, sites")
Row = TypeVar("Row", DivisionRow, HostGroup, SiteRow)


class Naming(Model):
    """What it is called."""

    name: Name


class Counted(Model):
    """A division or a group, and how many machines of it you may see."""

    id: int
    name: str
    machines: int


class Site(Place):
    """A place where machines stand, as it is written in a document; its number, and how many machines you may see there."""

    id: int
    machines: int


class SiteChanges(Place):
    """The fields of a site that are to change."""

    name: Name = Field(default_factory=str)


@routes.get("/divisions")
def divisions(query: Paged) -> Page[Counted]:
    """The divisions whose machines you may see; all of them for whoever sees every machine."""
    reach = access.divisions(Right.SEE)
    wanted = select(DivisionRow).where(DivisionRow.id > after(query.cursor)).order_by(DivisionRow.id)
    if reach is not None:
        wanted = wanted.where(DivisionRow.id.in_(reach))
    rows = list(store.session().scalars(wanted.limit(query.limit + 1)))
    counts = _counts(Host.division_id)
    return page(rows, query.limit, lambda one: one.id, lambda one: _counted(one, counts))


@routes.get("/divisions/{division_id}")
def division(division_id: int) -> Counted:
    """One division."""
    reach = access.divisions(Right.SEE)
    if reach is not None and division_id not in reach:
        abort(404)
    return _counted(_one(DivisionRow, division_id), _counts(Host.division_id))


@routes.post("/divisions", Right.ADMIN)
def make_division(body: Naming) -> Made[Counted]:
    """Add a division."""
    row = _made(DivisionRow(name=body.name))
    return Made(_counted(row, {}), url_for("api.places_division", division_id=row.id))


@routes.patch("/divisions/{division_id}", Right.ADMIN, row=DivisionRow, now=division)
def change_division(division_id: int, body: Naming) -> Counted:
    """Rename a division."""
    return _counted(_renamed(_one(DivisionRow, division_id), body.name), _counts(Host.division_id))


@routes.delete("/divisions/{division_id}", Right.ADMIN, row=DivisionRow, now=division)
def delete_division(division_id: int) -> None:
    """Remove a division; its machines stay, and belong to none."""
    store.session().delete(_one(DivisionRow, division_id))


@routes.get("/groups")
def groups(query: Paged) -> Page[Counted]:
    """The groups with a machine you may see; all of them for whoever sees every machine."""
    counts = _group_counts()
    wanted = select(HostGroup).where(HostGroup.id > after(query.cursor)).order_by(HostGroup.id)
    if not access.can(Right.SEE):
        wanted = wanted.where(HostGroup.id.in_(counts))
    rows = list(store.session().scalars(wanted.limit(query.limit + 1)))
    return page(rows, query.limit, lambda one: one.id, lambda one: _counted(one, counts))


@routes.get("/groups/{group_id}")
def group(group_id: int) -> Counted:
    """One group."""
    counts = _group_counts()
    if not access.can(Right.SEE) and group_id not in counts:
        abort(404)
    return _counted(_one(HostGroup, group_id), counts)


@routes.post("/groups", Right.ADMIN)
def make_group(body: Naming) -> Made[Counted]:
    """Add a group."""
    row = _made(HostGroup(name=body.name))
    return Made(_counted(row, {}), url_for("api.places_group", group_id=row.id))


@routes.patch("/groups/{group_id}", Right.ADMIN, row=HostGroup, now=group)
def change_group(group_id: int, body: Naming) -> Counted:
    """Rename a group."""
    return _counted(_renamed(_one(HostGroup, group_id), body.name), _group_counts())


@routes.delete("/groups/{group_id}", Right.ADMIN, row=HostGroup, now=group)
def delete_group(group_id: int) -> None:
    """Remove a group with its limits; its machines stay."""
    store.session().delete(_one(HostGroup, group_id))


@routes.get("/sites")
def sites(query: Paged) -> Page[Site]:
    """The sites where a machine stands that you may see; all of them for whoever sees every machine."""
    counts = _counts(Host.site_id)
    wanted = select(SiteRow).where(SiteRow.id > after(query.cursor)).order_by(SiteRow.id)
    if not access.can(Right.SEE):
        wanted = wanted.where(SiteRow.id.in_(counts))
    rows = list(store.session().scalars(wanted.limit(query.limit + 1)))
    return page(rows, query.limit, lambda one: one.id, lambda one: _site(one, counts))


@routes.get("/sites/{site_id}")
def site(site_id: int) -> Site:
    """One site."""
    counts = _counts(Host.site_id)
    if not access.can(Right.SEE) and site_id not in counts:
        abort(404)
    return _site(_one(SiteRow, site_id), counts)


@routes.post("/sites", Right.ADMIN)
def make_site(body: Place) -> Made[Site]:
    """Add a site, as it is written in a document."""
    row = _made(SiteRow(**body.model_dump()))
    return Made(_site(row, {}), url_for("api.places_site", site_id=row.id))


@routes.patch("/sites/{site_id}", Right.ADMIN, row=SiteRow, now=site)
def change_site(site_id: int, body: SiteChanges) -> Site:
    """Change the fields of a site that are sent."""
    row = _one(SiteRow, site_id)
    _renamed(row, body.name or row.name)
    for name, value in body.model_dump(exclude_unset=True).items():
        setattr(row, name, value)
    store.announce("inventory")
    store.session().flush()
    return _site(row, _counts(Host.site_id))


@routes.delete("/sites/{site_id}", Right.ADMIN, row=SiteRow, now=site)
def delete_site(site_id: int) -> None:
    """Remove a site; its machines stay, and stand nowhere."""
    store.session().delete(_one(SiteRow, site_id))


def _one(table: type[Row], id: int) -> Row:
    found = store.session().get(table, id)
    if found is None:
        abort(404)
    return found


def _made(row: Row) -> Row:
    _free(type(row), row.name)
    store.session().add(row)
    store.announce("inventory")
    store.session().flush()
    return row


def _renamed(row: Row, name: str) -> Row:
    if row.name != name:
        _free(type(row), name)
        row.name = name
        store.announce("inventory")
        store.session().flush()
    return row


def _free(table: type[Any], name: str) -> None:
    if store.session().scalar(select(table.id).where(table.name == name)) is not None:
        raise Refusal(409, "Another one has this name. Choose another name.", pointer="#/name")


def _counts(column: Any) -> dict[int, int]:
    """How many machines one may see of each."""
    rows = select(column, func.count()).where(access.within(Right.SEE), column.is_not(None)).group_by(column)
    return {id: count for id, count in store.session().execute(rows)}  # noqa: C416


def _group_counts() -> dict[int, int]:
    rows = (
        select(host_in_group.c.group_id, func.count())
        .join(Host, Host.id == host_in_group.c.host_id)
        .where(access.within(Right.SEE))
        .group_by(host_in_group.c.group_id)
    )
    return {id: count for id, count in store.session().execute(rows)}  # noqa: C416


def _counted(row: DivisionRow | HostGroup, counts: dict[int, int]) -> Counted:
    return Counted(id=row.id, name=row.name, machines=counts.get(row.id, 0))


def _site(row: SiteRow, counts: dict[int, int]) -> Site:
    return Site(
        id=row.id, name=row.name, address=row.address, latitude=row.latitude, longitude=row.longitude, zone=row.zone,
        note=row.note, machines=counts.get(row.id, 0),
    )  # fmt: skip
