"""The picture of a person: sent, cut to a square, taken away, and shown to whoever may know of that person."""

from __future__ import annotations

import hashlib
import math

from flask import Blueprint, Response, abort, redirect, request, url_for
from sqlalchemy import ColumnElement, delete, select, true
from sqlalchemy.dialects.postgresql import insert
from werkzeug.wrappers import Response as Plain

from domain.clock import now
from domain.identity import Portrait
from domain.inventory import Membership, Person
from webui import access, audited, drawn, store
from webui.language import gettext

blueprint = Blueprint("portrait", __name__)

LARGEST = 5 << 20
ROOM = 64 << 10
"""What the form itself takes beside the file."""


def known(someone: Person) -> ColumnElement[bool]:
    """Which people `someone` may know of, as a condition on Person.

    Themselves; whoever is something in a division of theirs; whoever has a role everywhere. Those who have one
    themselves know everybody.
    """
    if someone.role != "none":
        return true()
    own = select(Membership.division_id).where(Membership.person_id == someone.id)
    beside = select(Membership.person_id).where(Membership.division_id.in_(own))
    return (Person.id == someone.id) | Person.id.in_(beside) | (Person.role != "none")


def stamp(person_id: int) -> str:
    """The stamp of somebody's picture, empty where there is none."""
    return store.session().scalar(select(Portrait.stamp).where(Portrait.person_id == person_id)) or ""


def stamps() -> dict[int, str]:
    """The stamps of all pictures."""
    return {row[0]: row[1] for row in store.session().execute(select(Portrait.person_id, Portrait.stamp))}


@blueprint.get("/people/<int:person_id>/picture/<stamp>")
@access.signed_in
def show(person_id: int, stamp: str) -> Response:
    """The picture; a person one may not know of has none."""
    image = store.session().scalar(
        select(Portrait.image)
        .join(Person, Person.id == Portrait.person_id)
        .where(Portrait.person_id == person_id, Portrait.stamp == stamp, known(access.person()))
    )
    if image is None:
        abort(404)
    answer = Response(image, mimetype="image/jpeg")
    answer.headers["Content-Security-Policy"] = "default-src 'none'; sandbox"
    answer.headers["Content-Disposition"] = "inline; filename=picture.jpg"
    answer.headers["Cache-Control"] = "private, max-age=86400, immutable"
    return answer


def keep() -> str:
    """Draw what was sent anew, and keep that, committed; what is wrong with it where it cannot be, as a sentence."""
    sent = request.files.get("picture")
    file = sent.read(LARGEST + 1) if sent else b""
    if not file:
        return gettext("Please choose a picture.")
    if len(file) > LARGEST:
        return gettext("This picture is larger than 5 MiB.")
    try:
        image = drawn.square(file, _cut())
    except drawn.BadPicture as bad:
        if bad.reason == "size":
            return gettext("This picture has more than 20 million points; make it smaller first.")
        return gettext("This is no picture Pantau can read: it takes JPEG, PNG, WebP and GIF.")
    values = {"stamp": hashlib.sha256(image).hexdigest()[:16], "image": image, "drawn_at": now()}
    row = insert(Portrait).values(person_id=access.person().id, **values)
    store.session().execute(row.on_conflict_do_update(index_elements=[Portrait.person_id], set_=values))
    audited.note("person.picture", f"person:{access.person().id}")
    store.session().commit()
    return ""


@blueprint.post("/me/picture/remove")
@access.signed_in
def remove() -> Plain:
    """No picture any more."""
    store.session().execute(delete(Portrait).where(Portrait.person_id == access.person().id))
    audited.note("person.picture", f"person:{access.person().id}", gone=True)
    store.session().commit()
    return redirect(url_for("profile.index"), 303)


def _cut() -> drawn.Cut | None:
    """The square that was chosen; None is the middle one, as it is without JavaScript."""
    try:
        x, y, size = (float(request.form.get(name, "")) for name in ("x", "y", "size"))
    except ValueError:
        return None
    return drawn.Cut(x, y, size) if all(map(math.isfinite, (x, y, size))) else None
