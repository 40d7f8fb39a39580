"""Which language, time zone and colours a page is shown in, and where the translations come from."""

from __future__ import annotations

from pathlib import Path
from zoneinfo import ZoneInfo

import flask_babel
from babel import Locale
from babel.support import NullTranslations
from flask import Flask, current_app, g, has_request_context, request
from flask_babel import Babel, Domain, get_locale, lazy_gettext

from config.settings import Settings
from notifier.speech import phrases

LANGUAGES = {"en": "English", "id": "Bahasa Indonesia"}
THEMES = ("system", "light", "dark")
PO = Path(__file__).parent / "translations"
__all__ = ["LANGUAGES", "THEMES", "YEAR", "gettext", "lazy_gettext", "ngettext", "reader_zone"]

YEAR = 365 * 24 * 3600


class Phrases(Domain):  # type: ignore[misc]
    """Translations read straight from the .po files: nothing to compile, so nothing that can be out of date."""

    def get_translations(self) -> NullTranslations:
        """The phrases of the language of this request."""
        locale = get_locale()
        return phrases(str(locale)) if locale else NullTranslations()


def install(app: Flask, settings: Settings) -> None:
    """Choose language, clock and theme for each request; whatever tells a time asks flask_babel.get_timezone."""
    babel = Babel(
        app,
        locale_selector=choose,
        timezone_selector=reader_zone,
        default_locale=settings.language,
        default_timezone=settings.zone,
    )
    babel.domain_instance = Phrases()
    app.jinja_env.globals.update(languages=LANGUAGES, themes=THEMES, theme=theme, language=lambda: str(get_locale()))


def choose() -> str:
    """A person's own setting, else this browser's choice here, else what the browser asks for, else the installation's own."""
    fallback = current_app.config["PANTAU"].language
    if not has_request_context():
        return str(fallback)
    own = getattr(g.get("person"), "language", None)
    chosen = own if own in LANGUAGES else request.cookies.get("lang")
    return chosen if chosen in LANGUAGES else request.accept_languages.best_match(list(LANGUAGES)) or str(fallback)


def theme() -> str:
    """light, dark, or system (as the device says)."""
    chosen = getattr(g.get("person"), "theme", None) or request.cookies.get("theme")
    return chosen if chosen in THEMES else "system"


def locale() -> Locale:
    """The locale numbers and dates are written in now; English outside a request."""
    return get_locale() or Locale("en")


def reader_zone() -> ZoneInfo:
    """The clock of whoever reads: their own where they chose one, else the installation's."""
    own = getattr(g.get("person"), "zone", None) if has_request_context() else None
    try:
        return ZoneInfo(own or current_app.config["PANTAU"].zone)
    except (KeyError, ValueError, OSError):  # a zone this machine does not know any more
        return ZoneInfo(str(current_app.config["PANTAU"].zone))


def gettext(text: str, **values: object) -> str:
    """`text` in the language of the request, with `%(name)s` filled in."""
    return str(flask_babel.gettext(text, **values))


def ngettext(one: str, many: str, num: int, **values: object) -> str:
    """`one` or `many` by the language's own plural rule; `%(num)s` is the number as people there write it."""
    return str(flask_babel.ngettext(one, many, num, **values))
