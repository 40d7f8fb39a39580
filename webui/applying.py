"""Makes the inventory what a document says, and says what that changed."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, selectinload

from config import vault
from domain.clock import now
from domain.inventory import Check, Credential, Division, Host, HostGroup, Site, Threshold, host_parent, next_id, owner
from domain.options import describe, fill
from domain.reading import Secret
from probes.ssh.session import Refused, private_key
from webui import repeated
from webui.written import Document, Limit, Login, Look, Machine, Place, Repeated, Source

Seal = Callable[[bytes, str], bytes]
Ask = Callable[[str], str]
LONGEST_SECRET = 64 << 10
_LOCK = 0x70616E74  # "pant": two documents at once wait for each other


TAKEN = "23505"
"""What PostgreSQL calls a second row with a name."""


class DocumentError(Exception):
    """The document cannot be applied; the message is one sentence with the place."""


def make_true(
    session: Session, document: Document, seal: Seal, *, ask: Ask | None, renew: bool, prune: bool, local: bool
) -> Iterator[str]:
    """See webui.documents.apply."""
    session.execute(text("select pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    work = _Work(session, document, _Secrets(seal, ask, renew, local), prune)
    try:
        yield from work.run()
    except IntegrityError as error:
        if getattr(error.orig, "sqlstate", "") == TAKEN:  # perhaps by what this person may not see
            raise DocumentError("A name in it is taken already; choose another one.") from None
        raise DocumentError("Somebody else changed the inventory at the same moment; apply again.") from None


class _Secrets:
    """Reads and seals secrets, all of them before anything is said about them."""

    def __init__(self, seal: Seal, ask: Ask | None, renew: bool, local: bool) -> None:
        self._seal, self._ask, self._renew, self._local = seal, ask, renew, local

    def needed(self, login: Login, row: Credential | None, where: str) -> bool:
        """Whether the secret of `login` must be read now."""
        if row is not None and row.fetched_from and login.secret.how == "kept":
            raise DocumentError(f"{where} is fetched from elsewhere, so there is no secret here to keep.")
        if row is None or row.kind != login.kind:
            if login.secret.how == "kept":
                has = "is new" if row is None else f"was of kind {row.kind}"
                raise DocumentError(
                    f"{where} {has}, so there is no secret to keep; say where it is: env, file or prompt."
                )
            return True
        return login.secret.how != "kept" and (self._renew or login.secret.stored != row.source)

    def sealed(self, login: Login, seal_id: str, where: str) -> bytes:
        """The secret of `login`, read and sealed for its place."""
        word = self._read(
            login.secret, f"{'Private key' if login.kind == 'ssh_key' else 'Password'} of {login.name}", where
        )
        if login.kind == "ssh_key":
            value = self._key(login, word, where)
        else:
            value = {"password": word.removesuffix("\n").removesuffix("\r")}
            if login.passphrase is not None:
                value["passphrase"] = self._read(login.passphrase, f"Privacy password of {login.name}", where).rstrip(
                    "\r\n"
                )
        if not word.strip():
            raise DocumentError(f"{where}: its secret is empty.")
        return self._seal(json.dumps(value).encode(), f"credential:{seal_id}")

    def _key(self, login: Login, key: str, where: str) -> dict[str, str]:
        passphrase = ""
        if login.passphrase is not None:
            passphrase = self._read(login.passphrase, f"Passphrase of {login.name}", where).rstrip("\r\n")
        try:
            private_key(Secret(login.username, private_key=key, passphrase=passphrase))
        except Refused as error:
            said = str(error).rstrip(".").replace("The private key of this credential", "its private key")
            raise DocumentError(f"{where}: {said}.") from None
        return {"private_key": key, "passphrase": passphrase}

    def _read(self, source: Source, question: str, where: str) -> str:
        if source.how == "prompt":
            if self._ask is None:
                raise DocumentError(
                    f"{where}: its secret is typed at a terminal, and nobody is at one; use env or file."
                )
            return self._ask(question)
        if not self._local:
            raise DocumentError(f"{where}: {source.how} is read only by `pantau apply` on Pantau's own machine.")
        if source.how == "env":
            value = os.environ.get(source.place)
            if value is None:
                raise DocumentError(f"{where}: the environment variable {source.place} is not set.")
            return value
        return _file(Path(source.place).expanduser(), where)


def _file(path: Path, where: str) -> str:
    try:
        if not path.is_file():
            raise DocumentError(f"{where}: the file {path} {'is not a file' if path.exists() else 'is not there'}.")
        with path.open("rb") as opened:
            content = opened.read(LONGEST_SECRET + 1)
        if len(content) > LONGEST_SECRET:
            raise DocumentError(f"{where}: the file {path} is larger than {LONGEST_SECRET >> 10} KiB; it is no secret.")
        return content.decode()
    except OSError as error:
        raise DocumentError(f"{where}: the file {path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise DocumentError(f"{where}: the file {path} is not text.") from None


class _Work:
    """One document being made true: what is there by name, and what was changed so far."""

    def __init__(self, session: Session, document: Document, secrets: _Secrets, prune: bool) -> None:
        self._session, self._document, self._secrets, self._prune = session, document, secrets, prune
        self._groups = {row.name: row for row in session.scalars(select(HostGroup))}
        self._credentials = {row.name: row for row in session.scalars(select(Credential))}
        loaded = (
            selectinload(Host.groups),
            selectinload(Host.parents),
            selectinload(Host.checks),
            selectinload(Host.site),
        )
        self._hosts = {row.name: row for row in session.scalars(select(Host).options(*loaded))}
        self._limits: dict[tuple[str, int | None], list[Threshold]] = {}
        for limit in session.scalars(select(Threshold).order_by(Threshold.id)):
            self._limits.setdefault(owner(limit), []).append(limit)
        self._divisions = {row.name: row for row in session.scalars(select(Division))}
        self._sites = {row.name: row for row in session.scalars(select(Site))}
        self._counted = {"+": 0, "~": 0, "-": 0}

    def run(self) -> Iterator[str]:
        """Every change, in an order in which each finds what it needs."""
        with self._session.no_autoflush:
            for line in self._steps():
                self._counted[line[0]] += 1
                yield line
            self._session.flush()
        if any(self._counted.values()):
            yield (
                "{+} added, {~} changed, {-} removed.".replace("{+}", str(self._counted["+"]))
                .replace("{~}", str(self._counted["~"]))
                .replace("{-}", str(self._counted["-"]))
            )

    def _steps(self) -> Iterator[str]:
        document = self._document
        for number, login in enumerate(document.credentials or ()):
            yield from self._credential(login, f"credentials[{number}] '{login.name}'")
        for group in document.groups or ():
            row = self._groups.get(group.name)
            if row is None:
                row = self._groups[group.name] = HostGroup(name=group.name)
                self._session.add(row)
                yield f"+ group {group.name}"
            self._session.flush()
            yield from self._thresholds(group.thresholds, f"group {group.name}", group_id=row.id)
        for section in document.divisions or ():
            if section.name not in self._divisions:
                yield from self._division(section.name)
            self._session.flush()
            home = self._divisions[section.name]
            yield from self._thresholds(section.thresholds, f"division {section.name}", division_id=home.id)
        for place in document.sites or ():
            yield from self._site(place)
        if document.defaults is not None:
            yield from self._thresholds(document.defaults.thresholds, "defaults")
        for name in document.remove:
            yield from self._remove(name)
        for number, machine in enumerate(document.hosts or ()):
            yield from self._host(machine, f"hosts[{number}] '{machine.name}'")
        for number, machine in enumerate(document.hosts or ()):
            yield from self._parents(machine, f"hosts[{number}] '{machine.name}'")
        if self._prune:
            yield from self._pruned()
        self._no_circle()
        if document.maintenance is not None:
            yield from self._maintenance(document.maintenance)

    def _maintenance(self, entries: Sequence[Repeated]) -> Iterator[str]:
        self._session.flush()
        ids = {
            "host": {name: row.id for name, row in self._hosts.items()},
            "group": {name: row.id for name, row in self._groups.items()},
            "division": {name: row.id for name, row in self._divisions.items()},
            "site": {name: row.id for name, row in self._sites.items()},
        }
        try:
            yield from repeated.make_true(self._session, entries, ids, self._prune)
        except ValueError as error:
            raise DocumentError(f"{str(error)[:1].upper()}{str(error)[1:]}") from None

    def _division(self, name: str) -> Iterator[str]:
        self._divisions[name] = Division(name=name)
        self._session.add(self._divisions[name])
        yield f"+ division {name}"

    def _site(self, place: Place) -> Iterator[str]:
        values = place.model_dump(exclude={"name"})
        row = self._sites.get(place.name)
        if row is not None:
            yield from _edit(row, f"site {place.name}", values)
            return
        self._sites[place.name] = Site(name=place.name, **values)
        self._session.add(self._sites[place.name])
        yield f"+ site {place.name}"

    def _credential(self, login: Login, where: str) -> Iterator[str]:
        row = self._credentials.get(login.name)
        if login.secret.how == "fetch":
            yield from self._fetched(row, login, where)
            return
        if not self._secrets.needed(login, row, where):
            assert row is not None
            yield from _edit(row, f"credential {login.name}", {"username": login.username})
            return
        id = row.id if row is not None else next_id(self._session)
        seal_id = vault.new_place(id)
        sealed = self._secrets.sealed(login, seal_id, where)
        if row is None:
            row = Credential(id=id, name=login.name, kind=login.kind, username=login.username)
            self._credentials[login.name] = row
            self._session.add(row)
            line = f"+ credential {login.name}"
        else:
            edits = [
                *_edits(row, {"kind": login.kind, "username": login.username}),
                f"secret read from {login.secret.stored}",
            ]
            line = f"~ credential {login.name}: {', '.join(edits)}"
        row.sealed, row.seal_id, row.source, row.changed_at = sealed, seal_id, login.secret.stored, now()
        row.fetched_from = row.public_key = ""
        row.certificate = row.certificate if row.kind == "ssh_key" else ""
        yield line

    def _fetched(self, row: Credential | None, login: Login, where: str) -> Iterator[str]:
        """A credential whose secret is kept elsewhere."""
        if login.kind == "snmp_v3" or login.passphrase is not None:
            raise DocumentError(f"{where}: a secret of two parts cannot be fetched; enter it here.")
        values = {"kind": login.kind, "username": login.username, "fetched_from": login.secret.place}
        if row is not None:
            yield from _edit(row, f"credential {login.name}", values)
            row.sealed, row.seal_id, row.source = b"", "", "typed"
            return
        row = Credential(name=login.name, sealed=b"", seal_id="", source="typed", **values)
        self._credentials[login.name] = row
        self._session.add(row)
        yield f"+ credential {login.name}"

    def _host(self, machine: Machine, where: str) -> Iterator[str]:
        values = {
            "address": machine.address, "note": machine.note, "enabled": machine.enabled,
            "adopts_guests": machine.adopts_guests, "sensitivity": machine.normal, "runbook": machine.runbook,
            "interval_s": machine.interval, "attempts": machine.attempts, "recover_after": machine.recover_after,
        }  # fmt: skip
        if machine.division is not None and machine.division not in self._divisions:
            yield from self._division(machine.division)
        division = self._divisions[machine.division] if machine.division is not None else None
        if machine.site is not None and machine.site not in self._sites:
            yield from self._site(Place(name=machine.site))
        site = self._sites[machine.site] if machine.site is not None else None
        row = self._hosts.get(machine.name)
        looks = machine.checks
        if row is None:
            row = self._hosts[machine.name] = Host(name=machine.name, **values)
            self._session.add(row)
            looks = (Look.model_validate({"kind": "icmp", "name": "ping"}),) if looks is None else looks
            row.groups, row.division, row.site = self._named_groups(machine, where), division, site
            yield f"+ host {machine.name}"
        else:
            edits = _edits(row, values)
            wanted = self._named_groups(machine, where)
            if {group.name for group in row.groups} != set(machine.groups):
                edits.append(_said("groups", sorted(g.name for g in row.groups), sorted(machine.groups)))
                row.groups = wanted
            if row.division is not division:
                edits.append(_said("division", row.division.name if row.division else None, machine.division))
                row.division = division
            if row.site is not site:
                edits.append(_said("site", row.site.name if row.site else None, machine.site))
                row.site = site
            if edits:
                yield f"~ host {machine.name}: {', '.join(edits)}"
        if looks is not None:
            yield from self._checks(row, looks, where)
        if row.id is None and machine.thresholds:
            self._session.flush()  # they name it by its number; without any, a thousand machines are one statement
        if row.id is not None:
            yield from self._thresholds(machine.thresholds, machine.name, host_id=row.id)

    def _named_groups(self, machine: Machine, where: str) -> list[HostGroup]:
        for name in machine.groups:
            if name not in self._groups:
                raise DocumentError(f"{where}: there is no group '{name}'; add it under 'groups:' or correct the name.")
        return [self._groups[name] for name in machine.groups]

    def _checks(self, host: Host, looks: Sequence[Look], where: str) -> Iterator[str]:
        there = {check.name: check for check in host.checks}
        kinds = {look.name: look.kind for look in looks}
        for name, check in list(there.items()):
            if kinds.get(name) != check.kind:  # another kind has another history: it is another check
                host.checks.remove(there.pop(name))
                yield f"- check {host.name}/{name}"
        if len(there) < len(kinds) and host.id is not None:
            self._session.flush()  # a name that is free again may be taken by another kind
        for number, look in enumerate(looks):
            place = f"{where}, checks[{number}] '{look.name}'"
            credential = None
            if look.credential is not None:
                credential = self._credentials.get(look.credential)
                if credential is None:
                    raise DocumentError(
                        f"{place}: there is no credential '{look.credential}'; add it under 'credentials:'."
                    )
            yield from self._check(host, there.get(look.name), look, credential)

    def _check(self, host: Host, row: Check | None, look: Look, credential: Credential | None) -> Iterator[str]:
        values = {
            "interval_s": look.interval, "deadline_s": look.deadline, "enabled": look.enabled, "reachability": look.feeds,
        }  # fmt: skip
        if row is None:
            options = stored(look)
            host.checks.append(Check(kind=look.kind, name=look.name, options=options, credential=credential, **values))
            yield f"+ check {host.name}/{look.name}"
            return
        edits = _edits(row, values)
        if row.credential is not credential:
            edits.append(_said("credential", row.credential.name if row.credential else None, look.credential))
            row.credential = credential
        hidden = {o.name for o in describe(look.probe.options) if o.hidden}
        before, after = _meant(look, row.options), _meant(look, look.options)
        if before != after:
            edits += [_said(name, before.get(name), after[name]) for name in after if before.get(name) != after[name]]
            row.options = {**stored(look), **{name: row.options[name] for name in hidden & set(row.options)}}
        if edits:
            yield f"~ check {host.name}/{look.name}: {', '.join(edits)}"

    def _thresholds(self, limits: Sequence[Limit], whose: str, **owned: int) -> Iterator[str]:
        rows = self._limits.get(owner(Threshold(**owned)), ())
        there = {(row.measure, row.part, row.state): row for row in rows}
        for key in list(there):
            if key not in {limit.key for limit in limits}:
                self._session.delete(there.pop(key))
                yield f"- threshold {whose}: {_key(key)}"
        for limit in limits:
            values = {
                "over": limit.over, "under": limit.under, "clear": limit.clear,
                "for_s": limit.for_, "clear_for_s": limit.clear_for,
            }  # fmt: skip
            row = there.get(limit.key)
            if row is not None:
                yield from _edit(row, f"threshold {whose}: {_key(limit.key)}", values)
                continue
            measure, part, state = limit.key
            self._session.add(Threshold(measure=measure, part=part, state=state, **owned, **values))
            yield f"+ threshold {whose}: {_key(limit.key)}"

    def _parents(self, machine: Machine, where: str) -> Iterator[str]:
        row = self._hosts[machine.name]
        before = sorted(parent.name for parent in row.parents)
        if before == sorted(machine.parents):
            return
        for name in machine.parents:
            if name not in self._hosts:
                raise DocumentError(f"{where}: there is no host '{name}' to be its parent.")
        row.parents = [self._hosts[name] for name in machine.parents]
        yield f"~ host {machine.name}: {_said('parents', before, sorted(machine.parents))}"

    def _remove(self, name: str) -> Iterator[str]:
        row = self._hosts.pop(name, None)
        if row is not None:
            for child in self._hosts.values():
                if row in child.parents:
                    child.parents.remove(row)
            self._session.delete(row)
            self._session.flush()
            yield f"- host {name}"

    def _pruned(self) -> Iterator[str]:
        document = self._document
        for name in _missing(self._hosts, document.hosts):
            yield from self._remove(name)
        for name in _missing(self._groups, document.groups):
            self._session.delete(self._groups.pop(name))
            yield f"- group {name}"
        for name in _missing(self._sites, document.sites):
            self._session.delete(self._sites.pop(name))
            yield f"- site {name}"
        used = {check.credential.name for host in self._hosts.values() for check in host.checks if check.credential}
        for name in _missing(self._credentials, document.credentials):
            if name in used:
                raise DocumentError(f"The credential '{name}' is not in the document, and a check still uses it.")
            self._session.delete(self._credentials.pop(name))
            yield f"- credential {name}"

    def _no_circle(self) -> None:
        """Raises DocumentError where parents lead back to where they began."""
        with self._session.no_autoflush:
            for host in self._hosts.values():
                if host in host.parents:
                    raise DocumentError(f"The parents go round in a circle: {host.name} -> {host.name}.")
        self._session.flush()
        named, over, done = (
            {host.id: host.name for host in self._hosts.values()},
            defaultdict[int, list[int]](list),
            set[int](),
        )
        for child, parent in self._session.execute(select(host_parent.c.host_id, host_parent.c.parent_id)):
            over[child].append(parent)  # also of machines this person may not see, which are not named
        for start in named:
            trail: list[int] = []
            stack = [(start, False)]
            while stack:
                one, leaving = stack.pop()
                if leaving:
                    trail.pop()
                    done.add(one)
                elif one in trail:
                    circle = " -> ".join(named.get(way, "…") for way in [*trail[trail.index(one) :], one])
                    raise DocumentError(f"The parents go round in a circle: {circle}.")
                elif one not in done:
                    trail.append(one)
                    stack.append((one, True))
                    stack += [(parent, False) for parent in over[one]]


def _missing(there: dict[str, Any], entries: Sequence[Any] | None) -> list[str]:
    """What the section does not name; nothing where there is no such section."""
    return [] if entries is None else sorted(set(there) - {entry.name for entry in entries})


def _edit(row: Any, what: str, values: dict[str, Any]) -> Iterator[str]:
    edits = _edits(row, values)
    if edits:
        yield f"~ {what}: {', '.join(edits)}"


def _edits(row: Any, values: dict[str, Any]) -> list[str]:
    """Set `values` on `row`; what changed by that."""
    found = []
    for name, value in values.items():
        before = getattr(row, name)
        if before != value:
            found.append(_said(name.removesuffix("_s"), before, value, length=name.endswith("_s")))
            setattr(row, name, value)
    return found


def _said(name: str, before: Any, after: Any, *, length: bool = False) -> str:
    def say(value: Any) -> str:
        if value is None or value == "" or value == []:
            return "(none)"
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, list | tuple):
            return "+".join(str(item) for item in value)
        if length:
            return f"{value:g}"
        return f"{value:g}" if isinstance(value, float) else " ".join(str(value).split())[:80]

    return f"{name} {say(before)} -> {say(after)}"


def _key(key: tuple[str, str, str]) -> str:
    measure, part, state = key
    return f"{measure}{f'[{part}]' if part else ''} {state}"


def _meant(look: Look, values: dict[str, Any]) -> dict[str, Any]:
    """What the probe makes of stored or written options: every option with its value, hidden ones left out."""
    shown = [o.name for o in describe(look.probe.options) if not o.hidden]
    try:
        filled = fill(look.probe.options, values)
    except ValueError:  # stored by another version: whatever is written now differs from it
        return {}
    return {name: getattr(filled, name) for name in shown}


def stored(look: Look) -> dict[str, Any]:
    """The options as they are kept: what differs from the default, in the option's own type."""
    usual = {o.name: o.default for o in describe(look.probe.options)}
    meant = _meant(look, look.options)
    kept = {name: value for name, value in meant.items() if value != usual[name]}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in kept.items()}
