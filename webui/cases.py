"""One incident as this request may see and change it: behind its page and the API alike."""

from __future__ import annotations

from collections.abc import Callable

from flask import abort
from sqlalchemy import select

from domain.inventory import Person
from domain.records import Incident
from webui import access, handling, store, trouble
from webui.trouble import Case


def seen(incident_id: int) -> Case:
    """An incident this person may know of; any other is 404, as if it did not exist."""
    found = trouble.one(store.session(), access.visible(access.person()), incident_id)
    if found is None:
        abort(404)
    return found


def locked(*ids: int) -> dict[int, Incident]:
    """These incidents as they are now, kept from changing until the commit; 403 where one may only be seen."""
    session = store.session()
    for one in set(ids):
        if not handling.may(session, seen(one).row, access.person()):
            abort(403)
    wanted = select(Incident).where(Incident.id.in_(set(ids))).order_by(Incident.id).with_for_update()
    fresh = session.scalars(wanted.execution_options(populate_existing=True))  # what was read before may be old by now
    return {one.id: one for one in fresh}


def change(incident_id: int, act: Callable[[Incident, Person], None], *others: int) -> None:
    """One change of one incident, locked together with `others`; the caller commits. Raises handling.Refused."""
    rows = locked(incident_id, *others)
    act(rows[incident_id], access.person())
    store.announce("incident", str(incident_id))
