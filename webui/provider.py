"""Logging in by a provider of identities: set up by administrators, begun and ended at the door."""

from __future__ import annotations

import json
import re
import time
import uuid
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from sqlalchemy import delete, func, select
from werkzeug.wrappers import Response

from config import webkey
from config.vault import VaultError
from domain.identity import Foreign, Provider
from domain.inventory import Division, Membership, Person
from webui import access, audited, cookies, factors, halfway, oidc, roles, store, throttle
from webui.draft import Draft
from webui.forms import Field
from webui.language import gettext

blueprint = Blueprint("provider", __name__)

COOKIE, PATIENCE = "provider", 600
LOGIN = re.compile(r"[^a-z0-9._@+-]+")


def enabled() -> Provider | None:
    """The provider, where one is set up and on."""
    return store.session().scalar(select(Provider).where(Provider.enabled))


@blueprint.get("/login/provider")
@access.public
def go() -> Response:
    """Off to the provider; what this login needs to be known again goes along in the browser, sealed."""
    try:
        box, client = _box(), _client(_enabled())
        began = oidc.begin(client)
    except (oidc.NotBelieved, VaultError) as error:
        return _back_with(str(error))
    kept = [began.state, began.nonce, began.verifier, access.onward(request.args.get("next")), time.time() + PATIENCE]
    answer = redirect(began.url, 303)
    sealed = box.seal(json.dumps(kept).encode(), "login by provider")
    cookies.put(answer, COOKIE, urlsafe_b64encode(sealed).decode(), PATIENCE)
    return answer


@blueprint.get("/login/provider/back")
@access.public
def back() -> Response:
    """Back from the provider: believed, somebody is let in; a second factor of theirs here is asked all the same."""
    provider = _enabled()
    try:
        state, nonce, verifier, onward = _kept()
        if not state or request.args.get("state") != state:
            raise oidc.NotBelieved(gettext("This login was not begun in this browser, or took too long."))
        if "code" not in request.args:
            raise oidc.NotBelieved(gettext("The provider let nobody in."))
        claims = oidc.finish(_client(provider), request.args["code"][:4000], nonce, verifier)
        someone = _person(provider, claims)
    except (oidc.NotBelieved, VaultError) as error:
        store.session().rollback()
        return _back_with(str(error))
    if factors.of(someone.id).any:
        answer = redirect(url_for("second.step", next=onward), 303)
        halfway.begin(answer, someone)
    else:
        answer = redirect(onward, 303)
        access.open_session(answer, someone, "provider")
        throttle.know_device(answer, someone.login)
    cookies.drop(answer, COOKIE)
    return answer


@blueprint.route("/settings/provider", methods=["GET", "POST"])
@access.admin
@access.fresh
def settings() -> Response | str | tuple[str, int]:
    """Who the provider is, what it knows us as, and what its groups mean here."""
    kept = store.session().get(Provider, 1)
    draft = Draft(request.form if request.method == "POST" else None)
    values, secret, mapping = _read(draft, kept)
    if draft.good:
        try:
            if kept is None:
                kept = Provider(id=1, seal_id=str(uuid.uuid4()))
                store.session().add(kept)
            for name, value in values.items():
                setattr(kept, name, value)
            kept.mapping = mapping
            if secret:
                kept.sealed = _box().seal(secret.encode(), f"provider:{kept.seal_id}")
            oidc.begin(_client(kept))
        except (VaultError, oidc.NotBelieved) as error:
            store.session().rollback()
            draft.blame("issuer", str(error))
        else:
            audited.note("provider.changed", "provider:1", **{k: v for k, v in values.items() if k != "by"})
            store.session().commit()
            flash(gettext("Logging in by “%(name)s” is set up.", name=kept.label), "good")
            return redirect(url_for("entry.index"), 303)
    draft.remind()
    page = render_template("entry/provider.html", active="entry.index", draft=draft, kept=kept, back=_return())
    return page if request.method == "GET" else (page, 422)


