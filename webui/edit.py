"""Machines and their checks, edited: nothing typed is lost, nothing wrong is saved."""

from __future__ import annotations

import uuid
from dataclasses import asdict
from typing import Any

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from sqlalchemy import delete, func, select
from werkzeug.wrappers import Response

from config.vault import VaultError
from domain.clock import now
from domain.inventory import Check, Credential, Host, HostGroup, HostKey
from domain.requests import Look
from probes import catalogue
from probes.base import Probe, describe
from webui import access, logins, store
from webui.forms import Field, OptionsForm
from webui.language import gettext

blueprint = Blueprint("edit", __name__, url_prefix="/machines")
look_blueprint = Blueprint("looks", __name__, url_prefix="/looks")

NEW = "new"
Answer = Response | str | tuple[str, int]


# ---- the machine ----


@blueprint.route("/new", methods=["GET", "POST"])
@access.admin
def new() -> Answer:
    """Add one machine by name and address; it is pinged at once."""
    return _machine_form(None)


@blueprint.route("/<int:host_id>/edit", methods=["GET", "POST"])
@access.admin
def machine(host_id: int) -> Answer:
    """The machine itself, and the way to its checks."""
    return _machine_form(access.host(host_id))


@blueprint.route("/<int:host_id>/delete", methods=["GET", "POST"])
@access.admin
def remove(host_id: int) -> Answer:
    """Delete a machine, after saying what goes with it."""
    host, database = access.host(host_id), store.session()
    if request.method == "GET":
        return render_template("edit/delete.html", active="machines.index", host=host)
    database.delete(host)
    database.commit()
    flash(gettext("%(name)s is no longer watched; what was recorded of it is gone.", name=host.name), "good")
    return redirect(url_for("machines.index"), 303)


@blueprint.post("/<int:host_id>/keys/<int:key_id>")
@access.admin
def accept(host_id: int, key_id: int) -> Response:
    """Trust the host key a machine shows now instead of the old one, or refuse it."""
    host, database = access.host(host_id), store.session()
    key = database.get(HostKey, key_id)
    if key is None or key.host_id != host.id or key.state != "offered":
        abort(404)
    if request.form.get("answer") == "accept":
        database.execute(
            delete(HostKey).where(HostKey.host_id == host.id, HostKey.port == key.port, HostKey.state == "pinned")
        )
        key.state, key.accepted_at, key.accepted_by = "pinned", now(), access.person().id
        flash(gettext("The key %(key)s is trusted now.", key=key.fingerprint), "good")
    else:
        database.delete(key)
    database.commit()
    return redirect(url_for("edit.machine", host_id=host.id), 303)


def _machine_form(host: Host | None) -> Answer:
    typed = request.form if request.method == "POST" else _as_typed(host)
    if request.method == "GET":
        return _machine_page(host, typed, {})
    values, wrong = _read_machine(host, typed)
    if wrong:
        return _machine_page(host, typed, wrong), 422
    database = store.session()
    made = host or Host(checks=[Check(kind="icmp", name="ping")])
    for name, value in values.items():
        setattr(made, name, value)
    made.groups = _groups(typed.get("groups", ""))
    database.add(made)
    database.commit()
    flash(gettext("%(name)s is saved.", name=made.name), "good")
    return redirect(url_for("machine.show" if host else "edit.machine", host_id=made.id), 303)


def _as_typed(host: Host | None) -> dict[str, str]:
    if host is None:
        return {"enabled": "yes"}
    return {
        "name": host.name,
        "address": host.address,
        "groups": ", ".join(group.name for group in host.groups),
        "interval": f"{host.interval_s:g}" if host.interval_s else "",
        "attempts": str(host.attempts or ""),
        "note": host.note,
        "enabled": "yes" if host.enabled else "",
    }


def _read_machine(host: Host | None, typed: Any) -> tuple[dict[str, Any], dict[str, str]]:
    wrong: dict[str, str] = {}
    name, address = typed.get("name", "").strip(), typed.get("address", "").strip()
    if not name or not name.isprintable() or len(name) > 100:
        wrong["name"] = gettext("Please give it a name.")
    elif store.session().scalar(select(Host.id).where(Host.name == name, Host.id != (host.id if host else 0))):
        wrong["name"] = gettext("Another machine has this name.")
    if not address or not address.isprintable() or " " in address or len(address) > 253:
        wrong["address"] = gettext("Please give one host name or IP address, such as 10.0.0.5.")
    values = {
        "name": name,
        "address": address,
        "note": typed.get("note", "").strip()[:500],
        "enabled": typed.get("enabled") == "yes",
        "interval_s": _number(typed, "interval", 1, 86400, wrong),
        "attempts": _number(typed, "attempts", 1, 20, wrong, whole=True),
    }
    return values, wrong


