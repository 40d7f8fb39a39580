"""Places where machines stand: their address, where they are on a map, and which machines are there."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from zoneinfo import available_timezones

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError
from werkzeug.wrappers import Response

from domain.clock import now
from domain.inventory import Host, Site
from domain.rights import Right
from notifier.channels.base import Place
from webui import access, board, coordinates, machines, store
from webui.board import Machine
from webui.draft import Draft
from webui.forms import Field
from webui.language import gettext

blueprint = Blueprint("sites", __name__, url_prefix="/sites")

LONGEST_ADDRESS, LONGEST_NOTE = 500, 2000
OFFERED = 200
"""Machines offered at once to be put at a site."""


@dataclass
class Row:
    """One site and the machines there that this person may see, worst first."""

    site: Site
    machines: list[Machine] = field(default_factory=list)

    @property
    def worst(self) -> str:
        """The worst state of its machines; empty without any."""
        return self.machines[0].state if self.machines else ""


def place(site: Site) -> Place:
    """The site as messages and maps know it."""
    return Place(site.name, site.address, site.latitude, site.longitude)


def geo(site: Site) -> str:
    """Opens the map a phone has; empty without coordinates."""
    there = coordinates.said(site.latitude, site.longitude).replace(" ", "")
    return f"geo:{there}?q={there}" if there else ""


def choices() -> tuple[tuple[str, str], ...]:
    """Every site as the choices of a field, none first."""
    rows = store.session().execute(select(Site.id, Site.name).order_by(Site.name))
    return (("", "–"), *((str(id), name) for id, name in rows))


@blueprint.get("")
@access.signed_in
def index() -> str:
    """All of them for whoever sees every machine; the others see those where a machine of theirs stands. Worst first."""
    rows = _rows()
    if not access.can(Right.SEE):
        rows = [row for row in rows if row.machines]
    order = {state: n for n, state in enumerate(board.WORST_FIRST)}
    rows.sort(key=lambda row: (order.get(row.worst, len(order)), row.site.name.lower()))
    return render_template("sites/index.html", active="sites.index", pulse=board.pulse(now()), rows=rows, place=place)


@blueprint.get("/<int:site_id>")
@access.signed_in
def show(site_id: int) -> str:
    """One site, its machines, and for administrators those that could be put there."""
    row = _row(site_id)
    query = request.args.get("q", "").strip()[: machines.LONGEST_QUERY]
    there = {machine.id for machine in row.machines}
    offered = []
    if access.can(Right.ADMIN) and "q" in request.args:
        offered = [one for one in machines.fitting(board.machines(access.person()), query) if one.id not in there]
    elsewhere = _sites_of(one.id for one in offered[:OFFERED])
    return render_template(
        "sites/show.html",
        active="sites.index",
        pulse=board.pulse(now()),
        row=row,
        site=row.site,
        place=place(row.site),
        geo=geo(row.site),
        query=query,
        asked="q" in request.args,
        offered=offered[:OFFERED],
        more=max(0, len(offered) - OFFERED),
        elsewhere=elsewhere,
    )


@blueprint.route("/new", methods=["GET", "POST"])
@access.admin
def new() -> Response | str | tuple[str, int]:
    """Add a site."""
    return _work(None)


@blueprint.route("/<int:site_id>/edit", methods=["GET", "POST"])
@access.admin
def edit(site_id: int) -> Response | str | tuple[str, int]:
    """Change a site."""
    return _work(_site(site_id))


@blueprint.route("/<int:site_id>/delete", methods=["GET", "POST"])
@access.admin
def delete(site_id: int) -> Response | str:
    """Ask once more, saying what is lost; then delete."""
    site, database = _site(site_id), store.session()
    if request.method == "GET":
        count = len(list(database.scalars(select(Host.id).where(Host.site_id == site.id))))
        return render_template("sites/delete.html", active="sites.index", site=site, count=count)
    name = site.name
    database.delete(site)
    store.announce("inventory")
    database.commit()
    flash(gettext("The site “%(name)s” is deleted.", name=name), "good")
    return redirect(url_for("sites.index"), 303)


@blueprint.post("/<int:site_id>/machines")
@access.admin
def put(site_id: int) -> Response:
    """Put the ticked machines there, or take them away."""
    site, database = _site(site_id), store.session()
    ids = [int(one) for one in request.form.getlist("host") if one.isascii() and one.isdigit() and len(one) < 10]
    away = request.form.get("do") == "away"
    changed = update(Host).where(Host.id.in_(ids))
    if away:
        changed = changed.where(Host.site_id == site.id)
    done = len(list(database.scalars(changed.values(site_id=None if away else site.id).returning(Host.id))))
    store.announce("inventory")
    database.commit()
    if not done:
        flash(gettext("No machine was ticked, so nothing is changed."), "bad")
    elif away:
        flash(gettext("Machines taken away from “%(name)s”: %(count)s.", name=site.name, count=done), "good")
    else:
        flash(gettext("Machines put at “%(name)s”: %(count)s.", name=site.name, count=done), "good")
    return redirect(url_for("sites.show", site_id=site.id), 303)


def _work(site: Site | None) -> Response | str | tuple[str, int]:
    draft = Draft(request.form if request.method == "POST" else None)
    values = _read(draft, site)
    if draft.good:
        kept = site or Site()
        for name, value in values.items():
            setattr(kept, name, value)
        if _keep(kept, draft):
            flash(gettext("The site “%(name)s” is saved.", name=kept.name), "good")
            return redirect(url_for("sites.show", site_id=kept.id), 303)
    page = render_template("sites/form.html", active="sites.index", site=site, draft=draft)
    return page if request.method == "GET" else (page, 422)


def _read(draft: Draft, site: Site | None) -> dict[str, object]:
    name = draft.text(Field("name", gettext("Name"), value=site.name if site else "", required=True))
    address = draft.text(
        Field("address", gettext("Address"), "lines", value=site.address if site else ""), LONGEST_ADDRESS
    )
    typed = draft.text(
        Field(
            "coordinates",
            gettext("Coordinates"),
            value=coordinates.said(site.latitude, site.longitude) if site else "",
            help=gettext(
                "Latitude and longitude, such as -6.2088, 106.8456; or paste the address of the place from a map."
            ),
        ),
        2000,
    )
    zone = draft.text(
        Field(
            "zone",
            gettext("Time zone"),
            value=(site.zone or "") if site else "",
            help=gettext("Such as Asia/Makassar. Empty: %(zone)s, as everywhere.", zone=store.settings().zone),
        )
    )
    note = draft.text(
        Field(
            "note",
            gettext("Note"),
            "lines",
            value=site.note if site else "",
            help=gettext("Who has the key, whom to call, where the rack is."),
        ),
        LONGEST_NOTE,
    )
    found = coordinates.read(typed) if typed else None
    if draft.good and typed and found is None:
        draft.blame(
            "coordinates",
            gettext("This is no place on earth. It takes a latitude and a longitude, such as -6.2088, 106.8456."),
        )
    if draft.good and zone and zone not in available_timezones():
        draft.blame("zone", gettext("There is no such time zone; one is Asia/Jakarta."))
    return {
        "name": name,
        "address": address,
        "latitude": found[0] if found else None,
        "longitude": found[1] if found else None,
        "zone": zone or None,
        "note": note,
    }


def _keep(site: Site, draft: Draft) -> bool:
    """Store it; False where another site has the name."""
    database = store.session()
    try:
        database.add(site)
        store.announce("inventory")
        database.commit()
    except IntegrityError:
        database.rollback()
        draft.blame("name", gettext("Another site has this name. Choose another one."))
        return False
    return True


def _rows() -> list[Row]:
    """Every site with the machines this person may see there."""
    database = store.session()
    rows = {site.id: Row(site) for site in database.scalars(select(Site).order_by(Site.name))}
    of = {id: at for id, at in database.execute(select(Host.id, Host.site_id).where(Host.site_id.is_not(None)))}  # noqa: C416
    for machine in board.machines(access.person()):
        at = of.get(machine.id)
        if at in rows:
            rows[at].machines.append(machine)
    return list(rows.values())


def _row(site_id: int) -> Row:
    """One site; 404 for whoever has no machine there and does not see every machine."""
    found = next((row for row in _rows() if row.site.id == site_id), None)
    if found is None or (not access.can(Right.SEE) and not found.machines):
        abort(404)
    return found


def _sites_of(ids: Iterable[int]) -> dict[int, str]:
    """The name of the site each of these machines stands at now."""
    named: dict[int, str] = defaultdict(str)
    rows = select(Host.id, Site.name).join(Site, Host.site_id == Site.id).where(Host.id.in_(list(ids)))
    for id, name in store.session().execute(rows):
        named[id] = name
    return named


def _site(site_id: int) -> Site:
    found = store.session().get(Site, site_id)
    if found is None:
        abort(404)
    return found
