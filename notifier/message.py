"""Words what happened for one reader: title, sentences, particulars and links, in their language and by their clock.

A wording of the house's own (domain.recipients.Wording) replaces title and sentences of a kind. It is a template in a
sandbox: it sees plain texts, reaches nothing else, and may take neither long nor much.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from jinja2 import StrictUndefined, TemplateError, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from domain.audience import severity_of
from domain.lasttold import LETTERS, stands
from notifier import calls, errands
from notifier.channels.base import Action, Fact, Message, Place, Severity
from notifier.speech import Speech
from notifier.story import BEHIND, Story

LONGEST_TITLE, LONGEST_TEXT = 200, 4000
LONGEST_TEMPLATE = 4000
TTL = {"critical": 3600.0, "warning": 3600.0, "good": 3600.0, "info": 3600.0}
KINDS = (
    "problem", "recovery", "reminder", "flap_start", "flap_stop", "check_problem", "poller_silent", "poller_back",
    "uplink_lost", "uplink_back", "digest",
)  # fmt: skip
_SANDBOX = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False)
_SANDBOX.globals.clear()
_FILTERS = frozenset({"upper", "lower", "title", "capitalize", "trim", "default", "length", "truncate"})
_PARTS = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.Const, nodes.If, nodes.CondExpr, nodes.Compare,
    nodes.Operand, nodes.And, nodes.Or, nodes.Not, nodes.Concat, nodes.Filter, nodes.Keyword,
)  # fmt: skip
"""All a wording is made of. None of it can multiply, repeat or call: what comes out is about as long as what went in."""


class WordingRefused(ValueError):
    """A template that cannot be used; the message is a sentence for whoever wrote it."""


@dataclass(frozen=True)
class Reader:
    """Whom a message is for: `base` is where this installation's pages are; `discreet` hides names on a locked screen."""

    speech: Speech
    base: str
    discreet: bool = False


def word(
    told: Sequence[Story], reader: Reader, key: str, now: datetime, wording: tuple[str, str] | None = None,
    replaces: str = "", thread: str = "",
) -> Message:  # fmt: skip
    """The message of one story, or of several as a digest. `wording` is (title, body) of the house's own."""
    if len(told) > 1:
        return _digest(told, reader, key, now)
    story, speech = told[0], reader.speech
    title, text = _title(story, speech), _text(story, speech, now)
    if wording is not None:
        values = variables(story, reader, now)
        title, text = render(wording[0], values), render(wording[1], values)
    url = _url(story, reader)
    return Message(
        key=key, kind=story.kind, severity=_severity(story), title=_line(title)[:LONGEST_TITLE],
        text=text[:LONGEST_TEXT], at=story.at, language=speech.language, thread=thread, replaces=replaces,
        facts=tuple(_facts(story, speech, now)), url=url, place=_place(story), actions=_actions(story, speech, url),
        ttl=TTL[_severity(story)], discreet=reader.discreet,
    )  # fmt: skip


def variables(story: Story, reader: Reader, now: datetime) -> dict[str, str]:
    """What a wording may use: texts only."""
    speech = reader.speech
    return {
        "name": _name(story, speech), "address": story.address, "state": _state(story, speech),
        "since": speech.moment(story.since), "lasted": speech.span((now - story.since).total_seconds()),
        "outage": speech.span(story.outage) if story.outage is not None else "", "check": story.check,
        "cause": _cause(story, speech), "division": story.division, "site": story.site,
        "site_address": story.site_address, "owner": story.owner, "runbook": story.runbook,
        "behind": str(story.behind), "names": ", ".join(story.names), "url": _url(story, reader),
    }  # fmt: skip