def _machine_page(host: Host | None, typed: Any, wrong: dict[str, str]) -> str:
    usual = store.settings()
    fields = [
        Field("name", gettext("Name"), required=True),
        Field("address", gettext("Address"), required=True, help=gettext("A host name or an IP address.")),
        Field("groups", gettext("Groups"), help=gettext("Separated by commas; new ones are made.")),
        Field("interval", gettext("Seconds between looks"), "number", help=gettext("Empty: %(usual)s.", usual=f"{usual.interval:g}")),
        Field("attempts", gettext("Misses in a row until it is down"), "number", whole=True, help=gettext("Empty: %(usual)s.", usual=usual.attempts)),
        Field("note", gettext("Note")),
        Field("enabled", gettext("Watch this machine"), "check"),
    ]  # fmt: skip
    fields = [field.amended(typed.get(field.name, ""), wrong.get(field.name, "")) for field in fields]
    keys: list[HostKey] = []
    if host is not None:
        keys = list(store.session().scalars(select(HostKey).where(HostKey.host_id == host.id).order_by(HostKey.state)))
    return render_template(
        "edit/machine.html",
        active="machines.index",
        host=host,
        fields=fields,
        probes=[p for p in catalogue().values() if p.kind != "local"],
        labels={p.kind: p.label for p in catalogue().values()},
        keys=keys,
    )


def _groups(text: str) -> list[HostGroup]:
    database, found = store.session(), []
    for name in dict.fromkeys(word.strip()[:100] for word in text.split(",") if word.strip()):
        found.append(database.scalar(select(HostGroup).where(HostGroup.name == name)) or HostGroup(name=name))
    return found


def _number(typed: Any, name: str, low: float, high: float, wrong: dict[str, str], whole: bool = False) -> Any:
    text = typed.get(name, "").strip().replace(",", ".")
    if not text:
        return None
    try:
        value = int(text) if whole else float(text)
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        wrong[name] = gettext("This lies between %(low)s and %(high)s.", low=f"{low:g}", high=f"{high:g}")
        return None
    return value


# ---- its checks ----


@blueprint.route("/<int:host_id>/checks/new", methods=["GET", "POST"])
@access.admin
def new_check(host_id: int) -> Answer:
    """Add a check of a kind."""
    host = access.host(host_id)
    probe = catalogue().get(request.values.get("kind", ""))
    if probe is None:
        abort(404)
    return _check_form(host, probe, None)


@blueprint.route("/<int:host_id>/checks/<int:check_id>", methods=["GET", "POST"])
@access.admin
def check(host_id: int, check_id: int) -> Answer:
    """Change a check, try it, or delete it."""
    host = access.host(host_id)
    row = next((one for one in host.checks if one.id == check_id), None)
    probe = catalogue().get(row.kind) if row else None
    if row is None or probe is None:
        abort(404)
    if request.form.get("do") == "delete":
        store.session().delete(row)
        store.session().commit()
        flash(gettext("The check %(name)s is deleted.", name=row.name), "good")
        return redirect(url_for("edit.machine", host_id=host.id), 303)
    return _check_form(host, probe, row)


def _check_form(host: Host, probe: Probe, row: Check | None) -> Answer:
    form = OptionsForm(probe.options, "o-")
    if request.method == "GET":
        return _check_page(
            host, probe, row, _check_typed(row, probe, host), form.fields(row.options if row else None), {}
        )
    options, fields = form.read(request.form, row.options if row else None)
    wrong: dict[str, str] = {}
    name = request.form.get("name", "").strip()[:100]
    if not name or not name.isprintable():
        wrong["name"] = gettext("Please give it a name.")
    elif any(one.name == name and one is not row for one in host.checks):
        wrong["name"] = gettext("Another check of this machine has this name.")
    interval = _number(request.form, "interval", 1, 86400, wrong)
    deadline = _number(request.form, "deadline", 0.1, 300, wrong)
    typed, login_wrong = _login(probe)
    wrong |= login_wrong
    if wrong or options is None:
        return _check_page(host, probe, row, request.form, fields, wrong), 422
    values = {
        field: value
        for field, value in asdict(options).items()
        if field not in probe.hidden and not _is_hidden(probe, field) and value != _default(probe, field)
    }
    try:
        if request.form.get("do") == "test":
            look = _ask(host, probe, values, typed)
            return _check_page(host, probe, row, request.form, fields, {}, look)
        _save_check(host, probe, row, name, values, interval, deadline, typed)
    except VaultError as error:
        return _check_page(host, probe, row, request.form, fields, {"secret": str(error)}), 422
    flash(gettext("The check %(name)s is saved; it is looked at at once.", name=name), "good")
    return redirect(url_for("machine.show", host_id=host.id), 303)


def _login(probe: Probe) -> tuple[logins.Typed | None, dict[str, str]]:
    """The login typed into the check's form, where a new one is wanted."""
    if not probe.secret or request.form.get("credential", "") != NEW:
        return None, {}
    return logins.read(request.form)


