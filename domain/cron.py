"""When something comes by cron: five fields, in a zone, through every night of the clock change.

Pure. An expression whose hour begins with a star (every hour, every two hours) goes by time that really passes: in an hour
that a night has twice it comes twice, and of one that a night skips it says nothing. Every other one means the clock on
the wall: a time that a night skips is the moment after the skip, once, and a time that a night has twice is the first of
the two. Where neither the day of the month nor the day of the week begins with a star, either of them is enough, as in
cron on Debian.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError

from domain.calendar import LONGEST_EXPRESSION, expanded

YEARS = 50
"""What does not come within so many years never comes."""
_DAY = timedelta(days=1)
_TRIAL = datetime(2026, 1, 1, tzinfo=UTC)
_ONE = re.compile(r"\b(\w+)-\1/0*[1-9]\d*")
"""A range of one with a step, which cronsim reads as a beginning."""
_ODD = re.compile(r"[^0-9A-Za-z*/,#@ -]")


@dataclass(frozen=True, slots=True)
class Cron:
    """An expression of five fields, in capitals and with single spaces, and the zone whose clock it means."""

    expression: str
    zone: str

    @property
    def fields(self) -> tuple[str, str, str, str, str]:
        """Minute, hour, day of month, month, day of week."""
        minute, hour, day, month, weekday = self.expression.split(" ")
        return minute, hour, day, month, weekday

    @property
    def passes(self) -> bool:
        """Whether it goes by time that passes, not by the clock on the wall."""
        return self.fields[1].startswith("*")


class Refused(ValueError):
    """No expression; `code` is `fields`, `odd`, `zone`, `never` or the field that is not understood."""

    def __init__(self, code: str, text: str = "") -> None:
        super().__init__(f"{code}: {text}" if text else code)
        self.code, self.text = code, text


def read(expression: str, zone: str) -> Cron:
    """The expression, or a nickname such as @daily. Raises Refused."""
    if zone not in available_timezones():
        raise Refused("zone", zone[:60])
    text = expanded(expression).upper()
    if len(text) > LONGEST_EXPRESSION or len(text.split(" ")) != 5:
        raise Refused("fields")
    if _ODD.search(text):
        raise Refused("odd")
    text = _ONE.sub(r"\1", text)
    try:
        CronSim(text, _TRIAL)
    except CronSimError as error:
        raise Refused(str(error).removeprefix("Bad ").replace("-", "_")) from None
    found = Cron(text, zone)
    if next(after(found, _TRIAL), None) is None:
        raise Refused("never")
    return found


def after(cron: Cron, moment: datetime) -> Iterator[datetime]:
    """Every moment later than `moment` at which it comes, in order, as UTC."""
    zone, rules = ZoneInfo(cron.zone), _rules(cron.expression)
    last = moment.astimezone(UTC)
    day = last.astimezone(zone).date() - _DAY  # a skip over midnight moves what was meant for the day before
    final = min(day.year + YEARS, 2999)
    while day.year <= final:
        if day.month not in rules.months:
            day = (day.replace(day=1) + timedelta(days=32)).replace(day=1)
            continue
        if rules.match_day(day):
            for at in _passing(rules, day, zone) if cron.passes else _by_the_wall(rules, day, zone):
                if at > last:
                    last = at
                    yield at
        day += _DAY


def coming(cron: Cron, moment: datetime, count: int) -> list[datetime]:
    """The next `count` moments later than `moment`."""
    return [at for at, _ in zip(after(cron, moment), range(count), strict=False)]


def following(cron: Cron, moment: datetime) -> datetime | None:
    """The next moment later than `moment`; None where it never comes again."""
    return next(after(cron, moment), None)


def latest(cron: Cron, since: datetime, until: datetime, most: int = 10_000) -> tuple[datetime | None, int]:
    """(the last moment later than `since` and not later than `until`, how many there are); counts up to `most`.

    Where there are more, the last of those counted.
    """
    found, count = None, 0
    for at in after(cron, since):
        if at > until or count >= most:
            break
        found, count = at, count + 1
    return found, count


@lru_cache(512)
def _rules(expression: str) -> CronSim:
    return CronSim(expression, _TRIAL)


def _by_the_wall(rules: CronSim, day: date, zone: ZoneInfo) -> Iterator[datetime]:
    for hour in sorted(rules.hours):
        for minute in sorted(rules.minutes):
            yield _real(datetime.combine(day, time(hour, minute), zone))


def _real(local: datetime) -> datetime:
    """The moment as UTC; that of a time which is skipped is the first after the skip."""
    at = local.astimezone(UTC)
    while at.astimezone(local.tzinfo).replace(tzinfo=None) != local.replace(tzinfo=None):
        local += timedelta(minutes=1)  # wall time
        at = local.astimezone(UTC)
    return at


def _passing(rules: CronSim, day: date, zone: ZoneInfo) -> list[datetime]:
    found = set()
    for hour in rules.hours:
        for minute in rules.minutes:
            wall = datetime.combine(day, time(hour, minute))
            for fold in (0, 1):
                at = wall.replace(tzinfo=zone, fold=fold).astimezone(UTC)
                if at.astimezone(zone).replace(tzinfo=None) == wall:
                    found.add(at)
    return sorted(found)
