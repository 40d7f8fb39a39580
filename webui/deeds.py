"""A row of the audit in words: one sentence of who did what to what, and the page of what it was done to."""

from __future__ import annotations

from typing import Any

from flask import url_for
from markupsafe import Markup
from werkzeug.routing import BuildError

from domain.audit import WATCHED, Audit
from webui import details
from webui.deliveries import KINDS as NOTICE_KINDS
from webui.details import Names, known, lines
from webui.language import gettext, lazy_gettext
from webui.roles import LOCAL

__all__ = ["SENTENCES", "about", "kind", "known", "lines", "page", "sentence", "told"]

DOES = {
    "made": lazy_gettext("%(who)s added %(thing)s"),
    "changed": lazy_gettext("%(who)s changed %(thing)s"),
    "gone": lazy_gettext("%(who)s deleted %(thing)s"),
}
"""What the database writes by itself, by its last word; the first is one of THINGS."""
THINGS = {
    "channel": lazy_gettext("the channel %(name)s"),
    "check": lazy_gettext("the check %(name)s of %(on)s"),
    "credential": lazy_gettext("the credential %(name)s"),
    "division": lazy_gettext("the division %(name)s"),
    "group": lazy_gettext("the group %(name)s"),
    "grouping": lazy_gettext("the place of %(on)s in the group %(name)s"),
    "host": lazy_gettext("the machine %(name)s"),
    "hostkey": lazy_gettext("a host key of %(on)s"),
    "limit": lazy_gettext("the limits of %(on)s: %(name)s"),
    "loadtest": lazy_gettext("a load test of %(on)s"),
    "lookout": lazy_gettext("the sign of life %(name)s"),
    "maintenance": lazy_gettext("maintenance of %(on)s"),
    "membership": lazy_gettext("the place of %(on)s in the division %(name)s"),
    "parent": lazy_gettext("the way to %(on)s by %(name)s"),
    "person": lazy_gettext("the account of %(name)s"),
    "policy": lazy_gettext("the rule %(name)s of who is told"),
    "remedy": lazy_gettext("the remedy %(name)s"),
    "rota": lazy_gettext("the rota %(name)s"),
    "route": lazy_gettext("an address for messages of %(on)s"),
    "rule": lazy_gettext("the rule %(name)s of who must agree"),
    "runbook": lazy_gettext("the runbook %(name)s"),
    "schedule": lazy_gettext("the schedule %(name)s"),
    "service": lazy_gettext("a service of %(on)s that may be touched: %(name)s"),
    "setting": lazy_gettext("a setting: %(name)s"),
    "shift": lazy_gettext("a shift of the rota %(on)s"),
    "site": lazy_gettext("the site %(name)s"),
    "wording": lazy_gettext("the wording of messages: %(name)s"),
}
"""The first words of what the database writes by itself (domain.audit.WATCHED)."""
SENTENCES = {
    "action.agreed": lazy_gettext("%(who)s agreed to an action at %(on)s"),
    "action.asked": lazy_gettext("%(who)s asked for an action at %(on)s"),
    "action.begun": lazy_gettext("An action at %(on)s began"),
    "action.cancelled": lazy_gettext("An action at %(on)s was cancelled"),
    "action.done": lazy_gettext("An action at %(on)s was done"),
    "action.expired": lazy_gettext("A request for an action at %(on)s expired"),
    "action.failed": lazy_gettext("An action at %(on)s failed"),
    "action.glass": lazy_gettext("%(who)s broke the glass: an action at %(on)s without anybody's agreement"),
    "action.refused": lazy_gettext("%(who)s refused an action at %(on)s"),
    "action.unknown": lazy_gettext("Nobody knows whether an action at %(on)s was done"),
    "action.unattended": lazy_gettext("A standing approval of %(who)s asked for an action at %(on)s"),
    "action.waits_again": lazy_gettext("A request for an action at %(on)s waits for agreement again"),
    "addition.undone": lazy_gettext("%(who)s took back machines that were added together"),
    "apply.done": lazy_gettext("%(who)s applied a configuration document"),
    "audit.pruned": lazy_gettext("%(who)s dropped the oldest rows of this record, as it is set to"),
    "audit.exported": lazy_gettext("%(who)s took this record out as a table"),
    "chat.code": lazy_gettext("%(who)s made a code that joins %(on)s to a Telegram chat"),
    "chat.joined": lazy_gettext("%(who)s joined %(on)s to a Telegram chat"),
    "chat.parted": lazy_gettext("%(who)s parted %(on)s from its Telegram chat"),
    "chat.edited": lazy_gettext("%(who)s put a message in %(on)s into other words"),
    "chat.taken_back": lazy_gettext("%(who)s took a message in %(on)s back"),
    "credential.first_use": lazy_gettext("The credential %(on)s was used at %(machine)s for the first time"),
    "credential.key_made": lazy_gettext("%(who)s had an SSH key made: %(on)s"),
    "credential.tested": lazy_gettext("%(who)s tried the credential %(on)s at %(machine)s"),
    "delivery.again": lazy_gettext("%(who)s had messages sent again"),
    "discovery.applied": lazy_gettext("%(who)s added machines that were found"),
    "discovery.asked": lazy_gettext("%(who)s had a network looked through"),
    "discovery.stopped": lazy_gettext("%(who)s stopped looking through a network"),
    "division.deleted": lazy_gettext(
        "%(who)s deleted the division %(name)s; its machines and people belong to none now"
    ),
    "export.availability": lazy_gettext("%(who)s took the outages of %(on)s out as a table"),
    "export.backup": lazy_gettext("%(who)s made a backup of everything"),
    "export.estate": lazy_gettext("%(who)s took the configuration out as a document"),
    "export.machines": lazy_gettext("%(who)s took the machines out as a table"),
    "export.samples": lazy_gettext("%(who)s took samples of %(on)s out as a table"),
    "factor.added": lazy_gettext("%(who)s added a second proof at login"),
    "factor.codes": lazy_gettext("%(who)s made new recovery codes"),
    "factor.removed": lazy_gettext("%(who)s removed a second proof at login"),
    "factor.renamed": lazy_gettext("%(who)s renamed a passkey"),
    "factor.taken": lazy_gettext("%(who)s took the second proof from %(on)s, so that another can be set up"),
    "grouping.gone": lazy_gettext("%(who)s took %(on)s out of the group %(name)s"),
    "grouping.made": lazy_gettext("%(who)s put %(on)s into the group %(name)s"),
    "hostkey.accepted": lazy_gettext("%(who)s trusted the changed host key of %(on)s"),
    "hostkey.declined": lazy_gettext("%(who)s did not trust the changed host key of %(on)s"),
    "import.applied": lazy_gettext("%(who)s imported machines from a table"),
    "incident.acknowledged": lazy_gettext("%(who)s took an incident in hand"),
    "incident.closed": lazy_gettext("%(who)s wrote down the cause of an incident"),
    "incident.given_back": lazy_gettext("%(who)s gave an incident back"),
    "incident.handed_over": lazy_gettext("%(who)s handed an incident over"),
    "incident.merged": lazy_gettext("%(who)s put an incident under another"),
    "incident.note": lazy_gettext("%(who)s added a note to an incident"),
    "incident.split": lazy_gettext("%(who)s took an incident out from under another"),
    "limits.undone": lazy_gettext("%(who)s put back limits that were changed together"),
    "login": lazy_gettext("%(who)s logged in"),
    "login.failed": lazy_gettext("Somebody failed to log in as %(on)s"),
    "login.proved": lazy_gettext("%(who)s showed once more who they are"),
    "logout": lazy_gettext("%(who)s logged out"),
    "look.asked": lazy_gettext("%(who)s had %(on)s looked at at once"),
    "look.swept": lazy_gettext("%(who)s had addresses tried"),
    "look.tested": lazy_gettext("%(who)s tried a check of %(on)s"),
    "mandate.agreed": lazy_gettext("%(who)s agreed to the standing approval of %(on)s"),
    "mandate.asked": lazy_gettext("%(who)s asked for the standing approval of %(on)s"),
    "mandate.refused": lazy_gettext("%(who)s refused the standing approval of %(on)s"),
    "membership.gone": lazy_gettext("%(who)s ended what %(on)s is in the division %(name)s: %(role)s"),
    "membership.made": lazy_gettext("%(who)s put %(on)s into the division %(name)s as: %(role)s"),
    "parent.gone": lazy_gettext("%(who)s took %(on)s out from behind %(name)s"),
    "parent.made": lazy_gettext("%(who)s put %(on)s behind %(name)s"),
    "password.changed": lazy_gettext("%(who)s changed their password"),
    "password.chosen": lazy_gettext("%(who)s chose a password by a link"),
    "password.lost": lazy_gettext("Somebody asked for a link because %(on)s lost a password"),
    "person.invited": lazy_gettext("%(who)s invited %(on)s"),
    "person.linked": lazy_gettext("%(who)s gave %(on)s a way to log in"),
    "person.picture": lazy_gettext("%(who)s changed their picture"),
    "person.reset": lazy_gettext("%(who)s made a link on the command line by which %(on)s chooses a new password"),
    "provider.changed": lazy_gettext("%(who)s changed logging in by the company's account"),
    "route.code": lazy_gettext("%(who)s made a code that links a chat"),
    "schedule.run": lazy_gettext("%(who)s had %(on)s run at once"),
    "session.ended": lazy_gettext("%(who)s ended a login from elsewhere"),
    "token.made": lazy_gettext("%(who)s made the access token %(name)s"),
    "token.revoked": lazy_gettext("%(who)s revoked the access token %(name)s"),
    "trial.asked": lazy_gettext("%(who)s sent a test message"),
    "vault.rotated": lazy_gettext("The vault has a new key"),
}
"""What is written by the page or command that does it; and what the database writes, where it has a sentence of its own."""
SETTINGS = {
    "cookie_key": lazy_gettext("the key that signs cookies"),
    "installation": lazy_gettext("the mark of this installation"),
    "second_factor": lazy_gettext("who must have a second proof at login"),
    "setup_token": lazy_gettext("the token of the first run"),
}
PAGES = {
    "addition": ("additions.show", "addition_id"),
    "channel": ("channels.edit", "channel_id"),
    "credential": ("credentials.edit", "credential_id"),
    "discovery": ("discover.show", "discovery_id"),
    "division": ("divisions.show", "division_id"),
    "host": ("machine.show", "host_id"),
    "incident": ("incidents.show", "incident_id"),
    "lookout": ("lookouts.edit", "lookout_id"),
    "person": ("staff.edit", "person_id"),
    "policy": ("policies.edit", "policy_id"),
    "remedy": ("remedies.show", "remedy_id"),
    "rota": ("rotas.edit", "rota_id"),
    "schedule": ("jobs.show", "schedule_id"),
    "site": ("sites.show", "site_id"),
    "thread": ("chat.show", "thread_id"),
}
NUMBERED = {
    "addition": lazy_gettext("addition %(id)s"),
    "incident": lazy_gettext("incident %(id)s"),
    "mandate": lazy_gettext("approval %(id)s"),
    "route": lazy_gettext("address %(id)s"),
    "thread": lazy_gettext("thread %(id)s"),
    "token": lazy_gettext("token %(id)s"),
}
"""What has a number and no name."""
BLANK = "…"


