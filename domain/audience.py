"""Decides who is told of what: policies, ladders, rotas and quiet hours, as data and pure functions.

The same functions route a notice and answer "who would be told if this machine died now?".
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from itertools import pairwise
from typing import Literal
from zoneinfo import ZoneInfo

Severity = Literal["warning", "critical"]
ROLES = ("pic", "deputy", "staff")


def severity_of(state: str) -> Severity:
    """How grave a state is: what is merely yellow is a warning, all other trouble is critical."""
    return "warning" if state in ("warning", "unknown") else "critical"


@dataclass(frozen=True, slots=True)
class Hours:
    """From `begin` until `end`, minutes after midnight of `zone`; over midnight where `end` <= `begin`.

    `days` (Monday = 0) are those on which it begins; none = every day.
    """

    begin: int
    end: int
    zone: str
    days: frozenset[int] = frozenset()

    def until(self, moment: datetime) -> datetime | None:
        """When the hours that hold at `moment` are over; None where none hold. Wall clock, so DST shifts count."""
        zone = ZoneInfo(self.zone)
        local = moment.astimezone(zone)
        for day in (local.date() - timedelta(days=1), local.date()):
            if self.days and day.weekday() not in self.days:
                continue
            over = day + timedelta(days=1) if self.end <= self.begin else day
            begin, end = _at(day, self.begin, zone), _at(over, self.end, zone)
            if begin <= moment < end:
                return end.astimezone(moment.tzinfo)
        return None

    def hold(self, moment: datetime) -> bool:
        """Whether `moment` lies within."""
        return self.until(moment) is not None


def _at(day: date, minute: int, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(minute // 60, minute % 60), zone)


@dataclass(frozen=True, slots=True)
class Member:
    """A person as far as it matters here: `roles` by division; `everywhere` who sees every machine."""

    id: int
    name: str
    admin: bool = False
    roles: Mapping[int, frozenset[str]] = field(default_factory=dict)
    everywhere: bool = False

    def sees(self, division: int | None) -> bool:
        """Whether machines of the division are theirs to know of (the same rule as domain.inventory.visible)."""
        return self.admin or self.everywhere or (division is not None and division in self.roles)


@dataclass(frozen=True, slots=True)
class Machine:
    """What a policy may ask of a machine; the monitor itself has none of it."""

    division: int | None = None
    site: int | None = None
    groups: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Step:
    """A rung of the ladder: `after` seconds since the trouble was told, `to` as domain.recipients.Policy names them."""

    after: float
    to: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy that is switched on; None = any."""

    name: str
    steps: tuple[Step, ...]
    division: int | None = None
    site: int | None = None
    group: int | None = None
    severity: Severity | None = None
    hours: Hours | None = None

    def fits(self, machine: Machine, severity: Severity, moment: datetime) -> bool:
        """Whether it decides about this trouble."""
        return (
            self.division in (None, machine.division)
            and self.site in (None, machine.site)
            and (self.group is None or self.group in machine.groups)
            and self.severity in (None, severity)
            and (self.hours is None or self.hours.hold(moment))
        )


USUAL = Policy("", (Step(0, ("pic", "staff")), Step(15 * 60, ("deputy",)), Step(30 * 60, ("admins",))))
"""The ladder where no policy fits."""
WATCHING = Policy("", (Step(0, ("admins",)),))
"""For what is about the watching and not about the watched."""


@dataclass(frozen=True, slots=True)
class Shift:
    """`person` is on call from `since` until `until`, whatever the turn says."""

    person: int
    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class Rota:
    """People one after the other, each for `days` days; it is handed over at the hour of `starts` in `zone`."""

    people: tuple[int, ...]
    starts: datetime
    days: int
    zone: str
    shifts: tuple[Shift, ...] = ()

    def on_call(self, moment: datetime) -> int | None:
        """Who is on call; None before it starts and where nobody takes turns. Of two shifts the later made one counts."""
        for shift in reversed(self.shifts):
            if shift.since <= moment < shift.until:
                return shift.person
        return self._turn(moment)

    def turns(self, begin: datetime, end: datetime) -> Iterator[Shift]:
        """Who is on call from `begin` until `end`, in order, swaps included; neighbours of one person are one."""
        edges = {begin, end, *(edge for shift in self.shifts for edge in (shift.since, shift.until))}
        number = self._number(begin)
        while (edge := self._handover(number)) < end:
            edges.add(edge)
            number += 1
        last: Shift | None = None
        ordered = sorted(edge for edge in edges if begin <= edge <= end)
        for since, until in pairwise(ordered):
            person = self.on_call(since)
            if last is not None and last.person == person and last.until == since:
                last = Shift(last.person, last.since, until)
                continue
            if last is not None:
                yield last
            last = None if person is None else Shift(person, since, until)
        if last is not None:
            yield last

    def _turn(self, moment: datetime) -> int | None:
        number = self._number(moment)
        return self.people[number % len(self.people)] if self.people and number >= 0 else None

    def _number(self, moment: datetime) -> int:
        """How many times it was handed over until `moment`; by days of the calendar, so DST does not shift the hour."""
        zone = ZoneInfo(self.zone)
        days = (moment.astimezone(zone).date() - self.starts.astimezone(zone).date()).days
        number = days // self.days
        return number - 1 if moment < self._handover(number) else number

    def _handover(self, number: int) -> datetime:
        zone = ZoneInfo(self.zone)
        local = self.starts.astimezone(zone)
        day = local.date() + timedelta(days=number * self.days)
        return datetime.combine(day, local.time(), zone)


