"""How states, moments, spans and numbers are told to people, in the language of the request."""

from __future__ import annotations

from datetime import datetime
from functools import cache
from zoneinfo import ZoneInfo

from babel import dates, numbers, units
from flask import Flask
from flask_babel import get_timezone
from markupsafe import Markup

from domain.clock import now
from probes import catalogue
from webui import hours
from webui.language import gettext, lazy_gettext, locale

WORDS = {
    "up": lazy_gettext("Up"),
    "warning": lazy_gettext("Warning"),
    "down": lazy_gettext("Down"),
    "unreachable": lazy_gettext("Unreachable"),
    "unknown": lazy_gettext("Unknown"),
    "maintenance": lazy_gettext("Maintenance"),
    "pending": lazy_gettext("Waiting"),
    "disabled": lazy_gettext("Switched off"),
    "ok": lazy_gettext("Up"),
    "critical": lazy_gettext("Critical"),
    "fail": lazy_gettext("Failed"),
}
SHAPES = {"pending": "unknown", "disabled": "unknown", "ok": "up", "critical": "down", "fail": "down"}
CLOCK = {"en": "d MMM y HH:mm", "id": "d MMM y HH.mm"}
MEASURES = {
    "system.cpu.utilization": lazy_gettext("CPU"),
    "system.memory.utilization": lazy_gettext("Memory"),
    "system.filesystem.utilization": lazy_gettext("Disk"),
}
"""Short names for the few measures that stand in lists."""
SPANS = (("day", 86400), ("hour", 3600), ("minute", 60))
SIZES = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def install(app: Flask) -> None:
    """Make the words known to the templates."""
    app.jinja_env.filters.update(
        moment=moment,
        clock=clock,
        second=second,
        date=date,
        hour=hour,
        ago=ago,
        when=when,
        span=span,
        number=number,
        seconds=seconds,
        share=share,
        value=value,
        state_word=word,
        day_name=hours.day,
    )
    app.jinja_env.globals.update(shape=shape, now=now, measures=MEASURES, is_address=is_address)


def is_address(text: str) -> bool:
    """Whether a text somebody typed is the address of a page and nothing else, so that it may be a link."""
    return text.startswith(("https://", "http://")) and len(text.split()) == 1


@cache
def titles() -> dict[str, str]:
    """The English title of every measure a probe can bring."""
    return {made.name: made.title for probe in catalogue().values() for made in probe.produces}


def word(state: str) -> str:
    """The state as people call it; an unknown one is shown as it is rather than hidden."""
    return str(WORDS.get(state, state))


def shape(state: str) -> str:
    """Which of the six shapes (and colours) stands for a state."""
    known = SHAPES.get(state, state)
    return known if known in WORDS else "unknown"


def moment(at: datetime) -> str:
    """The absolute time with its zone, on the reader's clock: `21 Nov 2026 09:12 WIB`."""
    zone = ZoneInfo(str(get_timezone()))
    own = locale()
    text = dates.format_datetime(at, CLOCK.get(own.language, CLOCK["en"]), tzinfo=zone, locale=own)
    return f"{text} {at.astimezone(zone).tzname()}"


def clock(at: datetime) -> str:
    """The moment as briefly as it is still clear: the time today, with the day before that."""
    zone, own = ZoneInfo(str(get_timezone())), locale()
    pattern = CLOCK.get(own.language, CLOCK["en"])
    if at.astimezone(zone).date() == now().astimezone(zone).date():
        pattern = pattern.split()[-1]
    return str(dates.format_datetime(at, pattern, tzinfo=zone, locale=own))


def second(at: datetime) -> str:
    """The moment to the second, in digits that line up: `2026-11-21 09:12:05`."""
    return at.astimezone(ZoneInfo(str(get_timezone()))).strftime("%Y-%m-%d %H:%M:%S")


def date(at: datetime) -> str:
    """The day: `Saturday, 21 November 2026`."""
    zone = ZoneInfo(str(get_timezone()))
    return str(dates.format_date(at.astimezone(zone), "full", locale=locale()))


def hour(at: datetime) -> str:
    """The time of day: `09:12`, where the day stands above it."""
    zone, own = ZoneInfo(str(get_timezone())), locale()
    return str(dates.format_datetime(at, CLOCK.get(own.language, CLOCK["en"]).split()[-1], tzinfo=zone, locale=own))


def ago(at: datetime) -> str:
    """How long ago, in one unit: `7 minutes ago`. The future (a clock ahead of ours) is told as just now."""
    seconds = (now() - at).total_seconds()
    if seconds < 5:
        return gettext("just now")
    return dates.format_timedelta(-int(seconds), add_direction=True, threshold=1.0, format="short", locale=locale())


def when(at: datetime | None) -> Markup:
    """A `<time>` that says the relative time and tells the absolute one on hover."""
    if at is None:
        return Markup("<span>{}</span>").format(gettext("never"))
    return Markup('<time datetime="{}" title="{}">{}</time>').format(at.isoformat(), moment(at), ago(at))


def span(seconds: float) -> str:
    """A length of time as one would say it: `12 sec`, `7 min`, `2 hr, 5 min`, `3 days, 4 hr`."""
    left = max(0, int(seconds))
    if left < 60:
        return units.format_unit(left, "duration-second", "short", locale=locale())
    whole = [(name, left // size, left % size) for name, size in SPANS if left >= size]
    name, count, rest = whole[0]
    parts = [units.format_unit(count, f"duration-{name}", "short", locale=locale())]
    if len(whole) > 1:
        smaller, size = SPANS[SPANS.index((name, dict(SPANS)[name])) + 1]
        if rest // size:
            parts.append(units.format_unit(rest // size, f"duration-{smaller}", "short", locale=locale()))
    return ", ".join(parts)


def seconds(amount: float) -> str:
    """A short length of time with its decimals: 0.4 s, 12.3 s; longer ones as `span`."""
    return span(amount) if amount >= 120 else f"{number(amount, 2 if amount < 10 else 1)}\u00a0s"


def number(amount: float, digits: int = 1) -> str:
    """A number in the reader's notation, with at most `digits` decimals."""
    return numbers.format_decimal(round(amount, digits), locale=locale())


def share(ratio: float, digits: int = 0) -> str:
    """A ratio (0 to 1) in per cent. Never rounded up to a whole that it is not: 0.9999 is not 100 %."""
    percent = round(ratio * 100, digits)
    if percent >= 100 > ratio * 100:
        percent = 100 - 10**-digits
    shown = "#,##0" + ("." + "#" * digits if digits else "") + "\u00a0%"
    return numbers.format_percent(percent / 100, shown, locale=locale())


def value(amount: float | None, unit: str) -> str:
    """A measure in its UCUM unit, as a person would say it; "–" where there is none."""
    if amount is None:
        return "–"
    if unit == "1":
        return share(amount, 1)
    if unit in ("By", "By/s"):
        return _size(amount) + ("/s" if unit == "By/s" else "")
    if unit == "s":
        return f"{number(amount * 1000)}\u00a0ms" if abs(amount) < 1 else span(amount)
    return f"{number(amount)}\u00a0{unit}".replace("{", "").replace("}", "")


def _size(amount: float) -> str:
    """Bytes in binary units: 1,5 GiB."""
    step = 0
    while abs(amount) >= 1024 and step < len(SIZES) - 1:
        amount, step = amount / 1024, step + 1
    return f"{number(amount)}\u00a0{SIZES[step]}"
