"""Incidents as people read them: what one is called, its lists, what happened, whom it touches, what was alike before."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import CTE, ColumnElement, and_, case, func, or_, select
from sqlalchemy.orm import Session, aliased

from domain.inventory import Check, Host, Person, host_parent
from domain.jobs import Schedule
from domain.records import Change, Incident, IncidentEvent, IncidentMember
from webui.language import gettext, ngettext
from webui.wording import MEASURES, moment, span, titles, word

WEEK = timedelta(days=7)
MOST = 200
SIMILAR = 5
SHOWN_MEMBERS = 200
STEPS = 3000
TOGETHER = timedelta(seconds=60)
"""Machines that join or leave within so much time are one line of the history."""
SAME = timedelta(seconds=1)
WORST = ("down", "critical", "unreachable", "warning", "unknown")


@dataclass(frozen=True)
class Case:
    """An incident with the names behind its numbers. `about` is its check or measure; empty for the machine itself."""

    row: Incident
    machine: str
    about: str
    owner: str
    members: int = 0
    parts: int = 0

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self.row.closed_at is not None

    @property
    def what(self) -> str:
        """Machine and, where it is not about the whole of it, which check or measure."""
        return f"{self.machine} · {self.about}" if self.about else self.machine

    @property
    def title(self) -> str:
        """One sentence: what is, or was, the matter."""
        what, over = self.what, self.row.closed_at
        if over is None:
            return _is(what, self.row.state)
        return _was(what, self.row.state, span((over - self.row.since).total_seconds()))

    def in_hand(self, at: datetime) -> bool:
        """Whether somebody has it in hand at this moment."""
        row = self.row
        return row.acknowledged_at is not None and (row.acknowledged_until is None or row.acknowledged_until > at)


def _is(what: str, state: str) -> str:
    if state == "down":
        return gettext("%(what)s is down", what=what)
    if state == "critical":
        return gettext("%(what)s is critical", what=what)
    if state == "warning":
        return gettext("%(what)s has a warning", what=what)
    return gettext("%(what)s: %(state)s", what=what, state=word(state))


def _was(what: str, state: str, time: str) -> str:
    if state == "down":
        return gettext("%(what)s was down for %(time)s", what=what, time=time)
    if state == "critical":
        return gettext("%(what)s was critical for %(time)s", what=what, time=time)
    if state == "warning":
        return gettext("%(what)s had a warning for %(time)s", what=what, time=time)
    return gettext("%(what)s: %(state)s for %(time)s", what=what, state=word(state), time=time)


@dataclass(frozen=True)
class Filter:
    """What the list is narrowed to; everything None or empty: all. `owner` is a person's id, or 0 for nobody."""

    state: str = ""
    owner: int | None = None
    machine: int | None = None
    division: int | None = None


@dataclass(frozen=True)
class Step:
    """One line of the history: when, the state it shows (or none), what happened in words, and who did it."""

    at: datetime
    words: str
    state: str = ""
    who: str = ""
    quote: str = ""
    incident: int | None = None
    machines: tuple[tuple[int, str], ...] = ()


@dataclass
class Branch:
    """A machine in the tree of those an incident touches."""

    id: int
    name: str
    since: datetime
    until: datetime | None
    below: list[Branch] = field(default_factory=list)


def listed(
    session: Session, visible: ColumnElement[bool], chosen: Filter, at: datetime
) -> tuple[list[Case], list[Case]]:
    """(open, closed in the last week), worst and longest first, newest first. Those under another one are left out."""
    wanted = [visible, Incident.merged_into.is_(None), *_narrowed(chosen)]
    going = [] if chosen.state == "closed" else _cases(session, [*wanted, Incident.closed_at.is_(None)])
    over = [] if chosen.state == "open" else _cases(session, [*wanted, Incident.closed_at > at - WEEK])
    going.sort(key=lambda one: (_rank(one.row.state), one.row.since))
    over.sort(key=lambda one: one.row.closed_at or at, reverse=True)
    return going, over


def paged(
    session: Session, visible: ColumnElement[bool], chosen: Filter, before: int, count: int, whole: bool
) -> list[Case]:
    """So many, newest first, those before the one with the number `before` (0: from the newest).

    Those under another one are left out unless `whole`.
    """
    wanted = [visible, *_narrowed(chosen)]
    if before:
        wanted.append(Incident.id < before)
    if not whole:
        wanted.append(Incident.merged_into.is_(None))
    if chosen.state:
        wanted.append(Incident.closed_at.is_(None) if chosen.state == "open" else Incident.closed_at.is_not(None))
    return _cases(session, wanted, (Incident.id.desc(),), count)


