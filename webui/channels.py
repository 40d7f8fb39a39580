"""Ways to people, set up once: a mail server, a bot, a push sender. Their secrets go in and never come out."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from werkzeug.wrappers import Response

from config import vault
from domain.deliveries import Delivery
from domain.inventory import next_id
from domain.recipients import Channel, Route
from notifier.channels import catalogue
from notifier.channels.base import Channel as Kind
from notifier.channels.webpush import fresh_pair
from probes.names import is_this_machine
from webui import access, language, logins, store, trials
from webui.draft import Draft
from webui.forms import Field, OptionsForm
from webui.language import gettext

TOWARDS = ("host", "port", "security", "ca", "api", "url", "server")
"""Options of channels that say to whom, and how, a secret is shown."""
blueprint = Blueprint("channels", __name__, url_prefix="/channels")

OPTION, ADDRESS, SECRET = "option-", "address-", "secret-"
MADE = "public_key"
"""The option of web push that is made here together with its secret, and never typed."""


@dataclass
class Row:
    """One channel: how many addresses it has, how its last delivery went, and how many wait."""

    channel: Channel
    label: str
    routes: int = 0
    waiting: int = 0
    last: Delivery | None = None

    @property
    def told_at(self) -> datetime | None:
        """When it last delivered, or last tried."""
        return (self.last.sent_at or self.last.made_at) if self.last else None


@blueprint.get("")
@access.admin
def index() -> str:
    """All of them, with how they fare."""
    database = store.session()
    rows = {one.id: Row(one, _label(one.kind)) for one in database.scalars(select(Channel).order_by(Channel.name))}
    for id, count in database.execute(select(Route.channel_id, func.count()).where(Route.gone_at.is_(None)).group_by(Route.channel_id)):  # fmt: skip
        if id in rows:
            rows[id].routes = count
    open_ones = select(Delivery.channel_id, func.count()).where(Delivery.state.in_(["waiting", "sending"]))
    for channel_id, count in database.execute(open_ones.group_by(Delivery.channel_id)):
        if channel_id in rows:
            rows[channel_id].waiting = count
    for id, row in rows.items():
        tried = select(Delivery).where(Delivery.channel_id == id, Delivery.state.in_(["sent", "dead"]))
        row.last = database.scalar(tried.order_by(Delivery.id.desc()).limit(1))
    home = store.settings().home()
    return render_template(
        "channels/index.html",
        active="channels.index",
        rows=list(rows.values()),
        kinds=_kinds(),
        label=gettext,
        home=home if is_this_machine(urlsplit(home).hostname or "") else "",
    )


@blueprint.route("/new", methods=["GET", "POST"])
@access.admin
@access.fresh
def new() -> Response | str | tuple[str, int]:
    """Choose a kind, then fill in its form."""
    kind = catalogue().get(request.args.get("kind", ""))
    if kind is None:
        return render_template("channels/kinds.html", active="channels.index", kinds=_kinds())
    return _work(kind, None)


@blueprint.route("/<int:channel_id>", methods=["GET", "POST"])
@access.admin
@access.fresh
def edit(channel_id: int) -> Response | str | tuple[str, int]:
    """Change a channel, or replace its secrets."""
    row = _channel(channel_id)
    kind = catalogue().get(row.kind)
    if kind is None:  # made by another version: it can be deleted and nothing else
        return redirect(url_for("channels.delete", channel_id=row.id))
    return _work(kind, row)


@blueprint.route("/<int:channel_id>/delete", methods=["GET", "POST"])
@access.admin
@access.fresh
def delete(channel_id: int) -> Response | str:
    """Ask once more, saying what is lost; then delete."""
    row, database = _channel(channel_id), store.session()
    if request.method == "GET":
        count = database.scalar(select(func.count()).select_from(Route).where(Route.channel_id == row.id))
        return render_template("channels/delete.html", active="channels.index", row=row, count=count)
    name = row.name
    database.delete(row)
    store.announce("inventory")
    database.commit()
    flash(gettext("The channel “%(name)s” is deleted.", name=name), "good")
    return redirect(url_for("channels.index"), 303)


def _work(kind: Kind, row: Channel | None) -> Response | str | tuple[str, int]:
    typed = request.form if request.method == "POST" else None
    draft = Draft(typed)
    name = draft.text(Field("name", gettext("Name"), value=row.name if row else _free_name(kind), required=True))
    on = draft.tick(
        Field(
            "enabled",
            gettext("Use this channel"),
            "check",
            value="yes" if row is None or row.enabled else "",
            help=gettext("Switched off, nothing is sent by it; its addresses stay."),
        )
    )
    made = kind.kind == "webpush"
    options, fields = _options(kind, row, typed, made)
    secret, public = _secrets(kind, row, draft, typed, made)
    if (
        options is not None
        and row is not None
        and row.armed
        and not secret
        and not made
        and _moved(row, asdict(options))
    ):
        draft.blame(SECRET + next(iter(kind.secrets)), gettext("It would go elsewhere: enter it again."))
    address, receivers = _receiver(kind, typed)
    test = typed is not None and typed.get("do") == "test"
    good = draft.good and options is not None and (address is not None or not test)
    if good and options is not None:
        values = asdict(options) | ({MADE: public} if public else {})
        try:
            if test and row is None:
                trial = trials.unsaved(kind, values, address, secret, language.choose())
                store.session().commit()
                return redirect(url_for("trials.show", trial_id=trial.id, back=trials.ASIDE), 303)
            kept = _keep(kind, row, name, on, values, secret, draft)
            if kept is not None:
                flash(gettext("The channel “%(name)s” is saved.", name=kept.name), "good")
                if not test:
                    return redirect(url_for("channels.index"), 303)
                trial = trials.of_channel(kept.id, kind, address, language=language.choose())
                store.session().commit()
                back = url_for("channels.edit", channel_id=kept.id)
                return redirect(url_for("trials.show", trial_id=trial.id, back=back), 303)
        except vault.VaultError as error:
            store.session().rollback()
            draft.blame("name", str(error))
    draft.remind()
    page = render_template(
        "channels/form.html",
        active="channels.index",
        row=row,
        kind=kind,
        label=gettext(kind.label),
        draft=draft,
        fields=[field for field in fields if not (made and field.name == OPTION + MADE)],
        secrets=[draft[SECRET + each] for each in kind.secrets if not made],
        made=made,
        receivers=receivers if not kind.linked else [],
    )
    return page if typed is None else (page, 422)


def _options(kind: Kind, row: Channel | None, typed: Any, made: bool) -> tuple[Any | None, list[Field]]:
    """The sender's options as typed, None while they are not good; and their fields."""
    form = OptionsForm(kind.options, OPTION)
    stored = row.options if row else {}
    if typed is None:
        return None, form.fields(stored)
    values = {name: value for name, value in typed.items()}  # noqa: C416
    if made:  # the key of the sender is made, not typed; a new pair is put in afterwards
        values[OPTION + MADE] = str(stored.get(MADE) or fresh_pair()[0])
    return form.read(values)