def render(template: str, values: Mapping[str, str]) -> str:
    """A wording filled in. Raises WordingRefused with a sentence; what machines say is never read as a template."""
    if len(template) > LONGEST_TEMPLATE:
        raise WordingRefused(f"A wording has at most {LONGEST_TEMPLATE} characters.")
    try:
        _judge(_SANDBOX.parse(template), values)
        told = _SANDBOX.from_string(template).render({name: text[:LONGEST_TEXT] for name, text in values.items()})
    except (
        TemplateError, SyntaxError, TypeError, ValueError, ArithmeticError, RecursionError, AttributeError, MemoryError,
    ) as error:  # fmt: skip
        raise WordingRefused(f"The wording cannot be read: {str(error)[:200]}") from None
    return told[: LONGEST_TEXT + 1]


def _judge(node: nodes.Node, values: Mapping[str, str]) -> None:
    """Raises TemplateError where a wording holds what it may not, whether or not this message would come to it."""
    if not isinstance(node, _PARTS):
        raise TemplateError("It may say values, texts, if and else, and nothing more.")
    if isinstance(node, nodes.Filter) and node.name not in _FILTERS:
        raise TemplateError(f"There is no filter “{node.name}” here; there are {', '.join(sorted(_FILTERS))}.")
    if isinstance(node, nodes.Name) and node.name not in values:
        raise TemplateError(f"There is no value “{node.name}”; there are {', '.join(sorted(values))}.")
    for part in node.iter_child_nodes():
        _judge(part, values)


def _severity(story: Story) -> Severity:
    standing = stands(story.kind, story.state)
    if story.asked is not None:
        return calls.severity(story.asked, story.state)
    if story.errand is not None and story.kind == "job":
        return errands.severity(story.state)
    if story.kind in LETTERS:
        return "info"
    if not standing:
        return "good"
    return "critical" if severity_of(standing) == "critical" else "warning"


def _name(story: Story, speech: Speech) -> str:
    if story.name:
        return story.name
    if story.errand is not None:
        return speech.gettext("The job “%(name)s”", name=story.errand.name)
    return speech.gettext("Pantau itself") if story.host is None else speech.gettext("a machine that is gone")


def _state(story: Story, speech: Speech) -> str:
    words = {
        "up": speech.gettext("Up"), "ok": speech.gettext("Up"), "down": speech.gettext("Down"),
        "warning": speech.gettext("Warning"), "critical": speech.gettext("Critical"),
        "unknown": speech.gettext("Unknown"), "unreachable": speech.gettext("Unreachable"),
    }  # fmt: skip
    if story.subject.startswith("check:") and story.state == "down":
        return speech.gettext("Failed")  # the machine itself may well be up
    return words.get(story.state, story.state)


def _what(story: Story, speech: Speech) -> str:
    """The thing in trouble: the machine, its check, or its measure."""
    if story.measure:
        return f"{speech.title(story.measure)} {story.part}".strip()
    return story.check


def _title(story: Story, speech: Speech) -> str:
    name, what = _name(story, speech), _what(story, speech)
    whole = f"{name}: {what}" if what else name
    match story.kind:
        case "request":
            return calls.title(story.asked, story.state, name, speech) if story.asked else name
        case "job":
            return errands.title(story.errand, story.state, speech) if story.errand else name
        case "problem" if story.errand:
            return errands.title(story.errand, "failed", speech)
        case "recovery" if story.errand:
            return speech.gettext("%(what)s works again", what=name)
        case "mention":
            return speech.gettext("%(who)s names you in the chat", who=story.said.author if story.said else "?")
        case "poller_silent":
            return speech.gettext("Nobody looks: Pantau has stopped watching")
        case "poller_back":
            return speech.gettext("Pantau watches again")
        case "uplink_lost":
            return speech.gettext("Pantau's own line is cut")
        case "uplink_back":
            return speech.gettext("Pantau's own line is back")
        case "recovery" if what and not story.measure:
            return speech.gettext("%(what)s works again", what=whole)
        case "recovery" if what:
            return speech.gettext("%(what)s is back to normal", what=whole)
        case "recovery":
            return speech.gettext("%(name)s is up again", name=name)
        case "flap_start":
            return speech.gettext("%(what)s comes and goes", what=whole)
        case "flap_stop":
            return speech.gettext("%(what)s has settled: %(state)s", what=whole, state=_state(story, speech))
        case "check_problem":
            return speech.gettext("%(what)s cannot be asked", what=whole)
        case "reminder":
            return speech.gettext("Still: %(what)s – %(state)s", what=whole, state=_state(story, speech))
    if story.measure:
        return speech.gettext("%(what)s – %(state)s", what=whole, state=_state(story, speech))
    if what:
        return speech.gettext("%(what)s fails", what=whole)
    return speech.gettext("%(name)s is down", name=name)


