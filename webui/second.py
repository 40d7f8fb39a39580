"""The second factor: set up and taken away on a page of one's own, asked at the door, and led to where it is demanded."""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Blueprint, Flask, current_app, flash, g, redirect, render_template, request, url_for
from sqlalchemy import delete
from werkzeug.wrappers import Response

from config.vault import VaultError
from domain.identity import Passkey, RecoveryCode, Totp
from domain.inventory import Person
from webui import access, audited, factors, faults, halfway, passkeys, recovery, store, throttle, totp
from webui.forms import Field
from webui.language import gettext

blueprint = Blueprint("second", __name__)

CODE, PASSKEY = "code", "passkey"
FREE = {"people.logout", "people.appearance", "proof.page", "assets.give", "stream.events", "status.beat"}
"""Where somebody may go who must set up a second factor first; and every page of `second` and `passkeys`."""


def install(app: Flask) -> None:
    """Lead whoever must have a second factor and has none to where it is set up. Call after `proof.install`."""
    app.before_request(_lead)


@blueprint.get("/me/second-factor")
@access.signed_in
def index() -> str:
    """What one has beside a password, and how to get it."""
    person = access.person()
    return render_template(
        "people/second.html",
        active="profile.index",
        factors=factors.of(person.id),
        keys=passkeys.listed(person.id),
        codes=recovery.left(person.id),
        why_not=passkeys.why_not(),
        key_name=Field("name", gettext("Name of the key"), help=gettext("Such as: telephone, blue stick.")),
        must=factors.demanded() and factors.grave(person),
    )


@blueprint.route("/me/second-factor/app", methods=["GET", "POST"])
@access.signed_in
@access.fresh
def app_page() -> Response | str | tuple[str, int]:
    """Set up an app: its seed as a picture, and the first code it makes."""
    person, wrong = access.person(), ""
    if factors.of(person.id).app:
        return redirect(url_for("second.index"), 303)
    if request.method == "POST":
        wait = throttle.wait(person.login, "code")
        if wait:
            wrong = throttle.sentence(wait)
        elif totp.accept(person.id, request.form.get(CODE, "")[:20], confirming=True):
            throttle.forgive(person.login, "code")
            audited.note("factor.added", f"person:{person.id}", kind="app")
            return _codes_page(recovery.make(person.id))
        else:
            wrong = gettext("This is not the code of this moment. Is the clock of your telephone right?")
    try:
        row = totp.begin(person) if request.method == "GET" or totp.of(person.id) is None else totp.of(person.id)
        store.session().commit()
        if row is None:
            raise VaultError(gettext("Please begin again."))
        seed, picture = totp.seed(row), totp.picture(row, person, urlsplit(request.host_url).hostname or "")
    except VaultError as error:
        return render_template("people/app.html", active="profile.index", fault=str(error)), 503
    field = Field(CODE, gettext("Code the app shows"), autocomplete="one-time-code", required=True, wrong=wrong)
    page = render_template("people/app.html", active="profile.index", seed=seed, picture=picture, field=field)
    return (page, 422) if wrong else page


@blueprint.post("/me/second-factor/app/remove")
@access.signed_in
@access.fresh
def remove_app() -> Response:
    """The app's codes are taken no more."""
    person = access.person()
    if _last(person, app=1):
        return redirect(url_for("second.index"), 303)
    store.session().execute(delete(Totp).where(Totp.person_id == person.id))
    audited.note("factor.removed", f"person:{person.id}", kind="app")
    store.session().commit()
    flash(gettext("Codes of the app are not asked for any more."), "good")
    return redirect(url_for("second.index"), 303)


@blueprint.post("/me/second-factor/passkeys")
@access.signed_in
@access.fresh
def add_key() -> Response | str:
    """Keep a new passkey; the first factor of all brings recovery codes."""
    person = access.person()
    first = not factors.of(person.id).any
    try:
        kept = passkeys.registered(request.form.get(PASSKEY, ""), person)
    except passkeys.Refused as refused:
        flash(str(refused), "bad")
        return redirect(url_for("second.index"), 303)
    kept.name = passkeys.named(request.form.get("name", ""))
    store.session().add(kept)
    audited.note("factor.added", f"person:{person.id}", kind="passkey", name=kept.name)
    if first:
        return _codes_page(recovery.make(person.id))
    store.session().commit()
    flash(gettext("“%(name)s” is a passkey of yours now.", name=kept.name), "good")
    return redirect(url_for("second.index"), 303)


@blueprint.post("/me/second-factor/passkeys/<int:key_id>")
@access.signed_in
def rename_key(key_id: int) -> Response:
    """Another name for one's own passkey."""
    kept = passkeys.own(key_id)
    kept.name = passkeys.named(request.form.get("name", ""))
    audited.note("factor.renamed", f"person:{kept.person_id}", name=kept.name)
    store.session().commit()
    return redirect(url_for("second.index"), 303)


