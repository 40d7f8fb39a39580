"""SSH host keys: which are trusted, and which changed ones wait for somebody to compare them."""

from __future__ import annotations

from dataclasses import dataclass

from flask import Blueprint, Flask, abort, flash, redirect, url_for
from sqlalchemy import delete, select, update
from werkzeug.wrappers import Response

from domain.clock import now
from domain.inventory import Host, HostKey
from webui import access, audited, looks, store
from webui.language import gettext

blueprint = Blueprint("hostkeys", __name__, url_prefix="/machines/<int:host_id>/keys/<int:key_id>")


@dataclass(frozen=True)
class Keys:
    """The host keys at one port: `offered` are shown by the machine now and not trusted."""

    port: int
    pinned: list[HostKey]
    offered: list[HostKey]


def install(app: Flask) -> None:
    """Give templates `host_keys(host)` for hostkeys/offered.html."""
    app.jinja_env.globals["host_keys"] = of


def of(host: Host) -> list[Keys]:
    """All keys of a machine by port."""
    rows = store.session().scalars(select(HostKey).where(HostKey.host_id == host.id).order_by(HostKey.id)).all()
    return [
        Keys(
            port,
            [row for row in rows if row.port == port and row.state == "pinned"],
            [row for row in rows if row.port == port and row.state == "offered"],
        )
        for port in sorted({row.port for row in rows})
    ]


@blueprint.post("/accept")
@access.admin
@access.fresh
def accept(host_id: int, key_id: int) -> Response:
    """Trust the key a machine shows; the ones trusted before at that port are forgotten."""
    host, key = access.host(host_id), _key(host_id, key_id)
    database = store.session()
    if key.state == "offered":
        database.execute(
            delete(HostKey).where(HostKey.host_id == host.id, HostKey.port == key.port, HostKey.id != key.id)
        )
        database.execute(
            update(HostKey)
            .where(HostKey.id == key.id)
            .values(state="pinned", accepted_at=now(), accepted_by=access.person().id)
        )
        audited.note("hostkey.accepted", f"host:{host.id}", name=host.name, port=key.port, fingerprint=key.fingerprint)
        looks.run(host.id)
        store.announce("inventory")
        database.commit()
    flash(gettext("The new host key is trusted; the machine is asked again now."), "good")
    return redirect(url_for("edit.machine", host_id=host.id), 303)


@blueprint.post("/decline")
@access.admin
def decline(host_id: int, key_id: int) -> Response:
    """Forget an offered key. While the machine shows it, it will be offered again at the next look."""
    host, key = access.host(host_id), _key(host_id, key_id)
    if key.state == "offered":
        audited.note("hostkey.declined", f"host:{host.id}", name=host.name, port=key.port, fingerprint=key.fingerprint)
        store.session().delete(key)
        store.session().commit()
    flash(gettext("The key is not trusted. The machine is not logged in to while it shows that key."), "good")
    return redirect(url_for("edit.machine", host_id=host.id), 303)


def _key(host_id: int, key_id: int) -> HostKey:
    found = store.session().scalar(
        select(HostKey).where(HostKey.id == key_id, HostKey.host_id == host_id).with_for_update()
    )
    if found is None:
        abort(404)
    return found
