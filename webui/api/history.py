"""What was, for programs: the values of a measure over time, availability with its outages, and what a machine says of itself."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Literal

from pydantic import Field
from sqlalchemy import select

from domain.clock import now
from domain.records import FactSeen
from webui import access, outages, ranges, series, store
from webui.api.layer import Routes
from webui.api.problems import Refusal
from webui.api.shapes import Line, Model, Moment

routes = Routes("History")
MOST_POINTS = 5000
MOST_LINES = 50
"""Lines of one answer; a measure with more parts is asked for part by part."""


class Asked(Model):
    """Of which measure (and part), over which range or between which moments, in how many points at most a line."""

    measure: Line
    part: Line | None = None
    range: Literal["1h", "6h", "24h", "7d", "30d", "1y"] = "24h"
    from_: Annotated[Moment | None, Field(alias="from")] = None
    to: Moment | None = None
    points: Annotated[int, Field(ge=2, le=MOST_POINTS)] = 500


class Series(Model):
    """One line, oldest first: `values[i]` was measured at `times[i]`; null where nothing was."""

    check: int
    measure: str
    part: str
    unit: str
    times: list[datetime]
    values: list[float | None]


class Lines(Model):
    """All lines of a measure. `averaged` is the length in seconds one point stands for; 0 for single looks."""

    begin: datetime
    end: datetime
    averaged: float
    lines: list[Series]


class Measure(Model):
    """Something a machine has values of, and which check brings it."""

    check: int
    measure: str
    part: str
    unit: str


class Measures(Model):
    """All there is of a machine to ask for."""

    items: list[Measure]


class Period(Model):
    """Of how many days until now, or between which moments."""

    days: Annotated[int, Field(ge=1, le=outages.MOST_DAYS)] = outages.DAYS
    from_: Annotated[Moment | None, Field(alias="from")] = None
    to: Moment | None = None


class Outage(Model):
    """A stretch down or unreachable; its seconds leave maintenance out."""

    begin: datetime
    end: datetime
    state: str
    seconds: float
    began_before: bool
    goes_on: bool


class Available(Model):
    """Seconds by what they were. `availability` is up / (up + down), null where nothing counts."""

    begin: datetime
    end: datetime
    up: float
    down: float
    unreachable: float
    unknown: float
    maintenance: float
    availability: float | None
    outages: list[Outage]


class Fact(Model):
    """A text a machine says of itself, and since when it has said so."""

    name: str
    part: str
    value: str
    since: datetime


class Facts(Model):
    """All of them."""

    items: list[Fact]


@routes.get("/machines/{host_id}/measures")
def measures(host_id: int) -> Measures:
    """What there are values of, of the last day."""
    host, moment = access.host(host_id), now()
    sets = series.kept(host.id, moment - timedelta(days=1), moment)
    found = sorted({key for keys in sets.values() for key in keys})
    return Measures(items=[Measure(check=c, measure=name, part=part, unit=unit) for c, name, part, unit in found])


@routes.get("/machines/{host_id}/series")
def values(host_id: int, query: Asked) -> Lines:
    """The values of a measure over time.

    Up to two days single looks, up to sixty days averages of an hour, beyond of a day; thinned to at most `points` a
    line, of each stretch the lowest and the highest.
    """
    host = access.host(host_id)
    begin, end = _between(query.from_, query.to, ranges.RANGES[query.range])
    sets = series.kept(host.id, begin, end)
    wanted = {
        key for keys in sets.values() for key in keys if key.name == query.measure and query.part in (None, key.part)
    }
    if len(wanted) > MOST_LINES:
        raise Refusal(422, f"This measure has {len(wanted)} lines; ask for one `part` at a time.", parameter="part")
    found = series.lines(begin, end, query.points - 2, sets, wanted) if wanted else []
    step = series.averaged(end - begin)
    return Lines(
        begin=begin,
        end=end,
        averaged=step.total_seconds() if step else 0,
        lines=[
            Series(
                check=one.check_id,
                measure=one.name,
                part=one.part,
                unit=one.unit,
                times=[at for at, _ in one.points],
                values=[value for _, value in one.points],
            )
            for one in sorted(found, key=lambda one: (one.check_id, one.part))
        ],
    )


@routes.get("/machines/{host_id}/availability")
def availability(host_id: int, query: Period) -> Available:
    """How available a machine was, without its maintenance, and its outages, newest first."""
    host = access.host(host_id)
    begin, end = _between(query.from_, query.to, timedelta(days=query.days))
    found = outages.of(host.id, begin, end)
    return Available(
        begin=begin, end=end, up=found.up, down=found.down, unreachable=found.unreachable, unknown=found.unknown,
        maintenance=found.maintenance, availability=found.share,
        outages=[
            Outage(
                begin=one.begin, end=one.end, state=one.state, seconds=one.seconds, began_before=one.began_before,
                goes_on=one.goes_on,
            )
            for one in found.outages
        ],
    )  # fmt: skip


@routes.get("/machines/{host_id}/facts")
def facts(host_id: int) -> Facts:
    """What a machine says of itself: system, model, versions, serial numbers."""
    host = access.host(host_id)
    rows = store.session().scalars(
        select(FactSeen).where(FactSeen.host_id == host.id).order_by(FactSeen.name, FactSeen.part).limit(2000)
    )
    return Facts(items=[Fact(name=row.name, part=row.part, value=row.value, since=row.since) for row in rows])


def _between(begin: datetime | None, end: datetime | None, usual: timedelta) -> tuple[datetime, datetime]:
    """The two moments asked for; an end in the future is now."""
    end = min(end or now(), now())
    begin = begin or end - usual
    if not ranges.SHORTEST <= end - begin <= ranges.LONGEST:
        raise Refusal(
            422, "The range is at least a minute and at most ten years long, and begins before now.", parameter="from"
        )
    return begin, end