def _read(draft: Draft, kept: Provider | None) -> tuple[dict[str, Any], str, list[dict[str, str]]]:
    lines = "\n".join(_line(one) for one in kept.mapping) if kept else ""
    values = {
        "label": draft.text(Field("label", gettext("Name on the button"), value=kept.label if kept else "", required=True, help=gettext("Such as: the company account."))),
        "issuer": draft.text(Field("issuer", gettext("Issuer"), value=kept.issuer if kept else "", required=True, help=gettext("The address the provider calls itself by, such as https://login.example.com/realms/company.")), 300),
        "client": draft.text(Field("client", gettext("Client id"), value=kept.client if kept else "", required=True, help=gettext("What the provider calls Pantau; some say application id.")), 200),
        "claim": draft.text(Field("claim", gettext("Claim with the groups"), value=kept.claim if kept else "groups", required=True, help=gettext("The part of a login in which the provider lists somebody's groups; mostly groups or roles."))),
        "makes_people": draft.tick(Field("makes_people", gettext("Make people at their first login"), "check", value="yes" if kept and kept.makes_people else "", help=gettext("Else somebody must be known here already, by a verified e-mail address."))),
        "enabled": draft.tick(Field("enabled", gettext("Offer it on the login page"), "check", value="yes" if kept is None or kept.enabled else "")),
    }  # fmt: skip
    secret = draft.secret(Field("secret", gettext("Client secret"), "secret", required=kept is None, help=gettext("Empty: the one that is stored.") if kept else gettext("The provider shows it when Pantau is registered there, often only once.")))  # fmt: skip
    typed = draft.text(
        Field("mapping", gettext("What groups mean here"), "lines", value=lines, help=gettext("One a line: “group = role”, or “group = division: role”. Roles: %(roles)s.", roles=", ".join(dict.fromkeys((*roles.EVERYWHERE, *roles.LOCAL))))),
        4000,
    )  # fmt: skip
    if draft.good and not oidc.safe(str(values["issuer"])):
        draft.blame("issuer", gettext("This takes an address that begins with https://."))
    if draft.good and kept is None and not secret:
        draft.blame("secret", gettext("Please fill in this field."))
    mapping: list[dict[str, str]] = []
    for line in typed.splitlines() if draft.good else ():
        group, equals, meant = (part.strip() for part in line.partition("="))
        division, colon, role = (part.strip() for part in meant.rpartition(":"))
        if not line.strip():
            continue
        if not equals or not group or role not in (roles.LOCAL if colon else roles.EVERYWHERE):
            draft.blame("mapping", gettext("“%(line)s” is not understood.", line=line.strip()[:60]))
            break
        mapping.append({"group": group, "division": division, "role": role})
    return values, secret, mapping


def _line(one: dict[str, str]) -> str:
    return f"{one['group']} = {one['division'] + ': ' if one['division'] else ''}{one['role']}"


def _person(provider: Provider, claims: dict[str, Any]) -> Person:
    """Who this is here: linked before, known by a verified address, or made now. Raises NotBelieved. Commits."""
    database, subject = store.session(), str(claims["sub"])[:255]
    linked = Foreign.issuer == provider.issuer, Foreign.subject == subject
    someone = database.scalar(select(Person).join(Foreign, Foreign.person_id == Person.id).where(*linked))
    if someone is None:
        someone = _by_address(claims) or (_made(claims) if provider.makes_people else None)
        if someone is None:
            raise oidc.NotBelieved(
                gettext("The provider knows you, but nobody here has your address. Ask an administrator.")
            )
        database.flush()
        database.execute(delete(Foreign).where(*linked))
        database.add(Foreign(issuer=provider.issuer, subject=subject, person_id=someone.id))
        audited.note("person.linked", f"person:{someone.id}", by=someone, issuer=provider.issuer)
    if not someone.active:
        raise oidc.NotBelieved(gettext("Your account here is switched off."))
    if provider.mapping:
        _take_over(provider, someone, claims)
    store.announce("inventory")
    database.commit()
    return someone


