"""Words a request for an action for one reader. Its message leads to the page and does nothing by itself."""

from __future__ import annotations

from notifier.channels.base import Severity
from notifier.speech import Speech
from notifier.story import Call

BAD = ("failed", "unknown")


def severity(call: Call, why: str) -> Severity:
    """How loud it is: somebody is waited for, something went wrong, or it is only news."""
    if why == "glass" or (why == "ended" and call.state in BAD):
        return "critical"
    if why == "asked":
        return "warning"
    return "good" if why == "ended" and call.state == "done" else "info"


def title(call: Call, why: str, name: str, speech: Speech) -> str:
    """Who wants what, or what came of it."""
    told = f"{name}: {order(call, speech)}"
    match why:
        case "asked":
            return speech.gettext("%(who)s asks you: %(what)s", who=call.by or "?", what=told)
        case "approved":
            return speech.gettext("Agreed to: %(what)s", what=told)
        case "glass":
            return speech.gettext("%(who)s broke the glass: %(what)s", who=call.by or "?", what=told)
    ends = {
        "done": speech.gettext("Done: %(what)s", what=told),
        "failed": speech.gettext("Failed: %(what)s", what=told),
        "unknown": speech.gettext("Unknown, look by hand: %(what)s", what=told),
        "refused": speech.gettext("Refused: %(what)s", what=told),
        "expired": speech.gettext("Expired: %(what)s", what=told),
    }
    return ends.get(call.state) or speech.gettext("Cancelled: %(what)s", what=told)


def text(call: Call, why: str, speech: Speech) -> str:
    """Why it is wanted, and until when; or what the machine said."""
    if why == "asked":
        until = speech.gettext("Answer on its page, until %(moment)s.", moment=speech.moment(call.expires_at))
        return f"{call.reason} {until}"
    return f"{call.text} {call.reason}".strip() if why == "ended" else call.reason


def order(call: Call, speech: Speech) -> str:
    """What is to be done."""
    words = {
        "host.restart": speech.gettext("Restart the machine"),
        "service.restart": speech.gettext("Restart the service %(service)s", service=call.about),
        "service.start": speech.gettext("Start the service %(service)s", service=call.about),
        "service.stop": speech.gettext("Stop the service %(service)s", service=call.about),
        "vm.restart": speech.gettext("Restart the guest %(guest)s by its hypervisor", guest=call.about),
        "runbook.run": speech.gettext("Run “%(runbook)s”", runbook=call.about),
    }
    return words.get(call.kind, call.kind)
