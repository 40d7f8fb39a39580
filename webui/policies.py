"""Who is told: rules asked in order, each with its ladder; who would be told now; and the addresses of groups."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import available_timezones

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import joinedload
from werkzeug.wrappers import Response

from config.vault import VaultError
from domain import audience, fingerprint
from domain.clock import now
from domain.inventory import Division, Host, HostGroup, Site
from domain.recipients import Channel, Linking, Policy, Route
from notifier.channels import catalogue
from webui import access, audited, deleting, hours, receivers, routes, store, ways
from webui.draft import Draft
from webui.forms import Field, OptionsForm
from webui.language import gettext, reader_zone

blueprint = Blueprint("policies", __name__, url_prefix="/policies")

RUNGS = 8
LONGEST_WAIT = 7 * 24 * 60
"""Minutes until the last rung, at most."""


@blueprint.get("")
@access.admin
def index() -> str:
    """The rules in their order, who would be told, and the groups that can be."""
    named = receivers.names()
    rows = receivers.policies()
    return render_template(
        "policies/index.html",
        active="policies.index",
        rows=[
            (row, receivers.scope_said(row), receivers.ladder_said(receivers.steps(row.steps), named)) for row in rows
        ],
        usual=receivers.ladder_said(audience.USUAL.steps, named),
        groups=_groups(),
        channels=_channels(),
        where=routes.where,
        machines=list(store.session().execute(select(Host.id, Host.name).order_by(Host.name))),
        asked=request.args,
        **_preview(),
    )


@blueprint.route("/new", methods=["GET", "POST"])
@access.admin
def new() -> Response | str | tuple[str, int]:
    """Add a rule; it is asked last."""
    return _work(None)


@blueprint.route("/<int:policy_id>", methods=["GET", "POST"])
@access.admin
def edit(policy_id: int) -> Response | str | tuple[str, int]:
    """Change a rule."""
    return _work(_policy(policy_id))


@blueprint.post("/<int:policy_id>/move")
@access.admin
def move(policy_id: int) -> Response:
    """One place up or down."""
    session = store.session()
    session.execute(select(Policy.id).with_for_update())
    rows = receivers.policies()
    at = next((n for n, row in enumerate(rows) if row.id == policy_id), None)
    if at is None:
        abort(404)
    to = at - 1 if request.form.get("do") == "up" else at + 1
    if 0 <= to < len(rows):
        rows[at], rows[to] = rows[to], rows[at]
    for place, row in enumerate(rows):
        row.position = place
    store.announce("inventory")
    session.commit()
    return redirect(url_for("policies.index"), 303)


@blueprint.route("/<int:policy_id>/delete", methods=["GET", "POST"])
@access.admin
def delete(policy_id: int) -> Response | str:
    """Ask once more; then delete."""
    row = _policy(policy_id)
    text = gettext("What it decided is decided by the rules below it from then on, or by the usual ladder.")
    return deleting.asked_twice(row, text, home="policies.index", back=url_for("policies.edit", policy_id=row.id))


@blueprint.route("/groups/<int:channel_id>", methods=["GET", "POST"])
@access.admin
def group(channel_id: int) -> Response | str | tuple[str, int]:
    """An address that is nobody's own: a chat, a webhook."""
    session, channel = store.session(), store.session().get(Channel, channel_id)
    kind = catalogue().get(channel.kind) if channel else None
    if channel is None or kind is None or channel.kind == routes.PUSH:
        abort(404)
    typed = request.form if request.method == "POST" else None
    code = ""
    if typed is not None and typed.get("do") == "code" and kind.linked:
        code = routes.fresh()
        session.add(Linking(code=fingerprint.of(code), channel_id=channel.id, person_id=None, made_by=access.person().id, expires_at=now() + routes.CODE_LASTS))  # fmt: skip
        audited.note("route.code", f"channel:{channel.id}", name=channel.name)
        session.commit()
        typed = None
    draft, form = Draft(typed), OptionsForm(kind.address, routes.ADDRESS)
    name = draft.text(Field("name", gettext("Name"), required=True, help=gettext("Such as “Night shift chat”.")))
    address, fields = form.read(typed) if typed is not None else (None, form.fields())
    if draft.good and address is not None:
        route = Route(channel_id=channel.id, name=name, verified_at=now())
        try:
            ways.lead(route, kind, address)
        except VaultError as error:
            draft.blame("name", str(error))
        else:
            session.add(route)
            store.announce("inventory")
            session.commit()
            flash(gettext("“%(name)s” can be told now: name it in a rule.", name=name), "good")
            return redirect(url_for("policies.index"), 303)
    page = render_template(
        "policies/group.html",
        active="policies.index",
        channel=channel,
        label=gettext(kind.label),
        linked=kind.linked,
        code=code,
        draft=draft,
        fields=fields,
        until=now() + routes.CODE_LASTS,
    )
    return page if typed is None else (page, 422)


