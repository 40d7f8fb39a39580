"""Logins for watched machines: told what they are for and where they are used, never what they are."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from sqlalchemy import or_, select
from sqlalchemy.exc import IntegrityError
from werkzeug.wrappers import Response

from domain.clock import now
from domain.inventory import FETCHABLE, Check, Credential, CredentialUse, Host, fetched_wrong, next_id
from probes import catalogue
from probes.ssh.certificate import Certificate
from webui import access, audited, logins, looks, sshkeys, store
from webui.draft import Draft
from webui.forms import Field
from webui.language import gettext, lazy_gettext

blueprint = Blueprint("credentials", __name__, url_prefix="/credentials")

KINDS = {
    "password": lazy_gettext("Password"),
    "ssh_key": lazy_gettext("SSH key"),
    "snmp_v3": lazy_gettext("SNMP user"),
    "community": lazy_gettext("SNMP community"),
}
SORTS = {"login": ("password", "ssh_key"), "snmp": ("snmp_v3", "community")}
"""What one form asks for: the kinds of credential its fields can become."""
LONGEST_SOURCE = 600
MOST_TARGETS = 300


@dataclass
class Row:
    """One credential and the machines that are logged in to with it, or would be restarted with it."""

    credential: Credential
    hosts: list[Host] = field(default_factory=list)

    @property
    def certificate(self) -> Certificate | None:
        """What its certificate says."""
        return sshkeys.certified(self.credential)


@dataclass(frozen=True)
class Use:
    """A machine this credential belongs to: by its checks, for restarting it, or once; and when it was used there."""

    host: Host
    checks: tuple[str, ...]
    acts: bool
    first_at: datetime | None
    last_at: datetime | None


@blueprint.get("")
@access.admin
def index() -> str:
    """All of them, with where they are used."""
    database = store.session()
    rows = {row.id: Row(row) for row in database.scalars(select(Credential).order_by(Credential.name))}
    used = (
        select(Check.credential_id, Host).join(Host, Check.host_id == Host.id).where(Check.credential_id.is_not(None))
    )
    acting = select(Host.action_credential_id, Host).where(Host.action_credential_id.is_not(None))
    found = {(id, host.name): host for query in (used, acting) for id, host in database.execute(query)}
    for (credential_id, _), host in sorted(found.items(), key=lambda item: item[0][1]):
        if credential_id in rows:
            rows[credential_id].hosts.append(host)
    return render_template(
        "credentials/index.html",
        active="credentials.index",
        rows=list(rows.values()),
        kinds=KINDS,
        ends_soon=sshkeys.ends_soon,
    )


@blueprint.route("/new", methods=["GET", "POST"])
@access.admin
@access.fresh
def new() -> Response | str | tuple[str, int]:
    """Store a login, have a key made for one, or say where its secret is kept."""
    sort = request.args.get("sort")
    if sort == "key":
        return _make_key()
    return _fetch(None) if sort == "fetched" else _work(None)


@blueprint.route("/<int:credential_id>", methods=["GET", "POST"])
@access.admin
@access.fresh
def edit(credential_id: int) -> Response | str | tuple[str, int]:
    """Rename it, change its user, or replace its secret."""
    row = _credential(credential_id)
    return _fetch(row) if row.fetched_from else _work(row)


@blueprint.post("/<int:credential_id>/test")
@access.admin
@access.fresh
def test(credential_id: int) -> Response:
    """Try it at a machine; the page shows every rung."""
    row = _credential(credential_id)
    host_text, _, kind = request.form.get("at", "").partition(":")
    host = access.host(int(host_text) if host_text.isdecimal() and len(host_text) < 10 else 0)
    probe = catalogue().get(kind)
    if probe is None or row.kind not in probe.credentials:
        abort(404)
    check = next((one for one in host.checks if one.kind == kind), None)
    options = dict(check.options) if check is not None else {}
    audited.note("credential.tested", f"credential:{row.id}", name=row.name, machine=host.name, host=host.id, kind=kind)
    look = looks.test(host, kind, options, row.id, None)
    store.session().commit()
    return redirect(url_for("looks.show", look_id=look.id), 303)


@blueprint.post("/<int:credential_id>/certificate")
@access.admin
@access.fresh
def certify(credential_id: int) -> Response | tuple[str, int]:
    """Take over a certificate for its key, or, with nothing typed, forget the one there is."""
    row = _credential(credential_id)
    if row.kind != "ssh_key":
        abort(404)
    typed = request.form.get("certificate", "").strip()
    wrong = sshkeys.wrong_certificate(typed, row.public_key) if typed else ""
    if wrong:
        draft = Draft(None)
        _login_fields(draft, row, "login")
        return _page(row, draft, "login", gettext(wrong), request.form.get("certificate", "")), 422
    row.certificate, row.changed_at = " ".join(typed.split()[:3]), now()
    store.announce("inventory")
    store.session().commit()
    flash(gettext("The certificate is kept.") if typed else gettext("The certificate is forgotten."), "good")
    return redirect(url_for("credentials.edit", credential_id=row.id), 303)


@blueprint.route("/<int:credential_id>/delete", methods=["GET", "POST"])
@access.admin
@access.fresh
def delete(credential_id: int) -> Response | str | tuple[str, int]:
    """Ask once more, then delete; refused while a machine needs it."""
    row, database = _credential(credential_id), store.session()
    hosts = [use.host for use in _uses(row) if use.checks or use.acts]
    if request.method == "GET" or hosts:
        page = render_template("credentials/delete.html", active="credentials.index", row=row, hosts=hosts)
        return page if request.method == "GET" else (page, 409)
    name = row.name
    database.delete(row)
    try:
        database.commit()
    except IntegrityError:  # a check began to use it between the question and the answer
        database.rollback()
        return redirect(url_for("credentials.delete", credential_id=credential_id), 303)
    flash(gettext("The credential “%(name)s” is deleted.", name=name), "good")
    return redirect(url_for("credentials.index"), 303)


def choices(kinds: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Credentials of these kinds for a list to choose from, and none."""
    rows = store.session().scalars(select(Credential).where(Credential.kind.in_(kinds)).order_by(Credential.name))
    return (("", gettext("none")), *((str(row.id), row.name) for row in rows))


