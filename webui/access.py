"""THE gate: who may open which page. Every route declares its rule; what declares nothing cannot even start."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, TypeVar
from urllib.parse import urlsplit

from flask import Flask, Response, abort, current_app, g, redirect, request, url_for
from flask_login import LoginManager, UserMixin
from sqlalchemy import ColumnElement, delete, exists, false, select, update
from werkzeug.wrappers import Response as Plain

from domain import fingerprint, inventory, rights
from domain.clock import now
from domain.inventory import Host, Person, Session
from domain.rights import Right
from webui import audited, bearer, cookies, faults, store
from webui.language import gettext

View = TypeVar("View", bound=Callable[..., Any])

IDLE = timedelta(hours=12)
ABSOLUTE = timedelta(days=7)
SEEN_EVERY = timedelta(minutes=1)

PUBLIC, FIRST_RUN, SIGNED_IN, SCRAPER = "public", "first run", "signed in", "scraper"


class Visitor(UserMixin):  # type: ignore[misc]
    """The person behind a request, as flask-login knows them."""

    def __init__(self, person: Person) -> None:
        self.person = person

    def get_id(self) -> str:
        """The person's number."""
        return str(self.person.id)


def _rule(name: str) -> Callable[[View], View]:
    def declare(view: View) -> View:
        view.__rule__ = name  # type: ignore[attr-defined]
        return view

    return declare


public = _rule(PUBLIC)
"""Anybody: the login page, static files, the health check."""
first_run = _rule(FIRST_RUN)
"""Anybody, but only while this installation has no person yet."""
signed_in = _rule(SIGNED_IN)
"""Anybody who is logged in; what they see is narrowed by `visible`."""
admin = _rule(Right.ADMIN)
"""Administrators."""
scraper = _rule(SCRAPER)
"""Whoever shows the token set for it as `Authorization: Bearer`, and administrators."""


def fresh(view: View) -> View:
    """Below the rule: whoever has not shown who they are within the last minutes does so first (webui/proof.py)."""
    view.__fresh__ = True  # type: ignore[attr-defined]
    return view


def is_fresh(view: Callable[..., Any]) -> bool:
    """Whether a view declared `fresh`."""
    return bool(getattr(view, "__fresh__", False))


def may(right: Right) -> Callable[[View], View]:
    """Whoever has `right` with the machine the address names (`host_id`); without one, with any machine at all.

    A machine that may not be seen is 404, one that may be seen and not more is 403. A view without a machine in its
    address narrows what it gives and takes by `within`, `divisions` or `can`.
    """
    return _rule(right)


def install(app: Flask) -> None:
    """Stand before every page. Call after all blueprints are registered: a route without a rule is refused here."""
    manager = LoginManager(app)
    manager.session_protection = None  # sessions are rows of ours; the browser holds nothing but their name
    manager.request_loader(lambda _request: Visitor(g.person) if g.get("person") else None)
    app.before_request(_gate)
    app.jinja_env.globals.update(can=_can, anywhere=_anywhere)
    undeclared = sorted(name for name, view in app.view_functions.items() if not rule_of(view))
    if undeclared:
        raise RuntimeError(f"These routes declare no access rule: {', '.join(undeclared)}.")


def rule_of(view: Callable[..., Any]) -> str:
    """The rule a view declared, or an empty text."""
    declared: str = getattr(view, "__rule__", "")
    return declared


def visible(person: Person) -> ColumnElement[bool]:
    """Which machines `person` may see, as a condition on Host. Every query for machines carries it."""
    return inventory.visible(person)


def within(right: Right) -> ColumnElement[bool]:
    """With which machines this request may do what `right` says, as a condition on Host."""
    return inventory.within(person(), right) if _in_scope(right) else false()


def divisions(right: Right) -> frozenset[int] | None:
    """In which divisions this request may do what `right` says; None: with every machine, of a division or of none."""
    if not _in_scope(right):
        return frozenset()
    if right in rights.OF[person().role]:
        return None
    return frozenset(one.division_id for one in person().memberships if right in rights.OF[one.role])


def can(right: Right, division_id: int | None = None) -> bool:
    """Whether this request may do what `right` says with the machines of a division; None: with those of none."""
    reach = divisions(right)
    return reach is None or division_id in reach


def anywhere(right: Right) -> bool:
    """Whether this request may do what `right` says with any machine at all."""
    reach = divisions(right)
    return reach is None or bool(reach)


def host(host_id: int, right: Right = Right.SEE) -> Host:
    """One machine this person may do what `right` says with.

    One they may not see is 404, as if it did not exist; one they may only see is 403.
    """
    found = store.session().scalar(select(Host).where(Host.id == host_id, visible(person())))
    if found is None:
        abort(404)
    if not can(right, found.division_id):
        abort(403)
    return found


def person() -> Person:
    """The person who is logged in; only for pages that demand one."""
    someone: Person | None = g.get("person")
    if someone is None:
        abort(403)
    return someone


def anybody() -> bool:
    """Whether this installation has a person at all."""
    return bool(store.session().scalar(select(exists().where(Person.id.is_not(None)))))


def open_session(answer: Plain, someone: Person, how: str = "password") -> None:
    """Log `someone` in: a new random name for the browser, its hash for the table; any earlier one ends.

    `how` says by what, for the audit.
    """
    database = store.session()
    close_session(answer)
    token = secrets.token_urlsafe(32)
    database.add(
        Session(
            id=fingerprint.of(token),
            person_id=someone.id,
            source=(request.remote_addr or "")[:60],
            browser=request.headers.get("User-Agent", "")[:200],
        )
    )
    database.execute(delete(Session).where(Session.created_at < now() - ABSOLUTE))
    audited.note("login", f"person:{someone.id}", by=someone, how=how)
    database.commit()
    cookies.put(answer, "session", token, int(ABSOLUTE.total_seconds()))


