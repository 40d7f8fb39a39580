"""What a row of the audit says of itself, in words: what a column is called, and its values as people say them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import DateTime, func, select
from sqlalchemy.dialects.postgresql import distinct_on

from domain import audit, calendar
from domain.audit import Audit
from domain.inventory import Check, Credential, Division, Host, HostGroup, Person, Site, Threshold
from domain.jobs import Remedy, Schedule
from domain.options import describe
from domain.recipients import Channel, Lookout, Policy, Rota
from domain.table import Table
from notifier import channels
from probes import catalogue
from webui import hours, receivers, roles, store, units, windows
from webui.credentials import KINDS as CREDENTIAL_KINDS
from webui.deliveries import KINDS as NOTICE_KINDS
from webui.language import LANGUAGES, gettext, lazy_gettext
from webui.thresholds import SENSITIVITIES
from webui.wording import moment, number, span, titles

LONGEST = 120
NAMED: Mapping[str, Any] = {
    "channel": Channel, "credential": Credential, "division": Division, "group": HostGroup, "host": Host,
    "lookout": Lookout, "person": Person, "policy": Policy, "remedy": Remedy, "rota": Rota, "schedule": Schedule, "site": Site,
}  # fmt: skip
"""What has a name of its own, by the word before the colon."""
HANGS = {"grouping": "group", "membership": "division", "parent": "host"}
"""Rows without an id of their own: `id` in their detail is that of what they lead to."""
MEANT = {
    "host": "host",
    "credential": "credential",
    "credentials": "credential",
    "person": "person",
    "people": "person",
}
"""Words in the detail of an event, or of a rota, that are followed by ids."""
COLUMNS = {
    "accepted_at": lazy_gettext("Trusted since"),
    "accepted_by": lazy_gettext("Trusted by"),
    "action_credential_id": lazy_gettext("Login for restarting"),
    "active": lazy_gettext("May log in"),
    "address": lazy_gettext("Address"),
    "agreed": lazy_gettext("Agree so far"),
    "after_s": lazy_gettext("After so long"),
    "allow": lazy_gettext("Allowed"),
    "alone": lazy_gettext("Operators act alone"),
    "adopts_guests": lazy_gettext("Its guests stand behind it"),
    "attempts": lazy_gettext("Failed looks until it is down"),
    "body": lazy_gettext("Text"),
    "certificate": lazy_gettext("Certificate"),
    "changed_by": lazy_gettext("Changed by"),
    "channel_id": lazy_gettext("Channel"),
    "check_kind": lazy_gettext("What must be in trouble"),
    "clear": lazy_gettext("over again at"),
    "clear_for_s": lazy_gettext("over again after"),
    "credential_id": lazy_gettext("Credential"),
    "days": lazy_gettext("Days"),
    "deadline_s": lazy_gettext("Longest a look may take"),
    "discreet": lazy_gettext("Names hidden on a locked screen"),
    "division_id": lazy_gettext("Division"),
    "email": lazy_gettext("E-mail"),
    "email_sure": lazy_gettext("Address vouched for"),
    "enabled": lazy_gettext("Switched on"),
    "ended_at": lazy_gettext("Ended"),
    "ended_by": lazy_gettext("Ended by"),
    "every": lazy_gettext("Every"),
    "expression": lazy_gettext("Cron expression"),
    "grace_s": lazy_gettext("Run late for up to"),
    "live": lazy_gettext("It acts"),
    "mandate_id": lazy_gettext("Standing approval"),
    "next_at": lazy_gettext("Next"),
    "overlap": lazy_gettext("If the run before has not ended"),
    "everything": lazy_gettext("Every machine"),
    "fetched_from": lazy_gettext("Fetched from"),
    "fingerprint": lazy_gettext("Fingerprint"),
    "for_s": lazy_gettext("lasting"),
    "from_minute": lazy_gettext("From"),
    "gone_at": lazy_gettext("Address gone since"),
    "group_id": lazy_gettext("Group"),
    "host_id": lazy_gettext("Machine"),
    "hourly": lazy_gettext("Messages an hour at most"),
    "idle_at": lazy_gettext("Recorded idle from"),
    "interval_s": lazy_gettext("Looked at every"),
    "key": lazy_gettext("Key"),
    "kind": lazy_gettext("Kind"),
    "language": lazy_gettext("Language"),
    "latitude": lazy_gettext("Latitude"),
    "learn_from": lazy_gettext("Its normal is learnt from"),
    "load_at": lazy_gettext("Recorded under load from"),
    "login": lazy_gettext("Name to log in with"),
    "longitude": lazy_gettext("Longitude"),
    "made_by": lazy_gettext("Made by"),
    "measure": lazy_gettext("Measure"),
    "message": lazy_gettext("Message"),
    "minutes": lazy_gettext("Recorded for"),
    "muted_until": lazy_gettext("Silent until"),
    "name": lazy_gettext("Name"),
    "note": lazy_gettext("Note"),
    "options": lazy_gettext("Options"),
    "over": lazy_gettext("above"),
    "parent_id": lazy_gettext("Behind"),
    "part": lazy_gettext("Part"),
    "people": lazy_gettext("People"),
    "person_id": lazy_gettext("Person"),
    "phone": lazy_gettext("Telephone"),
    "port": lazy_gettext("Port"),
    "position": lazy_gettext("Position"),
    "public_key": lazy_gettext("Public half"),
    "quiet_critical": lazy_gettext("What is critical also in quiet hours"),
    "quiet_days": lazy_gettext("Quiet on"),
    "quiet_from": lazy_gettext("Quiet from"),
    "quiet_to": lazy_gettext("Quiet until"),
    "reachability": lazy_gettext("Says whether the machine is up"),
    "recover_after": lazy_gettext("Good looks until it is up again"),
    "recoveries": lazy_gettext("Told also when it is over"),
    "resumes_at": lazy_gettext("Goes on"),
    "role": lazy_gettext("Rights"),
    "rota_id": lazy_gettext("Rota"),
    "runbook": lazy_gettext("What to do"),
    "sensitivity": lazy_gettext("Warns when far from its normal"),
    "severity": lazy_gettext("Told of"),
    "since": lazy_gettext("From"),
    "site_id": lazy_gettext("Site"),
    "source": lazy_gettext("Source"),
    "starts_at": lazy_gettext("Begins"),
    "state": lazy_gettext("State"),
    "states": lazy_gettext("In which states"),
    "steps": lazy_gettext("Who is told"),
    "theme": lazy_gettext("Colours"),
    "title": lazy_gettext("Title"),
    "to_minute": lazy_gettext("Until"),
    "uid": lazy_gettext("In the calendar"),
    "under": lazy_gettext("below"),
    "until": lazy_gettext("Until"),
    "url": lazy_gettext("Address"),
    "username": lazy_gettext("User"),
    "value": lazy_gettext("Value"),
    "verified_at": lazy_gettext("Confirmed"),
    "zone": lazy_gettext("Time zone"),
    # of events
    "addresses": lazy_gettext("Addresses"),
    "before": lazy_gettext("Older than"),
    "by": lazy_gettext("Who must agree"),
    "by_mail": lazy_gettext("Sent by e-mail"),
    "changes": lazy_gettext("Changes"),
    "claim": lazy_gettext("Claim with the groups"),
    "client": lazy_gettext("Client id"),
    "code": lazy_gettext("Because"),
    "count": lazy_gettext("How many"),
    "credential": lazy_gettext("Credential"),
    "credentials": lazy_gettext("Credentials"),
    "edit": lazy_gettext("Number of the change"),
    "ending": lazy_gettext("As"),
    "expires_s": lazy_gettext("Expires after"),
    "factors": lazy_gettext("Second factor taken away too"),
    "file": lazy_gettext("File"),
    "first": lazy_gettext("Among them"),
    "from": lazy_gettext("From"),
    "gone": lazy_gettext("Taken away"),
    "guest": lazy_gettext("Guest"),
    "hanging": lazy_gettext("It had"),
    "hash": lazy_gettext("Its hash"),
    "hint": lazy_gettext("Begins with"),
    "host": lazy_gettext("Machine"),
    "hypervisor": lazy_gettext("Hypervisor"),
    "how": lazy_gettext("By"),
    "issuer": lazy_gettext("Issuer"),
    "label": lazy_gettext("Name"),
    "link": lazy_gettext("Link"),
    "local": lazy_gettext("Of the division at least"),
    "lost": lazy_gettext("Could not be opened"),
    "machine": lazy_gettext("Machine"),
    "machines": lazy_gettext("Machines"),
    "makes_people": lazy_gettext("Makes people at their first login"),
    "needs": lazy_gettext("How many must agree"),
    "names": lazy_gettext("Names"),
    "older": lazy_gettext("Older than"),
    "on": lazy_gettext("About"),
    "person": lazy_gettext("Person"),
    "parameters": lazy_gettext("Parameters"),
    "reason": lazy_gettext("Reason"),
    "request": lazy_gettext("Request"),
    "reviewed": lazy_gettext("Read in this form"),
    "reviewed_at": lazy_gettext("Read"),
    "reviewed_by": lazy_gettext("Read by"),
    "ring": lazy_gettext("Key ring"),
    "rows": lazy_gettext("Rows"),
    "scopes": lazy_gettext("May"),
    "script": lazy_gettext("Script"),
    "service": lazy_gettext("Service"),
    "sealed": lazy_gettext("Sealed anew"),
    "text": lazy_gettext("Text"),
    "to": lazy_gettext("Until"),
    "tries": lazy_gettext("Tries within a minute"),
    "typed": lazy_gettext("Typed for this try"),
    "upto": lazy_gettext("The last of them"),
    "values": lazy_gettext("Values"),
    "what": lazy_gettext("What"),
    "which": lazy_gettext("Which"),
    "written_at": lazy_gettext("Written"),
    "written_by": lazy_gettext("Written by"),
}
"""What a column of a watched table, or a word in the detail of an event, is called."""
SPECIAL = {
    "membership.role": lazy_gettext("As"),
    "limit.state": lazy_gettext("Level"),
    "person.name": lazy_gettext("Name"),
    "policy.position": lazy_gettext("Place in the order"),
    "host.address": lazy_gettext("Address"),
    "rota.days": lazy_gettext("Each for"),
}  # fmt: skip
"""Where a column of one table is called otherwise."""
LEVELS = {"warning": lazy_gettext("Warning"), "critical": lazy_gettext("Critical")}
SCOPES = {
    "read": lazy_gettext("read"),
    "handle": lazy_gettext("take incidents in hand"),
    "edit": lazy_gettext("edit"),
    "admin": lazy_gettext("administer"),
    "logins": lazy_gettext("aim stored logins"),
}
WORDS: Mapping[str, Mapping[str, Any]] = {
    "credential.kind": CREDENTIAL_KINDS,
    "host.sensitivity": SENSITIVITIES,
    "hostkey.state": {"pinned": lazy_gettext("trusted"), "offered": lazy_gettext("waits for a decision")},
    "language": LANGUAGES,
    "limit.state": LEVELS,
    "maintenance.kind": {"once": lazy_gettext("once"), "weekly": lazy_gettext("every week"), "cron": lazy_gettext("by cron")},
    "membership.role": roles.LOCAL,
    "person.role": {**roles.TITLES, "none": lazy_gettext("only in their divisions")},
    "severity": {"warning": lazy_gettext("everything"), "critical": lazy_gettext("what is critical")},
    "theme": {"light": lazy_gettext("Light"), "dark": lazy_gettext("Dark")},
    "wording.kind": NOTICE_KINDS,
    "how": {
        "password": lazy_gettext("password"),
        "passkey": lazy_gettext("passkey"),
        "provider": lazy_gettext("the company's account"),
        "password, code": lazy_gettext("password and code"),
        "password, passkey": lazy_gettext("password and passkey"),
    },
    "link": {"invite": lazy_gettext("an invitation"), "reset": lazy_gettext("a lost password")},
    "hanging": {
        "machines": lazy_gettext("machines"),
        "limits": lazy_gettext("limits"),
        "windows": lazy_gettext("maintenance windows"),
        "rules": lazy_gettext("rules of who is told"),
    },
    "scopes": SCOPES,
    "which": {"all others": lazy_gettext("all but the one at hand")},
    "factor.kind": {"app": lazy_gettext("app"), "passkey": lazy_gettext("passkey")},
}  # fmt: skip
"""Values that are words of the machine, as people say them."""
SPANS = {"interval_s": 1, "deadline_s": 1, "for_s": 1, "clear_for_s": 1, "every": 1, "minutes": 60}
"""Columns that are a length of time, with the seconds of their unit."""
CLOCKS = ("from_minute", "to_minute", "quiet_from", "quiet_to")
UNSET = {
    "interval_s": lazy_gettext("as everywhere"),
    "attempts": lazy_gettext("as everywhere"),
    "recover_after": lazy_gettext("as everywhere"),
    "zone": lazy_gettext("as everywhere"),
    "language": lazy_gettext("as the browser says"),
    "theme": lazy_gettext("as the device says"),
}
"""What it means that nothing is set, where it means something."""


@dataclass
class Names:
    """What the rows of a page speak of is called: `names` by `kind:id`, `here` those that still exist; measures and
    levels of limits, and kinds of checks, by their ids.
    """

    names: dict[str, str] = field(default_factory=dict)
    here: set[str] = field(default_factory=set)
    measures: dict[int, str] = field(default_factory=dict)
    levels: dict[int, str] = field(default_factory=dict)
    checks: dict[int, str] = field(default_factory=dict)

    def of(self, kind: str, id: Any) -> str:
        """The name of one thing; where nobody knows it any more, its number."""
        return self.names.get(f"{kind}:{id}") or gettext("number %(id)s, gone", id=id)


def known(rows: Iterable[Audit]) -> Names:
    """Look up everything that these rows speak of, in a few queries; what is gone by what it was called last."""
    wanted: dict[str, set[int]] = defaultdict(set)
    for row in rows:
        for kind, id in _mentioned(row):
            wanted[kind].add(id)
    found, session = Names(), store.session()
    for kind, ids in wanted.items():
        if kind in NAMED:
            table = NAMED[kind]
            for id, name in session.execute(select(table.id, table.name).where(table.id.in_(ids))):
                found.names[f"{kind}:{id}"] = name
    found.here = set(found.names)
    found.names |= _gone({f"{kind}:{id}" for kind in wanted if kind in NAMED for id in wanted[kind]} - found.here)
    limits = select(Threshold.id, Threshold.measure, Threshold.state).where(Threshold.id.in_(wanted["limit"]))
    for id, measure, state in session.execute(limits):
        found.measures[id], found.levels[id] = measure, state
    checks = select(Check.id, Check.kind).where(Check.id.in_(wanted["check"]))
    found.checks = {row[0]: row[1] for row in session.execute(checks)}
    return found


def _gone(ons: set[str]) -> dict[str, str]:
    """What things that are gone were called when they were last written about."""
    if not ons:
        return {}
    kinds = [f"{on.split(':')[0]}.{verb}" for on in ons for verb in ("made", "changed", "gone")]
    name = Audit.detail["name"].astext
    last = select(Audit.on, name).where(Audit.on.in_(ons), Audit.what.in_(kinds), name.is_not(None))
    return {
        row[0]: row[1]
        for row in store.session().execute(last.order_by(Audit.on, Audit.id.desc()).ext(distinct_on(Audit.on)))
    }


def _mentioned(row: Audit) -> Iterator[tuple[str, int]]:
    """(kind, id) of everything a row speaks of."""
    kind, _, id = row.on.partition(":")
    yield from _ids(kind, int(id) if id.isdecimal() and len(id) < 10 else None)
    what = row.what.rpartition(".")[0]
    yield from _ids(HANGS.get(what, what), row.detail.get("id"))
    for column, pair in changed(row).items():
        for value in pair:
            yield from _ids(_refers(what, column), value)
    for word, value in row.detail.items():
        if word != "id":
            yield from _ids(MEANT.get(word), value)


def _ids(kind: str | None, value: Any) -> Iterator[tuple[str, int]]:
    for one in value if isinstance(value, list) else [value]:
        if kind is not None and isinstance(one, int) and not isinstance(one, bool) and 0 < one < 2**31:
            yield kind, one


@cache
def _columns() -> dict[tuple[str, str], Any]:
    """Every column that may be told of, by (word of its table, name)."""
    return {
        (kind, column.name): column
        for table, kind in audit.WATCHED.items()
        for column in Table.metadata.tables[table].c
    }


def _refers(kind: str, column: str) -> str | None:
    """Which kind of thing the ids in a column are of."""
    known = _columns().get((kind, column))
    for key in known.foreign_keys if known is not None else ():
        return audit.WATCHED.get(key.column.table.name)
    return MEANT.get(column) if (kind, column) == ("rota", "people") else None


def changed(row: Audit) -> dict[str, tuple[Any, Any]]:
    """{column: (before, after)}; whatever else somebody wrote there is left out."""
    told = row.detail.get("changed")
    if not isinstance(told, Mapping):
        return {}
    return {name: (pair[0], pair[1]) for name, pair in told.items() if isinstance(pair, list) and len(pair) == 2}


def word(kind: str, column: str) -> str:
    """What a column is called; one that nobody put into words is shown as it is written."""
    return str(SPECIAL.get(f"{kind}.{column}") or COLUMNS.get(column) or column)


def lines(row: Audit, names: Names) -> list[tuple[str, str]]:
    """(what, as it was and is) of an edit; of what is nobody's business only that it changed; of an event what it says."""
    kind, _, verb = row.what.rpartition(".")
    found: list[tuple[str, str]] = []
    for column, (before, after) in sorted(changed(row).items(), key=lambda one: _order(kind, one[0])):
        if verb != "changed" and _plain(row, kind, column, after if verb == "made" else before):
            continue
        if column == "options" and isinstance(before or {}, Mapping) and isinstance(after or {}, Mapping):
            found += _options(row, kind, before or {}, after or {}, names)
            continue
        was, now = (value(row, column, one, names) for one in (before, after))
        told = now if verb == "made" else was if verb == "gone" else f"{was} → {now}"
        found.append((_level(row, names) + word(kind, column), told))
    hidden = row.detail.get("hidden")
    shown = gettext("changed; it is not shown")
    found += [
        (word(kind, str(column)), shown) for column in (hidden if isinstance(hidden, list) else ()) if verb == "changed"
    ]
    rest = {
        k: v for k, v in row.detail.items() if k not in ("changed", "hidden", "name", "id") and v not in (None, "", [])
    }
    if "machine" in rest:
        rest.pop("host", None)
    return found + [(word(kind, key), value(row, key, one, names)) for key, one in rest.items()]


