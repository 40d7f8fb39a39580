"""The people of this installation: who may log in, what they are in which division, and who is switched off."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import selectinload
from werkzeug.wrappers import Response

from domain import leaving, tickets
from domain.audit import Audit
from domain.clock import now
from domain.identity import Ticket
from domain.inventory import Division, Membership, Person, Session
from domain.recipients import Route
from webui import access, audited, factors, letters, passwords, portrait, profile, recovery, roles, second, store
from webui.draft import Draft
from webui.forms import Field
from webui.language import gettext

blueprint = Blueprint("staff", __name__, url_prefix="/people")

LOGIN = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,62}")


@dataclass
class Row:
    """One person, with when they were last here and how many ways lead to them."""

    person: Person
    seen_at: datetime | None = None
    routes: int = 0
    parts: list[str] = field(default_factory=list)
    title: str = ""
    stamp: str = ""
    waiting: Waiting | None = None


@dataclass(frozen=True)
class Waiting:
    """Somebody invited who has not come yet; `until` is when their link ends, None where it has."""

    until: datetime | None


@blueprint.get("")
@access.admin
def index() -> str:
    """Everybody, those switched off last."""
    database = store.session()
    people = database.scalars(
        select(Person)
        .options(selectinload(Person.memberships).selectinload(Membership.division))
        .order_by(Person.active.desc(), Person.name)
    )
    seen = dict(_pairs(select(Session.person_id, func.max(Session.seen_at)).group_by(Session.person_id)))
    live = select(Route.person_id, func.count()).where(Route.enabled, Route.gone_at.is_(None))
    ways: dict[int, int] = defaultdict(int, _pairs(live.group_by(Route.person_id)))
    faces, everybody = portrait.stamps(), list(people)
    waiting = _waiting(everybody)
    rows = [
        Row(
            one,
            seen.get(one.id),
            ways[one.id],
            roles.said(one.memberships),
            roles.title(one),
            faces.get(one.id, ""),
            waiting.get(one.id),
        )
        for one in everybody
    ]
    return render_template("staff/index.html", active="staff.index", rows=rows, advise=not factors.demanded())


def _waiting(people: list[Person]) -> dict[int, Waiting]:
    """Those who were invited, chose no password yet and never logged in, by any way."""
    database = store.session()
    bare = {f"person:{one.id}": one.id for one in people if one.active and not one.password_hash}
    told = {"person.invited": set[str](), "login": set[str]()}
    rows = select(Audit.what, Audit.on).where(Audit.what.in_(told), Audit.on.in_(bare)).distinct()
    for what, on in database.execute(rows):
        told[what].add(on)
    links = select(Ticket.person_id, Ticket.expires_at).where(Ticket.kind == "invite", Ticket.expires_at > now())
    until = dict(_pairs(links))
    return {bare[on]: Waiting(until.get(bare[on])) for on in told["person.invited"] - told["login"]}


@blueprint.route("/new", methods=["GET", "POST"])
@access.admin
@access.fresh
def new() -> Response | str | tuple[str, int]:
    """Somebody new, with a first password that is shown once."""
    return _work(None)


@blueprint.route("/<int:person_id>", methods=["GET", "POST"])
@access.admin
@access.fresh
def edit(person_id: int) -> Response | str | tuple[str, int]:
    """Change a person: name, rights, divisions; give a new password; switch off."""
    return _work(_person(person_id))


@blueprint.post("/<int:person_id>/password")
@access.admin
@access.fresh
def password(person_id: int) -> str | Response:
    """A new first password: the old one, and every session of theirs, ends."""
    someone, database = _person(person_id), store.session()
    if someone.id == access.person().id:
        flash(gettext("Change your own password under “Your account”."), "bad")
        return redirect(url_for("staff.edit", person_id=someone.id), 303)
    fresh = recovery.written()
    someone.password_hash, someone.password_changed_at = passwords.digest(fresh), now()
    access.close(someone.id)
    database.commit()
    return render_template("staff/password.html", active="staff.index", someone=someone, password=fresh)


@blueprint.post("/<int:person_id>/second-factor")
@access.admin
@access.fresh
def factor(person_id: int) -> Response:
    """Take the second factor from somebody who lost it: the password alone opens again, and every session ends."""
    someone = _person(person_id)
    second.forget(someone.id)
    audited.note("factor.taken", f"person:{someone.id}", name=someone.name)
    access.close(someone.id) if someone.id != access.person().id else access.close_others(someone)
    store.session().commit()
    flash(gettext("%(name)s has no second factor any more.", name=someone.name), "good")
    return redirect(url_for("staff.edit", person_id=someone.id), 303)


@blueprint.post("/<int:person_id>/link")
@access.admin
@access.fresh
def link(person_id: int) -> str | Response:
    """A link by which somebody chooses a password: sent to their address, else shown to be passed on."""
    someone = _person(person_id)
    if not someone.active:
        flash(gettext("Somebody who may not log in gets no link."), "bad")
        return redirect(url_for("staff.edit", person_id=someone.id), 303)
    return _linked(someone)


def linked(someone: Person) -> tuple[str, str, bool]:
    """(kind, token, sent by mail) of a link by which somebody chooses a password, in the caller's transaction."""
    kind = "reset" if someone.password_hash else "invite"
    token = tickets.make(store.session(), someone, kind, access.person().id)
    sent = letters.send(someone, kind, token)
    audited.note(
        f"person.{'linked' if kind == 'reset' else 'invited'}", f"person:{someone.id}", name=someone.name, by_mail=sent
    )
    return kind, token, sent


