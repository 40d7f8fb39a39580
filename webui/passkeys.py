"""Keys that live in a telephone, a computer or a stick (WebAuthn): asked, checked, named, taken away.

A question (challenge) is not stored: it is 16 random bytes and its expiry, signed by this installation for one purpose,
one person and one browser; when it has been answered its hash is, so that no answer is taken twice.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Iterable
from datetime import timedelta
from ipaddress import ip_address
from typing import Any

from flask import Blueprint, Response, abort, g, jsonify, request
from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from webauthn import (
    generate_authentication_options,
    generate_registration_options,
    options_to_json,
    verify_authentication_response,
    verify_registration_response,
)
from webauthn.helpers import (
    base64url_to_bytes,
    parse_authentication_credential_json,
    parse_client_data_json,
    parse_registration_credential_json,
)
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    AuthenticatorTransport,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from domain.clock import now
from domain.identity import Passkey, SpentChallenge
from domain.inventory import Person
from webui import access, cookies, csrf, halfway, push, store
from webui.language import gettext

blueprint = Blueprint("passkeys", __name__)

LOGIN, SECOND, PROVE, REGISTER = "login", "second", "prove", "register"
PURPOSES = (LOGIN, SECOND, PROVE, REGISTER)
PATIENCE = 300
"""Seconds a question may be answered for."""
MOST = 20
"""Passkeys of one person."""
LONGEST = 20_000


class Refused(Exception):
    """A passkey was not accepted; the message is one sentence."""


def why_not() -> str:
    """Why passkeys do not work at the address this page was opened by; empty when they do."""
    host = site()
    try:
        ip_address(host.strip("[]"))
    except ValueError:
        if request.is_secure or host == "localhost" or host.endswith(".localhost"):
            return ""
        return gettext("Passkeys need HTTPS: open Pantau by an address that begins with https://.")
    return gettext("Passkeys need a name instead of a number: open Pantau by its name, such as https://pantau.example.com or http://localhost.")  # fmt: skip


def site() -> str:
    """The name passkeys are bound to: that of this site, without a port."""
    host = request.host
    return host[: host.index("]") + 1] if host.startswith("[") and "]" in host else host.partition(":")[0]


def listed(person_id: int) -> list[Passkey]:
    """The passkeys of a person, the oldest first."""
    return list(store.session().scalars(select(Passkey).where(Passkey.person_id == person_id).order_by(Passkey.id)))


@blueprint.post("/passkeys/challenge")
@access.public
def challenge() -> Response | tuple[Response, int]:
    """What the browser is to ask its keys, as JSON: for a login, a second step, a proof, or a new key."""
    purpose = request.form.get("purpose", "")
    if purpose not in PURPOSES:
        abort(422)
    who = _asked(purpose)
    if who is None and purpose != LOGIN:
        return jsonify(error=gettext("This has taken too long. Please log in again.")), 401
    if reason := why_not():
        return jsonify(error=reason), 409
    question = _question(purpose, who.id if who else 0)
    if purpose == REGISTER and who is not None:
        options: Any = generate_registration_options(
            rp_id=site(),
            rp_name="Pantau",
            user_name=who.login,
            user_display_name=who.name,
            user_id=cookies.sign("passkey user", str(who.id)).encode(),
            challenge=question,
            authenticator_selection=AuthenticatorSelectionCriteria(
                resident_key=ResidentKeyRequirement.PREFERRED, user_verification=UserVerificationRequirement.PREFERRED
            ),
            exclude_credentials=_described(listed(who.id)),
        )
    else:
        strict = UserVerificationRequirement.REQUIRED if purpose == LOGIN else UserVerificationRequirement.PREFERRED
        options = generate_authentication_options(
            rp_id=site(),
            challenge=question,
            allow_credentials=_described(one for one in listed(who.id) if one.site == site()) if who else None,
            user_verification=strict,
        )
    return jsonify(create=purpose == REGISTER, options=json.loads(options_to_json(options)))


def accept(answer: str, purpose: str, person: Person | None) -> Passkey:
    """The passkey that gave `answer`, of `person` where one is known; in the caller's transaction. Raises Refused."""
    try:
        given = parse_authentication_credential_json(answer[:LONGEST])
        question = parse_client_data_json(given.response.client_data_json).challenge
    except (WebAuthnException, ValueError, KeyError, TypeError):
        raise Refused(gettext("The browser sent no passkey.")) from None
    _check(question, purpose, person.id if person else 0)
    kept = store.session().scalar(select(Passkey).where(Passkey.credential == given.raw_id).with_for_update())
    if kept is None or kept.site != site() or (person is not None and kept.person_id != person.id):
        raise Refused(gettext("This passkey is not known here."))
    try:
        seen = verify_authentication_response(
            credential=given,
            expected_challenge=question,
            expected_rp_id=site(),
            expected_origin=_origin(),
            credential_public_key=kept.public,
            credential_current_sign_count=kept.signs,
            require_user_verification=purpose == LOGIN,
        )
    except WebAuthnException:
        raise Refused(gettext("This passkey could not be checked. Please try again.")) from None
    _spend(question)
    kept.signs, kept.used_at = seen.new_sign_count, now()
    return kept