def _narrowed(chosen: Filter) -> list[ColumnElement[bool]]:
    wanted: list[ColumnElement[bool]] = []
    if chosen.owner is not None:
        wanted.append(Incident.owner_id == chosen.owner if chosen.owner else Incident.owner_id.is_(None))
    if chosen.machine is not None:
        wanted.append(Incident.host_id == chosen.machine)
    if chosen.division is not None:
        wanted.append(Host.division_id == chosen.division)
    return wanted


def one(session: Session, visible: ColumnElement[bool], incident_id: int) -> Case | None:
    """One incident within `visible`."""
    return next(iter(_cases(session, [visible, Incident.id == incident_id])), None)


def several(session: Session, visible: ColumnElement[bool], ids: Sequence[int]) -> list[Case]:
    """These incidents within `visible`, newest first."""
    return _cases(session, [visible, Incident.id.in_(ids)]) if ids else []


def parts(session: Session, visible: ColumnElement[bool], incident: Incident) -> list[Case]:
    """The incidents that stand under this one, and under those in their turn."""
    under = _under([incident.id])
    return _cases(session, [visible, Incident.id.in_(select(under.c.id))])


def similar(session: Session, visible: ColumnElement[bool], incident: Incident) -> list[Case]:
    """Ended incidents of the same subject, or of another one with the same cause; those somebody explained first."""
    alike = [Incident.subject == incident.subject]
    if incident.cause:
        alike.append(Incident.cause == incident.cause)
    if incident.failure_kind:
        alike.append(and_(Incident.failure_kind == incident.failure_kind, Incident.host_id == incident.host_id))
    wanted = [visible, or_(*alike), Incident.id != incident.id, Incident.closed_at.is_not(None)]
    order = ((Incident.closing == "").asc(), (Incident.subject == incident.subject).desc(), Incident.closed_at.desc())
    return _cases(session, wanted, order, SIMILAR)


def history(session: Session, incident: Incident, visible: ColumnElement[bool]) -> list[Step]:
    """Everything that happened, newest first: what the rules and people wrote down, and the changes of its subject."""
    events = list(
        session.execute(
            select(IncidentEvent, Person.name)
            .outerjoin(Person, Person.id == IncidentEvent.person_id)
            .where(IncidentEvent.incident_id == incident.id)
            .order_by(IncidentEvent.at.desc(), IncidentEvent.id.desc())
            .limit(STEPS)
        )
    )
    people = _people(session, events)
    steps = [_step(event, who or "", people) for event, who in events]
    written = [(event.at, event.kind) for event, _ in events]
    end = incident.closed_at
    changes = session.scalars(
        select(Change)
        .where(Change.subject == incident.subject, Change.at >= incident.opened_at - SAME)
        .where(Change.at <= end + SAME if end is not None else Change.at.is_not(None))
        .order_by(Change.at.desc())
        .limit(STEPS)
    )
    states = [at for at, kind in written if kind in ("opened", "state", "closed")]
    steps += [
        Step(one.at, _turned(one.from_state, one.to_state), one.to_state, quote=one.reason)
        for one in changes
        if not any(abs(one.at - at) <= SAME for at in states)
    ]
    kinds = {kind for _, kind in written}
    if "opened" not in kinds:
        steps.append(Step(incident.opened_at, gettext("It began"), incident.state, quote=incident.cause))
    if end is not None and "closed" not in kinds:
        steps.append(Step(end, gettext("It is over"), "up"))
    steps += _members(session, incident, visible)
    steps.sort(key=lambda step: step.at, reverse=True)
    return _joined(steps)


def _members(session: Session, incident: Incident, visible: ColumnElement[bool]) -> list[Step]:
    """Machines that became unreachable because of it, and those that came back before it was over."""
    rows = session.execute(
        select(IncidentMember.host_id, Host.name, IncidentMember.since, IncidentMember.until)
        .join(Host, Host.id == IncidentMember.host_id)
        .where(IncidentMember.incident_id == incident.id, visible)
        .limit(STEPS)
    ).all()
    came = [Step(since, "joined", "unreachable", machines=((id, name),)) for id, name, since, _ in rows]
    went = [Step(until, "left", "up", machines=((id, name),)) for id, name, _, until in rows if until is not None]
    return came + went


