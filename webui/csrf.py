"""Nobody else's page can press our buttons: every unsafe request carries a token bound to its browser."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable
from typing import Any, TypeVar

from flask import Flask, Response, current_app, g, request
from werkzeug.exceptions import BadRequest

from webui import bearer, cookies, faults
from webui.language import lazy_gettext

View = TypeVar("View", bound=Callable[..., Any])
SAFE = {"GET", "HEAD", "OPTIONS", "TRACE"}
VISIT = 24 * 3600
REFUSED = lazy_gettext(
    "This form was open for too long, or was sent from another site. Nothing was changed; please go back and send it again."
)


def install(app: Flask) -> None:
    """Check the token before anything else is done, and give templates `csrf_token()`."""
    app.before_request(check)
    app.after_request(_remember)
    app.jinja_env.globals["csrf_token"] = token


def exempt(view: View) -> View:
    """For what programs call and no browser's session is asked for: the URL itself is the proof."""
    view.__no_csrf__ = True  # type: ignore[attr-defined]
    return view


def token() -> str:
    """A token for one page. It is masked afresh each time, so that compression gives nothing away."""
    mask = secrets.token_bytes(32)
    return base64.urlsafe_b64encode(mask + _xor(mask, proof())).decode()


def check() -> None:
    """Refuse (400) an unsafe request without our token, or one that a browser says comes from another site."""
    if request.method in SAFE or _no_browser():
        return
    if getattr(current_app.view_functions.get(request.endpoint or ""), "__no_csrf__", False):
        return
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        raise BadRequest(str(REFUSED))
    offered = request.headers.get("X-CSRF-Token") or request.form.get("csrf", "")
    if not _ours(offered):
        raise BadRequest(str(REFUSED))


def _no_browser() -> bool:
    """Whether a program asks: with a token, which no other site's page can send; or with nothing, and gets nothing."""
    return bearer.shown() or (faults.for_scripts() and not cookies.read("session"))


def _ours(offered: str) -> bool:
    try:
        packed = base64.urlsafe_b64decode(offered.encode("ascii", "replace"))
    except ValueError:
        return False
    return len(packed) == 64 and hmac.compare_digest(_xor(packed[:32], packed[32:]), proof())


def proof() -> bytes:
    """What a token proves: that its page was made for this browser's session, or for this visit before login."""
    return hashlib.sha256(cookies.sign("csrf", cookies.read("session") or _visit()).encode()).digest()


def _visit() -> str:
    """The random name of a browser that is not logged in."""
    if "visit" not in g:
        g.visit = cookies.read("visit")
        if len(g.visit) < 32:
            g.visit = g.new_visit = secrets.token_urlsafe(32)
    visit: str = g.visit
    return visit


def _remember(answer: Response) -> Response:
    if "new_visit" in g:
        cookies.put(answer, "visit", g.new_visit, VISIT)
    return answer


def _xor(a: bytes, b: bytes) -> bytes:
    return bytes(x ^ y for x, y in zip(a, b, strict=True))
