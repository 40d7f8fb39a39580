"""The divisions of the company: made, renamed, taken away, with the people and machines that belong to each."""

from __future__ import annotations

from dataclasses import dataclass

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import selectinload
from werkzeug.wrappers import Response

from domain.inventory import Division, Host, Membership, Person, Threshold, Window
from domain.recipients import Policy
from webui import access, audited, portrait, roles, store
from webui.draft import Draft
from webui.forms import Field
from webui.language import gettext

blueprint = Blueprint("divisions", __name__, url_prefix="/divisions")


@dataclass(frozen=True)
class Member:
    """Somebody of a division, and what they are there."""

    person: Person
    parts: list[str]
    stamp: str


@blueprint.get("")
@access.admin
def index() -> str:
    """All divisions with how many people and machines each has, and who is in charge."""
    database = store.session()
    machines = {row[0]: row[1] for row in database.execute(select(Host.division_id, func.count()).group_by(Host.division_id))}  # fmt: skip
    members = list(database.scalars(select(Membership).options(selectinload(Membership.person))))
    rows = []
    for division in database.scalars(select(Division).order_by(Division.name)):
        own = [one for one in members if one.division_id == division.id]
        charge = sorted(one.person.name for one in own if one.role == "pic")
        rows.append((division, len({one.person_id for one in own}), machines.get(division.id, 0), charge))
    return render_template("divisions/index.html", active="staff.index", rows=rows, draft=_draft(None, None))


@blueprint.post("")
@access.admin
def new() -> Response | tuple[str, int]:
    """A division more."""
    draft = _draft(None, request.form)
    division = Division(name=draft["name"].value.strip())
    if not draft.good or not _keep(division, draft):
        return render_template("divisions/index.html", active="staff.index", rows=None, draft=draft), 422
    flash(gettext("“%(name)s” is saved.", name=division.name), "good")
    return redirect(url_for("divisions.show", division_id=division.id), 303)


@blueprint.route("/<int:division_id>", methods=["GET", "POST"])
@access.admin
def show(division_id: int) -> Response | str | tuple[str, int]:
    """One division: its name, its people, its machines."""
    division = _division(division_id)
    draft = _draft(division, request.form if request.method == "POST" else None)
    if draft.good:
        before, division.name = division.name, draft["name"].value.strip()
        if _keep(division, draft):
            flash(gettext("“%(before)s” is called “%(name)s” now.", before=before, name=division.name), "good")
            return redirect(url_for("divisions.show", division_id=division.id), 303)
        division = _division(division_id)
    faces = portrait.stamps()
    page = render_template(
        "divisions/show.html",
        active="staff.index",
        division=division,
        draft=draft,
        members=[Member(one, _parts(one, division.id), faces.get(one.id, "")) for one in _people(division.id)],
        machines=list(store.session().scalars(select(Host).where(Host.division_id == division.id).order_by(Host.name))),
        hanging=_hanging(division.id),
    )
    return page if request.method == "GET" else (page, 422)


@blueprint.route("/<int:division_id>/delete", methods=["GET", "POST"])
@access.admin
def delete(division_id: int) -> Response | str:
    """Take a division away, after telling what goes with it and what stays."""
    division = _division(division_id)
    if request.method == "GET":
        return render_template(
            "divisions/delete.html",
            active="staff.index",
            division=division,
            people=len(_people(division.id)),
            hanging=_hanging(division.id),
        )
    audited.note("division.deleted", f"division:{division.id}", name=division.name, hanging=_hanging(division.id))
    store.session().delete(division)
    store.announce("inventory")
    store.session().commit()
    flash(gettext("“%(name)s” is gone.", name=division.name), "good")
    return redirect(url_for("divisions.index"), 303)


def _people(division_id: int) -> list[Person]:
    there = select(Membership.person_id).where(Membership.division_id == division_id)
    query = select(Person).options(selectinload(Person.memberships)).where(Person.id.in_(there)).order_by(Person.name)
    return list(store.session().scalars(query))


def _parts(person: Person, division_id: int) -> list[str]:
    own = {one.role for one in person.memberships if one.division_id == division_id}
    return [str(roles.LOCAL[role]) for role in roles.ORDER if role in own]


def _hanging(division_id: int) -> dict[str, int]:
    """What belongs to a division: machines stay without one, the rest goes with it."""

    def count(table: type[Host] | type[Threshold] | type[Window] | type[Policy]) -> int:
        mine = select(func.count()).select_from(table).where(table.division_id == division_id)
        return store.session().scalar(mine) or 0

    return {"machines": count(Host), "limits": count(Threshold), "windows": count(Window), "rules": count(Policy)}


def _draft(division: Division | None, typed: object) -> Draft:
    draft = Draft(typed)  # type: ignore[arg-type]
    draft.text(Field("name", gettext("Name"), value=division.name if division else "", required=True))
    return draft


def _keep(division: Division, draft: Draft) -> bool:
    """Store it; False where the name is taken."""
    database = store.session()
    try:
        database.add(division)
        database.flush()
    except IntegrityError:
        database.rollback()
        draft.blame("name", gettext("Another division has this name."))
        return False
    store.announce("inventory")
    database.commit()
    return True


def _division(division_id: int) -> Division:
    found = store.session().get(Division, division_id)
    if found is None:
        abort(404)
    return found
