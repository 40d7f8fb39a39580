"""Where the web server of an installation listens, kept in its data directory: `pantau up --port` may have been told
another place than the settings say, and commands typed beside it ought to know. Which process it was stands there too,
so that what was left by one that was killed leads nowhere.
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
    told = {name: getattr(settings, name) for name in KEPT} | {"process": _process(os.getpid())}
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
    """The settings with the place the web server really has; as they are where nothing, or nonsense, is kept, and where
    whoever put it there is gone.
    """
    try:
        told = json.loads(_file(settings).read_text())
        place = {name: told[name] for name in KEPT}
        by = told["process"]
    except (OSError, ValueError, TypeError, KeyError):
        return settings
    if not isinstance(by, list) or not by or not isinstance(by[0], int) or by != _process(by[0]):
        return settings
    if not isinstance(place["host"], str) or not isinstance(place["port"], int) or not 1 <= place["port"] <= 65535:
        return settings
    if place["tls"] not in ("off", "own", "files") or not isinstance(place["url"], str | None):
        return settings
    if settings.url:
        del place["url"]
    return settings.model_copy(update=place)


def _process(pid: int) -> list[int | str]:
    """A process as nobody after it is called: its number, and when it began (proc(5): starttime, ticks since this boot).

    Where the system does not tell when, its number alone; of one that is gone or nobody's, nothing.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return [pid] if not Path("/proc/self/stat").exists() else []
    return [pid, fields[19], _boot()] if fields[0] != "Z" else []


def _boot() -> str:
    """This boot of the system, for ticks begin anew with each."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