class _Said(dict[str, Any]):
    """What a sentence may speak of; what a row does not say is left open."""

    def __missing__(self, key: str) -> str:
        return BLANK


def sentence(row: Audit, names: Names | None = None) -> str:
    """Who did what to what, as plain text. A kind nobody put into words is shown as it is written."""
    found = names or Names()
    return _filled(row, found, who(row), about(row, found))


def told(row: Audit, names: Names) -> Markup:
    """The sentence, with its names marked and what still exists linked."""
    on, to = Markup("<b>{}</b>").format(about(row, names) or BLANK), page(row, names)
    linked = Markup('<a href="{}">{}</a>').format(to, about(row, names)) if to else on
    return Markup(_filled(row, names, Markup("<b>{}</b>").format(who(row)), linked))  # noqa: S704 - every value is escaped


def kind(what: str) -> str:
    """A kind of row as one chooses it from a list: what is done, without saying by whom."""
    return (
        sentence(Audit(what=what, detail={}, on="", person=BLANK)).removeprefix(f"{BLANK} ").removesuffix(f": {BLANK}")
    )


def who(row: Audit) -> str:
    """Who did it; Pantau itself where nobody was behind it."""
    if row.person:
        return row.person
    return gettext("Pantau itself") if (row.source or "").startswith("pantau") else gettext("Somebody")


