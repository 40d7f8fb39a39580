"""Standing approvals on pages: what is asked for, how it stands, and the answers of those who must agree."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, abort, flash, redirect, request, url_for
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import joinedload
from werkzeug.wrappers import Response

from domain import mandates
from domain.actions import Runbook
from domain.approving import LONGEST_REASON, Denied
from domain.inventory import Division, Host, HostGroup
from domain.jobs import LONGEST_APPROVAL, Mandate, Remedy, Schedule
from domain.orders import KINDS
from domain.rights import Right
from webui import access, doings, jobwords, store
from webui.draft import Draft
from webui.forms import Field
from webui.language import gettext

blueprint = Blueprint("mandating", __name__, url_prefix="/mandates")

DOES = tuple(kind for kind in KINDS if kind != "vm.restart")
FIELDS = ("target", "division_id", "do", "service", "runbook", "values", "reason", "days")
"""The fields of a form that asks for an approval, in their order."""


@blueprint.post("/<int:mandate_id>/agree")
@access.signed_in
@access.fresh
def agree(mandate_id: int) -> Response:
    """Agree to it in the form it was shown in; whoever does has just shown who they are."""
    return _answer(mandate_id, agrees=True)


@blueprint.post("/<int:mandate_id>/refuse")
@access.signed_in
def refuse(mandate_id: int) -> Response:
    """Refuse it, and say why."""
    return _answer(mandate_id, agrees=False)


@blueprint.post("/<int:mandate_id>/renew")
@access.may(Right.ASK)
def renew(mandate_id: int) -> Response:
    """Ask for the agreement anew, as whoever presses it."""
    mandate, session = _mandate(mandate_id), store.session()
    if not theirs(mandate.division_id):
        abort(403)
    try:
        mandates.renew(session, mandate, access.person())
        session.commit()
        flash(gettext("Those who must agree are being told."), "good")
    except Denied as error:
        session.rollback()
        flash(jobwords.denied(error), "bad")
    return redirect(home(mandate_id), 303)


def _answer(mandate_id: int, *, agrees: bool) -> Response:
    session = store.session()
    _mandate(mandate_id)
    try:
        typed = request.form
        mandates.answer(session, mandate_id, access.person(), typed.get("form", ""), agrees=agrees, reason=typed.get("reason", ""))  # fmt: skip
        session.commit()
        flash(gettext("Your answer counts."), "good")
    except Denied as error:
        session.rollback()
        flash(jobwords.denied(error), "bad")
    return redirect(home(mandate_id), 303)


def _mandate(mandate_id: int) -> Mandate:
    found = store.session().scalar(select(Mandate).where(Mandate.id == mandate_id, seen(Mandate)))
    if found is None:
        abort(404)
    return found


def home(mandate_id: int) -> str:
    """The page of what an approval is for."""
    session = store.session()
    schedule = session.scalar(select(Schedule.id).where(Schedule.mandate_id == mandate_id))
    if schedule is not None:
        return url_for("jobs.show", schedule_id=schedule)
    remedy = session.scalar(select(Remedy.id).where(Remedy.mandate_id == mandate_id))
    return url_for("remedies.show", remedy_id=remedy) if remedy is not None else url_for("jobs.index")


def seen(table: type[Mandate] | type[Schedule] | type[Remedy]) -> Any:
    """Which of them this person may know of: those of their divisions; those of the installation who sees all of it."""
    reach = access.divisions(Right.SEE)
    return table.id.is_not(None) if reach is None else table.division_id.in_(reach)


def theirs(division_id: int | None) -> bool:
    """Whether this person may change, pause and run what belongs to a division; None: to the whole installation."""
    return access.can(Right.ASK, division_id)


def card(mandate: Mandate) -> dict[str, Any]:
    """What a page shows of an approval."""
    session, me = store.session(), access.person()
    row = session.scalars(
        select(Mandate)
        .where(Mandate.id == mandate.id)
        .options(joinedload(Mandate.host), joinedload(Mandate.group), joinedload(Mandate.asker))
    ).one()
    stands = mandates.stands(session, row)
    book = session.get(Runbook, row.params.get("runbook") or 0) if row.kind == "runbook.run" else None
    said = next((one for one in row.consents if one.person_id == me.id), None)
    return {
        "row": row,
        "stands": stands,
        "why": jobwords.denied(stands.why) if stands.why and stands.why.code != "changed" else "",
        "order": doings.order(row.kind, row.params, book.name if book else ""),
        "machines": [host for host in mandates.machines(session, row) if access.can(Right.SEE, host.division_id)],
        "said": said,
        "may_answer": stands.state == "waiting" and said is None and mandates.may_answer(session, row, me),
        "may_renew": theirs(row.division_id),
    }


# ---- the form ----


def ask(draft: Draft, row: Mandate | None) -> None:
    """The fields of what is to be done, where, why and for how long."""
    session = store.session()
    hosts = session.execute(
        select(Host.id, Host.name)
        .where(access.within(Right.ASK), Host.action_credential_id.is_not(None))
        .order_by(Host.name)
    )
    groups = session.execute(select(HostGroup.id, HostGroup.name).order_by(HostGroup.name))
    aims = [("", gettext("Please choose")), *((f"host:{id}", name) for id, name in hosts), *((f"group:{id}", gettext("Group: %(name)s", name=name)) for id, name in groups)]  # fmt: skip
    aim = (f"host:{row.host_id}" if row.host_id else f"group:{row.group_id}") if row else ""
    books = session.execute(select(Runbook.id, Runbook.name).where(Runbook.reviewed != "").order_by(Runbook.name))
    params = row.params if row else {}
    values = "\n".join(f"{name} = {value}" for name, value in (params.get("values") or {}).items())
    draft.choice(Field("target", gettext("Machine or group"), "choice", aim, gettext("Machines need a login for actions. Of a group it is one machine after the other."), tuple(aims)))  # fmt: skip
    divide(draft, row.division_id if row else None, gettext("Of a group only the machines of"))
    draft.choice(Field("do", gettext("What is done"), "choice", row.kind if row else "service.restart", choices=tuple((kind, str(doings.KINDS[kind])) for kind in DOES)))  # fmt: skip
    draft.text(Field("service", gettext("Service"), value=str(params.get("service", "")), help=gettext("One of those that may be touched at the machine, such as nginx.service.")), 128)  # fmt: skip
    draft.choice(Field("runbook", gettext("Runbook"), "choice", str(params.get("runbook", "")), choices=(("", gettext("none")), *((str(id), name) for id, name in books))))  # fmt: skip
    draft.text(Field("values", gettext("Its parameters"), "lines", values, gettext("One a line: name = value.")), 2000)
    draft.text(Field("reason", gettext("Why?"), "lines", row.reason if row else "", gettext("Those who agree read it, and it stays on record."), required=True), LONGEST_REASON)  # fmt: skip
    draft.number(Field("days", gettext("The approval holds for days"), "number", str(row.days if row else 90), gettext("At most 180; then it is asked for anew."), low=1, high=LONGEST_APPROVAL, whole=True, required=True))  # fmt: skip


def divide(draft: Draft, division_id: int | None, label: str) -> int | None:
    """The field of whose division it is, among those this person may act in."""
    reach, session = access.divisions(Right.ASK), store.session()
    wanted = select(Division.id, Division.name).order_by(Division.name)
    rows = session.execute(wanted if reach is None else wanted.where(Division.id.in_(reach)))
    known = [(str(id), name) for id, name in rows]
    whole = [("", gettext("all of them"))] if reach is None else []
    first = str(division_id) if division_id is not None else (whole or known or [("", "")])[0][0]
    chosen = draft.choice(Field("division_id", label, "choice", first, choices=(*whole, *known)))
    return int(chosen) if chosen.isdigit() else None


def take(draft: Draft, row: Mandate | None, condition: dict[str, Any]) -> Mandate | None:
    """What was typed, as a new approval or in `row`; None where something of it is wrong. Not asked for yet."""
    session = store.session()
    kind, _, number = draft["target"].value.partition(":")
    if not number.isdigit():
        draft.blame("target", gettext("Please choose what it is for."))
        return None
    host = session.get(Host, int(number)) if kind == "host" else None
    do = draft["do"].value
    if do.startswith("service.") and not draft["service"].value.strip():
        draft.blame("service", gettext("Please fill in this field."))
    if do == "runbook.run" and not draft["runbook"].value:
        draft.blame("runbook", gettext("Please choose one of the values offered."))
    if not draft.good:
        return None
    division = draft["division_id"].value
    made = row or Mandate(kind="", params={}, reason="", days=1, condition={})
    wanted = {
        "host_id": host.id if host else None,
        "group_id": None if host else int(number),
        "division_id": host.division_id if host else int(division) if division.isdigit() else None,
        "kind": do,
        "params": _params(do, draft),
        "reason": " ".join(draft["reason"].value.split()),
        "days": int(float(draft["days"].value)),
        "condition": condition,
    }
    for name, value in wanted.items():
        if getattr(made, name) != value:
            setattr(made, name, value)
    return made


def _params(kind: str, draft: Draft) -> dict[str, Any]:
    if kind.startswith("service."):
        return {"service": draft["service"].value.strip()}
    if kind != "runbook.run":
        return {}
    lines = (line.partition("=") for line in draft["values"].value.splitlines() if line.strip())
    return {"runbook": int(draft["runbook"].value), "values": {name.strip(): value.strip() for name, _, value in lines}}


def same(before: dict[str, Any] | None, row: Mandate) -> bool:
    """Whether nothing of it was changed since `snapshot`."""
    return before == snapshot(row)


def snapshot(row: Mandate) -> dict[str, Any]:
    """What everybody's agreement is of, as columns."""
    names = ("host_id", "group_id", "division_id", "kind", "params", "reason", "days", "condition")
    return {name: getattr(row, name) for name in names}


def keep(draft: Draft, kept: Schedule | Remedy, mandate: Mandate | None, before: dict[str, Any] | None) -> bool:
    """Write it down, and have those who must agree asked where it is another than `before`; the caller commits.

    False where something speaks against it, which stands in the draft then.
    """
    session = store.session()
    try:
        session.add(kept)
        session.flush()
        if mandate is not None and not same(before, mandate):
            mandates.renew(session, mandate, access.person())
    except IntegrityError:
        session.rollback()
        draft.blame("name", gettext("Another one has this name. Choose another name."))
        return False
    except Denied as error:
        session.rollback()
        draft.blame("target", jobwords.denied(error))
        return False
    return True
