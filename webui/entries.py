"""Machines as entries of a document, made true a few at a time: behind discovery, import, and the API."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import select

from domain.inventory import Division, Host, HostGroup, Site
from webui import documents, store
from webui.documents import Document, DocumentError
from webui.written import Group, Machine


def make_true(machines: Sequence[Machine]) -> tuple[list[str], dict[str, list[str]]]:
    """What changed, a line a change, and the groups, divisions and sites that were made for it. Nothing is committed.

    Raises DocumentError with one sentence, after which the caller rolls back.
    """
    database = store.session()
    wanted = dict.fromkeys(name for machine in machines for name in machine.groups)
    known = set(database.scalars(select(HostGroup.name).where(HostGroup.name.in_(wanted))))
    divisions = {machine.division for machine in machines if machine.division}
    old = set(database.scalars(select(Division.name).where(Division.name.in_(divisions))))
    standing = {machine.site for machine in machines if machine.site}
    there = set(database.scalars(select(Site.name).where(Site.name.in_(standing))))
    groups = [name for name in wanted if name not in known]
    new = tuple(Group(name=name) for name in groups) or None
    document = Document(version=1, groups=new, hosts=tuple(machines))
    lines = list(documents.apply(database, document, no_secret, local=False))
    return lines, {"groups": groups, "divisions": sorted(divisions - old), "sites": sorted(standing - there)}


def named(names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """These machines as they are, as entries of a document; those that do not exist are left out."""
    wanted = set(names)
    store.session().expire_all()
    written = documents.export(store.session(), wanted).model_dump(by_alias=True, mode="json")
    return {entry["name"]: entry for entry in written["hosts"] or ()}


def host(machine: Machine) -> Host:
    """The machine an entry has become."""
    return store.session().scalars(select(Host).where(Host.name == machine.name)).one()


def no_secret(_content: bytes, _place: str) -> bytes:
    """Seals nothing: entries of machines name credentials and bring none."""
    raise DocumentError("Machines that are added together bring no secrets.")  # and no entry of theirs can
