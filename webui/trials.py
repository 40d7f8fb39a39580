"""Test messages somebody waits for: asked here, sent by the notifier, shown hop by hop as they happen."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from flask import Blueprint, abort, jsonify, render_template, request, url_for
from sqlalchemy import delete
from werkzeug.wrappers import Response

from config import vault
from domain.clock import now
from domain.requests import Trial
from notifier.addresses import plain
from notifier.channels.base import Channel as Kind
from webui import access, audited, store

blueprint = Blueprint("trials", __name__, url_prefix="/trials")

PATIENCE = timedelta(seconds=5)
GIVEN_UP = timedelta(minutes=2)
"""The longest a test is waited for."""
KEPT = timedelta(days=1)
ASIDE = "-"
"""Where a test leads back to when it is shown in a tab of its own, beside the form that is not saved yet."""


@dataclass(frozen=True)
class Hop:
    """One step: what was done, how it went, and the seconds it took."""

    name: str
    ok: bool
    detail: str
    took: float


def of_route(route_id: int, *, code: str = "", language: str = "en") -> Trial:
    """A test message, or a code, to one address, in the caller's transaction."""
    return _ask(Trial(route_id=route_id, asked={"code": code, "language": language} if code else {}))


def of_channel(channel_id: int, kind: Kind, address: Any, *, language: str = "en") -> Trial:
    """A test message by a channel that is stored, to an address that is not yet anybody's. Raises VaultError."""
    return _ask(_sealed({"channel": channel_id, "language": language}, kind, address, {}))


def unsaved(
    kind: Kind, options: Mapping[str, Any], address: Any, secrets: Mapping[str, str], language: str = "en"
) -> Trial:
    """A test message by a channel that is not stored. Raises VaultError."""
    return _ask(_sealed({"kind": kind.kind, "options": dict(options), "language": language}, kind, address, secrets))


def _sealed(asked: dict[str, Any], kind: Kind, address: Any, secrets: Mapping[str, str]) -> Trial:
    """A trial of what is `asked`; what is secret of it lies in a box for this test alone."""
    trial, box = Trial(id=str(uuid.uuid4()), asked=asked), {}
    if secrets:
        box["secret"] = dict(secrets)
    if kind.private:
        box["address"] = plain(asdict(address))
    else:
        trial.asked = {**asked, "address": plain(asdict(address))}
    if box:
        sealer = vault.sealer(store.settings().notifier_public)
        trial.sealed = sealer.seal(json.dumps(box).encode(), f"trial:{trial.id}")
    return trial


@blueprint.get("/<trial_id>")
@access.signed_in
def show(trial_id: str) -> str | Response:
    """The hops as far as they have come: a page, or JSON for whoever asks for that. Only for who asked."""
    trial = store.session().get(Trial, trial_id)
    if trial is None or trial.asked_by != access.person().id:
        abort(404)
    waiting = trial.done_at is None and now() - trial.asked_at < GIVEN_UP
    silent = trial.claimed_at is None and now() - trial.asked_at > PATIENCE
    told: dict[str, Any] = {
        "pending": waiting,
        "silent": silent,
        "sent": trial.done_at is not None and bool(trial.answer.get("sent")),
        "done": trial.done_at is not None,
        "sentence": str(trial.answer.get("sentence") or "")[:500],
        "hops": [_hop(one) for one in trial.answer.get("hops", ())],
    }
    if request.accept_mimetypes.best_match(["text/html", "application/json"]) == "application/json":
        return jsonify(told)
    asked = request.args.get("back") or url_for("routes.index")
    back = "" if asked == ASIDE else access.onward(asked)
    return render_template("trials/show.html", active="routes.index", back=back, **told)


def _hop(row: Mapping[str, Any]) -> Hop:
    took = row.get("took")
    return Hop(
        str(row.get("name"))[:200],
        bool(row.get("ok")),
        str(row.get("detail") or "")[:500],
        float(took) if isinstance(took, int | float) else 0.0,
    )


def _ask(trial: Trial) -> Trial:
    trial.id = trial.id or str(uuid.uuid4())
    trial.asked_by = access.person().id
    audited.note(
        "trial.asked",
        f"route:{trial.route_id}" if trial.route_id else f"channel:{trial.asked.get('channel') or ''}".rstrip(":"),
        kind=trial.asked.get("kind"),
    )
    database = store.session()
    database.execute(delete(Trial).where(Trial.asked_at < now() - KEPT))
    database.add(trial)
    store.announce("trial", trial.id)
    return trial
