"""A row of the audit in words: one sentence of what was done, and the page of what it was done to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from flask import url_for
from sqlalchemy import select
from werkzeug.routing import BuildError

from domain.audit import Audit
from domain.inventory import Credential, Division, Host, Person, Site
from domain.recipients import Channel, Policy, Rota
from webui import store
from webui.language import gettext, lazy_gettext

THINGS = {
    "channel": lazy_gettext("Channel"),
    "check": lazy_gettext("Check"),
    "credential": lazy_gettext("Credential"),
    "division": lazy_gettext("Division"),
    "group": lazy_gettext("Group"),
    "grouping": lazy_gettext("Membership of a group"),
    "host": lazy_gettext("Machine"),
    "hostkey": lazy_gettext("Host key"),
    "limit": lazy_gettext("Limit"),
    "loadtest": lazy_gettext("Load test"),
    "lookout": lazy_gettext("Sign of life"),
    "maintenance": lazy_gettext("Maintenance"),
    "membership": lazy_gettext("Place in a division"),
    "parent": lazy_gettext("Way to a machine"),
    "person": lazy_gettext("Person"),
    "policy": lazy_gettext("Rule of who is told"),
    "rota": lazy_gettext("Rota"),
    "route": lazy_gettext("Address for messages"),
    "setting": lazy_gettext("Setting"),
    "shift": lazy_gettext("Shift"),
    "site": lazy_gettext("Site"),
    "wording": lazy_gettext("Wording"),
}
"""The first words of what the database writes by itself (domain.audit.WATCHED)."""
HAPPENED = {
    "made": lazy_gettext("%(thing)s was made"),
    "changed": lazy_gettext("%(thing)s was changed"),
    "gone": lazy_gettext("%(thing)s was deleted"),
}
SENTENCES = {
    "limits.undone": lazy_gettext("Limits changed together were put back"),
    "addition.undone": lazy_gettext("Machines added together were taken back"),
    "apply.done": lazy_gettext("A configuration document was applied"),
    "audit.exported": lazy_gettext("This record was taken out as a table"),
    "credential.first_use": lazy_gettext("A credential was used at a machine for the first time"),
    "credential.key_made": lazy_gettext("An SSH key was made"),
    "credential.tested": lazy_gettext("A credential was tried against a machine"),
    "delivery.again": lazy_gettext("Messages were sent again"),
    "discovery.applied": lazy_gettext("Machines that were found were added"),
    "discovery.asked": lazy_gettext("A network was looked through"),
    "discovery.stopped": lazy_gettext("Looking through a network was stopped"),
    "division.deleted": lazy_gettext("A division was deleted; its machines and people belong to none now"),
    "export.availability": lazy_gettext("Outages of a machine were taken out as a table"),
    "export.estate": lazy_gettext("The configuration was taken out as a document"),
    "export.machines": lazy_gettext("The machines were taken out as a table"),
    "export.samples": lazy_gettext("Samples of a machine were taken out as a table"),
    "hostkey.accepted": lazy_gettext("A changed host key was trusted"),
    "hostkey.declined": lazy_gettext("A changed host key was not trusted"),
    "import.applied": lazy_gettext("Machines were imported from a table"),
    "incident.acknowledged": lazy_gettext("An incident was taken in hand"),
    "incident.closed": lazy_gettext("The cause of an incident was written down"),
    "incident.given_back": lazy_gettext("An incident was given back"),
    "incident.handed_over": lazy_gettext("An incident was handed over"),
    "incident.merged": lazy_gettext("An incident was put under another"),
    "incident.note": lazy_gettext("A note was added to an incident"),
    "incident.split": lazy_gettext("An incident was taken out from under another"),
    "factor.added": lazy_gettext("A second proof at login was added"),
    "factor.codes": lazy_gettext("New recovery codes were made"),
    "factor.renamed": lazy_gettext("A passkey was renamed"),
    "factor.removed": lazy_gettext("A second proof at login was removed"),
    "factor.taken": lazy_gettext("Somebody's second proof was taken away, so that they can set up another"),
    "login": lazy_gettext("Logged in"),
    "login.failed": lazy_gettext("A login failed"),
    "login.proved": lazy_gettext("Showed once more who they are"),
    "logout": lazy_gettext("Logged out"),
    "look.asked": lazy_gettext("A machine was looked at at once"),
    "look.swept": lazy_gettext("Addresses were tried"),
    "look.tested": lazy_gettext("A check was tried"),
    "password.changed": lazy_gettext("A password was changed"),
    "password.chosen": lazy_gettext("A password was chosen by a link"),
    "password.lost": lazy_gettext("Somebody asked for a link because of a lost password"),
    "person.invited": lazy_gettext("Somebody was invited"),
    "person.linked": lazy_gettext("Somebody was given a way to log in"),
    "person.picture": lazy_gettext("A picture was changed"),
    "provider.changed": lazy_gettext("Logging in by the company's account was changed"),
    "route.code": lazy_gettext("A code that links a chat was made"),
    "session.ended": lazy_gettext("A login was ended from elsewhere"),
    "token.made": lazy_gettext("An access token was made"),
    "token.revoked": lazy_gettext("An access token was revoked"),
    "trial.asked": lazy_gettext("A test message was sent"),
    "vault.rotated": lazy_gettext("The vault has a new key"),
}
"""What is written by the page or command that does it."""
PAGES = {
    "addition": ("additions.show", "addition_id"),
    "channel": ("channels.edit", "channel_id"),
    "credential": ("credentials.edit", "credential_id"),
    "discovery": ("discover.show", "discovery_id"),
    "host": ("machine.show", "host_id"),
    "incident": ("incidents.show", "incident_id"),
    "lookout": ("lookouts.edit", "lookout_id"),
    "person": ("staff.edit", "person_id"),
    "policy": ("policies.edit", "policy_id"),
    "rota": ("rotas.edit", "rota_id"),
    "site": ("sites.show", "site_id"),
}
NAMED: Mapping[str, Any] = {
    "channel": Channel, "credential": Credential, "division": Division, "host": Host, "person": Person, "policy": Policy,
    "rota": Rota, "site": Site,
}  # fmt: skip
LONGEST = 120


def sentence(row: Audit) -> str:
    """What was done. A kind nobody put into words is shown as it is written."""
    told = SENTENCES.get(row.what)
    if told is not None:
        return str(told)
    kind, _, verb = row.what.rpartition(".")
    if kind not in THINGS or verb not in HAPPENED:
        return row.what
    name = row.detail.get("name")
    thing = f"{THINGS[kind]} “{name}”" if isinstance(name, str) and name else str(THINGS[kind])
    return str(HAPPENED[verb]) % {"thing": thing}


def about(row: Audit, names: Mapping[str, str]) -> str:
    """What it was done to, as people say it: its name now, else machine 12, or nothing. `names` as `named` found them."""
    kind, _, number = row.on.partition(":")
    return names.get(row.on) or (f"{THINGS[kind]} {number}".strip() if kind in THINGS else row.on)


def named(rows: Iterable[Audit]) -> dict[str, str]:
    """What the objects of these rows are called now, by `on`; those that are gone have no name any more."""
    wanted: dict[str, set[int]] = {}
    for row in rows:
        kind, _, number = row.on.partition(":")
        if kind in NAMED and number.isdecimal() and len(number) < 10:
            wanted.setdefault(kind, set()).add(int(number))
    return {
        f"{kind}:{id}": name
        for kind, ids in wanted.items()
        for id, name in store.session().execute(select(NAMED[kind].id, NAMED[kind].name).where(NAMED[kind].id.in_(ids)))
    }


def page(row: Audit) -> str | None:
    """Where what it was done to can be seen, if it is still there."""
    kind, _, number = row.on.partition(":")
    found = PAGES.get(kind)
    if found is None or not number or (kind != "discovery" and not number.isdigit()):
        return None
    try:
        values: dict[str, Any] = {found[1]: number}
        return url_for(found[0], **values)
    except BuildError:
        return None


def changes(row: Audit) -> list[tuple[str, str]]:
    """(field, "before → after") of an edit; of what is nobody's business only that it changed; of an event what it says."""
    found = []
    changed = row.detail.get("changed")
    for field, pair in (changed if isinstance(changed, Mapping) else {}).items():
        before, after = pair if isinstance(pair, list) and len(pair) == 2 else (None, pair)
        found.append((field, f"{_said(before)} → {_said(after)}"))
    hidden = row.detail.get("hidden")
    found += [
        (str(field), gettext("changed; it is not shown")) for field in (hidden if isinstance(hidden, list) else ())
    ]
    rest = {k: v for k, v in row.detail.items() if k not in ("changed", "hidden", "name", "id") and v is not None}
    return found + [(field, _said(value)) for field, value in rest.items()]


def _said(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return gettext("yes") if value else gettext("no")
    text = ", ".join(str(one) for one in value) if isinstance(value, list) else str(value)
    return text[:LONGEST] + ("…" if len(text) > LONGEST else "")
