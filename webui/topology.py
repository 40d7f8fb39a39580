"""What stands on the way to a machine and what stands behind it: edited by hand, suggested from traces and guests."""

from __future__ import annotations

import uuid
from collections import defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from flask import Blueprint, flash, redirect, render_template, request, url_for
from sqlalchemy import select, text
from werkzeug.wrappers import Response

from domain import guests
from domain.clock import now
from domain.inventory import Host, host_parent
from domain.records import FactSeen
from domain.requests import Discovery, Found
from domain.rights import Right
from webui import access, audited, store
from webui.language import gettext

blueprint = Blueprint("topology", __name__, url_prefix="/machines/<int:host_id>/way")

MOST_PARENTS = 20
RATE = 50.0
PATIENCE = timedelta(seconds=30)
_LOCK = 0x70617465  # two edits at once could close a circle that neither of them sees
Link = tuple[int, int]
"""(child, parent)."""


@dataclass(frozen=True)
class Behind:
    """A machine behind another; `direct` when nothing watched lies between, `besides` the names of its other ways."""

    id: int
    name: str
    direct: bool
    besides: tuple[str, ...]


@dataclass(frozen=True)
class Trace:
    """What the newest trace of the way to a machine came to: nothing where it was not `found`, that is, did not answer.

    `hops` are (address, machine id or None, its name).
    """

    asked: bool
    pending: bool
    silent: bool
    found: bool
    note: str
    hops: tuple[tuple[str, int | None, str], ...]


@dataclass(frozen=True)
class Suggestion:
    """A parent worth having, and why in words."""

    id: int
    name: str
    why: str