def _level(row: Audit, names: Names) -> str:
    """Which level a changed limit is of, before what changed of it."""
    level = LEVELS.get(names.levels.get(row.detail.get("id", 0), ""), "") if row.what == "limit.changed" else ""
    return f"{level} " if level else ""


def _order(kind: str, column: str) -> tuple[int, str]:
    first = {"limit": ("measure", "part", "state", "over", "under")}.get(kind, ("name", "role"))
    return (first.index(column), "") if column in first else (len(first), column)


def _plain(row: Audit, kind: str, column: str, value: Any) -> bool:
    """What goes without saying where something is made or gone: its name, whose it is, and what is off or empty."""
    owner = row.on.partition(":")[0]
    return (
        column == "name"
        or value in (None, "", False, [], {})
        or _refers(kind, column) == owner != kind
        or (kind in HANGS and column in ("role", "group_id", "parent_id", "division_id", "host_id", "person_id"))
        or (kind == "limit" and column == "measure")
    )


def _options(
    row: Audit, kind: str, before: Mapping[str, Any], after: Mapping[str, Any], names: Names
) -> list[tuple[str, str]]:
    """Options of a check or a channel that differ, each by the words of its form; of a maintenance when it comes."""
    pairs = changed(row)
    if kind == "maintenance":
        return [(gettext("When"), said)] if (said := _when(pairs, after or before)) else []
    labels = _labels(
        kind, str(next(filter(None, pairs.get("kind", ())), "")) or names.checks.get(row.detail.get("id", 0), "")
    )
    found = []
    for name in dict.fromkeys((*before, *after)):
        was, now = before.get(name), after.get(name)
        if was != now and not (was in (None, "", []) and now in (None, "", [])):
            told = f"{_said(was)} → {_said(now)}" if row.what.endswith(".changed") else _said(now if after else was)
            found.append((labels.get(name, name), told))
    return found


