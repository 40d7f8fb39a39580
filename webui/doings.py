"""What is done to machines, in words: the order, how a request stands, how it ended, and why something was not done."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from domain.approving import Denied
from webui.language import gettext, lazy_gettext, ngettext

ORDERS = {
    "host.restart": lazy_gettext("Restart the machine"),
    "service.restart": lazy_gettext("Restart the service %(service)s"),
    "service.start": lazy_gettext("Start the service %(service)s"),
    "service.stop": lazy_gettext("Stop the service %(service)s"),
    "vm.restart": lazy_gettext("Restart the guest %(guest)s by its hypervisor"),
    "runbook.run": lazy_gettext("Run “%(runbook)s”"),
}
KINDS = {
    "host.restart": lazy_gettext("Restart of the machine"),
    "service.restart": lazy_gettext("Restart of a service"),
    "service.start": lazy_gettext("Start of a service"),
    "service.stop": lazy_gettext("Stop of a service"),
    "vm.restart": lazy_gettext("Restart of a guest by its hypervisor"),
    "runbook.run": lazy_gettext("A runbook"),
}
"""What a rule is about."""
STATES = {
    "waiting": lazy_gettext("Waiting for agreement"),
    "approved": lazy_gettext("Agreed to"),
    "running": lazy_gettext("Running"),
    "done": lazy_gettext("Done"),
    "failed": lazy_gettext("Failed"),
    "unknown": lazy_gettext("Unknown: look by hand"),
    "refused": lazy_gettext("Refused"),
    "expired": lazy_gettext("Expired"),
    "cancelled": lazy_gettext("Cancelled"),
}
BADGES = {
    "waiting": "warning", "approved": "warning", "running": "warning", "done": "up", "failed": "critical",
    "unknown": "critical", "refused": "disabled", "expired": "disabled", "cancelled": "disabled",
}  # fmt: skip
"""The colour of a state."""
ENDS = {
    "refused": lazy_gettext("%(by)s refused: %(reason)s"),
    "taken_back": lazy_gettext("%(by)s took it back."),
    "expired": lazy_gettext("Not enough people agreed in time, or it was not begun in time. Nothing was done."),
    "recovered": lazy_gettext("The machine is well again, so it was not needed. Nothing was done."),
    "changed": lazy_gettext("The machine, its address, its key or its login is another than it was. Nothing was done."),
    "requester": lazy_gettext("Whoever asked may not ask for it any more. Nothing was done."),
    "not_sent": lazy_gettext("Pantau was stopped before anything was sent. Nothing was done; ask again."),
    "cut_off": lazy_gettext(
        "Pantau was stopped while the order was on its way. It may have been carried out or not, and it is not sent"
        " again: look at the machine."
    ),
    "cut_between": lazy_gettext(
        "Pantau was stopped when the order to stop had left, and before the one to start. It stands still unless somebody"
        " starts it: look at the machine."
    ),
    "not_stopped": lazy_gettext(
        "%(about)s took the order to stop and has not stopped in time, so it was not started again. Look at it."
    ),
    "rebooted": lazy_gettext("The machine was restarted since it was asked for. Nothing was done."),
    "ourselves": lazy_gettext("Pantau itself runs on this machine, and does not restart what it stands on."),
}
"""How it ended, where no words came from the machine."""
STEPS = {
    "asked": lazy_gettext("%(by)s asked for it"),
    "agreed": lazy_gettext("%(by)s agreed"),
    "refused": lazy_gettext("%(by)s refused"),
    "cancelled": lazy_gettext("Cancelled"),
    "glass": lazy_gettext("%(by)s broke the glass: it is done without anybody's agreement"),
    "unattended": lazy_gettext("A standing approval asks for it"),
    "waits_again": lazy_gettext("Somebody who agreed may not any more; it waits for others"),
    "begun": lazy_gettext("It begins"),
    "looked": lazy_gettext("Looked once more: it is the machine that was meant"),
    "window": lazy_gettext("Maintenance is on, so nobody is alarmed by what comes"),
    "sent": lazy_gettext("The order was sent"),
    "sent_stop": lazy_gettext("The order to stop was sent"),
    "sent_start": lazy_gettext("The order to start was sent"),
    "stopping": lazy_gettext("Waiting until it has stopped"),
    "stopped": lazy_gettext("It has stopped"),
    "taken": lazy_gettext("The machine took it"),
    "awaited": lazy_gettext("Waiting until the machine is back"),
    "away": lazy_gettext("The machine does not answer any more, as it should"),
    "back": lazy_gettext("The machine answers again"),
    "proof": lazy_gettext("It is another start: %(after)s now, %(before)s before"),
    "checks": lazy_gettext("Its checks are well again"),
    "said": lazy_gettext("%(text)s"),
    "done": lazy_gettext("Done"),
    "failed": lazy_gettext("Failed"),
    "unknown": lazy_gettext("Unknown"),
    "expired": lazy_gettext("Expired"),
}
"""A line of the live log."""
LINES = {
    "asked": lazy_gettext("%(by)s asked for: %(order)s"),
    "agreed": lazy_gettext("%(by)s agreed: %(order)s"),
    "refused": lazy_gettext("%(by)s refused: %(order)s"),
    "cancelled": lazy_gettext("Cancelled: %(order)s"),
    "glass": lazy_gettext("%(by)s broke the glass: %(order)s"),
    "unattended": lazy_gettext("By a standing approval: %(order)s"),
    "waits_again": lazy_gettext("Waits for agreement again: %(order)s"),
    "begun": lazy_gettext("Begun: %(order)s"),
    "done": lazy_gettext("Done: %(order)s"),
    "failed": lazy_gettext("Failed: %(order)s"),
    "unknown": lazy_gettext("Unknown, look by hand: %(order)s"),
    "expired": lazy_gettext("Expired: %(order)s"),
}
"""A change of a request as a line among what people say."""


class _Blank(dict[str, Any]):
    def __missing__(self, key: str) -> str:
        return "?"


def order(kind: str, params: Mapping[str, Any], runbook: str = "") -> str:
    """What is to be done, such as: Restart the service nginx.service."""
    words = ORDERS.get(kind)
    if words is None:
        return kind
    return str(words) % _Blank(params, runbook=runbook or f"#{params.get('runbook', '?')}")


def line(what: str, detail: Mapping[str, Any]) -> str:
    """A line in a thread; `what` is the last word of its kind."""
    words = LINES.get(what)
    told = order(str(detail.get("kind", "")), detail)
    return str(words) % _Blank(detail, order=told, by=detail.get("by") or "Pantau") if words else told


def step(code: str, detail: Mapping[str, Any]) -> str:
    """A line of the live log."""
    words = STEPS.get(code)
    return str(words) % _Blank(detail, by=detail.get("by") or "Pantau") if words else code


def ending(outcome: Mapping[str, Any]) -> str:
    """How it ended: in the words of what did it, or ours. Empty where there is nothing to say."""
    if outcome.get("text"):
        return str(outcome["text"])
    code = str(outcome.get("code", ""))
    if code in ENDS:
        return str(ENDS[code]) % _Blank(outcome)
    return not_done(Denied(code, **{str(k): v for k, v in outcome.items() if k != "code"})) if code else ""


def not_done(error: Denied) -> str:
    """Why something was not done, and what to do now."""
    about = _Blank(error.about)
    if error.code == "too_few":
        return _too_few(error.about)
    words = DENIED.get(error.code)
    return str(words) % about if words else gettext("This cannot be done now.")


def _too_few(about: Mapping[str, Any]) -> str:
    needs, there = int(about.get("needs", 0)), int(about.get("there", 0))
    return " ".join(
        (
            ngettext("%(num)d person must agree to this", "%(num)d people must agree to this", needs),
            ngettext("and only %(num)d may.", "and only %(num)d may.", there)
            if there < needs
            else gettext("and too few of them belong to the machine's division."),
            gettext("Ask an administrator to name more approvers, or to change the rule."),
        )
    )


DENIED = {
    "way": lazy_gettext(
        "Pantau has no way to act at this machine yet: it is done by SSH or WinRM, so it needs a check by one of them."
    ),
    "shell": lazy_gettext("Runbooks are run by SSH, and this machine is looked at by WinRM."),
    "guest": lazy_gettext(
        "No hypervisor above this machine runs %(guest)s as its guest now, or it is not clear which of several it is."
    ),
    "login_there": lazy_gettext(
        "The hypervisor of this guest has no login for actions yet. An administrator chooses one on the hypervisor's page."
    ),
    "alone": lazy_gettext("The rule does not let you act alone here: ask for it, and others agree."),
    "right": lazy_gettext("You may not do this at this machine."),
    "own": lazy_gettext("Nobody agrees to what they asked for themselves. Others were told."),
    "said": lazy_gettext("You have already answered, and an answer stays as it is."),
    "over": lazy_gettext("This request is over; nothing can be changed about it."),
    "why": lazy_gettext("Please say why: whoever asked should know what to do instead."),
    "gone": lazy_gettext("There is no such request."),
    "reason": lazy_gettext("Please give a reason, in at most %(longest)s characters: those who agree read it."),
    "login": lazy_gettext(
        "This machine has no login for actions yet. An administrator chooses one on its page, under “Actions”."
    ),
    "rule": lazy_gettext("A rule of this installation forbids this action at this machine."),
    "open": lazy_gettext("Something is already asked for at this machine. Answer that first, or take it back."),
    "quiet": lazy_gettext(
        "This machine was restarted less than %(minutes)s minutes ago. Wait until it has settled, then ask again."
    ),
    "service": lazy_gettext("%(service)s is not among the services of this machine that may be touched from here."),
    "runbook": lazy_gettext("There is no such runbook any more."),
    "unread": lazy_gettext("Nobody but its writer has read the runbook “%(runbook)s” yet; somebody else must, first."),
    "runbook_group": lazy_gettext("The runbook “%(runbook)s” is not meant for this machine."),
    "unclear": lazy_gettext(
        "This is no action that can be asked for: check what was chosen and typed (%(how)s %(what)s)."
    ),
}
"""Why something is not done."""
