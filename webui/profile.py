"""A person's own page: who they are, how they are reached, what is within their reach, and how they come in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from zoneinfo import available_timezones

from flask import Blueprint, flash, redirect, render_template, request, url_for
from sqlalchemy import func, select
from werkzeug.wrappers import Response

from domain.clock import now
from domain.inventory import Check, Host, Membership, Person
from webui import access, audited, factors, passwords, portrait, proof, roles, sessions, store, throttle, uploads
from webui.draft import Draft
from webui.forms import Field
from webui.language import LANGUAGES, THEMES, gettext, lazy_gettext

blueprint = Blueprint("profile", __name__, url_prefix="/me")

DATABASES = ("postgres", "mysql", "redis")
"""Kinds of check that look at a database."""
MAIL = re.compile(r"[^@\s\"'<>(),;:\\]{1,64}@[^@\s\"'<>(),;:\\]{1,190}")
PHONE = re.compile(r"\+?[0-9][0-9 ().-]{4,30}")
COLOURS = {"system": lazy_gettext("Auto"), "light": lazy_gettext("Light"), "dark": lazy_gettext("Dark")}


@blueprint.get("")
@access.signed_in
def index() -> str:
    """Everything on one page."""
    return _page()


@blueprint.post("/details")
@access.signed_in
@access.fresh
def details() -> Response | tuple[str, int]:
    """Who one is and how one is reached; asked for once more, since a lost password is mended by the address."""
    person = access.person()
    draft = Draft(request.form)
    values = about(draft, person)
    language, theme, zone = _taste(draft, person)
    if not draft.good:
        return _page(draft=draft), 422
    person.email_sure = person.email_sure and values["email"] == person.email
    for name, value in values.items():
        setattr(person, name, value)
    person.language, person.theme, person.zone = language or None, theme if theme != "system" else None, zone or None
    store.session().commit()
    flash(gettext("Your details are saved."), "good")
    return redirect(url_for("profile.index"), 303)


@blueprint.post("/password")
@access.signed_in
def password() -> Response | tuple[str, int]:
    """Another password; everywhere else one is logged out."""
    person = access.person()
    wait = throttle.wait(person.login)
    if wait:
        return _page(old=throttle.sentence(wait)), 429
    if not person.password_hash and not proof.fresh():  # without an old password only a fresh login may set one
        return redirect(url_for("proof.page", next=url_for("profile.index")), 303)
    if person.password_hash and not passwords.right(person, request.form.get("old", "")[:1000]):
        return _page(old=gettext("This is not your password.")), 422
    throttle.forgive(person.login)
    wrong = passwords.weakness(request.form.get("new", ""), person.login)
    if wrong:
        return _page(new=wrong), 422
    person.password_hash = passwords.digest(request.form["new"])
    person.password_changed_at = now()
    access.close_others(person)
    audited.note("password.changed", f"person:{person.id}")
    store.session().commit()
    flash(gettext("Your password is changed. Everywhere else you have been logged out."), "good")
    return redirect(url_for("profile.index"), 303)


@blueprint.post("/picture")
@access.signed_in
@uploads.takes(portrait.LARGEST + portrait.ROOM)
def picture() -> Response | tuple[str, int]:
    """Another picture of oneself."""
    wrong = portrait.keep()
    if wrong:
        return _page(file=wrong), 422
    flash(gettext("Your picture is changed."), "good")
    return redirect(url_for("profile.index"), 303)


def about(draft: Draft, person: Person | None) -> dict[str, str]:
    """Name, position, e-mail and telephone of somebody, as they are typed."""
    stored: Mapping[str, str] = (
        {name: getattr(person, name) for name in ("name", "position", "email", "phone")} if person else {}
    )
    fields = {
        "name": Field("name", gettext("Name"), value=stored.get("name", ""), required=True, autocomplete="name"),
        "position": Field(
            "position", gettext("Position"), value=stored.get("position", ""), autocomplete="organization-title"
        ),
        "email": Field(
            "email",
            gettext("E-mail"),
            value=stored.get("email", ""),
            autocomplete="email",
            help=gettext("By it a lost password is mended. What is told of machines goes by the notifications."),
        ),
        "phone": Field("phone", gettext("Telephone"), value=stored.get("phone", ""), autocomplete="tel"),
    }
    values = {name: draft.text(field, 254 if name == "email" else 100) for name, field in fields.items()}
    if values["email"] and not MAIL.fullmatch(values["email"]):
        draft.blame("email", gettext("An address looks like name@example.com."))
    if values["phone"] and not PHONE.fullmatch(values["phone"]):
        draft.blame("phone", gettext("A number looks like +62 812 3456 7890."))
    return values


def _taste(draft: Draft, person: Person) -> tuple[str, str, str]:
    """Language, colours and zone."""
    language = draft.choice(
        Field(
            "language",
            gettext("Language"),
            "choice",
            value=person.language or "",
            choices=(("", gettext("As the browser says")), *LANGUAGES.items()),
        )
    )
    theme = draft.choice(
        Field(
            "theme",
            gettext("Colours"),
            "choice",
            value=person.theme or "system",
            choices=tuple((name, str(COLOURS[name])) for name in THEMES),
        )
    )
    zone = draft.text(
        Field(
            "zone",
            gettext("Time zone"),
            value=person.zone or "",
            help=gettext("Such as Asia/Makassar. Empty: %(zone)s, as everywhere.", zone=store.settings().zone),
        )
    )
    if zone and zone not in available_timezones():
        draft.blame("zone", gettext("There is no such time zone; one is Asia/Jakarta."))
    return language, theme, zone


def _page(draft: Draft | None = None, old: str = "", new: str = "", file: str = "") -> str:
    """The page; `old`, `new` and `file` say what is wrong with a password that was typed or the picture that was sent."""
    person = access.person()
    if draft is None:
        draft = Draft(None)
        about(draft, person)
        _taste(draft, person)
    secrets = [
        Field("old", gettext("Password now"), "secret", autocomplete="current-password", required=True, wrong=old),
        Field("new", gettext("New password"), "secret", help=passwords.rule(), autocomplete="new-password", required=True, wrong=new),
    ]  # fmt: skip
    return render_template(
        "people/profile.html",
        active="profile.index",
        draft=draft,
        file=Field("file", gettext("Picture file"), wrong=file),
        fields=secrets if person.password_hash else secrets[1:],
        sessions=sessions.listed(person),
        factors=factors.of(person.id),
        stamp=portrait.stamp(person.id),
        reach=_reach(person),
        roles=_roles(person),
    )


def _reach(person: Person) -> tuple[int, int]:
    """How many machines are within somebody's reach, and how many databases on them."""
    database, seen = store.session(), access.visible(person)
    hosts = database.scalar(select(func.count()).select_from(Host).where(seen)) or 0
    looked = select(func.count()).select_from(Check).join(Host).where(seen, Check.kind.in_(DATABASES), Check.enabled)
    return hosts, database.scalar(looked) or 0


def _roles(person: Person) -> list[str]:
    """What somebody is here, in words."""
    mine = store.session().scalars(select(Membership).where(Membership.person_id == person.id))
    return [title for title in (roles.title(person),) if title] + roles.said(mine)
