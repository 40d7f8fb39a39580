"""Times of day and days of the week, as they are typed, kept (minutes after midnight, Monday = 0) and told."""

from __future__ import annotations

import re
from collections.abc import Sequence

from babel import dates

from webui.language import gettext, locale

DAYS = range(7)


def read(text: str) -> int | None:
    """Minutes after midnight of `22:30`, `22.30`, `2230` or `22`; None where it is no time of day."""
    match = re.fullmatch(r"(\d{1,2})(?:[:.]?(\d{2}))?", text.strip())
    if match is None or not text.isascii():
        return None
    hour, minute = int(match[1]), int(match[2] or 0)
    return hour * 60 + minute if hour < 24 and minute < 60 else None


def said(minute: int | None) -> str:
    """`22:30`; empty for None."""
    return "" if minute is None else f"{minute // 60:02}:{minute % 60:02}"


def day(number: int) -> str:
    """The short name of a day of the week."""
    return str(dates.get_day_names("abbreviated", locale=locale())[number])


def days(numbers: Sequence[int]) -> str:
    """Several days: `Mon–Fri`, `Sat, Sun`; none is every day."""
    found = sorted(set(numbers) & set(DAYS))
    if not found or len(found) == 7:
        return gettext("every day")
    if len(found) > 2 and found == list(range(found[0], found[-1] + 1)):
        return f"{day(found[0])}–{day(found[-1])}"
    return ", ".join(day(number) for number in found)


def span(begin: int, end: int, numbers: Sequence[int] = ()) -> str:
    """`22:00–06:00`, with its days where it is not every day."""
    told = f"{said(begin)}–{said(end)}"
    return f"{told} ({days(numbers)})" if numbers and len(set(numbers)) < 7 else told
