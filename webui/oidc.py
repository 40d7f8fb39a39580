"""What is said to a provider of identities and believed of it: OpenID Connect, authorisation code with PKCE.

Every call has one deadline and a cap, follows nothing, and goes to the host of the issuer's own configuration. An
identity is believed when its token is signed by a key of the issuer with an algorithm that needs one, is meant for us,
is of now, and carries the nonce of this very login.
"""

from __future__ import annotations

import json
import secrets
from base64 import b64encode
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from authlib.oauth2.rfc7636 import create_s256_code_challenge
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from notifier.channels.base import Hops, Undelivered
from notifier.channels.road import way
from probes.base import Keep

SECONDS = 10.0
ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
"""Such as need the issuer's private key; never `none`, never one whose key we hold too."""
LEEWAY = 60
SCOPE = "openid profile email"


class NotBelieved(Exception):
    """The provider did not answer, or what it said is not believed; the message is one sentence."""


@dataclass(frozen=True)
class Client:
    """We, as the provider knows us."""

    issuer: str
    id: str
    secret: str
    back: str


@dataclass(frozen=True)
class Beginning:
    """One login on its way: what the browser keeps of it, and where it goes."""

    state: str
    nonce: str
    verifier: str
    url: str


def begin(client: Client) -> Beginning:
    """Where to send the browser. Raises NotBelieved."""
    told = _configuration(client)
    state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
    query = {
        "response_type": "code",
        "client_id": client.id,
        "redirect_uri": client.back,
        "scope": SCOPE,
        "state": state,
        "nonce": nonce,
        "code_challenge": create_s256_code_challenge(verifier),
        "code_challenge_method": "S256",
    }
    joint = "&" if "?" in told["authorization_endpoint"] else "?"
    return Beginning(state, nonce, verifier, f"{told['authorization_endpoint']}{joint}{urlencode(query)}")


def finish(client: Client, code: str, nonce: str, verifier: str) -> dict[str, Any]:
    """What the provider says of whoever came back with `code`. Raises NotBelieved."""
    told = _configuration(client)
    body = urlencode(
        {"grant_type": "authorization_code", "code": code, "redirect_uri": client.back, "code_verifier": verifier}
    )
    pair = f"{quote(client.id, safe='')}:{quote(client.secret, safe='')}"  # RFC 6749, 2.3.1
    headers = {
        "Authorization": f"Basic {b64encode(pair.encode()).decode()}",
        "Content-Type": "application/x-www-form-urlencoded",
        "Accept": "application/json",
    }
    answer = _call("POST", told["token_endpoint"], headers, body.encode())
    keys = _call("GET", told["jwks_uri"])
    return believed(str(answer.get("id_token") or ""), keys, client, nonce)


def believed(token: str, keys: dict[str, Any], client: Client, nonce: str) -> dict[str, Any]:
    """The claims of an identity token (OpenID Connect Core 1.0, 3.1.3.7). Raises NotBelieved."""
    try:
        known = KeySet.import_key_set(keys)  # type: ignore[arg-type]
        claims = jwt.decode(token, known, algorithms=ALGORITHMS).claims
        jwt.JWTClaimsRegistry(
            leeway=LEEWAY,
            iss={"essential": True, "value": client.issuer},
            aud={"essential": True, "value": client.id},
            sub={"essential": True},
            exp={"essential": True},
            iat={"essential": True},
            nonce={"essential": True, "value": nonce},
        ).validate(claims)
    except (JoseError, ValueError, TypeError, KeyError) as error:
        raise NotBelieved(f"The provider's identity token is not believed: {type(error).__name__}.") from None
    several = isinstance(claims.get("aud"), list) and len(claims["aud"]) > 1
    if (several or "azp" in claims) and claims.get("azp") != client.id:
        raise NotBelieved("The provider's identity token is meant for somebody else.")
    return dict(claims)


def _configuration(client: Client) -> dict[str, str]:
    """Where the provider's doors are (OpenID Connect Discovery 1.0). Plain HTTP is taken on this machine alone."""
    told = _call("GET", f"{client.issuer.rstrip('/')}/.well-known/openid-configuration")
    if told.get("issuer") != client.issuer:
        raise NotBelieved("The provider calls itself by another name than the one set here.")
    found = {}
    for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
        found[name] = str(told.get(name) or "")
        if not safe(found[name]):
            raise NotBelieved("The provider names a door that is not reached by HTTPS.")
    return found


def safe(url: str) -> bool:
    """Whether an address may be trusted with a secret: HTTPS, or this very machine."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    local = parts.hostname in ("localhost", "127.0.0.1", "::1")
    return bool(parts.hostname) and (parts.scheme == "https" or (parts.scheme == "http" and local))


def _call(method: str, url: str, headers: dict[str, str] | None = None, body: bytes | None = None) -> dict[str, Any]:
    keep = Keep()
    try:
        with way(keep, Hops(), SECONDS, listed=(urlsplit(url).hostname or "",)) as road:
            answer = road.ask(method, url, headers or {"Accept": "application/json"}, body)
        told = json.loads(answer.body) if answer.status < 300 else None
    except (Undelivered, ValueError) as error:
        sentence = str(error) if isinstance(error, Undelivered) else "it sent no JSON."
        raise NotBelieved(f"The provider did not answer as it should: {sentence}") from None
    finally:
        keep.close()
    if not isinstance(told, dict):
        raise NotBelieved(f"The provider refused ({answer.status}).")
    return told