def _labels(kind: str, which: str) -> dict[str, str]:
    """The labels of the options of one kind of check or channel; of any kind that has them where it is not known."""
    every: Mapping[str, Any] = catalogue() if kind == "check" else channels.catalogue()
    chosen = [every[which]] if which in every else list(every.values())
    return {one.name: gettext(one.label) for entry in reversed(chosen) for one in describe(entry.options)}


def _when(pairs: Mapping[str, tuple[Any, Any]], options: Mapping[str, Any]) -> str:
    """When a maintenance comes, in one sentence; empty where the row does not say enough."""
    kind, zone = (next((one for one in pairs.get(name, ()) if one), "") for name in ("kind", "zone"))
    try:
        return windows.words(calendar.read(str(kind), dict(options), str(zone)))
    except (ValueError, KeyError, TypeError):
        return ""


def value(row: Audit, column: str, value: Any, names: Names) -> str:
    """One value as people say it."""
    kind = row.what.rpartition(".")[0]
    if value is None:
        return str(UNSET.get(column, "–"))
    refers = _refers(kind, column) or (MEANT.get(column) if kind not in audit.WATCHED.values() else None)
    if refers and refers in NAMED and not isinstance(value, str | bool):
        return ", ".join(names.of(refers, one) for one in (value if isinstance(value, list) else [value])) or "–"
    words = WORDS.get(f"{kind}.{column}") or WORDS.get(column)
    if words is not None and isinstance(value, str):
        return str(words.get(value, value))
    if words is not None and isinstance(value, list):
        return ", ".join(str(words.get(one, one)) for one in value)
    if words is not None and isinstance(value, Mapping):
        return ", ".join(f"{_said(many)} {words.get(one, one)}" for one, many in value.items() if many) or "–"
    return _measured(row, kind, column, value, names)


