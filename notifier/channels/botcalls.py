"""Calls to Telegram's Bot API: the token in the URL and in no other place, an answer read only if it is one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from notifier.channels import words
from notifier.channels.base import Undelivered
from notifier.channels.road import Kind, Road, json_body
from probes.limits import clean
from probes.names import is_this_machine

API = "https://api.telegram.org"
_TOKEN = re.compile(r"[0-9]{3,20}:[A-Za-z0-9_-]{20,80}")


@dataclass(frozen=True, slots=True)
class Said:
    """What the Bot API answered to one call; `result` where it took it."""

    code: int
    result: Any = None
    why: str = ""
    retry_after: float | None = None
    moved_to: int | None = None

    @property
    def ok(self) -> bool:
        """Whether it was taken."""
        return self.code == 200

    def because(self, *starts: str) -> bool:
        """Whether the no has one of these words in it (any case): the documentation gives no other sign."""
        return any(start.lower() in self.why.lower() for start in starts)


def check_api(api: str) -> None:
    """Raises ValueError with a sentence where `api` is no base URL of a Bot API server."""
    parts = urlsplit(api)
    if not words.link(api) or parts.query or parts.fragment:
        raise ValueError("option 'api' is like https://api.telegram.org.")
    if parts.scheme.lower() == "http" and not is_this_machine(str(parts.hostname)):
        raise ValueError("option 'api' is https, unless it is on this machine: the token is part of every call.")


def call(way: Road, api: str, token: str, method: str, asked: Mapping[str, Any], step: str) -> Said:
    """One method. Raises Undelivered where no answer of a Bot API came."""
    if not _TOKEN.fullmatch(token):
        raise way.no("The token of the bot is missing or is not one: it looks like 123456:ABC-DEF...", "setup")
    url = f"{api.rstrip('/')}/bot{token}/{method}"
    answer = way.ask("POST", url, {"Content-Type": "application/json"}, json_body(asked), step=step)
    told = answer.json()
    if not isinstance(told, dict) or not isinstance(told.get("ok"), bool):
        raise way.no(f"What answers there is no Bot API: it says {answer.status}.", "later", answer.retry_after())
    if told["ok"]:
        return Said(200, told.get("result"))
    more = told.get("parameters")
    more = more if isinstance(more, dict) else {}
    wait, moved = more.get("retry_after"), more.get("migrate_to_chat_id")
    code = told.get("error_code")
    return Said(
        code if isinstance(code, int) and code >= 400 else max(answer.status, 400),
        why=clean(way.hide(str(told.get("description", ""))), 200),
        retry_after=float(wait) if isinstance(wait, int | float) and not isinstance(wait, bool) else None,
        moved_to=moved if isinstance(moved, int) and not isinstance(moved, bool) else None,
    )


def refused(way: Road, said: Said) -> Undelivered:
    """What a no means for the message."""
    sentence = f"Telegram answers {said.code}: {said.why or 'no reason given'}"
    if said.code == 429:
        return way.no(sentence, "later", said.retry_after)
    if said.code in (401, 404):
        return way.no(f"The token of the bot is not taken: {sentence}", "setup")
    if said.code == 409 or said.code >= 500:
        return way.no(sentence, "later", said.retry_after)
    if said.moved_to is not None:
        return way.no(f"The group has become a supergroup with the number {said.moved_to}: link it anew.", "gone")
    return way.no(sentence, _kind(said))


_GONE = ("chat not found", "peer_id_invalid", "user is deactivated", "user not found", "bot was kicked", "bot was blocked",
         "bot can't initiate", "bot is not a member", "group chat was deactivated", "chat was deleted")  # fmt: skip


def _kind(said: Said) -> Kind:
    if said.because(*_GONE):
        return "gone"
    if said.code == 403:
        return "setup" if said.because("not enough rights", "need administrator", "no rights") else "gone"
    return "never"
