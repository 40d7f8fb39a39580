"""Words what happens unattended for one reader: who is to agree, what a schedule brought, what a remedy did."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import Cursor

from domain.rights import Right
from notifier.channels.base import Fact, Severity
from notifier.house import reach
from notifier.speech import Speech

SHOWN = 20
_NUMBER = "split_part({0}, ':', 2)::bigint"
OF = """
select x.name, x.division_id, dv.name as division, x.path, x.kind, x.params, x.reason, x.host, x.outcome, x.due, asker.name as asker
from (
 select coalesce(s.name, r.name) as name, m.division_id, coalesce('/jobs/' || s.id, '/remedies/' || r.id) as path, m.kind,
  m.params, m.reason, coalesce(h.name, g.name) as host, '{}'::jsonb as outcome, null::timestamptz as due, m.asked_by
 from mandate m left join schedule s on s.mandate_id = m.id left join remedy r on r.mandate_id = m.id
 left join host h on h.id = m.host_id left join host_group g on g.id = m.group_id
 where %(what)s = 'mandate' and m.id = %(id)s
 union all select s.name, s.division_id, '/jobs/' || s.id, s.kind, '{}', '', null, w.outcome, w.due, null
 from schedule_run w join schedule s on s.id = w.schedule_id where %(what)s = 'run' and w.id = %(id)s
 union all select s.name, s.division_id, '/jobs/' || s.id, s.kind, '{}', '', null, '{}', null, null
 from schedule s where %(what)s = 'job' and s.id = %(id)s
 union all select r.name, r.division_id, '/remedies/' || r.id, m.kind, m.params, m.reason, h.name, f.detail, f.at, null
 from firing f join remedy r on r.id = f.remedy_id join mandate m on m.id = r.mandate_id join host h on h.id = f.host_id
 where %(what)s = 'firing' and f.id = %(id)s
) x left join division dv on dv.id = x.division_id left join person asker on asker.id = x.asked_by
"""


@dataclass(frozen=True)
class Errand:
    """Something unattended: a schedule or remedy by its name, with what it does, where, and what came of it."""

    name: str
    path: str
    kind: str
    about: str
    reason: str
    where: str
    asker: str
    division: str
    outcome: dict[str, Any]
    due: datetime | None


def reached(person: str) -> str:
    """SQL: whether a person (an expression) may know of what a letter (the notice `n`) is about; null where it is gone."""
    number = _NUMBER.format("n.subject")
    return (
        f"select {reach(Right.SEE, 'x', person)} from (select 'mandate' as what, id, division_id from mandate"  # noqa: S608 - our own words
        " union all select 'run', w.id, s.division_id from schedule_run w join schedule s on s.id = w.schedule_id"
        " union all select 'firing', f.id, h.division_id from firing f join host h on h.id = f.host_id) x"
        f" where x.what = split_part(n.subject, ':', 1) and x.id = {number}"
    )


def errand(cursor: Cursor[Any], kind: str, subject: str) -> Errand | None:
    """What a notice is about, where it is about something unattended."""
    what, _, rest = subject.partition(":")
    if kind != "job" and what != "job":
        return None
    row = cursor.execute(OF, {"what": what, "id": int(rest.partition(":")[0])}).fetchone()
    if row is None:
        return Errand("?", "/jobs", "", "", "", "", "", "", {}, None)
    params = row["params"] or {}
    return Errand(
        row["name"] or "?", row["path"] or "/jobs", row["kind"], str(params.get("service") or params.get("guest") or ""),
        row["reason"] or "", row["host"] or "", row["asker"] or "", row["division"] or "", row["outcome"] or {}, row["due"],
    )  # fmt: skip


def severity(why: str) -> Severity:
    """How loud it is."""
    if why in ("lost", "failed", "not_done"):
        return "critical"
    return "warning" if why in ("asked", "newcomers") else "good" if why == "agreed" else "info"


def title(told: Errand, why: str, speech: Speech) -> str:
    """What it is about, in one line."""
    match why:
        case "report":
            return _report_title(told, speech)
        case "newcomers":
            count = int(told.outcome.get("newcomers", 0))
            return speech.ngettext(
                "%(num)s machine that nobody watches was found",
                "%(num)s machines that nobody watches were found",
                count,
            )
        case "asked":
            return speech.gettext("%(who)s asks you for a standing approval: %(name)s", who=told.asker or "?", name=told.name)  # fmt: skip
        case "agreed":
            return speech.gettext("Enough agree: “%(name)s” may happen by itself", name=told.name)
        case "refused":
            return speech.gettext("Refused: “%(name)s” may not happen by itself", name=told.name)
        case "lost":
            return speech.gettext("Not run: the standing approval of “%(name)s” does not hold any more", name=told.name)
        case "dry":
            return speech.gettext("%(machine)s: what “%(name)s” would have done", machine=told.where, name=told.name)
        case "asked_for":
            return speech.gettext("%(machine)s: “%(name)s” acts by itself", machine=told.where, name=told.name)
        case "not_done":
            return speech.gettext("%(machine)s: “%(name)s” could not act", machine=told.where, name=told.name)
    return speech.gettext("The job “%(name)s” did not go as it should", name=told.name)


def text(told: Errand, why: str, speech: Speech) -> str:
    """What to know, and what to do."""
    if why == "report":
        return _report_text(told, speech)
    if why == "asked":
        return f"{told.reason} {speech.gettext('Answer on its page, where everything about it stands.')}".strip()
    if why == "lost":
        return speech.gettext("Somebody who agreed may not any more, something was changed, or its time is over. Look at its page and agree anew.")  # fmt: skip
    if why == "newcomers":
        return speech.gettext("They answered in a network that is looked through by “%(name)s”.", name=told.name)
    return told.reason


def facts(told: Errand, why: str, speech: Speech) -> list[Fact]:
    """The particulars; of a report its lines."""
    if why == "report":
        return _report_facts(told, speech)
    if why == "newcomers":
        names = told.outcome.get("names") or []
        return [Fact(str(address), str(name) or speech.gettext("no name")) for address, name in names[:SHOWN]]
    rows = [
        Fact(speech.gettext("Where"), told.where),
        Fact(speech.gettext("Division"), told.division),
        Fact(speech.gettext("At"), speech.moment(told.due) if told.due else ""),
    ]
    return [row for row in rows if row.value]


def _report_title(told: Errand, speech: Speech) -> str:
    data = told.outcome.get("report") or {}
    place, bad, all_ = told.division or speech.gettext("All machines"), int(data.get("bad_count", 0)), int(data.get("machines", 0))  # fmt: skip
    if not bad:
        return speech.gettext("%(place)s: all is well", place=place)
    return speech.gettext("%(place)s: %(bad)s of %(all)s machines in trouble", place=place, bad=bad, all=all_)


def _report_text(told: Errand, speech: Speech) -> str:
    data = told.outcome.get("report") or {}
    since = speech.moment(datetime.fromisoformat(str(data["since"]))) if data.get("since") else "?"
    begun, ended = int(data.get("event_count", 0)), int(data.get("ended", 0))
    if not begun:
        return speech.gettext("Nothing has happened since %(since)s.", since=since)
    happened = speech.ngettext("%(num)s incident", "%(num)s incidents", begun)
    return speech.gettext("Since %(since)s: %(incidents)s, %(ended)s of them over.", since=since, incidents=happened, ended=ended)  # fmt: skip


def _report_facts(told: Errand, speech: Speech) -> list[Fact]:
    data = told.outcome.get("report") or {}
    words = _words(speech)
    states = ", ".join(f"{words.get(state, state)} {count}" for state, count in _ordered(data.get("states") or {}))
    rows = [Fact(speech.gettext("Machines"), f"{data.get('machines', 0)} ({states})" if states else "0")]
    for name, state, since in data.get("bad") or []:
        at = speech.moment(datetime.fromisoformat(since)) if since else ""
        told_ = speech.gettext("%(state)s since %(moment)s", state=words.get(state, state), moment=at) if at else words.get(state, state)  # fmt: skip
        rows.append(Fact(str(name), told_))
    rows += _more(int(data.get("bad_count", 0)) - len(data.get("bad") or []), speech)
    for name, state, since, until, cause in data.get("events") or []:
        begin = speech.moment(datetime.fromisoformat(since))
        end = speech.moment(datetime.fromisoformat(until)) if until else speech.gettext("not over")
        rows.append(
            Fact(f"{begin} – {end}", f"{name}: {words.get(state, state)}{f' – {cause}' if cause else ''}"[:300])
        )
    rows += _more(int(data.get("event_count", 0)) - len(data.get("events") or []), speech)
    for name, seconds in data.get("worst") or []:
        rows.append(Fact(speech.gettext("Down longest"), f"{name}: {speech.span(float(seconds))}"))
    return rows


def _more(count: int, speech: Speech) -> list[Fact]:
    return [Fact("…", speech.gettext("and %(count)s more", count=count))] if count > 0 else []


def _ordered(states: dict[str, int]) -> Iterable[tuple[str, int]]:
    order = ("up", "down", "critical", "unreachable", "warning", "unknown", "pending", "disabled")
    return sorted(states.items(), key=lambda one: order.index(one[0]) if one[0] in order else 99)


def _words(speech: Speech) -> dict[str, str]:
    return {
        "up": speech.gettext("Up"), "down": speech.gettext("Down"), "warning": speech.gettext("Warning"),
        "critical": speech.gettext("Critical"), "unknown": speech.gettext("Unknown"),
        "unreachable": speech.gettext("Unreachable"), "disabled": speech.gettext("Switched off"),
        "pending": speech.gettext("Not looked at yet"),
    }  # fmt: skip
