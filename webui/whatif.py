"""What a limit would have said in the last days: stored samples through the rule that judges live."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select, text

from domain.inventory import Host
from domain.records import MetricSet
from domain.thresholds import Level, MetricTrack, fold_metric, reaches
from webui import store
from webui.language import gettext, ngettext
from webui.units import say
from webui.wording import clock, span

DAYS = 14
MOST = 250_000
"""Samples judged for one question: fourteen days of a dozen machines, each once a minute, and about a second and a half
of processor time. Series that never were outside are not among them: PostgreSQL alone sees that nothing would be said.
Machines beyond are not tried; a machine that alone has more is tried on fewer days."""
SHOWN = 12
"""Episodes told one by one."""

_FROM = (
    " from raw r join unnest(cast(:checks as int[]), cast(:sets as int[]), cast(:places as int[]))"
    " as p(check_id, set_id, place) on p.check_id = r.check_id and p.set_id = r.set_id"
    " where r.ts >= :begin and r.v[p.place] is not null"
)
OUTSIDE = text(
    "select r.check_id, r.set_id, p.place, count(*), min(r.ts),"
    " bool_or(r.v[p.place] >= cast(:over as real) or r.v[p.place] <= cast(:under as real)) is true"
    f"{_FROM} group by r.check_id, r.set_id, p.place"
)
SAMPLES = text(
    "select r.check_id, extract(epoch from r.ts)::float8, r.set_id, p.place, r.v[p.place]"  # noqa: S608
    f"{_FROM} order by r.ts"
)

Place = tuple[int, int, int]
"""A series in `raw`: check, set, and place in the vector from 1."""


@dataclass(frozen=True)
class Episode:
    """One time it would have alarmed: from the first sample outside until it was well, or until the end (`open`)."""

    host: Host
    part: str
    begin: datetime
    end: datetime
    worst: float
    open: bool = False


@dataclass(frozen=True)
class Answer:
    """All of it. `first` is the oldest sample judged, `days` how long ago; `tried` on so many of the machines."""

    episodes: tuple[Episode, ...]
    first: datetime
    days: float
    samples: int
    unit: str
    measure: str
    tried: int = 0

    @property
    def sentence(self) -> str:
        """`Would have alarmed 3 times in 14 days.`"""
        if not self.samples:
            return gettext("Nothing is stored of this measure yet: there is nothing to try the limit on.")
        days = max(1, round(self.days))
        if not self.episodes:
            return ngettext(
                "Would not have alarmed in the last day.", "Would not have alarmed in the last %(num)s days.", days
            )
        times = ngettext("Would have alarmed once", "Would have alarmed %(num)s times", len(self.episodes))
        return gettext("%(times)s in %(days)s.", times=times, days=span(days * 86400))

    def line(self, one: Episode) -> str:
        """One episode in words."""
        told = {
            "when": clock(one.begin), "time": span((one.end - one.begin).total_seconds()),
            "worst": say(one.worst, self.unit, self.measure),
        }  # fmt: skip
        if one.open:
            return gettext("since %(when)s, up to %(worst)s, not over yet", **told)
        return gettext("%(when)s, for %(time)s, up to %(worst)s", **told)


def ask(hosts: Sequence[Host], measure: str, part: str, level: Level, moment: datetime, most: int = MOST) -> Answer:
    """Replay the stored samples of `measure` (of one part, or of all) of these machines against one level.

    At most `most` samples are judged, all of a machine or none.
    """
    begin = moment - timedelta(days=DAYS)
    found, unit = _places(hosts, measure, part)
    parts = {(check, set_id, place): of for check, set_id, place, of in found}
    if not parts:
        return Answer((), begin, 0.0, 0, unit, measure, len(hosts))
    stored = _stored(list(parts), begin, level)
    first = min((one.first for one in stored.values()), default=moment)
    outside = {(key[0], parts[key]) for key, one in stored.items() if one.outside}
    episodes: list[Episode] = []
    tried = spent = 0
    for host in hosts:
        checks = {check.id for check in host.checks}
        own = [key for key in stored if key[0] in checks and (key[0], parts[key]) in outside]
        count = sum(stored[key].count for key in own)
        since = begin
        if spent + count > most:
            if spent:
                continue
            first = since = moment - (moment - min(stored[key].first for key in own)) * (most / count)
        spent += min(count, most)
        tried += 1
        episodes += _of(host, own, parts, since, level, moment)
    episodes.sort(key=lambda one: one.begin)
    samples = sum(one.count for one in stored.values())
    return Answer(tuple(episodes), first, (moment - first) / timedelta(days=1), samples, unit, measure, tried)


@dataclass(frozen=True)
class _Stored:
    """What there is of a series: `outside` tells whether any sample of it may be past the limit."""

    count: int
    first: datetime
    outside: bool


def _stored(places: Sequence[Place], begin: datetime, level: Level) -> dict[Place, _Stored]:
    given = {**_given(places, begin), "over": level.over, "under": level.under}
    return {
        (check, set_id, place): _Stored(count, first, outside)
        for check, set_id, place, count, first, outside in store.session().execute(OUTSIDE, given)
    }


def _given(places: Sequence[Place], begin: datetime) -> dict[str, object]:
    checks, sets, numbers = (list(column) for column in zip(*places, strict=True))
    return {"checks": checks, "sets": sets, "places": numbers, "begin": begin}


def _of(
    host: Host, places: Sequence[Place], parts: dict[Place, str], since: datetime, level: Level, moment: datetime
) -> Iterable[Episode]:
    """What would have been said of one machine."""
    if not places:
        return
    series: dict[tuple[int, str], list[tuple[float, float]]] = defaultdict(list)
    for check, at, set_id, place, value in store.session().execute(SAMPLES, _given(places, since)):
        series[check, parts[check, set_id, place]].append((at, float(value)))
    default = float(host.interval_s or store.settings().interval)
    paces = {check.id: float(check.interval_s or default) for check in host.checks}
    for (check, of), points in series.items():
        yield from _episodes(host, of, points, level, paces[check], moment)


def _places(hosts: Sequence[Host], measure: str, part: str) -> tuple[list[tuple[int, int, int, str]], str]:
    """(check, set, place from 1, part) of every vector that holds the measure; and its unit."""
    checks = [check.id for host in hosts for check in host.checks]
    brought = text(
        "select distinct check_id, set_id from roll_1h where check_id = any(:checks) and ts > now() - interval '15 days'"
        " union select check_id, set_id from latest where check_id = any(:checks) and set_id is not null"
    )
    pairs = [(check, one) for check, one in store.session().execute(brought, {"checks": checks}) if one]
    wanted = select(MetricSet).where(MetricSet.id.in_({one for _, one in pairs}), func.array_position(MetricSet.names, measure).is_not(None))  # fmt: skip
    sets = {one.id: one for one in store.session().scalars(wanted)}
    found, unit = [], "1"
    for check, set_id in pairs:
        one = sets.get(set_id)
        if one is None:
            continue
        own = [(n, of) for n, (name, of) in enumerate(zip(one.names, one.parts, strict=True), 1) if name == measure]
        total = any(not of for _, of in own)
        for place, of in own:
            if reaches(part, of, total):
                found.append((check, set_id, place, of))
                unit = one.units[place - 1]
    return found, unit


def _episodes(
    host: Host, part: str, points: Sequence[tuple[float, float]], level: Level, pace: float, moment: datetime
) -> Iterable[Episode]:
    track, begin, worst = MetricTrack(), None, 0.0
    sharper = max if level.over is not None else min
    for at, value in points:
        track, change = fold_metric(track, at, value, (level,), pace)
        if change is not None and change.to_state != "ok":
            begin, worst = change.since, value
        elif change is not None and begin is not None:
            yield Episode(host, part, _moment(begin, moment), _moment(change.since, moment), worst)
            begin = None
        if begin is not None:
            worst = sharper(worst, value)
    if begin is not None:
        yield Episode(host, part, _moment(begin, moment), _moment(points[-1][0], moment), worst, open=True)


def _moment(at: float, like: datetime) -> datetime:
    return datetime.fromtimestamp(at, like.tzinfo)
