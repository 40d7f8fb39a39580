"""Maintenance windows as people and scripts make, read and end them; in the session given, committed by the caller."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from babel import dates
from sqlalchemy import func, select
from sqlalchemy.orm import Session, joinedload

from domain import calendar, chat
from domain.calendar import Rule, Span
from domain.inventory import Division, Host, HostGroup, Person, Site, Window
from webui.language import gettext, locale
from webui.wording import moment, span

NEXT = 5
KEPT = timedelta(days=30)
"""For so long what is over is listed."""
LONGEST_NOTE = 500
TARGETS: dict[str, type[Host] | type[HostGroup] | type[Division] | type[Site]] = {
    "host": Host,
    "group": HostGroup,
    "division": Division,
    "site": Site,
}


@dataclass(frozen=True)
class Stretch:
    """A window as it stands at one moment: `now` is the run it is in, `next` the occurrences to come, running first."""

    row: Window
    rule: Rule
    now: Span | None
    next: tuple[Span, ...]

    @property
    def over(self) -> bool:
        """Whether nothing of it will ever count again."""
        return self.now is None and not self.next

    @property
    def repeated(self) -> bool:
        """Whether it comes again by itself."""
        return self.rule.kind != "once"


def make(
    session: Session,
    rule: Rule,
    target: tuple[str, int | None],
    note: str,
    person_id: int | None,
    *,
    begun: bool = False,
) -> Window:
    """A new window on (host | group | division | site | everything, id). The poller hears of it at commit.

    Of one on a machine or a division its thread tells: that it is planned, or has `begun`.
    """
    kind, id = target
    row = Window(
        note=note.strip()[:LONGEST_NOTE],
        kind=rule.kind,
        options=rule.options(),
        zone=rule.zone,
        host_id=id if kind == "host" else None,
        group_id=id if kind == "group" else None,
        division_id=id if kind == "division" else None,
        site_id=id if kind == "site" else None,
        everything=kind == "everything",
        made_by=person_id,
    )
    session.add(row)
    session.flush()
    _announce(session)
    lasted = rule.duration.total_seconds() if begun else None
    _tell(session, row, "maintenance.begun" if begun else "maintenance.planned", person_id, lasted)
    return row


def start(
    session: Session, target: tuple[str, int | None], lasts: timedelta, note: str, person_id: int | None, at: datetime,
    zone: str,
) -> Window:  # fmt: skip
    """Maintenance from now on, for so long. Raises ValueError with one sentence."""
    return make(session, calendar.once(at, at + lasts, zone=zone), target, note, person_id, begun=True)


def end(session: Session, row: Window, person_id: int | None, at: datetime, *, whole: bool = False) -> bool:
    """End it now: a repeated one only for this time, unless `whole`. False where nothing of it was left to end."""
    stretch = stand(row, at)
    if stretch.over:
        return False
    if stretch.repeated and not whole:
        if stretch.now is None and not stretch.rule.flexible:
            return False
        row.resumes_at = at
    else:
        row.ended_at, row.ended_by = at, person_id
    _announce(session)
    _tell(session, row, "maintenance.ended", person_id, None)
    return True


def stand(row: Window, at: datetime) -> Stretch:
    """How one window stands at `at`. One that cannot be read any more (a zone that is gone) is over."""
    try:
        rule = calendar.read(row.kind, row.options, row.zone, ended=row.ended_at, resumes=row.resumes_at)
    except ValueError:
        broken = Rule("once", "UTC", timedelta(0), begin=row.made_at, ended=row.made_at)
        return Stretch(row, broken, None, ())
    coming = tuple(calendar.occurrences(rule, at, NEXT))
    running = None if rule.flexible else calendar.run(rule, at)
    return Stretch(row, rule, running, coming)


def listed(session: Session, at: datetime, only: Any = None) -> tuple[list[Stretch], list[Stretch], list[Stretch]]:
    """(running, coming, over): by end, by beginning, newest first; what is over at most KEPT long ago."""
    wanted = select(Window).options(*(joinedload(getattr(Window, kind)) for kind in TARGETS), joinedload(Window.maker))
    if only is not None:
        wanted = wanted.where(only)
    found = [stand(row, at) for row in session.scalars(wanted.order_by(Window.made_at.desc()))]
    running = [one for one in found if one.now or (one.rule.flexible and one.next and one.next[0][0] <= at)]
    coming = [one for one in found if one not in running and one.next]
    over = [one for one in found if one.over and at - ended(one) < KEPT]
    running.sort(key=lambda one: one.now[1] if one.now else one.next[0][1])
    coming.sort(key=lambda one: one.next[0][0])
    over.sort(key=ended, reverse=True)
    return running, coming, over


def ended(one: Stretch) -> datetime:
    """When a window that is over was over."""
    if one.rule.kind == "once" and one.rule.begin is not None:
        return min(one.rule.begin + one.rule.duration, one.row.ended_at or datetime.max.replace(tzinfo=one.rule.begin.tzinfo))  # fmt: skip
    return one.row.ended_at or one.row.made_at


def find(session: Session, kind: str, name: str) -> tuple[str, int | None]:
    """The target of this kind and name. Raises ValueError with one sentence."""
    if kind == "everything":
        return kind, None
    if kind not in TARGETS:
        raise ValueError(f"a window is on a host, a group, a division, a site or everything, not on a '{kind}'.")
    table = TARGETS[kind]
    found = session.scalar(select(table.id).where(table.name == name))
    if found is None:
        raise ValueError(f"there is no {kind} '{name}'.")
    return kind, found


def aimed(session: Session, asked: Mapping[str, Any]) -> tuple[str, int | None]:
    """What a script's request is for: exactly one of `host`, `group`, ... by name. Raises ValueError with one sentence."""
    named = [kind for kind in (*TARGETS, "everything") if asked.get(kind)]
    if len(named) != 1:
        raise ValueError("name exactly one of host, group, division, site and everything.")
    value = asked[named[0]]
    if named[0] == "everything" and value is not True:
        raise ValueError("'everything' is true or left out.")
    if named[0] != "everything" and not isinstance(value, str):
        raise ValueError(f"'{named[0]}' is a name.")
    return find(session, named[0], str(value))