def _measured(row: Audit, kind: str, column: str, value: Any, names: Names) -> str:
    """Numbers in their units, moments on the reader's clock, kinds by their labels."""
    if isinstance(value, bool):
        return gettext("on") if value else gettext("off")
    if kind == "limit" and column in ("over", "under", "clear") and isinstance(value, int | float):
        measure = measured(row, names)
        return units.say(float(value), _units().get(measure, ""), measure)
    if column == "measure":
        return called(str(value))
    if column in SPANS and isinstance(value, int | float):
        return span(value * SPANS[column])
    if column in CLOCKS and isinstance(value, int):
        return hours.said(value)
    if column == "days" and kind == "rota" and isinstance(value, int):
        return span(value * 86400)
    if column in ("days", "quiet_days") and isinstance(value, list):
        return hours.days([one for one in value if isinstance(one, int)])
    if column == "kind" and kind in ("check", "look", "credential", "channel", "trial"):
        known: Any = (channels.catalogue() if kind in ("channel", "trial") else catalogue()).get(str(value))
        return gettext(known.label) if known is not None else str(value)
    if column == "steps" and isinstance(value, list):
        return _ladder(value)
    return _time(kind, column, value) or _said(value)


def _time(kind: str, column: str, value: Any) -> str:
    """A moment on the reader's clock; empty where it is none."""
    known = _columns().get((kind, column))
    if known is None or not isinstance(known.type, DateTime) or not isinstance(value, str):
        return ""
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        return ""
    return moment(at) if at.tzinfo else ""


