"""Remedies: trouble of a kind that somebody decided about beforehand, met once for each incident, dry until somebody turns it live."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import exists, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from domain import approving, chat, mandates, remedies
from domain.approving import Denied
from domain.inventory import Check, Host
from domain.jobs import Firing, Mandate, Remedy
from domain.records import Incident, StateInterval
from poller.actions import ours


def serve(session: Session) -> int:
    """Every remedy meets the incidents it is for and has not met yet. How many it met; a transaction of the caller's."""
    rows = session.scalars(select(Remedy).where(Remedy.enabled).order_by(Remedy.id)).all()
    return sum(_meet(session, remedy, one) for remedy in rows for one in _waiting(session, remedy))


def _waiting(session: Session, remedy: Remedy) -> Iterator[tuple[Incident, Host]]:
    """Incidents that have lasted long enough, in the hours and states set, at its machines, in nobody's hands."""
    now = approving.clock(session)
    if not remedies.hours_hold(remedy, now):
        return
    mandate = session.get_one(Mandate, remedy.mandate_id)
    hosts = {host.id: host for host in mandates.machines(session, mandate)}
    if not hosts:
        return
    wanted = (
        select(Incident)
        .outerjoin(Check, Check.id == Incident.check_id)
        .where(
            Incident.host_id.in_(hosts), Incident.closed_at.is_(None), Incident.merged_into.is_(None),
            Incident.state.in_(remedy.states), Incident.opened_at >= remedy.since,
            Incident.since <= now - remedies.patience(remedy),
            or_(Incident.acknowledged_at.is_(None), Incident.acknowledged_until <= now),
            ~exists().where(Firing.remedy_id == remedy.id, Firing.incident_id == Incident.id),
        )
        .order_by(Incident.id)
        .limit(20)
    )  # fmt: skip
    if remedy.check_kind:
        wanted = wanted.where(Check.kind == remedy.check_kind)
    for incident in session.scalars(wanted):
        host = hosts[incident.host_id or 0]
        if not _maintained(session, host.id):
            yield incident, host


def _maintained(session: Session, host_id: int) -> bool:
    wanted = select(StateInterval.id).where(
        StateInterval.subject == f"maintenance:{host_id}",
        StateInterval.until.is_(None),
        StateInterval.state == "maintenance",
    )
    return session.scalar(wanted) is not None


def _meet(session: Session, remedy: Remedy, met: tuple[Incident, Host]) -> bool:
    """Once: the row is there before anything is asked for, and in the same transaction."""
    incident, host = met
    number = session.scalar(
        insert(Firing)
        .values(remedy_id=remedy.id, incident_id=incident.id, host_id=host.id, state="dry")
        .on_conflict_do_nothing()
        .returning(Firing.id)
    )
    if number is None:
        return False
    firing, mandate = session.get_one(Firing, number), session.get_one(Mandate, remedy.mandate_id)
    if ours(host.address):
        firing.state, firing.detail = "not_done", {"code": "ourselves"}
    elif not remedy.live:
        firing.detail = {"approval": mandates.stands(session, mandate).state}
    else:
        _act(session, remedy, mandate, firing, host)
    session.flush()
    if firing.state != "asked":  # a request tells of itself
        detail = {"remedy": remedy.id, "name": remedy.name, "kind": mandate.kind, **mandate.params}
        chat.line(session, host_id=host.id, incident_id=incident.id, kind=f"remedy.{firing.state}", detail=detail)
    why = {"dry": "dry", "asked": "asked_for"}.get(firing.state, "not_done")
    mandates.tell(session, f"firing:{firing.id}", why, [remedy.made_by, mandate.asked_by])
    return True


def _act(session: Session, remedy: Remedy, mandate: Mandate, firing: Firing, host: Host) -> None:
    stands = mandates.stands(session, mandate)
    if stands.state != "agreed":
        firing.state, firing.detail = "not_done", {"code": "approval", "approval": stands.state}
        return
    try:
        with session.begin_nested():
            asked = mandates.ask(session, mandate, host, f"“{remedy.name}”", firing.incident_id)
            firing.state, firing.request_id = "asked", asked.id
            session.flush()
    except Denied as error:
        firing.state, firing.request_id, firing.detail = "not_done", None, {"code": error.code, **error.about}
