"""Where the web server of an installation listens, kept in its data directory: `pantau up --port` may have been told
another place than the settings say, and commands typed beside it ought to know.
"""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

from config.settings import Settings

_log = logging.getLogger(__name__)
KEPT = ("host", "port", "tls", "url")


def _file(settings: Settings) -> Path:
    return settings.data / "web.json"


def remember(settings: Settings) -> None:
    """From now on commands on this data directory lead there. Where it cannot be written they go by their own settings."""
    told = {name: getattr(settings, name) for name in KEPT}
    partial = _file(settings).with_name(f"web.json.{os.getpid()}")
    try:
        partial.write_text(json.dumps(told) + "\n")
        partial.replace(_file(settings))
    except OSError as error:
        _log.debug("Where the web server listens could not be kept: %s", error)


def forget(settings: Settings) -> None:
    """Nothing listens any more."""
    try:
        _file(settings).unlink(missing_ok=True)
    except OSError as error:
        _log.debug("Where the web server listened could not be taken back: %s", error)


def recall(settings: Settings) -> Settings:
    """The settings with the place the web server really has; as they are where nothing, or nonsense, is kept."""
    try:
        told = json.loads(_file(settings).read_text())
        place = {name: told[name] for name in KEPT}
    except (OSError, ValueError, TypeError, KeyError):
        return settings
    if not isinstance(place["host"], str) or not isinstance(place["port"], int) or not 1 <= place["port"] <= 65535:
        return settings
    if place["tls"] not in ("off", "own", "files") or not isinstance(place["url"], str | None):
        return settings
    if settings.url:
        del place["url"]
    return settings.model_copy(update=place)
