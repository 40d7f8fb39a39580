"""The way of a request from being asked for to being carried out: every change of its state is made here.

Each function works in the caller's transaction and commits nothing. The request's row is locked first, and the clock is
PostgreSQL's, read after the lock: so two who agree in the same moment, one who agrees while it expires, and one who takes
it back are brought into an order, and only one of them decides. A change leaves a row in the audit, a line in the
machine's thread, a step in the log and word for whoever is to be told; without these it is not made.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, func, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session, load_only

from domain import audit, chat, guests, orders, quorum, rights
from domain.actions import OPEN, ActionRule, HostService, Request, Runbook, Step, Summons, Vote
from domain.inventory import Check, Host, HostKey, Membership, Person, host_in_group
from domain.orders import INTERRUPTING, Unclear
from domain.quorum import EXTRA, USUAL, Rule, Standing
from domain.records import FactSeen, Incident
from domain.rights import Right

CLAIM = timedelta(minutes=2)
"""What was agreed to is carried out within this time, or not at all."""
QUIET = timedelta(minutes=10)
"""A machine is not restarted twice within it."""
CROWD = 3
"""Machines of one division restarted within QUIET before one more must agree to the next."""
LONGEST_REASON = 1000
WAYS = ("ssh", "winrm")
"""Kinds of checks by whose way a machine is acted upon."""
BOOT = "host.boot.id"
GLASS = Right.ADMIN
"""What breaking the glass takes."""
KNOWN = load_only(Person.name, Person.role, Person.active)
"""What is asked of a person: the poller reads no more of them."""


class Denied(Exception):
    """Not done, and nothing changed. `code` says why, `about` what a sentence about it needs."""

    def __init__(self, code: str, **about: Any) -> None:
        super().__init__(code)
        self.code, self.about = code, about


def may(someone: Person, right: Right, division_id: int | None) -> bool:
    """Whether somebody holds a right at the machines of a division, by the roles they have now."""
    if not someone.active:
        return False
    return right in rights.OF[someone.role] or any(
        one.division_id == division_id and right in rights.OF[one.role] for one in someone.memberships
    )


def local(someone: Person, by: str, division_id: int | None) -> bool:
    """Whether somebody who may agree is of the division itself."""
    return any(
        one.division_id == division_id and any(right in rights.OF[one.role] for right in rights_of(by))
        for one in someone.memberships
    )


def rights_of(by: str) -> tuple[Right, ...]:
    """The rights of which each lets its holder agree."""
    return (Right.APPROVE,) if by == "approvers" else (Right.APPROVE, Right.EDIT)


def may_agree(someone: Person, request: Request) -> bool:
    """Whether this person's agreement would count: the right role, and not the one who asked."""
    return someone.id != request.made_by and any(
        may(someone, right, request.host.division_id) for right in rights_of(request.by)
    )


def agreeing(by: str, division_id: int | None) -> ColumnElement[bool]:
    """Who may agree at machines of a division, as a condition on Person."""
    wanted = rights_of(by)
    roles = [role for role in rights.EVERYWHERE if rights.OF[role] & set(wanted)]
    local = [role for role in rights.LOCAL if rights.OF[role] & set(wanted)]
    member = select(Membership.person_id).where(Membership.division_id == division_id, Membership.role.in_(local))
    return and_(Person.active, or_(Person.role.in_(roles), Person.id.in_(member)))


def rule_for(session: Session, host: Host, kind: str) -> Rule:
    """The rule that holds for doing `kind` to a machine."""
    groups = select(host_in_group.c.group_id).where(host_in_group.c.host_id == host.id)
    row = session.scalar(
        select(ActionRule)
        .where(
            or_(ActionRule.division_id.is_(None), ActionRule.division_id == host.division_id),
            or_(ActionRule.group_id.is_(None), ActionRule.group_id.in_(groups)),
            ActionRule.kind.in_(("", kind)),
        )
        .order_by(ActionRule.position, ActionRule.id)
        .limit(1)
    )
    if row is None:
        return USUAL
    by: quorum.By = "operators" if row.by == "operators" else "approvers"
    return Rule(row.allow, row.needs, row.local, by, row.alone, row.expires_s)