# ---- a secret that is stored here ----


def _login_fields(draft: Draft, row: Credential | None, sort: str) -> tuple[str, logins.Login | None]:
    name = draft.text(_name_field(row))
    return name, logins.ask(draft, row.username if row else "", kept=row is not None, kinds=SORTS[sort])


def _work(row: Credential | None) -> Response | str | tuple[str, int]:
    draft = Draft(request.form if request.method == "POST" else None)
    sort = _sort(row)
    name, login = _login_fields(draft, row, sort)
    if draft.good and row is None and login is None:
        if sort == "snmp":
            draft.blame("password", gettext("Please enter the authentication password, or the community."))
        else:
            draft.blame("username", gettext("Please tell the user name to log in with."))
    if draft.good and row is not None and login is None and bool(draft["username"].value) != (row.kind != "community"):
        draft.blame(
            "username",
            gettext("Please enter the passwords of this user too.")
            if row.kind == "community"
            else gettext("Please tell the user name to log in with."),
        )
    if draft.good and _taken(name, row):
        draft.blame("name", gettext("Another credential has this name. Choose another one."))
    if draft.good and _keep(row, name, login, draft):
        flash(gettext("The credential “%(name)s” is saved.", name=name), "good")
        return redirect(url_for("credentials.index"), 303)
    draft.remind()
    page = _page(row, draft, sort)
    return page if request.method == "GET" else (page, 422)


def _page(
    row: Credential | None, draft: Draft, sort: str, wrong_certificate: str = "", typed_certificate: str | None = None
) -> str:
    uses = _uses(row) if row is not None else []
    return render_template(
        "credentials/form.html",
        active="credentials.index",
        row=row,
        draft=draft,
        kinds=KINDS,
        sort=sort,
        uses=uses,
        targets=_targets(row) if row is not None else [],
        certificate=sshkeys.certified(row) if row is not None else None,
        wrong_certificate=wrong_certificate,
        typed_certificate=typed_certificate,
        ends_soon=sshkeys.ends_soon,
        authorized=sshkeys.authorized(row) if row is not None else "",
    )


def _sort(row: Credential | None) -> str:
    if row is not None:
        return "snmp" if row.kind in SORTS["snmp"] else "login"
    return "snmp" if request.args.get("sort") == "snmp" else "login"


def _keep(row: Credential | None, name: str, login: logins.Login | None, draft: Draft) -> bool:
    """Store it; False where somebody else took the name meanwhile."""
    if login is not None:
        kept = logins.keep(login, name, row)
        public = sshkeys.public_half(login)
        if public != kept.public_key:  # another key: what was signed for the one before is no use
            kept.public_key, kept.certificate = public, ""
    elif row is not None:
        row.name, row.username = name, draft["username"].value.strip()
    return _commit(draft)


def _commit(draft: Draft) -> bool:
    store.announce("inventory")
    try:
        store.session().commit()
    except IntegrityError:
        store.session().rollback()
        draft.blame("name", gettext("Another credential has this name. Choose another one."))
        return False
    return True


# ---- a key that is made here ----


def _make_key() -> Response | str | tuple[str, int]:
    draft = Draft(request.form if request.method == "POST" else None)
    name = draft.text(_name_field(None))
    username = draft.text(
        Field("username", gettext("User name"), required=True, help=gettext("The account it logs in to."))
    )
    if draft.good and _taken(name, None):
        draft.blame("name", gettext("Another credential has this name. Choose another one."))
    if draft.good:
        logins.judge_vault(draft, "name")
    if draft.good:
        login = sshkeys.fresh(username)
        row = logins.keep(login, name)
        row.public_key = sshkeys.public_half(login)
        audited.note("credential.key_made", f"credential:{row.id}", name=name)
        if _commit(draft):
            flash(gettext("The key is made. Put its line on the machines, then use it in their checks."), "good")
            return redirect(url_for("credentials.edit", credential_id=row.id), 303)
    page = render_template(
        "credentials/simple.html", active="credentials.index", row=None, sort="key",
        fields=[draft["name"], draft["username"]],
    )  # fmt: skip
    return page if request.method == "GET" else (page, 422)


