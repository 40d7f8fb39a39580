"""A machine's checks: added, changed, tried out before they are saved, deleted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from sqlalchemy import select, true
from sqlalchemy.exc import IntegrityError
from werkzeug.wrappers import Response

from domain.inventory import Check, Credential, Host
from domain.options import describe
from domain.rights import Right
from probes import catalogue
from probes.base import Probe
from webui import access, addresses, heard, logins, looks, proof, store
from webui.draft import Draft
from webui.forms import Field, OptionsForm
from webui.language import gettext
from webui.wording import number

blueprint = Blueprint("checks", __name__, url_prefix="/machines/<int:host_id>/checks")

PREFIX = "option-"
AT_ONCE = 4
"""So many options stand open; the others are a click away."""
NAMED = {"icmp": "ping", "ssh": "SSH", "http": "HTTP"}


@dataclass
class Form:
    """The whole form of a check: its plain fields, its login, and its probe's own options."""

    draft: Draft
    options: list[Field]
    values: dict[str, Any]
    filled: Any | None
    login: logins.Login | None

    @property
    def good(self) -> bool:
        """Whether something was sent and nothing of it is wrong."""
        return self.draft.good and self.filled is not None


def kinds() -> list[Probe]:
    """What can be added by hand; `local` looks at Pantau's own machine and is no use for another."""
    return [probe for probe in catalogue().values() if probe.kind != "local"]


@blueprint.route("/new", methods=["GET", "POST"])
@access.may(Right.EDIT)
def new(host_id: int) -> Response | str | tuple[str, int]:
    """Choose a kind, then fill in its form."""
    host = access.host(host_id)
    probe = catalogue().get(request.args.get("kind", ""))
    if probe is None:
        return render_template("edit/kinds.html", active="machines.index", host=host, kinds=kinds())
    return _work(host, probe, None)


@blueprint.route("/<int:check_id>", methods=["GET", "POST"])
@access.may(Right.EDIT)
def edit(host_id: int, check_id: int) -> Response | str | tuple[str, int]:
    """Change a check."""
    host = access.host(host_id)
    check = _check(host, check_id)
    probe = catalogue().get(check.kind)
    if probe is None:  # made by another version: it can be deleted and nothing else
        return redirect(url_for("checks.delete", host_id=host.id, check_id=check.id))
    return _work(host, probe, check)


@blueprint.route("/<int:check_id>/delete", methods=["GET", "POST"])
@access.may(Right.EDIT)
def delete(host_id: int, check_id: int) -> Response | str:
    """Ask once more, saying what is lost; then delete."""
    host = access.host(host_id)
    check = _check(host, check_id)
    if request.method == "GET":
        return render_template("edit/delete_check.html", active="machines.index", host=host, check=check)
    name = check.name
    store.session().delete(check)
    store.announce("inventory")
    store.session().commit()
    flash(gettext("The check “%(name)s” is deleted.", name=name), "good")
    return redirect(url_for("edit.machine", host_id=host.id), 303)


def _work(host: Host, probe: Probe, check: Check | None) -> Response | str | tuple[str, int]:
    """Show the form, try it out, or store it."""
    form = _read(host, probe, check, request.form if request.method == "POST" else None)
    if form.good and aims(check, probe.kind, form.values["credential_id"], _stored(probe, form.filled, check)):
        proof.demand()
    if form.good and request.form.get("do") == "test":
        chosen = form.values["credential_id"]
        look = looks.test(host, probe.kind, _stored(probe, form.filled, check), chosen, form.login)
        store.session().commit()
        return redirect(url_for("looks.show", look_id=look.id), 303)
    if form.good and check is not None and _same(check, form, _stored(probe, form.filled, check)):
        flash(gettext("Nothing was changed."), "good")
        return redirect(url_for("edit.machine", host_id=host.id), 303)
    kept = _keep(host, probe, check, form) if form.good else None
    if kept is not None:
        flash(gettext("The check “%(name)s” is saved and looked at now.", name=form.values["name"]), "good")
        if check is None and probe.kind == "heard":  # its URL is what one came for
            return redirect(url_for("checks.edit", host_id=host.id, check_id=kept.id), 303)
        return redirect(url_for("edit.machine", host_id=host.id), 303)
    if request.method == "POST":
        form.draft.remind()
    page = _page(host, probe, check, form)
    return page if request.method == "GET" else (page, 422)


def _same(check: Check, form: Form, options: dict[str, Any]) -> bool:
    """Whether the form says nothing but what is stored: then nothing is done, and there is nothing to put on record."""
    kept = {name: getattr(check, name) for name in form.values}
    return form.login is None and (kept, check.options) == (form.values, options)


def _page(host: Host, probe: Probe, check: Check | None, form: Form) -> str:
    first = [f for f in form.options if f.required] or form.options[:AT_ONCE]
    more = [f for f in form.options if f not in first]
    usual = {f.name: f.value for f in OptionsForm(probe.options, PREFIX).fields()}
    return render_template(
        "edit/check.html",
        active="machines.index",
        host=host,
        check=check,
        probe=probe,
        draft=form.draft,
        first=first,
        more=more,
        opened=any(f.wrong or f.value != usual[f.name] for f in more),
        login=[form.draft[name] for name in logins.NAMES if name in form.draft],
        calls=heard.address(check) if check is not None and check.kind == "heard" else "",
        no_credentials=probe.secret and len(form.draft["credential"].choices) == 1,
    )


