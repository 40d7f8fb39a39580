"""Where jobs report: a URL of their own for each, that a cron line calls when the work is done."""

from __future__ import annotations

import hashlib
import hmac
import uuid
from datetime import datetime, timedelta

from flask import Blueprint, Response, abort, request, url_for
from sqlalchemy.dialects.postgresql import insert

from domain.clock import now
from domain.heard import Job
from domain.inventory import Check
from domain.requests import Look
from probes.limits import clean
from webui import access, csrf, store

blueprint = Blueprint("heard", __name__, url_prefix="/heard")

BODY, ANY = 4096, 2**40
SAID = 300
OFTEN = timedelta(seconds=10)
"""Calls of one job closer together than this cause no look of their own."""


@blueprint.route("/<int:check_id>/<mac>", methods=["GET", "POST"])
@blueprint.route("/<int:check_id>/<mac>/<what>", methods=["GET", "POST"])
@access.public
@csrf.exempt
def call(check_id: int, mac: str, what: str = "0") -> Response:
    """A job tells that it began (`start`), ended well (nothing, or `0`), or failed (`fail`, or its exit code).

    What it sends along, to 4 KiB, is kept as text. Answers 404 for a URL that is not ours, whatever else is wrong.
    """
    if not hmac.compare_digest(mac.encode(), signature(check_id).encode()):
        abort(404)
    store.ask_as(store.HOUSE)  # whoever knows the URL is the job, and no person
    outcome = _outcome(what)
    check = store.session().get(Check, check_id)
    if outcome is None or check is None or check.kind != "heard":
        abort(404)
    moment = now()
    job = store.session().get(Job, check_id)
    before = _last(job) if job is not None else None
    _keep(check_id, outcome, moment, job)
    if before is None or moment - before > OFTEN:
        store.session().add(Look(id=str(uuid.uuid4()), kind="run", host_id=check.host_id, check_id=check_id))
    store.session().commit()
    return _thanks()


def address(check: Check) -> str:
    """The URL the job of `check` calls."""
    return url_for("heard.call", check_id=check.id, mac=signature(check.id), _external=True)


def signature(check_id: int) -> str:
    """What makes a URL ours: nobody can guess another job's."""
    return hmac.new(store.cookie_key(), f"heard {check_id}".encode(), hashlib.sha256).hexdigest()[:32]


def _outcome(what: str) -> str | None:
    if what in ("start", "fail"):
        return what
    if what.isascii() and what.isdigit() and len(what) <= 3:
        return "ok" if int(what) == 0 else "fail"
    return None


def _keep(check_id: int, outcome: str, moment: datetime, job: Job | None) -> None:
    request.max_content_length = ANY  # a job may send all it printed: no more than BODY of it is read
    said = clean(request.stream.read(BODY), SAID) if request.method == "POST" else ""
    values: dict[str, object] = {"said": said}
    if outcome == "start":
        values = {"started_at": moment}
    else:
        values["ok_at" if outcome == "ok" else "failed_at"] = moment
        started = job.started_at if job is not None else None
        ended = max(filter(None, (job.ok_at, job.failed_at)), default=None) if job is not None else None
        began = started is not None and (ended is None or started > ended)
        values["took"] = (moment - started).total_seconds() if started is not None and began else None
    row = insert(Job).values(check_id=check_id, **values)
    store.session().execute(row.on_conflict_do_update(index_elements=[Job.check_id], set_=values))


def _last(job: Job) -> datetime | None:
    return max(filter(None, (job.ok_at, job.failed_at, job.started_at)), default=None)


def _thanks() -> Response:
    return Response("ok\n", mimetype="text/plain")
