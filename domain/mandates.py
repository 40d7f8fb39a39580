"""Standing approvals: agreed to once by those who would have to agree each time, and good for one order, place and hour.

Each function works in the caller's transaction and commits nothing. An approval is of everything that could be another
at the end than it was at the beginning: the order, the machines with their addresses, keys and logins, the hours. Whoever
may not agree any more does not count any more. What is done by one is a request like any other (domain/approving.py):
nothing that holds for requests is left out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import delete, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from domain import approving, audit, orders, quorum
from domain.actions import Request
from domain.approving import KNOWN, LONGEST_REASON, Denied
from domain.inventory import Host, Person, host_in_group
from domain.jobs import Consent, Letter, Mandate
from domain.quorum import Rule
from domain.rights import Right

MOST = 50
"""Machines of one standing approval."""
State = Literal["agreed", "waiting", "refused", "expired", "changed", "asker"]


@dataclass(frozen=True, slots=True)
class Stands:
    """How a standing approval stands: `agreed` of `needs` at the machine where most is missing; `why` for `changed`."""

    state: State
    agreed: int = 0
    needs: int = 0
    local: int = 0
    missing: int = 0
    until: datetime | None = None
    why: Denied | None = None


def machines(session: Session, mandate: Mandate) -> list[Host]:
    """The machines it is for, by name."""
    wanted = select(Host).order_by(Host.name, Host.id)
    if mandate.host_id is not None:
        return list(session.scalars(wanted.where(Host.id == mandate.host_id)))
    inside = select(host_in_group.c.host_id).where(host_in_group.c.group_id == mandate.group_id)
    wanted = wanted.where(Host.id.in_(inside))
    if mandate.division_id is not None:
        wanted = wanted.where(Host.division_id == mandate.division_id)
    return list(session.scalars(wanted))


def digest(session: Session, mandate: Mandate) -> str:
    """What an agreement is of, as everything is now. Raises Denied."""
    found = machines(session, mandate)
    if not found:
        raise Denied("nowhere")
    if len(found) > MOST:
        raise Denied("too_many", most=MOST)
    where = {}
    for host in found:
        if host.action_credential_id is None:
            raise Denied("login")
        where[str(host.id)] = approving.order(session, host, mandate.kind, mandate.params)[1]
    told = {"params": mandate.params, "condition": mandate.condition, "division": mandate.division_id}
    return orders.bound(mandate.kind, told, where)


def renew(session: Session, mandate: Mandate, someone: Person) -> None:
    """Ask for the agreement anew, as `someone` who never counts; what was agreed to before does not hold. Raises Denied."""
    session.flush()
    for host in machines(session, mandate):
        if not approving.may(someone, Right.ASK, host.division_id):
            raise Denied("right")
        if not approving.rule_for(session, host, mandate.kind).allow:
            raise Denied("rule")
    mandate.bound = digest(session, mandate)
    mandate.asked_by, mandate.asked_at, mandate.agreed_at = someone.id, approving.clock(session), None
    session.execute(delete(Consent).where(Consent.mandate_id == mandate.id))
    session.execute(delete(Letter).where(Letter.subject == f"mandate:{mandate.id}"))
    session.flush()
    session.expire(mandate, ["consents"])
    _enough(session, mandate)
    audit.write(
        session, "mandate.asked", person_id=someone.id, person=someone.name, on=f"mandate:{mandate.id}",
        detail={"kind": mandate.kind, **mandate.params},
    )  # fmt: skip
    tell(session, f"mandate:{mandate.id}", "asked", [one for one in voters(session, mandate) if one != someone.id])


def answer(
    session: Session, mandate_id: int, someone: Person, bound: str, *, agrees: bool, reason: str = ""
) -> Mandate:
    """Agree to it in the form it was shown in (`bound`), or refuse it for a reason. Raises Denied."""
    mandate = session.scalar(
        select(Mandate).where(Mandate.id == mandate_id).with_for_update(of=Mandate).execution_options(populate_existing=True)
    )  # fmt: skip
    if mandate is None:
        raise Denied("gone")
    said = session.get(Consent, (mandate_id, someone.id))
    if said is not None:
        if said.agrees == agrees:
            return mandate
        raise Denied("said")
    if someone.id == mandate.asked_by:
        raise Denied("own")
    if not may_answer(session, mandate, someone):
        raise Denied("right")
    if mandate.bound != bound or stands(session, mandate).state != "waiting":
        raise Denied("changed")
    reason = " ".join(reason.split())[:LONGEST_REASON]
    if not agrees and not reason:
        raise Denied("why")
    session.add(Consent(mandate_id=mandate.id, person_id=someone.id, agrees=agrees, reason=reason))
    session.flush()
    session.expire(mandate, ["consents"])
    verb = "agreed" if agrees else "refused"
    audit.write(
        session, f"mandate.{verb}", person_id=someone.id, person=someone.name, on=f"mandate:{mandate.id}",
        detail={"reason": reason} if reason else {},
    )  # fmt: skip
    if stands(session, mandate, anew=True).state == "agreed":
        mandate.agreed_at = approving.clock(session)
        tell(session, f"mandate:{mandate.id}", "agreed", [mandate.asked_by])
    elif not agrees:
        tell(session, f"mandate:{mandate.id}", "refused", [mandate.asked_by])
    session.flush()
    return mandate


def stands(session: Session, mandate: Mandate, *, anew: bool = False) -> Stands:
    """How it stands by what everything is now, and by the roles people have now; `anew` while it is just being reached."""
    asker = session.get(Person, mandate.asked_by or 0, options=[KNOWN], populate_existing=True)
    hosts = machines(session, mandate)
    if asker is None or any(not approving.may(asker, Right.ASK, host.division_id) for host in hosts):
        return Stands("asker")
    try:
        if digest(session, mandate) != mandate.bound:
            return Stands("changed", why=Denied("changed"))
    except Denied as error:
        return Stands("changed", why=error)
    worst = _worst(session, mandate, hosts)
    until = mandate.agreed_at + timedelta(days=mandate.days) if mandate.agreed_at else None
    counts = worst.agreed, worst.needs, worst.local, worst.missing, until
    if worst.refused:
        return Stands("refused", *counts)
    if not worst.reached or (until is None and not anew):
        return Stands("waiting", *counts)
    if until is not None and approving.clock(session) >= until:
        return Stands("expired", *counts)
    return Stands("agreed", *counts)


def agreeing(session: Session, mandate: Mandate) -> list[tuple[int, datetime]]:
    """Who agreed, and when."""
    rows = session.execute(
        select(Consent.person_id, Consent.at).where(Consent.mandate_id == mandate.id, Consent.agrees)
    )
    return [(person, at) for person, at in rows]


def may_answer(session: Session, mandate: Mandate, someone: Person) -> bool:
    """Whether this person's word would count at any of its machines."""
    return someone.id != mandate.asked_by and any(
        _counts(someone, rule, division) for rule, division in _rules(session, mandate, machines(session, mandate))
    )