def order(session: Session, host: Host, kind: str, params: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """An order for a machine as it is kept, and what an agreement to it is bound to. Raises Denied."""
    book = _runbook(session, host, params) if kind == "runbook.run" else None
    try:
        kept = orders.checked(kind, params, orders.parameters(book.parameters) if book else ())
    except Unclear as error:
        raise Denied("unclear", how=error.code, what=error.about) from None
    if kind.startswith("service.") and session.get(HostService, (host.id, kept["service"])) is None:
        raise Denied("service", service=kept["service"])
    if kind == "vm.restart":
        by = hypervisor(session, host, kept)
        if by is None:
            raise Denied("guest", guest=kept["guest"])
        if by.place["login"] is None:
            raise Denied("login_there")
        near = {"host": host.id, "address": host.address, "division": host.division_id}
        return kept, orders.bound(kind, kept, {"guest": near, "hypervisor": by.place})
    check = way(session, host)
    if check is None:
        raise Denied("way")
    if kind == "runbook.run" and check.kind != "ssh":
        raise Denied("shell")
    facts = _place(session, host, check)
    if book is not None:
        facts["runbook"] = book.reviewed
    return kept, orders.bound(kind, kept, facts)


@dataclass(frozen=True)
class Hypervisor:
    """Who may restart a guest: its machine, the check by whose way, the guest as it calls it. `place` is what an agreement
    is bound to; its `login` is None where nothing can be done there yet."""

    id: int
    check_id: int
    guest: str
    place: dict[str, Any]


def hypervisors(session: Session, host: Host) -> list[Hypervisor]:
    """The hypervisors that run this machine as their guest now: one, and where it is not clear which or whom it is, none.

    Asked of the database's own function: whoever sees the guest need not see its hypervisor.
    """
    rows = session.execute(text("select * from pantau_hypervisors(:host)"), {"host": host.id}).all()
    running = [row for row in rows if guests.runs(row.said)]
    if len({(row.guest, row.hypervisor if row.kind == "winrm" else 0) for row in running}) != 1:
        return []
    ready = [row for row in running if row.place["login"] is not None] or running
    return [Hypervisor(row.hypervisor, row.check_id, row.guest, row.place) for row in ready[:1]]


def hypervisor(session: Session, host: Host, params: Mapping[str, Any]) -> Hypervisor | None:
    """The one an order for a guest names, if it is still so."""
    found = hypervisors(session, host)
    return next((one for one in found if one.id == params["hypervisor"] and one.guest == params["guest"]), None)


def occasion(session: Session, host: Host) -> dict[str, Any]:
    """What a request of now is tied to, as `ask` takes it: the oldest open incident of the machine, and its start (`boot`)
    as the check saw it last by whose way it is acted upon."""
    incident = (
        select(Incident.id)
        .where(Incident.host_id == host.id, Incident.closed_at.is_(None), Incident.state != "disabled")
        .order_by(Incident.since)
        .limit(1)
    )
    return {"incident_id": session.scalar(incident), "boot": boot(session, host)}


def way(session: Session, host: Host) -> Check | None:
    """The check by whose way a machine is acted upon: its first by WinRM, else its first by SSH. None where it has none."""
    return session.scalar(
        select(Check)
        .where(Check.host_id == host.id, Check.kind.in_(WAYS), Check.enabled)
        .order_by(Check.kind.desc(), Check.id)
        .limit(1)
    )


def boot(session: Session, host: Host) -> str:
    """The start of a machine as the check saw it last by whose way it is acted upon; empty where that is not known."""
    check = way(session, host)
    wanted = select(FactSeen.value).where(FactSeen.check_id == (check.id if check else 0), FactSeen.name == BOOT)
    return session.scalar(wanted.limit(1)) or ""


def _place(session: Session, host: Host, check: Check | None) -> dict[str, Any]:
    keys = session.scalars(select(HostKey.fingerprint).where(HostKey.host_id == host.id, HostKey.state == "pinned"))
    return {
        "host": host.id,
        "address": host.address,
        "division": host.division_id,
        "login": host.action_credential_id,
        "way": check.kind if check else None,
        "options": check.options if check else {},
        "keys": sorted(keys),
    }


def _runbook(session: Session, host: Host, params: Mapping[str, Any]) -> Runbook:
    number = params.get("runbook") if isinstance(params, Mapping) else None
    book = session.get(Runbook, number) if isinstance(number, int) and not isinstance(number, bool) else None
    if book is None:
        raise Denied("runbook")
    if not book.reviewed or book.reviewed != digest(book):
        raise Denied("unread", runbook=book.name)
    inside = select(host_in_group.c.host_id).where(
        host_in_group.c.group_id == book.group_id, host_in_group.c.host_id == host.id
    )
    if book.group_id is not None and session.scalar(inside) is None:
        raise Denied("runbook_group", runbook=book.name)
    return book


def digest(book: Runbook) -> str:
    """What a review of a runbook is of."""
    return orders.bound("runbook", {"script": book.script, "parameters": book.parameters}, {"for": book.deadline_s})


def ask(
    session: Session,
    someone: Person,
    host: Host,
    kind: str,
    params: Mapping[str, Any],
    reason: str,
    *,
    client: str | None = None,
    incident_id: int | None = None,
    boot: str = "",
    impact: Mapping[str, Any] | None = None,
    alone: bool = False,
    glass: bool = False,
) -> Request:
    """Ask for an action at a machine this person may ask for. Asked again with the same `client` it is the same request.

    With `alone`, where the rule lets operators act on a finding of their own, and with `glass`, it is approved at once;
    whoever calls has made sure who it is. Raises Denied.
    """
    if not may(someone, Right.ASK, host.division_id) or (glass and not may(someone, GLASS, host.division_id)):
        raise Denied("right")
    if client and (known := _by_client(session, someone, client)) is not None:
        return known
    reason = " ".join(reason.split())
    if not reason or len(reason) > LONGEST_REASON:
        raise Denied("reason", longest=LONGEST_REASON)
    session.execute(select(Host.id).where(Host.id == host.id).with_for_update(key_share=True))
    if client and (known := _by_client(session, someone, client)) is not None:
        return known
    kept, bound, rule, now = _ready(session, host, kind, params, glass=glass)
    if alone and not (rule.alone and may(someone, Right.EDIT, host.division_id)):
        raise Denied("alone")
    alone = alone or glass
    needs = 0 if alone else rule.needs + (EXTRA if _crowded(session, host, kind, now) else 0)
    local = 0 if alone or host.division_id is None else min(rule.local, needs)
    request = Request(
        host=host, kind=kind, params=kept, bound=bound, reason=reason, client=client, made_by=someone.id, made_at=now,
        needs=needs, local=local, by=rule.by, expires_at=now + timedelta(seconds=rule.expires_s),
        incident_id=incident_id, boot=boot, impact=dict(impact or {}), glass=glass,
        state="approved" if alone else "waiting", approved_at=now if alone else None,
    )  # fmt: skip
    if not alone:
        _enough(session, request, someone)
    session.add(request)
    session.flush()
    _mark(session, request, "glass" if glass else "asked", someone, reason=reason)
    if glass:
        _summon(session, request, "glass", _watching(session, host))
    elif not alone:
        _summon(session, request, "asked", _voters(session, request))
    if alone:
        wake(session)
    return request


def unattended(
    session: Session,
    someone: Person,
    host: Host,
    kind: str,
    params: Mapping[str, Any],
    reason: str,
    agreed: Iterable[tuple[int, datetime]],
    incident_id: int | None = None,
) -> Request:
    """A request that `agreed` have agreed to beforehand (domain/mandates.py), and that is approved at once. Raises Denied.

    `standing` where these do not suffice as things are now; who may still agree is looked at once more at the claim.
    """
    if not may(someone, Right.ASK, host.division_id):
        raise Denied("requester")
    session.execute(select(Host.id).where(Host.id == host.id).with_for_update(key_share=True))
    kept, bound, rule, now = _ready(session, host, kind, params)
    crowded = _crowded(session, host, kind, now)
    needs = rule.needs + (EXTRA if crowded else 0)
    request = Request(
        host=host, kind=kind, params=kept, bound=bound, reason=reason, made_by=someone.id, made_at=now, needs=needs,
        local=0 if host.division_id is None else min(rule.local, needs), by=rule.by, state="approved", approved_at=now,
        expires_at=now + timedelta(seconds=rule.expires_s), incident_id=incident_id,
        impact={"unattended": True, **({"crowded": True} if crowded else {})},
    )  # fmt: skip
    session.add(request)
    session.flush()
    session.add_all([Vote(request_id=request.id, person_id=one, agrees=True, at=at) for one, at in agreed])
    session.flush()
    session.expire(request, ["votes"])
    if not tally(session, request).reached:
        raise Denied("standing")
    _mark(session, request, "unattended", someone, reason=reason)
    wake(session)
    return request


def _ready(
    session: Session, host: Host, kind: str, params: Mapping[str, Any], *, glass: bool = False
) -> tuple[dict[str, Any], str, Rule, datetime]:
    """The order as it is kept, what an agreement is bound to, the rule and the moment. Raises Denied."""
    kept, bound = order(session, host, kind, params)
    if host.action_credential_id is None and kind != "vm.restart":
        raise Denied("login")
    rule = rule_for(session, host, kind)
    if not rule.allow and not glass:
        raise Denied("rule")
    busy = session.scalar(select(Request.id).where(Request.host_id == host.id, Request.state.in_(OPEN)).limit(1))
    if busy is not None:
        raise Denied("open", request=busy)
    now = clock(session)
    _quiet(session, host, kind, kept, now)
    return kept, bound, rule, now


def _by_client(session: Session, someone: Person, client: str) -> Request | None:
    return session.scalar(select(Request).where(Request.made_by == someone.id, Request.client == client))


def _enough(session: Session, request: Request, asker: Person) -> None:
    """Nobody is kept waiting for an agreement that cannot come."""
    division = request.host.division_id
    people = [
        one for one in session.scalars(select(Person).where(agreeing(request.by, division))) if one.id != asker.id
    ]
    near = sum(local(one, request.by, division) for one in people)
    if len(people) < request.needs or near < request.local:
        raise Denied("too_few", there=len(people), needs=request.needs, near=near, local=request.local)


def _voters(session: Session, request: Request) -> list[int]:
    who = agreeing(request.by, request.host.division_id)
    return [id for id in session.scalars(select(Person.id).where(who)) if id != request.made_by]


def _watching(session: Session, host: Host) -> list[int]:
    """Administrators, and whoever is in charge of the machine's division."""
    charge = select(Membership.person_id).where(
        Membership.division_id == host.division_id, Membership.role.in_(("pic", "deputy", "approver"))
    )
    return list(
        session.scalars(select(Person.id).where(Person.active, or_(Person.role == "admin", Person.id.in_(charge))))
    )


def vote(session: Session, request_id: int, someone: Person, *, agrees: bool, reason: str = "") -> Request:
    """Agree to a request, or refuse it for a reason. Said again it changes nothing. Raises Denied.

    Whoever may not see the machine is told that there is no such request: that is the caller's part.
    """
    request = _locked(session, request_id)
    said = session.get(Vote, (request_id, someone.id))
    if said is not None:
        if said.agrees == agrees:
            return request
        raise Denied("said")
    if someone.id == request.made_by:
        raise Denied("own")
    if not may_agree(someone, request):
        raise Denied("right")
    _still(session, request, "waiting")
    reason = " ".join(reason.split())[:LONGEST_REASON]
    if not agrees and not reason:
        raise Denied("why")
    session.add(Vote(request_id=request.id, person_id=someone.id, agrees=agrees, reason=reason))
    session.flush()
    session.expire(request, ["votes"])
    stands = tally(session, request)
    _mark(session, request, "agreed" if agrees else "refused", someone, reason=reason, agreed=stands.agreed)
    if stands.refused:
        _end(session, request, "refused", {"code": "refused", "by": someone.name, "reason": reason}, someone)
    elif stands.reached:
        request.state, request.approved_at = "approved", clock(session)
        session.flush()
        _summon(session, request, "approved", [request.made_by])
        wake(session)
    return request


def tally(session: Session, request: Request) -> Standing:
    """How a request stands by the roles its voters have now."""
    division = request.host.division_id
    people = {
        one.id: one
        for one in session.scalars(
            select(Person)
            .where(Person.id.in_([vote.person_id for vote in request.votes]))
            .options(KNOWN)
            .execution_options(populate_existing=True)
        )
    }
    for one in people.values():
        session.expire(one, ["memberships"])
    votes = [
        quorum.Vote(
            vote.person_id, vote.agrees, may_agree(people[vote.person_id], request),
            local(people[vote.person_id], request.by, division),
        )
        for vote in request.votes
    ]  # fmt: skip
    return quorum.standing(request.needs, request.local, request.made_by, votes)


def cancel(session: Session, request_id: int, someone: Person) -> Request:
    """Take a request back: whoever asked, and whoever runs the machine. Raises Denied."""
    request = _locked(session, request_id)
    if someone.id != request.made_by and not may(someone, Right.EDIT, request.host.division_id):
        raise Denied("right")
    _still(session, request, "waiting", "approved")
    _mark(session, request, "cancelled", someone)
    _end(session, request, "cancelled", {"code": "taken_back", "by": someone.name}, someone)
    return request


def _still(session: Session, request: Request, *states: str) -> None:
    """Raises Denied where a request is in none of `states`, or waits beyond its time (`sweep` ends it)."""
    state = request.state
    if state == "waiting" and clock(session) >= request.expires_at:
        state = "expired"
    if state not in states:
        raise Denied("over", state=state)


def sweep(session: Session) -> int:
    """End what nobody answered in time, and what is not needed any more since the machine recovered. How many."""
    late = and_(Request.state == "waiting", Request.expires_at <= func.clock_timestamp())
    stale = and_(Request.state == "approved", Request.approved_at + CLAIM <= func.clock_timestamp())
    closed = select(Incident.id).where(Incident.closed_at.is_not(None))
    well = and_(Request.state.in_(("waiting", "approved")), Request.incident_id.in_(closed))
    rows = session.scalars(
        select(Request).where(or_(late, stale, well)).order_by(Request.id).with_for_update(skip_locked=True)
    ).all()
    for request in rows:
        if _recovered(session, request):
            _end(session, request, "cancelled", {"code": "recovered"}, None)
        else:
            _end(session, request, "expired", {"code": "expired"}, None)
    return len(rows)


def claim(session: Session, run: str) -> Request | None:
    """Take the next approved request for the poller `run`: commit, and only then begin. None where there is none.

    All that was agreed to is looked at once more: who agreed and may still, and that it is the same order for the same
    machine. What does not hold ends here, or waits for somebody else's agreement.
    """
    busy = select(Request.host_id).where(Request.state == "running")
    while True:
        request = session.scalar(
            select(Request)
            .where(Request.state == "approved", Request.host_id.not_in(busy))
            .order_by(Request.approved_at)
            .limit(1)
            .with_for_update(skip_locked=True)
            .execution_options(populate_existing=True)
        )
        if request is None:
            return None
        reason = _not_now(session, request)
        if reason is None:
            request.state, request.claimed_at, request.run = "running", clock(session), run
            session.flush()
            _mark(session, request, "begun", None)
            return request


def _not_now(session: Session, request: Request) -> str | None:
    """Why an approved request is not carried out: it has ended or waits again by then. None: it may be."""
    now = clock(session)
    end = {"code": ""}
    if request.approved_at is None or now >= request.approved_at + CLAIM:
        end = {"code": "expired"}
    elif _recovered(session, request):
        end = {"code": "recovered"}
    else:
        maker = session.get(Person, request.made_by or 0, options=[KNOWN], populate_existing=True)
        try:
            if maker is None or not may(maker, Right.ASK, request.host.division_id):
                raise Denied("requester")
            if request.needs == 0 and not may(maker, GLASS if request.glass else Right.EDIT, request.host.division_id):
                raise Denied("requester")
            if order(session, request.host, request.kind, request.params)[1] != request.bound:
                raise Denied("changed")
            _quiet(session, request.host, request.kind, request.params, now, but=request.id)
        except Denied as error:
            end = {"code": error.code, **error.about}
    if end["code"]:
        _end(session, request, "expired" if end["code"] == "expired" else "cancelled", end, None)
        return end["code"]
    if request.needs == 0:
        return None
    if _crowded(session, request.host, request.kind, now) and not request.impact.get("crowded"):
        request.needs += EXTRA
        request.impact = {**request.impact, "crowded": True}
    if tally(session, request).reached:
        return None
    request.approved_at = None
    if now >= request.expires_at:
        _end(session, request, "expired", {"code": "expired"}, None)
        return "expired"
    request.state = "waiting"
    session.flush()
    _mark(session, request, "waits_again", None)
    _summon(session, request, "asked", _voters(session, request))
    return "waiting"


def sending(session: Session, request_id: int) -> None:
    """Say that the order leaves now: commit before it does."""
    session.execute(
        update(Request)
        .where(Request.id == request_id, Request.state == "running")
        .values(sent_at=func.coalesce(Request.sent_at, func.clock_timestamp()))
    )


def step(session: Session, request_id: int, code: str, /, **detail: Any) -> None:
    """One line in the live log."""
    session.add(Step(request_id=request_id, code=code, detail=detail))
    session.flush()
    _notify(session, request_id)


def end(session: Session, request_id: int, run: str, state: str, outcome: Mapping[str, Any]) -> bool:
    """The end of what `run` claimed: `done`, `failed`, `unknown`, `cancelled`. False where somebody ended it before, or
    deleted its machine."""
    try:
        request = _locked(session, request_id)
    except Denied:
        return False
    if request.state != "running" or request.run != run:
        return False
    _end(session, request, state, outcome, None)
    return True


def orphans(session: Session, run: str) -> int:
    """What a poller before this one had claimed and never ended. How many.

    What was sent, or was about to be, is `unknown`: it is not sent again. What was not is `failed`, and did nothing.
    """
    rows = session.scalars(
        select(Request).where(Request.state == "running", Request.run != run).with_for_update(skip_locked=True)
    ).all()
    for request in rows:
        _abandon(session, request)
    return len(rows)


def abandon(session: Session, request_id: int, run: str) -> None:
    """Give up what `run` claimed, as if it had died: the order may have left, or has not."""
    request = _locked(session, request_id)
    if request.state == "running" and request.run == run:
        _abandon(session, request)


def _abandon(session: Session, request: Request) -> None:
    if request.sent_at is None:
        _end(session, request, "failed", {"code": "not_sent"}, None)
    else:
        _end(session, request, "unknown", {"code": cut(session, request.id)}, None)


def cut(session: Session, request_id: int) -> str:
    """How what had left is told when nobody waits for its end: `cut_off`, or `cut_between` where it was stopped to be
    started again, and the start never left."""
    last = session.scalar(
        select(Step.code)
        .where(Step.request_id == request_id, Step.code.in_(("sent", "sent_stop", "sent_start")))
        .order_by(Step.id.desc())
        .limit(1)
    )
    return "cut_between" if last == "sent_stop" else "cut_off"


def _recovered(session: Session, request: Request) -> bool:
    """Whether the incident it was asked for is over."""
    wanted = select(Incident.id).where(Incident.id == request.incident_id, Incident.closed_at.is_not(None))
    return session.scalar(wanted) is not None


def clock(session: Session) -> datetime:
    """PostgreSQL's clock now: not that of the transaction's beginning, nor that of this machine."""
    found = session.scalar(select(func.clock_timestamp()))
    assert isinstance(found, datetime)
    return found


def wake(session: Session) -> None:
    """Have the poller look for what was approved, at COMMIT."""
    session.execute(select(func.pg_notify("asked", "action")))


def _locked(session: Session, request_id: int) -> Request:
    """A request, locked and as it is now."""
    found = session.scalar(
        select(Request)
        .where(Request.id == request_id)
        .with_for_update(of=Request)
        .execution_options(populate_existing=True)
    )
    if found is None:
        raise Denied("gone")
    return found


def _quiet(
    session: Session, host: Host, kind: str, params: Mapping[str, Any], now: datetime, but: int | None = None
) -> None:
    """Raises Denied where the machine was restarted a moment ago."""
    if kind not in INTERRUPTING:
        return
    last = session.scalar(
        select(func.max(Request.sent_at)).where(
            Request.host_id == host.id, Request.kind.in_(INTERRUPTING), Request.id != (but or 0)
        )
    )
    if last is not None and now < last + QUIET:
        raise Denied("quiet", minutes=int(QUIET.total_seconds() // 60), at=last.isoformat())


def _crowded(session: Session, host: Host, kind: str, now: datetime) -> bool:
    """Whether so many machines of the division were restarted a moment ago that one more person must agree."""
    if kind not in INTERRUPTING or host.division_id is None:
        return False
    others = session.scalar(
        select(func.count(func.distinct(Request.host_id)))
        .join(Host, Host.id == Request.host_id)
        .where(
            Host.division_id == host.division_id, Host.id != host.id, Request.kind.in_(INTERRUPTING),
            Request.sent_at > now - QUIET,
        )
    )  # fmt: skip
    return (others or 0) >= CROWD


def _mark(session: Session, request: Request, what: str, someone: Person | None, /, **more: Any) -> None:
    """Everything a change leaves behind."""
    told = {"request": request.id, "kind": request.kind, **request.params}
    detail = {**told, **{name: value for name, value in more.items() if value not in ("", None)}}
    id, name = (someone.id, someone.name) if someone else (None, "")
    named = {"by": someone.name} if someone else {}
    step(session, request.id, what, **named, **more)
    chat.line(
        session, host_id=request.host_id, incident_id=request.incident_id, kind=f"action.{what}",
        detail={**detail, **named},
    )  # fmt: skip
    audit.write(session, f"action.{what}", person_id=id, person=name, on=f"host:{request.host_id}", detail=detail)


def _end(session: Session, request: Request, state: str, outcome: Mapping[str, Any], someone: Person | None) -> None:
    request.state, request.outcome = state, dict(outcome)
    request.ended_at, request.ended_by = clock(session), someone.id if someone else None
    session.flush()
    if outcome.get("code") not in ("refused", "taken_back"):  # those were told as what somebody did
        _mark(session, request, state, None, **dict(outcome))
    concerned = {request.made_by, *(vote.person_id for vote in request.votes)} - {None}
    if request.glass or state == "unknown":
        concerned |= set(_watching(session, request.host))
    _summon(session, request, "ended", [id for id in concerned if someone is None or id != someone.id])
    _notify(session, request.id)


def _summon(session: Session, request: Request, why: str, people: Iterable[int | None]) -> None:
    rows = [{"request_id": request.id, "person_id": one, "why": why} for one in dict.fromkeys(people) if one]
    if rows:
        again = {"routed_at": None, "made_at": func.now()}
        session.execute(
            insert(Summons)
            .values(rows)
            .on_conflict_do_update(index_elements=["request_id", "person_id", "why"], set_=again)
        )
        session.execute(text("select pg_notify('notice', 'summons')"))


def _notify(session: Session, request_id: int) -> None:
    session.execute(select(func.pg_notify("action", str(request_id))))