@blueprint.route("", methods=["GET", "POST"])
@access.may(Right.EDIT)
def edit(host_id: int) -> Response | str | tuple[str, int]:
    """Choose what stands on the way."""
    host = access.host(host_id)
    if request.method == "GET":
        return _page(host, "")
    session = store.session()
    session.execute(text("select pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    wanted = {int(id) for id in request.form.getlist("parent") if id.isascii() and id.isdigit() and len(id) < 10}
    found = {
        one.id: one for one in session.scalars(select(Host).where(Host.id.in_(wanted), access.visible(access.person())))
    }
    wrong = _wrong(host, found)
    if wrong:
        session.rollback()
        return _page(access.host(host_id), wrong), 422
    host.parents = sorted(found.values(), key=lambda one: one.name)
    store.announce("inventory")
    session.commit()
    flash(gettext("The way to “%(name)s” is changed.", name=host.name), "good")
    return redirect(url_for("topology.edit", host_id=host.id), 303)


@blueprint.post("/find")
@access.may(Right.EDIT)
def find(host_id: int) -> Response:
    """Ask the poller to trace the way there; the page follows."""
    host, session = access.host(host_id), store.session()
    if not _trace(host).pending:
        row = Discovery(
            id=str(uuid.uuid4()),
            asked_by=access.person().id,
            addresses=[host.address],
            names={},
            rate=RATE,
            credentials=[],
            trace=True,
        )
        session.add(row)
        audited.note("discovery.asked", f"host:{host.id}", name=host.name, addresses=1)
        store.announce("asked", row.id)
        session.commit()
    return redirect(url_for("topology.edit", host_id=host.id), 303)


def behind(host_id: int) -> list[Behind]:
    """Every machine behind this one, however far, nearest first; each visible one once."""
    below, above = defaultdict[int, list[int]](list), defaultdict[int, list[int]](list)
    for child, parent in _links():
        below[parent].append(child)
        above[child].append(parent)
    order, seen, waiting = list[int](), {host_id}, deque(below[host_id])
    while waiting:
        one = waiting.popleft()
        if one not in seen:
            seen.add(one)
            order.append(one)
            waiting += below[one]
    if not order:
        return []
    named = _names([*order, *(parent for one in order for parent in above[one])])
    inside = {host_id, *order}
    return [
        Behind(
            one,
            named[one],
            host_id in above[one],
            tuple(sorted(named[parent] for parent in above[one] if parent not in inside and parent in named)),
        )
        for one in order
        if one in named
    ]


def circle(links: Iterable[Link], child: int, parent: int) -> list[int]:
    """The way up from `parent` to `child`, both included, if there is one: a link between them would close a circle."""
    over = defaultdict[int, list[int]](list)
    for below, above in links:
        over[below].append(above)
    came: dict[int, int] = {parent: parent}
    waiting = deque([parent])
    while waiting:
        one = waiting.popleft()
        if one == child:
            way = [one]
            while way[-1] != parent:
                way.append(came[way[-1]])
            return way[::-1]
        for above in over[one]:
            if above not in came:
                came[above] = one
                waiting.append(above)
    return []


def _wrong(host: Host, found: dict[int, Host]) -> str:
    """Why these cannot be its parents, in one sentence; empty where they can."""
    if host.id in found:
        return gettext("A machine does not stand on the way to itself.")
    if len(found) > MOST_PARENTS:
        return gettext("At most %(count)s machines may stand directly before one.", count=MOST_PARENTS)
    links = [link for link in _links() if link[0] != host.id]
    for parent in found.values():
        way = circle(links, host.id, parent.id)
        if way:
            names = {one.id: one.name for one in store.session().scalars(select(Host).where(Host.id.in_(way)))}
            told = " → ".join(names.get(one, "…") for one in way)
            return gettext(
                "“%(parent)s” cannot stand before “%(name)s”: it is behind it already (%(way)s), and that would go round in a circle.",
                parent=parent.name,
                name=host.name,
                way=told,
            )
    return ""


def _page(host: Host, wrong: str) -> str:
    trace = _trace(host)
    return render_template(
        "edit/way_page.html",
        active="machines.index",
        host=host,
        wrong=wrong,
        others=others(host),
        behind=behind(host.id),
        trace=trace,
        suggestions=_suggestions(host, trace),
    )


def others(host: Host) -> list[tuple[int, str]]:
    """The machines that may be added as parents."""
    own = {host.id, *(parent.id for parent in host.parents)}
    rows = store.session().execute(
        select(Host.id, Host.name).where(access.visible(access.person())).order_by(Host.name)
    )
    return [(id, name) for id, name in rows if id not in own]


def _suggestions(host: Host, trace: Trace) -> list[Suggestion]:
    own = {host.id, *(parent.id for parent in host.parents)}
    found: dict[int, Suggestion] = {}
    nearest = next(((id, name) for _, id, name in reversed(trace.hops) if id is not None), None)
    if nearest is not None and nearest[0] not in own:
        why = gettext("It is the last watched machine on the traced way.")
        found[nearest[0]] = Suggestion(nearest[0], nearest[1], why)
    named, links = _names(None), frozenset(_links())
    told = [
        guests.Told(row.host_id, row.name, row.part, row.value)
        for row in store.session().scalars(select(FactSeen).where(FactSeen.name.in_(guests.FACTS)))
    ]
    for child, parent in guests.links(told, named, links).add if told else ():
        if child == host.id and parent not in own:
            found.setdefault(parent, Suggestion(parent, named[parent], gettext("It tells this machine as its guest.")))
    return [one for one in found.values() if not circle(links, host.id, one.id)]


def _trace(host: Host) -> Trace:
    session, moment = store.session(), now()
    newest = session.scalar(
        select(Discovery)
        .where(Discovery.addresses == [host.address], Discovery.asked_at > moment - timedelta(days=30))
        .order_by(Discovery.asked_at.desc())
        .limit(1)
    )
    if newest is None:
        return Trace(False, False, False, False, "", ())
    row = session.get(Found, (newest.id, host.address))
    path = [str(hop) for hop in (row.seen.get("path") or ())] if row else []
    known = {one.address: (one.id, one.name) for one in session.scalars(select(Host).where(Host.address.in_(path)))}
    beat = newest.beat_at or newest.asked_at
    pending = newest.done_at is None and moment - beat < PATIENCE
    return Trace(
        True,
        pending,
        newest.done_at is None and not pending,
        row is not None,
        newest.note,
        tuple((hop, *known.get(hop, (None, ""))) for hop in path),
    )


def _links() -> list[Link]:
    rows = store.session().execute(select(host_parent.c.host_id, host_parent.c.parent_id))
    return list(rows.all())


def _names(ids: Iterable[int] | None) -> dict[int, str]:
    wanted = select(Host.id, Host.name).where(access.visible(access.person()))
    if ids is not None:
        wanted = wanted.where(Host.id.in_(set(ids)))
    return dict(store.session().execute(wanted).all())
