"""Asking for an action at a machine: what, why, what it would mean, and who must agree."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from flask import Blueprint, flash, redirect, render_template, request, url_for
from sqlalchemy import or_, select
from werkzeug.datastructures import MultiDict
from werkzeug.wrappers import Response

from domain import approving
from domain.actions import OPEN, Request, Runbook
from domain.approving import Denied
from domain.inventory import Host, host_in_group
from domain.orders import Parameter, Unclear, parameters
from domain.rights import Right
from webui import abilities, access, doings, impact, store
from webui.language import gettext

blueprint = Blueprint("asking", __name__, url_prefix="/machines/<int:host_id>/actions")

SERVICE = ("service.restart", "service.start", "service.stop")


@blueprint.get("/new")
@access.may(Right.ASK)
def new(host_id: int) -> str:
    """The form; `?do=` chooses what it begins with."""
    host = access.host(host_id, Right.ASK)
    return _form(host, MultiDict({"do": request.args.get("do", ""), "client": secrets.token_hex(16)}))


@blueprint.post("/new")
@access.may(Right.ASK)
def ask(host_id: int) -> Response | tuple[str, int]:
    """Ask for it."""
    return _ask(access.host(host_id, Right.ASK))


@blueprint.post("/glass")
@access.may(Right.ASK)
@access.fresh
def glass(host_id: int) -> Response | tuple[str, int]:
    """Do it without the agreement it needs: loud, on record, and for administrators alone."""
    return _ask(access.host(host_id, Right.ASK), glass=True)


@blueprint.post("/alone")
@access.may(Right.ASK)
@access.fresh
def alone(host_id: int) -> Response | tuple[str, int]:
    """Do it on a finding of one's own, where the rule lets operators."""
    return _ask(access.host(host_id, Right.EDIT), alone=True)


def _ask(host: Host, *, glass: bool = False, alone: bool = False) -> Response | tuple[str, int]:
    typed, session = request.form, store.session()
    if glass and typed.get("sure") != "yes":
        return _form(host, typed, gettext("Please tick that you mean it: nobody else is asked.")), 422
    try:
        kind, params = _order(session, host, typed)
        made = approving.ask(
            session, access.person(), host, kind, params, typed.get("reason", ""),
            client=typed.get("client", "")[:64] or None, impact=impact.of(host).kept(), alone=alone, glass=glass,
            **approving.occasion(session, host),
        )  # fmt: skip
        session.commit()
    except Denied as error:
        session.rollback()
        return _form(host, typed, doings.not_done(error)), 422
    said = gettext("It is on its way.") if made.state == "approved" else gettext("Those who must agree are being told.")
    flash(said, "good")
    return redirect(url_for("approvals.show", request_id=made.id), 303)


def _order(session: Any, host: Host, typed: Mapping[str, str]) -> tuple[str, dict[str, Any]]:
    """The order chosen: `host.restart`, `service.restart:NAME`, `runbook.run:ID`. Raises Denied."""
    kind, _, about = typed.get("do", "").partition(":")
    if kind in SERVICE:
        return kind, {"service": about}
    if kind == "vm.restart":
        number, _, guest = about.partition(":")
        return kind, {"hypervisor": int(number) if number.isascii() and number.isdigit() and len(number) < 9 else None, "guest": guest}  # fmt: skip
    if kind == "runbook.run":
        book = session.get(Runbook, int(about)) if about.isascii() and about.isdigit() and len(about) < 9 else None
        if book is None:
            raise Denied("runbook")
        return kind, {"runbook": book.id, "values": {one.name: typed.get(f"p-{book.id}-{one.name}", "").strip() for one in _parameters(book)}}  # fmt: skip
    return kind, {}


def _parameters(book: Runbook) -> tuple[Parameter, ...]:
    try:
        return parameters(book.parameters)
    except Unclear:
        return ()


def offers(host: Host) -> list[tuple[str, str]]:
    """What can be asked for at a machine: (value, words). None without a login for it and a way there, or a hypervisor's."""
    session = store.session()
    check = approving.way(session, host)
    above = [
        (f"vm.restart:{one.id}:{one.guest}", doings.order("vm.restart", {"guest": one.guest}))
        for one in approving.hypervisors(session, host)
        if one.place["login"] is not None
    ]
    if host.action_credential_id is None or check is None:
        return above
    found = [("host.restart", doings.order("host.restart", {}))]
    for name in abilities.services(host):
        found += [(f"{kind}:{name}", doings.order(kind, {"service": name})) for kind in SERVICE]
    books = runbooks(host) if check.kind == "ssh" else []
    found += above
    return found + [(f"runbook.run:{book.id}", doings.order("runbook.run", {}, book.name)) for book in books]


def runbooks(host: Host) -> list[Runbook]:
    """Runbooks that were read by a second person and are meant for this machine."""
    groups = select(host_in_group.c.group_id).where(host_in_group.c.host_id == host.id)
    rows = store.session().scalars(
        select(Runbook)
        .where(or_(Runbook.group_id.is_(None), Runbook.group_id.in_(groups)), Runbook.reviewed != "")
        .order_by(Runbook.name)
    )
    return [book for book in rows if book.reviewed == approving.digest(book)]


def under_way(host_id: int) -> Request | None:
    """What is asked for or being done at a machine now."""
    return store.session().scalar(
        select(Request).where(Request.host_id == host_id, Request.state.in_(OPEN)).order_by(Request.id.desc()).limit(1)
    )


def _form(host: Host, typed: Mapping[str, str], wrong: str = "") -> str:
    session = store.session()
    books = [(book, _parameters(book)) for book in runbooks(host)] if host.action_credential_id else []
    offered = offers(host)
    kinds = dict.fromkeys(value.partition(":")[0] for value, _ in offered)
    rules = {kind: approving.rule_for(session, host, kind) for kind in kinds}
    return render_template(
        "actions/new.html",
        active="machines.index",
        host=host,
        typed=typed,
        wrong=wrong,
        offers=offered,
        books=books,
        rules=rules,
        kinds=doings.KINDS,
        alone=any(rule.alone for rule in rules.values()) and access.can(Right.EDIT, host.division_id),
        impact=impact.of(host),
        busy=under_way(host.id),
        order=doings.order,
    )
