"""What may be done to one machine: the login for it, the services that may be touched, and what the machine must be told."""

from __future__ import annotations

import re
from collections.abc import Collection

from flask import Blueprint, flash, redirect, render_template, request, url_for
from sqlalchemy import delete, select
from werkzeug.wrappers import Response

from domain import approving
from domain.actions import HostService
from domain.inventory import Credential, Host
from domain.orders import KINDS, SERVICE
from domain.rights import Right
from probes.ssh import orders
from webui import access, doings, store
from webui.language import gettext

blueprint = Blueprint("abilities", __name__, url_prefix="/machines/<int:host_id>/actions")

MOST = 50
USER = re.compile(r"[a-z_][a-z0-9_.-]{0,31}", re.ASCII)
"""A login that may stand in a sudoers file."""


@blueprint.get("")
@access.may(Right.EDIT)
def show(host_id: int) -> str:
    """The login, the services, and the text for the machine."""
    host = access.host(host_id, Right.EDIT)
    return _page(host, "\n".join(services(host)))


@blueprint.post("")
@access.may(Right.EDIT)
def save(host_id: int) -> Response | tuple[str, int]:
    """Take over the list of services."""
    host, session = access.host(host_id, Right.EDIT), store.session()
    typed = request.form.get("services", "")
    names = list(dict.fromkeys(line.strip() for line in typed.splitlines() if line.strip()))
    wrong = next((name for name in names if not SERVICE.fullmatch(name)), None)
    if wrong is not None:
        said = gettext(
            "“%(name)s” is no name of a service: letters, digits and . _ @ : $ - are allowed.", name=wrong[:60]
        )
        return _page(host, typed, said), 422
    if len(names) > MOST:
        return _page(host, typed, gettext("At most %(most)s services.", most=MOST)), 422
    allow(host, names)
    session.commit()
    flash(gettext("The list is saved. Give the machine the text below, or it refuses."), "good")
    return redirect(url_for("abilities.show", host_id=host.id), 303)


def allow(host: Host, names: Collection[str]) -> None:
    """Make these the services of a machine that may be touched; not committed."""
    session, kept, wanted = store.session(), set(services(host)), set(names)
    session.execute(delete(HostService).where(HostService.host_id == host.id, HostService.name.in_(kept - wanted)))
    session.add_all(HostService(host_id=host.id, name=name) for name in sorted(wanted - kept))


def services(host: Host) -> list[str]:
    """The services of a machine that may be touched, by name."""
    rows = store.session().scalars(
        select(HostService.name).where(HostService.host_id == host.id).order_by(HostService.name)
    )
    return list(rows)


def _page(host: Host, typed: str, wrong: str = "") -> str:
    session = store.session()
    login = session.get(Credential, host.action_credential_id) if host.action_credential_id else None
    user = login.username if login and USER.fullmatch(login.username) else "pantau-act"
    linux = [name for name in services(host) if "$" not in name]
    return render_template(
        "actions/abilities.html",
        active="machines.index",
        host=host,
        login=login,
        typed=typed,
        wrong=wrong,
        sudoers=orders.sudoers(user, linux),
        rules=[(doings.KINDS[kind], approving.rule_for(session, host, kind)) for kind in KINDS],
    )
