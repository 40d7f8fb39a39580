"""A machine's own settings: added, changed, switched off, deleted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from werkzeug.wrappers import Response

from domain.inventory import Division, Host, HostGroup, Site, host_parent
from domain.records import Incident
from domain.requests import Look
from domain.rights import Right
from probes import catalogue
from webui import access, addresses, checks, credentials, hostkeys, looks, proof, sites, store, sweeps, topology
from webui.draft import LONGEST, Draft
from webui.forms import Field
from webui.language import gettext
from webui.wording import number

blueprint = Blueprint("edit", __name__, url_prefix="/machines")

LONGEST_NOTE = 2000
MOST_GROUPS = 50
ORDER = (
    "name", "address", "groups", "division", "site", "interval", "attempts", "action", "note", "runbook", "adopts_guests",
    "enabled",
)  # fmt: skip


@blueprint.route("/new", methods=["GET", "POST"])
@access.may(Right.EDIT)
def new() -> Response | str | tuple[str, int]:
    """Add one machine by hand; what answers at its address is looked at next."""
    draft = Draft(request.form if request.method == "POST" else None)
    values = _read(draft, None)
    if draft.good and _aims(None, values):
        proof.demand()
    if not draft.good:
        page = render_template("edit/new.html", active="machines.index", fields=_fields(draft))
        return page if request.method == "GET" else (page, 422)
    host, look = Host(), looks.sweep([values["address"]], {})
    if not _keep(host, values, draft):
        return render_template("edit/new.html", active="machines.index", fields=_fields(draft)), 422
    return redirect(url_for("edit.suggest", host_id=host.id, look_id=look.id), 303)


@blueprint.route("/<int:host_id>/suggest/<look_id>", methods=["GET", "POST"])
@access.may(Right.EDIT)
def suggest(host_id: int, look_id: str) -> Response | str | tuple[str, int]:
    """What answers at a new machine, as checks to tick."""
    host, look = access.host(host_id), looks.own(look_id, "sweep")
    if look.asked["addresses"] != [host.address]:
        abort(404)
    row = sweeps.rows(look)[0]
    ask = sweeps.LoginForm(request.form if request.method == "POST" else None)
    offered = sweeps.suggestions(row, None)
    if request.method == "GET":
        return _suggest_page(host, look, row, ask, set(offered))
    chosen = set(request.form.getlist("check")) & set(offered)
    if not chosen or not ask.draft.good:
        ask.draft.remind()
        wrong = "" if chosen else gettext("Tick at least one check.")
        return _suggest_page(host, look, row, ask, chosen, wrong), 422
    if "ssh" in chosen and ask.aims:
        proof.demand()
    there = {check.name for check in host.checks}
    wanted = sweeps.suggestions(row, ask.credential() if "ssh" in chosen else None)
    added = [check for key, check in wanted.items() if key in chosen and check.name not in there]
    host.checks.extend(added)
    looks.run(host.id)
    store.announce("inventory")
    store.session().commit()
    flash(gettext("“%(name)s” is now watched.", name=host.name), "good")
    return redirect(url_for("machine.show", host_id=host.id), 303)


def _suggest_page(
    host: Host, look: Look, row: sweeps.Row, ask: sweeps.LoginForm, chosen: set[str], wrong: str = ""
) -> str:
    return render_template(
        "edit/suggest.html",
        active="machines.index",
        host=host,
        row=row,
        ask=ask,
        chosen=chosen,
        offered=sweeps.suggestions(row, None),
        wrong=wrong,
        logs_in=row.has("ssh"),
        pending=looks.pending(look),
        silent=look.claimed_at is None and not looks.fresh(look),
        catalogue=catalogue(),
    )


@blueprint.route("/<int:host_id>/edit", methods=["GET", "POST"])
@access.may(Right.EDIT)
def machine(host_id: int) -> Response | str | tuple[str, int]:
    """Change a machine, and see its checks and host keys."""
    host = access.host(host_id)
    draft = Draft(request.form if request.method == "POST" else None)
    values = _read(draft, host)
    if draft.good and _aims(host, values):
        proof.demand()
    if draft.good and _keep(host, values, draft):
        flash(gettext("“%(name)s” is changed.", name=host.name), "good")
        return redirect(url_for("edit.machine", host_id=host.id), 303)
    page = render_template(
        "edit/machine.html",
        active="machines.index",
        host=host,
        fields=_fields(draft),
        catalogue=catalogue(),
        kinds=checks.kinds(),
        keys=hostkeys.of(host),
        others=topology.others(host),
    )
    return page if request.method == "GET" else (page, 422)


@blueprint.route("/<int:host_id>/delete", methods=["GET", "POST"])
@access.may(Right.EDIT)
def delete(host_id: int) -> Response | str:
    """Ask once more, saying what is lost; then delete."""
    host, database = access.host(host_id), store.session()
    if request.method == "GET":
        behind = select(func.count()).select_from(host_parent).where(host_parent.c.parent_id == host.id)
        incidents = select(func.count()).select_from(Incident).where(Incident.host_id == host.id)
        return render_template(
            "edit/delete.html",
            active="machines.index",
            host=host,
            behind=database.scalar(behind),
            incidents=database.scalar(incidents),
        )
    name = host.name
    database.delete(host)
    store.announce("inventory")
    database.commit()
    flash(gettext("“%(name)s” is deleted.", name=name), "good")
    return redirect(url_for("machines.index"), 303)


def _read(draft: Draft, host: Host | None) -> dict[str, Any]:
    """The fields of a machine with what is stored, and what was typed into them."""
    settings = store.settings()
    values: dict[str, Any] = {
        "name": draft.text(Field("name", gettext("Name"), value=host.name if host else "", required=True)),
        "address": draft.text(
            Field(
                "address",
                gettext("Address"),
                value=host.address if host else "",
                help=gettext("An IP address or a host name."),
                required=True,
            ),
            253,
        ),
        "groups": draft.text(
            Field(
                "groups",
                gettext("Groups"),
                value=", ".join(group.name for group in host.groups) if host else "",
                help=gettext("Separated by commas; a new one is made."),
            ),
            2000,
        ),
        "division": _ask_division(draft, host),
        "site_id": draft.choice(
            Field(
                "site",
                gettext("Site"),
                "choice",
                value=str(host.site_id or "") if host else "",
                choices=sites.choices(),
                help=gettext("Where it stands: messages lead there."),
            )
        ),
        "interval_s": draft.number(
            Field(
                "interval",
                gettext("Seconds between looks"),
                "number",
                value=_shown(host.interval_s if host else None),
                help=gettext("Empty: %(count)s, as everywhere.", count=number(settings.interval)),
                low=1,
                high=86400,
            )
        ),
        "attempts": draft.number(
            Field(
                "attempts",
                gettext("Failed looks until it is down"),
                "number",
                value=_shown(host.attempts if host else None),
                help=gettext("Empty: %(count)s, as everywhere.", count=settings.attempts),
                low=1,
                high=20,
                whole=True,
            )
        ),
        "action_credential_id": draft.choice(
            Field(
                "action",
                gettext("Login for restarting it"),
                "choice",
                value=str(host.action_credential_id or "") if host else "",
                choices=_logins(host),
                help=gettext("Apart from the logins of its checks: no look ever uses it."),
            )
        ),
        "note": draft.text(Field("note", gettext("Note"), "lines", value=host.note if host else ""), LONGEST_NOTE),
        "runbook": draft.text(
            Field(
                "runbook",
                gettext("What to do when it is in trouble"),
                "lines",
                value=host.runbook if host else "",
                help=gettext(
                    "A few sentences, or the address of a page. It stands in every message about this machine."
                ),
            ),
            LONGEST_NOTE,
        ),
        "adopts_guests": draft.tick(
            Field(
                "adopts_guests",
                gettext("The guests it tells of become its children"),
                "check",
                value="yes" if host is not None and host.adopts_guests else "",
                help=gettext(
                    "For Hyper-V and Proxmox: a machine named like a guest is unreachable, not down, while this one is down."
                ),
            )
        ),
        "enabled": draft.tick(
            Field(
                "enabled",
                gettext("Watch this machine"),
                "check",
                value="yes" if host is None or host.enabled else "",
                help=gettext("Switched off, it is not looked at and nobody is told; its history is kept."),
            )
        ),
    }
    if draft.good:
        _judge(draft, values, host)
    return values


def _judge(draft: Draft, values: dict[str, Any], host: Host | None) -> None:
    """What no field can know alone; `groups` becomes a list of names."""
    try:
        values["address"] = addresses.one(values["address"])
    except ValueError as error:
        reason = str(error)
        draft.blame("address", reason[:1].upper() + reason[1:])
    if host is not None and values["address"] != host.address and keeps_login(host) and not access.can(Right.ADMIN):
        draft.blame("address", gettext("A stored login goes there. Only an administrator may send it elsewhere."))
    if (
        (host is None or values["address"] != host.address)
        and not access.can(Right.ADMIN)
        and addresses.own(values["address"])
    ):
        draft.blame(
            "address", gettext("This is the machine Pantau runs on. Only an administrator may have it watched.")
        )
    if (own := _divisions()) is not None and values["division"] not in own:
        draft.blame(
            "division", gettext("Choose a division whose machines you may edit: %(names)s.", names=", ".join(own))
        )
    if "\n" in values["name"] or _taken(values["name"], host):
        draft.blame("name", gettext("Another machine has this name. Choose another one."))
    names = list(dict.fromkeys(name.strip() for name in values["groups"].split(",") if name.strip()))
    if any(len(name) > LONGEST for name in names) or len(names) > MOST_GROUPS:
        draft.blame(
            "groups",
            gettext(
                "At most %(count)s groups, each with a name of at most %(most)s characters.",
                count=MOST_GROUPS,
                most=LONGEST,
            ),
        )
    values["groups"] = names
    for name in ("site_id", "action_credential_id"):
        values[name] = int(values[name]) if values[name] else None


def _logins(host: Host | None) -> tuple[tuple[str, str], ...]:
    """What may be chosen for restarting it; where a stored login goes is for administrators to say."""
    kept = str(host.action_credential_id or "") if host is not None else ""
    offered = credentials.choices(("password", "ssh_key"))
    return tuple(one for one in offered if access.can(Right.ADMIN) or one[0] in ("", kept))


def keeps_login(host: Host) -> bool:
    """Whether a stored secret would follow the machine to another address."""
    kept = [host.action_credential_id, *(check.credential_id for check in host.checks)]
    return any(one is not None for one in kept)


def _aims(host: Host | None, values: dict[str, Any]) -> bool:
    """Whether a stored secret would go where it did not go before."""
    chosen = values["action_credential_id"]
    if host is None:
        return chosen is not None
    moved = values["address"] != host.address and keeps_login(host)
    return moved or (chosen is not None and chosen != host.action_credential_id)


def _ask_division(draft: Draft, host: Host | None) -> str:
    """Whose machine it is: any name for whoever may make divisions; one of their own for whoever may not."""
    kept, own = host.division.name if host and host.division else "", _divisions()
    label = gettext("Division")
    if own is None:
        said = gettext("Whose machine it is: its people are told of it. A new one is made.")
        return draft.text(Field("division", label, value=kept, help=said))
    said = gettext("Whose machine it is: its people are told of it.")
    offered = tuple((name, name) for name in own)
    blank = () if kept in own or len(own) == 1 else (("", gettext("Please choose")),)
    return draft.choice(
        Field("division", label, "choice", value=kept, help=said, choices=blank + offered, required=True)
    )


def _divisions() -> list[str] | None:
    """The divisions this person may put a machine into; None: any, a new one, or none."""
    reach = access.divisions(Right.EDIT)
    if reach is None:
        return None
    return list(store.session().scalars(select(Division.name).where(Division.id.in_(reach)).order_by(Division.name)))


def _taken(name: str, host: Host | None) -> bool:
    found = store.session().scalar(select(Host.id).where(Host.name == name))
    return found is not None and (host is None or found != host.id)


def _keep(host: Host, values: Mapping[str, Any], draft: Draft) -> bool:
    """Store what was typed; False where somebody else took the name meanwhile."""
    database = store.session()
    made: dict[str, Any] = {"groups": _groups(values["groups"]), "division": _division(values["division"])}
    try:
        with database.no_autoflush:
            for name, value in values.items():
                setattr(host, name, made.get(name, value))
            database.add(host)
        store.announce("inventory")
        database.commit()
    except IntegrityError:
        database.rollback()
        if values["site_id"] and database.get(Site, values["site_id"]) is None:
            draft.blame("site", gettext("This site is gone; choose again."))
        else:
            draft.blame("name", gettext("Another machine has this name. Choose another one."))
        return False
    return True


def _division(name: str) -> Division | None:
    if not name:
        return None
    database = store.session()
    with database.no_autoflush:
        return database.scalar(select(Division).where(Division.name == name)) or Division(name=name)


def _groups(names: list[str]) -> list[HostGroup]:
    database = store.session()
    with database.no_autoflush:
        there = {group.name: group for group in database.scalars(select(HostGroup).where(HostGroup.name.in_(names)))}
    return [there.get(name) or HostGroup(name=name) for name in names]


def _fields(draft: Draft) -> list[Field]:
    return [draft[name] for name in ORDER]


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:g}"