def ruled(asked: Mapping[str, Any], at: datetime, zone: str) -> Rule:
    """When a script's request is: `for` so long from `at` on, or the fields of its `kind`; `zone` where it says none.

    Raises ValueError with one sentence.
    """
    zone = str(asked.get("zone") or zone)
    own = {*TARGETS, "everything", "note", "for", "zone", "kind"}
    if "for" in asked:
        strange = sorted(set(asked) - own)
        if strange:
            raise ValueError(f"'for' begins now and takes no '{strange[0]}'.")
        return calendar.once(at, at + calendar.length(str(asked["for"])), zone=zone)
    options = {key: value for key, value in asked.items() if key not in own}
    for key in ("duration", "lasts"):
        if isinstance(options.get(key), str):
            options[key] = calendar.length(options[key]).total_seconds()
    if asked.get("kind", "once") == "once" and "until" in options:
        options.setdefault("from", at.astimezone(UTC).isoformat())
    return calendar.read(str(asked.get("kind", "once")), options, zone)


def target(row: Window) -> str:
    """Whom it is for, in words."""
    if row.host is not None:
        return row.host.name
    if row.group is not None:
        return gettext("Group %(name)s", name=row.group.name)
    if row.division is not None:
        return gettext("Division %(name)s", name=row.division.name)
    if row.site is not None:
        return gettext("Site %(name)s", name=row.site.name)
    return gettext("Everything")


def words(rule: Rule) -> str:
    """When it comes, in one sentence."""
    lasts = span(rule.duration.total_seconds())
    if rule.kind == "once" and rule.begin is not None:
        said = gettext(
            "Once, %(begin)s until %(end)s", begin=moment(rule.begin), end=moment(rule.begin + rule.duration)
        )
    elif rule.kind == "weekly" and rule.at is not None:
        said = gettext("Every %(days)s at %(time)s for %(lasts)s", days=days(rule.weekdays), time=f"{rule.at:%H:%M}", lasts=lasts)  # fmt: skip
    else:
        said = gettext("By cron %(expression)s for %(lasts)s", expression=rule.expression, lasts=lasts)
    if rule.flexible:
        more = gettext("begins when the machine first goes down in that time, and lasts %(lasts)s", lasts=span(rule.lasts.total_seconds()))  # fmt: skip
        return f"{said}; {more}"
    return said


def days(weekdays: Iterable[str]) -> str:
    """Days of the week by their short names in the reader's language."""
    names = dates.get_day_names("abbreviated", locale=locale())
    return ", ".join(str(names[calendar.WEEKDAYS.index(day)]) for day in weekdays)


def as_json(one: Stretch) -> dict[str, Any]:
    """A window for scripts; documented in docs/operate.md."""
    row = one.row
    aim: dict[str, Any] = {"everything": True}
    for kind in TARGETS:
        there = getattr(row, kind)
        if there is not None:
            aim = {kind: there.name}
    return {
        "id": row.id,
        "note": row.note,
        **aim,
        "kind": row.kind,
        **row.options,
        "zone": row.zone,
        "running": one.now is not None,
        "since": one.now[0].isoformat() if one.now else None,
        "until": one.now[1].isoformat() if one.now else None,
        "next": [[begin.isoformat(), end.isoformat()] for begin, end in one.next],
        "made_by": row.maker.login if row.maker else None,
        "made_at": row.made_at.isoformat(),
        "ended_at": row.ended_at.isoformat() if row.ended_at else None,
    }


def _tell(session: Session, row: Window, kind: str, person_id: int | None, lasted: float | None) -> None:
    """A line in the thread of the machine or the division it is on."""
    person = session.get(Person, person_id) if person_id is not None else None
    detail = {"by": person.name if person else "", "note": row.note[:200], "lasted": lasted}
    chat.line(session, host_id=row.host_id, division_id=row.division_id, kind=kind, detail=detail)


def _announce(session: Session) -> None:
    session.execute(select(func.pg_notify("inventory", "")))
