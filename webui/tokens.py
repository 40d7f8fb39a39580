"""A person's tokens: made for a program, shown once, listed, revoked."""

from __future__ import annotations

from datetime import timedelta

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from sqlalchemy import select
from werkzeug.wrappers import Response

from domain import rights
from domain.clock import now
from domain.rights import Right
from domain.tokens import LASTS, LOGINS, SCOPES, ApiToken
from webui import access, bearer, store
from webui.draft import Draft
from webui.forms import Field
from webui.language import gettext, lazy_gettext, ngettext

blueprint = Blueprint("tokens", __name__, url_prefix="/me/tokens")

DAYS = (7, 30, 90, 180, 366)
ENDED = timedelta(days=30)
"""For so long those that ended are listed."""
SAID = {
    "read": (lazy_gettext("Read"), lazy_gettext("Everything you may see of the machines.")),
    "handle": (
        lazy_gettext("Handle"),
        lazy_gettext("Incidents, maintenance, and looking now."),
    ),
    "edit": (lazy_gettext("Edit"), lazy_gettext("Machines, their checks and limits.")),
    "admin": (lazy_gettext("Administer"), lazy_gettext("Everything you may do, except to approve.")),
    "logins": (
        lazy_gettext("Touch logins"),
        lazy_gettext("With “Administer”: store logins of machines, say where they go, and who may log in here."),
    ),
}


@blueprint.get("")
@access.signed_in
def index() -> str:
    """What there is, and the form for one more."""
    return _page(_draft(None))


@blueprint.post("")
@access.signed_in
@access.fresh
def make() -> str | tuple[str, int]:
    """One more; this very answer is the only one that ever shows it."""
    draft = _draft(dict(request.form.items()))
    scopes = [scope for scope in SCOPES if draft[scope].value == "yes"]
    if draft.good and not scopes:
        draft.blame("read", gettext("Tick at least one."))
    if not draft.good:
        return _page(draft), 422
    person, lasts = access.person(), timedelta(days=int(draft["days"].value))
    try:
        row, token = bearer.make(
            store.session(), person, draft["name"].value, scopes, lasts, (request.remote_addr or "")[:60]
        )
    except bearer.Refused as refusal:
        draft.blame("name", str(refusal))
        return _page(draft), 422
    store.session().commit()
    return render_template("tokens/made.html", active="profile.index", row=row, token=token, said=SAID)


@blueprint.post("/<int:token_id>/revoke")
@access.signed_in
def revoke(token_id: int) -> Response:
    """It opens nothing any more, from now on."""
    own = select(ApiToken).where(ApiToken.id == token_id, ApiToken.person_id == access.person().id)
    row = store.session().scalar(own.with_for_update())
    if row is None:
        abort(404)
    bearer.revoke(store.session(), row)
    store.session().commit()
    flash(gettext("The token “%(name)s” is revoked; it opens nothing any more.", name=row.name), "good")
    return redirect(url_for("tokens.index"), 303)


def _draft(typed: dict[str, str] | None) -> Draft:
    draft = Draft(typed)
    draft.text(
        Field(
            "name",
            gettext("What for"),
            help=gettext("The program that will use it, such as “Grafana” or “backup script”."),
            required=True,
        ),
        bearer.LONGEST_NAME,
    )
    for scope, (label, about) in SAID.items():
        if _could(scope):
            value = "yes" if scope == "read" else ""
            draft.tick(Field(scope, str(label), "check", value=value, help=str(about)))
        else:
            draft.tick(Field(scope, str(label), "check"))
    draft.choice(
        Field(
            "days",
            gettext("Expires after"),
            "choice",
            value=str(LASTS.days),
            choices=tuple((str(days), ngettext("%(num)s day", "%(num)s days", days)) for days in DAYS),
        )
    )
    return draft


def _could(scope: str) -> bool:
    """Whether this person may do anything of this scope at all: the form offers nothing that is empty."""
    own = set(rights.OF[access.person().role]).union(*(rights.OF[one.role] for one in access.person().memberships))
    if scope == LOGINS:
        return Right.ADMIN in own
    return scope == "read" or bool((SCOPES[scope] - SCOPES["read"]) & own)


def _page(draft: Draft) -> str:
    moment = now()
    wanted = select(ApiToken).where(ApiToken.person_id == access.person().id, ApiToken.expires_at > moment - ENDED)
    rows = list(store.session().scalars(wanted.order_by(ApiToken.id.desc())))
    return render_template(
        "tokens/index.html",
        active="profile.index",
        draft=draft,
        offered=[draft[scope] for scope in SAID if _could(scope)],
        said=SAID,
        alive=[row for row in rows if row.revoked_at is None and row.expires_at > moment],
        ended=[row for row in rows if row.revoked_at is not None or row.expires_at <= moment],
    )
