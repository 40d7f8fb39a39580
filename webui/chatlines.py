"""A thin line of a thread in words: what happened, in the reader's language, and the page that tells more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import url_for

from domain.chat import Message
from webui import doings, trouble
from webui.language import gettext, lazy_gettext
from webui.wording import span, word

SENTENCES: Mapping[str, Any] = {
    "incident.opened": lazy_gettext("Incident #%(incident)s: %(about)s – %(state)s"),
    "incident.changed": lazy_gettext("Incident #%(incident)s: %(about)s is now %(state)s"),
    "incident.ended": lazy_gettext("Incident #%(incident)s: %(about)s is not watched any more"),
    "incident.recovered": lazy_gettext("Incident #%(incident)s: %(about)s is well again after %(lasted)s"),
    "incident.acknowledged": lazy_gettext("%(by)s is on incident #%(incident)s"),
    "incident.handed_over": lazy_gettext("%(by)s handed incident #%(incident)s over to %(to)s"),
    "incident.given_back": lazy_gettext("%(by)s gave incident #%(incident)s back"),
    "incident.closed": lazy_gettext("%(by)s said what incident #%(incident)s was: %(text)s"),
    "maintenance.begun": lazy_gettext("%(by)s began maintenance for %(lasted)s: %(note)s"),
    "maintenance.planned": lazy_gettext("%(by)s planned maintenance: %(note)s"),
    "maintenance.ended": lazy_gettext("%(by)s ended maintenance: %(note)s"),
    "remedy.dry": lazy_gettext("“%(name)s” would have acted: %(order)s"),
    "remedy.not_done": lazy_gettext("“%(name)s” could not act: %(order)s"),
    "schedule.done": lazy_gettext("“%(name)s” ran by itself and went well"),
    "schedule.failed": lazy_gettext("“%(name)s” ran by itself and failed"),
    "schedule.missed": lazy_gettext("“%(name)s” was missed"),
    "schedule.unknown": lazy_gettext("“%(name)s” ran by itself, and nobody knows how it ended"),
    "telegram.linked": lazy_gettext("%(by)s joined this thread to a Telegram chat: whoever is there reads and writes along"),
    "telegram.parted": lazy_gettext("%(by)s parted this thread from its Telegram chat"),
}  # fmt: skip
"""By what a line says happened (domain.chat.line); its particulars fill the places."""
ACTION = "action."
"""How the kinds begin that webui/doings.py puts into words."""
PAGES: Mapping[str, tuple[str, str]] = {
    "request": ("approvals.show", "request_id"),
    "incident": ("incidents.show", "incident_id"),
    "schedule": ("jobs.show", "schedule_id"),
    "remedy": ("remedies.show", "remedy_id"),
}
"""Which particular leads to which page, and what the page calls it."""
ICONS = {
    "action": "refresh",
    "incident": "alert-circle",
    "maintenance": "calendar",
    "remedy": "heartbeat",
    "schedule": "refresh",
    "telegram": "messages",
}
LONGEST = 200


class _Places(dict[str, Any]):
    """A place nobody filled is a dash."""

    def __missing__(self, _: str) -> str:
        return "–"


def sentence(row: Message) -> str:
    """What happened. A kind nobody put into words is shown as it is written."""
    what = str(row.detail.get("what", ""))
    if what.startswith(ACTION):
        return doings.line(what.removeprefix(ACTION), {key: _said(key, value) for key, value in row.detail.items()})
    told = SENTENCES.get(what)
    if told is None:
        return what
    particulars = {"about": about(row.detail), **row.detail}
    return str(told) % _Places({key: _said(key, value) for key, value in particulars.items()})


def about(detail: Mapping[str, Any]) -> str:
    """What an incident is about beside its machine: a check by its name then, a limit by its measure; empty for all of it."""
    subject, check = str(detail.get("subject", "")), str(detail.get("check", ""))
    kind, _, rest = subject.partition(":")
    if kind not in ("check", "metric") or not rest.partition(":")[0].isdigit():
        return ""
    return trouble.subject_name(subject, {int(rest.partition(":")[0]): check})


def icon(row: Message) -> str:
    """The picture beside it."""
    return ICONS.get(str(row.detail.get("what", "")).partition(".")[0], "info-circle")


def page(row: Message) -> str | None:
    """Where there is more of it."""
    for key, (endpoint, name) in PAGES.items():
        number = row.detail.get(key)
        if isinstance(number, int) and not isinstance(number, bool) and number > 0:
            values: dict[str, Any] = {name: number}
            return url_for(endpoint, **values)
    return None


def _said(key: str, value: Any) -> str:
    if key == "state":
        return word(str(value)).lower()
    if key == "lasted" and isinstance(value, int | float):
        return span(float(value))
    if key == "about" and not value:
        return gettext("the whole machine")
    text = " ".join(str(value).split())
    return text[:LONGEST] + ("…" if len(text) > LONGEST else "")
