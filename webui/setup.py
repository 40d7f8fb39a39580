"""The first run: an account, then addresses pasted, looked at live, and watched. Adding more later is the same page."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from sqlalchemy import delete, func, select, text
from werkzeug.wrappers import Response

from domain import beginning
from domain.clock import now
from domain.inventory import Check, Host, Person, Setting
from domain.requests import Look
from probes import catalogue
from webui import access, passwords, store
from webui import addresses as pasted
from webui.forms import Field
from webui.language import gettext, ngettext
from webui.wording import value

blueprint = Blueprint("setup", __name__, url_prefix="/setup")

PATIENCE = timedelta(seconds=8)
RUNGS = (("ping", "Ping"), ("ssh", "SSH"), ("http", "HTTP"), ("https", "HTTPS"), ("winrm", "WinRM"))
PORTS = {"ssh": 22, "http": 80, "https": 443, "winrm": 5985}


@dataclass(frozen=True)
class Row:
    """One address being looked at. `rungs` are (label, answered, detail); `watched` is the machine it already is."""

    address: str
    name: str
    done: bool
    rungs: tuple[tuple[str, bool, str], ...]
    detail: str
    watched: Host | None

    @property
    def answers(self) -> bool:
        """Whether anything at all answered."""
        return any(answered for _, answered, _ in self.rungs)


@blueprint.route("", methods=["GET", "POST"])
@access.first_run
def account() -> Response | str | tuple[str, int]:
    """Step one: the first person, proven by the token that only the console has shown."""
    typed = request.form if request.method == "POST" else request.args
    token, name = typed.get("token", "").strip()[:200], typed.get("name", "").strip()[:100]
    wrong = _wrong(token, name, request.form.get("password", "")) if request.method == "POST" else {}
    if request.method == "GET" or wrong:
        page = render_template("setup/account.html", fields=_fields(token, name, wrong), step=1)
        return (page, 422) if wrong else page
    answer = redirect(url_for("setup.addresses", first=1), 303)
    access.open_session(answer, _first_person(name))
    return answer


def _fields(token: str, name: str, wrong: dict[str, str]) -> list[Field]:
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
            autocomplete="username",
            required=True,
            wrong=wrong.get("name", ""),
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


def _wrong(token: str, name: str, password: str) -> dict[str, str]:
    """What is wrong with the first step, by field."""
    found = {}
    if not beginning.token_is_right(store.session(), token):
        found["token"] = gettext(
            "This is not the token that was printed. Start Pantau again to have a new one printed."
        )
    if not name or not name.isprintable():
        found["name"] = gettext("Please tell the name you want to log in with.")
    weak = passwords.weakness(password, name)
    if weak:
        found["password"] = weak
    return found


def _first_person(name: str) -> Person:
    """Make the first person; of two who try at once only one finds the installation still empty."""
    database = store.session()
    database.execute(text("select pg_advisory_xact_lock(hashtext('the first person'))"))
    if access.anybody():
        abort(403)
    person = Person(
        login=name.lower(), name=name, password_hash=passwords.digest(request.form["password"]), role="admin"
    )
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
    look = Look(
        id=str(uuid.uuid4()),
        kind="sweep",
        asked={"addresses": list(found.addresses), "names": found.names},
        asked_by=access.person().id,
    )
    store.session().add(look)
    _announce("asked", look.id)
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
    look = store.session().get(Look, look_id)
    if look is None or look.kind != "sweep" or look.asked_by != access.person().id:
        abort(404)
    rows = _rows(look)
    if request.method == "GET":
        return _sweep_page(look, rows)
    chosen = set(request.form.getlist("address"))
    wanted = [row for row in rows if row.address in chosen and row.watched is None]
    if not wanted:
        return _sweep_page(look, rows, gettext("Tick at least one machine to watch.")), 422
    first = _save(wanted, look)
    flash(ngettext("%(num)s machine is now watched.", "%(num)s machines are now watched.", len(wanted)), "good")
    return redirect(url_for("machine.show", host_id=first), 303)


def _sweep_page(look: Look, rows: list[Row], wrong: str = "") -> str:
    return render_template(
        "setup/sweep.html",
        look=look,
        rows=rows,
        wrong=wrong,
        step=2,
        unclaimed=look.claimed_at is None and now() - look.asked_at > PATIENCE,
        failed=str(look.answer.get("error", "")),
        pending=look.done_at is None and not look.answer.get("error"),
        first=_first(),
        active="machines.index",
    )


def _rows(look: Look) -> list[Row]:
    """A row for each address asked, answered or not."""
    asked: list[str] = look.asked["addresses"]
    answers = {str(row.get("address")): row for row in look.answer.get("rows", ())}
    watched = {host.address: host for host in store.session().scalars(select(Host).where(Host.address.in_(asked)))}
    given = look.asked.get("names", {})
    return [_row(address, answers.get(address, {}), given.get(address, ""), watched.get(address)) for address in asked]


def _row(address: str, answer: Mapping[str, Any], given: str, watched: Host | None) -> Row:
    done = bool(answer.get("done"))
    rungs = []
    for key, label in RUNGS:
        rung = answer.get(key)
        if isinstance(rung, dict):
            detail = value(float(rung["rtt"]), "s") if rung.get("ok") and rung.get("rtt") is not None else ""
            rungs.append((label, bool(rung.get("ok")), detail))
    name = given or str(answer.get("name") or "")[:100]
    return Row(address, name, done, tuple(rungs), str(answer.get("detail") or ""), watched)


def _save(wanted: list[Row], look: Look) -> int:
    """Make the machines and ask for their first look at once; gives the first one's number."""
    database = store.session()
    taken = set(database.scalars(select(Host.name)))
    hosts = []
    for row in wanted:
        host = Host(name=_free(row.name or row.address, taken), address=row.address, checks=_checks(row))
        taken.add(host.name)
        hosts.append(host)
    database.add_all(hosts)
    database.flush()
    for host in hosts:
        run = Look(id=str(uuid.uuid4()), kind="run", host_id=host.id, asked_by=look.asked_by)
        database.add(run)
        _announce("asked", run.id)
    _announce("inventory", "")
    database.commit()
    return hosts[0].id


def _checks(row: Row) -> list[Check]:
    """A ping, and a connection to each port that answered; a machine that answers no ping is judged by its ports alone."""
    answered = {key for (key, label) in RUNGS if any(name == label and ok for name, ok, _ in row.rungs)}
    ports = [
        Check(kind="tcp", name=f"port {PORTS[key]}", options={"port": PORTS[key]})
        for key, label in RUNGS
        if key in answered & PORTS.keys() and "tcp" in catalogue()
    ]
    pinged = "ping" in answered or not ports
    return [*([Check(kind="icmp", name="ping")] if pinged else []), *ports]


def _free(name: str, taken: set[str]) -> str:
    """`name`, or with a number behind it where another machine has it."""
    candidate, number = name, 2
    while candidate in taken:
        candidate, number = f"{name} ({number})", number + 1
    return candidate


def _first() -> bool:
    """Whether this is the first run, where the steps are shown."""
    return request.args.get("first") == "1"


def _announce(channel: str, payload: str) -> None:
    """Tell whoever listens, at commit."""
    store.session().execute(select(func.pg_notify(channel, payload)))
