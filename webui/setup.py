"""The first run: an account, then addresses pasted, looked at live, and watched. Adding more later is the same page."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from datetime import timedelta

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from sqlalchemy import delete, select, text
from werkzeug.wrappers import Response

from domain import beginning
from domain.clock import now
from domain.inventory import Credential, Host, Person, Setting
from domain.requests import Look
from webui import access, logins, looks, passwords, proof, staff, store, sweeps
from webui import addresses as pasted
from webui.forms import Field
from webui.language import gettext, ngettext
from webui.store import announce
from webui.sweeps import Row

blueprint = Blueprint("setup", __name__, url_prefix="/setup")

PATIENCE = timedelta(seconds=8)


@blueprint.route("", methods=["GET", "POST"])
@access.first_run
def account() -> Response | str | tuple[str, int]:
    """Step one: the first person, proven by the token that only the console has shown."""
    typed = request.form if request.method == "POST" else request.args
    token, name = typed.get("token", "").strip()[:200], typed.get("name", "").strip()[:100]
    login = typed.get("login", "").strip().lower()[:63] or _login(name)
    wrong = _wrong(token, name, login, request.form.get("password", "")) if request.method == "POST" else {}
    if request.method == "GET" or wrong:
        page = render_template("setup/account.html", fields=_fields(token, name, login, wrong), step=1)
        return (page, 422) if wrong else page
    answer = redirect(url_for("setup.addresses", first=1), 303)
    access.open_session(answer, _first_person(name, login))
    flash(gettext("Your account is made. You log in as “%(login)s”.", login=login), "good")
    return answer


def _login(name: str) -> str:
    """What somebody of this name would log in with: small letters, a point for each space; whatever cannot be is left out."""
    plain = unicodedata.normalize("NFKD", name.lower()).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9._@+-]+", "", ".".join(plain.split())).strip("._@+-")[:63]


def _fields(token: str, name: str, login: str, wrong: dict[str, str]) -> list[Field]:
    return [
        Field(
            "token",
            gettext("Setup token"),
            value=token,
            help=gettext(
                "Printed on the console where Pantau was started, so that nobody else on the network can take it over."
            ),
            required=True,
            wrong=wrong.get("token", ""),
        ),
        Field(
            "name",
            gettext("Your name"),
            value=name,
            autocomplete="name",
            required=True,
            wrong=wrong.get("name", ""),
        ),
        Field(
            "login",
            gettext("Name to log in with"),
            value=login,
            help=gettext(
                "Small letters and digits. Empty: made of your name, such as budi.santoso; it is never changed."
            ),
            autocomplete="username",
            wrong=wrong.get("login", ""),
        ),
        Field(
            "password",
            gettext("Password"),
            "secret",
            help=passwords.rule(),
            autocomplete="new-password",
            required=True,
            wrong=wrong.get("password", ""),
        ),
    ]


def _wrong(token: str, name: str, login: str, password: str) -> dict[str, str]:
    """What is wrong with the first step, by field."""
    found = {}
    if not beginning.token_is_right(store.session(), token):
        found["token"] = gettext(
            "This is not the token that was printed. Start Pantau again to have a new one printed."
        )
    if not name or not name.isprintable():
        found["name"] = gettext("Please tell your name.")
    elif not staff.LOGIN.fullmatch(login):
        found["login"] = gettext("This takes small letters, digits, and . _ @ + - only.")
    weak = passwords.weakness(password, login) or passwords.weakness(password, name)
    if weak:
        found["password"] = weak
    return found


def _first_person(name: str, login: str) -> Person:
    """Make the first person; of two who try at once only one finds the installation still empty."""
    database = store.session()
    database.execute(text("select pg_advisory_xact_lock(hashtext('the first person'))"))
    if access.anybody():
        abort(403)
    person = Person(login=login, name=name, password_hash=passwords.digest(request.form["password"]), role="admin")
    database.add(person)
    database.execute(delete(Setting).where(Setting.key == beginning.TOKEN))
    database.commit()
    return person


@blueprint.route("/machines", methods=["GET", "POST"])
@access.admin
def addresses() -> Response | str | tuple[str, int]:
    """Step two: paste addresses. What is understood is looked at by the poller; the next page shows it live."""
    typed = request.form.get("addresses", "")[:100_000]
    if request.method == "GET":
        return _paste_page(typed, ())
    found = pasted.read(typed)
    wrong = found.wrong or (() if found.addresses else (gettext("Please paste at least one address."),))
    if wrong:
        return _paste_page(typed, wrong), 422
    look = looks.sweep(found.addresses, found.names)
    store.session().commit()
    return redirect(url_for("setup.sweep", look_id=look.id, first=request.args.get("first")), 303)


def _paste_page(typed: str, wrong: Iterable[str]) -> str:
    field = Field(
        "addresses",
        gettext("Addresses, one per line"),
        "lines",
        value=typed,
        help=gettext("A name may follow an address. Small ranges and networks work too: 10.0.0.5-20, 10.0.0.0/24."),
        required=True,
    )
    return render_template(
        "setup/machines.html", field=field, wrong=list(wrong), step=2, first=_first(), active="machines.index"
    )


@blueprint.route("/look/<look_id>", methods=["GET", "POST"])
@access.admin
def sweep(look_id: str) -> Response | str | tuple[str, int]:
    """What answers at the addresses, ticking in; then save those that are ticked and go on to the first."""
    look = looks.own(look_id, "sweep")
    rows = sweeps.rows(look)
    ask = sweeps.LoginForm(request.form if request.method == "POST" else None)
    if request.method == "GET":
        return _sweep_page(look, rows, ask, {row.address for row in rows if row.answers or not row.done})
    chosen = set(request.form.getlist("address"))
    wanted = [row for row in rows if row.address in chosen and row.watched is None]
    if not wanted:
        ask.draft.remind()
        return _sweep_page(look, rows, ask, chosen, gettext("Tick at least one machine to watch.")), 422
    if not ask.draft.good:
        ask.draft.remind()
        return _sweep_page(look, rows, ask, chosen), 422
    if ask.aims:
        proof.demand()
    first = _save(wanted, look, ask.credential())
    flash(ngettext("%(num)s machine is now watched.", "%(num)s machines are now watched.", len(wanted)), "good")
    return redirect(url_for("machine.show", host_id=first), 303)


def _sweep_page(look: Look, rows: list[Row], ask: sweeps.LoginForm, chosen: set[str], wrong: str = "") -> str:
    return render_template(
        "setup/sweep.html",
        look=look,
        rows=rows,
        ask=ask,
        chosen=chosen,
        logs_in=any(row.has("ssh") for row in rows if row.watched is None) or (not ask.draft.good and ask.sent),
        wrong=wrong,
        step=2,
        unclaimed=look.claimed_at is None and now() - look.asked_at > PATIENCE,
        failed=str(look.answer.get("error", "")),
        pending=looks.pending(look),
        first=_first(),
        active="machines.index",
    )


def _save(wanted: list[Row], look: Look, credential: Credential | None) -> int:
    """Make the machines and ask for their first look at once; gives the first one's number."""
    database = store.session()
    taken = set(database.scalars(select(Host.name)))
    hosts = []
    for row in wanted:
        name = logins.free(row.name or row.address, taken)
        host = Host(name=name, address=row.address, checks=sweeps.checks(row, credential))
        taken.add(host.name)
        hosts.append(host)
    database.add_all(hosts)
    database.flush()
    for host in hosts:
        looks.run(host.id)
    announce("inventory")
    database.commit()
    return hosts[0].id


def _first() -> bool:
    """Whether this is the first run, where the steps are shown."""
    return request.args.get("first") == "1"
