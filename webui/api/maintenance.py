"""Maintenance for programs: begun, planned, listed, ended."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from flask import abort, url_for
from pydantic import Field, model_validator
from sqlalchemy import select
from sqlalchemy.orm import joinedload

from domain import calendar
from domain.clock import now
from domain.inventory import Host
from domain.inventory import Window as Row
from domain.rights import Right
from webui import access, maintenance, store, windows
from webui.api.layer import Made, Routes
from webui.api.problems import Refusal
from webui.api.shapes import Line, Model, Words

routes = Routes("Maintenance")
AIMS = ("host", "group", "division", "site", "everything")
Length = Annotated[
    int | float | str, Field(description="Seconds, or text such as 90m, 2h, 1h 30m, 1d.", union_mode="left_to_right")
]


class Planned(Model):
    """A window: what it is for, exactly one of five, and when.

    Either `for`, from now on; or `from` and `until` (kind once); or `weekdays`, `at` and `duration` (weekly); or an
    `expression` of cron and `duration` (cron). With `flexible` it begins when the machine first goes down in that time,
    and `lasts` so long.
    """

    host: Line | None = None
    group: Line | None = None
    division: Line | None = None
    site: Line | None = None
    everything: Literal[True] | None = None
    note: Words = ""
    for_: Length | None = Field(default=None, alias="for")
    kind: Literal["once", "weekly", "cron"] = "once"
    from_: str | None = Field(default=None, alias="from", max_length=60)
    until: str | None = Field(default=None, max_length=60)
    weekdays: list[str] | None = Field(default=None, max_length=7)
    at: str | None = Field(default=None, max_length=20)
    duration: Length | None = None
    expression: Line | None = None
    flexible: bool | None = None
    lasts: Length | None = None
    zone: Line | None = None

    @model_validator(mode="after")
    def _aimed(self) -> Planned:
        if sum(bool(getattr(self, kind)) for kind in AIMS) != 1:
            raise ValueError("name exactly one of host, group, division, site and everything")
        return self

    @property
    def aim(self) -> tuple[str, str]:
        """What it is for: the kind, and its name."""
        return next((kind, str(getattr(self, kind))) for kind in AIMS if getattr(self, kind))


class Occurrence(Model):
    """Once that a window comes: from when until when."""

    since: datetime
    until: datetime


class Window(Model):
    """A window as it stands now: what it is for, its rule, whether it is running, and when it comes next.

    Lengths are in seconds. `next` are the occurrences to come, the one under way first.
    """

    id: int
    note: str
    host: str | None
    group: str | None
    division: str | None
    site: str | None
    everything: bool
    kind: Literal["once", "weekly", "cron"]
    begins: datetime | None
    weekdays: list[str]
    at: str | None
    expression: str | None
    duration: float
    flexible: bool
    lasts: float | None
    zone: str
    running: bool
    since: datetime | None
    until: datetime | None
    next: list[Occurrence]
    made_by: str | None
    made_at: datetime
    ended_at: datetime | None


class Windows(Model):
    """Those that are running, by their end; coming, by their beginning; over within 30 days, newest first."""

    running: list[Window]
    coming: list[Window]
    over: list[Window]


class Ending(Model):
    """`whole` ends a repeated one for good, not only this time."""

    whole: bool = False


@routes.get("/maintenance")
def index() -> Windows:
    """Every window on what you may see: running, coming, and over within 30 days."""
    running, coming, over = windows.listed(store.session(), now(), maintenance.known())
    return Windows(running=_told(running), coming=_told(coming), over=_told(over))


@routes.get("/maintenance/{window_id}")
def show(window_id: int) -> Window:
    """One window."""
    return _window(windows.stand(_row(window_id), now()))


@routes.post("/maintenance", Right.MAINTAIN)
def make(body: Planned) -> Made[Window]:
    """Begin maintenance now, or plan it."""
    asked, session, at = body.model_dump(by_alias=True, exclude_none=True), store.session(), now()
    for key in ("for", "duration", "lasts"):
        if isinstance(asked.get(key), int | float):
            asked[key] = _length(key, asked[key]) if key == "for" else float(asked[key])
    try:
        aim = windows.aimed(session, asked)
        rule = windows.ruled(asked, at, store.settings().zone)
        if not calendar.occurrences(rule, at, 1):
            raise ValueError("this window lies wholly in the past.")
    except ValueError as error:
        said = str(error)
        raise Refusal(422, f"{said[:1].upper()}{said[1:]}") from None
    _demand(*aim, body.aim[1])
    row = windows.make(session, rule, aim, body.note, access.person().id)
    return Made(_window(windows.stand(row, at)), url_for("api.maintenance_show", window_id=row.id))


@routes.post("/maintenance/{window_id}/end", Right.MAINTAIN, row=Row, now=show)
def end(window_id: int, body: Ending) -> Window:
    """End it now; a repeated one only for this time, unless `whole`."""
    session, at, row = store.session(), now(), _row(window_id)
    if not maintenance.theirs(row):
        raise Refusal(403, "You may not end this maintenance.")
    if not windows.end(session, row, access.person().id, at, whole=body.whole):
        raise Refusal(409, "Nothing of it is left to end.")
    return _window(windows.stand(row, at))


def _length(key: str, seconds: float) -> str:
    if not 60 <= seconds <= 86400 * 366:
        raise Refusal(422, "This lies between a minute and a year.", pointer=f"#/{key}")
    return f"{int(seconds // 60)}m"


def _demand(kind: str, id: int | None, name: str) -> None:
    """Refuse maintenance on what is not one's own to maintain; what spans divisions is for whoever has them all."""
    if kind == "everything":
        if not access.can(Right.MAINTAIN):
            raise Refusal(403, "You may not plan maintenance for everything.")
        return
    table = windows.TARGETS[kind]
    if kind == "host" and not store.session().scalar(select(Host.id).where(Host.id == id, access.within(Right.SEE))):
        raise Refusal(422, f"There is no host '{name}'.")
    if not store.session().scalar(select(table.id).where(table.id == id, maintenance.within(kind))):
        raise Refusal(403, "You may not plan maintenance for this.")


def _row(window_id: int) -> Row:
    wanted = select(Row).where(Row.id == window_id).options(joinedload(Row.host), joinedload(Row.maker))
    only = maintenance.known()
    found = store.session().scalar(wanted if only is None else wanted.where(only))
    if found is None:
        abort(404)
    return found


def _told(found: list[windows.Stretch]) -> list[Window]:
    return [_window(one) for one in found]


def _window(one: windows.Stretch) -> Window:
    row, rule = one.row, one.rule
    names = {kind: there.name if (there := getattr(row, kind)) is not None else None for kind in windows.TARGETS}
    return Window(
        id=row.id,
        note=row.note,
        **names,
        everything=row.everything,
        kind=rule.kind,
        begins=rule.begin,
        weekdays=list(rule.weekdays),
        at=f"{rule.at:%H:%M}" if rule.at else None,
        expression=rule.expression if rule.kind == "cron" else None,
        duration=rule.duration.total_seconds(),
        flexible=rule.flexible,
        lasts=rule.lasts.total_seconds() if rule.flexible else None,
        zone=row.zone,
        running=one.now is not None,
        since=one.now[0] if one.now else None,
        until=one.now[1] if one.now else None,
        next=[Occurrence(since=since, until=until) for since, until in one.next],
        made_by=row.maker.login if row.maker else None,
        made_at=row.made_at,
        ended_at=row.ended_at,
    )