def registered(answer: str, person: Person) -> Passkey:
    """The new passkey in `answer`. Raises Refused."""
    if len(listed(person.id)) >= MOST:
        raise Refused(gettext("You have %(most)s passkeys; remove one first.", most=MOST))
    try:
        given = parse_registration_credential_json(answer[:LONGEST])
        question = parse_client_data_json(given.response.client_data_json).challenge
    except (WebAuthnException, ValueError, KeyError, TypeError):
        raise Refused(gettext("The browser sent no passkey.")) from None
    _check(question, REGISTER, person.id)
    try:
        made = verify_registration_response(
            credential=given, expected_challenge=question, expected_rp_id=site(), expected_origin=_origin()
        )
    except WebAuthnException:
        raise Refused(gettext("This passkey could not be checked. Please try again.")) from None
    _spend(question)
    if store.session().scalar(select(Passkey.id).where(Passkey.credential == made.credential_id)) is not None:
        raise Refused(gettext("This passkey is known already."))
    return Passkey(
        person_id=person.id,
        site=site(),
        credential=made.credential_id,
        public=made.credential_public_key,
        signs=made.sign_count,
        transports=[one.value for one in given.response.transports or ()],
    )


def _asked(purpose: str) -> Person | None:
    """Who is to answer: the person of the half login, or who is logged in."""
    if purpose == SECOND:
        return halfway.person()
    someone: Person | None = g.person if purpose in (PROVE, REGISTER) else None
    return someone


def _question(purpose: str, person_id: int) -> bytes:
    head = secrets.token_bytes(16) + int(time.time() + PATIENCE).to_bytes(8, "big")
    return head + _signature(head, purpose, person_id)


def _check(question: bytes, purpose: str, person_id: int) -> None:
    """Refuse an answer to a question we did not put, for this, to this browser, just now."""
    head, signature = question[:24], question[24:]
    ours = len(head) == 24 and secrets.compare_digest(signature, _signature(head, purpose, person_id))
    if not ours or int.from_bytes(head[16:], "big") < time.time():
        raise Refused(gettext("This has taken too long. Please try again."))


def _signature(head: bytes, purpose: str, person_id: int) -> bytes:
    bound = f"{head.hex()} {purpose} {person_id} {csrf.proof().hex()}"
    return base64url_to_bytes(cookies.sign("passkey challenge", bound))


def _spend(question: bytes) -> None:
    """This question is answered; a second answer to it is refused, even by another process in the same moment."""
    database, digest = store.session(), hashlib.sha256(question).hexdigest()
    long_ago = now() - timedelta(seconds=2 * PATIENCE)
    database.execute(delete(SpentChallenge).where(SpentChallenge.spent_at < long_ago))
    spent = insert(SpentChallenge).values(digest=digest).on_conflict_do_nothing().returning(SpentChallenge.digest)
    if database.scalar(spent) is None:
        raise Refused(gettext("This has taken too long. Please try again."))


def _described(keys: Iterable[Passkey]) -> list[PublicKeyCredentialDescriptor]:
    known = {one.value: one for one in AuthenticatorTransport}
    return [
        PublicKeyCredentialDescriptor(id=key.credential, transports=[known[t] for t in key.transports if t in known])
        for key in keys
    ]


def _origin() -> str:
    return f"{request.scheme}://{request.host}"


def named(typed: str) -> str:
    shown = "".join(one for one in typed if one.isprintable()).strip()[:60]
    return shown or push.device(request.headers.get("User-Agent", "")) or gettext("Passkey")


def own(key_id: int) -> Passkey:
    kept = store.session().get(Passkey, key_id)
    if kept is None or kept.person_id != access.person().id:
        abort(404)
    return kept