def _read(host: Host, probe: Probe, check: Check | None, typed: Mapping[str, str] | None) -> Form:
    draft, options = Draft(typed), OptionsForm(probe.options, PREFIX)
    stored = check.options if check else {}
    values: dict[str, Any] = {
        "name": draft.text(
            Field("name", gettext("Name"), value=check.name if check else _free(host, probe), required=True)
        ),
        "credential_id": None,
    }
    login = _login(draft, probe, check, values) if probe.secret else None
    _pace(draft, host, check, values)
    values["reachability"] = draft.tick(
        Field(
            "reachability",
            gettext("A failure of this check means the machine is down"),
            "check",
            value="yes" if (check.reachability if check else probe.reachability) else "",
        )
    )
    values["enabled"] = draft.tick(
        Field("enabled", gettext("Switched on"), "check", value="yes" if check is None or check.enabled else "")
    )
    if typed is None:
        return Form(draft, options.fields(stored), values, None, None)
    filled, fields = options.read(typed, stored)
    if filled is not None and elsewhere(check, probe.kind, values["credential_id"], _stored(probe, filled, check)):
        draft.blame(
            "credential",
            gettext("Only an administrator may change where a stored login goes. Enter the login again, or ask one."),
        )
    if not allowed(host):
        draft.blame("name", gettext("This is the machine Pantau runs on. Only an administrator may have it watched."))
    if any(other.name == values["name"] and other is not check for other in host.checks):
        draft.blame("name", gettext("This machine has a check of this name already. Choose another name."))
    return Form(draft, fields, values, filled, login)


def aims(check: Check | None, kind: str, credential_id: int | None, options: dict[str, Any]) -> bool:
    """Whether a stored secret would go where it did not go before.

    Another kind of check is another way of sending it, to another port.
    """
    if credential_id is None:
        return False
    return check is None or (kind, credential_id, options) != (check.kind, check.credential_id, check.options)


def allowed(host: Host) -> bool:
    """Whether this person may have checks made at the machine's address at all."""
    return access.can(Right.ADMIN) or not addresses.own(host.address)


def elsewhere(check: Check | None, kind: str, credential_id: int | None, options: dict[str, Any]) -> bool:
    """Whether a secret this person has not typed would go where it did not go before, and they may not decide that."""
    return not access.can(Right.ADMIN) and aims(check, kind, credential_id, options)


def _login(draft: Draft, probe: Probe, check: Check | None, values: dict[str, Any]) -> logins.Login | None:
    """Which credential: a stored one, a new one typed here, or none."""
    offered = true() if access.can(Right.ADMIN) else Credential.id == (check.credential_id if check else None)
    rows = store.session().scalars(select(Credential).where(offered).order_by(Credential.name))
    choices = [("", gettext("none"))]
    choices += [(str(row.id), row.name) for row in rows if row.kind in probe.credentials]
    chosen = draft.choice(
        Field(
            "credential",
            gettext("Credential"),
            "choice",
            value=str(check.credential_id or "") if check else "",
            choices=tuple(choices),
        )
    )
    values["credential_id"] = int(chosen) if chosen.isdecimal() and not draft["credential"].wrong else None
    login = logins.ask(draft, kinds=probe.credentials)
    if login is not None and values["credential_id"] is not None:
        same = check is not None and check.credential_id == values["credential_id"]
        if same:  # it was chosen before; what is typed now replaces it
            values["credential_id"] = None
        else:
            draft.blame("credential", gettext("Either choose a stored credential or enter a new one, not both."))
    return login


def _pace(draft: Draft, host: Host, check: Check | None, values: dict[str, Any]) -> None:
    pace = host.interval_s or store.settings().interval
    values["interval_s"] = draft.number(
        Field(
            "interval",
            gettext("Seconds between looks"),
            "number",
            value="" if check is None or check.interval_s is None else f"{check.interval_s:g}",
            help=gettext("Empty: %(count)s, as the machine has it.", count=number(pace)),
            low=1,
            high=86400,
        )
    )
    values["deadline_s"] = draft.number(
        Field(
            "deadline",
            gettext("Seconds to wait for an answer"),
            "number",
            value=f"{check.deadline_s:g}" if check else "10",
            required=True,
            low=0.1,
            high=300,
        )
    )


def _keep(host: Host, probe: Probe, check: Check | None, form: Form) -> Check | None:
    """Store the check, and its new credential; None where somebody else took the name meanwhile."""
    database = store.session()
    options = _stored(probe, form.filled, check)
    with database.no_autoflush:
        if form.login is not None:
            credential = logins.keep(form.login, logins.name_for(form.login))
            database.flush()
            form.values["credential_id"] = credential.id
        if check is None:
            check = Check(host_id=host.id, kind=probe.kind)
            database.add(check)
        check.options = options
        for name, value in form.values.items():
            setattr(check, name, value)
    looks.run(host.id)
    store.announce("inventory")
    try:
        database.commit()
    except IntegrityError:
        database.rollback()
        form.draft.blame("name", gettext("This was changed by somebody else meanwhile. Look at it again, then save."))
        return None
    return check


def _stored(probe: Probe, filled: Any, check: Check | None) -> dict[str, Any]:
    """The options as they are kept: what differs from the default; hidden ones stay what they were."""
    kept: dict[str, Any] = {}
    for option in describe(probe.options):
        value = getattr(filled, option.name)
        if option.hidden:
            if check is not None and option.name in check.options:
                kept[option.name] = check.options[option.name]
        elif value != option.default or option.required:
            kept[option.name] = list(value) if isinstance(value, tuple) else value
    return kept


def _free(host: Host, probe: Probe) -> str:
    return logins.free(NAMED.get(probe.kind, gettext(probe.label)), {check.name for check in host.checks})


def _check(host: Host, check_id: int) -> Check:
    found = store.session().scalar(select(Check).where(Check.id == check_id, Check.host_id == host.id))
    if found is None:
        abort(404)
    return found