# ---- a secret that is kept elsewhere ----


def _fetch(row: Credential | None) -> Response | str | tuple[str, int]:
    draft = Draft(request.form if request.method == "POST" else None)
    name = draft.text(_name_field(row))
    kind = draft.choice(
        Field(
            "kind",
            gettext("What it is"),
            "choice",
            value=row.kind if row else "password",
            choices=tuple((one, str(KINDS[one])) for one in FETCHABLE),
        )
    )
    username = draft.text(Field("username", gettext("User name"), value=row.username if row else ""))
    source = draft.text(
        Field(
            "source",
            gettext("Where its secret is kept"),
            value=row.fetched_from if row else "",
            required=True,
            help=gettext(
                "env:SECRET_NAME, a variable of the poller; file:/path, a file in a directory the settings allow;"
                " vault:mount/path#field, in HashiCorp Vault or OpenBao. It is fetched at each use and stored nowhere."
            ),
        ),
        LONGEST_SOURCE,
    )
    if draft.good and (wrong := fetched_wrong(source)):
        draft.blame("source", gettext(wrong))
    if draft.good and kind != "community" and not username:
        draft.blame("username", gettext("Please tell the user name to log in with."))
    if draft.good and _taken(name, row):
        draft.blame("name", gettext("Another credential has this name. Choose another one."))
    if draft.good and _keep_source(row, name, kind, username if kind != "community" else "", source, draft):
        flash(gettext("The credential “%(name)s” is saved.", name=name), "good")
        return redirect(url_for("credentials.index"), 303)
    page = render_template(
        "credentials/simple.html",
        active="credentials.index",
        row=row,
        sort="fetched",
        fields=[draft[one] for one in ("name", "kind", "username", "source")],
        uses=_uses(row) if row is not None else [],
        targets=_targets(row) if row is not None else [],
    )
    return page if request.method == "GET" else (page, 422)


def _keep_source(row: Credential | None, name: str, kind: str, username: str, source: str, draft: Draft) -> bool:
    kept = row or Credential(id=next_id(store.session()), sealed=b"", seal_id="", source="typed")
    kept.name, kept.kind, kept.username, kept.fetched_from, kept.changed_at = name, kind, username, source, now()
    if row is None:
        store.session().add(kept)
    return _commit(draft)


# ---- all of them ----


def _name_field(row: Credential | None) -> Field:
    return Field(
        "name",
        gettext("Name"),
        value=row.name if row else "",
        help=gettext("What you will know it by, such as “monitoring account, Linux”."),
        required=True,
    )


def _taken(name: str, row: Credential | None) -> bool:
    found = store.session().scalar(select(Credential.id).where(Credential.name == name))
    return found is not None and (row is None or found != row.id)


def _uses(row: Credential) -> list[Use]:
    """The machines it belongs to or was used at, by name."""
    database = store.session()
    seen = {
        use.host_id: use for use in database.scalars(select(CredentialUse).where(CredentialUse.credential_id == row.id))
    }
    checks: dict[int, list[str]] = {}
    for host_id, name in database.execute(
        select(Check.host_id, Check.name).where(Check.credential_id == row.id).order_by(Check.id)
    ):
        checks.setdefault(host_id, []).append(name)
    wanted = or_(Host.id.in_({*seen, *checks}), Host.action_credential_id == row.id)
    return [
        Use(
            host,
            tuple(checks.get(host.id, ())),
            host.action_credential_id == row.id,
            seen[host.id].first_at if host.id in seen else None,
            seen[host.id].last_at if host.id in seen else None,
        )
        for host in database.scalars(select(Host).where(wanted).order_by(Host.name))
    ]


def _targets(row: Credential) -> list[tuple[str, str]]:
    """Where it can be tried: machine and way, those first whose checks log in that way."""
    ways = {probe.kind: probe for probe in catalogue().values() if row.kind in probe.credentials}
    usual = "ssh" if "ssh" in ways else "snmp"
    hosts = store.session().execute(select(Host.id, Host.name).order_by(Host.name).limit(MOST_TARGETS)).all()
    kinds = select(Check.host_id, Check.kind).where(Check.kind.in_(ways)).distinct()
    have: dict[int, set[str]] = {}
    for host_id, kind in store.session().execute(kinds):
        have.setdefault(host_id, set()).add(kind)
    found = [(id, name, kind) for id, name in hosts for kind in sorted(have.get(id, ()))]
    found += [(id, name, usual) for id, name in hosts if not have.get(id)]
    return [(f"{id}:{kind}", f"{name} · {gettext(ways[kind].label)}") for id, name, kind in found if kind in ways]


def _credential(credential_id: int) -> Credential:
    found = store.session().get(Credential, credential_id)
    if found is None:
        abort(404)
    return found
