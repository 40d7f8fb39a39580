"""A cron expression as a sentence in the reader's language, and why something is none."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from babel import dates, lists

from domain.cron import Cron, Refused
from webui.language import gettext, lazy_gettext, locale, ngettext

MOST_TIMES = 6
"""Times of day told one by one; more are told by their fields."""
_STEP = re.compile(r"\*/(\d+)")
_NUMBERS = re.compile(r"\d+(,\d+)*")
_DAYS = "SUN MON TUE WED THU FRI SAT"
_MONTHS = "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC"

REFUSED = {
    "fields": lazy_gettext("A cron expression has five fields: minute, hour, day of month, month, day of week."),
    "odd": lazy_gettext("A cron expression is made of digits, names of days and months, and * / - , # L."),
    "minute": lazy_gettext("Cron does not understand the minute (0 to 59)."),
    "hour": lazy_gettext("Cron does not understand the hour (0 to 23)."),
    "day_of_month": lazy_gettext("Cron does not understand the day of the month (1 to 31), or it never comes."),
    "month": lazy_gettext("Cron does not understand the month (1 to 12, or JAN to DEC)."),
    "day_of_week": lazy_gettext("Cron does not understand the day of the week (0 to 7, or SUN to SAT)."),
    "zone": lazy_gettext("There is no such time zone; one is Asia/Jakarta."),
    "never": lazy_gettext("This moment never comes."),
}


def refused(error: Refused) -> str:
    """Why something is no expression."""
    return str(REFUSED.get(error.code, REFUSED["fields"]))


def sentence(rule: Cron) -> str:
    """When it comes, such as: At 02:30, on Monday and Friday."""
    minute, hour, day, month, weekday = rule.fields
    time, fixed = _time(minute, hour)
    parts = [time]
    if fixed or day != "*" or weekday != "*":
        parts.append(_days(day, weekday))
    if month != "*":
        parts.append(gettext("in %(months)s", months=_listed(_named(month, _MONTHS, 1, _month))))
    told = ", ".join(parts)
    return told[:1].upper() + told[1:]


def _time(minute: str, hour: str) -> tuple[str, bool]:
    """(when in the day, whether at times that are told)."""
    if hour == "*":
        if minute == "*":
            return gettext("every minute"), False
        if step := _STEP.fullmatch(minute):
            return ngettext("every %(num)s minute", "every %(num)s minutes", int(step[1])), False
        return gettext("every hour at minute %(minutes)s", minutes=minute.replace(",", ", ")), False
    if _NUMBERS.fullmatch(minute) and _NUMBERS.fullmatch(hour):
        times = [(int(one), int(other)) for one in hour.split(",") for other in minute.split(",")]
        if len(times) <= MOST_TIMES:
            return gettext("at %(times)s", times=_listed([f"{one:02}:{other:02}" for one, other in sorted(set(times))])), True  # fmt: skip
    step = _STEP.fullmatch(hour)
    if step and minute.isdigit():
        return ngettext("every %(num)s hour at minute %(minutes)s", "every %(num)s hours at minute %(minutes)s", int(step[1]), minutes=minute), False  # fmt: skip
    return gettext("in the hours %(hours)s at the minutes %(minutes)s", hours=hour, minutes=minute), True


def _days(day: str, weekday: str) -> str:
    by_month = _listed([_day(one) for one in day.split(",")])
    by_week = _listed(_named(weekday, _DAYS, 0, _weekday))
    if day == "*" and weekday == "*":
        return gettext("every day")
    if weekday == "*":
        return gettext("on day %(days)s of the month", days=by_month)
    if day == "*":
        return gettext("on %(days)s", days=by_week)
    if day.startswith("*") or weekday.startswith("*"):
        return gettext("on day %(days)s of the month if it is %(weekdays)s", days=by_month, weekdays=by_week)
    return gettext("on day %(days)s of the month and on %(weekdays)s", days=by_month, weekdays=by_week)


def _day(text: str) -> str:
    if text == "L":
        return gettext("the last")
    return gettext("the last working day") if text == "LW" else text.replace("-", "–")


def _named(text: str, names: str, base: int, word: Callable[[int], str]) -> list[str]:
    """The terms of a field of days or months, in words where they have some."""
    found = []
    for term in text.split(","):
        match = re.fullmatch(r"([A-Z]{3}|\d+)(?:-([A-Z]{3}|\d+)|(L)|#(\d))?", term)
        if match is None:
            found.append(term)
            continue
        first = word(_number(match[1], names, base))
        if match[2]:
            found.append(f"{first}–{word(_number(match[2], names, base))}")
        elif match[3]:
            found.append(gettext("the last %(day)s of the month", day=first))
        elif match[4]:
            found.append(gettext("the %(day)s no. %(num)s of the month", day=first, num=match[4]))
        else:
            found.append(first)
    return found


def _number(text: str, names: str, base: int) -> int:
    return int(text) if text.isdigit() else names.split().index(text) + base


def _weekday(number: int) -> str:
    return str(dates.get_day_names("wide", locale=locale())[(number - 1) % 7])


def _month(number: int) -> str:
    return str(dates.get_month_names("wide", locale=locale())[number])


def _listed(words: Sequence[str]) -> str:
    return lists.format_list(list(words), locale=locale())
