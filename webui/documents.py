"""Configuration as code: a document read, made true in the database, taken from it, and written down again."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session, selectinload

from domain.inventory import Check, Credential, Division, Host, HostGroup, Site, Threshold, owner
from domain.options import describe
from probes import catalogue
from webui import repeated
from webui.applying import Ask, DocumentError, Seal, make_true
from webui.written import Defaults, Document, Group, Limit, Login, Look, Machine, Place, Section, Source
from webui.yamltext import Text, TextError

__all__ = ["Document", "DocumentError", "apply", "dump", "export", "parse"]


def parse(text: str) -> Document:
    """The document written in `text`. Raises DocumentError with one sentence that names the place and the line."""
    try:
        read = Text(text)
    except TextError as error:
        raise DocumentError(str(error)) from None
    if not isinstance(read.data, dict):
        raise DocumentError("The file holds no document: it begins with 'version: 1', then hosts, groups, credentials.")
    try:
        document = Document.model_validate(read.data)
    except ValidationError as error:
        raise DocumentError(_first(error, read)) from None
    for path, said in _twice(document):
        raise DocumentError(_placed(read, path, said))
    return document


def apply(
    session: Session,
    document: Document,
    seal: Seal,
    *,
    ask: Ask | None = None,
    renew: bool = False,
    prune: bool = False,
    local: bool = True,
) -> Iterator[str]:
    """Make the inventory what `document` says, in the caller's transaction; gives the difference, a line a change.

    The last line sums up; where nothing changes there is no line at all. Raises DocumentError with one sentence,
    after which the caller rolls back. `seal(json, place)` seals a secret; `ask(question)` has a person type one, None
    where nobody is there; `renew` reads every secret again; `prune` removes what the document does not name, in the
    sections it has; `local` says that the caller may have files and variables of this machine read as secrets,
    which a request from the network may not.
    """
    return make_true(session, document, seal, ask=ask, renew=renew, prune=prune, local=local)


def export(session: Session, names: Collection[str] | None = None) -> Document:
    """The present inventory, or only its hosts of these `names`. Secrets stay where they are: an entry says its source,
    or that it is kept."""
    if names is not None:
        return Document.model_validate({"version": 1, "hosts": _hosts(session, names)})
    limits = list(
        session.scalars(select(Threshold).order_by(Threshold.measure, Threshold.part, Threshold.state.desc()))
    )
    return Document.model_validate({
        "version": 1,
        "defaults": {"thresholds": _limits(t for t in limits if owner(t)[0] == "all")},
        "groups": [
            Group(name=group.name, thresholds=_limits(t for t in limits if t.group_id == group.id))
            for group in session.scalars(select(HostGroup).order_by(HostGroup.name))
        ],
        "divisions": [
            Section(name=division.name, thresholds=_limits(t for t in limits if t.division_id == division.id))
            for division in session.scalars(select(Division).order_by(Division.name))
        ],
        "sites": [
            Place(name=row.name, address=row.address, latitude=row.latitude, longitude=row.longitude, zone=row.zone, note=row.note)
            for row in session.scalars(select(Site).order_by(Site.name))
        ] or None,
        "credentials": [_login(row) for row in session.scalars(select(Credential).order_by(Credential.name))],
        "hosts": _hosts(session, None, limits),
        "maintenance": repeated.export(session) or None,
    })  # fmt: skip


def _hosts(session: Session, names: Collection[str] | None, limits: list[Threshold] | None = None) -> list[Machine]:
    """The hosts (of these names, or all) as entries, in a handful of queries however many they are."""
    parts = (Host.groups, Host.parents, Host.division, Host.site)
    loaded = [selectinload(part) for part in parts] + [selectinload(Host.checks).selectinload(Check.credential)]
    chosen = select(Host).order_by(Host.name).options(*loaded)
    if names is not None:
        chosen = chosen.where(Host.name.in_(names))
    rows = list(session.scalars(chosen))
    if limits is None:
        order = (Threshold.measure, Threshold.part, Threshold.state.desc())
        own = select(Threshold).where(Threshold.host_id.in_([row.id for row in rows])).order_by(*order)
        limits = list(session.scalars(own))
    return [_machine(row, limits) for row in rows]


def dump(document: Document) -> str:
    """The document as YAML; `parse` reads the same document back."""
    plain = document.model_dump(by_alias=True, mode="python")
    sections = {key: value for key, value in plain.items() if value is not None and not (key == "remove" and not value)}
    tidy: dict[str, Any] = {"version": sections.pop("version")}
    for name, section in sections.items():
        tidy[name] = (
            [_tidy(entry) for entry in section] if isinstance(section, list | tuple) else _tidy(section, keep=True)
        )
    return yaml.safe_dump(tidy, sort_keys=False, allow_unicode=True, width=120, default_flow_style=False)


def _tidy(value: Any, keep: bool = False) -> Any:
    """Without what has its default (an entry that lacks it means the same)."""
    if isinstance(value, dict):
        pairs = {key: _tidy(entry) for key, entry in value.items()}
        return {
            key: entry
            for key, entry in pairs.items()
            if keep or (key == "checks" and entry is not None) or not _usual(key, entry)
        }
    if isinstance(value, list | tuple):
        return [_tidy(entry) for entry in value]
    return value


def _usual(key: str, value: Any) -> bool:
    usual = {
        "enabled": True,
        "everything": False,
        "adopts_guests": False,
        "normal": "usual",
        "deadline": 10,
        "for": "5m",
        "clear_for": 0,
    }
    return value in (None, "", [], {}) and value is not False if key not in usual else value == usual[key]


def _limits(rows: Iterable[Threshold]) -> tuple[Limit, ...]:
    return tuple(
        Limit.model_validate({
            "measure": row.measure, "part": row.part, "state": row.state, "over": row.over, "under": row.under,
            "clear": row.clear, "for": row.for_s, "clear_for": row.clear_for_s,
        })
        for row in rows
    )  # fmt: skip


def _login(row: Credential) -> Login:
    if row.fetched_from:
        fetched = Source(how="fetch", place=row.fetched_from)
        return Login.model_validate({"name": row.name, "kind": row.kind, "username": row.username, "secret": fetched})
    how, _, place = row.source.partition(":")
    source = (
        Source(how="env" if how == "env" else "file", place=place) if how in ("env", "file") else Source(how="kept")
    )
    return Login.model_validate({"name": row.name, "kind": row.kind, "username": row.username, "secret": source})


def _machine(row: Host, limits: list[Threshold]) -> Machine:
    return Machine.model_validate({
        "name": row.name, "address": row.address, "note": row.note, "enabled": row.enabled,
        "adopts_guests": row.adopts_guests, "normal": row.sensitivity,
        "groups": tuple(group.name for group in row.groups),
        "parents": tuple(sorted(parent.name for parent in row.parents)),
        "division": row.division.name if row.division else None,
        "site": row.site.name if row.site else None, "runbook": row.runbook,
        "interval": row.interval_s, "attempts": row.attempts, "recover_after": row.recover_after,
        "checks": tuple(_look(check) for check in row.checks),
        "thresholds": _limits(t for t in limits if t.host_id == row.id),
    })  # fmt: skip


def _look(row: Check) -> Look:
    probe = catalogue().get(row.kind)
    if probe is None:
        raise DocumentError(
            f"The check '{row.name}' of '{row.host.name}' is of kind '{row.kind}', which this version has not."
        )
    shown = {o.name: o.default for o in describe(probe.options) if not o.hidden}
    options = {
        name: list(value) if isinstance(value, list | tuple) else value
        for name, value in row.options.items()
        if name in shown and value != shown[name]
    }
    return Look.model_validate({
        "kind": row.kind, "name": row.name, "options": options, "interval": row.interval_s, "deadline": row.deadline_s,
        "credential": row.credential.name if row.credential else None, "enabled": row.enabled,
        "reachability": None if row.reachability == probe.reachability else row.reachability,
    })  # fmt: skip


def _twice(document: Document) -> Iterator[tuple[list[str | int], str]]:
    """Names given twice, with the place of the second."""
    for section in ("groups", "divisions", "sites", "credentials", "hosts"):
        entries: Sequence[Any] = getattr(document, section) or ()
        yield from _again([section], [entry.name for entry in entries])
        for number, entry in enumerate(entries):
            place: list[str | int] = [section, number]
            for part in ("groups", "parents"):
                yield from _again([*place, part], list(getattr(entry, part, ())))
            yield from _again([*place, "checks"], [check.name for check in getattr(entry, "checks", None) or ()])
            yield from _again([*place, "thresholds"], [limit.key for limit in getattr(entry, "thresholds", ())])
    if document.defaults:
        yield from _again(["defaults", "thresholds"], [limit.key for limit in document.defaults.thresholds])
    named = {host.name for host in document.hosts or ()}
    for number, name in enumerate(document.remove):
        if name in named:
            yield ["remove", number], f"'{name}' is among the hosts too; it cannot be both"


def _again(place: list[str | int], names: Sequence[Any]) -> Iterator[tuple[list[str | int], str]]:
    seen: set[Any] = set()
    for number, name in enumerate(names):
        if name in seen:
            shown = name if isinstance(name, str) else " ".join(filter(None, name))
            yield [*place, number], f"'{shown}' is there twice"
        seen.add(name)


def _first(error: ValidationError, read: Text) -> str:
    """The first thing wrong, as a sentence."""
    errors = error.errors()
    misspelt = (e for e in errors if e["type"] == "extra_forbidden" and e["loc"][:-1] == errors[0]["loc"][:-1])
    first = next(misspelt, errors[0]) if errors[0]["type"] == "missing" else errors[0]
    path = [step for step in first["loc"] if isinstance(step, str | int)]
    kind, told = first["type"], str(first.get("ctx", {}).get("error", first["msg"]))
    if kind == "extra_forbidden":
        around = _model_at(path[:-1])
        known = [f.alias or n for n, f in around.model_fields.items()] if around else []
        return _placed(read, path[:-1], f"'{path[-1]}' is not known; known are: {', '.join(known)}", at=path)
    if kind == "missing":
        return _placed(read, path[:-1], f"'{path[-1]}' is missing")
    if path and isinstance(path[-1], str) and path[-1] in _words():
        return _placed(read, path[:-1], f"'{path[-1]}' {_said(kind, told, first['input'])}", at=path)
    return _placed(read, path, _said(kind, told, first["input"]))


def _said(kind: str, told: str, given: Any) -> str:
    if kind == "value_error":
        return told.rstrip(".")
    short = repr(given) if len(repr(given)) <= 60 else f"{repr(given)[:57]}..."
    plain = {
        "tuple_type": "takes a list",
        "model_type": "takes a list of keys and values",
        "dict_type": "takes keys and values",
    }
    return plain.get(kind) or f"{told[:1].lower()}{told[1:]}".replace("input should be", "takes") + f", not {short}"


_MODELS: Mapping[str, type[BaseModel]] = {
    "groups": Group, "divisions": Section, "sites": Place, "credentials": Login, "hosts": Machine, "checks": Look, "thresholds": Limit,
    "defaults": Defaults,
}  # fmt: skip


_EVERY: tuple[type[BaseModel], ...] = (Document, *_MODELS.values())


def _words() -> set[str]:
    return {f.alias or n for model in _EVERY for n, f in model.model_fields.items()}


def _model_at(path: list[str | int]) -> type[BaseModel] | None:
    names = [step for step in path if isinstance(step, str)]
    if not names:
        return Document
    return _MODELS.get(names[-1])


def _placed(read: Text, path: Sequence[str | int], said: str, at: Sequence[str | int] | None = None) -> str:
    """`hosts[3] 'web1', checks[0] 'ssh' (line 12): what is wrong.`"""
    parts: list[str] = []
    here = read.data
    for step in path:
        here = _down(here, step)
        if isinstance(step, int) and parts:
            name = here.get("name") if isinstance(here, dict) else here if isinstance(here, str) else None
            parts[-1] += f"[{step}]" + (f" '{name}'" if isinstance(name, str) and len(name) <= 100 else "")
        else:
            parts.append(str(step))
    line = read.line(path if at is None else at)
    where = ", ".join(parts)
    told = f"{where}{f' (line {line})' if line and where else ''}: {said}" if where else said[:1].upper() + said[1:]
    return told if told.endswith(".") else f"{told}."


def _down(here: Any, step: str | int) -> Any:
    if isinstance(here, dict):
        return here.get(step)
    if isinstance(here, list) and isinstance(step, int) and step < len(here):
        return here[step]
    return None
