"""When something fails: one calm page that says what, since when, what goes on and what to do. Never a traceback."""

from __future__ import annotations

import logging
import secrets
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from threading import Lock
from typing import Any

from flask import (
    Flask,
    Response,
    current_app,
    flash,
    jsonify,
    make_response,
    redirect,
    render_template,
    request,
)
from sqlalchemy.exc import DataError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import HTTPException, MethodNotAllowed
from werkzeug.routing import RoutingException

from domain.clock import now
from webui import store
from webui.language import gettext

log = logging.getLogger(__name__)
API = "/api"
OUT_OF_RANGE = "22003"
"""What PostgreSQL calls a number that its column cannot hold."""


@dataclass(frozen=True)
class Fault:
    """What a fault page tells. `hint` says what the reader can do; `since` is set where it lasts."""

    code: int
    title: str
    text: str
    hint: str = ""
    since: datetime | None = None


class Outage:
    """Since when the database has been away, as this process sees it; logged once when it goes, once when it is back."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._since: datetime | None = None

    def begun(self, reason: str) -> datetime:
        """The database did not answer now; gives the moment it began."""
        with self._lock:
            if self._since is None:
                self._since = now()
                log.error("The database is away: %s", reason)
            return self._since

    def over(self) -> None:
        """The database answered."""
        if self._since is not None:
            with self._lock:
                self._since = None
            log.warning("The database is back.")


def install(app: Flask) -> None:
    """Answer every failure with a page of ours."""
    app.extensions["outage"] = Outage()
    app.register_error_handler(HTTPException, _refused)
    for away in (OperationalError, InterfaceError, PoolTimeout):
        app.register_error_handler(away, _away)
    app.register_error_handler(DataError, _unfit)
    app.register_error_handler(Exception, _broken)


def _refused(error: HTTPException) -> Response:
    if error.response is not None:  # a ready answer (a redirect) that was raised
        return error.response  # type: ignore[return-value]
    if isinstance(error, MethodNotAllowed) and request.method in ("GET", "HEAD") and not for_scripts():
        return _back_to_the_form()
    answer = show(_words(error.code or 500, error.description or ""))
    for name, value in error.get_headers():
        if name.lower() in ("allow", "retry-after"):
            answer.headers[name] = value
    return answer


def _back_to_the_form() -> Response:
    """Whoever opens an address that only a form sends to is led to the page above it, where that form is.

    By the address alone: nothing is looked up, so a page that is not theirs answers like one that is not there.
    """
    path, ways = request.path.rstrip("/"), current_app.create_url_adapter(request)
    while path and ways is not None:
        path = path.rpartition("/")[0]
        try:
            endpoint, _ = ways.match(path or "/", method="GET")
        except (HTTPException, RoutingException):
            continue
        if endpoint != "static":
            break
    flash(gettext("That address only takes what a form sends. Here is the page the form is on."))
    return redirect(path or "/", 302)  # type: ignore[return-value]


def _unfit(error: DataError) -> Response:
    """A value no table can hold: a number beyond every row is no such page, anything else is refused."""
    store.session().rollback()
    log.warning("A request was refused, its values fit no table: %s", str(error.orig).strip().splitlines()[:1])
    return show(_words(404 if getattr(error.orig, "sqlstate", "") == OUT_OF_RANGE else 422, ""))


def _words(code: int, description: str) -> Fault:
    """The sentences for one kind of refusal."""
    if code == 404:
        return Fault(
            404, gettext("There is no such page"), gettext("Nothing here has this address, or you may not see it.")
        )
    if code == 403:
        return Fault(
            403,
            gettext("You may not do this"),
            gettext("Your account has no right to this page."),
            gettext("Ask an administrator of this installation."),
        )
    if code == 413:
        return Fault(
            413,
            gettext("That was too much at once"),
            gettext("What you sent is larger than Pantau takes in one go."),
            gettext("Send it in smaller parts."),
        )
    if code == 405:
        return Fault(
            405, gettext("That does not work here"), gettext("This address does not take that kind of request.")
        )
    if code == 400:
        return Fault(400, gettext("That could not be taken"), description)
    if code == 429:
        return Fault(429, gettext("Too many tries"), description)
    return Fault(code, gettext("That could not be done"), gettext("The request was refused."))


def _away(error: Exception) -> Response:
    reason = (str(getattr(error, "orig", None) or error).strip().splitlines() or ["no reason given"])[0]
    outage: Outage = current_app.extensions["outage"]
    answer = show(
        Fault(
            503,
            gettext("The database is away"),
            gettext(
                "Pantau cannot read what it knows just now. Polling goes on and is kept for later; nothing is lost."
            ),
            gettext("This page tries again by itself."),
            outage.begun(reason),
        )
    )
    answer.headers["Retry-After"] = "5"
    return answer


def _broken(error: Exception) -> Response:
    """The border of a request: whatever escaped a page is logged with its id and told as ours."""
    return show(
        Fault(
            500,
            gettext("Something broke on our side"),
            gettext("This page could not be made. The failure has been written to the log."),
            gettext("Try again; if it stays, give the reference below to whoever runs this installation."),
        ),
        error,
    )


def problem(code: int, sentence: str, **more: Any) -> Response:
    """What a script is told of a failure: problem details in JSON (RFC 9457), `detail` being the sentence."""
    answer = jsonify(status=code, title=HTTPStatus(code).phrase, detail=sentence, **more)
    answer.status_code, answer.mimetype = code, "application/problem+json"
    return answer


def for_scripts() -> bool:
    """Whether this request is to an address that only scripts call: they get no pages there, whatever happens."""
    return request.path == API or request.path.startswith(f"{API}/")


def show(fault: Fault, error: Exception | None = None) -> Response:
    """The page of a fault (JSON where a script asks), with an id that is also in the log."""
    reference = secrets.token_hex(4)
    if error is not None:
        log.error("Request failed, reference %s: %s %s", reference, request.method, request.path, exc_info=error)
    if for_scripts():
        said = fault.text or f"{fault.title}."
        return problem(fault.code, said, **({"reference": reference} if fault.code >= 500 else {}))
    if request.accept_mimetypes.best_match(["text/html", "application/json"]) == "application/json":
        answer = jsonify(error=f"{fault.title}. {fault.text}", reference=reference)
    else:
        answer = make_response(render_template("faults/fault.html", fault=fault, reference=reference))
    answer.status_code = fault.code
    return answer