def _credential_id() -> int | None:
    chosen = request.form.get("credential", "")
    if not chosen.isascii() or not chosen.isdigit() or len(chosen) > 9:
        return None
    row = store.session().get(Credential, int(chosen))
    return row.id if row else None


def _save_check(
    host: Host, probe: Probe, row: Check | None, name: str, values: dict[str, Any],
    interval: float | None, deadline: float | None, typed: logins.Typed | None,
) -> None:  # fmt: skip
    database = store.session()
    made = row or Check(host_id=host.id, kind=probe.kind)
    made.name, made.options = name, values
    made.interval_s, made.deadline_s = interval, deadline or 10
    made.enabled = request.form.get("enabled") == "yes"
    made.reachability = request.form.get("reachability") == "yes"
    if typed is not None:
        kept = logins.keep(typed, logins.free_name(f"{typed.username}@{host.name}"))
        database.flush()
        made.credential_id = kept.id
    elif probe.secret:
        made.credential_id = _credential_id()
    database.add(made)
    database.commit()


def _check_typed(row: Check | None, probe: Probe, host: Host) -> dict[str, str]:
    if row is None:
        taken = {one.name for one in host.checks}
        name = next(n for n in (probe.kind, *(f"{probe.kind} {i}" for i in range(2, 100))) if n not in taken)
        known = store.session().scalar(select(func.min(Credential.id))) if probe.secret else None
        chosen = str(known) if known else NEW
        return {"name": name, "deadline": "10", "enabled": "yes", "reachability": "yes" if probe.reachability else "", "credential": chosen}  # fmt: skip
    return {
        "name": row.name,
        "interval": f"{row.interval_s:g}" if row.interval_s else "",
        "deadline": f"{row.deadline_s:g}",
        "enabled": "yes" if row.enabled else "",
        "reachability": "yes" if row.reachability else "",
        "credential": str(row.credential_id or ""),
    }


def _check_page(
    host: Host, probe: Probe, row: Check | None, typed: Any, options: list[Field], wrong: dict[str, str], look: Look | None = None
) -> str:  # fmt: skip
    choices = [
        (str(c.id), f"{c.name} ({c.username})")
        for c in store.session().scalars(select(Credential).order_by(Credential.name))
    ]
    credential = Field(
        "credential",
        gettext("Login"),
        "choice",
        choices=((NEW, gettext("a new one, typed below")), ("", gettext("none")), *choices),
    )
    more = [
        Field("interval", gettext("Seconds between looks"), "number", help=gettext("Empty: as the machine.")),
        Field("deadline", gettext("Seconds a look may take"), "number"),
        Field("reachability", gettext("Decides whether the machine is up or down"), "check"),
        Field("enabled", gettext("Look at this"), "check"),
    ]
    return render_template(
        "edit/check.html",
        active="machines.index",
        host=host,
        probe=probe,
        row=row,
        name=Field("name", gettext("Name"), required=True).amended(typed.get("name", ""), wrong.get("name", "")),
        options=options,
        credential=credential.amended(typed.get("credential", "")) if probe.secret else None,
        login=logins.fields(typed.get("username", ""), wrong, required=False) if probe.secret else [],
        more=[field.amended(typed.get(field.name, ""), wrong.get(field.name, "")) for field in more],
        look=look,
    )


def _is_hidden(probe: Probe, name: str) -> bool:
    return next(option.hidden for option in describe(probe.options) if option.name == name)


def _default(probe: Probe, name: str) -> Any:
    option = next(option for option in describe(probe.options) if option.name == name)
    return object() if option.required else option.default


# ---- trying a check ----


def _ask(host: Host, probe: Probe, values: dict[str, Any], typed: logins.Typed | None) -> Look:
    """Ask the poller to climb the ladder with what is in the form."""
    asked: dict[str, Any] = {"kind": probe.kind, "address": host.address, "options": values, "host_id": host.id}
    look = Look(id=str(uuid.uuid4()), kind="test", asked=asked, asked_by=access.person().id)
    if typed is not None:
        asked["typed"] = {"kind": typed.kind, "username": typed.username}
        look.sealed = logins.seal(typed.secret, f"look:{look.id}")
    elif probe.secret:
        asked["credential_id"] = _credential_id()
    store.session().add(look)
    store.session().commit()
    return look


@look_blueprint.get("/<look_id>")
@access.admin
def ladder(look_id: str) -> str:
    """The rungs climbed so far; only for the person who asked."""
    look = store.session().get(Look, look_id)
    if look is None or look.kind != "test" or look.asked_by != access.person().id:
        abort(404)
    waited = (now() - look.asked_at).total_seconds()
    return render_template(
        "edit/ladder.html",
        active="machines.index",
        look=look,
        rungs=look.answer.get("rungs", []),
        reading=look.answer.get("reading") or {},
        failed=str(look.answer.get("error", "")),
        pending=look.done_at is None and waited < 60,
        unclaimed=look.claimed_at is None and waited > 5,
    )