def seat(someone: Person, parts: set[tuple[int, str]]) -> None:
    """Make somebody these things in these divisions (division, role), and nothing else; what stays keeps its row."""
    there = {(one.division_id, one.role): one for one in someone.memberships}
    someone.memberships = [
        there.get((division, role)) or Membership(division_id=division, role=role) for division, role in sorted(parts)
    ]


def _linked(someone: Person) -> str | Response:
    """Make the link, and send or show it. Commits."""
    kind, token, sent = linked(someone)
    store.session().commit()
    if sent:
        flash(gettext("A letter with a link is on its way to %(address)s.", address=someone.email), "good")
        if not letters.reaches():
            flash(letters.astray(), "bad")
        return redirect(url_for("staff.edit", person_id=someone.id), 303)
    return render_template(
        "staff/link.html",
        active="staff.index",
        someone=someone,
        kind=kind,
        address=letters.address(token),
        astray="" if letters.reaches() else letters.astray(),
    )


def _work(someone: Person | None) -> Response | str | tuple[str, int]:
    typed = request.form if request.method == "POST" else None
    draft = Draft(typed)
    login = _login(draft, someone)
    values = profile.about(draft, someone)
    role = draft.choice(
        Field(
            "role",
            gettext("Rights"),
            "choice",
            value=someone.role if someone else "none",
            choices=tuple((name, str(words)) for name, words in roles.EVERYWHERE.items()),
        )
    )
    is_on = draft.tick(
        Field(
            "active",
            gettext("May log in"),
            "check",
            value="yes" if someone is None or someone.active else "",
            help=gettext("Switched off, every session of theirs ends at once and nothing is sent to them."),
        )
    )
    another = draft.text(Field("division", gettext("Another division"), help=gettext("A new one is made.")))
    other_part = draft.choice(
        Field("part", gettext("There they are"), "choice", value="pic", choices=tuple((k, str(w)) for k, w in roles.LOCAL.items()))
    )  # fmt: skip
    chosen = _first_password(draft) if someone is None else ""
    invited = someone is None and draft.tick(
        Field(
            "invite",
            gettext("An invitation"),
            "check",
            value="yes",
            help=gettext("They choose their own password by it within seven days. It goes to their e-mail address, or is shown to you to pass on."),
        )
    )  # fmt: skip
    if invited and typed is not None and typed.get("password"):
        draft.blame(
            "password", gettext("An invitation needs no password. Leave this empty, or choose “A first password”.")
        )
    if draft.good:
        _judge(draft, someone, role, is_on)
    if draft.good:
        kept = someone or Person(login=login, password_hash="")
        if values["email"] != kept.email:
            kept.email_sure = bool(values["email"])
        for name, value in values.items():
            setattr(kept, name, value)
        kept.role, kept.active = role, is_on
        if someone is None and not invited:
            kept.password_hash = passwords.digest(chosen)
        if _keep(kept, _ticked(someone), another, other_part, draft):
            if invited:
                return _linked(kept)
            if typed is not None and someone is None and not typed.get("password"):
                return render_template("staff/password.html", active="staff.index", someone=kept, password=chosen)
            flash(gettext("“%(name)s” is saved.", name=kept.name), "good")
            return redirect(url_for("staff.index"), 303)
    draft.remind()
    own = _ticked(someone) if typed is not None else {(m.division_id, m.role) for m in _memberships(someone)}
    page = render_template(
        "staff/form.html",
        active="staff.index",
        someone=someone,
        draft=draft,
        own=own,
        divisions=sorted({m.division for m in _memberships(someone)}, key=lambda one: one.name),
        others=list(store.session().scalars(select(Division.name).order_by(Division.name))),
        parts_known=roles.LOCAL,
        letter=letters.channel() is not None,
        astray="" if letters.reaches() else letters.astray(),
        itself=someone is not None and someone.id == access.person().id,
        factors=factors.of(someone.id) if someone is not None else None,
        stamp=portrait.stamp(someone.id) if someone is not None else "",
    )
    return page if typed is None else (page, 422)


