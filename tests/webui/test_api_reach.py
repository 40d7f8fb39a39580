"""What people do on pages, programs do over the API; what they do not is named here, with the reason."""

from __future__ import annotations

from flask import Flask

from webui import api

DONE_BY: dict[str, tuple[str, ...]] = {
    "chat.edit": ("talk.edit",),
    "chat.read": ("talk.read",),
    "chat.remove": ("talk.remove",),
    "chat.say": ("talk.say",),
    "abilities.save": ("actions.allow",),
    "approvals.cancel": ("actions.cancel",),
    "asking.ask": ("actions.make",),
    "checks.delete": ("machines.change",),
    "checks.edit": ("machines.change", "looks.test"),
    "checks.new": ("machines.change", "looks.test"),
    "credentials.delete": ("credentials.delete",),
    "credentials.edit": ("credentials.change",),
    "credentials.new": ("credentials.make",),
    "deliveries.again": ("telling.again",),
    "discover.show": ("discoveries.show", "machines.make", "estate.apply"),
    "discover.start": ("discoveries.begin",),
    "discover.stop": ("discoveries.stop",),
    "divisions.delete": ("places.delete_division",),
    "divisions.new": ("places.make_division",),
    "divisions.show": ("places.change_division",),
    "edit.delete": ("machines.delete",),
    "edit.machine": ("machines.change",),
    "edit.new": ("machines.make",),
    "edit.suggest": ("machines.change",),
    "importing.start": ("estate.apply",),
    "incidents.acknowledge": ("incidents.acknowledge",),
    "incidents.close": ("incidents.close",),
    "incidents.give_back": ("incidents.give_back",),
    "incidents.hand_over": ("incidents.hand_over",),
    "incidents.merge": ("incidents.merge",),
    "incidents.note": ("incidents.note",),
    "incidents.split": ("incidents.split",),
    "lookouts.delete": ("telling.delete_sign",),
    "lookouts.edit": ("telling.change_sign",),
    "lookouts.new": ("telling.make_sign",),
    "machine.look": ("looks.run",),
    "maintenance.begin": ("maintenance.make",),
    "maintenance.end": ("maintenance.end",),
    "maintenance.new": ("maintenance.make",),
    "policies.delete": ("telling.delete_rule",),
    "policies.edit": ("telling.change_rule",),
    "policies.move": ("telling.move",),
    "policies.new": ("telling.make_rule",),
    "rotas.delete": ("telling.delete_rota",),
    "rotas.edit": ("telling.change_rota",),
    "rotas.new": ("telling.make_rota",),
    "rotas.swap": ("telling.swap",),
    "rotas.unswap": ("telling.unswap",),
    "rotas.upload": ("telling.swap",),
    "setup.addresses": ("discoveries.begin",),
    "setup.sweep": ("machines.make",),
    "sites.delete": ("places.delete_site",),
    "sites.edit": ("places.change_site",),
    "sites.new": ("places.make_site",),
    "sites.put": ("machines.change",),
    "jobs.delete": ("unattended.delete",),
    "jobs.edit": ("unattended.change",),
    "jobs.new": ("unattended.make",),
    "jobs.pause": ("unattended.pause", "unattended.resume"),
    "jobs.run": ("unattended.run",),
    "mandating.renew": ("unattended.renew", "unattended.remedy_renew"),
    "remedies.delete": ("unattended.remedy_delete",),
    "remedies.edit": ("unattended.remedy_change",),
    "remedies.live": ("unattended.remedy_dry",),  # to have it act takes a person who shows who they are
    "remedies.new": ("unattended.remedy_make",),
    "remedies.pause": ("unattended.remedy_pause", "unattended.remedy_resume"),
    "thresholds.delete": ("limits.delete",),
    "thresholds.everybody": ("limits.make", "limits.change"),
    "thresholds.index": ("limits.make", "limits.change", "limits.attempt"),
    "thresholds.shared": ("limits.make", "limits.change"),
    "staff.edit": ("people.change",),  # administrators alone are changed on the page alone
    "staff.link": ("people.invite",),  # by mail alone, and for whoever has no password yet
    "staff.new": ("people.make",),
    "tokens.revoke": ("people.revoke",),
    "topology.edit": ("machines.change",),
    "windows_api.end": ("maintenance.end",),
    "windows_api.make": ("maintenance.make",),
}
"""Endpoint of a page, and the operations that do the same."""
PROOF = "it takes a person in a browser who shows who they are"
RIGHTS = "who has which rights is decided by a person, not by a program that may be in strange hands"
ADDRESS = "where messages go is for the person they are for, who proves that the address is theirs"
SECRETS = "its secrets are entered once, beside the answer of a test"
UNDO = "a program knows what it changed, and changes it back"
LEFT_OUT: dict[str, str] = {
    "actionrules.delete": RIGHTS,
    "actionrules.edit": RIGHTS,
    "actionrules.new": RIGHTS,
    "actionrules.up": RIGHTS,
    "approvals.agree": PROOF,
    "approvals.refuse": PROOF,
    "mandating.agree": PROOF,
    "mandating.refuse": PROOF,
    "asking.alone": PROOF,
    "asking.glass": PROOF,
    "runbooks.delete": PROOF,
    "runbooks.edit": PROOF,
    "runbooks.new": PROOF,
    "runbooks.review": PROOF,
    "additions.take_back": UNDO,
    "channels.delete": SECRETS,
    "channels.edit": SECRETS,
    "channels.new": SECRETS,
    "chat.chart": "a program reads the numbers themselves",
    "credentials.certify": PROOF,
    "credentials.test": PROOF,
    "entry.demand": RIGHTS,
    "heard.call": "it is for programs itself",
    "hostkeys.accept": "somebody compares the fingerprint with their own eyes",
    "hostkeys.decline": "somebody compares the fingerprint with their own eyes",
    "joints.make": ADDRESS,
    "joints.part": ADDRESS,
    "loadtest.begin": "somebody stands at the machine and puts load on it",
    "loadtest.end": "somebody stands at the machine and puts load on it",
    "loadtest.load": "somebody stands at the machine and puts load on it",
    "passkeys.challenge": PROOF,
    "people.appearance": "a program sees no colours",
    "people.login": PROOF,
    "people.logout": "a token is revoked instead",
    "people.passkey": PROOF,
    "policies.group": ADDRESS,
    "profile.picture": "a program has no face",
    "portrait.remove": "a program has no face",
    "profile.details": ADDRESS,
    "profile.password": PROOF,
    "proof.page": PROOF,
    "provider.settings": RIGHTS,
    "push.acknowledge": "the button of a message in a browser; incidents.acknowledge is its like",
    "push.subscribe": "it is a browser that subscribes",
    "push.unsubscribe": "it is a browser that subscribes",
    "rotas.link": "a secret address is shown to a person",
    "routes.add": ADDRESS,
    "routes.delete": ADDRESS,
    "routes.edit": ADDRESS,
    "routes.index": ADDRESS,
    "routes.test": ADDRESS,
    "routes.verify": ADDRESS,
    "second.add_key": PROOF,
    "second.app_page": PROOF,
    "second.codes": PROOF,
    "second.remove_app": PROOF,
    "second.remove_key": PROOF,
    "second.rename_key": PROOF,
    "second.step": PROOF,
    "sessions.end": PROOF,
    "sessions.end_others": PROOF,
    "setup.account": "it makes the first person",
    "staff.factor": RIGHTS,
    "staff.password": RIGHTS,
    "thresholds.normal": "how sensitive is machines.change; to learn afresh is not there yet",
    "thresholds.undo": UNDO,
    "tickets.lost": PROOF,
    "tickets.use": PROOF,
    "tokens.make": "a token that makes tokens would outlive its own end",
    "topology.find": "discoveries.begin traces the way",
    "wordings.edit": "wordings are written before the eyes of whoever reads them",
}
"""Endpoint of a page whose action the API does not offer, and why."""
SAFE = {"GET", "HEAD", "OPTIONS"}