def _ladder(stored: list[Any]) -> str:
    """The rungs of a rule."""
    try:
        return receivers.ladder_said(receivers.steps(stored), receivers.names())
    except (KeyError, TypeError, ValueError):
        return _said(stored)


def measured(row: Audit, names: Names) -> str:
    """The measure a row about a limit is of; empty where nobody knows any more."""
    told = next((str(one) for one in changed(row).get("measure", ()) if one), "")
    id = row.detail.get("id")
    return told or (names.measures.get(id, "") if isinstance(id, int) else "")


def called(measure: str) -> str:
    """A measure by its title, as the pages of limits call it."""
    return gettext(titles()[measure]) if measure in titles() else measure


@cache
def _units() -> dict[str, str]:
    return {made.name: made.unit for probe in catalogue().values() for made in probe.produces}


def _said(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return gettext("on") if value else gettext("off")
    if isinstance(value, float):
        return number(value, 6)
    if isinstance(value, Mapping):
        value = [f"{name}: {_said(one)}" for name, one in value.items()]
    text = ", ".join(_said(one) for one in value) if isinstance(value, list) else str(value)
    return text[:LONGEST] + ("…" if len(text) > LONGEST else "") if text else "–"


def found_by_name(name: str) -> list[str]:
    """`kind:id` of everything that is called so now, whatever the case of its letters."""
    session = store.session()
    return [
        f"{kind}:{id}"
        for kind, table in NAMED.items()
        for id in session.scalars(select(table.id).where(func.lower(table.name) == name.lower()).limit(20))
    ]
