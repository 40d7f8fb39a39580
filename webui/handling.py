"""What a person does with an incident: take it, pass it on, say something, close it, put it under another.

Each function changes rows in the session it is given and leaves committing to its caller. A refusal is a Refused with
one sentence for the person.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import exists, or_, select
from sqlalchemy.orm import Session

from domain import audit, chat, rights
from domain.inventory import Check, Host, Person, within
from domain.records import Incident, IncidentEvent, Track
from domain.rights import Right
from webui.language import gettext

WELL = ("up", "ok")
TOLD = ("acknowledged", "handed_over", "given_back", "closed")
"""What of it is a line in the threads of the incident and of its machine."""
MORNING = time(8)
LONGEST_TEXT = 2000
TERMS = ("1h", "4h", "tomorrow", "open")
"""For how long one may say "I'm on it": hours, until tomorrow morning, or until it is over."""


class Refused(Exception):
    """It cannot be done now; the message says why."""


def term(name: str, moment: datetime, zone: str) -> datetime | None:
    """When a term of TERMS ends; None where it ends with the incident."""
    if name == "tomorrow":
        local = moment.astimezone(ZoneInfo(zone))
        return datetime.combine(local.date() + timedelta(days=1), MORNING, ZoneInfo(zone)).astimezone(moment.tzinfo)
    hours = {"1h": 1, "4h": 4}.get(name)
    return moment + timedelta(hours=hours) if hours else None


def may(session: Session, incident: Incident, person: Person) -> bool:
    """Whether it is `person`'s to take in hand: it is about a machine of theirs, or every machine is theirs."""
    if incident.host_id is None:
        return Right.HANDLE in rights.OF[person.role]
    wanted = select(Host.id).where(Host.id == incident.host_id, within(person, Right.HANDLE))
    return session.scalar(wanted) is not None


def acknowledge(
    session: Session, incident: Incident, person: Person, moment: datetime, until: datetime | None, note: str
) -> None:
    """`person` has it in hand from now, until `until` or until it is over (R17)."""
    _demand_open(incident)
    incident.owner_id, incident.acknowledged_at, incident.acknowledged_until = person.id, moment, until
    incident.note = note[:LONGEST_TEXT]
    told = {"until": until.isoformat() if until else None, "note": incident.note}
    _write(session, incident, "acknowledged", person, moment, told)


def hand_over(session: Session, incident: Incident, person: Person, to: Person, moment: datetime, note: str) -> None:
    """From now on `to` has it in hand, for as long as was said before."""
    _demand_open(incident)
    if not to.active:
        raise Refused(gettext("%(name)s cannot log in any more; choose somebody else.", name=to.name))
    if to.id == incident.owner_id:
        raise Refused(gettext("%(name)s has it already.", name=to.name))
    if incident.acknowledged_at is None or (incident.acknowledged_until and incident.acknowledged_until <= moment):
        incident.acknowledged_until = None
    incident.acknowledged_at = incident.acknowledged_at or moment
    incident.owner_id = to.id
    _write(session, incident, "handed_over", person, moment, {"to": to.id, "note": note[:LONGEST_TEXT]})


def give_back(session: Session, incident: Incident, person: Person, moment: datetime) -> None:
    """Nobody has it in hand any more; reminders begin again."""
    _demand_open(incident)
    if incident.acknowledged_at is None:
        raise Refused(gettext("Nobody has this incident in hand."))
    incident.owner_id = incident.acknowledged_at = incident.acknowledged_until = None
    incident.note = ""
    _write(session, incident, "given_back", person, moment, {})


def remark(session: Session, incident: Incident, person: Person, moment: datetime, words: str) -> None:
    """A note in its history; also after it is over."""
    text = words.strip()
    if not text:
        raise Refused(gettext("Please write something first."))
    _write(session, incident, "note", person, moment, {"text": text[:LONGEST_TEXT]})


def close(session: Session, incident: Incident, person: Person, moment: datetime, cause: str) -> None:
    """Say what it was. One that is not over yet is closed only where it cannot end by itself, or is well again."""
    text = cause.strip()
    if not text:
        raise Refused(gettext("Please say what it was; the next person with this trouble will read it."))
    if incident.closed_at is None:
        if not closable(session, incident):
            raise Refused(gettext("It still goes on. It ends by itself as soon as all is well; then say what it was."))
        incident.closed_at = moment
        _free(session, incident, person, moment)
    incident.closing, incident.closed_by = text[:LONGEST_TEXT], person.id
    _write(session, incident, "closed", person, moment, {"text": incident.closing})


