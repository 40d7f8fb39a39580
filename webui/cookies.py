"""Cookies as we set them: unreadable by scripts, never sent by another site's forms, bound to this host."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any

from flask import request
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface
from itsdangerous import URLSafeTimedSerializer
from werkzeug.wrappers import Response

from webui import store


class Flashes(SecureCookieSessionInterface):
    """Flask's own little signed cookie, used for messages that survive one redirect and for nothing else.

    Its key lives in the database, so every process and every restart signs alike.
    """

    def get_signing_serializer(self, app: object) -> URLSafeTimedSerializer:
        """A serializer with the installation's key."""
        return URLSafeTimedSerializer(
            [store.cookie_key()],
            salt="pantau flash",
            serializer=self.serializer,
            signer_kwargs={"key_derivation": self.key_derivation, "digest_method": hashlib.sha256},
        )

    def open_session(self, app: Any, request: Any) -> SecureCookieSession | None:
        """What the cookie says; who brings none needs no key, and is answered while the database is away."""
        if not request.cookies.get(self.get_cookie_name(app)):
            return self.session_class()
        return super().open_session(app, request)

    def get_cookie_name(self, app: object) -> str:
        """Bound to this very host where TLS allows it."""
        return name("flash")

    def get_cookie_secure(self, app: object) -> bool:
        """Only over TLS, once we are reached over TLS."""
        return request.is_secure

    def get_cookie_samesite(self, app: object) -> str:
        """Not sent along with other sites' forms."""
        return "Lax"


def name(part: str) -> str:
    """`__Host-pantau-<part>` over TLS; browsers refuse that prefix without it."""
    return f"__Host-pantau-{part}" if request.is_secure else f"pantau-{part}"


def read(part: str) -> str:
    """The cookie's value, or an empty text."""
    return request.cookies.get(name(part), "")


def put(answer: Response, part: str, value: str, seconds: int) -> None:
    """Set a cookie for `seconds`."""
    answer.set_cookie(
        name(part), value, max_age=seconds, path="/", secure=request.is_secure, httponly=True, samesite="Lax"
    )


def drop(answer: Response, part: str) -> None:
    """Take a cookie back."""
    answer.delete_cookie(name(part), path="/", secure=request.is_secure, httponly=True, samesite="Lax")


def sign(purpose: str, text: str) -> str:
    """A signature only this installation can make, good for this purpose alone."""
    mac = hmac.new(store.cookie_key(), f"{purpose}\0{text}".encode(), hashlib.sha256)
    return base64.urlsafe_b64encode(mac.digest()).decode().rstrip("=")


def signed(purpose: str, text: str, signature: str) -> bool:
    """Whether `signature` is ours for `text`."""
    return hmac.compare_digest(sign(purpose, text).encode(), signature.encode())
