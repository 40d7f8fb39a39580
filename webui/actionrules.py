"""Who must agree to what: rules in an order, of which the first that fits holds."""

from __future__ import annotations

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from werkzeug.wrappers import Response

from domain.actions import ActionRule
from domain.inventory import Division, HostGroup
from domain.quorum import USUAL
from webui import access, deleting, doings, store
from webui.draft import Draft
from webui.forms import Field
from webui.language import gettext, lazy_gettext

blueprint = Blueprint("actionrules", __name__, url_prefix="/rules")

WHO = {
    "approvers": lazy_gettext("Approvers"),
    "operators": lazy_gettext("Operators, administrators and approvers"),
}


@blueprint.get("")
@access.admin
def index() -> str:
    """All rules in their order, and what holds where none fits."""
    session = store.session()
    rows = list(session.scalars(select(ActionRule).order_by(ActionRule.position, ActionRule.id)))
    return render_template(
        "actions/rules.html", active="actionrules.index", rows=rows, usual=USUAL, kinds=doings.KINDS, who=WHO,
        divisions={row[0]: row[1] for row in session.execute(select(Division.id, Division.name))},
        groups={row[0]: row[1] for row in session.execute(select(HostGroup.id, HostGroup.name))},
    )  # fmt: skip


@blueprint.route("/new", methods=["GET", "POST"])
@access.admin
@access.fresh
def new() -> Response | str | tuple[str, int]:
    """Add a rule, below all others."""
    return _work(None)


@blueprint.route("/<int:rule_id>", methods=["GET", "POST"])
@access.admin
@access.fresh
def edit(rule_id: int) -> Response | str | tuple[str, int]:
    """Change a rule."""
    return _work(_rule(rule_id))


@blueprint.post("/<int:rule_id>/up")
@access.admin
def up(rule_id: int) -> Response:
    """Have it come before the one above it."""
    row, session = _rule(rule_id), store.session()
    rows = list(session.scalars(select(ActionRule).order_by(ActionRule.position, ActionRule.id).with_for_update()))
    at = rows.index(row)
    if at:
        rows[at - 1], rows[at] = rows[at], rows[at - 1]
    for place, one in enumerate(rows):
        if one.position != place:
            one.position = place
    session.commit()
    return redirect(url_for("actionrules.index"), 303)


@blueprint.route("/<int:rule_id>/delete", methods=["GET", "POST"])
@access.admin
def delete(rule_id: int) -> Response | str:
    """Ask once more; then delete."""
    row = _rule(rule_id)
    text = gettext("What it decided is decided by the rules below it from then on, or by the usual two people.")
    return deleting.asked_twice(row, text, home="actionrules.index", back=url_for("actionrules.edit", rule_id=row.id))


def _work(row: ActionRule | None) -> Response | str | tuple[str, int]:
    session = store.session()
    draft = Draft(request.form if request.method == "POST" else None)
    anything = (("", gettext("all of them")),)
    divisions = [(str(id), name) for id, name in session.execute(select(Division.id, Division.name).order_by("name"))]
    groups = [(str(id), name) for id, name in session.execute(select(HostGroup.id, HostGroup.name).order_by("name"))]
    now = row or ActionRule(name="", kind="", allow=True, needs=2, local=1, by="approvers", alone=False, expires_s=900)
    name = draft.text(Field("name", gettext("Name"), value=now.name, required=True))
    kind = draft.choice(Field("kind", gettext("Actions"), "choice", now.kind, choices=(*anything, *((key, str(word)) for key, word in doings.KINDS.items()))))  # fmt: skip
    division = draft.choice(Field("division_id", gettext("Machines of the division"), "choice", str(now.division_id or ""), choices=(*anything, *divisions)))  # fmt: skip
    group = draft.choice(Field("group_id", gettext("Machines of the group"), "choice", str(now.group_id or ""), choices=(*anything, *groups)))  # fmt: skip
    allow = draft.tick(Field("allow", gettext("It may be asked for"), "check", "yes" if now.allow else ""))
    needs = draft.number(Field("needs", gettext("How many must agree"), "number", str(now.needs), gettext("Whoever asks never counts."), low=1, high=9, whole=True, required=True))  # fmt: skip
    local = draft.number(Field("local", gettext("Of the machine's division at least"), "number", str(now.local), low=0, high=9, whole=True, required=True))  # fmt: skip
    by = draft.choice(Field("by", gettext("Who may agree"), "choice", now.by, choices=tuple((key, str(word)) for key, word in WHO.items())))  # fmt: skip
    alone = draft.tick(Field("alone", gettext("Operators and administrators may act alone"), "check", "yes" if now.alone else "", gettext("On a finding of their own: they show once more who they are, and it stays on record.")))  # fmt: skip
    minutes = draft.number(Field("minutes", gettext("Expires after minutes"), "number", f"{now.expires_s / 60:g}", low=1, high=1440, whole=True, required=True))  # fmt: skip
    if draft.good and needs is not None and local is not None and local > needs:
        draft.blame("local", gettext("These are more than must agree at all."))
    if draft.good and needs is not None and local is not None and minutes is not None:
        last = session.scalar(select(func.max(ActionRule.position)))
        kept = row or ActionRule(position=0 if last is None else last + 1)
        kept.name, kept.kind, kept.allow, kept.by, kept.alone = name, kind, allow, by, alone
        kept.division_id = int(division) if division else None
        kept.group_id = int(group) if group else None
        kept.needs, kept.local, kept.expires_s = int(needs), int(local), int(minutes) * 60
        try:
            session.add(kept)
            session.commit()
        except IntegrityError:
            session.rollback()
            draft.blame("name", gettext("Another one has this name. Choose another name."))
        else:
            flash(gettext("“%(name)s” is saved.", name=kept.name), "good")
            return redirect(url_for("actionrules.index"), 303)
    page = render_template("actions/rule.html", active="actionrules.index", row=row, draft=draft)
    return page if request.method == "GET" else (page, 422)


def _rule(rule_id: int) -> ActionRule:
    found = store.session().get(ActionRule, rule_id)
    if found is None:
        abort(404)
    return found