def acting(app: Flask) -> set[str]:
    """The endpoints of pages that change something."""
    found = {rule.endpoint for rule in app.url_map.iter_rules() if set(rule.methods or ()) - SAFE}
    return {endpoint for endpoint in found if not endpoint.startswith("api.")}


def test_whatever_people_do_on_a_page_programs_do_too_or_it_is_said_why_not(app: Flask) -> None:
    pages = acting(app)
    assert not set(DONE_BY) & set(LEFT_OUT)
    assert sorted(pages - set(DONE_BY) - set(LEFT_OUT)) == [], "say which operation does it, or why none does"
    assert sorted(set(DONE_BY) - pages) == [], "these pages are gone"


def test_the_operations_named_are_there(app: Flask) -> None:
    known = {one.name for one in api.OPERATIONS}
    assert {name for names in DONE_BY.values() for name in names} <= known


def test_every_operation_that_changes_something_has_a_page_or_is_the_like_of_one(app: Flask) -> None:
    named = {name for names in DONE_BY.values() for name in names}
    alone = {one.name for one in api.OPERATIONS if one.changes} - named
    assert alone == {
        "places.make_group", "places.change_group", "places.delete_group",  # on pages a group comes with its machines
        "telling.mute",  # routes.edit does that and more
    }  # fmt: skip