@dataclass(frozen=True, slots=True)
class House:
    """Everybody, every policy in order, every rota: what routing needs to know.

    `reached` are the persons and `groups` the routes without a person that can be told at all (a route that works).
    """

    members: Mapping[int, Member]
    policies: Sequence[Policy] = ()
    rotas: Mapping[int, Rota] = field(default_factory=dict)
    reached: Collection[int] = ()
    groups: Collection[int] = ()


@dataclass(frozen=True, slots=True)
class Told:
    """A rung as it comes out: `persons` and group `routes`, `after` seconds; `missed` are receivers that reach nobody."""

    after: float
    persons: tuple[int, ...]
    routes: tuple[int, ...]
    missed: tuple[str, ...] = ()


def deciding(house: House, machine: Machine, severity: Severity, moment: datetime) -> Policy:
    """The policy that decides: the first that fits, or the usual ladder."""
    return next((policy for policy in house.policies if policy.fits(machine, severity, moment)), USUAL)


def ladder(house: House, policy: Policy, machine: Machine, moment: datetime) -> tuple[Told, ...]:
    """Whom each rung reaches, for trouble told at `moment`, in order; who was told on a rung is not told again.

    A ladder never waits on an empty rung: where a rung reaches nobody, all later ones come as much earlier. Where no rung
    reaches anybody although the policy names somebody, the administrators are told, at once.
    """
    rungs, known, known_routes, gained = [], set[int](), set[int](), 0.0
    steps = sorted(policy.steps, key=lambda step: step.after)
    for place, step in enumerate(steps):
        after = step.after - gained
        persons, routes, missed = receivers(house, step.to, machine, moment + timedelta(seconds=after))
        fresh = tuple(sorted(persons - known)), tuple(sorted(routes - known_routes))
        if any(fresh) or missed:
            rungs.append(Told(after, *fresh, missed))
        if not persons and not routes and place + 1 < len(steps):
            gained += steps[place + 1].after - step.after
        known |= persons
        known_routes |= routes
    if policy.steps and not known and not known_routes:
        admins, _, missed = receivers(house, ("admins",), machine, moment)
        rungs.append(Told(0, tuple(sorted(admins)), (), missed))
    return tuple(rungs)


def receivers(
    house: House, names: Sequence[str], machine: Machine, moment: datetime
) -> tuple[set[int], set[int], tuple[str, ...]]:
    """Persons and group routes behind the names, as of `moment`, and the names that reach nobody.

    Nobody is told of a machine they may not see, whoever names them.
    """
    persons, routes, missed = set[int](), set[int](), []
    for name in names:
        kind, _, number = name.partition(":")
        if kind == "route":
            found = {int(number)} & set(house.groups)
            routes |= found
        else:
            wanted = _persons(house, kind, number, machine, moment)
            found = {id for id in wanted if id in house.reached and house.members[id].sees(machine.division)}
            persons |= found
        if not found:
            missed.append(name)
    return persons, routes, tuple(missed)


def _persons(house: House, kind: str, number: str, machine: Machine, moment: datetime) -> set[int]:
    if kind == "admins":
        return {member.id for member in house.members.values() if member.admin}
    if kind in ROLES:
        division = machine.division
        if division is None:
            return set()
        return {member.id for member in house.members.values() if kind in member.roles.get(division, ())}
    if kind == "rota":
        rota = house.rotas.get(int(number))
        person = rota.on_call(moment) if rota else None
        return {person} & set(house.members) if person is not None else set()
    return {int(number)} & set(house.members)
