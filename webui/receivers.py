"""Who is told, for the pages: the house as domain.audience wants it, and its policies in words."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.rows import dict_row
from sqlalchemy import select
from sqlalchemy.orm import joinedload, selectinload

from domain import audience, recipients
from domain.audience import Hours, House, Machine, Severity, Step
from domain.inventory import Host, Membership, Person
from domain.recipients import Route
from notifier.house import house as read_house
from webui import hours, store
from webui.language import gettext, lazy_gettext
from webui.wording import span

ROLES = {
    "pic": lazy_gettext("whoever is in charge"),
    "deputy": lazy_gettext("the deputy"),
    "staff": lazy_gettext("staff"),
    "admins": lazy_gettext("administrators"),
}
"""Receivers that are not one person (domain.recipients.Policy)."""


@dataclass(frozen=True)
class Way:
    """One address of somebody in a preview; `quiet_until` where it is silent at that moment, `why` where it is not told."""

    label: str
    quiet_until: datetime | None
    why: str


@dataclass(frozen=True)
class Rung:
    """One rung of a preview: `after` seconds, people with their ways, groups by name, and who is missing."""

    after: float
    people: list[tuple[str, list[Way]]]
    groups: list[str]
    missed: list[str]


def house(moment: datetime) -> House:
    """Everybody, every policy, every rota, as they are now: read by what routes messages, so that both say the same."""
    driver: Any = store.session().connection().connection.driver_connection
    with driver.cursor(row_factory=dict_row) as cursor:
        return read_house(cursor, moment)


def policies() -> list[recipients.Policy]:
    """All policies in the order in which they are asked."""
    loaded = (joinedload(recipients.Policy.division), joinedload(recipients.Policy.site), joinedload(recipients.Policy.group))  # fmt: skip
    ordered = select(recipients.Policy).options(*loaded).order_by(recipients.Policy.position, recipients.Policy.id)
    return list(store.session().scalars(ordered))


def rotas() -> list[recipients.Rota]:
    """All rotas by name, with their shifts."""
    return list(
        store.session().scalars(
            select(recipients.Rota).options(selectinload(recipients.Rota.shifts)).order_by(recipients.Rota.name)
        )
    )


def steps(stored: Iterable[Mapping[str, Any]]) -> tuple[Step, ...]:
    """The rungs of a stored ladder."""
    return tuple(Step(float(step["after"]), tuple(step["to"])) for step in stored)


def rota(row: recipients.Rota) -> audience.Rota:
    """A rota as the rules know it; of two shifts the later made one counts."""
    shifts = sorted(row.shifts, key=lambda shift: shift.id or 0)
    return audience.Rota(
        tuple(row.people),
        row.starts_at,
        row.days,
        row.zone,
        tuple(audience.Shift(shift.person_id, shift.since, shift.until) for shift in shifts),
    )


def names() -> dict[str, str]:
    """Every receiver there is, as a policy names it, with what people call it."""
    session = store.session()
    found = {key: str(said) for key, said in ROLES.items()}
    found |= {f"rota:{id}": gettext("on call: %(name)s", name=name) for id, name in session.execute(select(recipients.Rota.id, recipients.Rota.name).order_by(recipients.Rota.name))}  # fmt: skip
    groups = select(Route).where(Route.person_id.is_(None)).options(joinedload(Route.channel)).order_by(Route.name)
    found |= {f"route:{row.id}": f"{row.name or row.channel.name}" for row in session.scalars(groups)}
    people = select(Person.id, Person.name).where(Person.active).order_by(Person.name)
    return found | {f"person:{id}": name for id, name in session.execute(people)}


def ladder_said(rungs: Sequence[Step], named: Mapping[str, str]) -> str:
    """A ladder in words: `at once whoever is in charge and staff; after 15 min the deputy`."""
    if not any(step.to for step in rungs):
        return gettext("nobody is told")
    told = []
    for step in sorted(rungs, key=lambda one: one.after):
        who = _and([named.get(name, gettext("somebody who is gone")) for name in step.to])
        told.append(
            gettext("after %(time)s %(who)s", time=span(step.after), who=who)
            if step.after
            else gettext("at once %(who)s", who=who)
        )
    return "; ".join(told)


def scope_said(row: recipients.Policy) -> str:
    """What a policy is for, in words."""
    parts = []
    if row.division:
        parts.append(gettext("division %(name)s", name=row.division.name))
    if row.site:
        parts.append(gettext("site %(name)s", name=row.site.name))
    if row.group:
        parts.append(gettext("group %(name)s", name=row.group.name))
    told = ", ".join(parts) or gettext("every machine")
    if row.severity:
        told += ", " + (gettext("what is critical") if row.severity == "critical" else gettext("warnings"))
    if row.from_minute is not None and row.to_minute is not None:
        told += f", {hours.span(row.from_minute, row.to_minute, row.days)} ({row.zone})"
    return told


def preview(host: Host, severity: Severity, moment: datetime) -> tuple[audience.Policy, list[Rung]]:
    """Who would be told of trouble of this machine at that moment: the rule that decides, and its rungs."""
    everybody = house(moment)
    machine = Machine(host.division_id, host.site_id, frozenset(group.id for group in host.groups))
    deciding = audience.deciding(everybody, machine, severity, moment)
    named, ways, rungs = names(), _ways(), []
    for rung in audience.ladder(everybody, deciding, machine, moment):
        people = [(everybody.members[id].name, [_way(route, severity, moment) for route in ways[id]]) for id in rung.persons]  # fmt: skip
        groups = [named.get(f"route:{id}", "") for id in rung.routes]
        rungs.append(Rung(rung.after, people, groups, [named.get(name, name) for name in rung.missed]))
    return deciding, rungs


def _ways() -> dict[int, list[Route]]:
    """Every address in use, by person."""
    found: dict[int, list[Route]] = defaultdict(list)
    rows = store.session().scalars(
        select(Route)
        .where(Route.person_id.is_not(None), Route.enabled, Route.gone_at.is_(None), Route.verified_at.is_not(None))
        .options(joinedload(Route.channel), joinedload(Route.person))
        .order_by(Route.id)
    )
    for route in rows:
        if route.channel.enabled and route.person_id is not None:
            found[route.person_id].append(route)
    return found


def _way(route: Route, severity: Severity, moment: datetime) -> Way:
    label = f"{route.channel.name} ({route.name})" if route.name else route.channel.name
    if route.severity == "critical" and severity == "warning":
        return Way(label, None, gettext("only of what is critical"))
    if route.muted_until is not None and route.muted_until > moment:
        return Way(label, route.muted_until, "")
    if route.quiet_from is None or route.quiet_to is None or (severity == "critical" and route.quiet_critical):
        return Way(label, None, "")
    zone = route.zone or (route.person.zone if route.person else None) or store.settings().zone
    return Way(label, Hours(route.quiet_from, route.quiet_to, zone, frozenset(route.quiet_days)).until(moment), "")


def _roles(memberships: Iterable[Membership]) -> dict[int, frozenset[str]]:
    found: dict[int, set[str]] = defaultdict(set)
    for one in memberships:
        found[one.division_id].add(one.role)
    return {division: frozenset(roles) for division, roles in found.items()}


def _and(words: Sequence[str]) -> str:
    """Several words as one part of a sentence."""
    return words[0] if len(words) == 1 else gettext("%(some)s and %(last)s", some=", ".join(words[:-1]), last=words[-1])
