"""How moments, spans, numbers and sentences are told to one reader: their language, their clock."""

from __future__ import annotations

import io
from dataclasses import dataclass
from datetime import datetime
from functools import cache, cached_property
from pathlib import Path
from zoneinfo import ZoneInfo

from babel import Locale, dates, numbers, units
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import NullTranslations, Translations

from probes import catalogue

PO = Path(__file__).parent.parent / "webui" / "translations"
"""The same phrase book as the pages': one word for one thing."""
CLOCK = {"en": "d MMM y HH:mm", "id": "d MMM y HH.mm"}
SPANS = (("day", 86400), ("hour", 3600), ("minute", 60))
SHARES = (".utilization", ".loss", ".iowait", ".steal", ".ratio", "_ratio", ".charge", ".level", ".load")
SIZES = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


@cache
def phrases(language: str) -> NullTranslations:
    """All translations into `language`; English is the source and needs none."""
    path = PO / language / "LC_MESSAGES" / "messages.po"
    if not path.exists():
        return NullTranslations()
    packed = io.BytesIO()
    with path.open("rb") as source:
        write_mo(packed, read_po(source, locale=language))
    packed.seek(0)
    return Translations(packed)


@cache
def measures() -> dict[str, tuple[str, str]]:
    """Of every measure a probe can bring: its English title and its unit as stored (a counter is a rate)."""
    found = {}
    for probe in catalogue().values():
        for made in probe.produces:
            unit = made.unit if made.kind != "counter" else "1" if made.unit == "s" else f"{made.unit}/s"
            found[made.name] = made.title, unit
    return found


@dataclass(frozen=True)
class Speech:
    """Tells things to one reader."""

    language: str
    zone: str

    @cached_property
    def _locale(self) -> Locale:
        return Locale(self.language)

    def gettext(self, sentence: str, **values: object) -> str:
        """`sentence` in the reader's language, with `%(name)s` filled in."""
        told = phrases(self.language).gettext(sentence)
        return told % values if values else told

    def ngettext(self, one: str, many: str, num: int, **values: object) -> str:
        """`one` or `many` by the language's own plural rule; `%(num)s` is the number as people there write it."""
        told = phrases(self.language).ngettext(one, many, num)
        return told % {"num": numbers.format_decimal(num, locale=self._locale), **values}

    def moment(self, at: datetime) -> str:
        """The time with its zone: `21 Nov 2026 09:12 WIB`."""
        local = at.astimezone(ZoneInfo(self.zone))
        text = dates.format_datetime(
            local, CLOCK.get(self.language, CLOCK["en"]), tzinfo=local.tzinfo, locale=self._locale
        )
        return f"{text} {local.tzname()}"

    def span(self, seconds: float) -> str:
        """A length of time: `12 sec`, `7 min`, `2 hr, 5 min`."""
        left = max(0, int(seconds))
        if left < 60:
            return units.format_unit(left, "duration-second", "short", locale=self._locale)
        parts = []
        for name, size in SPANS:
            count, left = divmod(left, size)
            if count:
                parts.append(units.format_unit(count, f"duration-{name}", "short", locale=self._locale))
            if len(parts) == 2:
                break
        return ", ".join(parts)

    def title(self, measure: str) -> str:
        """What a measure is called."""
        return self.gettext(measures()[measure][0]) if measure in measures() else measure

    def amount(self, value: float, measure: str) -> str:
        """A value of a measure as one says it: `97 %`, `1.5 GiB`, `42 ms`."""
        unit = measures().get(measure, ("", "1"))[1]
        if unit == "1" and measure.endswith(SHARES):
            return numbers.format_percent(value, "#,##0.#\u00a0%", locale=self._locale)
        if unit.startswith("By"):
            step = 0
            while abs(value) >= 1024 and step < len(SIZES) - 1:
                value, step = value / 1024, step + 1
            return f"{self._number(value)}\u00a0{SIZES[step]}{unit[2:]}"
        if unit == "s":
            if abs(value) >= 60:
                return self.span(value)
            return f"{self._number(value * 1000)}\u00a0ms" if abs(value) < 1 else f"{self._number(value)}\u00a0s"
        word = {"1": "", "Cel": "\u00a0°C"}.get(unit, f"\u00a0{unit.strip('{}')}")
        return f"{self._number(value)}{word}"

    def _number(self, value: float) -> str:
        return numbers.format_decimal(value, "#,##0.##" if abs(value) < 10 else "#,##0.#", locale=self._locale)