def _work(row: Policy | None) -> Response | str | tuple[str, int]:
    typed = request.form if request.method == "POST" else None
    draft = Draft(typed)
    values = _read(draft, row)
    rungs = _rungs(typed) if typed is not None else _stored(row)
    wrong = _judge(rungs) if typed is not None else ""
    more = typed is not None and typed.get("do") == "more"
    if draft.good and not wrong and not more:
        kept = row or Policy(position=_last() + 1)
        for name, value in values.items():
            setattr(kept, name, value)
        kept.steps = [{"after": after * 60, "to": to} for after, to in sorted(rungs, key=lambda one: one[0] or 0) if after is not None and to]  # fmt: skip
        if _keep(kept, draft):
            flash(gettext("The rule “%(name)s” is saved.", name=kept.name), "good")
            return redirect(url_for("policies.index"), 303)
    shown = [*rungs, *([(None, [])] if more or not rungs else [])][:RUNGS]
    page = render_template(
        "policies/form.html",
        active="policies.index",
        row=row,
        draft=draft,
        rungs=shown,
        wrong="" if more else wrong,
        receivers=_sorted_receivers(),
        days=hours.DAYS,
        chosen_days=_days() if typed is not None else (row.days if row else []),
        most=RUNGS,
    )
    return page if typed is None or more else (page, 422)


def _read(draft: Draft, row: Policy | None) -> dict[str, Any]:
    name = draft.text(Field("name", gettext("Name"), value=row.name if row else "", required=True))
    is_on = draft.tick(
        Field("enabled", gettext("In force"), "check", value="yes" if row is None or row.enabled else "")
    )
    chosen = {}
    for key, label, table in (("division", gettext("Division"), Division), ("site", gettext("Site"), Site), ("group", gettext("Group"), HostGroup)):  # fmt: skip
        there = store.session().execute(select(table.id, table.name).order_by(table.name))
        stored = str(getattr(row, f"{key}_id") or "") if row else ""
        choices = (("", gettext("any")), *((str(id), said) for id, said in there))
        text = draft.choice(Field(key, label, "choice", value=stored, choices=choices))
        chosen[f"{key}_id"] = int(text) if text and text.isdigit() else None
    severity = draft.choice(
        Field(
            "severity",
            gettext("Trouble"),
            "choice",
            value=(row.severity or "") if row else "",
            choices=(("", gettext("any")), ("critical", gettext("what is critical")), ("warning", gettext("warnings"))),
        )
    )
    begin = _time(draft, "from", gettext("From"), row.from_minute if row else None)
    end = _time(draft, "to", gettext("until"), row.to_minute if row else None)
    if draft.good and (begin is None) != (end is None):
        draft.blame("to" if end is None else "from", gettext("Hours have a beginning and an end; empty: always."))
    zone = draft.text(
        Field("zone", gettext("Time zone"), value=row.zone if row else store.settings().zone, required=True)
    )
    if draft.good and zone not in available_timezones():
        draft.blame("zone", gettext("There is no such time zone; one is Asia/Jakarta."))
    return {
        "name": name,
        "enabled": is_on,
        **chosen,
        "severity": severity or None,
        "from_minute": begin,
        "to_minute": end,
        "days": _days() if begin is not None else [],
        "zone": zone,
    }


def _time(draft: Draft, name: str, label: str, minute: int | None) -> int | None:
    typed = draft.text(Field(name, label, value=hours.said(minute), help=gettext("Such as 22:00. Empty: always.")))
    found = hours.read(typed) if typed else None
    if typed and found is None:
        draft.blame(name, gettext("This is no time of day; one is 22:30."))
    return found