@blueprint.post("/me/second-factor/passkeys/<int:key_id>/remove")
@access.signed_in
@access.fresh
def remove_key(key_id: int) -> Response:
    """A passkey of one's own opens nothing any more."""
    kept = passkeys.own(key_id)
    if not _last(access.person(), key=1):
        store.session().delete(kept)
        audited.note("factor.removed", f"person:{kept.person_id}", kind="passkey", name=kept.name)
        store.session().commit()
        flash(gettext("“%(name)s” opens nothing any more.", name=kept.name), "good")
    return redirect(url_for("second.index"), 303)


@blueprint.post("/me/second-factor/codes")
@access.signed_in
@access.fresh
def codes() -> str | Response:
    """Ten new recovery codes; earlier ones open nothing any more."""
    if not factors.of(access.person().id).any:
        return redirect(url_for("second.index"), 303)
    audited.note("factor.codes", f"person:{access.person().id}")
    return _codes_page(recovery.make(access.person().id))


@blueprint.route("/login/second", methods=["GET", "POST"])
@access.public
def step() -> Response | str | tuple[str, int]:
    """The second step at the door: a code of the app, a recovery code, or a passkey."""
    someone, onward = halfway.person(), request.values.get("next")
    if g.person:
        return redirect(access.onward(onward), 303)
    if someone is None:
        return redirect(url_for("people.login", next=onward), 303)
    if request.method == "GET":
        return _step_page(someone, onward)
    wait = throttle.wait(someone.login, "code")
    if wait:
        return _step_page(someone, onward, throttle.sentence(wait)), 429
    wrong = judge(someone, passkeys.SECOND)
    if wrong:
        store.session().commit()
        return _step_page(someone, onward, wrong), 422
    throttle.forgive(someone.login, "code")
    answer = redirect(access.onward(onward), 303)
    halfway.end(answer)
    access.open_session(answer, someone, "password, passkey" if request.form.get(PASSKEY) else "password, code")
    throttle.know_device(answer, someone.login)
    return answer


def judge(someone: Person, purpose: str) -> str:
    """What is wrong with the second factor that was sent; empty when it is right. It is used up with the commit."""
    if answer := request.form.get(PASSKEY):
        try:
            passkeys.accept(answer, purpose, someone)
        except passkeys.Refused as refused:
            return str(refused)
        return ""
    if factors.code(someone.id, request.form.get(CODE, "")[:100]):
        return ""
    return gettext("This code is not right, or was used before.")


def forget(person_id: int) -> None:
    """Take every second factor from somebody, in the transaction of the caller: what was lost opens nothing."""
    for table in (Totp, RecoveryCode, Passkey):
        store.session().execute(delete(table).where(table.person_id == person_id))


def _step_page(someone: Person, onward: str | None, wrong: str = "") -> str:
    has = factors.of(someone.id)
    field = Field(
        CODE,
        gettext("Code from your app") if has.app else gettext("Recovery code"),
        help=gettext("A recovery code works here too.") if has.app else "",
        autocomplete="one-time-code",
        required=True,
        wrong=wrong,
    )
    return render_template(
        "people/step.html", field=field, next=onward or "", keys=has.passkeys and not passkeys.why_not(), has=has
    )


def _codes_page(fresh: list[str]) -> str:
    """Recovery codes, the only time they are seen."""
    store.session().commit()
    return render_template("people/codes.html", active="profile.index", codes=fresh)


def _last(person: Person, *, app: int = 0, key: int = 0) -> bool:
    """Whether taking this away would leave without any somebody who must have one; then it is said."""
    has = factors.of(person.id)
    left = int(has.app) - app + has.passkeys - key
    if left > 0 or not (factors.demanded() and factors.grave(person)):
        return False
    flash(gettext("You must have a second factor here: set up another one first."), "bad")
    return True


def _lead() -> Response | None:
    someone: Person | None = g.get("person")
    endpoint = request.endpoint or ""
    if (
        someone is None
        or not g.get("session_id")
        or endpoint in FREE
        or endpoint.partition(".")[0] in ("second", "passkeys")
    ):
        return None
    view = current_app.view_functions.get(endpoint)
    if view is None or access.rule_of(view) == access.PUBLIC:
        return None
    if not factors.demanded() or not factors.grave(someone) or factors.of(someone.id).any:
        return None
    if faults.for_scripts() or request.method not in ("GET", "HEAD"):
        return faults.problem(403, gettext("Please set up a second factor first."))
    return redirect(url_for("second.index"), 303)
