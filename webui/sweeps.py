"""What answered at an address, as rows for people and as checks worth making."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import false, select, true

from domain.inventory import Check, Credential, Host
from domain.requests import Look
from domain.rights import Right
from probes import catalogue
from webui import access, logins, store
from webui.draft import Draft
from webui.forms import Field
from webui.language import gettext
from webui.wording import value

RUNGS = (("ping", "Ping"), ("ssh", "SSH"), ("http", "HTTP"), ("https", "HTTPS"), ("winrm", "WinRM"))
PORTS = {"ssh": 22, "http": 80, "https": 443, "winrm": 5985}
LIVES = {"follow": False, "status": "200-499"}
"""Nobody has said yet which page matters, so any answer but a server's own error counts: a login page is no fault."""


@dataclass(frozen=True)
class Row:
    """One address being looked at. `rungs` are (label, answered, detail); `watched` is the machine it already is."""

    address: str
    name: str
    done: bool
    rungs: tuple[tuple[str, bool, str], ...]
    detail: str
    watched: Host | None

    @property
    def answers(self) -> bool:
        """Whether anything at all answered."""
        return any(answered for _, answered, _ in self.rungs)

    def has(self, key: str) -> bool:
        """Whether the rung `key` (ping, ssh, ...) answered."""
        return any(answered and label == dict(RUNGS)[key] for label, answered, _ in self.rungs)


class LoginForm:
    """The optional login over SSH: a stored credential, or one typed now."""

    def __init__(self, typed: Mapping[str, str] | None) -> None:
        offered = true() if access.can(Right.ADMIN) else false()
        rows = store.session().scalars(select(Credential).where(offered).order_by(Credential.name))
        self.sent = typed is not None
        self.stored = (("", gettext("none, or the one entered here")), *((str(row.id), row.name) for row in rows))
        self.draft = Draft(typed)
        self._chosen = self.draft.choice(Field("credential", gettext("Credential"), "choice", choices=self.stored))
        self._typed = logins.ask(self.draft)
        if self._typed and self._chosen:
            self.draft.blame("credential", gettext("Either choose a stored credential or enter a new one, not both."))

    @property
    def aims(self) -> bool:
        """Whether a stored login is chosen: it would go where it did not go before."""
        return bool(self._chosen)

    def credential(self) -> Credential | None:
        """The credential to use; a typed one is stored now. Only for a form that is good."""
        if self._typed is not None:
            return logins.keep(self._typed, logins.name_for(self._typed))
        return store.session().get(Credential, int(self._chosen)) if self._chosen else None


def rows(look: Look) -> list[Row]:
    """A row for each address asked, answered or not."""
    asked: list[str] = look.asked["addresses"]
    answers = {str(row.get("address")): row for row in look.answer.get("rows", ())}
    watched = {host.address: host for host in store.session().scalars(select(Host).where(Host.address.in_(asked)))}
    given = look.asked.get("names", {})
    return [_row(address, answers.get(address, {}), given.get(address, ""), watched.get(address)) for address in asked]


def suggestions(row: Row, credential: Credential | None) -> dict[str, Check]:
    """A check worth making for each rung that answered; a ping where nothing did."""
    found = {key: _check(key, credential) for key, _ in RUNGS if row.has(key)}
    if not found:
        found["ping"] = _check("ping", credential)
    return {key: check for key, check in found.items() if check.kind in catalogue()}


def checks(row: Row, credential: Credential | None) -> list[Check]:
    """What `suggestions` suggests; a machine that answers no ping is judged by its ports alone."""
    return list(suggestions(row, credential).values())


def _check(key: str, credential: Credential | None) -> Check:
    if key == "ping":
        return Check(kind="icmp", name="ping")
    if key == "ssh" and credential is not None:
        return Check(kind="ssh", name="SSH", credential=credential)
    if key == "http":
        return Check(kind="http", name="HTTP", options=dict(LIVES))
    if key == "https":
        return Check(kind="http", name="HTTPS", options={"tls": True, **LIVES})
    return Check(kind="tcp", name=f"port {PORTS[key]}", options={"port": PORTS[key]})


def _row(address: str, answer: Mapping[str, Any], given: str, watched: Host | None) -> Row:
    done = bool(answer.get("done"))
    rungs = []
    for key, label in RUNGS:
        rung = answer.get(key)
        if isinstance(rung, dict):
            detail = value(float(rung["rtt"]), "s") if rung.get("ok") and rung.get("rtt") is not None else ""
            rungs.append((label, bool(rung.get("ok")), detail))
    name = given or str(answer.get("name") or "")[:100]
    return Row(address, name, done, tuple(rungs), str(answer.get("detail") or ""), watched)
