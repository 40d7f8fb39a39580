"""Watches every COMMIT of a request that is meant to change something: what wrote to the database wrote to the audit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from flask import has_request_context, request
from sqlalchemy import Connection, Engine, event, text

SAFE = ("GET", "HEAD", "OPTIONS")
EXEMPT = {
    "api.talk_read": "as chat.read",
    "api.talk_say": "as chat.say",
    "chat.chart": "a message is its own record, with who said it and when",
    "chat.read": "how far somebody has read is their own business",
    "chat.say": "a message is its own record, with who said it and when; changing or taking it back is on record",
    "heard.call": "a machine's job reports: no person does anything, and the call is kept among what is heard",
    "people.appearance": "somebody without an account chooses a language; of a person it is on record",
    "people.login": "a failed login is counted for the throttle; on record at most once a minute and account",
    "people.logout": "the session's row goes; who logged in is on record",
    "proof.page": "a code that was typed counts as used at once; that somebody showed who they are is on record",
    "second.app_page": "a wrong code is counted for the throttle; the factor itself is on record",
    "second.codes": "a code that was typed counts as used at once; new codes are on record",
    "second.step": "a code that was typed counts as used at once; the login is on record",
    "tickets.lost": "asking is counted for the throttle; a link that is made is on record",
    "profile.password": "a wrong password is counted for the throttle",
}
"""Endpoints that may commit without a row, and why."""


@contextmanager
def witnessed(engine: Engine) -> Iterator[set[str]]:
    """Endpoints that committed changes and no row; grows while the block runs."""
    silent: set[str] = set()

    def look(connection: Connection) -> None:
        if not has_request_context() or request.method in SAFE or request.endpoint in EXEMPT:
            return
        if "proof-parked" in request.form:
            return  # somebody shows who they are, which is counted for the throttle; what they want done comes after
        if connection.scalar(text("select pg_current_xact_id_if_assigned()")) is None:
            return  # nothing was written
        connection.execute(text("set constraints all immediate"))
        if connection.scalar(text("select exists (select from api_token where used_at >= now())")):
            return  # that a program came in is counted by itself, before it does anything
        if connection.scalar(text("select exists (select from parked_form where parked_at >= now())")):
            return  # nothing was done yet: the form waits until its sender has shown who they are
        if not connection.scalar(text("select exists (select from audit where at >= now())")):
            silent.add(str(request.endpoint))

    event.listen(engine, "commit", look)
    try:
        yield silent
    finally:
        event.remove(engine, "commit", look)