def tree(session: Session, incident: Incident, visible: ColumnElement[bool]) -> tuple[list[Branch], int]:
    """The machines behind its cause, each under its parent, and how many there are in all (only so many are drawn)."""
    rows = session.execute(
        select(IncidentMember.host_id, Host.name, func.min(IncidentMember.since), _ended())
        .join(Host, Host.id == IncidentMember.host_id)
        .where(IncidentMember.incident_id == incident.id, visible)
        .group_by(IncidentMember.host_id, Host.name)
        .order_by(Host.name)
    ).all()
    shown = {id: Branch(id, name, since, until) for id, name, since, until in rows[:SHOWN_MEMBERS]}
    links = session.execute(
        select(host_parent.c.host_id, host_parent.c.parent_id).where(host_parent.c.host_id.in_(shown))
    )
    placed: set[int] = set()
    for child, parent in links:
        if parent in shown and child not in placed and not _above(shown[child], shown[parent]):
            shown[parent].below.append(shown[child])
            placed.add(child)
    return [branch for id, branch in shown.items() if id not in placed], len(rows)


def subject_name(subject: str, checks: dict[int, str]) -> str:
    """What a subject is called beside its machine: a check by its name, a limit by its measure; empty for the machine."""
    kind, _, rest = subject.partition(":")
    if kind == "check":
        return checks.get(int(rest), "")
    if kind == "metric":
        _, measure, part = [*rest.split(":", 2), "", ""][:3]
        title = MEASURES.get(measure) or gettext(titles().get(measure, measure))
        return f"{title} {part}".strip()
    return ""


def _ended() -> Any:
    """None while any of a machine's rows lasts."""
    ended = func.max(IncidentMember.until)
    return case((func.count() == func.count(IncidentMember.until), ended))


def _above(one: Branch, other: Branch) -> bool:
    """Whether `other` is `one`, or below it."""
    return one is other or any(_above(below, other) for below in one.below)


def _cases(
    session: Session, wanted: Sequence[ColumnElement[bool]], order: Sequence[Any] = (), count: int = MOST
) -> list[Case]:
    members = (
        select(func.count(func.distinct(IncidentMember.host_id)))
        .where(IncidentMember.incident_id == Incident.id)
        .where(or_(IncidentMember.until.is_(None), Incident.closed_at.is_not(None)))
        .scalar_subquery()
    )
    rows = session.execute(
        select(Incident, Host.name, Check.name, Person.name, members)
        .outerjoin(Host, Host.id == Incident.host_id)
        .outerjoin(Check, Check.id == Incident.check_id)
        .outerjoin(Person, Person.id == Incident.owner_id)
        .where(*wanted)
        .order_by(*(order or (Incident.opened_at.desc(),)))
        .limit(count)
    ).all()
    under = _under([row.id for row, *_ in rows])
    parts: dict[int, int] = dict(session.execute(select(under.c.whole, func.count()).group_by(under.c.whole)).all())
    return [
        Case(
            row,
            host or _own(session, row.subject),
            subject_name(row.subject, {row.check_id or 0: check or ""}),
            owner or "",
            joined,
            parts.get(row.id, 0),
        )
        for row, host, check, owner, joined in rows
    ]


def _own(session: Session, subject: str) -> str:
    """What an incident is about that is about no machine: a job, or our own line."""
    kind, _, number = subject.partition(":")
    if kind != "job":
        return gettext("Pantau's own line")
    name = session.scalar(select(Schedule.name).where(Schedule.id == int(number)))
    return gettext("The job “%(name)s”", name=name or f"#{number}")


def _under(wholes: Sequence[int]) -> CTE:
    """(whole, id) of everything that stands under these incidents, however deep."""
    part = aliased(Incident)
    direct = select(Incident.merged_into.label("whole"), Incident.id).where(Incident.merged_into.in_(wholes))
    under = direct.cte("under", recursive=True)
    return under.union(select(under.c.whole, part.id).where(part.merged_into == under.c.id))


def _rank(state: str) -> int:
    return WORST.index(state) if state in WORST else len(WORST)


def _people(session: Session, events: Iterable[Any]) -> dict[int, str]:
    wanted = {event.data.get("to") for event, _ in events if event.kind == "handed_over"}
    return dict(session.execute(select(Person.id, Person.name).where(Person.id.in_(wanted))).all()) if wanted else {}