def _memberships(someone: Person | None) -> list[Membership]:
    return list(someone.memberships) if someone is not None else []


def _ticked(someone: Person | None) -> set[tuple[int, str]]:
    """What somebody is in the divisions they are in: as ticked where the form showed a division, else as it is."""
    shown = {int(one) for one in request.form.getlist("shown") if one.isascii() and one.isdigit() and len(one) < 10}
    found = {(m.division_id, m.role) for m in _memberships(someone) if m.division_id not in shown}
    there = {m.division_id for m in _memberships(someone)}
    for division in shown & there:
        found |= {(division, role) for role in roles.LOCAL if request.form.get(f"role-{division}-{role}") == "yes"}
    return found


def _login(draft: Draft, someone: Person | None) -> str:
    if someone is not None:
        return someone.login
    login = draft.text(
        Field(
            "login",
            gettext("Name to log in with"),
            required=True,
            help=gettext("Small letters and digits, such as budi or budi.s; it is never changed."),
        ),
        63,
    ).lower()
    if draft.good and not LOGIN.fullmatch(login):
        draft.blame("login", gettext("This takes small letters, digits, and . _ @ + - only."))
    return login


def _first_password(draft: Draft) -> str:
    typed = draft.secret(
        Field(
            "password",
            gettext("First password"),
            "secret",
            help=gettext("Empty: one is made and shown once. ") + passwords.rule(),
            autocomplete="new-password",
        )
    )
    if not typed:
        return recovery.written()
    weak = passwords.weakness(typed, draft["login"].value.lower())
    if weak:
        draft.blame("password", weak)
    return typed


def _judge(draft: Draft, someone: Person | None, role: str, is_on: bool) -> None:
    """Whoever presses the button stays in, and an administrator who can log in remains."""
    if someone is None or (role == "admin" and is_on):
        return
    if someone.id == access.person().id:
        draft.blame("role" if role != "admin" else "active", gettext("You cannot take this from yourself; ask another administrator."))  # fmt: skip
        return
    locked = select(Person.id).where(Person.role == "admin", Person.active).with_for_update()
    if not set(store.session().scalars(locked)) - {someone.id}:
        draft.blame("role", gettext("Nobody could administer Pantau any more."))


def _keep(someone: Person, parts: set[tuple[int, str]], another: str, part: str, draft: Draft) -> bool:
    """Store the person and what they are where; False where the login is taken."""
    database = store.session()
    try:
        with database.no_autoflush:
            database.add(someone)
            seat(someone, parts)
            if another:
                home = database.scalar(select(Division).where(Division.name == another)) or Division(name=another)
                if home.id is None or (home.id, part) not in parts:
                    someone.memberships.append(Membership(division=home, role=part))
        database.flush()
        if not someone.active:
            leaving.close(database, someone.id)
        store.announce("inventory")
        database.commit()
    except IntegrityError:
        database.rollback()
        draft.blame("login" if "login" in draft else "name", gettext("Somebody has this name to log in with already."))
        return False
    return True


def _pairs(query: Any) -> list[tuple[int, Any]]:
    return [(row[0], row[1]) for row in store.session().execute(query)]


def _person(person_id: int) -> Person:
    found = store.session().get(Person, person_id)
    if found is None:
        abort(404)
    return found
