"""What is known of a notice when it is told: the machine, its place, its cause, what hangs on it, who has it in hand."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import Cursor

from domain.rights import Right
from notifier.errands import Errand, errand
from notifier.house import reach

BEHIND = 30
"""Names of machines listed at most; the rest is counted."""
SEES = (
    "((%(person)s::int is null and (h.id is null or {0}.division_id is not distinct from h.division_id)) or "
    + reach(Right.SEE, "{0}", "%(person)s")
    + ")"
)
"""Whether the reader may know of the machine {0} (domain.inventory.visible); a group's address has no
person, and reads of the division of the machine it is about."""
STORY = f"""
select n.id, n.kind, n.subject, n.state, n.since, n.at, n.outage, n.incident_id, n.admins_only, n.host_id,
 h.name, h.address, h.runbook, hc.name as check_name, dv.name as division,
 s.name as site, s.address as site_address, s.latitude, s.longitude,
 i.cause, i.opened_at, i.closed_at, i.closing, i.note, owner.name as owner,
 (select count(*) from incident_member m join host bh on bh.id = m.host_id
  where m.incident_id = n.incident_id and m.until is null and {SEES.format("bh")}) as behind,
 (select array_agg(x.name order by x.name) from (select bh.name from incident_member m join host bh on bh.id = m.host_id
  where m.incident_id = n.incident_id and m.until is null and {SEES.format("bh")} order by bh.name limit %(most)s) x) as names,
 (select array_agg(ph.name order by ph.name) from host_parent hp join host ph on ph.id = hp.parent_id
  where hp.host_id = n.host_id and {SEES.format("ph")}) as parents,
 say.thread_id, say.number, say.author, say.body,
 rq.id as request_id, rq.kind as order_kind, rq.params, rq.reason, rq.state as request_state, rq.outcome, rq.expires_at,
 asker.name as asker, book.name as book
from notice n left join host h on h.id = n.host_id left join host_check hc on hc.id = n.check_id
left join division dv on dv.id = h.division_id left join site s on s.id = h.site_id
left join message say on say.id = case when n.kind = 'mention' then split_part(n.subject, ':', 2)::bigint end
left join request rq on rq.id = case when n.kind = 'request' then split_part(n.subject, ':', 2)::bigint end
left join person asker on asker.id = rq.made_by
left join runbook book on rq.kind = 'runbook.run' and book.id = (rq.params ->> 'runbook')::int
left join incident i on i.id = n.incident_id left join person owner on owner.id = i.owner_id
where n.id = any(%(ids)s) order by n.id
"""  # noqa: S608 - our own words


@dataclass(frozen=True)
class Quote:
    """What somebody said in a thread: `text` may be empty where it is a picture or a chart."""

    thread: int
    number: int
    author: str
    text: str


@dataclass(frozen=True)
class Call:
    """A request for an action: `kind` and `about` (a service, a guest, a runbook), how it stands and how it ended."""

    id: int
    kind: str
    about: str
    reason: str
    by: str
    state: str
    code: str
    text: str
    expires_at: datetime


@dataclass(frozen=True)
class Story:
    """One notice and what is known about it; texts are as the machines and people wrote them."""

    notice: int
    kind: str
    subject: str
    state: str
    since: datetime
    at: datetime
    outage: float | None
    incident: int | None
    host: int | None
    name: str
    address: str
    check: str
    division: str
    site: str
    site_address: str
    latitude: float | None
    longitude: float | None
    cause: str
    owner: str
    note: str
    closing: str
    runbook: str
    behind: int
    names: tuple[str, ...]
    parents: tuple[str, ...]
    said: Quote | None = None
    asked: Call | None = None
    errand: Errand | None = None

    @property
    def measure(self) -> str:
        """The measure it is about, if it is about one."""
        return self.subject.split(":", 3)[2] if self.subject.startswith("metric:") else ""

    @property
    def part(self) -> str:
        """The part of it (a disk, an interface)."""
        return self.subject.split(":", 3)[3] if self.subject.startswith("metric:") else ""


def stories(cursor: Cursor[Any], notices: list[int], person: int | None = None) -> list[Story]:
    """What is known of each notice, in their order; of other machines only what `person` may see (None: all)."""
    rows = cursor.execute(STORY, {"ids": notices, "most": BEHIND, "person": person}).fetchall()
    return [_story(row, errand(cursor, row["kind"], row["subject"])) for row in rows]


def _story(row: dict[str, Any], own: Errand | None) -> Story:
    return Story(
        row["id"], row["kind"], row["subject"], row["state"], row["since"], row["at"], row["outage"],
        row["incident_id"], row["host_id"], row["name"] or "", row["address"] or "", row["check_name"] or "",
        row["division"] or "", row["site"] or "", row["site_address"] or "", row["latitude"], row["longitude"],
        row["cause"] or "", row["owner"] or "", row["note"] or "", row["closing"] or "", row["runbook"] or "",
        row["behind"] or 0, tuple(row["names"] or ()), tuple(row["parents"] or ()),
        Quote(row["thread_id"], row["number"], row["author"], row["body"]) if row["thread_id"] is not None else None,
        _call(row) if row["request_id"] is not None else None, own,
    )  # fmt: skip


def _call(row: dict[str, Any]) -> Call:
    params, outcome = row["params"] or {}, row["outcome"] or {}
    return Call(
        row["request_id"], row["order_kind"], str(row["book"] or params.get("service") or params.get("guest") or ""),
        row["reason"], row["asker"] or "", row["request_state"], str(outcome.get("code", "")), str(outcome.get("text", "")),
        row["expires_at"],
    )  # fmt: skip
