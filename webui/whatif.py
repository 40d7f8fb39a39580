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
MOST = 600_000
"""Samples looked at for one question: fourteen days of thirty machines. What is beyond is left out, and said so."""
SHOWN = 12
"""Episodes told one by one."""

SAMPLES = text(
    "select r.check_id, extract(epoch from r.ts)::float8, r.set_id, p.place, r.v[p.place] from raw r"
    " join unnest(cast(:checks as int[]), cast(:sets as int[]), cast(:places as int[])) as p(check_id, set_id, place)"
    " on p.check_id = r.check_id and p.set_id = r.set_id"
    " where r.ts >= :begin and r.v[p.place] is not null order by r.check_id, p.place, r.ts limit :most"
)


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
    """All of it. `first` is the oldest sample there is, `days` how long ago; `cut` says that there was more."""

    episodes: tuple[Episode, ...]
    first: datetime
    days: float
    samples: int
    unit: str
    measure: str
    cut: bool = False

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


def ask(hosts: Sequence[Host], measure: str, part: str, level: Level, moment: datetime) -> Answer:
    """Replay the stored samples of `measure` (of one part, or of all) of these machines against one level."""
    begin = moment - timedelta(days=DAYS)
    places, unit = _places(hosts, measure, part)
    if not places:
        return Answer((), begin, 0.0, 0, unit, measure)
    given = {
        "checks": [row[0] for row in places], "sets": [row[1] for row in places], "places": [row[2] for row in places],
        "begin": begin, "most": MOST,
    }  # fmt: skip
    named = {(check, set_id, place): of for check, set_id, place, of in places}
    homes = {check.id: host for host in hosts for check in host.checks}
    paces = {check.id: float(check.interval_s or homes[check.id].interval_s or store.settings().interval) for host in hosts for check in host.checks}  # fmt: skip
    series: dict[tuple[int, str], list[tuple[float, float]]] = defaultdict(list)
    count, first = 0, moment.timestamp()
    for check, at, of, value in _rows(given, named):
        series[check, of].append((at, value))
        count, first = count + 1, min(first, at)
    episodes = [
        one
        for (check, of), points in series.items()
        for one in _episodes(homes[check], of, sorted(points), level, paces[check], moment)
    ]
    episodes.sort(key=lambda one: one.begin)
    return Answer(
        tuple(episodes),
        _moment(first, moment),
        (moment.timestamp() - first) / 86400,
        count,
        unit,
        measure,
        count >= MOST,
    )


def _rows(given: dict[str, object], named: dict[tuple[int, int, int], str]) -> Iterable[tuple[int, float, str, float]]:
    """(check, moment, part, value) of every sample."""
    for check, at, set_id, place, value in store.session().execute(SAMPLES, given):
        yield check, at, named[check, set_id, place], float(value)


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
