"""Requests for actions: those one made, those that wait for one's answer, what runs, and what was."""

from __future__ import annotations

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from sqlalchemy import Select, select
from sqlalchemy.orm import joinedload, selectinload
from werkzeug.wrappers import Response

from domain import approving
from domain.actions import ENDED, OPEN, Request, Runbook, Step, Vote
from domain.approving import Denied
from domain.clock import now
from domain.inventory import Host
from domain.rights import Right
from webui import access, board, doings, impact, store
from webui.language import gettext

blueprint = Blueprint("approvals", __name__, url_prefix="/requests")

FEW = 50
MOST_STEPS = 500


@blueprint.get("")
@access.signed_in
def index() -> str:
    """What waits for me, what I asked for, what else goes on, and the newest of what was."""
    me, session = access.person(), store.session()
    going = list(session.scalars(rows().where(Request.state.in_(OPEN)).order_by(Request.id.desc()).limit(200)))
    answered = set(session.scalars(select(Vote.request_id).where(Vote.person_id == me.id, Vote.request_id.in_([one.id for one in going]))))  # fmt: skip
    mine = [one for one in going if one.made_by == me.id]
    waiting = [
        one for one in going if one.state == "waiting" and approving.may_agree(me, one) and one.id not in answered
    ]
    others = [one for one in going if one not in mine and one not in waiting]
    page = max(1, min(request.args.get("page", 1, int), 1000))
    past = list(
        session.scalars(
            rows().where(Request.state.in_(ENDED)).order_by(Request.ended_at.desc(), Request.id.desc()).offset((page - 1) * FEW).limit(FEW + 1)
        )
    )  # fmt: skip
    return render_template(
        "actions/index.html", active="approvals.index", to_answer=waiting, mine=mine, others=others, past=past[:FEW],
        more=len(past) > FEW, page=page, pulse=board.pulse(now()), **_words(),
    )  # fmt: skip


@blueprint.get("/<int:request_id>")
@access.signed_in
def show(request_id: int) -> str:
    """One request: who asks, for which machine, why, what it means, who agreed; and what came of it."""
    one, me, session = _request(request_id), access.person(), store.session()
    steps = list(
        session.scalars(select(Step).where(Step.request_id == one.id).order_by(Step.id.desc()).limit(MOST_STEPS))
    )
    waits = one.state == "waiting" and one.expires_at > now()
    said = next((vote for vote in one.votes if vote.person_id == me.id), None)
    return render_template(
        "actions/show.html",
        active="approvals.index",
        one=one,
        machine=board.machine(me, one.host_id),
        stands=approving.tally(session, one),
        counts={vote.person_id: approving.may_agree(vote.person, one) for vote in one.votes},
        steps=list(reversed(steps)),
        impact=impact.of(one.host),
        waits=waits,
        said=said,
        may_answer=waits and said is None and approving.may_agree(me, one),
        may_cancel=one.state in ("waiting", "approved")
        and (one.made_by == me.id or approving.may(me, Right.EDIT, one.host.division_id)),
        pulse=board.pulse(now()),
        **_words(),
    )


@blueprint.post("/<int:request_id>/agree")
@access.signed_in
@access.fresh
def agree(request_id: int) -> Response:
    """Agree to it; whoever does has just shown who they are."""
    return _vote(request_id, agrees=True)


@blueprint.post("/<int:request_id>/refuse")
@access.signed_in
def refuse(request_id: int) -> Response:
    """Refuse it, and say why."""
    return _vote(request_id, agrees=False)


@blueprint.post("/<int:request_id>/cancel")
@access.signed_in
def cancel(request_id: int) -> Response:
    """Take it back."""
    session, one = store.session(), _request(request_id)
    try:
        approving.cancel(session, one.id, access.person())
        session.commit()
        flash(gettext("It is taken back; nothing is done."), "good")
    except Denied as error:
        session.rollback()
        flash(doings.not_done(error), "bad")
    return redirect(url_for("approvals.show", request_id=request_id), 303)


def waiting_for(limit: int = 100) -> int:
    """How many requests wait for the answer of whoever asks, for the mark on the menu."""
    me, session = access.person(), store.session()
    said = select(Vote.request_id).where(Vote.person_id == me.id)
    waiting = session.scalars(
        rows().where(Request.state == "waiting", Request.expires_at > now(), Request.id.not_in(said)).limit(limit)
    )
    return sum(approving.may_agree(me, one) for one in waiting)


def _vote(request_id: int, *, agrees: bool) -> Response:
    session, one = store.session(), _request(request_id)
    try:
        reason = request.form.get("reason", "")
        found = approving.vote(session, one.id, access.person(), agrees=agrees, reason=reason)
        session.commit()
        if found.state == "approved":
            flash(gettext("Enough agree: it is done now."), "good")
        else:
            flash(gettext("Your answer counts."), "good")
    except Denied as error:
        session.rollback()
        flash(doings.not_done(error), "bad")
    return redirect(url_for("approvals.show", request_id=request_id), 303)


def rows() -> Select[Request]:
    """Requests this person may know of."""
    return (
        select(Request)
        .join(Host, Host.id == Request.host_id)
        .where(access.visible(access.person()))
        .options(joinedload(Request.host), joinedload(Request.maker), selectinload(Request.votes))
    )


def _request(request_id: int) -> Request:
    found = store.session().scalar(rows().where(Request.id == request_id))
    if found is None:
        abort(404)
    return found


def _words() -> dict[str, object]:
    books: dict[int, str] = {}

    def words(one: Request) -> str:
        number = one.params.get("runbook")
        if isinstance(number, int) and number not in books:
            book = store.session().get(Runbook, number)
            books[number] = book.name if book else ""
        return doings.order(one.kind, one.params, books.get(number or 0, ""))

    return {
        "order": words, "states": doings.STATES, "badges": doings.BADGES, "step": doings.step, "ending": doings.ending,
    }  # fmt: skip
