"""Runbooks: scripts that are always the same, written by one person and read by another before they may run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from werkzeug.wrappers import Response

from domain import approving
from domain.actions import Runbook
from domain.clock import now
from domain.inventory import HostGroup, Person
from domain.orders import Unclear, parameters
from webui import access, deleting, store
from webui.draft import Draft
from webui.forms import Field
from webui.language import gettext

blueprint = Blueprint("runbooks", __name__, url_prefix="/runbooks")

LONGEST_SCRIPT = 20_000


@blueprint.get("")
@access.admin
def index() -> str:
    """All of them, and which wait for a reader."""
    session = store.session()
    rows = list(session.scalars(select(Runbook).order_by(Runbook.name)))
    people = {row[0]: row[1] for row in session.execute(select(Person.id, Person.name))}
    return render_template("actions/runbooks.html", active="runbooks.index", rows=rows, people=people, read=read)


@blueprint.route("/new", methods=["GET", "POST"])
@access.admin
@access.fresh
def new() -> Response | str | tuple[str, int]:
    """Write one."""
    return _work(None)


@blueprint.route("/<int:runbook_id>", methods=["GET", "POST"])
@access.admin
@access.fresh
def edit(runbook_id: int) -> Response | str | tuple[str, int]:
    """Change one; whoever else must read it again."""
    return _work(_runbook(runbook_id))


@blueprint.post("/<int:runbook_id>/read")
@access.admin
@access.fresh
def review(runbook_id: int) -> Response:
    """Say that it was read, in the form it was shown in, by somebody who did not write it."""
    session, me = store.session(), access.person()
    row = session.scalar(select(Runbook).where(Runbook.id == runbook_id).with_for_update())
    if row is None:
        abort(404)
    if row.written_by == me.id:
        flash(gettext("Whoever wrote it does not read it for others: somebody else does."), "bad")
    elif request.form.get("form") != approving.digest(row):
        flash(gettext("It was changed meanwhile. Please read it again."), "bad")
    else:
        row.reviewed, row.reviewed_by, row.reviewed_at = approving.digest(row), me.id, now()
        session.commit()
        flash(gettext("It may be asked for now."), "good")
    return redirect(url_for("runbooks.edit", runbook_id=runbook_id), 303)


@blueprint.route("/<int:runbook_id>/delete", methods=["GET", "POST"])
@access.admin
def delete(runbook_id: int) -> Response | str:
    """Ask once more; then delete."""
    row = _runbook(runbook_id)
    text = gettext("It cannot be asked for any more; what was done by it stays on record.")
    return deleting.asked_twice(row, text, home="runbooks.index", back=url_for("runbooks.edit", runbook_id=row.id))


def read(row: Runbook) -> bool:
    """Whether it was read by a second person as it is now."""
    return bool(row.reviewed) and row.reviewed == approving.digest(row)


def _work(row: Runbook | None) -> Response | str | tuple[str, int]:
    session = store.session()
    draft = Draft(request.form if request.method == "POST" else None)
    groups = tuple((str(id), name) for id, name in session.execute(select(HostGroup.id, HostGroup.name).order_by("name")))  # fmt: skip
    name = draft.text(Field("name", gettext("Name"), value=row.name if row else "", required=True))
    note = draft.text(Field("note", gettext("What it is for"), "lines", row.note if row else ""), 1000)
    script = draft.text(
        Field("script", gettext("Script"), "lines", row.script if row else "#!/bin/sh\nset -eu\n", gettext("For sh on a Linux machine, run as the login for actions. Parameters are $1, $2 and so on, in the order below; they are single plain words and never part of the script."), required=True),
        LONGEST_SCRIPT,
    )  # fmt: skip
    told = draft.text(
        Field("parameters", gettext("Parameters"), "lines", as_text(row.parameters if row else []), gettext("One a line: name = one, two, three (a choice); name = 1..30 (a number); name = word.")),
        4000,
    )  # fmt: skip
    group = draft.choice(Field("group_id", gettext("For machines of the group"), "choice", str(row.group_id or "") if row else "", choices=(("", gettext("all of them")), *groups)))  # fmt: skip
    deadline = draft.number(Field("deadline_s", gettext("Longest run, in seconds"), "number", str(row.deadline_s if row else 60), low=5, high=3600, whole=True, required=True))  # fmt: skip
    wanted: list[dict[str, Any]] = []
    if draft.good:
        try:
            wanted = from_text(told)
            parameters(wanted)
        except (ValueError, Unclear):
            draft.blame(
                "parameters", gettext("A line is “name = one, two”, “name = 1..30” or “name = word”; at most 12.")
            )
    if draft.good and deadline is not None:
        kept = row or Runbook()
        kept.name, kept.note, kept.script, kept.parameters = name, note, script, wanted
        kept.group_id, kept.deadline_s = int(group) if group else None, int(deadline)
        if not read(kept):
            kept.written_by, kept.written_at = access.person().id, now()
            kept.reviewed, kept.reviewed_by, kept.reviewed_at = "", None, None
        try:
            session.add(kept)
            session.commit()
        except IntegrityError:
            session.rollback()
            draft.blame("name", gettext("Another one has this name. Choose another name."))
        else:
            flash(gettext("“%(name)s” is saved.", name=kept.name), "good")
            return redirect(url_for("runbooks.edit", runbook_id=kept.id), 303)
    people = {row[0]: row[1] for row in session.execute(select(Person.id, Person.name))}
    page = render_template(
        "actions/runbook.html", active="runbooks.index", row=row, draft=draft, people=people,
        read=row is not None and read(row), form=approving.digest(row) if row else "",
    )  # fmt: skip
    return page if request.method == "GET" else (page, 422)


def as_text(told: Sequence[Any]) -> str:
    """Parameters as they stand in the form."""
    lines = []
    for one in told:
        if one["kind"] == "choice":
            lines.append(f"{one['name']} = {', '.join(one['choices'])}")
        else:
            lines.append(f"{one['name']} = " + (f"{one['low']}..{one['high']}" if one["kind"] == "number" else "word"))
    return "\n".join(lines)


def from_text(text: str) -> list[dict[str, Any]]:
    """Parameters as they are kept. Raises ValueError."""
    found: list[dict[str, Any]] = []
    for line in text.splitlines():
        name, mark, kind = (part.strip() for part in line.partition("="))
        if not line.strip():
            continue
        if not mark:
            raise ValueError(line)
        low, dots, high = kind.partition("..")
        if dots:
            found.append({"name": name, "kind": "number", "low": int(low), "high": int(high)})
        elif kind == "word":
            found.append({"name": name, "kind": "word"})
        else:
            found.append({"name": name, "kind": "choice", "choices": [one.strip() for one in kind.split(",")]})
    return found


def _runbook(runbook_id: int) -> Runbook:
    found = store.session().get(Runbook, runbook_id)
    if found is None:
        abort(404)
    return found