def _text(story: Story, speech: Speech, now: datetime) -> str:
    if story.asked is not None:
        return calls.text(story.asked, story.state, speech)
    if story.errand is not None and story.kind == "job":
        return errands.text(story.errand, story.state, speech)
    if story.kind in LETTERS:
        return story.said.text if story.said else ""
    lasted = speech.span((now - story.since).total_seconds())
    sentences = []
    if story.kind in ("recovery", "poller_back", "uplink_back") or (
        story.kind == "flap_stop" and not stands(story.kind, story.state)
    ):
        sentences.append(speech.gettext("All is well since %(since)s.", since=speech.moment(story.since)))
        if story.outage is not None:
            sentences.append(speech.gettext("It lasted %(time)s.", time=speech.span(story.outage)))
        return " ".join(sentences)
    sentences.append(
        speech.gettext("Since %(since)s, for %(time)s now.", since=speech.moment(story.since), time=lasted)
    )
    if cause := _cause(story, speech):
        sentences.append(cause)
    if story.behind:
        sentences.append(
            speech.ngettext(
                "%(num)s machine behind it cannot be reached.",
                "%(num)s machines behind it cannot be reached.",
                story.behind,
            )
        )
    return " ".join(sentences)


def _cause(story: Story, speech: Speech) -> str:
    """Why, as far as it is known: the sentence of the failure, or the number that crossed and what is normal for it."""
    if not story.measure:
        return story.cause
    words = story.cause.split()
    try:
        value = speech.amount(float(words[0]), story.measure) if words else ""
        if len(words) == 4 and words[1] == "usually":
            low, high = (speech.amount(float(word), story.measure) for word in words[2:])
            return speech.gettext(
                "It is %(value)s; usual at this hour is %(low)s to %(high)s.", value=value, low=low, high=high
            )
    except ValueError:
        return story.cause
    return speech.gettext("It is %(value)s.", value=value) if value else ""


def _facts(story: Story, speech: Speech, now: datetime) -> list[Fact]:
    if story.errand is not None and story.kind == "job":
        return errands.facts(story.errand, story.state, speech)
    if story.kind in LETTERS:
        about = Fact(speech.gettext("Machine"), story.name)
        return [fact for fact in (about, Fact(speech.gettext("At"), speech.moment(story.since))) if fact.value]
    behind = ", ".join(story.names)
    if story.behind > BEHIND:
        behind += " " + speech.gettext("and %(count)s more", count=story.behind - BEHIND)
    place = _place(story)
    rows = [
        Fact(speech.gettext("Machine"), f"{story.name} ({story.address})" if story.address else story.name),
        Fact(speech.gettext("Check"), _what(story, speech)),
        Fact(speech.gettext("State"), _state(story, speech)),
        Fact(speech.gettext("Since"), speech.moment(story.since)),
        Fact(
            speech.gettext("Lasted") if story.outage is not None else speech.gettext("Lasts"),
            speech.span(story.outage if story.outage is not None else (now - story.since).total_seconds()),
        ),
        Fact(speech.gettext("Cause"), _cause(story, speech)),
        Fact(speech.gettext("Behind it"), behind),
        Fact(speech.gettext("Way to it"), ", ".join(story.parents)),
        Fact(speech.gettext("Division"), story.division),
        Fact(
            speech.gettext("Site"),
            ", ".join(filter(None, (story.site, story.site_address))),
            place.map_url if place else "",
        ),
        Fact(speech.gettext("In hand"), story.owner if story.owner else ""),
        Fact(speech.gettext("Note"), story.note),
    ]
    if stands(story.kind, story.state):  # there is nothing left to do once it is well
        rows.append(Fact(speech.gettext("What to do"), story.runbook, story.runbook if _is_link(story.runbook) else ""))
    return [fact for fact in rows if fact.value]