def _filled(row: Audit, names: Names, doer: str, on: str) -> str:
    """The sentence of this row around these names: Markup where they are."""
    own = _Said({key: one for key, one in row.detail.items() if isinstance(one, str)})
    first, _, verb = row.what.rpartition(".")
    own |= {"who": doer, "on": on or BLANK, "name": _name(row, names, on)}
    if (pair := details.changed(row).get("role")) is not None:
        own["role"] = LOCAL.get(str(pair[0] or pair[1]), BLANK)
    mark = Markup if isinstance(doer, Markup) else str
    said = SENTENCES.get(row.what)
    if said is None and first in THINGS and verb in DOES:
        own["thing"] = mark(str(THINGS[first])) % own
        said = DOES[verb]
    if said is None:
        return mark("%(who)s: %(what)s") % {"who": doer, "what": row.what}
    text = str(said)
    return mark(text if "%(" in text else f"%(who)s: {text}") % own


def _name(row: Audit, names: Names, on: str) -> str:
    """What the thing itself is called: as it was then, else as what it leads to is called now."""
    first = row.what.rpartition(".")[0]
    id = row.detail.get("id")
    if first in details.HANGS:
        return names.of(details.HANGS[first], id) if id is not None else BLANK
    if first == "limit":
        return details.called(details.measured(row, names)) or BLANK
    if first == "setting":
        return str(SETTINGS.get(str(id), id or BLANK))
    if first == "wording":
        return str(NOTICE_KINDS.get(str(id), id or BLANK))
    name = row.detail.get("name")
    return on if on and row.on == f"{first}:{id}" else name if isinstance(name, str) and name else BLANK


def about(row: Audit, names: Names) -> str:
    """What it was done to, as people say it: its name, else what it is and its number."""
    first, _, number = row.on.partition(":")
    if row.on in names.names:
        return names.names[row.on]
    if first in ("limit", "maintenance"):
        return gettext("every machine")
    if first == "source":
        return number
    name = row.detail.get("name")
    if isinstance(name, str) and name and (first == row.what.rpartition(".")[0] or row.what in SENTENCES):
        return name
    if first in NUMBERED:
        return str(NUMBERED[first]) % {"id": number}
    return "" if first in WATCHED.values() or first in ("provider", "discovery") else row.on


def page(row: Audit, names: Names) -> str | None:
    """Where what it was done to can be seen, if it is still there."""
    first, _, number = row.on.partition(":")
    found = PAGES.get(first)
    if found is None or not number or (first != "discovery" and not (number.isdigit() and len(number) < 10)):
        return None
    if first in details.NAMED and row.on not in names.here:
        return None
    try:
        values: dict[str, Any] = {found[1]: number}
        return url_for(found[0], **values)
    except BuildError:
        return None
