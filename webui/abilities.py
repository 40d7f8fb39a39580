"""What may be done to one machine: the login for it, the services that may be touched, and what the machine must be told."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from flask import Blueprint, flash, redirect, render_template, request, url_for
from sqlalchemy import delete, select
from werkzeug.wrappers import Response

from domain import approving, guests
from domain.actions import HostService
from domain.inventory import Credential, Host
from domain.orders import KINDS, SERVICE
from domain.records import FactSeen
from domain.rights import Right
from probes.proxmox import orders as pve
from probes.ssh import orders
from probes.winrm import orders as cim
from webui import access, doings, store
from webui.language import gettext

blueprint = Blueprint("abilities", __name__, url_prefix="/machines/<int:host_id>/actions")

MOST = 50
USUAL = "pantau-act"
"""The account for actions, where none is chosen yet."""
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
    check = approving.way(session, host)
    return render_template(
        "actions/abilities.html",
        active="machines.index",
        host=host,
        login=login,
        typed=typed,
        wrong=wrong,
        windows=check is not None and check.kind == "winrm",
        texts=list(_texts(check.kind if check else "", login, services(host), _guests(host))),
        rules=[(doings.KINDS[kind], approving.rule_for(session, host, kind)) for kind in KINDS],
    )


def _guests(host: Host) -> dict[str, list[str]]:
    """The guests a machine tells of, by the fact that names them."""
    rows = store.session().execute(
        select(FactSeen.name, FactSeen.part)
        .where(FactSeen.host_id == host.id, FactSeen.name.in_(guests.FACTS))
        .order_by(FactSeen.part)
    )
    found: dict[str, list[str]] = {}
    for name, part in rows:
        found.setdefault(name, []).append(part)
    return found


def _texts(
    way: str, login: Credential | None, names: list[str], told: dict[str, list[str]]
) -> Iterator[tuple[str, str]]:
    """What the machine must be told, so that its account may do this and nothing else: what kind it is, and the text."""
    user = login.username if login else ""
    if guests.PROXMOX in told:
        yield "proxmox", pve.rights(user, [part.partition(" ")[0] for part in told[guests.PROXMOX]][:MOST])
    if way == "winrm":
        yield "windows", cim.rights(user if cim.LOGIN.fullmatch(user) else USUAL, names, guests.HYPERV in told)
    elif way == "ssh" or not told:
        units = [name for name in names if "$" not in name]
        yield "linux", orders.sudoers(user if USER.fullmatch(user) else USUAL, units)
        yield "gate", orders.gate(units)