def _secrets(kind: Kind, row: Channel | None, draft: Draft, typed: Any, made: bool) -> tuple[dict[str, str], str]:
    """The secrets as typed, and a public key made with them; empty where the stored ones are kept."""
    if made:
        if typed is None or (row is not None and row.armed and typed.get("renew") != "yes"):
            return {}, ""
        public, private = fresh_pair()
        return {"private_key": private}, public
    found = {}
    for name, label in kind.secrets.items():
        shown = Field(SECRET + name, gettext(label), "secret", autocomplete="new-password")
        found[name] = draft.secret(shown).strip()
        if any(ord(c) < 32 for c in found[name].replace("\n", "")):
            draft.blame(SECRET + name, gettext("This holds characters that cannot be seen."))
    return {name: value for name, value in found.items() if value}, ""


def _receiver(kind: Kind, typed: Any) -> tuple[Any | None, list[Field]]:
    """To whom a test goes, where one is asked for."""
    form = OptionsForm(kind.address, ADDRESS)
    if typed is None or typed.get("do") != "test":
        # not required in the browser: the same form is saved without a test
        return None, [replace(field, required=False) for field in form.fields(_own(typed))]
    return form.read(typed)


def _moved(row: Channel, options: dict[str, Any]) -> bool:
    """Whether what is stored would be shown to another peer, or on another road, than it was entered for."""
    return any(row.options.get(name, options[name]) != options[name] for name in TOWARDS if name in options)


def _own(typed: Any) -> dict[str, str]:
    return {name[len(ADDRESS) :]: value for name, value in (typed or {}).items() if name.startswith(ADDRESS)}


def _keep(
    kind: Kind, row: Channel | None, name: str, on: bool, options: dict[str, Any], secret: dict[str, str], draft: Draft
) -> Channel | None:
    """Store it; None where another has the name. Raises VaultError."""
    database = store.session()
    channel = row or Channel(id=next_id(database, "channel"), kind=kind.kind, seal_id="")
    channel.name, channel.enabled = name, on
    channel.options = {key: list(value) if isinstance(value, tuple) else value for key, value in options.items()}
    try:
        if secret:
            sealer = vault.sealer(store.settings().notifier_public)
            channel.seal_id = vault.new_place(channel.id)
            place = vault.place("channel", channel.id, channel.seal_id)
            channel.sealed = sealer.seal(json.dumps(secret).encode(), place)
        database.add(channel)
        store.announce("inventory")
        database.commit()
    except IntegrityError:
        database.rollback()
        draft.blame("name", gettext("Another channel has this name. Choose another one."))
        return None
    return channel


def _free_name(kind: Kind) -> str:
    return logins.free(gettext(kind.label), set(store.session().scalars(select(Channel.name))))


def _kinds() -> list[Kind]:
    return sorted(catalogue().values(), key=lambda kind: (not kind.persons, gettext(kind.label)))


def _label(kind: str) -> str:
    known = catalogue().get(kind)
    return gettext(known.label) if known else kind


def _channel(channel_id: int) -> Channel:
    found = store.session().get(Channel, channel_id)
    if found is None:
        abort(404)
    return found
