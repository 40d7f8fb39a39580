"""What happens unattended, in words: kinds, how a run stands and ended, and how a standing approval stands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from domain.approving import Denied
from webui import doings
from webui.language import gettext, lazy_gettext, ngettext
from webui.wording import value

KINDS = {
    "action": lazy_gettext("An action at machines"),
    "report": lazy_gettext("A status report by e-mail"),
    "discovery": lazy_gettext("A look through a network"),
    "backup": lazy_gettext("A backup of Pantau"),
}
ABOUT = {
    "action": lazy_gettext("A restart or a runbook at a machine or a group. Those who must agree agree once, to all of it."),
    "report": lazy_gettext("How the machines are, and what has happened since the last report."),
    "discovery": lazy_gettext("What answers and is watched by nobody is told."),
    "backup": lazy_gettext("Everything Pantau knows, in one file that was read to its end. The vault's key is not in it."),
}  # fmt: skip
ICONS = {"action": "player-play", "report": "report-analytics", "discovery": "search", "backup": "download"}
RUNS = {
    "waiting": lazy_gettext("Waiting"),
    "running": lazy_gettext("Running"),
    "done": lazy_gettext("Done"),
    "failed": lazy_gettext("Failed"),
    "missed": lazy_gettext("Missed"),
    "skipped": lazy_gettext("Left out"),
    "unknown": lazy_gettext("Unknown: look by hand"),
}
BADGES = {
    "waiting": "disabled", "running": "warning", "done": "up", "failed": "critical", "missed": "warning",
    "skipped": "disabled", "unknown": "critical",
}  # fmt: skip
"""The colour of a state."""
STANDS = {
    "agreed": lazy_gettext("Agreed to"),
    "waiting": lazy_gettext("Waiting for agreement"),
    "refused": lazy_gettext("Refused"),
    "expired": lazy_gettext("Its time is over: it must be agreed to anew"),
    "changed": lazy_gettext("Something is another than it was agreed to"),
    "asker": lazy_gettext("Whoever asked for it may not ask for it any more"),
}
STAND_BADGES = {"agreed": "up", "waiting": "warning", "refused": "critical", "expired": "critical", "changed": "critical", "asker": "critical"}  # fmt: skip
ENDS = {
    "missed": lazy_gettext("Pantau was not running when it was due."),
    "overlap": lazy_gettext("The run before had not ended yet."),
    "not_agreed": lazy_gettext("The standing approval does not hold, so nothing was done."),
    "cut_off": lazy_gettext("Pantau was stopped while it ran. It is not begun again by itself."),
    "requester": lazy_gettext("Whoever set it up may not do this any more, so nothing was done."),
    "machine": lazy_gettext("At %(machine)s it did not go as it should; the machines after it were left alone."),
    "ourselves": lazy_gettext("It failed in Pantau's own code. Please report it."),
}
FIRED = {
    "dry": lazy_gettext("Would have acted"),
    "asked": lazy_gettext("Acted"),
    "not_done": lazy_gettext("Could not act"),
}
FIRED_BADGES = {"dry": "disabled", "asked": "up", "not_done": "critical"}
DENIED = {
    "dry_first": lazy_gettext("It has not shown yet what it would do. Wait for an incident, or say that you are sure."),
    "nowhere": lazy_gettext("There is no machine it is for."),
    "too_many": lazy_gettext("These are too many machines for one approval; it takes at most %(most)s."),
    "changed": lazy_gettext("It was changed meanwhile. Please read it again."),
    "standing": lazy_gettext("Not enough of those who agreed may still agree."),
}
"""Beside those of webui/doings.py."""


def denied(error: Denied) -> str:
    """Why something was not done, and what to do now."""
    words = DENIED.get(error.code)
    return str(words) % error.about if words else doings.not_done(error)


def because(detail: Mapping[str, Any]) -> str:
    """Why a remedy could not act, or whether it might have; empty where there is nothing to say."""
    code, approval = str(detail.get("code", "")), str(detail.get("approval", ""))
    if code == "approval" or (approval and approval != "agreed"):
        return gettext("The standing approval: %(state)s", state=STANDS.get(approval, approval))
    if code in doings.ENDS:
        return str(doings.ENDS[code])
    return denied(Denied(code, **{str(k): v for k, v in detail.items() if k != "code"})) if code else ""


def ending(kind: str, outcome: Mapping[str, Any]) -> str:
    """What came of a run, in one sentence; empty where there is nothing to say."""
    code = str(outcome.get("code", ""))
    if code in ENDS:
        return str(ENDS[code]) % {"machine": outcome.get("machine", "?")}
    if outcome.get("text"):
        return str(outcome["text"])
    if "report" in outcome:
        told = int(outcome.get("told", 0))
        return ngettext("Sent to %(num)s person.", "Sent to %(num)s people.", told) if told else gettext("Nobody is there to read it.")  # fmt: skip
    if "newcomers" in outcome:
        fresh = int(outcome["newcomers"])
        said = ngettext("%(num)s machine answered,", "%(num)s machines answered,", int(outcome["answered"]))
        return f"{said} {ngettext('%(num)s of them is new.', '%(num)s of them are new.', fresh)}"
    if "file" in outcome:
        return f"{outcome['file']} ({value(float(outcome['size']), 'By')})"
    if kind == "action" and "machines" in outcome:
        return ngettext("At %(num)s machine.", "At %(num)s machines.", int(outcome["machines"]))
    return ""
