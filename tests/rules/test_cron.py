"""Cron against an independent reading, minute by minute, in zones whose clocks change by an hour, by half of one, and never."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import pytest

from domain import cron

ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Jakarta")
NIGHTS = {
    "Europe/Berlin": ((2026, 3, 29), (2026, 10, 25)),
    "America/New_York": ((2026, 3, 8), (2026, 11, 1)),
    "Australia/Lord_Howe": ((2026, 4, 5), (2026, 10, 4)),
    "Asia/Jakarta": ((2028, 2, 29), (2026, 12, 31)),
}
MINUTE = timedelta(minutes=1)
MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
DAYS = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]
BOUNDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))


def numbers(text: str, low: int, high: int, names: list[str], base: int) -> set[int]:
    """What a field means, read by the book: a list of stars, numbers and ranges, each with a step or none."""
    found: set[int] = set()
    for term in text.split(","):
        what, _, step = term.partition("/")
        if what == "*":
            first, last = low, high
        else:
            ends = [names.index(one) + base if one in names else int(one) for one in what.split("-")]
            first, last = ends[0], ends[-1]
            if step and len(ends) == 1:
                last = high
        found |= set(range(first, last + 1, int(step or 1)))
    return found


class Book:
    """The reading of one expression: whether a time on the wall is meant."""

    def __init__(self, expression: str) -> None:
        self.text = expression.split()
        names: list[tuple[list[str], int]] = [([], 0), ([], 0), ([], 0), (MONTHS, 1), (DAYS, 0)]
        self.sets = [numbers(text, *bounds, *name) for text, bounds, name in zip(self.text, BOUNDS, names, strict=True)]
        if 7 in self.sets[4]:
            self.sets[4].add(0)

    def day(self, wall: datetime) -> bool:
        by_month, by_week = wall.day in self.sets[2], (wall.weekday() + 1) % 7 in self.sets[4]
        both = self.text[2][0] == "*" or self.text[4][0] == "*"
        return wall.month in self.sets[3] and (by_month and by_week if both else by_month or by_week)

    def meant(self, wall: datetime) -> bool:
        return wall.minute in self.sets[0] and wall.hour in self.sets[1] and self.day(wall)


def by_minutes(expression: str, zone: str, begin: datetime, end: datetime) -> list[datetime]:
    """Every minute of [begin, end), one after the other, with the eyes of somebody who watches the clock on the wall."""
    book, place = Book(expression), ZoneInfo(zone)
    found, at = [], begin
    wall = (begin - MINUTE).astimezone(place).replace(tzinfo=None)
    furthest = wall
    while at < end:
        before, wall = wall, at.astimezone(place).replace(tzinfo=None)
        if expression.split()[1][0] == "*":
            come = book.meant(wall)
        else:
            skipped = (before + n * MINUTE for n in range(1, int((wall - before) / MINUTE)))
            come = (wall > furthest and book.meant(wall)) or any(one > furthest and book.meant(one) for one in skipped)
        furthest = max(furthest, wall)
        if come:
            found.append(at)
        at += MINUTE
    return found


def field(rnd: random.Random, low: int, high: int, names: list[str], stars: float) -> str:
    def one() -> str:
        kind = rnd.random()
        first = rnd.randint(low, high)
        if kind < 0.45:
            return names[first - low] if names and first - low < len(names) and rnd.random() < 0.5 else str(first)
        last = rnd.randint(first, high)
        if kind < 0.7:
            return f"{first}-{last}"
        step = rnd.randint(1, 20)
        return f"*/{step}" if kind < 0.85 else f"{first}-{last}/{step}" if kind < 0.95 else f"{first}/{step}"

    if rnd.random() < stars:
        return "*"
    return ",".join(one() for _ in range(rnd.choice((1, 1, 1, 2, 3))))


def expression(rnd: random.Random) -> str:
    minute = field(rnd, 0, 59, [], 0.1)
    hour = field(rnd, 0, 3, [], 0.2) if rnd.random() < 0.7 else field(rnd, 0, 23, [], 0.2)
    days = field(rnd, 1, 31, [], 0.6), field(rnd, 0, 7, DAYS, 0.6)
    return f"{minute} {hour} {days[0]} {field(rnd, 1, 12, MONTHS, 0.8)} {days[1]}"


@pytest.mark.timeout(120)
def test_two_thousand_expressions_are_read_as_minute_by_minute_around_the_nights_of_the_clock_change() -> None:
    rnd = random.Random(20261122)
    compared = empty = 0
    while compared < 2000:
        zone = rnd.choice(ZONES)
        text = expression(rnd)
        night = datetime(*rnd.choice(NIGHTS[zone]), tzinfo=ZoneInfo(zone)).astimezone(UTC)
        begin = night - timedelta(minutes=rnd.randint(0, 5 * 60))
        end = begin + timedelta(hours=10)
        try:
            rule = cron.read(text, zone)
        except cron.Refused as refused:
            assert refused.code in ("never", "day_of_month"), (text, refused)
            continue
        found = []
        for at in cron.after(rule, begin - MINUTE):
            if at >= end:
                break
            found.append(at)
        expected = by_minutes(text, zone, begin, end)
        assert found == expected, (text, zone, begin)
        empty += not expected
        compared += 1
    assert empty < 1700, "most of these say nothing"


@pytest.mark.parametrize(
    ("text", "begin", "zone", "local"),
    [
        ("30 2 * * *", "2026-03-28T12:00", "Europe/Berlin", ["29 03:00", "30 02:30"]),
        ("30 2 * * *", "2026-10-24T12:00", "Europe/Berlin", ["25 02:30", "26 02:30"]),
        ("*/30 2 * * *", "2026-03-28T12:00", "Europe/Berlin", ["29 03:00", "30 02:00", "30 02:30"]),
        ("30 * * * *", "2026-10-25T01:59", "Europe/Berlin", ["25 02:30", "25 02:30", "25 03:30"]),
        ("10 2 * * *", "2026-10-03T12:00", "Australia/Lord_Howe", ["04 02:30", "05 02:10"]),
        ("0 9 13 * FRI", "2026-11-10T00:00", "Asia/Jakarta", ["13 09:00", "20 09:00", "27 09:00"]),
        ("0 9 1-7 * */7", "2026-11-01T10:00", "Asia/Jakarta", ["06 09:00", "03 09:00"]),
        ("0 22 * * 6L", "2026-11-22T00:00", "Asia/Jakarta", ["28 22:00", "26 22:00"]),
        ("0 0 29 2 *", "2026-11-22T00:00", "Asia/Jakarta", ["29 00:00", "29 00:00"]),
        ("@daily", "2026-11-22T10:00", "Asia/Jakarta", ["23 00:00", "24 00:00"]),
    ],
)
def test_what_is_told_of_nights_and_days_is_so(text: str, begin: str, zone: str, local: list[str]) -> None:
    place = ZoneInfo(zone)
    start = datetime.fromisoformat(begin).replace(tzinfo=place)
    found = [f"{at.astimezone(place):%d %H:%M}" for at in islice(cron.after(cron.read(text, zone), start), len(local))]
    assert found == local


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "fields"), ("* * * *", "fields"), ("* * * * * *", "fields"), ("60 * * * *", "minute"),
        ("* 24 * * *", "hour"), ("* * 0 * *", "day_of_month"), ("* * * 13 *", "month"), ("* * * * 8", "day_of_week"),
        ("*/0 * * * *", "minute"), ("0 0 30 2 *", "day_of_month"), ("5-1 * * * *", "minute"), ("\u0661 * * * *", "odd"),
        ("0 0 31 2 1#5,", "day_of_week"), ("* " * 300, "fields"), ("@reboot", "fields"), ("$(id) * * * *", "odd"),
    ],
)  # fmt: skip
def test_what_is_no_expression_is_refused_by_the_field(text: str, code: str) -> None:
    with pytest.raises(cron.Refused) as refused:
        cron.read(text, "UTC")
    assert refused.value.code == code


def test_a_zone_nobody_knows_is_refused() -> None:
    with pytest.raises(cron.Refused, match="zone"):
        cron.read("@daily", "Asia/Nowhere")


def test_of_what_was_slept_through_the_last_and_how_many() -> None:
    rule = cron.read("0 * * * *", "Asia/Jakarta")
    since = datetime(2026, 11, 22, 0, 0, tzinfo=UTC)
    assert cron.latest(rule, since, since + timedelta(hours=5, minutes=30)) == (since + timedelta(hours=5), 5)
    assert cron.latest(rule, since, since + timedelta(minutes=59)) == (None, 0)
    assert cron.latest(rule, since, since + timedelta(days=9999), 3) == (since + timedelta(hours=3), 3)