def _turned(before: str, after: str) -> str:
    return gettext("%(before)s → %(after)s", before=word(before), after=word(after))


def _step(event: IncidentEvent, who: str, people: dict[int, str]) -> Step:
    data, kind = event.data, event.kind
    other = data.get("incident") if isinstance(data.get("incident"), int) else None
    at = event.at
    if kind == "opened":
        return Step(at, gettext("It began"), str(data.get("to") or "down"), quote=str(data.get("reason") or ""))
    if kind == "state":
        after = str(data.get("to", ""))
        return Step(at, _turned(str(data.get("from", "")), after), after, quote=str(data.get("reason") or ""))
    if kind == "acknowledged":
        until = _moment(data.get("until"))
        words = gettext("is on it until %(moment)s", moment=moment(until)) if until else gettext("is on it")
        return Step(at, words, who=who, quote=str(data.get("note") or ""))
    if kind == "handed_over":
        name = people.get(int(data.get("to") or 0), gettext("somebody"))
        return Step(at, gettext("handed it over to %(name)s", name=name), who=who, quote=str(data.get("note") or ""))
    if kind == "closed":
        text = str(data.get("text") or "")
        if who:
            return Step(at, gettext("said what it was"), who=who, quote=text)
        return Step(at, gettext("It is over"), str(data.get("to") or "up"), quote=text)
    if kind in ("merged", "split"):
        return Step(at, _put(kind, str(data.get("as") or ""), other), who=who, incident=other)
    if kind == "note":
        return Step(at, gettext("wrote") if who else gettext("Note"), who=who, quote=str(data.get("text") or ""))
    return Step(at, _plain(kind, data), who=who)


def _put(kind: str, part: str, other: int | None) -> str:
    """What was put together or parted: by the rules (no word of which is whose part), or by a person."""
    if not part and kind == "merged":
        return gettext("It shares its cause with #%(number)s", number=other)
    if not part:
        return gettext("It shares its cause with #%(number)s no longer", number=other)
    if kind == "merged" and part == "whole":
        return gettext("put #%(number)s under this incident", number=other)
    if kind == "merged":
        return gettext("put this incident under #%(number)s", number=other)
    if part == "whole":
        return gettext("parted #%(number)s from this incident", number=other)
    return gettext("parted this incident from #%(number)s", number=other)


def _plain(kind: str, data: dict[str, Any]) -> str:
    if kind == "told":
        kinds = {
            "problem": gettext("People were told of the problem"),
            "recovery": gettext("People were told that it is over"),
            "reminder": gettext("People were reminded"),
            "flap_start": gettext("People were told that it comes and goes"),
            "flap_stop": gettext("People were told that it comes and goes no more"),
            "check_problem": gettext("Administrators were told"),
            "uplink_lost": gettext("People were told that Pantau's own line is gone"),
            "uplink_back": gettext("People were told that Pantau's own line is back"),
        }
        return kinds.get(str(data.get("notice")), gettext("People were told"))
    return {
        "given_back": gettext("gave it back: nobody is on it"),
        "expired": gettext("The time of whoever was on it is over"),
    }.get(kind, kind)


def _joined(steps: list[Step]) -> list[Step]:
    """Machines that joined (or left) at about the same time as one line."""
    found: list[Step] = []
    for step in steps:
        last = found[-1] if found else None
        if last and step.machines and last.machines and last.words == step.words and last.at - step.at <= TOGETHER:
            found[-1] = Step(step.at, step.words, step.state, machines=(*last.machines, *step.machines))
        else:
            found.append(step)
    return [_said(step) if step.machines else step for step in found]


def _said(step: Step) -> Step:
    count = len({id for id, _ in step.machines})
    if step.words == "joined":
        words = ngettext(
            "%(num)s machine behind it became unreachable", "%(num)s machines behind it became unreachable", count
        )
    else:
        words = ngettext(
            "%(num)s machine behind it can be reached again", "%(num)s machines behind it can be reached again", count
        )
    return Step(step.at, words, step.state, machines=tuple(sorted(set(step.machines), key=lambda one: one[1])))


def _moment(text: Any) -> datetime | None:
    try:
        found = datetime.fromisoformat(str(text)) if text else None
    except ValueError:
        return None
    return found if found is None or found.tzinfo else None