def voters(session: Session, mandate: Mandate) -> list[int]:
    """Whoever may agree at any of its machines."""
    found: dict[int, None] = {}
    for rule, division in _rules(session, mandate, machines(session, mandate)):
        who = approving.agreeing(rule.by, division)
        found |= dict.fromkeys(session.scalars(select(Person.id).where(who)))
    return [one for one in found if one != mandate.asked_by]


def ask(session: Session, mandate: Mandate, host: Host, why: str, incident_id: int | None = None) -> Request:
    """The request that a standing approval makes at one of its machines: agreed to already. Raises Denied."""
    maker = session.get(Person, mandate.asked_by or 0, options=[KNOWN], populate_existing=True)
    if maker is None:
        raise Denied("requester")
    return approving.unattended(
        session, maker, host, mandate.kind, mandate.params, f"{why}: {mandate.reason}"[:LONGEST_REASON],
        agreeing(session, mandate), incident_id=incident_id,
    )  # fmt: skip


def tell(session: Session, subject: str, why: str, people: Iterable[int | None]) -> None:
    """Have people told by their own ways; told again where they were told before."""
    rows: list[dict[str, Any]] = [
        {"subject": subject, "person_id": one, "why": why} for one in dict.fromkeys(people) if one
    ]
    if rows:
        session.execute(insert(Letter).values(rows).on_conflict_do_nothing())
        session.execute(text("select pg_notify('notice', 'letter')"))


def _rules(session: Session, mandate: Mandate, hosts: Iterable[Host]) -> list[tuple[Rule, int | None]]:
    """The rules that hold at its machines, each with the division it is asked for; of the same ones only one."""
    return list(dict.fromkeys((approving.rule_for(session, host, mandate.kind), host.division_id) for host in hosts))


def _worst(session: Session, mandate: Mandate, hosts: list[Host]) -> quorum.Standing:
    wanted = select(Consent.person_id, Consent.agrees).where(Consent.mandate_id == mandate.id)
    said = {row[0]: row[1] for row in session.execute(wanted)}
    people = _people(session, said)
    found = []
    for rule, division in _rules(session, mandate, hosts):
        votes = [
            quorum.Vote(id, agrees, _counts(people[id], rule, division), approving.local(people[id], rule.by, division))
            for id, agrees in said.items()
        ]
        local = 0 if division is None else min(rule.local, rule.needs)
        one = quorum.standing(rule.needs, local, mandate.asked_by, votes)
        found.append(one if rule.allow else quorum.Standing(one.agreed, one.needs, one.local_agreed, one.local, True))
    return max(found, key=lambda one: (one.refused, one.missing), default=quorum.Standing(0, 1, 0, 0, False))


def _people(session: Session, ids: Iterable[int]) -> dict[int, Person]:
    wanted = select(Person).where(Person.id.in_(list(ids))).options(KNOWN).execution_options(populate_existing=True)
    found = {one.id: one for one in session.scalars(wanted)}
    for one in found.values():
        session.expire(one, ["memberships"])
    return found


def _counts(someone: Person, rule: Rule, division: int | None) -> bool:
    return any(approving.may(someone, right, division) for right in approving.rights_of(rule.by))


def _enough(session: Session, mandate: Mandate) -> None:
    """Nobody is kept waiting for an agreement that cannot come."""
    for rule, division in _rules(session, mandate, machines(session, mandate)):
        wanted = select(Person).where(approving.agreeing(rule.by, division)).options(KNOWN)
        people = [one for one in session.scalars(wanted) if one.id != mandate.asked_by]
        near, local = (
            sum(approving.local(one, rule.by, division) for one in people),
            0 if division is None else rule.local,
        )
        if len(people) < rule.needs or near < min(local, rule.needs):
            raise Denied("too_few", there=len(people), needs=rule.needs, near=near, local=local)