def closable(session: Session, incident: Incident) -> bool:
    """Whether a person may end it: it is over, its subject is well, or nobody looks at its subject any more."""
    if incident.closed_at is not None:
        return True
    if incident.host_id is None:
        return False
    if session.scalar(select(Track.state).where(Track.subject == incident.subject)) in (*WELL, None):
        return True
    watched = exists().where(Host.id == incident.host_id, Host.enabled)
    if incident.check_id is not None:
        watched = watched.where(exists().where(Check.id == incident.check_id, Check.enabled))
    return not session.scalar(select(watched))


def merge(session: Session, incident: Incident, into: Incident, person: Person, moment: datetime) -> None:
    """`incident` has the cause of `into`, and stands under it from now on; what stands under it comes along."""
    if incident.id == into.id:
        raise Refused(gettext("An incident cannot stand under itself."))
    if into.merged_into is not None:
        raise Refused(gettext("#%(number)s stands under another incident itself; choose that one.", number=into.id))
    if incident.merged_into == into.id:
        raise Refused(gettext("It stands under #%(number)s already.", number=into.id))
    if (incident.closed_at is None) and (into.closed_at is not None):
        raise Refused(gettext("#%(number)s is over; what still goes on cannot stand under it.", number=into.id))
    incident.merged_into, incident.merged_by_hand = into.id, True
    _write(session, incident, "merged", person, moment, {"incident": into.id, "as": "part"})
    _write(session, into, "merged", person, moment, {"incident": incident.id, "as": "whole"})


def split(session: Session, incident: Incident, person: Person, moment: datetime) -> None:
    """It has a cause of its own after all."""
    whole = incident.merged_into
    if whole is None:
        raise Refused(gettext("It stands by itself already."))
    incident.merged_into, incident.merged_by_hand = None, False
    _write(session, incident, "split", person, moment, {"incident": whole, "as": "part"})
    parent = session.get(Incident, whole)
    if parent is not None:
        _write(session, parent, "split", person, moment, {"incident": incident.id, "as": "whole"})


def _free(session: Session, whole: Incident, person: Person, moment: datetime) -> None:
    """What goes on cannot stand under what is over: nobody would find it."""
    parts = select(Incident).where(Incident.merged_into == whole.id, Incident.closed_at.is_(None))
    for part in session.scalars(parts.order_by(Incident.id).with_for_update()):
        split(session, part, person, moment)


def candidates(session: Session, incident: Incident, visible: Any, count: int = 50) -> list[Incident]:
    """The incidents it may be put under: other ones that stand by themselves, open, or as closed as it is itself."""
    open_too = or_(Incident.closed_at.is_(None), Incident.closed_at >= incident.opened_at)
    return list(
        session.scalars(
            select(Incident)
            .outerjoin(Host, Host.id == Incident.host_id)
            .where(visible, Incident.id != incident.id, Incident.merged_into.is_(None))
            .where(Incident.closed_at.is_(None) if incident.closed_at is None else open_too)
            .order_by(Incident.opened_at.desc())
            .limit(count)
        )
    )


def _demand_open(incident: Incident) -> None:
    if incident.closed_at is not None:
        raise Refused(gettext("This incident is over; there is nothing left to take in hand."))


def _write(
    session: Session, incident: Incident, kind: str, person: Person, moment: datetime, data: Mapping[str, Any]
) -> None:
    session.add(IncidentEvent(incident_id=incident.id, at=moment, kind=kind, person_id=person.id, data=dict(data)))
    audit.write(session, f"incident.{kind}", person_id=person.id, person=person.name, on=f"incident:{incident.id}")
    if kind in TOLD:
        to = session.get(Person, data["to"]) if "to" in data else None
        detail = {
            "by": person.name,
            "incident": incident.id,
            "to": to.name if to else "",
            "text": data.get("text", "")[:200],
        }
        chat.line(session, host_id=incident.host_id, incident_id=incident.id, kind=f"incident.{kind}", detail=detail)
