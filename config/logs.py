"""Logs: one JSON object a line (or a short line on a terminal), control characters escaped, secrets left out."""

from __future__ import annotations

import json
import logging
import re
import sys
from datetime import UTC, datetime

_NAMED = re.compile(r"(?i)((?:pass(?:word|phrase)?|secret|token|authorization)['\"]?\s*[=:]\s*)\S+")
_IN_URL = re.compile(r"(\w+://[^:/@\s]*:)[^@\s]+@")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def clean(text: str) -> str:
    """`text` on one line: what looks like a secret masked, control characters written as escapes."""
    masked = _IN_URL.sub(r"\1***@", _NAMED.sub(r"\1***", text))
    return _CONTROL.sub(lambda m: f"\\x{ord(m[0]):02x}", masked)


class JsonLines(logging.Formatter):
    """For files and collectors."""

    def format(self, record: logging.LogRecord) -> str:
        """One JSON object: at, level, room, text, and the traceback where there is one."""
        row = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "room": record.name,
            "text": clean(record.getMessage()),
        }
        if record.exc_info:
            row["trace"] = clean(self.formatException(record.exc_info))
        return json.dumps(row, ensure_ascii=False)


class TerminalLines(logging.Formatter):
    """For a person watching: no traceback unless the level is debug."""

    def format(self, record: logging.LogRecord) -> str:
        """Time, room and text."""
        at = datetime.fromtimestamp(record.created, UTC).astimezone()
        line = f"{at:%H:%M:%S} {record.name:<9} {clean(record.getMessage())}"
        if record.exc_info and logging.getLogger().isEnabledFor(logging.DEBUG):
            line += "\n" + self.formatException(record.exc_info)
        return line


def start(level: str) -> None:
    """Log to standard error, once for the process: lines for people on a terminal, JSON otherwise."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(TerminalLines() if sys.stderr.isatty() else JsonLines())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for noisy in ("apscheduler", "urllib3", "alembic", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.DEBUG if level == "debug" else logging.WARNING)
    logging.getLogger("paramiko").setLevel(logging.CRITICAL)  # what hosts do wrong is a Failure, not a log line
