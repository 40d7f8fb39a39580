"""Coming in and going out, and the language and colours of a browser."""

from __future__ import annotations

from flask import Blueprint, g, redirect, render_template, request, url_for
from sqlalchemy import select
from werkzeug.wrappers import Response

from domain.inventory import Person
from webui import access, audited, directory, factors, halfway, passkeys, passwords, provider, push, store, throttle
from webui.forms import Field
from webui.language import LANGUAGES, THEMES, YEAR, gettext

blueprint = Blueprint("people", __name__)

BUSY = 5.0
"""Seconds to come back after where too many try at once."""


@blueprint.route("/login", methods=["GET", "POST"])
@access.public
def login() -> Response | str | tuple[str, int]:
    """The door. A wrong name and a wrong password are told, and take, the same."""
    onward = request.values.get("next")
    if g.person:
        return redirect(access.onward(onward))
    if request.method == "GET":
        return redirect(url_for("setup.account")) if not access.anybody() else _login_page("", onward)
    name, password = request.form.get("login", "").strip().lower()[:200], request.form.get("password", "")[:1000]
    wait = throttle.wait(name)
    if wait:
        return _login_page(name, onward, throttle.sentence(wait)), 429
    someone = store.session().scalar(select(Person).where(Person.login == name, Person.active))
    stored = someone.password_hash if someone else ""
    store.session().rollback()  # no connection waits while a password is computed
    try:
        right = passwords.fits(stored, password, crowded=throttle.crowded())
    except passwords.Busy:
        return _login_page(name, onward, throttle.sentence(BUSY)), 429
    right = right or directory.right(store.settings(), someone, password)
    if not right or someone is None:
        throttle.told(name, someone.id if someone else None)
        store.session().commit()
        return _login_page(name, onward, gettext("Name or password is not right.")), 422
    throttle.forgive(name)
    if factors.of(someone.id).any:
        answer = redirect(url_for("second.step", next=onward or None), 303)
        halfway.begin(answer, someone)
        return answer
    answer = redirect(access.onward(onward), 303)
    access.open_session(answer, someone)
    throttle.know_device(answer, name)
    return answer


@blueprint.post("/login/passkey")
@access.public
def passkey() -> Response | tuple[str, int]:
    """In with a passkey alone: it stands for the name, and for both factors, since the device asked who holds it."""
    onward = request.form.get("next")
    try:
        kept = passkeys.accept(request.form.get("passkey", ""), passkeys.LOGIN, None)
        someone = store.session().scalar(select(Person).where(Person.id == kept.person_id, Person.active))
        if someone is None:
            raise passkeys.Refused(gettext("This passkey is not known here."))
    except passkeys.Refused as refused:
        return _login_page("", onward, str(refused)), 422
    answer = redirect(access.onward(onward), 303)
    access.open_session(answer, someone, "passkey")
    throttle.know_device(answer, someone.login)
    return answer


def _login_page(name: str, onward: str | None, wrong: str = "") -> str:
    fields = [
        Field("login", gettext("Name"), value=name, autocomplete="username", required=True),
        Field("password", gettext("Password"), "secret", autocomplete="current-password", required=True),
    ]
    keys = not passkeys.why_not()
    return render_template(
        "people/login.html", fields=fields, wrong=wrong, next=onward or "", keys=keys, elsewhere=provider.enabled()
    )


@blueprint.post("/logout")
@access.signed_in
def logout() -> Response:
    """Out, here and everywhere: the rows of the sessions go, and the browser forgets its name."""
    answer = redirect(url_for("people.login"), 303)
    push.forget(answer)
    access.close(access.person().id)
    audited.note("logout", f"person:{access.person().id}")
    access.close_session(answer)
    answer.headers["Clear-Site-Data"] = '"cache", "storage"'  # with the worker goes its subscription
    return answer


@blueprint.post("/appearance")
@access.public
def appearance() -> Response:
    """Language and colours of this browser, and of the person where there is one."""
    answer = redirect(access.onward(request.form.get("next")), 303)
    for field, cookie, known in (("language", "lang", LANGUAGES), ("theme", "theme", THEMES)):
        chosen = request.form.get(field)
        if chosen in known:
            answer.set_cookie(cookie, str(chosen), max_age=YEAR, path="/", secure=request.is_secure, samesite="Lax")
            if g.person:
                setattr(g.person, field, chosen)
    store.session().commit()
    return answer
