"""Who asks for something grave shows once more who they are; what they had typed is not lost by it.

Pages declare it by `access.fresh`. Who comes by a link is led to a page of its own and back; who sends a form gets the
question instead of the answer, and the form goes on by itself once the proof is right.
"""

from __future__ import annotations

from datetime import timedelta

from flask import Blueprint, Flask, abort, current_app, g, make_response, redirect, render_template, request, url_for
from sqlalchemy import update
from werkzeug.wrappers import Response as Plain

from domain.clock import now
from domain.inventory import Session
from domain.tokens import LOGINS, ApiToken
from webui import access, audited, directory, factors, faults, parking, passkeys, passwords, second, store, throttle
from webui.forms import Field
from webui.language import gettext

blueprint = Blueprint("proof", __name__)

FRESH = timedelta(minutes=15)
"""For how long one has shown who one is."""
PARKED, PASSWORD = "proof-parked", "proof-password"


def install(app: Flask) -> None:
    """Stand behind the gate: who has passed it may still have to show who they are. Call after `access.install`."""
    app.before_request(_demand)


@blueprint.route("/prove", methods=["GET", "POST"])
@access.signed_in
def page() -> Plain | str | tuple[str, int]:
    """Show who you are, and go back to where you were going."""
    onward = request.values.get("next")
    if request.method == "GET":
        return _page(url_for("proof.page"), onward=onward)
    wrong = _judge()
    if wrong:
        return _page(url_for("proof.page"), wrong, onward=onward), 422
    store.session().commit()
    return redirect(access.onward(onward), 303)


def fresh() -> bool:
    """Whether whoever asks has shown who they are lately."""
    proved = g.get("proved_at")
    return proved is not None and now() - proved < FRESH


def lacking() -> str:
    """Why this request of a program may do nothing grave, as one sentence; empty where it may.

    A person has shown lately who they are; a token, behind which nobody could be asked, was made for it.
    """
    token: ApiToken | None = g.get("token")
    if token is None:
        return "" if fresh() else gettext("Please show once more who you are, on a page of Pantau.")
    return "" if LOGINS in token.scopes else gettext("This takes a token that may touch logins (scope logins).")


def demand() -> None:
    """In the middle of a view, before it changes anything: who has not shown lately who they are is asked now.

    What the view changed so far is taken back. Declare `access.fresh` where it is always so.
    """
    if not fresh():
        store.session().rollback()
        abort(make_response(_ask()))


def renew(session_id: str) -> None:
    """This session's person has just shown who they are; in the caller's transaction."""
    g.proved_at = now()
    store.session().execute(update(Session).where(Session.id == session_id).values(proved_at=g.proved_at))


def _demand() -> Plain | tuple[str, int] | None:
    view = current_app.view_functions.get(request.endpoint or "")
    if view is None or fresh():
        return None
    if g.get("session_id") and request.method == "POST" and PARKED in request.form:
        return _resume(request.form[PARKED])
    return _ask() if access.is_fresh(view) else None


def _ask() -> Plain | tuple[str, int]:
    if not g.get("session_id"):  # a token for programs: nobody is there who could be asked
        abort(403)
    if faults.for_scripts():
        return faults.problem(403, gettext("Please show once more who you are, on a page of Pantau."))
    if request.method in ("GET", "HEAD"):
        return redirect(url_for("proof.page", next=_here()))
    name = parking.park(g.session_id, _here(), request.form)
    return _page(_here(), parked=name, files=bool(request.files)), 403


def _resume(name: str) -> Plain | tuple[str, int] | None:
    """The proof for a form that waits: when it is right, the form goes on as if it had been sent now."""
    if not parking.waits(g.session_id, name, _here()):
        return redirect(access.onward(_here()), 303)
    wrong = _judge()
    if wrong:
        return _page(_here(), wrong, parked=name), 422
    form = parking.take(g.session_id, name, _here())
    store.session().commit()
    if form is None:
        return redirect(access.onward(_here()), 303)
    request.form = form
    return None


def _here() -> str:
    """Where this request went, with what stands behind the question mark."""
    return request.full_path.rstrip("?")


def _judge() -> str:
    """What is wrong with the proof that was sent; empty when it is right, and the session is fresh from then on."""
    person = access.person()
    wait = throttle.wait(person.login)
    if wait:
        return throttle.sentence(wait)
    if request.form.get(second.PASSKEY) or request.form.get(second.CODE, "").strip():
        wrong = second.judge(person, passkeys.PROVE)
    else:
        typed = request.form.get(PASSWORD, "")[:1000]
        right = passwords.right(person, typed) or directory.right(store.settings(), person, typed)
        wrong = "" if right else gettext("This is not your password.")
    if wrong:
        return wrong
    throttle.forgive(person.login)
    audited.note("login.proved", f"person:{person.id}")
    renew(g.session_id)
    return ""


def _page(target: str, wrong: str = "", *, parked: str = "", onward: str | None = None, files: bool = False) -> str:
    has = factors.of(access.person().id)
    fields = [
        Field(
            PASSWORD,
            gettext("Password"),
            "secret",
            autocomplete="current-password",
            required=not has.app,
            wrong=wrong,
        )
    ]
    if has.app:
        fields.append(Field(second.CODE, gettext("Or a code from your app"), autocomplete="one-time-code"))
    elsewhere = not access.person().password_hash and not has.any and not store.settings().ldap_url
    keys = has.passkeys and not passkeys.why_not()
    return render_template(
        "people/prove.html",
        fields=fields,
        target=target,
        parked=parked,
        next=onward or "",
        files=files,
        keys=keys,
        elsewhere=elsewhere,
    )