def _digest(told: Sequence[Story], reader: Reader, key: str, now: datetime) -> Message:
    """Many at once: how many are down, how many are well again, and their names."""
    speech = reader.speech
    bad = [story for story in told if stands(story.kind, story.state)]
    letters = [story for story in told if story.kind in LETTERS]
    good = [story for story in told if story not in bad and story not in letters]
    parts = []
    if bad:
        parts.append(speech.ngettext("%(num)s problem", "%(num)s problems", len(bad)))
    if good:
        parts.append(speech.ngettext("%(num)s well again", "%(num)s well again", len(good)))
    if letters:
        parts.append(speech.ngettext("%(num)s message for you", "%(num)s messages for you", len(letters)))
    facts = [Fact(_title(story, speech), speech.moment(story.since)) for story in (*bad, *letters, *good)[:BEHIND]]
    if len(told) > BEHIND:
        facts.append(Fact(speech.gettext("and %(count)s more", count=len(told) - BEHIND), ""))
    names = sorted({_name(story, speech) for story in bad}) or sorted({_name(story, speech) for story in good})
    names = names or sorted({story.said.author for story in letters if story.said})
    shown = ", ".join(names[:BEHIND])
    if len(names) > BEHIND:
        shown += " " + speech.gettext("and %(count)s more", count=len(names) - BEHIND)
    worst = {_severity(story) for story in told}
    severity: Severity = (
        "critical" if "critical" in worst else "warning" if "warning" in worst else "good" if good else "info"
    )
    asked = any(story.asked for story in letters)
    url = f"{reader.base}/{'requests' if asked else 'incidents' if bad or good else 'chat'}"
    return Message(
        key=key, kind="digest", severity=severity, title=", ".join(parts), text=shown[:LONGEST_TEXT],
        at=max(story.at for story in told), language=speech.language, facts=tuple(facts), url=url,
        actions=(Action("open", speech.gettext("Open"), url=url),), discreet=reader.discreet,
    )  # fmt: skip


def _actions(story: Story, speech: Speech, url: str) -> tuple[Action, ...]:
    opened = Action("open", speech.gettext("Open"), url=url)
    if story.incident is None or not stands(story.kind, story.state):
        return (opened,)
    return (
        Action("acknowledge", speech.gettext("I'm on it"), data=f"ack:{story.incident}"),
        opened,
        Action("mute", speech.gettext("Mute for 1 h"), data=f"mute:{story.incident}"),
    )


def _url(story: Story, reader: Reader) -> str:
    if story.asked is not None:
        return f"{reader.base}/requests/{story.asked.id}"
    if story.errand is not None:
        return f"{reader.base}{story.errand.path}"
    if story.said is not None:
        return f"{reader.base}/chat/{story.said.thread}?at={story.said.number}"
    if story.incident is not None:
        return f"{reader.base}/incidents/{story.incident}"
    return f"{reader.base}/machines/{story.host}" if story.host is not None else f"{reader.base}/"


def _place(story: Story) -> Place | None:
    return Place(story.site, story.site_address, story.latitude, story.longitude) if story.site else None


def _is_link(text: str) -> bool:
    return text.startswith(("https://", "http://")) and not any(ord(one) <= 32 for one in text)


def _line(text: str) -> str:
    return " ".join(text.split())


def preview(wording: tuple[str, str], story: Story, reader: Reader, now: datetime) -> Message:
    """A wording tried on something that happened. Raises WordingRefused."""
    return word([story], reader, "preview", now, wording)
