"""When maintenance is on (R11): windows that come once, weekly or by cron, fixed or flexible, and whom they cover.

Pure and computed: no occurrence is ever written down. Moments come in and go out as aware datetimes; whatever is
repeated keeps its local wall time in its zone across daylight saving time. A start that a night skips is the moment
after the skip, and a start that a night has twice is the first of the two, as Debian's cron does it. Durations are
time that really passes: eight hours are eight hours in every night of the year.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from functools import lru_cache
from typing import Any, Literal, get_args
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError

Kind = Literal["once", "weekly", "cron"]
Span = tuple[datetime, datetime]

KINDS: tuple[str, ...] = get_args(Kind)
_ENDINGS = ("day", "sday", "nesday", "rsday", "day", "urday", "day")
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAYS = {f"{day}{rest}": day for day, end in zip(WEEKDAYS, _ENDINGS, strict=True) for rest in ("", end)}
LONGEST_ONCE = timedelta(days=366)
LONGEST = timedelta(days=31)
"""The longest occurrence of a window that comes again."""
SHORTEST = timedelta(minutes=1)
FIRST_YEAR, LAST_YEAR = 1970, 2999
"""Moments beyond these fall off the calendar's edge as soon as they are told in another zone."""
CROWDED = 100
"""A window may begin so many times before one of its occurrences is over, and no more often."""
NICKNAMES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
LONGEST_EXPRESSION = 200
_BACK = timedelta(hours=3)
"""More than a zone sets its clocks back in a night: local time alone would take the hour that comes twice for later."""
_TRIAL = datetime(2026, 1, 1, tzinfo=UTC)
_UNITS = {"d": 86400, "h": 3600, "m": 60}
_PIECES = re.compile(r"(?:\d{1,6} ?[dhm] ?){1,3}", re.ASCII)
_CLOCK = re.compile(r"([01]?\d|2[0-3])[:.]([0-5]\d)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Rule:
    """When a window is on. Made by `once`, `weekly`, `cron` or `read`, which refuse nonsense.

    `begin` and `end` belong to `once`; `expression` and `duration` to what is repeated (a weekly rule is kept with
    its `weekdays` and local time `at`, too). A `flexible` rule is only armed from begin to end: it is on from the
    moment a machine first goes down in that time, and then for `lasts`. Nothing of a rule counts from `ended` on,
    and no occurrence that began before `resumes`.
    """

    kind: Kind
    zone: str
    duration: timedelta
    begin: datetime | None = None
    expression: str = ""
    weekdays: tuple[str, ...] = ()
    at: time | None = None
    flexible: bool = False
    lasts: timedelta = timedelta(0)
    ended: datetime | None = None
    resumes: datetime | None = None

    def options(self) -> dict[str, Any]:
        """The rule as plain values for JSONB; `read` understands them."""
        told: dict[str, Any]
        if self.kind == "once" and self.begin is not None:
            told = {"from": self.begin.isoformat(), "until": (self.begin + self.duration).isoformat()}
        elif self.kind == "weekly" and self.at is not None:
            told = {"weekdays": list(self.weekdays), "at": f"{self.at:%H:%M}", "duration": _seconds(self.duration)}
        else:
            told = {"expression": self.expression, "duration": _seconds(self.duration)}
        return {**told, "flexible": True, "lasts": _seconds(self.lasts)} if self.flexible else told


@dataclass(frozen=True, slots=True)
class Window:
    """A rule and whom it is for: one host, group, division or site, or, with none of them, every machine."""

    id: int
    rule: Rule
    host: int | None = None
    group: int | None = None
    division: int | None = None
    site: int | None = None

    def aims_at(self, place: Place) -> bool:
        """Whether it was made for this machine, itself or by its group, division or site."""
        if self.host is not None:
            return place.id == self.host
        if self.group is not None:
            return self.group in place.groups
        if self.site is not None:
            return place.site == self.site
        return self.division is None or place.division == self.division


@dataclass(frozen=True, slots=True)
class Place:
    """A machine as windows see it. `downs` are the moments it went down; those of the last month are enough."""

    id: int
    groups: frozenset[int] = frozenset()
    division: int | None = None
    parents: frozenset[int] = frozenset()
    downs: tuple[datetime, ...] = ()
    site: int | None = None


@dataclass(frozen=True, slots=True)
class Cover:
    """Why a machine is under maintenance: which window, from when until when, and the parent it has it from."""

    window: int
    since: datetime
    until: datetime
    inherited_from: int | None = None


# ---- making rules ----


def once(begin: datetime, end: datetime, *, zone: str = "UTC", lasts: timedelta | None = None) -> Rule:
    """A window from `begin` until `end`; with `lasts` a flexible one. Raises ValueError with one sentence."""
    for moment in (begin, end):
        if moment.tzinfo is None:
            raise ValueError("a moment needs its zone, such as 2026-11-21T22:00+07:00.")
    if not all(FIRST_YEAR <= moment.year <= LAST_YEAR for moment in (begin, end)):
        raise ValueError(f"a window lies between the years {FIRST_YEAR} and {LAST_YEAR}.")
    begin, end = begin.astimezone(UTC), end.astimezone(UTC)
    if end - begin < SHORTEST:
        raise ValueError("the end lies at least a minute after the beginning.")
    if end - begin > LONGEST_ONCE:
        raise ValueError("a window is at most a year long; switch a machine off that is not to be watched at all.")
    return _flexible(Rule("once", _zone(zone), end - begin, begin=begin), lasts)


def weekly(
    weekdays: Iterable[str], at: time | str, duration: timedelta, *, zone: str, lasts: timedelta | None = None
) -> Rule:
    """A window on these days (of WEEKDAYS) at this local time, so long. Raises ValueError with one sentence."""
    named = [_DAYS.get(str(day).strip().lower(), str(day)) for day in weekdays]
    strange = sorted(set(named) - set(WEEKDAYS))
    if strange:
        raise ValueError(f"'{strange[0]}' is no day of the week; they are {', '.join(WEEKDAYS)}.")
    if not named:
        raise ValueError("a weekly window needs at least one day of the week.")
    days = tuple(day for day in WEEKDAYS if day in named)
    clock = _clock(at)
    expression = f"{clock.minute} {clock.hour} * * {','.join(days).upper()}"
    rule = Rule("weekly", _zone(zone), _length(duration), expression=expression, weekdays=days, at=clock)
    return _bounded(_flexible(rule, lasts))


def cron(expression: str, duration: timedelta, *, zone: str, lasts: timedelta | None = None) -> Rule:
    """A window that begins whenever the five fields of cron say so. Raises ValueError with one sentence."""
    text = expanded(str(expression))
    if len(text) > LONGEST_EXPRESSION or len(text.split()) != 5:
        raise ValueError("a cron expression has five fields: minute, hour, day of month, month, day of week.")
    try:
        CronSim(text, _TRIAL)
    except CronSimError as error:
        field = str(error).removeprefix("Bad ")
        raise ValueError(f"cron does not understand the {field} of '{text}'.") from None
    rule = Rule("cron", _zone(zone), _length(duration), expression=text)
    return _bounded(_flexible(rule, lasts))


def expanded(expression: str) -> str:
    """A cron expression with single spaces and without nicknames."""
    text = " ".join(expression.split())
    return NICKNAMES.get(text.lower(), text)


def read(
    kind: str,
    options: Mapping[str, Any],
    zone: str,
    *,
    ended: datetime | None = None,
    resumes: datetime | None = None,
) -> Rule:
    """The rule of plain values: `from` and `until`, or `weekdays`, `at`, `duration`, or `expression`, `duration`
    (durations in seconds), each with `flexible` and `lasts` where it is flexible. Raises ValueError with one sentence.
    """
    wanted = {"once": ("from", "until"), "weekly": ("weekdays", "at", "duration"), "cron": ("expression", "duration")}
    if kind not in wanted:
        raise ValueError(f"a window comes {', '.join(KINDS[:-1])} or by {KINDS[-1]}, not '{kind}'.")
    strange = sorted(set(options) - {*wanted[kind], "flexible", "lasts"})
    missing = [key for key in wanted[kind] if key not in options]
    if strange:
        raise ValueError(f"a {kind} window has no '{strange[0]}'.")
    if missing:
        raise ValueError(f"a {kind} window needs '{missing[0]}'.")
    lasts = _span(options.get("lasts"), "lasts") if options.get("flexible") is True else None
    if kind == "once":
        rule = once(_moment(options["from"]), _moment(options["until"]), zone=zone, lasts=lasts)
    elif kind == "weekly":
        days = options["weekdays"]
        if isinstance(days, str) or not isinstance(days, Sequence):
            raise ValueError('\'weekdays\' is a list of days, such as ["sat", "sun"].')
        rule = weekly(days, str(options["at"]), _span(options["duration"], "duration"), zone=zone, lasts=lasts)
    else:
        rule = cron(str(options["expression"]), _span(options["duration"], "duration"), zone=zone, lasts=lasts)
    return replace(rule, ended=ended, resumes=resumes)


def length(text: str) -> timedelta:
    """A duration as people write it: 90m, 2h, 1h 30m, 1d. Raises ValueError with one sentence."""
    plain = text.strip().lower()
    if not _PIECES.fullmatch(plain):
        raise ValueError(f"'{text}' is no duration; one is 90m, 2h, 1h 30m or 1d.")
    pieces = re.findall(r"(\d+) ?([dhm])", plain)
    return timedelta(seconds=sum(int(count) * _UNITS[unit] for count, unit in pieces))


def written(duration: timedelta) -> str:
    """A duration as `length` reads it."""
    minutes = int(duration.total_seconds()) // 60
    pieces = (minutes // 1440, "d"), (minutes // 60 % 24, "h"), (minutes % 60, "m")
    return " ".join(f"{count}{unit}" for count, unit in pieces if count) or "0m"


# ---- asking ----


def covers(rule: Rule, at: datetime, down_since: datetime | Iterable[datetime] | None = None) -> bool:
    """Whether the rule is on at `at`. A flexible one needs `down_since`: when the machine went down, one moment or all."""
    return run(rule, at, down_since) is not None


def run(rule: Rule, at: datetime, down_since: datetime | Iterable[datetime] | None = None) -> Span | None:
    """From when until when the rule is on without a break around `at`; None where it is not on."""
    if rule.ended is not None and at >= rule.ended:
        return None
    if rule.flexible:
        found = _begun(rule, at, _moments(down_since))
    else:
        found = next(_runs(rule, at), None)
        found = found if found is not None and found[0] <= at else None
    if found is None or rule.ended is None:
        return found
    return found[0], min(found[1], rule.ended)


def turns(rule: Rule, after: datetime) -> datetime | None:
    """The next moment later than `after` at which the rule (of a flexible one: its armed time) begins or ends."""
    begin, end = next(_runs(rule, after), (after, after))
    if rule.ended is not None:
        end = min(end, rule.ended)
    if end <= max(begin, after):
        return None
    return begin if begin > after else end


def occurrences(rule: Rule, after: datetime, count: int) -> list[Span]:
    """The next occurrences that are not over at `after`, the one under way first; at most `count`.

    Of a flexible rule these are the times in which it is armed.
    """
    found: list[Span] = []
    for begin in _starts(rule, after - rule.duration):
        if len(found) >= count or (rule.ended is not None and begin >= rule.ended):
            break
        end = begin + rule.duration if rule.ended is None else min(begin + rule.duration, rule.ended)
        if end > after:
            found.append((begin, end))
    return found


def muted(windows: Iterable[Window], places: Mapping[int, Place], at: datetime) -> dict[int, Cover]:
    """Which machines are under maintenance at `at`, and why. `places` are all machines by their id.

    A machine inherits maintenance when there is a way to it and every one of its parents is under maintenance:
    with one parent that is not, it can be reached, and what is wrong with it is its own.
    """
    covered: dict[int, Cover] = {}
    for window in windows:
        fixed = None if window.rule.flexible else run(window.rule, at)
        if fixed is None and not window.rule.flexible:
            continue
        for place in places.values():
            if window.aims_at(place):
                span = fixed or run(window.rule, at, place.downs)
                _keep(covered, place.id, Cover(window.id, *span) if span else None)
    return _inherit(covered, places)


# ---- how ----


def _inherit(covered: dict[int, Cover], places: Mapping[int, Place]) -> dict[int, Cover]:
    below: dict[int, list[int]] = defaultdict(list)
    for place in places.values():
        for parent in place.parents:
            below[parent].append(place.id)
    waiting = [child for host in covered for child in below[host]]
    while waiting:
        child = waiting.pop()
        parents = places[child].parents & places.keys()
        if child in covered or not parents or any(parent not in covered for parent in parents):
            continue
        latest = max(parents, key=lambda parent: (covered[parent].since, parent))
        until = min(covered[parent].until for parent in parents)
        covered[child] = Cover(covered[latest].window, covered[latest].since, until, latest)
        waiting += below[child]
    return covered


def _keep(covered: dict[int, Cover], host: int, found: Cover | None) -> None:
    """Of several windows the one that lasts longest says why."""
    there = covered.get(host)
    if found is not None and (there is None or found.until > there.until):
        covered[host] = found


def _begun(rule: Rule, at: datetime, downs: Sequence[datetime]) -> Span | None:
    """A flexible rule begins at the first of `downs` within an armed time; one going down later in it changes nothing.

    Asked every few seconds for every machine that went down, often a thousand at once: of each only that start is
    looked for which lies after the last time it went down before, and no more than a duration back.
    """
    before: datetime | None = None
    for moment in sorted(set(downs)):
        if at - rule.lasts < moment <= at:
            earliest = moment - rule.duration
            start = _start(rule, earliest if before is None else max(earliest, before))
            if start is not None and start <= moment:
                return moment, moment + rule.lasts
        before = moment
    return None


def _start(rule: Rule, after: datetime) -> datetime | None:
    """The first start later than `after`. Starts are whole minutes, so that all machines that went down together ask once."""
    found = _start_after_minute(rule, after.replace(second=0, microsecond=0))
    return found if found is None or found > after else next(_starts(rule, after), None)


@lru_cache(4096)
def _start_after_minute(rule: Rule, after: datetime) -> datetime | None:
    return next(_starts(rule, after), None)


def _runs(rule: Rule, at: datetime) -> Iterator[Span]:
    """The stretches that end after `at`, oldest first, occurrences that touch or overlap joined."""
    current: Span | None = None
    for begin in _starts(rule, at - rule.duration):
        end = begin + rule.duration
        if current is not None and begin <= current[1]:
            current = current[0], max(current[1], end)
            continue
        if current is not None and current[1] > at:
            yield current
        current = begin, end
    if current is not None and current[1] > at:
        yield current


def _starts(rule: Rule, after: datetime) -> Iterator[datetime]:
    """Every start later than `after`, UTC, in order."""
    if rule.kind == "once":
        if rule.begin is not None and rule.begin > after and not _left_out(rule, rule.begin):
            yield rule.begin
        return
    after = after.astimezone(UTC)
    last = after
    for local in CronSim(rule.expression, (after - _BACK).astimezone(ZoneInfo(rule.zone))):
        start = local.astimezone(UTC)
        if start > last:
            last = start
            if not _left_out(rule, start):
                yield start


def _left_out(rule: Rule, start: datetime) -> bool:
    return rule.resumes is not None and start < rule.resumes


def _moments(downs: datetime | Iterable[datetime] | None) -> Sequence[datetime]:
    if downs is None:
        return ()
    return (downs,) if isinstance(downs, datetime) else tuple(downs)


def _bounded(rule: Rule) -> Rule:
    """The rule, if it ever comes, ends now and then, and does not begin all the time."""
    first: datetime | None = None
    end: datetime | None = None
    for count, begin in enumerate(_starts(rule, _TRIAL)):
        if first is None or end is None:
            first, end = begin, begin + rule.duration
        elif begin > end:
            return rule
        end = max(end, begin + rule.duration)
        if count >= CROWDED:
            raise ValueError("this window would never end: it begins again before it is over.")
    if first is None:
        raise ValueError(f"the moment '{rule.expression}' never comes.")
    return rule


def _flexible(rule: Rule, lasts: timedelta | None) -> Rule:
    return rule if lasts is None else replace(rule, flexible=True, lasts=_length(lasts))


def _length(duration: timedelta) -> timedelta:
    if not SHORTEST <= duration <= LONGEST:
        raise ValueError("a window lasts between a minute and 31 days.")
    return duration


def _zone(name: str) -> str:
    if name not in available_timezones():
        raise ValueError(f"there is no time zone '{name}'; one is Asia/Jakarta.")
    return name


def _clock(at: time | str) -> time:
    if isinstance(at, time):
        return at.replace(second=0, microsecond=0, tzinfo=None)
    match = _CLOCK.fullmatch(at.strip())
    if match is None:
        raise ValueError(f"'{at}' is no time of day; one is 22:30.")
    return time(int(match[1]), int(match[2]))


def _moment(value: Any) -> datetime:
    try:
        return datetime.fromisoformat(str(value))
    except ValueError:
        raise ValueError(f"'{value}' is no moment; one is 2026-11-21T22:00+07:00.") from None


def _span(value: Any, name: str) -> timedelta:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1e8:
        raise ValueError(f"'{name}' is a number of seconds, not {value!r}.")
    return timedelta(seconds=value)


def _seconds(duration: timedelta) -> int | float:
    seconds = duration.total_seconds()
    return int(seconds) if seconds == int(seconds) else seconds