def _by_address(claims: dict[str, Any]) -> Person | None:
    """Whoever an administrator gave this address, if the provider says that it is theirs; nobody takes one for themselves."""
    address = str(claims.get("email") or "").lower()
    if not address or claims.get("email_verified") is not True:
        return None
    found = list(
        store.session().scalars(select(Person).where(func.lower(Person.email) == address, Person.email_sure).limit(2))
    )
    return found[0] if len(found) == 1 else None


def _made(claims: dict[str, Any]) -> Person:
    """Somebody new, without a password: the provider is the way in."""
    database = store.session()
    wanted = str(claims.get("preferred_username") or claims.get("email") or claims["sub"]).lower()
    base = LOGIN.sub("-", wanted).strip("-.")[:50] or "somebody"
    taken = set(database.scalars(select(Person.login).where(Person.login.startswith(base, autoescape=True))))
    login = next(one for one in (base, *(f"{base}-{n}" for n in range(2, 10_000))) if one not in taken)
    shown = "".join(c for c in str(claims.get("name") or login) if c.isprintable()).strip()[:100] or login
    address = str(claims.get("email") or "")[:254] if claims.get("email_verified") is True else ""
    someone = Person(login=login, name=shown, email=address, email_sure=bool(address), password_hash="", role="none")
    database.add(someone)
    return someone


def _take_over(provider: Provider, someone: Person, claims: dict[str, Any]) -> None:
    """Roles by groups, anew at every login: what the groups do not say any more is gone. The last administrator stays."""
    said = claims.get(provider.claim)
    groups = {str(one) for one in said} if isinstance(said, list) else {str(said)} if said else set()
    meant = [one for one in provider.mapping if one["group"] in groups]
    everywhere = [one["role"] for one in meant if not one["division"]]
    role = next((name for name in reversed(roles.EVERYWHERE) if name in everywhere), "none")
    database = store.session()
    others = select(Person.id).where(Person.role == "admin", Person.active, Person.id != someone.id).limit(1)
    if someone.role != "admin" or role == "admin" or database.scalar(others) is not None:
        someone.role = role
    wanted = {(_division(one["division"]).id, one["role"]) for one in meant if one["division"]}
    there = {(one.division_id, one.role): one for one in someone.memberships}
    someone.memberships = [there.get(pair) or Membership(division_id=pair[0], role=pair[1]) for pair in sorted(wanted)]


def _division(name: str) -> Division:
    database = store.session()
    found = database.scalar(select(Division).where(Division.name == name))
    if found is None:
        found = Division(name=name)
        database.add(found)
        database.flush()
    return found


def _kept() -> tuple[str, str, str, str]:
    """State, nonce, verifier and way onward of the login begun in this browser; empty where there is none, or it is old."""
    try:
        sealed = urlsafe_b64decode(cookies.read(COOKIE).encode())
        state, nonce, verifier, onward, until = json.loads(_box().open(sealed, "login by provider"))
    except (ValueError, VaultError, TypeError):
        return "", "", "", "/"
    return (state, nonce, verifier, onward) if until > time.time() else ("", "", "", "/")


def _client(provider: Provider) -> oidc.Client:
    secret = _box().open(provider.sealed, f"provider:{provider.seal_id}").decode()
    return oidc.Client(provider.issuer, provider.client, secret, _return())


def _return() -> str:
    """Where the provider sends people back: the installation's own address, never what a request called it."""
    return f"{store.settings().home()}{url_for('provider.back')}"


def _enabled() -> Provider:
    found = enabled()
    if found is None:
        abort(404)
    return found


def _back_with(sentence: str) -> Response:
    flash(sentence, "bad")
    answer = redirect(url_for("people.login"), 303)
    cookies.drop(answer, COOKIE)
    return answer


def _box() -> webkey.Box:
    return webkey.read(store.settings().web_key)