def close_session(answer: Plain) -> None:
    """Log this browser out; the row goes, so a copied cookie opens nothing."""
    token = cookies.read("session")
    if token:
        gone = store.session().scalar(
            delete(Session).where(Session.id == fingerprint.of(token)).returning(Session.person_id)
        )
        store.announce("session", str(gone or ""))
        store.session().commit()
    cookies.drop(answer, "session")


def close_others(someone: Person) -> None:
    """End every other session of `someone`, in the transaction of the caller."""
    close(someone.id, Session.id != fingerprint.of(cookies.read("session")))


def close(person_id: int, which: ColumnElement[bool] | None = None) -> None:
    """End the sessions of a person (those that are `which`), in the transaction of the caller; live pages hear of it."""
    ended = delete(Session).where(Session.person_id == person_id)
    store.session().execute(ended if which is None else ended.where(which))
    store.announce("session", str(person_id))


def is_own(session: Session) -> bool:
    """Whether `session` is the one of this request."""
    return session.id == fingerprint.of(cookies.read("session"))


def onward(target: str | None) -> str:
    """Where to go after login: `target` if it is a plain path of this site, else home.

    A browser reads `//host`, `/\\host` and paths with control characters in them as another site.
    """
    home = url_for("status.home")
    if not target or len(target) > 500 or not target.startswith("/") or target.startswith("//"):
        return home
    if "\\" in target or any(ord(c) < 33 or ord(c) == 127 for c in target):
        return home
    parts = urlsplit(target)
    return home if parts.scheme or parts.netloc else target


def _gate() -> Plain | None:
    view = current_app.view_functions.get(request.endpoint or "")
    if view is None:  # no such page: the same answer for everybody
        return None
    rule = rule_of(view)
    if rule == PUBLIC and request.endpoint == "assets.give":
        return None
    g.person = _recognise()
    if rule == PUBLIC:
        return None
    if rule == FIRST_RUN:
        return redirect(url_for("status.home")) if g.person or anybody() else None
    if rule == SCRAPER and _shows_token():
        store.ask_as(store.HOUSE)
        return None
    if g.person is None:
        return _turn_away()
    if rule != SIGNED_IN:
        _demand(Right.ADMIN if rule == SCRAPER else Right(rule))
    return None


def _demand(right: Right) -> None:
    """Refuse whoever has not this right with the machine the address names, or with none at all."""
    named = (request.view_args or {}).get("host_id")
    if named is not None:
        host(named, right)
    elif not anywhere(right):
        abort(403)


def _can(right: str, division_id: int | None = None) -> bool:
    """`can` for templates, by the right's name; a frame drawn for nobody may nothing."""
    return g.get("person") is not None and can(Right(right), division_id)


def _anywhere(right: str) -> bool:
    return g.get("person") is not None and anywhere(Right(right))


def _in_scope(right: Right) -> bool:
    """Whether what this request logged in with (a token, say) carries the right at all; a browser's session does."""
    scope: frozenset[Right] | None = g.get("scope")
    return scope is None or right in scope


def _shows_token() -> bool:
    """Whether this request carries the token set for scrapers; compared in constant time."""
    token, scheme = store.settings().metrics_token, request.authorization
    if not token or scheme is None or scheme.type != "bearer" or not scheme.token:
        return False
    return secrets.compare_digest(fingerprint.of(scheme.token), fingerprint.of(token))


def _turn_away() -> Plain:
    """To the first run while there is nobody, else to the login page, and back here afterwards; a script is told so."""
    if faults.for_scripts():
        answer = faults.problem(401, gettext("Please log in."))
        answer.headers["WWW-Authenticate"] = "Bearer"
        return answer
    if not anybody():
        return redirect(url_for("setup.account"))
    if request.accept_mimetypes.best_match(["text/html", "application/json"]) == "application/json":
        return Response('{"error": "Please log in."}', 401, mimetype="application/json")
    back = request.full_path.rstrip("?") if request.method == "GET" else None
    return redirect(url_for("people.login", next=back if back != "/" else None))


def _recognise() -> Person | None:
    """The person whose session this browser names, if it is alive; being seen is written once a minute.

    Where a token is shown, it alone says who asks: a request is never two people.
    """
    if bearer.shown():
        program = bearer.recognise()
        if program is not None:
            store.ask_as(program.id)
        return program
    token = cookies.read("session")
    if not token:
        return None
    database, moment = store.session(), now()
    found = database.execute(
        select(Session.id, Session.seen_at, Person, Session.proved_at)
        .join(Person)
        .where(
            Session.id == fingerprint.of(token),
            Session.seen_at > moment - IDLE,
            Session.created_at > moment - ABSOLUTE,
            Person.active,
        )
    ).one_or_none()
    if found is None:
        return None
    recognised: Person = found[2]
    store.ask_as(recognised.id)
    g.session_id, g.proved_at = found[0], found[3]
    _see(found[0], found[1], moment)
    return recognised


def again() -> Person | None:
    """Whoever is behind this request, recognised anew: one that lasts outlives its session, or a right of its person."""
    g.person = _recognise()
    someone: Person | None = g.person
    return someone


def still_in() -> bool:
    """Whether the session of this request is still alive, asked anew; no connection is held afterwards."""
    alive = _recognise() is not None
    store.session().close()
    return alive


def _see(session_id: str, seen_at: datetime, moment: datetime) -> None:
    if moment - seen_at > SEEN_EVERY:
        store.session().execute(update(Session).where(Session.id == session_id).values(seen_at=moment))
        store.session().commit()
