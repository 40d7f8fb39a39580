"""Machines added together, from a discovery or an import: tried out first, made in one transaction, undone together."""

from __future__ import annotations

from collections.abc import Sequence

from flask import Blueprint, abort, flash, redirect, render_template, url_for
from sqlalchemy import delete, exists, select
from werkzeug.wrappers import Response

from domain.clock import now
from domain.inventory import Addition, Division, Host, HostGroup, Site, host_in_group
from webui import access, audited, documents, entries, looks, store
from webui.documents import Document, DocumentError
from webui.language import gettext
from webui.written import Machine

blueprint = Blueprint("additions", __name__, url_prefix="/additions")

SHOWN = 20
FIRST_LOOKS = 200
"""So many of the new machines are looked at at once; the others when their turn comes, within a minute."""


def preview(machines: Sequence[Machine]) -> list[str]:
    """What `add` would change, a line a change; nothing is. Raises DocumentError with one sentence."""
    with store.session().begin_nested() as tried:
        lines, _ = entries.make_true(machines)
        tried.rollback()
    store.session().expire_all()
    return lines


def add(how: str, machines: Sequence[Machine]) -> Addition:
    """Make the inventory say so, and remember how it was. Raises DocumentError, after which the caller rolls back."""
    database = store.session()
    names = [machine.name for machine in machines]
    before = entries.named(names)
    lines, made = entries.make_true(machines)
    after = entries.named(names)
    row = Addition(
        how=how,
        made_by=access.person().id,
        lines=lines,
        before={name: before.get(name) for name in names},
        after={name: after[name] for name in names},
        groups=made,
    )
    database.add(row)
    database.flush()
    audited.note(f"{how}.applied", f"addition:{row.id}", machines=len(names), changes=len(lines))
    new = [name for name in names if name not in before]
    for host_id in database.scalars(select(Host.id).where(Host.name.in_(new[:FIRST_LOOKS]))):
        looks.run(host_id)
    store.announce("inventory")
    database.commit()
    return row


def changed_since(row: Addition) -> list[str]:
    """The machines of this addition that somebody edited, renamed or deleted since."""
    present = entries.named(row.after)
    return [name for name, entry in row.after.items() if present.get(name) != entry]


def undo(row: Addition) -> None:
    """Make everything as it was before. Raises DocumentError, and undoes nothing, where somebody changed it since."""
    if row.undone_at is not None:
        raise DocumentError(gettext("This was undone already."))
    changed = changed_since(row)
    if changed:
        shown = ", ".join(changed[:5]) + (" …" if len(changed) > 5 else "")
        raise DocumentError(
            gettext("Nothing was undone: these were changed since, and that would be lost: %(names)s.", names=shown)
        )
    database = store.session()
    new = [name for name, entry in row.before.items() if entry is None]
    leaning = _leaning_on(new)
    if leaning:
        shown = ", ".join(leaning[:5])
        raise DocumentError(
            gettext("Nothing was undone: other machines have these as their parents: %(names)s.", names=shown)
        )
    old = [Machine.model_validate(entry) for entry in row.before.values() if entry is not None]
    if old:
        list(documents.apply(database, Document(version=1, hosts=tuple(old)), entries.no_secret, local=False))
    database.flush()
    # Thousands go in one statement; whatever hangs on them goes by the tables' own rules.
    database.execute(delete(Host).where(Host.name.in_(new)), execution_options={"synchronize_session": False})
    database.expire_all()
    unused = ~exists().where(host_in_group.c.group_id == HostGroup.id)
    database.execute(delete(HostGroup).where(HostGroup.name.in_(row.groups.get("groups", [])), unused))
    empty = ~exists().where(Host.division_id == Division.id)
    database.execute(delete(Division).where(Division.name.in_(row.groups.get("divisions", [])), empty))
    bare = ~exists().where(Host.site_id == Site.id)
    database.execute(delete(Site).where(Site.name.in_(row.groups.get("sites", [])), bare))
    row.undone_at = now()
    audited.note("addition.undone", f"addition:{row.id}", machines=len(row.after))
    store.announce("inventory")
    database.commit()


def recent() -> list[Addition]:
    """The newest additions, for the pages that make them."""
    return list(store.session().scalars(select(Addition).order_by(Addition.id.desc()).limit(5)))


@blueprint.get("")
@access.admin
def index() -> str:
    """What was added together lately."""
    rows = store.session().scalars(select(Addition).order_by(Addition.id.desc()).limit(SHOWN))
    return render_template("additions/index.html", active="machines.index", rows=list(rows))


@blueprint.get("/<int:addition_id>")
@access.admin
def show(addition_id: int) -> str:
    """What one addition changed, and the way back."""
    row = _row(addition_id)
    return render_template(
        "additions/show.html",
        active="machines.index",
        row=row,
        changed=[] if row.undone_at else changed_since(row),
        new=sum(entry is None for entry in row.before.values()),
    )


@blueprint.post("/<int:addition_id>/undo")
@access.admin
def take_back(addition_id: int) -> Response:
    """Undo it, if nobody changed anything of it since."""
    row = _row(addition_id)
    try:
        undo(row)
    except DocumentError as error:
        store.session().rollback()
        flash(str(error), "bad")
    else:
        flash(gettext("It is undone: everything is as it was before."), "good")
    return redirect(url_for("additions.show", addition_id=addition_id), 303)


def _leaning_on(names: Sequence[str]) -> list[str]:
    """Machines that are not among these and have one of them as their parent."""
    gone = set(names)
    rows = store.session().scalars(select(Host).where(Host.parents.any(Host.name.in_(names))).order_by(Host.name))
    return [row.name for row in rows if row.name not in gone]


def _row(addition_id: int) -> Addition:
    found = store.session().get(Addition, addition_id)
    if found is None:
        abort(404)
    return found