def _days() -> list[int]:
    found = sorted({int(day) for day in request.form.getlist("days") if day in {"0", "1", "2", "3", "4", "5", "6"}})
    return [] if len(found) == 7 else found


def _rungs(typed: Any) -> list[tuple[int | None, list[str]]]:
    """(minutes, receivers) of every rung that was sent; None where the minutes are no number."""
    known, found = receivers.names(), []
    for n in range(RUNGS):
        if f"after-{n}" not in typed:
            continue
        text = typed.get(f"after-{n}", "").strip()
        to = [name for name in dict.fromkeys(typed.getlist(f"to-{n}")) if name in known]
        if not text and not to:
            continue
        good = (text or "0").isascii() and (text or "0").isdigit() and len(text) < 6
        found.append((int(text or 0) if good else None, to))
    return found


def _stored(row: Policy | None) -> list[tuple[int | None, list[str]]]:
    if row is None:
        return [(0, ["pic", "staff"]), (15, ["deputy"]), (30, ["admins"])]
    return [(int(step["after"]) // 60, list(step["to"])) for step in row.steps]


def _judge(rungs: list[tuple[int | None, list[str]]]) -> str:
    """What is wrong with a ladder; a ladder without rungs tells nobody, which may be meant."""
    if any(after is None or after > LONGEST_WAIT for after, _ in rungs):
        return gettext("The minutes of a rung are a whole number, at most %(most)s.", most=LONGEST_WAIT)
    if any(not to for _, to in rungs):
        return gettext("A rung tells nobody: tick somebody, or empty its minutes to take it away.")
    if len({after for after, _ in rungs}) < len(rungs):
        return gettext("Two rungs have the same minutes; make one of them.")
    return ""


def _keep(row: Policy, draft: Draft) -> bool:
    session = store.session()
    try:
        session.add(row)
        store.announce("inventory")
        session.commit()
    except IntegrityError:
        session.rollback()
        draft.blame("name", gettext("Another rule has this name, or what it was for is gone. Choose again."))
        return False
    return True


def _preview() -> dict[str, Any]:
    """Who would be told of the machine that is asked for, at the moment that is asked for."""
    asked = request.args.get("machine", "")
    host = store.session().get(Host, int(asked)) if asked.isascii() and asked.isdigit() and len(asked) < 10 else None
    if host is None:
        return {"host": None}
    moment = _moment(request.args.get("at", ""))
    severity: audience.Severity = "warning" if request.args.get("severity") == "warning" else "critical"
    deciding, rungs = receivers.preview(host, severity, moment)
    return {"host": host, "deciding": deciding, "rungs": rungs, "moment": moment, "severity": severity}


def _moment(text: str) -> datetime:
    """A moment as a browser sends it, on the reader's clock; now where there is none."""
    try:
        found = datetime.fromisoformat(text.strip())
        if not 2000 < found.year < 3000:
            return now()
        return (found if found.tzinfo else found.replace(tzinfo=reader_zone())).astimezone(UTC)
    except (ValueError, OverflowError):
        return now()


def _groups() -> list[Route]:
    chosen = select(Route).where(Route.person_id.is_(None)).options(joinedload(Route.channel)).order_by(Route.name)
    return list(store.session().scalars(chosen))


def _channels() -> list[Channel]:
    rows = store.session().scalars(select(Channel).where(Channel.enabled, Channel.kind != routes.PUSH).order_by(Channel.name))  # fmt: skip
    return [row for row in rows if row.kind in catalogue()]


def _sorted_receivers() -> list[tuple[str, list[tuple[str, str]]]]:
    """Receivers in groups: roles, rotas, groups, people."""
    named = receivers.names()
    kinds = (("", gettext("By what they are")), ("rota", gettext("On call")), ("route", gettext("Groups")), ("person", gettext("People")))  # fmt: skip
    found = [(title, [(key, said) for key, said in named.items() if key.partition(":")[0 if kind else 1] == kind]) for kind, title in kinds]  # fmt: skip
    return [(title, rows) for title, rows in found if rows]


def _last() -> int:
    return store.session().scalar(select(func.max(Policy.position))) or 0


def _policy(policy_id: int) -> Policy:
    found = store.session().get(Policy, policy_id)
    if found is None:
        abort(404)
    return found
